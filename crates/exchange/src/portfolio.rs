//! What the exchange says about our account. It knows only our net positions: members are paid from our own book.

use crate::{ExchangeShard, MarketResult};
use hunch_kernel::{Count, Dollars, MarketTicker, Price, Side};
use jiff::Timestamp;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CashReport {
    pub shard: ExchangeShard,
    pub available: Dollars,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangePosition {
    pub ticker: MarketTicker,
    /// Positive: YES contracts; negative: NO contracts.
    pub net: Count,
    pub fees_paid: Dollars,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillReport {
    pub fill_id: String,
    pub exchange_order_id: String,
    /// Only streams carry it.
    pub client_order_id: Option<Uuid>,
    pub ticker: MarketTicker,
    pub side: Side,
    pub count: Count,
    /// Of `side`.
    pub price: Price,
    pub fee: Dollars,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementReport {
    pub ticker: MarketTicker,
    pub result: MarketResult,
    /// Paid on the net position, whole cents, rounded down by the exchange.
    pub revenue: Dollars,
    pub fees: Dollars,
    pub settled_at: Timestamp,
}
