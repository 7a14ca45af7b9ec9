//! What each customer will buy and spend in a horizon: repeat-buying models, corrected by what past cut-offs of the
//! same log teach.
//!
//! Both answers are expectations, so that they add up to what a merchant will see; they are not medians, which would
//! win in mean absolute error and be too low in sum. The intervals are quantiles.

use rand_distr::{Distribution, Gamma};

use super::features::{LEAST, Moment, Snapshot};
use super::history::PurchaseHistory;
use super::past::{Lesson, level_now, now_and_past};
use super::repeat::ValueError;
use super::stack::Lessons;
use crate::numeric::chance::{Chance, chance};
use crate::numeric::regression::Family;

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

/// Forecasts for all customers with a purchase until `now.cutoff`; nothing after it is looked at.
///
/// # Errors
/// `Empty` without such customers; as `Base::fit`.
pub fn forecast(customers: &[PurchaseHistory], now: Moment, seed: u64) -> Result<Vec<Forecast>, ValueError> {
    let (snapshot, lessons) = now_and_past(customers, now)?;
    let days = corrected(&snapshot, &lessons, &snapshot.days_base, Subject::Days, seed);
    let direct = corrected(&snapshot, &lessons, &snapshot.spend_base, Subject::Spend, seed);
    let by_day: Vec<f64> =
        days.iter().zip(&snapshot.spend).map(|(days, known)| days * snapshot.base.amount(known)).collect();
    let spend = half_each(&direct, &by_day);
    Ok(with_ranges(&snapshot, lessons.first(), &days, &spend, seed))
}

/// The mean of two forecasts, with the sum of the first. Spend as it was learned hangs on a few large amounts, days
/// times the expected amount of a day does not; they err in different places, and an even mean is hard to beat where
/// neither is known to be better (Bates and Granger 1969).
fn half_each(first: &[f64], second: &[f64]) -> Vec<f64> {
    let (sum, other): (f64, f64) = (first.iter().sum(), second.iter().sum());
    // Where nobody has spent anything there is no second forecast.
    if other <= LEAST {
        return first.to_vec();
    }
    let scale = sum / other;
    first.iter().zip(second).map(|(first, second)| 0.5 * (first + scale * second)).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Subject {
    Days,
    Spend,
}

/// The expectation of the models, corrected; unchanged where the past teaches nothing.
fn corrected(snapshot: &Snapshot, lessons: &[Lesson], base: &[f64], subject: Subject, seed: u64) -> Vec<f64> {
    let levels: Vec<f64> = lessons.iter().map(|lesson| level(lesson, subject)).collect();
    let mut all = Lessons::new(Family::Poisson);
    for (lesson, level) in lessons.iter().zip(&levels) {
        let (base, outcome) = pair(lesson, subject);
        let mean = base.iter().sum::<f64>() / base.len() as f64;
        let unit = unit(mean, subject);
        let target: Vec<f64> = outcome.iter().map(|outcome| outcome / unit).collect();
        let weight: Vec<f64> = base.iter().map(|base| weight(*base, mean, subject)).collect();
        all.add(lesson, base.iter().map(|base| libm::log(*base) + level - libm::log(unit)), &target, &weight);
    }
    // Levels come and go with seasons, so half of what was seen lately is believed.
    let now = level_now(lessons, &levels, 0.5);
    let offset: Vec<f64> = base.iter().map(|base| libm::log(base.max(LEAST)) + now).collect();
    // What was learned for a shorter horizon holds for that share of a longer one, and was learned from as much less
    // that came to pass; so it fades with the square.
    let share = lessons
        .first()
        .map_or(1.0, |lesson| f64::from(lesson.snapshot.moment.horizon) / f64::from(snapshot.moment.horizon));
    let faded = share * share;
    let expected: f64 = offset.iter().map(|linear| libm::exp(*linear)).sum();
    let corrected = match all.correct(&snapshot.features, &offset, seed) {
        Ok(corrected) => {
            let change = corrected.linear.iter().zip(&offset);
            change.map(|(linear, offset)| libm::exp((offset + faded * (linear - offset)).min(30.0))).collect()
        }
        Err(_) => offset.iter().map(|linear| libm::exp(*linear)).collect::<Vec<f64>>(),
    };
    // Logs grow, and features with them, so a correction learned on shorter logs is trusted for who buys more than
    // whom, not for how much all buy together.
    let share = expected / corrected.iter().sum::<f64>().max(LEAST);
    corrected.into_iter().map(|x| x * share).collect()
}

fn pair(lesson: &Lesson, subject: Subject) -> (&[f64], &[f64]) {
    match subject {
        Subject::Days => (&lesson.snapshot.days_base, &lesson.outcomes.days),
        Subject::Spend => (&lesson.snapshot.spend_base, &lesson.outcomes.spend),
    }
}

/// Spend is learned in units of its mean, so that one strength of ridge fits all currencies.
fn unit(mean: f64, subject: Subject) -> f64 {
    if subject == Subject::Spend { mean.max(LEAST) } else { 1.0 }
}

/// Large expectations vary more than a Poisson count does, spend more so: their rows weigh less.
fn weight(base: f64, mean: f64, subject: Subject) -> f64 {
    match subject {
        Subject::Days => 1.0 / (1.0 + base / 4.0).sqrt(),
        Subject::Spend => 1.0 / (0.1 + base / mean).sqrt(),
    }
}

/// By how much more, as a logarithm, was bought than the models expected.
fn level(lesson: &Lesson, subject: Subject) -> f64 {
    let (base, outcome) = pair(lesson, subject);
    let (expected, came): (f64, f64) = (base.iter().sum(), outcome.iter().sum());
    libm::log((came + LEAST) / (expected + LEAST)).clamp(-1.0, 1.0)
}

/// Draws for a customer's interval.
const DRAWS: usize = 200;

/// Quantiles of the models' posterior predictive, with the horizon stretched to where its mean is the corrected one,
/// and as much unrest added as the latest lesson asks for.
fn with_ranges(snapshot: &Snapshot, latest: Option<&Lesson>, days: &[f64], spend: &[f64], seed: u64) -> Vec<Forecast> {
    let unrest = latest.map_or(Unrest::default(), |lesson| Unrest::of(lesson, seed));
    let one = |i: usize| {
        let busier = snapshot.stretch * (days[i] / snapshot.days_base[i].max(LEAST)).clamp(0.2, 5.0);
        let dearer = spend[i] / (days[i] * snapshot.base.amount(&snapshot.spend[i])).max(LEAST);
        let mut chance = chance(seed, snapshot.who[i] as u64 + 1);
        let (days_range, spend_range) =
            ranges(snapshot, i, (busier, dearer.clamp(0.2, 5.0)), unrest, DRAWS, &mut chance);
        Forecast {
            who: snapshot.who[i],
            days: days[i],
            spend: spend[i],
            alive: snapshot.alive[i],
            days_range,
            spend_range,
        }
    };
    (0..snapshot.who.len()).map(one).collect()
}

type Range = (f64, f64);

/// The middle 80 % of `draws` draws for one customer of a snapshot, whose horizon and amounts are multiplied.
fn ranges(
    snapshot: &Snapshot,
    i: usize,
    times: (f64, f64),
    unrest: Unrest,
    draws: usize,
    chance: &mut Chance,
) -> (Range, Range) {
    let (summary, known) = (&snapshot.summary[i], &snapshot.spend[i]);
    let horizon = f64::from(snapshot.moment.horizon) / 7.0 * times.0;
    let mut drawn: (Vec<f64>, Vec<f64>) = (0..draws)
        .map(|turn| {
            let place = (turn as f64 + 0.5) / draws as f64;
            let pace = unsettled(unrest.pace, chance);
            let (days, spend) = snapshot.base.draw(summary, known, horizon * pace, place, chance);
            (f64::from(days), spend * times.1 * unsettled(unrest.amount, chance))
        })
        .unzip();
    (middle(&mut drawn.0), middle(&mut drawn.1))
}

fn middle(drawn: &mut [f64]) -> Range {
    drawn.sort_by(f64::total_cmp);
    (drawn[drawn.len() / 10], drawn[drawn.len() - 1 - drawn.len() / 10])
}

/// Variances of what the models take as fixed, a customer's pace and amounts, over one horizon: people's habits move.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Unrest {
    pace: f64,
    amount: f64,
}

const UNREST: [f64; 6] = [0.0, 0.03, 0.06, 0.12, 0.2, 0.3];
/// Customers that unrest is judged on, and draws for each.
const JUDGED: usize = 400;
const JUDGED_DRAWS: usize = 60;
/// Coverage, among those judged, that is enough.
const COVERED: f64 = 0.8;

impl Unrest {
    /// The least unrest with which four in five outcomes of the lesson lie inside of their ranges.
    fn of(lesson: &Lesson, seed: u64) -> Unrest {
        let step = (lesson.snapshot.who.len() / JUDGED).max(1);
        let busier = libm::exp(level(lesson, Subject::Days));
        let coverage = |unrest: Unrest| {
            let mut chance = chance(seed, u64::MAX);
            let (mut days, mut spend, mut many) = (0.0, 0.0, 0.0);
            for i in (0..lesson.snapshot.who.len()).step_by(step) {
                let inside = |range: Range, came: f64| f64::from(u8::from(range.0 <= came && came <= range.1));
                let found = ranges(&lesson.snapshot, i, (busier, 1.0), unrest, JUDGED_DRAWS, &mut chance);
                days += inside(found.0, lesson.outcomes.days[i]);
                spend += inside(found.1, lesson.outcomes.spend[i]);
                many += 1.0;
            }
            (days / many, spend / many)
        };
        let mut unrest = Unrest::default();
        for pace in UNREST {
            unrest.pace = pace;
            if coverage(unrest).0 >= COVERED {
                break;
            }
        }
        for amount in UNREST {
            unrest.amount = amount;
            if coverage(unrest).1 >= COVERED {
                break;
            }
        }
        unrest
    }
}

/// A factor with mean 1 and the given variance, gamma distributed.
fn unsettled(variance: f64, chance: &mut Chance) -> f64 {
    if variance <= 0.0 {
        return 1.0;
    }
    Gamma::new(1.0 / variance, variance).map_or(1.0, |factor| factor.sample(chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_forecasts_are_mixed_evenly_and_the_sum_stays_the_first_ones() {
        let mixed = half_each(&[1.0, 2.0, 9.0], &[3.0, 3.0, 0.0]);
        assert_eq!(mixed, [3.5, 4.0, 4.5]);
        assert_eq!(half_each(&[2.0, 0.5], &[0.0, 0.0]), [2.0, 0.5]);
    }
}
