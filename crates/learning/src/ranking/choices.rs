//! Choices that were made, each with the alternatives it was set against, and the model of what made the difference.

use std::collections::VecDeque;

use super::features::WIDTH;
use crate::boosting::{self, BoostError, Booster, Columns, Loss, Sample, Settings};

/// One choice; the chosen one comes first.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub question: u64,
    pub probability: f64,
    pub rows: Vec<[f64; WIDTH]>,
}

/// The latest choices, so many at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    pub kept: VecDeque<Choice>,
    /// Ever made.
    pub made: u64,
}

const KEPT_MAX: usize = 8_000;

impl Choices {
    pub fn push(&mut self, choice: Choice) {
        self.made += 1;
        self.kept.push_back(choice);
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    /// Trees that tell the chosen from the alternatives; `weight` says how much each choice counts.
    ///
    /// The log loss of single rows ranks better here than pairwise losses do: what a choice is like is much the same
    /// for all choices, so rows of different choices can be compared.
    ///
    /// # Errors
    /// As [`boosting::fit`].
    pub fn fit(&self, weight: impl Fn(&Choice) -> f64, seed: u64) -> Result<Booster, BoostError> {
        let rows = || self.kept.iter().flat_map(|choice| &choice.rows);
        let features = columns(rows())?;
        let chosen = |choice: &Choice| (0..choice.rows.len()).map(|i| if i == 0 { 1.0 } else { 0.0 });
        let target: Vec<f64> = self.kept.iter().flat_map(chosen).collect();
        let weights = |choice: &Choice| std::iter::repeat_n(weight(choice), choice.rows.len());
        let weight: Vec<f64> = self.kept.iter().flat_map(weights).collect();
        let sample = Sample { features: &features, target: &target, weight: Some(&weight), offset: None, group: None };
        let settings = Settings {
            rounds: 150,
            learning_rate: 0.06,
            leaves_max: 15,
            rows_per_leaf_min: 40,
            l2: 5.0,
            columns_share: 0.5,
            bins_max: 127,
            seed,
            ..Settings::default()
        };
        boosting::fit(&sample, None, Loss::Log, &settings)
    }
}

pub(super) fn columns<'a>(rows: impl Iterator<Item = &'a [f64; WIDTH]> + Clone) -> Result<Columns, BoostError> {
    Columns::new((0..WIDTH).map(|j| rows.clone().map(|row| row[j]).collect()).collect())
}
