//! Permits for tests of those who need one. Only built for tests: see the feature in `Cargo.toml`.

use hunch_kernel::{DeviceId, MemberId, WallTime};
use uuid::Uuid;

use crate::{OfferPermit, PromptPermit};

/// A permit that nobody was judged for.
pub fn prompt_permit(
    member: MemberId,
    device: Option<DeviceId>,
    cause: Uuid,
    category: &str,
    standing_version: i64,
    given_at: WallTime,
) -> PromptPermit {
    PromptPermit { member, device, cause, category: category.to_owned(), standing_version, given_at }
}

/// A permit that nobody was judged for.
pub fn offer_permit(
    member: MemberId,
    device: Option<DeviceId>,
    standing_version: i64,
    given_at: WallTime,
) -> OfferPermit {
    OfferPermit { member, device, standing_version, given_at }
}
