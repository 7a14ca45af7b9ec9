//! Permits: proof that someone was judged a moment ago. Not cloneable, not storable, made only here.

use hunch_kernel::{DeviceId, MemberId, OrderId, WallTime};
use jiff::SignedDuration;
use std::sync::OnceLock;

/// How long a permit lives, in wall time.
pub const PERMIT_SECONDS: i64 = 5;

/// May stake once, in this category, from this place.
#[derive(Debug)]
pub struct StakePermit {
    pub(crate) member: MemberId,
    pub(crate) category: String,
    pub(crate) jurisdiction: String,
    pub(crate) standing_version: i64,
    pub(crate) given_at: WallTime,
    /// The order it was charged for. A batch may run again, but never for another order.
    pub(crate) used_for: OnceLock<OrderId>,
}

/// May be prompted to stake once.
#[derive(Debug)]
pub struct PromptPermit {
    pub(crate) member: MemberId,
    pub(crate) device: Option<DeviceId>,
    pub(crate) standing_version: i64,
    pub(crate) given_at: WallTime,
}

impl StakePermit {
    pub fn member(&self) -> MemberId {
        self.member
    }

    pub fn category(&self) -> &str {
        &self.category
    }

    pub fn jurisdiction(&self) -> &str {
        &self.jurisdiction
    }

    pub fn standing_version(&self) -> i64 {
        self.standing_version
    }

    /// Until when it may be acted on.
    pub fn until(&self) -> WallTime {
        self.given_at + SignedDuration::from_secs(PERMIT_SECONDS)
    }

    pub(crate) fn expired(&self, wall: WallTime) -> bool {
        expired(self.given_at, wall)
    }

    /// False when another order used it before.
    pub(crate) fn use_for(&self, order: OrderId) -> bool {
        *self.used_for.get_or_init(|| order) == order
    }
}

impl PromptPermit {
    pub fn member(&self) -> MemberId {
        self.member
    }

    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    pub fn standing_version(&self) -> i64 {
        self.standing_version
    }

    pub(crate) fn expired(&self, wall: WallTime) -> bool {
        expired(self.given_at, wall)
    }
}

fn expired(given_at: WallTime, wall: WallTime) -> bool {
    let age = wall.duration_since(given_at);
    age > SignedDuration::from_secs(PERMIT_SECONDS) || age < -SignedDuration::from_secs(PERMIT_SECONDS)
}
