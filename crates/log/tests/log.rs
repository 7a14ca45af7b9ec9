//! The log on a real database: order, tails, positions and fencing.

use hunch_db::testing::TestDb;
use hunch_kernel::Shard;
use hunch_log::positions::{AdvanceError, advance, take_over};
use hunch_log::{ShardTx, Tail, decode_messages, read_after};
use hunch_messages::{MemberJoined, Message};
use uuid::Uuid;

const SHARD: Shard = Shard(2);

fn joined(n: u128) -> Message {
    Message::MemberJoined(MemberJoined {
        v: 1,
        member: Uuid::from_u128(n),
        at: "2026-11-23T12:00:00Z".parse().unwrap(),
    })
}

async fn write(db: &TestDb, numbers: &[u128]) -> hunch_log::Committed {
    let mut tx = ShardTx::begin(db.app(), SHARD, "2026-11-23T12:00:00Z".parse().unwrap()).await.unwrap();
    for n in numbers {
        tx.announce(joined(*n));
    }
    tx.commit().await.unwrap()
}

#[tokio::test]
async fn messages_come_back_in_order_from_memory_and_from_the_table() {
    let db = TestDb::new().await;
    let tail = Tail::new(8);
    for numbers in [&[1u128, 2][..], &[3], &[4, 5, 6]] {
        tail.publish(&write(&db, numbers).await);
    }
    for after in 0..6i64 {
        let table = read_after(db.app(), SHARD, after, 100).await.unwrap();
        let memory = tail.read_after(db.app(), SHARD, after, 100).await.unwrap();
        let flat = |batches: &[hunch_log::Batch]| -> Vec<(i64, Message)> {
            batches.iter().flat_map(|b| b.after(after).map(|(s, m)| (s, m.clone())).collect::<Vec<_>>()).collect()
        };
        assert_eq!(flat(&table), flat(&memory));
        let expected: Vec<(i64, Message)> = (after + 1..=6).map(|s| (s, joined(s as u128))).collect();
        assert_eq!(flat(&table), expected);
    }
    // A reader that starts before what memory holds is served from the table.
    let fresh = Tail::new(8);
    fresh.publish(&write(&db, &[7]).await);
    assert_eq!(fresh.read_after(db.app(), SHARD, 0, 100).await.unwrap().len(), 4);
    fresh.wait_past(SHARD, 6).await;
}

#[tokio::test]
async fn an_abandoned_transaction_leaves_nothing() {
    let db = TestDb::new().await;
    let mut tx = ShardTx::begin(db.app(), SHARD, "2026-11-23T12:00:00Z".parse().unwrap()).await.unwrap();
    tx.announce(joined(1));
    drop(tx);
    assert_eq!(write(&db, &[2]).await.first_seq, 1);
}

#[tokio::test]
async fn a_replaced_owner_cannot_move_the_position() {
    let db = TestDb::new().await;
    write(&db, &[1, 2]).await;
    let mut conn = db.app().acquire().await.unwrap();
    let old = take_over(&mut conn, "engage", SHARD).await.unwrap();
    advance(&mut conn, &old, 1, Some(b"checkpoint")).await.unwrap();
    let new = take_over(&mut conn, "engage", SHARD).await.unwrap();
    assert_eq!((new.last_seq, new.state.as_deref()), (1, Some(&b"checkpoint"[..])));
    assert!(matches!(advance(&mut conn, &old, 2, None).await, Err(AdvanceError::Fenced)));
    advance(&mut conn, &new, 2, None).await.unwrap();
    assert!(matches!(advance(&mut conn, &new, 1, None).await, Err(AdvanceError::Fenced)), "never backwards");
}

#[test]
fn bytes_that_are_no_batch_are_an_error() {
    for bytes in [&b""[..], b"\x00\x00\x00\x00", b"\xff\xff\xff\x7fabc", b"\x02\x00\x00\x00\x20{}"] {
        assert!(decode_messages(bytes).is_err(), "{bytes:?}");
    }
}
