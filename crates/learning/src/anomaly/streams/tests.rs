use rand::RngExt as _;

use super::*;
use crate::numeric::chance::chance;

fn feature(features: &Features, name: &str) -> f64 {
    features[NAMES.iter().position(|known| *known == name).unwrap()]
}

/// Purchases of 40 customers at 25 terminals over `days`; from day 5 on everything at terminal 3 is a fraud.
fn purchases(days: i64) -> Vec<(Purchase, bool)> {
    let mut random = chance(5, 9);
    let mut made: Vec<(Purchase, bool)> = Vec::new();
    for at in 0..days * 60 {
        let customer = random.random_range(0..40_u64);
        let terminal = random.random_range(0..25_u64);
        let seconds = at * DAY / 60 + random.random_range(0..600_i64);
        let amount = (10.0 + customer as f64) * (0.5 + random.random::<f64>());
        made.push((Purchase { seconds, customer, terminal, amount }, terminal == 3 && seconds > 5 * DAY));
    }
    made.sort_by_key(|(purchase, _)| purchase.seconds);
    made
}

/// Pushes all, each after the labels a week old.
fn replayed(stream: &mut Stream, made: &[(Purchase, bool)]) -> Vec<Features> {
    let mut told = 0;
    let mut features = Vec::new();
    for (purchase, _) in made {
        while made[told].0.seconds + 7 * DAY <= purchase.seconds {
            stream.learn(&made[told].0, made[told].1);
            told += 1;
        }
        features.push(stream.push(purchase).unwrap());
    }
    features
}

#[test]
fn features_are_what_a_search_through_the_past_finds() {
    let made = purchases(45);
    let features = replayed(&mut Stream::new(Settings::default()), &made);
    for row in (0..made.len()).step_by(37) {
        let (now, past) = (made[row].0, &made[..row]);
        let within = |at: i64, end: i64, days: i64| at <= end && at > end - days * DAY;
        for (name, days) in [("customer_count_1", 1), ("customer_count_7", 7), ("customer_count_30", 30)] {
            let count =
                past.iter().filter(|(p, _)| p.customer == now.customer && within(p.seconds, now.seconds, days)).count();
            assert_eq!(feature(&features[row], name), count as f64, "{name} of row {row}");
        }
        for (name, days) in [("terminal_risk_7", 7), ("terminal_risk_30", 30)] {
            let end = now.seconds - 7 * DAY;
            let known: Vec<bool> = past
                .iter()
                .filter(|(p, _)| p.terminal == now.terminal && within(p.seconds, end, days))
                .map(|(_, fraud)| *fraud)
                .collect();
            let risk = known.iter().filter(|fraud| **fraud).count() as f64 / known.len() as f64;
            let found = feature(&features[row], name);
            assert!(found == risk || found.is_nan() && risk.is_nan(), "{name} of row {row}: {found}, {risk}");
        }
    }
}

#[test]
fn what_is_unknown_is_nan_and_nothing_is_infinite() {
    let mut stream = Stream::new(Settings::default());
    let first = stream.push(&Purchase { seconds: 0, customer: 1, terminal: 1, amount: 0.0 }).unwrap();
    assert!(feature(&first, "customer_days_since").is_nan() && feature(&first, "terminal_risk_30").is_nan());
    for amount in [0.0, 1e-300, AMOUNT_MAX, AMOUNT_MAX, 1.0] {
        let features = stream.push(&Purchase { seconds: 1, customer: 1, terminal: 1, amount }).unwrap();
        assert!(features.iter().all(|feature| !feature.is_infinite()), "{features:?}");
        assert!((0.0..=1.0).contains(&label_free(&features)));
    }
}

#[test]
fn bad_purchases_are_refused_and_change_nothing() {
    let mut stream = Stream::new(Settings::default());
    let good = Purchase { seconds: 100, customer: 1, terminal: 1, amount: 5.0 };
    stream.push(&good).unwrap();
    assert_eq!(stream.push(&Purchase { seconds: 40, ..good }), Err(StreamError::Order(60)));
    assert_eq!(stream.push(&Purchase { amount: -1.0, ..good }), Err(StreamError::Amount(-1.0)));
    assert!(stream.push(&Purchase { amount: f64::NAN, ..good }).is_err());
    assert!(stream.push(&Purchase { amount: f64::MAX, ..good }).is_err());
    assert_eq!(feature(&stream.push(&good).unwrap(), "customer_count_1"), 1.0);
}

#[test]
fn a_stored_stream_goes_on() {
    let made = purchases(20);
    let mut stream = Stream::new(Settings::default());
    replayed(&mut stream, &made[..800]);
    let mut stored: Stream = serde_json::from_str(&serde_json::to_string(&stream).unwrap()).unwrap();
    for (purchase, fraud) in &made[800..] {
        let (one, other) = (stream.push(purchase).unwrap(), stored.push(purchase).unwrap());
        for (a, b) in one.iter().zip(other) {
            assert!(a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(1.0), "{a} {b}");
        }
        stream.learn(purchase, *fraud);
        stored.learn(purchase, *fraud);
    }
}

#[test]
fn a_terminal_gone_bad_is_found_once_labels_are_known() {
    let made = purchases(30);
    let features = replayed(&mut Stream::new(Settings::default()), &made);
    let split = made.partition_point(|(purchase, _)| purchase.seconds < 20 * DAY);
    let fraud: Vec<f64> = made[..split].iter().map(|(_, fraud)| f64::from(u8::from(*fraud))).collect();
    let taught = columns(features[..split].iter()).unwrap();
    let model = FraudModel::fit(&taught, &fraud, &vec![1.0; split], 1, 1).unwrap().unwrap();
    let judged = model.probabilities(&columns(features[split..].iter()).unwrap()).unwrap();
    let mean = |wanted: bool| {
        let of: Vec<f64> =
            judged.iter().zip(&made[split..]).filter(|(_, (_, fraud))| *fraud == wanted).map(|(p, _)| *p).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    assert!(mean(true) > 0.5 && mean(false) < 0.05, "{} {}", mean(true), mean(false));
    assert_eq!(FraudModel::fit(&taught, &vec![0.0; split], &vec![1.0; split], 1, 1).unwrap(), None);
}

#[test]
fn a_purchase_far_above_the_usual_is_strange_without_labels() {
    let made = purchases(10);
    let mut stream = Stream::new(Settings::default());
    let usual: Vec<f64> = replayed(&mut stream, &made).iter().map(label_free).collect();
    let last = made[made.len() - 1].0;
    let odd = stream.push(&Purchase { amount: last.amount * 6.0, ..last }).unwrap();
    let above = usual.iter().filter(|&&score| score >= label_free(&odd)).count();
    assert!(above < usual.len() / 100, "{above}");
}
