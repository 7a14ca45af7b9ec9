//! Chooses one of several actions for a person, learns from what the choice earned, and tells the probability with
//! which it chose, so that any other policy can be judged from the log.
//!
//! One model weighs all actions: expected reward = link(shared weights · φ + own weights of the action · some of φ),
//! where φ = (1, context, the action's features, products of both that the caller names). Both sets of weights are
//! Gaussian beliefs, updated one reward at a time (extended Kalman steps; the two parts are held apart, as in
//! assumed-density filtering), so a decision may bring candidates that no decision had before.
//!
//! Invariants
//! - B1: the propensity of a decision is the probability with which the draw that made it could choose that action,
//!   given all that was known; every candidate has at least [`Settings::probability_at_least`].
//! - B2: state, context, candidates and chance fix the decision bit for bit, on every machine: sums are taken in one
//!   order and every function that is not exact comes from `libm`.
//! - B3: a rejected decision or lesson changes nothing.
//!
//! Sources: Agrawal and Goyal (2013) and Russo et al. (2018) for sampling from the belief; Foster and Rakhlin (2020)
//! for inverse-gap weighting ("SquareCB"); Spiegelhalter and Lauritzen (1990) for the logistic step.

mod belief;
mod exploration;
mod memory;
mod pending;
mod settings;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::numeric::chance::{Chance, uniform};
use belief::Belief;
pub use exploration::Exploration;
pub use memory::{Habits, Memory, MemorySettings};
pub use pending::Pending;
pub use settings::{Family, Settings};

/// Of the serialised form; one that differs cannot be read.
pub const FORMAT: u32 = 1;

/// Which action a weight, a candidate or a lesson is about; the caller's numbering.
pub type ActionId = u64;

/// What can be chosen in one decision, after every rule has had its say.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub action: ActionId,
    /// [`Settings::action`] numbers.
    pub features: &'a [f64],
}

/// What was chosen, and all that a log needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Place of the chosen one among the candidates.
    pub chosen: usize,
    pub action: ActionId,
    /// The probability with which it was chosen, given everything known then.
    pub propensity: f64,
    /// Of every candidate; they sum to 1 up to rounding.
    pub probabilities: Vec<f64>,
    /// Reward expected from every candidate, in the reward's unit.
    pub expected: Vec<f64>,
    /// To be handed to [`Bandit::learn`] with the reward, whenever that comes.
    pub taken: Taken,
}

/// A choice that waits for its reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    pub action: ActionId,
    /// φ of the action when it was chosen.
    pub features: Vec<f64>,
}

/// Why a decision or a lesson was refused.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum BanditError {
    #[error("settings of the bandit: {0}")]
    Settings(String),
    #[error("{what} has {got} numbers, {expected} are needed")]
    Width { what: &'static str, expected: usize, got: usize },
    #[error("{what} holds a number that is not finite")]
    NotFinite { what: &'static str },
    #[error("there is no candidate")]
    NoCandidate,
    #[error("candidate {0} stands there twice")]
    Twice(ActionId),
    #[error("a reward of {0} is outside what this bandit learns from")]
    Reward(f64),
    #[error("a state of format {0} cannot be read, only {FORMAT}")]
    Format(u32),
}

/// The model and what it has learned. Serialisable; a replay (B2) needs a reader that takes every float as it was
/// written, which is `serde_json`'s `float_roundtrip`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "State", into = "State")]
pub struct Bandit {
    settings: Settings,
    shared: Belief,
    own: BTreeMap<ActionId, Own>,
    lessons: u64,
}

/// What one action adds to the shared weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Own {
    belief: Belief,
    /// Number of lessons the bandit had had when this belief last learned; what it knows fades from there.
    lessons: u64,
}

impl Bandit {
    /// # Errors
    /// `Settings`.
    pub fn new(settings: Settings) -> Result<Bandit, BanditError> {
        settings.check()?;
        let shared = Belief::prior(&settings.prior_mean(), &settings.prior_deviation());
        Ok(Bandit { settings, shared, own: BTreeMap::new(), lessons: 0 })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Rewards learned from so far.
    pub fn lessons(&self) -> u64 {
        self.lessons
    }

    /// Mean of the belief about each shared weight, in the order of φ.
    pub fn weights(&self) -> &[f64] {
        self.shared.mean()
    }

    /// Chooses among `candidates`, drawing from `chance` (see [`crate::numeric::chance::chance`]: one purpose for each
    /// decision makes it replayable alone).
    ///
    /// # Errors
    /// `Width`, `NotFinite`, `NoCandidate`, `Twice`.
    pub fn decide(
        &self,
        context: &[f64],
        candidates: &[Candidate<'_>],
        chance: &mut Chance,
    ) -> Result<Decision, BanditError> {
        let features = self.features(context, candidates)?;
        let scores: Vec<Score> = candidates
            .iter()
            .zip(&features)
            .map(|(candidate, features)| self.score(candidate.action, features))
            .collect();
        let expected: Vec<f64> =
            scores.iter().map(|score| self.settings.family.expected(score.mean, score.variance())).collect();
        let gaps = exploration::Gaps { expected: &expected, lessons: self.lessons };
        let probabilities = match self.settings.exploration {
            Exploration::InverseGap { .. } => exploration::inverse_gap(&gaps, &self.settings),
            Exploration::Thompson { draws } => {
                let wins = self.spread(&features, &scores).wins(&scores, draws, chance);
                exploration::from_wins(&wins, &self.settings)
            }
        };
        let chosen = exploration::draw(&probabilities, uniform(chance));
        let mut features = features;
        let taken = Taken { action: candidates[chosen].action, features: features.swap_remove(chosen) };
        Ok(Decision { chosen, action: taken.action, propensity: probabilities[chosen], probabilities, expected, taken })
    }

    /// Learns what a choice earned. Rewards may come late, in any order, or never.
    ///
    /// # Errors
    /// `Reward` for one that is not finite, or outside [0, 1] for [`Family::Binary`]; `Width` and `NotFinite` for a
    /// `taken` that another bandit made.
    pub fn learn(&mut self, taken: &Taken, reward: f64) -> Result<(), BanditError> {
        self.settings.family.check(reward)?;
        settings::check("the lesson", &taken.features, self.settings.width())?;
        let keep = self.settings.keep();
        self.shared.fade(keep, &self.settings.prior_mean(), &self.settings.prior_deviation());
        let own_features = self.settings.own_part(&taken.features);
        let lessons = self.lessons;
        let deviation = vec![self.settings.own_deviation; own_features.len()];
        let zero = vec![0.0; own_features.len()];
        let own =
            self.own.entry(taken.action).or_insert_with(|| Own { belief: Belief::prior(&zero, &deviation), lessons });
        own.belief.fade(power(keep, lessons + 1 - own.lessons), &zero, &deviation);
        own.lessons = lessons + 1;

        let mean = self.shared.dot(&taken.features) + own.belief.dot(&own_features);
        let step = self.settings.family.step(mean, reward);
        let along_shared = self.shared.along(&taken.features);
        let along_own = own.belief.along(&own_features);
        let variance = belief::product(&along_shared, &taken.features) + belief::product(&along_own, &own_features);
        self.shared.move_by(&along_shared, &step, variance);
        own.belief.move_by(&along_own, &step, variance);
        self.lessons += 1;
        Ok(())
    }

    /// Learns from a log in which the rewards of several actions are known: one lesson each.
    ///
    /// # Errors
    /// As [`Bandit::learn`] and [`Bandit::decide`].
    pub fn learn_all(
        &mut self,
        context: &[f64],
        candidates: &[Candidate<'_>],
        rewards: &[f64],
    ) -> Result<(), BanditError> {
        settings::check("the rewards", rewards, candidates.len())?;
        rewards.iter().try_for_each(|reward| self.settings.family.check(*reward))?;
        let features = self.features(context, candidates)?;
        for ((candidate, features), reward) in candidates.iter().zip(features).zip(rewards) {
            self.learn(&Taken { action: candidate.action, features }, *reward)?;
        }
        Ok(())
    }

    fn features(&self, context: &[f64], candidates: &[Candidate<'_>]) -> Result<Vec<Vec<f64>>, BanditError> {
        settings::check("the context", context, self.settings.context)?;
        if candidates.is_empty() {
            return Err(BanditError::NoCandidate);
        }
        let mut actions: Vec<ActionId> = candidates.iter().map(|candidate| candidate.action).collect();
        actions.sort_unstable();
        if let Some(twice) = actions.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BanditError::Twice(twice[0]));
        }
        candidates
            .iter()
            .map(|candidate| {
                settings::check("a candidate", candidate.features, self.settings.action)?;
                Ok(self.settings.features(context, candidate.features))
            })
            .collect()
    }

    fn score(&self, action: ActionId, features: &[f64]) -> Score {
        let own_features = self.settings.own_part(features);
        let prior =
            self.settings.own_deviation * self.settings.own_deviation * belief::product(&own_features, &own_features);
        let (own_mean, own_variance) = match self.own.get(&action) {
            None => (0.0, prior),
            Some(own) => {
                let keep = power(self.settings.keep(), self.lessons - own.lessons);
                let variance = belief::product(&own.belief.along(&own_features), &own_features);
                (keep * own.belief.dot(&own_features), keep * keep * variance + (1.0 - keep * keep) * prior)
            }
        };
        let along = self.shared.along(features);
        let shared_variance = belief::product(&along, features);
        Score { mean: self.shared.dot(features) + own_mean, along, shared_variance, own_variance }
    }

    /// How the scores vary together. A decision asks for the scores alone, so their own covariance, with one row for a
    /// candidate, is what is drawn from; with more candidates than weights the root of the weights' is the smaller one.
    fn spread(&self, features: &[Vec<f64>], scores: &[Score]) -> Spread {
        let count = scores.len();
        let own_variance = scores.iter().map(|score| score.own_variance.max(0.0));
        if count > self.shared.mean().len() {
            let root = self.shared.root();
            let shared = features.iter().map(|features| root.project(features)).collect();
            return Spread { shared, own: own_variance.map(libm::sqrt).collect() };
        }
        let mut covariance = vec![0.0; count * count];
        for (i, (score, own)) in scores.iter().zip(own_variance).enumerate() {
            for (j, features) in features[..i].iter().enumerate() {
                covariance[i * count + j] = belief::product(&score.along, features);
            }
            covariance[i * count + i] = score.shared_variance.max(0.0) + own;
        }
        Spread { shared: belief::Root::of(&covariance, count).rows(), own: Vec::new() }
    }
}

/// Belief about one candidate's score, before the link.
struct Score {
    mean: f64,
    /// Covariance of the shared weights times φ.
    along: Vec<f64>,
    shared_variance: f64,
    own_variance: f64,
}

/// Makes independent normals vary as the scores do.
struct Spread {
    /// Of each candidate: what its score takes of the normals that all share; a short row takes none of the rest.
    shared: Vec<Vec<f64>>,
    /// What it takes of a normal of its own; empty if `shared` holds that too.
    own: Vec<f64>,
}

impl Spread {
    /// How often each candidate is best among `draws` samples of the belief. Samples come in pairs mirrored at the
    /// mean, which halves the work and evens the counts.
    fn wins(&self, scores: &[Score], draws: usize, chance: &mut Chance) -> Vec<f64> {
        let mut normals = exploration::Normals::new(chance);
        let mut wins = vec![0.0; scores.len()];
        let mut noise = vec![0.0; scores.len()];
        let mut shared = vec![0.0; self.shared.iter().map(Vec::len).max().unwrap_or(0)];
        for _ in 0..draws.div_ceil(2) {
            shared.fill_with(|| normals.next());
            for (noise, spread) in noise.iter_mut().zip(&self.shared) {
                *noise = belief::product(spread, &shared);
            }
            for (noise, own) in noise.iter_mut().zip(&self.own) {
                *noise += own * normals.next();
            }
            for sign in [1.0, -1.0] {
                let sampled = scores.iter().zip(&noise).map(|(score, noise)| score.mean + sign * noise);
                wins[exploration::best(sampled)] += 1.0;
            }
        }
        wins
    }
}

impl Score {
    fn variance(&self) -> f64 {
        (self.shared_variance + self.own_variance).max(0.0)
    }
}

/// `base` to a whole power, by squaring: the same on every machine.
fn power(base: f64, mut exponent: u64) -> f64 {
    let (mut result, mut factor) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= factor;
        }
        factor *= factor;
        exponent >>= 1;
    }
    result
}

/// The serialised form.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    format: u32,
    settings: Settings,
    shared: Belief,
    own: BTreeMap<ActionId, Own>,
    lessons: u64,
}

impl From<Bandit> for State {
    fn from(bandit: Bandit) -> State {
        let Bandit { settings, shared, own, lessons } = bandit;
        State { format: FORMAT, settings, shared, own, lessons }
    }
}

impl TryFrom<State> for Bandit {
    type Error = BanditError;

    fn try_from(state: State) -> Result<Bandit, BanditError> {
        if state.format != FORMAT {
            return Err(BanditError::Format(state.format));
        }
        state.settings.check()?;
        state.shared.check(state.settings.width())?;
        for own in state.own.values() {
            own.belief.check(state.settings.own.len())?;
            if own.lessons > state.lessons {
                return Err(BanditError::Settings("an action has learned more than the bandit".to_owned()));
            }
        }
        let State { settings, shared, own, lessons, .. } = state;
        Ok(Bandit { settings, shared, own, lessons })
    }
}

#[cfg(test)]
mod tests;
