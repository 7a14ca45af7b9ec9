//! What the past of a log teaches about its repeat-buying models: how the expectations of purchase days or of spend are to
//! be corrected.

use serde::{Deserialize, Serialize};

use super::features::{LEAST, Snapshot};
use super::past::{Lesson, level_now};
use super::stack::{Corrector, Lessons};
use crate::numeric::regression::Family;

#[derive(Clone, Copy, PartialEq)]
pub enum Subject {
    Days,
    Spend,
}

/// A correction of the models' expectations, learned at one cut-off. What it says of a customer hangs on nobody else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// By how much more than the models expect is bought now, as a logarithm.
    level: f64,
    /// Part of the corrector's change that is believed.
    believed: f64,
    /// None where the past teaches nothing.
    corrector: Option<Corrector>,
    /// What the corrector changed in the sum over the customers that it was learned with is taken back by this factor:
    /// logs grow, and features with them, so a correction learned on shorter logs is trusted for who buys more than whom,
    /// not for how much all buy together.
    scale: f64,
}

impl Correction {
    /// What `lessons` teach for `snapshot`.
    pub fn learn(snapshot: &Snapshot, lessons: &[Lesson], subject: Subject, seed: u64, threads: usize) -> Correction {
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
        // What was learned for a shorter horizon holds for that share of a longer one, and was learned from as much less
        // that came to pass; so it fades with the square.
        let share = lessons
            .first()
            .map_or(1.0, |lesson| f64::from(lesson.snapshot.moment.horizon) / f64::from(snapshot.moment.horizon));
        let mut correction = Correction {
            // Levels come and go with seasons, so half of what was seen lately is believed.
            level: level_now(lessons, &levels, 0.5),
            believed: share * share,
            corrector: all.learn(seed, threads).ok(),
            scale: 1.0,
        };
        let base = expectation(snapshot, subject);
        let expected: f64 = correction.offset(base).iter().map(|linear| libm::exp(*linear)).sum();
        let corrected: f64 = correction.of(snapshot, subject).iter().sum();
        correction.scale = expected / corrected.max(LEAST);
        correction
    }

    /// Corrected expectations, one for each customer of the snapshot.
    pub fn of(&self, snapshot: &Snapshot, subject: Subject) -> Vec<f64> {
        let offset = self.offset(expectation(snapshot, subject));
        let Some(corrector) = &self.corrector else {
            return offset.iter().map(|linear| self.scale * libm::exp(*linear)).collect();
        };
        let linear = corrector.linear(&snapshot.features, &offset);
        let believed = |(linear, offset): (f64, &f64)| offset + self.believed * (linear - offset);
        linear.into_iter().zip(&offset).map(|change| self.scale * libm::exp(believed(change).min(30.0))).collect()
    }

    /// Whether it was made for rows with so many features.
    pub fn fits(&self, width: usize) -> bool {
        self.corrector.as_ref().is_none_or(|corrector| corrector.fits(width))
    }

    fn offset(&self, base: &[f64]) -> Vec<f64> {
        base.iter().map(|base| libm::log(base.max(LEAST)) + self.level).collect()
    }
}

fn expectation(snapshot: &Snapshot, subject: Subject) -> &[f64] {
    match subject {
        Subject::Days => &snapshot.days_base,
        Subject::Spend => &snapshot.spend_base,
    }
}

fn pair(lesson: &Lesson, subject: Subject) -> (&[f64], &[f64]) {
    let outcome = match subject {
        Subject::Days => &lesson.outcomes.days,
        Subject::Spend => &lesson.outcomes.spend,
    };
    (expectation(&lesson.snapshot, subject), outcome)
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
pub fn level(lesson: &Lesson, subject: Subject) -> f64 {
    let (base, outcome) = pair(lesson, subject);
    let (expected, came): (f64, f64) = (base.iter().sum(), outcome.iter().sum());
    libm::log((came + LEAST) / (expected + LEAST)).clamp(-1.0, 1.0)
}
