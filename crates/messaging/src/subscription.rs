//! Push subscriptions: one per device, several per member.

use hunch_kernel::{DeviceId, MemberId, SharedEntropy, SubscriptionId, WallTime};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::push::{Endpoint, EndpointError, EndpointRules, SealError, UserAgentKeys};
use crate::store;

/// Devices of one member that may be pushed to; the oldest makes room.
pub(crate) const SUBSCRIPTIONS_MAX: i64 = 10;

/// What a browser's `PushSubscription` says, decoded from base64url.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    pub member: MemberId,
    pub device: DeviceId,
    pub endpoint: String,
    pub p256dh: Vec<u8>,
    pub auth: Vec<u8>,
    /// The session in which the phone asks; the subscription ends with it.
    pub session: Option<SessionOf>,
}

/// What messaging knows of a session: the digest of its token, and when it ends at the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOf {
    pub sha256: Vec<u8>,
    pub ends_at: WallTime,
}

#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    #[error("the endpoint cannot be used")]
    Endpoint(#[source] EndpointError),
    #[error("the keys cannot be used")]
    Keys(#[source] SealError),
    #[error("messaging storage failed")]
    Storage(#[from] sqlx::Error),
}

/// Stores a subscription. The same device or endpoint again replaces what was there, also when the
/// device changed hands: a phone never shows the notices of who used it before.
///
/// # Errors
/// `Endpoint` or `Keys` when nothing could ever be sent there.
pub async fn subscribe(
    pool: &PgPool,
    entropy: &SharedEntropy,
    rules: EndpointRules,
    new: &NewSubscription,
    now: Timestamp,
) -> Result<SubscriptionId, SubscribeError> {
    let endpoint = Endpoint::parse(&new.endpoint, rules).map_err(SubscribeError::Endpoint)?;
    let keys = UserAgentKeys::new(&new.p256dh, &new.auth).map_err(SubscribeError::Keys)?;
    keys.prove().map_err(SubscribeError::Keys)?;
    let id = SubscriptionId(entropy.uuid());
    Ok(store::replace_subscription(pool, id, new, &endpoint, &keys, now).await?)
}

/// Takes a member's subscription back. False when the member has no such subscription.
///
/// # Errors
/// When the database fails.
pub async fn unsubscribe(pool: &PgPool, member: MemberId, id: SubscriptionId) -> Result<bool, SubscribeError> {
    Ok(store::delete_subscription(pool, member, id).await?)
}

/// Ends what was subscribed in a session of this member, and what was subscribed before sessions were kept. Safe to
/// repeat.
///
/// # Errors
/// When the database fails.
pub async fn end_with_session(pool: &PgPool, member: MemberId, session_sha256: &[u8]) -> Result<u64, SubscribeError> {
    Ok(store::delete_of_session(pool, member, session_sha256).await?)
}

/// Ends everything that is pushed to a member. Safe to repeat.
///
/// # Errors
/// When the database fails.
pub async fn end_all(pool: &PgPool, member: MemberId) -> Result<u64, SubscribeError> {
    Ok(store::delete_all(pool, member).await?)
}

/// As [`end_all`], from a moment on: what is said until then still arrives.
///
/// # Errors
/// When the database fails.
pub async fn end_all_by(conn: &mut PgConnection, member: MemberId, until: WallTime) -> Result<(), SubscribeError> {
    Ok(store::end_all_by(conn, member, until).await?)
}

/// A member's subscriptions and their devices, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn subscriptions(pool: &PgPool, member: MemberId) -> Result<Vec<(SubscriptionId, DeviceId)>, SubscribeError> {
    Ok(store::subscriptions(pool, member).await?)
}
