//! The dollar ledger's SQL.

use hunch_db::WallToSqlx;
use hunch_exchange::ExchangeShard;
use hunch_kernel::{Dollars, MarketTicker, WallTime};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgExecutor, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::{Account, Transfer};

/// Books transfers, each once for ever. In the transaction of what they book.
///
/// # Errors
/// When the database fails.
pub async fn post(conn: &mut PgConnection, transfers: &[Transfer], at: Timestamp) -> Result<(), sqlx::Error> {
    let lines: Vec<(&Transfer, i16, &crate::Entry)> = transfers
        .iter()
        .flat_map(|t| t.entries.iter().enumerate().map(move |(n, entry)| (t, n as i16, entry)))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH booked AS (
             INSERT INTO treasury.entry (transfer, line, debit, credit, exchange_shard, market, amount, kind, conversion, at)
             SELECT *, $10 FROM UNNEST($1::uuid[], $2::int2[], $3::int2[], $4::int2[], $5::int2[], $6::text[], $7::int8[], $8::int2[], $9::uuid[])
             ON CONFLICT ON CONSTRAINT entry_once DO NOTHING RETURNING exchange_shard, debit, amount)
         INSERT INTO treasury.cash_part (exchange_shard, micros)
         SELECT exchange_shard, sum(CASE WHEN debit = 1 THEN amount ELSE -amount END)::bigint FROM booked
         WHERE exchange_shard IS NOT NULL GROUP BY exchange_shard",
    )
    .bind(lines.iter().map(|(t, _, _)| t.id).collect::<Vec<Uuid>>())
    .bind(lines.iter().map(|(_, n, _)| *n).collect::<Vec<i16>>())
    .bind(lines.iter().map(|(_, _, e)| e.debit.code()).collect::<Vec<i16>>())
    .bind(lines.iter().map(|(_, _, e)| e.credit.code()).collect::<Vec<i16>>())
    .bind(lines.iter().map(|(t, _, e)| touches(e, Account::ExchangeCash).then_some(t.exchange_shard.0)).collect::<Vec<Option<i16>>>())
    .bind(lines.iter().map(|(t, _, _)| t.market.as_ref().map(|m| m.0.clone())).collect::<Vec<Option<String>>>())
    .bind(lines.iter().map(|(_, _, e)| e.amount.0).collect::<Vec<i64>>())
    .bind(lines.iter().map(|(_, _, e)| e.kind.code()).collect::<Vec<i16>>())
    .bind(lines.iter().map(|(t, _, _)| t.conversion).collect::<Vec<Option<Uuid>>>())
    .bind(at.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

/// All accounts' balances, debits minus credits. Reads every entry: for reports, not for paths.
///
/// # Errors
/// When the database fails.
pub async fn balances(conn: &mut PgConnection) -> Result<BTreeMap<i16, Dollars>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT account, sum(amount)::bigint FROM (SELECT debit AS account, amount FROM treasury.entry
            UNION ALL SELECT credit, -amount FROM treasury.entry) moves GROUP BY account",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|r| Ok((r.try_get(0)?, Dollars(r.try_get(1)?)))).collect()
}

/// Whether any money at the exchange was ever booked.
///
/// # Errors
/// When the database fails.
pub async fn begun(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM treasury.entry WHERE exchange_shard IS NOT NULL)");
    found.fetch_one(conn).await
}

/// Debit, credit, exchange shard, market, micros.
type Line = (i16, i16, Option<i16>, Option<String>, i64);

/// Whether this transfer, and nothing else under its id, is booked.
///
/// # Errors
/// When the database fails.
pub async fn is_booked(books: impl PgExecutor<'_>, transfer: &Transfer) -> Result<bool, sqlx::Error> {
    let booked: Vec<Line> = sqlx::query_as(
        "SELECT debit, credit, exchange_shard, market, amount FROM treasury.entry WHERE transfer = $1 ORDER BY line",
    )
    .bind(transfer.id)
    .fetch_all(books)
    .await?;
    let line = |e: &crate::Entry| -> Line {
        let shard = touches(e, Account::ExchangeCash).then_some(transfer.exchange_shard.0);
        (e.debit.code(), e.credit.code(), shard, transfer.market.as_ref().map(|m| m.0.clone()), e.amount.0)
    };
    Ok(booked == transfer.entries.iter().map(line).collect::<Vec<_>>())
}

fn touches(entry: &crate::Entry, account: Account) -> bool {
    entry.debit == account || entry.credit == account
}

/// Our money at the exchange, per exchange shard, as our entries say. Costs what was booked since the last
/// comparison, not all history.
///
/// # Errors
/// When the database fails.
pub async fn cash(conn: &mut PgConnection) -> Result<BTreeMap<ExchangeShard, Dollars>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT exchange_shard, sum(micros)::bigint FROM treasury.cash_part GROUP BY exchange_shard")
            .fetch_all(conn)
            .await?;
    rows.iter().map(|r| Ok((ExchangeShard(r.try_get(0)?), Dollars(r.try_get(1)?)))).collect()
}

/// Puts the parts of each shard's cash together. One statement, so every reader sees all parts or their sum; two
/// at once take different rows.
async fn gather_cash(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH taken AS (DELETE FROM treasury.cash_part RETURNING exchange_shard, micros)
         INSERT INTO treasury.cash_part (exchange_shard, micros)
         SELECT exchange_shard, sum(micros)::bigint FROM taken GROUP BY exchange_shard",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is left in a market's account.
///
/// # Errors
/// When the database fails.
pub async fn market_balance(conn: &mut PgConnection, market: &MarketTicker) -> Result<Dollars, sqlx::Error> {
    let sum = sqlx::query_scalar(
        "SELECT coalesce(sum(CASE 3 WHEN debit THEN amount WHEN credit THEN -amount ELSE 0 END), 0)::bigint
         FROM treasury.entry WHERE market = $1",
    );
    Ok(Dollars(sum.bind(market.as_str()).fetch_one(conn).await?))
}

/// A comparison of our books with what the exchange says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CashSeen {
    pub exchange_shard: ExchangeShard,
    pub exchange: Dollars,
    pub ledger: Dollars,
    /// The most that orders and settlements on their way can explain.
    pub in_flight: Dollars,
}

impl CashSeen {
    /// Whether the difference is explained.
    pub fn agrees(&self) -> bool {
        (self.exchange - self.ledger).0.abs() <= self.in_flight.0
    }
}

/// Keeps comparisons for the audit, and makes the next one cheap.
///
/// # Errors
/// When the database fails.
pub async fn record_cash(conn: &mut PgConnection, seen: &[CashSeen], wall: WallTime) -> Result<(), sqlx::Error> {
    for s in seen {
        sqlx::query(
            "INSERT INTO treasury.cash_seen (seen_wall, exchange_shard, exchange_micros, ledger_micros, in_flight_micros)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT ON CONSTRAINT cash_seen_once DO NOTHING",
        )
        .bind(wall.to_sqlx())
        .bind(s.exchange_shard.0)
        .bind(s.exchange.0)
        .bind(s.ledger.0)
        .bind(s.in_flight.0)
        .execute(&mut *conn)
        .await?;
    }
    gather_cash(conn).await
}
