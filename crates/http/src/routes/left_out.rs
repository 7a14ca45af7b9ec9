//! The operator's view of what the exchange sends and nobody understands.

use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

use crate::app::App;
use crate::credentials::Operator;
use crate::problem::{Problem, ProblemBody};

#[derive(Serialize, ToSchema)]
pub struct LeftOutList {
    /// Seconds since the list of markets was last read and understood at least in part.
    #[schema(example = 4)]
    pub markets_unread_seconds: i64,
    pub left_out: Vec<LeftOutBody>,
}

/// An element of one of the exchange's lists that is not understood and was left out. The others were read.
#[derive(Serialize, ToSchema)]
pub struct LeftOutBody {
    /// markets, events, series, orders, fills, positions or settlements.
    pub list: &'static str,
    /// Its ticker or id, or its place in the list when it has no name.
    #[schema(example = "KXHIGHNY-26NOV23-T52")]
    pub name: String,
    /// Which field, and what is wrong with it.
    #[schema(example = "close_time is missing")]
    pub reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub since: jiff::Timestamp,
}

/// What the exchange sends that is not understood, until it is or is sent no more.
#[utoipa::path(get, path = "/v1/ops/exchange/left-out", tag = "ops", security(("operator" = [])), responses(
    (status = 200, body = LeftOutList),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn left_out(State(app): State<Arc<App>>, _: Operator) -> Result<axum::Json<LeftOutList>, Problem> {
    let left_out = app.markets.exchange().left_out().into_iter().map(|one| LeftOutBody {
        list: one.list,
        name: one.name,
        reason: one.reason,
        since: one.since.to_timestamp(),
    });
    Ok(axum::Json(LeftOutList {
        markets_unread_seconds: app.markets.unread_for().as_secs(),
        left_out: left_out.collect(),
    }))
}
