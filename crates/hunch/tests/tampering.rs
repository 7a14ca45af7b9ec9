//! What a superuser of the database can do to the rows, and what `hunch audit --full --anchor FILE` says of it.

use hunch_db::testing::TestDb;
use hunch_kernel::{MemberId, MerchantId, Points, shard_of};
use hunch_ledger::{Action, Command, EarnBucket, Funder, Reason, apply, open_members};
use hunch_log::ShardTx;
use hunch_messages::{MemberJoined, Message};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use uuid::Uuid;

struct Town {
    db: TestDb,
    folder: tempfile::TempDir,
}

impl Town {
    async fn open() -> Town {
        let town = Town { db: TestDb::new().await, folder: tempfile::tempdir().unwrap() };
        let members: Vec<MemberId> = (0..32).map(|n| MemberId(Uuid::from_u128(5_000 + n))).collect();
        open_members(&mut town.db.app().acquire().await.unwrap(), &members, 8).await.unwrap();
        town.earn(0..6).await;
        town
    }

    /// Each member earns once a round; each round is a batch of its own in the member's shard.
    async fn earn(&self, rounds: std::ops::Range<u128>) {
        let at = "2026-11-23T12:00:00Z".parse().unwrap();
        for (round, n) in rounds.flat_map(|round| (0..32).map(move |n| (round, n))) {
            let (member, key) = (MemberId(Uuid::from_u128(5_000 + n)), Uuid::from_u128(round * 100 + n + 1));
            let action = Action::Earn {
                points: Points(100),
                funder: Funder::Merchant(MerchantId(Uuid::from_u128(9))),
                source: key,
                bucket: EarnBucket::Available,
                reason: Reason::Welcome,
            };
            let mut tx = ShardTx::begin(self.db.app(), shard_of(member, 8), at).await.unwrap();
            let outcome = apply(&mut tx, &[Command { key, request: 1, member, action }]).await.unwrap().remove(0);
            let joined = MemberJoined { v: 1, member: member.0, at };
            tx.announce_at(outcome.effect().unwrap().seq, Message::MemberJoined(joined));
            tx.commit().await.unwrap();
        }
    }

    fn anchors(&self) -> PathBuf {
        self.folder.path().join("anchors.jsonl")
    }

    /// The command as an operator types it: does everything hold, and what is the first bad row of each check?
    fn audit(&self, more: &[&str]) -> (bool, Vec<(String, String)>) {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_hunch"))
            .args(["audit", "--full", "--json"])
            .args(more)
            .current_dir(self.folder.path())
            .env("HUNCH_DATABASE__URL", self.db.url())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&out.stdout).into_owned();
        let report: Value = serde_json::from_str(told.trim()).unwrap_or_else(|e| panic!("{e}: {told} {out:?}"));
        let checks = report["checks"].as_array().unwrap().iter();
        let broken = checks.filter(|c| c["violations"] != 0);
        let words = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let found = broken.map(|c| (words(&c["id"]), words(&c["first"][0]))).collect();
        (out.status.success() && report["holds"] == true, found)
    }

    fn audit_with(&self, anchors: &Path) -> (bool, Vec<(String, String)>) {
        self.audit(&["--anchor", anchors.to_str().unwrap()])
    }

    async fn tamper(&self, statements: &[&str]) {
        let mut root = self.db.superuser().await;
        for sql in statements {
            let done = sqlx::query(AssertSqlSafe((*sql).to_owned())).execute(&mut root).await.unwrap();
            assert!(done.rows_affected() > 0, "{sql}");
        }
    }
}

fn said(found: &[(String, String)], id: &str, words: &str) -> bool {
    found.iter().any(|(check, first)| check == id && first.contains(words))
}

#[tokio::test]
async fn honest_rows_hold() {
    let town = Town::open().await;
    let file = town.anchors();
    assert_eq!(town.audit(&["--write-anchor", file.to_str().unwrap()]), (true, vec![]));
    town.earn(6..8).await;
    assert_eq!(town.audit_with(&file), (true, vec![]));
}

#[tokio::test]
async fn what_was_changed_is_named() {
    // In shard 3, whose third batch is the one in question: what is done, which check finds it, in which words.
    let third = "(SELECT last_seq FROM log.batch WHERE shard = 3 ORDER BY last_seq OFFSET 2 LIMIT 1)";
    let entry = format!("UPDATE ledger.entry SET amount = amount + 7 WHERE shard = 3 AND seq = {third}");
    let balance = format!(
        "UPDATE ledger.member_account SET available = available + 7, credited = credited + 7
         WHERE member = (SELECT member FROM ledger.entry WHERE shard = 3 AND seq = {third})"
    );
    let house = format!("UPDATE ledger.house_delta SET delta = delta - 7 WHERE shard = 3 AND seq = {third}");
    let swap = "UPDATE log.batch b SET payload = o.payload, entries_hash = o.entries_hash, hash = o.hash, prev_hash = o.prev_hash
         FROM (SELECT last_seq, lead(last_seq) OVER w AS other FROM log.batch WHERE shard = 3 WINDOW w AS (ORDER BY last_seq) OFFSET 2 LIMIT 1) pair,
              log.batch o
         WHERE b.shard = 3 AND o.shard = 3
           AND ((b.last_seq = pair.last_seq AND o.last_seq = pair.other) OR (b.last_seq = pair.other AND o.last_seq = pair.last_seq))";
    let newest =
        "DELETE FROM log.batch WHERE shard = 3 AND last_seq = (SELECT max(last_seq) FROM log.batch WHERE shard = 3)";
    let cases: [(&str, Vec<&str>, &str, &str); 3] = [
        (
            "an entry with its balance",
            vec![&entry, &balance, &house],
            "L4",
            "shard 3, messages 3-3: its ledger entries were changed",
        ),
        ("two log rows swapped", vec![swap], "L4", "shard 3, messages 3-3: does not follow the batch before"),
        ("the newest log row deleted", vec![newest], "L4h", "shard 3: the head says"),
    ];
    for (what, statements, check, words) in cases {
        let town = Town::open().await;
        let file = town.anchors();
        assert!(town.audit(&["--write-anchor", file.to_str().unwrap()]).0);
        town.tamper(&statements).await;
        let (holds, found) = town.audit_with(&file);
        assert!(!holds && said(&found, check, words), "{what}: {found:#?}");
    }
}

/// The tail of a shard is cut off so well that the database alone shows nothing, and then the anchor file is put back
/// to what it was when the tail did not exist yet.
#[tokio::test]
async fn a_cut_tail_and_a_replayed_anchor_are_found() {
    let town = Town::open().await;
    let (file, older) = (town.anchors(), town.folder.path().join("older.jsonl"));
    assert!(town.audit(&["--write-anchor", file.to_str().unwrap()]).0);
    std::fs::copy(&file, &older).unwrap();
    let (cut, hash): (i64, Vec<u8>) = sqlx::query_as("SELECT last_seq, hash FROM log.shard_head WHERE shard = 3")
        .fetch_one(town.db.auditor())
        .await
        .unwrap();
    town.earn(6..8).await;
    assert!(town.audit(&["--write-anchor", file.to_str().unwrap()]).0);
    assert_eq!(town.audit_with(&file), (true, vec![]));

    let undone: Vec<String> = [
        "UPDATE ledger.member_account a SET available = available - e.points, credited = credited - e.points
         FROM (SELECT member, sum(amount) AS points FROM ledger.entry WHERE shard = 3 AND seq > $cut GROUP BY member) e WHERE e.member = a.member",
        "DELETE FROM ledger.entry WHERE shard = 3 AND seq > $cut",
        "UPDATE ledger.member_account a SET last_seq = (SELECT max(seq) FROM ledger.entry e WHERE e.member = a.member)
         WHERE shard = 3 AND last_seq > $cut",
        "DELETE FROM ledger.command WHERE shard = 3 AND seq > $cut",
        "DELETE FROM ledger.house_delta WHERE shard = 3 AND seq > $cut",
        "DELETE FROM log.batch WHERE shard = 3 AND last_seq > $cut",
        "UPDATE log.shard_head SET last_seq = $cut, hash = decode('$hash', 'hex') WHERE shard = 3",
        "DELETE FROM audit.mark",
    ]
    .iter()
    .map(|sql| sql.replace("$cut", &cut.to_string()).replace("$hash", &hex::encode(&hash)))
    .collect();
    town.tamper(&undone.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(town.audit(&[]).0, "inside the database nothing is wrong");

    town.tamper(&["DELETE FROM audit.mark"]).await;
    let (holds, found) = town.audit_with(&file);
    assert!(!holds && said(&found, "L4a", "shard 3, message "), "{found:?}");
    assert!(said(&found, "L4a", "the log ends before its anchor"), "{found:?}");

    std::fs::copy(&older, &file).unwrap();
    let (holds, found) = town.audit_with(&file);
    assert!(!holds && said(&found, "L4a", "is not in this file, which is an older copy"), "{found:?}");
}
