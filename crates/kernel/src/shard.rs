//! A member belongs to one shard for ever; a shard is a single writer.

use crate::{MemberId, derived_uuid};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(pub i16);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The shard of `member` among `shards`. Hashed, so that ids made in any way spread evenly.
pub fn shard_of(member: MemberId, shards: u16) -> Shard {
    let hashed = derived_uuid(&[b"shard", member.0.as_bytes()]).as_u128() as u64;
    Shard((hashed % u64::from(shards.max(1))) as i16)
}
