//! What a day does to everybody: holidays found in the year before, and events whose dates are known ahead.
//!
//! Public holidays that are told are like themselves a year ago. Whether they are told or not, holidays come by three rules,
//! wherever people live: on a date, on the same Monday of the year, or with Easter. Which of them a place keeps is seen: a
//! day a year ago on which most series of the panel were far from their usual is expected again, by the rule that fits the
//! day. One year cannot tell a holiday from a storm, so what was seen is taken in part only.
//!
//! An effect is a factor, kept as its logarithm. History is divided by the effects before models see it, forecasts are
//! multiplied by them. An effect uses only what was known at the origin.

use super::panel::Panel;

/// Logarithm below which a deviation is no holiday.
const NOTABLE: f64 = 0.2;
/// The same as a multiple of the median deviation: about three and a half standard deviations of normal noise.
const NOISE: f64 = 5.2;
/// Days on either side of the turn of the year on which dates rule, whatever the weekday.
const TURN_DAYS: i64 = 12;

/// The logarithm of the expected factor of each of the panel's rows and the `horizon` rows after it; `events[e][t]` are the
/// values of event column e on the same rows, `told` the days of public holidays. Zeros where nothing is known.
pub fn effects(panel: &Panel, horizon: usize, events: &[Vec<f64>], told: &[i64]) -> Vec<f64> {
    let rows = panel.series().iter().map(Vec::len).max().unwrap_or(0);
    let mut effects = holidays(panel, rows + horizon, told);
    let moved = event_effects(panel, rows, events);
    effects.iter_mut().zip(moved.into_iter().chain(std::iter::repeat(0.0))).for_each(|(e, m)| *e += m);
    effects
}

/// By the year before; rows without a year before them have none.
fn holidays(panel: &Panel, rows: usize, told: &[i64]) -> Vec<f64> {
    let Some(start) = panel.start() else { return vec![0.0; rows] };
    let day_rows = panel.step().day();
    let first_day = start.div_euclid(day_rows as i64);
    let skipped = start.rem_euclid(day_rows as i64) as usize;
    let days: Vec<Vec<f64>> = panel.series().iter().map(|values| by_day(values, day_rows, skipped)).collect();
    let strange = deviations(&days, 7);
    let mut sizes: Vec<f64> = strange.iter().map(|z| z.abs()).collect();
    let notable = NOTABLE.max(if sizes.is_empty() { 0.0 } else { NOISE * median(&mut sizes) });
    let deviation = |day: i64| usize::try_from(day - first_day).ok().and_then(|at| strange.get(at)).copied();
    // A holiday that is told needs not be found, only measured; one that moved away is no rule for the day it was on.
    let seen = |day: i64| deviation(day).filter(|z| z.abs() > notable && told.binary_search(&day).is_err());
    let last = first_day + ((rows + skipped) / day_rows) as i64;
    let of_day = |day: i64| match told.binary_search(&day) {
        Ok(_) => 0.9 * a_year_before(day, told).and_then(deviation).unwrap_or(0.0),
        Err(_) => expected(day, &seen),
    };
    let expected: Vec<f64> = (first_day..=last).map(of_day).collect();
    (0..rows).map(|t| expected[(t + skipped) / day_rows]).collect()
}

/// Days by which a holiday that goes by the moon may be earlier or later than a year after the last one.
const WANDERS: i64 = 40;

/// The day of the year before on which the holiday of `day` was: its date if that is one of `told`, else the nearest of
/// them to a year before.
fn a_year_before(day: i64, told: &[i64]) -> Option<i64> {
    let (year, month, date) = civil(day);
    let same = days(year - 1, month, date);
    if told.binary_search(&same).is_ok() {
        return Some(same);
    }
    let from = told.partition_point(|other| *other < same - WANDERS);
    told[from..].iter().copied().take_while(|other| *other <= same + WANDERS).min_by_key(|other| (other - same).abs())
}

/// What the year before says about `day`, by the rule that fits it; zero if nothing notable happened.
fn expected(day: i64, seen: &impl Fn(i64) -> Option<f64>) -> f64 {
    let (year, month, date) = civil(day);
    let with_easter = |day: i64, year: i64| (-2..=1).contains(&(day - easter(year)));
    if with_easter(day, year) {
        return 0.9 * seen(easter(year - 1) + day - easter(year)).unwrap_or(0.0);
    }
    let a_year_ago = days(year - 1, month, if (month, date) == (2, 29) { 28 } else { date });
    let turn = [days(year, 1, 1), days(year + 1, 1, 1)].iter().any(|turn| (day - turn).abs() <= TURN_DAYS);
    if turn {
        return 0.8 * seen(a_year_ago).unwrap_or(0.0);
    }
    let free = |source: i64| !with_easter(source, civil(source).0);
    let monday = |day: i64| (day + 3).rem_euclid(7) == 0;
    if monday(day)
        && let Some(z) = seen(day - 364).filter(|_| free(day - 364))
    {
        return 0.8 * z;
    }
    match seen(a_year_ago).filter(|_| free(a_year_ago)) {
        Some(z) if !monday(a_year_ago) => 0.4 * z,
        _ => 0.0,
    }
}

/// Sums of whole days; NaN for a day with fewer than three quarters of its rows.
pub(super) fn by_day(values: &[f64], day_rows: usize, skipped: usize) -> Vec<f64> {
    let mut days = vec![(0.0, 0_usize); (values.len() + skipped).div_ceil(day_rows)];
    for (t, y) in values.iter().enumerate().filter(|(_, y)| !y.is_nan()) {
        let day = &mut days[(t + skipped) / day_rows];
        *day = (day.0 + y, day.1 + 1);
    }
    days.iter().map(|(sum, count)| if 4 * count >= 3 * day_rows { *sum } else { f64::NAN }).collect()
}

/// The panel's median deviation in each row from the same slot of the `week`s around it, as the logarithm of a ratio;
/// zero where too little is known.
fn deviations(series: &[Vec<f64>], week: usize) -> Vec<f64> {
    let rows = series.iter().map(Vec::len).max().unwrap_or(0);
    let sizes: Vec<f64> = series.iter().map(|values| mean(values).max(1e-9)).collect();
    let mut around = Vec::with_capacity(8);
    let mut there = Vec::with_capacity(series.len());
    (0..rows)
        .map(|t| {
            there.clear();
            for (values, size) in series.iter().zip(&sizes) {
                around.clear();
                let near = (1..=4).flat_map(|k| [t.checked_sub(k * week), Some(t + k * week)]).flatten();
                around.extend(near.filter_map(|s| values.get(s).copied()).filter(|y| !y.is_nan()));
                let y = values.get(t).copied().unwrap_or(f64::NAN);
                if !y.is_nan() && y >= 0.0 && around.len() >= 3 {
                    let usual = median(&mut around).max(0.0);
                    there.push(libm::log((y + 0.05 * size) / (usual + 0.05 * size)));
                }
            }
            if there.is_empty() { 0.0 } else { median(&mut there) }
        })
        .collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    let seen = values.iter().filter(|y| !y.is_nan());
    let (sum, count) = seen.fold((0.0, 0.0), |(s, n), y| (s + y, n + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Of at least one value; the lower of the two in the middle.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// Times around zero that a column of events is worth of no effect at all.
const RIDGE: f64 = 4.0;

/// Ridge regression of the panel's deviations on the columns, one after the other on what is left (two rounds).
fn event_effects(panel: &Panel, rows: usize, events: &[Vec<f64>]) -> Vec<f64> {
    let length = events.iter().map(Vec::len).max().unwrap_or(0);
    let mut effects = vec![0.0; length];
    if events.is_empty() {
        return effects;
    }
    let strange = deviations(panel.series(), panel.step().week());
    let value = |column: &[f64], t: usize| column.get(t).copied().filter(|x| x.is_finite()).unwrap_or(0.0);
    let mut slopes = vec![0.0; events.len()];
    for _ in 0..2 {
        for (e, column) in events.iter().enumerate() {
            let biggest = column.iter().filter(|x| x.is_finite()).fold(0.0_f64, |most, x| most.max(x.abs()));
            let (mut together, mut square) = (0.0, RIDGE * biggest * biggest);
            for t in (0..rows).filter(|t| value(column, *t) != 0.0) {
                let x = value(column, t);
                let left: f64 = strange.get(t).copied().unwrap_or(0.0) - effects[t] + slopes[e] * x;
                together += x * left.clamp(-2.0, 2.0);
                square += x * x;
            }
            let slope = if square > 0.0 { together / square } else { 0.0 };
            (0..length).for_each(|t| effects[t] += (slope - slopes[e]) * value(column, t));
            slopes[e] = slope;
        }
    }
    effects.iter_mut().for_each(|effect| *effect = effect.clamp(-2.0, 2.0));
    effects
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, date: i64) -> i64 {
    // Years are counted from March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + date - 1 - 719_468
}

/// Year, month and date of a day.
fn civil(day: i64) -> (i64, i64, i64) {
    let mut year = 1970 + day.div_euclid(366);
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= day).unwrap_or(1);
    (year, month, day - days(year, month, 1) + 1)
}

/// The day of Easter Sunday: the anonymous Gregorian computus (Meeus, Astronomical Algorithms, chapter 8).
fn easter(year: i64) -> i64 {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e, f) = (b / 4, b % 4, (b + 8) / 25);
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let sum = h + l - 7 * m + 114;
    days(year, sum / 31, sum % 31 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Step;

    #[test]
    fn dates_are_counted_as_everybody_does() {
        assert_eq!((days(1970, 1, 1), days(2000, 3, 1), days(2024, 2, 29)), (0, 11_017, 19_782));
        for day in (-20_000..30_000).step_by(17) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }

    /// Dates of Easter as the churches publish them.
    #[test]
    fn easter_falls_where_it_does() {
        for (year, month, date) in [(2008, 3, 23), (2011, 4, 24), (2023, 4, 9), (2024, 3, 31), (2025, 4, 20)] {
            assert_eq!(easter(year), days(year, month, date));
        }
    }

    /// Three series of a shop that is closed on a date, on a Monday of June and on Good Friday.
    fn shops(from: i64, count: i64) -> Panel {
        let closed = |day: i64| {
            let (year, month, date) = civil(day);
            (month, date) == (12, 25) || day == easter(year) - 2 || (month == 6 && date <= 7 && (day + 3) % 7 == 0)
        };
        let shop = |size: f64| (from..from + count).map(|day| if closed(day) { 0.3 * size } else { size }).collect();
        Panel::new(Step::Day, Some(from), [100.0, 50.0, 80.0].map(shop).to_vec()).unwrap()
    }

    #[test]
    fn a_holiday_comes_again_by_its_rule() {
        let from = days(2022, 5, 1);
        let panel = shops(from, 420);
        let effects = effects(&panel, 420, &[], &[]);
        let of = |year, month, date| effects[(days(year, month, date) - from) as usize];
        assert!(of(2023, 12, 25) < -0.7 && of(2024, 3, 29) < -0.7 && of(2024, 6, 3) < -0.7);
        // Where they were last year, and on any other day, nothing is expected.
        assert_eq!([of(2024, 4, 7), of(2024, 6, 6), of(2023, 9, 14)], [0.0; 3]);
    }

    /// A day that no rule knows, and one that a rule would expect again where it is not: both as the country says.
    #[test]
    fn a_holiday_that_is_told_is_like_itself_a_year_ago() {
        let moved = [days(2022, 5, 26), days(2023, 5, 18), days(2024, 5, 9)];
        let fixed = [days(2022, 12, 25), days(2023, 12, 25)];
        let mut told = [&moved[..], &fixed[..]].concat();
        told.sort_unstable();
        let from = days(2022, 4, 1);
        let closed = |day: i64| told.contains(&day);
        let shop = |size: f64| (from..from + 700).map(|day| if closed(day) { 0.3 * size } else { size }).collect();
        let panel = Panel::new(Step::Day, Some(from), [100.0, 50.0, 80.0].map(shop).to_vec()).unwrap();
        let of = |effects: &[f64], day: i64| effects[(day - from) as usize];
        let effects_told = effects(&panel, 120, &[], &told);
        for day in [days(2024, 5, 9), days(2023, 12, 25)] {
            assert!(of(&effects_told, day) < -0.7, "{day}");
        }
        assert_eq!(of(&effects_told, days(2024, 5, 18)), 0.0, "where it was last year");
        let alone = effects(&panel, 120, &[], &[]);
        assert!(of(&alone, days(2024, 5, 9)) == 0.0 && of(&alone, days(2023, 12, 25)) < -0.7);
    }

    #[test]
    fn an_event_moves_as_much_as_it_did() {
        let game = |t: usize| t % 11 == 3;
        let values = |size: f64| (0..200).map(|t| size * if game(t) { 1.5 } else { 1.0 }).collect();
        let panel = Panel::new(Step::Day, None, [40.0, 70.0].map(values).to_vec()).unwrap();
        let column = (0..220).map(|t| f64::from(u8::from(game(t)))).collect();
        let effects = effects(&panel, 20, &[column], &[]);
        assert!((effects[212] - 1.5_f64.ln()).abs() < 0.12, "{}", effects[212]);
        assert_eq!(effects[213], 0.0);
    }
}
