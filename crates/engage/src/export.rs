//! Decisions with what they were made from and what they earned, as a table to train the next model on. It names nobody.

use std::io::Write;

use sqlx::PgPool;

use crate::answers::QUIET;
use crate::told::{NAMES, Told, WIDTH};
use crate::{EngageError, store};

/// Writes one row for each thing that could be said in a decision, *nothing* first (kind 0): which decision, when, its kind,
/// whether it was chosen, with what propensity and what it earned (both only where it was), and what a model is told of it.
/// The number of decisions.
///
/// # Errors
/// When the database fails or `out` cannot be written.
pub async fn export(pool: &PgPool, out: &mut impl Write) -> Result<usize, EngageError> {
    let written = EngageError::Export;
    let fixed = "decision,at,kind,chosen,propensity_ppm,reward_thousandths";
    writeln!(out, "{fixed},{}", NAMES.join(",")).map_err(written)?;
    let mut decisions = 0;
    for earned in store::earned(pool).await? {
        let Some((told, chosen)) = Told::read(&earned.told) else { continue };
        let reward = earned.reward_thousandths.unwrap_or(QUIET);
        let choices = told.choices.iter().map(|choice| (choice.kind(), choice.numbers(told.seen)));
        for (place, (kind, numbers)) in std::iter::once((0, [0; WIDTH])).chain(choices).enumerate() {
            let numbers = numbers.map(|n| n.to_string()).join(",");
            if place == chosen.map_or(0, |at| at + 1) {
                let (at, ppm) = (earned.at, earned.propensity_ppm);
                writeln!(out, "{decisions},{at},{kind},1,{ppm},{reward},{numbers}").map_err(written)?;
            } else {
                writeln!(out, "{decisions},{},{kind},0,,,{numbers}", earned.at).map_err(written)?;
            }
        }
        decisions += 1;
    }
    Ok(decisions)
}
