//! Rewards predicted for every action of every row, by a model that has not seen the row: ridge regression with
//! weights shared over the actions' features and a level for each action, logistic when rewards are 0 or 1.
//!
//! Cross-fitting keeps the errors of the model apart from the rewards they are compared with (Chernozhukov et al.
//! 2018). How far levels and weights are shrunk is chosen by the likelihood of the rows left out.

use nalgebra::{DMatrix, DVector};

use super::estimators::{mean, variance};
use super::{Log, OffPolicyError};
use crate::numeric::parallel;

/// Features of (row, action), `width` of them, written into the slice.
pub struct Description<'a> {
    pub width: usize,
    pub of: &'a (dyn Fn(usize, usize, &mut [f64]) + Sync),
}

/// Predictions for each row and action, each by a model that has not seen the row.
#[derive(Clone, Debug)]
pub struct CrossFit {
    /// n × actions, row by row.
    pub predicted: Vec<f64>,
    /// Squared standard error of the mean prediction for actions chosen evenly.
    even_error: f64,
}

/// How far weights and levels are drawn to 0, as numbers of rows at unit distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shrinkage {
    pub weights: f64,
    pub levels: f64,
}

/// What is tried.
const SHRINKAGE: [Shrinkage; 6] = [
    Shrinkage { weights: 1.0, levels: 2.0 },
    Shrinkage { weights: 1.0, levels: 10.0 },
    Shrinkage { weights: 1.0, levels: 50.0 },
    Shrinkage { weights: 20.0, levels: 10.0 },
    Shrinkage { weights: 20.0, levels: 50.0 },
    Shrinkage { weights: 20.0, levels: 400.0 },
];

/// Fits `folds` models, each without its part of the rows (rows i with i % folds = part), and predicts those. `threads`
/// change how long it takes, nothing else.
///
/// # Errors
/// `Length`, `Row`, `Empty`; `Settings` for fewer than two folds; `NoModel`.
pub fn cross_fit(
    log: &Log<'_>,
    description: &Description<'_>,
    folds: usize,
    threads: usize,
) -> Result<CrossFit, OffPolicyError> {
    log.check()?;
    if folds < 2 {
        return Err(OffPolicyError::Settings("cross-fitting needs two folds or more"));
    }
    let design = Design::new(log, description);
    let (_, fits) = design.choose(folds, threads)?;
    let starts: Vec<usize> = (0..log.rows()).step_by(ROWS_AT_ONCE).collect();
    let predicted = parallel::map(&starts, threads, |&start| {
        let mut features = vec![0.0; description.width];
        let mut predicted = Vec::with_capacity(ROWS_AT_ONCE * log.actions);
        for row in start..log.rows().min(start + ROWS_AT_ONCE) {
            for action in 0..log.actions {
                (description.of)(row, action, &mut features);
                design.scaling.scale(&mut features);
                predicted.push(design.scaling.predict(&fits[row % folds], &features, action));
            }
        }
        predicted
    });
    let predicted = predicted.concat();
    let even_error = fits.iter().map(|fit| fit.mean_error).sum::<f64>() / fits.len() as f64;
    Ok(CrossFit { predicted, even_error })
}

/// Rows that a thread predicts before it takes the next.
const ROWS_AT_ONCE: usize = 256;

/// A model of all rows it was given, for rows to come.
#[derive(Clone, Debug)]
pub struct RewardModel {
    scaling: Scaling,
    fit: Fit,
}

impl RewardModel {
    /// Fits the rows for which `used` is true.
    ///
    /// # Errors
    /// As [`cross_fit`].
    pub fn fit(
        log: &Log<'_>,
        description: &Description<'_>,
        shrinkage: Shrinkage,
        used: &dyn Fn(usize) -> bool,
    ) -> Result<RewardModel, OffPolicyError> {
        log.check()?;
        let design = Design::new(log, description);
        let fit = design.fit(used, shrinkage, design.start())?;
        Ok(RewardModel { scaling: design.scaling, fit })
    }

    /// Reward expected of `action` with these features, which are scaled in place.
    pub fn predict(&self, features: &mut [f64], action: usize) -> f64 {
        self.scaling.scale(features);
        self.scaling.predict(&self.fit, features, action)
    }
}

/// The shrinkage that predicts rows left out best.
///
/// # Errors
/// As [`cross_fit`].
pub fn choose_shrinkage(
    log: &Log<'_>,
    description: &Description<'_>,
    folds: usize,
) -> Result<Shrinkage, OffPolicyError> {
    log.check()?;
    if folds < 2 {
        return Err(OffPolicyError::Settings("cross-fitting needs two folds or more"));
    }
    Ok(Design::new(log, description).choose(folds, 1)?.0)
}

impl CrossFit {
    /// Predictions that were made elsewhere, n × actions; each is to come from a model that has not seen its row.
    pub fn given(predicted: Vec<f64>) -> CrossFit {
        CrossFit { predicted, even_error: 0.0 }
    }

    /// Standard error of a policy's mean prediction. The level of all predictions is the part that averaging over rows
    /// does not take away; the rest is seen by the correction terms.
    pub(super) fn error(&self, _policy: &[f64]) -> f64 {
        self.even_error.sqrt()
    }
}

/// The logged rows as the model sees them.
struct Design<'a> {
    log: &'a Log<'a>,
    width: usize,
    /// Of the logged actions, scaled, row by row, and a 1 after each for the intercept.
    features: Vec<f64>,
    scaling: Scaling,
}

/// What brings features and rewards to the model's scale.
#[derive(Clone, Debug)]
struct Scaling {
    centre: Vec<f64>,
    spread: Vec<f64>,
    logistic: bool,
    /// Rewards are moved and scaled by these when the link is the identity.
    level: f64,
    unit: f64,
}

#[derive(Clone, Debug)]
struct Fit {
    weights: Vec<f64>,
    intercept: f64,
    levels: Vec<f64>,
    mean_error: f64,
}

impl Fit {
    fn score(&self, features: &[f64], action: usize) -> f64 {
        self.intercept + self.levels[action] + self.weights.iter().zip(features).map(|(w, x)| w * x).sum::<f64>()
    }
}

impl Scaling {
    /// `features` has a row for each reward.
    fn new(features: &[f64], width: usize, rewards: &[f64]) -> Scaling {
        let rows = rewards.len() as f64;
        let (mut centre, mut spread) = (vec![0.0; width], vec![0.0; width]);
        for row in features.chunks_exact(width.max(1)) {
            centre.iter_mut().zip(row).for_each(|(centre, x)| *centre += x / rows);
        }
        for row in features.chunks_exact(width.max(1)) {
            spread.iter_mut().zip(row.iter().zip(&centre)).for_each(|(s, (x, c))| *s += (x - c) * (x - c) / rows);
        }
        spread.iter_mut().for_each(|s| *s = if *s > 1e-12 { s.sqrt() } else { f64::INFINITY });
        let logistic = rewards.iter().all(|reward| *reward == 0.0 || *reward == 1.0);
        let unit = variance(rewards).sqrt();
        Scaling { centre, spread, logistic, level: mean(rewards), unit: if unit > 1e-12 { unit } else { 1.0 } }
    }

    /// In standard deviations from the mean of the log, at most 4: what the log never saw is not extrapolated far.
    fn scale(&self, features: &mut [f64]) {
        for (x, (centre, spread)) in features.iter_mut().zip(self.centre.iter().zip(&self.spread)) {
            *x = if x.is_finite() { ((*x - centre) / spread).clamp(-4.0, 4.0) } else { 0.0 };
        }
    }

    fn reward(&self, reward: f64) -> f64 {
        if self.logistic { reward } else { (reward - self.level) / self.unit }
    }

    fn link(&self, score: f64) -> f64 {
        if self.logistic { 1.0 / (1.0 + libm::exp(-score.clamp(-30.0, 30.0))) } else { score }
    }

    fn predict(&self, fit: &Fit, features: &[f64], action: usize) -> f64 {
        let predicted = self.link(fit.score(features, action));
        if self.logistic { predicted } else { self.level + self.unit * predicted }
    }
}

impl<'a> Design<'a> {
    fn new(log: &'a Log<'a>, description: &Description<'_>) -> Design<'a> {
        let width = description.width;
        let mut features = vec![0.0; log.rows() * width];
        for (row, features) in features.chunks_exact_mut(width.max(1)).enumerate() {
            (description.of)(row, log.action[row], features);
        }
        features.iter_mut().for_each(|x| *x = if x.is_finite() { *x } else { 0.0 });
        let scaling = Scaling::new(&features, width, log.reward);
        let mut scaled = Vec::with_capacity(log.rows() * (width + 1));
        for row in 0..log.rows() {
            let start = scaled.len();
            scaled.extend_from_slice(&features[row * width..(row + 1) * width]);
            scaling.scale(&mut scaled[start..]);
            scaled.push(1.0);
        }
        Design { log, width, features: scaled, scaling }
    }

    /// Its features, and a 1.
    fn row(&self, row: usize) -> &[f64] {
        let size = self.width + 1;
        &self.features[row * size..(row + 1) * size]
    }

    /// The best shrinkage, and for each fold the model without it.
    fn choose(&self, folds: usize, threads: usize) -> Result<(Shrinkage, Vec<Fit>), OffPolicyError> {
        let without: Vec<usize> = (0..folds).collect();
        let mut paths = Vec::with_capacity(folds);
        for path in parallel::map(&without, threads, |&fold| self.path(&|row| row % folds != fold)) {
            paths.push(path?.into_iter());
        }
        let mut best: Option<(f64, Shrinkage, Vec<Fit>)> = None;
        for shrinkage in SHRINKAGE {
            let fits: Vec<Fit> = paths.iter_mut().filter_map(Iterator::next).collect();
            let loss: f64 = (0..self.log.rows()).map(|row| self.loss(&fits[row % folds], row)).sum();
            if best.as_ref().is_none_or(|best| loss < best.0) {
                best = Some((loss, shrinkage, fits));
            }
        }
        best.map(|(_, shrinkage, fits)| (shrinkage, fits)).ok_or(OffPolicyError::NoModel)
    }

    fn loss(&self, fit: &Fit, row: usize) -> f64 {
        let predicted = self.scaling.link(fit.score(self.row(row), self.log.action[row]));
        let reward = self.scaling.reward(self.log.reward[row]);
        if self.scaling.logistic {
            let predicted = predicted.clamp(1e-9, 1.0 - 1e-9);
            -reward * libm::log(predicted) - (1.0 - reward) * libm::log(1.0 - predicted)
        } else {
            (reward - predicted) * (reward - predicted)
        }
    }

    /// A fit for each of [`SHRINKAGE`], each begun where the one before it ended.
    fn path(&self, used: &dyn Fn(usize) -> bool) -> Result<Vec<Fit>, OffPolicyError> {
        let mut fits: Vec<Fit> = Vec::with_capacity(SHRINKAGE.len());
        for shrinkage in SHRINKAGE {
            let start = fits.last().cloned().unwrap_or_else(|| self.start());
            fits.push(self.fit(used, shrinkage, start)?);
        }
        Ok(fits)
    }

    fn start(&self) -> Fit {
        Fit { weights: vec![0.0; self.width], intercept: 0.0, levels: vec![0.0; self.log.actions], mean_error: 0.0 }
    }

    /// Newton's steps. The levels are eliminated first, as each row has but one: a small system remains.
    fn fit(&self, used: &dyn Fn(usize) -> bool, shrinkage: Shrinkage, start: Fit) -> Result<Fit, OffPolicyError> {
        let Scaling { logistic, level, unit, .. } = self.scaling;
        let mut fit = start;
        for _ in 0..if logistic { STEPS_MAX } else { 1 } {
            let mut system = System::new(self.width + 1, self.log.actions);
            for row in (0..self.log.rows()).filter(|row| used(*row)) {
                let action = self.log.action[row];
                let predicted = self.scaling.link(fit.score(self.row(row), action));
                let curvature = if logistic { (predicted * (1.0 - predicted)).max(1e-6) } else { 1.0 };
                system.add(self.row(row), action, curvature, self.scaling.reward(self.log.reward[row]) - predicted);
            }
            system.shrink(&fit, shrinkage);
            let (step, step_levels, mean_error) = system.solve().ok_or(OffPolicyError::NoModel)?;
            fit.weights.iter_mut().zip(step.iter()).for_each(|(w, step)| *w += step);
            fit.intercept += step[self.width];
            fit.levels.iter_mut().zip(&step_levels).for_each(|(level, step)| *level += step);
            let slope = if logistic { level * (1.0 - level) } else { unit };
            fit.mean_error = mean_error * slope * slope;
            // Near the end each step is about the square of the one before: the next would not be seen.
            if step.iter().chain(&step_levels).all(|step| step.abs() < 1e-4) {
                break;
            }
        }
        if fit.weights.iter().chain(&fit.levels).chain([&fit.intercept]).all(|w| w.is_finite()) {
            Ok(fit)
        } else {
            Err(OffPolicyError::NoModel)
        }
    }
}

const STEPS_MAX: usize = 12;

/// Normal equations with a diagonal block for the levels.
struct System {
    /// The lower triangle, row by row: row i has i + 1 numbers.
    dense: Vec<f64>,
    side: Vec<f64>,
    /// For each action: its curvature, its right-hand side, and its products with the dense part.
    levels: Vec<(f64, f64, Vec<f64>)>,
    /// The row at hand, times its curvature.
    scaled: Vec<f64>,
}

/// Where row `i` of a lower triangle begins.
const fn triangle(i: usize) -> usize {
    i * (i + 1) / 2
}

impl System {
    fn new(size: usize, actions: usize) -> System {
        System {
            dense: vec![0.0; triangle(size)],
            side: vec![0.0; size],
            levels: vec![(0.0, 0.0, vec![0.0; size]); actions],
            scaled: vec![0.0; size],
        }
    }

    fn add(&mut self, features: &[f64], action: usize, curvature: f64, residual: f64) {
        let level = &mut self.levels[action];
        level.0 += curvature;
        level.1 += residual;
        self.scaled.iter_mut().zip(features).for_each(|(scaled, x)| *scaled = curvature * x);
        level.2.iter_mut().zip(&self.scaled).for_each(|(product, scaled)| *product += scaled);
        self.side.iter_mut().zip(features).for_each(|(side, x)| *side += residual * x);
        let mut rest = self.dense.as_mut_slice();
        for (i, scaled) in self.scaled.iter().enumerate() {
            let (row, below) = rest.split_at_mut(i + 1);
            row.iter_mut().zip(features).for_each(|(sum, x)| *sum += scaled * x);
            rest = below;
        }
    }

    fn shrink(&mut self, fit: &Fit, shrinkage: Shrinkage) {
        let Shrinkage { weights, levels } = shrinkage;
        let last = fit.weights.len();
        for (i, weight) in fit.weights.iter().enumerate() {
            self.dense[triangle(i) + i] += weights;
            self.side[i] -= weights * weight;
        }
        // The intercept is free but for what keeps the system regular.
        self.dense[triangle(last) + last] += 1e-6;
        for (level, value) in self.levels.iter_mut().zip(&fit.levels) {
            level.0 += levels;
            level.1 -= levels * value;
        }
    }

    /// Step of the dense part (weights, intercept), of the levels, and the variance of the intercept.
    fn solve(mut self) -> Option<(DVector<f64>, Vec<f64>, f64)> {
        let size = self.side.len();
        for (curvature, side, products) in &self.levels {
            for i in 0..size {
                self.side[i] -= products[i] * side / curvature;
                let row = &mut self.dense[triangle(i)..triangle(i + 1)];
                row.iter_mut().zip(products).for_each(|(sum, other)| *sum -= products[i] * other / curvature);
            }
        }
        let dense = DMatrix::from_fn(size, size, |i, j| self.dense[triangle(i.max(j)) + i.min(j)]);
        let factor = dense.cholesky()?;
        let step = factor.solve(&DVector::from_vec(self.side));
        let mut unit = DVector::zeros(size);
        unit[size - 1] = 1.0;
        let variance = factor.solve(&unit)[size - 1];
        let levels = self.levels.iter().map(|(curvature, side, products)| {
            (side - products.iter().zip(step.iter()).map(|(p, s)| p * s).sum::<f64>()) / curvature
        });
        Some((step.clone(), levels.collect(), variance.max(0.0)))
    }
}
