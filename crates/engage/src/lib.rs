//! What to say to a member next: features folded from the log, a pure policy, decisions with their odds.
//!
//! Invariants
//! - Each purchase is decided once, in the transaction that moves the consumer's position (E1).
//! - A market reaches a notice or a card only after the gate's permit of that moment (S4).
//! - A decision replays exactly from its seed; its propensity is what the choice really had.
//! - No harm sign is a feature. Harm wins over engagement, in the gate, before anything is said.

mod consume;
pub mod decide;
pub mod features;
mod prompt;
mod store;
mod surroundings;
mod today;

pub use consume::{Engage, StepReport};
pub use decide::{Candidate, Decision, MarketCandidate, OfferCandidate, Situation, decide};
pub use features::Features;
pub use prompt::{OpenedNotice, OpenedPrompt, Recommendation};
pub use store::decisions_since;
pub use surroundings::{NoMarkets, Surroundings, SurroundingsError};
pub use today::Today;

#[derive(Debug, thiserror::Error)]
pub enum EngageError {
    #[error("shard {0} does not exist")]
    UnknownShard(hunch_kernel::Shard),
    #[error("another process has taken this shard over")]
    Fenced,
    #[error("the log could not be read")]
    Log(#[source] hunch_log::LogError),
    #[error("merchants and offers could not be read")]
    Loyalty(#[source] hunch_loyalty::LoyaltyError),
    #[error("the market could not be read")]
    Surroundings(#[source] SurroundingsError),
    #[error("engage storage failed")]
    Storage(#[from] sqlx::Error),
}
