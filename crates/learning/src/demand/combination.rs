//! Several models of one series, weighted by how they did on rolling origins inside the history.
//!
//! Every model forecasts from a number of earlier origins, each time from what was known then; its weight falls with the
//! error it made, that of the series itself and that of the whole panel. Bates and Granger (1969): the mean of several
//! fair forecasts beats the best of them more often than not.

use super::decomposition::{Decomposition, Seasons};
use super::profile::{Centre, Profile};
use super::smoothing::{Scale, Smoothing, State};
use super::theta::{Line, Theta};

/// One model of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Member {
    Profile(Profile),
    Smoothing { day: usize, week: usize },
    Theta(Theta),
    Decomposition(Decomposition),
}

/// What a model needs to go on from one origin.
#[derive(Clone, Debug)]
pub enum Ending {
    Cycle(Vec<f64>),
    Smoothed(Smoothing, State),
    Line(Line),
    Seasons(Seasons),
}

impl Ending {
    pub fn path(&self, horizon: usize) -> Vec<f64> {
        match self {
            Ending::Cycle(cycle) => (0..horizon).map(|h| cycle[h % cycle.len()]).collect(),
            Ending::Smoothed(model, state) => model.path(state, horizon),
            Ending::Line(line) => line.path(horizon),
            Ending::Seasons(seasons) => seasons.path(horizon),
        }
    }
}

/// The members for rows of which `day` make a day (1 if there is no shorter season) and `week` the whole cycle.
pub fn members(day: usize, week: usize) -> Vec<Member> {
    let profile =
        |cycle, cycles, decay, centre, carried| Member::Profile(Profile { cycle, cycles, decay, centre, carried });
    let mut members = vec![
        profile(week, 4, 1e-3, Centre::Mean, 0.0),
        profile(week, 8, 0.5, Centre::Mean, 0.8),
        profile(week, 10, 0.9, Centre::Median, 0.9),
        Member::Smoothing { day: if day > 1 { day } else { 0 }, week },
    ];
    if day > 1 {
        members.push(profile(day, 10, 0.7, Centre::Mean, 0.5));
    } else {
        members.push(Member::Theta(Theta { cycle: week, cycles: 26, gain: 0.1 }));
        members.push(Member::Theta(Theta { cycle: week, cycles: 26, gain: 0.3 }));
    }
    members
}

impl Member {
    /// Where the model stands at each of `origins`, which ascend; None where it cannot start.
    fn endings(&self, values: &[f64], origins: &[usize], scale: Scale) -> Vec<Option<Ending>> {
        match *self {
            Member::Profile(profile) => {
                let cycle = |&o: &usize| profile.cycle_after(&values[..o], scale == Scale::Plain).map(Ending::Cycle);
                origins.iter().map(cycle).collect()
            }
            Member::Theta(theta) => {
                origins.iter().map(|&o| theta.after(&values[..o], scale).map(Ending::Line)).collect()
            }
            Member::Decomposition(decomposition) => {
                decomposition.after(values, origins, scale).into_iter().map(|s| s.map(Ending::Seasons)).collect()
            }
            Member::Smoothing { day, week } => {
                let rows = if day > 0 { 16 * week } else { 60 * week };
                let Some(model) = Smoothing::fit(values, scale, (day, week), rows) else {
                    return vec![None; origins.len()];
                };
                let states = model.states(values, origins).into_iter();
                states.map(|state| Some(Ending::Smoothed(model.clone(), state))).collect()
            }
        }
    }
}

/// Up to `times` origins, `step` rows apart and the last one a step before the end, with `least` rows before the first.
pub fn rolling(rows: usize, step: usize, times: usize, least: usize) -> Vec<usize> {
    let earlier = (1..=times).map_while(|r| rows.checked_sub(r * step).filter(|&origin| origin >= least));
    let mut origins: Vec<usize> = earlier.collect();
    origins.reverse();
    origins
}

/// How one series' members did at the rolling origins.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Members that could be used, as positions in the list of members.
    pub used: Vec<usize>,
    /// Where each used member stands at the end.
    pub endings: Vec<Ending>,
    /// `paths[m][r]` is what used member m forecast at rolling origin r, the latest first; NaN where it could not.
    pub paths: Vec<Vec<Vec<f64>>>,
    /// `truth[r]` is what came, NaN where it is missing or not yet known at the end.
    pub truth: Vec<Vec<f64>>,
}

impl Rehearsal {
    /// Rehearses `members` on `values` at the origins `step` rows apart, up to `times` of them, with `least` values before.
    pub fn run(values: &[f64], members: &[Member], horizon: usize, at: (usize, usize, usize)) -> Rehearsal {
        let origins = rolling(values.len(), at.0, at.1, at.2);
        let value = |t: usize| values.get(t).copied().unwrap_or(f64::NAN);
        let truth = origins.iter().rev().map(|&o| (0..horizon).map(|h| value(o + h)).collect()).collect();
        let mut rehearsal = Rehearsal { used: vec![], endings: vec![], paths: vec![], truth };
        for (m, member) in members.iter().enumerate() {
            rehearsal.rehearse(m, member, values, horizon, at);
        }
        rehearsal
    }

    /// One more member, rehearsed as those of `run` on the same values, unless it cannot go on from the end.
    pub fn rehearse(
        &mut self,
        m: usize,
        member: &Member,
        values: &[f64],
        horizon: usize,
        (step, times, least): (usize, usize, usize),
    ) {
        let mut origins = rolling(values.len(), step, times, least);
        origins.push(values.len());
        let mut endings = member.endings(values, &origins, Scale::of(values));
        let Some(last) = endings.pop().flatten() else { return };
        let path = |ending: &Option<Ending>| match ending {
            Some(ending) => ending.path(horizon),
            None => vec![f64::NAN; horizon],
        };
        self.add(m, last, endings.iter().rev().map(path).collect());
    }

    /// One more member, with its paths as in `paths`.
    pub fn add(&mut self, member: usize, ending: Ending, paths: Vec<Vec<f64>>) {
        self.used.push(member);
        self.endings.push(ending);
        self.paths.push(paths);
    }

    /// Each used member's mean absolute error, later origins weighing more; None where nothing can be compared. Of a
    /// member that could not speak at some origins: what it would be at all, if it kept the ratio to the others.
    pub fn errors(&self) -> Vec<Option<f64>> {
        let errors: Vec<Option<f64>> = self.paths.iter().map(|paths| self.error_where(paths, paths)).collect();
        let whole = |paths: &&Vec<Vec<f64>>| !paths.iter().flatten().any(|f| f.is_nan());
        let others: Vec<&Vec<Vec<f64>>> = self.paths.iter().filter(whole).collect();
        let of_others =
            |there: &[Vec<f64>]| -> f64 { others.iter().filter_map(|paths| self.error_where(paths, there)).sum() };
        let compared = |(paths, error): (&Vec<Vec<f64>>, Option<f64>)| {
            let error = error?;
            if others.is_empty() || whole(&paths) {
                return Some(error);
            }
            let (here, everywhere) = (of_others(paths), of_others(others[0]));
            Some(if here > 0.0 { error * everywhere / here } else { error })
        };
        self.paths.iter().zip(errors).map(compared).collect()
    }

    /// Mean absolute error of `paths` where `there` speaks as well.
    pub fn error_where(&self, paths: &[Vec<f64>], there: &[Vec<f64>]) -> Option<f64> {
        let (mut sum, mut weight) = (0.0, 0.0);
        for (r, ((path, there), truth)) in paths.iter().zip(there).zip(&self.truth).enumerate() {
            let recent = libm::pow(RECENT, r as f64);
            for ((f, there), y) in path.iter().zip(there).zip(truth) {
                if !(f - y).is_nan() && !there.is_nan() {
                    sum += recent * (f - y).abs();
                    weight += recent;
                }
            }
        }
        (weight > 0.0).then(|| sum / weight)
    }

    /// The combination's own rehearsal: `[r][h]`, each of the members that speak there.
    pub fn combined(&self, weights: &[f64], horizon: usize) -> Vec<Vec<f64>> {
        let at = |r: usize, h: usize| {
            let there = self.paths.iter().zip(weights).map(|(paths, w)| (paths[r][h], w)).filter(|(f, _)| !f.is_nan());
            let (sum, weight) = there.fold((0.0, 0.0), |(s, n), (f, w)| (s + w * f, n + w));
            if weight > 0.0 { sum / weight } else { f64::NAN }
        };
        (0..self.truth.len()).map(|r| (0..horizon).map(|h| at(r, h)).collect()).collect()
    }
}

/// Weight of a rolling origin relative to the one after it.
const RECENT: f64 = 0.95;

/// Rolling origins after which a series' own errors weigh as much as the panel's.
const OWN: f64 = 10.0;

/// How fast a weight falls with the error.
const SHARPNESS: f64 = 10.0;

/// The most that a decomposition weighs beside other members: it follows the last cycles closest, so where these repeat
/// it seems to know more than it does.
const DECOMPOSITION_MOST: f64 = 0.35;

fn bounded(mut weights: Vec<f64>, endings: &[Ending]) -> Vec<f64> {
    let Some(at) = endings.iter().position(|ending| matches!(ending, Ending::Seasons(_))) else { return weights };
    let others = 1.0 - weights[at];
    if weights[at] > DECOMPOSITION_MOST && others > 1e-9 {
        weights.iter_mut().for_each(|w| *w *= (1.0 - DECOMPOSITION_MOST) / others);
        weights[at] = DECOMPOSITION_MOST;
    }
    weights
}

/// Weights of each series' used members, summing to 1.
pub fn weights(rehearsals: &[Rehearsal]) -> Vec<Vec<f64>> {
    let members = rehearsals.iter().flat_map(|rehearsal| &rehearsal.used).max().map_or(0, |m| m + 1);
    let ratios: Vec<Vec<Option<f64>>> = rehearsals.iter().map(|r| relative(&r.errors())).collect();
    let mut panel = vec![(0.0, 0.0); members];
    for (rehearsal, ratios) in rehearsals.iter().zip(&ratios) {
        for (m, ratio) in rehearsal.used.iter().zip(ratios) {
            if let Some(ratio) = ratio {
                panel[*m] = (panel[*m].0 + libm::log(*ratio), panel[*m].1 + 1.0);
            }
        }
    }
    let panel: Vec<f64> = panel.iter().map(|(sum, count)| if *count > 0.0 { sum / count } else { 0.0 }).collect();
    let one = |(rehearsal, ratios): (&Rehearsal, &Vec<Option<f64>>)| {
        let own = rehearsal.truth.len() as f64 / (rehearsal.truth.len() as f64 + OWN);
        let score =
            |(m, ratio): (&usize, &Option<f64>)| own * ratio.map_or(panel[*m], libm::log) + (1.0 - own) * panel[*m];
        let scores: Vec<f64> = rehearsal.used.iter().zip(ratios).map(score).collect();
        let best = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let raw: Vec<f64> = scores.iter().map(|s| libm::exp(SHARPNESS * (best - s))).collect();
        let sum: f64 = raw.iter().sum();
        bounded(raw.iter().map(|w| w / sum).collect(), &rehearsal.endings)
    };
    rehearsals.iter().zip(&ratios).map(one).collect()
}

/// Errors over their mean.
fn relative(errors: &[Option<f64>]) -> Vec<Option<f64>> {
    let there: Vec<f64> = errors.iter().flatten().copied().collect();
    let mean = there.iter().sum::<f64>() / there.len().max(1) as f64;
    errors.iter().map(|e| e.filter(|_| mean > 0.0).map(|e| (e / mean).max(1e-3))).collect()
}
