//! What a slot of the week usually holds, times how busy the last days were.
//!
//! The simplest model that is hard to beat where people walk: the same slot of the weeks before, recent weeks more, and
//! the whole moved to the level of the last cycle. A median over weeks shrugs at holidays and broken counters; a mean
//! follows a change sooner.

/// How a slot's values are made one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Centre {
    Mean,
    Median,
}

/// The settings of one profile model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Rows of one cycle.
    pub cycle: usize,
    /// Cycles to look back on.
    pub cycles: usize,
    /// Weight of a cycle relative to the one after it, in (0, 1].
    pub decay: f64,
    pub centre: Centre,
    /// How much of the last cycle's deviation in level is carried into the future, in [0, 1].
    pub carried: f64,
}

impl Profile {
    /// One cycle of expectations from the values before the origin, the first entry for the origin's row. None without a
    /// single value in reach. With `additive` the level is moved by a difference, otherwise by a ratio, which needs
    /// values that are not negative.
    pub fn cycle_after(&self, past: &[f64], additive: bool) -> Option<Vec<f64>> {
        let mut profile = self.usual(past)?;
        let last = &past[past.len() - self.cycle.min(past.len())..];
        // The last cycle's values stand at the end of the profile's cycle when the past is shorter than a cycle.
        let from = self.cycle - last.len();
        let (mut seen, mut usual, mut count) = (0.0, 0.0, 0.0);
        for (y, p) in last.iter().zip(&profile[from..]).filter(|(y, _)| !y.is_nan()) {
            seen += y;
            usual += p;
            count += 1.0;
        }
        if count == 0.0 || self.carried == 0.0 {
            return Some(profile);
        }
        if additive {
            let shift = self.carried * (seen - usual) / count;
            profile.iter_mut().for_each(|p| *p += shift);
        } else if usual > 0.0 {
            let ratio = libm::pow((seen / usual).clamp(0.0, 20.0), self.carried);
            profile.iter_mut().for_each(|p| *p *= ratio);
        }
        Some(profile)
    }

    fn usual(&self, past: &[f64]) -> Option<Vec<f64>> {
        let mut values = Vec::with_capacity(self.cycles);
        let found: Vec<Option<f64>> = (0..self.cycle)
            .map(|slot| {
                values.clear();
                let mut weight = 1.0;
                for back in 1..=self.cycles {
                    let Some(at) = (past.len() + slot).checked_sub(back * self.cycle) else { break };
                    if at < past.len() && !past[at].is_nan() {
                        values.push((past[at], weight));
                    }
                    weight *= self.decay;
                }
                match self.centre {
                    Centre::Mean => mean(&values),
                    Centre::Median => median(&mut values),
                }
            })
            .collect();
        fill(&found)
    }
}

/// Weighted mean; None for no values.
fn mean(values: &[(f64, f64)]) -> Option<f64> {
    let weight: f64 = values.iter().map(|v| v.1).sum();
    (weight > 0.0).then(|| values.iter().map(|v| v.0 * v.1).sum::<f64>() / weight)
}

/// Weighted median, halfway between two where the weight splits evenly; None for no values.
fn median(values: &mut [(f64, f64)]) -> Option<f64> {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let half: f64 = values.iter().map(|v| v.1).sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (i, (value, weight)) in values.iter().enumerate() {
        below += weight;
        if below > half * (1.0 + 1e-12) {
            return Some(*value);
        }
        if below >= half * (1.0 - 1e-12) {
            return Some((value + values.get(i + 1).map_or(*value, |next| next.0)) / 2.0);
        }
    }
    None
}

/// Slots that were never seen get the mean of their nearest neighbours that were.
fn fill(found: &[Option<f64>]) -> Option<Vec<f64>> {
    let cycle = found.len();
    let near = |slot: usize| {
        (0..=cycle / 2).find_map(|distance| {
            let ends = [found[(slot + cycle - distance) % cycle], found[(slot + distance) % cycle]];
            let there: Vec<f64> = ends.into_iter().flatten().collect();
            (!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64)
        })
    };
    (0..cycle).map(near).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Profile = Profile { cycle: 7, cycles: 8, decay: 0.8, centre: Centre::Median, carried: 1.0 };

    #[test]
    fn a_pattern_that_repeats_is_found_whatever_is_missing() {
        let pattern = [3.0, 4.0, 5.0, 6.0, 9.0, 12.0, 2.0];
        let mut past: Vec<f64> = (0..40).map(|t| pattern[t % 7]).collect();
        past[39] = f64::NAN;
        past[20] = f64::NAN;
        let next = WEEK.cycle_after(&past, false).unwrap();
        (0..7).for_each(|h| assert!((next[h] - pattern[(40 + h) % 7]).abs() < 1e-9, "{next:?}"));
    }

    #[test]
    fn the_level_of_the_last_cycle_is_carried_on() {
        let past: Vec<f64> = (0..42).map(|t| if t < 35 { 10.0 } else { 20.0 }).collect();
        let [ratio, difference] = [false, true].map(|additive| WEEK.cycle_after(&past, additive).unwrap()[3]);
        assert!((ratio - 20.0).abs() < 1e-9 && (difference - 20.0).abs() < 1e-9, "{ratio} {difference}");
        let still = Profile { carried: 0.0, ..WEEK };
        assert_eq!(still.cycle_after(&past, false).unwrap()[3], 10.0);
    }

    #[test]
    fn less_than_a_cycle_is_stretched_and_nothing_is_nothing() {
        let next = WEEK.cycle_after(&[4.0, 6.0], false).unwrap();
        assert!(next.iter().all(|y| (3.0..=7.0).contains(y)), "{next:?}");
        assert_eq!(WEEK.cycle_after(&[f64::NAN; 9], false), None);
    }

    #[test]
    fn a_median_is_weighted_and_halved() {
        assert_eq!(median(&mut [(5.0, 1.0), (1.0, 1.0)]), Some(3.0));
        assert_eq!(median(&mut [(5.0, 1.0), (1.0, 1.0), (9.0, 3.0)]), Some(9.0));
        assert_eq!(median(&mut []), None);
    }
}
