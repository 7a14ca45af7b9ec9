//! Value of a policy by importance weights, by a reward model, and by both.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{CrossFit, Log, OffPolicyError};

/// With w = policy / propensity of the logged action, q the model's reward, and q(π) the policy's mean of q:
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Estimator {
    /// mean(w r). Horvitz and Thompson (1952).
    Ips,
    /// sum(w r) / sum(w). Swaminathan and Joachims (2015).
    Snips,
    /// mean(q(π)).
    Dm,
    /// mean(q(π) + w (r - q)). Dudík, Langford and Li (2011).
    Dr,
    /// mean(q(π)) + sum(w (r - q)) / sum(w).
    Sndr,
    /// DR where w is at most a bound, the model alone above it. Wang, Agarwal and Dudík (2017); the bound is the one
    /// with the least mean square error that the log shows.
    SwitchDr,
    /// DR with its weights shrunk to w λ / (w² + λ), λ chosen in the same way. Su et al. (2020).
    DrOs,
}

impl Estimator {
    pub const ALL: [Estimator; 7] = [
        Estimator::Ips,
        Estimator::Snips,
        Estimator::Dm,
        Estimator::Dr,
        Estimator::Sndr,
        Estimator::SwitchDr,
        Estimator::DrOs,
    ];

    /// As prediction files write it.
    pub fn name(self) -> &'static str {
        match self {
            Estimator::Ips => "ips",
            Estimator::Snips => "snips",
            Estimator::Dm => "dm",
            Estimator::Dr => "dr",
            Estimator::Sndr => "sndr",
            Estimator::SwitchDr => "switch-dr",
            Estimator::DrOs => "dr-os",
        }
    }
}

/// What the intervals are to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intervals {
    /// Probability with which they hold it, such as 0.95.
    pub level: f64,
    /// True: the value for people like those of the log. False: for the very occasions of the log, so that chance is
    /// only in what was chosen; narrower where a model explains the occasions.
    pub population: bool,
}

/// Value in the reward's unit per decision, and its interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub estimator: Estimator,
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// n terms whose mean is the value to first order; [`super::gate`] compares policies row by row with them.
    pub terms: Vec<f64>,
}

/// All estimators for `policy` (n × actions probabilities, row by row).
///
/// # Errors
/// `Length`, `Row`, `Empty`; `NoOverlap` if no logged action has a weight.
pub fn estimate(
    log: &Log<'_>,
    policy: &[f64],
    model: &CrossFit,
    intervals: &Intervals,
) -> Result<Vec<Estimate>, OffPolicyError> {
    log.check()?;
    log.check_policy(policy)?;
    super::length("the model", model.predicted.len(), policy.len())?;
    if !(intervals.level > 0.0 && intervals.level < 1.0) {
        return Err(OffPolicyError::Settings("the level of an interval is between 0 and 1"));
    }
    let parts = Parts::new(log, policy, model, intervals)?;
    Ok(Estimator::ALL.iter().map(|estimator| parts.estimate(*estimator)).collect())
}

/// What all estimators are made of, an entry for each row.
struct Parts<'a> {
    reward: &'a [f64],
    weight: Vec<f64>,
    /// Model's reward of the logged action.
    logged: Vec<f64>,
    /// Model's reward under the policy.
    model: Vec<f64>,
    /// Variance of `model` between occasions, as far as it is no chance because the occasions are given.
    spare: f64,
    /// Standard error of the mean of `model` that comes from the model's own uncertainty.
    model_error: f64,
    /// Student's, two-sided; its degrees of freedom are the effective number of weights, less one.
    quantile: f64,
    /// Whether all rewards are 0 or 1.
    share: bool,
}

impl<'a> Parts<'a> {
    fn new(
        log: &Log<'a>,
        policy: &[f64],
        model: &CrossFit,
        intervals: &Intervals,
    ) -> Result<Parts<'a>, OffPolicyError> {
        let rows = policy.chunks_exact(log.actions).zip(model.predicted.chunks_exact(log.actions));
        let means = rows.map(|(policy, predicted)| policy.iter().zip(predicted).map(|(p, q)| p * q).sum());
        let means: Vec<f64> = means.collect();
        let at = |table: &[f64], row: usize| table[row * log.actions + log.action[row]];
        let weight: Vec<f64> = (0..log.rows()).map(|row| at(policy, row) / log.propensity[row]).collect();
        let (sum, squares) = (weight.iter().sum::<f64>(), weight.iter().map(|w| w * w).sum::<f64>());
        if sum <= 0.0 {
            return Err(OffPolicyError::NoOverlap);
        }
        Ok(Parts {
            reward: log.reward,
            logged: (0..log.rows()).map(|row| at(&model.predicted, row)).collect(),
            spare: if intervals.population { 0.0 } else { variance(&means) },
            model: means,
            model_error: model.error(policy),
            quantile: quantile(intervals.level, (sum * sum / squares - 1.0).clamp(2.0, 1e6)),
            share: log.reward.iter().all(|reward| *reward == 0.0 || *reward == 1.0),
            weight,
        })
    }

    fn rows(&self) -> f64 {
        self.weight.len() as f64
    }

    fn residual(&self, row: usize) -> f64 {
        self.reward[row] - self.logged[row]
    }

    fn terms(&self, of: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..self.weight.len()).map(of).collect()
    }

    fn estimate(&self, estimator: Estimator) -> Estimate {
        match estimator {
            Estimator::Ips => {
                let terms = self.terms(|i| self.weight[i] * self.reward[i]);
                let value = mean(&terms);
                // Given the occasion, only what the model cannot foresee of the choice is chance.
                self.finish(estimator, value, terms, 0.0)
            }
            Estimator::Snips => {
                let (sum, earned) = self.sums(|i| self.reward[i]);
                let value = earned / sum;
                let scale = self.rows() / sum;
                let terms = self.terms(|i| value + scale * self.weight[i] * (self.reward[i] - value));
                self.finish(estimator, value, terms, 0.0)
            }
            Estimator::Dm => {
                let correction = self.terms(|i| self.weight[i] * self.residual(i));
                let bias = unruled(&correction).hypot(self.model_error);
                self.finish(estimator, mean(&self.model), self.model.clone(), bias)
            }
            Estimator::Dr => self.doubly(estimator, |w| w),
            Estimator::Sndr => {
                let (sum, missed) = self.sums(|i| self.residual(i));
                let (model, shift) = (mean(&self.model), missed / sum);
                let scale = self.rows() / sum;
                let terms = self.terms(|i| self.model[i] + shift + scale * self.weight[i] * (self.residual(i) - shift));
                self.finish(estimator, model + shift, terms, 0.0)
            }
            Estimator::SwitchDr => {
                let bound = self.choose(|bound| move |w: f64| if w <= bound { w } else { 0.0 });
                self.doubly(estimator, |w| if w <= bound { w } else { 0.0 })
            }
            Estimator::DrOs => {
                let bound = self.choose(|bound| move |w: f64| shrink(w, bound));
                self.doubly(estimator, |w| shrink(w, bound))
            }
        }
    }

    fn sums(&self, of: impl Fn(usize) -> f64) -> (f64, f64) {
        let weighted = (0..self.weight.len()).map(|i| self.weight[i] * of(i)).sum();
        (self.weight.iter().sum(), weighted)
    }

    /// DR with its weights changed; what the change leaves out is allowed for as bias.
    fn doubly(&self, estimator: Estimator, change: impl Fn(f64) -> f64) -> Estimate {
        let terms = self.terms(|i| self.model[i] + change(self.weight[i]) * self.residual(i));
        let left_out = self.terms(|i| (self.weight[i] - change(self.weight[i])) * self.residual(i));
        let bias = if left_out.iter().all(|term| *term == 0.0) { 0.0 } else { unruled(&left_out) };
        self.finish(estimator, mean(&terms), terms, bias)
    }

    /// Of bounds between half and the largest weight, the one with the least variance and square of bias together.
    fn choose<C: Fn(f64) -> f64>(&self, change: impl Fn(f64) -> C) -> f64 {
        let most = self.weight.iter().copied().fold(0.0, f64::max);
        let mut best = (f64::INFINITY, most);
        let model = mean(&self.model);
        let corrections: Vec<(f64, f64)> = (0..self.weight.len()).map(|i| (self.weight[i], self.residual(i))).collect();
        let whole = corrections.iter().map(|(w, r)| w * r).sum::<f64>() / self.rows();
        for step in 0..=BOUNDS {
            let bound = most * libm::pow(0.5 / most.max(1.0), f64::from(step) / f64::from(BOUNDS));
            let change = change(bound);
            // Less the model's mean, so that the squares lose no digits.
            let (mut sum, mut squares) = (0.0, 0.0);
            for ((weight, residual), predicted) in corrections.iter().zip(&self.model) {
                let term = predicted - model + change(*weight) * residual;
                sum += term;
                squares += term * term;
            }
            let taken = sum / self.rows();
            let variance = (squares - sum * taken) / (self.rows() - 1.0).max(1.0);
            // The square of what is left out holds that of the bias, and its own noise on top: a choice that took the
            // noise away would fall for bounds that look good by luck.
            let error = variance / self.rows() + (whole - taken) * (whole - taken);
            if error < best.0 {
                best = (error, bound);
            }
        }
        best.1
    }

    /// `bias` widens the interval as a further standard error.
    fn finish(&self, estimator: Estimator, value: f64, terms: Vec<f64>, bias: f64) -> Estimate {
        // A model explains part of the terms' variance, never more than nine tenths for sure.
        let spread = variance(&terms);
        let chance = (spread - self.spare).max(0.1 * spread) / self.rows();
        let half = self.quantile * (chance + bias * bias).sqrt();
        // A mean of zeros and ones is between 0 and 1, and its interval need not go further than its value does.
        let (least, most) = if self.share { (0.0, 1.0) } else { (f64::NEG_INFINITY, f64::INFINITY) };
        let (low, high) = ((value - half).max(least).min(value), (value + half).min(most).max(value));
        Estimate { estimator, value, low, high, terms }
    }
}

const BOUNDS: u32 = 24;

fn shrink(weight: f64, bound: f64) -> f64 {
    let bound = bound * bound;
    if weight == 0.0 { 0.0 } else { weight * bound / (weight * weight + bound) }
}

/// How far off a mean of `terms` may be from 0: its size, or its standard error if that is larger.
fn unruled(terms: &[f64]) -> f64 {
    mean(terms).abs().max((variance(terms) / terms.len() as f64).sqrt())
}

/// Two-sided.
pub(crate) fn quantile(level: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(1.96, |student| student.inverse_cdf(0.5 + level / 2.0))
}

pub(crate) fn mean(terms: &[f64]) -> f64 {
    terms.iter().sum::<f64>() / terms.len().max(1) as f64
}

/// With the divisor n - 1; 0 for one term.
pub(crate) fn variance(terms: &[f64]) -> f64 {
    let mean = mean(terms);
    terms.iter().map(|term| (term - mean) * (term - mean)).sum::<f64>() / (terms.len().max(2) - 1) as f64
}
