//! How many will come: the mean and seven quantiles of counts on a grid of hours or days.
//!
//! Invariants
//! - D1: what is forecast for an origin depends on nothing at or after it.
//! - D2: quantiles never cross, nothing is NaN, and nothing is negative unless the history is.
//! - D3: the same panel gives the same bits, however many threads work on it.

mod bands;
mod combination;
mod counts;
mod panel;
mod profile;
mod smoothing;
mod theta;

pub use panel::{Panel, Step};

use bands::{Band, Kernel, Likeness, Past, bands, stretch};
use combination::{Ending, Rehearsal, members, weights};

/// The levels of the quantiles.
pub const LEVELS: [f64; 7] = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975];

/// Why nothing can be said.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DemandError {
    #[error("{0}")]
    Shape(String),
    #[error("series {series}, row {row} is infinite")]
    NotFinite { series: usize, row: usize },
}

/// A step ahead: what is expected, and the quantiles at `LEVELS`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectation {
    pub mean: f64,
    pub quantiles: [f64; 7],
}

pub struct Model {
    horizon: usize,
    kind: Kind,
}

enum Kind {
    Counts(counts::Counts),
    Combination(Vec<Fitted>),
}

struct Fitted {
    weights: Vec<f64>,
    endings: Vec<Ending>,
    bands: Vec<Band>,
    size: f64,
    floor: f64,
}

pub fn knob(name: &str, default: f64) -> f64 {
    use std::collections::HashMap;
    static K: std::sync::OnceLock<HashMap<String, f64>> = std::sync::OnceLock::new();
    *K.get_or_init(|| {
        std::env::vars().filter_map(|(k, v)| k.strip_prefix("K_").map(|k| (k.to_owned(), v.parse().unwrap()))).collect()
    })
    .get(name)
    .unwrap_or(&default)
}

pub fn fit(panel: &Panel, horizon: usize, threads: usize) -> Result<Model, DemandError> {
    let (day, week) = (panel.step().day(), panel.step().week());
    if panel.start().is_some() && few(panel) {
        let grid = counts::Grid { day, week, horizon };
        return Ok(Model { horizon, kind: Kind::Counts(counts::fit(panel.series(), grid)) });
    }
    let members = members(day, week);
    let longest = panel.series().iter().map(Vec::len).max().unwrap_or(0);
    let (step, times, window) = if day > 1 {
        if longest > 20 * week {
            (week, knob("TIMES", 30.0) as usize, 46 * week)
        } else {
            (day, knob("TIMES", 12.0) as usize, longest)
        }
    } else {
        (week, knob("TIMES", 40.0) as usize, 70 * week)
    };
    let least = if day > 1 { 2 * week + 2 * day } else { 4 * week };
    let rehearse = |values: &Vec<f64>| {
        let values = &values[values.len() - window.min(values.len())..];
        Rehearsal::run(values, &members, horizon, (step, times, least))
    };
    let rehearsals = shared(panel.series(), threads, rehearse);
    let weights = weights(&rehearsals, members.len());
    let combined: Vec<Vec<Vec<f64>>> = rehearsals.iter().zip(&weights).map(|(r, w)| r.combined(w, horizon)).collect();
    let size = |v: &Vec<f64>| {
        let seen = || v.iter().rev().filter(|y| !y.is_nan()).take(knob("SIZEWEEKS", 8.0) as usize * week);
        (seen().map(|y| y.abs()).sum::<f64>() / seen().count().max(1) as f64).max(1e-9)
    };
    let pasts: Vec<Past> = combined
        .iter()
        .zip(&rehearsals)
        .zip(panel.series())
        .map(|((c, r), v)| Past { forecast: c, truth: &r.truth, size: size(v) })
        .collect();
    let kernel = Kernel::new(Likeness { day, week }, horizon);
    let stretch = stretch(&pasts, &kernel, (horizon - 1) / step);
    let bands = shared(&pasts, threads, |past| bands(past, &kernel, stretch));
    if knob("SAY", 0.0) > 0.0 {
        eprintln!(
            "{stretch:?} {:?}",
            weights.iter().map(|w| w.iter().map(|w| (w * 100.0) as i32).collect::<Vec<_>>()).collect::<Vec<_>>()
        );
    }
    let series = rehearsals
        .iter()
        .zip(weights)
        .zip(panel.series())
        .zip(bands)
        .map(|(((r, weights), v), bands)| {
            let floor = if v.iter().any(|y| *y < 0.0) { f64::NEG_INFINITY } else { 0.0 };
            Fitted { weights, endings: r.endings.clone(), size: size(v), floor, bands }
        })
        .collect();
    Ok(Model { horizon, kind: Kind::Combination(series) })
}

/// Whether these are counts so low that most slots of a week hold a handful.
fn few(panel: &Panel) -> bool {
    let whole = panel.series().iter().flatten().all(|y| y.is_nan() || (*y >= 0.0 && y.fract() == 0.0));
    let mean = |values: &Vec<f64>| {
        let (sum, count) = values.iter().filter(|y| !y.is_nan()).fold((0.0, 0.0), |(s, n), y| (s + y, n + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    };
    let mut means: Vec<f64> = panel.series().iter().map(mean).collect();
    means.sort_unstable_by(f64::total_cmp);
    whole && means[means.len() / 2] < 15.0
}

impl Model {
    pub fn predict(&self) -> Vec<Vec<Expectation>> {
        match &self.kind {
            Kind::Counts(counts) => counts
                .means
                .iter()
                .zip(&counts.dispersions)
                .map(|(m, d)| {
                    counts::bands(m, *d, self.horizon)
                        .into_iter()
                        .map(|(mean, quantiles)| Expectation { mean, quantiles })
                        .collect()
                })
                .collect(),
            Kind::Combination(series) => series
                .iter()
                .map(|s| {
                    let paths: Vec<Vec<f64>> = s.endings.iter().map(|e| e.path(self.horizon)).collect();
                    let path = |h: usize| -> f64 { paths.iter().zip(&s.weights).map(|(p, w)| w * p[h]).sum() };
                    (0..self.horizon)
                        .zip(&s.bands)
                        .map(|(h, band)| {
                            let (mean, quantiles) = band.around(path(h), s.size, s.floor);
                            Expectation { mean, quantiles }
                        })
                        .collect()
                })
                .collect(),
        }
    }
}

/// `work` for every item, by up to `threads` threads; the answers stand in the order of the items.
fn shared<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let size = items.len().div_ceil(threads.max(1)).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> =
            items.chunks(size).map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}
