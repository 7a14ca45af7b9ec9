//! The exchange's markets as we last saw them: which may be staked on today, and how each ended.
//!
//! Invariants
//! - Whatever the source (socket, poll, webhook hint), a market changes through [`state::step`] alone; hearing the
//!   same thing again changes nothing.
//! - A result is paid only once it is final; until then every word of the exchange is kept as a revision.
//! - A final result never changes here. What contradicts it is an alarm for the operator, not an update.
//! - Nothing here parses a ticker for meaning.

mod cache;
mod category;
mod listen;
mod market;
mod observe;
mod state;
mod store;
mod sync;

pub use category::{Kind, KindRule};
pub use listen::Listener;
pub use market::{Market, day_ends, ends_at, ends_today, result_word, status_word};
pub use observe::{Observed, Seen};
pub use state::{Known, Step, step};
pub use store::{Final, amended_since, final_of, finals, watch};
pub use sync::SyncReport;

use hunch_db::MemoryCopy;
use hunch_exchange::{Exchange, ExchangeError};
use hunch_kernel::{Clocks, MarketTicker, WallTime, lock};
use hunch_log::{CommitError, LogError, Tail};
use jiff::SignedDuration;
use sqlx::PgPool;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

#[derive(Debug, thiserror::Error)]
pub enum MarketsError {
    #[error("the exchange could not be read")]
    Exchange(#[from] ExchangeError),
    #[error("market storage failed")]
    Storage(#[from] sqlx::Error),
    #[error("market log failed")]
    Log(#[from] LogError),
    #[error("a change of markets could not be committed")]
    Commit(#[from] CommitError),
}

/// The programme's view of the exchange's markets. Cheap to share behind an `Arc`.
pub struct Markets {
    pool: PgPool,
    exchange: Arc<dyn Exchange>,
    clocks: Clocks,
    tail: Tail,
    cache: MemoryCopy<cache::Shown>,
    hints: sync::Hints,
    progress: sync::Progress,
    unknown: sync::Unknown,
    /// When the list of markets was last read, and understood at least in part.
    last_read: Mutex<Option<WallTime>>,
    begun: WallTime,
    bell: Notify,
}

impl Markets {
    pub fn new(pool: PgPool, exchange: Arc<dyn Exchange>, clocks: Clocks, tail: Tail) -> Markets {
        let begun = clocks.wall.now();
        Markets {
            pool,
            exchange,
            clocks,
            tail,
            cache: MemoryCopy::default(),
            hints: sync::Hints::default(),
            progress: sync::Progress::default(),
            unknown: sync::Unknown::default(),
            last_read: Mutex::default(),
            begun,
            bell: Notify::new(),
        }
    }

    pub fn exchange(&self) -> &Arc<dyn Exchange> {
        &self.exchange
    }

    /// For how long the list of markets could not be read, or nothing of it understood.
    pub fn unread_for(&self) -> SignedDuration {
        let since = lock(&self.last_read).unwrap_or(self.begun);
        self.clocks.wall.now().duration_since(since).max(SignedDuration::ZERO)
    }

    /// Somebody says that something happened to this market. It is looked up soon; nothing is believed.
    pub fn hint(&self, ticker: &MarketTicker) {
        self.hints.add(ticker.clone(), self.clocks.wall.now());
        self.bell.notify_one();
    }

    /// Returns when a hint waits.
    pub async fn hinted(&self) {
        self.bell.notified().await;
    }
}
