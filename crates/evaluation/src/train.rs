//! `hunch train`: learns from the past that a directory holds and writes one model file, with how well it does beside a
//! stated baseline on data later than what it had learned from.
//!
//! A trainer judges itself first, on a time split within the directory, and then learns from all of it. What it may
//! read is what `hunch evaluate` of the same task reads, so nothing past a cut takes part. The same directory, seed
//! and version give the same file.

mod fraud;
mod nba;
mod next_action;
mod value;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hunch_learning::life::{Artifact, Purpose, card, sha256_hex};

use crate::EvaluateError;
use crate::files::{Unfinished, find};
use crate::tasks::Run;

/// What a trainer is given.
pub struct TrainRun<'a> {
    pub input: &'a Path,
    pub seed: u64,
    /// At least 1.
    pub threads: usize,
}

impl TrainRun<'_> {
    /// Tells a person how far a long run is.
    pub fn say(&self, what: std::fmt::Arguments<'_>) {
        // A closed standard error is no reason to stop.
        let _ = writeln!(io::stderr(), "{what}");
    }

    /// The same question to what reads the directory for `hunch evaluate`; it writes nothing.
    pub(crate) fn as_run(&self) -> Run<'_> {
        let (seed, threads) = (self.seed, self.threads);
        Run { seed, threads, ..Run::over(self.input, &[], Path::new("")) }
    }

    /// SHA-256 over the bytes of those of `names` that are there, in the order given.
    ///
    /// # Errors
    /// `Unreadable`.
    pub fn sha256_of(&self, names: &[&str]) -> Result<String, EvaluateError> {
        let read = |file: PathBuf| fs::read(&file).map_err(|source| EvaluateError::Unreadable { file, source });
        let parts = names.iter().filter_map(|name| find(self.input, name)).map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(sha256_hex(parts.iter().map(Vec::as_slice)))
    }
}

pub struct Trainer {
    pub name: &'static str,
    /// What the model does, for `--list`.
    pub about: &'static str,
    pub train: fn(&TrainRun<'_>) -> Result<Artifact, EvaluateError>,
}

/// In the order of `--list`.
pub const TRAINERS: &[Trainer] = &[
    Trainer { name: "ltv", about: "purchase days and spend of each customer in the days ahead", train: value::ltv },
    Trainer { name: "churn", about: "probability that a customer buys nothing in the days ahead", train: value::churn },
    Trainer { name: "nba", about: "weights to start the next best action from", train: nba::nba },
    Trainer { name: "fraud", about: "how likely a purchase of a stream is a fraud", train: fraud::fraud },
    Trainer {
        name: "next-action",
        about: "what to say after a purchase, from a programme's own decisions (hunch models export)",
        train: next_action::next_action,
    },
];

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to train; `--list` shows what there is.
    #[arg(required_unless_present = "list")]
    pub task: Option<String>,
    /// List what can be trained.
    #[arg(long)]
    pub list: bool,
    /// Folder with the past to learn from, as `hunch evaluate` reads it.
    #[arg(long = "in", value_name = "DIR", required_unless_present = "list")]
    pub input: Option<PathBuf>,
    /// File for the model.
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    pub out: Option<PathBuf>,
    /// Fixes all chance: the same seed, data and version give the same file.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads to use, with the same file from any number. `churn`, `fraud` and `ltv` share out their work.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
}

/// Trains one model, writes its file and prints its card, or lists what can be trained.
///
/// # Errors
/// An unknown task, bad input, an output that cannot be written.
pub fn run(args: &Args) -> Result<(), EvaluateError> {
    if args.list {
        TRAINERS.iter().for_each(|trainer| println!("{:<16}{}", trainer.name, trainer.about));
        return Ok(());
    }
    let trainer = known(args.task.as_deref().unwrap_or_default())?;
    let needed = |path: &Option<PathBuf>, name: &str| {
        path.clone().ok_or_else(|| EvaluateError::Data(format!("{} needs {name}", trainer.name)))
    };
    let (input, out) = (needed(&args.input, "--in DIR")?, needed(&args.out, "--out FILE")?);
    let run = TrainRun { input: &input, seed: args.seed, threads: usize::from(args.threads) };
    let model = (trainer.train)(&run)?;
    write_whole(&out, &model.to_bytes()?)?;
    print!("{}", card(&model));
    if !model.beaten_by_baseline().is_empty() {
        run.say(format_args!("This model does not beat its baseline everywhere, so it will not be promoted."));
    }
    Ok(())
}

fn known(name: &str) -> Result<&'static Trainer, EvaluateError> {
    TRAINERS.iter().find(|trainer| trainer.name == name).ok_or_else(|| {
        let known: Vec<&str> = TRAINERS.iter().map(|trainer| trainer.name).collect();
        EvaluateError::Data(format!("nothing called {name:?} can be trained; there are {}", known.join(", ")))
    })
}

/// The file of before, if any, is there until the new one is whole.
fn write_whole(file: &Path, bytes: &[u8]) -> Result<(), EvaluateError> {
    let unfinished = Unfinished::beside(file);
    let written = fs::write(unfinished.path(), bytes).and_then(|()| unfinished.move_to(file));
    written.map_err(|source| EvaluateError::Unwritable { file: file.to_owned(), source })
}

/// A [`Purpose`] of texts that stand in the code.
pub(crate) fn purpose(title: &str, owner_role: &str, intended_use: &str, must_not: &[&str]) -> Purpose {
    Purpose {
        title: title.to_owned(),
        owner_role: owner_role.to_owned(),
        intended_use: intended_use.to_owned(),
        must_not: must_not.iter().map(|&sentence| sentence.to_owned()).collect(),
    }
}
