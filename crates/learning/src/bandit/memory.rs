//! What each person was seen to do, by action: the strongest features of what they will do next.
//!
//! A signal says whether the person did what the action is about (bought of the category, came by the bus); an outcome
//! is what the action earned when it was chosen. Both move the person's rate, which is shrunk towards everyone's. All
//! of it is known before the decision it serves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ActionId;

/// How fast a memory trusts and forgets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemorySettings {
    /// A person's rate is shrunk towards everyone's as if so many occasions had been seen at everyone's rate.
    pub prior_occasions: f64,
    /// What one outcome weighs beside one occasion.
    pub outcome_weight: f64,
    /// What is kept of the recent rate from one occasion to the next.
    pub recent_keep: f64,
    /// Days after which the recency of a signal has fallen to 1/e.
    pub recency_days: f64,
    /// What is kept of everyone's rates from one occasion (of anyone) to the next.
    pub everyone_keep: f64,
}

impl Default for MemorySettings {
    fn default() -> MemorySettings {
        MemorySettings {
            prior_occasions: 8.0,
            outcome_weight: 0.7,
            recent_keep: 0.75,
            recency_days: 30.0,
            everyone_keep: 0.9998,
        }
    }
}

/// One person's habit with one action.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Habits {
    /// Logarithm of everyone's rate of this action, over the mean rate of all actions.
    pub popularity: f64,
    /// Logarithm of the person's rate over everyone's.
    pub habit: f64,
    /// The same of the person's recent rate, over the person's rate.
    pub lately: f64,
    /// 1 for a signal just now, falling to 0.
    pub recency: f64,
    /// The signal of the last occasion.
    pub now: f64,
}

impl Habits {
    /// Numbers in [`Habits::features`].
    pub const WIDTH: usize = 5;

    pub fn features(&self) -> [f64; Habits::WIDTH] {
        [self.popularity, self.habit, self.lately, self.recency, self.now]
    }
}

/// What everyone did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    settings: MemorySettings,
    occasions: f64,
    everyone: BTreeMap<ActionId, f64>,
    people: BTreeMap<u64, Person>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Person {
    occasions: f64,
    recent: f64,
    actions: BTreeMap<ActionId, Trace>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Trace {
    signals: f64,
    recent: f64,
    now: f64,
    last_day: Option<f64>,
    outcomes: f64,
    earned: f64,
}

/// Occasions at a rate of one in ten that everyone's rates start from.
const START: f64 = 5.0;

impl Memory {
    pub fn new(settings: MemorySettings) -> Memory {
        Memory { settings, occasions: START, everyone: BTreeMap::new(), people: BTreeMap::new() }
    }

    /// People it knows.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// An occasion of `person` on `day` (any origin, fractions allowed): for every action whether it was done, 0 to 1.
    /// Numbers outside are taken as the nearer end.
    pub fn observe(&mut self, person: u64, day: f64, signals: impl IntoIterator<Item = (ActionId, f64)>) {
        let MemorySettings { recent_keep, everyone_keep, .. } = self.settings;
        self.occasions = self.occasions * everyone_keep + 1.0;
        self.everyone.values_mut().for_each(|rate| *rate *= everyone_keep);
        let known = self.people.entry(person).or_default();
        known.occasions += 1.0;
        known.recent = known.recent * recent_keep + 1.0;
        for trace in known.actions.values_mut() {
            trace.recent *= recent_keep;
            trace.now = 0.0;
        }
        for (action, signal) in signals {
            let signal = if signal.is_finite() { signal.clamp(0.0, 1.0) } else { 0.0 };
            *self.everyone.entry(action).or_insert(0.1 * START) += signal;
            if signal > 0.0 {
                let trace = known.actions.entry(action).or_default();
                trace.signals += signal;
                trace.recent += signal;
                trace.now = signal;
                trace.last_day = Some(day);
            }
        }
    }

    /// What a chosen action earned with `person`, 0 to 1.
    pub fn earned(&mut self, person: u64, action: ActionId, reward: f64) {
        let trace = self.people.entry(person).or_default().actions.entry(action).or_default();
        trace.outcomes += 1.0;
        trace.earned += if reward.is_finite() { reward.clamp(0.0, 1.0) } else { 0.0 };
    }

    /// The habits of `person` on `day` with each of `actions`.
    pub fn habits(&self, person: u64, day: f64, actions: &[ActionId]) -> Vec<Habits> {
        let rates: Vec<f64> = actions.iter().map(|action| self.rate(*action)).collect();
        let mean = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
        let (nobody, nothing) = (Person::default(), Trace::default());
        let known = self.people.get(&person).unwrap_or(&nobody);
        let MemorySettings { prior_occasions: prior, outcome_weight: weight, recency_days, .. } = self.settings;
        actions
            .iter()
            .zip(rates)
            .map(|(action, rate)| {
                let trace = known.actions.get(action).unwrap_or(&nothing);
                let seen = known.occasions + weight * trace.outcomes + prior;
                let habit = libm::log((trace.signals + weight * trace.earned + prior * rate) / (seen * rate));
                let recent_prior = prior / 2.0;
                let recent = (trace.recent + recent_prior * rate) / ((known.recent + recent_prior) * rate);
                let age = trace.last_day.map(|last| (day - last).max(0.0) / recency_days);
                Habits {
                    popularity: libm::log(rate / mean),
                    habit,
                    lately: libm::log(recent) - habit,
                    recency: age.map_or(0.0, |age| libm::exp(-age)),
                    now: trace.now,
                }
            })
            .collect()
    }

    /// Two numbers about the person alone: logarithm of 1 + occasions, and logarithm of how much they do of everything
    /// over what everyone does.
    pub fn person(&self, person: u64) -> [f64; 2] {
        let everything: f64 = self.everyone.values().sum::<f64>() / self.occasions;
        let known = self.people.get(&person);
        let (occasions, signals) = known.map_or((0.0, 0.0), |known| {
            (known.occasions, known.actions.values().map(|trace| trace.signals).sum::<f64>())
        });
        if everything <= 0.0 {
            return [libm::log1p(occasions), 0.0];
        }
        [libm::log1p(occasions), libm::log((signals + 3.0 * everything) / ((occasions + 3.0) * everything))]
    }

    /// Everyone's rate of an action; above 0, so that its logarithm is finite.
    fn rate(&self, action: ActionId) -> f64 {
        (self.everyone.get(&action).copied().unwrap_or(0.1 * START) / self.occasions).clamp(1e-6, 1.0)
    }
}
