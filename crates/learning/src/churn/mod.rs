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
use crate::value::past::{Lesson, lessons, season_ahead};
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
    let lessons = lessons(customers, now)?;
    let has_season = lessons.iter().any(|lesson| lesson.same_season);
    let stretch = if has_season { 1.0 } else { season_ahead(customers, now) };
    let snapshot = Snapshot::take(customers, now, stretch)?;
    let none = corrected(&snapshot, &lessons, seed);
    let risks = snapshot.who.iter().zip(none).map(|(who, none)| Risk { who: *who, none });
    Ok(Churn::Judged(risks.collect()))
}

fn corrected(snapshot: &Snapshot, lessons: &[Lesson], seed: u64) -> Vec<f64> {
    let mut all = Lessons {
        features: Vec::new(),
        offset: Vec::new(),
        target: Vec::new(),
        weight: Vec::new(),
        group: Vec::new(),
        family: Family::Logistic,
    };
    let levels: Vec<f64> = lessons.iter().map(level).collect();
    for (lesson, level) in lessons.iter().zip(&levels) {
        all.features.extend(lesson.snapshot.features.iter().cloned());
        all.offset.extend(lesson.snapshot.none_base.iter().map(|none| logit(*none) + level));
        all.target.extend(lesson.outcomes.days.iter().map(|days| f64::from(u8::from(*days == 0.0))));
        let weight = if lesson.same_season { 2.0 } else { 1.0 };
        all.weight.extend(std::iter::repeat_n(weight, lesson.snapshot.who.len()));
        all.group.extend(&lesson.snapshot.who);
    }
    let now = level_now(lessons, &levels);
    let offset: Vec<f64> = snapshot.none_base.iter().map(|none| logit(*none) + now).collect();
    match all.correct(&snapshot.features, &offset, seed) {
        Ok(corrected) => corrected.linear.iter().map(|linear| logistic(linear.clamp(-8.0, 8.0))).collect(),
        Err(_) => offset.iter().map(|linear| logistic(linear.clamp(-8.0, 8.0))).collect(),
    }
}

/// Shift of the models' logits that makes their sum what came to pass.
fn level(lesson: &Lesson) -> f64 {
    let offset: Vec<f64> = lesson.snapshot.none_base.iter().map(|none| logit(*none)).collect();
    let target: Vec<f64> = lesson.outcomes.days.iter().map(|days| f64::from(u8::from(*days == 0.0))).collect();
    let (features, weight) = (vec![Vec::new(); offset.len()], vec![1.0; offset.len()]);
    let rows = Rows { features: &features, target: &target, weight: &weight, offset: &offset };
    Regression::fit(rows, Family::Logistic, 0.0).map_or(0.0, |shift| shift.intercept.clamp(-1.5, 1.5))
}

/// The shift to expect now: that of the same season if there was one, else the mean of what was seen lately.
fn level_now(lessons: &[Lesson], levels: &[f64]) -> f64 {
    if let Some((_, level)) = lessons.iter().zip(levels).find(|(lesson, _)| lesson.same_season) {
        return *level;
    }
    let (mut sum, mut weight, mut share) = (0.0, 0.0, 1.0);
    for level in levels {
        (sum, weight, share) = (sum + share * level, weight + share, share * 0.7);
    }
    if weight > 0.0 { sum / weight } else { 0.0 }
}
