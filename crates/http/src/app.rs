//! What the routes work with. Built by the executable.

use hunch_engage::{Engage, Surroundings};
use hunch_kernel::{Clocks, SharedEntropy};
use hunch_ledger::{Door, Trouble};
use hunch_log::Tail;
use hunch_loyalty::{Directory, Purchases, ReturnHandler, ReviewHandler, TerminalSessions};
use hunch_markets::Markets;
use hunch_messaging::push::EndpointRules;
use hunch_operators::Proposals;
use hunch_people::People;
use hunch_safeguards::{Safeguards, StandingHandler};
use hunch_trading::Trading;
use sqlx::PgPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

use crate::credentials::OperatorKey;
use crate::rate_limits::RateLimits;
use crate::routes::webhook::WebhookKey;
use crate::tickets::TicketKey;

pub struct App {
    pub pool: PgPool,
    pub clocks: Clocks,
    pub entropy: SharedEntropy,
    pub people: People,
    pub directory: Directory,
    pub purchases: Purchases,
    pub returns: Door<ReturnHandler>,
    pub reviews: Door<ReviewHandler>,
    pub terminal_sessions: TerminalSessions,
    pub safeguards: Safeguards,
    pub standing: Door<StandingHandler>,
    pub engage: Arc<Engage<Safeguards, Arc<dyn Surroundings>>>,
    pub markets: Arc<Markets>,
    pub trading: Arc<Trading>,
    pub push: PushTerms,
    /// Wakes live streams.
    pub tail: Tail,
    /// The people who run the programme, each with a token of their own.
    pub operators: Vec<OperatorKey>,
    /// For those who only look.
    pub tickets: TicketKey,
    /// What waits for a second one of them.
    pub proposals: Proposals,
    /// The most points of one purchase that one of them may let an earn rule or an offer give.
    pub rule_points_alone: i64,
    /// Purchases and returns in hand at once, at most.
    pub tills_max: usize,
    pub limits: RateLimits,
    /// Signs calls of the settlement webhook.
    pub webhook: WebhookKey,
    pub readiness: Readiness,
    /// Whether purchases can be stored.
    pub trouble: Trouble,
    /// Cancelled when the process stops: ends live streams, which would never end by themselves.
    pub closing: CancellationToken,
    /// Prometheus text of everything measured.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// What phones need to subscribe to pushes.
#[derive(Clone)]
pub struct PushTerms {
    pub rules: EndpointRules,
    /// The page's `applicationServerKey`.
    pub public_key: String,
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
