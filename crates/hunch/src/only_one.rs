//! One process serves a database. Several would each think that a member's session, a till or the queue of a shard is theirs alone.

use anyhow::{Context, ensure};
use hunch_db::Database;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// A number for this and nothing else among the database's advisory locks.
const LOCK: i64 = 0x4855_4e43_4853_5256;
/// One that was killed leaves its place when the database has noticed.
const WAIT: Duration = Duration::from_secs(10);
const TRY_EVERY: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After a break the place may still be held for a moment by our own connection of before, which the database has yet to miss.
const GIVE_UP_AFTER: Duration = Duration::from_secs(8);

/// The place, for as long as its connection lives.
pub struct OnlyOne {
    pool: PgPool,
    held: PoolConnection<Postgres>,
}

impl OnlyOne {
    /// Takes the place.
    ///
    /// # Errors
    /// When another process has it.
    pub async fn take(database: &Database) -> anyhow::Result<OnlyOne> {
        let begun = Instant::now();
        loop {
            if let Some(held) = try_take(database.app()).await.context("looking whether another process serves")? {
                return Ok(OnlyOne { pool: database.app().clone(), held });
            }
            ensure!(
                begun.elapsed() < WAIT,
                "another `hunch serve` or `hunch demo` serves this database already, and one at a time can; stop that one, or name \
                 another database with database.url or database.folder"
            );
            sleep(TRY_EVERY).await;
        }
    }

    /// Holds the place until told to stop, also over a restart of the database. Whoever has lost it to another process stops.
    pub async fn hold(mut self, stop: CancellationToken) {
        let mut lost: Option<Instant> = None;
        while stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
            if lost.is_none() && sqlx::query("SELECT 1").execute(&mut *self.held).await.is_ok() {
                continue;
            }
            match try_take(&self.pool).await {
                Ok(Some(held)) => (self.held, lost) = (held, None),
                Ok(None) if lost.get_or_insert_with(Instant::now).elapsed() >= GIVE_UP_AFTER => {
                    tracing::error!("another process serves this database now; this one stops");
                    stop.cancel();
                }
                Ok(None) => {}
                // The database is away: nobody serves it.
                Err(error) => tracing::warn!(error = error.to_string(), "the place of the one who serves is not held"),
            }
        }
        // With its lock, and not into the pool.
        drop(self.held.detach());
    }
}

async fn try_take(pool: &PgPool) -> Result<Option<PoolConnection<Postgres>>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let taken: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut *connection).await?;
    Ok(taken.then_some(connection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_db::testing::TestDb;

    #[tokio::test]
    async fn a_second_one_is_refused_until_the_first_has_gone() {
        let db = TestDb::new().await;
        let (first, stop) = (OnlyOne::take(db.db()).await.unwrap(), CancellationToken::new());
        assert!(try_take(db.app()).await.unwrap().is_none());
        let told = OnlyOne::take(db.db()).await.err().unwrap().to_string();
        assert!(told.contains("serves this database already"), "{told}");
        let holding = tokio::spawn(first.hold(stop.clone()));
        stop.cancel();
        holding.await.unwrap();
        OnlyOne::take(db.db()).await.unwrap();
    }

    /// The connection broke, as when the database was started again: the place is taken anew, and if somebody else was quicker,
    /// this one stops.
    #[tokio::test]
    async fn a_place_that_was_lost_is_taken_again_or_given_up() {
        let db = TestDb::new().await;
        let cut = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                   WHERE l.locktype = 'advisory' AND d.datname = current_database()";
        let stop = CancellationToken::new();
        let holding = tokio::spawn(OnlyOne::take(db.db()).await.unwrap().hold(stop.clone()));
        let mut superuser = db.superuser().await;
        sqlx::query(cut).execute(&mut superuser).await.unwrap();
        sleep(LOOK_EVERY + Duration::from_secs(1)).await;
        assert!(!stop.is_cancelled());
        assert!(try_take(db.app()).await.unwrap().is_none(), "it holds it again");

        sqlx::query(cut).execute(&mut superuser).await.unwrap();
        let other = OnlyOne::take(db.db()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), holding).await.unwrap().unwrap();
        assert!(stop.is_cancelled());
        drop(other);
    }
}
