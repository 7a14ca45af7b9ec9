//! The member book: what members hold, and what it is worth now.

use hunch_kernel::{Count, MarketTicker, MemberId, OrderId, PointRate, Points, PositionId, Side};
use hunch_markets::Market;
use jiff::Timestamp;
use std::sync::Arc;

use crate::order::Order;
use crate::{Trading, TradingError, store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub id: PositionId,
    pub order: OrderId,
    pub member: MemberId,
    pub market: MarketTicker,
    pub category: String,
    pub side: Side,
    pub count: Count,
    /// What the stake cost, fees included.
    pub cost: Points,
    pub rate_micros: i64,
    pub opened_at: Timestamp,
    pub paid: Option<Paid>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// yes, no or scalar.
    pub result: String,
    pub points: Points,
    pub at: Timestamp,
}

/// A position with its market and its value.
#[derive(Clone, Debug)]
pub struct Holding {
    pub position: Position,
    pub market: Option<Arc<Market>>,
    /// What it could be sold for now, or what it paid; `None` when nobody bids.
    pub value: Option<Points>,
}

impl Holding {
    /// Value minus cost.
    pub fn profit(&self) -> Option<Points> {
        self.value.map(|value| value - self.position.cost)
    }
}

fn value(position: &Position, market: Option<&Market>) -> Option<Points> {
    if let Some(paid) = &position.paid {
        return Some(paid.points);
    }
    let market = market?;
    let each = match market.settlement_value {
        Some(value) => value.of(position.side),
        None => market.bid(position.side)?,
    };
    Some(PointRate { id: 0, micros: position.rate_micros }.points_down(each.times_down(position.count)))
}

impl Trading {
    /// A member's positions, newest first: open ones, or all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holdings(
        &self,
        member: MemberId,
        open_only: bool,
        before: Option<(Timestamp, PositionId)>,
        limit: i64,
    ) -> Result<Vec<Holding>, TradingError> {
        let positions = store::positions(&self.pool, member, open_only, before, limit).await?;
        let tickers: Vec<MarketTicker> = positions.iter().map(|p| p.market.clone()).collect();
        let markets = self.markets.by_tickers(&tickers).await?;
        Ok(positions
            .into_iter()
            .map(|position| {
                let market = markets.get(&position.market).cloned();
                Holding { value: value(&position, market.as_deref()), market, position }
            })
            .collect())
    }

    /// A member's orders, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn orders(
        &self,
        member: MemberId,
        before: Option<(Timestamp, OrderId)>,
        limit: i64,
    ) -> Result<Vec<Order>, TradingError> {
        Ok(store::orders_of(&self.pool, member, before, limit).await?)
    }

    /// One order, if it is this member's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn order(&self, member: MemberId, id: OrderId) -> Result<Option<Order>, TradingError> {
        let mut conn = self.pool.acquire().await?;
        Ok(store::orders(&mut conn, &[id]).await?.pop().filter(|o| o.member == member))
    }

    /// Those of `ids` that are orders of this member.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn orders_named(&self, member: MemberId, ids: &[OrderId]) -> Result<Vec<Order>, TradingError> {
        let mut conn = self.pool.acquire().await?;
        let mut found = store::orders(&mut conn, ids).await?;
        found.retain(|order| order.member == member);
        Ok(found)
    }

    /// What was paid on this market to this member, for the settlement webhook's receipt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn paid_to(&self, member: MemberId, market: &MarketTicker) -> Result<Points, TradingError> {
        Ok(store::paid_to(&self.pool, member, market).await?)
    }
}
