//! A fitted model: trees, and the bounds by which they see numbers.

use serde::{Deserialize, Serialize};

use super::bins::Bounds;
use super::tree::Tree;
use super::{BoostError, Columns, Loss};

/// A sum of trees. What comes out depends on nothing but what it holds and the features, on every machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Booster {
    pub(super) loss: Loss,
    /// The raw score before the first tree.
    pub(super) start: f64,
    /// One entry a feature.
    pub(super) bounds: Vec<Bounds>,
    pub(super) trees: Vec<Tree>,
    /// Mean loss on the validation sample with 0, 1, 2 … trees; empty without one.
    pub(super) validation: Vec<f64>,
}

/// A model as it is read, before it is checked.
#[derive(Deserialize)]
struct Stored {
    loss: Loss,
    start: f64,
    bounds: Vec<Bounds>,
    trees: Vec<Tree>,
    validation: Vec<f64>,
}

impl TryFrom<Stored> for Booster {
    type Error = BoostError;

    fn try_from(stored: Stored) -> Result<Booster, BoostError> {
        let Stored { loss, start, bounds, trees, validation } = stored;
        loss.check()?;
        bounds.iter().try_for_each(Bounds::sound)?;
        trees.iter().try_for_each(|tree| tree.sound(bounds.len()))?;
        if !start.is_finite() || bounds.len() > super::WIDTH_MAX {
            return Err(BoostError::Stored("its start or its width"));
        }
        Ok(Booster { loss, start, bounds, trees, validation })
    }
}

/// Rows whose codes are made and used at once; they stay in the first cache.
const ROWS_AT_ONCE: usize = 64;

impl Booster {
    /// Raw score of every row, without any offset.
    ///
    /// # Errors
    /// `Width` unless there are as many columns as in training.
    pub fn raw(&self, features: &Columns) -> Result<Vec<f64>, BoostError> {
        self.fits(features)?;
        let mut out = vec![self.start; features.rows()];
        let used = self.used();
        let mut codes = vec![[0_u8; ROWS_AT_ONCE]; self.width()];
        for (block, scores) in out.chunks_mut(ROWS_AT_ONCE).enumerate() {
            let from = block * ROWS_AT_ONCE;
            for &feature in &used {
                let values = &features.column(feature)[from..from + scores.len()];
                let codes = &mut codes[feature];
                self.bounds[feature].code_all(values, |row, code| codes[row] = code);
            }
            for tree in &self.trees {
                for (row, score) in scores.iter_mut().enumerate() {
                    *score += tree.values[tree.leaf(|feature| codes[usize::from(feature)][row])];
                }
            }
        }
        Ok(out)
    }

    /// The same on the response scale: probabilities for `Log`, means for `Poisson` and `Tweedie`.
    ///
    /// # Errors
    /// `Width` unless there are as many columns as in training.
    pub fn predict(&self, features: &Columns) -> Result<Vec<f64>, BoostError> {
        let mut out = self.raw(features)?;
        for score in &mut out {
            *score = self.loss.response(*score);
        }
        Ok(out)
    }

    /// Trees kept.
    pub fn rounds(&self) -> usize {
        self.trees.len()
    }

    /// Features it was fitted on.
    pub fn width(&self) -> usize {
        self.bounds.len()
    }

    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// The raw score before the first tree.
    pub fn start(&self) -> f64 {
        self.start
    }

    /// Mean loss on the validation sample with 0, 1, 2 … trees, trees dropped later included; empty without one.
    pub fn validation(&self) -> &[f64] {
        &self.validation
    }

    /// What the splits by each feature took off the training loss, summed up; one entry a feature.
    pub fn gain(&self) -> Vec<f64> {
        let mut gain = vec![0.0; self.width()];
        for tree in &self.trees {
            for (node, took) in tree.nodes.iter().zip(&tree.gains).filter(|(node, _)| !node.is_leaf()) {
                gain[usize::from(node.feature)] += took;
            }
        }
        gain
    }

    /// How often each feature was split by; one entry a feature.
    pub fn splits(&self) -> Vec<u64> {
        let mut splits = vec![0; self.width()];
        for node in self.trees.iter().flat_map(|tree| &tree.nodes).filter(|node| !node.is_leaf()) {
            splits[usize::from(node.feature)] += 1;
        }
        splits
    }

    pub(super) fn fits(&self, features: &Columns) -> Result<(), BoostError> {
        let (expected, found) = (self.width(), features.width());
        if expected == found { Ok(()) } else { Err(BoostError::Width { expected, found }) }
    }

    /// Features that any tree splits by, rising.
    pub(super) fn used(&self) -> Vec<usize> {
        let splits = self.splits();
        (0..self.width()).filter(|&feature| splits[feature] > 0).collect()
    }
}
