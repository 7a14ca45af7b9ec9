//! Transactions that begin safely whoever stops waiting.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};

/// Begins a transaction. Use this and not `PgPool::begin`: sqlx 0.9 counts a transaction only after the server has
/// answered to `BEGIN`. Whoever is dropped in between (a caller that hung up, a job that was stopped) gives the
/// connection back with a transaction open that nobody ends, and the next user's writes vanish in it. Here the answer
/// is always awaited; if nobody wants the transaction any more, it is rolled back.
///
/// # Errors
/// As `PgPool::begin`.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    let begun = tokio::spawn(async move { pool.begin().await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// As [`begin`], for what an operator does: the tables that keep operators' acts keep this name with what is changed.
///
/// # Errors
/// As [`begin`].
pub async fn begin_as(pool: &PgPool, operator: &str) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut tx = begin(pool).await?;
    acts_as(&mut tx, operator).await?;
    Ok(tx)
}

/// Says in a transaction which operator acts, until it ends.
///
/// # Errors
/// When the database fails.
pub async fn acts_as(conn: &mut PgConnection, operator: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('hunch.operator', $1, true)").bind(operator).execute(conn).await?;
    Ok(())
}
