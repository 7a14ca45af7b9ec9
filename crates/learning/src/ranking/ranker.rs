//! The ranker of a stream.

use std::collections::HashMap;

use rand::RngExt;

use super::choices::{Choice, Choices, columns};
use super::features::{self, Following, Question, Site, Taste, WIDTH};
use crate::boosting::{BoostError, Booster};
use crate::numeric::chance::{Chance, chance};

/// Learns from a stream what people choose, and scores open questions for a person.
///
/// Times are days since any fixed moment and never go back.
#[derive(Clone, Debug)]
pub struct Ranker {
    questions: HashMap<u64, Question>,
    open: Vec<u64>,
    people: HashMap<u64, Taste>,
    following: HashMap<u64, Following>,
    vectors: HashMap<u64, Vec<f64>>,
    choices: Choices,
    model: Option<Booster>,
    seed: u64,
    fitted: u64,
    turn: f64,
    now: f64,
    chance: Chance,
}

#[derive(Debug, thiserror::Error)]
pub enum RankError {
    #[error("{0} is not a probability from 0 to 1")]
    Probability(f64),
    #[error("a time is not finite")]
    Time,
    #[error("the row is {0} days earlier than the row before it")]
    Order(f64),
    #[error("a text vector has a part that is not finite")]
    Vector,
    #[error("the choices made so far cannot be learned from")]
    Model(#[from] BoostError),
}

/// Alternatives that a choice is set against.
const ALTERNATIVES: usize = 24;
/// Fewer choices than this teach nothing; candidates are then ordered by latest activity.
const CHOICES_MIN: u64 = 100;
/// A choice that turned out wrong counts so much: recommendations are for questions that people do well on.
const LOST_WEIGHT: f64 = 0.5;
/// Score of a question that is not known.
const UNKNOWN: f64 = -1e9;

impl Ranker {
    /// `seed` fixes which alternatives are drawn.
    pub fn new(seed: u64) -> Ranker {
        Ranker {
            questions: HashMap::new(),
            open: Vec::new(),
            people: HashMap::new(),
            following: HashMap::new(),
            vectors: HashMap::new(),
            choices: Choices::default(),
            model: None,
            seed,
            fitted: 0,
            turn: 0.0,
            now: f64::NEG_INFINITY,
            chance: chance(seed, 0x7261_6e6b),
        }
    }

    /// What a question is about, as a vector; all of one length. It may come before anybody spoke on the question.
    ///
    /// # Errors
    /// `Vector`.
    pub fn describe(&mut self, question: u64, vector: &[f64]) -> Result<(), RankError> {
        if vector.iter().any(|x| !x.is_finite()) {
            return Err(RankError::Vector);
        }
        if let Some(known) = self.questions.get_mut(&question) {
            known.vector = vector.to_vec();
        }
        self.vectors.insert(question, vector.to_vec());
        Ok(())
    }

    /// Somebody said how likely a question is; the first to do so opened it.
    ///
    /// # Errors
    /// `Probability`, `Time`, `Order`; then nothing is learned.
    pub fn forecast(
        &mut self,
        at_days: f64,
        person: u64,
        question: u64,
        probability: f64,
        closes_days: Option<f64>,
    ) -> Result<(), RankError> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(RankError::Probability(probability));
        }
        if closes_days.is_some_and(|closes| !closes.is_finite()) {
            return Err(RankError::Time);
        }
        self.go_to(at_days)?;
        if self.questions.contains_key(&question) {
            self.learn_choice(person, question, probability);
        } else {
            self.open(person, question, closes_days);
        }
        self.turn += 1.0;
        let logit = libm::log((probability + 0.01) / (1.01 - probability));
        if let Some(known) = self.questions.get_mut(&question) {
            self.people.entry(person).or_default().spoke(question, known, at_days);
            known.say(person, logit, at_days, self.turn);
        }
        Ok(())
    }

    /// A question was decided and cannot be chosen any more.
    ///
    /// # Errors
    /// `Time`, `Order`; then nothing is learned.
    pub fn resolve(&mut self, at_days: f64, question: u64, yes: bool) -> Result<(), RankError> {
        self.go_to(at_days)?;
        let Some(known) = self.questions.get_mut(&question) else {
            return Ok(());
        };
        if known.resolved.replace(yes).is_some() {
            return Ok(());
        }
        let place = known.place;
        if self.open.get(place) != Some(&question) {
            return Ok(());
        }
        self.open.swap_remove(place);
        if let Some(moved) = self.open.get(place).and_then(|id| self.questions.get_mut(id)) {
            moved.place = place;
        }
        Ok(())
    }

    /// Scores in the order of `candidates`; higher means shown first. A question that nobody spoke on scores lowest.
    /// A candidate that `person` spoke on already is scored like any other: whether to show it is the caller's choice.
    ///
    /// # Errors
    /// `Time`, `Order`; `Model` if nothing can be fitted to the choices.
    pub fn scores(&mut self, at_days: f64, person: u64, candidates: &[u64]) -> Result<Vec<f64>, RankError> {
        self.go_to(at_days)?;
        self.refit_when_due()?;
        let stranger = Taste::default();
        let taste = self.people.get(&person).unwrap_or(&stranger);
        let site = self.site(taste);
        let known: Vec<Option<&Question>> = candidates.iter().map(|id| self.questions.get(id)).collect();
        let scores: Vec<f64> = match &self.model {
            Some(model) => {
                let rows = known.iter().flatten().map(|question| features::columns(question, taste, &site));
                model.raw(&columns(rows.collect::<Vec<_>>().iter())?)?
            }
            None => known.iter().flatten().map(|question| question.last_turn - self.turn).collect(),
        };
        let mut scores = scores.into_iter();
        let score = |question: &Option<_>| question.and_then(|_: &Question| scores.next()).unwrap_or(UNKNOWN);
        Ok(known.iter().map(score).collect())
    }

    /// Choices learned from.
    pub fn choices(&self) -> u64 {
        self.choices.made
    }

    fn go_to(&mut self, at: f64) -> Result<(), RankError> {
        if !at.is_finite() {
            return Err(RankError::Time);
        }
        if at < self.now {
            return Err(RankError::Order(self.now - at));
        }
        self.now = at;
        Ok(())
    }

    fn open(&mut self, person: u64, question: u64, closes: Option<f64>) {
        let index = self.questions.len() as u64;
        let vector = self.vectors.get(&question).cloned().unwrap_or_default();
        let mut new = Question::new(index, person, self.now, closes, vector);
        new.place = self.open.len();
        self.open.push(question);
        self.questions.insert(question, new);
        self.following.entry(person).or_default().opened += 1.0;
    }

    fn site<'a>(&'a self, taste: &Taste) -> Site<'a> {
        let last = taste.last.and_then(|last| self.questions.get(&last.question));
        Site {
            now: self.now,
            turn: self.turn,
            opened: self.questions.len() as f64,
            following: &self.following,
            last_vector: last.map(|question| question.vector.as_slice()),
            last_people: last.map(|question| &question.people),
        }
    }

    /// Somebody spoke for the first time on a question that others had opened: a choice, if it was open to them.
    fn learn_choice(&mut self, person: u64, id: u64, probability: f64) {
        if !self.questions.get(&id).is_some_and(|question| question.is_open_to(person, self.now)) {
            return;
        }
        let drawn = self.draw(person, id);
        // Taken out, so that site and taste can be looked at while the taste changes.
        let mut taste = self.people.remove(&person).unwrap_or_default();
        let site = self.site(&taste);
        let known = drawn.iter().filter_map(|id| self.questions.get(id));
        let rows: Vec<[f64; WIDTH]> = known.map(|question| features::columns(question, &taste, &site)).collect();
        if let Some(question) = self.questions.get(&id) {
            taste.choose(question, &site);
            self.following.entry(question.opener).or_default().chosen += 1.0;
        }
        self.people.insert(person, taste);
        if rows.len() > 1 {
            self.choices.push(Choice { question: id, probability, rows });
        }
    }

    /// The chosen one and alternatives that were open to the same person, drawn evenly.
    fn draw(&mut self, person: u64, chosen: u64) -> Vec<u64> {
        let mut drawn = vec![chosen];
        // Many of the open may be overdue or known to them; after so many draws fewer alternatives must do.
        for _ in 0..ALTERNATIVES * 3 {
            if drawn.len() > ALTERNATIVES {
                break;
            }
            let id = self.open[self.chance.random_range(0..self.open.len())];
            let fits = self.questions.get(&id).is_some_and(|question| question.is_open_to(person, self.now));
            if fits && !drawn.contains(&id) {
                drawn.push(id);
            }
        }
        drawn
    }

    fn refit_when_due(&mut self) -> Result<(), RankError> {
        let made = self.choices.made;
        if made < CHOICES_MIN || (self.model.is_some() && made < self.fitted + self.fitted / 4) {
            return Ok(());
        }
        let weight = |choice: &Choice| {
            let outcome = self.questions.get(&choice.question).and_then(|question| question.resolved);
            let lost = outcome.is_some_and(|yes| (choice.probability >= 0.5) != yes);
            if lost { LOST_WEIGHT } else { 1.0 }
        };
        self.model = Some(self.choices.fit(weight, self.seed)?);
        self.fitted = made;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opener 0 asks about one subject, opener 1 about another; person 10 follows the first, 11 the second. The
    /// newest question is always the wrong one for person 10.
    fn site(rounds: u64) -> Ranker {
        let mut ranker = Ranker::new(1);
        for round in 0..rounds {
            let at = round as f64;
            for opener in 0..2 {
                let question = round * 2 + opener;
                ranker.describe(question, &[1.0 - opener as f64, opener as f64]).unwrap();
                ranker.forecast(at, opener, question, 0.5, Some(at + 30.0)).unwrap();
            }
            for person in 0..2 {
                ranker.forecast(at + 0.5, 10 + person, round * 2 + person, 0.7, None).unwrap();
            }
            if round >= 12 {
                ranker.resolve(at + 0.6, (round - 12) * 2, true).unwrap();
                ranker.resolve(at + 0.6, (round - 12) * 2 + 1, false).unwrap();
            }
        }
        ranker
    }

    #[test]
    fn what_people_choose_is_learned() {
        let mut ranker = site(120);
        assert_eq!(ranker.choices(), 240);
        for (question, opener) in [(1_000, 0), (1_001, 1)] {
            ranker.describe(question, &[1.0 - opener as f64, opener as f64]).unwrap();
            ranker.forecast(120.0, opener, question, 0.5, None).unwrap();
        }
        for person in 0..2 {
            let scores = ranker.scores(120.4, 10 + person, &[1_000, 1_001, 7_777]).unwrap();
            let (fits, other) = (scores[person as usize], scores[1 - person as usize]);
            assert!(fits > other && scores[2] == UNKNOWN, "{person}: {scores:?}");
        }
    }

    #[test]
    fn little_is_ordered_by_latest_activity() {
        let mut ranker = Ranker::new(1);
        for question in 0..5 {
            ranker.forecast(question as f64, 1, question, 0.5, None).unwrap();
        }
        ranker.forecast(9.0, 2, 1, 0.5, None).unwrap();
        let scores = ranker.scores(9.0, 3, &[0, 1, 4]).unwrap();
        assert!(scores[1] > scores[2] && scores[2] > scores[0]);
    }

    #[test]
    fn the_same_seed_gives_the_same_scores_and_a_bad_row_changes_nothing() {
        let (mut one, mut two) = (site(60), site(60));
        assert!(matches!(one.forecast(70.0, 1, 2, f64::NAN, None), Err(RankError::Probability(_))));
        assert!(matches!(one.forecast(1.0, 1, 2, 0.5, None), Err(RankError::Order(_))));
        assert!(matches!(one.describe(3, &[f64::INFINITY]), Err(RankError::Vector)));
        assert_eq!(one.scores(70.0, 10, &[110, 111]).unwrap(), two.scores(70.0, 10, &[110, 111]).unwrap());
    }
}
