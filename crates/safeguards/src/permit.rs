//! Permits: proof that someone was judged a moment ago. Not cloneable, not storable, made only here.

use hunch_kernel::{DeviceId, MemberId, OrderId, WallTime};
use jiff::{SignedDuration, Timestamp};
use std::sync::OnceLock;
use uuid::Uuid;

/// How long a permit lives, in wall time.
pub const PERMIT_SECONDS: i64 = 5;

/// May stake once, in this category, from this place.
///
/// Nobody can make one outside. The same lines compile where the fields can be seen (this crate's tests), so that here
/// their privacy alone stands in the way:
#[doc = concat!("```compile_fail,E0451\n", include_str!("permit/forged_stake.rs"), "```")]
///
/// nor copy one:
/// ```compile_fail,E0599
/// fn twice(permit: hunch_safeguards::StakePermit) -> [hunch_safeguards::StakePermit; 2] {
///     [permit.clone(), permit]
/// }
/// ```
/// while reading it is everybody's:
/// ```
/// fn of(permit: &hunch_safeguards::StakePermit) -> (hunch_kernel::MemberId, i64) {
///     (permit.member(), permit.standing_version())
/// }
/// ```
#[derive(Debug)]
pub struct StakePermit {
    pub(crate) member: MemberId,
    pub(crate) category: String,
    pub(crate) jurisdiction: String,
    pub(crate) standing_version: i64,
    /// Business time at which the member was judged.
    pub(crate) judged_at: Timestamp,
    /// The greatest age that any rule asks for and that the member had reached.
    pub(crate) age_reached: i16,
    /// Business time until which the place was believed.
    pub(crate) place_until: Timestamp,
    pub(crate) given_at: WallTime,
    /// The order it was charged for. A batch may run again, but never for another order.
    pub(crate) used_for: OnceLock<OrderId>,
}

/// May be prompted once to stake in this category, because of this cause. Whoever stores, sends or shows the prompt uses it
/// up: [`crate::give_prompts`], `messaging`'s notices and its pushes take it by value.
///
/// Nobody can make one outside. The same lines compile where the fields can be seen (this crate's tests), so that here
/// their privacy alone stands in the way:
#[doc = concat!("```compile_fail,E0451\n", include_str!("permit/forged_prompt.rs"), "```")]
///
/// nor copy one, nor write one down:
/// ```compile_fail,E0599
/// fn twice(permit: hunch_safeguards::PromptPermit) -> [hunch_safeguards::PromptPermit; 2] {
///     [permit.clone(), permit]
/// }
/// ```
/// ```compile_fail,E0277
/// fn written(permit: &hunch_safeguards::PromptPermit) -> impl serde::Serialize + '_ {
///     permit
/// }
/// ```
/// as what can be written down is:
/// ```
/// fn written(word: &String) -> impl serde::Serialize + '_ {
///     word
/// }
/// ```
/// while reading it is everybody's:
/// ```
/// fn of(permit: &hunch_safeguards::PromptPermit) -> (hunch_kernel::MemberId, i64) {
///     (permit.member(), permit.standing_version())
/// }
/// ```
#[derive(Debug)]
pub struct PromptPermit {
    pub(crate) member: MemberId,
    pub(crate) device: Option<DeviceId>,
    pub(crate) cause: Uuid,
    pub(crate) category: String,
    pub(crate) standing_version: i64,
    pub(crate) given_at: WallTime,
}

/// May be told once of an offer of a shop. It has no word of betting, so that members who may not stake can have it too;
/// whoever switched offers off cannot.
///
/// Nobody can make one outside:
#[doc = concat!("```compile_fail,E0451\n", include_str!("permit/forged_offer.rs"), "```")]
/// nor copy one:
/// ```compile_fail,E0599
/// fn twice(permit: hunch_safeguards::OfferPermit) -> [hunch_safeguards::OfferPermit; 2] {
///     [permit.clone(), permit]
/// }
/// ```
#[derive(Debug)]
pub struct OfferPermit {
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

    /// What makes us prompt: a purchase, or a card.
    pub fn cause(&self) -> Uuid {
        self.cause
    }

    /// Of the market.
    pub fn category(&self) -> &str {
        &self.category
    }

    pub fn standing_version(&self) -> i64 {
        self.standing_version
    }

    pub(crate) fn expired(&self, wall: WallTime) -> bool {
        expired(self.given_at, wall)
    }
}

impl OfferPermit {
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

/// Not one field of a permit can be reached from outside, so that nobody can change one either. The list is complete: where
/// the fields can be seen, it takes a permit apart.
macro_rules! private_fields {
    ($test:ident: $permit:ident { $($field:ident),+ $(,)? }) => {
        $(
            #[doc = concat!("```compile_fail,E0616\nfn reach(permit: &hunch_safeguards::", stringify!($permit), ") {\n",
                "    let _ = &permit.", stringify!($field), ";\n}\n```")]
        )+
        #[cfg(any(test, doctest))]
        #[allow(dead_code, reason = "that it compiles is the test")]
        fn $test(permit: $permit) {
            let $permit { $($field: _),+ } = permit;
        }
    };
}

private_fields!(a_stake_permit_taken_apart: StakePermit {
    member, category, jurisdiction, standing_version, judged_at, age_reached, place_until, given_at, used_for,
});
private_fields!(a_prompt_permit_taken_apart: PromptPermit {
    member, device, cause, category, standing_version, given_at,
});
private_fields!(an_offer_permit_taken_apart: OfferPermit { member, device, standing_version, given_at });

fn expired(given_at: WallTime, wall: WallTime) -> bool {
    let age = wall.duration_since(given_at);
    age > SignedDuration::from_secs(PERMIT_SECONDS) || age < -SignedDuration::from_secs(PERMIT_SECONDS)
}

/// What the doc tests above cannot compile compiles here, word for word: the fields are complete and their types right.
#[cfg(test)]
mod forged {
    #![allow(dead_code, reason = "that it compiles is the test")]
    extern crate self as hunch_safeguards;

    include!("permit/forged_stake.rs");
    include!("permit/forged_prompt.rs");
    include!("permit/forged_offer.rs");
}
