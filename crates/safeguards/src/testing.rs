//! Permits for tests of those who need one. Only built for tests: see the feature in `Cargo.toml`.

use hunch_kernel::{DeviceId, MemberId, WallTime};

use crate::PromptPermit;

/// A permit that nobody was judged for.
pub fn prompt_permit(
    member: MemberId,
    device: Option<DeviceId>,
    standing_version: i64,
    given_at: WallTime,
) -> PromptPermit {
    PromptPermit { member, device, standing_version, given_at }
}
