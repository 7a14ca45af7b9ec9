//! `table-anomaly`: every CSV file of the folder whose columns are x0, x1, … is a table; its rows are judged without
//! labels. An empty field is missing, a table without rows gives no rows.

use std::path::Path;
use std::time::Instant;

use hunch_learning::anomaly::tables::{Settings, outliers};

use crate::EvaluateError;
use crate::files::{self, Field, Predictions, Table};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task =
    Task { name: "table-anomaly", about: "how unlike the others each row of a table is: set,row,score", evaluate };

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let mut out = Predictions::create(run.out, &["set", "row", "score"])?;
    let (mut sets, mut rows) = (0, 0);
    let (mut read_seconds, mut judge_seconds) = (0.0, 0.0);
    for name in files::names(run.input, "csv")? {
        let clock = Instant::now();
        let Some(columns) = columns(run.input, &name)? else { continue };
        read_seconds += clock.elapsed().as_secs_f64();
        sets += 1;
        if columns.iter().all(Vec::is_empty) {
            continue;
        }
        let set = Field(name.trim_end_matches(".csv"));
        let clock = Instant::now();
        let settings = Settings { seed: run.seed, threads: run.threads, ..Settings::default() };
        let scores = outliers(&columns, &settings)
            .map_err(|e| EvaluateError::File { file: run.input.join(&name), problem: e.to_string() })?;
        judge_seconds += clock.elapsed().as_secs_f64();
        rows += scores.len();
        for (row, score) in scores.iter().enumerate() {
            out.row(format_args!("{set},{row},{score:.9}"))?;
        }
    }
    if sets == 0 {
        return Err(EvaluateError::Data(format!("{} has no CSV file with columns x0, x1, …", run.input.display())));
    }
    out.finish()?;
    run.say(format_args!("{sets} tables, {rows} rows: read {read_seconds:.3} s, judge {judge_seconds:.3} s"));
    Ok(())
}

/// The columns of a table; None for a file with others.
fn columns(folder: &Path, name: &str) -> Result<Option<Vec<Vec<f64>>>, EvaluateError> {
    let mut table = Table::open(folder, name)?;
    let width = table.header().len();
    if (0..width).any(|place| table.header()[place] != format!("x{place}")) {
        return Ok(None);
    }
    let places = (0..width).map(|place| table.column(&format!("x{place}"))).collect::<Result<Vec<_>, _>>()?;
    let mut columns = vec![Vec::new(); width];
    while table.next_row()? {
        for (column, &place) in columns.iter_mut().zip(&places) {
            column.push(table.number_if_any(place)?.unwrap_or(f64::NAN));
        }
    }
    Ok(Some(columns))
}
