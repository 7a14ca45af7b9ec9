//! Boosted trees over all series at once: what the same slots of the weeks before, recent levels and the calendar say
//! together, for every step ahead.
//!
//! A row is a step ahead of an origin, its numbers in units of the series' size there, so that large and small series
//! teach each other. What the trees learn is the median of what the mean of the same slots leaves over (quantile loss
//! with that mean as offset), so where they find nothing they say what that mean says.

use super::Rhythm;
use super::combination::rolling;
use crate::boosting::{self, Booster, Columns, Loss, Sample, Settings};

/// What the trees would have said.
pub struct Told {
    /// `paths[i][r]`: of series i at rolling origin r, the latest first; NaN before the first model.
    pub paths: Vec<Vec<Vec<f64>>>,
    /// Of series i at the end; None where it has no size there.
    pub ahead: Vec<Option<Vec<f64>>>,
}

/// How the trees are asked: as `Rehearsal::run` is.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub rhythm: Rhythm,
    pub horizon: usize,
    pub threads: usize,
}

/// Rows that one model learns from; more bring little and take long.
const ROWS_MAX: usize = 6_000;
/// Fewer are not worth a model.
const ROWS_MIN: usize = 400;
/// Rows behind an origin that must be there to learn from it, in weeks.
const WEEKS_MIN: usize = 4;
/// A value so many times the size of its series teaches nothing about others.
const UNITS_MAX: f64 = 1_000.0;
/// Weeks of targets that a model learns from.
const WEEKS: usize = 52;

/// None where there is too little to learn from. A model that speaks at an origin has seen nothing after it: one is fitted
/// for the end, one where a quarter of the rolling origins lies ahead, which speaks at those, and one where half of them
/// does, for the second quarter.
pub fn tell(series: &[Vec<f64>], ask: Ask) -> Option<Told> {
    let (step, times, least, window) = ask.rhythm.rehearsal();
    if step < ask.rhythm.week {
        // A history so short that it is rehearsed day by day holds too few weeks to teach what a week looks like.
        return None;
    }
    let pasts: Vec<Past<'_>> = series.iter().map(|values| Past::new(values, ask.rhythm)).collect();
    let origins: Vec<usize> =
        series.iter().map(|values| rolling(values.len().min(window), step, times, least).len()).collect();
    let most = origins.iter().max()?;
    let mut rehearsal: Vec<Vec<Vec<f64>>> =
        origins.iter().map(|origins| vec![vec![f64::NAN; ask.horizon]; *origins]).collect();
    let mut begin = 0;
    for end in [most.div_ceil(4), most.div_ceil(2)] {
        let model = learn(&pasts, end * step, ask)?;
        let places: Vec<(usize, usize)> = origins
            .iter()
            .enumerate()
            .flat_map(|(i, origins)| (begin..end.min(*origins)).map(move |r| (i, r)))
            .collect();
        // The rolling origin r lies r + 1 steps before the end.
        let backs: Vec<(usize, usize)> = places.iter().map(|(i, r)| (*i, (r + 1) * step)).collect();
        for ((i, r), path) in places.into_iter().zip(paths(&pasts, &model, &backs, ask.horizon)) {
            if let Some(path) = path {
                rehearsal[i][r] = path;
            }
        }
        begin = end;
    }
    let ends: Vec<(usize, usize)> = (0..series.len()).map(|i| (i, 0)).collect();
    let ahead = paths(&pasts, &learn(&pasts, 0, ask)?, &ends, ask.horizon);
    Some(Told { paths: rehearsal, ahead })
}

/// What `model` says of each (series, rows before the end); None where the series has no size there.
fn paths(pasts: &[Past<'_>], model: &Booster, places: &[(usize, usize)], horizon: usize) -> Vec<Option<Vec<f64>>> {
    let sizes: Vec<Option<f64>> = places.iter().map(|(i, back)| pasts[*i].size(*back)).collect();
    let there = places.iter().zip(&sizes).filter_map(|(place, size)| Some((place, (*size)?)));
    let rows: Vec<Row> =
        there.flat_map(|((i, back), size)| (0..horizon).map(move |h| pasts[*i].row(*back, h, size))).collect();
    let column = |j: usize| rows.iter().map(|row| row.features[j]).collect();
    let said = Columns::new((0..FEATURES).map(column).collect()).and_then(|features| model.raw(&features));
    // Features are NaN or finite, and as many as the model learned from; were they not, it would say nothing.
    let Ok(said) = said else { return vec![None; places.len()] };
    let mut steps = rows.iter().zip(said).map(|(row, left)| row.usual + left);
    sizes.iter().map(|size| size.map(|size| steps.by_ref().take(horizon).map(|step| size * step).collect())).collect()
}

/// A model of what was known `known` rows before the end.
fn learn(pasts: &[Past<'_>], known: usize, ask: Ask) -> Option<Booster> {
    let Rhythm { day, week, .. } = ask.rhythm;
    // Origins so far apart that all slots of a day and of a week have their turn.
    let apart = if day > 1 { day + 5 } else { 5 };
    let places: Vec<(usize, usize)> = pasts
        .iter()
        .enumerate()
        .flat_map(|(i, past)| {
            let rows = past.values.len();
            let last = known + ask.horizon.min(week);
            let backs = (last..last + WEEKS * week).step_by(apart);
            backs.take_while(move |back| back + WEEKS_MIN * week <= rows).map(move |back| (i, back))
        })
        .collect();
    let wanted = places.len() * ask.horizon;
    let mut columns = vec![Vec::new(); FEATURES];
    let (mut target, mut offset) = (Vec::new(), Vec::new());
    for (number, (i, back)) in places.into_iter().enumerate() {
        let Some(size) = pasts[i].size(back) else { continue };
        for h in 0..ask.horizon {
            // A share of all rows, spread by a multiplier without common factors (Knuth's 2654435769).
            let lot = ((number * ask.horizon + h) as u64).wrapping_mul(2_654_435_769) & 0xFFFF_FFFF;
            if lot as usize % wanted >= ROWS_MAX {
                continue;
            }
            let Some(y) = pasts[i].at(back, h).filter(|_| back > known + h) else { continue };
            let row = pasts[i].row(back, h, size);
            if !((y / size).abs() < UNITS_MAX && row.usual.abs() < UNITS_MAX) {
                continue;
            }
            target.push(y / size);
            offset.push(row.usual);
            columns.iter_mut().zip(row.features).for_each(|(column, x)| column.push(x));
        }
    }
    if target.len() < ROWS_MIN {
        return None;
    }
    let features = Columns::new(columns).ok()?;
    let sample = Sample { features: &features, target: &target, weight: None, offset: Some(&offset), group: None };
    let settings = Settings {
        rounds: 80,
        learning_rate: 0.1,
        leaves_max: 8,
        rows_per_leaf_min: 40,
        bins_max: 63,
        threads: ask.threads.max(1),
        ..Settings::default()
    };
    boosting::fit(&sample, None, Loss::Quantile { level: 0.5 }, &settings).ok()
}

const FEATURES: usize = 12;

struct Row {
    /// Mean of the same slots of the weeks before, in sizes.
    usual: f64,
    features: [f64; FEATURES],
}

/// One series with running sums.
struct Past<'a> {
    values: &'a [f64],
    rhythm: Rhythm,
    /// `sums[t]`: sum and number of the values before row t that are there.
    sums: Vec<(f64, f64)>,
}

impl<'a> Past<'a> {
    fn new(values: &'a [f64], rhythm: Rhythm) -> Past<'a> {
        let mut sums = Vec::with_capacity(values.len() + 1);
        let mut sum = (0.0, 0.0);
        sums.push(sum);
        for y in values {
            sum = if y.is_nan() { sum } else { (sum.0 + y, sum.1 + 1.0) };
            sums.push(sum);
        }
        Past { values, rhythm, sums }
    }

    /// The value `h` rows after the origin that lies `back` rows before the end.
    fn at(&self, back: usize, h: usize) -> Option<f64> {
        let t = self.values.len().checked_sub(back)? + h;
        self.values.get(t).copied().filter(|y| !y.is_nan())
    }

    /// Mean of `rows` rows up to `end`; NaN for none.
    fn mean(&self, end: usize, rows: usize) -> f64 {
        let end = end.min(self.values.len());
        let (from, to) = (self.sums[end.saturating_sub(rows)], self.sums[end]);
        if to.1 > from.1 { (to.0 - from.0) / (to.1 - from.1) } else { f64::NAN }
    }

    /// Mean of the four weeks before the origin; None unless above 0.
    fn size(&self, back: usize) -> Option<f64> {
        let origin = self.values.len().checked_sub(back)?;
        Some(self.mean(origin, 4 * self.rhythm.week)).filter(|size| *size > 1e-9)
    }

    fn row(&self, back: usize, h: usize, size: f64) -> Row {
        let Rhythm { day, week, .. } = self.rhythm;
        let origin = self.values.len() - back;
        let t = origin + h;
        let value = |at: Option<usize>| at.and_then(|at| self.values.get(at)).map_or(f64::NAN, |y| y / size);
        // The latest same slots that are known at the origin.
        let same = |cycle: usize, k: usize| value(t.checked_sub(cycle * (h / cycle + k)));
        let weeks: Vec<f64> = (1..=8).map(|k| same(week, k)).collect();
        let usual = mean_of(&weeks[..4]).or_else(|| mean_of(&weeks)).unwrap_or(1.0);
        let mut ordered: Vec<f64> = weeks.iter().copied().filter(|y| !y.is_nan()).collect();
        ordered.sort_unstable_by(f64::total_cmp);
        let year = t.checked_sub(52 * week).map_or(f64::NAN, |ago| self.mean(ago + week / 2 + 1, week));
        let then = origin.checked_sub(52 * week).map_or(f64::NAN, |ago| self.mean(ago, 4 * week));
        // All series end at one moment, so rows to the end tell the hour and the weekday, whatever they are called.
        let phase = |cycle: usize| (back as i64 - h as i64).rem_euclid(cycle as i64) as f64;
        let features = [
            h as f64,
            phase(week),
            if day > 1 { phase(day) } else { f64::NAN },
            weeks[0],
            weeks[1],
            usual,
            ordered.get(ordered.len() / 2).copied().unwrap_or(f64::NAN),
            self.mean(origin, week) / size,
            self.mean(origin, 12 * week) / size,
            self.mean(origin, if day > 1 { day } else { 2 }) / size,
            same(day.max(1), 1),
            if then > 0.0 { year / then } else { f64::NAN },
        ];
        Row { usual, features: features.map(|x| if x.is_finite() { x } else { f64::NAN }) }
    }
}

fn mean_of(values: &[f64]) -> Option<f64> {
    let seen = values.iter().filter(|y| !y.is_nan());
    let (sum, count) = seen.fold((0.0, 0.0), |(s, n), y| (s + y, n + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Ask = Ask { rhythm: Rhythm { day: 1, week: 7, rows: 420 }, horizon: 14, threads: 1 };

    /// Weeks whose level is doubled in every fifth, which the mean of four weeks cannot know.
    fn series(size: f64) -> Vec<f64> {
        let level = |t: usize| if (t / 7) % 5 == 4 { 2.0 } else { 1.0 };
        (0..420).map(|t| size * level(t) * [4.0, 4.0, 5.0, 6.0, 9.0, 12.0, 2.0][t % 7]).collect()
    }

    #[test]
    fn what_comes_again_is_seen_whatever_the_size() {
        let panel: Vec<Vec<f64>> = [1.0, 30.0, 7.0].map(series).to_vec();
        let told = tell(&panel, ASK).unwrap();
        // Sixty weeks: the next is the first of five, the week after it the second. The mean of the four before, one of
        // them doubled, misses both by a quarter.
        for (path, values) in told.ahead.iter().zip(&panel) {
            let path = path.as_ref().unwrap();
            let missed: f64 = (0..14).map(|h| (path[h] - values[h]).abs()).sum();
            assert!(missed < 0.6 * 0.25 * values[..14].iter().sum::<f64>(), "{path:?}");
        }
    }

    #[test]
    fn a_path_knows_nothing_of_what_comes_after_its_origin() {
        let panel: Vec<Vec<f64>> = [1.0, 30.0, 7.0].map(series).to_vec();
        let (whole, mut cut) = (tell(&panel, ASK).unwrap(), panel.clone());
        // The rolling origins that lie half of them back and more see nothing of the last twelve weeks.
        cut.iter_mut().for_each(|values| values[336..].iter_mut().for_each(|y| *y *= 3.0));
        let other = tell(&cut, ASK).unwrap();
        let speaks = |paths: &Vec<Vec<f64>>| paths.iter().filter(|path| !path[0].is_nan()).count();
        assert!(whole.paths.iter().all(|paths| speaks(paths) == 13 && paths.len() == 26));
        for (whole, other) in whole.paths.iter().zip(&other.paths) {
            assert_eq!(whole[11..13], other[11..13]);
            assert_ne!(whole[0], other[0], "the latest origin does see them");
        }
    }

    #[test]
    fn too_little_teaches_nothing() {
        assert!(
            tell(&[series(5.0)[..90].to_vec()], Ask { rhythm: Rhythm { rows: 90, ..ASK.rhythm }, ..ASK }).is_none()
        );
        assert!(tell(&[vec![0.0; 420]], ASK).is_none());
    }
}
