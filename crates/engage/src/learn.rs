//! What a shard has learned, and the model that it began with.
//!
//! Invariants
//! - A shard's learner is a function of the model it began with and the answers of the shard's log, in order. Answers
//!   found by a message are learned before that message's own decision is made.
//! - A learner begins anew at the first decision that another model serves; that decision is marked.
//! - Without a model, or with one that learned too long ago, the rule decides. Nothing is decided on a guess.

use hunch_learning::bandit::BanditError;
use hunch_learning::choice::{Chooser, KIND, Parameters};
use hunch_learning::life::{Artifact, ArtifactError};
use hunch_messages::Message;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::answers::{Answer, QUIET, Waiting};
use crate::told::{NAMES, Told, WIDTH};

/// A model whose data end longer ago than this does not serve.
const STALE_AFTER: SignedDuration = SignedDuration::from_hours(24 * 120);
/// Digits of the model's hash that name it in a decision.
const NAME_DIGITS: usize = 16;

/// A model of the next best action, as it was put on the shelf.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) name: String,
    pub(crate) chooser: Chooser,
    learned_until: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the model was made for other numbers than a decision has")]
    Foreign,
    #[error("the model's data end at {0:?}, which is no time")]
    Undated(String),
    #[error("the model cannot be read")]
    Unreadable(#[from] ArtifactError),
}

impl Model {
    /// # Errors
    /// For another kind of model, or one made for other numbers.
    pub fn of(artifact: &Artifact) -> Result<Model, ModelError> {
        let parameters: Parameters = artifact.parameters(KIND)?;
        if parameters.features != NAMES || parameters.chooser.width() != NAMES.len() {
            return Err(ModelError::Foreign);
        }
        let until = &artifact.window.to;
        let learned_until = until.parse().map_err(|_| ModelError::Undated(until.clone()))?;
        let mut name = artifact.sha256()?;
        name.truncate(NAME_DIGITS);
        Ok(Model { name, chooser: parameters.chooser, learned_until })
    }

    /// Business time at which the data end that it was made from.
    pub fn learned_until(&self) -> Timestamp {
        self.learned_until
    }

    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.learned_until) <= STALE_AFTER
    }
}

/// A model and what was learned since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    pub(crate) model: String,
    pub(crate) chooser: Chooser,
}

impl Learner {
    /// Knows nothing and belongs to no model: for measuring how long a decision takes.
    ///
    /// # Errors
    /// None, unless the chooser's own settings contradict each other.
    pub fn untaught() -> Result<Learner, BanditError> {
        Ok(Learner { model: String::new(), chooser: Chooser::new(WIDTH, QUIET)? })
    }

    pub fn of(model: &Model) -> Learner {
        Learner { model: model.name.clone(), chooser: model.chooser.clone() }
    }

    /// The share of *nothing*, then of each choice, in millionths. None for numbers that the chooser cannot use.
    pub(crate) fn shares(&self, told: &Told) -> Option<Vec<u32>> {
        let numbers: Vec<[i32; WIDTH]> = told.choices.iter().map(|choice| choice.numbers(told.seen)).collect();
        let options: Vec<(u8, &[i32])> =
            told.choices.iter().zip(&numbers).map(|(choice, numbers)| (choice.kind(), numbers.as_slice())).collect();
        self.chooser.shares(&options).ok()
    }

    /// Thousandths that a choice is expected to earn. None for numbers that the chooser cannot use.
    pub(crate) fn expected(&self, numbers: &[i32]) -> Option<i32> {
        self.chooser.expected(numbers).ok().map(|share| libm::round(share * 1_000.0) as i32)
    }

    pub(crate) fn learn(&mut self, numbers: &[i32], reward: i32) {
        // A decision from when other numbers were told, and another thing was an answer, teaches nothing.
        if numbers.is_empty() {
            return;
        }
        if let Err(error) = self.chooser.learn(numbers, reward) {
            tracing::warn!(%error, "an answer taught nothing");
        }
    }
}

/// What one shard knows besides its members' features.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mind {
    /// Shared, so that a card can use it while the next step learns.
    pub learner: Option<Arc<Learner>>,
    pub waiting: Waiting,
}

impl Mind {
    /// Learns what this message answers.
    pub fn hear(&mut self, message: &Message) -> Vec<Answer> {
        let answers = self.waiting.hear(message);
        answers.iter().for_each(|answer| self.teach(&answer.question.numbers, answer.reward));
        answers
    }

    /// What the log taught once already, read back after a restart. `model` is what serves now.
    pub fn remember(&mut self, lesson: Lesson, model: Option<&Model>) {
        match lesson {
            Lesson::Began { model: name } => {
                // Of a model that serves no more nothing is needed: the next decision begins anew anyway.
                self.learner = model.filter(|model| model.name == name).map(|model| Arc::new(Learner::of(model)));
            }
            Lesson::Answered { numbers, reward } => self.teach(&numbers, reward),
        }
    }

    /// The learner for a decision that `model` serves, and whether it begins here.
    pub fn serve(&mut self, model: &Model) -> (Arc<Learner>, bool) {
        match &self.learner {
            Some(learner) if learner.model == model.name => (learner.clone(), false),
            _ => {
                let learner = Arc::new(Learner::of(model));
                self.learner = Some(learner.clone());
                (learner, true)
            }
        }
    }

    fn teach(&mut self, numbers: &[i32], reward: i32) {
        if let Some(learner) = &mut self.learner {
            Arc::make_mut(learner).learn(numbers, reward);
        }
    }
}

/// What changes a learner, as the decisions and answers that were stored tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// A decision with which the learner began anew, from this model.
    Began {
        model: String,
    },
    Answered {
        numbers: Vec<i32>,
        reward: i32,
    },
}
