//! Bands from the errors that the same model made at rolling origins.
//!
//! The quantiles of a step ahead are those of the errors made there and in like places of the horizon, relative to the
//! size of the forecast and to how far ahead it lies. Then every band is stretched until, leaving out one rolling origin at a time, it would have
//! held what it promises (conformalised quantile regression, Romano, Patterson and Candès 2019, with stretched instead of
//! shifted ends).

use super::{Expectation, LEVELS};

/// One series' rehearsed forecasts and what came: `[r][h]`, latest origin first, NaN for what is not known.
pub struct Past<'a> {
    pub forecast: &'a [Vec<f64>],
    pub truth: &'a [Vec<f64>],
    /// The size of the series, which keeps relative errors of tiny forecasts finite; positive.
    pub size: f64,
    /// Of each step: see `growth`.
    pub growth: &'a [f64],
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
    libm::pow(RECENT, r as f64)
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

    /// `[r][h]`: errors in units of their forecast and of their step.
    fn relative(&self) -> Vec<Vec<f64>> {
        let one = |(forecast, truth): (&Vec<f64>, &Vec<f64>)| {
            let steps = forecast.iter().zip(truth).zip(self.growth);
            steps.map(|((f, y), growth)| (y - f) / (self.unit(*f) * growth)).collect()
        };
        self.forecast.iter().zip(self.truth).map(one).collect()
    }
}

fn unit(forecast: f64, size: f64) -> f64 {
    UNIT.0 * forecast.abs() + UNIT.1 * size
}

/// How large errors are at each step of the horizon, 1 being their mean: errors a week or a day ahead say how they are
/// spread three weeks or six days ahead, not how far. From the mean absolute errors of each whole cycle of the horizon,
/// over the panel, between whose middles it runs straight; it never falls.
pub fn growth(pasts: &[Past<'_>], likeness: Likeness, horizon: usize) -> Vec<f64> {
    let cycle = if likeness.day > 1 { likeness.day } else { likeness.week };
    let blocks = (horizon / cycle).max(1);
    let mut sums = vec![(0.0, 0.0); blocks];
    for past in pasts {
        let errors = past.relative();
        let mut own = vec![(0.0, 0.0); blocks];
        for (r, errors) in errors.iter().enumerate() {
            for (h, u) in errors.iter().enumerate().filter(|(_, u)| !u.is_nan()) {
                let own = &mut own[(h / cycle).min(blocks - 1)];
                *own = (own.0 + recent(r) * u.abs(), own.1 + recent(r));
            }
        }
        // Each series in units of its own errors, so that none speaks for the panel alone.
        let (sum, count) = own.iter().fold((0.0, 0.0), |all, own| (all.0 + own.0, all.1 + own.1));
        if sum > 0.0 {
            sums.iter_mut().zip(&own).filter(|(_, own)| own.1 > 0.0).for_each(|(all, own)| {
                *all = (all.0 + own.0 / own.1 / (sum / count), all.1 + 1.0);
            });
        }
    }
    let mut sizes: Vec<f64> = sums.iter().map(|(sum, count)| if *count > 0.0 { sum / count } else { 1.0 }).collect();
    for block in 1..blocks {
        sizes[block] = sizes[block].max(sizes[block - 1]);
    }
    let at = |h: usize| {
        let place = ((h as f64 + 0.5) / cycle as f64 - 0.5).clamp(0.0, (blocks - 1) as f64);
        let before = (place as usize).min(blocks - 1);
        let after = (before + 1).min(blocks - 1);
        (sizes[before] + (place - before as f64) * (sizes[after] - sizes[before])).max(0.05)
    };
    (0..horizon).map(at).collect()
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

/// The same for judging the bands, which follow calmer and wilder weeks by it.
const JUDGED_RECENT: f64 = 0.85;
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
                    needed.push(((u - q[2]).abs() / half.max(1e-9), libm::pow(JUDGED_RECENT, r as f64)));
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

/// The bands of each step of the horizon. `moved` is how much of the median error of the rehearsal moves the forecast.
/// A step that was hardly rehearsed, by less than an eighth of the errors that the best known step has, has the widest
/// band before it, wider as the square root of how far ahead it lies: errors that add up like steps of chance.
/// None if nothing could be rehearsed at all.
pub fn bands(past: &Past<'_>, kernel: &Kernel, stretch: Stretch, moved: f64) -> Option<Vec<Band>> {
    let relative = past.relative();
    let rehearsed: Vec<Vec<(f64, f64)>> = (0..kernel.0.len()).map(|h| alike(&relative, kernel, h, 0..0)).collect();
    let most = rehearsed.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let band = |(h, errors): (usize, &Vec<(f64, f64)>)| {
        if 8 * errors.len() < most {
            return None;
        }
        let mut quantiles = quantiles(errors, LEVELS);
        let (middle, centre) = (quantiles[3], moved * quantiles[3]);
        for (i, q) in quantiles.iter_mut().enumerate() {
            *q = centre + (*q - middle) * if i == 0 || i == 6 { stretch.outer } else { stretch.inner };
        }
        let inside = errors.iter().map(|e| ((e.0 - middle + centre).clamp(quantiles[0], quantiles[6]), e.1));
        let (sum, weight) = inside.fold((0.0, 0.0), |(s, n), (u, w)| (s + u * w, n + w));
        let (mean, growth) = (if weight > 0.0 { sum / weight } else { centre }, past.growth[h]);
        Some(Band { mean: mean * growth, quantiles: quantiles.map(|q| q * growth) })
    };
    filled(rehearsed.iter().enumerate().map(band).collect())
}

/// Every step's band, those that are missing made of the widest before them, or else of the first one that is known: the
/// last ones that are known are those of which the least is known.
fn filled(rehearsed: Vec<Option<Band>>) -> Option<Vec<Band>> {
    let mut widest = rehearsed.iter().flatten().next().copied()?;
    let mut last = rehearsed.iter().position(Option::is_some)?;
    let step = |(h, band): (usize, Option<Band>)| match band {
        Some(band) => {
            last = h;
            widest = if band.width() > widest.width() { band } else { widest };
            band
        }
        None => widest.wider(((h + 1) as f64 / (last + 1) as f64).max(1.0).sqrt()),
    };
    Some(rehearsed.into_iter().enumerate().map(step).collect())
}

impl Band {
    fn width(&self) -> f64 {
        self.quantiles[6] - self.quantiles[0]
    }

    /// The same around its middle, `by` times as wide.
    fn wider(&self, by: f64) -> Band {
        let middle = self.quantiles[3];
        Band { mean: self.mean, quantiles: self.quantiles.map(|q| middle + (q - middle) * by) }
    }

    /// The mean and the quantiles around `forecast`, none below `floor`, none below the one before it.
    pub fn around(&self, forecast: f64, size: f64, floor: f64) -> Expectation {
        let unit = unit(forecast, size);
        let mut quantiles = self.quantiles.map(|q| (forecast + q * unit).max(floor));
        (1..7).for_each(|i| quantiles[i] = quantiles[i].max(quantiles[i - 1]));
        Expectation { mean: (forecast + self.mean * unit).max(floor), quantiles }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Likeness = Likeness { day: 1, week: 7 };

    fn growth_of(errors: impl Fn(usize) -> f64) -> Vec<f64> {
        let forecast = vec![vec![100.0; 28]; 6];
        let truth: Vec<Vec<f64>> = (0..6).map(|_| (0..28).map(|h| 100.0 + errors(h)).collect()).collect();
        growth(&[Past { forecast: &forecast, truth: &truth, size: 100.0, growth: &[1.0; 28] }], DAYS, 28)
    }

    #[test]
    fn errors_that_grow_week_by_week_are_followed_and_never_shrink() {
        let grown = growth_of(|h| if h % 2 == 0 { 10.0 } else { -10.0 } * (1 + h / 7) as f64);
        assert!((grown[24] / grown[3] - 4.0).abs() < 1e-9 && grown.is_sorted(), "{grown:?}");
        assert!(growth_of(|h| if h < 7 { 20.0 } else { 10.0 }).windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn without_errors_every_step_is_alike() {
        assert_eq!(growth_of(|_| 0.0), [1.0; 28]);
        assert_eq!(growth_of(|_| f64::NAN), [1.0; 28]);
        assert_eq!(growth(&[], DAYS, 3), [1.0; 3]);
    }

    /// Two hundred weeks of even errors twice as large in the second week: bands as wide as what they promise.
    #[test]
    fn bands_are_as_wide_as_the_errors_of_their_step() {
        let forecast = vec![vec![100.0; 14]; 200];
        let error = |r: usize, h: usize| ((r * 37 % 100) as f64 / 50.0 - 0.99) * 10.0 * (1 + h / 7) as f64;
        let truth: Vec<Vec<f64>> = (0..200).map(|r| (0..14).map(|h| 100.0 + error(r, h)).collect()).collect();
        let past = Past { forecast: &forecast, truth: &truth, size: 100.0, growth: &[1.0; 14] };
        let growth = growth(&[past], DAYS, 14);
        let past = Past { forecast: &forecast, truth: &truth, size: 100.0, growth: &growth };
        let bands = bands(&past, &Kernel::new(DAYS, 14), Stretch { inner: 1.0, outer: 1.0 }, 0.0).unwrap();
        for (h, half) in [(3, 8.0), (10, 16.0)] {
            let told = bands[h].around(100.0, 100.0, 0.0).quantiles;
            assert!(told.is_sorted() && ((told[5] - told[1]) / 2.0 / half - 1.0).abs() < 0.2, "{h}: {told:?}");
        }
    }
}
