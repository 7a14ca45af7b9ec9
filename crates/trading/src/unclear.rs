//! Orders whose end is not known a minute after they were placed: told to the operator, who can end them. The resolver goes
//! on looking all the while, and the first word counts.

use hunch_kernel::{Count, Dollars, OrderId};
use jiff::SignedDuration;

use crate::doubt::doubt_figures;
use crate::order::Order;
use crate::outcome::{Fate, OutcomeRequest};
use crate::{Trading, TradingError, store};

/// What the exchange answers in, and the longest that is waited before a lost order counts as not placed, is over by then.
const UNCLEAR_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// More are counted, and not shown one by one.
const SHOWN_MAX: i64 = 200;

/// What a person found out about an order. Nothing filled: it was not placed, or not filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub filled: Count,
    pub cost: Dollars,
    pub fees: Dollars,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndRefusal {
    #[error("There is no order with this number whose end is unclear. Look at the list of unclear orders.")]
    NotUnclear,
    #[error("These figures cannot be so: an order fills no more than it asked for, at its worst price at the worst.")]
    Impossible,
}

impl Trading {
    /// Counts the unclear orders for the operator's figures.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unclear_step(&self) -> Result<usize, TradingError> {
        let unclear = self.unclear_orders().await?.len();
        metrics::gauge!("hunch_orders_unclear").set(unclear as f64);
        Ok(unclear)
    }

    /// The unclear orders, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unclear_orders(&self) -> Result<Vec<Order>, TradingError> {
        self.unclear(None).await
    }

    async fn unclear(&self, only: Option<OrderId>) -> Result<Vec<Order>, TradingError> {
        let before = self.clocks.wall.now() - UNCLEAR_AFTER;
        Ok(store::unclear_orders(&self.pool, before, only, SHOWN_MAX).await?)
    }

    /// Ends an unclear order by what a person found out at the exchange.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_unclear(
        &self,
        id: OrderId,
        finding: &Finding,
        by: &str,
    ) -> Result<Result<Order, EndRefusal>, TradingError> {
        let Some(order) = self.unclear(Some(id)).await?.pop() else { return Ok(Err(EndRefusal::NotUnclear)) };
        if doubt_figures(&order, finding.filled, finding.cost, finding.fees).is_some() {
            return Ok(Err(EndRefusal::Impossible));
        }
        let fate = if finding.filled == Count::ZERO {
            Fate::NotTaken { reason: "ended_by_operator".to_owned() }
        } else {
            let exchange_order_id = order.exchange_order_id.clone().unwrap_or_default();
            Fate::Taken { exchange_order_id, filled: finding.filled, cost: finding.cost, fees: finding.fees }
        };
        let request = OutcomeRequest { order: id, fate };
        let Some(ended) = self.doors.outcomes.submit(order.shard, request).await? else {
            return Ok(Err(EndRefusal::NotUnclear));
        };
        if ended.first {
            tracing::warn!(order = %id, by, reason = finding.reason, "an unclear order was ended by a person");
            store::mark_ended_by(&self.pool, id, &format!("{by}: {}", finding.reason)).await?;
        }
        Ok(Ok(ended.order))
    }
}
