//! The tasks there are, one file each.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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
}

impl Run<'_> {
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
