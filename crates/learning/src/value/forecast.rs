//! What each customer will buy and spend in a horizon: repeat-buying models, corrected by what past cut-offs of the
//! same log teach.
//!
//! Both answers are expectations, so that they add up to what a merchant will see; they are not medians, which would
//! win in mean absolute error and be too low in sum. The intervals are quantiles.

use serde::{Deserialize, Serialize};

use super::base::Base;
use super::correction::{Correction, Subject};
use super::features::{LEAST, Moment, Snapshot};
use super::history::PurchaseHistory;
use super::past::now_and_past;
use super::ranges::{Unrest, ranges};
use super::repeat::ValueError;
use crate::numeric::chance::chance;
use crate::numeric::parallel;

/// Forecasts for all customers with a purchase until `now.cutoff`; nothing after it is looked at. What
/// `ValueModel::learn` and `ValueModel::forecast` give together, in less time. `threads` change how long it takes, nothing
/// else.
///
/// # Errors
/// `Empty` without such customers; as `Base::fit`.
pub fn forecast(
    customers: &[PurchaseHistory],
    now: Moment,
    seed: u64,
    threads: usize,
) -> Result<Vec<Forecast>, ValueError> {
    let (model, snapshot) = learned(customers, now, seed, threads)?;
    Ok(model.answers(&snapshot, seed, threads))
}

/// One customer's future.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Place in the list of customers.
    pub who: usize,
    /// Expected purchase days in the horizon.
    pub days: f64,
    /// Expected spend in the horizon.
    pub spend: f64,
    /// Probability of not having gone for good.
    pub alive: f64,
    /// The middle 80 % of purchase days and of spend.
    pub days_range: (f64, f64),
    pub spend_range: (f64, f64),
}

/// All that was learned at one cut-off, to be kept.
///
/// Where no cut-off in the past has customers enough to learn from, the repeat-buying models stand alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueModel {
    /// Days that it looks ahead.
    horizon: i32,
    base: Base,
    /// By which the horizon is multiplied in the repeat-buying models.
    stretch: f64,
    days: Correction,
    spend: Correction,
    /// By which spend reckoned from days is multiplied, so that its sum is that of spend as it was learned. None where
    /// nobody has spent anything.
    by_day_scale: Option<f64>,
    unrest: Unrest,
}

impl ValueModel {
    /// Learns from all customers with a purchase until `now.cutoff`; nothing after it is looked at. `threads` change how
    /// long it takes, nothing else.
    ///
    /// # Errors
    /// `Empty` without such customers; as `Base::fit`.
    pub fn learn(
        customers: &[PurchaseHistory],
        now: Moment,
        seed: u64,
        threads: usize,
    ) -> Result<ValueModel, ValueError> {
        Ok(learned(customers, now, seed, threads)?.0)
    }

    /// Forecasts for all customers with a purchase until `now.cutoff`. Expectations of a customer hang on nobody else; the
    /// draws for a range hang on the customer's place in the list, and on `seed`.
    ///
    /// # Errors
    /// `Horizon` for another horizon than it was learned for; `Foreign` for a model of a version of the code that knew
    /// other features.
    pub fn forecast(
        &self,
        customers: &[PurchaseHistory],
        now: Moment,
        seed: u64,
        threads: usize,
    ) -> Result<Vec<Forecast>, ValueError> {
        if now.horizon != self.horizon {
            return Err(ValueError::Horizon { learned: self.horizon, asked: now.horizon });
        }
        let snapshot = Snapshot::with(customers, now, self.stretch, self.base.clone());
        let fits = |row: &Vec<f64>| self.days.fits(row.len()) && self.spend.fits(row.len());
        if !snapshot.features.iter().all(fits) {
            return Err(ValueError::Foreign);
        }
        Ok(self.answers(&snapshot, seed, threads))
    }

    fn answers(&self, snapshot: &Snapshot, seed: u64, threads: usize) -> Vec<Forecast> {
        let days = self.days.of(snapshot, Subject::Days);
        let direct = self.spend.of(snapshot, Subject::Spend);
        let spend = match self.by_day_scale {
            None => direct,
            Some(scale) => half_each(&direct, &by_day(snapshot, &days), scale),
        };
        let places: Vec<usize> = (0..days.len()).collect();
        parallel::map(&places, threads, |&i| self.answer(snapshot, i, days[i], spend[i], seed))
    }

    /// With the middle of the draws for a range where its mean is the corrected one: the horizon is stretched.
    fn answer(&self, snapshot: &Snapshot, i: usize, days: f64, spend: f64, seed: u64) -> Forecast {
        let busier = snapshot.stretch * (days / snapshot.days_base[i].max(LEAST)).clamp(0.2, 5.0);
        let dearer = spend / (days * snapshot.base.amount(&snapshot.spend[i])).max(LEAST);
        let mut chance = chance(seed, snapshot.who[i] as u64 + 1);
        let (days_range, spend_range) =
            ranges(snapshot, i, (busier, dearer.clamp(0.2, 5.0)), self.unrest, DRAWS, &mut chance);
        Forecast { who: snapshot.who[i], days, spend, alive: snapshot.alive[i], days_range, spend_range }
    }
}

/// Draws for a customer's range.
const DRAWS: usize = 200;

/// The model, and what it was learned for.
fn learned(
    customers: &[PurchaseHistory],
    now: Moment,
    seed: u64,
    threads: usize,
) -> Result<(ValueModel, Snapshot), ValueError> {
    let (snapshot, lessons) = now_and_past(customers, now, threads)?;
    let days = Correction::learn(&snapshot, &lessons, Subject::Days, seed, threads);
    let spend = Correction::learn(&snapshot, &lessons, Subject::Spend, seed, threads);
    let (direct, by_day) = (spend.of(&snapshot, Subject::Spend), by_day(&snapshot, &days.of(&snapshot, Subject::Days)));
    let model = ValueModel {
        horizon: now.horizon,
        base: snapshot.base.clone(),
        stretch: snapshot.stretch,
        days,
        spend,
        by_day_scale: by_day_scale(&direct, &by_day),
        unrest: lessons.first().map_or(Unrest::default(), |lesson| Unrest::of(lesson, seed, threads)),
    };
    Ok((model, snapshot))
}

/// Spend as days times the expected amount of a day.
fn by_day(snapshot: &Snapshot, days: &[f64]) -> Vec<f64> {
    days.iter().zip(&snapshot.spend).map(|(days, known)| days * snapshot.base.amount(known)).collect()
}

fn by_day_scale(direct: &[f64], by_day: &[f64]) -> Option<f64> {
    let (sum, other): (f64, f64) = (direct.iter().sum(), by_day.iter().sum());
    (other > LEAST).then(|| sum / other)
}

/// The mean of two forecasts. Spend as it was learned hangs on a few large amounts, days times the expected amount of a
/// day does not; they err in different places, and an even mean is hard to beat where neither is known to be better
/// (Bates and Granger 1969).
fn half_each(direct: &[f64], by_day: &[f64], scale: f64) -> Vec<f64> {
    direct.iter().zip(by_day).map(|(direct, by_day)| 0.5 * (direct + scale * by_day)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_forecasts_are_mixed_evenly_and_the_sum_stays_the_first_ones() {
        let (direct, by_day) = ([1.0, 2.0, 9.0], [3.0, 3.0, 0.0]);
        let scale = by_day_scale(&direct, &by_day).unwrap();
        assert_eq!(half_each(&direct, &by_day, scale), [3.5, 4.0, 4.5]);
        assert_eq!(by_day_scale(&[2.0, 0.5], &[0.0, 0.0]), None);
    }

    use crate::numeric::chance::uniform;

    const NOW: Moment = Moment { start: 0, cutoff: 180, horizon: 42 };

    /// Customers with a gap of their own between purchases, some of whom stop; up to day 239.
    fn customers(many: u64) -> Vec<PurchaseHistory> {
        let mut dice = chance(7, 11);
        let mut one = || {
            let (gap, mut day) = (2.0 + 25.0 * uniform(&mut dice), 30.0 * uniform(&mut dice));
            let mut purchases = Vec::new();
            while day < 240.0 && uniform(&mut dice) > 0.05 {
                purchases.push((day as i32, 5.0 + 20.0 * uniform(&mut dice)));
                day -= gap * libm::log(1.0 - uniform(&mut dice));
            }
            PurchaseHistory::new(&purchases).unwrap()
        };
        (0..many).map(|_| one()).collect()
    }

    fn kept(model: &ValueModel) -> ValueModel {
        serde_json::from_str(&serde_json::to_string(model).unwrap()).unwrap()
    }

    fn bits(forecasts: &[Forecast]) -> Vec<[u64; 7]> {
        let one = |f: &Forecast| {
            let ((low, high), (least, most)) = (f.days_range, f.spend_range);
            [f.days, f.spend, f.alive, low, high, least, most].map(f64::to_bits)
        };
        forecasts.iter().map(one).collect()
    }

    #[test]
    fn a_kept_model_answers_to_the_last_bit_what_was_forecast_by_any_number_of_threads() {
        let customers = customers(220);
        let forecasts = forecast(&customers, NOW, 3, 1).unwrap();
        let model = ValueModel::learn(&customers, NOW, 3, 1).unwrap();
        for threads in [1, 2, 5] {
            assert_eq!(ValueModel::learn(&customers, NOW, 3, threads).unwrap(), model);
            let answers = kept(&model).forecast(&customers, NOW, 3, threads).unwrap();
            assert_eq!(bits(&answers), bits(&forecasts));
            assert_eq!(bits(&forecast(&customers, NOW, 3, threads).unwrap()), bits(&forecasts));
        }
    }

    /// Sums are kept when it is learned, not when it answers.
    #[test]
    fn a_customer_alone_is_told_what_is_told_among_all() {
        let customers = customers(220);
        let model = ValueModel::learn(&customers, NOW, 3, 1).unwrap();
        let all = model.forecast(&customers, NOW, 3, 1).unwrap();
        for among in all.iter().step_by(40) {
            let alone = model.forecast(&customers[among.who..=among.who], NOW, 3, 1).unwrap()[0];
            assert_eq!([alone.days, alone.spend, alone.alive], [among.days, among.spend, among.alive]);
        }
    }

    #[test]
    fn too_few_to_learn_from_are_told_what_the_repeat_buying_models_say() {
        let customers = customers(30);
        let model = ValueModel::learn(&customers, NOW, 3, 1).unwrap();
        let snapshot = Snapshot::take(&customers, NOW, 1.0).unwrap();
        let answers = kept(&model).forecast(&customers, NOW, 3, 1).unwrap();
        for (answer, base) in answers.iter().zip(&snapshot.days_base) {
            assert!((answer.days / base - 1.0).abs() < 1e-12, "{answer:?} {base}");
        }
    }

    #[test]
    fn another_horizon_or_other_features_are_refused() {
        let customers = customers(220);
        let model = ValueModel::learn(&customers, NOW, 3, 1).unwrap();
        let longer = model.forecast(&customers, Moment { horizon: 43, ..NOW }, 3, 1);
        assert_eq!(longer.unwrap_err(), ValueError::Horizon { learned: 42, asked: 43 });
        let mut other = serde_json::to_value(&model).unwrap();
        other["days"]["corrector"]["regression"]["slopes"].as_array_mut().unwrap().pop();
        let other: ValueModel = serde_json::from_value(other).unwrap();
        assert_eq!(other.forecast(&customers, NOW, 3, 1).unwrap_err(), ValueError::Foreign);
    }
}
