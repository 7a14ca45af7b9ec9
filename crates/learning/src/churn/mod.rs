//! Who drifts away: the probability that a customer buys nothing in the days ahead.
//!
//! The event is stated by the caller for a kind of merchant (no purchase within so many days), because "churned" by
//! itself says nothing. The models of `value` answer first; a regression on the log's features, the silence against the
//! customer's own gaps among them, corrects them by what came to pass after cut-offs in the past of the same log, and
//! the result is calibrated on customers it did not learn from.
//!
//! Churn risk is a different thing from harm risk; nothing here sees, or says anything about, play on markets.

use serde::{Deserialize, Serialize};

use crate::numeric::regression::{Family, Regression, Rows};
use crate::numeric::special::{logistic, logit};
use crate::value::features::{Moment, Snapshot};
use crate::value::past::{Lesson, level_now, now_and_past};
use crate::value::stack::{Corrector, Lessons};
use crate::value::{Base, PurchaseHistory, ValueError};

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

/// Judges all customers with a purchase until `now.cutoff`; `now.horizon` is the days without a purchase that count. What
/// `ChurnModel::learn` and `ChurnModel::judge` give together, in less time. `threads` change how long it takes, nothing
/// else.
///
/// # Errors
/// As the fits of the repeat-buying models.
pub fn churn(customers: &[PurchaseHistory], now: Moment, seed: u64, threads: usize) -> Result<Churn, ValueError> {
    if let Some(few) = TooFew::of(customers, now) {
        return Ok(few.answer());
    }
    let (judge, snapshot) = Judge::learn(customers, now, seed, threads)?;
    Ok(judge.answer(&snapshot))
}

/// All that was learned at one cut-off, to be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChurnModel {
    /// Days without a purchase that count.
    horizon: i32,
    rule: Rule,
}

impl ChurnModel {
    /// Learns from all customers with a purchase until `now.cutoff`; of too few, the base rate alone. `threads` change how
    /// long it takes, nothing else.
    ///
    /// # Errors
    /// As the fits of the repeat-buying models.
    pub fn learn(
        customers: &[PurchaseHistory],
        now: Moment,
        seed: u64,
        threads: usize,
    ) -> Result<ChurnModel, ValueError> {
        let rule = match TooFew::of(customers, now) {
            Some(few) => Rule::TooFew(few),
            None => Rule::Judge(Box::new(Judge::learn(customers, now, seed, threads)?.0)),
        };
        Ok(ChurnModel { horizon: now.horizon, rule })
    }

    /// Judges all customers with a purchase until `now.cutoff`. What is said of a customer hangs on nobody else.
    ///
    /// # Errors
    /// `Horizon` for another horizon than it was learned for; `Foreign` for a model of a version of the code that knew
    /// other features.
    pub fn judge(&self, customers: &[PurchaseHistory], now: Moment) -> Result<Churn, ValueError> {
        if now.horizon != self.horizon {
            return Err(ValueError::Horizon { learned: self.horizon, asked: now.horizon });
        }
        match &self.rule {
            Rule::TooFew(few) => Ok(few.answer()),
            Rule::Judge(judge) => {
                let snapshot = Snapshot::with(customers, now, judge.stretch, judge.base.clone());
                let fits = |row: &Vec<f64>| judge.corrector.as_ref().is_none_or(|model| model.fits(row.len()));
                if snapshot.features.iter().all(fits) { Ok(judge.answer(&snapshot)) } else { Err(ValueError::Foreign) }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Rule {
    Judge(Box<Judge>),
    TooFew(TooFew),
}

/// The repeat-buying models and how they are corrected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Judge {
    base: Base,
    /// By which the horizon is multiplied in the models.
    stretch: f64,
    /// Added to the models' logits.
    level: f64,
    /// None where the past teaches nothing.
    corrector: Option<Corrector>,
}

impl Judge {
    /// What was learned, and what it was learned for.
    fn learn(
        customers: &[PurchaseHistory],
        now: Moment,
        seed: u64,
        threads: usize,
    ) -> Result<(Judge, Snapshot), ValueError> {
        let (snapshot, lessons) = now_and_past(customers, now, threads)?;
        let mut all = Lessons::new(Family::Logistic);
        let levels: Vec<f64> = lessons.iter().map(level).collect();
        for (lesson, level) in lessons.iter().zip(&levels) {
            let base = &lesson.snapshot.none_base;
            let offset = base.iter().map(|none| logit(*none) + level);
            all.add(lesson, offset, &bought_nothing(lesson), &vec![1.0; base.len()]);
        }
        let judge = Judge {
            base: snapshot.base.clone(),
            stretch: snapshot.stretch,
            level: level_now(&lessons, &levels, 1.0),
            corrector: all.learn(seed, threads).ok(),
        };
        Ok((judge, snapshot))
    }

    fn answer(&self, snapshot: &Snapshot) -> Churn {
        let offset: Vec<f64> = snapshot.none_base.iter().map(|none| logit(*none) + self.level).collect();
        let linear = match &self.corrector {
            Some(corrector) => corrector.linear(&snapshot.features, &offset),
            None => offset,
        };
        let risk = |(who, linear): (&usize, &f64)| Risk { who: *who, none: logistic(linear.clamp(-8.0, 8.0)) };
        Churn::Judged(snapshot.who.iter().zip(&linear).map(risk).collect())
    }
}

/// Customers too few to judge, and what their past tells all the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct TooFew {
    customers: usize,
    base_rate: f64,
}

impl TooFew {
    /// None if there are enough.
    fn of(customers: &[PurchaseHistory], now: Moment) -> Option<TooFew> {
        let known = customers.iter().filter(|c| !c.until(now.cutoff).days.is_empty()).count();
        (known < CUSTOMERS_MIN).then(|| TooFew { customers: known, base_rate: base_rate(customers, now) })
    }

    fn answer(&self) -> Churn {
        Churn::NotEnoughData { customers: self.customers, needed: CUSTOMERS_MIN, base_rate: self.base_rate }
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
        let rate = |customers: &[PurchaseHistory]| match churn(customers, now, 1, 1).unwrap() {
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

    /// Every customer has a gap of their own; every third stops.
    fn habits(many: i32) -> Vec<PurchaseHistory> {
        let one = |customer: i32| {
            let (gap, end) = (2 + customer % 23, if customer % 3 == 0 { 40 + customer % 120 } else { 240 });
            let days = (customer % 7..end).step_by(gap as usize).filter(|day| (day * customer) % 5 != 1);
            PurchaseHistory::new(&days.map(|day| (day, 5.0)).collect::<Vec<(i32, f64)>>()).unwrap()
        };
        (0..many).map(one).collect()
    }

    #[test]
    fn a_kept_model_judges_to_the_last_bit_what_was_judged_by_any_number_of_threads() {
        let now = Moment { start: 0, cutoff: 180, horizon: 28 };
        let bits = |churn: Churn| match churn {
            Churn::Judged(risks) => risks.iter().map(|risk| (risk.who, risk.none.to_bits())).collect::<Vec<_>>(),
            Churn::NotEnoughData { customers, base_rate, .. } => vec![(customers, base_rate.to_bits())],
        };
        for many in [250, 12] {
            let customers = habits(many);
            let judged = bits(churn(&customers, now, 3, 1).unwrap());
            let model = ChurnModel::learn(&customers, now, 3, 1).unwrap();
            let kept: ChurnModel = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
            assert_eq!(bits(kept.judge(&customers, now).unwrap()), judged);
            for threads in [2, 5] {
                assert_eq!(ChurnModel::learn(&customers, now, 3, threads).unwrap(), model);
                assert_eq!(bits(churn(&customers, now, 3, threads).unwrap()), judged);
            }
            let other = kept.judge(&customers, Moment { horizon: 14, ..now }).unwrap_err();
            assert_eq!(other, ValueError::Horizon { learned: 28, asked: 14 });
        }
        let (customers, first) = (habits(250), 7);
        let model = ChurnModel::learn(&customers, now, 3, 1).unwrap();
        let (all, alone) =
            (model.judge(&customers, now).unwrap(), model.judge(&customers[first..=first], now).unwrap());
        assert_eq!(bits(all)[first].1, bits(alone)[0].1, "what is said of a customer hangs on nobody else");
    }
}
