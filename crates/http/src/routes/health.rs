//! For load balancers and dashboards.

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jiff::SignedDuration;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::turned_away::TurnedAway;

const DATABASE_SECONDS_MAX: u64 = 2;
/// A failure is remembered so long, unless something was stored since. Then whoever turned away is let try again.
const STORING_FAILED: SignedDuration = SignedDuration::from_secs(10);
/// So long after a request was turned away for it, what is stored between counts for nothing: else a full disk, on which
/// some work still finds room, is ready and not ready by turns.
const TURNED_AWAY: SignedDuration = SignedDuration::from_secs(2);

/// Markets that could not be read for so long are told.
const MARKETS_UNREAD: SignedDuration = SignedDuration::from_mins(3);

#[derive(Serialize, ToSchema)]
pub struct Health {
    /// ok, or degraded: requests are taken, and something that members miss does not work.
    #[schema(example = "ok")]
    status: &'static str,
    /// What does not work, when the state is degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    /// The programme's own clock, which a demo speeds up.
    #[schema(value_type = String, format = DateTime)]
    business_time: jiff::Timestamp,
}

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub async fn healthz(State(app): State<Arc<App>>) -> axum::Json<Health> {
    axum::Json(Health { status: "ok", problems: Vec::new(), business_time: app.clocks.business.now() })
}

/// The process takes requests, its database answers and what tills send can be stored. A degraded one does too.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = Health),
    (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn readyz(
    State(app): State<Arc<App>>,
    Extension(turned_away): Extension<TurnedAway>,
) -> Result<axum::Json<Health>, Problem> {
    if !app.readiness.get() {
        return Err(Problem::new(ProblemKind::Unavailable, "this process is starting or stopping"));
    }
    let now = app.clocks.wall.now();
    if app.trouble.lasts(now, STORING_FAILED) || app.trouble.told_lately(now, TURNED_AWAY) {
        return Err(Problem::new(ProblemKind::Unavailable, "purchases cannot be stored just now; see the log"));
    }
    let asked = sqlx::query("SELECT 1").execute(&app.pool);
    match tokio::time::timeout(Duration::from_secs(DATABASE_SECONDS_MAX), asked).await {
        Ok(Ok(_)) => {
            let problems: Vec<String> =
                unread_markets(app.markets.unread_for()).into_iter().chain(crowded(&turned_away.lately())).collect();
            let status = if problems.is_empty() { "ok" } else { "degraded" };
            Ok(axum::Json(Health { status, problems, business_time: app.clocks.business.now() }))
        }
        Ok(Err(e)) => Err(Problem::storage(&e)),
        Err(_) => Err(Problem::new(ProblemKind::Unavailable, "the database does not answer")),
    }
}

/// Purchases are taken without markets, so a town whose exchange is not understood stays in service.
fn unread_markets(unread_for: SignedDuration) -> Option<String> {
    (unread_for >= MARKETS_UNREAD).then(|| {
        let minutes = unread_for.as_mins();
        format!("markets could not be read for {minutes} minutes, so that nobody can stake; see /v1/ops/exchange/left-out and the log")
    })
}

/// Whoever is let in is answered as ever, so the process stays in service.
fn crowded(turned_away: &[(&'static str, u64)]) -> Option<String> {
    let told: Vec<String> = turned_away.iter().map(|(who, count)| format!("{who} {count}")).collect();
    (!told.is_empty()).then(|| {
        format!(
            "more is asked than can be done, so that some are turned away: {}; see hunch_http_shed_total",
            told.join(", ")
        )
    })
}

/// Everything measured, as Prometheus text. On the operators' listener alone.
pub async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (app.metrics)())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_is_told_and_nothing_when_nobody_is() {
        assert_eq!(crowded(&[]), None);
        let told = crowded(&[("connections", 3), ("tills", 12)]).unwrap();
        assert!(told.contains("connections 3, tills 12"), "{told}");
    }
}
