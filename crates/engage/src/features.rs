//! What we know of a member for choosing what to say: a fold of the log, in memory.
//!
//! Invariants
//! - F1: the same messages in the same order give the same facts; nothing else goes in, save our own prompts.
//! - F2: a number here equals independent SQL over the rows the messages describe (M1).
//! - F3: memory of one member is bounded: days and prompts older than a month are forgotten.
//!
//! Days are UTC days of the time at the till, so a late receipt counts where it belongs. Harm signs are
//! not here and must never be.

use hunch_kernel::seeded_bug;
use hunch_messages::Message;
use jiff::{SignedDuration, Timestamp};
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
    /// Stakes that filled, by market category.
    staked: BTreeMap<String, u32>,
    /// Points of the last filled stakes, oldest first.
    stakes: Vec<i64>,
    last_purchase_us: Option<i64>,
    previous_purchase_us: Option<i64>,
    last_loss_us: Option<i64>,
    last_rejection_us: Option<i64>,
    /// Prompts to stake that we decided to make, oldest first.
    prompts_us: Vec<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    day: i32,
    purchases: u32,
    amount_cents: i64,
    points: i64,
    stakes: u32,
    staked_points: i64,
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
    pub stakes_7d: u32,
    pub stakes_30d: u32,
    pub staked_points_30d: i64,
    /// Median of the last stakes, in points.
    pub usual_stake: Option<i64>,
    pub staked_by_category: BTreeMap<String, u32>,
    pub prompts_24h: u32,
    pub prompts_7d: u32,
    pub since_prompt: Option<SignedDuration>,
    pub since_loss: Option<SignedDuration>,
    pub since_rejection: Option<SignedDuration>,
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

    /// Adds a prompt that was decided.
    pub fn prompted(&mut self, member: Uuid, at: Timestamp) {
        self.members.entry(member).or_default().prompted(at);
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
                let day = self.day(m.at);
                day.stakes += 1;
                day.staked_points += m.captured_points;
                *self.staked.entry(m.category.clone()).or_default() += 1;
                self.stakes.push(m.captured_points);
                if self.stakes.len() > STAKES_KEPT {
                    self.stakes.remove(0);
                }
            }
            Message::StakeResolved(m) => {
                self.last_rejection_us = self.last_rejection_us.max(Some(m.at.as_microsecond()))
            }
            Message::PositionPaid(m) if m.paid_points < m.cost_points => {
                self.last_loss_us = self.last_loss_us.max(Some(m.at.as_microsecond()));
            }
            _ => {}
        }
    }

    fn prompted(&mut self, at: Timestamp) {
        let at = at.as_microsecond();
        self.prompts_us.push(at);
        self.prompts_us.retain(|prompt| at - prompt < SignedDuration::from_hours(24 * 8).as_micros() as i64);
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
        let since = |us: Option<i64>| us.map(|us| SignedDuration::from_micros(now.as_microsecond() - us));
        let prompts = |hours: i64| {
            let from = now.as_microsecond() - SignedDuration::from_hours(hours).as_micros() as i64;
            self.prompts_us.iter().filter(|prompt| **prompt > from).count() as u32
        };
        let gap = self.last_purchase_us.zip(self.previous_purchase_us).map(|(last, before)| last - before);
        Features {
            purchases_7d: within(7).map(|d| d.purchases).sum(),
            purchases_30d: within(30).map(|d| d.purchases).sum(),
            amount_cents_7d: within(7).map(|d| d.amount_cents).sum(),
            amount_cents_30d: within(30).map(|d| d.amount_cents).sum(),
            points_30d: within(30).map(|d| d.points).sum(),
            days_since_last: gap.map(|us| (us / 86_400_000_000) as i32),
            usual_category: self.usual_category(),
            stakes_7d: within(7).map(|d| d.stakes).sum(),
            stakes_30d: within(30).map(|d| d.stakes).sum(),
            staked_points_30d: within(30).map(|d| d.staked_points).sum(),
            usual_stake: self.usual_stake(),
            staked_by_category: self.staked.clone(),
            prompts_24h: prompts(24),
            prompts_7d: prompts(24 * 7),
            since_prompt: since(self.prompts_us.last().copied()),
            since_loss: since(self.last_loss_us),
            since_rejection: since(self.last_rejection_us),
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
    use hunch_messages::{PositionPaid, PurchaseRecorded, PurchaseReturned, StakeResolved};
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
    fn stakes_losses_and_rejections_are_told_apart() {
        let t = at("2026-11-23T12:00:00Z");
        let lost = Message::PositionPaid(PositionPaid {
            v: 1,
            position: Uuid::nil(),
            order: Uuid::nil(),
            member: ME,
            market: "M".to_owned(),
            category: "sports".to_owned(),
            side: "yes".to_owned(),
            result: "no".to_owned(),
            outcome: "lost".to_owned(),
            cost_points: 20,
            paid_points: 0,
            at: t,
        });
        let book = book(&[staked(20, t), staked(50, t), staked(30, t), staked(0, t), lost]);
        let f = book.features(ME, t + SignedDuration::from_hours(1));
        assert_eq!((f.stakes_30d, f.staked_points_30d, f.usual_stake), (3, 100, Some(30)));
        assert_eq!(f.staked_by_category["sports"], 3);
        assert_eq!(f.since_loss, Some(SignedDuration::from_hours(1)));
        assert_eq!(f.since_rejection, Some(SignedDuration::from_hours(1)));
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
