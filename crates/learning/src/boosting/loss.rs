//! What is to be made small, and its first and second derivatives at every row.

use serde::{Deserialize, Serialize};

use super::data::Data;
use super::exponential::{ARGUMENT_MAX, exp};
use super::{BoostError, quantile, rank};

/// What a fit makes small. Scores are raw: log odds for `Log`, logarithms of means for `Poisson` and `Tweedie`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Loss {
    /// Half the squared error.
    Squared,
    /// Minus the log likelihood of targets from 0 to 1.
    Log,
    /// Minus the log likelihood of counts, or of whatever is at least 0 and has a mean.
    Poisson,
    /// Half the deviance of amounts that are often 0: compound Poisson with `power` between 1 and 2.
    Tweedie { power: f64 },
    /// Error weighted with `level` where the target is above, with 1 - `level` where it is below.
    Quantile { level: f64 },
    /// Of rows in one group, those with a larger target are to score higher; weighted with what an exchange of places
    /// changes in NDCG. Source: Burges (2010), From RankNet to LambdaRank to LambdaMART.
    Pairwise,
}

/// Log odds or logarithm of a mean that is 0, or of odds without end.
const START_MAX: f64 = 34.0;

/// Curvature is taken this far up for the Poisson loss, whose steps would overshoot where counts are rare.
const POISSON_AHEAD: f64 = 0.7;

impl Loss {
    pub(super) fn check(self) -> Result<(), BoostError> {
        match self {
            Loss::Tweedie { power } if !(power > 1.0 && power < 2.0) => {
                Err(BoostError::Setting { name: "power", problem: "it must be between 1 and 2" })
            }
            Loss::Quantile { level } if !(level > 0.0 && level < 1.0) => {
                Err(BoostError::Setting { name: "level", problem: "it must be between 0 and 1" })
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with a target, if anything is.
    pub(super) fn objection(self, target: f64) -> Option<&'static str> {
        match self {
            Loss::Log if !(0.0..=1.0).contains(&target) => Some("the log loss needs a number from 0 to 1"),
            Loss::Poisson | Loss::Tweedie { .. } if target < 0.0 => Some("this loss needs a number not below 0"),
            _ => None,
        }
    }

    /// Response from raw score: a probability, a mean, or the score itself.
    pub fn response(self, raw: f64) -> f64 {
        match self {
            Loss::Log => sigmoid(raw),
            Loss::Poisson | Loss::Tweedie { .. } => exp(raw),
            Loss::Squared | Loss::Quantile { .. } | Loss::Pairwise => raw,
        }
    }

    /// The constant that, added to the offsets, makes the loss smallest.
    pub(super) fn start(self, data: &Data) -> f64 {
        let offset = |i: usize| data.offset.map_or(0.0, |offset| offset[i]);
        let rows = 0..data.target.len();
        let sum = |value: &dyn Fn(usize) -> f64| rows.clone().map(|i| data.weight(i) * value(i)).sum::<f64>();
        match self {
            Loss::Squared => sum(&|i| data.target[i] - offset(i)) / sum(&|_| 1.0),
            Loss::Log => {
                if data.offset.is_none() {
                    let mean = sum(&|i| data.target[i]) / sum(&|_| 1.0);
                    logarithm(mean / (1.0 - mean))
                } else {
                    // The derivative rises with the constant, so halving an interval finds where it is 0.
                    halve(|start| sum(&|i| sigmoid(start + offset(i)) - data.target[i]))
                }
            }
            Loss::Poisson => logarithm(sum(&|i| data.target[i]) / sum(&|i| exp(offset(i)))),
            Loss::Tweedie { power } => {
                let above = sum(&|i| data.target[i] * exp((1.0 - power) * offset(i)));
                logarithm(above / sum(&|i| exp((2.0 - power) * offset(i))))
            }
            Loss::Quantile { level } => {
                let mut apart: Vec<(f64, f64)> = rows.map(|i| (data.target[i] - offset(i), data.weight(i))).collect();
                quantile::weighted(&mut apart, level)
            }
            Loss::Pairwise => 0.0,
        }
    }

    /// First and second derivatives at `scores`, offsets included.
    pub(super) fn derivatives(self, data: &Data, scores: &[f64], gradient: &mut [f64], hessian: &mut [f64]) {
        let rows = data.target.iter().zip(scores).zip(gradient.iter_mut().zip(hessian.iter_mut()));
        match self {
            Loss::Squared => rows.for_each(|((y, s), (g, h))| (*g, *h) = (s - y, 1.0)),
            Loss::Log => rows.for_each(|((y, s), (g, h))| {
                let p = sigmoid(*s);
                (*g, *h) = (p - y, p * (1.0 - p));
            }),
            Loss::Poisson => {
                let ahead = libm::exp(POISSON_AHEAD);
                rows.for_each(|((y, s), (g, h))| {
                    let mean = exp(*s);
                    (*g, *h) = (mean - y, mean * ahead);
                });
            }
            Loss::Tweedie { power } => rows.for_each(|((y, s), (g, h))| {
                let (a, b) = (exp((1.0 - power) * s), exp((2.0 - power) * s));
                *g = b - y * a;
                *h = (2.0 - power) * b + (power - 1.0) * y * a;
            }),
            Loss::Quantile { level } => rows.for_each(|((y, s), (g, h))| {
                (*g, *h) = (if s > y { 1.0 - level } else { -level }, 1.0);
            }),
            Loss::Pairwise => rank::derivatives(data, scores, gradient, hessian),
        }
        if let Some(weight) = data.weight {
            for ((g, h), w) in gradient.iter_mut().zip(hessian).zip(weight) {
                *g *= w;
                *h *= w;
            }
        }
    }

    /// Mean loss of `scores`, offsets included; without the parts that no score changes. For `Pairwise`, 1 - NDCG.
    pub(super) fn mean(self, data: &Data, scores: &[f64]) -> f64 {
        let one = |y: f64, s: f64| match self {
            Loss::Squared => (y - s) * (y - s) / 2.0,
            Loss::Log => softplus(s) - y * s,
            Loss::Poisson => exp(s) - y * s,
            Loss::Tweedie { power } => {
                exp((2.0 - power) * s) / (2.0 - power) - y * exp((1.0 - power) * s) / (1.0 - power)
            }
            Loss::Quantile { level } => (y - s) * if s > y { level - 1.0 } else { level },
            Loss::Pairwise => 0.0,
        };
        if self == Loss::Pairwise {
            return rank::shortfall(data, scores);
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for (i, (y, s)) in data.target.iter().zip(scores).enumerate() {
            sum += data.weight(i) * one(*y, *s);
            weights += data.weight(i);
        }
        sum / weights
    }

    /// Whether second derivatives vanish where a score is far out, so that one step could go beyond all bounds.
    pub(super) fn may_overshoot(self) -> bool {
        matches!(self, Loss::Log | Loss::Poisson | Loss::Tweedie { .. } | Loss::Pairwise)
    }
}

/// 1 / (1 + e^-x)
#[inline(always)]
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// log(1 + e^x)
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

fn logarithm(x: f64) -> f64 {
    if x > 0.0 { libm::log(x).clamp(-START_MAX, START_MAX) } else { -START_MAX }
}

/// Where a rising function is 0.
fn halve(rising: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-START_MAX - ARGUMENT_MAX, START_MAX + ARGUMENT_MAX);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if rising(middle) < 0.0 { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}
