//! Markets as the exchange reports them.

use crate::ExchangeShard;
use hunch_kernel::{Count, EventTicker, MarketTicker, Price, SeriesTicker};
use jiff::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarketStatus {
    Initialized,
    Inactive,
    Active,
    Closed,
    /// A result is known and may still be disputed and amended. Nothing is paid on it.
    Determined,
    Disputed,
    Amended,
    /// Terminal: the result is what is paid.
    Finalized,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketResult {
    Yes,
    No,
    /// Pays a value between nothing and a dollar: ties, games that never started.
    Scalar,
}

/// Prices from `start` to `end` move in steps of `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceBand {
    pub start: Price,
    pub end: Price,
    pub step: Price,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketReport {
    pub ticker: MarketTicker,
    pub event: EventTicker,
    pub title: String,
    pub yes_label: String,
    pub no_label: String,
    pub rules: String,
    pub status: MarketStatus,
    pub result: Option<MarketResult>,
    /// What one YES contract pays; set with the result.
    pub settlement_value: Option<Price>,
    /// When the exchange paid.
    pub settled_at: Option<Timestamp>,
    /// Best bid and ask of YES; `None` when that side is empty.
    pub yes_bid: Option<Price>,
    pub yes_ask: Option<Price>,
    pub yes_bid_size: Count,
    pub yes_ask_size: Count,
    pub last_price: Option<Price>,
    pub volume: Count,
    pub open_time: Timestamp,
    /// End of trading at the latest; sports close days earlier in practice.
    pub close_time: Timestamp,
    /// When the outcome is expected.
    pub expected_end: Option<Timestamp>,
    /// Start of the game, where known.
    pub occurs_at: Option<Timestamp>,
    pub prices: Vec<PriceBand>,
    pub exchange_shard: ExchangeShard,
    pub settlement_timer_seconds: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventReport {
    pub ticker: EventTicker,
    pub series: SeriesTicker,
    pub title: String,
    pub sub_title: String,
    pub mutually_exclusive: bool,
    /// Beats the series' rule.
    pub fee: Option<FeeRule>,
    pub exchange_shard: ExchangeShard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesReport {
    pub ticker: SeriesTicker,
    pub title: String,
    /// The exchange's own word.
    pub category: String,
    pub tags: Vec<String>,
    pub fee: FeeRule,
}

/// Taker fee: `numerator` millionths × count × price × (1 − price) dollars, when quadratic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeRule {
    Quadratic {
        millionths: i64,
    },
    /// A schedule we cannot compute: such markets are not offered.
    Unsupported,
}

/// Which markets to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MarketQuery {
    /// Open for trading.
    #[default]
    Open,
    /// Paid since.
    SettledSince(Timestamp),
    /// Exactly these, in any state.
    Tickers(Vec<MarketTicker>),
}

/// The best prices of a book, from YES's point of view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookTop {
    pub yes_bid: Option<(Price, Count)>,
    pub yes_ask: Option<(Price, Count)>,
}
