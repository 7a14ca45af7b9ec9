//! `ltv`, `churn` and `offer` on small folders made here, and on the public ones where `HUNCH_DATA_DIR` names them.

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hunch_learning::life::{Artifact, Window};
use hunch_learning::value::Base;

use crate::EvaluateError;
use crate::tasks::{Run, TASKS};
use crate::train::{TRAINERS, TrainRun};

fn run(task: &str, input: &Path, train: &[PathBuf], out: &Path) -> Result<String, EvaluateError> {
    run_on(1, task, input, train, out)
}

fn run_on(threads: usize, task: &str, input: &Path, train: &[PathBuf], out: &Path) -> Result<String, EvaluateError> {
    let task = TASKS.iter().find(|known| known.name == task).unwrap();
    (task.evaluate)(&Run { threads, ..Run::over(input, train, out) })?;
    Ok(std::fs::read_to_string(out).unwrap())
}

/// A folder with a log and its task.
fn folder(log: &str, cutoff: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.csv"), log).unwrap();
    let task = format!(r#"{{"cutoff":"{cutoff}","horizon_days":28,"active_days":14,"log":"log.csv (all of it)"}}"#);
    std::fs::write(folder.path().join("task.json"), task).unwrap();
    folder
}

/// Customers who buy every so many days from 2024-01-01 on, some of whom stop; rows until `last`.
fn log(customers: u32, last: u32) -> String {
    let mut log = "customer_id,ts,value,items\n".to_owned();
    let first = jiff::civil::date(2024, 1, 1);
    for day in 0..=last {
        for customer in 0..customers {
            let (gap, stops) = (3 + customer % 17, if customer % 4 == 0 { 60 } else { 1_000 });
            if day % gap == customer % gap && day < stops + customer {
                let date = first.checked_add(jiff::Span::new().days(i64::from(day))).unwrap();
                let spend = 5.0 + f64::from(customer % 7) + f64::from(day % 5);
                writeln!(log, "{customer},{date} 10:30,{spend},{}", day % 3).unwrap();
            }
        }
    }
    log
}

fn numbers(row: &str) -> Vec<f64> {
    row.split(',').skip(1).map(|x| x.parse().unwrap()).collect()
}

#[test]
fn every_customer_gets_finite_numbers_and_the_future_does_not_count() {
    let (cut, longer) = (folder(&log(80, 150), "2024-05-30"), folder(&log(80, 190), "2024-05-30"));
    let out = cut.path().join("out.csv");
    for task in ["ltv", "churn"] {
        let now = run(task, cut.path(), &[], &out).unwrap();
        assert_eq!(now.lines().count(), 81, "{task}");
        assert!(now.lines().skip(1).flat_map(numbers).all(|x| x.is_finite() && x >= 0.0), "{task}");
        // Rows after the cut-off, when they are there, change nothing; nor does running again.
        assert_eq!(now, run(task, longer.path(), &[], &out).unwrap(), "{task}");
    }
    let value = run("ltv", cut.path(), &[], &out).unwrap();
    let of = |id: &str| numbers(value.lines().find(|row| row.starts_with(&format!("{id},"))).unwrap());
    // 17 buys every third day; 48 stopped after the 108th of 150 days.
    assert!((of("17")[0] - 28.0 / 3.0).abs() < 3.0, "{:?}", of("17"));
    assert!(of("48")[0] < 0.5 * of("17")[0], "{:?}", of("48"));
    let churn = run("churn", cut.path(), &[], &out).unwrap();
    let none = |id: &str| numbers(churn.lines().find(|row| row.starts_with(&format!("{id},"))).unwrap())[0];
    assert!(none("48") > 0.5 && none("17") < 0.1, "{} {}", none("48"), none("17"));
}

/// The same moments, written by other clocks: four hours behind Greenwich a purchase of late evening is one of the next day.
#[test]
fn times_with_an_offset_are_moments() {
    let told = |ts: &dyn Fn(&str) -> String| {
        let rows = log(40, 100);
        let rows = rows.lines().enumerate().map(|(n, row)| {
            let fields: Vec<&str> = row.split(',').collect();
            let ts = if n == 0 { fields[1].to_owned() } else { ts(fields[1]) };
            format!("{},{ts},{}\n", fields[0], fields[2])
        });
        let folder = folder(&rows.collect::<String>(), "2024-04-09");
        run("ltv", folder.path(), &[], &folder.path().join("out.csv")).unwrap()
    };
    let plain = told(&|ts| ts.to_owned());
    assert_eq!(told(&|ts| format!("{}:00Z", ts.replace(' ', "T"))), plain);
    assert_eq!(told(&|ts| format!("{}-04:00", ts.replace("10:30", "06:30"))), plain);
    assert_ne!(
        told(&|ts| format!("{}-04:00", ts.replace("10:30", "23:30"))),
        plain,
        "these are purchases of the next day"
    );
}

#[test]
fn order_and_doubled_rows_do_not_matter_and_train_logs_add_customers() {
    let text = log(60, 120);
    let mut rows: Vec<&str> = text.lines().skip(1).collect();
    rows.reverse();
    rows.push(rows[3]);
    let mixed = format!("customer_id,ts,value,items\n{}\n", rows.join("\n"));
    let (plain, mixed) = (folder(&text, "2024-04-30"), folder(&mixed, "2024-04-30"));
    let out = plain.path().join("out.csv");
    let first = run("ltv", plain.path(), &[], &out).unwrap();
    assert_eq!(first, run("ltv", mixed.path(), &[], &out).unwrap());
    // The same customers again teach nothing new; others do, and are not predicted.
    let same = run("ltv", plain.path(), &[mixed.path().to_owned()], &out).unwrap();
    assert_eq!(first, same);
    let other = folder(&log(90, 120), "2024-04-30");
    let more = run("ltv", plain.path(), &[other.path().to_owned()], &out).unwrap();
    assert_eq!(more.lines().count(), first.lines().count());
    assert_ne!(first, more);
}

/// Where only the day is written two equal rows are two purchases: as much is spent as by one of twice the value.
#[test]
fn equal_rows_of_one_day_are_two_purchases() {
    let told = |day: &str, twice: &str| {
        let log = log(60, 120).replace(",items", "");
        let others = log.lines().map(|row| match row.rsplit_once(',') {
            Some((kept, _)) if !row.starts_with("customer") => format!("{kept}\n"),
            _ => format!("{row}\n"),
        });
        let others: String = others.collect();
        let rows: String = twice.split(' ').map(|value| format!("777,{day},{value}\n")).collect();
        let folder = folder(&format!("{others}777,2024-02-01,8\n777,2024-03-05,8\n{rows}"), "2024-04-30");
        let all = run("ltv", folder.path(), &[], &folder.path().join("out.csv")).unwrap();
        all.lines().find(|row| row.starts_with("777,")).unwrap().to_owned()
    };
    for day in ["2024-04-20", "2024-04-20 00:00:00"] {
        assert_eq!(told(day, "9 9"), told(day, "18"), "{day}");
    }
    // To the minute they are one that was written twice.
    assert_eq!(told("2024-04-20 10:31", "9 9"), told("2024-04-20 10:31", "9"));
    assert_ne!(told("2024-04-20 10:31", "9"), told("2024-04-20 10:31", "18"));
}

#[test]
fn one_customer_one_purchase_and_equal_customers_are_survived() {
    let alike: String = (0..50).map(|customer| format!("{customer},2024-02-01,0\n")).collect();
    for rows in ["7,2024-01-05,0\n", "7,2024-01-05,12.5\n7,2024-01-20,3\n", &alike] {
        let folder = folder(&format!("customer_id,ts,value\n{rows}"), "2024-03-01");
        for task in ["ltv", "churn"] {
            let text = run(task, folder.path(), &[], &folder.path().join("out.csv")).unwrap();
            assert!(text.lines().count() > 1);
            assert!(text.lines().skip(1).flat_map(numbers).all(f64::is_finite), "{text}");
        }
    }
}

/// Seven customers: those with a purchase two weeks before the cut-off, or earlier, tell the base rate.
#[test]
fn churn_of_too_few_is_the_base_rate() {
    let gone = "1,2024-01-05,2\n2,2024-01-05,2\n3,2024-01-09,2\n4,2024-02-16,2\n";
    let stays = "5,2024-01-05,2\n5,2024-02-17,2\n";
    let new = "6,2024-02-20,2\n7,2024-02-28,2\n";
    let folder = folder(&format!("customer_id,ts,value\n{gone}{stays}{new}"), "2024-03-01");
    let text = run("churn", folder.path(), &[], &folder.path().join("out.csv")).unwrap();
    let told: Vec<f64> = text.lines().skip(1).map(|row| numbers(row)[0]).collect();
    // Four of five bought nothing since; with one of each kind added, five of seven.
    assert_eq!(told, [0.714286; 7]);
}

#[test]
fn bad_logs_are_told_with_line_and_column() {
    let cases = [
        ("customer_id,ts\n1,2024-01-01\n", "no column \"value\""),
        ("customer_id,ts,value\n1,2024-01-01,2\n1,2024-01-02,-3\n", "line 3, column \"value\": -3 is negative"),
        ("customer_id,ts,value\n1,2024-01-01,inf\n", "line 2, column \"value\": inf is not finite"),
        ("customer_id,ts,value\n1,2024-13-01,2\n", "line 2, column \"ts\""),
        ("customer_id,ts,value\n,2024-01-01,2\n", "line 2, column \"customer_id\""),
        ("customer_id,ts,value\n", "no purchase up to"),
        ("customer_id,ts,value\n1,2025-01-01,2\n", "no purchase up to"),
    ];
    for (log, told) in cases {
        let folder = folder(log, "2024-06-01");
        for task in ["ltv", "churn"] {
            let error = run(task, folder.path(), &[], &folder.path().join("out.csv")).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
    let folder = folder("customer_id,ts,value\n1,2024-01-01,2\n", "some day");
    assert!(run("ltv", folder.path(), &[], &folder.path().join("o")).unwrap_err().to_string().contains("some day"));
}

#[test]
fn threads_change_no_byte() {
    let (folder, (asked, train)) = (folder(&log(220, 150), "2024-05-30"), offers());
    let train = [train.path().to_owned()];
    let tasks: [(&str, &Path, &[PathBuf]); 3] =
        [("ltv", folder.path(), &[]), ("churn", folder.path(), &[]), ("offer", asked.path(), &train)];
    for (task, input, train) in tasks {
        let out = input.join("out.csv");
        let [one, two, five] = [1, 2, 5].map(|threads| run_on(threads, task, input, train, &out).unwrap());
        assert!(one == two && one == five, "{task}");
    }
}

/// What a model file holds is the whole model: read back, it writes what `hunch evaluate` writes.
#[test]
fn a_trained_model_says_what_evaluate_says() {
    let folder = folder(&log(220, 150), "2024-05-30");
    for (task, input) in [("ltv", folder.path()), ("churn", folder.path())] {
        assert_eq!(said_by_model(task, input), run(task, input, &[], &input.join("out.csv")).unwrap(), "{task}");
    }
}

#[test]
fn a_model_of_too_few_says_what_evaluate_says_and_beats_no_baseline() {
    let folder = folder(&log(12, 150), "2024-05-30");
    for task in ["ltv", "churn"] {
        let said = said_by_model(task, folder.path());
        assert_eq!(said, run(task, folder.path(), &[], &folder.path().join("out.csv")).unwrap(), "{task}");
    }
    let model = trained("churn", folder.path());
    assert_eq!(model.beaten_by_baseline().len(), 2, "{:?}", model.metrics);
}

fn trained(task: &str, input: &Path) -> Artifact {
    let trainer = TRAINERS.iter().find(|known| known.name == task).unwrap();
    let [bytes, more] = [1, 3].map(|threads| {
        let model: Artifact = (trainer.train)(&TrainRun { input, seed: 1, threads }).unwrap();
        model.to_bytes().unwrap()
    });
    assert!(bytes == more, "threads change no byte of a model");
    Artifact::read(&bytes).unwrap()
}

/// The predictions of the model that is trained on a folder, for the same folder.
fn said_by_model(task: &str, input: &Path) -> String {
    let (file, out) = (input.join("model"), input.join("by_model.csv"));
    std::fs::write(&file, trained(task, input).to_bytes().unwrap()).unwrap();
    let task = TASKS.iter().find(|known| known.name == task).unwrap();
    (task.evaluate)(&Run { model: Some(&file), ..Run::over(input, &[], &out) }).unwrap();
    std::fs::read_to_string(out).unwrap()
}

/// A model file from before held the repeat-buying models alone.
#[test]
fn a_model_file_that_holds_less_is_refused() {
    let base = serde_json::json!({
        "at_random": {"r": 0.2, "alpha": 4.4, "a": 0.8, "b": 2.4, "leaving": "AfterRepeat", "regularity": 1},
        "regular": {"r": 0.5, "alpha": 6.2, "a": 0.9, "b": 1.6, "leaving": "AfterAny", "regularity": 1},
        "any_time": null,
        "amount": null,
    });
    serde_json::from_value::<Base>(base.clone()).unwrap();
    let ltv = serde_json::json!({"base": base, "horizon_days": 28});
    let churn = serde_json::json!({"base": base, "active_days": 14, "level": 0.1, "slope": 0.9});
    let folder = folder(&log(12, 150), "2024-05-30");
    let told = |kind: &str, parameters: &serde_json::Value| {
        let (file, out) = (folder.path().join("model"), folder.path().join("out.csv"));
        let old = Artifact::new(kind, 1, Window::default(), parameters).unwrap();
        std::fs::write(&file, old.to_bytes().unwrap()).unwrap();
        let task = TASKS.iter().find(|known| known.name == kind).unwrap();
        let refused = (task.evaluate)(&Run { model: Some(&file), ..Run::over(folder.path(), &[], &out) }).unwrap_err();
        assert!(refused.to_string().ends_with("model cannot be used"), "{refused}");
        refused.source().unwrap().to_string()
    };
    assert!(told("ltv", &ltv).starts_with("this ltv model, made by version"));
    assert!(told("churn", &churn).starts_with("this churn model, made by version"));
}

/// Folders for `offer`: even households take up campaigns of kind A, nobody takes up others.
fn offers() -> (tempfile::TempDir, tempfile::TempDir) {
    let (asked, train) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let header = "household_id,campaign_id,campaign_type,start_date,end_date";
    let (mut rows, mut redemptions) = (format!("{header},redeemed\n"), "date,household_id,campaign_id\n".to_owned());
    for campaign in 0..6 {
        let kind = if campaign % 2 == 0 { 'A' } else { 'B' };
        for household in 0..40 {
            let taken = u8::from(kind == 'A' && household % 2 == 0);
            let month = campaign + 1;
            writeln!(rows, "{household},{campaign},{kind},2024-0{month}-01,2024-0{month}-20,{taken}").unwrap();
            if taken == 1 {
                writeln!(redemptions, "2024-0{month}-09,{household},{campaign}").unwrap();
            }
        }
    }
    std::fs::write(train.path().join("train.csv"), rows).unwrap();
    std::fs::write(train.path().join("redemptions.csv"), redemptions).unwrap();
    std::fs::write(train.path().join("log.csv"), log(30, 150)).unwrap();
    let input: String = (0..41).map(|household| format!("{household},9,A,2024-07-01,2024-07-20\n")).collect();
    std::fs::write(asked.path().join("input.csv"), format!("{header}\n{input}")).unwrap();
    (asked, train)
}

#[test]
fn offers_go_to_those_who_took_them_up_and_later_redemptions_do_not_count() {
    let (asked, train) = offers();
    let (folders, out) = ([train.path().to_owned()], asked.path().join("out.csv"));
    let text = run("offer", asked.path(), &folders, &out).unwrap();
    let taken: Vec<f64> = text.lines().skip(1).map(|row| numbers(row)[1]).collect();
    assert!(taken.len() == 41 && taken.iter().all(|p| *p > 0.0 && *p < 1.0));
    assert!(taken[2] > 0.4 && taken[3] < 0.2, "{taken:?}");
    let file = train.path().join("redemptions.csv");
    let more = std::fs::read_to_string(&file).unwrap() + "2024-07-01,3,9\n2024-08-01,5,9\n";
    std::fs::write(&file, more).unwrap();
    assert_eq!(text, run("offer", asked.path(), &folders, &out).unwrap());
}

#[test]
fn bad_offers_are_told() {
    let (asked, train) = offers();
    let out = asked.path().join("out.csv");
    let none = run("offer", asked.path(), &[], &out).unwrap_err().to_string();
    assert!(none.contains("train.csv"), "{none}");
    let (input, header) =
        (asked.path().join("input.csv"), "household_id,campaign_id,campaign_type,start_date,end_date");
    let cases = [
        ("1,9,A,2024-07-20,2024-07-01\n", "line 2, column \"end_date\""),
        ("1,9,A,2024-07-01,2024-07-20\n1,9,A,2024-07-01,2024-07-20\n", "line 3, column \"household_id\""),
        ("1,9,A,July,2024-07-20\n", "line 2, column \"start_date\""),
    ];
    for (rows, told) in cases {
        std::fs::write(&input, format!("{header}\n{rows}")).unwrap();
        let error = run("offer", asked.path(), &[train.path().to_owned()], &out).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

/// A log of customers who buy and leave exactly as BG/NBD and Gamma-Gamma say (Fader, Hardie and Lee 2005; Fader and Hardie
/// 2013), in days over three years: what a model of theirs finds in it must be what it was made by.
fn made_by_the_model(customers: u32, [r, alpha, a, b]: [f64; 4], [p, q, v]: [f64; 3]) -> String {
    use rand::RngExt as _;
    use rand_distr::{Beta, Distribution as _, Exp, Gamma};
    const DAYS: f64 = 1_095.0;
    let mut chance = hunch_learning::numeric::chance::chance(11, 1);
    let (rates, leaving) = (Gamma::new(r, 1.0 / alpha).unwrap(), Beta::new(a, b).unwrap());
    let tastes = Gamma::new(q, 1.0 / v).unwrap();
    let mut log = "customer_id,ts,value\n".to_owned();
    for customer in 0..customers {
        let gap = Exp::new((rates.sample(&mut chance) / 7.0).max(1e-9)).unwrap();
        let (leaves, spend) = (leaving.sample(&mut chance), Gamma::new(p, 1.0 / tastes.sample(&mut chance)).unwrap());
        let mut day = chance.random::<f64>() * 90.0;
        loop {
            let date = jiff::civil::date(2020, 1, 1).saturating_add(jiff::Span::new().days(day as i64));
            writeln!(log, "{customer},{date},{:.6}", spend.sample(&mut chance)).unwrap();
            day += gap.sample(&mut chance);
            if day >= DAYS {
                break;
            }
            if chance.random::<f64>() < leaves {
                // This purchase happens, and is the last.
                let date = jiff::civil::date(2020, 1, 1).saturating_add(jiff::Span::new().days(day as i64));
                writeln!(log, "{customer},{date},{:.6}", spend.sample(&mut chance)).unwrap();
                break;
            }
        }
    }
    log
}

/// Each within a share of what is expected of it.
fn near(found: &[f64], expected: &[f64], share: f64) {
    for (x, y) in found.iter().zip(expected) {
        assert!((x / y - 1.0).abs() < share, "{found:?} {expected:?}");
    }
}

#[test]
fn estimates_find_what_the_customers_were_made_by() {
    use hunch_learning::value::{GammaGamma, Geometric, Leaving, MeanSpend, Seen};
    let (buying, spending) = ([0.8, 10.0, 0.9, 3.0], [6.0, 4.0, 15.0]);
    let folder = folder(&made_by_the_model(8_000, buying, spending), "2022-12-30");
    let customers = crate::purchases::read_log(folder.path(), "log.csv", None).unwrap();
    let cutoff = crate::purchases::day_number(jiff::civil::date(2022, 12, 30));
    let seen: Vec<Seen<'_>> = customers.histories.iter().map(|history| history.until(cutoff)).collect();
    let summaries: Vec<_> = seen.iter().filter_map(|seen| seen.summary(cutoff)).collect();
    assert_eq!(summaries.len(), 8_000);
    let bg = Geometric::fit(&summaries, Leaving::AfterRepeat, 1).unwrap();
    near(&[bg.r, bg.alpha, bg.a, bg.b], &buying, 0.15);
    let spend: Vec<MeanSpend> = seen.iter().map(Seen::mean_spend).collect();
    let spend = GammaGamma::fit(&spend).unwrap();
    near(&[spend.p, spend.q, spend.v], &spending, 0.15);
}

/// Estimates for the CDNOW sample in three digits: BG/NBD and Pareto/NBD of Fader, Hardie and Lee (2005), MBG/NBD of
/// Batislam and others (2007), Gamma-Gamma of Fader and Hardie (2013).
#[test]
fn published_estimates_are_reproduced() {
    use hunch_learning::value::{GammaGamma, Geometric, Leaving, MeanSpend, Pareto, Seen};
    let Some(data) = std::env::var_os("HUNCH_DATA_DIR") else {
        return eprintln!("not judged: HUNCH_DATA_DIR does not say where the sample is");
    };
    let customers = crate::purchases::read_log(&Path::new(&data).join("cdnow"), "input.csv", None).unwrap();
    let cutoff = crate::purchases::day_number(jiff::civil::date(1997, 9, 30));
    let seen: Vec<Seen<'_>> = customers.histories.iter().map(|history| history.until(cutoff)).collect();
    let summaries: Vec<_> = seen.iter().filter_map(|seen| seen.summary(cutoff)).collect();
    let near = |found: &[f64], published: &[f64]| near(found, published, 1.5e-3);
    let bg = Geometric::fit(&summaries, Leaving::AfterRepeat, 1).unwrap();
    near(&[bg.r, bg.alpha, bg.a, bg.b], &[0.2426, 4.4136, 0.7929, 2.4259]);
    let mbg = Geometric::fit_regularity(&summaries, Leaving::AfterAny).unwrap();
    near(&[mbg.r, mbg.alpha, mbg.a, mbg.b], &[0.5248, 6.1831, 0.8914, 1.6140]);
    let pareto = Pareto::fit(&summaries).unwrap();
    near(&[pareto.r, pareto.alpha, pareto.s, pareto.beta], &[0.5533, 10.5776, 0.6063, 11.6721]);
    // The published sample leaves the first purchase out of the mean spend.
    let repeat: Vec<MeanSpend> =
        seen.iter().map(|s| Seen { days: &s.days[1..], spend: &s.spend[1..] }.mean_spend()).collect();
    let spend = GammaGamma::fit(&repeat).unwrap();
    near(&[spend.p, spend.q, spend.v], &[6.2496, 3.7442, 15.4435]);
}
