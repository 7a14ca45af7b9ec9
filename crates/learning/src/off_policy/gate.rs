//! A policy is served only when its lower bound beats the current one.

use super::estimators::{mean, quantile, variance};
use super::{Estimate, OffPolicyError, length};

/// What the log says about a change of policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Estimated value of the candidate less that of the current policy, per decision.
    pub gain: f64,
    /// Lower bound of the gain, one-sided.
    pub low: f64,
    /// Whether the candidate may be served.
    pub serve: bool,
}

/// Whether `candidate` beats `current` with probability of error at most `alpha`. Both are estimates from one log by
/// one estimator, compared row by row: what makes an occasion good or bad for both cancels.
///
/// The bound is the lower of Student's and of empirical Bernstein's (Maurer and Pontil 2009) with the terms' own range
/// in place of a known one: few heavy weights make Student's too bold, and then the range speaks.
///
/// # Errors
/// `Length`; `Settings` for different estimators or an `alpha` outside (0, 1/2); `Empty`.
pub fn gate(current: &Estimate, candidate: &Estimate, alpha: f64) -> Result<Verdict, OffPolicyError> {
    if current.estimator != candidate.estimator {
        return Err(OffPolicyError::Settings("two policies are compared by one estimator"));
    }
    if !(alpha > 0.0 && alpha < 0.5) {
        return Err(OffPolicyError::Settings("the probability of error is between 0 and 1/2"));
    }
    length("the candidate's terms", candidate.terms.len(), current.terms.len())?;
    let terms: Vec<f64> = candidate.terms.iter().zip(&current.terms).map(|(new, old)| new - old).collect();
    if terms.len() < 2 {
        return Err(OffPolicyError::Empty);
    }
    let rows = terms.len() as f64;
    let gain = candidate.value - current.value;
    let spread = variance(&terms);
    let squares: f64 = terms.iter().map(|term| term * term).sum();
    let effective =
        if squares > 0.0 { libm::pow(terms.iter().map(|t| t.abs()).sum::<f64>(), 2.0) / squares } else { rows };
    let student = gain - quantile(1.0 - 2.0 * alpha, (effective - 1.0).clamp(2.0, 1e6)) * (spread / rows).sqrt();
    let centre = mean(&terms);
    let range = terms.iter().fold(0.0_f64, |range, term| range.max((term - centre).abs()));
    let logarithm = libm::log(2.0 / alpha);
    let bernstein = gain - (2.0 * spread * logarithm / rows).sqrt() - range * logarithm / (3.0 * rows);
    // Bernstein's square-root part is wider than Student's for any sample; it rules where the weights are few.
    let low = if effective < FEW { student.min(bernstein) } else { student };
    Ok(Verdict { gain, low, serve: low > 0.0 })
}

/// Effective rows below which the range of the terms has a say.
const FEW: f64 = 100.0;
