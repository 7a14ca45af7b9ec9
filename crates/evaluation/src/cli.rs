//! The command line of `hunch evaluate`.

use std::path::PathBuf;

use crate::EvaluateError;
use crate::tasks::{Run, TASKS, Task};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to predict; `--list` shows what there is.
    #[arg(required_unless_present = "list")]
    pub task: Option<String>,
    /// List the tasks.
    #[arg(long)]
    pub list: bool,
    /// Folder with what is to be predicted.
    #[arg(long = "in", value_name = "DIR", required_unless_present_any = ["list", "protocol"])]
    pub input: Option<PathBuf>,
    /// Folder with what may be learned from besides; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub train: Vec<PathBuf>,
    /// File for the predictions.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["list", "protocol"])]
    pub out: Option<PathBuf>,
    /// For `nba`: decide line by line, from standard input to standard output, instead of reading and writing files.
    #[arg(long, conflicts_with_all = ["input", "out"])]
    pub protocol: bool,
    /// Fixes all chance: the same seed, data and version give the same file.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads to use, with the same file from any number. `churn`, `demand`, `fraud`, `ltv`, `metric-anomaly`, `obd`,
    /// `offer`, `ope`, `policy` and `table-anomaly` share out their work; `lmsr`, `nba`, `recs` and `winprob` follow one
    /// stream row by row.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// For `churn` and `ltv`: predict by this file of `hunch train` instead of learning from the folders.
    #[arg(long, value_name = "FILE", conflicts_with = "protocol")]
    pub model: Option<PathBuf>,
    /// For `policy`: what one contact costs, in units of the outcome.
    #[arg(long, default_value_t = 0.0)]
    pub cost: f64,
}

/// Runs one task, or lists them on standard output.
///
/// # Errors
/// An unknown task, bad input, an output that cannot be written.
pub fn run(args: &Args) -> Result<(), EvaluateError> {
    if args.list {
        for task in TASKS {
            println!("{:<16}{}", task.name, task.about);
        }
        return Ok(());
    }
    let task = find(args.task.as_deref().unwrap_or_default())?;
    if args.model.is_some() && !task.predicts_by_model() {
        let those: Vec<&str> = TASKS.iter().filter(|task| task.predicts_by_model()).map(|task| task.name).collect();
        let problem = format!("{} learns from its folders; --model is for {}", task.name, those.join(" and "));
        return Err(EvaluateError::Data(problem));
    }
    let needed = |path: &Option<PathBuf>, name: &str| {
        path.clone().ok_or_else(|| EvaluateError::Data(format!("{} needs {name}", task.name)))
    };
    let (input, out) = if args.protocol {
        if !task.about.contains("--protocol") {
            return Err(EvaluateError::Data(format!("{} has no line protocol", task.name)));
        }
        (PathBuf::new(), PathBuf::new())
    } else {
        (needed(&args.input, "--in DIR")?, needed(&args.out, "--out FILE")?)
    };
    let threads = usize::from(args.threads);
    (task.evaluate)(&Run {
        input: &input,
        train: &args.train,
        out: &out,
        protocol: args.protocol,
        seed: args.seed,
        threads,
        cost: args.cost,
        model: args.model.as_deref(),
    })
}

/// The line protocol of `nba` over `lines` instead of standard input; gives what would go to standard output.
///
/// # Errors
/// As [`run`].
#[cfg(feature = "fuzzing")]
pub fn protocol(lines: &[u8], seed: u64) -> Result<Vec<u8>, EvaluateError> {
    let mut answers = Vec::new();
    crate::nba::converse(crate::nba::player::Player::new(seed), lines, &mut answers)?;
    Ok(answers)
}

fn find(name: &str) -> Result<&'static Task, EvaluateError> {
    TASKS.iter().find(|task| task.name == name).ok_or_else(|| {
        let known: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
        EvaluateError::Data(format!("there is no task {name:?}; there are {}", known.join(", ")))
    })
}
