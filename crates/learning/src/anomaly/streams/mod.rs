//! Which purchase of a stream is likely to be a fraud, told when it happens.
//!
//! What gives a fraud away is seldom in the purchase itself: it is how it differs from the customer's own past, and
//! what has come to light about the terminal since. Both are kept here as a state that is pushed forward purchase by
//! purchase and label by label; it can be stored between two of them.
//!
//! Invariants
//! - The features of a purchase come from itself, the purchases pushed before it and the labels given before it.
//! - They are finite or NaN for "not known yet", never infinite.
//! - A stored and reloaded state goes on exactly as one that was never stored.

mod customers;
mod features;
mod model;
mod slots;
mod terminals;
mod windows;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use customers::Customer;
pub use features::{FEATURES, Features, NAMES};
pub use model::{FRAUDS_MIN, FraudModel, columns, label_free};
use slots::Slots;
use terminals::Terminal;

/// One purchase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Purchase {
    /// Local seconds since the start of 1970.
    pub seconds: i64,
    pub customer: u64,
    pub terminal: u64,
    /// In any unit, the same all along; 0..=`AMOUNT_MAX`.
    pub amount: f64,
}

/// What is wrong with a purchase; the state is then as before.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum StreamError {
    #[error("it happened {0} seconds before the purchase pushed last")]
    Order(i64),
    #[error("its amount is {0}")]
    Amount(f64),
}

/// All that is remembered of a stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stream {
    settings: Settings,
    now: Option<i64>,
    customers: Slots<Customer>,
    terminals: Slots<Terminal>,
    everyone: Everyone,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How long after a purchase its label is known at the earliest; windows of labels end that long ago.
    pub label_delay_seconds: i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { label_delay_seconds: 7 * DAY }
    }
}

pub const DAY: i64 = 86_400;

/// Beyond it sums of squares would lose what is small.
pub const AMOUNT_MAX: f64 = 1e15;

/// The mean purchase of all, towards which a customer who is hardly known is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Everyone {
    count: f64,
    mean: f64,
}

impl Stream {
    pub fn new(settings: Settings) -> Stream {
        Stream { settings, ..Stream::default() }
    }

    /// What can be said of `purchase` when it happens; afterwards it is part of the past.
    ///
    /// # Errors
    /// `Order` if it happened before the one pushed last, `Amount` if it is not in 0..=`AMOUNT_MAX`.
    pub fn push(&mut self, purchase: &Purchase) -> Result<Features, StreamError> {
        let now = purchase.seconds;
        if let Some(last) = self.now.filter(|&last| last > now) {
            return Err(StreamError::Order(last - now));
        }
        if !(0.0..=AMOUNT_MAX).contains(&purchase.amount) {
            return Err(StreamError::Amount(purchase.amount));
        }
        self.now = Some(now);
        let labelled = now - self.settings.label_delay_seconds;
        let customer = self.customers.of(purchase.customer);
        let terminal = self.terminals.of(purchase.terminal);
        let features = features::of(purchase, customer, terminal, labelled, self.everyone.mean);
        let ratio = customer.push(purchase, self.everyone.mean);
        terminal.push(now, ratio);
        self.everyone.count += 1.0;
        self.everyone.mean += (purchase.amount - self.everyone.mean) / self.everyone.count.min(EVERYONE_MAX);
        Ok(features)
    }

    /// What has come to light about an earlier purchase. Labels come in the order of their purchases; one that comes
    /// later counts from when the one before it did.
    pub fn learn(&mut self, purchase: &Purchase, fraud: bool) {
        let customer = self.customers.of(purchase.customer);
        let quiet = customer.ratio(purchase.amount, self.everyone.mean) < QUIET_RATIO;
        customer.learn(purchase.seconds, fraud);
        self.terminals.of(purchase.terminal).learn(purchase.seconds, fraud, quiet);
    }
}

/// Purchases over which the mean of all is taken.
const EVERYONE_MAX: f64 = 100_000.0;
/// A fraud of less than this many times the customer's usual amount is not to be seen in the amount: it points at the
/// terminal.
const QUIET_RATIO: f64 = 2.5;
