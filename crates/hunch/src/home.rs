//! The database of this programme: the operator's own, or a private one that lives and dies with us.

use anyhow::{Context, ensure};
use std::path::PathBuf;

use hunch_db::cluster::{ClusterConfig, PrivateCluster, reachable_folder};
use hunch_db::{Database, DatabaseConfig, PoolSizes, is_migrated, migrate};
use hunch_kernel::SHARDS_MAX;

use crate::settings::Settings;

/// An open database with its schema up to date, and the private server behind it, if any.
pub struct Home {
    pub database: Database,
    cluster: Option<PrivateCluster>,
}

impl Home {
    /// Starts what must be started, connects and migrates. Blocks for up to a second the first time.
    ///
    /// # Errors
    /// One sentence about what is missing or in the way.
    pub async fn open(settings: &Settings, pools: PoolSizes) -> anyhow::Result<Home> {
        let (config, cluster) = match settings.text("database.url") {
            "" => {
                let folder = cluster_folder(settings)?;
                let cluster = PrivateCluster::start(&ClusterConfig::new(folder)).context("the private PostgreSQL")?;
                (cluster.database_config(), Some(cluster))
            }
            url => (DatabaseConfig::from_url(url)?, None),
        };
        let database = Database::connect(&config.with_pools(pools)).await?;
        migrate(database.owner(), shards(settings)?, settings.parsed("sandbox.create")?).await?;
        Ok(Home { database, cluster })
    }

    /// As [`Home::open`], but of a programme that exists: for commands that look and leave. A private server that
    /// another process runs is visited, not refused, and its schema taken as it is.
    ///
    /// # Errors
    /// As [`Home::open`], and when there is no programme.
    pub async fn visit(settings: &Settings, pools: PoolSizes) -> anyhow::Result<Home> {
        match settings.text("database.url") {
            "" => {
                if let Some(config) = PrivateCluster::join(&cluster_folder(settings)?) {
                    let database = Database::connect(&config.with_pools(pools)).await?;
                    return Ok(Home { database, cluster: None });
                }
                must_be_there(settings)?;
            }
            url => must_be_on_server(url).await?,
        }
        Home::open(settings, pools).await
    }

    /// As [`Home::visit`], and the database is left as it is found. `None` where there is no programme yet.
    ///
    /// # Errors
    /// As [`Home::open`].
    pub async fn look(settings: &Settings, pools: PoolSizes) -> anyhow::Result<Option<Home>> {
        let (config, cluster) = match settings.text("database.url") {
            "" => {
                let folder = cluster_folder(settings)?;
                if !folder.join("data/PG_VERSION").is_file() {
                    return Ok(None);
                }
                match PrivateCluster::join(&folder) {
                    Some(config) => (config, None),
                    None => {
                        let cluster =
                            PrivateCluster::start(&ClusterConfig::new(folder)).context("the private PostgreSQL")?;
                        (cluster.database_config(), Some(cluster))
                    }
                }
            }
            url => (DatabaseConfig::from_url(url)?, None),
        };
        let database = Database::connect(&config.with_pools(pools)).await?;
        Ok(Some(Home { database, cluster }))
    }

    /// How the private server came to run, for the log; `None` for the operator's own.
    pub fn how_started(&self) -> Option<String> {
        self.cluster.as_ref().map(|c| format!("{:?}, PostgreSQL {}", c.how_started(), c.binaries().version))
    }

    /// Starts the private server again if it has died. True if it had.
    ///
    /// # Errors
    /// When it does not start.
    pub fn recover_if_dead(&mut self) -> anyhow::Result<bool> {
        self.cluster.as_mut().map_or(Ok(false), |c| Ok(c.recover_if_dead()?))
    }

    /// Closes the pools, then stops the private server in order.
    ///
    /// # Errors
    /// When the server does not stop.
    pub async fn close(self) -> anyhow::Result<()> {
        self.database.close().await;
        match self.cluster {
            Some(cluster) => Ok(cluster.stop()?),
            None => Ok(()),
        }
    }
}

/// Refuses a folder in which no programme was ever started, before anything is made there. Of a server that an operator
/// runs nothing is asked.
///
/// # Errors
/// Where a programme was looked for, and how to name another place.
pub fn must_be_there(settings: &Settings) -> anyhow::Result<()> {
    let there = !settings.text("database.url").is_empty() || PrivateCluster::is_made(&cluster_folder(settings)?);
    ensure!(
        there,
        "there is no programme in {}: `hunch serve` or `hunch demo` makes one; if yours is elsewhere, go to its folder, \
         or name it with database.folder, or your settings file with --config",
        settings.folder().display()
    );
    Ok(())
}

async fn must_be_on_server(url: &str) -> anyhow::Result<()> {
    let database = Database::connect(&DatabaseConfig::from_url(url)?).await?;
    let migrated = is_migrated(database.owner()).await;
    database.close().await;
    ensure!(
        migrated?,
        "there is no programme in the database that database.url names: `hunch serve` or `hunch migrate` makes one"
    );
    Ok(())
}

/// The cluster's folder of a programme whose own folder is `folder`.
pub fn reachable(folder: &std::path::Path) -> anyhow::Result<PathBuf> {
    Ok(reachable_folder(&folder.join("postgres"))?)
}

/// Beside keys and anchors, or where PostgreSQL's account can go if it cannot go there.
pub fn cluster_folder(settings: &Settings) -> anyhow::Result<PathBuf> {
    reachable(&settings.folder())
}

/// How many shards a new programme gets. Each is a writer, and a transaction costs almost the same for one purchase as
/// for ten: more writers than processors only make the transactions smaller.
fn shards(settings: &Settings) -> anyhow::Result<u16> {
    let wanted: u16 = settings.parsed("programme.shards")?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(if wanted == 0 { processors.min(usize::from(SHARDS_MAX)) as u16 } else { wanted })
}
