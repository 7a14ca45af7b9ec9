//! Notices: one per member and cause, for ever.

use hunch_kernel::{MemberId, NoticeId, WallTime, derived_uuid};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::why::PushTruth;
use crate::{MessagingError, store};

/// What made us say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    Purchase(Uuid),
    Return(Uuid),
    Stake(Uuid),
    Settlement(Uuid),
}

impl Cause {
    pub fn kind(self) -> &'static str {
        match self {
            Cause::Purchase(_) => "purchase",
            Cause::Return(_) => "return",
            Cause::Stake(_) => "stake",
            Cause::Settlement(_) => "settlement",
        }
    }

    pub fn id(self) -> Uuid {
        match self {
            Cause::Purchase(id) | Cause::Return(id) | Cause::Stake(id) | Cause::Settlement(id) => id,
        }
    }
}

/// The notice that belongs to this member and cause, whether it exists or not.
pub fn notice_id(member: MemberId, cause: Cause) -> NoticeId {
    NoticeId(derived_uuid(&[b"notice", member.0.as_bytes(), cause.kind().as_bytes(), cause.id().as_bytes()]))
}

/// What was decided to say besides the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Inbox only. `reason` is a stable code, such as `nothing_better`.
    Nothing {
        reason: String,
    },
    /// A push with the receipt. `withheld` is set when a prompt was chosen and not allowed.
    Receipt {
        withheld: Option<WithheldPrompt>,
    },
    Offer {
        offer: Uuid,
        title: String,
    },
    /// Only for members whom the gate has just permitted; the sender asks again.
    Market {
        ticker: String,
        category: String,
        title: String,
    },
}

/// A prompt that the gate refused when it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithheldPrompt {
    pub reason: String,
}

/// A notice to be written with its decision.
#[derive(Clone, Debug)]
pub struct NewNotice {
    pub member: MemberId,
    pub cause: Cause,
    /// The receipt sentence, from [`crate::copy`].
    pub body: String,
    pub wanted: Wanted,
    /// Business time after which it is not handed over any more.
    pub expires_at: Timestamp,
    /// When the cause reached us: where latency figures begin.
    pub caused_wall: WallTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptState {
    None,
    Open,
    Withheld,
}

/// A stored notice. Show `prompt_*` only to its member, and only with a fresh permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub id: NoticeId,
    pub member: MemberId,
    pub cause_kind: String,
    pub cause: Uuid,
    pub body: String,
    /// nothing, receipt, offer or market.
    pub wanted: String,
    pub prompt_state: PromptState,
    pub prompt_ref: Option<String>,
    pub prompt_title: Option<String>,
    pub category: Option<String>,
    pub reason: Option<String>,
    pub expires_at: Timestamp,
    pub made_at: Timestamp,
    pub fetched_at: Option<Timestamp>,
}

/// A line of the inbox. It carries no prompt: whoever opens it asks for the notice, and is judged then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    pub id: NoticeId,
    pub cause_kind: String,
    pub cause: Uuid,
    pub body: String,
    /// There was something to look at, and it may still be there.
    pub has_more: bool,
    pub made_at: Timestamp,
    pub expires_at: Timestamp,
    pub push: PushTruth,
}

/// Writes notices and one delivery for each subscription of their members, in the caller's transaction.
/// A cause that already has its notice is left as it is. Returns how many were new.
///
/// # Errors
/// When the database fails.
pub async fn write_notices(
    conn: &mut PgConnection,
    notices: &[NewNotice],
    now: Timestamp,
    wall: WallTime,
) -> Result<u64, MessagingError> {
    if notices.is_empty() {
        return Ok(0);
    }
    Ok(store::insert_notices(conn, notices, now, wall).await?)
}

/// The notice, if it is this member's.
///
/// # Errors
/// When the database fails.
pub async fn notice(pool: &PgPool, member: MemberId, id: NoticeId) -> Result<Option<Notice>, MessagingError> {
    Ok(store::notice(pool, member, id).await?)
}

/// Newest first, `limit` entries made before `before` (time and id of the last entry of the page before).
///
/// # Errors
/// When the database fails.
pub async fn inbox(
    pool: &PgPool,
    member: MemberId,
    before: Option<(Timestamp, NoticeId)>,
    limit: i64,
) -> Result<Vec<InboxEntry>, MessagingError> {
    Ok(store::inbox(pool, member, before, limit.clamp(1, 200)).await?)
}

/// Notes that a device asked for the notice, which is how we know it was shown. The first time counts.
///
/// # Errors
/// When the database fails.
pub async fn mark_fetched(pool: &PgPool, id: NoticeId, now: Timestamp) -> Result<(), MessagingError> {
    Ok(store::mark_fetched(pool, id, now).await?)
}

/// Takes every open prompt about a market back from a member whose standing changed. Those still
/// queued go out as receipts; those handed over are followed by a receipt with the same topic.
/// Returns how many notices changed.
///
/// # Errors
/// When the database fails.
pub async fn withdraw_prompts(
    conn: &mut PgConnection,
    member: MemberId,
    reason: &str,
    now: Timestamp,
    wall: WallTime,
) -> Result<u64, MessagingError> {
    Ok(store::withdraw_prompts(conn, member, reason, now, wall).await?)
}

/// The market categories of a member's open prompts: what must be judged again when the standing changes.
///
/// # Errors
/// When the database fails.
pub async fn open_prompt_categories(
    pool: &PgPool,
    member: MemberId,
    now: Timestamp,
) -> Result<Vec<String>, MessagingError> {
    Ok(store::open_prompt_categories(pool, member, now).await?)
}

/// Takes a prompt back that its device asked for and was not allowed to have.
///
/// # Errors
/// When the database fails.
pub async fn withhold_at_fetch(
    pool: &PgPool,
    notice: &Notice,
    reason: &str,
    now: Timestamp,
) -> Result<(), MessagingError> {
    Ok(store::withhold_at_fetch(pool, notice, reason, now).await?)
}
