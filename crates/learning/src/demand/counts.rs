//! Low counts: a negative binomial whose mean is a level times the share of the slot of the week.
//!
//! A slot of one series alone holds too few purchases to learn from. So its share leans on what the panel shows for the
//! slot and what the series shows for the hour and the weekday, as a gamma prior leans on the counts it is worth; and its
//! level leans on where the panel is going. How fast levels forget is chosen on rolling origins by the Poisson
//! likelihood; dispersion is what those same forecasts left over (moments), so it holds the uncertainty of the level too.

use super::combination::rolling;
use super::{Expectation, LEVELS};

/// Series of counts whose pattern repeats every `week` rows, of which `day` make a day.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub day: usize,
    pub week: usize,
    pub horizon: usize,
}

/// What a panel of counts needs to go on.
#[derive(Clone, Debug)]
pub struct Counts {
    /// `means[i][slot]`: what series i expects in the slot that many rows after the origin, within a week.
    pub means: Vec<Vec<f64>>,
    /// Of each series, variance = mean + dispersion * mean squared.
    pub dispersions: Vec<f64>,
}

/// How levels move.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Memory {
    /// Weeks after which a week's weight is halved, for a series and for the panel.
    series: f64,
    panel: f64,
    /// How much of the panel's recent move a series follows, in [0, 1].
    follows: f64,
}

/// Counts that a share is worth which a finer one leans on: for a slot, for a series' hour, for its weekday.
const PRIOR: f64 = 60.0;
const PRIOR_HOUR: f64 = 3.0;
const PRIOR_WEEKDAY: f64 = 100.0;
/// Weeks after which a count says half as much about the shares.
const SHARE_WEEKS: f64 = 16.0;

/// `panel[i]` are the counts of series i, NaN where missing, all ending at the origin.
pub fn fit(panel: &[&[f64]], grid: Grid) -> Counts {
    let origins = rolling(panel.first().map_or(0, |values| values.len()), grid.week, 16, 6 * grid.week);
    let rehearsed: Vec<(usize, Shares)> = origins.iter().map(|&o| (o, Shares::learn(&cut(panel, o), grid))).collect();
    let memory = choose(panel, &rehearsed, grid);
    let dispersions = dispersions(panel, &rehearsed, memory, grid);
    let shares = Shares::learn(panel, grid);
    Counts { means: shares.means(panel, memory, grid), dispersions }
}

fn cut<'a>(panel: &[&'a [f64]], origin: usize) -> Vec<&'a [f64]> {
    panel.iter().map(|values| &values[..origin.min(values.len())]).collect()
}

/// The memory under which the rehearsed forecasts were likeliest.
fn choose(panel: &[&[f64]], rehearsed: &[(usize, Shares)], grid: Grid) -> Memory {
    let mut best = (f64::INFINITY, Memory { series: 16.0, panel: 4.0, follows: 0.5 });
    for series in [3.0, 6.0, 12.0, 40.0] {
        for panel_weeks in [2.0, 5.0] {
            for follows in [0.0, 0.5, 1.0] {
                let memory = Memory { series, panel: panel_weeks, follows };
                let mut loss = 0.0;
                for (origin, shares) in rehearsed {
                    let means = shares.means(&cut(panel, *origin), memory, grid);
                    for (values, means) in panel.iter().zip(&means) {
                        for (h, y) in
                            values[*origin..].iter().take(grid.horizon).enumerate().filter(|(_, y)| !y.is_nan())
                        {
                            let mean = means[h % grid.week].max(1e-9);
                            loss += mean - y * libm::log(mean);
                        }
                    }
                }
                if loss < best.0 {
                    best = (loss, memory);
                }
            }
        }
    }
    best.1
}

/// Moment estimates, each series' own leaning on the panel's.
fn dispersions(panel: &[&[f64]], rehearsed: &[(usize, Shares)], memory: Memory, grid: Grid) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); panel.len()];
    for (origin, shares) in rehearsed {
        let means = shares.means(&cut(panel, *origin), memory, grid);
        for ((values, means), sum) in panel.iter().zip(&means).zip(&mut sums) {
            for (h, y) in values[*origin..].iter().take(grid.horizon).enumerate().filter(|(_, y)| !y.is_nan()) {
                let mean = means[h % grid.week];
                *sum = (sum.0 + (y - mean) * (y - mean) - mean, sum.1 + mean * mean);
            }
        }
    }
    let (over, square) = sums.iter().fold((0.0, 0.0), |all, s| (all.0 + s.0, all.1 + s.1));
    let common = if square > 0.0 { over / square } else { 0.2 };
    // A series' own excess counts fully once it has seen as much as the average series has.
    let lean = square / panel.len() as f64;
    let own = |s: &(f64, f64)| ((s.0 + common * lean) / (s.1 + lean).max(1e-9)).clamp(0.0, 20.0);
    sums.iter().map(own).collect()
}

/// Shares of the slots of a week, aligned to the origin: slot 0 is the origin's row. Their mean is 1.
#[derive(Clone, Debug)]
struct Shares(Vec<Vec<f64>>);

impl Shares {
    fn learn(panel: &[&[f64]], grid: Grid) -> Shares {
        let tallies: Vec<Vec<(f64, f64)>> = panel.iter().map(|values| tally(values, grid.week)).collect();
        let levels: Vec<f64> = tallies.iter().map(|tally| ratio(tally.iter().copied(), 0.0, 0.0)).collect();
        let common = common(&tallies, &levels, grid);
        let one = |(tally, level): (&Vec<(f64, f64)>, &f64)| {
            let mut shares = common.clone();
            if *level > 0.0 {
                for part in [grid.day, grid.week / grid.day] {
                    if part > 1 {
                        lean(&mut shares, tally, *level, part == grid.day, grid);
                    }
                }
            }
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            if mean > 0.0 {
                shares.iter_mut().for_each(|share| *share /= mean);
            }
            shares
        };
        Shares(tallies.iter().zip(&levels).map(one).collect())
    }

    /// Expected counts of the week after the end of `panel`.
    fn means(&self, panel: &[&[f64]], memory: Memory, grid: Grid) -> Vec<Vec<f64>> {
        let level = |weeks: f64| -> Vec<(f64, f64)> {
            panel.iter().zip(&self.0).map(|(values, shares)| recent(values, shares, weeks * grid.week as f64)).collect()
        };
        let (long, short) = (level(memory.series), level(memory.panel));
        let whole = |levels: &[(f64, f64)]| {
            let at = |l: &(f64, f64)| if l.1 > 0.0 { l.0 / l.1 } else { 0.0 };
            levels.iter().map(at).sum::<f64>()
        };
        let moved = if whole(&long) > 0.0 { whole(&short) / whole(&long) } else { 1.0 };
        let moved = libm::pow(moved.clamp(0.2, 5.0), memory.follows);
        let mean = |(level, shares): (&(f64, f64), &Vec<f64>)| {
            let level = moved * if level.1 > 0.0 { level.0 / level.1 } else { 0.0 };
            shares.iter().map(|share| level * share).collect()
        };
        long.iter().zip(&self.0).map(mean).collect()
    }
}

/// Sum and number of the values of each slot, slot 0 being the one after the end.
fn tally(values: &[f64], week: usize) -> Vec<(f64, f64)> {
    let mut tally = vec![(0.0, 0.0); week];
    let offset = week - values.len() % week;
    for (t, y) in values.iter().enumerate().filter(|(_, y)| !y.is_nan()) {
        let slot = &mut tally[(t + offset) % week];
        let weight = libm::exp(-std::f64::consts::LN_2 * (values.len() - t) as f64 / (SHARE_WEEKS * week as f64));
        *slot = (slot.0 + y * weight, slot.1 + weight);
    }
    tally
}

/// Counts over what was expected, leaning on `prior` as if on `worth` counts expected.
fn ratio(parts: impl Iterator<Item = (f64, f64)>, prior: f64, worth: f64) -> f64 {
    let (seen, expected) = parts.fold((prior * worth, worth), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    if expected > 0.0 { seen / expected } else { prior }
}

/// The panel's share of each slot: that of its hour times that of its weekday, moved towards the slot's own.
fn common(tallies: &[Vec<(f64, f64)>], levels: &[f64], grid: Grid) -> Vec<f64> {
    let slot = |s: usize| {
        tallies.iter().zip(levels).map(move |(tally, level)| (tally[s].0, level * tally[s].1)).fold((0.0, 0.0), add)
    };
    let slots: Vec<(f64, f64)> = (0..grid.week).map(slot).collect();
    let by = |key: &dyn Fn(usize) -> usize, at: usize| {
        ratio((0..grid.week).filter(|s| key(*s) == at).map(|s| slots[s]), 1.0, 1.0)
    };
    let hours: Vec<f64> = (0..grid.day).map(|hour| by(&|s| s % grid.day, hour)).collect();
    let days: Vec<f64> = (0..grid.week / grid.day).map(|day| by(&|s| s / grid.day, day)).collect();
    (0..grid.week)
        .map(|s| {
            let product = if grid.day > 1 { hours[s % grid.day] * days[s / grid.day] } else { days[s] };
            product * ratio(std::iter::once((slots[s].0, slots[s].1 * product)), 1.0, PRIOR)
        })
        .collect()
}

fn add(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 + b.0, a.1 + b.1)
}

/// Moves the shares of each hour (or weekday) towards what the series itself shows there.
fn lean(shares: &mut [f64], tally: &[(f64, f64)], level: f64, by_hour: bool, grid: Grid) {
    let key = |s: usize| if by_hour { s % grid.day } else { s / grid.day };
    let parts = if by_hour { grid.day } else { grid.week / grid.day };
    for part in 0..parts {
        let seen = (0..grid.week).filter(|s| key(*s) == part).map(|s| (tally[s].0, level * tally[s].1 * shares[s]));
        let factor = ratio(seen, 1.0, if by_hour { PRIOR_HOUR } else { PRIOR_WEEKDAY });
        (0..grid.week).filter(|s| key(*s) == part).for_each(|s| shares[s] *= factor);
    }
}

/// Counts and shares, newer ones weighing more: halved every `half` rows.
fn recent(values: &[f64], shares: &[f64], half: f64) -> (f64, f64) {
    let week = shares.len();
    let offset = week - values.len() % week;
    let step = libm::exp(-std::f64::consts::LN_2 / half);
    let mut sum = (0.0, 0.0);
    for (t, y) in values.iter().enumerate().filter(|(_, y)| !y.is_nan()) {
        sum = (sum.0 * step + y, sum.1 * step + shares[(t + offset) % week]);
    }
    sum
}

/// Where the ends of a band on whole numbers are moved to so that they leave the number out.
const OFF: f64 = 0.01;

/// What is expected in each row after the origin; `factors` are the rows' effects.
///
/// A band between two whole numbers holds more than it promises. So an end is moved a hundredth inwards, which leaves its
/// number out, wherever that keeps the share that the bands so far would hold closest to what they promise.
pub fn bands(means: &[f64], dispersion: f64, factors: &[f64]) -> Vec<Expectation> {
    let mut owed = [0.0; 2];
    let step = |(h, factor): (usize, &f64)| {
        let mean = factor * means[h % means.len()];
        let below = cumulative(mean, dispersion);
        let at = |level: f64| below.iter().position(|p| *p >= level).unwrap_or(below.len() - 1);
        let whole = LEVELS.map(at);
        let mut quantiles = whole.map(|k| k as f64);
        for (owed, (low, high, promised)) in owed.iter_mut().zip([(1, 5, 0.8), (0, 6, 0.95)]) {
            let ends = ends(&below, whole[low], whole[high], promised - *owed);
            // What is owed is forgotten past a few rows, so that closed hours do not narrow a whole week.
            *owed = (*owed + ends.held - promised).clamp(-1.0, 3.0);
            quantiles[low] += if ends.low_off { OFF } else { 0.0 };
            quantiles[high] -= if ends.high_off { OFF } else { 0.0 };
        }
        quantiles[0] = quantiles[0].min(quantiles[1]);
        quantiles[6] = quantiles[6].max(quantiles[5]);
        quantiles[2] = quantiles[2].max(quantiles[1]);
        quantiles[4] = quantiles[4].min(quantiles[5]);
        Expectation { mean, quantiles }
    };
    factors.iter().enumerate().map(step).collect()
}

/// Which ends of a band leave their number out, and what the band then holds.
struct Ends {
    low_off: bool,
    high_off: bool,
    held: f64,
}

/// The ends of the band from `low` to `high` that hold closest to `wanted`. An end stays on its side of the median.
fn ends(below: &[f64], low: usize, high: usize, wanted: f64) -> Ends {
    let under = |k: usize| if k == 0 { 0.0 } else { below[k - 1] };
    let held = |from: usize, to: usize| if to < from { 0.0 } else { below[to] - under(from) };
    let mut best = Ends { low_off: false, high_off: false, held: held(low, high) };
    let (low_may, high_may) = (below[low] < 0.5, high > 0 && under(high) >= 0.5);
    for (low_off, high_off) in [(true, false), (false, true), (true, true)] {
        if (low_off && !low_may) || (high_off && !high_may) {
            continue;
        }
        let held = held(low + usize::from(low_off), high - usize::from(high_off));
        if (held - wanted).abs() < (best.held - wanted).abs() {
            best = Ends { low_off, high_off, held };
        }
    }
    best
}

/// P(count <= k) for k = 0, 1, … until next to nothing is left, of a negative binomial.
fn cumulative(mean: f64, dispersion: f64) -> Vec<f64> {
    if mean <= 0.0 {
        return vec![1.0];
    }
    let size = 1.0 / dispersion.max(1e-6);
    let share = mean / (size + mean);
    let mut p = libm::exp(-size * libm::log1p(mean / size));
    let mut below = vec![p];
    let mut sum = p;
    let most = (mean + 60.0 * (mean + dispersion * mean * mean).sqrt()) as usize + 20;
    for k in 0..most {
        p *= (k as f64 + size) / (k as f64 + 1.0) * share;
        sum += p;
        below.push(sum);
        if sum > 0.999_99 {
            break;
        }
    }
    below
}
