//! One market ends and its positions are credited by a whole running programme: from the stored final result to each
//! payout committed. The floor is PostgreSQL writing the same rows by itself: two sessions, chunks of 1,000, no logic.

use anyhow::ensure;
use hunch_kernel::{MemberId, derived_uuid, shard_of};
use hunch_ledger::open_members;
use sqlx::PgPool;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::bench::apart::{end, serve_apart};
use crate::bench::{Figures, Measured, cpu_seconds, measured, wal_bytes};
use crate::serve::Served;
use crate::settings::Settings;

const MARKET: &str = "KXBENCH-26-A";
const ROWS_AT_ONCE: usize = 10_000;
const SECONDS_MAX: u64 = 300;

#[derive(clap::Args, Debug)]
pub struct SettleBench {
    #[arg(long, default_value_t = 100_000)]
    positions: usize,
    #[arg(long, default_value_t = 20_000)]
    members: usize,
}

pub async fn run(options: &SettleBench, settings: &Settings) -> anyhow::Result<Measured> {
    let served = serve_apart(settings).await?;
    let measured = measure(options, &served.0).await;
    end(served).await?;
    measured
}

async fn measure(options: &SettleBench, served: &Served) -> anyhow::Result<Measured> {
    let (app, owner) = (served.database.app(), served.database.owner());
    positions(options, app, owner).await?;
    let floor = floor(options, owner).await?;

    let (wal, cpu, begun) = (wal_bytes(app).await?, cpu_seconds(), Instant::now());
    // As when the exchange's last word has just been read.
    sqlx::query(
        "WITH d AS (INSERT INTO markets.determination (ticker, revision, result, value, seen_at, seen_wall)
                    VALUES ($1, 1, 'yes', 1000000, now(), clock_timestamp()))
         INSERT INTO markets.final (ticker, revision, result, value, settled_at, seen_at, seen_wall)
         VALUES ($1, 1, 'yes', 1000000, now(), now(), clock_timestamp())",
    )
    .bind(MARKET)
    .execute(owner)
    .await?;
    served.trading.ring_results();
    let paid = loop {
        let paid: Option<i64> = sqlx::query_scalar("SELECT positions::int8 FROM trading.market_paid WHERE market = $1")
            .bind(MARKET)
            .fetch_optional(app)
            .await?;
        match paid {
            Some(paid) => break paid,
            None => ensure!(begun.elapsed() < Duration::from_secs(SECONDS_MAX), "the market was not paid in time"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let took = begun.elapsed();
    ensure!(paid == options.positions as i64, "{paid} of {} positions were paid", options.positions);
    let (cpu, wal) = (cpu_seconds() - cpu, wal_bytes(app).await? - wal);
    let waited: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM p.paid_wall - f.seen_wall)::float8 FROM trading.position p JOIN markets.final f ON f.ticker = p.market",
    )
    .fetch_all(owner)
    .await?;
    let mut latencies: Vec<Duration> = waited.into_iter().map(|s| Duration::from_secs_f64(s.max(0.0))).collect();
    let figures = Figures { done: paid as f64, took, cpu, wal, floor, clients: 1, batch: 1_000 };
    Ok(measured("settle", &mut latencies, &figures))
}

/// A closed market with so many open positions, each of an order that cost 20 points and is worth 40.
async fn positions(options: &SettleBench, app: &PgPool, owner: &PgPool) -> anyhow::Result<()> {
    let members: Vec<MemberId> = (0..options.members as u128).map(|n| MemberId(Uuid::from_u128(n + 1))).collect();
    let all_shards = hunch_log::shards(app).await?;
    let mut connection = app.acquire().await?;
    for some in members.chunks(ROWS_AT_ONCE) {
        open_members(&mut connection, some, all_shards).await?;
    }
    drop(connection);
    sqlx::raw_sql(
        "INSERT INTO markets.series (ticker, title, category, tags, kind) VALUES ('KXBENCH', 'Bench', 'Sports', '{}', 'sports');
         INSERT INTO markets.event (ticker, series, title, sub_title, own_fee) VALUES ('KXBENCH-26', 'KXBENCH', 'Bench', '', false);
         INSERT INTO markets.market (ticker, event, title, yes_label, no_label, rules, status, result, settlement_value, volume, bands, open_time, close_time, ends_at, exchange_shard, seen_at)
         VALUES ('KXBENCH-26-A', 'KXBENCH-26', 'Bench', 'Yes', 'No', '', 'finalized', 'yes', 1000000, 0, '{}', now() - interval '1 day', now(), now(), 0, now());",
    )
    .execute(owner)
    .await?;
    for first in (0..options.positions).step_by(ROWS_AT_ONCE) {
        let (mut orders, mut owners, mut shards) = (Vec::new(), Vec::new(), Vec::new());
        for n in first..options.positions.min(first + ROWS_AT_ONCE) {
            let member = members[n * 7 % members.len()];
            orders.push(derived_uuid(&[b"bench-order", &n.to_be_bytes()]));
            owners.push(member.0);
            shards.push(shard_of(member, all_shards).0);
        }
        sqlx::query(
            "WITH made AS (SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::int2[]) AS m(order_id, member, shard)),
             holds AS (INSERT INTO ledger.hold (hold, member, shard, amount, captured, open, owner, placed_at, closed_at)
                       SELECT order_id, member, shard, 20, 20, false, 'order-dispatcher', now(), now() FROM made)
             INSERT INTO trading.position (position, order_id, member, shard, market, category, side, count, cost_points, rate_micros, opened_at)
             SELECT encode(substr(sha256(uuid_send(order_id)), 1, 16), 'hex')::uuid, order_id, member, shard, $4, 'sports', 'yes', 40, 20, 10000, now() FROM made",
        )
        .bind(&orders)
        .bind(&owners)
        .bind(&shards)
        .bind(MARKET)
        .execute(owner)
        .await?;
    }
    sqlx::query("INSERT INTO trading.hedge (market, exchange_shard, yes, no) VALUES ($1, 0, $2, 0)")
        .bind(MARKET)
        .bind(40 * options.positions as i64)
        .execute(owner)
        .await?;
    Ok(())
}

/// Positions a second that PostgreSQL alone can mark, with command, entry, payout and balance of each.
async fn floor(options: &SettleBench, owner: &PgPool) -> anyhow::Result<f64> {
    sqlx::raw_sql(
        "CREATE SCHEMA floor;
         CREATE TABLE floor.command (LIKE ledger.command INCLUDING ALL);
         CREATE TABLE floor.entry (LIKE ledger.entry INCLUDING ALL);
         CREATE TABLE floor.payout (LIKE ledger.payout INCLUDING ALL);
         CREATE TABLE floor.hold (LIKE ledger.hold INCLUDING ALL) WITH (fillfactor = 80);
         CREATE TABLE floor.position (LIKE trading.position INCLUDING ALL) WITH (fillfactor = 80);
         CREATE TABLE floor.account (LIKE ledger.member_account INCLUDING ALL) WITH (fillfactor = 50);
         INSERT INTO floor.account SELECT * FROM ledger.member_account;
         INSERT INTO floor.hold SELECT * FROM ledger.hold;
         INSERT INTO floor.position SELECT * FROM trading.position;
         ANALYZE floor.position;",
    )
    .execute(owner)
    .await?;
    let shards = hunch_log::shards(owner).await? as i16;
    let begun = Instant::now();
    let mut sessions = JoinSet::new();
    for session in 0..2i16 {
        let owner = owner.clone();
        sessions.spawn(async move {
            for shard in (session..shards).step_by(2) {
                let mut chunk = 0i64;
                loop {
                    chunk += 1;
                    let done = sqlx::query(
                        "WITH due AS MATERIALIZED (SELECT position, order_id, member FROM floor.position WHERE market = $1 AND shard = $2 AND paid_at IS NULL LIMIT 1000),
                         item AS MATERIALIZED (SELECT *, row_number() OVER () + $3 * 1000 AS n FROM due),
                         c AS (INSERT INTO floor.command SELECT position, $2, n, 0, 40, 40, 0, 0, 0 FROM item),
                         e AS (INSERT INTO floor.entry SELECT $2, n, 0, member, 12, 1, position, 40, 13, order_id, 0, 40, now(), 0 FROM item),
                         p AS (INSERT INTO floor.payout SELECT order_id, position, member, 40, 0, 40 FROM item),
                         h AS (UPDATE floor.hold t SET settled = true FROM item WHERE t.hold = item.order_id),
                         a AS (UPDATE floor.account t SET available = available + s.points, credited = credited + s.points
                               FROM (SELECT member, 40 * count(*) AS points FROM item GROUP BY member) s WHERE t.member = s.member)
                         UPDATE floor.position t SET paid_revision = 1, result = 'yes', gross_micros = 400000, paid_points = 40, paid_at = now(), paid_wall = now()
                         FROM item WHERE t.position = item.position",
                    )
                    .bind(MARKET)
                    .bind(shard)
                    .bind(chunk)
                    .execute(&owner)
                    .await?;
                    if done.rows_affected() == 0 {
                        break;
                    }
                }
            }
            Ok::<(), sqlx::Error>(())
        });
    }
    while let Some(done) = sessions.join_next().await {
        done??;
    }
    let per_second = options.positions as f64 / begun.elapsed().as_secs_f64();
    sqlx::raw_sql("DROP SCHEMA floor CASCADE").execute(owner).await?;
    Ok(per_second)
}
