//! What every repeat-buying model can say about a customer, and how one is fitted.

use super::history::Summary;
use crate::numeric::chance::Chance;
use crate::numeric::optimise::{NoMinimum, by_gradient};

/// A fitted model of repeat buying. Times are in weeks.
pub trait RepeatBuying {
    /// Natural logarithm of the likelihood of what is known of a customer.
    fn ln_likelihood(&self, customer: &Summary) -> f64;
    /// Probability that the customer has not gone for good, at the cut-off.
    fn alive(&self, customer: &Summary) -> f64;
    /// Expected number of purchases in the `horizon` after the cut-off.
    fn expected(&self, customer: &Summary, horizon: f64) -> f64;
    /// Probability of no purchase in the `horizon` after the cut-off.
    fn none(&self, customer: &Summary, horizon: f64) -> f64;
    /// One draw of the number of purchases in the `horizon` after the cut-off, from the posterior predictive.
    fn draw(&self, customer: &Summary, horizon: f64, chance: &mut Chance) -> u32;
}

/// Why a model has no fit.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ValueError {
    #[error("there are no customers")]
    Empty,
    #[error("customer {place} has a summary that cannot be: recency, age and gaps must be finite, recency at most age")]
    Summary { place: usize },
    #[error("no customer has spent anything")]
    NoSpend,
    #[error("the likelihood has no maximum that could be found")]
    NoFit(#[source] NoMinimum),
}

/// Customers that a likelihood cannot tell apart, and how many they are.
pub(super) fn grouped(customers: &[Summary]) -> Result<Vec<(Summary, f64)>, ValueError> {
    if customers.is_empty() {
        return Err(ValueError::Empty);
    }
    let sound = |c: &Summary| {
        c.recency >= 0.0
            && c.age >= c.recency
            && c.age.is_finite()
            && c.ln_gaps.is_finite()
            && (c.repeats > 0 || c.recency == 0.0)
    };
    if let Some(place) = customers.iter().position(|customer| !sound(customer)) {
        return Err(ValueError::Summary { place });
    }
    let mut sorted = customers.to_vec();
    sorted.sort_by(|left, right| {
        let times = left.age.total_cmp(&right.age).then(left.recency.total_cmp(&right.recency));
        left.repeats.cmp(&right.repeats).then(times)
    });
    let mut groups: Vec<(Summary, f64)> = Vec::new();
    for customer in sorted {
        match groups.last_mut() {
            Some((known, many))
                if (known.repeats, known.recency, known.age) == (customer.repeats, customer.recency, customer.age) =>
            {
                known.ln_gaps += customer.ln_gaps;
                *many += 1.0;
            }
            _ => groups.push((customer, 1.0)),
        }
    }
    Ok(groups)
}

/// A pull of the parameters' logarithms towards 0, per customer. It is far below what moves the third digit of an
/// estimate, and keeps a parameter that the data leave open (nobody ever leaves, say) from running off.
const PULL: f64 = 1e-7;

/// Largest mean of `ln_likelihood` over `groups`, for positive parameters, which are sought on the logarithmic scale.
///
/// `ln_likelihood(parameters, customer, gradient)` adds `weight` times its slopes to `gradient`.
pub(super) fn most_likely(
    start: &[f64],
    groups: &[(Summary, f64)],
    ln_likelihood: impl Fn(&[f64], &Summary, Option<(&mut [f64], f64)>) -> f64,
) -> Result<Vec<f64>, ValueError> {
    let many: f64 = groups.iter().map(|(_, many)| many).sum();
    let natural = |at: &[f64]| -> Vec<f64> { at.iter().map(|x| libm::exp(x.clamp(-40.0, 40.0))).collect() };
    let value = |at: &[f64]| {
        let parameters = natural(at);
        let sum: f64 = groups.iter().map(|(customer, many)| many * ln_likelihood(&parameters, customer, None)).sum();
        PULL * at.iter().map(|x| x * x).sum::<f64>() - sum / many
    };
    let gradient = |at: &[f64], out: &mut [f64]| {
        let parameters = natural(at);
        let mut slopes = vec![0.0; at.len()];
        for (customer, weight) in groups {
            ln_likelihood(&parameters, customer, Some((&mut slopes, *weight)));
        }
        for (((out, slope), parameter), at) in out.iter_mut().zip(&slopes).zip(&parameters).zip(at) {
            *out = 2.0 * PULL * at - slope * parameter / many;
        }
    };
    let start: Vec<f64> = start.iter().map(|x| libm::log(*x)).collect();
    let found = by_gradient(&start, value, gradient, 200).map_err(ValueError::NoFit)?;
    Ok(natural(&found.at))
}
