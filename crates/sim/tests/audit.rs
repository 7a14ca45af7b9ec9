//! Every check of the audit can fail: into a history that held, one mistake after the other is planted, and the check it is
//! for finds it. A check for which nothing is planted here fails the test.

use hunch_audit::{CHECKS, violated};
use hunch_sim::left_behind;
use hunch_sim::op::history;
use sqlx::{AssertSqlSafe, Connection};
use std::collections::BTreeSet;

/// (check, what a mistake or a hand in the database would have done). L4a, which needs a file of anchors, is planted in
/// `crates/audit/tests/ledger_checks.rs` and `crates/hunch/tests/tampering.rs`.
const PLANTED: &[(&str, &str)] = &[
    (
        "L1",
        "UPDATE ledger.member_account SET available = available + 1 WHERE member = (SELECT member FROM ledger.member_account ORDER BY member LIMIT 1)",
    ),
    (
        "L2",
        "ALTER TABLE ledger.member_account DROP CONSTRAINT member_account_available_min; UPDATE ledger.member_account SET available = -1 WHERE member = (SELECT member FROM ledger.member_account ORDER BY member LIMIT 1)",
    ),
    (
        "L3",
        "DELETE FROM ledger.command WHERE (shard, seq) = (SELECT shard, seq FROM ledger.entry ORDER BY shard, seq LIMIT 1)",
    ),
    (
        "L3",
        "UPDATE ledger.command SET seq = seq + 1000000 WHERE key = (SELECT key FROM ledger.command ORDER BY key LIMIT 1)",
    ),
    (
        "L4",
        "UPDATE ledger.entry SET amount = amount + 1 WHERE (shard, seq, line) = (SELECT shard, seq, line FROM ledger.entry ORDER BY shard, seq, line LIMIT 1)",
    ),
    (
        "L4h",
        "UPDATE log.shard_head SET last_seq = last_seq + 1 WHERE shard = (SELECT shard FROM log.shard_head WHERE last_seq > 0 LIMIT 1)",
    ),
    (
        "L5",
        "UPDATE ledger.member_account SET available = available - 1, held = held + 1 WHERE member = (SELECT member FROM ledger.member_account WHERE available > 0 LIMIT 1)",
    ),
    (
        "L5h",
        "UPDATE ledger.house_delta SET delta = delta + 1 WHERE (shard, seq, account, house) = (SELECT shard, seq, account, house FROM ledger.house_delta LIMIT 1)",
    ),
    (
        "L5l",
        "UPDATE ledger.member_account SET consumed = consumed - 1 WHERE member = (SELECT member FROM ledger.member_account WHERE consumed > 0 LIMIT 1)",
    ),
    (
        "L5p",
        "UPDATE ledger.member_account SET available = available - 1, provisional = provisional + 1 WHERE member = (SELECT member FROM ledger.member_account WHERE available > 0 LIMIT 1)",
    ),
    (
        "L5p",
        "INSERT INTO ledger.provisional_end (earned, key, member, points, outcome) SELECT key, key, gen_random_uuid(), 5, 'taken_back' FROM ledger.command LIMIT 1",
    ),
    (
        "L5p",
        "INSERT INTO loyalty.review (purchase, member, merchant, terminal, points, reason, since) SELECT purchase, member, merchant, terminal, points, 'till_watched', recorded_at FROM loyalty.purchase WHERE points > 0 LIMIT 1",
    ),
    (
        "L5s",
        "UPDATE ledger.entry SET prior_seq = 0 WHERE (shard, seq) = (SELECT shard, seq FROM ledger.entry WHERE prior_seq > 0 ORDER BY shard, seq DESC LIMIT 1)",
    ),
    (
        "L6",
        "INSERT INTO ledger.entry SELECT e.shard, e.seq, 99, e.member, e.debit, e.credit, e.house, e.amount, e.reason, e.source, e.lot_lo, e.lot_hi, e.at, e.prior_seq FROM ledger.entry e WHERE e.reason = 1 LIMIT 1",
    ),
    (
        "T1",
        "UPDATE ledger.hold SET captured = captured + 1, released = released - 1 WHERE hold = (SELECT hold FROM ledger.hold WHERE released > 0 LIMIT 1)",
    ),
    (
        "E1",
        "UPDATE log.consumer_position p SET last_seq = h.last_seq + 1 FROM log.shard_head h WHERE h.shard = p.shard",
    ),
    ("E1d", "DELETE FROM messaging.notice WHERE cause_kind = 'purchase'; DELETE FROM engage.decision"),
    ("E1a", "UPDATE engage.answer SET asked_seq = asked_seq - 1"),
    (
        "L6p",
        "UPDATE loyalty.purchase SET points = points + 1 WHERE purchase = (SELECT min(purchase::text)::uuid FROM loyalty.purchase)",
    ),
    (
        "L6p",
        "UPDATE loyalty.purchase_return SET purchase = gen_random_uuid() WHERE purchase = (SELECT min(purchase::text)::uuid FROM loyalty.purchase_return)",
    ),
    (
        "L6o",
        "UPDATE loyalty.purchase SET offer_points = offer_points + 1 WHERE purchase = (SELECT min(purchase::text)::uuid FROM loyalty.purchase)",
    ),
    (
        "L6r",
        "UPDATE loyalty.purchase SET receipt_key = 'another' WHERE purchase = (SELECT min(purchase::text)::uuid FROM loyalty.purchase)",
    ),
    ("S2", "UPDATE safeguards.usage SET points = points + 1"),
    (
        "U1",
        "UPDATE treasury.entry SET amount = amount + 1 WHERE (transfer, line) = (SELECT transfer, line FROM treasury.entry WHERE kind = 9 LIMIT 1)",
    ),
    ("U2", "UPDATE treasury.cash_seen SET exchange_micros = exchange_micros - 1000000"),
    ("U3", "DELETE FROM treasury.entry WHERE kind = 7"),
    (
        "T1o",
        "UPDATE ledger.hold SET amount = amount + 1, captured = captured + 1 WHERE hold = (SELECT hold FROM ledger.hold WHERE captured > 0 LIMIT 1)",
    ),
    ("T2", "DELETE FROM trading.attempt WHERE order_id = (SELECT order_id FROM trading.orders LIMIT 1)"),
    ("T3", "UPDATE trading.hedge SET yes = yes + 1"),
    ("T4", "UPDATE trading.position SET paid_points = paid_points + 1 WHERE paid_at IS NOT NULL"),
    ("T5", "UPDATE trading.orders SET cost_micros = cost_micros + 1000000 WHERE filled > 0"),
    ("M1", "UPDATE loyalty.purchase SET merchant_category = 'florist' WHERE merchant_category = 'bakery'"),
    (
        "S1",
        "UPDATE messaging.attempt SET standing = standing + 1000 WHERE content <> 'receipt' AND claimed IS NOT NULL",
    ),
    ("S1", "DELETE FROM safeguards.prompt"),
    // An exclusion that was there to be seen before the prompt, or the order, was taken on.
    (
        "S1",
        "INSERT INTO safeguards.standing_history (member, version, standing, made_by) SELECT member, standing + 1, '{}', '3' FROM messaging.attempt WHERE content <> 'receipt' AND claimed IS NOT NULL LIMIT 1",
    ),
    (
        "S1o",
        "INSERT INTO safeguards.standing_history (member, version, standing, made_by) SELECT member, standing_version + 1, '{}', '3' FROM trading.orders WHERE exchange_order_id IS NOT NULL LIMIT 1",
    ),
    ("S1o", "DELETE FROM safeguards.charge WHERE order_id = (SELECT order_id FROM trading.orders LIMIT 1)"),
    ("S1o", "UPDATE safeguards.charge SET jurisdiction = 'US-TX'"),
    ("S2", "UPDATE safeguards.charge SET day_limit = 1"),
    ("S2", "UPDATE safeguards.charge SET week_limit = 1"),
    ("S3", "UPDATE safeguards.standing SET version = version + 1, break_until = NULL WHERE break_until IS NOT NULL"),
    // A change that voids no permit, and one behind the database's back.
    ("S3", "UPDATE safeguards.standing SET prompts_on = NOT prompts_on"),
    ("S3", "DELETE FROM safeguards.standing_history"),
    ("S4", "UPDATE safeguards.charge SET age_reached = 0"),
    ("S4", "UPDATE safeguards.charge SET place_until = permitted_at"),
    ("S4", "UPDATE safeguards.rule SET allowed = false"),
    (
        "S4",
        "UPDATE safeguards.protection SET member = (SELECT member FROM trading.orders LIMIT 1), started_at = '2000-01-01', ends_at = '2100-01-01'",
    ),
    (
        "S4",
        "INSERT INTO safeguards.standing_history (member, version, standing, made_by) SELECT member, standing_version, '{\"excluded_until\": \"2100-01-01\"}', '3' FROM trading.orders LIMIT 1",
    ),
    (
        "S4",
        "INSERT INTO safeguards.standing_history (member, version, standing, made_by) SELECT member, standing, '{\"prompts_on\": false}', '3' FROM messaging.attempt WHERE content = 'prompt' LIMIT 1",
    ),
    (
        "S4",
        "INSERT INTO safeguards.standing_history (member, version, standing, made_by) SELECT member, standing, '{\"break_until\": \"2100-01-01\"}', '3' FROM messaging.attempt WHERE content = 'prompt' LIMIT 1",
    ),
    (
        "S4",
        "UPDATE trading.position p SET member = a.member, paid_points = 0, paid_at = a.at - interval '1 hour', paid_by = '3' FROM (SELECT * FROM messaging.attempt WHERE content = 'prompt' AND claimed IS NOT NULL LIMIT 1) a WHERE p.position = (SELECT position FROM trading.position WHERE paid_at IS NOT NULL AND cost_points > 0 LIMIT 1)",
    ),
    (
        "S4",
        "UPDATE trading.orders o SET member = a.member, resolved_at = a.at - interval '1 hour', resolved_by = '3' FROM (SELECT * FROM messaging.attempt WHERE content = 'prompt' AND claimed IS NOT NULL LIMIT 1) a WHERE o.order_id = (SELECT order_id FROM trading.orders WHERE captured_points = 0 AND resolved_at IS NOT NULL LIMIT 1)",
    ),
    (
        "S4",
        "UPDATE safeguards.prompt p SET member = x.member, at = x.at FROM (SELECT member, at FROM safeguards.prompt WHERE standing IS NOT NULL LIMIT 1) x",
    ),
];

#[tokio::test]
async fn every_check_has_a_mistake_that_it_finds() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (lived, db) = left_behind(&history(3, 400)).await.unwrap();
    lived.unwrap_or_else(|failure| panic!("at operation {}: {:#?}", failure.at, failure.what));
    let mut conn = db.superuser().await;
    assert_eq!(violated(&mut conn).await.unwrap(), Vec::<&str>::new(), "what held has no mistake");
    let mut missed = Vec::new();
    'planted: for (id, statements) in PLANTED {
        let mut tx = conn.begin().await.unwrap();
        for statement in statements.split("; ") {
            let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await;
            let done = match done {
                Ok(done) => done,
                Err(error) => {
                    missed.push(format!("{id}: {statement} is not possible: {error}"));
                    continue 'planted;
                }
            };
            if !statement.starts_with("ALTER") && done.rows_affected() == 0 {
                missed.push(format!("{id}: nothing to change by {statement}"));
            }
        }
        let found = violated(&mut tx).await.unwrap();
        if !found.contains(id) {
            missed.push(format!("{id} did not find {statements}; found {found:?}"));
        }
        tx.rollback().await.unwrap();
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn no_check_is_left_without_a_planted_mistake() {
    let all: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
    let planted: BTreeSet<&str> = PLANTED.iter().map(|(id, _)| *id).collect();
    assert_eq!(planted, all);
}
