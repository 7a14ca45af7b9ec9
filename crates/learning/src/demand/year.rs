//! The time of the year: where a panel's level went a year ago, it may go again.
//!
//! The level of a day is the panel's median of how far its series are from their usual for the weekday; then the median of
//! that over the week around it, so that single days (holidays, storms) are not in it: those are `calendar`'s; then the
//! mean of that over a fortnight. How much of last year's way is gone again is learned from the history: the slope of
//! changes of level from the eight weeks before an origin to the weeks after it, on the same changes 52 weeks earlier. Less
//! than a year and some months of history say nothing about it, and then nothing is expected.
//!
//! An effect is a factor, kept as its logarithm, and uses only what was known at the origin.

use super::calendar::{by_day, mean, median};
use super::panel::Panel;

/// Fifty-two weeks, so that weekdays meet their like.
const YEAR: usize = 364;
/// Days before an origin whose mean level is the base of a change.
const BASE: usize = 56;
/// Days after an origin over which changes are compared, in weeks.
const AHEAD: usize = 28;
/// Origins, a week apart, that can be compared before the past says anything about the year.
const ORIGINS_MIN: usize = 8;
/// Days on either side over which a level is smoothed: one year shows the way of a fortnight, not of a day.
const SMOOTHED: usize = 7;
/// Spread of a change (as a logarithm) that is worth nothing: pulls the slope to 0 where years have no shape.
const RIDGE: f64 = 0.03;
/// One year before is one year: what was seen is never expected again as a whole.
const SLOPE_MAX: f64 = 0.8;

/// The logarithm of the expected factor of each of the panel's rows and the `horizon` rows after it, up to a constant. Rows
/// without a year before them have that of the first row that has one.
pub fn effects(panel: &Panel, horizon: usize) -> Vec<f64> {
    let rows = panel.series().iter().map(Vec::len).max().unwrap_or(0) + horizon;
    let nothing = vec![0.0; rows];
    let Some(start) = panel.start() else { return nothing };
    let day_rows = panel.step().day();
    let skipped = start.rem_euclid(day_rows as i64) as usize;
    let days: Vec<Vec<f64>> = panel.series().iter().map(|values| by_day(values, day_rows, skipped)).collect();
    let levels = levels(&days);
    let slope = slope(&levels);
    if slope == 0.0 {
        return nothing;
    }
    // Towards the end of the year ahead there may be no year before yet: the last level that is known stays.
    let at = |t: usize| ((t + skipped) / day_rows).saturating_sub(YEAR).min(levels.len() - 1);
    (0..rows).map(|t| slope * levels[at(t)]).collect()
}

/// Each day's level as the logarithm of a ratio.
fn levels(days: &[Vec<f64>]) -> Vec<f64> {
    let count = days.iter().map(Vec::len).max().unwrap_or(0);
    let usual: Vec<[f64; 7]> = days.iter().map(|values| usual(values)).collect();
    let sizes: Vec<f64> = days.iter().map(|values| mean(values).max(1e-9)).collect();
    let mut there = Vec::with_capacity(days.len());
    let mut panel = Vec::with_capacity(count);
    for d in 0..count {
        there.clear();
        for ((values, usual), size) in days.iter().zip(&usual).zip(&sizes) {
            let y = values.get(d).copied().unwrap_or(f64::NAN);
            if y >= 0.0 {
                there.push(libm::log((y + 0.05 * size) / (usual[d % 7] + 0.05 * size)));
            }
        }
        panel.push(if there.is_empty() { f64::NAN } else { median(&mut there) });
    }
    let mut known = 0.0;
    let weekly: Vec<f64> = (0..count)
        .map(|d| {
            let week = panel[d.saturating_sub(3)..count.min(d + 4)].iter().copied();
            let mut week: Vec<f64> = week.filter(|level| !level.is_nan()).collect();
            if !week.is_empty() {
                known = median(&mut week);
            }
            known
        })
        .collect();
    let around = |d: usize| &weekly[d.saturating_sub(SMOOTHED)..count.min(d + SMOOTHED + 1)];
    (0..count).map(|d| around(d).iter().sum::<f64>() / around(d).len() as f64).collect()
}

/// The mean of each of seven weekdays; that of all days for a weekday of which nothing is known.
fn usual(values: &[f64]) -> [f64; 7] {
    let whole = mean(values);
    std::array::from_fn(|weekday| {
        let same: Vec<f64> = values.iter().copied().skip(weekday).step_by(7).filter(|y| !y.is_nan()).collect();
        if same.is_empty() { whole } else { mean(&same) }
    })
}

/// How much of last year's changes came again, in [0, `SLOPE_MAX`].
fn slope(levels: &[f64]) -> f64 {
    let over = |from: usize, days: usize| levels[from..from + days].iter().sum::<f64>() / days as f64;
    let change = |origin: usize, week: usize| over(origin + 7 * week, 7) - over(origin - BASE, BASE);
    let origins = (YEAR + BASE..=levels.len().saturating_sub(AHEAD)).rev().step_by(7);
    let (mut together, mut square, mut count) = (0.0, 0.0, 0);
    for origin in origins {
        for week in 0..AHEAD / 7 {
            let (now, then) = (change(origin, week), change(origin - YEAR, week));
            together += now * then;
            square += then * then + RIDGE * RIDGE;
        }
        count += 1;
    }
    if count < ORIGINS_MIN { 0.0 } else { (together / square).clamp(0.0, SLOPE_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Step;
    use crate::numeric::chance::{chance, uniform};

    /// Three shops whose level `of` gives by day, with a weekday's shape and some noise.
    fn shops(count: i64, of: impl Fn(f64) -> f64) -> Panel {
        let mut random = chance(5, 1);
        let mut shop = |size: f64| {
            let day = |d: i64| size * of(d as f64) * (1.0 + 0.3 * (d % 7) as f64) * (0.85 + 0.3 * uniform(&mut random));
            (0..count).map(day).collect::<Vec<f64>>()
        };
        let series = vec![shop(100.0), shop(50.0), shop(80.0)];
        Panel::new(Step::Day, Some(17_000), series).unwrap()
    }

    fn summer(d: f64) -> f64 {
        1.0 + 0.5 * libm::sin(d / 365.0 * std::f64::consts::TAU)
    }

    #[test]
    fn a_year_that_came_again_is_expected_again() {
        let effects = effects(&shops(700, summer), 28);
        let told = effects[727] - effects[690];
        let true_change = libm::log(summer(727.0) / summer(690.0));
        assert!((told / true_change - 0.8).abs() < 0.25, "{told} of {true_change}");
    }

    #[test]
    fn what_less_than_a_year_shows_is_not_expected() {
        assert!(effects(&shops(450, summer), 28).iter().all(|effect| *effect == 0.0));
        assert!(effects(&shops(20, summer), 28).iter().all(|effect| *effect == 0.0));
    }

    #[test]
    fn years_without_a_shape_say_next_to_nothing() {
        let effects = effects(&shops(900, |_| 1.0), 28);
        assert!(effects.iter().all(|effect| (effect - effects[900]).abs() < 0.03));
    }

    /// A level that wanders by itself: the other way round a year later.
    #[test]
    fn a_year_that_did_not_come_again_is_not_expected() {
        let turned = |d: f64| if d < 364.0 { summer(d) } else { 2.0 - summer(d) };
        assert!(effects(&shops(700, turned), 28).iter().all(|effect| *effect == 0.0));
    }
}
