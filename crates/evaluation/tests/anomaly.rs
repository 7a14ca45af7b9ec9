//! The tasks about what is strange, on small data made here.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use hunch_evaluation::{EvaluateError, cli};

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    args: cli::Args,
}

fn evaluated(task: &str, input: &Path, threads: u16) -> Result<String, EvaluateError> {
    evaluated_after(task, input, &[], threads)
}

fn evaluated_after(task: &str, input: &Path, train: &[PathBuf], threads: u16) -> Result<String, EvaluateError> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.csv");
    let (threads, out_path) = (threads.to_string(), out.display().to_string());
    let mut words = vec!["evaluate", task, "--in", input.to_str().unwrap(), "--out", &out_path];
    words.extend(["--seed", "3", "--threads", &threads]);
    words.extend(train.iter().flat_map(|folder| ["--train", folder.to_str().unwrap()]));
    cli::run(&Program::parse_from(words).args)?;
    Ok(fs::read_to_string(out).unwrap())
}

/// A generator of numbers from 0 to 1 that is the same everywhere: Knuth's linear congruences.
fn numbers(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn told(result: Result<String, EvaluateError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn tables_are_judged_and_other_files_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = numbers(1);
    let mut text = "x0,x1\n".to_owned();
    for row in 0..200 {
        let (a, b) = if row == 7 { (9.0, -9.0) } else { (number(), number()) };
        writeln!(text, "{a},{}", if row == 11 { String::new() } else { b.to_string() }).unwrap();
    }
    fs::write(folder.path().join("coins.csv"), &text).unwrap();
    fs::write(folder.path().join("few.csv"), "x0\n1\n1\n").unwrap();
    fs::write(folder.path().join("truth.csv"), "set,row,anomaly\ncoins,7,1\n").unwrap();
    let out = evaluated("table-anomaly", folder.path(), 1).unwrap();
    assert_eq!(out, evaluated("table-anomaly", folder.path(), 2).unwrap());
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 1 + 200 + 2);
    assert_eq!(lines[0], "set,row,score");
    assert_eq!(lines[8], "coins,7,1.000000000");
    assert_eq!(lines[201..], ["few,0,0.500000000", "few,1,0.500000000"]);

    fs::write(folder.path().join("bad.csv"), "x0,x1\n1,2\n1,inf\n").unwrap();
    let problem = told(evaluated("table-anomaly", folder.path(), 1));
    assert!(problem.contains("bad.csv, line 3, column \"x1\""), "{problem}");
    let empty = tempfile::tempdir().unwrap();
    assert!(told(evaluated("table-anomaly", empty.path(), 1)).contains("no CSV file with columns x0"));
}

fn write_metric(folder: &Path, rows: &[(u64, f64)]) {
    fs::create_dir_all(folder.join("series")).unwrap();
    let mut text = "minute,value\n".to_owned();
    for (minute, value) in rows {
        writeln!(text, "{minute},{value}").unwrap();
    }
    fs::write(folder.join("series/till.csv"), text).unwrap();
}

#[test]
fn a_metric_is_judged_by_its_past() {
    let mut number = numbers(2);
    let mut rows: Vec<(u64, f64)> = (0..600).map(|row| (row * 5, number())).collect();
    rows[400].1 = 8.0;
    let folder = tempfile::tempdir().unwrap();
    write_metric(folder.path(), &rows);
    let whole = evaluated("metric-anomaly", folder.path(), 1).unwrap();
    assert_eq!(whole.lines().count(), 601);
    let alerts: Vec<&str> = whole.lines().filter(|line| line.ends_with(",1")).collect();
    assert!(alerts.len() == 1 && alerts[0].starts_with("till,400,"), "{alerts:?}");

    write_metric(folder.path(), &rows[..450]);
    assert!(whole.starts_with(&evaluated("metric-anomaly", folder.path(), 1).unwrap()));

    // A clock that steps back once costs nothing: readings are judged in the order in which they stand.
    rows[20].0 = 1;
    write_metric(folder.path(), &rows);
    assert_eq!(evaluated("metric-anomaly", folder.path(), 1).unwrap(), whole);
    write_metric(folder.path(), &[(1, 1.0), (2, f64::NAN)]);
    assert!(told(evaluated("metric-anomaly", folder.path(), 1)).contains("line 3, column \"value\""));
    write_metric(folder.path(), &[]);
    assert_eq!(evaluated("metric-anomaly", folder.path(), 1).unwrap(), "file,row,score,alert\n");
}

/// A row of a stream: seconds since the one before, customer, terminal, cents, fraud.
type Row = (u32, u32, u32, u32, &'static str);

/// 40 days of 80 purchases; from day 3 on all at terminal 2 are frauds, and of three in a hundred the amount tells.
fn stream() -> Vec<Row> {
    let mut number = numbers(4);
    (0..40 * 80)
        .map(|row| {
            let terminal = (number() * 12.0) as u32;
            let loud = number() < 0.03;
            let fraud = loud || terminal == 2 && row > 3 * 80;
            let cents = (1_000.0 + 2_000.0 * number()) * if loud { 9.0 } else { 1.0 };
            (1_080, (number() * 30.0) as u32, terminal, cents as u32, if fraud { "1" } else { "0" })
        })
        .collect()
}

fn write_stream(folder: &Path, rows: &[Row], first_day: &str, test_first: &str) {
    let mut text = "ds,customer,terminal,cents,fraud\n".to_owned();
    for (gap, customer, terminal, cents, fraud) in rows {
        writeln!(text, "{gap},{customer},{terminal},{cents},{fraud}").unwrap();
    }
    fs::write(folder.join("stream.csv"), text).unwrap();
    let task = format!(
        "{{\"first_day\":\"{first_day}\",\"test_first\":\"{test_first}\",\"test_days\":7,\"label_delay_days\":7}}"
    );
    fs::write(folder.join("task.json"), task).unwrap();
}

#[test]
fn purchases_are_judged_by_what_was_known_when_they_happened() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = stream();
    write_stream(folder.path(), &rows, "2026-03-02", "2026-04-04");
    let whole = evaluated("fraud", folder.path(), 1).unwrap();
    assert_eq!(whole.lines().count(), rows.len() + 1);
    let scores: Vec<f64> = whole.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
    let mean = |fraud: &str| {
        let judged: Vec<f64> =
            (33 * 80..rows.len()).filter(|&row| rows[row].4 == fraud).map(|row| scores[row]).collect();
        judged.iter().sum::<f64>() / judged.len() as f64
    };
    assert!(mean("1") > 0.4 && mean("0") < 0.1, "{} {}", mean("1"), mean("0"));

    // The last week's labels are not known by its end, and what stands below a row tells it nothing.
    rows.iter_mut().skip(33 * 80).for_each(|row| row.4 = "");
    write_stream(folder.path(), &rows[..36 * 80 + 13], "2026-03-02", "2026-04-04");
    assert!(whole.starts_with(&evaluated("fraud", folder.path(), 2).unwrap()));
}

#[test]
fn an_earlier_stream_is_the_past_of_a_later_one() {
    let rows = stream();
    let (early, late, whole) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_stream(whole.path(), &rows, "2026-03-02", "2026-04-04");
    // The first day of the later part begins at midnight, as the row does that stands there.
    let cut = 33 * 80;
    write_stream(early.path(), &rows[..cut - 1], "2026-03-02", "2026-04-04");
    let mut later = rows[cut - 1..].to_vec();
    later[0].0 = 0;
    write_stream(late.path(), &later, "2026-04-04", "2026-04-04");
    let joined = evaluated_after("fraud", late.path(), &[early.path().to_owned()], 1).unwrap();
    let whole = evaluated("fraud", whole.path(), 1).unwrap();
    let scores = |text: &str, from: usize| -> Vec<String> {
        text.lines().skip(1 + from).map(|line| line.split(',').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(scores(&joined, 0), scores(&whole, cut - 1));
}

#[test]
fn thin_and_bad_streams_are_told_or_judged_without_labels() {
    let folder = tempfile::tempdir().unwrap();
    write_stream(folder.path(), &[(5, 1, 1, 700, ""), (9, 1, 1, 900_000, "")], "2026-03-02", "2026-03-02");
    let out = evaluated("fraud", folder.path(), 1).unwrap();
    let scores: Vec<f64> = out.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!(scores.len() == 2 && scores[1] > scores[0], "{scores:?}");
    write_stream(folder.path(), &[], "2026-03-02", "2026-04-04");
    assert_eq!(evaluated("fraud", folder.path(), 1).unwrap(), "row,score\n");
    write_stream(folder.path(), &[(5, 1, 1, 700, "maybe")], "2026-03-02", "2026-04-04");
    assert!(told(evaluated("fraud", folder.path(), 1)).contains("line 2, column \"fraud\""));
    fs::write(folder.path().join("stream.csv"), "ds,customer,terminal,cents,fraud\n-4,1,1,700,0\n").unwrap();
    assert!(told(evaluated("fraud", folder.path(), 1)).contains("line 2, column \"ds\""));
    fs::write(folder.path().join("stream.csv"), "ds,customer,terminal,cents\n4,1,1,700\n").unwrap();
    assert!(told(evaluated("fraud", folder.path(), 1)).contains("no column \"fraud\""));
}
