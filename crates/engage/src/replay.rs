//! Makes stored decisions again: from the models' files, the answers and what was told, in the log's order. Nothing of
//! what a model decided is taken on trust.

use hunch_kernel::Shard;
use sqlx::PgPool;
use uuid::Uuid;

use crate::EngageError;
use crate::decide::draw_learned;
use crate::learn::{Learner, Lesson, Model};
use crate::store::{Again, again};
use crate::told::Told;

/// What making them again gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Decisions made again.
    pub decisions: usize,
    /// Members and causes of those that came out with another choice or another propensity.
    pub different: Vec<(Uuid, Uuid)>,
    /// Decisions of models that are not among those given.
    pub unknown: usize,
}

/// Makes all decisions of a shard again that a model made.
///
/// # Errors
/// When the database fails.
pub async fn replay(pool: &PgPool, shard: Shard, models: &[Model]) -> Result<Replayed, EngageError> {
    let mut replayed = Replayed::default();
    let mut learner: Option<Learner> = None;
    for event in again(pool, shard).await? {
        match event {
            Again::Lesson(Lesson::Began { model }) => {
                learner = models.iter().find(|known| known.name == model).map(Learner::of);
            }
            Again::Lesson(Lesson::Answered { numbers, reward }) => {
                if let Some(learner) = &mut learner {
                    learner.learn(&numbers, reward);
                }
            }
            Again::Decision(stored) => {
                let Some(learner) = learner.as_ref().filter(|learner| learner.model == stored.model) else {
                    replayed.unknown += 1;
                    continue;
                };
                replayed.decisions += 1;
                let same = Told::read(&stored.told).is_some_and(|(told, chosen)| {
                    let drawn = draw_learned(learner, &told, stored.seed);
                    drawn.is_some_and(|drawn| (drawn.at, drawn.ppm) == (chosen, stored.propensity_ppm))
                });
                if !same {
                    replayed.different.push((stored.member, stored.cause));
                }
            }
        }
    }
    Ok(replayed)
}
