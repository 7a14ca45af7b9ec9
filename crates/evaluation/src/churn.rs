//! Churn: probability that a customer buys nothing in the days after the cut-off.

use hunch_learning::churn::{Churn, churn};

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
    let judged = churn(&customers.histories, now, run.seed).map_err(|e| EvaluateError::Data(e.to_string()))?;
    let mut out = Predictions::create(run.out, &["customer_id", "p_churn"])?;
    match judged {
        Churn::Judged(risks) => {
            for risk in risks.iter().filter(|risk| risk.who < own) {
                out.row(format_args!("{},{:.6}", Field(&customers.ids[risk.who]), risk.none))?;
            }
        }
        Churn::NotEnoughData { customers: few, needed, base_rate } => {
            // Every row needs a number all the same.
            run.say(format_args!(
                "not enough data: {few} customers, {needed} are needed to judge churn; all get the base rate {base_rate:.3}"
            ));
            for id in &customers.ids[..own] {
                out.row(format_args!("{},{base_rate:.6}", Field(id)))?;
            }
        }
    }
    out.finish()
}
