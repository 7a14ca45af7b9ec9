//! Lives a whole history and stops at the first thing that does not hold.

use hunch_db::testing::TestDb;
use hunch_exchange_sim::Status;
use ring::digest::{Context, SHA256};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::facts::{look, look_at_all, look_at_rest};
use crate::jobs;
use crate::live::{act, give_everything_back, outcome};
use crate::model::Model;
use crate::op::{Job, Op};
use crate::world::World;

/// All invariants are looked at after so many operations.
const EVERYTHING_EVERY: usize = 150;
/// An operation that takes this long never ends.
const HANGS: Duration = Duration::from_secs(120);
/// A history that cannot come to rest in so many rounds never will.
const ROUNDS_MAX: u32 = 120;

/// A history that held.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pub operations: u64,
    /// Each receipt of a batch is a request of its own.
    pub requests: u64,
    pub checks: u64,
    pub by_outcome: BTreeMap<String, u64>,
    /// Of everything that was answered. Two runs of a seed may differ in when the exchange's socket was heard.
    pub digest: String,
    /// Of what the programme holds at the end: balances, entries, orders, what members were told. Equal histories in which
    /// nothing is killed half-way give equal books.
    pub books: String,
}

/// A history that did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Number of the operation, from 0; the length of the list when it came to light only at rest.
    pub at: usize,
    pub what: Vec<String>,
}

impl Failure {
    /// The invariant that broke first.
    pub fn id(&self) -> &str {
        self.what.first().and_then(|w| w.split([':', ' ']).next()).unwrap_or_default()
    }
}

/// # Errors
/// When the world itself could not be had; a broken invariant is a [`Failure`].
pub async fn live(ops: &[Op], progress: impl Fn(usize)) -> anyhow::Result<Result<Life, Failure>> {
    live_in(&mut World::new().await?, ops, progress).await
}

/// As [`live`], and the database that it leaves behind.
///
/// # Errors
/// As [`live`].
pub async fn left_behind(ops: &[Op]) -> anyhow::Result<(Result<Life, Failure>, TestDb)> {
    let mut world = World::new().await?;
    let lived = live_in(&mut world, ops, |_| ()).await?;
    Ok((lived, world.db))
}

async fn live_in(world: &mut World, ops: &[Op], progress: impl Fn(usize)) -> anyhow::Result<Result<Life, Failure>> {
    let mut model = Model::new(&world.members);
    let mut life = Life::default();
    let mut digest = Context::new(&SHA256);
    for (at, op) in ops.iter().enumerate() {
        let failed = |what| Ok(Err(Failure { at, what }));
        let lived = match tokio::time::timeout(HANGS, act(world, &mut model, op)).await {
            Ok(Ok(lived)) => lived,
            Ok(Err(error)) => return failed(vec![format!("E0: {error:#}")]),
            Err(_) => return failed(vec![format!("HANG: {op:?} does not end")]),
        };
        // Time goes on a little with whatever happens.
        world.seconds(1);
        digest.update(format!("{op:?}={}\n", lived.words).as_bytes());
        *life.by_outcome.entry(kind(op, &lived.words)).or_default() += 1;
        life.operations += 1;
        life.requests += lived.requests;
        let mut wrong = lived.wrong;
        wrong.extend(look(world, &lived.touched).await?);
        life.checks += 1;
        if at == EVERYTHING_EVERY {
            // As a server's autovacuum would, which the tests' servers do without: plans made for empty tables are slow.
            sqlx::query("ANALYZE").execute(world.db.owner()).await?;
        }
        if at % EVERYTHING_EVERY == EVERYTHING_EVERY - 1 {
            wrong.extend(look_at_all(world).await?);
        }
        if !wrong.is_empty() {
            return failed(wrong);
        }
        progress(at);
    }
    let mut wrong = rest(world).await?;
    wrong.extend(give_everything_back(world, &mut model).await?);
    if !wrong.is_empty() {
        return Ok(Err(Failure { at: ops.len(), what: wrong }));
    }
    life.books = books(world).await?;
    life.digest = digest.finish().as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
    Ok(Ok(life))
}

/// Each table in an order that does not hang on who came first within one moment.
const BOOKS: [&str; 4] = [
    "SELECT concat_ws('|', member, available, held, provisional, debt, credited, consumed) FROM ledger.member_account",
    "SELECT concat_ws('|', member, debit, credit, house, amount, reason, source, lot_lo, lot_hi) FROM ledger.entry",
    "SELECT concat_ws('|', order_id, market, side, state, filled, cost_micros, captured_points, reason) FROM trading.orders",
    "SELECT concat_ws('|', member, cause_kind, cause, wanted, prompt_state, reason) FROM messaging.notice",
];

async fn books(world: &World) -> anyhow::Result<String> {
    let mut digest = Context::new(&SHA256);
    for table in BOOKS {
        let mut lines: Vec<String> = sqlx::query_scalar(table).fetch_all(world.db.auditor()).await?;
        lines.sort_unstable();
        digest.update(lines.join("\n").as_bytes());
    }
    Ok(digest.finish().as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect())
}

fn kind(op: &Op, words: &str) -> String {
    let debug = format!("{op:?}");
    let name = match op {
        Op::Job { job, .. } => format!("{job:?}"),
        Op::Fault(fault) => format!("{fault:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
        _ => debug.split([' ', '{']).next().unwrap_or_default().to_owned(),
    };
    match op {
        Op::Stake { .. }
        | Op::StakeSent { .. }
        | Op::Confirm { .. }
        | Op::Correct { .. }
        | Op::Open { .. }
        | Op::Job { .. }
        | Op::Return { .. } => {
            let short: String = words.chars().take_while(|c| !c.is_ascii_digit()).take(40).collect();
            format!("{name}: {}", short.trim())
        }
        _ => name,
    }
}

/// The world stops being difficult: every market ends, and the jobs run until nothing waits.
async fn rest(world: &mut World) -> anyhow::Result<Vec<String>> {
    world.exchange.clear_faults();
    world.phones.forgive();
    world.parts.trading.set_staking(true, "at rest", "operator").await?;
    for (n, ticker) in world.markets_listed.clone().iter().enumerate() {
        // Whatever was determined before stays; these refuse where they do not fit.
        let _ = world.exchange.close(ticker);
        let _ = world.exchange.determine(ticker, outcome([0, 100, 42][n % 3]));
        if world.exchange.finalize(ticker).is_err() && world.exchange.status(ticker) == Some(Status::Disputed) {
            let _ = world.exchange.amend(ticker, outcome(100));
            let _ = world.exchange.finalize(ticker);
        }
    }
    for _ in 0..ROUNDS_MAX {
        for job in [Job::Dispatch, Job::Resolve, Job::Sync, Job::Poll, Job::Settle, Job::Consume, Job::Send] {
            jobs::run(world, job, None).await?;
        }
        world.seconds(2);
        let open: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM trading.orders WHERE resolved_at IS NULL)
                  + (SELECT count(*) FROM trading.position WHERE paid_at IS NULL)
                  + (SELECT count(*) FROM messaging.delivery WHERE state = 'due')
                  + (SELECT count(*) FROM log.shard_head h
                     LEFT JOIN log.consumer_position p ON p.shard = h.shard AND p.consumer = 'engage'
                     WHERE h.last_seq > 0 AND p.last_seq IS DISTINCT FROM h.last_seq)",
        )
        .fetch_one(world.db.auditor())
        .await?;
        if open == 0 {
            break;
        }
    }
    world.seconds(10);
    jobs::run(world, Job::Reconcile, None).await?;
    look_at_rest(world).await
}
