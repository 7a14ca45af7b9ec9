use proptest::prelude::*;

use super::*;
use crate::numeric::chance::chance;

fn judged(readings: &[f64]) -> Vec<Judgement> {
    let mut monitor = Monitor::new(Settings::default());
    readings.iter().map(|&reading| monitor.push(reading).unwrap()).collect()
}

fn alerts(readings: &[f64]) -> Vec<usize> {
    judged(readings).iter().enumerate().filter(|(_, judged)| judged.alert).map(|(row, _)| row).collect()
}

/// A day of 96 readings again and again, with a little noise.
fn days(count: usize) -> Vec<f64> {
    let mut random = chance(3, 2);
    (0..count)
        .map(|row| 10.0 + 5.0 * libm::sin(row as f64 / 96.0 * std::f64::consts::TAU) + 0.3 * random.random::<f64>())
        .collect()
}

#[test]
fn a_spike_is_one_alert_and_an_ordinary_day_none() {
    let mut readings = days(2_000);
    assert_eq!(alerts(&readings), [0; 0]);
    readings[1_200..1_206].fill(40.0);
    assert_eq!(alerts(&readings), [1_200]);
}

#[test]
fn a_value_seen_before_is_strange_where_the_mean_of_late_is_far() {
    // Ten days of high level, then ten of low: each level holds values of its own, and one value of the other.
    let mut readings = days(2_000);
    readings[1_000..].iter_mut().for_each(|reading| *reading -= 100.0);
    readings[1_700] += 100.0;
    let alerts = alerts(&readings);
    assert!(alerts.contains(&1_000) && alerts.contains(&1_700), "{alerts:?}");
}

#[test]
fn a_constant_metric_is_silent_until_it_changes() {
    let mut readings = vec![4.0; 500];
    readings.extend([5.0; 50]);
    let judged = judged(&readings);
    assert!(judged[..500].iter().all(|judged| judged.score == 0.0 && !judged.alert));
    assert!(judged[500].alert && judged[500].score > 0.8);
    assert!(judged[501..].iter().all(|judged| !judged.alert));
}

#[test]
fn a_stored_monitor_goes_on() {
    let readings = days(700);
    let mut monitor = Monitor::new(Settings::default());
    for &reading in &readings[..400] {
        monitor.push(reading).unwrap();
    }
    let mut stored: Monitor = serde_json::from_str(&serde_json::to_string(&monitor).unwrap()).unwrap();
    for &reading in &readings[400..] {
        let (one, other) = (monitor.push(reading).unwrap(), stored.push(reading).unwrap());
        assert!((one.score - other.score).abs() < 1e-9 && one.alert == other.alert);
    }
}

#[test]
fn a_reading_that_is_not_finite_changes_nothing() {
    let mut monitor = Monitor::new(Settings::default());
    monitor.push(1.0).unwrap();
    let before = monitor.clone();
    assert!(monitor.push(f64::NAN).is_err() && monitor.push(f64::INFINITY).is_err());
    assert_eq!(monitor, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Scores are in 0..1 and alerts within their budget, whatever is read.
    #[test]
    fn the_budget_holds(seed in any::<u64>(), power in 0..300) {
        let mut random = chance(seed, 5);
        let readings: Vec<f64> = (0..1_500)
            .map(|row| if row % 7 == 0 { libm::pow(10.0, f64::from(power) * random.random::<f64>()) } else { 0.0 })
            .collect();
        let judged = judged(&readings);
        prop_assert!(judged.iter().all(|judged| (0.0..1.0).contains(&judged.score)));
        prop_assert!(judged.iter().filter(|judged| judged.alert).count() as f64 <= 5.0 + 5.0 * 1.5);
    }
}
