//! The operator's view of trading: what is going on, the switch, corrections by two people.

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use hunch_exchange::MarketResult;
use hunch_kernel::{MarketTicker, Price};
use hunch_trading::Correction;
use jiff::SignedDuration;
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::Text;
use crate::credentials::{Looker, Operator};
use crate::extract::Path;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::webhook::OutcomeWord;

const LIVE_ROWS: i64 = 12;

/// The last day in figures, and the newest of everything. Nobody is named.
#[derive(Serialize, ToSchema)]
pub struct Live {
    #[schema(value_type = String, format = DateTime)]
    pub now: jiff::Timestamp,
    pub staking: SwitchBody,
    pub members: i64,
    pub purchases: LiveCount,
    pub pushes_sent: i64,
    /// By reason.
    pub pushes_withheld: BTreeMap<String, i64>,
    pub orders: LiveOrders,
    pub markets_settled: i64,
    pub positions_paid: i64,
    pub points_paid: i64,
    /// First sight of a final result to credited, in milliseconds.
    pub credited_p99_ms: f64,
    /// Newest first.
    pub newest_purchases: Vec<LivePurchase>,
    pub newest_stakes: Vec<LiveStake>,
    pub newest_results: Vec<LiveResult>,
}

#[derive(Serialize, ToSchema)]
pub struct LiveCount {
    pub count: i64,
    pub points: i64,
}

#[derive(Serialize, ToSchema)]
pub struct LiveOrders {
    pub open: i64,
    pub filled: i64,
    pub partial: i64,
    pub killed: i64,
    pub refused: i64,
    /// Of those that ended, how many were unknown for a while.
    pub unknown_resolved: i64,
}

#[derive(Serialize, ToSchema)]
pub struct LivePurchase {
    pub shop: String,
    pub points: i64,
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
}

#[derive(Serialize, ToSchema)]
pub struct LiveStake {
    pub title: String,
    pub side_label: String,
    pub category: String,
    pub points: i64,
    pub state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
}

#[derive(Serialize, ToSchema)]
pub struct LiveResult {
    pub title: String,
    pub result: String,
    pub positions: i64,
    pub points: i64,
}

/// What goes on, for the live page.
#[utoipa::path(get, path = "/v1/ops/live", tag = "ops", security(("operator" = []), ("ticket" = [])), responses(
    (status = 200, body = Live),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn live(
    State(app): State<Arc<App>>,
    Extension(copy): Extension<LiveCopy>,
    _: Looker,
) -> Result<Response<Body>, Problem> {
    // However many look, the figures are reckoned once a second.
    let read = async { serde_json::to_vec(&look(&app).await?).map(Bytes::from).map_err(|e| Problem::internal(&e)) };
    let json = copy.0.try_get_with((), read).await.map_err(|problem| Problem::clone(&problem))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// The live view of the last second, as it is sent.
#[derive(Clone)]
pub(crate) struct LiveCopy(Cache<(), Bytes>);

impl Default for LiveCopy {
    fn default() -> LiveCopy {
        LiveCopy(Cache::builder().max_capacity(1).time_to_live(Duration::from_secs(1)).build())
    }
}

async fn look(app: &App) -> Result<Live, Problem> {
    let day = SignedDuration::from_hours(24);
    let now = app.clocks.business.now();
    let since = now.saturating_sub(day).unwrap_or(now);
    let lately = now.saturating_sub(SignedDuration::from_mins(10)).unwrap_or(now);
    let figures = app.trading.figures(since).await?;
    let pushes = hunch_messaging::push_counts(&app.pool, app.clocks.wall.now() - day).await?;
    let (count, points) = hunch_loyalty::sold_since(&app.pool, since).await?;
    let newest = hunch_loyalty::newest_purchases(&app.pool, lately, LIVE_ROWS).await?;
    let stakes = app.trading.newest_orders(LIVE_ROWS).await?;
    let results = app.trading.newest_results(LIVE_ROWS).await?;
    let mut tickers: Vec<MarketTicker> = stakes.iter().map(|o| o.market.clone()).collect();
    tickers.extend(results.iter().map(|r| r.market.clone()));
    let markets = app.markets.by_tickers(&tickers).await?;
    let title = |t: &MarketTicker| markets.get(t).map_or_else(|| t.0.clone(), |m| m.title.clone());
    Ok(Live {
        now,
        staking: app.trading.staking().await?.into(),
        members: app.people.count().await?,
        purchases: LiveCount { count, points: points.0 },
        pushes_sent: pushes.accepted,
        pushes_withheld: pushes.withheld.into_iter().collect(),
        orders: LiveOrders {
            open: figures.orders.open,
            filled: figures.orders.filled,
            partial: figures.orders.partial,
            killed: figures.orders.killed,
            refused: figures.orders.refused,
            unknown_resolved: figures.orders.unknown_resolved,
        },
        markets_settled: figures.markets_settled,
        positions_paid: figures.positions_paid,
        points_paid: figures.points_paid,
        credited_p99_ms: figures.final_credited.p99,
        newest_purchases: newest
            .into_iter()
            .map(|p| LivePurchase { shop: p.merchant_name, points: p.points.0, at: p.recorded_at })
            .collect(),
        newest_stakes: stakes
            .iter()
            .map(|o| LiveStake {
                title: title(&o.market),
                side_label: markets.get(&o.market).map_or_else(|| o.side.as_str().to_owned(), |m| m.label(o.side)),
                category: o.category.clone(),
                points: o.hold.0,
                state: o.state.as_str(),
                at: o.placed_at,
            })
            .collect(),
        newest_results: results
            .iter()
            .map(|r| LiveResult {
                title: title(&r.market),
                result: r.result.clone(),
                positions: r.positions,
                points: r.points.0,
            })
            .collect(),
    })
}

#[derive(Serialize, ToSchema)]
pub struct TicketBody {
    /// Goes into the live page's link, behind the `#`.
    pub ticket: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: jiff::Timestamp,
}

/// A ticket for the live page: whoever has it looks for twelve hours, and can do nothing.
#[utoipa::path(post, path = "/v1/ops/tickets", operation_id = "issue_ticket", tag = "ops", security(("operator" = [])), responses(
    (status = 201, body = TicketBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn issue_ticket(State(app): State<Arc<App>>, _: Operator) -> (StatusCode, axum::Json<TicketBody>) {
    let ticket = app.tickets.issue(app.clocks.wall.now());
    (StatusCode::CREATED, axum::Json(TicketBody { ticket: ticket.text, expires_at: ticket.expires_at.to_timestamp() }))
}

#[derive(Serialize, ToSchema)]
pub struct SwitchBody {
    pub on: bool,
    pub reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: jiff::Timestamp,
}

impl From<hunch_trading::Switch> for SwitchBody {
    fn from(s: hunch_trading::Switch) -> SwitchBody {
        SwitchBody { on: s.on, reason: s.reason, changed_at: s.changed_at }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSwitch {
    pub on: bool,
    #[schema(inline)]
    pub reason: Text<1, 200>,
}

/// Turns staking on or off for everyone. Results are paid all the same.
#[utoipa::path(put, path = "/v1/ops/staking", tag = "ops", request_body = SetSwitch, security(("operator" = [])), responses(
    (status = 200, body = SwitchBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn set_staking(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(body): Json<SetSwitch>,
) -> Result<axum::Json<SwitchBody>, Problem> {
    if body.reason.0.trim().is_empty() {
        return Err(Problem::new(ProblemKind::Invalid, "Say in up to 200 characters why staking is switched."));
    }
    let reason = format!("{}: {}", operator.name, body.reason.0);
    Ok(axum::Json(app.trading.set_staking(body.on, &reason, operator.name).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposeCorrection {
    #[schema(max_length = 200)]
    pub market: String,
    pub result: OutcomeWord,
    /// What one YES contract should have paid, in dollars.
    #[schema(example = "1.0000", pattern = "^(0(\\.[0-9]{1,6})?|1(\\.0{1,6})?)$")]
    pub value: String,
    #[schema(inline)]
    pub reason: Text<1, 500>,
}

#[derive(Serialize, ToSchema)]
pub struct CorrectionBody {
    pub correction: Uuid,
    pub market: String,
    pub result: &'static str,
    pub reason: String,
    pub proposed_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Why it waits for an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
}

impl From<Correction> for CorrectionBody {
    fn from(c: Correction) -> CorrectionBody {
        CorrectionBody {
            correction: c.id,
            market: c.market.0,
            result: hunch_markets::result_word(c.result),
            reason: c.reason,
            proposed_by: c.proposed_by,
            approved_by: c.approved_by,
            parked: c.parked,
            ended_by: c.ended_by,
        }
    }
}

/// Proposes to reverse a paid result and pay another. Nothing happens before someone else approves.
#[utoipa::path(post, path = "/v1/ops/corrections", tag = "ops", request_body = ProposeCorrection, security(("operator" = [])), responses(
    (status = 201, body = CorrectionBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn propose_correction(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(body): Json<ProposeCorrection>,
) -> Result<(StatusCode, axum::Json<CorrectionBody>), Problem> {
    let value: Price =
        body.value.parse().map_err(|e: hunch_kernel::MoneyError| Problem::new(ProblemKind::Invalid, e.to_string()))?;
    let result = match body.result {
        OutcomeWord::Yes => MarketResult::Yes,
        OutcomeWord::No => MarketResult::No,
        OutcomeWord::Scalar => MarketResult::Scalar,
    };
    let market = MarketTicker(body.market);
    let made = app.trading.propose_correction(&market, result, value, &body.reason.0, operator.name).await?;
    Ok((StatusCode::CREATED, axum::Json(made.into())))
}

/// Approves someone else's correction: every position of the market is reversed and paid anew.
#[utoipa::path(post, path = "/v1/ops/corrections/{id}/approval", tag = "ops", params(("id" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, body = CorrectionBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn approve_correction(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<CorrectionBody>, Problem> {
    Ok(axum::Json(app.trading.approve_correction(id, operator.name).await?.into()))
}

#[derive(Serialize, ToSchema)]
pub struct CorrectionList {
    /// At most 500, oldest first.
    pub corrections: Vec<CorrectionBody>,
}

/// The corrections that are not over: those that wait for a second person, and those that are parked, with the reason.
#[utoipa::path(get, path = "/v1/ops/corrections", tag = "ops", security(("operator" = [])), responses(
    (status = 200, body = CorrectionList),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list_corrections(State(app): State<Arc<App>>, _: Operator) -> Result<axum::Json<CorrectionList>, Problem> {
    let open = app.trading.open_corrections().await?;
    Ok(axum::Json(CorrectionList { corrections: open.into_iter().map(CorrectionBody::from).collect() }))
}

/// Lets a parked correction be tried again. It goes on where it stopped.
#[utoipa::path(post, path = "/v1/ops/corrections/{id}/retry", tag = "ops", params(("id" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, body = CorrectionBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn retry_correction(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<CorrectionBody>, Problem> {
    Ok(axum::Json(app.trading.retry_correction(id, operator.name).await?.into()))
}

/// Gives up a correction that has changed nothing: one that nobody approved, or one that is parked.
#[utoipa::path(post, path = "/v1/ops/corrections/{id}/end", tag = "ops", params(("id" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, body = CorrectionBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn end_correction(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<CorrectionBody>, Problem> {
    Ok(axum::Json(app.trading.end_correction(id, operator.name).await?.into()))
}
