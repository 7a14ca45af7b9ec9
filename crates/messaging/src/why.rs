//! What became of the push of a notice: answered for every purchase, also when there was none.

use hunch_kernel::WallTime;
use sqlx::PgPool;
use uuid::Uuid;

use crate::gate::is_denial;
use crate::{MessagingError, store};

/// The truth about a push, as inbox and operator see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushTruth {
    /// The purchase has no decision yet.
    NotDecided,
    /// It stands in the inbox alone. The code says why.
    NothingBetter { reason: String },
    /// The member had no device to push to.
    NoSubscription,
    /// Waiting for its turn, or for a push service.
    Waiting { attempts: i32 },
    /// Handed over to this many devices. `withheld` says why the gate kept the suggestion out of it.
    Sent { devices: i64, withheld: Option<String> },
    /// Not in time: what it was about had ended, or the push service did not answer until then.
    Expired,
    /// Every device had gone.
    Gone,
    /// A push service refused it.
    Refused { status: Option<i32> },
}

impl PushTruth {
    /// Stable code for counters and answers.
    pub fn code(&self) -> &'static str {
        match self {
            PushTruth::NotDecided => "not_decided",
            PushTruth::NothingBetter { .. } => "nothing_better",
            PushTruth::NoSubscription => "no_subscription",
            PushTruth::Waiting { .. } => "waiting",
            PushTruth::Sent { withheld: None, .. } => "sent",
            PushTruth::Sent { withheld: Some(_), .. } => "prompt_withheld",
            PushTruth::Expired => "expired",
            PushTruth::Gone => "gone",
            PushTruth::Refused { .. } => "refused",
        }
    }
}

/// A notice and the sums over its deliveries.
pub(crate) struct Facts {
    pub wanted: String,
    pub reason: Option<String>,
    pub deliveries: i64,
    pub accepted: i64,
    pub waiting: i64,
    pub expired: i64,
    pub refused: i64,
    pub attempts: Option<i32>,
    pub status: Option<i32>,
}

pub(crate) fn truth(facts: Facts) -> PushTruth {
    let reason = || facts.reason.clone().unwrap_or_default();
    let withheld = || facts.reason.clone().filter(|reason| is_denial(reason));
    match facts {
        Facts { ref wanted, .. } if wanted == "nothing" => PushTruth::NothingBetter { reason: reason() },
        Facts { deliveries: 0, .. } => PushTruth::NoSubscription,
        Facts { accepted: 1.., .. } => PushTruth::Sent { devices: facts.accepted, withheld: withheld() },
        Facts { waiting: 1.., .. } => PushTruth::Waiting { attempts: facts.attempts.unwrap_or(0) },
        Facts { expired: 1.., .. } => PushTruth::Expired,
        Facts { refused: 1.., .. } => PushTruth::Refused { status: facts.status },
        _ => PushTruth::Gone,
    }
}

/// Why there was no push for this purchase, or that there was one.
///
/// # Errors
/// When the database fails.
pub async fn why_no_push(pool: &PgPool, purchase: Uuid) -> Result<PushTruth, MessagingError> {
    Ok(store::facts_of_purchase(pool, purchase).await?.map_or(PushTruth::NotDecided, truth))
}

/// Sums over everything since a time, for summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushCounts {
    /// Pushes that services accepted, replacements included.
    pub accepted: i64,
    /// Notices that the gate let no suggestion stand in, or whose suggestion it took back, by reason.
    pub withheld: Vec<(String, i64)>,
    /// Deliveries about purchases that were accepted, and how long after the till's request.
    pub purchases: i64,
    pub p50_ms: i64,
    pub p95_ms: i64,
    pub p99_ms: i64,
}

/// # Errors
/// When the database fails.
pub async fn push_counts(pool: &PgPool, since_wall: WallTime) -> Result<PushCounts, MessagingError> {
    Ok(store::push_counts(pool, since_wall).await?)
}
