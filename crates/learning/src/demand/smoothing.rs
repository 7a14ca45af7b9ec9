//! Exponential smoothing with up to two seasons, a damped trend and a correction of the last error.
//!
//! Taylor (2003), "Short-term electricity demand forecasting using double seasonal exponential smoothing": level, season
//! of the day, season of the week, each moved a little by every error, and the error itself fading out over the horizon.
//! Values are smoothed on a scale on which their noise is even: see `Scale`. A missing value moves nothing.

use crate::numeric::optimise::by_simplex;

/// The scale on which a series is smoothed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// For series that are never near zero.
    Logarithm,
    /// For series of counts with zeros.
    Root,
    /// For any other.
    Plain,
}

impl Scale {
    /// What suits `values`: the logarithm if all are above a hundredth of their mean, the root if none is negative.
    pub fn of(values: &[f64]) -> Scale {
        let seen = || values.iter().filter(|y| !y.is_nan());
        let mean = seen().sum::<f64>() / seen().count().max(1) as f64;
        let least = seen().copied().fold(f64::INFINITY, f64::min);
        if least > 0.0 && least > 0.01 * mean {
            Scale::Logarithm
        } else if least >= 0.0 {
            Scale::Root
        } else {
            Scale::Plain
        }
    }

    pub fn to(self, y: f64) -> f64 {
        match self {
            Scale::Logarithm => libm::log(y),
            Scale::Root => y.sqrt(),
            Scale::Plain => y,
        }
    }

    pub fn from(self, z: f64) -> f64 {
        match self {
            Scale::Logarithm => libm::exp(z.min(600.0)),
            Scale::Root => z.max(0.0) * z.max(0.0),
            Scale::Plain => z,
        }
    }
}

/// A fitted smoother: what it moves by, and where it starts.
#[derive(Clone, Debug)]
pub struct Smoothing {
    scale: Scale,
    gains: Gains,
    first: State,
}

#[derive(Clone, Copy, Debug)]
struct Gains {
    level: f64,
    trend: f64,
    damping: f64,
    day: f64,
    week: f64,
    /// Share of an error that is still there one step later.
    error: f64,
}

/// Where a smoother stands after a value, which is all that a forecast needs.
#[derive(Clone, Debug)]
pub struct State {
    level: f64,
    trend: f64,
    /// Empty if there is no such season; the entry at `rows % length` is for the next row.
    day: Vec<f64>,
    week: Vec<f64>,
    rows: usize,
    error: f64,
}

impl Smoothing {
    /// Least squares of the errors one step ahead over `values`, by simplex. `day` and `week` are the lengths of the two
    /// seasons, 0 or 1 for none. None if fewer than two whole cycles of the longer season are there, or nothing varies.
    pub fn fit(values: &[f64], scale: Scale, (day, week): (usize, usize), rows: usize) -> Option<Smoothing> {
        let z: Vec<f64> = values.iter().map(|&y| scale.to(y)).collect();
        let first = State::first(&z, day, week)?;
        let seasons = (day > 1, week > 1);
        let longest = day.max(week).max(1);
        let recent = &z[z.len() - rows.clamp(2 * longest + 3, z.len())..];
        let begin = State::first(recent, day, week).unwrap_or_else(|| first.clone());
        let loss = |at: &[f64]| {
            let mut state = begin.clone();
            let gains = gains(at, seasons);
            let warm = recent.len() / 8;
            let mut sum = 0.0;
            for (t, &z) in recent.iter().enumerate() {
                let error = state.take(z, &gains);
                if t >= warm {
                    sum += error * error;
                }
            }
            sum
        };
        let start = [-1.5, -4.5, -2.0, -2.5, 0.0];
        // Without seasons nothing hangs on the last three.
        let (used, steps) = if seasons == (false, false) { (2, 40) } else { (5, 120) };
        let found = by_simplex(&start[..used], &[1.0; 5][..used], loss, steps).ok()?;
        Some(Smoothing { scale, gains: gains(&found.at, seasons), first })
    }

    /// The state after `values`, which begin elsewhere than those it was fitted to; of a smoother without seasons. None
    /// for too few.
    pub fn anew(&self, values: &[f64]) -> Option<State> {
        let z: Vec<f64> = values.iter().map(|&y| self.scale.to(y)).collect();
        let mut state = State::first(&z, 0, 0)?;
        z.iter().for_each(|&z| {
            state.take(z, &self.gains);
        });
        Some(state)
    }

    /// The states after each of `origins` values, which ascend.
    pub fn states(&self, values: &[f64], origins: &[usize]) -> Vec<State> {
        let mut state = self.first.clone();
        let mut found = Vec::with_capacity(origins.len());
        let mut next = origins.iter().peekable();
        for t in 0..=values.len() {
            while next.next_if(|&&origin| origin == t).is_some() {
                found.push(state.clone());
            }
            if let Some(&y) = values.get(t) {
                state.take(self.scale.to(y), &self.gains);
            }
        }
        found
    }

    /// The `horizon` values after `state`.
    pub fn path(&self, state: &State, horizon: usize) -> Vec<f64> {
        let (mut drift, mut fading, mut error) = (0.0, self.gains.damping, state.error * self.gains.error);
        (0..horizon)
            .map(|h| {
                drift += fading * state.trend;
                fading *= self.gains.damping;
                let z = state.level + drift + season(&state.day, state.rows + h) + season(&state.week, state.rows + h);
                let value = self.scale.from(z + error);
                error *= self.gains.error;
                value
            })
            .collect()
    }
}

fn gains(at: &[f64], (day, week): (bool, bool)) -> Gains {
    let share = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    Gains {
        level: share(at[0]),
        trend: 0.3 * share(at[1]),
        damping: 0.98,
        day: if day { share(at[2]) } else { 0.0 },
        week: if week { share(at[3]) } else { 0.0 },
        error: if day && week { 0.99 * share(at[4]) } else { 0.0 },
    }
}

fn season(pattern: &[f64], row: usize) -> f64 {
    if pattern.is_empty() { 0.0 } else { pattern[row % pattern.len()] }
}

impl State {
    /// From the means of the first cycles: level, pattern of the day, and what the pattern of the week adds to it.
    fn first(z: &[f64], day: usize, week: usize) -> Option<State> {
        let longest = day.max(week).max(1);
        if z.len() < 2 * longest + 3 {
            return None;
        }
        let head = &z[..(2 * longest).max(10).min(z.len())];
        let average = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.filter(|z| !z.is_nan()).fold((0.0, 0.0), |(s, n), z| (s + z, n + 1.0));
            (count > 0.0).then_some(sum / count)
        };
        let level = average(&mut head.iter().copied())?;
        let pattern = |length: usize, taken: &[f64]| -> Vec<f64> {
            let rest = |t: usize| head[t] - level - season(taken, t);
            let slots = if length > 1 { length } else { 0 };
            (0..slots).map(|s| average(&mut (s..head.len()).step_by(length).map(rest)).unwrap_or(0.0)).collect()
        };
        let of_day = pattern(day, &[]);
        let of_week = pattern(week, &of_day);
        Some(State { level, trend: 0.0, day: of_day, week: of_week, rows: 0, error: 0.0 })
    }

    /// Moves by one value and gives its error one step ahead; zero for a missing one.
    fn take(&mut self, z: f64, gains: &Gains) -> f64 {
        let damped = gains.damping * self.trend;
        let (day, week) = (season(&self.day, self.rows), season(&self.week, self.rows));
        let carried = gains.error * self.error;
        let error = if z.is_nan() { 0.0 } else { z - (self.level + damped + day + week + carried) };
        self.level += damped + gains.level * error;
        self.trend = damped + gains.level * gains.trend * error;
        if let Some(slot) = self.rows.checked_rem(self.day.len()) {
            self.day[slot] = day + gains.day * error * (1.0 - gains.level);
        }
        if let Some(slot) = self.rows.checked_rem(self.week.len()) {
            self.week[slot] = week + gains.week * error * (1.0 - gains.level);
        }
        self.error = if z.is_nan() { carried } else { carried + error };
        self.rows += 1;
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seasons_are_learned_and_continued() {
        let truth = |t: usize| 50.0 + 10.0 * ((t % 4) as f64) + if (t / 4) % 3 == 2 { 20.0 } else { 0.0 };
        let values: Vec<f64> = (0..240).map(truth).collect();
        let model = Smoothing::fit(&values, Scale::Logarithm, (4, 12), 240).unwrap();
        let path = model.path(&model.states(&values, &[240])[0], 24);
        (0..24).for_each(|h| assert!((path[h] / truth(240 + h) - 1.0).abs() < 0.01, "{h}: {}", path[h]));
    }

    #[test]
    fn a_state_knows_nothing_of_what_comes_after_it() {
        let values: Vec<f64> = (0..90).map(|t| 20.0 + (t % 7) as f64 + (t as f64 * 1.7).sin()).collect();
        let model = Smoothing::fit(&values, Scale::of(&values), (0, 7), 70).unwrap();
        let mut other = values.clone();
        other[60..].iter_mut().for_each(|y| *y *= 3.0);
        let paths = [&values, &other].map(|values| model.path(&model.states(values, &[60])[0], 14));
        assert_eq!(paths[0], paths[1]);
    }

    #[test]
    fn gaps_move_nothing_and_too_little_is_refused() {
        let mut values: Vec<f64> = (0..70).map(|t| [5.0, 8.0, 0.0, 4.0, 9.0, 30.0, 2.0][t % 7]).collect();
        values[66..].fill(f64::NAN);
        let model = Smoothing::fit(&values, Scale::of(&values), (0, 7), 70).unwrap();
        let path = model.path(&model.states(&values, &[70])[0], 7);
        (0..7).for_each(|h| assert!((path[h] - [5.0, 8.0, 0.0, 4.0, 9.0, 30.0, 2.0][h]).abs() < 0.5, "{path:?}"));
        assert!(Smoothing::fit(&values[..12], Scale::Root, (0, 7), 70).is_none());
        assert!(Smoothing::fit(&[f64::NAN; 40], Scale::Plain, (0, 7), 70).is_none());
    }
}
