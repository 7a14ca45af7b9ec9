//! Trading's SQL, one file per book.

mod books;
mod corrections;
mod figures;
mod hints;
mod orders;
mod positions;
mod quotes;

pub(crate) use books::*;
pub(crate) use corrections::*;
pub(crate) use figures::{figures, newest_results};
pub(crate) use hints::*;
pub(crate) use orders::*;
pub(crate) use positions::*;
pub(crate) use quotes::*;

use hunch_kernel::{Price, Side};
use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

pub(crate) type Result<T> = std::result::Result<T, sqlx::Error>;

fn strange(what: &str, value: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} {value} is not known").into())
}

fn price(row: &PgRow, column: &str) -> Result<Price> {
    Price::from_micros(row.try_get(column)?).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

fn side(row: &PgRow) -> Result<Side> {
    let word: &str = row.try_get("side")?;
    word.parse().map_err(|_| strange("side", word))
}

fn time(row: &PgRow, column: &str) -> Result<Timestamp> {
    Ok(row.try_get::<jiff_sqlx::Timestamp, _>(column)?.to_jiff())
}

fn maybe_time(row: &PgRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?.map(jiff_sqlx::Timestamp::to_jiff))
}
