//! How many will come: the mean and seven quantiles of counts on a grid of hours or days.
//!
//! Invariants
//! - D1: what is forecast for an origin depends on nothing at or after it.
//! - D2: quantiles never cross, nothing is NaN, and nothing is negative unless the history is.
//! - D3: the same panel gives the same bits, however many threads work on it.

mod bands;
mod combination;
mod panel;
mod profile;
mod smoothing;
mod theta;

pub use panel::{Panel, Step};

use bands::{Likeness, Past, bands, stretch};
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
    likeness: Likeness,
    series: Vec<Fitted>,
    stretch: bands::Stretch,
}

struct Fitted {
    weights: Vec<f64>,
    endings: Vec<Ending>,
    forecast: Vec<Vec<f64>>,
    truth: Vec<Vec<f64>>,
    size: f64,
    floor: f64,
}

pub fn fit(panel: &Panel, horizon: usize, threads: usize) -> Result<Model, DemandError> {
    let (day, week) = (panel.step().day(), panel.step().week());
    let members = members(day, week);
    let rehearse = |values: &Vec<f64>| {
        let (step, times, window) = if day > 1 {
            if values.len() > 20 * week { (week, 40, 60 * week) } else { (day, 12, values.len()) }
        } else { (week, 40, 70 * week) };
        let least = if day > 1 { 2 * week + 2 * day } else { 4 * week };
        let values = &values[values.len() - window.min(values.len())..];
        Rehearsal::run(values, &members, horizon, (step, times, least))
    };
    let rehearsals = shared(panel.series(), threads, rehearse);
    let weights = weights(&rehearsals, members.len());
    let series: Vec<Fitted> = rehearsals.into_iter().zip(weights).zip(panel.series()).map(|((r, w), v)| {
        let forecast = r.combined(&w, horizon);
        let seen = || v.iter().rev().filter(|y| !y.is_nan()).take(8 * week);
        let size = (seen().map(|y| y.abs()).sum::<f64>() / seen().count().max(1) as f64).max(1e-9);
        let floor = if v.iter().any(|y| *y < 0.0) { f64::NEG_INFINITY } else { 0.0 };
        Fitted { forecast, truth: r.truth, weights: w, endings: r.endings, size, floor }
    }).collect();
    let likeness = Likeness { day, week };
    let pasts: Vec<Past> = series.iter().map(|s| Past { forecast: &s.forecast, truth: &s.truth, size: s.size }).collect();
    let stretch = stretch(&pasts, likeness);
    Ok(Model { horizon, likeness, series, stretch })
}

impl Model {
    pub fn predict(&self) -> Vec<Vec<Expectation>> {
        self.series.iter().map(|s| {
            let paths: Vec<Vec<f64>> = s.endings.iter().map(|e| e.path(self.horizon)).collect();
            let path: Vec<f64> = (0..self.horizon).map(|h| paths.iter().zip(&s.weights).map(|(p, w)| w * p[h]).sum()).collect();
            let past = Past { forecast: &s.forecast, truth: &s.truth, size: s.size };
            bands(&past, self.likeness, self.stretch, &path, s.floor).into_iter().map(|(mean, quantiles)| Expectation { mean, quantiles }).collect()
        }).collect()
    }
}

/// `work` for every item, by up to `threads` threads; the answers stand in the order of the items.
fn shared<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let size = items.len().div_ceil(threads.max(1)).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> = items.chunks(size).map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}
