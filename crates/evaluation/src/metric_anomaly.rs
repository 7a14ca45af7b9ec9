//! `metric-anomaly`: every CSV file of the folder `series` is a metric, read from top to bottom. What stands below a
//! row is not known when the row is judged.

use std::path::Path;
use std::time::Instant;

use hunch_learning::anomaly::metrics::{Judgement, Monitor, Settings};
use hunch_learning::numeric::parallel;

use crate::EvaluateError;
use crate::clock::StepsBack;
use crate::files::{self, Field, Predictions, Table};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task = Task {
    name: "metric-anomaly",
    about: "how strange each reading of a metric is when it is read: file,row,score,alert",
    evaluate,
};

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let folder = run.input.join("series");
    let names = files::names(&folder, "csv")?;
    if names.is_empty() {
        return Err(EvaluateError::Data(format!("{} has no CSV file", folder.display())));
    }
    let clock = Instant::now();
    let mut readings = 0;
    let mut out = Predictions::create(run.out, &["file", "row", "score", "alert"])?;
    let judged = parallel::map(&names, run.threads, |name| judge(&folder, name));
    for (name, judged) in names.iter().zip(judged) {
        let file = Field(name.trim_end_matches(".csv"));
        let Judged { readings: judged, steps_back } = judged?;
        steps_back.say(name, run);
        for (row, judged) in judged.iter().enumerate() {
            out.row(format_args!("{file},{row},{:.9},{}", judged.score, u8::from(judged.alert)))?;
            readings += 1;
        }
    }
    out.finish()?;
    run.say(format_args!("{} metrics, {readings} readings: {:.3} s", names.len(), clock.elapsed().as_secs_f64()));
    Ok(())
}

/// What is said of one metric's readings.
struct Judged {
    readings: Vec<Judgement>,
    steps_back: StepsBack,
}

/// Every reading of one metric, each by what stood above it: a reading arrives when it arrives, whatever the clock of
/// its machine says.
fn judge(folder: &Path, name: &str) -> Result<Judged, EvaluateError> {
    let mut table = Table::open(folder, name)?;
    let (minute, value) = (table.column("minute")?, table.column("value")?);
    let mut monitor = Monitor::new(Settings::default());
    let mut judged = Judged { readings: Vec::new(), steps_back: StepsBack::default() };
    while table.next_row()? {
        judged.steps_back.onward(table.number(minute)?, table.line());
        let reading = table.number(value)?;
        judged.readings.push(monitor.push(reading).map_err(|e| table.wrong(value, &e.to_string()))?);
    }
    Ok(judged)
}
