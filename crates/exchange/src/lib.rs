//! What Hunch needs of an exchange, in our words. No wire, no JSON, no exchange's names.
//!
//! An order can always have taken effect without our knowing. So submitting has no error: it has outcomes that
//! say what may be done next, and *unknown* is one of them.

mod hours;
mod market;
mod order;
mod portfolio;
mod stream;

pub use hours::{ExchangeStatus, Session, ShardStatus, TradingSchedule, TradingWeek};
pub use market::{
    BookTop, EventReport, FeeRule, MarketQuery, MarketReport, MarketResult, MarketStatus, PriceBand, SeriesReport,
};
pub use order::{NewOrder, OrderReport, RefusalClass, SentAt, SubmitOutcome, Turn};
pub use portfolio::{CashReport, ExchangePosition, FillReport, SettlementReport};
pub use stream::{ExchangeStream, LifecycleKind, StreamEvent};

use async_trait::async_trait;
use hunch_kernel::{EventTicker, MarketTicker, WallTime};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// Part of an exchange where cash must lie for its markets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeShard(pub i16);

/// One page of a list; `next` is `None` on the last.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
    /// Names of the elements that were not understood, as far as they can be named. They are there: whoever draws a
    /// conclusion from an element's absence must look here first.
    pub left_out: Vec<String>,
}

/// An element of one of the exchange's lists that is not understood, for as long as the exchange sends it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// markets, events, series, fills, positions, settlements or orders.
    pub list: &'static str,
    pub name: String,
    /// Which field, and what is wrong with it.
    pub reason: String,
    pub since: WallTime,
}

/// Why a read failed. Reads change nothing, so any of them may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("the exchange could not be reached: {0}")]
    Unreachable(String),
    #[error("the exchange asks us to slow down")]
    RateLimited,
    #[error("the exchange does not accept our key: {0}")]
    Auth(String),
    #[error("the exchange refused the request: {0}")]
    Refused(String),
    #[error("the exchange's answer is not what it documents: {0}")]
    Malformed(String),
}

/// No request waits longer for its answer. What an exchange has not taken by then and a little, it never takes.
pub const ANSWER_MAX: SignedDuration = SignedDuration::from_secs(10);

#[async_trait]
pub trait Exchange: Send + Sync + 'static {
    /// Reads how much the operator's account may ask a second, and keeps to that from now on. Before it is known the
    /// least is taken.
    async fn learn_limits(&self) -> Result<(), ExchangeError>;

    /// Waits until one more order may be sent. `None`: that would take too long, and nothing happened.
    async fn turn(&self) -> Option<Turn>;

    /// Sends one immediate-or-cancel order, at once. Never repeats by itself.
    async fn submit(&self, order: &NewOrder, turn: Turn) -> SubmitOutcome;

    /// Takes what rests of an order of ours out of the book. Also `Ok` when nothing of it rests any more.
    async fn cancel(&self, exchange_order_id: &str, ticker: &MarketTicker) -> Result<(), ExchangeError>;

    /// Looks for an order of ours by its client order id among those of `ticker` that were not sent before `sent`.
    /// `None` says only that the exchange's reads do not show it, see [`Exchange::data_as_of`]. An order that might be
    /// it and cannot be read is an error, not an absence.
    async fn find_order(
        &self,
        client_order_id: Uuid,
        ticker: &MarketTicker,
        sent: SentAt,
    ) -> Result<Option<OrderReport>, ExchangeError>;

    /// Up to when the exchange's reads of our account are complete, by the exchange's own clock.
    async fn data_as_of(&self) -> Result<Timestamp, ExchangeError>;

    async fn market(&self, ticker: &MarketTicker) -> Result<Option<MarketReport>, ExchangeError>;
    async fn markets(&self, query: &MarketQuery, cursor: Option<&str>) -> Result<Page<MarketReport>, ExchangeError>;
    async fn event(&self, ticker: &EventTicker) -> Result<Option<EventReport>, ExchangeError>;
    async fn series(&self) -> Result<Vec<SeriesReport>, ExchangeError>;
    async fn book_top(&self, ticker: &MarketTicker) -> Result<BookTop, ExchangeError>;

    async fn status(&self) -> Result<ExchangeStatus, ExchangeError>;
    async fn schedule(&self) -> Result<TradingSchedule, ExchangeError>;
    async fn cash(&self) -> Result<Vec<CashReport>, ExchangeError>;
    async fn positions(&self, cursor: Option<&str>) -> Result<Page<ExchangePosition>, ExchangeError>;
    async fn fills(&self, since: Timestamp, cursor: Option<&str>) -> Result<Page<FillReport>, ExchangeError>;
    async fn settlements(
        &self,
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<SettlementReport>, ExchangeError>;

    /// What was left out of the exchange's lists lately, and why.
    fn left_out(&self) -> Vec<LeftOut>;

    /// Opens a live stream of lifecycle and own fills. One stream is one connection: after `Closed` open another,
    /// and read again whatever must not be missed.
    async fn stream(&self) -> Result<Box<dyn ExchangeStream>, ExchangeError>;
}
