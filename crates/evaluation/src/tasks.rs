//! The tasks there are, one file each.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hunch_learning::life::Artifact;
use serde::de::DeserializeOwned;

use crate::EvaluateError;

/// What a run is given.
pub struct Run<'a> {
    /// What is to be predicted.
    pub input: &'a Path,
    /// What may be learned from besides, in the order given.
    pub train: &'a [PathBuf],
    /// The file of predictions.
    pub out: &'a Path,
    /// Line by line on standard input and output; then `input` and `out` are empty.
    pub protocol: bool,
    pub seed: u64,
    /// At least 1.
    pub threads: usize,
    /// What one contact costs, in the unit of the outcome; for `policy`.
    pub cost: f64,
    /// Predict by this model file instead of learning; for tasks that [`Task::predicts_by_model`].
    pub model: Option<&'a Path>,
}

impl<'a> Run<'a> {
    /// One thread, the first seed, nothing out of the ordinary.
    pub fn over(input: &'a Path, train: &'a [PathBuf], out: &'a Path) -> Run<'a> {
        Run { input, train, out, protocol: false, seed: 1, threads: 1, cost: 0.0, model: None }
    }

    /// What the model file holds, if one is given.
    pub(crate) fn learned<P: DeserializeOwned>(&self, kind: &str) -> Result<Option<P>, EvaluateError> {
        let Some(file) = self.model else { return Ok(None) };
        let unreadable = |source| EvaluateError::Unreadable { file: file.to_owned(), source };
        let bytes = fs::read(file).map_err(unreadable)?;
        let unfit = |source| EvaluateError::Model { file: file.to_owned(), source };
        Artifact::read(&bytes).and_then(|model| model.parameters(kind)).map(Some).map_err(unfit)
    }

    /// Tells a person how far a long run is; on standard error, so that standard output stays the protocol's.
    pub fn say(&self, what: std::fmt::Arguments<'_>) {
        // A closed standard error is no reason to stop.
        let _ = writeln!(io::stderr(), "{what}");
    }
}

pub struct Task {
    pub name: &'static str,
    /// What it predicts, for `--list`.
    pub about: &'static str,
    pub evaluate: fn(&Run<'_>) -> Result<(), EvaluateError>,
}

impl Task {
    /// Whether a file of `hunch train` can say what it predicts, without the past it was learned from.
    pub fn predicts_by_model(&self) -> bool {
        matches!(self.name, "churn" | "ltv")
    }
}

/// In the order of `--list`.
pub const TASKS: &[Task] = &[
    crate::nba::TASK,
    crate::ope::TASK,
    crate::obd::TASK,
    crate::policy::TASK,
    crate::ltv::TASK,
    crate::churn::TASK,
    crate::offer::TASK,
    crate::fraud::TASK,
    crate::metric_anomaly::TASK,
    crate::table_anomaly::TASK,
    crate::demand::TASK,
    crate::winprob::TASK,
    crate::recs::TASK,
    crate::lmsr::TASK,
];
