//! Outcome of each arm for each person, and from it the effect of the arm.

use crate::off_policy::{Description, Log, OffPolicyError, RewardModel, Shrinkage, choose_shrinkage};

use super::Trial;

/// How effects come from a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learner {
    /// Difference of the outcomes predicted for the two arms.
    T,
    /// Effects imputed for each person from the other arm's model, then regressed.
    X,
    /// Doubly robust scores regressed.
    Dr,
}

impl Learner {
    pub const ALL: [Learner; 3] = [Learner::T, Learner::X, Learner::Dr];
}

/// A fitted learner: effects for people to come.
#[derive(Clone, Debug)]
pub struct Effects {
    width: usize,
    arms: usize,
    outcome: RewardModel,
    /// For the learners that regress effects: one for each arm but the control.
    effect: Vec<RewardModel>,
}

/// Shrinkages chosen once for a trial: of outcomes, and of effects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strength {
    pub outcome: Shrinkage,
    pub effect: Shrinkage,
}

/// Effects are small beside outcomes: their weights are drawn to 0 hard, their mean not at all.
const EFFECT: Shrinkage = Shrinkage { weights: 100.0, levels: 1e6 };

impl Strength {
    pub fn choose(trial: &Trial<'_>) -> Result<Strength, OffPolicyError> {
        let of = |person: usize, arm: usize, out: &mut [f64]| blocks(trial.of(person), arm, out);
        let outcome = choose_shrinkage(&log(trial), &Description { width: trial.width * trial.arms, of: &of }, 3)?;
        Ok(Strength { outcome, effect: EFFECT })
    }
}

impl Effects {
    pub(super) fn fit(
        trial: &Trial<'_>,
        learner: Learner,
        strength: Strength,
        used: &dyn Fn(usize) -> bool,
    ) -> Result<Effects, OffPolicyError> {
        let outcome = outcomes(trial, strength, used)?;
        let mut effects = Effects { width: trial.width, arms: trial.arms, outcome, effect: Vec::new() };
        match learner {
            Learner::T => {}
            Learner::X => {
                for arm in 1..trial.arms {
                    let target = |person: usize| {
                        let predicted = effects.outcomes(trial.of(person));
                        match trial.arm[person] {
                            0 => Some(predicted[arm] - trial.outcome[person]),
                            given if given == arm => Some(trial.outcome[person] - predicted[0]),
                            _ => None,
                        }
                    };
                    let model = regress(trial, &target, strength.effect, used)?;
                    effects.effect.push(model);
                }
            }
            Learner::Dr => {
                let scores = scores(trial, strength, used, 2)?;
                for arm in 1..trial.arms {
                    let target = |person: usize| Some(scores[person][arm] - scores[person][0]);
                    let model = regress(trial, &target, strength.effect, used)?;
                    effects.effect.push(model);
                }
            }
        }
        Ok(effects)
    }

    /// Outcome of each arm for a person.
    pub fn outcomes(&self, person: &[f64]) -> Vec<f64> {
        let mut features = vec![0.0; self.width * self.arms];
        (0..self.arms)
            .map(|arm| {
                blocks(person, arm, &mut features);
                self.outcome.predict(&mut features, arm)
            })
            .collect()
    }

    /// Effect of each arm on a person, over the control; the control's is 0.
    pub fn effects(&self, person: &[f64]) -> Vec<f64> {
        if self.effect.is_empty() {
            let outcomes = self.outcomes(person);
            return outcomes.iter().map(|outcome| outcome - outcomes[0]).collect();
        }
        let regressed = self.effect.iter().map(|model| model.predict(&mut person.to_vec(), 0));
        std::iter::once(0.0).chain(regressed).collect()
    }
}

/// Doubly robust scores of every used person and arm, from outcome models that have not seen the person; their mean
/// over people is the mean outcome of the arm. Empty for people who are not used.
pub(super) fn scores(
    trial: &Trial<'_>,
    strength: Strength,
    used: &dyn Fn(usize) -> bool,
    folds: usize,
) -> Result<Vec<Vec<f64>>, OffPolicyError> {
    // Other folds than those by which the caller may have split: people i with (i / 7) % folds.
    let fold = |person: usize| (person / 7) % folds;
    let models = (0..folds)
        .map(|part| outcomes(trial, strength, &|person| used(person) && fold(person) != part))
        .collect::<Result<Vec<_>, _>>()?;
    let mut features = vec![0.0; trial.width * trial.arms];
    let mut of = |person: usize| {
        if !used(person) {
            return Vec::new();
        }
        let score = |arm: usize| {
            blocks(trial.of(person), arm, &mut features);
            let predicted = models[fold(person)].predict(&mut features, arm);
            let seen = if trial.arm[person] == arm { trial.outcome[person] - predicted } else { 0.0 };
            predicted + seen / trial.propensity[person]
        };
        (0..trial.arms).map(score).collect()
    };
    Ok((0..trial.people()).map(&mut of).collect())
}

fn outcomes(
    trial: &Trial<'_>,
    strength: Strength,
    used: &dyn Fn(usize) -> bool,
) -> Result<RewardModel, OffPolicyError> {
    let of = |person: usize, arm: usize, out: &mut [f64]| blocks(trial.of(person), arm, out);
    RewardModel::fit(&log(trial), &Description { width: trial.width * trial.arms, of: &of }, strength.outcome, used)
}

/// Ridge regression of `target` on the features, over the used people that have one.
fn regress(
    trial: &Trial<'_>,
    target: &dyn Fn(usize) -> Option<f64>,
    shrinkage: Shrinkage,
    used: &dyn Fn(usize) -> bool,
) -> Result<RewardModel, OffPolicyError> {
    let people: Vec<(usize, f64)> = (0..trial.people())
        .filter(|person| used(*person))
        .filter_map(|person| Some((person, target(person)?)))
        .collect();
    let targets: Vec<f64> = people.iter().map(|(_, target)| *target).collect();
    let (arm, certain) = (vec![0; people.len()], vec![1.0; people.len()]);
    let log = Log { action: &arm, reward: &targets, propensity: &certain, actions: 1 };
    let of = |row: usize, _: usize, out: &mut [f64]| out.copy_from_slice(trial.of(people[row].0));
    RewardModel::fit(&log, &Description { width: trial.width, of: &of }, shrinkage, &|_| true)
}

fn log<'a>(trial: &Trial<'a>) -> Log<'a> {
    Log { action: trial.arm, reward: trial.outcome, propensity: trial.propensity, actions: trial.arms }
}

/// The features, and once more in the place of the arm: what differs between arms has its own, shrunk weights.
fn blocks(person: &[f64], arm: usize, out: &mut [f64]) {
    out.fill(0.0);
    out[..person.len()].copy_from_slice(person);
    if arm > 0 {
        out[arm * person.len()..(arm + 1) * person.len()].copy_from_slice(person);
    }
}
