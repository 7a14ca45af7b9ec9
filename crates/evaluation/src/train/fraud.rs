//! Trainer for fraud on a stream: judged on the last part of the stream by what was known of labels when it began.

use hunch_learning::anomaly::streams::DAY;
use hunch_learning::life::{Artifact, Better, Judged, Metric, Reference, Window};
use jiff::Timestamp;

use super::value::auc;
use super::{TrainRun, purpose};
use crate::EvaluateError;
use crate::files::json;
use crate::fraud::{Instructions, Replayed, fitted, read, replay, without_labels};

const KIND: &str = "fraud";
/// Of the stream's time, the part that judges.
const JUDGED_PERCENT: i64 = 20;

pub fn fraud(run: &TrainRun<'_>) -> Result<Artifact, EvaluateError> {
    let instructions: Instructions = json(run.input, "task.json")?;
    let delay = instructions.label_delay_days.clamp(0, 3_650) * DAY;
    let here = replay(read(run.input, instructions.first_day)?, delay)?;
    let told = |row: usize| here.events[row].fraud.is_some();
    let seconds = |row: usize| here.events[row].purchase.seconds;
    let last = (0..here.events.len()).rev().find(|row| told(*row)).map(seconds);
    let first = here.events.first().map(|event| event.purchase.seconds);
    let (Some(first), Some(last)) = (first, last) else {
        return Err(EvaluateError::Data("no purchase of this stream has a label".to_owned()));
    };
    let from = last - (last - first) * JUDGED_PERCENT / 100;
    let few = |when: &str| EvaluateError::Data(format!("too few frauds were known {when} to learn from"));
    let judge = fitted(&here, &[], from - delay, &run.as_run())?.ok_or_else(|| few("when the judged part began"))?;
    let rows: Vec<usize> = (0..here.events.len()).filter(|row| told(*row) && seconds(*row) >= from).collect();
    let happened: Vec<f64> =
        rows.iter().map(|row| f64::from(u8::from(here.events[*row].fraud == Some(true)))).collect();
    let scores = judge.probabilities(&here.features.pick(&rows)).map_err(wrong)?;
    let plain = without_labels(&here, 0);
    let plain: Vec<f64> = rows.iter().map(|row| plain[*row]).collect();
    let model = fitted(&here, &[], last + 1, &run.as_run())?.ok_or_else(|| few("in all"))?;
    let window = Window {
        from: time(first),
        to: time(last),
        rows: here.events.len() as u64,
        sha256: run.sha256_of(&["stream.csv", "task.json"])?,
    };
    let mut artifact = Artifact::new(KIND, run.seed, window, &model)?;
    let metric = |name: &str, value, baseline| Metric {
        name: name.to_owned(),
        value,
        baseline,
        baseline_name: "the score that needs no labels".to_owned(),
        better: Better::Higher,
        gate: true,
    };
    artifact.metrics = vec![
        metric("AUC", auc(&scores, &happened), auc(&plain, &happened)),
        metric("average precision", average_precision(&scores, &happened), average_precision(&plain, &happened)),
    ];
    artifact.judged = Judged {
        learned_until: time(from - delay),
        to: time(last),
        rows: rows.len() as u64,
        how: format!("Learned labels known when the last {JUDGED_PERCENT} % of the stream's time began, judged on it."),
    };
    artifact.reference = references(&here, &scores)?;
    artifact.purpose = purpose(
        "How likely a purchase is a fraud",
        "risk officer",
        "Ordering purchases for people to look at, as many a day as they can.",
        &[
            "To refuse a purchase or close an account without a person's look.",
            "To judge a member's worth, or to choose what is said to them.",
        ],
    );
    Ok(artifact)
}

fn references(here: &Replayed, scores: &[f64]) -> Result<Vec<Reference>, EvaluateError> {
    let amounts: Vec<f64> = here.events.iter().map(|event| event.purchase.amount).collect();
    [("score", scores), ("amount", &amounts)]
        .into_iter()
        .map(|(name, values)| Reference::new(name, values, 10).map_err(wrong))
        .collect()
}

fn wrong(error: impl std::fmt::Display) -> EvaluateError {
    EvaluateError::Data(error.to_string())
}

/// Local seconds since 1970 as a local time.
fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string().trim_end_matches('Z').to_owned()).unwrap_or_default()
}

/// Mean precision at each fraud, in the order of the score; rows with one score stand together.
fn average_precision(score: &[f64], happened: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
    let all: f64 = happened.iter().sum();
    let (mut found, mut sum, mut at) = (0.0, 0.0, 0);
    while at < order.len() && all > 0.0 {
        let tie = order[at..].iter().take_while(|i| score[**i] == score[order[at]]).count();
        let more: f64 = order[at..at + tie].iter().map(|i| happened[*i]).sum();
        (found, at) = (found + more, at + tie);
        sum += more / all * found / at as f64;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// Frauds at ranks 1 and 3 of 4: (1/1 + 2/3) / 2, by hand.
    #[test]
    fn average_precision_is_the_mean_over_frauds() {
        let found = average_precision(&[0.9, 0.8, 0.7, 0.1], &[1.0, 0.0, 1.0, 0.0]);
        assert!((found - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!(average_precision(&[0.5, 0.5], &[0.0, 1.0]), 0.5);
        assert_eq!(average_precision(&[0.5], &[0.0]), 0.0);
    }

    #[test]
    fn a_stream_without_labels_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = "ds,customer,terminal,cents,fraud,scenario\n".to_owned();
        (0..50).for_each(|n| {
            let _ = writeln!(text, "60,{},{},{},,", n % 7, n % 3, 100 + n);
        });
        std::fs::write(folder.path().join("stream.csv"), text).unwrap();
        std::fs::write(folder.path().join("task.json"), r#"{"first_day":"2026-01-01","label_delay_days":7}"#).unwrap();
        let run = TrainRun { input: folder.path(), seed: 1, threads: 1 };
        assert!(fraud(&run).unwrap_err().to_string().contains("no purchase"));
    }
}
