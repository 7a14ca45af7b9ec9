//! Counters with an end that many spend from at once: points of a till's day, receipts of its minute, what an offer may give in
//! all. A process leases slices of what is left and spends them from memory, so that no row is written for each purchase, and the
//! sum of what all processes spend never passes the end.
//!
//! A process that dies leaves what it leased and did not spend: less is spent then, never more.

use hunch_kernel::lock;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

use crate::store;

/// Slices that make the whole. More of them waste less when a process dies, and ask the database more often.
const SLICES: i64 = 32;
/// Counters in memory; when there are more, those of times that are over are forgotten.
const REMEMBERED: usize = 50_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counter {
    /// Points by a till in a day.
    TillPoints,
    /// Receipts that a till wrote in a minute.
    TillReceipts,
    /// Points by a merchant's tills in a day.
    MerchantPoints,
    /// Points that an offer gives in all.
    OfferPoints,
}

impl Counter {
    pub fn as_str(self) -> &'static str {
        match self {
            Counter::TillPoints => "till_points",
            Counter::TillReceipts => "till_receipts",
            Counter::MerchantPoints => "merchant_points",
            Counter::OfferPoints => "offer_points",
        }
    }

    fn lasting(self) -> Option<SignedDuration> {
        match self {
            Counter::TillPoints | Counter::MerchantPoints => Some(SignedDuration::from_hours(24)),
            Counter::TillReceipts => Some(SignedDuration::from_mins(1)),
            Counter::OfferPoints => None,
        }
    }
}

/// A counter of somebody or something in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub counter: Counter,
    pub subject: Uuid,
    /// Seconds; when the time began.
    period: i64,
}

/// 2000-01-01, where there is no time.
const ALWAYS: i64 = 946_684_800;

impl Account {
    /// Of the time in which `at` lies.
    pub fn at(counter: Counter, subject: Uuid, at: Timestamp) -> Account {
        let period = counter.lasting().map_or(ALWAYS, |lasting| {
            let seconds = lasting.as_secs();
            at.as_second().div_euclid(seconds) * seconds
        });
        Account { counter, subject, period }
    }

    pub fn period(self) -> Timestamp {
        Timestamp::from_second(self.period).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

#[derive(Clone, Default)]
pub(crate) struct Allowances {
    /// Leased and not spent.
    left: Arc<Mutex<HashMap<Account, Left>>>,
}

#[derive(Clone, Copy, Default)]
struct Left {
    points: i64,
    /// Nothing was left to lease when it was tried with this end.
    all_leased: Option<i64>,
}

impl Allowances {
    /// Takes `amount` if the whole, `most`, allows it.
    pub async fn take(&self, pool: &PgPool, from: Account, amount: i64, most: i64) -> Result<bool, sqlx::Error> {
        loop {
            if let Some(taken) = self.take_from_memory(from, amount, most) {
                return Ok(taken);
            }
            let slice = (most / SLICES).max(amount);
            let leased = store::allowances::lease(pool, from, slice, most).await?;
            let mut left = lock(&self.left);
            if left.len() >= REMEMBERED {
                forget_what_is_over(&mut left);
            }
            let own = left.entry(from).or_default();
            own.points += leased;
            own.all_leased = (leased < slice).then_some(most);
        }
    }

    /// `None` when more has to be leased before it is known.
    fn take_from_memory(&self, from: Account, amount: i64, most: i64) -> Option<bool> {
        let mut left = lock(&self.left);
        let own = left.entry(from).or_default();
        if own.points >= amount {
            own.points -= amount;
            return Some(true);
        }
        // The end may have been raised since.
        (amount > most || own.all_leased.is_some_and(|tried| tried >= most)).then_some(false)
    }

    /// What was taken was not spent after all.
    pub fn give_back(&self, to: Account, amount: i64) {
        lock(&self.left).entry(to).or_default().points += amount;
    }
}

/// Minutes are many, and little is lost with the lease of one; a day or an offer that goes on must keep what it leased, which would
/// be gone from the whole.
fn forget_what_is_over(left: &mut HashMap<Account, Left>) {
    let is_day = |account: &Account| matches!(account.counter, Counter::TillPoints | Counter::MerchantPoints);
    let today = left.keys().filter(|account| is_day(account)).map(|account| account.period).max();
    left.retain(|account, _| match account.counter {
        Counter::TillReceipts => false,
        Counter::TillPoints | Counter::MerchantPoints => Some(account.period) >= today,
        Counter::OfferPoints => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_db::testing::TestDb;

    fn account(subject: u128) -> Account {
        Account::at(Counter::OfferPoints, Uuid::from_u128(subject), Timestamp::UNIX_EPOCH)
    }

    /// However many take at once, in however many processes: the whole is spent to the last point, and not one more.
    #[tokio::test]
    async fn no_more_than_the_whole_is_ever_taken() {
        let db = TestDb::new().await;
        let processes = [Allowances::default(), Allowances::default(), Allowances::default()];
        let takes = (0..600).map(|n| {
            let (process, pool) = (processes[n % 3].clone(), db.app().clone());
            async move { process.take(&pool, account(1), 7, 2_100).await.unwrap() }
        });
        let taken = futures_util::future::join_all(takes).await.into_iter().filter(|taken| *taken).count();
        assert!(taken <= 300, "{taken}");
        // What one leased and did not spend another does not have; together less than three slices.
        assert!(taken >= 300 - 3 * 10, "{taken}");
    }

    #[tokio::test]
    async fn what_was_given_back_is_taken_again_and_a_higher_end_counts() {
        let db = TestDb::new().await;
        let (all, pool) = (Allowances::default(), db.app());
        assert!(all.take(pool, account(1), 10, 10).await.unwrap());
        assert!(!all.take(pool, account(1), 1, 10).await.unwrap());
        all.give_back(account(1), 10);
        assert!(all.take(pool, account(1), 9, 10).await.unwrap());
        assert!(!all.take(pool, account(1), 2, 10).await.unwrap());
        assert!(all.take(pool, account(1), 2, 20).await.unwrap());
        assert!(!all.take(pool, account(2), 30, 20).await.unwrap(), "more than the whole");
        assert!(all.take(pool, account(2), 20, 20).await.unwrap(), "and nothing was lost by asking");
    }

    /// However many minutes of tills are counted, days and offers keep what they leased.
    #[test]
    fn what_goes_on_is_never_forgotten() {
        let at = |counter, text: &str| Account::at(counter, Uuid::nil(), text.parse().unwrap());
        let (noon, yesterday) = ("2026-11-23T12:00:00Z", "2026-11-22T12:00:00Z");
        let kept =
            [at(Counter::TillPoints, noon), at(Counter::MerchantPoints, noon), at(Counter::OfferPoints, yesterday)];
        let over = [at(Counter::TillReceipts, noon), at(Counter::TillPoints, yesterday)];
        let mut left: HashMap<Account, Left> =
            kept.into_iter().chain(over).map(|account| (account, Left { points: 5, all_leased: None })).collect();
        forget_what_is_over(&mut left);
        assert_eq!(left.len(), kept.len());
        assert!(kept.iter().all(|account| left.contains_key(account)));
    }

    #[test]
    fn each_time_has_a_counter_of_its_own() {
        let at = |text: &str| Account::at(Counter::TillReceipts, Uuid::nil(), text.parse().unwrap());
        assert_eq!(at("2026-11-23T12:00:00Z"), at("2026-11-23T12:00:59Z"));
        assert_ne!(at("2026-11-23T12:00:59Z"), at("2026-11-23T12:01:00Z"));
        assert_eq!(at("2026-11-23T12:01:07Z").period().to_string(), "2026-11-23T12:01:00Z");
    }
}
