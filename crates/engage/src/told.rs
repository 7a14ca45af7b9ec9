//! What a model is told of a member and of what could be said: whole numbers, few and small, kept with each decision so
//! that it can be made again.
//!
//! Invariants
//! - No sign of harm can be told. A model sees [`Seen`], [`Choice`] and nothing else, and neither has a place for a loss, a
//!   refused stake, points staked or a limit; those stay with the hard rules and the gate, which come first.
//! - Reading what was kept gives what was told, byte for byte.

use hunch_kernel::Price;
use jiff::Timestamp;

use crate::decide::{Candidate, MarketCandidate, OfferCandidate, Situation};
use crate::features::Features;

/// Numbers a model gets of one choice, each in thousandths.
pub const WIDTH: usize = 20;
/// What they are, in order. A model made for other numbers is not used.
pub const NAMES: [&str; WIDTH] = [
    "market",
    "offer",
    "sports",
    "events",
    "weather",
    "local",
    "liked",
    "ends soon",
    "open question",
    "fits the shop",
    "same shop",
    "usual shop",
    "bonus",
    "market purchases",
    "market prompts of a day",
    "market prompts of a week",
    "offer purchases",
    "offer prompts of a day",
    "offer prompts of a week",
    "offer days away",
];
const FORMAT: u8 = 1;
const HEAD: usize = 6;
const CHOICE: usize = 8;

/// What a model may know of a member: how they shop, and how much was said to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Up to 31.
    pub purchases_30d: u8,
    /// Between the last two purchases, up to 14.
    pub days_away: u8,
    pub prompts_24h: u8,
    pub prompts_7d: u8,
}

/// What a model may know of one thing that could be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Market {
        category: Category,
        /// Stakes of this member in such markets that filled, up to 5.
        liked: u8,
        /// Until trading ends, up to 12.
        hours: u8,
        /// 100 at even odds, 0 at certainty.
        open: u8,
        fits: bool,
    },
    Offer {
        same_shop: bool,
        usual: bool,
        bonus: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    Sports,
    Events,
    Weather,
    Local,
    Other,
}

/// One question as a model was asked it. *Nothing* is always possible and needs no words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub seen: Seen,
    pub choices: Vec<Choice>,
}

impl Seen {
    pub fn of(features: &Features) -> Seen {
        Seen {
            purchases_30d: small(features.purchases_30d.into(), 31),
            days_away: small(features.days_since_last.unwrap_or(0).into(), 14),
            prompts_24h: small(features.prompts_24h.into(), 15),
            prompts_7d: small(features.prompts_7d.into(), 31),
        }
    }
}

impl Choice {
    pub fn of(candidate: &Candidate, features: &Features, situation: &Situation) -> Choice {
        match candidate {
            Candidate::Market(market) => Choice::Market {
                category: Category::named(&market.category),
                liked: liked(features, market),
                hours: hours(market.ends_at, situation.now),
                open: small(open(market.yes_price), 100),
                fits: fits(situation, &market.category) > 0,
            },
            Candidate::Offer(offer) => Choice::Offer {
                same_shop: situation.merchant == Some(offer.merchant),
                usual: is_usual(features, offer),
                bonus: small(offer.bonus.0, 100),
            },
        }
    }

    /// The kind of thing it is; *nothing* is 0.
    pub fn kind(self) -> u8 {
        match self {
            Choice::Market { .. } => 1,
            Choice::Offer { .. } => 2,
        }
    }

    /// In thousandths, as [`NAMES`] says.
    pub fn numbers(self, seen: Seen) -> [i32; WIDTH] {
        let part = |value: u8, of: i32| i32::from(value) * 1_000 / of;
        let is = |yes: bool| i32::from(yes) * 1_000;
        let (purchases, day, week) =
            (part(seen.purchases_30d, 31), part(seen.prompts_24h, 3), part(seen.prompts_7d, 12));
        let mut n = [0; WIDTH];
        match self {
            Choice::Market { category, liked, hours, open, fits } => {
                n[0] = 1_000;
                if category != Category::Other {
                    n[2 + category as usize] = 1_000;
                }
                (n[6], n[7], n[8], n[9]) = (part(liked, 5), 1_000 - part(hours, 12), part(open, 100), is(fits));
                (n[13], n[14], n[15]) = (purchases, day, week);
            }
            Choice::Offer { same_shop, usual, bonus } => {
                n[1] = 1_000;
                (n[10], n[11], n[12]) = (is(same_shop), is(usual), part(bonus, 100));
                (n[16], n[17], n[18], n[19]) = (purchases, day, week, part(seen.days_away, 14));
            }
        }
        n
    }
}

impl Category {
    fn named(name: &str) -> Category {
        match name {
            "sports" => Category::Sports,
            "events" => Category::Events,
            "weather" => Category::Weather,
            "local" => Category::Local,
            _ => Category::Other,
        }
    }

    fn from_byte(byte: u8) -> Option<Category> {
        use Category::{Events, Local, Other, Sports, Weather};
        [Sports, Events, Weather, Local, Other].get(usize::from(byte)).copied()
    }
}

impl Told {
    /// For keeping, with the place of what was chosen; none is *nothing*.
    pub fn to_bytes(&self, chosen: Option<usize>) -> Vec<u8> {
        let seen = self.seen;
        let chosen = chosen.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
        let mut bytes = vec![FORMAT, chosen, seen.purchases_30d, seen.days_away, seen.prompts_24h, seen.prompts_7d];
        bytes.reserve(self.choices.len() * CHOICE);
        for choice in &self.choices {
            bytes.extend(match *choice {
                Choice::Market { category, liked, hours, open, fits } => {
                    [1, category as u8, liked, hours, open, u8::from(fits), 0, 0]
                }
                Choice::Offer { same_shop, usual, bonus } => {
                    [2, u8::from(same_shop), u8::from(usual), bonus, 0, 0, 0, 0]
                }
            });
        }
        bytes
    }

    /// What was kept, and the place of what was chosen. None for what [`Told::to_bytes`] did not write.
    pub fn read(bytes: &[u8]) -> Option<(Told, Option<usize>)> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let &[FORMAT, chosen, purchases_30d, days_away, prompts_24h, prompts_7d] = head else { return None };
        if rest.len() % CHOICE != 0 {
            return None;
        }
        let choices: Vec<Choice> = rest.chunks_exact(CHOICE).map(choice).collect::<Option<_>>()?;
        let chosen = (chosen != u8::MAX).then_some(usize::from(chosen));
        if chosen.is_some_and(|at| at >= choices.len()) {
            return None;
        }
        Some((Told { seen: Seen { purchases_30d, days_away, prompts_24h, prompts_7d }, choices }, chosen))
    }
}

fn choice(bytes: &[u8]) -> Option<Choice> {
    let yes = |byte: u8| (byte < 2).then_some(byte == 1);
    match *bytes {
        [1, category, liked, hours, open, fits, 0, 0] => {
            Some(Choice::Market { category: Category::from_byte(category)?, liked, hours, open, fits: yes(fits)? })
        }
        [2, same_shop, usual, bonus, 0, 0, 0, 0] => {
            Some(Choice::Offer { same_shop: yes(same_shop)?, usual: yes(usual)?, bonus })
        }
        _ => None,
    }
}

pub(crate) fn liked(features: &Features, market: &MarketCandidate) -> u8 {
    small(features.staked_by_category.get(&market.category).copied().unwrap_or(0).into(), 5)
}

pub(crate) fn is_usual(features: &Features, offer: &OfferCandidate) -> bool {
    features.usual_category.as_deref() == Some(offer.merchant_category.as_str())
}

/// An open question is more fun than a settled one: 100 at even odds, 0 at certainty.
pub(crate) fn open(yes_price: Option<Price>) -> i64 {
    yes_price.map_or(0, |price| {
        let micros = price.micros();
        micros.min(1_000_000 - micros) / 5_000
    })
}

fn hours(ends_at: Timestamp, now: Timestamp) -> u8 {
    small(ends_at.duration_since(now).as_hours(), 12)
}

/// Shops whose customers like a kind of market, in points of the rule's score.
pub(crate) fn fits(situation: &Situation, category: &str) -> i64 {
    match (situation.merchant_category.as_deref().unwrap_or(""), category) {
        ("bar" | "restaurant" | "gym" | "bikes", "sports") => 60,
        ("cafe" | "bakery", "weather") => 40,
        ("cinema" | "books" | "music", "events") => 60,
        ("grocer" | "market" | "flowers", "local") => 40,
        _ => 0,
    }
}

fn small(value: i64, most: u8) -> u8 {
    u8::try_from(value.clamp(0, most.into())).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whoever gives a model more to see changes this test, and answers there why it is no sign of harm.
    #[test]
    fn a_model_sees_shopping_and_what_was_said_and_no_sign_of_harm() {
        let Seen { purchases_30d: _, days_away: _, prompts_24h: _, prompts_7d: _ } = Seen::default();
        match (Choice::Offer { same_shop: false, usual: false, bonus: 0 }) {
            Choice::Market { category: _, liked: _, hours: _, open: _, fits: _ } => {}
            Choice::Offer { same_shop: _, usual: _, bonus: _ } => {}
        }
        // Members who differ in losses, refusals and stakes alone are one member to a model.
        let hour = Some(jiff::SignedDuration::from_hours(1));
        let harmed = Features {
            since_loss: hour,
            since_rejection: hour,
            stakes_7d: 90,
            stakes_30d: 300,
            staked_points_30d: 100_000,
            usual_stake: Some(5_000),
            ..Features::default()
        };
        assert_eq!(Seen::of(&harmed), Seen::of(&Features::default()));
    }

    fn any_choice() -> impl Strategy<Value = Choice> {
        let category = (0u8..5).prop_map(|byte| Category::from_byte(byte).unwrap());
        prop_oneof![
            (category, 0u8..=5, 0u8..=12, 0u8..=100, any::<bool>()).prop_map(|(category, liked, hours, open, fits)| {
                Choice::Market { category, liked, hours, open, fits }
            }),
            (any::<bool>(), any::<bool>(), 0u8..=100).prop_map(|(same_shop, usual, bonus)| Choice::Offer {
                same_shop,
                usual,
                bonus
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_was_told_is_read_back(choices in prop::collection::vec(any_choice(), 0..60), seen in any::<(u8, u8, u8, u8)>(), at in any::<prop::sample::Index>()) {
            let seen = Seen { purchases_30d: seen.0, days_away: seen.1, prompts_24h: seen.2, prompts_7d: seen.3 };
            let chosen = (!choices.is_empty()).then(|| at.index(choices.len()));
            let told = Told { seen, choices };
            prop_assert_eq!(Told::read(&told.to_bytes(chosen)), Some((told.clone(), chosen)));
            prop_assert_eq!(Told::read(&told.to_bytes(None)), Some((told, None)));
        }

        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some((told, chosen)) = Told::read(&bytes) {
                prop_assert_eq!(told.to_bytes(chosen), bytes);
            }
        }

        #[test]
        fn numbers_are_small(choice in any_choice(), purchases in 0u8..=31, prompts in 0u8..=15) {
            let seen = Seen { purchases_30d: purchases, days_away: 14, prompts_24h: prompts, prompts_7d: prompts };
            prop_assert!(choice.numbers(seen).iter().all(|n| (0..=5_000).contains(n)));
        }
    }
}
