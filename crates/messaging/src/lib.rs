//! What members are told: notices in the inbox, Web Push to their devices, what was sent and why not.
//!
//! Invariants
//! - Every notice stands in the inbox, whether or not a push was wanted, possible or allowed.
//! - A push carries the receipt sentence and the notice's id, never a token, a balance or a prompt. The
//!   prompt is fetched, and judged again then, because between push and opening a standing may change.
//! - No prompt leaves without a permit of the gate, re-read just before the socket (S1, S4).
//! - A delivery is marked before the socket and resolved after it; a repeat replaces the first by topic.
//! - Whatever was withheld has a row that says why.

pub mod copy;
mod gate;
mod notice;
pub mod push;
mod sender;
mod store;
mod subscription;
mod why;

pub use gate::{PromptGate, PromptSitting, Withheld};
pub use notice::{
    Cause, InboxEntry, NewNotice, Notice, PromptState, Wanted, inbox, mark_fetched, notice, notice_id, write_notices,
};
pub use notice::{WithheldPrompt, withdraw_prompts};
pub use notice::{open_prompt_categories, withhold_at_fetch};
pub use sender::{SendReport, Sender, SenderLimits};
pub use subscription::{
    NewSubscription, SessionOf, SubscribeError, end_with_session, subscribe, subscriptions, unsubscribe,
};
pub use why::{PushCounts, PushTruth, push_counts, why_no_push};

#[derive(Debug, thiserror::Error)]
pub enum MessagingError {
    #[error("messaging storage failed")]
    Storage(#[from] sqlx::Error),
}
