//! Whom to treat, and with what: effects of an arm on a person's outcome, learned from a trial with known
//! probabilities, and the policy that follows from them.
//!
//! Invariants
//! - U1: no person's effect is judged by a model that saw the person (cross-fitting), so intervals are honest.
//! - U2: people are treated differently only where that is shown to pay; otherwise all get the best single arm.
//!
//! Sources: Künzel et al. (2019) for the T- and X-learners; Kennedy (2023) for the DR-learner; Chernozhukov et al.
//! (2018) for group effects by predicted effect; Athey and Wager (2021) for policies from doubly robust scores.

mod learners;
mod targeting;

pub use learners::{Effects, Learner};
pub use targeting::{GroupEffect, Targeting, group_effects, target};

use crate::off_policy::OffPolicyError;

/// A trial: n people, each given one of `arms` by chance. Arm 0 is the control.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// n × `width`, row by row; known before the arm was drawn.
    pub features: &'a [f64],
    pub width: usize,
    /// n, below `arms`.
    pub arm: &'a [usize],
    pub outcome: &'a [f64],
    /// n, probability of the arm that was drawn, in (0, 1].
    pub propensity: &'a [f64],
    pub arms: usize,
}

impl Trial<'_> {
    /// Number of people.
    pub fn people(&self) -> usize {
        self.arm.len()
    }

    fn of(&self, person: usize) -> &[f64] {
        &self.features[person * self.width..(person + 1) * self.width]
    }

    fn check(&self) -> Result<(), OffPolicyError> {
        let expected = self.people() * self.width;
        if self.features.len() != expected {
            return Err(OffPolicyError::Length { what: "the features", expected, got: self.features.len() });
        }
        let mut seen = vec![0_usize; self.arms];
        self.arm.iter().for_each(|arm| seen.get_mut(*arm).into_iter().for_each(|count| *count += 1));
        if self.arms < 2 || seen.iter().any(|count| *count < PEOPLE_MIN) {
            return Err(OffPolicyError::Settings("every arm needs fifty people or more"));
        }
        Ok(())
    }
}

/// In each arm; below that nothing is learned.
const PEOPLE_MIN: usize = 50;

#[cfg(test)]
mod tests;
