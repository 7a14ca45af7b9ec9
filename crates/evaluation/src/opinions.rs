//! Streams of opinions: forecasts or orders, and resolutions between them.

use std::collections::HashMap;

use hunch_learning::chances::{Forecast, Order, Side};
use jiff::civil::Date;

use crate::EvaluateError;
use crate::clock::{Clock, StepsBack};
use crate::files::{Column, Table};

/// One row of a stream.
pub struct Row {
    /// Its number, as the file writes it.
    pub number: u64,
    pub event: Event,
}

pub enum Event {
    Forecast(Forecast),
    Order(Order),
    Resolution { at_days: f64, of: u64, yes: bool },
}

impl Row {
    pub fn at_days(&self) -> f64 {
        match &self.event {
            Event::Forecast(forecast) => forecast.at_days,
            Event::Order(order) => order.at_days,
            Event::Resolution { at_days, .. } => *at_days,
        }
    }
}

/// Numbers for names, in the order in which they turn up, kept over several files.
#[derive(Default)]
pub struct Names(HashMap<String, u64>);

impl Names {
    pub fn number(&mut self, name: &str) -> u64 {
        if let Some(&known) = self.0.get(name) {
            return known;
        }
        let next = self.0.len() as u64;
        self.0.insert(name.to_owned(), next);
        next
    }
}

/// The names of one stream and of the files beside it.
#[derive(Default)]
pub struct Register {
    pub people: Names,
    /// Questions; contracts in a stream of orders.
    pub questions: Names,
    markets: Names,
    venues: Names,
}

/// A stream of either form: forecasts have a column `question`, orders a column `contract`.
pub struct Stream {
    table: Table,
    columns: Columns,
    clock: Clock,
    /// Whether its times ever went back; what went back is told as it stood before.
    pub steps_back: StepsBack,
}

enum Columns {
    Forecasts { row: Column, t: Column, kind: Column, user: Column, question: Column, value: Column, closes: Column },
    Orders(Box<OrderColumns>),
}

struct OrderColumns {
    row: Column,
    t: Column,
    kind: Column,
    venue: Column,
    user: Column,
    market: Column,
    contract: Column,
    side: Column,
    price: Column,
    quantity: Column,
    filled: Column,
    result: Column,
}

impl Stream {
    pub fn new(table: Table) -> Result<Stream, EvaluateError> {
        let (row, t, kind, user) =
            (table.column("row")?, table.column("t")?, table.column("kind")?, table.column("user")?);
        let columns = if let Some(contract) = table.column_if_any("contract") {
            Columns::Orders(Box::new(OrderColumns {
                row,
                t,
                kind,
                venue: table.column("venue")?,
                user,
                market: table.column("market")?,
                contract,
                side: table.column("side")?,
                price: table.column("price")?,
                quantity: table.column("quantity")?,
                filled: table.column("filled")?,
                result: table.column("result")?,
            }))
        } else {
            let (question, value) = (table.column("question")?, table.column("value")?);
            Columns::Forecasts { row, t, kind, user, question, value, closes: table.column("closes")? }
        };
        Ok(Stream { table, columns, clock: Clock::default(), steps_back: StepsBack::default() })
    }

    /// The next row, or None at the end.
    pub fn next(&mut self, names: &mut Register) -> Result<Option<Row>, EvaluateError> {
        let Stream { table, clock, steps_back, .. } = self;
        if !table.next_row()? {
            return Ok(None);
        }
        let (number, event) = match &self.columns {
            Columns::Forecasts { row, t, kind, user, question, value, closes } => {
                let at_days = steps_back.onward(moment(clock, table, *t)?, table.line());
                let of = names.questions.number(filled(table, *question)?);
                let event = match table.text(*kind) {
                    "F" => Event::Forecast(Forecast {
                        at_days,
                        person: names.people.number(filled(table, *user)?),
                        question: of,
                        probability: table.number(*value)?,
                        closes_days: day_end(table, *closes)?,
                    }),
                    "R" => Event::Resolution { at_days, of, yes: outcome(table, *value)? },
                    _ => return Err(table.wrong(*kind, "F or R is needed here")),
                };
                (table.whole(*row)?, event)
            }
            Columns::Orders(columns) => {
                let at_days = steps_back.onward(moment(clock, table, columns.t)?, table.line());
                let of = names.questions.number(filled(table, columns.contract)?);
                let event = match table.text(columns.kind) {
                    "O" => Event::Order(order(table, columns, at_days, of, names)?),
                    "R" => Event::Resolution { at_days, of, yes: outcome(table, columns.result)? },
                    _ => return Err(table.wrong(columns.kind, "O or R is needed here")),
                };
                (table.whole(columns.row)?, event)
            }
        };
        Ok(Some(Row { number, event }))
    }

    /// An error about the row last read.
    pub fn wrong(&self, problem: &str) -> EvaluateError {
        EvaluateError::File {
            file: self.table.file().to_owned(),
            problem: format!("line {}: {problem}", self.table.line()),
        }
    }

    /// An error about what a model found wrong with the row last read.
    pub fn refused(&self, error: &hunch_learning::chances::ChanceError) -> EvaluateError {
        use hunch_learning::chances::ChanceError;
        let (value, amount) = match &self.columns {
            Columns::Forecasts { value, .. } => (*value, *value),
            Columns::Orders(columns) => (columns.price, columns.quantity),
        };
        let t = match &self.columns {
            Columns::Forecasts { t, .. } => *t,
            Columns::Orders(columns) => columns.t,
        };
        let column = match error {
            ChanceError::Probability(_) => value,
            ChanceError::Amount(_) => amount,
            ChanceError::Time | ChanceError::Order(_) => t,
        };
        self.table.wrong(column, &error.to_string())
    }
}

fn order(
    table: &Table,
    columns: &OrderColumns,
    at_days: f64,
    contract: u64,
    names: &mut Register,
) -> Result<Order, EvaluateError> {
    let side = match table.text(columns.side) {
        "buy" => Side::Buy,
        "sell" => Side::Sell,
        _ => return Err(table.wrong(columns.side, "buy or sell is needed here")),
    };
    Ok(Order {
        at_days,
        venue: names.venues.number(table.text(columns.venue)),
        person: names.people.number(filled(table, columns.user)?),
        market: names.markets.number(filled(table, columns.market)?),
        contract,
        side,
        price: table.number(columns.price)?,
        quantity: table.number(columns.quantity)?,
        filled: table.number_if_any(columns.filled)?.unwrap_or(0.0),
    })
}

fn filled(table: &Table, column: Column) -> Result<&str, EvaluateError> {
    match table.text(column) {
        "" => Err(table.wrong(column, "a name or number is needed here")),
        text => Ok(text),
    }
}

fn outcome(table: &Table, column: Column) -> Result<bool, EvaluateError> {
    match table.number(column)? {
        0.0 => Ok(false),
        1.0 => Ok(true),
        _ => Err(table.wrong(column, "0 or 1 is needed here")),
    }
}

/// `2008-06-20 03:46` (seconds, a `T` and an offset are taken too) as days since 1970.
pub fn moment(clock: &mut Clock, table: &Table, column: Column) -> Result<f64, EvaluateError> {
    let time = clock.moment(table, column)?;
    let seconds = f64::from(time.hour()) * 3600.0 + f64::from(time.minute()) * 60.0 + f64::from(time.second());
    Ok(day_number(time.date()) + seconds / 86_400.0)
}

/// The end of a day; None for an empty field.
fn day_end(table: &Table, column: Column) -> Result<Option<f64>, EvaluateError> {
    let text = table.text(column);
    if text.is_empty() {
        return Ok(None);
    }
    let day: Date = text.parse().map_err(|_| table.wrong(column, &format!("{text:?} is not a date")))?;
    Ok(Some(day_number(day) + 1.0))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; source: Hinnant, `days_from_civil`.
fn day_number(date: Date) -> f64 {
    let (year, month, day) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        for (text, days) in [("1970-01-01", 0.0), ("2000-03-01", 11_017.0), ("2017-12-31", 17_531.0)] {
            assert_eq!(day_number(text.parse().unwrap()), days);
        }
    }
}
