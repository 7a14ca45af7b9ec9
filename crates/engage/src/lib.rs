//! What to say to a member next: features folded from the log, a pure policy, decisions with their odds.
//!
//! Invariants
//! - Each purchase is decided once, in the transaction that moves the consumer's position (E1).
//! - A market or an offer reaches a notice or a card only with the gate's permit of that moment (S4), which it uses up.
//!   The gate is asked before anything is drawn: whoever may not be prompted to stake draws from the offers of shops.
//! - A decision replays exactly from its model, the log and its seed; its propensity is what the choice really had.
//! - No harm sign and no count of stakes is told to a model, and no stake is a reward. Harm wins over engagement, in the gate, before anything is said.

pub mod answers;
mod consume;
pub mod decide;
mod export;
pub mod features;
mod learn;
mod prompt;
mod replay;
mod shadow;
mod store;
mod surroundings;
mod today;
pub mod told;

pub use consume::{Engage, StepReport};
pub use decide::{Allowed, Candidate, Decision, MarketCandidate, OfferCandidate, Situation, decide};
pub use export::export;
pub use features::Features;
pub use learn::{Learner, Model, ModelError};
pub use prompt::{OpenedNotice, OpenedPrompt, Recommendation};
pub use replay::{Replayed, replay};
pub use shadow::{Beside, shadow, told_between};
pub use store::decisions_since;
pub use surroundings::{NoMarkets, Surroundings, SurroundingsError};
pub use today::Today;

use hunch_log::positions::AdvanceError;
use hunch_messaging::MessagingError;

#[derive(Debug, thiserror::Error)]
pub enum EngageError {
    #[error("shard {0} does not exist")]
    UnknownShard(hunch_kernel::Shard),
    #[error("another process has taken this shard over")]
    Fenced,
    #[error("a prompt was overtaken: {0}")]
    Overtaken(hunch_safeguards::Denial),
    #[error("a notice's permit was given for someone or something else")]
    ForeignPermit,
    #[error("the log could not be read")]
    Log(#[from] hunch_log::LogError),
    #[error("merchants and offers could not be read")]
    Loyalty(#[from] hunch_loyalty::LoyaltyError),
    #[error("the market could not be read")]
    Surroundings(#[source] SurroundingsError),
    #[error("the export could not be written")]
    Export(#[source] std::io::Error),
    #[error("engage storage failed")]
    Storage(#[from] sqlx::Error),
}

impl From<AdvanceError> for EngageError {
    fn from(error: AdvanceError) -> EngageError {
        match error {
            AdvanceError::Fenced => EngageError::Fenced,
            AdvanceError::Storage(error) => EngageError::Storage(error),
        }
    }
}

impl From<MessagingError> for EngageError {
    fn from(error: MessagingError) -> EngageError {
        match error {
            MessagingError::Overtaken(denial) => EngageError::Overtaken(denial),
            MessagingError::Foreign => EngageError::ForeignPermit,
            MessagingError::Storage(error) => EngageError::Storage(error),
        }
    }
}
