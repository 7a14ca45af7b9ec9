//! `recs`: scores for the candidates of every choice, learned from the rows above it.

use std::collections::HashSet;

use hunch_learning::ranking::{RankError, Ranker};

use crate::EvaluateError;
use crate::clock::{Clock, StepsBack};
use crate::files::{self, Column, Field, Predictions, Table};
use crate::opinions::{self, Event, Register, Row, Stream};
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task =
    Task { name: "recs", about: "ranking of open questions for a person, in stream order", evaluate };

/// Rows of the stream are read up to the one above each choice, then the choice is scored. Choices may come in any
/// order in their file and are written in the order of their rows.
fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let mut names = Register::default();
    let mut ranker = Ranker::new(run.seed);
    describe(run, &mut names, &mut ranker)?;
    let choices = choices(run, &mut names)?;
    let mut stream = Stream::new(Table::open(run.input, "stream.csv")?)?;
    let mut out = Predictions::create(run.out, &["row", "candidate", "score"])?;
    let mut next = stream.next(&mut names)?;
    let (mut above, mut now) = (None, f64::MIN);
    let mut early = StepsBack::default();
    for choice in &choices {
        while let Some(row) = next.take_if(|row| row.number < choice.row) {
            if above.is_some_and(|above| row.number <= above) {
                return Err(stream.wrong("its row number is not above the one before"));
            }
            above = Some(row.number);
            now = row.at_days();
            take(&mut ranker, &row).map_err(|e| stream.wrong(&e.to_string()))?;
            next = stream.next(&mut names)?;
        }
        // What is known is told by the number of the row; the time, when it is earlier, is that of the last row known.
        let at_days = early.since(now, choice.at_days, choice.line);
        let scores = ranker.scores(at_days, choice.person, &choice.candidates);
        let scores = scores.map_err(|e| EvaluateError::Cell {
            file: files::find(run.input, "candidates.csv").unwrap_or_default(),
            line: choice.line,
            column: "t".to_owned(),
            problem: e.to_string(),
        })?;
        for (name, score) in choice.written.iter().zip(scores) {
            out.row(format_args!("{},{},{score}", choice.row, Field(name)))?;
        }
    }
    stream.steps_back.say("stream.csv", run);
    early.say("candidates.csv", run);
    out.finish()
}

fn take(ranker: &mut Ranker, row: &Row) -> Result<(), RankError> {
    match &row.event {
        Event::Forecast(f) => ranker.forecast(f.at_days, f.person, f.question, f.probability, f.closes_days),
        Event::Resolution { at_days, of, yes } => ranker.resolve(*at_days, *of, *yes),
        Event::Order(order) => ranker.forecast(order.at_days, order.person, order.contract, order.price, None),
    }
}

/// Texts are optional: without them likeness of text counts nothing.
fn describe(run: &Run<'_>, names: &mut Register, ranker: &mut Ranker) -> Result<(), EvaluateError> {
    if files::find(run.input, "text_vectors.csv").is_none() {
        return Ok(());
    }
    let mut table = Table::open(run.input, "text_vectors.csv")?;
    let question = table.column("question")?;
    let parts: Vec<Column> = (0..).map_while(|i| table.column_if_any(&format!("v{i}"))).collect();
    let mut vector = vec![0.0; parts.len()];
    while table.next_row()? {
        for (x, part) in vector.iter_mut().zip(&parts) {
            *x = table.number(*part)?;
        }
        let id = names.questions.number(table.text(question));
        ranker.describe(id, &vector).map_err(|e| table.wrong(question, &e.to_string()))?;
    }
    Ok(())
}

struct Choice {
    line: u64,
    row: u64,
    at_days: f64,
    person: u64,
    candidates: Vec<u64>,
    /// The candidates as the file writes them.
    written: Vec<String>,
}

/// In the order of their rows. What was picked is in some files and is not looked at.
fn choices(run: &Run<'_>, names: &mut Register) -> Result<Vec<Choice>, EvaluateError> {
    let mut table = Table::open(run.input, "candidates.csv")?;
    let (row, t, user) = (table.column("row")?, table.column("t")?, table.column("user")?);
    let candidates = table.column("candidates")?;
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    let mut clock = Clock::default();
    while table.next_row()? {
        let number = table.whole(row)?;
        if !seen.insert(number) {
            return Err(table.wrong(row, "this row is there twice"));
        }
        let written: Vec<String> = table.text(candidates).split_whitespace().map(str::to_owned).collect();
        if written.iter().collect::<HashSet<_>>().len() < written.len() {
            return Err(table.wrong(candidates, "a candidate is there twice"));
        }
        out.push(Choice {
            line: table.line(),
            row: number,
            at_days: opinions::moment(&mut clock, &table, t)?,
            person: names.people.number(table.text(user)),
            candidates: written.iter().map(|name| names.questions.number(name)).collect(),
            written,
        });
    }
    out.sort_by_key(|choice: &Choice| choice.row);
    Ok(out)
}
