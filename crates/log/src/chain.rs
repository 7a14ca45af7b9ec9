//! The hash chain of a shard and the anchors that prove it outside the database.

use hunch_kernel::Shard;
use ring::digest::{Context, SHA256, digest};
use sqlx::{PgPool, Row};

use crate::LogError;

/// The hash of a shard's log at one point. Kept outside the database, it exposes any later change of
/// what came before, and a cut-off tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub shard: Shard,
    pub last_seq: i64,
    pub hash: Vec<u8>,
}

/// The newest hash of every shard that has written anything.
///
/// # Errors
/// `Storage` if the database cannot be asked.
pub async fn anchors(pool: &PgPool) -> Result<Vec<Anchor>, LogError> {
    let rows = sqlx::query("SELECT shard, last_seq, hash FROM log.shard_head WHERE last_seq > 0 ORDER BY shard")
        .fetch_all(pool)
        .await?;
    rows.iter()
        .map(|r| Ok(Anchor { shard: Shard(r.try_get(0)?), last_seq: r.try_get(1)?, hash: r.try_get(2)? }))
        .collect()
}

/// sha256(prev_hash || int8 first_seq || int8 last_seq || sha256(payload) || entries_hash), integers big-endian.
pub(crate) fn batch_hash(prev: &[u8], first_seq: i64, last_seq: i64, payload: &[u8], entries_hash: &[u8]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(prev);
    context.update(&first_seq.to_be_bytes());
    context.update(&last_seq.to_be_bytes());
    context.update(digest(&SHA256, payload).as_ref());
    context.update(entries_hash);
    context.finish().as_ref().to_vec()
}
