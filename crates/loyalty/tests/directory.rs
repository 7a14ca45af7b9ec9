//! What the memory of merchants and tills shows while they change.

mod support;

use hunch_db::testing::TestDb;
use hunch_kernel::{ManualClock, MerchantId, SeededEntropy};
use hunch_loyalty::{Directory, NewMerchant, add_merchant, add_terminal};
use sqlx::Executor;
use support::{ROSA, rosa};
use uuid::Uuid;

/// A reading that began before a merchant was added ends after it: it must not hide the merchant.
#[tokio::test]
async fn a_slow_reading_does_not_hide_what_was_added_meanwhile() {
    let db = TestDb::new().await;
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let directory = Directory::new(db.app().clone(), ManualClock::at(now));
    let (first, second) = (rosa(), NewMerchant { id: MerchantId(Uuid::from_u128(2)), ..rosa() });
    add_merchant(db.app(), &first, "operator", now).await.unwrap();
    add_terminal(db.app(), &SeededEntropy::shared(1), first.id, "front", "operator", now).await.unwrap();

    // The reading takes merchants first and stops at the tills, which someone holds.
    let mut holder = db.superuser().await;
    holder.execute("BEGIN; LOCK TABLE loyalty.terminal IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let slow = tokio::spawn({
        let directory = directory.clone();
        async move { directory.merchant(ROSA).await }
    });
    let waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE NOT l.granted AND d.datname = current_database()";
    let mut watcher = db.superuser().await;
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watcher).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    add_merchant(db.app(), &second, "operator", now).await.unwrap();
    directory.forget();
    holder.execute("ROLLBACK").await.unwrap();
    assert!(slow.await.unwrap().unwrap().is_some());

    assert!(directory.merchant(second.id).await.unwrap().is_some());
}
