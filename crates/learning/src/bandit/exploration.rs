//! From beliefs to the probability of each candidate, and the draw.

use serde::{Deserialize, Serialize};

use super::{BanditError, Settings};
use crate::numeric::chance::{Chance, uniform};

/// How the bandit trades what it knows for what it may learn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Exploration {
    /// A candidate whose expected reward is `gap` below the best has probability 1 / (n + γ gap) of n candidates, the
    /// best has the rest; γ = `gamma` × lessons ^ `growth`. Growth ½ gives the regret of the source, 0 a share of
    /// exploration that stays.
    InverseGap { gamma: f64, growth: f64 },
    /// Samples of the belief, `draws` of them; a candidate's probability is the share of samples in which it is best,
    /// mixed with the floor. One of the samples then decides, so the probability is exact given the samples.
    Thompson { draws: usize },
}

impl Exploration {
    pub(super) fn check(self) -> Result<(), BanditError> {
        let fits = match self {
            Exploration::InverseGap { gamma, growth } => {
                gamma.is_finite() && gamma >= 0.0 && (0.0..=1.0).contains(&growth)
            }
            Exploration::Thompson { draws } => (2..=4096).contains(&draws),
        };
        if fits { Ok(()) } else { Err(BanditError::Settings("the exploration is out of range".to_owned())) }
    }
}

pub(super) struct Gaps<'a> {
    pub expected: &'a [f64],
    pub lessons: u64,
}

/// Foster and Rakhlin (2020), equation 3, with a floor; the best candidate takes what the others leave.
pub(super) fn inverse_gap(gaps: &Gaps<'_>, settings: &Settings) -> Vec<f64> {
    let Exploration::InverseGap { gamma, growth } = settings.exploration else { return Vec::new() };
    let count = gaps.expected.len();
    let gamma = gamma * libm::pow(gaps.lessons.max(1) as f64, growth);
    let floor = settings.probability_at_least(count);
    let best = best(gaps.expected.iter().copied());
    let mut probabilities: Vec<f64> = gaps
        .expected
        .iter()
        .map(|expected| (1.0 / (count as f64 + gamma * (gaps.expected[best] - expected))).max(floor))
        .collect();
    probabilities[best] = 0.0;
    probabilities[best] = 1.0 - probabilities.iter().sum::<f64>();
    probabilities
}

/// Shares of `wins`, mixed with the floor.
pub(super) fn from_wins(wins: &[f64], settings: &Settings) -> Vec<f64> {
    let floor = settings.probability_at_least(wins.len());
    let total: f64 = wins.iter().sum();
    let left = 1.0 - floor * wins.len() as f64;
    wins.iter().map(|wins| floor + left * wins / total).collect()
}

/// The first of the largest.
pub(super) fn best(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, value) in values.enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}

/// The place in which `at`, from [0, 1), falls when the probabilities are laid end to end.
pub(super) fn draw(probabilities: &[f64], at: f64) -> usize {
    let mut sum = 0.0;
    for (i, probability) in probabilities.iter().enumerate() {
        sum += probability;
        if at < sum {
            return i;
        }
    }
    // The sum may end a rounding below 1: the last that can be chosen stands for the rest.
    probabilities.iter().rposition(|probability| *probability > 0.0).unwrap_or(0)
}

/// Standard normal numbers by Marsaglia's polar method (1964), with `libm` only, so that they are the same everywhere.
pub(super) struct Normals<'a> {
    chance: &'a mut Chance,
    spare: Option<f64>,
}

impl Normals<'_> {
    pub fn new(chance: &mut Chance) -> Normals<'_> {
        Normals { chance, spare: None }
    }

    pub fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * uniform(self.chance) - 1.0, 2.0 * uniform(self.chance) - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = libm::sqrt(-2.0 * libm::log(square) / square);
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }
}
