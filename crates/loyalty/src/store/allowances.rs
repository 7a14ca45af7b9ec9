//! The SQL of counters with an end, and of what members earned lately.

use hunch_kernel::MemberId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use std::collections::HashMap;
use uuid::Uuid;

use super::Result;
use crate::allowance::{Account, Counter};

/// Leases up to `slice` of what is left of `most`. Gives what it got, which may be nothing.
pub(crate) async fn lease(pool: &PgPool, of: Account, slice: i64, most: i64) -> Result<i64> {
    sqlx::query(
        "INSERT INTO loyalty.allowance (counter, subject, period, leased) VALUES ($1, $2, $3, 0)
         ON CONFLICT ON CONSTRAINT allowance_once DO NOTHING",
    )
    .bind(of.counter.as_str())
    .bind(of.subject)
    .bind(of.period().to_sqlx())
    .execute(pool)
    .await?;
    sqlx::query_scalar(
        "UPDATE loyalty.allowance a SET leased = greatest(old.leased, least(old.leased + $4, $5))
         FROM (SELECT leased FROM loyalty.allowance WHERE counter = $1 AND subject = $2 AND period = $3 FOR UPDATE) old
         WHERE a.counter = $1 AND a.subject = $2 AND a.period = $3
         RETURNING a.leased - old.leased",
    )
    .bind(of.counter.as_str())
    .bind(of.subject)
    .bind(of.period().to_sqlx())
    .bind(slice)
    .bind(most)
    .fetch_one(pool)
    .await
}

/// Deletes counters of times that began before `before`, at most `most`.
pub(crate) async fn sweep(pool: &PgPool, before: Timestamp, most: i64) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM loyalty.allowance WHERE (counter, subject, period) IN (
             SELECT counter, subject, period FROM loyalty.allowance
             WHERE period < $1 AND counter <> $3 ORDER BY period LIMIT $2)",
    );
    let done = done.bind(before.to_sqlx()).bind(most).bind(Counter::OfferPoints.as_str());
    Ok(done.execute(pool).await?.rows_affected())
}

/// Points and receipts of these members that were recorded since and did not have to wait.
pub(crate) async fn earned_since(
    pool: &PgPool,
    members: &[MemberId],
    since: Timestamp,
) -> Result<HashMap<MemberId, (i64, i64)>> {
    let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "SELECT p.member, coalesce(sum(p.points), 0)::bigint, count(*) FROM loyalty.purchase p
         WHERE p.member = ANY($1) AND p.recorded_at >= $2
           AND NOT EXISTS (SELECT 1 FROM loyalty.review r WHERE r.purchase = p.purchase) GROUP BY 1",
    )
    .bind(members.iter().map(|m| m.0).collect::<Vec<Uuid>>())
    .bind(since.to_sqlx())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(member, points, receipts)| (MemberId(member), (points, receipts))).collect())
}
