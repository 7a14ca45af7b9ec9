//! Which refusals of the database are for ever: the same statement will meet them again, however often it is sent.

use std::error::Error;

/// Whether the database will refuse the same statement again: what was to be written breaks a constraint, is out of
/// range, does not fit its column, or is not allowed; or what was read is not what the code can read.
pub fn is_permanent(error: &sqlx::Error) -> bool {
    match error {
        // Classes of SQLSTATE: 0A not supported, 21 cardinality, 22 data, 23 constraints, 42 names, syntax and rights,
        // 44 views, 54 limits of PostgreSQL, P0 raised by a function. Everything else may pass: connections, locks, disk.
        sqlx::Error::Database(refused) => refused.code().is_some_and(|code| {
            ["0A", "21", "22", "23", "42", "44", "54", "P0"].iter().any(|class| code.starts_with(class))
        }),
        sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

/// As [`is_permanent`], for an error that has the database's somewhere below it.
pub fn has_permanent_cause(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<sqlx::Error>() {
            return is_permanent(refused);
        }
        cause = error.source();
    }
    false
}
