//! What a model is told of a member and of what could be said: whole numbers, few and small, kept with each decision so
//! that it can be made again.
//!
//! Invariants
//! - No sign of harm can be told. A model sees [`Seen`], [`Choice`] and nothing else, and neither has a place for a loss, a
//!   refused stake, a limit, or how often or how much somebody staked; those stay with the gate, which comes first.
//! - Reading what was kept gives what was told, byte for byte.

use hunch_kernel::Price;
use jiff::Timestamp;

use crate::decide::{Candidate, OfferCandidate, Situation};
use crate::features::Features;

/// Numbers a model gets of one choice, each in thousandths.
pub const WIDTH: usize = 19;
/// What they are, in order. A model made for other numbers is not used.
pub const NAMES: [&str; WIDTH] = [
    "market",
    "offer",
    "sports",
    "events",
    "weather",
    "local",
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
/// Of what is kept. The first told how often a member staked, and what it earned was a stake: nothing reads it any more.
const FORMAT: u8 = 2;
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
    pub fn of(features: &Features, situation: &Situation) -> Seen {
        Seen {
            purchases_30d: small(features.purchases_30d.into(), 31),
            days_away: small(features.days_since_last.unwrap_or(0).into(), 14),
            prompts_24h: small(situation.prompts_24h.into(), 15),
            prompts_7d: small(situation.prompts_7d.into(), 31),
        }
    }
}

impl Choice {
    pub fn of(candidate: &Candidate, features: &Features, situation: &Situation) -> Choice {
        match candidate {
            Candidate::Market(market) => Choice::Market {
                category: Category::named(&market.category),
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
            Choice::Market { category, hours, open, fits } => {
                n[0] = 1_000;
                if category != Category::Other {
                    n[2 + category as usize] = 1_000;
                }
                (n[6], n[7], n[8]) = (1_000 - part(hours, 12), part(open, 100), is(fits));
                (n[12], n[13], n[14]) = (purchases, day, week);
            }
            Choice::Offer { same_shop, usual, bonus } => {
                n[1] = 1_000;
                (n[9], n[10], n[11]) = (is(same_shop), is(usual), part(bonus, 100));
                (n[15], n[16], n[17], n[18]) = (purchases, day, week, part(seen.days_away, 14));
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
                Choice::Market { category, hours, open, fits } => {
                    [1, category as u8, hours, open, u8::from(fits), 0, 0, 0]
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
        [1, category, hours, open, fits, 0, 0, 0] => {
            Some(Choice::Market { category: Category::from_byte(category)?, hours, open, fits: yes(fits)? })
        }
        [2, same_shop, usual, bonus, 0, 0, 0, 0] => {
            Some(Choice::Offer { same_shop: yes(same_shop)?, usual: yes(usual)?, bonus })
        }
        _ => None,
    }
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
    use crate::decide::{Allowed, MarketCandidate, decide};
    use crate::features::Book;
    use crate::features::tests::bought;
    use crate::learn::Learner;
    use hunch_kernel::{MarketTicker, MerchantId, Points};
    use hunch_messages::{Message, PositionPaid, StakeHeld, StakeResolved, StandingChanged};
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use uuid::Uuid;

    const ME: Uuid = Uuid::from_u128(1);

    fn shop() -> MerchantId {
        MerchantId(Uuid::from_u128(3))
    }

    fn candidates(now: Timestamp) -> Vec<Candidate> {
        let market = |category: &str| {
            Candidate::Market(MarketCandidate {
                ticker: MarketTicker(category.to_owned()),
                title: "Will it rain?".to_owned(),
                category: category.to_owned(),
                yes_price: Price::from_micros(450_000).ok(),
                ends_at: now + SignedDuration::from_hours(3),
            })
        };
        let offer = Candidate::Offer(OfferCandidate {
            limited: false,
            offer: Uuid::from_u128(7),
            merchant: shop(),
            merchant_name: "Rosa's".to_owned(),
            merchant_category: "cafe".to_owned(),
            title: "Warm rolls".to_owned(),
            bonus: Points(20),
            ends_at: now + SignedDuration::from_hours(3),
        });
        ["sports", "events", "weather", "local"].into_iter().map(market).chain([offer]).collect()
    }

    /// All that a model gets of a member, in a question about everything.
    fn input(features: &Features, now: Timestamp) -> (Vec<u8>, Vec<[i32; WIDTH]>, Option<Vec<u32>>) {
        let candidates = candidates(now);
        let situation = Situation {
            now,
            merchant: Some(shop()),
            merchant_category: Some("cafe".to_owned()),
            prompts_24h: 1,
            prompts_7d: 2,
        };
        let prompts = ["sports", "events", "weather", "local"].map(|category| (category.to_owned(), Ok(())));
        let allowed = Allowed { prompts: prompts.into(), offers: Ok(()), day_ends: Timestamp::MAX };
        let learner = Learner::untaught().unwrap();
        let told = decide(features, &situation, &candidates, &allowed, Some(&learner), 1).told;
        assert_eq!(told.choices.len(), candidates.len());
        let numbers = told.choices.iter().map(|choice| choice.numbers(told.seen)).collect();
        (told.to_bytes(None), numbers, learner.shares(&told))
    }

    /// Messages of someone who stakes, wins, loses, is refused, and limits himself. Whoever adds a message says here
    /// whether a model may know of it.
    fn is_shopping(message: &Message) -> bool {
        match message {
            Message::PurchaseRecorded(_) | Message::PurchaseReturned(_) => true,
            Message::Posted(_)
            | Message::PurchaseReviewed(_)
            | Message::MemberJoined(_)
            | Message::StandingChanged(_)
            | Message::MarketChanged(_)
            | Message::StakeHeld(_)
            | Message::StakeResolved(_)
            | Message::PositionPaid(_)
            | Message::NoticeOpened(_) => false,
        }
    }

    fn harm(at: Timestamp) -> Vec<Message> {
        let (order, market, side) = (Uuid::nil(), "M".to_owned(), "yes".to_owned());
        let mut messages = vec![Message::StandingChanged(StandingChanged {
            v: 1,
            member: ME,
            standing_version: 9,
            cause: "limits".to_owned(),
            at,
        })];
        for category in ["sports", "events", "weather", "local"] {
            let category = category.to_owned();
            for (captured_points, paid_points) in [(5_000, 0), (400, 900), (70, 70), (0, 0)] {
                messages.push(Message::StakeHeld(StakeHeld {
                    v: 1,
                    order,
                    member: ME,
                    market: market.clone(),
                    category: category.clone(),
                    side: side.clone(),
                    hold_points: captured_points + 10,
                    count_hundredths: 100,
                    worst_price_micros: 500_000,
                    at,
                }));
                messages.push(Message::StakeResolved(StakeResolved {
                    v: 1,
                    order,
                    member: ME,
                    market: market.clone(),
                    category: category.clone(),
                    side: side.clone(),
                    outcome: "filled".to_owned(),
                    filled_hundredths: captured_points,
                    captured_points,
                    released_points: 10,
                    reason: None,
                    at,
                }));
                messages.push(Message::PositionPaid(PositionPaid {
                    v: 1,
                    position: order,
                    order,
                    member: ME,
                    market: market.clone(),
                    category: category.clone(),
                    side: side.clone(),
                    result: "no".to_owned(),
                    outcome: "lost".to_owned(),
                    cost_points: captured_points,
                    paid_points,
                    at,
                }));
            }
        }
        messages
    }

    /// Two members who shop alike are one member to a model, whatever one of them staked, lost, was refused or limited: the
    /// whole input is compared, byte for byte.
    #[test]
    fn a_model_sees_shopping_and_what_was_said_and_no_sign_of_harm() {
        let now: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
        let shopping: Vec<Message> =
            (1..4).map(|days| bought(700, "cafe", now - SignedDuration::from_hours(30 * days))).collect();
        let (mut calm, mut harmed) = (Book::default(), Book::default());
        let mut seq = 0;
        for message in &shopping {
            seq += 1;
            assert!(is_shopping(message));
            calm.fold(seq, message);
            harmed.fold(seq, message);
        }
        for message in harm(now - SignedDuration::from_mins(5)) {
            seq += 1;
            assert!(!is_shopping(&message));
            harmed.fold(seq, &message);
        }
        let (calm, harmed) = (calm.features(ME, now), harmed.features(ME, now));
        assert_eq!(input(&calm, now), input(&harmed, now));

        // Field by field. Whoever adds one says here whether it is shopping; what is not must leave the input as it is.
        let Features {
            purchases_7d,
            purchases_30d,
            amount_cents_7d,
            amount_cents_30d,
            points_30d,
            days_since_last,
            usual_category,
            usual_stake: _,
        } = calm.clone();
        let forbidden = Features {
            purchases_7d,
            purchases_30d,
            amount_cents_7d,
            amount_cents_30d,
            points_30d,
            days_since_last,
            usual_category,
            usual_stake: Some(5_000),
        };
        assert_ne!(calm, forbidden, "the forbidden is set");
        assert_eq!(input(&calm, now), input(&forbidden, now));
        // The comparison can fail: shopping changes the input.
        let shops_more = Features { purchases_30d: 30, ..calm.clone() };
        assert_ne!(input(&calm, now), input(&shops_more, now));

        // What a model is told has these fields and no others.
        let Seen { purchases_30d: _, days_away: _, prompts_24h: _, prompts_7d: _ } = Seen::default();
        match (Choice::Offer { same_shop: false, usual: false, bonus: 0 }) {
            Choice::Market { category: _, hours: _, open: _, fits: _ } => {}
            Choice::Offer { same_shop: _, usual: _, bonus: _ } => {}
        }
        for word in ["stake", "liked", "loss", "lost", "refus", "limit", "won"] {
            assert!(!NAMES.iter().any(|name| name.contains(word)), "{word}");
        }
    }

    /// What was kept before models stopped being told of stakes is not read, so nothing learns from it.
    #[test]
    fn what_told_of_stakes_is_not_read() {
        let market = [1, 0, 5, 3, 90, 1, 0, 0];
        let first: Vec<u8> = [1, 0, 9, 2, 1, 2].into_iter().chain(market).collect();
        assert_eq!(Told::read(&first), None);
    }

    fn any_choice() -> impl Strategy<Value = Choice> {
        let category = (0u8..5).prop_map(|byte| Category::from_byte(byte).unwrap());
        prop_oneof![
            (category, 0u8..=12, 0u8..=100, any::<bool>())
                .prop_map(|(category, hours, open, fits)| { Choice::Market { category, hours, open, fits } }),
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
