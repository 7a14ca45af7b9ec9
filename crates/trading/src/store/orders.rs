//! Orders and their attempts.

use hunch_db::WallToSqlx;
use hunch_exchange::{ExchangeShard, OrderReport};
use hunch_kernel::{Count, Dollars, MarketTicker, MemberId, OrderId, PointRate, Points, QuoteId, Shard, WallTime};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{Result, maybe_time, maybe_wall_time, price, side, strange, time, wall_time};
use crate::order::{Order, OrderState};
use crate::outcome::{Ending, Fate};
use crate::quote::Quote;
use crate::stake::client_order_id;

/// An order as it is first stored.
#[derive(Clone, Debug)]
pub(crate) struct NewOrderRow {
    pub order: OrderId,
    pub quote: Quote,
    pub shard: Shard,
    pub jurisdiction: String,
    pub standing_version: i64,
    pub permit_until: WallTime,
    pub placed_at: Timestamp,
    pub placed_wall: WallTime,
    pub client_order_id: Uuid,
}

fn order(row: &PgRow) -> Result<Order> {
    let state: &str = row.try_get("state")?;
    Ok(Order {
        id: OrderId(row.try_get("order_id")?),
        quote: QuoteId(row.try_get("quote")?),
        member: MemberId(row.try_get("member")?),
        shard: Shard(row.try_get("shard")?),
        market: MarketTicker(row.try_get("market")?),
        category: row.try_get("category")?,
        side: side(row)?,
        count: Count(row.try_get("count")?),
        price: price(row, "price")?,
        worst_price: price(row, "worst_price")?,
        hold: Points(row.try_get("hold_points")?),
        rate: PointRate { id: row.try_get("rate")?, micros: row.try_get("rate_micros")? },
        exchange_shard: ExchangeShard(row.try_get("exchange_shard")?),
        standing_version: row.try_get("standing_version")?,
        permit_until: wall_time(row, "permit_until")?,
        quote_until: time(row, "quote_until")?,
        placed_at: time(row, "placed_at")?,
        placed_wall: wall_time(row, "placed_wall")?,
        state: OrderState::ALL.into_iter().find(|s| s.as_str() == state).ok_or_else(|| strange("state", state))?,
        attempt: row.try_get("attempt")?,
        client_order_id: row.try_get("client_order_id")?,
        sent_at: maybe_time(row, "sent_at")?,
        sent_wall: maybe_wall_time(row, "sent_wall")?,
        looks: row.try_get("looks")?,
        exchange_order_id: row.try_get("exchange_order_id")?,
        filled: Count(row.try_get("filled")?),
        cost: Dollars(row.try_get("cost_micros")?),
        fees: Dollars(row.try_get("fees_micros")?),
        captured: Points(row.try_get("captured_points")?),
        released: Points(row.try_get("released_points")?),
        reason: row.try_get("reason")?,
        doubt: row.try_get("doubt")?,
        resolved_at: maybe_time(row, "resolved_at")?,
    })
}

/// The newest orders of everybody.
pub(crate) async fn newest_orders(pool: &PgPool, limit: i64) -> Result<Vec<Order>> {
    let rows = sqlx::query("SELECT * FROM trading.orders ORDER BY placed_at DESC LIMIT $1");
    rows.bind(limit).fetch_all(pool).await?.iter().map(order).collect()
}

fn uuids(ids: &[OrderId]) -> Vec<Uuid> {
    ids.iter().map(|o| o.0).collect()
}

pub(crate) async fn orders(conn: &mut PgConnection, ids: &[OrderId]) -> Result<Vec<Order>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("SELECT * FROM trading.orders WHERE order_id = ANY($1)").bind(uuids(ids));
    rows.fetch_all(conn).await?.iter().map(order).collect()
}

/// Like [`orders`], and nobody else changes them meanwhile. In one order, so that two never wait in a circle.
pub(crate) async fn lock_orders(conn: &mut PgConnection, ids: &[OrderId]) -> Result<Vec<Order>> {
    let rows = sqlx::query("SELECT * FROM trading.orders WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE");
    rows.bind(uuids(ids)).fetch_all(conn).await?.iter().map(order).collect()
}

pub(crate) async fn orders_of(
    pool: &PgPool,
    member: MemberId,
    before: Option<(Timestamp, OrderId)>,
    limit: i64,
) -> Result<Vec<Order>> {
    let (at, id) = before.unwrap_or((Timestamp::MAX, OrderId(Uuid::max())));
    let rows = sqlx::query(
        "SELECT * FROM trading.orders WHERE member = $1 AND (placed_at, order_id) < ($2, $3)
         ORDER BY placed_at DESC, order_id DESC LIMIT $4",
    )
    .bind(member.0)
    .bind(at.to_sqlx())
    .bind(id.0)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(order).collect()
}

pub(crate) async fn insert_orders(conn: &mut PgConnection, rows: &[NewOrderRow]) -> Result<()> {
    for row in rows {
        let q = &row.quote;
        sqlx::query(
            "WITH stored AS (INSERT INTO trading.attempt (client_order_id, order_id, attempt, stored_at) VALUES ($20, $1, 1, $18))
             INSERT INTO trading.orders (order_id, quote, member, shard, market, category, jurisdiction, side, count, price,
                worst_price, hold_points, rate, rate_micros, exchange_shard, standing_version, permit_until, placed_at,
                placed_wall, client_order_id, quote_until, state, attempt, next_look_wall)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, 'held', 1, $19)",
        )
        .bind(row.order.0)
        .bind(q.id.0)
        .bind(q.member.0)
        .bind(row.shard.0)
        .bind(q.market.as_str())
        .bind(q.kind.as_str())
        .bind(&row.jurisdiction)
        .bind(q.side.as_str())
        .bind(q.count.0)
        .bind(q.price.micros())
        .bind(q.worst_price.micros())
        .bind(q.hold.0)
        .bind(q.rate.id)
        .bind(q.rate.micros)
        .bind(q.exchange_shard.0)
        .bind(row.standing_version)
        .bind(row.permit_until.to_sqlx())
        .bind(row.placed_at.to_sqlx())
        .bind(row.placed_wall.to_sqlx())
        .bind(row.client_order_id)
        .bind(q.expires_at.to_sqlx())
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Takes due held orders on, oldest first: they are marked as sending, and no other dispatcher takes them.
pub(crate) async fn take_held(pool: &PgPool, limit: i64, now: Timestamp, wall: WallTime) -> Result<Vec<Order>> {
    let rows = sqlx::query(
        "UPDATE trading.orders SET state = 'sending', sent_at = $2, sent_wall = $3, sent_step = nextval('trading.step'),
                sent_snapshot = pg_current_snapshot()
         WHERE order_id IN (SELECT order_id FROM trading.orders
                            WHERE state = 'held' AND resolved_at IS NULL AND next_look_wall <= $3
                            ORDER BY next_look_wall LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING *",
    )
    .bind(limit)
    .bind(now.to_sqlx())
    .bind(wall.to_sqlx())
    .fetch_all(pool)
    .await?;
    rows.iter().map(order).collect()
}

/// Marks an order with the moment at which it is sent, or sent again. False: it is not what `order` says any more, and
/// must not be sent.
pub(crate) async fn mark_sent(conn: &mut PgConnection, order: &Order, now: Timestamp, wall: WallTime) -> Result<bool> {
    let marked = sqlx::query(
        "UPDATE trading.orders SET sent_at = $4, sent_wall = $5, sent_step = nextval('trading.step'), sent_snapshot = pg_current_snapshot()
         WHERE order_id = $1 AND state = $2 AND attempt = $3 AND resolved_at IS NULL",
    )
    .bind(order.id.0)
    .bind(order.state.as_str())
    .bind(order.attempt)
    .bind(now.to_sqlx())
    .bind(wall.to_sqlx())
    .execute(conn)
    .await?;
    Ok(marked.rows_affected() == 1)
}

pub(crate) async fn mark_accepted(pool: &PgPool, order: &Order, report: &OrderReport, wall: WallTime) -> Result<()> {
    sqlx::query(
        "UPDATE trading.orders SET state = 'accepted', exchange_order_id = $2, filled = $3, looks = 0, next_look_wall = $4
         WHERE order_id = $1 AND state IN ('sending', 'unknown')",
    )
    .bind(order.id.0)
    .bind(&report.exchange_order_id)
    .bind(report.filled.0)
    .bind(wall.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn mark_unknown(pool: &PgPool, order: &Order, wall: WallTime) -> Result<()> {
    sqlx::query(
        "UPDATE trading.orders SET state = 'unknown', was_unknown = true, looks = 0, next_look_wall = $2
         WHERE order_id = $1 AND state = 'sending'",
    )
    .bind(order.id.0)
    .bind(wall.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

/// What the exchange said of the order is not believed: it is unknown, whatever it was, and looked up again. A doubt that is
/// there already changes nothing, so that the pauses between looks grow.
pub(crate) async fn mark_doubted(
    pool: &PgPool,
    order: OrderId,
    exchange_order_id: &str,
    doubt: &str,
    wall: WallTime,
) -> Result<bool> {
    let doubted = sqlx::query(
        "UPDATE trading.orders SET state = 'unknown', was_unknown = true, exchange_order_id = $2, doubt = $3, looks = 0,
                next_look_wall = $4
         WHERE order_id = $1 AND resolved_at IS NULL AND state IN ('sending', 'accepted', 'unknown')
               AND (state <> 'unknown' OR doubt IS DISTINCT FROM $3)",
    )
    .bind(order.0)
    .bind(exchange_order_id)
    .bind(doubt)
    .bind(wall.to_sqlx());
    Ok(doubted.execute(pool).await?.rows_affected() == 1)
}

/// Orders that were placed before `before` and sent, and whose end is not known: oldest first, or this one only.
pub(crate) async fn unclear_orders(
    pool: &PgPool,
    before: WallTime,
    only: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Order>> {
    let rows = sqlx::query(
        "SELECT * FROM trading.orders
         WHERE state IN ('sending', 'accepted', 'unknown') AND resolved_at IS NULL AND placed_wall < $1
               AND ($2::uuid IS NULL OR order_id = $2)
         ORDER BY placed_wall LIMIT $3",
    );
    rows.bind(before.to_sqlx()).bind(only.map(|o| o.0)).bind(limit).fetch_all(pool).await?.iter().map(order).collect()
}

pub(crate) async fn mark_ended_by(pool: &PgPool, order: OrderId, by: &str) -> Result<()> {
    let ended = sqlx::query("UPDATE trading.orders SET ended_by = $2 WHERE order_id = $1 AND ended_by IS NULL");
    ended.bind(order.0).bind(by).execute(pool).await?;
    Ok(())
}

/// Orders that were being sent when their process went away: nobody knows what became of them.
pub(crate) async fn abandon_sending(pool: &PgPool, sent_before: WallTime, wall: WallTime) -> Result<u64> {
    let left = sqlx::query(
        "UPDATE trading.orders SET state = 'unknown', was_unknown = true, looks = 0, next_look_wall = $2
         WHERE state = 'sending' AND resolved_at IS NULL AND sent_wall < $1",
    );
    Ok(left.bind(sent_before.to_sqlx()).bind(wall.to_sqlx()).execute(pool).await?.rows_affected())
}

/// A new attempt with an id of its own, stored before anybody can send it.
pub(crate) async fn next_attempt(pool: &PgPool, order: &Order, now: Timestamp, look_at: WallTime) -> Result<()> {
    let attempt = order.attempt + 1;
    sqlx::query(
        "WITH moved AS (UPDATE trading.orders SET state = 'held', attempt = $2, client_order_id = $3, next_look_wall = $5,
                               sent_at = NULL, sent_wall = NULL, sent_step = NULL
                        WHERE order_id = $1 AND state = 'sending' RETURNING order_id)
         INSERT INTO trading.attempt (client_order_id, order_id, attempt, stored_at) SELECT $3, order_id, $2, $4 FROM moved",
    )
    .bind(order.id.0)
    .bind(attempt)
    .bind(client_order_id(order.id, attempt))
    .bind(now.to_sqlx())
    .bind(look_at.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

/// Orders to be looked up now.
pub(crate) async fn due_orders(pool: &PgPool, wall: WallTime, limit: i64) -> Result<Vec<Order>> {
    let rows = sqlx::query(
        "SELECT * FROM trading.orders WHERE state IN ('accepted', 'unknown') AND resolved_at IS NULL AND next_look_wall <= $1
         ORDER BY next_look_wall LIMIT $2",
    );
    rows.bind(wall.to_sqlx()).bind(limit).fetch_all(pool).await?.iter().map(order).collect()
}

pub(crate) async fn look_again(pool: &PgPool, order: OrderId, at: WallTime) -> Result<()> {
    let later = sqlx::query(
        "UPDATE trading.orders SET looks = looks + 1, next_look_wall = $2 WHERE order_id = $1 AND resolved_at IS NULL",
    );
    later.bind(order.0).bind(at.to_sqlx()).execute(pool).await?;
    Ok(())
}

pub(crate) async fn finish_order(
    conn: &mut PgConnection,
    order: &Order,
    fate: &Fate,
    ending: Ending,
    now: Timestamp,
    wall: WallTime,
) -> Result<()> {
    let (exchange_order_id, filled, cost, fees) = match fate {
        Fate::Taken { exchange_order_id, filled, cost, fees } => (Some(exchange_order_id), filled.0, cost.0, fees.0),
        Fate::NotTaken { .. } => (order.exchange_order_id.as_ref(), 0, 0, 0),
    };
    sqlx::query(
        "UPDATE trading.orders SET state = $2, exchange_order_id = $3, filled = $4, cost_micros = $5, fees_micros = $6,
                captured_points = $7, released_points = $8, reason = $9, resolved_at = $10, resolved_wall = $11,
                resolved_by = pg_current_xact_id()
         WHERE order_id = $1",
    )
    .bind(order.id.0)
    .bind(ending.state.as_str())
    .bind(exchange_order_id)
    .bind(filled)
    .bind(cost)
    .bind(fees)
    .bind(ending.captured.0)
    .bind((order.hold - ending.captured).0)
    .bind(ending.reason)
    .bind(now.to_sqlx())
    .bind(wall.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}
