//! `fraud`: how likely each purchase of a stream is a fraud.
//!
//! The stream is replayed: a purchase is judged by what was pushed before it and by labels that were old enough when it
//! happened. From `test_first` on the judge is a model fitted on all labels known by then, and again every
//! `REFIT_DAYS`; before it, and where too few frauds are known, it is a score that needs no labels.
//!
//! The column `scenario` is never read. Folders of `--train` that end before this one begins are its past; any other is
//! a place of its own, of which only what was known by the time of a fit is used.

use std::path::Path;
use std::time::Instant;

use hunch_learning::anomaly::streams::{self, AMOUNT_MAX, DAY, FraudModel, Purchase, Stream, label_free};
use hunch_learning::boosting::Columns;
use jiff::civil::Date;
use serde::Deserialize;

use crate::EvaluateError;
use crate::files::{self, Predictions, Table};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task =
    Task { name: "fraud", about: "how likely each purchase of a stream is a fraud: row,score", evaluate };

const REFIT_DAYS: i64 = 7;

#[derive(Debug, Deserialize)]
pub(crate) struct Instructions {
    pub first_day: Date,
    /// Without it there is no model, only the score without labels.
    test_first: Option<Date>,
    pub label_delay_days: i64,
}

/// A purchase and what came to light about it; None is unknown.
pub(crate) struct Labelled {
    pub purchase: Purchase,
    pub fraud: Option<bool>,
}

/// A replayed stream: a row of features for each purchase.
pub(crate) struct Replayed {
    pub events: Vec<Labelled>,
    pub features: Columns,
}

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let clock = Instant::now();
    let instructions: Instructions = files::json(run.input, "task.json")?;
    if !(0..=3_650).contains(&instructions.label_delay_days) {
        return Err(EvaluateError::File {
            file: run.input.join("task.json"),
            problem: format!("label_delay_days is {}", instructions.label_delay_days),
        });
    }
    let delay = instructions.label_delay_days * DAY;
    let events = read(run.input, instructions.first_day)?;
    let (past, others) = trained(run, &events)?;
    let read_seconds = clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    let before = past.len();
    let here = replay(past.into_iter().chain(events).collect(), delay)?;
    let others = others.into_iter().map(|events| replay(events, delay)).collect::<Result<Vec<_>, _>>()?;
    let mut scores = without_labels(&here, before);
    let features_seconds = clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    let mut fit_seconds = 0.0;
    if let Some(first) = instructions.test_first {
        let mut from = seconds(first);
        while let Some(rows) = rows_of_week(&here, before, from) {
            // A test that begins ages before the stream has many weeks without a purchase: nothing is fitted for those.
            if rows.is_empty() {
                from += REFIT_DAYS * DAY;
                continue;
            }
            let started = Instant::now();
            let model = fitted(&here, &others, from - delay, run)?;
            fit_seconds += started.elapsed().as_secs_f64();
            if let Some(model) = model {
                let probabilities = model.probabilities(&here.features.pick(&rows)).map_err(internal)?;
                for (row, probability) in rows.iter().zip(probabilities) {
                    scores[row - before] = probability;
                }
            }
            from += REFIT_DAYS * DAY;
        }
    }
    let score_seconds = clock.elapsed().as_secs_f64() - fit_seconds;

    let clock = Instant::now();
    let mut out = Predictions::create(run.out, &["row", "score"])?;
    for (row, score) in scores.iter().enumerate() {
        out.row(format_args!("{row},{score:.9}"))?;
    }
    out.finish()?;
    run.say(format_args!(
        "{} purchases: read {read_seconds:.2} s, features {features_seconds:.2} s, fit {fit_seconds:.2} s, \
         score {score_seconds:.2} s, write {:.2} s",
        scores.len(),
        clock.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn internal(error: impl std::fmt::Display) -> EvaluateError {
    EvaluateError::Data(error.to_string())
}

/// Midnight of a day as local seconds since 1970 began.
fn seconds(day: Date) -> i64 {
    day.duration_since(Date::constant(1970, 1, 1)).as_secs()
}

pub(crate) fn read(folder: &Path, first_day: Date) -> Result<Vec<Labelled>, EvaluateError> {
    let mut table = Table::open(folder, "stream.csv")?;
    let gap = table.column("ds")?;
    let (customer, terminal) = (table.column("customer")?, table.column("terminal")?);
    let (cents, fraud) = (table.column("cents")?, table.column("fraud")?);
    let mut now = seconds(first_day);
    let mut events = Vec::new();
    while table.next_row()? {
        let passed: u32 = table.whole(gap)?;
        now += i64::from(passed);
        let amount: u64 = table.whole(cents)?;
        if amount as f64 > AMOUNT_MAX {
            return Err(table.wrong(cents, "it is more than can be reckoned with"));
        }
        let fraud = match table.text(fraud) {
            "" => None,
            "0" => Some(false),
            "1" => Some(true),
            _ => return Err(table.wrong(fraud, "it must be 0, 1 or empty")),
        };
        let purchase = Purchase {
            seconds: now,
            customer: table.whole(customer)?,
            terminal: table.whole(terminal)?,
            amount: amount as f64,
        };
        events.push(Labelled { purchase, fraud });
    }
    Ok(events)
}

/// What the folders of `--train` hold: this stream's past, and streams of other places.
fn trained(run: &Run<'_>, events: &[Labelled]) -> Result<(Vec<Labelled>, Vec<Vec<Labelled>>), EvaluateError> {
    let begin = events.first().map_or(i64::MAX, |event| event.purchase.seconds);
    let first = |events: &Vec<Labelled>| events.first().map_or(i64::MAX, |event| event.purchase.seconds);
    let end = |events: &[Labelled]| events.last().map_or(i64::MIN, |event| event.purchase.seconds);
    let mut streams = Vec::new();
    for folder in run.train {
        let instructions: Instructions = files::json(folder, "task.json")?;
        streams.push(read(folder, instructions.first_day)?);
    }
    streams.sort_by_key(first);
    let (mut past, mut others) = (Vec::new(), Vec::new());
    for stream in streams {
        if end(&stream) <= begin && first(&stream) >= end(&past) {
            past.extend(stream);
        } else {
            others.push(stream);
        }
    }
    Ok((past, others))
}

/// Pushes every purchase, each after the labels that were old enough when it happened.
pub(crate) fn replay(events: Vec<Labelled>, delay: i64) -> Result<Replayed, EvaluateError> {
    let mut stream = Stream::new(streams::Settings { label_delay_seconds: delay });
    let mut columns: Vec<Vec<f64>> = (0..streams::FEATURES).map(|_| Vec::with_capacity(events.len())).collect();
    let mut told = 0;
    for (row, event) in events.iter().enumerate() {
        while told < row && events[told].purchase.seconds + delay <= event.purchase.seconds {
            if let Some(fraud) = events[told].fraud {
                stream.learn(&events[told].purchase, fraud);
            }
            told += 1;
        }
        let features = stream.push(&event.purchase).map_err(internal)?;
        for (column, value) in columns.iter_mut().zip(features) {
            column.push(value);
        }
    }
    Ok(Replayed { features: Columns::new(columns).map_err(internal)?, events })
}

pub(crate) fn without_labels(here: &Replayed, before: usize) -> Vec<f64> {
    let features = |row: usize| std::array::from_fn(|feature| here.features.column(feature)[row]);
    (before..here.events.len()).map(|row| label_free(&features(row))).collect()
}

/// The rows to be judged by the model fitted at `from`; None if no row is as late as that.
fn rows_of_week(here: &Replayed, before: usize, from: i64) -> Option<Vec<usize>> {
    let start = here.events.partition_point(|event| event.purchase.seconds < from).max(before);
    let end = here.events.partition_point(|event| event.purchase.seconds < from + REFIT_DAYS * DAY).max(start);
    (start < here.events.len()).then(|| (start..end).collect())
}

/// A model of the purchases up to `known`, the last moment whose labels are known.
pub(crate) fn fitted(
    here: &Replayed,
    others: &[Replayed],
    known: i64,
    run: &Run<'_>,
) -> Result<Option<FraudModel>, EvaluateError> {
    let (mut target, mut weight) = (Vec::new(), Vec::new());
    let mut columns = vec![Vec::new(); streams::FEATURES];
    for stream in std::iter::once(here).chain(others) {
        let fraud = |row: usize| stream.events[row].fraud == Some(true);
        let mut rows = teaching(&stream.events, known);
        rows.retain(|&row| fraud(row) || row % HONEST_OF == 0);
        target.extend(rows.iter().map(|&row| f64::from(u8::from(fraud(row)))));
        weight.extend(rows.iter().map(|&row| if fraud(row) { 1.0 } else { HONEST_OF as f64 }));
        for (feature, column) in columns.iter_mut().enumerate() {
            let values = stream.features.column(feature);
            column.extend(rows.iter().map(|&row| values[row]));
        }
    }
    let features = Columns::new(columns).map_err(internal)?;
    FraudModel::fit(&features, &target, &weight, run.seed, run.threads).map_err(internal)
}

/// Rows with a label that is known, without those in front that no label of another could have reached, unless that
/// is most of them.
fn teaching(events: &[Labelled], known: i64) -> Vec<usize> {
    let labelled = |events: &[Labelled]| events.iter().filter(|event| event.fraud.is_some()).count();
    let end = events.partition_point(|event| event.purchase.seconds < known);
    let first = events.first().map_or(0, |event| event.purchase.seconds);
    let warm = events[..end].partition_point(|event| event.purchase.seconds < first + WARM_SECONDS);
    let start = if 2 * labelled(&events[warm..end]) >= labelled(&events[..end]) { warm } else { 0 };
    (start..end).filter(|&row| events[row].fraud.is_some()).collect()
}

/// One honest purchase in so many is enough to learn from, and stands for as many; frauds are few, and all are used.
const HONEST_OF: usize = 4;

/// Two weeks: the delay of labels and a week of them.
const WARM_SECONDS: i64 = 14 * DAY;
