//! What offers give, on a real database: what was told is credited, once, and goes back with its purchase.

mod support;

use hunch_kernel::{MemberId, MerchantId, Points};
use hunch_loyalty::{
    LoyaltyError, MemberRef, NewOffer, PurchaseRequest, active_offers, add_offer, end_offer, offer_for, offers_used,
};
use jiff::{SignedDuration, Timestamp};
use support::Shop;
use uuid::Uuid;

const OFFER: Uuid = Uuid::from_u128(500);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Sixty points at the shop, from an hour before the test begins.
fn pasta(bonus: i64) -> NewOffer {
    NewOffer {
        budget: None,
        id: OFFER,
        merchant: MerchantId(Uuid::from_u128(9)),
        title: "Pasta night".to_owned(),
        bonus: Points(bonus),
        valid: at("2026-11-23T11:00:00Z")..at("2026-11-30T00:00:00Z"),
    }
}

impl Shop {
    async fn with_offer(bonus: i64) -> Shop {
        let shop = Shop::open().await;
        add_offer(shop.db.app(), &pasta(bonus), "operator", shop.now()).await.unwrap();
        shop
    }

    fn now(&self) -> Timestamp {
        self.purchases.clocks.business.now()
    }

    async fn told(&self) -> Option<Points> {
        offer_for(self.db.app(), self.member, OFFER, self.now()).await.unwrap().map(|offer| offer.bonus)
    }

    async fn reasons(&self) -> Vec<(i16, i64)> {
        let sql = "SELECT reason, amount FROM ledger.entry ORDER BY shard, seq, line";
        sqlx::query_as(sql).fetch_all(self.db.app()).await.unwrap()
    }
}

#[tokio::test]
async fn what_was_told_is_credited_once_in_the_purchase_itself() {
    let shop = Shop::with_offer(60).await;
    let told = shop.told().await.unwrap();
    let first = shop.buy(shop.receipt("1", 500)).await.unwrap();
    assert_eq!(
        (first.points, first.offers[0].points, first.offers[0].title.as_str()),
        (Points(110), told, "Pasta night")
    );
    assert_eq!(shop.reasons().await, [(1, 50), (6, 60)], "a line for the rule and one for the offer");
    assert_eq!(shop.told().await, None, "nobody is told of what would not be credited");
    let second = shop.buy(shop.receipt("2", 500)).await.unwrap();
    assert_eq!((second.points, second.offers.len()), (Points(50), 0));
    let again = shop.buy(shop.receipt("1", 500)).await.unwrap();
    assert_eq!((again.points, &again.offers, again.first), (first.points, &first.offers, false));
    assert_eq!(shop.available().await, 160);
    let row: (i64, i64, bool) =
        sqlx::query_as("SELECT points, offer_points, rule IS NOT NULL FROM loyalty.purchase WHERE receipt = '1'")
            .fetch_one(shop.db.app())
            .await
            .unwrap();
    assert_eq!(row, (110, 60, true));
}

/// Two tills, one member, one offer: receipts together in a batch, and at the same moment, give it once.
#[tokio::test]
async fn of_many_receipts_at_once_one_has_the_offer() {
    let shop = Shop::with_offer(60).await;
    let batch: Vec<PurchaseRequest> = (0..10).map(|n| shop.receipt(&format!("b{n}"), 100)).collect();
    let (together, alone) = tokio::join!(
        shop.purchases.record(batch.clone()),
        futures_util::future::join_all((0..20).map(|n| shop.buy(shop.receipt(&format!("a{n}"), 100))))
    );
    let given: usize = together.iter().chain(&alone).map(|answer| answer.as_ref().unwrap().offers.len()).sum();
    assert_eq!(given, 1);
    assert_eq!(shop.available().await, 30 * 10 + 60);
    let again = shop.purchases.record(batch).await;
    for (first, second) in together.iter().zip(&again) {
        let (first, second) = (first.as_ref().unwrap(), second.as_ref().unwrap());
        assert_eq!((first.points, &first.offers), (second.points, &second.offers));
    }
    let twice = sqlx::query(
        "INSERT INTO loyalty.offer_use (purchase, offer, member, title, points, used_at)
         SELECT gen_random_uuid(), offer, member, title, points, used_at FROM loyalty.offer_use",
    );
    let refused = twice.execute(shop.db.app()).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|e| e.constraint()), Some("offer_use_of_member"));
}

#[tokio::test]
async fn a_return_takes_the_offers_points_back_and_gives_the_offer_again() {
    let shop = Shop::with_offer(60).await;
    let bought = shop.buy(shop.receipt("1", 500)).await.unwrap();
    let back = shop.give_back(bought.purchase).await;
    assert_eq!((back.earned, back.clawed_back, shop.available().await), (Points(110), Points(110), 0));
    let merchant: i64 = sqlx::query_scalar("SELECT sum(delta)::int8 FROM ledger.house_delta WHERE account = 10")
        .fetch_one(shop.db.app())
        .await
        .unwrap();
    assert_eq!(merchant, 0, "the merchant has back what it paid, the offer's points too");
    assert_eq!(shop.told().await, Some(Points(60)));
    assert_eq!(shop.buy(shop.receipt("2", 500)).await.unwrap().points, Points(110));
    assert_eq!(shop.told().await, None);
    assert_eq!(shop.give_back(bought.purchase).await.clawed_back, Points(110), "the same answer, and nothing more");
    assert_eq!((shop.available().await, shop.told().await), (110, None));
}

/// The moment of the purchase counts, at this shop, for this member.
#[tokio::test]
async fn only_a_purchase_in_its_time_and_place_has_the_offer() {
    let shop = Shop::with_offer(60).await;
    let when = |number: &str, time: &str| PurchaseRequest { purchased_at: at(time), ..shop.receipt(number, 100) };
    assert_eq!(shop.buy(when("early", "2026-11-23T10:59:59Z")).await.unwrap().points, Points(10));
    shop.clock.advance(SignedDuration::from_hours(24 * 8));
    assert_eq!(shop.told().await, None);
    assert_eq!(shop.buy(when("after", "2026-11-30T00:00:00Z")).await.unwrap().points, Points(10));
    let late = shop.buy(when("late", "2026-11-29T23:59:59Z")).await.unwrap();
    assert_eq!(late.points, Points(70), "it was bought in time, however late its receipt comes");
    let stranger = PurchaseRequest {
        member: MemberRef::Token(MemberId(Uuid::from_u128(404))),
        ..when("nobody", "2026-11-29T23:59:59Z")
    };
    assert!(shop.buy(stranger).await.is_err());
    let used = offers_used(shop.db.app(), &[shop.member, MemberId(Uuid::from_u128(404))]).await.unwrap();
    assert_eq!(used.len(), 1);
}

#[tokio::test]
async fn a_withdrawn_offer_is_told_to_nobody_and_counts_for_a_day() {
    let shop = Shop::with_offer(60).await;
    let ends = end_offer(shop.db.app(), OFFER, false, "operator", shop.now()).await.unwrap().unwrap();
    shop.purchases.directory.forget();
    assert_eq!(ends, shop.now() + SignedDuration::from_hours(24));
    assert_eq!((shop.told().await, active_offers(shop.db.app(), shop.now()).await.unwrap().len()), (None, 0));
    shop.clock.advance(SignedDuration::from_hours(1));
    let again = end_offer(shop.db.app(), OFFER, false, "operator", shop.now()).await.unwrap().unwrap();
    assert_eq!(again, ends, "nothing lengthens it");
    assert_eq!(shop.buy(shop.receipt("1", 100)).await.unwrap().points, Points(70));
    end_offer(shop.db.app(), OFFER, true, "operator", shop.now()).await.unwrap().unwrap();
    shop.purchases.directory.forget();
    let other = MemberId(Uuid::from_u128(78));
    hunch_ledger::open_members(&mut shop.db.app().acquire().await.unwrap(), &[other], 8).await.unwrap();
    let theirs = PurchaseRequest {
        member: MemberRef::Token(other),
        purchased_at: shop.now() + SignedDuration::from_secs(1),
        ..shop.receipt("2", 100)
    };
    assert_eq!(shop.buy(theirs).await.unwrap().points, Points(10));
    assert_eq!(end_offer(shop.db.app(), Uuid::nil(), true, "operator", shop.now()).await.unwrap(), None);
}

#[tokio::test]
async fn an_offer_sent_again_is_the_same_or_refused() {
    let shop = Shop::with_offer(60).await;
    let add = |new: NewOffer| {
        let (pool, now) = (shop.db.app().clone(), shop.now());
        async move { add_offer(&pool, &new, "operator", now).await }
    };
    add(pasta(60)).await.unwrap();
    let refused = |result: Result<(), LoyaltyError>| match result {
        Err(LoyaltyError::Differs { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(add(pasta(61)).await), "bonus_points");
    assert_eq!(refused(add(NewOffer { title: "Pizza night".to_owned(), ..pasta(60) }).await), "title");
    let longer = at("2026-11-23T11:00:00Z")..at("2026-12-01T00:00:00Z");
    assert_eq!(refused(add(NewOffer { valid: longer, ..pasta(60) }).await), "valid_to");
    let impossible = [
        pasta(0),
        pasta(100_001),
        NewOffer { title: " ".to_owned(), ..pasta(1) },
        NewOffer { valid: at("2026-11-23T11:00:00Z")..at("2026-11-23T11:00:00Z"), ..pasta(1) },
        NewOffer { valid: at("2026-11-22T11:00:00Z")..at("2026-11-23T11:00:00Z"), ..pasta(1) },
        NewOffer { valid: at("-004713-01-01T00:00:00Z")..at("2027-01-01T00:00:00Z"), ..pasta(1) },
        NewOffer { valid: at("2026-11-23T11:00:00Z")..at("9999-01-01T00:00:00Z"), ..pasta(1) },
    ];
    for new in impossible {
        assert!(matches!(add(new.clone()).await, Err(LoyaltyError::Invalid(_))), "{new:?}");
    }
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM loyalty.offer").fetch_one(shop.db.app()).await.unwrap();
    assert_eq!(stored, 1);
}
