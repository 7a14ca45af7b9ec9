//! What sets one open question apart from another in a person's eyes, as numbers.

use std::collections::{HashMap, HashSet, VecDeque};

/// Numbers of one candidate for one person at one time.
pub(super) const WIDTH: usize = 36;

/// Half-lives of the counters of forecasts on a question, in days.
const HALF_LIVES: [f64; 3] = [0.5, 4.0, 30.0];

const FIRST_PEOPLE_MAX: usize = 100;

#[derive(Clone, Debug)]
pub(super) struct Question {
    /// In the order of opening.
    pub index: u64,
    pub opener: u64,
    pub opened: f64,
    pub closes: Option<f64>,
    pub resolved: Option<bool>,
    /// When somebody spoke last, who it was, and the number of forecasts on the site by then.
    pub last_at: f64,
    pub last_by: u64,
    pub last_turn: f64,
    pub people: HashSet<u64>,
    /// The first of them, so that a crowd costs no more than a few.
    first_people: Vec<u64>,
    pub said: f64,
    pub logit_sum: f64,
    counters: [f64; 3],
    pub vector: Vec<f64>,
    /// Where it stands in the list of open questions.
    pub place: usize,
}

impl Question {
    pub fn new(index: u64, opener: u64, opened: f64, closes: Option<f64>, vector: Vec<f64>) -> Question {
        Question {
            index,
            opener,
            opened,
            closes,
            resolved: None,
            last_at: opened,
            last_by: opener,
            last_turn: 0.0,
            people: HashSet::new(),
            first_people: Vec::new(),
            said: 0.0,
            logit_sum: 0.0,
            counters: [0.0; 3],
            vector,
            place: 0,
        }
    }

    pub fn say(&mut self, person: u64, logit: f64, now: f64, turn: f64) {
        self.counters = self.counters_at(now).map(|count| count + 1.0);
        self.last_at = now;
        self.last_by = person;
        self.last_turn = turn;
        self.said += 1.0;
        self.logit_sum += logit;
        if self.people.insert(person) && self.first_people.len() < FIRST_PEOPLE_MAX {
            self.first_people.push(person);
        }
    }

    fn counters_at(&self, now: f64) -> [f64; 3] {
        let mut out = self.counters;
        for (count, half_life) in out.iter_mut().zip(HALF_LIVES) {
            *count *= libm::exp2(-(now - self.last_at) / half_life);
        }
        out
    }

    /// Whether it can be chosen by `person`: open, not yet due, and new to them.
    pub fn is_open_to(&self, person: u64, now: f64) -> bool {
        self.resolved.is_none() && self.closes.is_none_or(|closes| closes > now) && !self.people.contains(&person)
    }
}

/// The choices that a text is compared with.
const RECENT: usize = 6;
/// How much of the past a new choice leaves in the running means of a person's taste.
const KEEP: f64 = 0.9;

#[derive(Clone, Debug, Default)]
pub(super) struct Taste {
    pub forecasts: f64,
    pub choices: f64,
    pub last_at: Option<f64>,
    /// The question spoken on last, with the time and turn at which others had spoken on it before.
    pub last: Option<Last>,
    /// How often they chose a question of an opener, and one where somebody had spoken last.
    openers: HashMap<u64, f64>,
    followed: HashMap<u64, f64>,
    /// Running means of where their choices stood: see `style`.
    style: [f64; 4],
    centre: Vec<f64>,
    recent: VecDeque<Vec<f64>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub question: u64,
    pub index: f64,
    pub opened: f64,
    pub opener: u64,
    pub activity_turn: f64,
}

/// How often an opener's questions are chosen by others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Following {
    pub opened: f64,
    pub chosen: f64,
}

/// The site as a whole, at the moment of the choice.
pub(super) struct Site<'a> {
    pub now: f64,
    /// Forecasts and questions so far.
    pub turn: f64,
    pub opened: f64,
    pub following: &'a HashMap<u64, Following>,
    pub last_vector: Option<&'a [f64]>,
    pub last_people: Option<&'a HashSet<u64>>,
}

fn log(x: f64) -> f64 {
    libm::log1p(x.max(0.0))
}

fn flag(x: bool) -> f64 {
    f64::from(u8::from(x))
}

/// Where a question stands in time and in the crowd: what a person's habits are about.
fn style(question: &Question, site: &Site<'_>) -> [f64; 4] {
    [
        log(site.turn - question.last_turn),
        log((site.now - question.opened) * 24.0),
        log(question.closes.map_or(365.0, |closes| closes - site.now)),
        log(question.said),
    ]
}

pub(super) fn columns(question: &Question, taste: &Taste, site: &Site<'_>) -> [f64; WIDTH] {
    let [turns, age, left, said] = style(question, site);
    let silent = log((site.now - question.last_at) * 24.0);
    let counters = question.counters_at(site.now).map(log);
    let crowd = question.logit_sum / question.said.max(1.0);
    let following = site.following.get(&question.opener).copied().unwrap_or_default();
    let [opener_share, follow_share] = taste.affinities(question);
    let visit = taste.last_at.unwrap_or(site.now - 1_000.0);
    let mut out = [0.0; WIDTH];
    out[..21].copy_from_slice(&[
        silent,
        turns,
        age,
        log(site.opened - question.index as f64),
        left,
        said,
        counters[0],
        counters[1],
        counters[2],
        crowd,
        crowd.abs(),
        log(question.people.len() as f64),
        libm::log((following.chosen + 2.0) / (following.opened + 2.0)),
        opener_share,
        follow_share,
        flag(question.opener == question.last_by),
        log((site.now - visit) * 24.0),
        log(taste.forecasts),
        log(taste.choices),
        signed_log((question.last_at - visit) * 24.0),
        signed_log((question.opened - visit) * 24.0),
    ]);
    out[21..27].copy_from_slice(&taste.nearness(question));
    out[27..31].copy_from_slice(&taste.habits([turns, age, left, said]));
    out[31..34].copy_from_slice(&taste.likeness(question, site));
    out[34] = site.last_people.map_or(0.0, |people| log(shared(people, question)));
    out[35] = age - log(question.closes.map_or(365.0, |closes| closes - question.opened) * 24.0);
    out
}

/// How many of those who spoke first on `question` are among `people`.
fn shared(people: &HashSet<u64>, question: &Question) -> f64 {
    question.first_people.iter().filter(|person| people.contains(person)).count() as f64
}

fn signed_log(x: f64) -> f64 {
    libm::copysign(log(x.abs()), x)
}

impl Taste {
    /// Shares of this question's opener, and of who spoke on it last, in this person's choices.
    fn affinities(&self, question: &Question) -> [f64; 2] {
        let share = |counts: &HashMap<u64, f64>, who: u64| {
            let count = counts.get(&who).copied().unwrap_or(0.0);
            log(count) - 0.5 * log(self.choices)
        };
        [share(&self.openers, question.opener), share(&self.followed, question.last_by)]
    }

    /// Distance from the question that they spoke on last, which matters while they go down a list: in the order of
    /// opening, in the order of activity, and in minutes of opening; and whether the opener is the same. Missing for
    /// somebody who never spoke.
    fn nearness(&self, question: &Question) -> [f64; 6] {
        let Some(last) = self.last else {
            return [f64::NAN; 6];
        };
        let steps = question.index as f64 - last.index;
        let turns = question.last_turn - last.activity_turn;
        [
            signed_log(steps),
            steps.abs().min(1_000.0),
            signed_log(turns),
            turns.abs().min(1_000.0),
            flag(question.opener == last.opener),
            signed_log((question.opened - last.opened) * 1_440.0),
        ]
    }

    fn habits(&self, here: [f64; 4]) -> [f64; 4] {
        let trust = self.choices / (self.choices + 5.0);
        let mut out = [0.0; 4];
        for ((out, here), usual) in out.iter_mut().zip(here).zip(self.style) {
            *out = trust * (here - usual).abs();
        }
        out
    }

    /// Cosines of the text with the last question's, with the mean of what they chose, and the best with recent ones.
    fn likeness(&self, question: &Question, site: &Site<'_>) -> [f64; 3] {
        if question.vector.is_empty() {
            return [0.0; 3];
        }
        let best = self.recent.iter().map(|vector| cosine(&question.vector, vector)).fold(0.0, f64::max);
        let last = site.last_vector.map_or(0.0, |vector| cosine(&question.vector, vector));
        [last, cosine(&question.vector, &self.centre), best]
    }

    /// They chose `question`, which stood as it did before they spoke.
    pub fn choose(&mut self, question: &Question, site: &Site<'_>) {
        let here = style(question, site);
        let keep = if self.choices < 1.0 { 0.0 } else { KEEP.min(self.choices / (self.choices + 1.0)) };
        for (usual, here) in self.style.iter_mut().zip(here) {
            *usual = keep * *usual + (1.0 - keep) * here;
        }
        self.choices += 1.0;
        *self.openers.entry(question.opener).or_default() += 1.0;
        *self.followed.entry(question.last_by).or_default() += 1.0;
    }

    /// They spoke on `question`, by choice or because they opened it.
    pub fn spoke(&mut self, id: u64, question: &Question, now: f64) {
        self.forecasts += 1.0;
        self.last_at = Some(now);
        self.last = Some(Last {
            question: id,
            index: question.index as f64,
            opened: question.opened,
            opener: question.opener,
            activity_turn: question.last_turn,
        });
        if question.vector.is_empty() {
            return;
        }
        self.centre.resize(question.vector.len(), 0.0);
        for (centre, x) in self.centre.iter_mut().zip(&question.vector) {
            *centre = KEEP * *centre + (1.0 - KEEP) * x;
        }
        self.recent.push_back(question.vector.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }
}

pub(super) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 1e-12 { dot(a, b) / lengths } else { 0.0 }
}
