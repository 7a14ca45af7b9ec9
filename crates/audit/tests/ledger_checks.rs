//! The audit must hold on honest rows and must fail on tampered ones.

use hunch_audit::{AuditOptions, AuditReport, read_anchor_file, run, write_anchor_file};
use hunch_db::testing::TestDb;
use hunch_kernel::{HoldId, MemberId, MerchantId, Points, WallTime, shard_of};
use hunch_ledger::{Action, Command, EarnBucket, Funder, HoldOwner, Reason, apply, open_members};
use hunch_log::ShardTx;
use uuid::Uuid;

const NOW: &str = "2026-11-23T12:00:00Z";

fn now() -> WallTime {
    WallTime::from_timestamp(NOW.parse().unwrap())
}

async fn town() -> TestDb {
    let db = TestDb::new().await;
    let members: Vec<MemberId> = (0..64).map(|n| MemberId(Uuid::from_u128(5_000 + n))).collect();
    open_members(&mut db.app().acquire().await.unwrap(), &members, 8).await.unwrap();
    for (n, member) in members.iter().enumerate() {
        let key = |k: u128| Uuid::from_u128(n as u128 * 100 + k);
        let hold = HoldId(key(2));
        let funder = Funder::Merchant(MerchantId(Uuid::from_u128(9)));
        let (points, bucket) = (Points(100), EarnBucket::Available);
        let actions = [
            Action::Earn { points, funder, source: key(1), bucket, reason: Reason::Purchase },
            Action::PlaceHold { hold, points: Points(60), owner: HoldOwner::OrderDispatcher },
            Action::CloseHold { hold, capture: Points(50) },
            Action::Payout { hold, points: Points(80), reason: Reason::StakeWon },
            Action::Clawback { earned: key(1) },
            Action::Earn {
                points: Points(500),
                funder: Funder::Operator,
                source: key(6),
                bucket,
                reason: Reason::Welcome,
            },
        ];
        for (i, action) in actions.into_iter().enumerate() {
            let command = Command { key: key(i as u128 + 1), request: 1, member: *member, action };
            let mut tx = ShardTx::begin(db.app(), shard_of(*member, 8), NOW.parse().unwrap()).await.unwrap();
            let outcome = apply(&mut tx, &[command]).await.unwrap().remove(0);
            assert!(outcome.effect().is_some(), "{outcome:?}");
            tx.commit().await.unwrap();
        }
    }
    db
}

async fn audit(db: &TestDb, full: bool) -> AuditReport {
    let options = AuditOptions { full, ..AuditOptions::default() };
    run(db.auditor(), &options, now()).await.unwrap()
}

fn broken(report: &AuditReport) -> Vec<&'static str> {
    report.checks.iter().filter(|c| c.violations > 0).map(|c| c.id).collect()
}

#[tokio::test]
async fn honest_books_hold_twice_from_the_beginning_and_from_the_marks() {
    let db = town().await;
    let first = audit(&db, true).await;
    assert!(first.holds, "{}", first.to_text());
    for id in ["L1", "L2", "L3", "L4", "L4h", "L5", "L5h", "L5l", "L6", "T1", "E1"] {
        assert!(first.checks.iter().any(|c| c.id == id && c.checked > 0), "{id} looked at nothing");
    }
    let second = audit(&db, false).await;
    assert!(second.holds, "{}", second.to_text());
    assert_eq!(second.checks.iter().find(|c| c.id == "L4").unwrap().checked, 0, "nothing new since the marks");
}

#[tokio::test]
async fn each_kind_of_tampering_is_found() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "an entry with its balance",
            "L4",
            "UPDATE ledger.entry SET amount = amount + 7 WHERE reason = 2 AND member = '00000000-0000-0000-0000-000000001388'; UPDATE ledger.member_account SET available = available + 7, credited = credited + 7 WHERE member = '00000000-0000-0000-0000-000000001388'; UPDATE ledger.house_delta SET delta = delta - 7 WHERE (shard, seq, account) = (SELECT shard, seq, 11::smallint FROM ledger.entry WHERE reason = 2 AND member = '00000000-0000-0000-0000-000000001388')",
        ),
        (
            "a balance",
            "L5",
            "UPDATE ledger.member_account SET available = available + 1 WHERE member = '00000000-0000-0000-0000-000000001388'",
        ),
        (
            "the newest log row",
            "L4h",
            "DELETE FROM log.batch WHERE (shard, last_seq) IN (SELECT shard, max(last_seq) FROM log.batch GROUP BY shard LIMIT 1)",
        ),
        (
            "a payload",
            "L4",
            "UPDATE log.batch SET payload = payload || '\\x00' WHERE (shard, last_seq) IN (SELECT shard, min(last_seq) FROM log.batch GROUP BY shard LIMIT 1)",
        ),
        (
            "the link to the entry before",
            "L5s",
            "UPDATE ledger.entry e SET prior_seq = 0 WHERE (shard, seq) = (SELECT shard, seq FROM ledger.entry WHERE prior_seq > 0 ORDER BY shard, seq DESC LIMIT 1)",
        ),
        (
            "the newest entry of an account",
            "L5s",
            "UPDATE ledger.member_account SET last_seq = 0 WHERE member = '00000000-0000-0000-0000-000000001388'",
        ),
        (
            "a hold",
            "T1",
            "UPDATE ledger.hold SET captured = captured + 1, released = released - 1 WHERE hold = '00000000-0000-0000-0000-000000000002'",
        ),
    ];
    for (what, check, sql) in cases {
        let db = town().await;
        let mut root = db.superuser().await;
        for statement in sql.split(';') {
            let changed = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut root).await.unwrap();
            assert!(changed.rows_affected() > 0, "{what}: {statement}");
        }
        let report = audit(&db, true).await;
        assert!(!report.holds && broken(&report).contains(check), "{what}: {:?}", broken(&report));
    }
}

#[tokio::test]
async fn a_cut_tail_is_found_by_its_anchor() {
    let db = town().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("anchors.jsonl");
    assert_eq!(write_anchor_file(db.auditor(), &file, now()).await.unwrap(), 8);
    let options =
        AuditOptions { full: true, anchors: read_anchor_file(&file).unwrap(), anchor_file: Some(file.clone()) };
    assert!(run(db.auditor(), &options, now()).await.unwrap().holds);

    // A superuser removes a shard's whole history, balances and all, and sets the head back.
    let mut root = db.superuser().await;
    for sql in [
        "DELETE FROM log.batch WHERE shard = 3",
        "DELETE FROM ledger.entry WHERE shard = 3",
        "DELETE FROM ledger.command WHERE shard = 3",
        "DELETE FROM ledger.house_delta WHERE shard = 3",
        "DELETE FROM ledger.hold WHERE shard = 3",
        "DELETE FROM ledger.member_account WHERE shard = 3",
        "UPDATE log.shard_head SET last_seq = 0, hash = decode(repeat('00', 32), 'hex') WHERE shard = 3",
        "DELETE FROM audit.mark",
    ] {
        sqlx::query(sql).execute(&mut root).await.unwrap();
    }
    assert!(audit(&db, true).await.holds, "inside the database nothing is wrong any more");
    sqlx::query("DELETE FROM audit.mark").execute(&mut root).await.unwrap();
    let report = run(db.auditor(), &options, now()).await.unwrap();
    assert_eq!(broken(&report), ["L4a"]);
    assert!(report.checks.last().unwrap().first[0].contains("the log ends before its anchor"));
}
