//! A comparison of two arms that may be looked at every day, and stopped on any of them.
//!
//! The decision is by betting (Waudby-Smith and Ramdas 2023): a gambler who bets that the new arm is better has, if it
//! is not, wealth that exceeds 1 / alpha with probability at most alpha, ever (Ville). It needs no sample size, no
//! schedule, and no normal law. The band is the asymptotic confidence sequence of Waudby-Smith et al. (2024).

use serde::{Deserialize, Serialize};

use super::OffPolicyError;

/// Which arm a person was given, with known probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arm {
    New,
    Control,
}

/// Evidence so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequential {
    /// Probability of the new arm.
    share: f64,
    alpha: f64,
    count: f64,
    /// Sum of all outcomes.
    outcomes: f64,
    mean: f64,
    squares: f64,
    /// Logarithm of the wealth of each bet; positive lift and negative lift.
    gain: Vec<f64>,
    harm: Vec<f64>,
    /// The largest wealth so far: what was proven once stays proven.
    gain_most: f64,
    harm_most: f64,
}

/// An interval for the lift that holds it at all times together, with probability 1 - alpha for large samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LiftBand {
    pub lift: f64,
    pub low: f64,
    pub high: f64,
}

/// Shares of the largest bet that cannot lose everything; wealth is spread evenly over them at the start.
const BETS: [f64; 8] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8];

impl Sequential {
    /// `share` of the people get the new arm; each of the two one-sided decisions errs with probability `alpha` at most.
    ///
    /// # Errors
    /// `Settings` unless both are in (0, 1).
    pub fn new(share: f64, alpha: f64) -> Result<Sequential, OffPolicyError> {
        if !(share > 0.0 && share < 1.0 && alpha > 0.0 && alpha < 1.0) {
            return Err(OffPolicyError::Settings("share and alpha are between 0 and 1"));
        }
        let start = vec![-libm::log(BETS.len() as f64); BETS.len()];
        let harm = start.clone();
        let (count, outcomes, mean, squares) = (0.0, 0.0, 0.0, 0.0);
        let (gain_most, harm_most) = (1.0, 1.0);
        Ok(Sequential { share, alpha, count, outcomes, mean, squares, gain: start, harm, gain_most, harm_most })
    }

    /// One person's outcome, in [0, 1].
    ///
    /// # Errors
    /// `Row` for an outcome outside; then nothing has changed.
    pub fn observe(&mut self, arm: Arm, outcome: f64) -> Result<(), OffPolicyError> {
        if !(0.0..=1.0).contains(&outcome) {
            return Err(OffPolicyError::Row { row: self.count as usize, problem: "its outcome is not in [0, 1]" });
        }
        // Centring by the mean so far keeps the expectation and takes most of the spread away; it is known before
        // the outcome is, and keeps |outcome - centre| within 1.
        let centre = (self.outcomes + 0.5) / (self.count + 1.0);
        let lift = match arm {
            Arm::New => (outcome - centre) / self.share,
            Arm::Control => -(outcome - centre) / (1.0 - self.share),
        };
        let least = self.share.min(1.0 - self.share);
        for (share, (gain, harm)) in BETS.iter().zip(self.gain.iter_mut().zip(&mut self.harm)) {
            *gain += libm::log1p(share * least * lift);
            *harm += libm::log1p(-share * least * lift);
        }
        self.gain_most = self.gain_most.max(wealth(&self.gain));
        self.harm_most = self.harm_most.max(wealth(&self.harm));
        self.count += 1.0;
        let distance = lift - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (lift - self.mean);
        self.outcomes += outcome;
        Ok(())
    }

    /// Whether the new arm is better, proven at level alpha whatever the number of looks.
    pub fn better(&self) -> bool {
        self.gain_most >= 1.0 / self.alpha
    }

    /// Whether the new arm is worse, proven likewise.
    pub fn worse(&self) -> bool {
        self.harm_most >= 1.0 / self.alpha
    }

    /// The lift now; None before thirty people.
    pub fn band(&self) -> Option<LiftBand> {
        if self.count < 30.0 {
            return None;
        }
        // Tightest near five hundred people (equation 29 of the source solved roughly for 1 / ρ²).
        let tightest = 500.0 / (-2.0 * libm::log(self.alpha) + libm::log(-2.0 * libm::log(self.alpha) + 1.0));
        let ratio = self.count / tightest + 1.0;
        let spread = (self.squares / self.count).sqrt();
        let scale = 2.0 * ratio * tightest / (self.count * self.count) * libm::log(ratio.sqrt() / self.alpha);
        let half = spread * scale.sqrt();
        Some(LiftBand { lift: self.mean, low: self.mean - half, high: self.mean + half })
    }
}

fn wealth(logs: &[f64]) -> f64 {
    logs.iter().map(|log| libm::exp(log.min(600.0))).sum()
}
