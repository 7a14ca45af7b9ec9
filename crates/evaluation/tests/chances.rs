//! `winprob`, `recs` and `lmsr` on small data made here and on a few real trades; on the real sets if `HUNCH_DATA_DIR` says where they are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hunch_evaluation::cli::{self, Args};

fn run(task: &str, input: &Path, train: &[&Path], out: &Path) -> Result<String, String> {
    let mut args = args();
    args.list = false;
    args.task = Some(task.to_owned());
    args.input = Some(input.to_owned());
    args.train = train.iter().map(|path| (*path).to_owned()).collect();
    args.out = Some(out.to_owned());
    cli::run(&args).map_err(|e| e.to_string())?;
    Ok(std::fs::read_to_string(out).unwrap())
}

/// What the command line has besides, as it is without options.
fn args() -> Args {
    use clap::Parser;
    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }
    Program::parse_from(["evaluate", "--list"]).args
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A pseudo-random number below `below`.
fn dice(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn moment(step: u64) -> String {
    format!("2020-{:02}-{:02} {:02}:{:02}", 1 + step / 672 % 12, 1 + step / 24 % 28, step % 24, step * 7 % 60)
}

const FORECASTS: &str = "row,t,kind,user,question,value,closes\n";

/// `rows` rows: people forecast about 40 open questions, and the oldest are decided.
fn forecasts(rows: u64) -> String {
    let (mut text, mut state) = (FORECASTS.to_owned(), 7);
    let (mut opened, mut decided) = (0, 0);
    for row in 0..rows {
        let t = moment(row);
        if opened > decided + 40 {
            writeln!(text, "{row},{t},R,,{decided},{},", dice(&mut state, 2)).unwrap();
            decided += 1;
            continue;
        }
        let question = if opened == decided || dice(&mut state, 3) == 0 {
            opened += 1;
            opened - 1
        } else {
            decided + dice(&mut state, opened - decided)
        };
        let (user, value) = (dice(&mut state, 9), dice(&mut state, 101));
        writeln!(text, "{row},{t},F,{user},{question},{},2021-01-01", value as f64 / 100.0).unwrap();
    }
    text
}

fn lines(text: &str, count: usize) -> String {
    text.lines().take(count).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_cut_stream_gives_the_same_chances_up_to_the_cut() {
    let text = forecasts(900);
    let whole = folder(&[("stream.csv", &text)]);
    let all = run("winprob", whole.path(), &[], &whole.path().join("out.csv")).unwrap();
    for kept in [40, 500, 850] {
        let cut = folder(&[("stream.csv", &lines(&text, kept))]);
        let part = run("winprob", cut.path(), &[], &cut.path().join("out.csv")).unwrap();
        assert!(part.lines().count() > kept / 2);
        assert!(all.starts_with(&part), "cut after {kept}");
    }
}

#[test]
fn rows_in_front_are_learned_from_and_not_predicted() {
    let text = forecasts(900);
    let whole = folder(&[("stream.csv", &text)]);
    let all = run("winprob", whole.path(), &[], &whole.path().join("out.csv")).unwrap();
    let late: String = text.lines().skip(601).map(|line| format!("{line}\n")).collect();
    let rest = folder(&[("stream.csv", &format!("{FORECASTS}{late}"))]);
    // The file in front may be a longer copy: what is numbered like rows to predict, or later, is left out.
    let told = run("winprob", rest.path(), &[whole.path()], &rest.path().join("out.csv")).unwrap();
    let body: String = told.lines().skip(1).map(|line| format!("{line}\n")).collect();
    assert!(body.lines().count() > 100 && all.ends_with(&body));
}

#[test]
fn a_cut_stream_gives_the_same_ranking_up_to_the_cut() {
    let text = forecasts(1_400);
    let mut candidates = "row,t,user,candidates\n".to_owned();
    for row in (700..1_390).step_by(30) {
        writeln!(candidates, "{row},{},3,1 200 210 215 220 90000", moment(row)).unwrap();
    }
    let vectors = "question,v0,v1\n200,1,0\n210,0,1\n215,0.5,0.5\n";
    let whole = folder(&[("stream.csv", &text), ("candidates.csv", &candidates), ("text_vectors.csv", vectors)]);
    let all = run("recs", whole.path(), &[], &whole.path().join("out.csv")).unwrap();
    assert_eq!(all.lines().count(), 1 + 23 * 6);
    let cut = folder(&[
        ("stream.csv", &lines(&text, 1_001)),
        ("candidates.csv", &lines(&candidates, 11)),
        ("text_vectors.csv", vectors),
    ]);
    let part = run("recs", cut.path(), &[], &cut.path().join("out.csv")).unwrap();
    assert!(part.lines().count() == 61 && all.starts_with(&part));
    assert!(all.lines().skip(1).all(|line| line.rsplit(',').next().unwrap().parse::<f64>().unwrap().is_finite()));
}

#[test]
fn orders_are_read_too() {
    let head = "row,t,kind,venue,user,market,contract,side,price,quantity,filled,result\n";
    let rows = "0,2014-08-20 00:03,O,teams,0,0,0,buy,0.5,40.0,0.0,\n1,2014-08-20 00:10,O,supers,1,1,1,sell,0.3,100,100,\n\
                2,2014-08-21 23:59,R,,,0,0,,,,,1.0\n3,2014-08-22 00:18,O,teams,2,1,1,buy,0.1,100,0,\n";
    let set = folder(&[("stream.csv", &format!("{head}{rows}"))]);
    let told = run("winprob", set.path(), &[], &set.path().join("out.csv")).unwrap();
    let rows: Vec<&str> = told.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(rows, ["0", "1", "3"]);
}

#[test]
fn trades_are_replayed_whatever_sign_their_shares_have() {
    let trades = "project,finding_id,transaction_id,transaction_type,transaction_shares,price\n\
                  A,1,10,sell,19.090283,0\nA,2,11,buy,-19.090283,0\nA,1,12,sell,1.818735,0\nB,1,13,buy,,0\n";
    let set = folder(&[("trades.csv", trades)]);
    let told = run("lmsr", set.path(), &[], &set.path().join("out.csv")).unwrap();
    let prices: Vec<f64> = told.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect();
    for (price, expected) in prices.iter().zip([0.452_419, 0.547_581, 0.447_917, 0.5]) {
        assert!((price - expected).abs() < 1e-6, "{told}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let row = |row: &str| format!("{FORECASTS}0,2020-01-01 10:00,F,1,1,0.5,2020-02-01\n{row}\n");
    for (second, told) in [
        ("1,2020-01-01 11:00,F,1,1,1.5,2020-02-01", "line 3, column \"value\": 1.5 is not a probability"),
        ("1,yesterday,F,1,1,0.5,2020-02-01", "line 3, column \"t\": a date is needed here"),
        ("1,2020-01-01 11:00,F,1,1,NaN,2020-02-01", "line 3, column \"value\""),
        ("1,2020-01-01 11:00,F,,1,0.5,2020-02-01", "line 3, column \"user\""),
        ("1,2020-01-01 11:00,R,,1,0.5,", "line 3, column \"value\": 0 or 1"),
        ("1,2020-01-01 11:00,X,1,1,0.5,", "line 3, column \"kind\""),
        ("0,2020-01-01 11:00,F,1,1,0.5,", "line 3: row 0 is there twice"),
    ] {
        let set = folder(&[("stream.csv", &row(second))]);
        let error = run("winprob", set.path(), &[], &set.path().join("out.csv")).unwrap_err();
        assert!(error.contains(told) && !set.path().join("out.csv").exists(), "{second}: {error}");
    }
    // A clock that steps back once is followed as if it had stood still.
    let after = |time: &str| {
        let set = folder(&[("stream.csv", &row(&format!("1,2020-01-01 {time},F,1,1,0.5,2020-02-01")))]);
        run("winprob", set.path(), &[], &set.path().join("out.csv")).unwrap()
    };
    assert_eq!(after("09:00"), after("10:00"));
    let empty = folder(&[("stream.csv", FORECASTS)]);
    assert_eq!(run("winprob", empty.path(), &[], &empty.path().join("out.csv")).unwrap(), "row,p_yes\n");
    let missing = folder(&[("stream.csv", "row,t,kind,user,question,value\n")]);
    let error = run("winprob", missing.path(), &[], &missing.path().join("out.csv")).unwrap_err();
    assert!(error.contains("no column \"closes\""), "{error}");
    let twice = folder(&[
        ("stream.csv", &row("1,2020-01-01 11:00,F,2,1,0.5,")),
        ("candidates.csv", "row,t,user,candidates\n5,2020-01-02 10:00,1,1 1\n"),
    ]);
    assert!(
        run("recs", twice.path(), &[], &twice.path().join("out.csv")).unwrap_err().contains("candidate is there twice")
    );
}

/// The excerpt that the project carries, and the whole set where it is.
fn trades() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lmsr_trades");
    let whole = std::env::var_os("HUNCH_DATA_DIR").map(|folder| PathBuf::from(folder).join("lmsr_trades"));
    [Some(own), whole.filter(|path| path.is_dir())].into_iter().flatten().collect()
}

/// Prices written with six digits, from shares written with six digits.
#[test]
fn real_trades_are_replayed_to_the_last_digit() {
    let scratch = tempfile::tempdir().unwrap();
    for set in trades() {
        let told = run("lmsr", &set, &[], &scratch.path().join("out.csv")).unwrap();
        let mut truth = csv::Reader::from_path(set.join("trades.csv")).unwrap();
        let header = truth.headers().unwrap().clone();
        let at = |name: &str| header.iter().position(|column| column == name).unwrap();
        let (mut worst, mut trades) = (0.0f64, 0);
        for (row, line) in truth.records().map(Result::unwrap).zip(told.lines().skip(1)) {
            if ["RPP", "EERP"].contains(&&row[at("project")]) {
                let price: f64 = row[at("price")].parse().unwrap();
                worst = worst.max((price - line.rsplit(',').next().unwrap().parse::<f64>().unwrap()).abs());
                trades += 1;
            }
        }
        assert!(trades >= 62 && worst < 1e-6, "{}: {worst} over {trades}", set.display());
    }
}
