//! What comes faster or higher than the limits waits for a person, on a real database; and what an offer gives has an end.

mod support;

use hunch_kernel::{MemberId, Points};
use hunch_ledger::open_members;
use hunch_loyalty::WhichReviews::Waiting;
use hunch_loyalty::{
    MemberRef, NewOffer, PurchaseAnswer, PurchaseRequest, Purchases, ReviewReason, Velocity, VelocityLimits,
    active_offers, add_offer, add_terminal, reviews,
};
use jiff::{SignedDuration, Timestamp};
use support::{ROSA, Shop};
use uuid::Uuid;

impl Shop {
    /// Tills that know these limits, as of a process that has just started.
    fn limited(&self, limits: VelocityLimits) -> Purchases {
        Purchases { velocity: Velocity::new(self.db.app().clone(), limits), ..self.purchases.clone() }
    }

    fn now(&self) -> Timestamp {
        self.purchases.clocks.business.now()
    }

    /// More members, each with books.
    async fn members(&self, count: u128) -> Vec<MemberId> {
        let members: Vec<MemberId> = (0..count).map(|n| MemberId(Uuid::from_u128(1_000 + n))).collect();
        open_members(&mut self.db.app().acquire().await.unwrap(), &members, 8).await.unwrap();
        members
    }

    async fn reasons(&self) -> Vec<ReviewReason> {
        reviews(self.db.app(), Waiting, None, 100).await.unwrap().into_iter().map(|review| review.reason).collect()
    }
}

async fn buy(purchases: &Purchases, request: PurchaseRequest) -> PurchaseAnswer {
    purchases.record(vec![request]).await.remove(0).unwrap()
}

/// Which of these earned at once.
fn at_once(answers: &[PurchaseAnswer]) -> Vec<bool> {
    answers.iter().map(|answer| answer.pending == Points::ZERO).collect()
}

#[tokio::test]
async fn a_till_that_writes_too_many_receipts_in_a_minute_waits_with_the_rest() {
    let shop = Shop::open().await;
    let tills = shop.limited(VelocityLimits { till_minute_receipts: 3, ..VelocityLimits::HIGH });
    let mut answers = Vec::new();
    for n in 0..5 {
        answers.push(buy(&tills, shop.receipt(&n.to_string(), 100)).await);
        // Sent again it is the same, and uses up nothing.
        let again = buy(&tills, shop.receipt(&n.to_string(), 100)).await;
        assert_eq!((again.first, again.points, again.pending), (false, answers[n].points, answers[n].pending));
    }
    assert_eq!(at_once(&answers), [true, true, true, false, false]);
    assert_eq!(shop.available().await, 30);
    assert_eq!(shop.reasons().await, [ReviewReason::TillSpeed; 2]);
    // What was written in another minute counts there, however late it comes.
    let earlier =
        PurchaseRequest { purchased_at: "2026-11-23T11:40:00Z".parse().unwrap(), ..shop.receipt("late", 100) };
    assert_eq!(buy(&tills, earlier).await.pending, Points::ZERO);
    // A process that starts anew does not begin at nothing.
    let anew = shop.limited(VelocityLimits { till_minute_receipts: 3, ..VelocityLimits::HIGH });
    assert_eq!(buy(&anew, shop.receipt("anew", 100)).await.pending, Points(10));
}

#[tokio::test]
async fn a_batch_has_no_more_than_single_receipts() {
    let shop = Shop::open().await;
    let tills = shop.limited(VelocityLimits { till_minute_receipts: 7, ..VelocityLimits::HIGH });
    let batch = (0..20).map(|n| shop.receipt(&n.to_string(), 100)).collect();
    let answers: Vec<PurchaseAnswer> = tills.record(batch).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(at_once(&answers).iter().filter(|at_once| **at_once).count(), 7);
    assert_eq!(shop.available().await, 70);
}

/// A stolen secret mints no more than the day of one till, whoever earns it and however many ask at once.
#[tokio::test]
async fn a_till_gives_no_more_points_a_day_than_its_limit() {
    let shop = Shop::open().await;
    let tills = shop.limited(VelocityLimits { till_day_points: 1_000, ..VelocityLimits::HIGH });
    let members = shop.members(40).await;
    let asked = members.iter().enumerate().map(|(n, member)| {
        let request = PurchaseRequest { member: MemberRef::Token(*member), ..shop.receipt(&n.to_string(), 1_000) };
        buy(&tills, request)
    });
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(at_once(&answers).iter().filter(|at_once| **at_once).count(), 10);
    assert!(shop.reasons().await.iter().all(|reason| *reason == ReviewReason::TillValue));
    shop.clock.advance(SignedDuration::from_hours(24));
    let tomorrow = PurchaseRequest { purchased_at: shop.now(), ..shop.receipt("tomorrow", 1_000) };
    assert_eq!(buy(&tills, tomorrow).await.pending, Points::ZERO);
}

#[tokio::test]
async fn a_merchants_tills_have_one_limit_together() {
    let shop = Shop::open().await;
    let tills = shop.limited(VelocityLimits { merchant_day_points: 250, ..VelocityLimits::HIGH });
    let (side, _) = add_terminal(shop.db.app(), &shop.entropy, ROSA, "side", "operator", shop.now()).await.unwrap();
    let at_side = |n: &str| PurchaseRequest { terminal: side, ..shop.receipt(n, 1_000) };
    let answers =
        [buy(&tills, shop.receipt("1", 1_000)).await, buy(&tills, at_side("1")).await, buy(&tills, at_side("2")).await];
    assert_eq!(at_once(&answers), [true, true, false]);
    // What is smaller still fits.
    assert_eq!(buy(&tills, shop.receipt("2", 500)).await.pending, Points::ZERO);
    assert_eq!(shop.reasons().await, [ReviewReason::MerchantValue]);
}

#[tokio::test]
async fn a_member_has_limits_of_value_and_speed_that_outlive_the_process() {
    let shop = Shop::open().await;
    let limits = VelocityLimits { member_day_points: 250, member_day_receipts: 4, ..VelocityLimits::HIGH };
    let tills = shop.limited(limits);
    for n in ["1", "2"] {
        assert_eq!(buy(&tills, shop.receipt(n, 1_000)).await.pending, Points::ZERO);
    }
    let anew = shop.limited(limits);
    assert_eq!(buy(&anew, shop.receipt("3", 1_000)).await.pending, Points(100), "two hundred of the day are used");
    for n in ["4", "5"] {
        assert_eq!(buy(&anew, shop.receipt(n, 100)).await.pending, Points::ZERO);
    }
    assert_eq!(buy(&anew, shop.receipt("6", 100)).await.pending, Points(10), "the fifth that would earn at once");
    let mut reasons = shop.reasons().await;
    reasons.sort_by_key(|reason| reason.as_str());
    assert_eq!(reasons, [ReviewReason::MemberSpeed, ReviewReason::MemberValue]);
    // What earns nothing is in nobody's way.
    assert_eq!(buy(&anew, shop.receipt("7", 50)).await.points, Points::ZERO);
    assert_eq!(shop.reasons().await.len(), 2);
    shop.clock.advance(SignedDuration::from_hours(12));
    for (n, pending) in [("8", 0), ("9", 0), ("10", 100)] {
        assert_eq!(buy(&anew, shop.receipt(n, 1_000)).await.pending, Points(pending), "another day: {n}");
    }
}

/// Of an offer with a budget nobody gets a point too much, and nobody's points are lost to others who had it before.
#[tokio::test]
async fn an_offer_gives_its_budget_and_no_more() {
    let shop = Shop::open().await;
    let now = shop.now();
    let offer = NewOffer {
        id: Uuid::from_u128(500),
        merchant: ROSA,
        title: "Pasta night".to_owned(),
        bonus: Points(60),
        valid: now - SignedDuration::from_hours(1)..now + SignedDuration::from_hours(24),
        budget: Some(Points(630)),
    };
    add_offer(shop.db.app(), &offer, "operator", now).await.unwrap();
    assert_eq!(active_offers(shop.db.app(), now).await.unwrap().len(), 1);
    let members = shop.members(40).await;
    let first =
        |n: usize| PurchaseRequest { member: MemberRef::Token(members[n]), ..shop.receipt(&format!("{n}"), 100) };
    // Those who had it come again and again: that takes nothing.
    for n in 0..4 {
        assert_eq!(buy(&shop.purchases, first(n)).await.offers.len(), 1);
        for again in 0..10 {
            let request = PurchaseRequest { receipt: format!("{n}-{again}"), ..first(n) };
            assert_eq!(buy(&shop.purchases, request).await.offers.len(), 0);
            assert_eq!(buy(&shop.purchases, first(n)).await.offers.len(), 1, "sent again it is the same");
        }
    }
    let rest = futures_util::future::join_all((4..40).map(|n| buy(&shop.purchases, first(n)))).await;
    assert_eq!(rest.iter().filter(|answer| !answer.offers.is_empty()).count(), 6, "ten times sixty fit into 630");
    assert!(rest.iter().all(|answer| answer.points >= Points(10)), "the rule's points are everybody's");
    let given: i64 =
        sqlx::query_scalar("SELECT sum(points)::bigint FROM loyalty.offer_use").fetch_one(shop.db.app()).await.unwrap();
    assert_eq!(given, 600);
    assert_eq!(active_offers(shop.db.app(), now).await.unwrap(), [], "nobody is told of it any more");
}
