//! The four database roles and how a cluster gets them.

use sqlx::{Connection, PgConnection};

/// A role that Hunch connects as. Each has a pool of its own in [`crate::Database`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Owns every table. Migrations only.
    Owner,
    /// The application: no access to `vault`, and on each table only what the migration granted.
    App,
    /// The only role that reads and writes personal data, and nothing else.
    Vault,
    /// Reads everything but the vault. Writes nothing.
    Audit,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Owner, Role::App, Role::Vault, Role::Audit];

    /// The name in PostgreSQL.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Owner => "hunch_owner",
            Role::App => "hunch_app",
            Role::Vault => "hunch_vault",
            Role::Audit => "hunch_audit",
        }
    }
}

/// Run once per cluster by a superuser. Safe to repeat. Roles made here have no password: a private
/// cluster lets them in by the peer's account; on a shared server the operator sets passwords.
pub const CREATE_ROLES_SQL: &str = "
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['hunch_owner', 'hunch_app', 'hunch_vault', 'hunch_audit'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT', name);
        END IF;
    END LOOP;
END $$;
ALTER ROLE hunch_audit SET default_transaction_read_only = on;
";

/// Makes the roles that are missing.
///
/// # Errors
/// Whatever PostgreSQL says, most likely that `superuser` may not make roles.
pub async fn create_roles(superuser: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut tx = superuser.begin().await?;
    // Two starters at once would both find a role missing; the lock lets the second see the first's work.
    sqlx::query("SELECT pg_advisory_xact_lock(7265416)").execute(&mut *tx).await?;
    sqlx::raw_sql(CREATE_ROLES_SQL).execute(&mut *tx).await?;
    tx.commit().await
}

/// The names of the roles that the server lacks.
pub(crate) async fn missing_roles(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let names: Vec<String> = Role::ALL.iter().map(|role| role.name().to_owned()).collect();
    sqlx::query_scalar(
        "SELECT name FROM UNNEST($1::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)",
    )
    .bind(names)
    .fetch_all(connection)
    .await
}
