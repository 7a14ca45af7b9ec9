//! Who drifts away: the probability that a customer buys nothing in the days ahead.
//!
//! The event is stated by the caller for a kind of merchant (no purchase within so many days), because "churned" by
//! itself says nothing. The models of `value` answer first; a regression on the log's features, the silence against the
//! customer's own gaps among them, corrects them by what came to pass after cut-offs in the past of the same log, and
//! the result is calibrated on customers it did not learn from.
//!
//! Churn risk is a different thing from harm risk; nothing here sees, or says anything about, play on markets.

use crate::numeric::regression::{Family, Regression, Rows};
use crate::numeric::special::{logistic, logit};
use crate::value::features::{Moment, Snapshot};
use crate::value::past::{Lesson, level_now, now_and_past};
use crate::value::stack::Lessons;
use crate::value::{PurchaseHistory, ValueError};

/// Customers below which no probability is stated.
pub const CUSTOMERS_MIN: usize = 20;

/// What can be said about drifting away.
#[derive(Clone, Debug, PartialEq)]
pub enum Churn {
    /// One entry for each customer with a purchase until the cut-off.
    Judged(Vec<Risk>),
    /// Too few customers: to state a probability for each would pretend. `base_rate` is one for all of them, as far as
    /// their past tells: of those who can be judged, how many bought nothing in the days up to the cut-off.
    NotEnoughData { customers: usize, needed: usize, base_rate: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Risk {
    /// Place in the list of customers.
    pub who: usize,
    /// Probability of no purchase within the horizon, inside (0, 1).
    pub none: f64,
}

/// Judges all customers with a purchase until `now.cutoff`; `now.horizon` is the days without a purchase that count.
///
/// # Errors
/// `Empty` without such customers; as the fits of the repeat-buying models.
pub fn churn(customers: &[PurchaseHistory], now: Moment, seed: u64) -> Result<Churn, ValueError> {
    let known = customers.iter().filter(|c| !c.until(now.cutoff).days.is_empty()).count();
    if known < CUSTOMERS_MIN {
        let base_rate = base_rate(customers, now);
        return Ok(Churn::NotEnoughData { customers: known, needed: CUSTOMERS_MIN, base_rate });
    }
    let (snapshot, lessons) = now_and_past(customers, now)?;
    let none = corrected(&snapshot, &lessons, seed);
    let risks = snapshot.who.iter().zip(none).map(|(who, none)| Risk { who: *who, none });
    Ok(Churn::Judged(risks.collect()))
}

fn corrected(snapshot: &Snapshot, lessons: &[Lesson], seed: u64) -> Vec<f64> {
    let mut all = Lessons::new(Family::Logistic);
    let levels: Vec<f64> = lessons.iter().map(level).collect();
    for (lesson, level) in lessons.iter().zip(&levels) {
        let base = &lesson.snapshot.none_base;
        all.add(lesson, base.iter().map(|none| logit(*none) + level), &bought_nothing(lesson), &vec![1.0; base.len()]);
    }
    let now = level_now(lessons, &levels, 1.0);
    let offset: Vec<f64> = snapshot.none_base.iter().map(|none| logit(*none) + now).collect();
    match all.correct(&snapshot.features, &offset, seed) {
        Ok(corrected) => corrected.linear.iter().map(|linear| logistic(linear.clamp(-8.0, 8.0))).collect(),
        Err(_) => offset.iter().map(|linear| logistic(linear.clamp(-8.0, 8.0))).collect(),
    }
}

/// Shift of the models' logits that makes their sum what came to pass.
fn level(lesson: &Lesson) -> f64 {
    let offset: Vec<f64> = lesson.snapshot.none_base.iter().map(|none| logit(*none)).collect();
    let target = bought_nothing(lesson);
    let (features, weight) = (vec![Vec::new(); offset.len()], vec![1.0; offset.len()]);
    let rows = Rows { features: &features, target: &target, weight: &weight, offset: &offset };
    Regression::fit(rows, Family::Logistic, 0.0).map_or(0.0, |shift| shift.intercept.clamp(-1.5, 1.5))
}

fn bought_nothing(lesson: &Lesson) -> Vec<f64> {
    lesson.outcomes.days.iter().map(|days| f64::from(u8::from(*days == 0.0))).collect()
}

/// Share of those who had bought by one horizon before the cut-off, and can be judged therefore, who bought nothing
/// since. One of each kind is added (Laplace's rule of succession): a few customers alike prove nothing of the next,
/// and nobody at all leaves an even chance.
fn base_rate(customers: &[PurchaseHistory], now: Moment) -> f64 {
    let back = now.cutoff - now.horizon;
    let judged = customers.iter().filter(|c| !c.until(back).days.is_empty());
    let nothing_since = |c: &PurchaseHistory| c.between(back, now.cutoff).days.is_empty();
    let (none, many) =
        judged.fold((0.0, 0.0), |(none, many), c| (none + f64::from(u8::from(nothing_since(c))), many + 1.0));
    (none + 1.0) / (many + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_customers_have_the_base_rate_of_those_who_can_be_judged() {
        let bought = |days: &[i32]| {
            PurchaseHistory::new(&days.iter().map(|day| (*day, 5.0)).collect::<Vec<(i32, f64)>>()).unwrap()
        };
        let now = Moment { start: 0, cutoff: 100, horizon: 30 };
        let rate = |customers: &[PurchaseHistory]| match churn(customers, now, 1).unwrap() {
            Churn::NotEnoughData { base_rate, customers, needed } => (base_rate, customers, needed),
            Churn::Judged(_) => panic!("so few cannot be judged"),
        };
        // Bought by day 70: five, of whom three bought nothing from day 71 to 100. The others are too new to tell.
        let known = [&[1, 50][..], &[2], &[70], &[3, 71], &[4, 100]].map(bought);
        let new = [&[71, 99][..], &[80], &[99]].map(bought);
        assert_eq!(rate(&[known.to_vec(), new.to_vec()].concat()), (4.0 / 7.0, 8, CUSTOMERS_MIN));
        // What comes after the cut-off does not count, and nobody to judge is no evidence.
        assert_eq!(rate(&[bought(&[1, 101])]).0, 2.0 / 3.0);
        assert_eq!(rate(&new).0, 0.5);
    }
}
