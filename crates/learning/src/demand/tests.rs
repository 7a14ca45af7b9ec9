//! What holds for a forecast as a whole, on small panels made here.

use super::*;
use proptest::prelude::*;

const ASK: Ask<'_> = Ask { horizon: 14, events: &[], holidays: &[], threads: 1 };

/// Days of shops with a week and a level of about `level`: Poisson counts where it is low (Knuth's product of uniform
/// numbers), even noise where it is not.
fn days(level: f64, rows: usize, shops: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut chance = crate::numeric::chance::chance(seed, 7);
    let week = [0.8, 0.8, 0.9, 1.0, 1.3, 1.5, 0.7];
    let mut one = |_| {
        let day = |t: usize| {
            let mean = level * week[t % 7];
            if level > 10.0 {
                return (mean * (0.7 + 0.6 * chance.random::<f64>())).round();
            }
            let (mut count, mut left) = (0.0, chance.random::<f64>());
            while left > libm::exp(-mean) {
                left *= chance.random::<f64>();
                count += 1.0;
            }
            count
        };
        (0..rows).map(day).collect()
    };
    (0..shops).map(&mut one).collect()
}

fn forecast(series: Vec<Vec<f64>>, ask: &Ask<'_>) -> Vec<Result<Vec<Expectation>, Thin>> {
    let panel = Panel::new(Step::Day, Some(19_000), series).unwrap();
    fit(&panel, ask).unwrap().predict()
}

fn sound(steps: &[Expectation], least: f64) -> bool {
    steps.iter().all(|step| {
        let ordered = step.quantiles.windows(2).all(|pair| pair[0] <= pair[1]);
        ordered && step.mean.is_finite() && step.mean >= least && step.quantiles[0] >= least && step.quantiles[6] < 1e12
    })
}

#[test]
fn the_same_bits_however_many_threads() {
    let (series, bits) = (days(200.0, 120, 3, 1), |threads| Ask { threads, ..ASK });
    assert_eq!(forecast(series.clone(), &bits(1)), forecast(series, &bits(3)));
}

/// Four days in five inside the band, on days that were not seen; for counts and for larger numbers.
#[test]
fn bands_hold_about_what_they_promise() {
    for (level, seed) in [(200.0, 3), (4.0, 4)] {
        let (mut inside, mut all) = (0, 0);
        for end in [112, 126, 140] {
            let whole = days(level, end + 14, 6, seed);
            let past = whole.iter().map(|values| values[..end].to_vec()).collect();
            for (steps, values) in forecast(past, &ASK).iter().zip(&whole) {
                for (step, y) in steps.as_ref().unwrap().iter().zip(&values[end..]) {
                    inside += u32::from(step.quantiles[1] <= *y && *y <= step.quantiles[5]);
                    all += 1;
                }
            }
        }
        let share = f64::from(inside) / f64::from(all);
        assert!((0.68..=0.92).contains(&share), "{level}: {share}");
    }
}

#[test]
fn a_weekly_pattern_is_beaten_by_nothing_known_of_it() {
    let series = days(200.0, 140, 1, 5);
    let steps = forecast(series, &ASK).remove(0).unwrap();
    // Row 140 is the first day of the pattern; the sixth is the busiest, the seventh the quietest.
    assert!(steps[5].quantiles[3] > 1.7 * steps[6].quantiles[3], "{steps:?}");
}

#[test]
fn thin_series_are_refused_and_guessed_with_wide_bands() {
    let mut series = days(200.0, 100, 2, 6);
    series.push(vec![f64::NAN; 100]);
    series.push(vec![f64::NAN; 98].into_iter().chain([10.0, 14.0]).collect());
    let forecast = forecast(series.clone(), &ASK);
    assert!(forecast[0].is_ok() && forecast[1].is_ok());
    assert_eq!(forecast[2], Err(Thin { seen: 0, needed: 14 }));
    assert_eq!(forecast[3], Err(Thin { seen: 2, needed: 14 }));
    let two = guess(&series[3], 3);
    assert!(sound(&two, 0.0) && two[0].mean == 12.0 && two[0].quantiles[1] < 10.0 && two[0].quantiles[5] > 14.0);
    assert!(sound(&guess(&series[2], 3), 0.0));
}

#[test]
fn gaps_late_starts_and_constants_are_borne() {
    let mut series = days(200.0, 150, 4, 8);
    series[0][140..].fill(f64::NAN);
    series[1][..70].fill(f64::NAN);
    series[2].fill(30.0);
    series[3][60..95].fill(f64::NAN);
    let forecast = forecast(series, &ASK);
    assert!(forecast.iter().all(|steps| sound(steps.as_ref().unwrap(), 0.0)));
    let constant = forecast[2].as_ref().unwrap();
    assert!((constant[3].quantiles[3] - 30.0).abs() < 1e-6 && (constant[3].mean - 30.0).abs() < 3.0, "{constant:?}");
}

#[test]
fn only_a_history_below_zero_gives_a_forecast_below_zero() {
    let below: Vec<f64> = days(200.0, 120, 1, 9)[0].iter().map(|y| y - 250.0).collect();
    let steps = forecast(vec![below], &ASK).remove(0).unwrap();
    assert!(steps[0].quantiles[3] < 0.0 && sound(&steps, f64::NEG_INFINITY));
}

/// An event that doubled the days it fell on is expected to do so again; without it the forecast misses.
#[test]
fn an_event_known_ahead_helps() {
    let game = |t: usize| t % 17 == 4;
    let mut series = days(200.0, 150, 4, 10);
    for values in &mut series {
        values.iter_mut().enumerate().filter(|(t, _)| game(*t)).for_each(|(_, y)| *y *= 2.0);
    }
    let (past, column): (Vec<Vec<f64>>, Vec<f64>) = (
        series.iter().map(|values| values[..136].to_vec()).collect(),
        (0..150).map(|t| f64::from(u8::from(game(t)))).collect(),
    );
    let error = |events: &[Vec<f64>]| -> f64 {
        let forecast = forecast(past.clone(), &Ask { events, ..ASK });
        let miss = |(steps, values): (&Result<Vec<Expectation>, Thin>, &Vec<f64>)| -> f64 {
            steps.as_ref().unwrap().iter().zip(&values[136..]).map(|(s, y)| (s.quantiles[3] - y).abs()).sum()
        };
        forecast.iter().zip(&series).map(miss).sum()
    };
    let (with, without) = (error(&[column]), error(&[]));
    assert!(with < 0.9 * without, "{with} {without}");
}

#[test]
fn hours_are_forecast_from_two_seasons_and_from_one() {
    let hour = |t: usize| 100.0 + 60.0 * ((t % 24) as f64 - 12.0).abs() + if t % 168 < 24 { 300.0 } else { 0.0 };
    let told = |rows: usize| {
        let panel = Panel::new(Step::Hour, None, vec![(0..rows).map(hour).collect()]).unwrap();
        fit(&panel, &Ask { horizon: 48, ..ASK }).unwrap().predict().remove(0)
    };
    assert_eq!(told(100), Err(Thin { seen: 100, needed: 120 }), "how wrong it would be was never seen");
    let (one, two) = (told(170).unwrap(), told(700).unwrap());
    assert!(sound(&one, 0.0) && sound(&two, 0.0));
    (0..48).for_each(|h| assert!((two[h].quantiles[3] / hour(700 + h) - 1.0).abs() < 0.1, "{h}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// D2 for anything that can be counted, missing or not.
    #[test]
    fn nothing_breaks(
        series in prop::collection::vec(
            prop::collection::vec(prop_oneof![Just(f64::NAN), Just(0.0), 0.0..9.0_f64, (0..6).prop_map(f64::from), Just(1e9)], 40),
            1..4,
        ),
    ) {
        for (steps, values) in forecast(series.clone(), &ASK).into_iter().zip(&series) {
            prop_assert!(sound(&steps.unwrap_or_else(|_| guess(values, 14)), 0.0));
        }
    }
}

/// Eight weeks of hours of which the last two were not counted: everything that the rolling origins could have taught is
/// among them.
#[test]
fn a_series_that_fell_silent_has_bands_that_widen_and_not_a_line() {
    let mut chance = crate::numeric::chance::chance(3, 9);
    let mut hour = |t: usize| (40.0 + 30.0 * ((t % 24) as f64 - 12.0).abs()) * (0.8 + 0.4 * chance.random::<f64>());
    let whole: Vec<f64> = (0..56 * 24).map(&mut hour).collect();
    let ask = Ask { horizon: 72, ..ASK };
    let panel = |values: Vec<f64>| Panel::new(Step::Hour, Some(400_000), vec![values]).unwrap();
    let told = |panel: &Panel| fit_where_they_end(panel, &ask).unwrap().predict().remove(0).unwrap();
    let width = |steps: &[Expectation]| {
        let widths = steps.iter().map(|step| (step.quantiles[5] - step.quantiles[1]) / step.mean.max(1.0));
        widths.sum::<f64>() / steps.len() as f64
    };
    let mut silent = whole.clone();
    silent[42 * 24..].fill(f64::NAN);
    let (fresh, late) = (told(&panel(whole)), told(&panel(silent)));
    assert!(sound(&late, 0.0) && late.len() == 72);
    assert!(late.iter().all(|step| step.quantiles[0] < step.quantiles[6]), "{late:?}");
    assert!(width(&late) > 1.2 * width(&fresh), "{} {}", width(&late), width(&fresh));
}

/// Thirty days ahead of five weeks of hours: no rolling origin reaches so far.
#[test]
fn steps_that_nothing_was_rehearsed_for_are_no_narrower_than_those_before() {
    let mut chance = crate::numeric::chance::chance(4, 9);
    let mut hour = |t: usize| (40.0 + (t % 24) as f64) * (0.8 + 0.4 * chance.random::<f64>());
    let panel = Panel::new(Step::Hour, None, vec![(0..35 * 24).map(&mut hour).collect()]).unwrap();
    let steps = fit(&panel, &Ask { horizon: 30 * 24, ..ASK }).unwrap().predict().remove(0).unwrap();
    let width = |day: usize| {
        let widths = steps[day * 24..(day + 1) * 24].iter().map(|step| step.quantiles[5] - step.quantiles[1]);
        widths.sum::<f64>() / 24.0
    };
    assert!(
        width(29) > width(1) && width(25) > 0.9 * width(10),
        "{} {} {} {}",
        width(1),
        width(10),
        width(25),
        width(29)
    );
}

#[test]
fn who_is_silent_is_told_and_the_others_are_fitted_as_ever() {
    let mut series = days(200.0, 150, 3, 8);
    series[0][147..].fill(f64::NAN);
    let panel = |series: &Vec<Vec<f64>>| Panel::new(Step::Day, Some(19_000), series.clone()).unwrap();
    assert_eq!(silences(&panel(&series)), [0, 0, 0], "three days are a gap like any other");
    let plain = fit(&panel(&series), &ASK).unwrap().predict();
    assert_eq!(fit_where_they_end(&panel(&series), &ASK).unwrap().predict(), plain);
    series[1][130..].fill(f64::NAN);
    assert_eq!(silences(&panel(&series)), [0, 20, 0]);
    let told = fit_where_they_end(&panel(&series), &ASK).unwrap().predict();
    assert!(told.iter().all(|steps| sound(steps.as_ref().unwrap(), 0.0) && steps.as_ref().unwrap().len() == 14));
    series[1][50..].fill(f64::NAN);
    assert!(fit_where_they_end(&panel(&series), &ASK).unwrap().predict()[1].is_err(), "a hundred days are too long");
}
