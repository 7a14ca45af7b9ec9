//! What the routes work with. Built by the executable.

use hunch_kernel::{Clocks, SharedEntropy};
use hunch_ledger::Door;
use hunch_loyalty::{Directory, Purchases, ReturnHandler, TerminalSessions};
use hunch_people::People;
use sqlx::PgPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::credentials::OperatorKey;

pub struct App {
    pub pool: PgPool,
    pub clocks: Clocks,
    pub entropy: SharedEntropy,
    pub people: People,
    pub directory: Directory,
    pub purchases: Purchases,
    pub returns: Door<ReturnHandler>,
    pub terminal_sessions: TerminalSessions,
    pub operator: OperatorKey,
    pub readiness: Readiness,
    /// Prometheus text of everything measured.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Whether this process should be sent requests. The executable turns it off before it stops.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    pub fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
