//! The hedge book, fills, settlements and comparisons.

use hunch_db::WallToSqlx;
use hunch_exchange::{ExchangeShard, FillReport, SettlementReport};
use hunch_kernel::{Count, Dollars, MarketTicker, PointRate, Points, WallTime};
use hunch_markets::{Final, result_word};
use hunch_treasury::{HedgeBook, Transfer};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use std::collections::{BTreeMap, HashSet};

use super::Result;
use crate::outcome::Bought;
use crate::reconcile::{HedgeRow, InFlight, revenue_at_most};

/// Adds a purchase and gives the book as it was before.
pub(crate) async fn add_to_hedge(conn: &mut PgConnection, bought: &Bought<'_>) -> Result<HedgeBook> {
    let added = HedgeBook::default().bought(bought.side, bought.count);
    let house = HedgeBook::default().bought(bought.side, bought.house);
    // A purchase that comes to light after the market was paid opens it again.
    let row = sqlx::query(
        "INSERT INTO trading.hedge AS h (market, exchange_shard, yes, no, house_yes, house_no) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT ON CONSTRAINT hedge_once DO UPDATE
         SET yes = h.yes + $3, no = h.no + $4, house_yes = h.house_yes + $5, house_no = h.house_no + $6, settled = false
         RETURNING yes, no",
    )
    .bind(bought.market.as_str())
    .bind(bought.exchange_shard.0)
    .bind(added.yes.0)
    .bind(added.no.0)
    .bind(house.yes.0)
    .bind(house.no.0)
    .fetch_one(conn)
    .await?;
    Ok(HedgeBook { yes: Count(row.try_get(0)?) - added.yes, no: Count(row.try_get(1)?) - added.no })
}

fn hedge(row: &PgRow) -> Result<HedgeRow> {
    Ok(HedgeRow {
        market: MarketTicker(row.try_get("market")?),
        exchange_shard: ExchangeShard(row.try_get("exchange_shard")?),
        yes: Count(row.try_get("yes")?),
        no: Count(row.try_get("no")?),
        house_yes: Count(row.try_get("house_yes")?),
        house_no: Count(row.try_get("house_no")?),
        settled: row.try_get("settled")?,
        revenue: row.try_get::<Option<i64>, _>("revenue_micros")?.map(Dollars),
    })
}

/// Rows that are not over: unpaid, or without their revenue.
pub(crate) async fn hedges(pool: &PgPool) -> Result<Vec<HedgeRow>> {
    let rows = sqlx::query("SELECT * FROM trading.hedge WHERE NOT settled OR revenue_micros IS NULL ORDER BY market");
    rows.fetch_all(pool).await?.iter().map(hedge).collect()
}

/// Markets with unpaid positions, as far as the hedge book knows.
pub(crate) async fn unsettled(pool: &PgPool) -> Result<Vec<MarketTicker>> {
    let rows = sqlx::query_scalar("SELECT market FROM trading.hedge WHERE NOT settled ORDER BY market");
    Ok(rows.fetch_all(pool).await?.into_iter().map(MarketTicker).collect())
}

/// Markets that are paid on our side and whose revenue is not booked.
pub(crate) async fn unbooked(pool: &PgPool) -> Result<Vec<HedgeRow>> {
    Ok(hedges(pool).await?.into_iter().filter(|h| h.settled && h.revenue.is_none()).collect())
}

/// The most that ended markets without a booked revenue can bring, per exchange shard. The exchange may have paid before
/// we read that a market ended: then its settlement row says so.
pub(crate) async fn unbooked_revenue_at_most(pool: &PgPool) -> Result<BTreeMap<ExchangeShard, Dollars>> {
    let mut most: BTreeMap<ExchangeShard, Dollars> = BTreeMap::new();
    let rows = sqlx::query(
        "SELECT h.exchange_shard, h.yes - h.no AS net FROM trading.hedge h JOIN markets.market m ON m.ticker = h.market
         WHERE h.revenue_micros IS NULL AND (m.status IN ('determined', 'disputed', 'amended', 'finalized')
               OR EXISTS (SELECT 1 FROM trading.exchange_settlement s WHERE s.market = h.market))",
    );
    for row in rows.fetch_all(pool).await? {
        *most.entry(ExchangeShard(row.try_get(0)?)).or_default() += revenue_at_most(Count(row.try_get(1)?));
    }
    Ok(most)
}

/// Of these markets, those with positions that are not paid.
pub(crate) async fn with_unpaid_positions(
    conn: &mut PgConnection,
    markets: &[MarketTicker],
) -> Result<HashSet<MarketTicker>> {
    let rows = sqlx::query_scalar(
        "SELECT market FROM UNNEST($1::text[]) AS asked(market)
         WHERE EXISTS (SELECT 1 FROM trading.position p WHERE p.market = asked.market AND p.paid_at IS NULL)",
    )
    .bind(markets.iter().map(|m| m.0.clone()).collect::<Vec<_>>());
    Ok(rows.fetch_all(conn).await?.into_iter().map(MarketTicker).collect())
}

/// Closes a market once nothing of it is unpaid and no order of it is open. Closed for the first time, it gives the moment
/// (wall time) at which the last position was paid.
pub(crate) async fn close_market(pool: &PgPool, result: &Final, wall: WallTime) -> Result<Option<WallTime>> {
    let closed = sqlx::query(
        "WITH closed AS (
            UPDATE trading.hedge h SET settled = true WHERE market = $1 AND NOT settled
            AND NOT EXISTS (SELECT 1 FROM trading.position p WHERE p.market = $1 AND p.paid_at IS NULL)
            AND NOT EXISTS (SELECT 1 FROM trading.orders o WHERE o.market = $1 AND o.resolved_at IS NULL)
            RETURNING market)
         INSERT INTO trading.market_paid (market, revision, positions, paid_points, seen_wall, credited_wall)
         SELECT $1, $2, count(p.position), coalesce(sum(p.paid_points), 0), $3, coalesce(max(p.paid_wall), $4)
         FROM closed LEFT JOIN trading.position p USING (market) GROUP BY closed.market
         ON CONFLICT ON CONSTRAINT market_paid_once DO NOTHING
         RETURNING credited_wall",
    )
    .bind(result.ticker.as_str())
    .bind(result.revision)
    .bind(result.seen_wall.to_sqlx())
    .bind(wall.to_sqlx())
    .fetch_optional(pool)
    .await?;
    closed.map(|row| super::wall_time(&row, "credited_wall")).transpose()
}

pub(crate) async fn is_paid(pool: &PgPool, market: &MarketTicker) -> Result<bool> {
    let paid = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM trading.market_paid WHERE market = $1)");
    paid.bind(market.as_str()).fetch_one(pool).await
}

/// Whether the exchange may have paid this market: from the determination on at any moment, or it says so itself.
pub(crate) async fn may_be_paid(pool: &PgPool, market: &MarketTicker) -> Result<bool> {
    let known = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM markets.market WHERE ticker = $1 AND status IN ('determined', 'disputed', 'amended', 'finalized'))
             OR EXISTS (SELECT 1 FROM trading.exchange_settlement WHERE market = $1)",
    );
    known.bind(market.as_str()).fetch_one(pool).await
}

pub(crate) async fn insert_fills(pool: &PgPool, fills: &[FillReport]) -> Result<()> {
    if fills.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO trading.fill (fill_id, exchange_order_id, market, side, count, price, fee_micros, filled_at)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::timestamptz[])
         ON CONFLICT ON CONSTRAINT fill_once DO NOTHING",
    )
    .bind(fills.iter().map(|f| f.fill_id.clone()).collect::<Vec<_>>())
    .bind(fills.iter().map(|f| f.exchange_order_id.clone()).collect::<Vec<_>>())
    .bind(fills.iter().map(|f| f.ticker.0.clone()).collect::<Vec<_>>())
    .bind(fills.iter().map(|f| f.side.as_str().to_owned()).collect::<Vec<_>>())
    .bind(fills.iter().map(|f| f.count.0).collect::<Vec<_>>())
    .bind(fills.iter().map(|f| f.price.micros()).collect::<Vec<_>>())
    .bind(fills.iter().map(|f| f.fee.0).collect::<Vec<_>>())
    .bind(fills.iter().map(|f| f.at.to_sqlx()).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(())
}

/// What the fills of an exchange order add up to: contracts, cost, fees.
pub(crate) async fn filled(pool: &PgPool, exchange_order_id: &str) -> Result<(Count, Dollars, Dollars)> {
    let rows = sqlx::query("SELECT count, price, fee_micros FROM trading.fill WHERE exchange_order_id = $1")
        .bind(exchange_order_id)
        .fetch_all(pool)
        .await?;
    let mut sum = (Count::ZERO, Dollars::ZERO, Dollars::ZERO);
    for row in rows {
        let count = Count(row.try_get(0)?);
        sum.0 += count;
        sum.1 += super::price(&row, "price")?.times_up(count);
        sum.2 += Dollars(row.try_get(2)?);
    }
    Ok(sum)
}

/// When we first placed an order, by the earlier of our clocks.
pub(crate) async fn first_order(pool: &PgPool) -> Result<Option<Timestamp>> {
    let row =
        sqlx::query("SELECT min(least(placed_at, placed_wall)) AS at FROM trading.orders").fetch_one(pool).await?;
    super::maybe_time(&row, "at")
}

/// When the exchange last paid a market that we know it paid.
pub(crate) async fn last_settlement(pool: &PgPool) -> Result<Option<Timestamp>> {
    let row = sqlx::query("SELECT max(settled_at) AS at FROM trading.exchange_settlement").fetch_one(pool).await?;
    super::maybe_time(&row, "at")
}

pub(crate) async fn last_fill(pool: &PgPool) -> Result<Option<Timestamp>> {
    let row = sqlx::query("SELECT max(filled_at) AS at FROM trading.fill").fetch_one(pool).await?;
    super::maybe_time(&row, "at")
}

pub(crate) async fn insert_settlements(pool: &PgPool, rows: &[SettlementReport]) -> Result<()> {
    for row in rows {
        sqlx::query(
            "INSERT INTO trading.exchange_settlement (market, settled_at, result, revenue_micros, fees_micros)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT ON CONSTRAINT exchange_settlement_once DO NOTHING",
        )
        .bind(row.ticker.as_str())
        .bind(row.settled_at.to_sqlx())
        .bind(result_word(row.result))
        .bind(row.revenue.0)
        .bind(row.fees.0)
        .execute(pool)
        .await?;
    }
    Ok(())
}

/// Markets that the exchange has paid and of whose end we have not read.
pub(crate) async fn paid_unread(pool: &PgPool) -> Result<Vec<MarketTicker>> {
    let rows = sqlx::query_scalar(
        "SELECT DISTINCT s.market FROM trading.exchange_settlement s JOIN trading.hedge h USING (market)
         WHERE h.revenue_micros IS NULL AND NOT EXISTS (SELECT 1 FROM markets.final f WHERE f.ticker = s.market)",
    );
    let markets: Vec<String> = rows.fetch_all(pool).await?;
    Ok(markets.into_iter().map(MarketTicker).collect())
}

pub(crate) async fn settlement_revenue(pool: &PgPool, market: &MarketTicker) -> Result<Option<Dollars>> {
    let sum =
        sqlx::query_scalar("SELECT sum(revenue_micros)::bigint FROM trading.exchange_settlement WHERE market = $1");
    sum.bind(market.as_str()).fetch_one(pool).await.map(|m: Option<i64>| m.map(Dollars))
}

/// Books a market's revenue, once.
pub(crate) async fn book_revenue(
    pool: &PgPool,
    market: &MarketTicker,
    revenue: Dollars,
    booked: &Transfer,
    now: Timestamp,
) -> Result<()> {
    let mut tx = hunch_db::begin(pool).await?;
    let marked =
        sqlx::query("UPDATE trading.hedge SET revenue_micros = $2 WHERE market = $1 AND revenue_micros IS NULL")
            .bind(market.as_str())
            .bind(revenue.0)
            .execute(&mut *tx)
            .await?;
    if marked.rows_affected() == 1 {
        hunch_treasury::post(&mut tx, std::slice::from_ref(booked), now).await?;
    }
    tx.commit().await
}

/// What open and just ended orders could still change, per exchange shard and market.
pub(crate) async fn in_flight(pool: &PgPool, ended_after: WallTime) -> Result<InFlight> {
    let rows = sqlx::query(
        "SELECT market, exchange_shard, count, hold_points, rate_micros FROM trading.orders
         WHERE (resolved_at IS NULL AND state <> 'held') OR (resolved_wall > $1 AND filled > 0)",
    )
    .bind(ended_after.to_sqlx())
    .fetch_all(pool)
    .await?;
    let mut found = InFlight::default();
    for row in rows {
        let rate = PointRate { id: 0, micros: row.try_get("rate_micros")? };
        let count = Count(row.try_get("count")?);
        // It costs at most its hold, and brings at most a dollar a pair.
        let cash = rate.dollars(Points(row.try_get("hold_points")?)).max(revenue_at_most(count));
        *found.cash.entry(ExchangeShard(row.try_get("exchange_shard")?)).or_default() += cash;
        *found.counts.entry(MarketTicker(row.try_get("market")?)).or_default() += count;
    }
    Ok(found)
}

pub(crate) async fn record_nets(
    pool: &PgPool,
    rows: &[(MarketTicker, Count, Count, Count)],
    wall: WallTime,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO trading.net_seen (market, seen_wall, exchange_net, book_net, in_flight)
         SELECT market, $5, theirs, ours, flight FROM UNNEST($1::text[], $2::int8[], $3::int8[], $4::int8[]) AS t(market, theirs, ours, flight)
         ON CONFLICT ON CONSTRAINT net_seen_once DO UPDATE
         SET seen_wall = $5, exchange_net = excluded.exchange_net, book_net = excluded.book_net, in_flight = excluded.in_flight",
    )
    .bind(rows.iter().map(|r| r.0.0.clone()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.1.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.2.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.3.0).collect::<Vec<_>>())
    .bind(wall.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}
