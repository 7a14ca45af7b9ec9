//! What members are told: notices in the inbox, Web Push to their devices, what was sent and why not.
//!
//! Invariants
//! - Every notice stands in the inbox, whether or not a push was wanted, possible or allowed.
//! - A push is a receipt. A suggestion is added to it and never a condition of it: when it ends, is refused or taken back,
//!   the receipt goes on.
//! - A push carries the receipt sentence and the notice's id, never a token, a balance or a prompt. The
//!   prompt is fetched, and judged again then, because between push and opening a standing may change.
//! - No prompt and no offer leaves without a permit of the gate, re-read just before the socket (S1, S4).
//! - A delivery is marked before the socket and resolved after it; a repeat replaces the first by topic.
//! - Whatever was withheld has a row that says why.

pub mod copy;
mod gate;
mod notice;
mod opened;
pub mod push;
mod sender;
mod store;
mod subscription;
mod why;

pub use gate::{PromptGate, PromptSitting, Withheld, is_denial};
pub use notice::{
    Cause, InboxEntry, NewNotice, Notice, OpenPrompt, PromptState, Wanted, inbox, mark_fetched, notice, notice_id,
    open_prompts, withdraw_prompt, withhold_at_fetch, write_notices,
};
pub use opened::{OpenedHandler, OpenedRequest};
pub use sender::{SendReport, Sender, SenderLimits};
pub use subscription::{
    NewSubscription, SessionOf, SubscribeError, end_all, end_all_by, end_with_session, subscribe, subscriptions,
    unsubscribe,
};
pub use why::{PushCounts, PushTruth, push_counts, why_no_push};

use hunch_safeguards::{Denial, GiveError};

#[derive(Debug, thiserror::Error)]
pub enum MessagingError {
    #[error("a prompt was overtaken: {0}")]
    Overtaken(Denial),
    #[error("a notice's permit was given for someone or something else")]
    Foreign,
    #[error("messaging storage failed")]
    Storage(#[from] sqlx::Error),
}

impl From<GiveError> for MessagingError {
    fn from(error: GiveError) -> MessagingError {
        match error {
            GiveError::Overtaken(denial) => MessagingError::Overtaken(denial),
            GiveError::Storage(error) => MessagingError::Storage(error),
        }
    }
}
