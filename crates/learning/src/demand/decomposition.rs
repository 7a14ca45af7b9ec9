//! Trend and seasons taken apart by local regression; what is left without the seasons is smoothed, and they are put back on.
//!
//! The forecast of MSTL (Bandara, Hyndman and Bergmeir 2021): exponential smoothing of trend and remainder, plus the last
//! cycle of every season. `loess` takes apart.

use super::loess::seasons;
use super::smoothing::{Scale, Smoothing, State};

/// The settings: rows of the two seasons (1 for no shorter one), and how far back to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decomposition {
    day: usize,
    week: usize,
    rows: usize,
}

/// What a forecast needs.
#[derive(Clone, Debug)]
pub struct Seasons {
    scale: Scale,
    model: Smoothing,
    state: State,
    /// One cycle of each season, the first entry for the origin's row.
    cycles: Vec<Vec<f64>>,
}

/// Cycles over which a season is smoothed: the fewest that Cleveland et al. advise.
const WINDOW: usize = 7;
/// Rolling origins that are rehearsed at most, the latest ones. A decomposition takes long and must be made anew at each.
const REHEARSED: usize = 12;

impl Decomposition {
    pub fn of(day: usize, week: usize) -> Decomposition {
        Decomposition { day, week, rows: if day > 1 { 8 * week } else { 40 * week } }
    }

    /// What stands at each of `origins`, which ascend and end with that of the forecast; None at those too far back, and
    /// where fewer than two cycles are there or nothing in the last one.
    pub fn after(&self, values: &[f64], origins: &[usize], scale: Scale) -> Vec<Option<Seasons>> {
        let fitted = origins.last().and_then(|&o| {
            let (_, rest) = self.apart(&values[..o], scale)?;
            Smoothing::fit(&rest, Scale::Plain, (0, 0), rest.len())
        });
        let Some(model) = fitted else { return vec![None; origins.len()] };
        let silent = origins.len().saturating_sub(REHEARSED + 1);
        let spoken = origins[silent..].iter().map(|&o| {
            let (cycles, rest) = self.apart(&values[..o], scale)?;
            Some(Seasons { scale, model: model.clone(), state: model.anew(&rest)?, cycles })
        });
        std::iter::repeat_n(None, silent).chain(spoken).collect()
    }

    /// The last cycle of each season, and the values without their seasons, NaN where missing.
    fn apart(&self, past: &[f64], scale: Scale) -> Option<(Vec<Vec<f64>>, Vec<f64>)> {
        let recent = &past[past.len() - self.rows.min(past.len())..];
        if recent.len() < 2 * self.week || recent[recent.len() - self.week..].iter().all(|y| y.is_nan()) {
            return None;
        }
        let z: Vec<f64> = recent.iter().map(|&y| scale.to(y)).collect();
        let periods: Vec<usize> = [self.day, self.week].into_iter().filter(|period| *period > 1).collect();
        let seasons = seasons(&filled(&z, self.week), &periods, &[WINDOW; 2])?;
        let cycles = seasons.iter().zip(&periods).map(|(season, period)| season[z.len() - period..].to_vec()).collect();
        let rest = (0..z.len()).map(|t| z[t] - seasons.iter().map(|season| season[t]).sum::<f64>()).collect();
        Some((cycles, rest))
    }
}

/// Gaps get what stood a cycle before, or else comes a cycle later, or else the mean.
fn filled(z: &[f64], cycle: usize) -> Vec<f64> {
    let seen = || z.iter().filter(|z| !z.is_nan());
    let mean = seen().sum::<f64>() / seen().count().max(1) as f64;
    let mut whole = z.to_vec();
    for t in cycle..whole.len() {
        if whole[t].is_nan() {
            whole[t] = whole[t - cycle];
        }
    }
    for t in (0..whole.len().saturating_sub(cycle)).rev() {
        if whole[t].is_nan() {
            whole[t] = whole[t + cycle];
        }
    }
    whole.iter_mut().filter(|z| z.is_nan()).for_each(|z| *z = mean);
    whole
}

impl Seasons {
    /// The `horizon` values after the origin.
    pub fn path(&self, horizon: usize) -> Vec<f64> {
        let season = |h: usize| self.cycles.iter().map(|cycle| cycle[h % cycle.len()]).sum::<f64>();
        self.model.path(&self.state, horizon).iter().enumerate().map(|(h, z)| self.scale.from(z + season(h))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(values: &[f64], (day, week): (usize, usize), origin: usize) -> Option<Vec<f64>> {
        let seasons = Decomposition::of(day, week).after(values, &[origin, values.len()], Scale::of(values));
        seasons[0].as_ref().map(|seasons| seasons.path(2 * week))
    }

    #[test]
    fn two_seasons_are_continued_through_gaps() {
        let truth = |t: usize| 50.0 + 10.0 * ((t % 4) as f64) + if (t / 4) % 3 == 2 { 20.0 } else { 0.0 };
        let mut values: Vec<f64> = (0..96).map(truth).collect();
        values[40..47].fill(f64::NAN);
        values[95] = f64::NAN;
        let path = path(&values, (4, 12), 96).unwrap();
        (0..24).for_each(|h| assert!((path[h] / truth(96 + h) - 1.0).abs() < 0.05, "{h}: {}", path[h]));
    }

    #[test]
    fn zeros_and_constants_are_borne_and_too_little_is_refused() {
        let zeros: Vec<f64> = (0..70).map(|t| [0.0, 8.0, 0.0, 4.0, 9.0, 30.0, 0.0][t % 7]).collect();
        let weekly = path(&zeros, (1, 7), 70).unwrap();
        (0..7).for_each(|h| assert!((weekly[h] - zeros[h]).abs() < 0.5, "{weekly:?}"));
        assert!(path(&[30.0; 70], (1, 7), 70).unwrap().iter().all(|y| (y - 30.0).abs() < 1e-6));
        assert_eq!(path(&[0.0; 70], (1, 7), 70), Some(vec![0.0; 14]));
        for little in [&zeros[..13], &zeros[..2], &[f64::NAN; 40]] {
            assert_eq!(path(little, (1, 7), little.len()), None);
        }
    }

    /// Gains are fitted to all values, as those of the other members are; seasons and states know only what was.
    #[test]
    fn an_origin_knows_nothing_of_what_comes_after_it() {
        let values: Vec<f64> = (0..90).map(|t| 20.0 + (t % 7) as f64 + (t as f64 * 1.7).sin()).collect();
        let mut other = values.clone();
        other[60..].iter_mut().for_each(|y| *y += 3.0);
        let model = Smoothing::fit(&values, Scale::Plain, (0, 0), 90).unwrap();
        let [one, two] = [&values, &other].map(|values| {
            let (cycles, rest) = Decomposition::of(1, 7).apart(&values[..60], Scale::Plain).unwrap();
            Seasons { scale: Scale::Plain, state: model.anew(&rest).unwrap(), model: model.clone(), cycles }.path(14)
        });
        assert_eq!(one, two);
    }
}
