//! The checks of offers and receipts hold on honest rows and fail on each planted violation.

use hunch_audit::{AuditOptions, run};
use hunch_db::testing::TestDb;
use hunch_kernel::{WallTime, derived_uuid};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// A merchant, an offer of sixty points, and a purchase of 110 that had it, as the programme would have written them.
const HONEST: &str = "
    INSERT INTO loyalty.merchant VALUES ('00000000-0000-0000-0000-000000000009', 'Rosa', 'bakery', 'UTC', 'USD', '2026-11-01T00:00:00Z');
    INSERT INTO loyalty.offer VALUES ('00000000-0000-0000-0000-000000000500', '00000000-0000-0000-0000-000000000009', 'Pasta night', 60, '2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z');
    INSERT INTO loyalty.purchase VALUES ('$id', 0, 1, '00000000-0000-0000-0000-00000000004d', '00000000-0000-0000-0000-000000000009', '00000000-0000-0000-0000-000000000001', 'r1', 500, 110, '2026-11-23T12:00:00Z', '2026-11-23T12:00:00Z', NULL, 60, NULL);
    INSERT INTO loyalty.offer_use VALUES ('$id', '00000000-0000-0000-0000-000000000500', '00000000-0000-0000-0000-00000000004d', 'Pasta night', 60, '2026-11-23T12:00:00Z');
    INSERT INTO ledger.entry (shard, seq, line, member, debit, credit, house, amount, reason, source, lot_lo, lot_hi, at, prior_seq)
    VALUES (0, 1, 1, '00000000-0000-0000-0000-00000000004d', 10, 1, '00000000-0000-0000-0000-000000000009', 60, 6, '$id', 50, 110, '2026-11-23T12:00:00Z', 0);";

async fn violated(tampering: &str) -> Vec<&'static str> {
    let db = TestDb::new().await;
    let till = Uuid::from_u128(1);
    let id = derived_uuid(&[b"purchase", till.as_bytes(), b"r1"]).to_string();
    let mut owner = db.superuser().await;
    let sql = format!("{HONEST}{tampering}").replace("$id", &id);
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
    let options = AuditOptions { full: true, ..AuditOptions::default() };
    let now = WallTime::from_timestamp("2026-11-24T12:00:00Z".parse().unwrap());
    let report = run(db.auditor(), &options, now).await.unwrap();
    let ours = report.checks.iter().filter(|check| ["L6o", "L6r"].contains(&check.id));
    ours.inspect(|check| assert!(check.checked > 0, "{} looked at nothing", check.id))
        .filter(|check| check.violations > 0)
        .map(|check| check.id)
        .collect()
}

#[tokio::test]
async fn each_planted_violation_of_offers_and_receipts_is_found() {
    assert_eq!(violated("").await, [""; 0]);
    let planted = [
        ("L6o", "UPDATE loyalty.offer_use SET points = 61;"),
        ("L6o", "UPDATE loyalty.purchase SET offer_points = 0;"),
        ("L6o", "UPDATE loyalty.purchase SET purchased_at = '2026-10-01T00:00:00Z';"),
        ("L6o", "UPDATE loyalty.purchase SET purchased_at = '2026-12-01T00:00:00Z';"),
        ("L6o", "UPDATE loyalty.offer SET bonus_points = 20;"),
        ("L6o", "UPDATE loyalty.offer_use SET returned_at = '2026-11-23T13:00:00Z';"),
        ("L6o", "DELETE FROM ledger.entry WHERE reason = 6;"),
        ("L6o", "INSERT INTO loyalty.purchase_return VALUES ('$id', 0, 2, '00000000-0000-0000-0000-000000000001', 110, 0, '2026-11-23T13:00:00Z');"),
        (
            "L6o",
            "DROP INDEX loyalty.offer_use_of_member;
             INSERT INTO loyalty.offer_use SELECT gen_random_uuid(), offer, member, title, points, used_at FROM loyalty.offer_use;",
        ),
        ("L6r", "UPDATE loyalty.purchase SET receipt = 'r2';"),
        ("L6r", "UPDATE loyalty.purchase SET receipt_key = 'r2';"),
        ("L6r", "UPDATE loyalty.purchase SET terminal = '00000000-0000-0000-0000-000000000002';"),
    ];
    for (id, tampering) in planted {
        assert_eq!(violated(tampering).await, [id], "{tampering}");
    }
}
