//! Lifetime value: expected purchase days and spend of each customer.

use std::path::Path;

use hunch_learning::value::{Forecast, Moment, ValueModel, forecast};

use crate::EvaluateError;
use crate::files::{Field, Predictions};
use crate::purchases::{Asked, Customers, day_number};
use crate::tasks::{Run, Task};

const HEADER: [&str; 8] =
    ["customer_id", "exp_tx", "exp_spend", "p_alive", "tx_q10", "tx_q90", "spend_q10", "spend_q90"];

pub(crate) const TASK: Task =
    Task { name: "ltv", about: "purchase days and spend of each customer in the days ahead", evaluate };

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let asked = Asked::read(run.input)?;
    let (customers, own) = Customers::read(run, &asked)?;
    let now = moment(&customers, &asked, asked.horizon_days, run)?;
    let forecasts = match run.learned::<ValueModel>(TASK.name)? {
        Some(model) => model.forecast(&customers.histories, now, run.seed, run.threads),
        None => forecast(&customers.histories, now, run.seed, run.threads),
    };
    let forecasts = forecasts.map_err(|e| EvaluateError::Data(e.to_string()))?;
    write(run.out, &customers.ids[..own], &forecasts)
}

/// Those of `forecasts` that are for one of `ids`, which come first in the list that was forecast.
fn write(file: &Path, ids: &[String], forecasts: &[Forecast]) -> Result<(), EvaluateError> {
    let mut out = Predictions::create(file, &HEADER)?;
    for f in forecasts.iter().filter(|f| f.who < ids.len()) {
        let ((few, many), (low, high)) = (f.days_range, f.spend_range);
        let id = Field(&ids[f.who]);
        out.row(format_args!("{id},{:.6},{:.4},{:.6},{few},{many},{low:.4},{high:.4}", f.days, f.spend, f.alive))?;
    }
    out.finish()
}

/// The cut-off in day numbers.
pub(crate) fn moment(
    customers: &Customers,
    asked: &Asked,
    horizon: u16,
    run: &Run<'_>,
) -> Result<Moment, EvaluateError> {
    let cutoff = day_number(asked.cutoff(run.input)?.date());
    let start = customers.histories.iter().filter_map(|history| history.days().first()).min();
    Ok(Moment { start: start.copied().unwrap_or(cutoff), cutoff, horizon: i32::from(horizon) })
}
