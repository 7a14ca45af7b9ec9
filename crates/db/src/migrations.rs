//! The schema's history, embedded in the program.

use sqlx::{PgPool, migrate::Migrator};

use crate::{DbError, roles};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Brings the database to the newest schema. Safe to repeat and safe when several processes start at
/// once: they queue on PostgreSQL's advisory lock. A database that is new gets `shards` shards, 1 to 8, and is a
/// sandbox or not for ever; any other keeps what it has.
///
/// # Errors
/// [`DbError::RolesMissing`] if the cluster was never given its roles; [`DbError::Migrate`] if a
/// migration fails (its transaction is undone) or an applied one was edited afterwards.
pub async fn migrate(owner: &PgPool, shards: u16, sandbox: bool) -> Result<(), DbError> {
    let mut connection = owner.acquire().await.map_err(DbError::Connect)?;
    let missing = roles::missing_roles(&mut connection).await.map_err(DbError::Storage)?;
    if !missing.is_empty() {
        return Err(DbError::RolesMissing { missing });
    }
    sqlx::query("SELECT set_config('hunch.shards', $1, false), set_config('hunch.sandbox', $2, false)")
        .bind(shards.to_string())
        .bind(if sandbox { "on" } else { "off" })
        .execute(&mut *connection)
        .await
        .map_err(DbError::Storage)?;
    MIGRATOR.run(&mut *connection).await.map_err(DbError::Migrate)
}

/// Whether a programme was ever made in this database. Changes nothing.
///
/// # Errors
/// [`DbError::Storage`] if the database does not answer.
pub async fn is_migrated(owner: &PgPool) -> Result<bool, DbError> {
    let known = sqlx::query_scalar("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL");
    known.fetch_one(owner).await.map_err(DbError::Storage)
}

/// Sixteen hex digits that change whenever any migration does. Names the template database of tests.
pub fn migrations_digest() -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for migration in MIGRATOR.iter() {
        context.update(&migration.version.to_be_bytes());
        context.update(&migration.checksum);
    }
    hex::encode(&context.finish().as_ref()[..8])
}
