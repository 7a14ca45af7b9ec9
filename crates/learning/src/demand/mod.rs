//! How many will come: the mean and seven quantiles of counts on a grid of hours or days.
//!
//! A panel of low counts is a negative binomial of level and slot of the week (`counts`). Any other series is a
//! combination of profiles, exponential smoothing and theta lines, weighted by how they did on rolling origins inside the
//! history (`combination`), and, where they help there, of decompositions into trend and seasons (`decomposition`) and of
//! boosted trees over all series (`trees`), with bands from the errors made there (`bands`). Holidays seen a year ago and events known
//! ahead act on both (`calendar`).
//!
//! Invariants
//! - D1: what is forecast depends on nothing at or after the origin, which is the end of the panel.
//! - D2: quantiles never cross, nothing is NaN, and nothing is negative unless the history is.
//! - D3: the same panel gives the same bits, however many threads work on it.
//! - D4: a series with too little behind it is refused as `Thin`; a guess for it is asked for separately.
//! - D5: what is not known widens a band: no step is as narrow as one nearer to the last value that was seen, because its
//!   own errors could not be rehearsed.

mod bands;
mod calendar;
mod combination;
mod counts;
mod decomposition;
mod loess;
mod panel;
mod profile;
mod silence;
mod smoothing;
mod theta;
mod trees;
mod year;

pub use panel::{Panel, Step};
pub use silence::{Models, fit_where_they_end, silences};

use crate::numeric::parallel;
use bands::{Band, Kernel, Likeness, Past, bands, growth, stretch};
use combination::{Ending, Member, Rehearsal, members, weights};
use decomposition::Decomposition;

/// The levels of the quantiles.
pub const LEVELS: [f64; 7] = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975];

/// A step ahead: what is expected, and the quantiles at `LEVELS`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectation {
    pub mean: f64,
    pub quantiles: [f64; 7],
}

/// What a forecast is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Rows ahead; at least 1.
    pub horizon: usize,
    /// What is known ahead: `events[e][t]` is the value of column e in row t of the panel, and on for `horizon` rows;
    /// 0 is no event, and so is a row that is not there.
    pub events: &'a [Vec<f64>],
    /// Public holidays where the panel is, as days since 1970-01-01 in ascending order, from a year before the panel to the
    /// end of the horizon; empty if nobody knows. A day that is none may still be found to be like one a year ago.
    pub holidays: &'a [i64],
    pub threads: usize,
}

/// Why nothing can be said of a panel.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DemandError {
    #[error("{0}")]
    Shape(String),
    #[error("series {series}, row {row} is infinite")]
    NotFinite { series: usize, row: usize },
    #[error("a forecast of no rows was asked for")]
    NoHorizon,
}

/// A series is not forecast: too few of its values are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{seen} values are there, {needed} are needed")]
pub struct Thin {
    pub seen: usize,
    pub needed: usize,
}

/// A fitted panel.
#[derive(Clone, Debug)]
pub struct Model {
    horizon: usize,
    /// Of each row ahead, from holidays and events.
    factors: Vec<f64>,
    series: Vec<Result<Fitted, Thin>>,
}

#[derive(Clone, Debug)]
enum Fitted {
    Counts { means: Vec<f64>, dispersion: f64 },
    Combination { weights: Vec<f64>, endings: Vec<Ending>, bands: Vec<Band>, size: f64, floor: f64 },
}

/// Learns from all of `panel`, at whose end the forecast begins.
///
/// # Errors
/// `NoHorizon`. A series of fewer than two cycles (weeks; days where the panel has less than three weeks of hours) is
/// `Thin` in the forecast, and so is one whose values all lie too far back.
pub fn fit(panel: &Panel, ask: &Ask<'_>) -> Result<Model, DemandError> {
    if ask.horizon == 0 {
        return Err(DemandError::NoHorizon);
    }
    let rhythm = Rhythm::of(panel);
    let mut effects = calendar::effects(panel, ask.horizon, ask.events, ask.holidays);
    let low = few(panel);
    if !low {
        effects.iter_mut().zip(year::effects(panel, ask.horizon)).for_each(|(effect, year)| *effect += year);
    }
    let rows = panel.series().iter().map(Vec::len).max().unwrap_or(0);
    let ahead = effects.get(rows..).unwrap_or_default();
    let factors = (0..ask.horizon).map(|h| ahead.get(h).map_or(1.0, |e| libm::exp(*e))).collect();
    let needed = 2 * rhythm.week;
    let seen = |values: &Vec<f64>| values.iter().filter(|y| !y.is_nan()).count();
    let thin = |values: &Vec<f64>| Thin { seen: seen(values), needed };
    let enough: Vec<usize> = (0..panel.series().len()).filter(|i| seen(&panel.series()[*i]) >= needed).collect();
    let fitted = if low {
        let counts: Vec<&[f64]> = enough.iter().map(|i| panel.series()[*i].as_slice()).collect();
        by_counts(&counts, rhythm, ask.horizon)
    } else {
        let plain: Vec<Vec<f64>> = enough.iter().map(|i| without(&panel.series()[*i], &effects)).collect();
        by_combination(&plain, rhythm, ask)
    };
    let mut series: Vec<Result<Fitted, Thin>> = panel.series().iter().map(|values| Err(thin(values))).collect();
    // What was not rehearsed once has no band: that takes a first origin and the rows after it.
    let (step, _, least, _) = rhythm.rehearsal();
    for (i, fitted) in enough.into_iter().zip(fitted) {
        let unknown = Thin { needed: least + step, ..thin(&panel.series()[i]) };
        series[i] = fitted.ok_or(unknown);
    }
    Ok(Model { horizon: ask.horizon, factors, series })
}

impl Model {
    /// The `horizon` rows after the panel's end, for each of its series.
    pub fn predict(&self) -> Vec<Result<Vec<Expectation>, Thin>> {
        self.series
            .iter()
            .map(|series| series.as_ref().map(|fitted| self.steps(fitted)).map_err(|thin| *thin))
            .collect()
    }

    fn steps(&self, fitted: &Fitted) -> Vec<Expectation> {
        match fitted {
            Fitted::Counts { means, dispersion } => counts::bands(means, *dispersion, &self.factors),
            Fitted::Combination { weights, endings, bands, size, floor } => {
                let paths: Vec<Vec<f64>> = endings.iter().map(|ending| ending.path(self.horizon)).collect();
                let path = |h: usize| paths.iter().zip(weights).map(|(path, weight)| weight * path[h]).sum::<f64>();
                let steps = self.factors.iter().zip(bands).enumerate();
                steps.map(|(h, (factor, band))| band.around(factor * path(h), *size, *floor)).collect()
            }
        }
    }
}

/// A guess for a series that is too thin for a model: the middle of what was seen, in a band wider than it.
///
/// The quantiles reach past the least and the most that was seen by half of the middle; zeros if nothing was.
pub fn guess(values: &[f64], horizon: usize) -> Vec<Expectation> {
    let mut seen: Vec<f64> = values.iter().copied().filter(|y| y.is_finite()).collect();
    seen.sort_unstable_by(f64::total_cmp);
    let (Some(least), Some(most)) = (seen.first(), seen.last()) else {
        return vec![Expectation { mean: 0.0, quantiles: [0.0; 7] }; horizon];
    };
    let middle = (seen[(seen.len() - 1) / 2] + seen[seen.len() / 2]) / 2.0;
    let (down, up) = (middle - least + middle.abs() / 2.0, most - middle + middle.abs() / 2.0);
    let floor = if *least < 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let reach = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5];
    let quantiles = reach.map(|by| (middle + if by < 0.0 { by * down } else { by * up }).max(floor));
    vec![Expectation { mean: seen.iter().sum::<f64>() / seen.len() as f64, quantiles }; horizon]
}

/// The seasons that a panel is long enough to show.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    /// Rows of the shorter season; 1 if there is one season only.
    day: usize,
    week: usize,
    /// Rows of the longest series.
    rows: usize,
}

impl Rhythm {
    fn of(panel: &Panel) -> Rhythm {
        let (day, week) = (panel.step().day(), panel.step().week());
        let rows = panel.series().iter().map(Vec::len).max().unwrap_or(0);
        if day > 1 && rows < 3 * week { Rhythm { day: 1, week: day, rows } } else { Rhythm { day, week, rows } }
    }

    /// Rows between rolling origins, how many of them, rows before the first, and rows that matter at all.
    fn rehearsal(self) -> (usize, usize, usize, usize) {
        let Rhythm { day, week, rows } = self;
        match day {
            1 => (week, 26, 4 * week, 70 * week),
            _ if rows > 20 * week => (week, 26, 2 * week + 2 * day, 42 * week),
            _ => (day, 12, 2 * week + 2 * day, rows),
        }
    }
}

/// Whether these are counts so low that most slots of a week hold a handful, on one calendar.
fn few(panel: &Panel) -> bool {
    const HANDFUL: f64 = 15.0;
    let whole = panel.series().iter().flatten().all(|y| y.is_nan() || (*y >= 0.0 && y.fract() == 0.0));
    let mean = |values: &Vec<f64>| {
        let (sum, count) = values.iter().filter(|y| !y.is_nan()).fold((0.0, 0.0), |(s, n), y| (s + y, n + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    };
    let mut means: Vec<f64> = panel.series().iter().map(mean).collect();
    means.sort_unstable_by(f64::total_cmp);
    panel.start().is_some() && whole && means[means.len() / 2] < HANDFUL
}

fn by_counts(panel: &[&[f64]], rhythm: Rhythm, horizon: usize) -> Vec<Option<Fitted>> {
    if panel.is_empty() {
        return vec![];
    }
    let grid = counts::Grid { day: rhythm.day, week: rhythm.week, horizon };
    let counts = counts::fit(panel, grid);
    let series = counts.means.into_iter().zip(counts.dispersions);
    series.map(|(means, dispersion)| Some(Fitted::Counts { means, dispersion })).collect()
}

/// `values` from the first that is there, without what holidays and events did to them.
fn without(values: &[f64], effects: &[f64]) -> Vec<f64> {
    let plain = |(t, y): (usize, &f64)| match effects.get(t) {
        Some(effect) if *effect != 0.0 => y * libm::exp(-effect),
        _ => *y,
    };
    let begin = values.iter().position(|y| !y.is_nan()).unwrap_or(0);
    values.iter().enumerate().skip(begin).map(plain).collect()
}

/// None for a series that no member could go on with.
fn by_combination(series: &[Vec<f64>], rhythm: Rhythm, ask: &Ask<'_>) -> Vec<Option<Fitted>> {
    let Rhythm { day, week, .. } = rhythm;
    let (step, times, least, window) = rhythm.rehearsal();
    let members: Vec<Member> = members(day, week);
    let rehearsals = parallel::map(series, ask.threads, |values| {
        let recent = &values[values.len() - window.min(values.len())..];
        Rehearsal::run(recent, &members, ask.horizon, (step, times, least))
    });
    let (rehearsals, weights) = with_more(rehearsals, series, rhythm, ask, members.len());
    let combined: Vec<Vec<Vec<f64>>> =
        rehearsals.iter().zip(&weights).map(|(rehearsal, weights)| rehearsal.combined(weights, ask.horizon)).collect();
    let even = vec![1.0; ask.horizon];
    let pasts: Vec<Past<'_>> = combined
        .iter()
        .zip(&rehearsals)
        .zip(series)
        .map(|((forecast, rehearsal), values)| Past {
            forecast,
            truth: &rehearsal.truth,
            size: size(values, 8 * week),
            growth: &even,
        })
        .collect();
    let likeness = Likeness { day, week };
    let growth = growth(&pasts, likeness, ask.horizon);
    let pasts: Vec<Past<'_>> = pasts.into_iter().map(|past| Past { growth: &growth, ..past }).collect();
    let kernel = Kernel::new(likeness, ask.horizon);
    let stretch = stretch(&pasts, &kernel, (ask.horizon - 1) / step);
    // Moving a forecast by its median error at earlier origins helps where a few weeks are all there is, and harms where
    // errors of half a year are averaged that have long turned.
    let moved = if step < week { 1.0 } else { 0.0 };
    let bands = parallel::map(&pasts, ask.threads, |past| bands(past, &kernel, stretch, moved));
    let sizes: Vec<f64> = pasts.iter().map(|past| past.size).collect();
    let parts = rehearsals.into_iter().zip(weights).zip(bands).zip(sizes).zip(series);
    parts
        .map(|((((rehearsal, weights), bands), size), values)| {
            let floor = if values.iter().any(|y| *y < 0.0) { f64::NEG_INFINITY } else { 0.0 };
            let endings = rehearsal.endings;
            let bands = bands?;
            (!endings.is_empty()).then_some(Fitted::Combination { weights, endings, bands, size, floor })
        })
        .collect()
}

/// What trees and decompositions must gain on the rolling origins, as a share of the error: less is a tie, and then
/// fewer members are the better ones. A decomposition is the more easily taken in, as it follows the latest cycles.
const GAIN_MIN: f64 = 0.001;
const GAIN_MIN_DECOMPOSITION: f64 = 0.005;

/// The rehearsals and their weights: with a decomposition and boosted trees as further members where the panel's
/// combination did better so at the rolling origins at which they spoke, otherwise as they are.
fn with_more(
    rehearsals: Vec<Rehearsal>,
    series: &[Vec<f64>],
    rhythm: Rhythm,
    ask: &Ask<'_>,
    members: usize,
) -> (Vec<Rehearsal>, Vec<Vec<f64>>) {
    let (step, times, least, window) = rhythm.rehearsal();
    let decomposition = Member::Decomposition(Decomposition::of(rhythm.day, rhythm.week));
    let parts: Vec<(&Rehearsal, &Vec<f64>)> = rehearsals.iter().zip(series).collect();
    let more = parallel::map(&parts, ask.threads, |(rehearsal, values)| {
        let recent = &values[values.len() - window.min(values.len())..];
        let mut more = (*rehearsal).clone();
        more.rehearse(members, &decomposition, recent, ask.horizon, (step, times, least));
        more
    });
    let kept = better(GAIN_MIN_DECOMPOSITION, rehearsals, more, series, rhythm);
    let asked = trees::Ask { rhythm, horizon: ask.horizon, threads: ask.threads };
    let kept = match trees::tell(series, asked) {
        None => kept,
        Some(told) => {
            let mut more = kept.clone();
            for ((rehearsal, paths), ahead) in more.iter_mut().zip(told.paths).zip(told.ahead) {
                if let Some(ahead) = ahead.filter(|_| !rehearsal.used.is_empty()) {
                    rehearsal.add(members + 1, Ending::Cycle(ahead), paths);
                }
            }
            better(GAIN_MIN, kept, more, series, rhythm)
        }
    };
    let weights = weights(&kept);
    (kept, weights)
}

/// `more`, in which some have one more member, if the combination of all gains at least `gain_min` by it at the origins at
/// which it spoke; otherwise `fewer`.
fn better(
    gain_min: f64,
    fewer: Vec<Rehearsal>,
    more: Vec<Rehearsal>,
    series: &[Vec<f64>],
    rhythm: Rhythm,
) -> Vec<Rehearsal> {
    let (without, with) = (weights(&fewer), weights(&more));
    // The mean ratio of a series' errors, so that none speaks for the panel, however large or restless.
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, (fewer, more)) in fewer.iter().zip(&more).enumerate() {
        let Some(there) = more.paths.get(fewer.paths.len()) else { continue };
        let horizon = there.first().map_or(0, Vec::len);
        let error = |rehearsal: &Rehearsal, weights: &[f64]| {
            rehearsal.error_where(&rehearsal.combined(weights, horizon), there)
        };
        if let (Some(with), Some(without)) = (error(more, &with[i]), error(fewer, &without[i])) {
            // Errors too small to matter make no ratio.
            let least = 1e-3 * size(&series[i], 8 * rhythm.week);
            sum += libm::log((with + least) / (without + least));
            count += 1.0;
        }
    }
    if sum < count * libm::log1p(-gain_min) { more } else { fewer }
}

/// Mean absolute value of the last `count` values that are there; positive.
fn size(values: &[f64], count: usize) -> f64 {
    let seen = || values.iter().rev().filter(|y| !y.is_nan()).take(count);
    (seen().map(|y| y.abs()).sum::<f64>() / seen().count().max(1) as f64).max(1e-9)
}

#[cfg(test)]
mod tests;
