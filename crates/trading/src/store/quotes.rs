//! Rates, quotes and the switch.

use hunch_exchange::ExchangeShard;
use hunch_kernel::{Count, MarketTicker, MemberId, PointRate, Points, QuoteId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool, Row};

use super::{Result, price, side, strange, time};
use crate::quote::Quote;
use crate::switch::Switch;

/// The rate in force.
pub(crate) async fn rate(pool: &PgPool, now: Timestamp) -> Result<PointRate> {
    let row =
        sqlx::query("SELECT rate, micros FROM trading.rate WHERE valid_from <= $1 ORDER BY valid_from DESC LIMIT 1")
            .bind(now.to_sqlx())
            .fetch_one(pool)
            .await?;
    Ok(PointRate { id: row.try_get(0)?, micros: row.try_get(1)? })
}

pub(crate) async fn insert_quote(pool: &PgPool, q: &Quote) -> Result<()> {
    sqlx::query(
        "INSERT INTO trading.quote (quote, member, market, category, side, stake_points, count, price, worst_price,
                hold_points, pays_points, fee_millionths, rate, rate_micros, exchange_shard, made_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    )
    .bind(q.id.0)
    .bind(q.member.0)
    .bind(q.market.as_str())
    .bind(q.kind.as_str())
    .bind(q.side.as_str())
    .bind(q.stake.0)
    .bind(q.count.0)
    .bind(q.price.micros())
    .bind(q.worst_price.micros())
    .bind(q.hold.0)
    .bind(q.pays.0)
    .bind(q.fee_millionths)
    .bind(q.rate.id)
    .bind(q.rate.micros)
    .bind(q.exchange_shard.0)
    .bind(q.made_at.to_sqlx())
    .bind(q.expires_at.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn quote(conn: &mut PgConnection, id: QuoteId) -> Result<Option<Quote>> {
    let row = sqlx::query("SELECT * FROM trading.quote WHERE quote = $1").bind(id.0).fetch_optional(conn).await?;
    row.map(|r| {
        let kind: &str = r.try_get("category")?;
        Ok(Quote {
            id,
            member: MemberId(r.try_get("member")?),
            market: MarketTicker(r.try_get("market")?),
            kind: kind.parse().map_err(|()| strange("kind", kind))?,
            side: side(&r)?,
            stake: Points(r.try_get("stake_points")?),
            count: Count(r.try_get("count")?),
            price: price(&r, "price")?,
            worst_price: price(&r, "worst_price")?,
            hold: Points(r.try_get("hold_points")?),
            pays: Points(r.try_get("pays_points")?),
            fee_millionths: r.try_get("fee_millionths")?,
            rate: PointRate { id: r.try_get("rate")?, micros: r.try_get("rate_micros")? },
            exchange_shard: ExchangeShard(r.try_get("exchange_shard")?),
            made_at: time(&r, "made_at")?,
            expires_at: time(&r, "expires_at")?,
        })
    })
    .transpose()
}

/// Quotes that lapsed before `before` and became no order.
pub(crate) async fn delete_quotes(pool: &PgPool, before: Timestamp) -> Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM trading.quote q WHERE expires_at < $1
         AND NOT EXISTS (SELECT 1 FROM trading.orders o WHERE o.quote = q.quote)",
    );
    Ok(gone.bind(before.to_sqlx()).execute(pool).await?.rows_affected())
}

pub(crate) async fn staking_is_on(conn: &mut PgConnection) -> Result<bool> {
    sqlx::query_scalar("SELECT is_on FROM trading.switch WHERE name = 'staking'").fetch_one(conn).await
}

pub(crate) async fn switch(pool: &PgPool) -> Result<Switch> {
    let row = sqlx::query("SELECT is_on, reason, changed_at FROM trading.switch WHERE name = 'staking'");
    let row = row.fetch_one(pool).await?;
    Ok(Switch { on: row.try_get(0)?, reason: row.try_get(1)?, changed_at: time(&row, "changed_at")? })
}

pub(crate) async fn set_switch(pool: &PgPool, on: bool, reason: &str, by: &str, now: Timestamp) -> Result<()> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    sqlx::query("UPDATE trading.switch SET is_on = $1, reason = $2, changed_at = $3 WHERE name = 'staking'")
        .bind(on)
        .bind(reason)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
