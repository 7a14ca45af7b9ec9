//! Bands from the errors that the same model made at rolling origins.
//!
//! The quantiles of a step ahead are those of the errors made there and in like places of the horizon, relative to the
//! size of the forecast. Then every band is stretched until, leaving out one rolling origin at a time, it would have
//! held what it promises (conformalised quantile regression, Romano, Patterson and Candès 2019, with stretched instead of
//! shifted ends).

use super::{Expectation, LEVELS};

/// One series' rehearsed forecasts and what came: `[r][h]`, latest origin first, NaN for what is not known.
pub struct Past<'a> {
    pub forecast: &'a [Vec<f64>],
    pub truth: &'a [Vec<f64>],
    /// The size of the series, which keeps relative errors of tiny forecasts finite; positive.
    pub size: f64,
}

/// Where errors of the horizon are alike: rows of a day and of a week.
#[derive(Clone, Copy, Debug)]
pub struct Likeness {
    pub day: usize,
    pub week: usize,
}

impl Likeness {
    /// How much an error at step `other` says about the error at step `h`, in [0, 1].
    fn weight(self, h: usize, other: usize) -> f64 {
        if self.day > 1 {
            let (days, slots) = ((h / self.day).abs_diff(other / self.day), (h % self.day).abs_diff(other % self.day));
            let near = match slots.min(self.day - slots) {
                0 => 1.0,
                1 => 0.5,
                2 => 0.2,
                _ => return 0.0,
            };
            near * libm::pow(0.6, days as f64)
        } else {
            let apart = h.abs_diff(other);
            let same = if apart.is_multiple_of(self.week) { 1.0 } else { 0.3 };
            same * libm::pow(0.9, (apart / self.week) as f64)
        }
    }
}

/// Weight of a rolling origin relative to the one after it.
const RECENT: f64 = 0.92;
/// The unit of an error: this part of the forecast, and this part of the series' size. Where a forecast is low because a
/// counter failed, the error is as large as ever, so most of the unit is the size.
const UNIT: (f64, f64) = (0.3, 0.8);

fn recent(r: usize) -> f64 {
    libm::pow(super::knob("BRECENT", RECENT), r as f64)
}

/// The like places of each step of the horizon with how much they say.
pub struct Kernel(Vec<Vec<(usize, f64)>>);

impl Kernel {
    pub fn new(likeness: Likeness, horizon: usize) -> Kernel {
        let near =
            |h| (0..horizon).map(|other| (other, likeness.weight(h, other))).filter(|near| near.1 > 0.04).collect();
        Kernel((0..horizon).map(near).collect())
    }
}

impl Past<'_> {
    fn unit(&self, forecast: f64) -> f64 {
        unit(forecast, self.size)
    }

    /// `[r][h]`: errors in units of their forecast.
    fn relative(&self) -> Vec<Vec<f64>> {
        let one = |(forecast, truth): (&Vec<f64>, &Vec<f64>)| {
            forecast.iter().zip(truth).map(|(f, y)| (y - f) / self.unit(*f)).collect()
        };
        self.forecast.iter().zip(self.truth).map(one).collect()
    }
}

fn unit(forecast: f64, size: f64) -> f64 {
    UNIT.0 * forecast.abs() + UNIT.1 * size
}

/// The errors that say something about step `h` with their weights, in order of size, without the origins `but`.
fn alike(relative: &[Vec<f64>], kernel: &Kernel, h: usize, but: std::ops::Range<usize>) -> Vec<(f64, f64)> {
    let mut errors = Vec::with_capacity(relative.len() * kernel.0[h].len());
    for (r, relative) in relative.iter().enumerate().filter(|(r, _)| !but.contains(r)) {
        let recent = recent(r);
        for (other, weight) in &kernel.0[h] {
            if !relative[*other].is_nan() {
                errors.push((relative[*other], recent * weight));
            }
        }
    }
    errors.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    errors
}

/// Weighted quantiles of `ordered` at `levels`, between two values in proportion; zeros for no values.
fn quantiles<const N: usize>(ordered: &[(f64, f64)], levels: [f64; N]) -> [f64; N] {
    let total: f64 = ordered.iter().map(|e| e.1).sum();
    let mut found = [0.0; N];
    let (mut at, mut below) = (0, 0.0);
    for (found, level) in found.iter_mut().zip(levels) {
        // Each value stands at the middle of its weight.
        while at < ordered.len() && below + ordered[at].1 / 2.0 < level * total {
            below += ordered[at].1;
            at += 1;
        }
        *found = match (at.checked_sub(1).and_then(|i| ordered.get(i)), ordered.get(at)) {
            (Some(low), Some(high)) => {
                let from = below - low.1 / 2.0;
                let share = (level * total - from) / (low.1 / 2.0 + high.1 / 2.0);
                low.0 + share.clamp(0.0, 1.0) * (high.0 - low.0)
            }
            (Some(only), None) | (None, Some(only)) => only.0,
            (None, None) => 0.0,
        };
    }
    found
}

/// How much the bands of 50 and 80 and of 95 percent must be stretched to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    pub inner: f64,
    pub outer: f64,
}

/// Bounds of a stretch: past them the errors themselves are to blame.
const STRETCH: (f64, f64) = (0.5, 3.0);

/// The stretch under which the bands of these series would have held at their own rolling origins. To judge one of them
/// it and those whose horizons overlap with its own, `overlap` on either side, are left out. One if nothing can be judged.
pub fn stretch(pasts: &[Past<'_>], kernel: &Kernel, overlap: usize) -> Stretch {
    let mut needed: [Vec<(f64, f64)>; 2] = [vec![], vec![]];
    for (i, past) in pasts.iter().enumerate() {
        let (horizon, origins) = (past.truth.first().map_or(0, Vec::len), past.truth.len());
        if origins < 3 {
            continue;
        }
        let relative = past.relative();
        for r in (0..origins).step_by(origins.div_ceil(8)) {
            for h in ((i + r) % 7..horizon).step_by(if horizon > 60 { 7 } else { 3 }) {
                let u = relative[r][h];
                if u.is_nan() {
                    continue;
                }
                let left = alike(&relative, kernel, h, r.saturating_sub(overlap)..r + overlap + 1);
                let q = quantiles(&left, [0.025, 0.1, 0.5, 0.9, 0.975]);
                for (needed, (low, high)) in needed.iter_mut().zip([(q[1], q[3]), (q[0], q[4])]) {
                    let half = if u < q[2] { q[2] - low } else { high - q[2] };
                    needed.push(((u - q[2]).abs() / half.max(1e-9), libm::pow(super::knob("SRECENT", 0.92), r as f64)));
                }
            }
        }
    }
    let [inner, outer] = needed.map(|mut needed| {
        needed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        needed
    });
    let bounded = |ordered: &[(f64, f64)], level: f64| {
        if ordered.is_empty() { 1.0 } else { quantiles(ordered, [level])[0].clamp(STRETCH.0, STRETCH.1) }
    };
    Stretch { inner: bounded(&inner, 0.8), outer: bounded(&outer, 0.95) }
}

/// Where the mean and the quantiles of a step lie around its forecast, in its unit.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    mean: f64,
    quantiles: [f64; 7],
}

/// The bands of each step of the horizon, around a forecast that stays the median: moving it by the median error of the
/// rehearsal made it worse wherever it was tried, as what was missed in one direction is rarely missed so again.
pub fn bands(past: &Past<'_>, kernel: &Kernel, stretch: Stretch) -> Vec<Band> {
    let relative = past.relative();
    let band = |h: usize| {
        let errors = alike(&relative, kernel, h, 0..0);
        let mut quantiles = quantiles(&errors, LEVELS);
        let middle = quantiles[3];
        for (i, q) in quantiles.iter_mut().enumerate() {
            *q = (*q - middle) * if i == 0 || i == 6 { stretch.outer } else { stretch.inner };
        }
        let inside = errors.iter().map(|e| ((e.0 - middle).clamp(quantiles[0], quantiles[6]), e.1));
        let (sum, weight) = inside.fold((0.0, 0.0), |(s, n), (u, w)| (s + u * w, n + w));
        Band { mean: if weight > 0.0 { sum / weight } else { 0.0 }, quantiles }
    };
    (0..kernel.0.len()).map(band).collect()
}

impl Band {
    /// The mean and the quantiles around `forecast`, none below `floor`, none below the one before it.
    pub fn around(&self, forecast: f64, size: f64, floor: f64) -> Expectation {
        let unit = unit(forecast, size);
        let mut quantiles = self.quantiles.map(|q| (forecast + q * unit).max(floor));
        (1..7).for_each(|i| quantiles[i] = quantiles[i].max(quantiles[i - 1]));
        Expectation { mean: (forecast + self.mean * unit).max(floor), quantiles }
    }
}
