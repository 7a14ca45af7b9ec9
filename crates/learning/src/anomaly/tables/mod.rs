//! Which rows of a table are unlike the others, without anybody having said what is wrong.
//!
//! No single detector is good on every table: one looks at single columns, one at distances, one at how the columns
//! go together. Each here ranks the rows, and the ranks are joined, so that no detector's scale outvotes the others.
//!
//! Invariants
//! - The same table and seed give the same scores, whatever the number of threads.
//! - Every score is finite and in 0..=1. Equal rows have nearly equal scores, since a row is no neighbour of itself.
//! - A column's unit and origin do not matter, nor do constant columns. A missing value stands at the median of its
//!   column: it neither makes a row strange nor hides it.

mod covariance;
mod histogram;
mod isolation;
mod neighbours;
mod prepare;
mod ranks;
mod rows;
#[cfg(test)]
mod tests;

use isolation::Forest;
use neighbours::Samples;
use prepare::Scaling;

pub use prepare::TableError;

/// Scores in 0..=1 for the rows of `columns`, higher for stranger; `columns[j][i]` is column j of row i, NaN is missing.
///
/// # Errors
/// `Empty` without rows or columns, `Lengths` for columns of different lengths, `Infinite` with the first place of one.
pub fn outliers(columns: &[Vec<f64>], settings: &Settings) -> Result<Vec<f64>, TableError> {
    Ok(Outliers::judge(columns, settings)?.joined())
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub seed: u64,
    /// At least 1.
    pub threads: usize,
    /// How much each detector's opinion weighs, in the order of `Detector::ALL`.
    pub weights: [f64; 4],
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { seed: 1, threads: 1, weights: [3.0, 2.0, 1.0, 0.5] }
    }
}

/// Who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detector {
    /// How few random cuts set the row apart: Liu, Ting and Zhou (2008).
    Isolation,
    /// How far the nearest of a few random rows is: Pang, Ting and Albrecht (2015), LeSiNN.
    Neighbours,
    /// How thin its columns' histograms are where it stands: Goldstein and Dengel (2012), HBOS.
    Histogram,
    /// How far it is from the bulk, in the bulk's own measure: Rousseeuw (1985), minimum covariance determinant.
    Covariance,
}

impl Detector {
    pub const ALL: [Detector; 4] =
        [Detector::Isolation, Detector::Neighbours, Detector::Histogram, Detector::Covariance];
}

/// What each detector thinks of each row.
#[derive(Clone, Debug)]
pub struct Outliers {
    /// One for each of `Detector::ALL`, each with one entry a row; higher is stranger, each on its own scale.
    pub scores: [Vec<f64>; 4],
    weights: [f64; 4],
}

impl Outliers {
    /// Asks every detector.
    ///
    /// # Errors
    /// As `outliers`.
    pub fn judge(columns: &[Vec<f64>], settings: &Settings) -> Result<Outliers, TableError> {
        let scaling = Scaling::of(columns)?;
        let rows = scaling.rows(columns);
        let (seed, threads) = (settings.seed, settings.threads);
        let scores = [
            Forest::mixed(&rows, seed).scores(&rows, threads),
            Samples::mixed(&rows, seed).scores_inside(&rows, threads),
            histogram::thinness(&rows),
            covariance::robust_distance(&rows),
        ];
        Ok(Outliers { scores, weights: settings.weights })
    }

    /// The weighted mean of the ranks, each in 0..=1.
    pub fn joined(&self) -> Vec<f64> {
        let total: f64 = self.weights.iter().sum();
        let mut joined = vec![0.0; self.scores[0].len()];
        for (scores, weight) in self.scores.iter().zip(self.weights) {
            for (joined, rank) in joined.iter_mut().zip(ranks::shares(scores)) {
                *joined += weight / total * rank;
            }
        }
        joined
    }
}
