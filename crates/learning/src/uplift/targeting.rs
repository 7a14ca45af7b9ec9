//! From effects to who gets what.

use super::learners::{Strength, scores};
use super::{Effects, Learner, Trial};
use crate::numeric::parallel;
use crate::off_policy::OffPolicyError;
use crate::off_policy::estimators::{mean, quantile, variance};

/// A policy for people to come.
#[derive(Clone, Debug)]
pub struct Targeting {
    /// The best arm for all.
    pub constant: usize,
    /// Mean outcome less cost of giving everyone `constant`.
    pub constant_value: f64,
    /// What treating people differently adds over `constant`: the best learner's gain and its one-sided lower bound.
    pub gain: f64,
    pub gain_low: f64,
    /// None unless the lower bound is above 0 (U2).
    effects: Option<Effects>,
    cost: f64,
}

/// Parts of the trial in turn judged by what the others taught.
const PARTS: usize = 4;

/// Learns whom to give which arm for the largest mean outcome less `cost` for every arm but the control.
///
/// A gain over the best single arm must be shown with probability of error at most `alpha`, whichever learner gave it.
/// `threads` change how long it takes, nothing else.
///
/// # Errors
/// `Length`, `Row`, `Settings` for a bad trial; `NoModel`.
pub fn target(trial: &Trial<'_>, cost: f64, alpha: f64, threads: usize) -> Result<Targeting, OffPolicyError> {
    trial.check()?;
    if !(cost.is_finite() && alpha > 0.0 && alpha < 0.5) {
        return Err(OffPolicyError::Settings("the cost is a number, and alpha between 0 and 1/2"));
    }
    let strength = Strength::choose(trial)?;
    let scores = net(scores(trial, strength, &|_| true, PARTS)?, cost);
    let of_arm = |arm: usize| mean(&scores.iter().map(|scores| scores[arm]).collect::<Vec<f64>>());
    let values: Vec<f64> = (0..trial.arms).map(of_arm).collect();
    let constant = best(&values);
    let mut found = Targeting {
        constant,
        constant_value: values[constant],
        gain: 0.0,
        gain_low: f64::NEG_INFINITY,
        effects: None,
        cost,
    };
    let fits: Vec<(Learner, usize)> =
        Learner::ALL.iter().flat_map(|learner| (0..PARTS).map(|part| (*learner, part))).collect();
    let fits = parallel::map(&fits, threads, |&(learner, part)| {
        Effects::fit(trial, learner, strength, &|person| person % PARTS != part)
    });
    let mut fits = fits.into_iter();
    for learner in Learner::ALL {
        let of_parts = fits.by_ref().take(PARTS).collect::<Result<Vec<Effects>, _>>()?;
        let gains = gains(trial, &of_parts, &scores, constant, cost);
        let error = (variance(&gains) / gains.len() as f64).sqrt();
        let quantile = quantile(1.0 - 2.0 * alpha / Learner::ALL.len() as f64, gains.len() as f64);
        let (gain, low) = (mean(&gains), mean(&gains) - quantile * error);
        if low > found.gain_low {
            let effects = if low > 0.0 { Some(Effects::fit(trial, learner, strength, &|_| true)?) } else { None };
            found = Targeting { gain, gain_low: low, effects, ..found };
        }
    }
    Ok(found)
}

impl Targeting {
    /// The arm for a person.
    pub fn arm(&self, person: &[f64]) -> usize {
        self.effects.as_ref().map_or(self.constant, |effects| best(&net_of(effects.effects(person), self.cost)))
    }

    /// Whether people are treated differently.
    pub fn differs(&self) -> bool {
        self.effects.is_some()
    }
}

/// What each person's arm gives over `constant`; `fits[part]` was taught by the other parts.
fn gains(trial: &Trial<'_>, fits: &[Effects], scores: &[Vec<f64>], constant: usize, cost: f64) -> Vec<f64> {
    let gain = |person: usize| {
        let effects = &fits[person % PARTS];
        let arm = best(&net_of(effects.effects(trial.of(person)), cost));
        scores[person][arm] - scores[person][constant]
    };
    (0..trial.people()).map(gain).collect()
}

/// Effect of one arm on a group of people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupEffect {
    pub arm: usize,
    /// 0 for those of whom the least effect was predicted.
    pub group: usize,
    pub people: usize,
    /// Outcome of the arm less that of the control.
    pub effect: f64,
    pub low: f64,
    pub high: f64,
}

/// Effects of every arm in `groups` of people sorted by the effect that a model predicts which has not seen them
/// (U1), with intervals at `level`.
///
/// # Errors
/// As [`target`].
pub fn group_effects(
    trial: &Trial<'_>,
    learner: Learner,
    groups: usize,
    level: f64,
) -> Result<Vec<GroupEffect>, OffPolicyError> {
    trial.check()?;
    if groups == 0 || groups > trial.people() / 2 || !(level > 0.0 && level < 1.0) {
        return Err(OffPolicyError::Settings("groups need two people each, and a level between 0 and 1"));
    }
    let strength = Strength::choose(trial)?;
    let scores = scores(trial, strength, &|_| true, PARTS)?;
    let mut predicted = vec![Vec::new(); trial.people()];
    for part in 0..PARTS {
        let effects = Effects::fit(trial, learner, strength, &|person| person % PARTS != part)?;
        for person in (part..trial.people()).step_by(PARTS) {
            predicted[person] = effects.effects(trial.of(person));
        }
    }
    let mut found = Vec::new();
    for arm in 1..trial.arms {
        let mut order: Vec<usize> = (0..trial.people()).collect();
        order.sort_by(|a, b| predicted[*a][arm].total_cmp(&predicted[*b][arm]).then(a.cmp(b)));
        for group in 0..groups {
            let members = &order[group * order.len() / groups..(group + 1) * order.len() / groups];
            let terms: Vec<f64> = members.iter().map(|person| scores[*person][arm] - scores[*person][0]).collect();
            let half = quantile(level, terms.len() as f64 - 1.0) * (variance(&terms) / terms.len() as f64).sqrt();
            let effect = mean(&terms);
            found.push(GroupEffect {
                arm,
                group,
                people: terms.len(),
                effect,
                low: effect - half,
                high: effect + half,
            });
        }
    }
    Ok(found)
}

fn net(scores: Vec<Vec<f64>>, cost: f64) -> Vec<Vec<f64>> {
    scores.into_iter().map(|scores| net_of(scores, cost)).collect()
}

/// Less the cost of every arm but the control.
fn net_of(mut values: Vec<f64>, cost: f64) -> Vec<f64> {
    values.iter_mut().skip(1).for_each(|value| *value -= cost);
    values
}

/// The first of the largest.
fn best(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}
