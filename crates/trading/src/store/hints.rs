//! Hints of the settlement webhook.

use hunch_db::WallToSqlx;
use hunch_kernel::{MarketTicker, WallTime};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use super::Result;
use crate::hint::Hint;

/// Keeps a hint; the same call is kept once. Whether its market is known was looked up at `wall`.
pub(crate) async fn insert_hint(
    pool: &PgPool,
    hint: &Hint,
    parked: bool,
    now: Timestamp,
    wall: WallTime,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO trading.settlement_hint (digest, market, member, received_at, parked, looked_wall) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT ON CONSTRAINT settlement_hint_once DO NOTHING",
    )
    .bind(hint.digest.as_slice())
    .bind(hint.market.as_str())
    .bind(hint.member.map(|m| m.0))
    .bind(now.to_sqlx())
    .bind(parked)
    .bind(wall.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

/// Markets that parked hints speak of. Those looked for longest ago come first and go to the end of the queue with it, so
/// that each has its turn however many there are.
pub(crate) async fn parked_hints(pool: &PgPool, limit: i64, wall: WallTime) -> Result<Vec<MarketTicker>> {
    let rows = sqlx::query_scalar(
        "WITH longest AS (SELECT market FROM trading.settlement_hint WHERE parked
                          GROUP BY market ORDER BY min(looked_wall) NULLS FIRST, market LIMIT $1),
              looked AS (UPDATE trading.settlement_hint h SET looked_wall = $2 FROM longest l
                         WHERE h.market = l.market AND h.parked)
         SELECT market FROM longest",
    );
    Ok(rows.bind(limit).bind(wall.to_sqlx()).fetch_all(pool).await?.into_iter().map(MarketTicker).collect())
}

pub(crate) async fn unpark(pool: &PgPool, market: &MarketTicker) -> Result<()> {
    let known = sqlx::query("UPDATE trading.settlement_hint SET parked = false WHERE market = $1 AND parked");
    known.bind(market.as_str()).execute(pool).await?;
    Ok(())
}

/// Gives up on hints about markets that never appeared.
pub(crate) async fn drop_parked(pool: &PgPool, before: Timestamp) -> Result<u64> {
    let old = sqlx::query("UPDATE trading.settlement_hint SET parked = false WHERE parked AND received_at < $1");
    Ok(old.bind(before.to_sqlx()).execute(pool).await?.rows_affected())
}
