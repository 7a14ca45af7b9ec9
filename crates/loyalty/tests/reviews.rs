//! Points that wait for a person's decision, from the till to the books and back.

mod support;

use hunch_kernel::{MemberId, Points, shard_of};
use hunch_ledger::{MemberBalance, balance};
use hunch_loyalty::{
    NewOffer, PurchaseAnswer, Review, ReviewDecision, ReviewRefusal, ReviewRequest, WhichReviews, add_offer, reviews,
    watch_terminal,
};
use jiff::SignedDuration;
use support::{ROSA, Shop};
use uuid::Uuid;

impl Shop {
    async fn watch(&self, why: Option<&str>) {
        let now = self.purchases.clocks.business.now();
        assert!(watch_terminal(self.db.app(), self.terminal, why, "operator", now).await.unwrap());
        self.purchases.directory.forget();
    }

    /// A purchase of ten dollars, which earns 100 points.
    async fn ten_dollars(&self, number: &str) -> PurchaseAnswer {
        self.buy(self.receipt(number, 1_000)).await.unwrap()
    }

    async fn decide(&self, bought: &PurchaseAnswer, decision: ReviewDecision) -> Result<Review, ReviewRefusal> {
        let (by, why) = ("operator".to_owned(), "looked at the receipts".to_owned());
        let request = ReviewRequest { purchase: bought.purchase, member: self.member, decision, by, why };
        self.reviews.submit(shard_of(self.member, 8), request).await.unwrap()
    }

    async fn has(&self) -> MemberBalance {
        balance(self.db.app(), self.member).await.unwrap().unwrap()
    }

    async fn waiting(&self) -> Vec<Review> {
        reviews(self.db.app(), WhichReviews::Of(self.member), None, 10).await.unwrap()
    }

    /// The checks of the audit that do not hold.
    async fn wrong(&self) -> Vec<&'static str> {
        hunch_audit::violated(&mut self.db.superuser().await).await.unwrap()
    }
}

#[tokio::test]
async fn points_of_a_watched_till_wait_and_are_confirmed_once() {
    let shop = Shop::open().await;
    let before = shop.ten_dollars("1").await;
    assert_eq!((before.points, before.pending), (Points(100), Points(0)));
    shop.watch(Some("many receipts of one minute")).await;
    let bought = shop.ten_dollars("2").await;
    assert_eq!((bought.points, bought.pending, bought.balance.provisional), (Points(100), Points(100), Points(100)));
    let again = shop.ten_dollars("2").await;
    assert_eq!((again.points, again.pending, again.first), (Points(100), Points(100), false), "the first answer");
    let waiting = shop.waiting().await;
    assert_eq!(waiting.iter().map(|r| (r.purchase, r.points)).collect::<Vec<_>>(), [(bought.purchase, Points(100))]);

    shop.clock.advance(SignedDuration::from_hours(1));
    let decided = shop.decide(&bought, ReviewDecision::Confirm).await.unwrap();
    let has = shop.has().await;
    assert_eq!((has.available, has.provisional), (Points(200), Points(0)));
    assert_eq!(shop.decide(&bought, ReviewDecision::Confirm).await, Ok(decided), "a repeat changes nothing");
    let other = shop.decide(&bought, ReviewDecision::TakeBack).await;
    assert_eq!(other, Err(ReviewRefusal::Decided("confirmed".to_owned())));
    assert_eq!(shop.ten_dollars("2").await.pending, Points(100), "the till is told for ever what it was told first");
    assert!(shop.waiting().await.is_empty());
    assert_eq!(shop.give_back(bought.purchase).await.clawed_back, Points(100), "it comes back like any other");
    assert_eq!(shop.wrong().await, Vec::<&str>::new());
}

#[tokio::test]
async fn what_is_taken_back_was_never_the_members() {
    let shop = Shop::open().await;
    shop.watch(Some("a stolen secret")).await;
    let bought = shop.ten_dollars("1").await;
    shop.decide(&bought, ReviewDecision::TakeBack).await.unwrap();
    let has = shop.has().await;
    assert_eq!((has.total(), has.debt), (Points(0), Points(0)));
    let merchant: i64 = sqlx::query_scalar("SELECT sum(delta)::int8 FROM ledger.house_delta WHERE account = 10")
        .fetch_one(shop.db.owner())
        .await
        .unwrap();
    assert_eq!(merchant, 0, "the merchant pays nothing");
    let back = shop.give_back(bought.purchase).await;
    assert_eq!((back.earned, back.clawed_back), (Points(100), Points(0)), "nothing is left to take");
    assert_eq!(shop.has().await.debt, Points(0));
    assert_eq!(shop.wrong().await, Vec::<&str>::new());
}

/// An offer is the member's again once the purchase that had it was not confirmed, or came back.
#[tokio::test]
async fn an_offer_goes_back_with_points_that_are_not_confirmed() {
    let shop = Shop::open().await;
    let now = shop.purchases.clocks.business.now();
    let hour = SignedDuration::from_hours(1);
    let offer = NewOffer {
        budget: None,
        id: Uuid::from_u128(500),
        merchant: ROSA,
        title: "Pasta night".to_owned(),
        bonus: Points(60),
        valid: now - hour..now + hour,
    };
    add_offer(shop.db.app(), &offer, "operator", now).await.unwrap();
    shop.purchases.directory.forget();
    shop.watch(Some("a stolen secret")).await;
    let first = shop.ten_dollars("1").await;
    assert_eq!((first.points, first.pending), (Points(160), Points(160)));
    assert_eq!(shop.ten_dollars("2").await.points, Points(100), "once for each member");
    shop.decide(&first, ReviewDecision::TakeBack).await.unwrap();
    assert_eq!(shop.wrong().await, Vec::<&str>::new());
    let again = shop.ten_dollars("3").await;
    assert_eq!(again.points, Points(160), "the offer is free again");
    shop.give_back(first.purchase).await;
    shop.give_back(again.purchase).await;
    assert_eq!(shop.wrong().await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_return_before_any_decision_ends_the_waiting() {
    let shop = Shop::open().await;
    shop.watch(Some("a new till")).await;
    let bought = shop.ten_dollars("1").await;
    assert_eq!(shop.give_back(bought.purchase).await.clawed_back, Points(100));
    let has = shop.has().await;
    assert_eq!((has.total(), has.provisional), (Points(0), Points(0)));
    let late = shop.decide(&bought, ReviewDecision::Confirm).await;
    assert_eq!(late, Err(ReviewRefusal::Decided("returned".to_owned())));
    assert_eq!(shop.wrong().await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_till_that_is_watched_no_longer_earns_at_once_and_what_waits_goes_on_waiting() {
    let shop = Shop::open().await;
    shop.watch(Some("a new till")).await;
    let waits = shop.ten_dollars("1").await;
    shop.watch(None).await;
    assert_eq!(shop.ten_dollars("2").await.pending, Points(0));
    assert_eq!(shop.waiting().await.len(), 1);
    // A purchase that earns nothing has nothing that waits.
    shop.watch(Some("again")).await;
    assert_eq!(shop.buy(shop.receipt("3", 1)).await.unwrap().pending, Points(0));
    assert_eq!(shop.waiting().await.iter().map(|r| r.purchase).collect::<Vec<_>>(), [waits.purchase]);
    let stranger = ReviewRequest {
        purchase: shop.ten_dollars("2").await.purchase,
        member: MemberId(Uuid::nil()),
        decision: ReviewDecision::Confirm,
        by: "operator".to_owned(),
        why: "a slip".to_owned(),
    };
    let answer = shop.reviews.submit(shard_of(shop.member, 8), stranger).await.unwrap();
    assert_eq!(answer, Err(ReviewRefusal::Unknown), "points that never waited");
}
