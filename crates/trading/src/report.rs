//! Figures for the operator and the demo's last line.

use hunch_kernel::{MarketTicker, Points};
use jiff::Timestamp;
use std::collections::BTreeMap;

use crate::order::Order;
use crate::{Trading, TradingError, store};

/// Orders that ended, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderCounts {
    pub filled: i64,
    pub partial: i64,
    pub killed: i64,
    pub refused: i64,
    /// Of these, orders whose outcome was not known for a while.
    pub unknown_resolved: i64,
    /// Not over yet.
    pub open: i64,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyFigures {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub n: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TradingFigures {
    pub orders: OrderCounts,
    pub markets_settled: i64,
    pub positions_paid: i64,
    pub points_paid: i64,
    /// First sight of a final result to the position's points.
    pub final_credited: LatencyFigures,
    /// Results paid, by yes, no and scalar.
    pub results: BTreeMap<String, i64>,
}

/// A market whose positions are all paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidMarket {
    pub market: MarketTicker,
    /// yes, no or scalar.
    pub result: String,
    pub positions: i64,
    pub points: Points,
}

impl Trading {
    /// The newest orders of everybody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_orders(&self, limit: i64) -> Result<Vec<Order>, TradingError> {
        Ok(store::newest_orders(&self.pool, limit).await?)
    }

    /// The markets that were paid last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_results(&self, limit: i64) -> Result<Vec<PaidMarket>, TradingError> {
        Ok(store::newest_results(&self.pool, limit).await?)
    }

    /// What happened since (business time).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn figures(&self, since: Timestamp) -> Result<TradingFigures, TradingError> {
        Ok(store::figures(&self.pool, since).await?)
    }
}
