//! What becomes of a merchant that is sent again, and of its earn rules over time, on a real database.

mod support;

use hunch_kernel::{MerchantId, Points, shard_of};
use hunch_loyalty::{
    EarnTerms, LoyaltyError, Merchant, MerchantChange, NewEarnRule, NewMerchant, PurchaseRequest, add_earn_rule,
    add_merchant, change_merchant, merchant,
};
use hunch_messages::Message;
use jiff::{SignedDuration, Timestamp};
use support::{ROSA, Shop, rosa};
use uuid::Uuid;

fn rule(id: u128, points_per_unit: i64, valid_from: Option<Timestamp>) -> NewEarnRule {
    let terms = EarnTerms { points_per_unit, per_cents: 100, points_per_visit: 0, points_max: 5_000 };
    NewEarnRule { id: Uuid::from_u128(id), merchant: ROSA, terms, valid_from }
}

fn field(result: Result<(), LoyaltyError>) -> &'static str {
    match result {
        Err(LoyaltyError::Differs { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

impl Shop {
    fn now(&self) -> Timestamp {
        self.purchases.clocks.business.now()
    }

    async fn again(&self, new: NewMerchant) -> Result<(), LoyaltyError> {
        add_merchant(self.db.app(), &new, "operator", self.now()).await
    }

    async fn change(&self, id: MerchantId, change: &MerchantChange) -> Result<Option<Merchant>, LoyaltyError> {
        let changed = change_merchant(self.db.app(), id, change, "operator", self.now()).await;
        self.purchases.directory.forget();
        changed
    }
}

#[tokio::test]
async fn a_merchant_sent_again_is_the_same_or_refused_with_the_field_that_differs() {
    let shop = Shop::open().await;
    shop.again(rosa()).await.unwrap();
    let changed = [
        ("name", NewMerchant { name: "Rosa".to_owned(), ..rosa() }),
        ("category", NewMerchant { category: "cafe".to_owned(), ..rosa() }),
        ("zone", NewMerchant { zone: "Europe/Rome".to_owned(), ..rosa() }),
        ("currency", NewMerchant { currency: "EUR".to_owned(), ..rosa() }),
        ("points_per_unit", NewMerchant { points_per_unit: 5, ..rosa() }),
        ("per_cents", NewMerchant { per_cents: 10, ..rosa() }),
        ("points_per_visit", NewMerchant { points_per_visit: 1, ..rosa() }),
        ("points_max", NewMerchant { points_max: 1, ..rosa() }),
    ];
    for (name, new) in changed {
        assert_eq!(field(shop.again(new).await), name);
    }
    let impossible = [
        NewMerchant { points_per_unit: -1, ..rosa() },
        NewMerchant { points_per_unit: 1_000_000_001, ..rosa() },
        NewMerchant { per_cents: 0, ..rosa() },
        NewMerchant { per_cents: i64::MAX, ..rosa() },
        NewMerchant { points_per_visit: 1_000_000_000_000, ..rosa() },
        NewMerchant { points_max: 0, ..rosa() },
        NewMerchant { points_max: i64::MAX, ..rosa() },
        NewMerchant { name: "a\nb".to_owned(), ..rosa() },
    ];
    for new in impossible {
        assert!(matches!(shop.again(new.clone()).await, Err(LoyaltyError::Invalid(_))), "{new:?}");
    }
    let renamed = MerchantChange { name: Some("Rosa & Figlia".to_owned()), ..MerchantChange::default() };
    let found = shop.change(ROSA, &renamed).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.zone.as_str()), ("Rosa & Figlia", "America/New_York"));
    assert_eq!(field(shop.again(rosa()).await), "name", "nobody is told that the old name stands");
    shop.again(NewMerchant { name: "Rosa & Figlia".to_owned(), ..rosa() }).await.unwrap();
    assert!(shop.change(MerchantId(Uuid::nil()), &renamed).await.unwrap().is_none());
    assert!(shop.change(ROSA, &MerchantChange::default()).await.is_err());
}

#[tokio::test]
async fn an_earn_rule_is_replaced_from_a_day_on_and_the_days_before_keep_theirs() {
    let shop = Shop::open().await;
    let start = shop.now();
    let add = |new: NewEarnRule, now: Timestamp| {
        let pool = shop.db.app().clone();
        async move { add_earn_rule(&mut pool.acquire().await.unwrap(), &new, now).await }
    };
    let noon = start + SignedDuration::from_hours(24);
    let planned = add(rule(1, 20, Some(noon)), start).await.unwrap();
    assert_eq!((planned.valid_from, planned.terms.points_per_unit), (noon, 20));
    assert_eq!(add(rule(1, 20, Some(noon)), start).await.unwrap(), planned, "sent again, it is the same one");
    assert_eq!(add(rule(2, 20, Some(noon)), start).await.unwrap(), planned, "and under another id too");
    assert!(matches!(
        add(rule(1, 21, Some(noon)), start).await,
        Err(LoyaltyError::Differs { field: "points_per_unit", .. })
    ));
    assert!(matches!(add(rule(2, 21, Some(noon)), start).await, Err(LoyaltyError::Differs { .. })));
    let past = start - SignedDuration::from_secs(1);
    assert!(matches!(add(rule(3, 30, Some(past)), start).await, Err(LoyaltyError::Invalid(_))));
    let far = start + SignedDuration::from_hours(24 * 4_000);
    assert!(matches!(add(rule(3, 30, Some(far)), start).await, Err(LoyaltyError::Invalid(_))));
    shop.purchases.directory.forget();

    let buy = |number: &str, at: Timestamp| shop.buy(PurchaseRequest { purchased_at: at, ..shop.receipt(number, 100) });
    let minute = SignedDuration::from_mins(1);
    assert_eq!(buy("1", start).await.unwrap().points, Points(10));
    shop.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(buy("2", noon).await.unwrap().points, Points(20));
    assert_eq!(buy("3", noon - minute).await.unwrap().points, Points(10), "a late receipt follows the rule of its day");
    let now = shop.now();
    let third = add(rule(4, 3, None), now).await.unwrap();
    assert_eq!(third.valid_from, now);
    shop.purchases.directory.forget();
    assert_eq!(buy("4", now).await.unwrap().points, Points(3));
    assert_eq!(buy("5", now - minute).await.unwrap().points, Points(20));
    assert_eq!(buy("1", start).await.unwrap().points, Points(10), "what was answered stays");
    let rules = merchant(shop.db.app(), ROSA).await.unwrap().unwrap().rules;
    assert_eq!(rules.iter().map(|r| r.terms.points_per_unit).collect::<Vec<_>>(), [10, 20, 3], "the history is kept");
    shop.again(rosa()).await.unwrap();

    // The database says the same.
    let change = "UPDATE loyalty.earn_rule SET points_per_unit = 1";
    let refused = sqlx::query(change).execute(shop.db.app()).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|e| e.code().map(|c| c.into_owned())).as_deref(), Some("42501"));
    let backdated = "INSERT INTO loyalty.earn_rule (rule, merchant, points_per_unit, per_cents, points_per_visit, points_max, valid_from, made_at)
                     SELECT gen_random_uuid(), merchant, 9, 1, 0, 9, '2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z' FROM loyalty.merchant";
    let refused = sqlx::query(backdated).execute(shop.db.app()).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|e| e.constraint()), Some("earn_rule_not_backdated"));
}

/// What was bought is counted under the category of its time, and taken back from there.
#[tokio::test]
async fn a_return_after_a_change_of_category_is_of_the_category_that_the_purchase_was_of() {
    let shop = Shop::open().await;
    let florist = |category: &str| MerchantChange { category: Some(category.to_owned()), ..MerchantChange::default() };
    let mut sold = Vec::new();
    for (number, category) in [("1", "bakery"), ("2", "cafe"), ("3", "florist")] {
        shop.change(ROSA, &florist(category)).await.unwrap();
        sold.push((shop.buy(shop.receipt(number, 100)).await.unwrap().purchase, category));
    }
    // The first one as if it had been recorded before purchases kept it.
    sqlx::query("UPDATE loyalty.purchase SET merchant_category = NULL WHERE purchase = $1")
        .bind(sold[0].0.0)
        .execute(shop.db.owner())
        .await
        .unwrap();
    for (purchase, _) in &sold {
        shop.give_back(*purchase).await;
    }
    let told = |message: &Message| match message {
        Message::PurchaseRecorded(m) => Some((m.purchase, m.merchant_category.clone(), true)),
        Message::PurchaseReturned(m) => Some((m.purchase, m.merchant_category.clone(), false)),
        _ => None,
    };
    let batches = hunch_log::read_after(shop.db.app(), shard_of(shop.member, 8), 0, 1_000).await.unwrap();
    let messages: Vec<_> = batches.iter().flat_map(|batch| batch.after(0)).filter_map(|(_, m)| told(m)).collect();
    for (purchase, category) in sold {
        for bought in [true, false] {
            assert!(messages.contains(&(purchase.0, category.to_owned(), bought)), "{category}: {messages:?}");
        }
    }
}
