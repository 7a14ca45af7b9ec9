//! Which receipts are the same one, and which dates a receipt can have, on a real database.

mod support;

use hunch_kernel::{Points, TerminalId, derived_uuid};
use hunch_loyalty::{PurchaseRefusal, PurchaseRequest, purchase_id};
use jiff::SignedDuration;
use support::Shop;

/// However the number is written, the receipt earns once, and each spelling gets the first answer.
#[tokio::test]
async fn one_receipt_earns_once_however_it_is_spelled() {
    let shop = Shop::open().await;
    let first = shop.buy(shop.receipt("Café-12", 500)).await.unwrap();
    assert!(first.first);
    for spelling in ["Cafe\u{301}-12", " café-12", "CAFÉ - 12 ", "café-１２", "Ca\u{200b}fé-12"] {
        let again = shop.buy(shop.receipt(spelling, 500)).await.unwrap();
        assert_eq!((again.purchase, again.first), (first.purchase, false), "{spelling:?}");
        assert_eq!(purchase_id(shop.terminal, spelling), first.purchase);
        let changed = shop.buy(shop.receipt(spelling, 501)).await;
        assert!(matches!(changed, Err(PurchaseRefusal::ReceiptReused(_))), "{spelling:?}: {changed:?}");
    }
    // At once, in one batch.
    let spellings = ["r 1", "R1", "\u{a0}r1", "Ｒ1"];
    let together = shop.purchases.record(spellings.iter().map(|s| shop.receipt(s, 100)).collect()).await;
    assert_eq!(together.iter().filter(|answer| answer.as_ref().unwrap().first).count(), 1);
    assert_eq!(shop.available().await, 60);
    for none in ["", "  ", "a\tb", "a\u{0}b", &"x".repeat(65)] {
        assert_eq!(shop.buy(shop.receipt(none, 100)).await, Err(PurchaseRefusal::Receipt), "{none:?}");
    }
    assert!(shop.buy(shop.receipt(&"é".repeat(64), 100)).await.is_ok(), "64 characters, whatever their bytes");
    let unspelled = sqlx::query(
        "INSERT INTO loyalty.purchase SELECT gen_random_uuid(), shard, seq, member, merchant, terminal, 'R 9', amount_cents,
         points, purchased_at, recorded_at, rule, offer_points, NULL FROM loyalty.purchase LIMIT 1",
    );
    let refused = unspelled.execute(shop.db.app()).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|e| e.constraint()), Some("purchase_receipt_key"));
}

/// Before, each spelling had an id of its own. Those receipts are found under any spelling, and none earns again.
#[tokio::test]
async fn receipts_of_before_are_found_under_every_spelling() {
    let shop = Shop::open().await;
    let numbers = ["a-1", "OLD 7", "Été-3", "old 8", "OLD 8"];
    let mut earned = Vec::new();
    for (n, number) in numbers.iter().enumerate() {
        earned.push(shop.buy(shop.receipt(&format!("t{n}"), 100 * (n as i64 + 1))).await.unwrap());
        let old = |terminal: TerminalId| derived_uuid(&[b"purchase", terminal.0.as_bytes(), number.as_bytes()]);
        let mut owner = shop.db.superuser().await;
        for (table, column) in [("loyalty.purchase", "purchase"), ("ledger.command", "key")] {
            let rename = format!("UPDATE {table} SET {column} = $2 WHERE {column} = $1");
            let rename = sqlx::query(sqlx::AssertSqlSafe(rename)).bind(earned[n].purchase.0);
            rename.bind(old(shop.terminal)).execute(&mut owner).await.unwrap();
        }
        sqlx::query("ALTER TABLE loyalty.purchase DROP CONSTRAINT IF EXISTS purchase_receipt_key")
            .execute(&mut owner)
            .await
            .unwrap();
        let spell = sqlx::query("UPDATE loyalty.purchase SET receipt = $2, receipt_key = NULL WHERE purchase = $1");
        spell.bind(old(shop.terminal)).bind(number).execute(&mut owner).await.unwrap();
    }
    let mut owner = shop.db.superuser().await;
    sqlx::raw_sql("ALTER TABLE loyalty.purchase DROP COLUMN receipt_key; DROP TABLE loyalty.receipt_spelling;")
        .execute(&mut owner)
        .await
        .unwrap();
    sqlx::raw_sql(include_str!("../../../migrations/0146_receipts.sql")).execute(&mut owner).await.unwrap();
    shop.purchases.directory.forget();

    let before = shop.available().await;
    let found = [
        ("a-1", 0),
        ("A-1", 0),
        ("OLD 7", 1),
        ("old7", 1),
        ("Été-3", 2),
        ("e\u{301}té-3", 2),
        // Two of before that are one now: each keeps the answer of its own spelling.
        ("old 8", 3),
        ("OLD 8", 4),
    ];
    for (spelling, n) in found {
        let again = shop.buy(shop.receipt(spelling, 100 * (n as i64 + 1))).await;
        let again = again.unwrap_or_else(|refusal| panic!("{spelling}: {refusal}"));
        assert_eq!((again.points, again.first), (earned[n].points, false), "{spelling:?}");
    }
    assert_eq!(shop.available().await, before);
}

/// A clock that stands still is refused as one that runs ahead, and the receipt can come again with the right time.
#[tokio::test]
async fn a_receipt_of_long_ago_is_refused_and_comes_again_corrected() {
    let shop = Shop::open().await;
    let at =
        |number: &str, time: &str| PurchaseRequest { purchased_at: time.parse().unwrap(), ..shop.receipt(number, 500) };
    for time in ["1970-01-01T00:00:00Z", "-004713-01-01T00:00:00Z", "-009999-01-03T00:00:00Z", "2001-05-01T00:00:00Z"] {
        let refused = shop.buy(at("1", time)).await.unwrap_err();
        assert!(matches!(refused, PurchaseRefusal::Past { .. }), "{time}: {refused:?}");
    }
    let told = shop.buy(at("1", "2026-09-01T12:00:00Z")).await.unwrap_err().to_string();
    assert_eq!(
        told,
        "the purchase is dated 83 days ago, and receipts are taken up to 60 days late; set the till's clock and send it again \
         with the right time"
    );
    for time in ["9999-12-30T00:00:00Z", "2026-11-23T12:03:00Z"] {
        assert!(matches!(shop.buy(at("1", time)).await, Err(PurchaseRefusal::Future { .. })), "{time}");
    }
    let corrected = shop.buy(at("1", "2026-11-23T11:59:00Z")).await.unwrap();
    assert_eq!((corrected.points, corrected.first), (Points(50), true));
    assert_eq!(shop.buy(at("2", "2026-09-24T12:00:00Z")).await.unwrap().points, Points(50), "sixty days late is fine");
    // What was recorded in time is answered for ever.
    shop.clock.advance(SignedDuration::from_hours(24 * 400));
    assert!(!shop.buy(at("1", "2026-11-23T11:59:00Z")).await.unwrap().first);
    assert!(matches!(shop.buy(at("3", "2026-11-23T11:59:00Z")).await, Err(PurchaseRefusal::Past { .. })));
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM loyalty.purchase").fetch_one(shop.db.app()).await.unwrap();
    assert_eq!(stored, 2);
}
