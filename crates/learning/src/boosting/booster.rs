//! A fitted model: trees, and the bounds by which they see numbers.

use serde::{Deserialize, Serialize};

use super::bins::Bounds;
use super::tree::Tree;
use super::walk::{Forest, ROWS_AT_ONCE};
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

/// Fewer rows are told one by one.
const ROWS_AT_ONCE_MIN: usize = 8;

impl Booster {
    /// Raw score of every row, without any offset.
    ///
    /// # Errors
    /// `Width` unless there are as many columns as in training.
    pub fn raw(&self, features: &Columns) -> Result<Vec<f64>, BoostError> {
        self.fits(features)?;
        let mut out = vec![self.start; features.rows()];
        if features.rows() < ROWS_AT_ONCE_MIN {
            for (row, score) in out.iter_mut().enumerate() {
                *score = self.one(|feature| features.column(feature)[row]);
            }
            return Ok(out);
        }
        let used = self.used();
        let mut places = vec![0; self.width()];
        for (place, &feature) in used.iter().enumerate() {
            places[feature] = place as u16;
        }
        let forest = Forest::new(&self.trees, &places, features.rows());
        let mut codes = vec![[0_u8; ROWS_AT_ONCE]; used.len().max(1)];
        for (block, scores) in out.chunks_mut(ROWS_AT_ONCE).enumerate() {
            let from = block * ROWS_AT_ONCE;
            for (&feature, codes) in used.iter().zip(&mut codes) {
                let values = &features.column(feature)[from..from + scores.len()];
                self.bounds[feature].code_all(values, |row, code| codes[row] = code);
            }
            forest.add(&codes, scores);
        }
        Ok(out)
    }

    /// Raw score of one row, without any offset: what `raw` says of it, without a table.
    ///
    /// # Errors
    /// `Width` unless there are as many numbers as columns in training, `Infinite` for an infinite number.
    pub fn raw_of(&self, row: &[f64]) -> Result<f64, BoostError> {
        let (expected, found) = (self.width(), row.len());
        if expected != found {
            return Err(BoostError::Width { expected, found });
        }
        if let Some(column) = row.iter().position(|x| x.is_infinite()) {
            return Err(BoostError::Infinite { column, row: 0 });
        }
        Ok(self.one(|feature| row[feature]))
    }

    fn one(&self, value: impl Fn(usize) -> f64) -> f64 {
        let codes: Vec<u8> = self.bounds.iter().enumerate().map(|(j, bounds)| bounds.code(value(j))).collect();
        let add = |score: f64, tree: &Tree| score + tree.values[tree.leaf(|feature| codes[usize::from(feature)])];
        self.trees.iter().fold(self.start, add)
    }

    /// `raw` on the response scale: probabilities for `Log`, means for `Poisson` and `Tweedie`.
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
    fn used(&self) -> Vec<usize> {
        let splits = self.splits();
        (0..self.width()).filter(|&feature| splits[feature] > 0).collect()
    }
}
