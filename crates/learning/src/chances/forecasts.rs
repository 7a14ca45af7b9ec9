//! A stream of stated probabilities.

use std::collections::HashMap;

use super::crowd::{Crowd, Mark};
use super::features::{self, LEAST, Sitting, View};
use super::logistic::{Logistic, Rows};
use super::people::Person;
use super::{ChanceError, Estimate, Latest, WEIGHT_POWER, log_odds};

/// Somebody says how likely it is that a question ends YES.
#[derive(Clone, Copy, Debug)]
pub struct Forecast {
    /// Days since any fixed moment; never less than that of the row before.
    pub at_days: f64,
    pub person: u64,
    pub question: u64,
    pub probability: f64,
    /// When the question is to be decided, on the same scale, if that was announced.
    pub closes_days: Option<f64>,
}

/// Learns from a stream of forecasts and resolutions, row by row.
///
/// Each forecast becomes a row of numbers (its author's words and record, the others' words and records, the
/// question's opener, the clock). Two logistic models read it, one plain and one with products, and their log-odds
/// are averaged; both are refitted to all resolved forecasts each time their number has grown by a twelfth. Before
/// anything was resolved, the estimate is a mean of the author's and the crowd's log-odds, drawn in by 15 %.
#[derive(Clone, Debug)]
pub struct Forecasts {
    people: HashMap<u64, Person>,
    questions: HashMap<u64, Question>,
    sittings: Vec<Sitting>,
    /// The sitting that each person opened a question in last.
    sitting_of: HashMap<u64, usize>,
    rates: Rates,
    rows: Rows,
    plain: Logistic,
    wide: Logistic,
    fitted_rows: usize,
    resolved_questions: u64,
    latest: Latest,
}

#[derive(Clone, Debug)]
struct Question {
    opener: u64,
    opened: f64,
    first: f64,
    closes: Option<f64>,
    crowd: Crowd,
    said: Vec<Said>,
    sitting: usize,
    sitting_before: f64,
}

/// A forecast whose outcome is awaited.
#[derive(Clone, Debug)]
struct Said {
    person: u64,
    p: f64,
    crowd: f64,
    columns: Vec<f64>,
}

/// Questions opened by one person with no longer pause than this belong to one sitting, in days.
const SITTING_PAUSE: f64 = 30.0 / 1440.0;
const PLAIN_STRENGTH: f64 = 60.0;
const WIDE_STRENGTH: f64 = 200.0;
/// Refitted from this many resolved forecasts on.
const ROWS_MIN: usize = 100;

impl Default for Forecasts {
    fn default() -> Forecasts {
        let prior = |width: usize| {
            let mut prior = vec![0.0; width + 1];
            prior[features::OWN_CALIBRATED] = 0.4;
            prior[features::CROWD] = 0.5;
            prior
        };
        Forecasts {
            people: HashMap::new(),
            questions: HashMap::new(),
            sittings: Vec::new(),
            sitting_of: HashMap::new(),
            rates: Rates::default(),
            rows: Rows::new(features::ALL),
            plain: Logistic::new(prior(features::PLAIN), PLAIN_STRENGTH, 1.0),
            wide: Logistic::new(prior(features::ALL), WIDE_STRENGTH, 1.0),
            fitted_rows: 0,
            resolved_questions: 0,
            latest: Latest::default(),
        }
    }
}

impl Forecasts {
    /// The chance of YES, this forecast included, and what it teaches about the crowd.
    ///
    /// # Errors
    /// `Probability`, `Time`, `Order`; then nothing is learned.
    pub fn forecast(&mut self, forecast: &Forecast) -> Result<Estimate, ChanceError> {
        let p = forecast.probability;
        if !(0.0..=1.0).contains(&p) {
            return Err(ChanceError::Probability(p));
        }
        if forecast.closes_days.is_some_and(|closes| !closes.is_finite()) {
            return Err(ChanceError::Time);
        }
        self.latest.go_to(forecast.at_days)?;
        self.refit_when_due();
        self.open_if_new(forecast);
        let Some((said, mark)) = self.view(forecast) else {
            return Ok(Estimate::from_logit(log_odds(p, LEAST), 1.0, self.resolved_questions));
        };
        let estimate = self.estimate(&said.columns);
        if let Some(question) = self.questions.get_mut(&forecast.question) {
            question.crowd.say(forecast.person, mark);
            question.said.push(said);
        }
        self.people.entry(forecast.person).or_default().made += 1;
        Ok(estimate)
    }

    /// The question was decided. One that nobody forecast, or that was decided before, teaches nothing.
    ///
    /// # Errors
    /// `Time`, `Order`; then nothing is learned.
    pub fn resolve(&mut self, at_days: f64, question: u64, yes: bool) -> Result<(), ChanceError> {
        self.latest.go_to(at_days)?;
        let Some(question) = self.questions.get_mut(&question) else {
            return Ok(());
        };
        let said = std::mem::take(&mut question.said);
        if said.is_empty() {
            return Ok(());
        }
        let outcome = f64::from(u8::from(yes));
        self.rates.learn_question(outcome);
        self.resolved_questions += 1;
        if let Some(sitting) = self.sittings.get_mut(question.sitting) {
            sitting.resolved += 1.0;
            sitting.yes += outcome;
        }
        let first = super::sigmoid(question.first);
        self.people.entry(question.opener).or_default().learn_own(first, outcome);
        let count = said.len() as f64;
        let (weight, rate_weight) = (count.powf(WEIGHT_POWER), 1.0 / count.sqrt());
        for said in said {
            self.rates.learn(said.p, outcome, rate_weight);
            let person = self.people.entry(said.person).or_default();
            person.learn(said.p, log_odds(said.p, LEAST), said.crowd, outcome);
            self.rows.push(&said.columns, yes, weight);
        }
        Ok(())
    }

    fn refit_when_due(&mut self) {
        let rows = self.rows.len();
        if rows >= ROWS_MIN && rows > self.fitted_rows + self.fitted_rows / 12 {
            // A young model has far to go; an old one moves little between refits.
            let steps = if rows < 4_000 { 3 } else { 1 };
            self.plain.refit(&self.rows, steps);
            self.wide.refit(&self.rows, steps);
            self.fitted_rows = rows;
        }
    }

    fn open_if_new(&mut self, forecast: &Forecast) {
        if self.questions.contains_key(&forecast.question) {
            return;
        }
        let now = self.latest.0;
        let last = self.sitting_of.get(&forecast.person).copied();
        let sitting = last.filter(|&i| now - self.sittings[i].last_at < SITTING_PAUSE).unwrap_or_else(|| {
            self.sittings.push(Sitting::default());
            self.sittings.len() - 1
        });
        self.sitting_of.insert(forecast.person, sitting);
        let first = log_odds(forecast.probability, LEAST);
        let question = Question {
            opener: forecast.person,
            opened: now,
            first,
            closes: forecast.closes_days,
            crowd: Crowd::default(),
            said: Vec::new(),
            sitting,
            sitting_before: self.sittings[sitting].count,
        };
        let sitting = &mut self.sittings[sitting];
        sitting.last_at = now;
        sitting.count += 1.0;
        sitting.first_sum += forecast.probability;
        self.questions.insert(forecast.question, question);
        self.people.entry(forecast.person).or_default();
    }

    /// The forecast as a row of numbers and as a mark in the crowd; None if its question is unknown.
    fn view(&self, forecast: &Forecast) -> Option<(Said, Mark)> {
        let question = self.questions.get(&forecast.question)?;
        let stranger = Person::default();
        let person = |id: u64| self.people.get(&id).unwrap_or(&stranger);
        let (p, logit) = (forecast.probability, log_odds(forecast.probability, LEAST));
        let (author, now) = (person(forecast.person), self.latest.0);
        let view = View {
            p,
            logit,
            author,
            opener: person(question.opener),
            author_is_opener: question.opener == forecast.person,
            first: question.first,
            others: question.crowd.without(forecast.person, now),
            before: question.crowd.of(forecast.person).map(|mark| mark.logit),
            common_rate: self.rates.when_saying(p),
            yes_rate: self.rates.yes,
            age_days: now - question.opened,
            left_days: question.closes.map(|closes| closes - now),
            span_days: question.closes.map(|closes| closes - question.opened),
            said: question.said.len() as f64,
            sitting: self.sittings[question.sitting],
            sitting_before: question.sitting_before,
        };
        let weight = libm::exp((author.skill() * 20.0).clamp(-3.0, 3.0));
        let mark = Mark { logit, calibrated: author.calibrated(logit), weight, at: now };
        let crowd = features::crowd_before(&view);
        Some((Said { person: forecast.person, p, crowd, columns: features::columns(&view) }, mark))
    }

    fn estimate(&self, columns: &[f64]) -> Estimate {
        let plain = &columns[..features::PLAIN];
        let logit = 0.5 * (self.plain.logit(plain) + self.wide.logit(columns));
        Estimate::from_logit(logit, self.plain.variance(plain).sqrt(), self.resolved_questions)
    }
}

/// How often it was YES: over all questions lately, and when people said about p.
#[derive(Clone, Debug)]
struct Rates {
    yes: f64,
    count: [f64; 21],
    count_yes: [f64; 21],
}

impl Default for Rates {
    fn default() -> Rates {
        // Sites that let people ask see a little fewer YES than NO.
        Rates { yes: 0.45, count: [0.0; 21], count_yes: [0.0; 21] }
    }
}

impl Rates {
    fn bucket(p: f64) -> usize {
        ((p * 20.0).round() as usize).min(20)
    }

    fn when_saying(&self, p: f64) -> f64 {
        let bucket = Rates::bucket(p);
        (self.count_yes[bucket] + 6.0 * p) / (self.count[bucket] + 6.0)
    }

    fn learn(&mut self, p: f64, yes: f64, weight: f64) {
        let bucket = Rates::bucket(p);
        self.count[bucket] += weight;
        self.count_yes[bucket] += weight * yes;
    }

    fn learn_question(&mut self, yes: f64) {
        self.yes += 0.01 * (yes - self.yes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::chance;
    use proptest::prelude::*;
    use rand::RngExt;

    fn forecast(at_days: f64, person: u64, question: u64, probability: f64) -> Forecast {
        Forecast { at_days, person, question, probability, closes_days: Some(at_days + 10.0) }
    }

    /// Questions with a chance of their own. Person 0 knows it, person 1 says the opposite, each first half the time.
    fn site(questions: u64) -> (Forecasts, Vec<(f64, f64, f64)>) {
        let (mut model, mut random) = (Forecasts::default(), chance(5, 1));
        let mut last = Vec::new();
        for question in 0..questions {
            let truth = if random.random::<bool>() { 0.85 } else { 0.15 };
            let at = question as f64;
            let good = model.forecast(&forecast(at, question % 2, question, said(question % 2, truth))).unwrap();
            let other = 1 - question % 2;
            let both = model.forecast(&forecast(at + 0.5, other, question, said(other, truth))).unwrap();
            model.resolve(at + 0.9, question, random.random::<f64>() < truth).unwrap();
            last.push((truth, good.p, both.p));
        }
        (model, last)
    }

    fn said(person: u64, truth: f64) -> f64 {
        if person == 0 { truth } else { 1.0 - truth }
    }

    #[test]
    fn who_is_right_and_who_is_wrong_is_learned() {
        let (_, told) = site(500);
        let late = &told[400..];
        let wrong: f64 = late.iter().map(|(truth, _, both)| (truth - both).abs()).sum::<f64>() / late.len() as f64;
        let alone: f64 = late.iter().map(|(truth, one, _)| (truth - one).abs()).sum::<f64>() / late.len() as f64;
        // Before anything is learned the opposite opinions cancel: 0.35 away from the truth.
        assert!(wrong < 0.12 && alone < 0.12, "{wrong} {alone}");
        let early = told[..20].iter().map(|(truth, _, both)| (truth - both).abs()).sum::<f64>() / 20.0;
        assert!(early > 0.2, "{early}");
    }

    /// C2: what is not resolved teaches nothing.
    #[test]
    fn an_outcome_teaches_when_it_arrives() {
        let (mut model, _) = site(200);
        let mut other = model.clone();
        let n = model.forecast(&forecast(300.0, 7, 900, 0.9)).unwrap().n;
        assert_eq!(n, 200);
        let before = other.forecast(&forecast(300.0, 7, 900, 0.9)).unwrap();
        model.resolve(300.5, 900, false).unwrap();
        assert_eq!(model.forecast(&forecast(301.0, 7, 901, 0.9)).unwrap().n, 201);
        assert_eq!(other.forecast(&forecast(301.0, 7, 901, 0.9)).unwrap().n, before.n);
        // Decided twice teaches once.
        model.resolve(302.0, 900, true).unwrap();
        assert_eq!(model.forecast(&forecast(303.0, 7, 902, 0.9)).unwrap().n, 201);
    }

    #[test]
    fn a_bad_row_is_refused_and_changes_nothing() {
        let (mut model, _) = site(120);
        let mut clean = model.clone();
        assert_eq!(model.forecast(&forecast(200.0, 0, 999, 1.5)), Err(ChanceError::Probability(1.5)));
        assert!(matches!(model.forecast(&forecast(f64::NAN, 0, 999, 0.5)), Err(ChanceError::Time)));
        assert!(matches!(model.forecast(&forecast(1.0, 0, 999, 0.5)), Err(ChanceError::Order(_))));
        assert!(model.resolve(1.0, 5, true).is_err());
        let row = forecast(201.0, 0, 1_000, 0.7);
        assert_eq!(model.forecast(&row), clean.forecast(&row));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// C4, over any stream.
        #[test]
        fn estimates_are_probabilities(
            rows in proptest::collection::vec((0u64..4, 0u64..30, 0.0..=1.0f64, 0.0..400.0f64, 0u8..5), 1..300)
        ) {
            let (mut model, mut now) = (Forecasts::default(), 0.0);
            for (person, question, p, gap, kind) in rows {
                now += gap;
                if kind == 0 {
                    model.resolve(now, question, p > 0.5).unwrap();
                    continue;
                }
                let closes_days = (kind > 1).then_some(now + (p - 0.5) * 1e5);
                let row = Forecast { at_days: now, person, question, probability: p, closes_days };
                let told = model.forecast(&row).unwrap();
                prop_assert!(0.0 < told.lo && told.lo <= told.p && told.p <= told.hi && told.hi < 1.0, "{:?}", told);
            }
        }
    }
}
