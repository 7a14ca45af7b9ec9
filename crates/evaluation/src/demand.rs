//! Demand: the mean and seven quantiles of every series for every step after every origin.
//!
//! Reads `task.json` (`origins`, `horizon`, `season`, `unit`, and `country` where its public holidays count) and
//! `history.csv` (`ts`, one column a series, an empty field for a missing count). Without `origins` the history is
//! `series,values`, oldest first, on no known calendar. Times that name their offset from Greenwich are moments; the grid is
//! then the clock of the history's first row.
//! Rows at or after an origin are not looked at for that origin, and rows at or after the last origin not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hunch_learning::demand::{self, Ask, Expectation, Panel, Step};
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::EvaluateError;
use crate::clock::{Clock, Written};
use crate::files::{self, Field, Predictions, Table};
use crate::holidays::public_holidays;
use crate::tasks::{Run, Task};

pub(crate) const TASK: Task = Task {
    name: "demand",
    about: "counts per hour or day with quantiles, from their own history, events.csv and the holidays of task.json's country",
    evaluate,
};

fn evaluate(run: &Run<'_>) -> Result<(), EvaluateError> {
    let ask: Asked = files::json(run.input, "task.json")?;
    if !(1..=HORIZON_MAX).contains(&ask.horizon) {
        let problem = format!("a horizon is 1 to {HORIZON_MAX} rows, not {}", ask.horizon);
        return Err(EvaluateError::File { file: run.input.join("task.json"), problem });
    }
    let mut timing = Timing::default();
    match &ask.origins {
        Some(origins) => by_origin(run, &ask, origins, &mut timing)?,
        None => by_series(run, &ask, &mut timing)?,
    }
    let (fit, predict) = (timing.fit.as_secs_f64(), timing.predict.as_secs_f64());
    run.say(format_args!("demand: fit {fit:.3} s, predict {predict:.4} s, {} threads", run.threads));
    if timing.thin > 0 {
        run.say(format_args!(
            "demand: {} forecasts are guesses, their series being too thin, or having ended too long before",
            timing.thin
        ));
    }
    Ok(())
}

/// What is asked, as `task.json` says it.
#[derive(serde::Deserialize)]
struct Asked {
    origins: Option<Vec<String>>,
    horizon: usize,
    unit: Option<Unit>,
    /// ISO 3166-1 code of two letters.
    country: Option<String>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, PartialEq)]
enum Unit {
    #[serde(rename = "h")]
    Hour,
    #[serde(rename = "D")]
    Day,
}

#[derive(Default)]
struct Timing {
    fit: Duration,
    predict: Duration,
    thin: usize,
}

impl Timing {
    /// A series too thin for a model gets the guess of `demand::guess`, and is counted.
    fn forecast(&mut self, panel: &Panel, ask: Ask<'_>) -> Result<Vec<Vec<Expectation>>, EvaluateError> {
        let start = Instant::now();
        let models = demand::fit_where_they_end(panel, &ask).map_err(|e| EvaluateError::Data(e.to_string()))?;
        let fitted = Instant::now();
        let forecast = models.predict();
        self.fit += fitted - start;
        self.predict += fitted.elapsed();
        let filled = forecast.into_iter().zip(panel.series()).map(|(steps, values)| {
            steps.unwrap_or_else(|_| {
                self.thin += 1;
                demand::guess(values, ask.horizon)
            })
        });
        Ok(filled.collect())
    }
}

/// A year of hours: nothing is said of more.
const HORIZON_MAX: usize = 8_784;

const QUANTILES: [&str; 8] = ["mean", "q025", "q100", "q250", "q500", "q750", "q900", "q975"];

fn by_origin(run: &Run<'_>, ask: &Asked, origins: &[String], timing: &mut Timing) -> Result<(), EvaluateError> {
    let grid = Grid::of(run.input, ask.unit.unwrap_or(Unit::Hour))?;
    let rows: Vec<i64> = origins
        .iter()
        .map(|origin| {
            let row = Written::read(origin).and_then(|written| grid.row(&written));
            row.ok_or_else(|| EvaluateError::File {
                file: run.input.join("task.json"),
                problem: format!("origin {origin:?} is not a time on the grid{}", grid.hint(origin)),
            })
        })
        .collect::<Result<_, _>>()?;
    if origins.is_empty() {
        let problem = "there is no origin".to_owned();
        return Err(EvaluateError::File { file: run.input.join("task.json"), problem });
    }
    let last_origin = rows.iter().copied().max().unwrap_or(i64::MIN);
    let history = History::read(run.input, grid, last_origin)?;
    let holidays = holidays(run, ask, &history, last_origin)?;
    let mut out = Predictions::create(run.out, &[&["origin", "series", "ts"], &QUANTILES[..]].concat())?;
    let asked = Ask { horizon: ask.horizon, events: &history.events, holidays: &holidays, threads: run.threads };
    for (origin, &row) in origins.iter().zip(&rows) {
        let panel = history.before(row)?;
        say_who_is_silent(run, origin, &history, &panel);
        let forecast = timing.forecast(&panel, asked)?;
        for (name, steps) in history.names.iter().zip(&forecast) {
            for (ts, step) in (row..).zip(steps) {
                write(&mut out, format_args!("{},{},{}", Field(origin), Field(name), grid.text(ts)), step)?;
            }
        }
    }
    out.finish()
}

/// A forecast far beyond the last count that is known is not to pass for one from yesterday's.
fn say_who_is_silent(run: &Run<'_>, origin: &str, history: &History, panel: &Panel) {
    let silences = demand::silences(panel);
    let silent: Vec<&String> =
        history.names.iter().zip(&silences).filter(|(_, rows)| **rows > 0).map(|(n, _)| n).collect();
    if let (Some(first), Some(longest)) = (silent.first(), silences.iter().max()) {
        let (count, unit) = (silent.len(), if history.grid.unit == Unit::Day { "days" } else { "hours" });
        run.say(format_args!(
            "demand: at {origin}, {count} of {} series ({first:?} first) end up to {longest} {unit} before it; they are forecast \
             from where they end, with bands that widen by it",
            silences.len()
        ));
    }
}

/// Those of the country that `task.json` names, from a year before the history to the last row that is asked for.
fn holidays(run: &Run<'_>, ask: &Asked, history: &History, last_origin: i64) -> Result<Vec<i64>, EvaluateError> {
    let Some(country) = &ask.country else { return Ok(vec![]) };
    let day_rows = history.grid.unit.step().day() as i64;
    let last = last_origin.saturating_add(ask.horizon as i64).min(history.start.saturating_add(2 * ROWS_MAX as i64));
    let days = history.start.div_euclid(day_rows) - 366..=last.div_euclid(day_rows);
    public_holidays(country, days).ok_or_else(|| EvaluateError::File {
        file: run.input.join("task.json"),
        problem: format!(
            "country {country:?} is not a code of two capital letters whose holidays are known, such as \"US\""
        ),
    })
}

fn by_series(run: &Run<'_>, ask: &Asked, timing: &mut Timing) -> Result<(), EvaluateError> {
    if ask.country.is_some() {
        let problem = "a country needs origins: without them the history is on no calendar".to_owned();
        return Err(EvaluateError::File { file: run.input.join("task.json"), problem });
    }
    let mut table = Table::open(run.input, "history.csv")?;
    let (series, values) = (table.column("series")?, table.column("values")?);
    let (mut names, mut panel) = (vec![], vec![]);
    while table.next_row()? {
        names.push(table.text(series).to_owned());
        let number = |text: &str| text.parse().ok().filter(|y: &f64| y.abs() <= files::NUMBER_MAX);
        let found: Option<Vec<f64>> = table.text(values).split_whitespace().map(number).collect();
        panel.push(found.ok_or_else(|| table.wrong(values, "these are not all finite numbers of usual size"))?);
    }
    let step = if ask.unit == Some(Unit::Day) { Step::Day } else { Step::Hour };
    let wrong = |e: demand::DemandError| EvaluateError::File { file: table.file().to_owned(), problem: e.to_string() };
    let panel = Panel::new(step, None, panel).map_err(wrong)?;
    let asked = Ask { horizon: ask.horizon, events: &[], holidays: &[], threads: run.threads };
    let forecast = timing.forecast(&panel, asked)?;
    let mut out = Predictions::create(run.out, &[&["series", "h"], &QUANTILES[..]].concat())?;
    for (name, steps) in names.iter().zip(&forecast) {
        for (h, step) in (1..).zip(steps) {
            write(&mut out, format_args!("{},{h}", Field(name)), step)?;
        }
    }
    out.finish()
}

fn write(out: &mut Predictions, key: std::fmt::Arguments<'_>, step: &Expectation) -> Result<(), EvaluateError> {
    let [a, b, c, d, e, f, g] = step.quantiles;
    out.row(format_args!("{key},{},{a},{b},{c},{d},{e},{f},{g}", step.mean))
}

impl Unit {
    fn step(self) -> Step {
        match self {
            Unit::Hour => Step::Hour,
            Unit::Day => Step::Day,
        }
    }
}

/// How the rows of a history are numbered, and how its times are written.
#[derive(Clone, Copy, Debug)]
struct Grid {
    unit: Unit,
    /// Of the history's first row; None where its times name none.
    offset: Option<Offset>,
    /// Between date and time.
    between: char,
    seconds: bool,
}

impl Grid {
    /// By the first row of the history. Without one, times are written as `2026-11-28 07:00`.
    fn of(folder: &Path, unit: Unit) -> Result<Grid, EvaluateError> {
        let mut grid = Grid { unit, offset: None, between: ' ', seconds: false };
        let mut table = Table::open(folder, "history.csv")?;
        let ts = table.column("ts")?;
        if table.next_row()?
            && let Some(written) = Written::read(table.text(ts))
            && unit == Unit::Hour
            && written.timed
        {
            let text = table.text(ts);
            grid.offset = written.offset;
            grid.between = if text.contains('T') { 'T' } else { ' ' };
            grid.seconds = text.len() >= 19 && text.as_bytes()[16] == b':';
        }
        Ok(grid)
    }

    /// Hours or days since 1970-01-01 by the clock of the first row; None for what is not a time on the grid. A day is
    /// the date as it is written: its midnight is where the data are from.
    fn row(&self, written: &Written) -> Option<i64> {
        let local = match (self.unit, self.offset, written.offset) {
            (Unit::Hour, Some(here), Some(there)) => {
                let moved = jiff::SignedDuration::from_secs(i64::from(here.seconds()) - i64::from(there.seconds()));
                written.local.checked_add(moved).ok()?
            }
            (Unit::Hour, None, Some(_)) => return None,
            _ => written.local,
        };
        let since = local.since((jiff::Unit::Hour, DateTime::constant(1970, 1, 1, 0, 0, 0, 0))).ok()?;
        let hours = i64::from(since.get_hours());
        let whole = local.minute() == 0 && local.second() == 0 && local.subsec_nanosecond() == 0;
        match self.unit {
            _ if !whole => None,
            Unit::Hour => Some(hours),
            Unit::Day => (hours % 24 == 0).then_some(hours / 24),
        }
    }

    /// Why a time may not be on the grid though it looks as if it were.
    fn hint(&self, text: &str) -> &'static str {
        let names_offset = Written::read(text).is_some_and(|written| written.offset.is_some());
        if names_offset && self.offset.is_none() { ": it names an offset, the history's times do not" } else { "" }
    }

    /// As the history writes its times.
    fn text(&self, row: i64) -> String {
        let hours = if self.unit == Unit::Hour { row } else { row * 24 };
        let start = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        let time = start.saturating_add(jiff::SignedDuration::from_hours(hours));
        if self.unit == Unit::Day {
            return time.strftime("%Y-%m-%d").to_string();
        }
        let clock = time.strftime(if self.seconds { "%H:%M:%S" } else { "%H:%M" });
        let offset = match self.offset {
            None => String::new(),
            Some(offset) if offset.seconds() == 0 => "Z".to_owned(),
            Some(offset) => {
                let minutes = offset.seconds().abs() / 60;
                format!("{}{:02}:{:02}", if offset.seconds() < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
            }
        };
        format!("{}{}{clock}{offset}", time.strftime("%Y-%m-%d"), self.between)
    }
}

const OFF_THE_GRID: &str = "this is not a time on the grid";

/// Rows after the start of a history past which events are left out, and counts and origins refused: forty years of
/// hours. A wrong year would ask for all the memory there is.
const ROWS_MAX: usize = 350_000;

/// Counts on one calendar, all rows before the last origin.
struct History {
    file: PathBuf,
    grid: Grid,
    names: Vec<String>,
    start: i64,
    series: Vec<Vec<f64>>,
    /// Columns of events on the rows of the history and on after its end.
    events: Vec<Vec<f64>>,
}

impl History {
    /// Rows that are not in the file are missing in all series.
    fn read(folder: &Path, grid: Grid, end: i64) -> Result<History, EvaluateError> {
        let mut table = Table::open(folder, "history.csv")?;
        let ts = table.column("ts")?;
        let names: Vec<String> = table.header().iter().filter(|name| *name != "ts").cloned().collect();
        let columns = names.iter().map(|name| table.column(name)).collect::<Result<Vec<_>, _>>()?;
        let mut history = History {
            file: table.file().to_owned(),
            grid,
            names,
            start: 0,
            series: vec![vec![]; columns.len()],
            events: vec![],
        };
        let (mut next, mut clock) = (None, Clock::default());
        while table.next_row()? {
            let row = grid.row(&clock.read(&table, ts)?).ok_or_else(|| table.wrong(ts, OFF_THE_GRID))?;
            if row >= end {
                continue;
            }
            let due = *next.get_or_insert(row);
            if row < due {
                return Err(table.wrong(ts, "this time stood before, or a later one did"));
            }
            if row - due > ROWS_MAX as i64 || history.series.iter().any(|values| values.len() > ROWS_MAX) {
                return Err(table.wrong(ts, &format!("this is more than {ROWS_MAX} rows after the first one")));
            }
            if next == Some(row) && history.series.iter().all(Vec::is_empty) {
                history.start = row;
            }
            next = Some(row + 1);
            for (series, column) in history.series.iter_mut().zip(&columns) {
                series.extend(std::iter::repeat_n(f64::NAN, usize::try_from(row - due).unwrap_or(0)));
                series.push(table.number_if_any(*column)?.unwrap_or(f64::NAN));
            }
        }
        history.events = history.read_events(folder)?;
        Ok(history)
    }

    /// `events.csv`, if it is there: `ts` and a column for every kind of event, 0 or empty for none. A column `name`
    /// stands for a kind of event for each name. Times off the grid, or before the history, are left out.
    fn read_events(&self, folder: &Path) -> Result<Vec<Vec<f64>>, EvaluateError> {
        if files::find(folder, "events.csv").is_none() {
            return Ok(vec![]);
        }
        let mut table = Table::open(folder, "events.csv")?;
        let ts = table.column("ts")?;
        let name = table.column_if_any("name");
        let kinds: Vec<String> = table.header().iter().filter(|n| *n != "ts" && *n != "name").cloned().collect();
        let columns = kinds.iter().map(|kind| table.column(kind)).collect::<Result<Vec<_>, _>>()?;
        let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut clock = Clock::default();
        while table.next_row()? {
            let row = self.grid.row(&clock.read(&table, ts)?).ok_or_else(|| table.wrong(ts, OFF_THE_GRID))?;
            let Some(at) = usize::try_from(row - self.start).ok().filter(|at| *at < ROWS_MAX) else { continue };
            let mut put = |kind: String, value: f64| {
                let values = found.entry(kind).or_default();
                values.resize(values.len().max(at + 1), 0.0);
                values[at] = value;
            };
            for (kind, column) in kinds.iter().zip(&columns) {
                if let Some(value) = table.number_if_any(*column)? {
                    put(format!("column {kind}"), value);
                }
            }
            if let Some(name) = name.map(|name| table.text(name)).filter(|name| !name.is_empty()) {
                put(format!("name {name}"), 1.0);
            }
        }
        Ok(found.into_values().collect())
    }

    /// What was known at `origin`.
    fn before(&self, origin: i64) -> Result<Panel, EvaluateError> {
        let length = usize::try_from(origin - self.start).unwrap_or(0);
        if length > ROWS_MAX {
            let start = self.grid.text(self.start);
            let problem = format!("it begins {start}, more than {ROWS_MAX} rows before an origin");
            return Err(EvaluateError::File { file: self.file.clone(), problem });
        }
        let cut = |series: &Vec<f64>| {
            let mut cut = series[..length.min(series.len())].to_vec();
            // A history that ends before its origin has a gap there.
            cut.resize(length, f64::NAN);
            cut
        };
        let series = self.series.iter().map(cut).collect();
        let wrong = |e: demand::DemandError| EvaluateError::File { file: self.file.clone(), problem: e.to_string() };
        Panel::new(self.grid.unit.step(), Some(self.start), series).map_err(wrong)
    }
}
