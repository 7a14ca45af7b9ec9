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

use hunch_db::columns::{maybe_time, maybe_wall_time, strange, time, wall_time};
use hunch_kernel::{Price, Side};
use sqlx::Row;
use sqlx::postgres::PgRow;

pub(crate) type Result<T> = std::result::Result<T, sqlx::Error>;

fn price(row: &PgRow, column: &str) -> Result<Price> {
    Price::from_micros(row.try_get(column)?).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

fn side(row: &PgRow) -> Result<Side> {
    let word: &str = row.try_get("side")?;
    word.parse().map_err(|_| strange("side", word))
}
