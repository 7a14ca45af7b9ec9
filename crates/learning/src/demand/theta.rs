//! Season taken off, the rest smoothed, half of the long-run slope put on.
//!
//! The theta method (Assimakopoulos and Nikolopoulos 2000) in the form of Hyndman and Billah (2003): simple exponential
//! smoothing with a drift of half the slope of the whole series. The season is the mean of what each slot of the cycle
//! was away from its own cycle's centred mean. Smoothed on the scale of `smoothing::Scale`.

use super::smoothing::Scale;

/// The settings: how long a cycle is, how far back to look, how fast the level moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Theta {
    pub cycle: usize,
    pub cycles: usize,
    /// Weight of the newest value in the level, in (0, 1).
    pub gain: f64,
}

/// What a forecast needs.
#[derive(Clone, Debug)]
pub struct Line {
    scale: Scale,
    level: f64,
    drift: f64,
    season: Vec<f64>,
}

impl Theta {
    /// None with fewer than two cycles, or without a value in the last of them.
    pub fn after(&self, past: &[f64], scale: Scale) -> Option<Line> {
        let window = (self.cycles * self.cycle).min(past.len() / self.cycle * self.cycle);
        let z: Vec<f64> = past[past.len() - window..].iter().map(|&y| scale.to(y)).collect();
        if window < 2 * self.cycle || z[window - self.cycle..].iter().all(|z| z.is_nan()) {
            return None;
        }
        let season = self.season(&z);
        let rest: Vec<f64> = z.iter().enumerate().map(|(t, z)| z - season[t % self.cycle]).collect();
        let level = rest.iter().filter(|r| !r.is_nan()).copied().reduce(|l, r| l + self.gain * (r - l))?;
        Some(Line { scale, level, drift: slope(&rest) / 2.0, season })
    }

    /// Mean deviation of each slot from the mean of its own cycle, centred on zero.
    fn season(&self, z: &[f64]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); self.cycle];
        for cycle in z.chunks_exact(self.cycle) {
            let seen = cycle.iter().filter(|z| !z.is_nan());
            let (sum, count) = seen.fold((0.0, 0.0), |(s, n), z| (s + z, n + 1.0));
            for (slot, z) in sums.iter_mut().zip(cycle).filter(|(_, z)| !z.is_nan()) {
                *slot = (slot.0 + z - sum / count, slot.1 + 1.0);
            }
        }
        let raw: Vec<f64> = sums.iter().map(|(sum, count)| if *count > 0.0 { sum / count } else { 0.0 }).collect();
        let centre = raw.iter().sum::<f64>() / raw.len() as f64;
        raw.iter().map(|s| s - centre).collect()
    }
}

/// Least squares slope a row.
fn slope(values: &[f64]) -> f64 {
    let seen = || values.iter().enumerate().filter(|(_, z)| !z.is_nan()).map(|(t, z)| (t as f64, *z));
    let count = seen().count().max(1) as f64;
    let (mean_t, mean_z) = (seen().map(|v| v.0).sum::<f64>() / count, seen().map(|v| v.1).sum::<f64>() / count);
    let spread: f64 = seen().map(|(t, _)| (t - mean_t).powi(2)).sum();
    let together: f64 = seen().map(|(t, z)| (t - mean_t) * (z - mean_z)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}

impl Line {
    /// The `horizon` values after the origin.
    pub fn path(&self, horizon: usize) -> Vec<f64> {
        let at = |h: usize| self.level + self.drift * (h + 1) as f64 + self.season[h % self.season.len()];
        (0..horizon).map(|h| self.scale.from(at(h))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_straight_line_is_continued() {
        let past: Vec<f64> = (0..70).map(|t| t as f64).collect();
        let theta = Theta { cycle: 7, cycles: 10, gain: 0.999_999 };
        let path = theta.after(&past, Scale::Plain).unwrap().path(8);
        assert!((path[7] - path[0] - 3.5).abs() < 0.05, "{path:?}");
        assert!(theta.after(&past[..13], Scale::Plain).is_none());
    }

    #[test]
    fn a_season_stays_in_its_slots_and_gaps_do_no_harm() {
        let mut past: Vec<f64> = (0..75).map(|t| 10.0 + [0.0, 4.0, 8.0, 1.0, 1.0, 1.0, -5.0][t % 7]).collect();
        past[74] = f64::NAN;
        let path = Theta { cycle: 7, cycles: 8, gain: 0.2 }.after(&past, Scale::Plain).unwrap().path(7);
        (0..7).for_each(|h| assert!((path[h] - 10.0 - [0.0, 4.0, 8.0, 1.0, 1.0, 1.0, -5.0][(75 + h) % 7]).abs() < 0.2));
    }
}
