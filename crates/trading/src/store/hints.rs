//! Hints of the settlement webhook.

use hunch_kernel::MarketTicker;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use super::Result;
use crate::hint::Hint;

/// Keeps a hint; the same call is kept once.
pub(crate) async fn insert_hint(pool: &PgPool, hint: &Hint, parked: bool, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO trading.settlement_hint (digest, market, member, received_at, parked) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT ON CONSTRAINT settlement_hint_once DO NOTHING",
    )
    .bind(hint.digest.as_slice())
    .bind(hint.market.as_str())
    .bind(hint.member.map(|m| m.0))
    .bind(now.to_sqlx())
    .bind(parked)
    .execute(pool)
    .await?;
    Ok(())
}

/// Markets that parked hints speak of, newest first, so that nonsense never hides what matters.
pub(crate) async fn parked_hints(pool: &PgPool, limit: i64) -> Result<Vec<MarketTicker>> {
    let rows = sqlx::query_scalar(
        "SELECT market FROM trading.settlement_hint WHERE parked GROUP BY market ORDER BY max(received_at) DESC LIMIT $1",
    );
    Ok(rows.bind(limit).fetch_all(pool).await?.into_iter().map(MarketTicker).collect())
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
