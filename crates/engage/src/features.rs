//! What we know of a member for choosing what to say: a fold of the log, in memory.
//!
//! Invariants
//! - F1: the same messages in the same order give the same facts; nothing else goes in.
//! - F2: a number here equals independent SQL over the rows the messages describe (M1).
//! - F3: memory of one member is bounded: days older than a month are forgotten.
//!
//! Days are UTC days of the time at the till, so a late receipt counts where it belongs. Harm signs are
//! not here and must never be: losses, refusals and prompts stand in rows of `hunch-safeguards`, which judges by them.

use hunch_kernel::seeded_bug;
use hunch_messages::Message;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Days that are kept: thirty, today, and one for receipts that arrive late.
const DAYS_KEPT: i32 = 32;
/// Captured stakes remembered for the usual one.
const STAKES_KEPT: usize = 9;

/// One member's facts. Serialised only into our own checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// By day, oldest first.
    days: Vec<Day>,
    /// Purchases ever, less returned ones, by merchant category.
    categories: BTreeMap<String, u32>,
    /// Points of the last filled stakes, oldest first: for the slip, which presets no more than the usual one.
    stakes: Vec<i64>,
    last_purchase_us: Option<i64>,
    previous_purchase_us: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    day: i32,
    purchases: u32,
    amount_cents: i64,
    points: i64,
}

/// A member's facts as seen at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub purchases_7d: u32,
    pub purchases_30d: u32,
    pub amount_cents_7d: i64,
    pub amount_cents_30d: i64,
    pub points_30d: i64,
    /// Whole days between the last two purchases; None before the second.
    pub days_since_last: Option<i32>,
    pub usual_category: Option<String>,
    /// Median of the last stakes, in points. For the slip alone: it decides nothing and no model is told.
    pub usual_stake: Option<i64>,
}

/// All members of one shard, and how far the log was folded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    pub seq: i64,
    members: BTreeMap<Uuid, Facts>,
}

impl Book {
    /// Adds one message. `seq` must be above [`Book::seq`]; earlier ones are known already and ignored.
    pub fn fold(&mut self, seq: i64, message: &Message) {
        if seq <= self.seq {
            return;
        }
        self.seq = seq;
        if let Some(member) = message.member() {
            self.members.entry(member).or_default().fold(message);
        }
    }

    pub fn features(&self, member: Uuid, now: Timestamp) -> Features {
        self.members.get(&member).map(|facts| facts.at(now)).unwrap_or_default()
    }

    pub fn members(&self) -> usize {
        self.members.len()
    }
}

impl Facts {
    fn fold(&mut self, message: &Message) {
        match message {
            Message::PurchaseRecorded(m) => {
                let day = self.day(m.purchased_at);
                day.purchases += 1;
                day.amount_cents += m.amount_cents;
                day.points += m.points;
                *self.categories.entry(m.merchant_category.clone()).or_default() += 1;
                let at = m.purchased_at.as_microsecond();
                match self.last_purchase_us {
                    Some(last) if at <= last => self.previous_purchase_us = self.previous_purchase_us.max(Some(at)),
                    last => (self.previous_purchase_us, self.last_purchase_us) = (last, Some(at)),
                }
            }
            Message::PurchaseReturned(_) if seeded_bug("returns-not-remembered") => {}
            Message::PurchaseReturned(m) => {
                let day = self.day(m.purchased_at);
                day.purchases = day.purchases.saturating_sub(1);
                day.amount_cents -= m.amount_cents;
                day.points -= m.points;
                if let Some(count) = self.categories.get_mut(&m.merchant_category) {
                    *count = count.saturating_sub(1);
                }
            }
            Message::StakeResolved(m) if m.captured_points > 0 => {
                self.stakes.push(m.captured_points);
                if self.stakes.len() > STAKES_KEPT {
                    self.stakes.remove(0);
                }
            }
            // Losses, refusals and prompts are the gate's: see `hunch-safeguards`.
            Message::StakeResolved(_)
            | Message::PurchaseReviewed(_)
            | Message::Posted(_)
            | Message::MemberJoined(_)
            | Message::StandingChanged(_)
            | Message::MarketChanged(_)
            | Message::StakeHeld(_)
            | Message::PositionPaid(_)
            | Message::NoticeOpened(_) => {}
        }
    }

    /// The bucket of this instant's day. Days too old to count share a bucket that is thrown away.
    fn day(&mut self, at: Timestamp) -> &mut Day {
        let day = day_of(at);
        let index = match self.days.binary_search_by_key(&day, |known| known.day) {
            Ok(index) => index,
            Err(index) => {
                self.days.insert(index, Day { day, ..Day::default() });
                let newest = self.days.last().map_or(day, |last| last.day);
                // Receipts that arrive too late come in any order, so the old days may stand on both sides of this one.
                let before = self.days[..index].iter().filter(|known| known.day + DAYS_KEPT < newest).count();
                self.days.retain(|known| known.day + DAYS_KEPT >= newest || known.day == day);
                index - before
            }
        };
        &mut self.days[index]
    }

    fn at(&self, now: Timestamp) -> Features {
        let today = day_of(now);
        let within = |days: i32| self.days.iter().filter(move |d| d.day > today - days && d.day <= today);
        let gap = self.last_purchase_us.zip(self.previous_purchase_us).map(|(last, before)| last - before);
        Features {
            purchases_7d: within(7).map(|d| d.purchases).sum(),
            purchases_30d: within(30).map(|d| d.purchases).sum(),
            amount_cents_7d: within(7).map(|d| d.amount_cents).sum(),
            amount_cents_30d: within(30).map(|d| d.amount_cents).sum(),
            points_30d: within(30).map(|d| d.points).sum(),
            days_since_last: gap.map(|us| (us / 86_400_000_000) as i32),
            usual_category: self.usual_category(),
            usual_stake: self.usual_stake(),
        }
    }

    /// The most frequent; the first of the alphabet among equals.
    fn usual_category(&self) -> Option<String> {
        let most = self.categories.values().copied().max().filter(|count| *count > 0)?;
        self.categories.iter().find(|(_, count)| **count == most).map(|(name, _)| name.clone())
    }

    fn usual_stake(&self) -> Option<i64> {
        let mut sorted = self.stakes.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

fn day_of(at: Timestamp) -> i32 {
    at.as_second().div_euclid(86_400) as i32
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use hunch_messages::{PurchaseRecorded, PurchaseReturned, StakeResolved};
    use jiff::SignedDuration;
    use proptest::prelude::*;

    pub fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub fn bought(cents: i64, category: &str, when: Timestamp) -> Message {
        Message::PurchaseRecorded(PurchaseRecorded {
            v: 1,
            purchase: Uuid::nil(),
            member: Uuid::from_u128(1),
            merchant: Uuid::nil(),
            merchant_category: category.to_owned(),
            terminal: Uuid::nil(),
            amount_cents: cents,
            currency: "USD".to_owned(),
            points: cents / 10,
            rule: None,
            offers: Vec::new(),
            pending: false,
            purchased_at: when,
            recorded_at: when,
            received_wall_us: 0,
        })
    }

    fn returned(cents: i64, category: &str, when: Timestamp) -> Message {
        Message::PurchaseReturned(PurchaseReturned {
            v: 1,
            purchase: Uuid::nil(),
            member: Uuid::from_u128(1),
            merchant: Uuid::nil(),
            merchant_category: category.to_owned(),
            amount_cents: cents,
            points: cents / 10,
            clawed_back: 0,
            owed: 0,
            purchased_at: when,
            returned_at: when,
        })
    }

    fn staked(points: i64, when: Timestamp) -> Message {
        Message::StakeResolved(StakeResolved {
            v: 1,
            order: Uuid::nil(),
            member: Uuid::from_u128(1),
            market: "M".to_owned(),
            category: "sports".to_owned(),
            side: "yes".to_owned(),
            outcome: if points > 0 { "filled" } else { "killed" }.to_owned(),
            filled_hundredths: points,
            captured_points: points,
            released_points: 0,
            reason: None,
            at: when,
        })
    }

    fn book(messages: &[Message]) -> Book {
        let mut book = Book::default();
        messages.iter().zip(1..).for_each(|(message, seq)| book.fold(seq, message));
        book
    }

    const ME: Uuid = Uuid::from_u128(1);

    #[test]
    fn windows_count_days_and_returns_take_back() {
        let now = at("2026-11-23T18:00:00Z");
        let book = book(&[
            bought(1000, "cafe", at("2026-10-01T08:00:00Z")),
            bought(300, "cafe", at("2026-11-01T08:00:00Z")),
            bought(500, "bakery", at("2026-11-17T00:00:00Z")),
            bought(700, "cafe", at("2026-11-23T08:00:00Z")),
            bought(900, "grocer", at("2026-11-16T23:59:59Z")),
            returned(700, "cafe", at("2026-11-23T08:00:00Z")),
        ]);
        let f = book.features(ME, now);
        assert_eq!((f.purchases_7d, f.purchases_30d), (1, 3));
        assert_eq!((f.amount_cents_7d, f.amount_cents_30d, f.points_30d), (500, 1700, 170));
        assert_eq!(f.usual_category.as_deref(), Some("cafe"));
        assert_eq!(f.days_since_last, Some(6), "a late receipt does not move the last visit");
    }

    #[test]
    fn the_usual_stake_is_the_median_of_what_filled() {
        let t = at("2026-11-23T12:00:00Z");
        let book = book(&[staked(20, t), staked(50, t), staked(30, t), staked(0, t)]);
        assert_eq!(book.features(ME, t).usual_stake, Some(30));
        assert_eq!(Book::default().features(ME, t).usual_stake, None);
    }

    /// As it was written before losses, refusals and prompts became rows of the gate.
    #[test]
    fn an_older_checkpoint_is_read() {
        let day = r#"{"day":20780,"purchases":1,"amount_cents":300,"points":30,"stakes":2,"staked_points":40}"#;
        let old = format!(
            r#"{{"seq":7,"members":{{"{ME}":{{"days":[{day}],"categories":{{"cafe":1}},"staked":{{"sports":2}},"stakes":[20,20],
                "last_purchase_us":null,"previous_purchase_us":null,"last_loss_us":5,"last_rejection_us":null,"prompts_us":[5]}}}}}}"#
        );
        let book: Book = serde_json::from_str(&old).unwrap();
        let f = book.features(ME, at("2026-11-23T12:00:00Z"));
        assert_eq!((book.seq, f.purchases_30d, f.usual_stake), (7, 1, Some(20)));
    }

    #[test]
    fn a_message_counts_once_and_a_stranger_has_no_facts() {
        let t = at("2026-11-23T12:00:00Z");
        let mut book = book(&[bought(100, "cafe", t)]);
        book.fold(1, &bought(100, "cafe", t));
        assert_eq!(book.features(ME, t).purchases_7d, 1);
        assert_eq!(book.features(Uuid::nil(), t), Features::default());
    }

    proptest! {
        /// In any order of arrival, and however often saved and read back, the windows are what a plain
        /// count over the purchases of the last month says; memory stays small.
        #[test]
        fn windows_equal_a_plain_count(purchases in prop::collection::vec((0i64..40 * 86_400, 1i64..10_000), 0..80), cut in 0usize..80) {
            let start = at("2026-10-20T00:00:00Z");
            let now = start + SignedDuration::from_secs(40 * 86_400 - 1);
            let mut book = Book::default();
            for (index, (second, cents)) in purchases.iter().enumerate() {
                book.fold(index as i64 + 1, &bought(*cents, "cafe", start + SignedDuration::from_secs(*second)));
                if index == cut {
                    book = serde_json::from_slice(&serde_json::to_vec(&book).unwrap()).unwrap();
                }
            }
            let counted = |days: i64| purchases.iter().filter(move |(second, _)| second / 86_400 >= 40 - days).map(|(_, cents)| *cents);
            let f = book.features(ME, now);
            prop_assert_eq!(f.purchases_7d as usize, counted(7).count());
            prop_assert_eq!(f.purchases_30d as usize, counted(30).count());
            prop_assert_eq!(f.amount_cents_30d, counted(30).sum::<i64>());
            prop_assert!(book.members.values().all(|facts| facts.days.len() <= DAYS_KEPT as usize + 2));
        }
    }
}
