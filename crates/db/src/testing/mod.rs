//! A real database for every test.
//!
//! All test programs of one account share a cluster without fsync under the temporary folder; whoever
//! comes first starts it, and it stops by itself some minutes after the last test program has gone. The
//! migrations run once into a template, named by what they contain, and each test gets a copy of it that
//! is dropped with its [`TestDb`].

mod canary;
mod shared_cluster;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::migrations::migrations_digest;
use crate::{Database, DatabaseConfig, PoolSizes, migrate, roles};
pub use canary::{Sighting, find_canaries, find_in};
use shared_cluster::SharedCluster;

/// Small, because many tests of many programs share one server.
const POOLS: PoolSizes = PoolSizes { app: 12, vault: 3, owner: 2, audit: 3 };

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A migrated database of its own for one test. Dropped with the value, even when the test fails.
#[derive(Debug)]
pub struct TestDb {
    database: Database,
    config: DatabaseConfig,
    name: String,
}

impl TestDb {
    /// # Panics
    /// If there is no PostgreSQL or it does not start: a test that cannot have its database has failed.
    pub async fn new() -> TestDb {
        TestDb::with_pools(POOLS).await
    }

    /// As [`TestDb::new`], for tests that need more connections than usual.
    ///
    /// # Panics
    /// As [`TestDb::new`].
    pub async fn with_pools(pools: PoolSizes) -> TestDb {
        let made = create(pools).await;
        made.unwrap_or_else(|error| panic!("no test database: {error:#}"))
    }

    pub fn db(&self) -> &Database {
        &self.database
    }

    pub fn app(&self) -> &PgPool {
        self.database.app()
    }

    pub fn vault(&self) -> &PgPool {
        self.database.vault()
    }

    pub fn owner(&self) -> &PgPool {
        self.database.owner()
    }

    pub fn auditor(&self) -> &PgPool {
        self.database.auditor()
    }

    /// How to reach this database from another program or another pool.
    pub fn config(&self) -> &DatabaseConfig {
        &self.config
    }

    /// The address of this database, for a program that is told it in its settings.
    pub fn url(&self) -> String {
        self.config.url()
    }

    /// A connection as superuser, for tests that tamper with what no role of Hunch may touch.
    ///
    /// # Panics
    /// If the server is gone.
    pub async fn superuser(&self) -> PgConnection {
        let cluster = SharedCluster::get().unwrap_or_else(|error| panic!("no test cluster: {error:#}"));
        let options = cluster.superuser().database(&self.name);
        PgConnection::connect_with(&options).await.unwrap_or_else(|error| panic!("no superuser connection: {error}"))
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let name = self.name.clone();
        // Drop is not async and may run on a runtime's own thread, so the work gets a thread and a runtime.
        let dropper = thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&SharedCluster::get()?.superuser()).await?;
                drop_database(&mut connection, &name).await?;
                connection.close().await?;
                Ok(())
            })
        });
        // What could not be dropped now is swept by a later test program.
        dropper.join().ok();
    }
}

async fn create(pools: PoolSizes) -> anyhow::Result<TestDb> {
    // The first call starts a server, which blocks for up to a second.
    let cluster = tokio::task::spawn_blocking(SharedCluster::get).await??;
    let template = template(cluster).await?;
    let name = format!("t_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect_with(&cluster.superuser()).await?;
    drop_database(&mut connection, &name).await?; // of a process that had our id before
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log OWNER hunch_owner");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    let config = DatabaseConfig::on_socket(cluster.socket_folder(), cluster.port(), &name).with_pools(pools);
    let database = Database::connect(&config).await?;
    Ok(TestDb { database, config, name })
}

/// The name of the template for the migrations this program carries, made if it is not there yet.
async fn template(cluster: &SharedCluster) -> anyhow::Result<String> {
    let name = format!("template_{}", migrations_digest());
    let mut connection = PgConnection::connect_with(&cluster.superuser()).await?;
    // One builder at a time over all programs; the others wait here and then find it made.
    sqlx::query("SELECT pg_advisory_lock(7265417)").execute(&mut connection).await?;
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await?;
    if !there {
        build_template(cluster, &mut connection, &name).await?;
    }
    connection.close().await?; // releases the lock
    Ok(name)
}

async fn build_template(cluster: &SharedCluster, connection: &mut PgConnection, name: &str) -> anyhow::Result<()> {
    let building = format!("{name}_building");
    roles::create_roles(connection).await?;
    drop_database(connection, &building).await?;
    let sql = format!("CREATE DATABASE {building} TEMPLATE template0 OWNER hunch_owner");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    let config = DatabaseConfig::on_socket(cluster.socket_folder(), cluster.port(), &building);
    let database = Database::connect(&config).await?;
    migrate(database.owner(), 8, false).await?;
    database.close().await;
    // A connection that has just been closed may take a moment to leave; only then can it be renamed.
    let sql = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{building}' AND pid <> pg_backend_pid()"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    let sql = format!("ALTER DATABASE {building} RENAME TO {name}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    let sql = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    Ok(())
}

async fn drop_database(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
