//! How far a consumer has acted on a shard's log. The position moves in the same transaction as the
//! effects, so each effect happens once; an epoch keeps a replaced owner from writing.

use hunch_kernel::Shard;
use sqlx::{PgConnection, Row};

use crate::LogError;

/// An owner's right to move one position.
#[derive(Clone, Debug)]
pub struct Position {
    pub consumer: &'static str,
    pub shard: Shard,
    pub last_seq: i64,
    pub epoch: i64,
    /// The checkpoint written with the position, if any.
    pub state: Option<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    #[error("another owner has taken over this position")]
    Fenced,
    #[error("the position could not be written")]
    Storage(#[from] sqlx::Error),
}

/// Takes the position over: raises the epoch, so an earlier owner's next advance is refused.
///
/// # Errors
/// `Storage` if the database fails.
pub async fn take_over(conn: &mut PgConnection, consumer: &'static str, shard: Shard) -> Result<Position, LogError> {
    let row = sqlx::query(
        "INSERT INTO log.consumer_position AS p (consumer, shard, last_seq, epoch) VALUES ($1, $2, 0, 1)
         ON CONFLICT ON CONSTRAINT consumer_position_once DO UPDATE SET epoch = p.epoch + 1
         RETURNING last_seq, epoch, state",
    )
    .bind(consumer)
    .bind(shard.0)
    .fetch_one(conn)
    .await?;
    Ok(Position { consumer, shard, last_seq: row.try_get(0)?, epoch: row.try_get(1)?, state: row.try_get(2)? })
}

/// Moves the position in the caller's transaction. `state` replaces the checkpoint when given.
///
/// # Errors
/// `Fenced` when another owner took over: the caller must roll back and stop.
pub async fn advance(
    conn: &mut PgConnection,
    position: &Position,
    last_seq: i64,
    state: Option<&[u8]>,
) -> Result<(), AdvanceError> {
    let moved = sqlx::query(
        "UPDATE log.consumer_position SET last_seq = $4, state = coalesce($5, state)
         WHERE consumer = $1 AND shard = $2 AND epoch = $3 AND last_seq <= $4",
    )
    .bind(position.consumer)
    .bind(position.shard.0)
    .bind(position.epoch)
    .bind(last_seq)
    .bind(state)
    .execute(conn)
    .await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(AdvanceError::Fenced) }
}
