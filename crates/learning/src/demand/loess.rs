//! Local regression on evenly spaced values, and the decomposition made of it.
//!
//! STL (Cleveland, Cleveland, McRae and Terpenning 1990): the subseries of each slot of a cycle smoothed over the cycles,
//! freed of what a low-pass filter still finds in them, and the trend smoothed over what the season leaves; twice. MSTL
//! (Bandara, Hyndman and Bergmeir 2021): STL for one season after the other, the shortest first, and once more with
//! what the others took. Defaults are those of R's `stl` and `mstl`, without robustness weights: so smoothing is a fixed
//! linear filter, whose weights are reckoned once for all places that see the same neighbourhood. That is what makes it
//! several times quicker than the crate `stlrs`, which gives the same numbers.

/// Repetitions within STL, and over the seasons.
const INNER: usize = 2;
const OUTER: usize = 2;

/// The seasons of `values`, as `[season][t]`, for cycles of `periods` rows, which ascend; `windows` are the cycles over
/// which each is smoothed, odd and at least 3. What they leave of the values is trend and remainder.
///
/// None if a period is below 2, or `values` shorter than two of it.
pub fn seasons(values: &[f64], periods: &[usize], windows: &[usize]) -> Option<Vec<Vec<f64>>> {
    if periods.iter().any(|p| *p < 2 || values.len() < 2 * p) {
        return None;
    }
    let decompositions: Vec<Stl> =
        periods.iter().zip(windows).map(|(period, window)| Stl::new(values.len(), *period, *window)).collect();
    let mut found = vec![vec![0.0; values.len()]; decompositions.len()];
    let mut rest = values.to_vec();
    // One season has nothing to be told apart from.
    for _ in 0..if periods.len() == 1 { 1 } else { OUTER } {
        for (stl, season) in decompositions.iter().zip(&mut found) {
            rest.iter_mut().zip(&*season).for_each(|(rest, season)| *rest += season);
            *season = stl.season(&rest);
            rest.iter_mut().zip(&*season).for_each(|(rest, season)| *rest -= season);
        }
    }
    Some(found)
}

/// One season's decomposition of so many values.
struct Stl {
    period: usize,
    /// Of subseries that hold one cycle more, and of the others.
    cycles: [Filter; 2],
    longer: usize,
    low_pass: Filter,
    trend: Filter,
}

impl Stl {
    fn new(rows: usize, period: usize, window: usize) -> Stl {
        let odd = |length: usize| length.max(3) | 1;
        // Reckoned in the precision of the original, on whose rounding the length may hang.
        let trend = (1.5 * period as f32 / (1.0 - 1.5 / window as f32)).ceil() as usize;
        let over_cycles = |cycles| Filter::new(cycles, window, Degree::Constant, true);
        Stl {
            period,
            cycles: [over_cycles(rows / period + 1), over_cycles(rows / period)],
            longer: rows % period,
            low_pass: Filter::new(rows, odd(period), Degree::Linear, false),
            trend: Filter::new(rows, odd(trend), Degree::Linear, false),
        }
    }

    fn season(&self, values: &[f64]) -> Vec<f64> {
        let rows = values.len();
        let (mut trend, mut season) = (vec![0.0; rows], vec![0.0; rows]);
        for _ in 0..INNER {
            let level: Vec<f64> = values.iter().zip(&trend).map(|(y, t)| y - t).collect();
            let cycles = self.over_cycles(&level);
            let slow = means(&means(&means(&cycles, self.period), self.period), 3);
            let slow = self.low_pass.smooth(&slow);
            (0..rows).for_each(|t| season[t] = cycles[self.period + t] - slow[t]);
            let level: Vec<f64> = values.iter().zip(&season).map(|(y, s)| y - s).collect();
            trend = self.trend.smooth(&level);
        }
        season
    }

    /// Each slot's subseries smoothed, from a cycle before the first row to a cycle after the last.
    fn over_cycles(&self, level: &[f64]) -> Vec<f64> {
        let mut smoothed = vec![0.0; level.len() + 2 * self.period];
        for (filter, slots) in self.cycles.iter().zip([0..self.longer, self.longer..self.period]) {
            filter.smooth_apart(level, &mut smoothed, self.period, slots);
        }
        smoothed
    }
}

/// Means of `length` neighbours, as many as there are.
fn means(values: &[f64], length: usize) -> Vec<f64> {
    let mut sum: f64 = values[..length].iter().sum();
    let first = sum / length as f64;
    let next = (length..values.len()).map(|t| {
        sum += values[t] - values[t - length];
        sum / length as f64
    });
    std::iter::once(first).chain(next).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Degree {
    Constant,
    Linear,
}

/// Local regression of so many values, fitted at every tenth of the window and drawn straight between.
struct Filter {
    /// Place at which it is fitted, first value it looks at, and which of `weights`. Places count from 1, as the values.
    fits: Vec<(usize, usize, usize)>,
    weights: Vec<Vec<f64>>,
    rows: usize,
}

impl Filter {
    /// With `beyond` also at one place before the first value and one after the last.
    fn new(rows: usize, window: usize, degree: Degree, beyond: bool) -> Filter {
        let mut filter = Filter { fits: vec![], weights: vec![], rows };
        let width = window.min(rows);
        let jump = window.div_ceil(10).min(rows.saturating_sub(1)).max(1);
        let mut last = None;
        let mut fit = |place: usize, first: usize| {
            let at = place as f64 - first as f64;
            if last.replace(at) != Some(at) {
                filter.weights.push(weights(at, width, rows, window, degree));
            }
            filter.fits.push((place, first, filter.weights.len() - 1));
        };
        let first_of = |place: usize| (place + 1).saturating_sub(window.div_ceil(2)).clamp(1, rows - width + 1);
        if beyond {
            fit(0, 1);
        }
        let places: Vec<usize> = (1..=rows).step_by(jump).collect();
        places.iter().for_each(|&place| fit(place, first_of(place)));
        // As in the original, the last value is fitted from what the place before it sees.
        if let Some(&place) = places.last().filter(|place| **place != rows) {
            fit(rows, first_of(place));
        }
        if beyond {
            fit(rows + 1, rows - width + 1);
        }
        filter
    }

    /// The same for the series that stand `apart` rows apart in `values` and begin at `slots`, all at once, into
    /// `smoothed`, where they begin `apart` rows sooner. A filter with `beyond`.
    fn smooth_apart(&self, values: &[f64], smoothed: &mut [f64], apart: usize, slots: std::ops::Range<usize>) {
        let rows = |row: usize| row * apart + slots.start..row * apart + slots.end;
        let mut before = 0;
        for &(place, first, weights) in &self.fits {
            for (i, w) in self.weights[weights].iter().enumerate() {
                let seen = &values[rows(first - 1 + i)];
                smoothed[rows(place)].iter_mut().zip(seen).for_each(|(sum, y)| *sum += w * y);
            }
            for at in before + 1..place {
                let share = (at - before) as f64 / (place - before) as f64;
                for slot in slots.clone() {
                    let (from, to) = (smoothed[before * apart + slot], smoothed[place * apart + slot]);
                    smoothed[at * apart + slot] = from + share * (to - from);
                }
            }
            before = place;
        }
    }

    /// The smoothed values, of a filter without `beyond`.
    fn smooth(&self, values: &[f64]) -> Vec<f64> {
        let mut smoothed = vec![0.0; self.rows];
        let mut before: Option<(usize, f64)> = None;
        for &(place, first, weights) in &self.fits {
            let value = product(&self.weights[weights], &values[first - 1..]);
            if let Some((from, start)) = before {
                let slope = (value - start) / (place - from) as f64;
                (from + 1..place).for_each(|at| smoothed[at - 1] = start + slope * (at - from) as f64);
            }
            smoothed[place - 1] = value;
            before = Some((place, value));
        }
        smoothed
    }
}

/// Sum of products, four at a time: one after the other each would wait for the one before.
fn product(weights: &[f64], values: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (fours, rest) = weights.as_chunks::<4>();
    for (w, y) in fours.iter().zip(values.as_chunks::<4>().0) {
        (0..4).for_each(|i| sums[i] += w[i] * y[i]);
    }
    let rest: f64 = rest.iter().zip(&values[4 * fours.len()..]).map(|(w, y)| w * y).sum();
    sums.iter().sum::<f64>() + rest
}

/// Weights of `width` neighbours for the value at `at`, counted from the first of them: tricube in the distance, tilted by
/// a straight line through them.
fn weights(at: f64, width: usize, rows: usize, window: usize, degree: Degree) -> Vec<f64> {
    let reach = at.max(width as f64 - 1.0 - at) + (window.saturating_sub(rows) / 2) as f64;
    let tricube = |j: usize| match (j as f64 - at).abs() {
        r if r <= 0.001 * reach => 1.0,
        r if r <= 0.999 * reach => (1.0 - (r / reach).powi(3)).powi(3),
        _ => 0.0,
    };
    let mut weights: Vec<f64> = (0..width).map(tricube).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= sum);
    if degree == Degree::Linear && reach > 0.0 {
        let centre: f64 = weights.iter().enumerate().map(|(j, w)| w * j as f64).sum();
        let spread: f64 = weights.iter().enumerate().map(|(j, w)| w * (j as f64 - centre).powi(2)).sum();
        if spread.sqrt() > 0.001 * (rows as f64 - 1.0) {
            let slope = (at - centre) / spread;
            weights.iter_mut().enumerate().for_each(|(j, w)| *w *= 1.0 + slope * (j as f64 - centre));
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], wanted: &[f64]) {
        found.iter().zip(wanted).for_each(|(f, w)| assert!((f - w).abs() < 1e-5, "{found:?} {wanted:?}"));
    }

    /// The first five values, as the tests of the crate `stlrs` 0.4.0 print them, a port of the original.
    #[test]
    fn numbers_of_stlrs_are_met() {
        let values = [
            5.0, 9.0, 2.0, 9.0, 0.0, 6.0, 3.0, 8.0, 5.0, 8.0, 7.0, 8.0, 8.0, 0.0, 2.0, 5.0, 0.0, 5.0, 6.0, 7.0, 3.0,
            6.0, 1.0, 4.0, 4.0, 4.0, 3.0, 7.0, 5.0, 8.0,
        ];
        let found = seasons(&values, &[6, 10], &[11, 15]).unwrap();
        close(&found[0], &[0.283_182_32, 0.705_298_24, -1.980_384, 2.164_337_9, -2.335_687_4]);
        close(&found[1], &[1.413_043_6, 1.604_890_6, 0.050_958_008, -1.870_675_4, -1.770_451_4]);
        let found = seasons(&values, &[7], &[7]).unwrap();
        close(&found[0], &[0.369_265_76, 0.756_554_84, -1.332_413_9, 1.955_365_8, -0.604_480_2]);
    }

    #[test]
    fn numbers_of_statsmodels_are_met() {
        let (mut values, mut wanted) = (vec![], vec![vec![], vec![]]);
        for line in include_str!("loess_statsmodels.csv").lines().skip(1) {
            let mut fields = line.split(',').map(|field| field.parse::<f64>().unwrap());
            values.push(fields.next().unwrap());
            wanted.iter_mut().for_each(|column| column.push(fields.next().unwrap()));
        }
        let found = seasons(&values, &[4, 12], &[11, 15]).unwrap();
        assert_eq!(found[0].len(), 130);
        found.iter().zip(&wanted).for_each(|(found, wanted)| close(found, wanted));
    }

    #[test]
    fn what_repeats_is_season_and_a_constant_has_none() {
        let values: Vec<f64> = (0..60).map(|t| 8.0 + [1.0, -3.0, 2.0, 0.0][t % 4]).collect();
        close(&seasons(&values, &[4], &[7]).unwrap()[0], &[1.0, -3.0, 2.0, 0.0]);
        close(&seasons(&[3.0; 40], &[4, 12], &[11, 15]).unwrap()[1], &[0.0; 40]);
    }

    #[test]
    fn less_than_two_cycles_are_not_taken_apart() {
        assert!(seasons(&[1.0, 2.0], &[2], &[7]).is_none() && seasons(&[1.0; 9], &[1], &[7]).is_none());
        assert!(seasons(&[1.0, 2.0, 1.0, 2.0], &[2], &[7]).is_some_and(|found| found[0][0] < found[0][1]));
    }
}
