//! Four pools, one per role, and transactions that are tried again when PostgreSQL asks for it.

use std::{error::Error, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::roles::Role;

/// How long a caller waits for a free connection before the pool counts as exhausted.
const ACQUIRE_SECONDS_MAX: u64 = 3;
/// How often a named transaction runs before its last error is the caller's.
const TRANSACTION_ATTEMPTS_MAX: u32 = 6;

/// What can go wrong with the database as such. What a statement found out is the owning crate's to say.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database cannot be reached")]
    Connect(#[source] sqlx::Error),
    #[error(
        "the server does not let hunch_owner in; a superuser makes the roles with the SQL that \
         `hunch migrate --print-roles` prints and gives them passwords"
    )]
    NotLetIn(#[source] sqlx::Error),
    #[error("the database address is not understood")]
    Address(#[source] sqlx::Error),
    #[error(
        "the server lacks the roles {missing:?}; a superuser makes them with the SQL of `hunch migrate --print-roles`"
    )]
    RolesMissing { missing: Vec<String> },
    #[error("the schema could not be brought up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("the database refused a statement")]
    Storage(#[source] sqlx::Error),
}

/// Connections each pool may open. The sum over all processes must stay below `max_connections`.
#[derive(Debug, Clone, Copy)]
pub struct PoolSizes {
    pub app: u32,
    pub vault: u32,
    pub owner: u32,
    pub audit: u32,
}

impl Default for PoolSizes {
    fn default() -> PoolSizes {
        PoolSizes { app: 32, vault: 8, owner: 2, audit: 4 }
    }
}

/// Where the database is. The role's name replaces whatever user the address names.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    address: PgConnectOptions,
    pub pools: PoolSizes,
}

impl DatabaseConfig {
    /// A database that an operator runs. A password in `url` serves all four roles.
    ///
    /// # Errors
    /// [`DbError::Address`] if `url` is not a PostgreSQL address.
    pub fn from_url(url: &str) -> Result<DatabaseConfig, DbError> {
        let address = url.parse().map_err(DbError::Address)?;
        Ok(DatabaseConfig { address, pools: PoolSizes::default() })
    }

    /// A database behind a unix socket whose folder is `socket_folder`; the account decides who gets in.
    pub fn on_socket(socket_folder: &std::path::Path, port: u16, database: &str) -> DatabaseConfig {
        let address = PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .socket(socket_folder)
            .port(port)
            .database(database)
            .ssl_mode(sqlx::postgres::PgSslMode::Disable);
        DatabaseConfig { address, pools: PoolSizes::default() }
    }

    /// The same as an address for another program's settings. Passwords are left out.
    pub(crate) fn url(&self) -> String {
        let (host, port) = (self.address.get_host(), self.address.get_port());
        let name = self.address.get_database().unwrap_or_default();
        let socket = self.address.get_socket().map(|s| format!("?host={}", s.display())).unwrap_or_default();
        format!("postgres://hunch_owner@{host}:{port}/{name}{socket}")
    }

    #[must_use]
    pub fn with_pools(mut self, pools: PoolSizes) -> DatabaseConfig {
        self.pools = pools;
        self
    }

    fn options(&self, role: Role) -> PgConnectOptions {
        let options = self.address.clone().username(role.name()).application_name("hunch");
        match role {
            // An audit reads everything there is: its statements are long in text and in time, and no fault.
            Role::Audit => options.disable_statement_logging(),
            Role::App | Role::Vault | Role::Owner => options,
        }
    }

    fn pool(&self, role: Role, size: u32) -> PgPool {
        // Without the ping before each use a small query costs one round trip instead of two. A dead
        // connection is found by the statement itself, and named transactions try again.
        PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
            .test_before_acquire(false)
            .connect_lazy_with(self.options(role))
    }
}

/// The four ways into one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    app: PgPool,
    vault: PgPool,
    owner: PgPool,
    auditor: PgPool,
}

impl Database {
    /// Opens the pools and proves with one connection that the server is there. Works on a database
    /// that was never migrated; the other roles connect when first used.
    ///
    /// # Errors
    /// [`DbError::Connect`] if the server is not there, [`DbError::NotLetIn`] if it does not know the owner.
    pub async fn connect(config: &DatabaseConfig) -> Result<Database, DbError> {
        // Not through the pool, which would knock for half a minute where nobody is.
        let proof = PgConnection::connect_with(&config.options(Role::Owner)).await.map_err(refusal)?;
        proof.close().await.map_err(DbError::Connect)?;
        Ok(Database {
            app: config.pool(Role::App, config.pools.app),
            vault: config.pool(Role::Vault, config.pools.vault),
            owner: config.pool(Role::Owner, config.pools.owner),
            auditor: config.pool(Role::Audit, config.pools.audit),
        })
    }

    /// Role `hunch_app`: everything the application does.
    pub fn app(&self) -> &PgPool {
        &self.app
    }

    /// Role `hunch_vault`: personal data, and nothing else.
    pub fn vault(&self) -> &PgPool {
        &self.vault
    }

    /// Role `hunch_owner`: migrations only.
    pub fn owner(&self) -> &PgPool {
        &self.owner
    }

    /// Role `hunch_audit`: reads everything but the vault.
    pub fn auditor(&self) -> &PgPool {
        &self.auditor
    }

    /// Runs `work` in a transaction of the application role; see [`transaction`].
    ///
    /// # Errors
    /// What `work` returned, or the database error that outlived every attempt.
    pub async fn transaction<T, E, W, F>(&self, name: &'static str, work: W) -> Result<T, E>
    where
        W: FnMut(Tx) -> F,
        F: Future<Output = Result<(Tx, T), E>>,
        E: Error + From<sqlx::Error> + 'static,
    {
        transaction(&self.app, name, work).await
    }

    /// Closes every connection and waits for those in use to come back.
    pub async fn close(&self) {
        tokio::join!(self.app.close(), self.vault.close(), self.owner.close(), self.auditor.close());
    }
}

/// Class 28: no such role, wrong password, or no rule that lets it in.
fn refusal(error: sqlx::Error) -> DbError {
    let code = error.as_database_error().and_then(|refused| refused.code());
    if code.is_some_and(|code| code.starts_with("28")) { DbError::NotLetIn(error) } else { DbError::Connect(error) }
}

/// A transaction that owns its connection. Dropped, it is undone.
pub type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

/// Runs `work` in a transaction and commits it, and does both again when the database says that it may:
/// serialisation failure, deadlock, or a lost connection. `name` appears in the log. `work` hands the
/// transaction back with its result; that way the future is one plain type and can be spawned.
///
/// ```
/// # async fn example(pool: &sqlx::PgPool, id: i64) -> Result<i64, sqlx::Error> {
/// hunch_db::transaction(pool, "touch", |mut tx| async move {
///     let n = sqlx::query_scalar("UPDATE t SET n = n + 1 WHERE id = $1 RETURNING n").bind(id).fetch_one(&mut *tx).await?;
///     Ok((tx, n))
/// })
/// .await
/// # }
/// ```
///
/// `work` must be safe to run twice. A connection that dies during the commit leaves it unknown whether
/// the first run counted, so whatever must happen once needs a unique key of its own.
///
/// # Errors
/// What `work` returned, or the database error that outlived every attempt.
pub async fn transaction<T, E, W, F>(pool: &PgPool, name: &'static str, mut work: W) -> Result<T, E>
where
    W: FnMut(Tx) -> F,
    F: Future<Output = Result<(Tx, T), E>>,
    E: Error + From<sqlx::Error> + 'static,
{
    let mut attempt = 1;
    loop {
        let error = match attempt_once(pool, &mut work).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if attempt == TRANSACTION_ATTEMPTS_MAX || !worth_another_try(&error) {
            return Err(error);
        }
        tracing::debug!(transaction = name, attempt, error = %error, "transaction is tried again");
        tokio::time::sleep(Duration::from_millis(5 << attempt)).await;
        attempt += 1;
    }
}

async fn attempt_once<T, E, W, F>(pool: &PgPool, work: &mut W) -> Result<T, E>
where
    W: FnMut(Tx) -> F,
    F: Future<Output = Result<(Tx, T), E>>,
    E: From<sqlx::Error>,
{
    let (tx, value) = work(crate::begin(pool).await?).await?;
    tx.commit().await?;
    Ok(value)
}

/// Looks through the chain of causes for a database error that a second run may not meet.
fn worth_another_try(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(database) = current.downcast_ref::<sqlx::Error>() {
            return is_transient(database);
        }
        cause = current.source();
    }
    false
}

/// 40001 serialisation failure, 40P01 deadlock, 57P01-57P03 server stopping or starting, and any
/// connection that broke.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(refused) => {
            matches!(refused.code().as_deref(), Some("40001" | "40P01" | "57P01" | "57P02" | "57P03"))
                || refused.code().is_some_and(|code| code.starts_with("08"))
        }
        _ => false,
    }
}
