//! Markets' SQL.

use hunch_db::WallToSqlx;
use hunch_db::columns::{maybe_time, strange, time, wall_time};
use hunch_exchange::{EventReport, ExchangeShard, FeeRule, MarketReport, MarketResult, PriceBand, SeriesReport};
use hunch_kernel::{Count, EventTicker, MarketTicker, Price, SeriesTicker, WallTime};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use std::collections::{HashMap, HashSet};

use crate::market::{Market, ends_at, result_of, result_word, status_of, status_word};
use crate::state::Known;
use crate::{Kind, KindRule};

type Result<T> = std::result::Result<T, sqlx::Error>;

fn price(micros: i64) -> Result<Price> {
    Price::from_micros(micros).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

fn market(row: &PgRow) -> Result<Market> {
    let maybe_price = |column: &str| row.try_get::<Option<i64>, _>(column)?.map(price).transpose();
    let kind: &str = row.try_get("kind")?;
    let status: &str = row.try_get("status")?;
    let bands: Vec<i64> = row.try_get("bands")?;
    let bands =
        bands.chunks_exact(3).map(|b| Ok(PriceBand { start: price(b[0])?, end: price(b[1])?, step: price(b[2])? }));
    let fee: Option<i64> = row.try_get("fee_millionths")?;
    Ok(Market {
        ticker: MarketTicker(row.try_get("ticker")?),
        event: EventTicker(row.try_get("event")?),
        series: SeriesTicker(row.try_get("series")?),
        kind: kind.parse().map_err(|()| strange("kind", kind))?,
        event_title: row.try_get("event_title")?,
        title: row.try_get("title")?,
        yes_label: row.try_get("yes_label")?,
        no_label: row.try_get("no_label")?,
        rules: row.try_get("rules")?,
        status: status_of(status).ok_or_else(|| strange("status", status))?,
        result: row
            .try_get::<Option<&str>, _>("result")?
            .map(|r| result_of(r).ok_or_else(|| strange("result", r)))
            .transpose()?,
        settlement_value: maybe_price("settlement_value")?,
        yes_bid: maybe_price("yes_bid")?,
        yes_ask: maybe_price("yes_ask")?,
        last_price: maybe_price("last_price")?,
        volume: Count(row.try_get("volume")?),
        bands: bands.collect::<Result<_>>()?,
        open_time: time(row, "open_time")?,
        close_time: time(row, "close_time")?,
        expected_end: maybe_time(row, "expected_end")?,
        occurs_at: maybe_time(row, "occurs_at")?,
        ends_at: time(row, "ends_at")?,
        exchange_shard: ExchangeShard(row.try_get("exchange_shard")?),
        fee: fee.map_or(FeeRule::Unsupported, |millionths| FeeRule::Quadratic { millionths }),
        seen_at: time(row, "seen_at")?,
    })
}

/// Markets by ticker, in no order.
pub(crate) async fn markets(pool: &PgPool, tickers: &[MarketTicker]) -> Result<Vec<Market>> {
    let rows = sqlx::query(
        "SELECT m.*, e.series, e.title AS event_title, s.kind,
                CASE WHEN e.own_fee THEN e.fee_millionths ELSE s.fee_millionths END AS fee_millionths
         FROM markets.market m JOIN markets.event e ON e.ticker = m.event JOIN markets.series s ON s.ticker = e.series
         WHERE m.ticker = ANY($1)",
    )
    .bind(names(tickers))
    .fetch_all(pool)
    .await?;
    rows.iter().map(market).collect()
}

/// Markets that end after `since`, by end and ticker.
pub(crate) async fn ending_after(pool: &PgPool, since: Timestamp) -> Result<Vec<Market>> {
    let rows = sqlx::query(
        "SELECT m.*, e.series, e.title AS event_title, s.kind,
                CASE WHEN e.own_fee THEN e.fee_millionths ELSE s.fee_millionths END AS fee_millionths
         FROM markets.market m JOIN markets.event e ON e.ticker = m.event JOIN markets.series s ON s.ticker = e.series
         WHERE m.ends_at > $1 ORDER BY m.ends_at, m.ticker COLLATE \"C\"",
    )
    .bind(since.to_sqlx())
    .fetch_all(pool)
    .await?;
    rows.iter().map(market).collect()
}

fn names(tickers: &[MarketTicker]) -> Vec<String> {
    tickers.iter().map(|t| t.0.clone()).collect()
}

pub(crate) async fn kind_rules(pool: &PgPool) -> Result<Vec<KindRule>> {
    let rows = sqlx::query("SELECT field, value, kind FROM markets.kind_rule ORDER BY rank").fetch_all(pool).await?;
    rows.iter()
        .map(|r| {
            let kind: &str = r.try_get(2)?;
            Ok(KindRule {
                field: r.try_get(0)?,
                value: r.try_get(1)?,
                kind: kind.parse().map_err(|()| strange("kind", kind))?,
            })
        })
        .collect()
}

fn millionths(fee: FeeRule) -> Option<i64> {
    match fee {
        FeeRule::Quadratic { millionths } => Some(millionths),
        FeeRule::Unsupported => None,
    }
}

pub(crate) async fn put_series(conn: &mut PgConnection, series: &[(SeriesReport, Kind)]) -> Result<()> {
    for (report, kind) in series {
        sqlx::query(
            "INSERT INTO markets.series (ticker, title, category, tags, kind, fee_millionths) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT ON CONSTRAINT series_once DO UPDATE
             SET title = $2, category = $3, tags = $4, kind = $5, fee_millionths = $6",
        )
        .bind(report.ticker.as_str())
        .bind(&report.title)
        .bind(&report.category)
        .bind(&report.tags)
        .bind(kind.as_str())
        .bind(millionths(report.fee))
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

pub(crate) async fn put_event(conn: &mut PgConnection, event: &EventReport) -> Result<()> {
    sqlx::query(
        "INSERT INTO markets.event (ticker, series, title, sub_title, own_fee, fee_millionths) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT ON CONSTRAINT event_once DO UPDATE SET title = $3, sub_title = $4, own_fee = $5, fee_millionths = $6",
    )
    .bind(event.ticker.as_str())
    .bind(event.series.as_str())
    .bind(&event.title)
    .bind(&event.sub_title)
    .bind(event.fee.is_some())
    .bind(event.fee.and_then(millionths))
    .execute(conn)
    .await?;
    Ok(())
}

/// Which of these events are stored.
pub(crate) async fn known_events(pool: &PgPool, tickers: &[String]) -> Result<HashSet<String>> {
    let rows = sqlx::query_scalar("SELECT ticker FROM markets.event WHERE ticker = ANY($1)").bind(tickers);
    Ok(rows.fetch_all(pool).await?.into_iter().collect())
}

/// The kinds of these events, as far as they are stored.
pub(crate) async fn event_kinds(conn: &mut PgConnection, events: &[String]) -> Result<HashMap<EventTicker, Kind>> {
    let rows = sqlx::query(
        "SELECT e.ticker, s.kind FROM markets.event e JOIN markets.series s ON s.ticker = e.series WHERE e.ticker = ANY($1)",
    )
    .bind(events)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|r| {
            let kind: &str = r.try_get(1)?;
            Ok((EventTicker(r.try_get(0)?), kind.parse().map_err(|()| strange("kind", kind))?))
        })
        .collect()
}

/// The event of a stored market, and its kind.
pub(crate) async fn event_and_kind(conn: &mut PgConnection, ticker: &MarketTicker) -> Result<(String, Kind)> {
    let row = sqlx::query(
        "SELECT m.event, s.kind FROM markets.market m JOIN markets.event e ON e.ticker = m.event
         JOIN markets.series s ON s.ticker = e.series WHERE m.ticker = $1",
    )
    .bind(ticker.as_str())
    .fetch_one(conn)
    .await?;
    let kind: &str = row.try_get(1)?;
    Ok((row.try_get(0)?, kind.parse().map_err(|()| strange("kind", kind))?))
}

pub(crate) async fn known_series(pool: &PgPool, ticker: &str) -> Result<bool> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM markets.series WHERE ticker = $1)").bind(ticker);
    found.fetch_one(pool).await
}

/// What is stored of these markets' states.
pub(crate) async fn states(conn: &mut PgConnection, tickers: &[String]) -> Result<HashMap<String, Known>> {
    let rows =
        sqlx::query("SELECT ticker, status, result, settlement_value FROM markets.market WHERE ticker = ANY($1)")
            .bind(tickers)
            .fetch_all(conn)
            .await?;
    rows.iter()
        .map(|r| {
            let status: &str = r.try_get(1)?;
            let result = r.try_get::<Option<&str>, _>(2)?.and_then(result_of);
            let value = r.try_get::<Option<i64>, _>(3)?.map(price).transpose()?;
            let status = status_of(status).ok_or_else(|| strange("status", status))?;
            Ok((r.try_get(0)?, Known { status, outcome: result.zip(value) }))
        })
        .collect()
}

/// Prices, times and words of markets that are stored; their state is not touched.
pub(crate) async fn refresh(conn: &mut PgConnection, reports: &[&MarketReport], now: Timestamp) -> Result<()> {
    let micros = |of: fn(&MarketReport) -> Option<Price>| -> Vec<Option<i64>> {
        reports.iter().map(|r| of(r).map(Price::micros)).collect()
    };
    let times = |of: fn(&MarketReport) -> Timestamp| -> Vec<jiff_sqlx::Timestamp> {
        reports.iter().map(|r| of(r).to_sqlx()).collect()
    };
    sqlx::query(
        "UPDATE markets.market m SET yes_bid = t.bid, yes_ask = t.ask, last_price = t.last, volume = t.volume,
                close_time = t.closes, expected_end = t.expected, ends_at = t.ends, seen_at = $9
         FROM UNNEST($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[])
              AS t(ticker, bid, ask, last, volume, closes, expected, ends)
         WHERE m.ticker = t.ticker AND m.status <> 'finalized'",
    )
    .bind(reports.iter().map(|r| r.ticker.0.clone()).collect::<Vec<_>>())
    .bind(micros(|r| r.yes_bid))
    .bind(micros(|r| r.yes_ask))
    .bind(micros(|r| r.last_price))
    .bind(reports.iter().map(|r| r.volume.0).collect::<Vec<_>>())
    .bind(times(|r| r.close_time))
    .bind(reports.iter().map(|r| r.expected_end.map(ToSqlx::to_sqlx)).collect::<Vec<Option<jiff_sqlx::Timestamp>>>())
    .bind(times(ends_at))
    .bind(now.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

/// A market that was not stored, in its state as first seen. Says whether it was new.
pub(crate) async fn insert(conn: &mut PgConnection, report: &MarketReport, now: Timestamp) -> Result<bool> {
    let bands: Vec<i64> =
        report.prices.iter().flat_map(|b| [b.start.micros(), b.end.micros(), b.step.micros()]).collect();
    let inserted = sqlx::query(
        "INSERT INTO markets.market (ticker, event, title, yes_label, no_label, rules, status, yes_bid, yes_ask,
                last_price, volume, bands, open_time, close_time, expected_end, occurs_at, ends_at, exchange_shard, seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'initialized', $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT ON CONSTRAINT market_once DO NOTHING",
    )
    .bind(report.ticker.as_str())
    .bind(report.event.as_str())
    .bind(&report.title)
    .bind(&report.yes_label)
    .bind(&report.no_label)
    .bind(&report.rules)
    .bind(report.yes_bid.map(Price::micros))
    .bind(report.yes_ask.map(Price::micros))
    .bind(report.last_price.map(Price::micros))
    .bind(report.volume.0)
    .bind(bands)
    .bind(report.open_time.to_sqlx())
    .bind(report.close_time.to_sqlx())
    .bind(report.expected_end.map(ToSqlx::to_sqlx))
    .bind(report.occurs_at.map(ToSqlx::to_sqlx))
    .bind(ends_at(report).to_sqlx())
    .bind(report.exchange_shard.0)
    .bind(now.to_sqlx())
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn set_state(conn: &mut PgConnection, ticker: &str, now: &Known) -> Result<()> {
    sqlx::query("UPDATE markets.market SET status = $2, result = $3, settlement_value = $4 WHERE ticker = $1")
        .bind(ticker)
        .bind(status_word(now.status))
        .bind(now.outcome.map(|o| result_word(o.0)))
        .bind(now.outcome.map(|o| o.1.micros()))
        .execute(conn)
        .await?;
    Ok(())
}

/// Appends a revision and gives its number.
pub(crate) async fn add_determination(
    conn: &mut PgConnection,
    ticker: &str,
    outcome: (MarketResult, Price),
    seen_at: Timestamp,
    seen_wall: WallTime,
) -> Result<i16> {
    sqlx::query_scalar(
        "INSERT INTO markets.determination (ticker, revision, result, value, seen_at, seen_wall)
         SELECT $1, coalesce(max(revision), 0) + 1, $2, $3, $4, $5 FROM markets.determination WHERE ticker = $1
         RETURNING revision",
    )
    .bind(ticker)
    .bind(result_word(outcome.0))
    .bind(outcome.1.micros())
    .bind(seen_at.to_sqlx())
    .bind(seen_wall.to_sqlx())
    .fetch_one(conn)
    .await
}

/// Makes the newest revision the final one.
pub(crate) async fn add_final(
    conn: &mut PgConnection,
    ticker: &str,
    settled_at: Timestamp,
    seen_at: Timestamp,
    seen_wall: WallTime,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO markets.final (ticker, revision, result, value, settled_at, seen_at, seen_wall)
         SELECT ticker, revision, result, value, $2, $3, $4 FROM markets.determination
         WHERE ticker = $1 ORDER BY revision DESC LIMIT 1
         ON CONFLICT ON CONSTRAINT final_once DO NOTHING",
    )
    .bind(ticker)
    .bind(settled_at.to_sqlx())
    .bind(seen_at.to_sqlx())
    .bind(seen_wall.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

/// Markets with stakes whose result is not final yet.
pub(crate) async fn watched(pool: &PgPool) -> Result<Vec<MarketTicker>> {
    let found = sqlx::query_scalar(
        "SELECT ticker FROM markets.market WHERE watched AND status <> 'finalized' ORDER BY ends_at, ticker",
    );
    Ok(found.fetch_all(pool).await?.into_iter().map(MarketTicker).collect())
}

/// Looks out for the results of these markets from now on: somebody has a stake there. In the stake's transaction.
///
/// # Errors
/// When the database fails.
pub async fn watch(conn: &mut PgConnection, tickers: &[MarketTicker]) -> Result<()> {
    sqlx::query("UPDATE markets.market SET watched = true WHERE ticker = ANY($1) AND NOT watched")
        .bind(names(tickers))
        .execute(conn)
        .await?;
    Ok(())
}

/// The result that is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    pub ticker: MarketTicker,
    pub revision: i16,
    pub result: MarketResult,
    /// What one YES contract pays.
    pub value: Price,
    /// When the exchange paid, by its own clock.
    pub settled_at: Timestamp,
    /// When we first saw it, on both clocks.
    pub seen_at: Timestamp,
    pub seen_wall: WallTime,
}

/// The final results of those of these markets that have one.
///
/// # Errors
/// When the database fails.
pub async fn finals(conn: &mut PgConnection, tickers: &[MarketTicker]) -> Result<Vec<Final>> {
    let rows = sqlx::query(
        "SELECT ticker, revision, result, value, settled_at, seen_at, seen_wall FROM markets.final WHERE ticker = ANY($1)
         ORDER BY seen_wall, ticker",
    )
    .bind(names(tickers))
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|r| {
            let result: &str = r.try_get("result")?;
            Ok(Final {
                ticker: MarketTicker(r.try_get("ticker")?),
                revision: r.try_get("revision")?,
                result: result_of(result).ok_or_else(|| strange("result", result))?,
                value: price(r.try_get("value")?)?,
                settled_at: time(r, "settled_at")?,
                seen_at: time(r, "seen_at")?,
                seen_wall: wall_time(r, "seen_wall")?,
            })
        })
        .collect()
}

/// The final result of a market, once there is one.
///
/// # Errors
/// When the database fails.
pub async fn final_of(conn: &mut PgConnection, ticker: &MarketTicker) -> Result<Option<Final>> {
    Ok(finals(conn, std::slice::from_ref(ticker)).await?.pop())
}

/// How many results were amended before they were paid, since (business time).
///
/// # Errors
/// When the database fails.
pub async fn amended_since(pool: &PgPool, since: Timestamp) -> Result<i64> {
    let count = sqlx::query_scalar("SELECT count(*) FROM markets.determination WHERE revision > 1 AND seen_at >= $1");
    count.bind(since.to_sqlx()).fetch_one(pool).await
}
