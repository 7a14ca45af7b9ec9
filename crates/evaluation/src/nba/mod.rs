//! Next best action: one decision for each line, learning from what the chosen action earned and from nothing else.
//!
//! With `--protocol` the lines come on standard input and are answered on standard output; otherwise `stream.csv` of
//! `--in` is played row by row, and of its `r*` columns only that of the chosen action is looked at. `--train` folders
//! hold `stream.csv` files in which the rewards of all actions may be learned from.

pub(crate) mod player;
mod times;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::EvaluateError;
use crate::clock::Written;
use crate::files::{Column, Field, NUMBER_MAX, Predictions, Table};
use crate::tasks::{Run, Task};
use player::{Occasion, Player};
use times::Times;

pub(crate) const TASK: Task = Task {
    name: "nba",
    about: "next best action, decision by decision; --protocol: on standard input and output",
    evaluate,
};

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let mut player = Player::new(run.seed);
    for folder in run.train {
        let mut stream = Stream::open(folder)?;
        while let Some(occasion) = stream.next()? {
            let rewards =
                stream.rewards.clone().into_iter().map(|r| stream.reward(r)).collect::<Result<Vec<_>, _>>()?;
            player.learn(&occasion, &rewards).map_err(|e| stream.wrong(&e.to_string()))?;
        }
        run.say(format_args!("learned from {}", stream.table.file().display()));
    }
    if run.protocol {
        let times = converse(player, io::stdin().lock(), io::stdout().lock())?;
        run.say(format_args!("{times}"));
        return Ok(());
    }
    let mut stream = Stream::open(run.input)?;
    let mut out = Predictions::create(run.out, &["row", "action", "propensity"])?;
    let (mut number, mut times) = (0, Times::default());
    while let Some(occasion) = stream.next()? {
        let answer = times.of(|| player.decide(number, &occasion)).map_err(|e| stream.wrong(&e.to_string()))?;
        let row = stream.row(number);
        out.row(format_args!("{},{},{}", Field(&row), answer.action, answer.propensity))?;
        let reward = stream.reward(stream.rewards[answer.action])?;
        player.reward(number, reward).map_err(|e| stream.wrong(&e.to_string()))?;
        number += 1;
    }
    run.say(format_args!("{times}"));
    out.finish()
}

/// One line of the protocol: a question when it has `actions`, else a reward.
#[derive(Deserialize)]
struct Line {
    t: u64,
    hh: Option<serde_json::Value>,
    ts: Option<String>,
    #[serde(default)]
    x: BTreeMap<String, serde_json::Value>,
    actions: Option<usize>,
    r: Option<f64>,
}

#[derive(Serialize)]
struct Reply {
    a: usize,
    p: f64,
}

/// Answers each line; gives how long the decisions took.
pub(crate) fn converse(
    mut player: Player,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<Times, EvaluateError> {
    let mut times = Times::default();
    let file = PathBuf::from("standard input");
    for (number, line) in input.lines().enumerate() {
        let line = line.map_err(|source| EvaluateError::Unreadable { file: file.clone(), source })?;
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |problem: String| EvaluateError::File {
            file: file.clone(),
            problem: format!("line {}: {problem}", number + 1),
        };
        let line: Line = serde_json::from_str(&line).map_err(|e| wrong(e.to_string()))?;
        match (line.actions, line.r) {
            (Some(actions), _) => {
                let occasion = Occasion {
                    person: line.hh.map(|person| person.to_string()).unwrap_or_default(),
                    day: line.ts.as_deref().and_then(day),
                    numbers: line.x.into_iter().map(|(name, value)| (name, number_in(&value))).collect(),
                    actions,
                };
                let answer = times.of(|| player.decide(line.t, &occasion)).map_err(|e| wrong(e.to_string()))?;
                let reply = serde_json::to_string(&Reply { a: answer.action, p: answer.propensity });
                let reply = reply.map_err(|e| wrong(e.to_string()))?;
                let sent = writeln!(output, "{reply}").and_then(|()| output.flush());
                sent.map_err(|source| EvaluateError::Unwritable { file: "standard output".into(), source })?;
            }
            (None, Some(reward)) => player.reward(line.t, reward).map_err(|e| wrong(e.to_string()))?,
            (None, None) => return Err(wrong("neither a question (\"actions\") nor a reward (\"r\")".to_owned())),
        }
    }
    Ok(times)
}

/// A context number; true is 1 and false 0, and anything else is unknown, as is a number of no usual size.
fn number_in(value: &serde_json::Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(f64::from)).filter(|number| number.abs() <= NUMBER_MAX)
}

/// Days since 1970 of a date, with or without a time.
fn day(text: &str) -> Option<f64> {
    let zoned = Written::read(text)?.moment()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second() as f64 / 86_400.0)
}

/// `stream.csv` row by row.
pub(crate) struct Stream {
    table: Table,
    row: Option<Column>,
    person: Option<Column>,
    moment: Option<Column>,
    numbers: Vec<(String, Column)>,
    pub(crate) rewards: Vec<Column>,
}

impl Stream {
    pub(crate) fn open(folder: &Path) -> Result<Stream, EvaluateError> {
        let table = Table::open(folder, "stream.csv")?;
        let mut rewards = Vec::new();
        while let Some(column) = table.column_if_any(&format!("r{}", rewards.len())) {
            rewards.push(column);
        }
        if rewards.is_empty() {
            return Err(EvaluateError::Column { file: table.file().to_owned(), column: "r0".to_owned() });
        }
        let is_reward = |name: &str| name.strip_prefix('r').is_some_and(|rest| rest.parse::<usize>().is_ok());
        let names =
            table.header().iter().filter(|name| !["row", "hh", "ts"].contains(&name.as_str()) && !is_reward(name));
        let numbers =
            names.map(|name| Ok((name.clone(), table.column(name)?))).collect::<Result<_, EvaluateError>>()?;
        let [row, person, moment] = ["row", "hh", "ts"].map(|name| table.column_if_any(name));
        Ok(Stream { table, row, person, moment, numbers, rewards })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Occasion>, EvaluateError> {
        if !self.table.next_row()? {
            return Ok(None);
        }
        let numbers = self.numbers.iter().map(|(name, column)| Ok((name.clone(), self.table.number_if_any(*column)?)));
        Ok(Some(Occasion {
            person: self.person.map(|column| self.table.text(column).to_owned()).unwrap_or_default(),
            day: self.moment.and_then(|column| day(self.table.text(column))),
            numbers: numbers.collect::<Result<_, EvaluateError>>()?,
            actions: self.rewards.len(),
        }))
    }

    /// What the file calls the row last read, or its number.
    fn row(&self, number: u64) -> String {
        self.row.map_or_else(|| number.to_string(), |column| self.table.text(column).to_owned())
    }

    pub(crate) fn reward(&self, column: Column) -> Result<f64, EvaluateError> {
        let reward = self.table.number(column)?;
        if (0.0..=1.0).contains(&reward) {
            Ok(reward)
        } else {
            Err(self.table.wrong(column, "a reward is from 0 to 1"))
        }
    }

    pub(crate) fn wrong(&self, problem: &str) -> EvaluateError {
        let problem = format!("line {}: {problem}", self.table.line());
        EvaluateError::File { file: self.table.file().to_owned(), problem }
    }
}

#[cfg(test)]
mod tests;
