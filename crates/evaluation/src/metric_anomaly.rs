//! `metric-anomaly`: every CSV file of the folder `series` is a metric, read from top to bottom. What stands below a
//! row is not known when the row is judged.

use std::time::Instant;

use hunch_learning::anomaly::metrics::{Monitor, Settings};

use crate::EvaluateError;
use crate::files::{self, Predictions, Table};
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
    let (metrics, mut readings) = (names.len(), 0);
    let mut out = Predictions::create(run.out, &["file", "row", "score", "alert"])?;
    for name in names {
        let mut table = Table::open(&folder, &name)?;
        let (minute, value) = (table.column("minute")?, table.column("value")?);
        let file = name.trim_end_matches(".csv");
        let mut monitor = Monitor::new(Settings::default());
        let mut row = 0_u64;
        let mut last = f64::MIN;
        while table.next_row()? {
            let now = table.number(minute)?;
            if now < last {
                return Err(table.wrong(minute, "it is earlier than the row above"));
            }
            last = now;
            let reading = table.number(value)?;
            let judged = monitor.push(reading).map_err(|e| table.wrong(value, &e.to_string()))?;
            out.row(format_args!("{file},{row},{:.9},{}", judged.score, u8::from(judged.alert)))?;
            row += 1;
        }
        readings += row;
    }
    out.finish()?;
    run.say(format_args!("{metrics} metrics, {readings} readings: {:.3} s", clock.elapsed().as_secs_f64()));
    Ok(())
}
