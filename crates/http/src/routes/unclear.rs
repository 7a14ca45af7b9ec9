//! Orders whose end is not known, for the operator: seen, and ended by hand.

use axum::extract::State;
use hunch_kernel::{Count, Dollars, MoneyError, OrderId};
use hunch_trading::{Finding, Order};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::credentials::Operator;
use crate::extract::Path;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};

const REASON_LENGTH_MAX: usize = 200;

#[derive(Serialize, ToSchema)]
pub struct UnclearOrders {
    /// Oldest first, at most 200.
    pub orders: Vec<UnclearOrder>,
}

/// An order that was placed more than a minute ago and whose end is not known. The member's points stay held.
#[derive(Serialize, ToSchema)]
pub struct UnclearOrder {
    pub order: Uuid,
    pub market: String,
    pub side: &'static str,
    /// sending, accepted or unknown.
    pub state: &'static str,
    #[schema(example = "1.26")]
    pub contracts: String,
    /// The most that may be paid for one, in dollars.
    #[schema(example = "0.3700")]
    pub worst_price_dollars: String,
    pub hold_points: i64,
    /// As it was sent; look it up at the exchange by this.
    pub client_order_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_order_id: Option<String>,
    /// Why the exchange's last word is not believed: still_resting, filled_more_than_asked, negative, too_dear,
    /// fee_too_high, less_than_told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub placed_at: jiff::Timestamp,
}

impl From<Order> for UnclearOrder {
    fn from(order: Order) -> UnclearOrder {
        UnclearOrder {
            order: order.id.0,
            market: order.market.0,
            side: order.side.as_str(),
            state: order.state.as_str(),
            contracts: order.count.to_string(),
            worst_price_dollars: order.worst_price.to_string(),
            hold_points: order.hold.0,
            client_order_id: order.client_order_id,
            exchange_order_id: order.exchange_order_id,
            doubt: order.doubt,
            placed_at: order.placed_at,
        }
    }
}

/// The orders that the programme could not clear up within a minute. It goes on trying.
#[utoipa::path(get, path = "/v1/ops/orders/unclear", operation_id = "unclear_orders", tag = "ops", security(("operator" = [])), responses(
    (status = 200, body = UnclearOrders),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(State(app): State<Arc<App>>, _: Operator) -> Result<axum::Json<UnclearOrders>, Problem> {
    let orders = app.trading.unclear_orders().await?.into_iter().map(UnclearOrder::from).collect();
    Ok(axum::Json(UnclearOrders { orders }))
}

/// What was found out at the exchange. Nothing filled means that the member gets everything back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderFinding {
    #[schema(example = "1.26", pattern = "^[0-9]{1,9}(\\.[0-9]{1,2})?$")]
    pub filled_contracts: String,
    /// Paid for these contracts, without fees.
    #[schema(example = "0.4410", pattern = "^[0-9]{1,9}(\\.[0-9]{1,6})?$")]
    pub cost_dollars: String,
    #[schema(example = "0.0201", pattern = "^[0-9]{1,9}(\\.[0-9]{1,6})?$")]
    pub fees_dollars: String,
    #[schema(min_length = 1, max_length = 200, pattern = "\\S")]
    pub reason: String,
}

impl OrderFinding {
    fn read(self) -> Result<Finding, Problem> {
        if self.reason.trim().is_empty() || self.reason.chars().count() > REASON_LENGTH_MAX {
            let sentence = format!("Say in up to {REASON_LENGTH_MAX} characters how you found out.");
            return Err(Problem::new(ProblemKind::Invalid, sentence));
        }
        Ok(Finding {
            filled: number::<Count>("filled_contracts", "1.26", &self.filled_contracts)?,
            cost: number::<Dollars>("cost_dollars", "0.4410", &self.cost_dollars)?,
            fees: number::<Dollars>("fees_dollars", "0.0201", &self.fees_dollars)?,
            reason: self.reason,
        })
    }
}

fn number<T: FromStr<Err = MoneyError>>(field: &str, example: &str, text: &str) -> Result<T, Problem> {
    let plain = text.len() <= 16 && !text.starts_with('-');
    let parsed = text.parse().ok().filter(|_| plain);
    let sentence = || format!("{field} is a number that is not negative, as text, such as {example:?}.");
    parsed.ok_or_else(|| Problem::new(ProblemKind::Invalid, sentence()))
}

#[derive(Serialize, ToSchema)]
pub struct EndedOrder {
    pub order: Uuid,
    /// filled, partial, killed or refused. It is the programme's own finding if that was quicker.
    pub state: &'static str,
    pub cost_points: i64,
    pub returned_points: i64,
}

/// Ends an unclear order by hand: what filled is booked, the rest is given back to its member.
#[utoipa::path(post, path = "/v1/ops/orders/{id}/end", operation_id = "end_unclear_order", tag = "ops", request_body = OrderFinding,
    params(("id" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, body = EndedOrder),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn end(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<Uuid>,
    Json(body): Json<OrderFinding>,
) -> Result<axum::Json<EndedOrder>, Problem> {
    let finding: Finding = body.read()?;
    let ended = app.trading.end_unclear(OrderId(id), &finding, operator.name).await??;
    Ok(axum::Json(EndedOrder {
        order: ended.id.0,
        state: ended.state.as_str(),
        cost_points: ended.captured.0,
        returned_points: ended.released.0,
    }))
}
