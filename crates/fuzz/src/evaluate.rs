//! What `hunch evaluate` reads: a folder of data, written as one text.
//!
//! The first line names the task; every `=== NAME` after it begins a file of that name, which goes on to the next such
//! line. Names under `train/` make the folder of `--train`. A file `standard input` is the line protocol's.

use std::fs;
use std::path::Path;

use hunch_evaluation::EvaluateError;
use hunch_evaluation::cli::{self, Args};

const SEED: u64 = 1;
/// What costs are tried with: nothing, so that every row of a policy has its say.
const COST: f64 = 0.0;

pub fn run(bytes: &[u8]) {
    match outcome(bytes, 1) {
        Some(Ok(written)) => sound(&written),
        Some(Err(refusal)) => told(&refusal),
        None => {}
    }
}

/// What the run wrote, header first, or why it refused; None for bytes that name no task or no file.
pub fn outcome(bytes: &[u8], threads: u16) -> Option<Result<Written, EvaluateError>> {
    let asked = Asked::read(bytes)?;
    if let Some(lines) = asked.file("standard input") {
        let answers = cli::protocol(lines, SEED);
        return Some(answers.map(|bytes| Written { task: asked.task, bytes }));
    }
    let folder = tempfile::tempdir().expect("a folder of our own");
    asked.write(folder.path());
    let train = folder.path().join("train");
    let out = folder.path().join("predictions");
    let args = Args {
        task: Some(asked.task.clone()),
        list: false,
        input: Some(folder.path().join("in")),
        train: if train.is_dir() { vec![train] } else { Vec::new() },
        out: Some(out.clone()),
        protocol: false,
        seed: SEED,
        threads,
        cost: COST,
        model: None,
    };
    let done = cli::run(&args);
    if done.is_err() {
        assert!(!out.exists(), "a run that was refused left a file of predictions");
    }
    Some(
        done.map(|()| Written { task: asked.task, bytes: fs::read(out).expect("a run that went well wrote its file") }),
    )
}

/// A file of predictions, or the protocol's answers.
#[derive(Debug, PartialEq)]
pub struct Written {
    task: String,
    bytes: Vec<u8>,
}

struct Asked<'a> {
    task: String,
    files: Vec<(&'a str, &'a [u8])>,
}

impl Asked<'_> {
    fn read(bytes: &[u8]) -> Option<Asked<'_>> {
        let mut asked: Option<Asked<'_>> = None;
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            match &mut asked {
                None => {
                    let task = std::str::from_utf8(line).ok()?.trim().to_owned();
                    asked = Some(Asked { task, files: Vec::new() });
                }
                Some(asked) => match line.strip_prefix(b"=== ") {
                    Some(name) => asked.files.push((file_name(name)?, after.get(..0)?)),
                    // A file grows by its lines, which stand one after the other in `bytes`.
                    None => {
                        let (_, file) = asked.files.last_mut()?;
                        let begun = bytes.len() - rest.len() - file.len();
                        *file = &bytes[begun..begun + file.len() + line.len()];
                    }
                },
            }
            rest = after;
        }
        asked.filter(|asked| !asked.files.is_empty())
    }

    fn file(&self, wanted: &str) -> Option<&[u8]> {
        self.files.iter().find(|(name, _)| *name == wanted).map(|(_, bytes)| *bytes)
    }

    fn write(&self, folder: &Path) {
        fs::create_dir(folder.join("in")).expect("a folder of our own");
        for (name, bytes) in &self.files {
            let path = if name.starts_with("train/") { folder.join(name) } else { folder.join("in").join(name) };
            path.parent().map(fs::create_dir_all).transpose().expect("a folder of our own");
            // Bytes may name a file and a folder alike; what cannot be there is not.
            let _ = fs::write(path, bytes);
        }
    }
}

/// Names that stay inside their folder: letters, digits and a few marks, at most one folder deep.
fn file_name(line: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(line).ok()?.trim();
    let plain = |part: &str| {
        let letters = part.chars().all(|c| c.is_ascii_alphanumeric() || "._- ".contains(c));
        letters && !part.is_empty() && !part.starts_with('.') && part.len() < 40
    };
    (name.split('/').count() <= 3 && name.split('/').all(plain)).then_some(name)
}

/// A refusal says what is wrong, and where it is about a row, in which file, line and column.
fn told(refusal: &EvaluateError) {
    let sentence = refusal.to_string();
    assert!(!sentence.trim().is_empty(), "a refusal says why");
    match refusal {
        EvaluateError::Cell { file, line, column, problem } => {
            assert!(*line > 1, "a row stands below the header: {sentence}");
            assert!(!column.is_empty() && !problem.is_empty(), "{sentence}");
            assert!(file.file_name().is_some_and(|name| sentence.contains(&*name.to_string_lossy())), "{sentence}");
        }
        EvaluateError::Column { column, .. } => assert!(sentence.contains(column.escape_debug().to_string().as_str())),
        EvaluateError::File { problem, .. } => assert!(!problem.is_empty(), "{sentence}"),
        EvaluateError::Unwritable { .. } => panic!("the folder is there and ours: {sentence}"),
        _ => {}
    }
}

/// Columns that hold names from the input, which may read like anything.
const NAMES: [&str; 14] = [
    "customer_id",
    "household_id",
    "campaign_id",
    "finding_id",
    "transaction_id",
    "origin",
    "series",
    "ts",
    "file",
    "set",
    "rep",
    "policy",
    "estimator",
    "candidate",
];

/// Every number that was written is one, and in the range of what it stands for.
fn sound(written: &Written) {
    if written.bytes.first() == Some(&b'{') {
        return answers(&written.bytes);
    }
    let mut table = csv::Reader::from_reader(written.bytes.as_slice());
    let header = table.headers().expect("predictions have a header").clone();
    for row in table.records() {
        let row = row.expect("every row has a field for each column");
        let number = |column: &str| {
            let at = header.iter().position(|name| name == column)?;
            row[at].parse::<f64>().ok()
        };
        for (name, text) in header.iter().zip(&row) {
            // Rows are numbered, but two tasks take the numbers from a file that may call its rows otherwise.
            if NAMES.contains(&name) || (name == "row" && ["policy", "nba"].contains(&written.task.as_str())) {
                continue;
            }
            let number: f64 = text.parse().unwrap_or_else(|_| panic!("{name} is {text:?} in {row:?}"));
            assert!(number.is_finite(), "{name} is {text} in {row:?}");
            let chance = name.starts_with("p_") || name == "price" || (name == "score" && written.task != "recs");
            assert!(!chance || (0.0..=1.0).contains(&number), "{name} is {text} in {row:?}");
            assert!(!name.starts_with("exp_") || number >= 0.0, "{name} is {text} in {row:?}");
        }
        if let Some(propensity) = number("propensity") {
            assert!(propensity > 0.0 && propensity <= 1.0, "{row:?}");
        }
        if let (Some(low), Some(high)) = (number("ci_lo"), number("ci_hi")) {
            assert!(low <= high, "{row:?}");
        }
        let quantiles = ["q025", "q100", "q250", "q500", "q750", "q900", "q975"].map(number);
        for pair in quantiles.windows(2) {
            assert!(pair[0] <= pair[1], "quantiles cross in {row:?}");
        }
    }
}

/// One answer a line, each a probability above 0.
fn answers(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let answer: serde_json::Value = serde_json::from_slice(line).expect("an answer is JSON");
        assert!(answer["a"].is_u64(), "{answer}");
        assert!(answer["p"].as_f64().is_some_and(|p| p > 0.0 && p <= 1.0), "{answer}");
    }
}
