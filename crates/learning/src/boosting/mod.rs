//! Gradient boosting of trees on histograms.
//!
//! Trees grow leaf by leaf on features cut into at most 255 bins; missing values go to the side that gains. Losses for
//! means, probabilities, counts, amounts, quantiles and orders.
//!
//! Invariants
//! - B1: the same samples, settings and seed give the same model and the same predictions, bit for bit, on every
//!   machine and by any number of threads. Sums that decide are of whole numbers; exponentials are ours, from additions
//!   and multiplications alone.
//! - B2: on the training sample the fitted scores are what `Booster::raw` says.
//! - B3: what is put in is checked; what comes out is finite.

mod binned;
mod bins;
mod booster;
mod columns;
mod data;
mod error;
mod exponential;
mod fit;
mod grow;
mod histogram;
mod loss;
mod masks;
mod quantile;
mod rank;
mod sampling;
mod shap;
mod split;
mod threads;
mod tree;
mod walk;

#[cfg(test)]
mod tests;

pub use booster::Booster;
pub use columns::Columns;
pub use data::Sample;
pub use error::BoostError;
pub use fit::fit;
pub use loss::Loss;

/// Columns there can be.
const WIDTH_MAX: usize = 1 << 16;

/// How trees are grown and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Trees at most.
    pub rounds: usize,
    /// Part of each tree's step that is taken, above 0 and at most 1.
    pub learning_rate: f64,
    /// Leaves of a tree at most, at least 1.
    pub leaves_max: usize,
    /// Levels of a tree at most; 0 for no bound.
    pub depth_max: usize,
    pub rows_per_leaf_min: usize,
    /// Sum of second derivatives in a leaf, at least.
    pub hessian_per_leaf_min: f64,
    /// Added to the sum of second derivatives: draws leaves towards 0.
    pub l2: f64,
    /// What a split must gain more than.
    pub gain_min: f64,
    /// Bins of a feature at most, from 2 to 255, the one of missing values not counted.
    pub bins_max: usize,
    /// Share of the columns that each tree may use, drawn anew each time.
    pub columns_share: f64,
    /// Share of the rows that each tree is grown on, drawn anew each time; of the groups for `Loss::Pairwise`.
    pub rows_share: f64,
    /// Empty for none, or one entry a feature: 1 if the score may only rise with it, -1 if only fall, 0 if either.
    pub monotone: Vec<i8>,
    /// Stop after so many rounds without a smaller validation loss, and keep the trees up to the smallest.
    pub early_stop_rounds: Option<usize>,
    pub seed: u64,
    /// At least 1. Changes how long a fit takes, nothing else.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            rounds: 100,
            learning_rate: 0.1,
            leaves_max: 31,
            depth_max: 0,
            rows_per_leaf_min: 20,
            hessian_per_leaf_min: 1e-3,
            l2: 0.0,
            gain_min: 0.0,
            bins_max: 255,
            columns_share: 1.0,
            rows_share: 1.0,
            monotone: Vec::new(),
            early_stop_rounds: None,
            seed: 1,
            threads: 1,
        }
    }
}

impl Settings {
    fn check(&self, width: usize) -> Result<(), BoostError> {
        let share = |x: f64| x > 0.0 && x <= 1.0;
        let from_zero = |x: f64| x.is_finite() && x >= 0.0;
        let rules = [
            ("learning_rate", share(self.learning_rate), "it must be above 0 and at most 1"),
            ("leaves_max", (1..=1 << 24).contains(&self.leaves_max), "it must be at least 1 and at most 2^24"),
            ("hessian_per_leaf_min", from_zero(self.hessian_per_leaf_min), "it must be finite and not below 0"),
            ("l2", from_zero(self.l2), "it must be finite and not below 0"),
            ("gain_min", from_zero(self.gain_min), "it must be finite and not below 0"),
            ("bins_max", (2..=255).contains(&self.bins_max), "it must be from 2 to 255"),
            ("columns_share", share(self.columns_share), "it must be above 0 and at most 1"),
            ("rows_share", share(self.rows_share), "it must be above 0 and at most 1"),
            ("monotone", self.monotone.iter().all(|x| (-1..=1).contains(x)), "its entries must be -1, 0 or 1"),
            ("early_stop_rounds", self.early_stop_rounds != Some(0), "it must be at least 1"),
            ("threads", self.threads > 0, "it must be at least 1"),
        ];
        if let Some((name, _, problem)) = rules.into_iter().find(|(_, kept, _)| !kept) {
            return Err(BoostError::Setting { name, problem });
        }
        if !self.monotone.is_empty() && self.monotone.len() != width {
            return Err(BoostError::Length { what: "monotone", expected: width, found: self.monotone.len() });
        }
        Ok(())
    }
}
