//! Churn: probability that a customer buys nothing in the days after the cut-off.

use std::path::Path;

use hunch_learning::churn::{Churn, ChurnModel, churn};

use crate::EvaluateError;
use crate::files::{Field, Predictions};
use crate::ltv::moment;
use crate::purchases::{Asked, Customers};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task =
    Task { name: "churn", about: "probability that a customer buys nothing in the days ahead", evaluate };

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let asked = Asked::read(run.input)?;
    let (customers, own) = Customers::read(run, &asked)?;
    let now = moment(&customers, &asked, asked.active_days.unwrap_or(asked.horizon_days), run)?;
    let judged = match run.learned::<ChurnModel>(TASK.name)? {
        Some(model) => model.judge(&customers.histories, now),
        None => churn(&customers.histories, now, run.seed, run.threads),
    };
    let judged = judged.map_err(|e| EvaluateError::Data(e.to_string()))?;
    if let Churn::NotEnoughData { customers: few, needed, base_rate } = &judged {
        run.say(format_args!(
            "not enough data: {few} customers, {needed} are needed to judge churn; all get the base rate {base_rate:.3}"
        ));
    }
    write(run.out, &customers.ids[..own], &judged)
}

/// A row for each of `ids`, which come first in the list that was judged; the base rate where customers were too few,
/// since every row needs a number all the same.
fn write(file: &Path, ids: &[String], judged: &Churn) -> Result<(), EvaluateError> {
    let mut out = Predictions::create(file, &["customer_id", "p_churn"])?;
    match judged {
        Churn::Judged(risks) => {
            for risk in risks.iter().filter(|risk| risk.who < ids.len()) {
                out.row(format_args!("{},{:.6}", Field(&ids[risk.who]), risk.none))?;
            }
        }
        Churn::NotEnoughData { base_rate, .. } => {
            for id in ids {
                out.row(format_args!("{},{base_rate:.6}", Field(id)))?;
            }
        }
    }
    out.finish()
}
