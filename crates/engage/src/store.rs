//! Engage's SQL.

use hunch_kernel::Shard;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::consume::Recorded;

type Result<T> = std::result::Result<T, sqlx::Error>;

pub(crate) async fn insert_decisions(conn: &mut PgConnection, recorded: &[Recorded]) -> Result<()> {
    if recorded.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO engage.decision (member, cause, channel, shard, seq, action, reference, propensity_ppm, policy, seed,
             candidates_hash, candidates, reason, withheld, at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::bigint[], $6::text[], $7::text[],
             $8::int[], $9::smallint[], $10::bigint[], $11::bytea[], $12::smallint[], $13::text[], $14::text[],
             $15::timestamptz[])
         ON CONFLICT ON CONSTRAINT decision_once DO NOTHING",
    )
    .bind(recorded.iter().map(|r| r.member.0).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.cause).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.channel).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.shard.0).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.seq).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.action).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.reference.clone()).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.propensity_ppm.min(1_000_000) as i32).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.policy).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.seed.cast_signed()).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.candidates_hash.to_vec()).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.eligible.min(32_767) as i16).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.reason).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.withheld.clone()).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.at.to_sqlx()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Prompts that were made after a checkpoint, oldest first.
pub(crate) async fn prompts_after(pool: &PgPool, shard: Shard, seq: i64) -> Result<Vec<(Uuid, Timestamp)>> {
    let rows = sqlx::query(
        "SELECT member, at FROM engage.decision
         WHERE shard = $1 AND seq > $2 AND action = 'market' AND withheld IS NULL ORDER BY seq",
    )
    .bind(shard.0)
    .bind(seq)
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<jiff_sqlx::Timestamp, _>(1)?.to_jiff()))).collect()
}

/// How many purchases were decided on since `since` (business time).
///
/// # Errors
/// When the database fails.
pub async fn decisions_since(pool: &PgPool, since: Timestamp) -> Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM engage.decision WHERE channel = 'push' AND at >= $1")
        .bind(since.to_sqlx())
        .fetch_one(pool)
        .await
}
