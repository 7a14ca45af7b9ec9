//! The audit over traded rows: it holds on honest ones and finds each kind of tampering.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use hunch_exchange::MarketResult;
use hunch_exchange_sim::Outcome;
use hunch_kernel::{Price, Side};
use hunch_safeguards::{BreakTerm, Change, StandingRequest};
use sqlx::{AssertSqlSafe, Connection};
use support::{Bench, TICKER};

/// A day with stakes on both sides of two markets and at two rates, one of them over and corrected afterwards, and a member
/// on a break.
async fn traded() -> Bench {
    let bench = Bench::start().await;
    bench.list("KXOPEN-26NOV23-A", 1).await;
    for n in 0..6 {
        if n == 3 {
            let rate = "INSERT INTO trading.rate (rate, micros, valid_from) VALUES (2, 12500, '2001-01-01T00:00:00Z')";
            sqlx::query(rate).execute(&mut bench.db.superuser().await).await.unwrap();
        }
        let member = bench.member(1_000).await;
        let side = if n % 2 == 0 { Side::Yes } else { Side::No };
        bench.stake(member, side, 100).await.unwrap();
        bench.stake_on("KXOPEN-26NOV23-A", member, side, 50).await.unwrap();
    }
    let member = bench.member(1_000).await;
    let request =
        StandingRequest { member, home_zone: "America/New_York".into(), change: Change::Break(BreakTerm::Week) };
    bench.standing.submit(hunch_kernel::shard_of(member, 8), request).await.unwrap().unwrap();
    bench.work().await;
    bench.end(TICKER, Outcome::Yes).await;
    let (ticker, no, yes) = (TICKER.into(), (MarketResult::No, Price::ZERO), (MarketResult::Yes, Price::ONE));
    for (result, value) in [no, yes, no] {
        let proposed = bench.trading.propose_correction(&ticker, result, value, "the feed was wrong", "operator");
        bench.trading.approve_correction(proposed.await.unwrap().id, "approver").await.unwrap();
        assert_eq!(bench.trading.correct_step().await.unwrap(), 6);
        bench.seconds(1);
    }
    bench.books_fit().await;
    bench
}

const TAMPERING: &[(&str, &str)] = &[
    (
        "U1",
        "UPDATE treasury.entry SET amount = amount + 1 WHERE kind = 3 AND transfer = (SELECT transfer FROM treasury.entry WHERE kind = 3 LIMIT 1)",
    ),
    (
        "U1",
        "DELETE FROM treasury.entry WHERE kind = 2 AND transfer = (SELECT transfer FROM treasury.entry WHERE kind = 2 LIMIT 1)",
    ),
    // At the second rate, and for what a correction took back and paid anew.
    ("U1", "UPDATE trading.orders SET rate_micros = rate_micros + 1 WHERE rate = 2"),
    ("U1", "UPDATE trading.orders SET rate = 2 WHERE order_id = (SELECT order_id FROM trading.orders WHERE rate = 1 LIMIT 1)"),
    (
        "U1",
        "UPDATE treasury.entry SET amount = amount + 12500 WHERE (transfer, line) IN (SELECT transfer, line FROM treasury.entry WHERE kind = 9 LIMIT 1)",
    ),
    (
        "U1",
        "UPDATE treasury.entry SET amount = amount + 12500 WHERE (transfer, line) IN (SELECT transfer, line FROM treasury.entry WHERE kind = 13 LIMIT 1)",
    ),
    ("U1", "UPDATE ledger.house_delta SET delta = delta + 1 WHERE account = 12"),
    ("U2", "UPDATE treasury.cash_seen SET exchange_micros = exchange_micros - 1"),
    ("U3", "DELETE FROM treasury.entry WHERE kind = 7"),
    (
        "T1o",
        "UPDATE trading.orders SET captured_points = captured_points - 1, released_points = released_points + 1 WHERE filled > 0",
    ),
    ("T2", "DELETE FROM trading.attempt WHERE order_id = (SELECT order_id FROM trading.orders LIMIT 1)"),
    ("T2", "UPDATE trading.attempt SET stored_step = 1000000"),
    ("T3", "UPDATE trading.hedge SET yes = yes + 1"),
    ("T3", "UPDATE trading.fill SET count = count + 1"),
    ("T3", "UPDATE trading.net_seen SET exchange_net = exchange_net + 1"),
    ("T4", "UPDATE trading.position SET paid_points = paid_points + 1 WHERE paid_at IS NOT NULL"),
    (
        "T4",
        "UPDATE trading.position SET paid_points = NULL, paid_at = NULL, paid_revision = NULL, result = NULL, gross_micros = NULL WHERE paid_points = 0",
    ),
    (
        "T4",
        "INSERT INTO ledger.payout SELECT hold, gen_random_uuid(), member, points, lot_lo, lot_hi FROM ledger.payout LIMIT 1",
    ),
    // Of a corrected position: paid a point too much all through, a correction nobody agreed on, one that was passed over,
    // and points that were taken back on paper alone.
    (
        "T4",
        "UPDATE trading.position SET gross_micros = gross_micros + rate_micros, paid_points = paid_points + 1 WHERE position = (SELECT position FROM trading.corrected LIMIT 1)",
    ),
    ("T4", "UPDATE trading.correction SET result = 'scalar', value = 500000 WHERE finished_at = (SELECT max(finished_at) FROM trading.correction)"),
    ("T4", "UPDATE trading.corrected SET paid_points = paid_points + 1"),
    ("T4", "UPDATE trading.corrected SET taken_points = taken_points - 1, lost_points = lost_points + 1 WHERE taken_points > 0"),
    ("T4", "DELETE FROM trading.corrected WHERE position = (SELECT position FROM trading.corrected LIMIT 1)"),
    (
        "T4",
        "WITH last AS (SELECT correction FROM trading.correction ORDER BY finished_at DESC LIMIT 1) DELETE FROM trading.corrected d USING last WHERE d.correction = last.correction",
    ),
    ("T4", "UPDATE trading.position SET paid_revision = paid_revision + 1 WHERE position = (SELECT position FROM trading.corrected LIMIT 1)"),
    ("T5", "UPDATE trading.orders SET cost_micros = cost_micros + 1000000 WHERE filled > 0"),
    ("S1o", "DELETE FROM safeguards.charge"),
    ("S1o", "UPDATE safeguards.charge SET version = version + 1"),
    ("S3", "UPDATE safeguards.standing SET break_until = break_until - interval '1 day' WHERE break_until IS NOT NULL"),
    (
        "S3",
        "INSERT INTO safeguards.standing (member, excluded_until, return_asked_at) VALUES (gen_random_uuid(), '2020-07-01T00:00:00Z', '2020-07-02T00:00:00Z')",
    ),
    // Excluded years ago, never asked to return, and stakes.
    (
        "S4",
        "INSERT INTO safeguards.protection (member, kind, term, started_at, ends_at)
         SELECT member, 'exclusion', 'six_months', '2020-01-01T00:00:00Z', '2020-07-01T00:00:00Z' FROM trading.orders LIMIT 1",
    ),
    (
        "S4",
        "UPDATE safeguards.protection SET started_at = started_at - interval '1 day', member = (SELECT member FROM trading.orders LIMIT 1)",
    ),
];

#[tokio::test]
async fn each_kind_of_tampering_with_trades_is_found() {
    let bench = traded().await;
    let honest = bench.audit().await;
    for id in ["U1", "U2", "U3", "T1", "T1o", "T2", "T3", "T4", "T5", "S1o", "S2", "S3", "S4"] {
        let check = honest.checks.iter().find(|c| c.id == id).unwrap();
        assert!(check.checked > 0, "{id} looked at nothing");
    }
    let mut conn = bench.db.superuser().await;
    for (id, statement) in TAMPERING {
        let mut tx = conn.begin().await.unwrap();
        let changed = sqlx::query(AssertSqlSafe(*statement)).execute(&mut *tx).await.unwrap().rows_affected();
        assert!(changed > 0, "{statement}");
        let found = hunch_audit::violated(&mut tx).await.unwrap();
        assert!(found.contains(id), "{id} did not find: {statement}; found {found:?}");
        tx.rollback().await.unwrap();
    }
}
