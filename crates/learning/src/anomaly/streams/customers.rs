//! What is remembered of a customer.

use serde::{Deserialize, Serialize};

use super::windows::Windows;
use super::{DAY, Purchase};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    pub amounts: Windows,
    pub labels: Windows,
    /// Purchases of all time, and mean and sum of squares of their amounts, large ones cut down to what is usual.
    pub count: f64,
    mean: f64,
    squares: f64,
    largest: f64,
    /// Terminals, the one used last at the end.
    places: Vec<u64>,
    /// How much of the last days went beyond the usual, halved every `HALF_LIFE`.
    excess: f64,
    excess_at: i64,
    pub fraud_last: Option<i64>,
}

/// Purchases that the mean of all counts for.
const PRIOR: f64 = 2.0;
/// From so many purchases on, more than so many times the mean is not taken as usual.
const USUAL_AFTER: f64 = 4.0;
const USUAL_RATIO: f64 = 3.0;
/// Terminals that are remembered.
const PLACES_MAX: usize = 128;
const HALF_LIFE: f64 = 5.0 * DAY as f64;
const RATIO_MAX: f64 = 1e6;

impl Customer {
    /// The amount over the customer's usual one.
    pub fn ratio(&self, amount: f64, everyone: f64) -> f64 {
        let usual = (self.mean * self.count + everyone * PRIOR) / (self.count + PRIOR);
        if usual > 0.0 { (amount / usual).min(RATIO_MAX) } else { 1.0 }
    }

    /// How many of the customer's own standard deviations the amount is above the usual one.
    pub fn deviations(&self, amount: f64, everyone: f64) -> f64 {
        let usual = (self.mean * self.count + everyone * PRIOR) / (self.count + PRIOR);
        // Someone not known yet is taken to vary by half of the usual amount.
        let variance = (self.squares + PRIOR * (0.5 * usual).powi(2)) / (self.count + PRIOR);
        if variance > 0.0 { ((amount - usual) / variance.sqrt()).clamp(-RATIO_MAX, RATIO_MAX) } else { 0.0 }
    }

    /// The amount over the largest usual one so far; NaN without one.
    pub fn over_largest(&self, amount: f64) -> f64 {
        if self.largest > 0.0 { (amount / self.largest).min(RATIO_MAX) } else { f64::NAN }
    }

    pub fn excess(&self, now: i64) -> f64 {
        self.excess * libm::exp2(-((now - self.excess_at) as f64) / HALF_LIFE)
    }

    /// How many other terminals were used since the last purchase at this one; NaN for a new one.
    pub fn others_since(&self, terminal: u64) -> f64 {
        self.places.iter().rev().position(|&place| place == terminal).map_or(f64::NAN, |others| others as f64)
    }

    pub fn places(&self) -> f64 {
        self.places.len() as f64
    }

    /// Remembers the purchase; how it stood to the usual amount.
    pub fn push(&mut self, purchase: &Purchase, everyone: f64) -> f64 {
        let ratio = self.ratio(purchase.amount, everyone);
        self.excess = self.excess(purchase.seconds) + (ratio - 2.0).clamp(0.0, 5.0);
        self.excess_at = purchase.seconds;
        let usual = if self.count >= USUAL_AFTER && ratio > USUAL_RATIO {
            purchase.amount / ratio * USUAL_RATIO
        } else {
            self.largest = self.largest.max(purchase.amount);
            purchase.amount
        };
        self.count += 1.0;
        let before = usual - self.mean;
        self.mean += before / self.count;
        self.squares += before * (usual - self.mean);
        self.amounts.push(purchase.seconds, purchase.amount);
        match self.places.iter().position(|&place| place == purchase.terminal) {
            Some(place) => self.places[place..].rotate_left(1),
            None => {
                if self.places.len() == PLACES_MAX {
                    self.places.remove(0);
                }
                self.places.push(purchase.terminal);
            }
        }
        ratio
    }

    pub fn learn(&mut self, at: i64, fraud: bool) {
        let at = self.labels.last().map_or(at, |last| last.max(at));
        self.labels.push(at, f64::from(u8::from(fraud)));
        if fraud {
            self.fraud_last = Some(at);
        }
    }
}
