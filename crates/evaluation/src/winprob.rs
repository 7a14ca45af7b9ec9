//! `winprob`: the chance of YES at every forecast or order of a stream.

use std::collections::HashSet;

use hunch_learning::chances::{ChanceError, Estimate, Forecasts, Orders};

use crate::EvaluateError;
use crate::files::{Predictions, Table};
use crate::opinions::{Event, Register, Row, Stream};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task =
    Task { name: "winprob", about: "chance of YES, from forecasts or orders in stream order", evaluate };

/// Rows of `--train` come first, in the order given, and are not predicted; those numbered like rows of `--in` or later
/// are left out, so a training file may be a longer copy of the same stream.
fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let mut names = Register::default();
    let mut models = Models::default();
    let first = first_row(run)?;
    for folder in run.train {
        let mut stream = Stream::new(Table::open(folder, "stream.csv")?)?;
        while let Some(row) = stream.next(&mut names)? {
            if first.is_none_or(|first| row.number < first) {
                models.take(&row).map_err(|e| stream.refused(&e))?;
            }
        }
        stream.steps_back.say(&format!("{}/stream.csv", folder.display()), run);
    }
    let mut stream = Stream::new(Table::open(run.input, "stream.csv")?)?;
    let mut out = Predictions::create(run.out, &["row", "p_yes"])?;
    let mut seen = HashSet::new();
    while let Some(row) = stream.next(&mut names)? {
        if !seen.insert(row.number) {
            return Err(stream.wrong(&format!("row {} is there twice", row.number)));
        }
        if let Some(estimate) = models.take(&row).map_err(|e| stream.refused(&e))? {
            out.row(format_args!("{},{}", row.number, estimate.p))?;
        }
    }
    stream.steps_back.say("stream.csv", run);
    out.finish()
}

fn first_row(run: &Run<'_>) -> Result<Option<u64>, EvaluateError> {
    if run.train.is_empty() {
        return Ok(None);
    }
    let mut stream = Stream::new(Table::open(run.input, "stream.csv")?)?;
    Ok(stream.next(&mut Register::default())?.map(|row| row.number))
}

#[derive(Default)]
struct Models {
    forecasts: Forecasts,
    orders: Orders,
    trades: bool,
}

impl Models {
    fn take(&mut self, row: &Row) -> Result<Option<Estimate>, ChanceError> {
        match &row.event {
            Event::Forecast(forecast) => self.forecasts.forecast(forecast).map(Some),
            Event::Order(order) => {
                self.trades = true;
                self.orders.order(order).map(Some)
            }
            Event::Resolution { at_days, of, yes } if self.trades => {
                self.orders.resolve(*at_days, *of, *yes).map(|()| None)
            }
            Event::Resolution { at_days, of, yes } => self.forecasts.resolve(*at_days, *of, *yes).map(|()| None),
        }
    }
}
