//! What a bandit is told before it starts.

use serde::{Deserialize, Serialize};

use super::{BanditError, Exploration};

/// Shape of the model, prior belief, and how it explores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Numbers in a context.
    pub context: usize,
    /// Numbers that describe an action.
    pub action: usize,
    /// Products that join φ: (place in the context, place in the action's features).
    pub crosses: Vec<(usize, usize)>,
    /// Places in φ that an action weighs for itself besides the shared weights; 0 is its own level.
    pub own: Vec<usize>,
    pub family: Family,
    /// Mean of the belief about the shared weights at the start, in the order of φ; empty means 0.
    pub prior: Vec<f64>,
    /// Its standard deviations; empty means 1.
    pub deviation: Vec<f64>,
    /// Standard deviation of the belief about an action's own weights, around 0.
    pub own_deviation: f64,
    pub exploration: Exploration,
    /// Least probability of any candidate; with n candidates no more than 1 / (2 n) is used.
    pub floor: f64,
    /// Lessons after which half of what was learned has faded towards the prior: the world drifts. None: it does not.
    pub half_life: Option<f64>,
}

/// What rewards are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Family {
    /// In [0, 1], mostly 0 or 1; logistic link.
    Binary,
    /// Any number, with this variance around its expectation; identity link.
    Real { variance: f64 },
}

/// How one reward moves a belief: along the covariance times φ by `residual / (1 + curvature × variance)`.
pub(super) struct Step {
    pub residual: f64,
    pub curvature: f64,
}

impl Settings {
    /// A model over `context` and `action` numbers with an own level for each action, nothing known before, and
    /// inverse-gap exploration.
    pub fn new(context: usize, action: usize) -> Settings {
        Settings {
            context,
            action,
            crosses: Vec::new(),
            own: vec![0],
            family: Family::Binary,
            prior: Vec::new(),
            deviation: Vec::new(),
            own_deviation: 0.5,
            exploration: Exploration::InverseGap { gamma: 10.0, growth: 0.5 },
            floor: 0.002,
            half_life: None,
        }
    }

    /// Length of φ = (1, context, action, crosses).
    pub fn width(&self) -> usize {
        1 + self.context + self.action + self.crosses.len()
    }

    /// The least probability that one of `candidates` has.
    pub fn probability_at_least(&self, candidates: usize) -> f64 {
        self.floor.min(0.5 / candidates.max(1) as f64)
    }

    pub(super) fn check(&self) -> Result<(), BanditError> {
        let wrong = |problem: &str| Err(BanditError::Settings(problem.to_owned()));
        let width = self.width();
        if self.crosses.iter().any(|(context, action)| *context >= self.context || *action >= self.action) {
            return wrong("a product names a feature that there is not");
        }
        if self.own.iter().any(|place| *place >= width) {
            return wrong("an own weight names a feature that there is not");
        }
        for (what, numbers) in [("the prior", &self.prior), ("the deviation of the prior", &self.deviation)] {
            if !numbers.is_empty() {
                check(what, numbers, width)?;
            }
        }
        if self
            .deviation
            .iter()
            .chain([&self.own_deviation])
            .any(|deviation| !deviation.is_finite() || *deviation < 0.0)
        {
            return wrong("a deviation is below 0 or not finite");
        }
        if !(self.floor > 0.0 && self.floor <= 1.0) {
            return wrong("the floor must be in (0, 1]");
        }
        if self.half_life.is_some_and(|half_life| !(half_life.is_finite() && half_life > 0.0)) {
            return wrong("the half-life must be above 0");
        }
        if matches!(self.family, Family::Real { variance } if !(variance.is_finite() && variance > 0.0)) {
            return wrong("the variance of rewards must be above 0");
        }
        self.exploration.check()
    }

    pub(super) fn prior_mean(&self) -> Vec<f64> {
        if self.prior.is_empty() { vec![0.0; self.width()] } else { self.prior.clone() }
    }

    pub(super) fn prior_deviation(&self) -> Vec<f64> {
        if self.deviation.is_empty() { vec![1.0; self.width()] } else { self.deviation.clone() }
    }

    /// What is kept of the belief from one lesson to the next.
    pub(super) fn keep(&self) -> f64 {
        self.half_life.map_or(1.0, |half_life| libm::exp2(-1.0 / half_life))
    }

    pub(super) fn features(&self, context: &[f64], action: &[f64]) -> Vec<f64> {
        let mut features = Vec::with_capacity(self.width());
        features.push(1.0);
        features.extend_from_slice(context);
        features.extend_from_slice(action);
        features.extend(self.crosses.iter().map(|(of_context, of_action)| context[*of_context] * action[*of_action]));
        features
    }

    pub(super) fn own_part(&self, features: &[f64]) -> Vec<f64> {
        self.own.iter().map(|place| features[*place]).collect()
    }
}

impl Family {
    pub(super) fn check(self, reward: f64) -> Result<(), BanditError> {
        let fits = match self {
            Family::Binary => (0.0..=1.0).contains(&reward),
            Family::Real { .. } => reward.is_finite(),
        };
        if fits { Ok(()) } else { Err(BanditError::Reward(reward)) }
    }

    /// Expected reward of a score with this belief; for the logistic link MacKay's (1992) approximation.
    pub(super) fn expected(self, mean: f64, variance: f64) -> f64 {
        match self {
            Family::Binary => logistic(mean / libm::sqrt(1.0 + std::f64::consts::PI * variance / 8.0)),
            Family::Real { .. } => mean,
        }
    }

    pub(super) fn step(self, mean: f64, reward: f64) -> Step {
        match self {
            Family::Binary => {
                let expected = logistic(mean);
                // Where the link is flat, a wrong certainty could never be unlearned.
                Step { residual: reward - expected, curvature: (expected * (1.0 - expected)).max(1e-3) }
            }
            Family::Real { variance } => Step { residual: (reward - mean) / variance, curvature: 1.0 / variance },
        }
    }
}

pub(super) fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-score.clamp(-500.0, 500.0)))
}

pub(super) fn check(what: &'static str, numbers: &[f64], expected: usize) -> Result<(), BanditError> {
    if numbers.len() != expected {
        return Err(BanditError::Width { what, expected, got: numbers.len() });
    }
    if numbers.iter().all(|number| number.is_finite()) { Ok(()) } else { Err(BanditError::NotFinite { what }) }
}
