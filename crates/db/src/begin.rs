//! Transactions that begin safely whoever stops waiting.

use sqlx::{PgPool, Postgres, Transaction};

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
