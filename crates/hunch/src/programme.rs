//! All parts wired together, and the loops that drive them. The only place where tasks are spawned.

use anyhow::Context;
use hunch_db::Database;
use hunch_http::{App, OperatorKey, Readiness};
use hunch_kernel::{Clocks, Shard, SharedEntropy, SystemEntropy};
use hunch_ledger::Batcher;
use hunch_log::Tail;
use hunch_loyalty::{CodeKey, Directory, PurchaseHandler, Purchases, ReturnHandler, TerminalSessions};
use hunch_people::People;
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::secrets::secret;
use crate::settings::Settings;

/// How often the heads of the log are written to the anchor file.
const ANCHOR_SECONDS: u64 = 60;

/// A running programme without its network side.
pub struct Programme {
    pub app: Arc<App>,
    pub operator_token: String,
    batcher: Arc<Batcher>,
    database: Database,
    anchors: PathBuf,
    clocks: Clocks,
}

impl Programme {
    /// # Errors
    /// When the database or a secret cannot be had.
    pub async fn build(
        settings: &Settings,
        database: &Database,
        clocks: Clocks,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Programme> {
        let pool = database.app().clone();
        let entropy: SharedEntropy = SystemEntropy::shared();
        let shards = hunch_log::shards(&pool).await?;
        let folder = settings.folder();
        let operator_token = match settings.path("operator.token_file") {
            Some(file) => std::fs::read_to_string(&file).with_context(|| file.display().to_string())?.trim().to_owned(),
            None => secret(&folder, "operator-token", entropy.as_ref())?,
        };
        let code_key = secret(&folder, "member-code-key", entropy.as_ref())?;

        let tail = Tail::new(shards);
        let mut builder = Batcher::builder(pool.clone(), clocks.clone(), tail.clone());
        let (purchases, returns) = (builder.register(PurchaseHandler), builder.register(ReturnHandler));
        let batcher = builder.build();

        let directory = Directory::new(pool.clone(), clocks.wall.clone());
        let app = App {
            people: People::new(database.clone(), clocks.clone(), entropy.clone(), shards),
            directory: directory.clone(),
            purchases: Purchases {
                directory,
                codes: CodeKey::new(code_key.as_bytes()),
                door: purchases,
                pool: pool.clone(),
                clocks: clocks.clone(),
                shards,
            },
            returns,
            terminal_sessions: TerminalSessions::new(pool.clone(), clocks.clone(), entropy.clone()),
            tail,
            operator: OperatorKey::of_token(&operator_token),
            readiness: Readiness::default(),
            closing: CancellationToken::new(),
            metrics: Arc::new(move || metrics.render()),
            pool,
            clocks: clocks.clone(),
            entropy,
        };
        Ok(Programme {
            app: Arc::new(app),
            operator_token,
            batcher,
            database: database.clone(),
            anchors: folder.join("anchors.jsonl"),
            clocks,
        })
    }

    /// Starts every loop. They end by themselves when `stop` is cancelled and what waits has been done.
    pub fn start(&self, stop: &CancellationToken) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        for shard in 0..self.batcher.shard_count() {
            loops.spawn(drive_shard(self.batcher.clone(), Shard(shard as i16), stop.clone()));
        }
        loops.spawn(anchor(self.database.clone(), self.anchors.clone(), self.clocks.clone(), stop.clone()));
        loops
    }
}

async fn drive_shard(batcher: Arc<Batcher>, shard: Shard, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = batcher.wait(shard) => { batcher.step(shard).await; }
            () = stop.cancelled() => {
                while batcher.waiting(shard) > 0 {
                    batcher.step(shard).await;
                }
                return;
            }
        }
    }
}

async fn anchor(database: Database, file: PathBuf, clocks: Clocks, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(ANCHOR_SECONDS))).await.is_some() {
        if let Err(error) = hunch_audit::write_anchor_file(database.auditor(), &file, clocks.wall.now()).await {
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "no anchor was written");
        }
    }
}
