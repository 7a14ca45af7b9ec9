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
    /// `expected` of many customers, one answer for each: quicker than one by one, since many share a number of purchases
    /// or a time.
    fn expected_all(&self, customers: &[Summary], horizon: f64) -> Vec<f64>;
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
    #[error("the model looks {learned} days ahead, it was asked about {asked}")]
    Horizon { learned: i32, asked: i32 },
    #[error("the model was made for other numbers than are known of a customer here")]
    Foreign,
}

/// Customers in the shape in which a likelihood is summed up over them: what many of them share is there once, so that
/// logarithms and special functions are computed for it once.
pub(super) struct Groups {
    /// Every time that is somebody's recency or age, once, rising.
    pub times: Vec<f64>,
    pub blocks: Vec<Block>,
    pub age_mean: f64,
    customers: f64,
}

/// Customers with the same number of repeats.
pub(super) struct Block {
    pub repeats: u32,
    pub many: f64,
    pub ln_gaps: f64,
    pub rows: Vec<Row>,
}

/// Customers of a block with the same times, given as places among all times.
pub(super) struct Row {
    pub last: usize,
    pub end: usize,
    pub many: f64,
}

impl Groups {
    /// # Errors
    /// `Empty`, `Summary`.
    pub fn of(customers: &[Summary]) -> Result<Groups, ValueError> {
        if customers.is_empty() {
            return Err(ValueError::Empty);
        }
        if let Some(place) = customers.iter().position(|customer| !sound(customer)) {
            return Err(ValueError::Summary { place });
        }
        let mut times: Vec<f64> = customers.iter().flat_map(|c| [c.recency, c.age]).collect();
        times.sort_unstable_by(f64::total_cmp);
        times.dedup();
        let place = |time: f64| times.partition_point(|known| *known < time);
        let mut sorted: Vec<(u32, usize, usize, f64)> =
            customers.iter().map(|c| (c.repeats, place(c.recency), place(c.age), c.ln_gaps)).collect();
        // Stable, so that logarithms of equal customers are added up in the order given, on every machine.
        sorted.sort_by_key(|(repeats, last, end, _)| (*repeats, *last, *end));
        let blocks = sorted.chunk_by(|left, right| left.0 == right.0).map(Block::of).collect();
        let many = customers.len() as f64;
        let age_mean = customers.iter().map(|c| c.age).sum::<f64>() / many;
        Ok(Groups { times, blocks, age_mean, customers: many })
    }
}

impl Block {
    fn of(customers: &[(u32, usize, usize, f64)]) -> Block {
        let alike = customers.chunk_by(|left, right| (left.1, left.2) == (right.1, right.2));
        Block {
            repeats: customers[0].0,
            many: customers.len() as f64,
            ln_gaps: customers.iter().map(|customer| customer.3).sum(),
            rows: alike.map(|alike| Row { last: alike[0].1, end: alike[0].2, many: alike.len() as f64 }).collect(),
        }
    }
}

fn sound(customer: &Summary) -> bool {
    customer.recency >= 0.0
        && customer.age >= customer.recency
        && customer.age.is_finite()
        && customer.ln_gaps.is_finite()
        && (customer.repeats > 0 || customer.recency == 0.0)
}

/// A pull of the parameters' logarithms towards 0, per customer. It is far below what moves the third digit of an
/// estimate, and keeps a parameter that the data leave open (nobody ever leaves, say) from running off.
const PULL: f64 = 1e-7;

/// Largest mean of a likelihood over `groups`, for positive parameters, which are sought on the logarithmic scale.
///
/// `ln_likelihood(parameters, slopes)` is the sum over all customers, and adds its slopes by the parameters to `slopes`.
pub(super) fn most_likely(
    start: [f64; 4],
    groups: &Groups,
    ln_likelihood: impl Fn([f64; 4], &mut [f64; 4]) -> f64,
) -> Result<[f64; 4], ValueError> {
    let natural = |at: &[f64]| -> [f64; 4] { std::array::from_fn(|i| libm::exp(at[i].clamp(-40.0, 40.0))) };
    let value = |at: &[f64], out: &mut [f64]| {
        let (parameters, mut slopes) = (natural(at), [0.0; 4]);
        let sum = ln_likelihood(parameters, &mut slopes);
        for (i, out) in out.iter_mut().enumerate() {
            *out = 2.0 * PULL * at[i] - slopes[i] * parameters[i] / groups.customers;
        }
        PULL * at.iter().map(|x| x * x).sum::<f64>() - sum / groups.customers
    };
    let found = by_gradient(&start.map(libm::log), value, 200).map_err(ValueError::NoFit)?;
    Ok(natural(&found.at))
}

/// Answers that depend on a number of purchases and a time, kept for the next customer with the same ones.
pub(super) struct Memo<T> {
    slots: Vec<Option<(u32, f64, T)>>,
}

impl<T: Copy> Memo<T> {
    /// For this many customers.
    pub fn new(customers: usize) -> Memo<T> {
        Memo { slots: vec![None; customers.clamp(1, 2_048).next_power_of_two()] }
    }

    pub fn get(&mut self, repeats: u32, time: f64, answer: impl FnOnce() -> T) -> T {
        // Multiplied by an odd number without a pattern, whose high bits depend on all bits of the key.
        let key = time.to_bits() ^ u64::from(repeats).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = (key.wrapping_mul(0xD1B5_4A32_D192_ED03) >> 40) as usize & (self.slots.len() - 1);
        match self.slots[place] {
            Some((known_repeats, known_time, known)) if known_repeats == repeats && known_time == time => known,
            _ => {
                let answer = answer();
                self.slots[place] = Some((repeats, time, answer));
                answer
            }
        }
    }
}
