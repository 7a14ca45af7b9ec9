//! Reads a shard's log in order, from any point.

use hunch_kernel::Shard;
use hunch_messages::Message;
use jiff::Timestamp;
use sqlx::{PgPool, Row};
use std::sync::Arc;

use crate::{LogError, batch};

/// What one transaction announced.
#[derive(Clone, Debug)]
pub struct Batch {
    pub shard: Shard,
    pub first_seq: i64,
    pub last_seq: i64,
    /// In order; the first has `first_seq`.
    pub messages: Arc<Vec<Message>>,
}

impl Batch {
    /// The messages with their sequence numbers, from `after_seq` on.
    pub fn after(&self, after_seq: i64) -> impl Iterator<Item = (i64, &Message)> {
        (self.first_seq..).zip(self.messages.iter()).skip_while(move |(seq, _)| *seq <= after_seq)
    }
}

/// The batches that hold messages after `after_seq`, oldest first, at most `batches_max`.
///
/// # Errors
/// `Storage`, or `Format` when a stored batch is not readable: never skipped, since a reader that
/// skipped it would lose messages silently.
pub async fn read_after(pool: &PgPool, shard: Shard, after_seq: i64, batches_max: i64) -> Result<Vec<Batch>, LogError> {
    let rows = sqlx::query(
        "SELECT first_seq, last_seq, payload FROM log.batch WHERE shard = $1 AND last_seq > $2
         ORDER BY last_seq LIMIT $3",
    )
    .bind(shard.0)
    .bind(after_seq)
    .bind(batches_max)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let last_seq: i64 = row.try_get(1)?;
            let payload: &[u8] = row.try_get(2)?;
            let messages =
                batch::decode_messages(payload).map_err(|source| LogError::Format { shard, last_seq, source })?;
            Ok(Batch { shard, first_seq: row.try_get(0)?, last_seq, messages: Arc::new(messages) })
        })
        .collect()
}

/// How many shards this programme's database was created with.
///
/// # Errors
/// `Storage` if the database cannot be asked.
pub async fn shards(pool: &PgPool) -> Result<u16, LogError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM log.shard_head").fetch_one(pool).await?;
    Ok(count as u16)
}

/// Business time of the newest batch of all shards.
///
/// # Errors
/// `Storage` if the database cannot be asked.
pub async fn newest(pool: &PgPool) -> Result<Option<Timestamp>, LogError> {
    let row = sqlx::query(
        "SELECT max(b.written_at) AS at FROM log.shard_head h JOIN log.batch b ON b.shard = h.shard AND b.last_seq = h.last_seq",
    );
    let at: Option<jiff_sqlx::Timestamp> = row.fetch_one(pool).await?.try_get(0)?;
    Ok(at.map(jiff_sqlx::Timestamp::to_jiff))
}

/// The last sequence number of this shard.
///
/// # Errors
/// `Storage`, also for a shard that does not exist.
pub async fn head(pool: &PgPool, shard: Shard) -> Result<i64, LogError> {
    let head = sqlx::query_scalar("SELECT last_seq FROM log.shard_head WHERE shard = $1");
    Ok(head.bind(shard.0).fetch_one(pool).await?)
}
