//! The dollar ledger on a real database.

use hunch_db::testing::TestDb;
use hunch_exchange::ExchangeShard;
use hunch_kernel::{Count, Dollars, PointRate, Points, Side, WallTime};
use hunch_treasury::{
    Account, Captured, CashSeen, HedgeBook, HousePart, balances, capture, cash, fund, is_booked, market_balance, post,
    record_cash,
};
use jiff::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

fn now() -> Timestamp {
    "2026-11-23T17:00:00Z".parse().unwrap()
}

fn stake(order: u128, side: Side, before: HedgeBook) -> Captured {
    Captured {
        order: Uuid::from_u128(order),
        market: "KXTEST-A".into(),
        exchange_shard: ExchangeShard(3),
        side,
        filled: Count(200),
        points: Points(112),
        rate: PointRate::STANDARD,
        cost: Dollars(1_080_000),
        fees: Dollars(34_800),
        before,
        house: HousePart::default(),
    }
}

async fn book(pool: &PgPool, transfers: &[hunch_treasury::Transfer]) {
    let mut tx = hunch_db::begin(pool).await.unwrap();
    post(&mut tx, transfers, now()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_transfer_is_booked_once_however_often_it_is_posted() {
    let db = TestDb::new().await;
    let first = stake(1, Side::Yes, HedgeBook::default());
    let second = stake(2, Side::No, HedgeBook { yes: Count(200), no: Count::ZERO });
    let transfers = [fund("start", ExchangeShard(3), Dollars(100_000_000)), capture(&first), capture(&second)];
    for _ in 0..3 {
        book(db.app(), &transfers).await;
    }
    let mut conn = db.app().acquire().await.unwrap();
    // Two pairs came back: only fees and the price above a dollar are gone.
    let left = Dollars(100_000_000) - Dollars(2 * (1_080_000 + 34_800)) + Dollars(2_000_000);
    assert_eq!(cash(&mut conn).await.unwrap(), [(ExchangeShard(3), left)].into());
    let all = balances(&mut conn).await.unwrap();
    assert_eq!(all.values().copied().sum::<Dollars>(), Dollars::ZERO);
    assert_eq!(all[&Account::CommunityPot.code()], Dollars(-2 * 5_200));
    assert_eq!(market_balance(&mut conn, &"KXTEST-A".into()).await.unwrap(), Dollars(-2_000_000), "owed to who wins");
}

#[tokio::test]
async fn an_id_stands_for_one_transfer() {
    let db = TestDb::new().await;
    let first = fund("start", ExchangeShard(3), Dollars(5));
    book(db.app(), std::slice::from_ref(&first)).await;
    let other = [fund("start", ExchangeShard(3), Dollars(6)), fund("start", ExchangeShard(4), Dollars(5))];
    book(db.app(), &other).await;
    let mut conn = db.app().acquire().await.unwrap();
    assert!(is_booked(&mut *conn, &first).await.unwrap());
    for transfer in other.iter().chain([&fund("later", ExchangeShard(3), Dollars(5))]) {
        assert!(!is_booked(&mut *conn, transfer).await.unwrap());
    }
}

/// Comparisons put the parts together while others book: nothing is lost, nothing counted twice, and what a
/// comparison reads does not grow with history.
#[tokio::test]
async fn the_summed_up_cash_is_what_the_entries_say() {
    let db = TestDb::new().await;
    let writers = (0..4).map(|w| {
        let pool = db.app().clone();
        tokio::spawn(async move {
            for n in 0..25 {
                let transfer = fund(&format!("{w}/{n}"), ExchangeShard(n % 2), Dollars(i64::from(n) + 1));
                book(&pool, &[transfer.clone(), transfer]).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut conn = db.app().acquire().await.unwrap();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let seen = CashSeen {
            exchange_shard: ExchangeShard(0),
            exchange: Dollars::ZERO,
            ledger: Dollars::ZERO,
            in_flight: Dollars::ZERO,
        };
        record_cash(&mut conn, &[seen], WallTime::from_timestamp(now())).await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    record_cash(&mut conn, &[], WallTime::from_timestamp(now())).await.unwrap();
    let expected = [(ExchangeShard(0), Dollars(4 * 169)), (ExchangeShard(1), Dollars(4 * 156))].into();
    assert_eq!(cash(&mut conn).await.unwrap(), expected);
    let parts: i64 = sqlx::query_scalar("SELECT count(*) FROM treasury.cash_part").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(parts, 2);
}

#[tokio::test]
async fn the_application_can_only_append() {
    let db = TestDb::new().await;
    book(db.app(), &[fund("start", ExchangeShard(0), Dollars(5))]).await;
    for statement in [
        "UPDATE treasury.entry SET amount = 6",
        "DELETE FROM treasury.entry",
        "TRUNCATE treasury.cash_seen",
        "UPDATE treasury.cash_part SET micros = 6",
    ] {
        let refused = sqlx::query(statement).execute(db.app()).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501", "{statement}");
    }
    let wrong = "INSERT INTO treasury.entry (transfer, line, debit, credit, amount, kind, at) VALUES (gen_random_uuid(), 0, 1, 9, 5, 1, now())";
    let refused = sqlx::query(wrong).execute(db.app()).await.unwrap_err();
    assert!(refused.to_string().contains("entry_shard"), "cash lies on a shard: {refused}");
}
