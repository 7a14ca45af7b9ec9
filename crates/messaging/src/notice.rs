//! Notices: one per member and cause, for ever.

use hunch_kernel::{MemberId, NoticeId, WallTime, derived_uuid};
use hunch_safeguards::{OfferPermit, PromptPermit, Surface, give_prompts};
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
    /// A decision about a purchase whose points waited.
    Review(Uuid),
    /// Somebody was let in again as this member.
    Recovery(Uuid),
}

impl Cause {
    pub fn kind(self) -> &'static str {
        match self {
            Cause::Purchase(_) => "purchase",
            Cause::Return(_) => "return",
            Cause::Stake(_) => "stake",
            Cause::Settlement(_) => "settlement",
            Cause::Review(_) => "review",
            Cause::Recovery(_) => "recovery",
        }
    }

    pub fn id(self) -> Uuid {
        match self {
            Cause::Purchase(id)
            | Cause::Return(id)
            | Cause::Stake(id)
            | Cause::Settlement(id)
            | Cause::Review(id)
            | Cause::Recovery(id) => id,
        }
    }
}

/// The notice that belongs to this member and cause, whether it exists or not.
pub fn notice_id(member: MemberId, cause: Cause) -> NoticeId {
    NoticeId(derived_uuid(&[b"notice", member.0.as_bytes(), cause.kind().as_bytes(), cause.id().as_bytes()]))
}

/// What was decided to say besides the receipt. A suggestion is added to a receipt; it needs the permit of its kind, which
/// writing the notice uses up.
///
/// ```compile_fail,E0063
/// # use hunch_messaging::Wanted;
/// fn market(ticker: String, title: String, until: jiff::Timestamp) -> Wanted {
///     Wanted::Market { ticker, title, until }
/// }
/// ```
/// With a permit it is right:
/// ```
/// # use hunch_messaging::Wanted;
/// fn market(ticker: String, title: String, until: jiff::Timestamp, permit: hunch_safeguards::PromptPermit) -> Wanted {
///     Wanted::Market { ticker, title, until, permit }
/// }
/// ```
#[derive(Debug)]
pub enum Wanted {
    /// Inbox only. `reason` is a stable code, such as `shown_in_app`.
    Nothing { reason: String },
    /// A push with the receipt. `alone` is a stable code that says why nothing stands beside it, if that is to be known.
    Receipt { alone: Option<String> },
    /// A push with the receipt and an offer of a shop, which ends at `until` (business time).
    Offer { permit: OfferPermit, offer: Uuid, title: String, until: Timestamp },
    /// A push with the receipt and a market, which ends at `until` (business time). The sender asks the gate again.
    Market { permit: PromptPermit, ticker: String, title: String, until: Timestamp },
}

/// A notice to be written with its decision.
#[derive(Debug)]
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

impl NewNotice {
    /// Whether its permit was given for this member and cause.
    fn is_permitted(&self) -> bool {
        match &self.wanted {
            Wanted::Nothing { .. } | Wanted::Receipt { .. } => true,
            Wanted::Offer { permit, .. } => permit.member() == self.member,
            Wanted::Market { permit, .. } => permit.member() == self.member && permit.cause() == self.cause.id(),
        }
    }

    fn into_prompt(self) -> Option<PromptPermit> {
        match self.wanted {
            Wanted::Market { permit, .. } => Some(permit),
            Wanted::Nothing { .. } | Wanted::Receipt { .. } | Wanted::Offer { .. } => None,
        }
    }
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
    /// Business time at which the suggestion ends; None: with the notice.
    pub prompt_until: Option<Timestamp>,
    pub expires_at: Timestamp,
    pub made_at: Timestamp,
    /// When a device first asked for it.
    pub fetched_at: Option<Timestamp>,
    /// When the member first opened it.
    pub opened_at: Option<Timestamp>,
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

/// Writes notices and one delivery for each subscription of their members, in the caller's transaction, and uses up the
/// permits: prompts count from then on. A cause that already has its notice is left as it is. Returns how many were new.
///
/// # Errors
/// Any error rules out the transaction's commit. `Overtaken` when what a permit was given by has changed meanwhile:
/// decide anew. `Foreign` for a permit of someone or something else.
pub async fn write_notices(
    conn: &mut PgConnection,
    notices: Vec<NewNotice>,
    now: Timestamp,
    wall: WallTime,
) -> Result<u64, MessagingError> {
    if notices.is_empty() {
        return Ok(0);
    }
    if !notices.iter().all(NewNotice::is_permitted) {
        return Err(MessagingError::Foreign);
    }
    let written = store::insert_notices(conn, &notices, now, wall).await?;
    let permits = notices.into_iter().filter_map(NewNotice::into_prompt).collect();
    give_prompts(conn, permits, Surface::Push, now).await?;
    Ok(written)
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

/// A suggestion that a member can still look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPrompt {
    pub notice: NoticeId,
    /// Purchase, order or position.
    pub cause: Uuid,
    /// Of the market; None for an offer of a shop.
    pub category: Option<String>,
}

/// A member's open suggestions: what must be judged again when the standing changes.
///
/// # Errors
/// When the database fails.
pub async fn open_prompts(pool: &PgPool, member: MemberId, now: Timestamp) -> Result<Vec<OpenPrompt>, MessagingError> {
    Ok(store::open_prompts(pool, member, now).await?)
}

/// Takes a suggestion back from a member whose standing changed. What is still queued goes out as a receipt; what was
/// handed over is followed by a receipt with the same topic. False if it was taken back before.
///
/// # Errors
/// When the database fails.
pub async fn withdraw_prompt(
    conn: &mut PgConnection,
    notice: NoticeId,
    reason: &str,
    now: Timestamp,
    wall: WallTime,
) -> Result<bool, MessagingError> {
    Ok(store::withdraw_prompt(conn, notice, reason, now, wall).await?)
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
