//! How many points commands a second the ledger takes, beside what PostgreSQL alone could write.

use anyhow::ensure;
use async_trait::async_trait;
use hunch_kernel::{MemberId, MerchantId, Points, Shard, shard_of};
use hunch_ledger::{
    Action, BatchError, Batcher, Command, EarnBucket, Funder, Outcome, Reason, ShardHandler, apply, open_members,
};
use hunch_log::{ShardTx, Tail};
use sqlx::PgPool;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::bench::apart::on_new_books;
use crate::bench::{Figures, Measured, cpu_seconds, measured, wal_bytes};
use crate::settings::Settings;

#[derive(clap::Args, Debug)]
pub struct LedgerBench {
    /// Commands in all.
    #[arg(long, default_value_t = 400_000)]
    commands: usize,
    /// Members they are spread over.
    #[arg(long, default_value_t = 10_000)]
    members: usize,
    /// Parallel clients.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Commands a client hands in at once.
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// Merchants who pay for the points.
    #[arg(long, default_value_t = 40)]
    sponsors: u128,
}

struct Earnings;

#[async_trait]
impl ShardHandler for Earnings {
    type Request = Command;
    type Answer = Outcome;
    const NAME: &'static str = "bench-earnings";

    async fn handle(&self, tx: &mut ShardTx, requests: &[Command]) -> Result<Vec<Outcome>, BatchError> {
        apply(tx, requests).await
    }
}

pub async fn run(options: &LedgerBench, settings: &Settings) -> anyhow::Result<Measured> {
    on_new_books(settings, async |app, owner| {
        let members = open(app, options.members).await?;
        let floor = floor(options.commands, options.members, owner).await?;
        let load = Load {
            commands: options.commands,
            clients: options.clients,
            batch: options.batch,
            sponsors: options.sponsors,
            to_one: false,
            first: 0,
        };
        let (mut latencies, mut figures) = post(app, &members, &load).await?;
        figures.floor = floor;
        Ok(measured("ledger", &mut latencies, &figures))
    })
    .await
}

/// Accounts for so many members, by shard.
pub(super) async fn open(app: &PgPool, members: usize) -> anyhow::Result<Vec<Vec<MemberId>>> {
    let members: Vec<MemberId> = (0..members as u128).map(|n| MemberId(Uuid::from_u128(n))).collect();
    let mut connection = app.acquire().await?;
    let shards = hunch_log::shards(app).await?;
    open_members(&mut connection, &members, shards).await?;
    let mut by_shard: Vec<Vec<MemberId>> = vec![Vec::new(); usize::from(shards)];
    for member in &members {
        by_shard[shard_of(*member, shards).0 as usize].push(*member);
    }
    Ok(by_shard)
}

/// What is posted.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub commands: usize,
    pub clients: usize,
    pub batch: usize,
    /// Merchants who pay for the points.
    pub sponsors: u128,
    /// All goes to the same member.
    pub to_one: bool,
    /// Number of the first round, so that a second load has keys of its own.
    pub first: usize,
}

/// Posts it all through a batcher of its own; the floor is left open.
pub(super) async fn post(
    app: &PgPool,
    by_shard: &[Vec<MemberId>],
    load: &Load,
) -> anyhow::Result<(Vec<Duration>, Figures)> {
    let clocks = crate::clock::clocks(1, None);
    let mut builder = Batcher::builder(app.clone(), clocks, Tail::new(by_shard.len() as u16));
    let door = builder.register(Earnings);
    let batcher = builder.build();
    let mut loops = JoinSet::new();
    for shard in 0..batcher.shard_count() {
        let batcher = batcher.clone();
        loops.spawn(async move {
            loop {
                batcher.wait(Shard(shard as i16)).await;
                batcher.step(Shard(shard as i16)).await;
            }
        });
    }
    let wal_before = wal_bytes(app).await?;
    let cpu_before = cpu_seconds();
    let started = Instant::now();
    let mut clients = JoinSet::new();
    let rounds = load.commands / (load.clients * load.batch).max(1);
    for client in 0..load.clients {
        let (door, load) = (door.clone(), *load);
        let by_shard = by_shard.to_vec();
        clients.spawn(async move {
            let mut answered = Vec::with_capacity(rounds);
            for round in load.first..load.first + rounds {
                let place = if load.to_one { 0 } else { (client + round) % by_shard.len() };
                let commands = (0..load.batch).map(|n| earning(&by_shard[place], &load, client, round, n)).collect();
                let sent = Instant::now();
                let answers = door.submit_all(Shard(place as i16), commands).await?;
                answered.push(sent.elapsed());
                ensure!(answers.iter().all(|a| matches!(a, Ok(Outcome::Done(_)))), "a command was not done");
            }
            anyhow::Ok(answered)
        });
    }
    let mut latencies: Vec<Duration> = Vec::new();
    while let Some(done) = clients.join_next().await {
        latencies.extend(done??);
    }
    let took = started.elapsed();
    let (cpu, wal) = (cpu_seconds() - cpu_before, wal_bytes(app).await? - wal_before);
    loops.shutdown().await;
    let done = (rounds * load.clients * load.batch) as f64;
    Ok((latencies, Figures { done, took, cpu, wal, floor: 0.0, clients: load.clients, batch: load.batch }))
}

fn earning(members: &[MemberId], load: &Load, client: usize, round: usize, n: usize) -> Command {
    let number = ((client as u128) << 80) | ((round as u128) << 40) | n as u128;
    // A key looks random to the index, as real receipts do.
    let key = hunch_kernel::derived_uuid(&[b"bench", &number.to_be_bytes()]);
    let member = if load.to_one { 0 } else { key.as_u128() as usize % members.len() };
    Command {
        key,
        request: number as i64,
        member: members[member],
        action: Action::Earn {
            points: Points(50),
            funder: Funder::Merchant(MerchantId(Uuid::from_u128(number % load.sponsors.max(1)))),
            source: key,
            bucket: EarnBucket::Available,
            reason: Reason::Purchase,
        },
    }
}

/// The same rows (key with first answer, entry, balance) written by PostgreSQL alone, beside as many as the books hold
/// already: two sessions, one statement a batch of 1,000, a commit each, no logic.
pub(super) async fn floor(commands: usize, members: usize, owner: &PgPool) -> anyhow::Result<f64> {
    sqlx::raw_sql(
        "CREATE SCHEMA floor;
         CREATE TABLE floor.command (LIKE ledger.command INCLUDING ALL);
         CREATE TABLE floor.entry (LIKE ledger.entry INCLUDING ALL);
         CREATE TABLE floor.account (LIKE ledger.member_account INCLUDING ALL) WITH (fillfactor = 50);
         INSERT INTO floor.account SELECT * FROM ledger.member_account;
         INSERT INTO floor.command SELECT * FROM ledger.command;
         INSERT INTO floor.entry SELECT * FROM ledger.entry;",
    )
    .execute(owner)
    .await?;
    let batches = (commands / 1_000).max(2);
    let started = Instant::now();
    let mut sessions = JoinSet::new();
    for session in 0..2i64 {
        let owner = owner.clone();
        let members = members as i64;
        sessions.spawn(async move {
            for batch in (session..batches as i64).step_by(2) {
                sqlx::query(
                    "WITH item AS MATERIALIZED (
                        SELECT n, sha256(int8send($1 * 1000 + n)) AS digest FROM generate_series(1, 1000) AS n),
                     made AS MATERIALIZED (
                        SELECT n, encode(substr(digest, 1, 16), 'hex')::uuid AS key,
                               lpad(to_hex(2 * (abs(('x' || encode(substr(digest, 17, 4), 'hex'))::bit(32)::int) % ($2 / 2)) + $3), 32, '0')::uuid AS member FROM item),
                     c AS (INSERT INTO floor.command SELECT key, 0, $1 * 1000 + n, n, 50, 50, 0, 0, 0 FROM made),
                     e AS (INSERT INTO floor.entry SELECT -1, $1 * 1000 + n, 0, member, 10, 1, key, 50, 1, key, 0, 50, now(), 0 FROM made)
                     UPDATE floor.account a SET available = a.available + s.points, credited = a.credited + s.points
                     FROM (SELECT member, 50 * count(*) AS points FROM made GROUP BY member) s WHERE a.member = s.member",
                )
                .bind(batch)
                .bind(members)
                .bind(session)
                .execute(&owner)
                .await?;
            }
            Ok::<(), sqlx::Error>(())
        });
    }
    while let Some(done) = sessions.join_next().await {
        done??;
    }
    let per_second = (batches * 1_000) as f64 / started.elapsed().as_secs_f64();
    sqlx::raw_sql("DROP SCHEMA floor CASCADE").execute(owner).await?;
    Ok(per_second)
}
