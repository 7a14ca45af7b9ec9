//! Times as data write them: a date, a date with a time, and either with a `Z` or an offset from Greenwich.
//!
//! A time that names its offset is a moment, and the same moment is read the same however it is written: it is taken to
//! Greenwich. One that names none is local to wherever the data are from, and stays as it is. A file that mixes both is
//! refused, for nobody could say which of two such times came first.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use crate::EvaluateError;
use crate::files::{Column, Table};
use crate::tasks::Run;

/// A time as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// What a clock on the spot showed; midnight where no time of day is written.
    pub local: DateTime,
    /// None where none is written.
    pub offset: Option<Offset>,
    /// Whether a time of day is written.
    pub timed: bool,
}

impl Written {
    /// None for what is no date and no time.
    pub fn read(text: &str) -> Option<Written> {
        let text = text.trim();
        // A year of six digits begins with its sign.
        let width = if text.starts_with(['+', '-']) { 13 } else { 10 };
        if let Some(date) = text.parse::<Date>().ok().filter(|_| text.len() <= width) {
            return Some(Written { local: date.at(0, 0, 0, 0), offset: None, timed: false });
        }
        let (date, clock) = text.split_at_checked(width)?;
        let clock = clock.strip_prefix([' ', 'T', 't'])?.trim_start();
        let (clock, offset) = match clock.find(['Z', 'z', '+', '-']) {
            Some(at) => (clock[..at].trim_end(), Some(offset(&clock[at..])?)),
            None => (clock, None),
        };
        let local = format!("{date}T{clock}").parse::<DateTime>().ok()?;
        Some(Written { local, offset, timed: true })
    }

    /// Local to Greenwich where the offset is known, else as it is.
    pub fn moment(&self) -> Option<DateTime> {
        let Some(offset) = self.offset else { return Some(self.local) };
        Some(offset.to_timestamp(self.local).ok()?.to_zoned(TimeZone::UTC).datetime())
    }
}

/// `Z`, `+02`, `+0200` or `+02:00`.
fn offset(text: &str) -> Option<Offset> {
    if text.eq_ignore_ascii_case("z") {
        return Some(Offset::UTC);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (digits.parse::<i32>().ok()?, 0),
        4 => (digits[..2].parse().ok()?, digits[2..].parse::<i32>().ok()?),
        _ => return None,
    };
    (hours <= 25 && minutes < 60).then(|| Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok())?
}

/// The clock of one file, by which its times are read one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// Whether its times name their offsets; None before the first that has a time of day.
    zoned: Option<bool>,
}

impl Clock {
    /// # Errors
    /// `Cell` for what is no date and no time, and for a time that names its offset among others that do not.
    pub fn read(&mut self, table: &Table, column: Column) -> Result<Written, EvaluateError> {
        let written = Written::read(table.text(column))
            .ok_or_else(|| table.wrong(column, "a date is needed here, with or without a time"))?;
        if written.timed && *self.zoned.get_or_insert(written.offset.is_some()) != written.offset.is_some() {
            return Err(table.wrong(column, "some times of this file name their offset from Greenwich and some do not"));
        }
        Ok(written)
    }

    /// As [`Clock::read`]: the moment, see [`Written::moment`].
    ///
    /// # Errors
    /// As [`Clock::read`].
    pub fn moment(&mut self, table: &Table, column: Column) -> Result<DateTime, EvaluateError> {
        let written = self.read(table, column)?;
        written.moment().ok_or_else(|| table.wrong(column, "this time is out of range"))
    }
}

/// Rows of a file whose clock stepped back: one is earlier than the row above it, though it stands below.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StepsBack {
    last: Option<f64>,
    first: Option<u64>,
    count: usize,
}

impl StepsBack {
    /// The time of the row in `line`, or that of the row above where it would be earlier.
    pub fn onward(&mut self, at: f64, line: u64) -> f64 {
        let onward = self.since(self.last.unwrap_or(at), at, line);
        *self.last.insert(onward)
    }

    /// The time of the row in `line`, or `last` where it would be earlier than that.
    pub fn since(&mut self, last: f64, at: f64, line: u64) -> f64 {
        if at < last {
            self.first.get_or_insert(line);
            self.count += 1;
        }
        at.max(last)
    }

    /// Says it of the file called `name`, if it was so.
    pub fn say(&self, name: &str, run: &Run<'_>) {
        if let Some(line) = self.first {
            let times = self.count;
            run.say(format_args!(
                "{name}: its clock steps back {times} times, first in line {line}; its rows are read in the order in which they \
                 stand"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Option<String> {
        Written::read(text)?.moment().map(|moment| moment.to_string())
    }

    #[test]
    fn the_same_moment_is_read_the_same_however_it_is_written() {
        for text in [
            "2024-07-02T03:30:00Z",
            "2024-07-02 03:30Z",
            "2024-07-01T23:30:00-04:00",
            "2024-07-01 23:30:00-0400",
            "2024-07-02T05:30+02",
            "2024-07-02 09:00:00 +05:30",
            "2024-07-02 03:30",
            "2024-07-02T03:30:00.000",
        ] {
            assert_eq!(moment(text).as_deref(), Some("2024-07-02T03:30:00"), "{text}");
        }
        assert_eq!(moment("2024-07-02").as_deref(), Some("2024-07-02T00:00:00"));
        assert_eq!(moment("-009999-01-02"), moment("-009999-01-02 00:00:00"));
        assert!(moment("-009999-01-02").is_some());
    }

    #[test]
    fn a_clock_that_steps_back_stands_until_it_is_caught_up_with() {
        let mut steps = StepsBack::default();
        let told: Vec<f64> = (1..).zip([1.0, 4.0, 2.0, 3.0, 5.0]).map(|(line, at)| steps.onward(at, line)).collect();
        assert_eq!(told, [1.0, 4.0, 4.0, 4.0, 5.0]);
        assert_eq!((steps.first, steps.count), (Some(3), 2));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "soon",
            "2024-13-01",
            "2024-07-02T",
            "2024-07-02T25:00",
            "2024-07-02 03:30+2",
            "2024-07-02+02:00",
            "ä024-07-02 03:30",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
