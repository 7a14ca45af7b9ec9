//! From lines to the bandit: which numbers of a context belong to which action, what a person did before, and what the
//! model is told to expect at the start.
//!
//! The context is taken as it comes. Where its names end in 0 to K-1 behind one prefix, for K actions, the numbers
//! describe the actions in their order; all others describe the occasion.

use std::collections::BTreeMap;

use hunch_learning::bandit::{
    Bandit, BanditError, Candidate, Exploration, Family, Habits, Memory, MemorySettings, Pending, Settings,
};
use hunch_learning::numeric::chance::chance;

/// Choices that may wait for their rewards at once.
const WAITING_MAX: usize = 100_000;

/// What is known when an action is to be chosen.
pub struct Occasion {
    /// Empty for nobody in particular.
    pub person: String,
    pub day: Option<f64>,
    /// None for a number that is missing: it counts as the mean so far.
    pub numbers: BTreeMap<String, Option<f64>>,
    pub actions: usize,
}

pub struct Answer {
    pub action: usize,
    pub propensity: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    #[error("there must be 1 to 100000 actions")]
    Actions,
    #[error(transparent)]
    Bandit(#[from] BanditError),
}

/// Decides and learns in the order of what it is given.
pub struct Player {
    seed: u64,
    decisions: u64,
    /// Days so far; an occasion without a date takes place when the last one did.
    day: f64,
    model: Option<Model>,
    people: BTreeMap<String, u64>,
    waiting: Pending,
    /// Whose choice waits under a number.
    choices: BTreeMap<u64, u64>,
}

/// What is fixed by the names in the first occasion.
struct Model {
    bandit: Bandit,
    shape: Shape,
    scales: Vec<Scale>,
    graded: Vec<Scale>,
    memories: Vec<Memory>,
}

#[derive(PartialEq)]
struct Shape {
    occasion: Vec<String>,
    /// Prefixes of the numbers that describe actions.
    of_actions: Vec<String>,
}

impl Player {
    pub fn new(seed: u64) -> Player {
        Player {
            seed,
            decisions: 0,
            day: 0.0,
            model: None,
            people: BTreeMap::new(),
            waiting: Pending::new(WAITING_MAX),
            choices: BTreeMap::new(),
        }
    }

    /// What was learned; None before the first occasion.
    pub fn bandit(&self) -> Option<&Bandit> {
        self.model.as_ref().map(|model| &model.bandit)
    }

    /// Chooses; the reward comes under `number`, or never.
    pub fn decide(&mut self, number: u64, occasion: &Occasion) -> Result<Answer, PlayError> {
        let person = self.person(&occasion.person);
        let seen = self.see(person, occasion)?;
        let mut dice = chance(self.seed, self.decisions);
        self.decisions += 1;
        let decision = self.model(occasion)?.bandit.decide(&seen.context, &seen.candidates(), &mut dice)?;
        self.waiting.keep(number, decision.taken);
        self.choices.insert(number, person);
        if self.choices.len() > WAITING_MAX {
            self.choices.pop_first();
        }
        Ok(Answer { action: decision.chosen, propensity: decision.propensity })
    }

    /// Learns the reward of a choice; one that is not waited for is passed over.
    pub fn reward(&mut self, number: u64, reward: f64) -> Result<(), PlayError> {
        let (Some(person), Some(taken), Some(model)) =
            (self.choices.remove(&number), self.waiting.take(number), self.model.as_mut())
        else {
            return Ok(());
        };
        model.bandit.learn(&taken, reward)?;
        for memory in &mut model.memories {
            memory.earned(person, taken.action, reward);
        }
        Ok(())
    }

    /// Learns from an occasion for which the reward of every action is known.
    pub fn learn(&mut self, occasion: &Occasion, rewards: &[f64]) -> Result<(), PlayError> {
        let person = self.person(&occasion.person);
        let seen = self.see(person, occasion)?;
        self.model(occasion)?.bandit.learn_all(&seen.context, &seen.candidates(), rewards)?;
        Ok(())
    }

    fn person(&mut self, name: &str) -> u64 {
        let next = self.people.len() as u64;
        *self.people.entry(name.to_owned()).or_insert(next)
    }

    /// The model for occasions of this form. Another form than that of the log it learned from starts it anew.
    fn model(&mut self, occasion: &Occasion) -> Result<&mut Model, PlayError> {
        if self.decisions == 0 || self.model.is_none() {
            let shape = Shape::of(occasion);
            if self.model.as_ref().is_none_or(|model| model.shape != shape) {
                self.model = Some(Model::new(shape)?);
            }
        }
        self.model.as_mut().ok_or(PlayError::Actions)
    }

    /// Takes an occasion into the memories, and gives what the bandit is to know of it.
    fn see(&mut self, person: u64, occasion: &Occasion) -> Result<Seen, PlayError> {
        if !(1..=100_000).contains(&occasion.actions) {
            return Err(PlayError::Actions);
        }
        self.day = occasion.day.unwrap_or(self.day);
        let day = self.day;
        Ok(self.model(occasion)?.see(person, day, occasion))
    }
}

impl Shape {
    fn of(occasion: &Occasion) -> Shape {
        let names = &occasion.numbers;
        let zero = names
            .keys()
            .filter_map(|name| name.strip_suffix('0').filter(|prefix| !prefix.ends_with(|c: char| c.is_ascii_digit())));
        let of_actions: Vec<String> = zero
            .filter(|prefix| {
                occasion.actions > 1 && (0..occasion.actions).all(|i| names.contains_key(&format!("{prefix}{i}")))
            })
            .map(str::to_owned)
            .collect();
        let is_action = |name: &str| {
            let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
            of_actions.iter().any(|of| of == prefix) && name.len() > prefix.len()
        };
        let occasion = names.keys().filter(|name| !is_action(name)).cloned().collect();
        Shape { occasion, of_actions }
    }
}

/// What the bandit is to know of an occasion.
struct Seen {
    context: Vec<f64>,
    actions: Vec<Vec<f64>>,
}

impl Seen {
    fn candidates(&self) -> Vec<Candidate<'_>> {
        let actions = self.actions.iter().enumerate();
        actions.map(|(action, features)| Candidate { action: action as u64, features }).collect()
    }
}

/// Numbers about the person, before those of the occasion.
const OF_PERSON: usize = 2;
/// Numbers about an action from one memory: habits, and the number as it stands.
const OF_ACTION: usize = Habits::WIDTH + 1;

impl Model {
    fn new(shape: Shape) -> Result<Model, PlayError> {
        let memories = shape.of_actions.len().max(1);
        let bandit = Bandit::new(settings(shape.occasion.len(), memories, shape.of_actions.is_empty()))?;
        Ok(Model {
            bandit,
            scales: vec![Scale::default(); shape.occasion.len()],
            graded: vec![Scale::default(); memories],
            memories: vec![Memory::new(MemorySettings::default()); memories],
            shape,
        })
    }

    fn see(&mut self, person: u64, day: f64, occasion: &Occasion) -> Seen {
        let ids: Vec<u64> = (0..occasion.actions as u64).collect();
        let mut actions = vec![Vec::with_capacity(OF_ACTION * self.memories.len()); ids.len()];
        for (place, memory) in self.memories.iter_mut().enumerate() {
            let numbers: Vec<Option<f64>> = match self.shape.of_actions.get(place) {
                None => Vec::new(),
                Some(prefix) => {
                    ids.iter().map(|i| occasion.numbers.get(&format!("{prefix}{i}")).copied().flatten()).collect()
                }
            };
            memory.observe(person, day, numbers.iter().enumerate().map(|(i, n)| (i as u64, n.unwrap_or(0.0))));
            numbers.iter().flatten().for_each(|number| self.graded[place].see(*number));
            for (i, (features, habits)) in actions.iter_mut().zip(memory.habits(person, day, &ids)).enumerate() {
                features.extend(habits.features());
                features.push(self.graded[place].of(numbers.get(i).copied().flatten()));
            }
        }
        let mut context = self.memories[0].person(person).to_vec();
        for (scale, name) in self.scales.iter_mut().zip(&self.shape.occasion) {
            let number = occasion.numbers.get(name).copied().flatten();
            number.into_iter().for_each(|number| scale.see(number));
            context.push(scale.of(number));
        }
        Seen { context, actions }
    }
}

/// What the model expects at the start: rewards are rare; people do again what they did, and what others do. Nothing
/// else is known, and little is believed until it shows.
fn settings(occasion: usize, memories: usize, plain: bool) -> Settings {
    let mut settings = Settings::new(OF_PERSON + occasion, OF_ACTION * memories);
    settings.family = Family::Binary;
    settings.prior = vec![0.0; settings.width()];
    settings.deviation = vec![DEVIATION; settings.width()];
    settings.prior[0] = -2.0;
    settings.deviation[0] = 1.5;
    settings.own_deviation = DEVIATION;
    let first = 1 + OF_PERSON + occasion;
    for memory in 0..memories {
        let habits = first + memory * OF_ACTION;
        // Popularity and habit, in the order of `Habits`.
        settings.prior[habits] = 1.0 / memories as f64;
        settings.prior[habits + 1] = 1.0 / memories as f64;
        settings.own.push(habits + 1);
    }
    if plain {
        // No number tells the actions apart: each has to find its own weights of the occasion.
        settings.own.extend(1 + OF_PERSON..first);
        settings.own_deviation = 0.5;
    }
    settings.exploration = Exploration::InverseGap { gamma: GAMMA, growth: 0.0 };
    settings.floor = FLOOR;
    settings.half_life = Some(HALF_LIFE);
    settings
}

/// Of the belief about a weight, at the start.
const DEVIATION: f64 = 0.1;
/// Explores a lasting twentieth or so, so that the log of a few thousand decisions can judge any other policy.
const GAMMA: f64 = 3_000.0;
const FLOOR: f64 = 0.0015;
/// In lessons.
const HALF_LIFE: f64 = 200_000.0;

/// Mean and spread of a number so far, to bring it to a common scale.
#[derive(Clone, Default)]
struct Scale {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Scale {
    fn see(&mut self, number: f64) {
        self.count += 1.0;
        let distance = number - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (number - self.mean);
    }

    /// In standard deviations from the mean, at most 3; 0 for what is unknown.
    fn of(&self, number: Option<f64>) -> f64 {
        let spread = (self.squares / self.count.max(1.0)).sqrt();
        let Some(number) = number.filter(|_| spread > 1e-12) else { return 0.0 };
        let scaled = (number - self.mean) / spread;
        if scaled.is_finite() { scaled.clamp(-3.0, 3.0) } else { 0.0 }
    }
}
