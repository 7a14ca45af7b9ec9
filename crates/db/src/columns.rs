//! Reading columns as the rest of the programme knows them.

use hunch_kernel::WallTime;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex, Row};

/// # Errors
/// When there is no such column, or no time in it.
pub fn time(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<Timestamp, sqlx::Error> {
    Ok(row.try_get::<jiff_sqlx::Timestamp, _>(column)?.to_jiff())
}

/// # Errors
/// When there is no such column, or neither a time nor nothing in it.
pub fn maybe_time(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Of a column that holds wall time.
///
/// # Errors
/// When there is no such column, or no time in it.
pub fn wall_time(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<WallTime, sqlx::Error> {
    time(row, column).map(WallTime::from_timestamp)
}

/// Of a column that holds wall time.
///
/// # Errors
/// When there is no such column, or neither a time nor nothing in it.
pub fn maybe_wall_time(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<Option<WallTime>, sqlx::Error> {
    Ok(maybe_time(row, column)?.map(WallTime::from_timestamp))
}

/// Wall time as a parameter of a statement.
pub trait WallToSqlx {
    fn to_sqlx(self) -> jiff_sqlx::Timestamp;
}

impl WallToSqlx for WallTime {
    fn to_sqlx(self) -> jiff_sqlx::Timestamp {
        self.to_timestamp().to_sqlx()
    }
}

/// The error of a word in a column that this programme does not know.
pub fn strange(what: &str, value: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} {value} is not known").into())
}
