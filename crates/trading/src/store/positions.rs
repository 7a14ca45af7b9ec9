//! The member book.

use hunch_db::WallToSqlx;
use hunch_exchange::ExchangeShard;
use hunch_kernel::{Count, Dollars, MarketTicker, MemberId, OrderId, Points, PositionId, Shard, WallTime};
use hunch_markets::{Final, result_word};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{Result, maybe_time, side, time};
use crate::order::Order;
use crate::outcome::position_id;
use crate::position::{Paid, Position};

pub(super) fn position(row: &PgRow) -> Result<Position> {
    let paid = match maybe_time(row, "paid_at")? {
        Some(at) => Some(Paid { result: row.try_get("result")?, points: Points(row.try_get("paid_points")?), at }),
        None => None,
    };
    Ok(Position {
        id: PositionId(row.try_get("position")?),
        order: OrderId(row.try_get("order_id")?),
        member: MemberId(row.try_get("member")?),
        market: MarketTicker(row.try_get("market")?),
        category: row.try_get("category")?,
        side: side(row)?,
        count: Count(row.try_get("count")?),
        cost: Points(row.try_get("cost_points")?),
        rate_micros: row.try_get("rate_micros")?,
        opened_at: time(row, "opened_at")?,
        paid,
    })
}

pub(crate) async fn insert_position(
    conn: &mut PgConnection,
    order: &Order,
    count: Count,
    cost: Points,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO trading.position (position, order_id, member, shard, market, category, side, count, cost_points, rate_micros, opened_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(position_id(order.id).0)
    .bind(order.id.0)
    .bind(order.member.0)
    .bind(order.shard.0)
    .bind(order.market.as_str())
    .bind(&order.category)
    .bind(order.side.as_str())
    .bind(count.0)
    .bind(cost.0)
    .bind(order.rate.micros)
    .bind(now.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn positions(
    pool: &PgPool,
    member: MemberId,
    open_only: bool,
    before: Option<(Timestamp, PositionId)>,
    limit: i64,
) -> Result<Vec<Position>> {
    let (at, id) = before.unwrap_or((Timestamp::MAX, PositionId(Uuid::max())));
    let rows = sqlx::query(
        "SELECT * FROM trading.position WHERE member = $1 AND (opened_at, position) < ($2, $3) AND (paid_at IS NULL OR NOT $4)
         ORDER BY opened_at DESC, position DESC LIMIT $5",
    )
    .bind(member.0)
    .bind(at.to_sqlx())
    .bind(id.0)
    .bind(open_only)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(position).collect()
}

/// Unpaid positions of a market in a shard.
pub(crate) async fn unpaid(pool: &PgPool, market: &MarketTicker, shard: Shard, limit: i64) -> Result<Vec<PositionId>> {
    let ids = sqlx::query_scalar(
        "SELECT position FROM trading.position WHERE market = $1 AND shard = $2 AND paid_at IS NULL LIMIT $3",
    );
    let ids: Vec<Uuid> = ids.bind(market.as_str()).bind(shard.0).bind(limit).fetch_all(pool).await?;
    Ok(ids.into_iter().map(PositionId).collect())
}

/// Who locks several, locks them in this order.
pub(super) fn in_order(ids: &[PositionId]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = ids.iter().map(|p| p.0).collect();
    ids.sort_unstable();
    ids
}

/// Of these positions, those still unpaid, locked, in one order.
pub(crate) async fn lock_unpaid(
    conn: &mut PgConnection,
    market: &MarketTicker,
    ids: &[PositionId],
) -> Result<Vec<Position>> {
    // One by one over the key: by the market's index each batch would read all positions of the market.
    let rows = sqlx::query(
        "SELECT p.* FROM UNNEST($1::uuid[]) AS asked(id)
         CROSS JOIN LATERAL (SELECT * FROM trading.position WHERE position = asked.id FOR UPDATE) p
         WHERE p.market = $2 AND p.paid_at IS NULL ORDER BY p.position",
    );
    rows.bind(in_order(ids)).bind(market.as_str()).fetch_all(conn).await?.iter().map(position).collect()
}

pub(crate) async fn mark_paid(
    conn: &mut PgConnection,
    result: &Final,
    rows: &[(PositionId, Dollars, Points)],
    now: Timestamp,
    wall: WallTime,
) -> Result<()> {
    sqlx::query(
        "UPDATE trading.position p SET paid_revision = $4, result = $5, gross_micros = t.gross, paid_points = t.points,
                paid_at = $6, paid_wall = $7, paid_by = pg_current_xact_id()
         FROM UNNEST($1::uuid[], $2::int8[], $3::int8[]) AS t(position, gross, points) WHERE p.position = t.position",
    )
    .bind(rows.iter().map(|r| r.0.0).collect::<Vec<Uuid>>())
    .bind(rows.iter().map(|r| r.1.0).collect::<Vec<i64>>())
    .bind(rows.iter().map(|r| r.2.0).collect::<Vec<i64>>())
    .bind(result.revision)
    .bind(result_word(result.result))
    .bind(now.to_sqlx())
    .bind(wall.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn exchange_shard(conn: &mut PgConnection, market: &MarketTicker) -> Result<ExchangeShard> {
    let shard = sqlx::query_scalar("SELECT exchange_shard FROM trading.hedge WHERE market = $1");
    Ok(ExchangeShard(shard.bind(market.as_str()).fetch_one(conn).await?))
}

/// What a member was paid on a market so far.
pub(crate) async fn paid_to(pool: &PgPool, member: MemberId, market: &MarketTicker) -> Result<Points> {
    let sum = sqlx::query_scalar(
        "SELECT coalesce(sum(paid_points), 0)::bigint FROM trading.position WHERE member = $1 AND market = $2",
    );
    Ok(Points(sum.bind(member.0).bind(market.as_str()).fetch_one(pool).await?))
}
