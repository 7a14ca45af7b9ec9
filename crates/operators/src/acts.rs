//! What operators did. The rows are written by triggers, see `migrations/0180_operators.sql`.

use hunch_db::columns::wall_time;
use hunch_kernel::WallTime;
use serde_json::Value;
use sqlx::{PgPool, Row};

/// Something that an operator did, or somebody with a database role of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// In the order in which they were kept.
    pub number: i64,
    /// The operator's name; a database role where the statement named nobody.
    pub operator: String,
    /// A stable word, such as `terminal`.
    pub what: String,
    /// Id of what was made or changed.
    pub subject: String,
    /// The columns that changed, as they were; `None` when it was made.
    pub before: Option<Value>,
    pub after: Value,
    pub at: WallTime,
}

/// The newest acts before the act with number `before`, newest first, of all or of one subject.
///
/// # Errors
/// When the database fails.
pub async fn acts(
    pool: &PgPool,
    subject: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Act>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT act, operator, what, subject, before, after, at FROM operators.act
         WHERE ($1::text IS NULL OR subject = $1) AND act < coalesce($2, 9223372036854775807) ORDER BY act DESC LIMIT $3",
    )
    .bind(subject)
    .bind(before)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Act {
                number: row.try_get(0)?,
                operator: row.try_get(1)?,
                what: row.try_get(2)?,
                subject: row.try_get(3)?,
                before: row.try_get(4)?,
                after: row.try_get(5)?,
                at: wall_time(row, 6)?,
            })
        })
        .collect()
}
