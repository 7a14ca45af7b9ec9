//! What another policy would have earned, from the log of one that kept its propensities.
//!
//! Invariants
//! - O1: an estimate comes with an interval that allows for what its estimator is known to miss: a method that trusts a
//!   reward model pays for the bias that the log shows of that model.
//! - O2: nothing is estimated for a policy that the log does not support (no weight at all): an error, never NaN.
//!
//! [`estimate`] gives all estimators; [`cross_fit`] makes the reward predictions that some of them need; [`gate`] says
//! whether a policy may take the place of the one that runs; [`Sequential`] watches a running comparison.

pub(crate) mod estimators;
mod gate;
mod model;
mod sequential;

pub use estimators::{Estimate, Estimator, Intervals, estimate};
pub use gate::{Verdict, gate};
pub use model::{CrossFit, Description, RewardModel, Shrinkage, choose_shrinkage, cross_fit};
pub use sequential::{Arm, LiftBand, Sequential};

/// A propensity below this is a fault in a log: no policy draws so rarely, and squares of weights by it would leave the
/// range of what can be computed.
pub const PROPENSITY_MIN: f64 = 1e-12;

/// Decisions of the policy that ran, n of them, among `actions` each.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    /// n, which action was chosen, below `actions`.
    pub action: &'a [usize],
    /// n, what it earned.
    pub reward: &'a [f64],
    /// n, from [`PROPENSITY_MIN`] to 1: the probability with which it was chosen.
    pub propensity: &'a [f64],
    pub actions: usize,
}

/// Why there is no estimate.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum OffPolicyError {
    #[error("{what} has {got} entries, {expected} are needed")]
    Length { what: &'static str, expected: usize, got: usize },
    #[error("decision {row}: {problem}")]
    Row { row: usize, problem: &'static str },
    #[error("there are no decisions")]
    Empty,
    #[error("the log never chose what the policy would choose")]
    NoOverlap,
    #[error("the reward model has no solution")]
    NoModel,
    #[error("{0}")]
    Settings(&'static str),
}

impl Log<'_> {
    /// Number of decisions.
    pub fn rows(&self) -> usize {
        self.action.len()
    }

    fn check(&self) -> Result<(), OffPolicyError> {
        let rows = self.rows();
        if rows == 0 {
            return Err(OffPolicyError::Empty);
        }
        length("the rewards", self.reward.len(), rows)?;
        length("the propensities", self.propensity.len(), rows)?;
        for row in 0..rows {
            let problem = if self.action[row] >= self.actions {
                "there is no such action"
            } else if !self.reward[row].is_finite() {
                "its reward is not finite"
            } else if !(PROPENSITY_MIN..=1.0).contains(&self.propensity[row]) {
                "its propensity is not from 1e-12 to 1"
            } else {
                continue;
            };
            return Err(OffPolicyError::Row { row, problem });
        }
        Ok(())
    }

    /// n × actions probabilities, row by row.
    fn check_policy(&self, policy: &[f64]) -> Result<(), OffPolicyError> {
        length("the policy", policy.len(), self.rows() * self.actions)?;
        for (row, chances) in policy.chunks_exact(self.actions).enumerate() {
            let sum: f64 = chances.iter().sum();
            if !(chances.iter().all(|p| *p >= 0.0) && (sum - 1.0).abs() < 1e-2) {
                return Err(OffPolicyError::Row { row, problem: "the policy's probabilities do not sum to 1" });
            }
        }
        Ok(())
    }
}

fn length(what: &'static str, got: usize, expected: usize) -> Result<(), OffPolicyError> {
    if got == expected { Ok(()) } else { Err(OffPolicyError::Length { what, expected, got }) }
}

#[cfg(test)]
mod tests;
