//! How far from its expectation a customer's future may lie: quantiles of the models' posterior predictive, with as much
//! unrest added as the latest lesson asks for.

use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};

use super::correction::{Subject, level};
use super::features::Snapshot;
use super::past::Lesson;
use crate::numeric::chance::{Chance, chance};
use crate::numeric::parallel;

pub type Range = (f64, f64);

/// The middle 80 % of `draws` draws for one customer of a snapshot, whose horizon and amounts are multiplied.
pub fn ranges(
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unrest {
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
    /// The least unrest with which four in five outcomes of the lesson lie inside of their ranges. `threads` change how
    /// long it takes, nothing else.
    pub fn of(lesson: &Lesson, seed: u64, threads: usize) -> Unrest {
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
        let pace = least(threads, |pace| coverage(Unrest { pace, amount: 0.0 }).0 >= COVERED);
        let amount = least(threads, |amount| coverage(Unrest { pace, amount }).1 >= COVERED);
        Unrest { pace, amount }
    }
}

/// The least of `UNREST` that is enough, or else the most there is; as many are tried at once as there are threads.
fn least(threads: usize, enough: impl Fn(f64) -> bool + Sync) -> f64 {
    let most = UNREST[UNREST.len() - 1];
    let mut waves = UNREST.chunks(threads.max(1));
    let found = waves.find_map(|wave| {
        let tried = parallel::map(wave, threads, |unrest| enough(*unrest));
        wave.iter().zip(tried).find(|(_, enough)| *enough).map(|(unrest, _)| *unrest)
    });
    found.unwrap_or(most)
}

/// A factor with mean 1 and the given variance, gamma distributed.
fn unsettled(variance: f64, chance: &mut Chance) -> f64 {
    if variance <= 0.0 {
        return 1.0;
    }
    Gamma::new(1.0 / variance, variance).map_or(1.0, |factor| factor.sample(chance))
}
