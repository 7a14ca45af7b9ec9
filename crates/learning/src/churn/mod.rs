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
    /// Too few customers: to state a probability for each would pretend.
    NotEnoughData { customers: usize, needed: usize },
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
        return Ok(Churn::NotEnoughData { customers: known, needed: CUSTOMERS_MIN });
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
