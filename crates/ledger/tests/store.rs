//! The ledger on a real database: parallel spenders, poison, lost answers, repeats, and what the roles forbid.

mod support;

use async_trait::async_trait;
use hunch_db::testing::TestDb;
use hunch_kernel::{Clocks, HoldId, ManualClock, MemberId, Points, Shard, WallTime, shard_of};
use hunch_ledger::testing::run_batcher;
use hunch_ledger::{
    Action, BatchError, Batcher, Command, Door, DoorError, EarnBucket, Funder, HoldOwner, MemberBalance, Outcome,
    Reason, Refusal, ShardHandler, TRYING_SECONDS_MAX, apply, balance, open_members, statement,
};
use hunch_log::{ShardTx, Tail};
use jiff::SignedDuration;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const SHARDS: u16 = 8;

/// Hands commands straight to the ledger; a negative request number is a statement the database refuses.
struct Plain;

#[async_trait]
impl ShardHandler for Plain {
    type Request = Command;
    type Answer = Outcome;
    const NAME: &'static str = "plain";

    async fn handle(&self, tx: &mut ShardTx, requests: &[Command]) -> Result<Vec<Outcome>, BatchError> {
        if requests.iter().any(|c| c.request == MEETS_FULL_DISK) {
            sqlx::query("DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$")
                .execute(tx.conn())
                .await?;
        }
        if requests.iter().any(|c| c.request < 0) {
            sqlx::query("SELECT 1 / 0").execute(tx.conn()).await?;
        }
        apply(tx, requests).await
    }
}

const MEETS_FULL_DISK: i64 = -2;

struct Bench {
    db: TestDb,
    batcher: Arc<Batcher>,
    door: Door<Plain>,
    member: MemberId,
    shard: Shard,
}

impl Bench {
    async fn new() -> Bench {
        let db = TestDb::new().await;
        let pool = db.app().clone();
        Bench::on(db, pool).await
    }

    async fn on(db: TestDb, pool: PgPool) -> Bench {
        let member = MemberId(Uuid::from_u128(42));
        open_members(&mut db.app().acquire().await.unwrap(), &[member], SHARDS).await.unwrap();
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let mut builder = Batcher::builder(pool, Clocks::manual(clock), Tail::new(SHARDS));
        let door = builder.register(Plain);
        Bench { db, batcher: builder.build(), door, member, shard: shard_of(member, SHARDS) }
    }

    fn earn(&self, key: u128, points: i64) -> Command {
        Command {
            key: Uuid::from_u128(key),
            request: points,
            member: self.member,
            action: Action::Earn {
                points: Points(points),
                funder: Funder::Operator,
                source: Uuid::from_u128(key),
                bucket: EarnBucket::Available,
                reason: Reason::Welcome,
            },
        }
    }

    fn hold(&self, key: u128, points: i64) -> Command {
        let hold = HoldId(Uuid::from_u128(key));
        let action = Action::PlaceHold { hold, points: Points(points), owner: HoldOwner::OrderDispatcher };
        Command { key: Uuid::from_u128(key), request: points, member: self.member, action }
    }

    fn command(&self, key: u128, action: Action) -> Command {
        Command { key: Uuid::from_u128(key), request: 1, member: self.member, action }
    }

    async fn submit(&self, command: Command) -> Result<Outcome, DoorError> {
        self.door.submit(self.shard, command).await
    }

    /// A command that must take effect.
    async fn done(&self, key: u128, action: Action) {
        let outcome = self.submit(self.command(key, action)).await.unwrap();
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }

    async fn balance(&self) -> MemberBalance {
        balance(self.db.app(), self.member).await.unwrap().unwrap()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.auditor()).await.unwrap()
    }
}

#[tokio::test]
async fn a_hundred_parallel_spenders_never_overspend_one_balance() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    bench.submit(bench.earn(1, 1_000)).await.unwrap();
    let answers = futures_join(100, |n| bench.submit(bench.hold(100 + n, 30))).await;
    let placed = answers.iter().filter(|a| matches!(a, Ok(Outcome::Done(_)))).count();
    let refused =
        answers.iter().filter(|a| matches!(a, Ok(Outcome::Refused(Refusal::InsufficientPoints { .. })))).count();
    assert_eq!((placed, refused), (33, 67));
    let now = balance(bench.db.app(), bench.member).await.unwrap().unwrap();
    assert_eq!((now.available, now.held), (Points(10), Points(990)));
}

#[tokio::test]
async fn a_thousand_senders_of_one_receipt_credit_it_once_and_get_one_answer() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    let answers = futures_join(1_000, |_| bench.submit(bench.earn(7, 50))).await;
    let first = answers[0].as_ref().unwrap().effect().unwrap().to_owned();
    assert!(answers.iter().all(|a| a.as_ref().unwrap().effect() == Some(&first)));
    assert_eq!(answers.iter().filter(|a| matches!(a, Ok(Outcome::Done(_)))).count(), 1);
    assert_eq!(bench.count("SELECT count(*) FROM ledger.entry").await, 1);
    assert_eq!(bench.submit(bench.earn(7, 51)).await, Ok(Outcome::Refused(Refusal::KeyReused)));
}

#[tokio::test]
async fn a_poison_command_is_parked_alone() {
    let bench = Bench::new().await;
    let mut commands: Vec<Command> = (0..64).map(|n| bench.earn(200 + n, 1)).collect();
    commands[37].request = -1;
    let handed_in = bench.door.submit_all(bench.shard, commands);
    let (answers, _) = tokio::join!(handed_in, async {
        bench.batcher.wait(bench.shard).await;
        bench.batcher.step(bench.shard).await
    });
    let answers = answers.unwrap();
    assert!(matches!(answers[37], Err(DoorError::Impossible(_))), "never, and not again: {:?}", answers[37]);
    let done = answers.iter().filter(|a| matches!(a, Ok(Outcome::Done(_)))).count();
    assert_eq!(done, 63);
    assert_eq!(balance(bench.db.app(), bench.member).await.unwrap().unwrap().available, Points(63));
}

/// A disk is not emptied within seconds: nobody waits for it.
#[tokio::test]
async fn whoever_meets_a_full_disk_is_told_at_once() {
    let bench = Bench::new().await;
    let mut commands: Vec<Command> = (0..8).map(|n| bench.earn(200 + n, 1)).collect();
    commands[5].request = MEETS_FULL_DISK;
    let handed_in = bench.door.submit_all(bench.shard, commands);
    let (answers, report) = tokio::join!(handed_in, async {
        bench.batcher.wait(bench.shard).await;
        bench.batcher.step(bench.shard).await
    });
    assert!(answers.unwrap().iter().all(|answer| matches!(answer, Err(DoorError::Storage(_)))));
    assert_eq!((report.transactions, report.failed), (1, 8), "tried once, and not one by one");
    let wall = |text: &str| WallTime::from_timestamp(text.parse().unwrap());
    let now = wall("2026-11-23T12:00:01Z");
    let trouble = bench.batcher.trouble();
    assert!(trouble.lasts(now, SignedDuration::from_secs(4)), "readiness knows");
    assert_eq!(bench.count("SELECT count(*) FROM ledger.command").await, 0);

    let (stored, _) = tokio::join!(bench.submit(bench.earn(300, 1)), async {
        bench.batcher.wait(bench.shard).await;
        bench.batcher.step(bench.shard).await
    });
    stored.unwrap();
    assert!(!trouble.lasts(now, SignedDuration::from_secs(4)), "what found room is no proof of trouble that lasts");
    assert!(trouble.told_lately(now, SignedDuration::from_secs(2)), "but readiness waits until nobody is turned away");
    let later = wall("2026-11-23T12:00:03Z");
    assert!(!trouble.told_lately(later, SignedDuration::from_secs(2)));
}

/// Patience counts from when a request came, not from when its turn came: who stood for long behind others is tried once.
#[tokio::test]
async fn who_waited_for_long_is_told_after_one_try() {
    let bench = Bench::new().await;
    let unreachable =
        PgPoolOptions::new().connect_lazy_with(PgConnectOptions::new().socket("/nowhere").username("hunch_app"));
    let clocks = Clocks::manual(ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap()));
    let mut builder = Batcher::builder(unreachable, clocks, Tail::new(SHARDS));
    let door = builder.register(Plain);
    let batcher = builder.build();
    let (answer, report) = tokio::join!(door.submit(bench.shard, bench.earn(1, 1)), async {
        batcher.wait(bench.shard).await;
        tokio::time::sleep(Duration::from_secs(TRYING_SECONDS_MAX)).await;
        batcher.step(bench.shard).await
    });
    assert!(matches!(answer, Err(DoorError::Storage(_))), "{answer:?}");
    assert_eq!((report.transactions, report.failed), (1, 1));
}

/// Purchases come in crowds; an exclusion, an outcome or a payout must not stand behind them.
#[tokio::test]
async fn a_crowd_at_one_door_holds_up_no_other_door() {
    let bench = Bench::new().await;
    let clocks = Clocks::manual(ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap()));
    let mut builder = Batcher::builder(bench.db.app().clone(), clocks, Tail::new(SHARDS));
    let (crowded, quiet) = (builder.register(Plain), builder.register(Plain));
    let batcher = builder.build();
    let crowd = crowded.submit_all(bench.shard, (0..3_000).map(|n| bench.earn(10_000 + n, 1)).collect());
    let one = quiet.submit(bench.shard, bench.earn(1, 5));
    let first_step = async {
        while batcher.waiting(bench.shard) < 3_001 {
            tokio::task::yield_now().await;
        }
        let report = batcher.step(bench.shard).await;
        (report.requests, batcher.waiting(bench.shard))
    };
    tokio::select! {
        _ = crowd => panic!("the crowd is not through after one transaction"),
        ((requests, waiting), answer) = async { tokio::join!(first_step, one) } => {
            assert!(matches!(answer, Ok(Outcome::Done(_))));
            assert_eq!((requests, waiting), (1_000, 2_001), "the rest of the transaction is the crowd's");
        }
    }
}

#[tokio::test]
async fn a_duplicate_in_the_middle_of_a_batch_gets_its_first_answer_and_stops_nothing() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    let first = bench.submit(bench.earn(300, 5)).await.unwrap();
    let batch = vec![bench.earn(301, 1), bench.earn(300, 5), bench.hold(302, 9_999), bench.earn(303, 2)];
    let answers = bench.door.submit_all(bench.shard, batch.clone()).await.unwrap();
    assert!(matches!(answers[0], Ok(Outcome::Done(_))));
    assert_eq!(answers[1], Ok(Outcome::Repeated(*first.effect().unwrap())));
    assert!(matches!(answers[2], Ok(Outcome::Refused(Refusal::InsufficientPoints { .. }))));
    assert!(matches!(answers[3], Ok(Outcome::Done(_))));
    let again = bench.door.submit_all(bench.shard, batch).await.unwrap();
    assert!(matches!((&again[0], &again[3]), (Ok(Outcome::Repeated(_)), Ok(Outcome::Repeated(_)))));
    assert_eq!(balance(bench.db.app(), bench.member).await.unwrap().unwrap().available, Points(8));
}

/// The commit reaches the database and its answer does not reach us.
#[tokio::test]
async fn a_commit_whose_answer_was_lost_takes_effect_once() {
    let db = TestDb::new().await;
    let proxy = support::LossyProxy::start(&db).await;
    let pool = proxy.pool().await;
    let bench = Bench::on(db, pool).await;
    let _running = run_batcher(&bench.batcher);
    bench.submit(bench.earn(1, 10)).await.unwrap();
    proxy.lose_next_commit_answers(1);
    let answer = bench.submit(bench.earn(2, 20)).await.unwrap();
    assert_eq!(proxy.lost(), 1, "the answer was really lost");
    assert!(matches!(answer, Outcome::Repeated(_)), "found by its key: {answer:?}");
    assert_eq!(balance(bench.db.app(), bench.member).await.unwrap().unwrap().available, Points(30));
    assert_eq!(bench.count("SELECT count(*) FROM ledger.command").await, 2);
}

#[tokio::test]
async fn a_return_takes_back_what_its_points_won() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    let hold = HoldId(Uuid::from_u128(2));
    bench.submit(bench.earn(1, 100)).await.unwrap();
    bench.submit(bench.hold(2, 60)).await.unwrap();
    bench.submit(bench.command(3, Action::CloseHold { hold, capture: Points(50) })).await.unwrap();
    bench
        .submit(bench.command(4, Action::Payout { hold, points: Points(90), reason: Reason::StakeWon }))
        .await
        .unwrap();
    assert_eq!(balance(bench.db.app(), bench.member).await.unwrap().unwrap().available, Points(140));
    let back = bench.submit(bench.command(5, Action::Clawback { earned: Uuid::from_u128(1) })).await.unwrap();
    assert_eq!(back.effect().unwrap().points, Points(140));
    let repeat = bench.submit(bench.command(5, Action::Clawback { earned: Uuid::from_u128(1) })).await.unwrap();
    assert_eq!(repeat.effect(), back.effect());
    let lines = statement(bench.db.app(), bench.member, None, 50).await.unwrap();
    assert_eq!(lines.iter().map(|l| l.change.0).sum::<i64>(), 0, "every line is there, and they add up");
    assert!(lines.iter().any(|l| l.reason == Reason::WinningsReturned));
}

/// Buys, stakes, loses, is corrected up and down again, and gives the receipt back.
#[tokio::test]
async fn a_return_after_corrections_ends_and_takes_what_is_due() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    let hold = HoldId(Uuid::from_u128(2));
    bench.submit(bench.earn(1, 105)).await.unwrap();
    bench.submit(bench.hold(2, 100)).await.unwrap();
    bench.done(3, Action::CloseHold { hold, capture: Points(94) }).await;
    bench.done(4, Action::Payout { hold, points: Points::ZERO, reason: Reason::StakeLost }).await;
    bench.done(5, Action::Payout { hold, points: Points(237), reason: Reason::Corrected }).await;
    assert_eq!(bench.balance().await.available, Points(248));
    bench.done(6, Action::ReversePayout { hold, points: Points(237) }).await;
    bench.done(7, Action::Payout { hold, points: Points::ZERO, reason: Reason::Corrected }).await;
    assert_eq!(bench.balance().await.available, Points(11));
    let begun = std::time::Instant::now();
    bench.done(8, Action::Clawback { earned: Uuid::from_u128(1) }).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    let now = bench.balance().await;
    assert_eq!((now.available, now.debt), (Points::ZERO, Points(-94)), "what was staked is gone, and owed");
    let twice = bench.submit(bench.command(9, Action::ReversePayout { hold, points: Points(237) })).await;
    assert_eq!(twice, Ok(Outcome::Refused(Refusal::NotPaid)));
}

/// A wrong payout that is staked on and taken back: once the walk went round in this circle for ever.
#[tokio::test]
async fn a_return_after_a_reversal_that_used_other_points_takes_each_point_once() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    let (first, second) = (HoldId(Uuid::from_u128(2)), HoldId(Uuid::from_u128(5)));
    bench.submit(bench.earn(1, 100)).await.unwrap();
    bench.submit(bench.hold(2, 100)).await.unwrap();
    bench.done(3, Action::CloseHold { hold: first, capture: Points(100) }).await;
    bench.done(4, Action::Payout { hold: first, points: Points(200), reason: Reason::StakeWon }).await;
    // All of the winnings are staked, another purchase earns, and the first stake turns out to have been lost.
    bench.submit(bench.hold(5, 200)).await.unwrap();
    bench.done(6, Action::CloseHold { hold: second, capture: Points(200) }).await;
    bench.submit(bench.earn(7, 300)).await.unwrap();
    bench.done(8, Action::ReversePayout { hold: first, points: Points(200) }).await;
    bench.done(9, Action::Payout { hold: first, points: Points::ZERO, reason: Reason::Corrected }).await;
    assert_eq!(bench.balance().await.available, Points(100));
    // The second stake stands on the second purchase now, so its winnings are none of the first one's.
    bench.done(10, Action::Payout { hold: second, points: Points(500), reason: Reason::StakeWon }).await;
    bench.done(11, Action::Clawback { earned: Uuid::from_u128(1) }).await;
    assert_eq!(bench.balance().await.total(), Points(500), "the first purchase brought its own 100 points and no more");
    bench.done(12, Action::Clawback { earned: Uuid::from_u128(7) }).await;
    assert_eq!(bench.balance().await.total(), Points(-100), "and the second one all else");
    let sums = "SELECT count(*) FROM ledger.reversal r WHERE r.used <> (SELECT sum(lot_hi - lot_lo) FROM ledger.payback p WHERE p.key = r.key AND by_lo IS NOT NULL)";
    assert_eq!(bench.count(sums).await, 0, "each point that was used stands in for one");
}

/// Receipts come back before the result is corrected: what a return took in vain comes from where it put it, and what it
/// had charged is owed again.
#[tokio::test]
async fn a_correction_after_a_return_costs_the_member_what_it_would_have_cost_before() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    let hold = HoldId(Uuid::from_u128(2));
    bench.submit(bench.earn(1, 100)).await.unwrap();
    bench.submit(bench.hold(2, 100)).await.unwrap();
    bench.done(3, Action::CloseHold { hold, capture: Points(100) }).await;
    bench.done(4, Action::Payout { hold, points: Points(250), reason: Reason::StakeWon }).await;
    bench.done(5, Action::Clawback { earned: Uuid::from_u128(1) }).await;
    assert_eq!(bench.balance().await.total(), Points::ZERO);
    bench.done(6, Action::ReversePayout { hold, points: Points(250) }).await;
    bench.done(7, Action::Payout { hold, points: Points::ZERO, reason: Reason::Corrected }).await;
    assert_eq!(bench.balance().await.debt, Points(-100), "the stake was lost, and its points were returned");
    bench.done(8, Action::Payout { hold, points: Points(250), reason: Reason::Corrected }).await;
    assert_eq!(bench.balance().await.total(), Points::ZERO, "won after all: nothing is left of what was returned");
    let pot = "SELECT sum(delta)::int8 FROM ledger.house_delta WHERE account = 13";
    assert_eq!(bench.count(pot).await, 150);
}

/// As earlier programmes wrote it: a reversal used whatever came first, under the reason of a correction.
#[tokio::test]
async fn a_reversal_of_an_earlier_programme_is_read_right() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    let hold = HoldId(Uuid::from_u128(3));
    bench.submit(bench.earn(1, 100)).await.unwrap();
    bench.submit(bench.earn(2, 100)).await.unwrap();
    bench.submit(bench.hold(3, 50)).await.unwrap();
    bench.done(4, Action::CloseHold { hold, capture: Points(50) }).await;
    bench.done(5, Action::Payout { hold, points: Points(80), reason: Reason::StakeWon }).await;
    bench.submit(bench.earn(6, 0)).await.unwrap();
    for sql in [
        "INSERT INTO ledger.entry (shard, seq, line, member, debit, credit, house, amount, reason, source, lot_lo, lot_hi, prior_seq, at)
         SELECT shard, seq, 0, $1, 1, 12, '00000000-0000-0000-0000-000000000000', 80, 16, $2, 50, 130, 0, now()
         FROM ledger.command WHERE key = '00000000-0000-0000-0000-000000000006' AND $1 IS NOT NULL",
        "UPDATE ledger.member_account SET available = available - 80, consumed = 130 WHERE member = $1 AND $2 IS NOT NULL",
        "INSERT INTO ledger.payout (hold, key, member, points, lot_lo, lot_hi)
         VALUES ($2, '00000000-0000-0000-0000-000000000006', $1, 0, 280, 280)",
    ] {
        sqlx::query(sql).bind(bench.member.0).bind(hold.0).execute(bench.db.owner()).await.unwrap();
    }
    bench.done(7, Action::Clawback { earned: Uuid::from_u128(1) }).await;
    assert_eq!(bench.balance().await.total(), Points(50), "100 of 150 that were left");
    bench.done(8, Action::Clawback { earned: Uuid::from_u128(2) }).await;
    assert_eq!(bench.balance().await.total(), Points(-50), "the stake was lost");
}

/// Page by page, whatever the length of a page, a statement is every entry once, newest first, and of nobody else.
#[tokio::test]
async fn a_statement_is_whole_in_pages_of_any_length() {
    let bench = Bench::new().await;
    let other = (1u128..)
        .map(|n| MemberId(Uuid::from_u128(n)))
        .find(|m| *m != bench.member && shard_of(*m, SHARDS) == bench.shard)
        .unwrap();
    open_members(&mut bench.db.app().acquire().await.unwrap(), &[other], SHARDS).await.unwrap();
    let _running = run_batcher(&bench.batcher);
    for n in 0..6 {
        let hold = HoldId(Uuid::from_u128(100 + n));
        bench.submit(bench.earn(10 * n + 1, 50)).await.unwrap();
        let theirs = Command { member: other, ..bench.earn(10 * n + 2, 7) };
        bench.submit(theirs).await.unwrap();
        let stake = Action::PlaceHold { hold, points: Points(30), owner: HoldOwner::OrderDispatcher };
        bench.submit(bench.command(10 * n + 3, stake)).await.unwrap();
        // Two lines of one message.
        bench.submit(bench.command(10 * n + 4, Action::CloseHold { hold, capture: Points(20) })).await.unwrap();
    }
    let by_sql: Vec<(i64, i16)> =
        sqlx::query_as("SELECT seq, line FROM ledger.entry WHERE member = $1 ORDER BY seq DESC, line DESC")
            .bind(bench.member.0)
            .fetch_all(bench.db.owner())
            .await
            .unwrap();
    assert_eq!(by_sql.len(), 24);
    for limit in [1, 2, 3, 5, 23, 24, 50] {
        let (mut read, mut cursor) = (Vec::new(), None);
        loop {
            let page = statement(bench.db.app(), bench.member, cursor, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            cursor = Some(last.cursor);
            read.extend(page.iter().map(|l| (l.cursor.seq, l.cursor.line)));
        }
        assert_eq!(read, by_sql, "pages of {limit}");
    }
    let theirs = statement(bench.db.app(), other, None, 1).await.unwrap()[0].cursor;
    let led_to = statement(bench.db.app(), bench.member, Some(theirs), 50).await.unwrap();
    assert_eq!(led_to, [], "a cursor of somebody else's statement leads nowhere");
}

#[tokio::test]
async fn the_application_cannot_change_or_delete_what_was_written() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    bench.submit(bench.earn(1, 100)).await.unwrap();
    for sql in [
        "UPDATE ledger.entry SET amount = 1",
        "DELETE FROM ledger.entry",
        "TRUNCATE ledger.entry",
        "UPDATE log.batch SET payload = ''",
        "DELETE FROM log.batch",
        "UPDATE ledger.command SET points = 1",
        "DELETE FROM ledger.member_account",
        "DELETE FROM ledger.hold",
    ] {
        let error = sqlx::query(sql).execute(bench.db.app()).await.unwrap_err();
        let code = error.as_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
    }
}

/// The same key from two shards at once: one of them wins, the other gets the first answer.
#[tokio::test]
async fn one_receipt_in_two_shards_has_one_effect() {
    let bench = Bench::new().await;
    let other = (1u128..).map(|n| MemberId(Uuid::from_u128(n))).find(|m| shard_of(*m, SHARDS) != bench.shard).unwrap();
    open_members(&mut bench.db.app().acquire().await.unwrap(), &[other], SHARDS).await.unwrap();
    let _running = run_batcher(&bench.batcher);
    for round in 0..20 {
        let mine = bench.earn(500 + round, 3);
        let theirs = Command { member: other, ..mine.clone() };
        let (a, b) = tokio::join!(bench.submit(mine), bench.door.submit(shard_of(other, SHARDS), theirs));
        let effects = [&a, &b].iter().filter(|o| matches!(o, Ok(Outcome::Done(_)))).count();
        assert_eq!(effects, 1, "{a:?} {b:?}");
    }
    assert_eq!(bench.count("SELECT count(*) FROM ledger.entry").await, 20);
}

/// The hash chain can be recomputed by anyone with SQL.
#[tokio::test]
async fn every_batch_carries_the_hash_of_the_one_before() {
    let bench = Bench::new().await;
    let _running = run_batcher(&bench.batcher);
    for n in 0..5 {
        bench.submit(bench.earn(900 + n, 3)).await.unwrap();
    }
    let broken = bench
        .count(
            "SELECT count(*) FROM (
                SELECT hash, prev_hash, lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER w AS before,
                       first_seq, lag(last_seq, 1, 0::bigint) OVER w AS before_seq,
                       sha256(prev_hash || int8send(first_seq) || int8send(last_seq) || sha256(payload) || entries_hash) AS again
                FROM log.batch WINDOW w AS (PARTITION BY shard ORDER BY last_seq)) b
             WHERE hash <> again OR prev_hash <> before OR first_seq <> before_seq + 1",
        )
        .await;
    assert_eq!(broken, 0);
    assert!(bench.count("SELECT count(*) FROM log.batch").await >= 1);
}

async fn futures_join<T, F: Future<Output = T>>(n: u128, make: impl Fn(u128) -> F) -> Vec<T> {
    futures_util::future::join_all((0..n).map(make)).await
}
