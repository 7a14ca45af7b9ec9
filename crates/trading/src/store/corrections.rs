//! Corrections of final results.

use hunch_db::WallToSqlx;
use hunch_exchange::MarketResult;
use hunch_kernel::{Dollars, MarketTicker, Points, PositionId, Price, Shard, WallTime};
use hunch_markets::result_word;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::positions::{in_order, position};
use super::{Result, maybe_time, strange};
use crate::correct::Correction;
use crate::position::Position;

fn correction_of(row: &PgRow) -> Result<Correction> {
    let word: &str = row.try_get("result")?;
    let results = [MarketResult::Yes, MarketResult::No, MarketResult::Scalar];
    Ok(Correction {
        id: row.try_get("correction")?,
        market: MarketTicker(row.try_get("market")?),
        result: results.into_iter().find(|r| result_word(*r) == word).ok_or_else(|| strange("result", word))?,
        value: Price::from_micros(row.try_get("value")?).map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
        reason: row.try_get("reason")?,
        proposed_by: row.try_get("proposed_by")?,
        approved_by: row.try_get("approved_by")?,
        finished_at: maybe_time(row, "finished_at")?,
        parked: row.try_get("parked_why")?,
        ended_by: row.try_get("ended_by")?,
    })
}

/// False when another one of this market is open.
pub(crate) async fn insert_correction(pool: &PgPool, c: &Correction, now: Timestamp) -> Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO trading.correction (correction, market, result, value, reason, proposed_by, proposed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(c.id)
    .bind(c.market.as_str())
    .bind(result_word(c.result))
    .bind(c.value.micros())
    .bind(&c.reason)
    .bind(&c.proposed_by)
    .bind(now.to_sqlx())
    .execute(pool)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn correction(pool: &PgPool, id: Uuid) -> Result<Option<Correction>> {
    let row =
        sqlx::query("SELECT * FROM trading.correction WHERE correction = $1").bind(id).fetch_optional(pool).await?;
    row.as_ref().map(correction_of).transpose()
}

pub(crate) async fn approve_correction(pool: &PgPool, id: Uuid, by: &str, now: Timestamp) -> Result<()> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    sqlx::query("UPDATE trading.correction SET approved_by = $2, approved_at = $3 WHERE correction = $1 AND approved_by IS NULL AND ended_at IS NULL")
        .bind(id)
        .bind(by)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

pub(crate) async fn approved_corrections(pool: &PgPool) -> Result<Vec<Correction>> {
    let rows = sqlx::query(
        "SELECT * FROM trading.correction
         WHERE approved_at IS NOT NULL AND finished_at IS NULL AND ended_at IS NULL AND parked_at IS NULL ORDER BY approved_at",
    );
    rows.fetch_all(pool).await?.iter().map(correction_of).collect()
}

pub(crate) async fn open_corrections(pool: &PgPool) -> Result<Vec<Correction>> {
    let rows = sqlx::query(
        "SELECT * FROM trading.correction WHERE finished_at IS NULL AND ended_at IS NULL ORDER BY proposed_at, correction LIMIT 500",
    );
    rows.fetch_all(pool).await?.iter().map(correction_of).collect()
}

pub(crate) async fn park_correction(pool: &PgPool, id: Uuid, why: &str, now: Timestamp) -> Result<()> {
    let park =
        "UPDATE trading.correction SET parked_at = $2, parked_why = $3 WHERE correction = $1 AND finished_at IS NULL";
    sqlx::query(park).bind(id).bind(now.to_sqlx()).bind(why).execute(pool).await?;
    Ok(())
}

pub(crate) async fn unpark_correction(pool: &PgPool, id: Uuid, by: &str) -> Result<()> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let unpark = "UPDATE trading.correction SET parked_at = NULL, parked_why = NULL WHERE correction = $1";
    sqlx::query(unpark).bind(id).execute(&mut *tx).await?;
    tx.commit().await
}

/// False when it is being carried out, or changed something already.
pub(crate) async fn end_correction(pool: &PgPool, id: Uuid, by: &str, now: Timestamp) -> Result<bool> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let ended = sqlx::query(
        "UPDATE trading.correction SET ended_at = $3, ended_by = $2
         WHERE correction = $1 AND finished_at IS NULL AND ended_at IS NULL AND (approved_at IS NULL OR parked_at IS NOT NULL)
         AND NOT EXISTS (SELECT FROM trading.corrected d WHERE d.correction = $1)",
    );
    let ended = ended.bind(id).bind(by).bind(now.to_sqlx()).execute(&mut *tx).await?.rows_affected() == 1;
    tx.commit().await?;
    Ok(ended)
}

pub(crate) async fn finish_correction(pool: &PgPool, id: Uuid, now: Timestamp) -> Result<()> {
    let done =
        sqlx::query("UPDATE trading.correction SET finished_at = $2 WHERE correction = $1 AND finished_at IS NULL");
    done.bind(id).bind(now.to_sqlx()).execute(pool).await?;
    Ok(())
}

/// Paid positions of the correction's market in a shard that it has not reached, save for those `skipped`.
pub(crate) async fn uncorrected(
    pool: &PgPool,
    c: &Correction,
    shard: Shard,
    skipped: &[PositionId],
    limit: i64,
) -> Result<Vec<PositionId>> {
    let ids = sqlx::query_scalar(
        "SELECT p.position FROM trading.position p WHERE p.market = $1 AND p.shard = $2 AND p.paid_at IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM trading.corrected d WHERE d.correction = $3 AND d.position = p.position)
         AND p.position <> ALL($4) LIMIT $5",
    );
    let skipped: Vec<Uuid> = skipped.iter().map(|position| position.0).collect();
    let ids = ids.bind(c.market.as_str()).bind(shard.0).bind(c.id).bind(skipped).bind(limit);
    let ids: Vec<Uuid> = ids.fetch_all(pool).await?;
    Ok(ids.into_iter().map(PositionId).collect())
}

/// Of these positions, those that the correction has not reached, locked, with what they were worth when paid.
pub(crate) async fn lock_uncorrected(
    conn: &mut PgConnection,
    c: &Correction,
    ids: &[PositionId],
) -> Result<Vec<(Position, Dollars)>> {
    let rows = sqlx::query(
        "SELECT p.* FROM UNNEST($1::uuid[]) AS asked(id)
         CROSS JOIN LATERAL (SELECT * FROM trading.position WHERE position = asked.id FOR UPDATE) p
         WHERE p.market = $2 AND p.paid_at IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM trading.corrected d WHERE d.correction = $3 AND d.position = p.position)
         ORDER BY p.position",
    )
    .bind(in_order(ids))
    .bind(c.market.as_str())
    .bind(c.id)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|r| Ok((position(r)?, Dollars(r.try_get("gross_micros")?)))).collect()
}

/// One corrected position.
pub(crate) struct CorrectedRow {
    pub position: PositionId,
    pub before: Points,
    pub taken: Points,
    pub paid: Points,
    pub gross: Dollars,
}

pub(crate) async fn mark_corrected(
    conn: &mut PgConnection,
    c: &Correction,
    rows: &[CorrectedRow],
    now: Timestamp,
    wall: WallTime,
) -> Result<()> {
    let points = |f: fn(&CorrectedRow) -> Points| rows.iter().map(|row| f(row).0).collect::<Vec<i64>>();
    sqlx::query(
        "WITH t AS (SELECT * FROM UNNEST($2::uuid[], $3::int8[], $4::int8[], $5::int8[], $6::int8[])
                    AS t(position, before, taken, paid, gross)),
              kept AS (INSERT INTO trading.corrected (correction, position, before_points, taken_points, lost_points, paid_points)
                       SELECT $1, position, before, taken, before - taken, paid FROM t)
         UPDATE trading.position p SET result = $7, gross_micros = t.gross, paid_points = t.paid, paid_at = $8, paid_wall = $9,
                paid_by = pg_current_xact_id()
         FROM t WHERE p.position = t.position",
    )
    .bind(c.id)
    .bind(rows.iter().map(|row| row.position.0).collect::<Vec<Uuid>>())
    .bind(points(|row| row.before))
    .bind(points(|row| row.taken))
    .bind(points(|row| row.paid))
    .bind(rows.iter().map(|row| row.gross.0).collect::<Vec<i64>>())
    .bind(result_word(c.result))
    .bind(now.to_sqlx())
    .bind(wall.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}
