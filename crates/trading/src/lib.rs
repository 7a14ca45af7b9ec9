//! From a stake to a result: quotes, orders, fills, the member book, the hedge book, settlement.
//!
//! Invariants
//! - T1: a stake's hold is captured, released or open with an owner, exactly once.
//! - T2: the client order id is stored before the exchange hears of it, and each attempt has its own.
//! - T3: member book plus house is what the exchange shows, to 0.01 contract, save for orders on their way.
//! - T4: a position is paid once per determination, from our own book, never from the exchange's rows.
//! - T5: nobody pays more than the hold. What a fill costs beyond it is the house's.
//! - An order whose outcome is not known never ends by time alone: see [`resolve`](Trading::resolve_step).
//! - No order without a permit, and none is sent on a standing that has changed since.
//!
//! An order cannot be handed in without a permit:
//! ```compile_fail,E0063
//! fn unpermitted(order: hunch_kernel::OrderId, quote: hunch_trading::Quote) -> hunch_trading::StakeRequest {
//!     hunch_trading::StakeRequest { order, quote }
//! }
//! ```

mod correct;
mod dispatch;
mod doubt;
mod hint;
mod opening;
mod order;
mod outcome;
mod payout;
mod place;
mod position;
mod quote;
mod reconcile;
mod report;
mod resolve;
mod settle;
mod stake;
mod store;
mod switch;
mod tolerance;
mod tops;
mod unclear;
mod unpaid;

pub use correct::{Correction, CorrectionRefusal};
pub use hint::{Hint, HintTaken};
pub use opening::Openness;
pub use order::{Order, OrderState};
pub use outcome::{Fate, OutcomeHandler, OutcomeRequest, Resolved};
pub use payout::{PayoutHandler, PayoutRequest, PayoutsDone};
pub use place::{QuoteRefusal, StakeRefusal};
pub use position::{Holding, Position};
pub use quote::{Quote, points_text};
pub use reconcile::Reconciled;
pub use report::{LatencyFigures, OrderCounts, PaidMarket, TradingFigures};
pub use settle::Settled;
pub use stake::{StakeAnswer, StakeHandler, StakeRequest};
pub use switch::Switch;
pub use unclear::{EndRefusal, Finding};
pub use unpaid::Unpaid;

use hunch_exchange::{Exchange, ExchangeError};
use hunch_kernel::{Clocks, SharedEntropy, WallTime};
use hunch_ledger::{BatchError, Door, DoorError};
use hunch_markets::{Markets, MarketsError};
use hunch_safeguards::Safeguards;
use sqlx::PgPool;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

#[derive(Debug, thiserror::Error)]
pub enum TradingError {
    #[error("trading storage failed")]
    Storage(#[from] sqlx::Error),
    #[error("the exchange could not be read")]
    Exchange(#[from] ExchangeError),
    #[error("markets could not be read")]
    Markets(#[from] MarketsError),
    #[error("a batch did not take the request")]
    Door(#[from] DoorError),
    #[error("the books do not fit together: {0}")]
    Books(String),
}

impl From<TradingError> for BatchError {
    fn from(error: TradingError) -> BatchError {
        match error {
            TradingError::Storage(e) => BatchError::Storage(e),
            other => BatchError::Handler(other.to_string()),
        }
    }
}

/// The doors of trading's handlers, as the batcher gave them.
pub struct Doors {
    pub stakes: Door<StakeHandler>,
    pub outcomes: Door<OutcomeHandler>,
    pub payouts: Door<PayoutHandler>,
    pub corrections: Door<correct::CorrectionHandler>,
}

pub use correct::CorrectionHandler;

/// Everything that happens between a stake and its result. Steps are called by the programme's loops.
pub struct Trading {
    pool: PgPool,
    exchange: Arc<dyn Exchange>,
    markets: Arc<Markets>,
    safeguards: Safeguards,
    tops: tops::Tops,
    opening: opening::Opening,
    clocks: Clocks,
    entropy: SharedEntropy,
    shards: u16,
    doors: Doors,
    /// Rung when an order waits to be sent, looked up or paid.
    held: Notify,
    open: Notify,
    ended: Notify,
    /// When the last comparison with the exchange began.
    round_begun: Mutex<Option<WallTime>>,
    rung: unpaid::Rung,
}

impl Trading {
    pub fn new(
        pool: PgPool,
        markets: Arc<Markets>,
        safeguards: Safeguards,
        clocks: Clocks,
        entropy: SharedEntropy,
        shards: u16,
        doors: Doors,
    ) -> Trading {
        Trading {
            pool,
            exchange: markets.exchange().clone(),
            tops: tops::Tops::new(markets.exchange().clone(), clocks.wall.clone()),
            opening: opening::Opening::new(markets.exchange().clone(), clocks.wall.clone()),
            markets,
            safeguards,
            clocks,
            entropy,
            shards,
            doors,
            held: Notify::new(),
            open: Notify::new(),
            ended: Notify::new(),
            round_begun: Mutex::new(None),
            rung: unpaid::Rung::default(),
        }
    }

    /// Returns when an order waits to be sent.
    pub async fn order_waits(&self) {
        self.held.notified().await;
    }

    /// Returns when an order waits to be looked up.
    pub async fn lookup_waits(&self) {
        self.open.notified().await;
    }

    /// Returns when a market may have become final.
    pub async fn result_waits(&self) {
        self.ended.notified().await;
    }

    /// Tells the settlement that results were read.
    pub fn ring_results(&self) {
        self.ended.notify_one();
    }
}
