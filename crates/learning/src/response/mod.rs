//! Who takes up an offer: the probability that a household redeems at least one coupon of a campaign sent to it.
//!
//! A ridge regression on what was known at the campaign's start: its kind and length, what the household did with
//! earlier campaigns, and its purchases. Only redemptions before the start count as known, whatever later rows say, so
//! a campaign that was still running teaches no more than had happened by then.

mod features;

use features::{Known, features, inclination};

use crate::numeric::regression::{Family, RegressionError};
use crate::numeric::special::{logistic, logit};
use crate::value::PurchaseHistory;
use crate::value::stack::Lessons;

/// A campaign sent to a household. Households, campaigns and kinds are numbered by the caller; days are day numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub household: usize,
    pub campaign: usize,
    pub kind: usize,
    pub start: i32,
    pub end: i32,
}

/// A coupon of a campaign, redeemed by a household.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redemption {
    pub household: usize,
    pub campaign: usize,
    pub day: i32,
}

/// What is known of a household besides offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Household {
    /// Empty if its purchases are not known.
    pub purchases: PurchaseHistory,
    /// For each purchase day, the day's sum of any further columns of the log, each row of the same width.
    pub extras: Vec<Vec<f64>>,
}

/// What may be learned from.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// Offers whose outcome is known, and the outcome: 1 if anything was redeemed, else 0.
    pub offers: &'a [Offer],
    pub redeemed: &'a [f64],
    pub redemptions: &'a [Redemption],
    /// By household number.
    pub households: &'a [Household],
    /// First day of the purchase log.
    pub log_start: i32,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    #[error("there are {offers} offers and {outcomes} outcomes")]
    Length { offers: usize, outcomes: usize },
    #[error("there is no offer with a known outcome to learn from")]
    Empty,
    #[error("offer {place} names household {household}, of whom nothing is known")]
    Household { place: usize, household: usize },
    #[error("the regression has no answer")]
    Regression(#[source] RegressionError),
}

/// Kinds with a feature of their own; the rest share the last.
const KINDS_MAX: usize = 6;

/// Probability, strictly between 0 and 1, that each asked offer is taken up. `threads` change how long it takes, nothing
/// else.
///
/// # Errors
/// `Length`, `Empty` without known outcomes, `Household` for a number outside `past.households`.
pub fn response(past: Past<'_>, asked: &[Offer], seed: u64, threads: usize) -> Result<Vec<f64>, ResponseError> {
    check(past, asked)?;
    let rates = kind_rates(past);
    let known = Known::new(past, asked, rates);
    let offset = |offer: &Offer| logit(rates[offer.kind.min(KINDS_MAX - 1)]) + inclination(&known, offer);
    let lessons = Lessons {
        features: past.offers.iter().map(|offer| features(&known, offer)).collect(),
        offset: past.offers.iter().map(offset).collect(),
        target: past.redeemed.to_vec(),
        weight: vec![1.0; past.offers.len()],
        group: past.offers.iter().map(|offer| offer.campaign).collect(),
        family: Family::Logistic,
    };
    let rows: Vec<Vec<f64>> = asked.iter().map(|offer| features(&known, offer)).collect();
    let offsets: Vec<f64> = asked.iter().map(offset).collect();
    let corrector = lessons.learn(seed, threads).map_err(ResponseError::Regression)?;
    let linear = corrector.linear(&rows, &offsets);
    Ok(linear.into_iter().map(|linear| logistic(linear.clamp(-8.0, 8.0))).collect())
}

fn check(past: Past<'_>, asked: &[Offer]) -> Result<(), ResponseError> {
    if past.offers.len() != past.redeemed.len() {
        return Err(ResponseError::Length { offers: past.offers.len(), outcomes: past.redeemed.len() });
    }
    if past.offers.is_empty() {
        return Err(ResponseError::Empty);
    }
    let known = past.households.len();
    match past.offers.iter().chain(asked).enumerate().find(|(_, offer)| offer.household >= known) {
        Some((place, offer)) => Err(ResponseError::Household { place, household: offer.household }),
        None => Ok(()),
    }
}

/// Share of offers taken up by kind, drawn towards the share of all.
fn kind_rates(past: Past<'_>) -> [f64; KINDS_MAX] {
    let all = (past.redeemed.iter().sum::<f64>() + 1.0) / (past.redeemed.len() as f64 + 10.0);
    let mut sums = [(all * 30.0, 30.0); KINDS_MAX];
    for (offer, redeemed) in past.offers.iter().zip(past.redeemed) {
        let sum = &mut sums[offer.kind.min(KINDS_MAX - 1)];
        *sum = (sum.0 + redeemed, sum.1 + 1.0);
    }
    sums.map(|(taken, sent)| taken / sent)
}
