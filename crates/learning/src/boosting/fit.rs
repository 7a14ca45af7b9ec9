//! Fitting: round after round, a tree that follows the loss downhill.

use super::binned::{BLOCK, Binned};
use super::bins::bounds_of;
use super::booster::Booster;
use super::data::{self, Data, Kept, Sample};
use super::grow::{Grower, Grown, Limits};
use super::histogram::{Scale, Step, round};
use super::split::{Rule, newton};
use super::tree::Tree;
use super::{BoostError, Loss, Settings, WIDTH_MAX, quantile, sampling};
use crate::numeric::chance::{Chance, chance};

/// A step on a scale of logarithms longer than this is a flaw of the parabola, not of the model.
const LOG_STEP_MAX: f64 = 20.0;

/// Sets chance here apart from other uses of the same seed.
const PURPOSE: u64 = 0xB005;

/// Fits trees to `train`, round after round, until `settings.rounds` or until `validation` says that it is enough.
///
/// With `settings.early_stop_rounds` and a validation sample, the trees up to the smallest validation loss are kept;
/// none if no tree makes it smaller. The result depends on the samples, the settings and the seed alone: not on the
/// machine, and not on the number of threads.
///
/// Sources: Friedman (2001), Greedy function approximation; Chen and Guestrin (2016), XGBoost, for second-order leaves;
/// Ke et al. (2017), LightGBM, for histograms and leaf-wise growth.
///
/// # Errors
/// What `BoostError` lists: samples of wrong shape or with numbers that the loss cannot take, settings out of range.
pub fn fit(
    train: &Sample,
    validation: Option<&Sample>,
    loss: Loss,
    settings: &Settings,
) -> Result<Booster, BoostError> {
    loss.check()?;
    settings.check(train.features.width())?;
    data::check(train, loss)?;
    if train.features.width() > WIDTH_MAX {
        return Err(BoostError::TooWide { found: train.features.width(), most: WIDTH_MAX });
    }
    let kept = Kept::of(train);
    let data = data::data(train, &kept)?;
    let bounds = bounds_of(&data.features, settings.bins_max);
    let binned = Binned::new(&data.features, &bounds);
    let start = loss.start(&data);
    let mut booster = Booster { loss, start, bounds, trees: Vec::new(), validation: Vec::new() };
    let kept_for_check;
    let mut check = match validation {
        None => None,
        Some(sample) => {
            data::check(sample, loss)?;
            booster.fits(sample.features)?;
            kept_for_check = Kept::of(sample);
            Some(Check::new(data::data(sample, &kept_for_check)?, &booster, &binned))
        }
    };
    let mut fitting = Fitting::new(&data, &binned, start, loss, settings);
    let mut watch = Watch::default();
    for round in 0..=settings.rounds {
        if let Some(check) = &check {
            booster.validation.push(loss.mean(&check.data, &check.scores));
            if watch.enough(&booster, settings) {
                break;
            }
        }
        let Some(tree) = (round < settings.rounds).then(|| fitting.round()).flatten() else { break };
        if let Some(check) = &mut check {
            check.add(&tree, &fitting.places);
        }
        booster.trees.push(tree);
    }
    if let Some(best) = watch.best.filter(|_| settings.early_stop_rounds.is_some()) {
        booster.trees.truncate(best);
    }
    Ok(booster)
}

/// Where the validation loss was smallest.
#[derive(Default)]
struct Watch {
    best: Option<usize>,
}

impl Watch {
    fn enough(&mut self, booster: &Booster, settings: &Settings) -> bool {
        let losses = &booster.validation;
        let now = losses.len().saturating_sub(1);
        if self.best.is_none_or(|best| losses[now] < losses[best]) {
            self.best = Some(now);
        }
        let since = now - self.best.unwrap_or(now);
        settings.early_stop_rounds.is_some_and(|rounds| since >= rounds)
    }
}

/// The validation sample and its scores so far.
struct Check<'a> {
    data: Data<'a>,
    binned: Binned,
    scores: Vec<f64>,
}

impl<'a> Check<'a> {
    fn new(data: Data<'a>, booster: &Booster, like: &Binned) -> Check<'a> {
        let binned = Binned::with(&data.features, &booster.bounds, like.kept.clone());
        let scores = starting_scores(&data, booster.start);
        Check { data, binned, scores }
    }

    fn add(&mut self, tree: &Tree, places: &[usize]) {
        for (row, score) in self.scores.iter_mut().enumerate() {
            *score += tree.values[leaf(tree, &self.binned, places, row)];
        }
    }
}

fn starting_scores(data: &Data, start: f64) -> Vec<f64> {
    (0..data.rows()).map(|row| data.offset.map_or(0.0, |offset| offset[row]) + start).collect()
}

fn leaf(tree: &Tree, binned: &Binned, places: &[usize], row: usize) -> usize {
    tree.leaf(|feature| {
        let at = places[usize::from(feature)];
        binned.blocks[at / BLOCK][row][at % BLOCK]
    })
}

fn rule<'a>(settings: &Settings, monotone: &'a [i8], allowed: &'a [bool], scale: Scale) -> Rule<'a> {
    Rule {
        l2: settings.l2,
        gain_min: settings.gain_min,
        rows_min: settings.rows_per_leaf_min.max(1),
        // Without any curvature there is no step to take.
        hessian_min: settings.hessian_per_leaf_min.max(f64::MIN_POSITIVE),
        monotone,
        allowed,
        scale,
    }
}

/// The state between rounds.
struct Fitting<'a> {
    data: &'a Data<'a>,
    binned: &'a Binned,
    loss: Loss,
    settings: &'a Settings,
    /// By feature: its place among the columns that can be split.
    places: Vec<usize>,
    monotone: Vec<i8>,
    chance: Chance,
    grower: Grower<'a>,
    scores: Vec<f64>,
    gradient: Vec<f64>,
    hessian: Vec<f64>,
    steps: Vec<Step>,
    every_row: Vec<u32>,
}

impl<'a> Fitting<'a> {
    fn new(data: &'a Data, binned: &'a Binned, start: f64, loss: Loss, settings: &'a Settings) -> Fitting<'a> {
        let rows = data.rows();
        let mut places = vec![0; data.features.width()];
        for (at, kept) in binned.kept.iter().enumerate() {
            places[usize::from(kept.feature)] = at;
        }
        let monotone = if settings.monotone.iter().all(|direction| *direction == 0) {
            Vec::new()
        } else {
            binned.kept.iter().map(|kept| settings.monotone[usize::from(kept.feature)]).collect()
        };
        let limits = Limits {
            leaves_max: settings.leaves_max,
            depth_max: (settings.depth_max > 0).then_some(settings.depth_max),
            threads: settings.threads,
        };
        Fitting {
            data,
            binned,
            loss,
            settings,
            places,
            monotone,
            chance: chance(settings.seed, PURPOSE),
            grower: Grower::new(binned, limits),
            scores: starting_scores(data, start),
            gradient: vec![0.0; rows],
            hessian: vec![0.0; rows],
            steps: Vec::new(),
            every_row: (0..rows as u32).collect(),
        }
    }

    /// The next tree, or None if no round can gain anything any more.
    fn round(&mut self) -> Option<Tree> {
        self.loss.derivatives(self.data, &self.scores, &mut self.gradient, &mut self.hessian);
        let scale = round(&self.gradient, &self.hessian, &mut self.steps)?;
        let sampled = self.settings.rows_share < 1.0;
        let rows = sampled
            .then(|| sampling::rows(self.data.rows(), &self.data.groups, self.settings.rows_share, &mut self.chance));
        let allowed = self.allowed();
        let rule = rule(self.settings, &self.monotone, &allowed, scale);
        let rows_now = rows.as_deref().unwrap_or(&self.every_row);
        let mut grown = self.grower.grow(rows_now, &self.steps, &rule);
        let chosen = sampled || self.settings.columns_share < 1.0;
        if grown.leaves.len() < 2 && !chosen {
            return None;
        }
        self.set_values(&mut grown);
        self.add(&grown, rows.as_deref());
        Some(grown.tree)
    }

    fn allowed(&mut self) -> Vec<bool> {
        let columns = self.binned.kept.len();
        let share = self.settings.columns_share;
        if share >= 1.0 {
            return vec![true; columns];
        }
        let mut allowed = vec![false; columns];
        for column in sampling::some(columns, share, &mut self.chance) {
            allowed[column as usize] = true;
        }
        allowed
    }

    /// Gives the leaves their values: from sums that are not rounded to steps, and for quantiles the residuals'.
    fn set_values(&self, grown: &mut Grown) {
        let single = grown.leaves.len() < 2;
        for value in &mut grown.tree.values {
            *value = if single { 0.0 } else { *value * self.settings.learning_rate };
        }
        if single {
            return;
        }
        for leaf in &grown.leaves {
            let rows = &self.grower.rows()[leaf.rows.clone()];
            let value = match self.loss {
                Loss::Quantile { level } => self.residual(rows, level),
                _ => self.step(rows),
            };
            grown.tree.values[leaf.node] = leaf.range.keep(value) * self.settings.learning_rate;
        }
    }

    fn step(&self, rows: &[u32]) -> f64 {
        let (mut gradient, mut hessian) = (0.0, 0.0);
        for &row in rows {
            gradient += self.gradient[row as usize];
            hessian += self.hessian[row as usize];
        }
        let step = newton(gradient, hessian + self.settings.l2);
        if self.loss.may_overshoot() { step.clamp(-LOG_STEP_MAX, LOG_STEP_MAX) } else { step }
    }

    fn residual(&self, rows: &[u32], level: f64) -> f64 {
        let apart = |row: u32| self.data.target[row as usize] - self.scores[row as usize];
        match self.data.weight {
            None => quantile::plain(&mut rows.iter().map(|&row| apart(row)).collect::<Vec<_>>(), level),
            Some(weight) => {
                let mut pairs: Vec<_> = rows.iter().map(|&row| (apart(row), weight[row as usize])).collect();
                quantile::weighted(&mut pairs, level)
            }
        }
    }

    /// Adds the tree to the scores, those of rows it was not grown on too.
    fn add(&mut self, grown: &Grown, sampled: Option<&[u32]>) {
        let tree = &grown.tree;
        for leaf in &grown.leaves {
            let value = tree.values[leaf.node];
            for &row in &self.grower.rows()[leaf.rows.clone()] {
                self.scores[row as usize] += value;
            }
        }
        let Some(sampled) = sampled else { return };
        let mut next = sampled.iter().copied().peekable();
        for row in 0..self.data.rows() {
            if next.next_if_eq(&(row as u32)).is_none() {
                self.scores[row] += tree.values[leaf(tree, self.binned, &self.places, row)];
            }
        }
    }
}
