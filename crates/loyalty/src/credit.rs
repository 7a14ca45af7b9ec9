//! What a purchase is credited, and for what: the one decision behind points, receipt, statement, and whatever is said of
//! them beforehand. Pure.
//!
//! - The earn rule in force when the purchase was made gives its points.
//! - Each offer of that shop that counted then gives its points too: once for each member, and again only after the
//!   purchase that had it came back.
//! - The merchant pays for all of it.

use hunch_kernel::{MerchantId, Points};
use jiff::Timestamp;
use std::collections::HashSet;
use uuid::Uuid;

use crate::earn_rule::{EarnRule, in_force};
use crate::offers::Offer;

/// What was bought, as far as points follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale {
    pub merchant: MerchantId,
    /// Minor units of the merchant's currency.
    pub amount_cents: i64,
    /// Business time at the till: rules and offers of that moment count, however late the receipt arrives.
    pub purchased_at: Timestamp,
}

/// All that a purchase is credited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Each moves points; the rule's comes first.
    pub lines: Vec<CreditLine>,
    /// The rule in force, also when the amount was too small to earn by it.
    pub rule: Option<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditLine {
    pub points: Points,
    pub cause: CreditCause,
    /// Who pays for the points.
    pub funder: MerchantId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreditCause {
    Rule(Uuid),
    Offer(OfferCredit),
}

/// What an offer gave a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferCredit {
    pub offer: Uuid,
    pub title: String,
    pub points: Points,
}

impl Credit {
    pub fn total(&self) -> Points {
        self.lines.iter().map(|line| line.points).sum()
    }

    pub fn offers(&self) -> impl Iterator<Item = &OfferCredit> {
        self.lines.iter().filter_map(|line| match &line.cause {
            CreditCause::Offer(offer) => Some(offer),
            CreditCause::Rule(_) => None,
        })
    }
}

/// What `sale` is credited under `rules` and `offers`, for a member who had the offers in `used` before.
pub fn credit(sale: &Sale, rules: &[EarnRule], offers: &[Offer], used: &HashSet<Uuid>) -> Credit {
    let rule = in_force(rules, sale.purchased_at);
    let earned = rule.map(|rule| CreditLine {
        points: rule.points(sale.amount_cents),
        cause: CreditCause::Rule(rule.rule),
        funder: sale.merchant,
    });
    let extra = offers.iter().filter(|offer| offer.counts(sale) && !used.contains(&offer.id)).map(|offer| CreditLine {
        points: offer.bonus,
        cause: CreditCause::Offer(OfferCredit { offer: offer.id, title: offer.title.clone(), points: offer.bonus }),
        funder: offer.merchant,
    });
    let lines = earned.into_iter().chain(extra).filter(|line| line.points.is_positive()).collect();
    Credit { lines, rule: rule.map(|rule| rule.rule) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earn_rule::EarnTerms;
    use proptest::prelude::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
    }

    fn shop(n: u8) -> MerchantId {
        MerchantId(Uuid::from_u128(u128::from(n)))
    }

    fn rule() -> impl Strategy<Value = EarnRule> {
        (0i64..10, 1i64..300, 0i64..5, 1i64..200, 0i64..100).prop_map(|(per_unit, per_cents, visit, most, from)| {
            EarnRule {
                rule: Uuid::from_u128(from as u128),
                terms: EarnTerms { points_per_unit: per_unit, per_cents, points_per_visit: visit, points_max: most },
                valid_from: at(from),
                valid_to: None,
            }
        })
    }

    fn offer() -> impl Strategy<Value = Offer> {
        (any::<u8>(), 0u8..3, 1i64..500, 0i64..100, 1i64..60).prop_map(|(id, merchant, bonus, from, lasts)| Offer {
            id: Uuid::from_u128(u128::from(id)),
            merchant: shop(merchant),
            merchant_name: String::new(),
            merchant_category: String::new(),
            title: format!("Offer {id}"),
            budget: None,
            leased: Points::ZERO,
            bonus: Points(bonus),
            valid_from: at(from),
            valid_to: at(from + lasts),
            told_until: None,
        })
    }

    proptest! {
        /// What may be told to a member at a moment is what a purchase of that moment is credited for, offer by offer; what
        /// may not be told gives nothing. Without offers a purchase earns by its rule alone.
        #[test]
        fn what_is_told_is_what_is_credited(
            rules in prop::collection::vec(rule(), 0..4),
            offers in prop::collection::vec(offer(), 0..8),
            used in prop::collection::hash_set(any::<u8>().prop_map(|n| Uuid::from_u128(u128::from(n))), 0..40),
            merchant in 0u8..3,
            minute in 0i64..120,
            amount_cents in 1i64..10_000,
        ) {
            let sale = Sale { merchant: shop(merchant), amount_cents, purchased_at: at(minute) };
            let credit = super::credit(&sale, &rules, &offers, &used);
            let told: Vec<(Uuid, Points)> = offers.iter()
                .filter(|o| o.merchant == sale.merchant && o.is_told(at(minute)) && !used.contains(&o.id))
                .map(|o| (o.id, o.bonus)).collect();
            let credited: Vec<(Uuid, Points)> = credit.offers().map(|o| (o.offer, o.points)).collect();
            prop_assert_eq!(&told, &credited);
            let plain = super::credit(&sale, &rules, &[], &used);
            prop_assert_eq!(credit.total(), plain.total() + told.iter().map(|(_, points)| *points).sum());
            prop_assert!(credit.lines.iter().all(|line| line.points.is_positive() && line.funder == sale.merchant));
        }

        /// An offer that was withdrawn is told to nobody, and counts for those who were told of it before.
        #[test]
        fn a_withdrawn_offer_counts_for_its_last_day(mut offer in offer(), minute in 0i64..160, withdrawn in 0i64..160) {
            offer.told_until = Some(at(withdrawn));
            let sale = Sale { merchant: offer.merchant, amount_cents: 1, purchased_at: at(minute) };
            prop_assert!(!offer.is_told(at(minute)) || offer.counts(&sale));
            prop_assert_eq!(offer.is_told(at(minute)), offer.counts(&sale) && minute < withdrawn);
        }
    }
}
