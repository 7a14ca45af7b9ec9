//! What a model that nobody hears would have done where something was decided.
//!
//! Invariants
//! - Nothing runs beside the programme for it: a stored decision holds all that a model is told, so the question is asked
//!   of the rows. The model learns on from the same answers, in the log's order, as it would if it served.
//! - What the gate withheld is left out, and so is everything from the first decision on that still waits for its answer:
//!   what is answered early is mostly answered well.

use hunch_kernel::Shard;
use jiff::Timestamp;
use sqlx::PgPool;

use crate::answers::QUIET;
use crate::decide::draw_learned;
use crate::learn::{Learner, Model};
use crate::store::{Judged, judged};
use crate::told::{Told, WIDTH};
use crate::{EngageError, store};

/// One decision, and what the model would have made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Millionths: the chance that the choice had.
    pub propensity_ppm: u32,
    /// Millionths: the chance that the model would have given it.
    pub share_ppm: u32,
    pub reward_thousandths: i32,
    /// Thousandths that the model would have expected; None for *nothing*.
    pub expected_thousandths: Option<i32>,
    /// With the same seed the model would have chosen the same.
    pub same: bool,
}

/// Asks `model` about a shard's decisions since `since` (business time).
///
/// # Errors
/// When the database fails.
pub async fn shadow(pool: &PgPool, shard: Shard, model: &Model, since: Timestamp) -> Result<Vec<Beside>, EngageError> {
    let mut learner = Learner::of(model);
    let mut found = Vec::new();
    for event in judged(pool, shard, since).await? {
        match event {
            Judged::Answered { numbers, reward } => learner.learn(&numbers, reward),
            Judged::Decision { told, seed, propensity_ppm, reward } => {
                found.extend(Told::read(&told).and_then(|(told, chosen)| {
                    let shares = learner.shares(&told)?;
                    let numbers = chosen.and_then(|at| Some(told.choices.get(at)?.numbers(told.seen)));
                    Some(Beside {
                        propensity_ppm,
                        share_ppm: *shares.get(chosen.map_or(0, |at| at + 1))?,
                        reward_thousandths: reward.unwrap_or(QUIET),
                        expected_thousandths: numbers.and_then(|numbers| learner.expected(&numbers)),
                        same: draw_learned(&learner, &told, seed).is_some_and(|drawn| drawn.at == chosen),
                    })
                }))
            }
        }
    }
    Ok(found)
}

/// What a model was told of everything that could be said between two times (business time), one row for each.
///
/// # Errors
/// When the database fails.
pub async fn told_between(pool: &PgPool, from: Timestamp, to: Timestamp) -> Result<Vec<[i32; WIDTH]>, EngageError> {
    let kept = store::told_between(pool, from, to).await?;
    let told = kept.iter().filter_map(|bytes| Told::read(bytes));
    Ok(told
        .flat_map(|(told, _)| told.choices.iter().map(|choice| choice.numbers(told.seen)).collect::<Vec<_>>())
        .collect())
}
