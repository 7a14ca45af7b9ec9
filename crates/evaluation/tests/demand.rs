//! The task `demand` on small files made here.

use std::fmt::Write as _;
use std::path::Path;

use clap::Parser;
use hunch_evaluation::cli;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: cli::Args,
}

fn run(folder: &Path, threads: &str) -> Result<String, String> {
    let out = folder.join(format!("out{threads}.csv"));
    let input = folder.to_str().unwrap();
    let words = ["evaluate", "demand", "--in", input, "--out", out.to_str().unwrap(), "--threads", threads];
    cli::run(&Program::parse_from(words).args).map_err(|e| e.to_string())?;
    Ok(std::fs::read_to_string(out).unwrap())
}

/// Days from 2024-01-01 on of two shops; what `change` makes of row t and column c stands in the file.
fn shops(rows: usize, change: impl Fn(usize, usize, String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let task = r#"{"origins": ["2024-03-25", "2024-04-01"], "horizon": 7, "season": 7, "unit": "D"}"#;
    std::fs::write(folder.path().join("task.json"), task).unwrap();
    let mut text = "ts,a,b\n".to_owned();
    let start = jiff::civil::date(2024, 1, 1);
    for t in 0..rows {
        let day = start.saturating_add(jiff::Span::new().days(i64::try_from(t).unwrap()));
        let count = |size: usize| (size * (10 + t % 7 + (t * t) % 5) / 10).to_string();
        let cells = [day.to_string(), count(300), count(90)];
        let cells: Vec<String> = cells.into_iter().enumerate().map(|(c, cell)| change(t, c, cell)).collect();
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    std::fs::write(folder.path().join("history.csv"), text).unwrap();
    folder
}

#[test]
fn every_step_of_every_series_of_every_origin_is_there() {
    let out = run(shops(110, |_, _, cell| cell).path(), "1").unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "origin,series,ts,mean,q025,q100,q250,q500,q750,q900,q975");
    assert_eq!(lines.len(), 1 + 2 * 2 * 7);
    assert!(lines[1].starts_with("2024-03-25,a,2024-03-25,") && lines[28].starts_with("2024-04-01,b,2024-04-07,"));
    for line in &lines[1..] {
        let numbers: Vec<f64> = line.split(',').skip(3).map(|cell| cell.parse().unwrap()).collect();
        assert!(numbers.iter().all(|y| y.is_finite() && *y >= 0.0), "{line}");
        assert!(numbers[1..].windows(2).all(|pair| pair[0] <= pair[1]), "{line}");
    }
}

/// Day 84 is the first origin, day 91 the second. What stands at or after an origin changes nothing for it, not even
/// when it is no number; and the first origin's forecast does not feel what the second may see.
#[test]
fn nothing_at_or_after_an_origin_matters() {
    let plain = run(shops(110, |_, _, cell| cell).path(), "1").unwrap();
    let cut = run(shops(91, |_, _, cell| cell).path(), "3").unwrap();
    assert_eq!(plain, cut);
    let broken = shops(110, |t, c, cell| if t >= 91 && c > 0 { "x".to_owned() } else { cell });
    assert_eq!(plain, run(broken.path(), "1").unwrap());
    let other = shops(110, |t, c, cell| if t >= 84 && c > 0 { "7".to_owned() } else { cell });
    let other = run(other.path(), "1").unwrap();
    assert_eq!(plain.lines().take(15).collect::<Vec<_>>(), other.lines().take(15).collect::<Vec<_>>());
    assert_ne!(plain, other);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let told = |folder: tempfile::TempDir| run(folder.path(), "1").unwrap_err();
    let at = |row, column, text: &'static str| {
        shops(60, move |t, c, cell| if (t, c) == (row, column) { text.to_owned() } else { cell })
    };
    assert!(told(at(3, 1, "inf")).contains("history.csv, line 5, column \"a\": inf is not finite"));
    assert!(told(at(3, 0, "2024-01-02")).contains("history.csv, line 5, column \"ts\""));
    assert!(told(at(3, 0, "soon")).contains("history.csv, line 5, column \"ts\": a date is needed here"));
    let folder = shops(60, |_, _, cell| cell);
    std::fs::write(folder.path().join("task.json"), r#"{"origins": ["x"], "horizon": 7, "unit": "D"}"#).unwrap();
    assert!(told(folder).contains("task.json"));
}

#[test]
fn two_points_none_and_gaps_still_get_a_forecast() {
    for rows in [0, 2] {
        let out = run(shops(rows, |_, _, cell| cell).path(), "1").unwrap();
        assert!(out.lines().count() == 29 && !out.contains("NaN") && !out.contains("inf"), "{rows}: {out}");
    }
    let gaps = shops(110, |t, c, cell| if c == 2 && t % 3 == 0 { String::new() } else { cell });
    assert!(!run(gaps.path(), "1").unwrap().contains("NaN"));
}

#[test]
fn events_of_the_file_move_the_forecast() {
    let game = |t: usize| t % 13 == 6;
    let played = |t, c, cell: String| {
        if c > 0 && game(t) { (2.0 * cell.parse::<f64>().unwrap()).to_string() } else { cell }
    };
    let folder = shops(91, played);
    let without = run(folder.path(), "1").unwrap();
    let start = jiff::civil::date(2024, 1, 1);
    let days = (0..100).filter(|t| game(*t)).map(|t| start.saturating_add(jiff::Span::new().days(t as i64)));
    let text = days.fold("ts,name\n".to_owned(), |text, day| format!("{text}{day},game\n"));
    std::fs::write(folder.path().join("events.csv"), text).unwrap();
    let with = run(folder.path(), "1").unwrap();
    // Day 97 is a game: 2024-04-07, the last of the second origin's week.
    let mean = |out: &str| -> f64 {
        let line = out.lines().find(|line| line.starts_with("2024-04-01,a,2024-04-07")).unwrap().to_owned();
        line.split(',').nth(3).unwrap().parse().unwrap()
    };
    assert!(mean(&with) > 1.2 * mean(&without), "{} {}", mean(&with), mean(&without));
}

#[test]
fn series_without_a_calendar_are_numbered_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<String> = (0..500).map(|t| (50 + (t % 24) * 3 + (t % 168) / 24).to_string()).collect();
    std::fs::write(folder.path().join("task.json"), r#"{"horizon": 48, "season": 24, "unit": "h"}"#).unwrap();
    let text = format!("series,values\nH1,{}\nH2,5 6\n", values.join(" "));
    std::fs::write(folder.path().join("history.csv"), text).unwrap();
    let out = run(folder.path(), "1").unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 97 && lines[1].starts_with("H1,1,") && lines[96].starts_with("H2,48,"));
    let middle: f64 = lines[1].split(',').nth(6).unwrap().parse().unwrap();
    assert!((middle - (50 + (500 % 24) * 3 + (500 % 168) / 24) as f64).abs() < 8.0, "{middle}");
}

/// A shop that is closed on Thanksgiving, which no date and no Monday tells.
#[test]
fn the_holidays_of_a_country_count_when_it_is_named() {
    let folder =
        shops(691, |t, c, cell| if t == 332 && c > 0 { (cell.parse::<u32>().unwrap() / 4).to_string() } else { cell });
    let asked = |more: &str| {
        let task = format!(r#"{{"origins": ["2025-11-21"], "horizon": 7, "season": 7, "unit": "D"{more}}}"#);
        std::fs::write(folder.path().join("task.json"), task).unwrap();
        run(folder.path(), "1")
    };
    let middle = |out: &str, day: &str| -> f64 {
        let line = out.lines().find(|line| line.starts_with(&format!("2025-11-21,a,{day},"))).unwrap();
        line.split(',').nth(7).unwrap().parse().unwrap()
    };
    let (alone, told) = (asked("").unwrap(), asked(r#", "country": "US""#).unwrap());
    assert!(middle(&told, "2025-11-27") < 0.5 * middle(&alone, "2025-11-27"), "{told}");
    assert!((middle(&told, "2025-11-26") / middle(&alone, "2025-11-26") - 1.0).abs() < 0.1);
    let refused = asked(r#", "country": "XX""#).unwrap_err();
    assert!(refused.contains("task.json") && refused.contains("\"XX\""), "{refused}");
    let task = r#"{"horizon": 7, "season": 7, "unit": "D", "country": "US"}"#;
    std::fs::write(folder.path().join("task.json"), task).unwrap();
    let refused = run(folder.path(), "1").unwrap_err();
    assert!(refused.contains("a country needs origins"), "{refused}");
}

/// Hours of a shop from 2024-01-01 on, each written by `ts`; those that it gives no text for are left out.
fn hours(rows: usize, origin: &str, ts: impl Fn(jiff::civil::DateTime) -> Option<String>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let task = format!(r#"{{"origins": ["{origin}"], "horizon": 24, "season": 168, "unit": "h"}}"#);
    std::fs::write(folder.path().join("task.json"), task).unwrap();
    let mut text = "ts,a\n".to_owned();
    let start = jiff::civil::datetime(2024, 1, 1, 0, 0, 0, 0);
    for t in 0..rows {
        let at = start.saturating_add(jiff::Span::new().hours(t as i64));
        if let Some(ts) = ts(at) {
            writeln!(text, "{ts},{}", 60 + (t % 24) * 4 + (t * t) % 11).unwrap();
        }
    }
    std::fs::write(folder.path().join("history.csv"), text).unwrap();
    folder
}

/// Quantiles of every row.
fn quantiles(out: &str) -> Vec<Vec<f64>> {
    let numbers = |line: &str| line.split(',').skip(4).map(|cell| cell.parse().unwrap()).collect();
    out.lines().skip(1).map(numbers).collect()
}

/// Fifty days, of which the last two weeks before the origin are not there.
#[test]
fn a_history_that_ends_weeks_before_its_origin_does_not_promise_a_line() {
    let plain = |at: jiff::civil::DateTime| Some(at.strftime("%Y-%m-%d %H:%M").to_string());
    let whole = run(hours(50 * 24, "2024-02-20 00:00", plain).path(), "1").unwrap();
    let early = run(hours(36 * 24, "2024-02-20 00:00", plain).path(), "1").unwrap();
    let width = |out: &str| quantiles(out).iter().map(|q| q[5] - q[1]).sum::<f64>();
    assert!(quantiles(&early).len() == 24 && quantiles(&early).iter().all(|q| q[0] < q[3] && q[3] < q[6]), "{early}");
    assert!(width(&early) > width(&whole), "{} {}", width(&early), width(&whole));
}

/// The same moments, written by the clock of Greenwich, by another with its offset, or with none: the same numbers, and
/// each answer's times as its history writes them.
#[test]
fn times_with_an_offset_are_moments() {
    let plain =
        run(hours(60 * 24, "2024-02-20 00:00", |at| Some(at.strftime("%Y-%m-%d %H:%M").to_string())).path(), "1")
            .unwrap();
    let zulu = run(hours(60 * 24, "2024-02-20T00:00:00Z", |at| Some(format!("{at}Z"))).path(), "1").unwrap();
    assert_eq!(quantiles(&zulu), quantiles(&plain));
    assert!(zulu.contains("\n2024-02-20T00:00:00Z,a,2024-02-20T00:00:00Z,"), "{zulu}");
    // From February on the shop's clock is an hour ahead of what it was: the hours go on one after the other.
    let moved = |at: jiff::civil::DateTime| {
        let (by, offset) = if at.month() == 1 { (0, "-05:00") } else { (1, "-04:00") };
        Some(format!("{}{offset}", at.saturating_add(jiff::Span::new().hours(by)).strftime("%Y-%m-%d %H:%M:%S")))
    };
    let moved = run(hours(60 * 24, "2024-02-20 01:00:00-04:00", moved).path(), "1").unwrap();
    assert_eq!(quantiles(&moved), quantiles(&plain));
    assert!(moved.contains(",a,2024-02-20 00:00:00-05:00,"), "{moved}");
    let mixed = |at: jiff::civil::DateTime| Some(if at.day() == 7 { format!("{at}Z") } else { at.to_string() });
    let refused = run(hours(40 * 24, "2024-02-01 00:00", mixed).path(), "1").unwrap_err();
    assert!(refused.contains("line 146") && refused.contains("offset"), "{refused}");
    let local = |at: jiff::civil::DateTime| Some(at.to_string());
    let refused = run(hours(40 * 24, "2024-02-01T00:00:00Z", local).path(), "1").unwrap_err();
    assert!(refused.contains("task.json") && refused.contains("offset"), "{refused}");
}

#[test]
fn a_run_that_fails_leaves_no_half_of_an_answer() {
    let folder = shops(60, |t, c, cell| if (t, c) == (40, 1) { "inf".to_owned() } else { cell });
    std::fs::write(folder.path().join("out1.csv"), "of before").unwrap();
    run(folder.path(), "1").unwrap_err();
    let mut left: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["history.csv", "out1.csv", "task.json"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("out1.csv")).unwrap(), "of before");
}
