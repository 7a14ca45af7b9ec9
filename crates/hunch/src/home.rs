//! The database of this programme: the operator's own, or a private one that lives and dies with us.

use anyhow::Context;
use hunch_db::cluster::{ClusterConfig, PrivateCluster};
use hunch_db::{Database, DatabaseConfig, PoolSizes, migrate};

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
                let folder = settings.folder().join("postgres");
                let folder = std::path::absolute(&folder).with_context(|| folder.display().to_string())?;
                let cluster = PrivateCluster::start(&ClusterConfig::new(folder)).context("the private PostgreSQL")?;
                (cluster.database_config(), Some(cluster))
            }
            url => (DatabaseConfig::from_url(url)?, None),
        };
        let database = Database::connect(&config.with_pools(pools)).await?;
        migrate(database.owner()).await?;
        Ok(Home { database, cluster })
    }

    /// How the private server came to run, for the log; `None` for the operator's own.
    pub fn how_started(&self) -> Option<String> {
        self.cluster.as_ref().map(|c| format!("{:?}, PostgreSQL {}", c.how_started(), c.binaries().version))
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
