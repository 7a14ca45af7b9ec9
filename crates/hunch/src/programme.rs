//! All parts wired together, and the loops that drive them. The only place where tasks are spawned.

use anyhow::Context;
use hunch_db::Database;
use hunch_engage::{Engage, Surroundings, Today};
use hunch_exchange::Exchange;
use hunch_http::{App, OperatorKey, PushTerms, RateLimits, Readiness, TicketKey, WebhookKey};
use hunch_kernel::{Clocks, Points, Shard, SharedEntropy, SystemEntropy};
use hunch_ledger::Batcher;
use hunch_log::Tail;
use hunch_loyalty::{
    CodeKey, Directory, PurchaseHandler, Purchases, ReturnHandler, ReviewHandler, SessionKeys, TerminalSessions,
    Velocity, VelocityLimits,
};
use hunch_markets::Markets;
use hunch_messaging::push::{EndpointRules, PushTransport, VapidKey, VapidSigner};
use hunch_messaging::{OpenedHandler, Sender, SenderLimits};
use hunch_operators::Proposals;
use hunch_people::{Keys, People};
use hunch_safeguards::{HouseLimits, Safeguards, StandingHandler};
use hunch_trading::{CorrectionHandler, Doors, OutcomeHandler, PayoutHandler, StakeHandler, Trading};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::models::ModelFolder;
use crate::secrets::{secret, secret_bytes};
use crate::settings::Settings;
use crate::trading_loops::{TradingLoops, paced};

/// How often the heads of the log are written to the anchor file.
const ANCHOR_SECONDS: u64 = 60;
const SENDERS: usize = 2;
const SEND_BATCH: usize = 500;
const NOTHING_TO_SEND: Duration = Duration::from_millis(20);
const CONSUME_BATCHES_MAX: i64 = 200;
const CONSUME_TOGETHER: Duration = Duration::from_millis(20);
const LOOK_ANYWAY: Duration = Duration::from_secs(1);
/// How often the shelf is looked at for another model to decide by.
const MODELS_EVERY: Duration = Duration::from_secs(5);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// A running programme without its network side.
pub struct Programme {
    pub app: Arc<App>,
    pub operator_token: String,
    batcher: Arc<Batcher>,
    engage: Arc<Engage<Safeguards, Arc<dyn Surroundings>>>,
    trading_loops: TradingLoops,
    sender: Arc<Sender<Safeguards>>,
    database: Database,
    anchors: PathBuf,
    models: ModelFolder,
    clocks: Clocks,
}

impl Programme {
    /// # Errors
    /// When the database or a secret cannot be had.
    pub async fn build(
        settings: &Settings,
        database: &Database,
        clocks: Clocks,
        exchange: Arc<dyn Exchange>,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Programme> {
        let pool = database.app().clone();
        let entropy: SharedEntropy = SystemEntropy::shared();
        let shards = hunch_log::shards(&pool).await?;
        let folder = settings.folder();
        let operator_token = token(settings, "operator.token_file", "operator-token", &entropy)?;
        let operators = operators(settings, &pool, &operator_token, &entropy).await?;
        let webhook_secret = token(settings, "webhook.secret_file", "webhook-secret", &entropy)?;
        let code_key = secret(&folder, "member-code-key", entropy.as_ref())?;

        let session_keys = SessionKeys::new(secret(&folder, "terminal-session-key", entropy.as_ref())?.as_bytes());

        let tail = Tail::new(shards);
        let mut builder = Batcher::builder(pool.clone(), clocks.clone(), tail.clone());
        let (purchases, returns) = (builder.register(PurchaseHandler), builder.register(ReturnHandler));
        let (reviews, opened) = (builder.register(ReviewHandler), builder.register(OpenedHandler));
        let house = house_limits(settings)?;
        let standing = builder.register(StandingHandler { house });
        let wall = clocks.wall.clone();
        let doors = Doors {
            stakes: builder.register(StakeHandler { house, wall: wall.clone() }),
            outcomes: builder.register(OutcomeHandler { wall: wall.clone() }),
            payouts: builder.register(PayoutHandler { wall: wall.clone() }),
            corrections: builder.register(CorrectionHandler { wall }),
        };
        let batcher = builder.build();

        let directory = Directory::new(pool.clone(), clocks.wall.clone());
        // By it people are known again, and it makes the digests of sign-in codes.
        let keys = Keys::new(secret(&folder, "identity-key", entropy.as_ref())?.as_bytes());
        let people = People::new(database.clone(), clocks.clone(), entropy.clone(), shards, keys);
        // Before anybody can join, so that everybody who is a member already is known again.
        let renewed = people.vault().renew_identities().await?;
        if renewed > 0 {
            tracing::info!(people = renewed, "are known again by the identity key of this programme");
        }
        let mut safeguards = Safeguards::new(database.clone(), people.clone(), clocks.clone(), house);
        if let Some(place) = crate::sandbox::place(settings)? {
            let text = settings.text("sandbox.place");
            safeguards = safeguards.with_town(place).ok().with_context(|| {
                format!("sandbox.place = {text:?} is in no state that can be told; choose a place that is not at a border or at sea")
            })?;
        }
        let markets = Arc::new(Markets::new(pool.clone(), exchange.clone(), clocks.clone(), tail.clone()));
        let trading = Arc::new(Trading::new(
            pool.clone(),
            markets.clone(),
            safeguards.clone(),
            clocks.clone(),
            entropy.clone(),
            shards,
            doors,
        ));
        let today: Arc<dyn Surroundings> = Arc::new(Today { markets: markets.clone(), trading: trading.clone() });
        let engage = Engage::new(pool.clone(), tail.clone(), safeguards.clone(), today, clocks.clone(), opened);
        let engage = Arc::new(engage);
        let models = ModelFolder::of(settings);
        // Before the first decision, so that what was learned by it is found again.
        match models.deciding() {
            Ok(found) => engage.serve(found.map(|(_, model)| Arc::new(model))),
            Err(error) => tracing::error!(error = format!("{error:#}"), "the model on the shelf cannot be used"),
        }
        let trading_loops = TradingLoops {
            exchange,
            markets: markets.clone(),
            trading: trading.clone(),
            sync_every: paced(settings, "exchange.sync_seconds")?,
            poll_every: paced(settings, "exchange.poll_seconds")?,
        };
        let (sender, push) = messaging(settings, &pool, &safeguards, &clocks, &entropy).await?;
        let app = App {
            people,
            safeguards,
            standing,
            engage: engage.clone(),
            markets,
            trading,
            push,
            directory: directory.clone(),
            purchases: Purchases {
                velocity: Velocity::new(pool.clone(), velocity_limits(settings)?),
                directory,
                codes: CodeKey::new(code_key.as_bytes()),
                door: purchases,
                pool: pool.clone(),
                clocks: clocks.clone(),
                shards,
            },
            returns,
            reviews,
            terminal_sessions: TerminalSessions::new(pool.clone(), clocks.clone(), entropy.clone(), session_keys),
            tail,
            operators,
            tickets: TicketKey::new(secret(&folder, "ticket-key", entropy.as_ref())?.as_bytes()),
            proposals: Proposals::new(pool.clone(), clocks.clone()),
            rule_points_alone: settings.parsed("limits.rule_points")?,
            tills_max: settings.parsed("server.tills_max")?,
            limits: RateLimits::new(&clocks.wall),
            webhook: WebhookKey::new(&webhook_secret),
            readiness: Readiness::default(),
            trouble: batcher.trouble(),
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
            engage,
            trading_loops,
            sender,
            database: database.clone(),
            anchors: folder.join("anchors.jsonl"),
            models,
            clocks,
        })
    }

    /// Starts every loop. They end by themselves when `stop` is cancelled and what waits has been done.
    pub fn start(&self, stop: &CancellationToken) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        for shard in 0..self.batcher.shard_count() {
            loops.spawn(drive_shard(self.batcher.clone(), Shard(shard as i16), stop.clone()));
        }
        for shard in 0..self.batcher.shard_count() {
            loops.spawn(consume(self.engage.clone(), Shard(shard as i16), stop.clone()));
        }
        loops.spawn(keep_model(self.engage.clone(), self.models.clone(), stop.clone()));
        for _ in 0..SENDERS {
            loops.spawn(send(self.sender.clone(), stop.clone()));
        }
        self.trading_loops.start(&mut loops, stop);
        loops.spawn(crate::sweeping::sweep(self.app.clone(), stop.clone()));
        loops.spawn(anchor(self.database.clone(), self.anchors.clone(), self.clocks.clone(), stop.clone()));
        loops
    }
}

/// From the file that the settings name, or made once and kept beside the database.
fn token(settings: &Settings, key: &str, kept_as: &str, entropy: &SharedEntropy) -> anyhow::Result<String> {
    match settings.path(key) {
        Some(file) => Ok(std::fs::read_to_string(&file).with_context(|| file.display().to_string())?.trim().to_owned()),
        None => secret(&settings.folder(), kept_as, entropy.as_ref()),
    }
}

/// The two people who run the programme. The second one's token is made elsewhere and never lies here, so that nobody has both by
/// reading one folder; only a sandbox makes it, for demonstrations.
async fn operators(
    settings: &Settings,
    pool: &PgPool,
    operator_token: &str,
    entropy: &SharedEntropy,
) -> anyhow::Result<Vec<OperatorKey>> {
    let operator = OperatorKey::of_token("operator", operator_token);
    let written = settings.text("operator.approver_sha256");
    let approver = if !written.is_empty() {
        OperatorKey::of_sha256("approver", written)
    } else if hunch_people::is_sandbox(pool).await? {
        let token = secret(&settings.folder(), "approver-token", entropy.as_ref())?;
        Some(OperatorKey::of_token("approver", &token))
    } else {
        tracing::warn!(
            "no second person is set up (operator.approver_sha256): fundings, recoveries, corrections and large earn rules wait"
        );
        None
    };
    anyhow::ensure!(
        approver.as_ref().is_none_or(|approver| !approver.is_same(&operator)),
        "the operator's token is the second person's too: what moves money or lets somebody in needs two people"
    );
    Ok(std::iter::once(operator).chain(approver).collect())
}

fn velocity_limits(settings: &Settings) -> anyhow::Result<VelocityLimits> {
    Ok(VelocityLimits {
        till_minute_receipts: settings.parsed("limits.till_minute_receipts")?,
        till_day_points: settings.parsed("limits.till_day_points")?,
        merchant_day_points: settings.parsed("limits.merchant_day_points")?,
        member_day_receipts: settings.parsed("limits.member_day_receipts")?,
        member_day_points: settings.parsed("limits.member_day_points")?,
    })
}

fn house_limits(settings: &Settings) -> anyhow::Result<HouseLimits> {
    Ok(HouseLimits {
        day: Points(settings.parsed("limits.house_day_points")?),
        week: Points(settings.parsed("limits.house_week_points")?),
    })
}

/// What hands pushes over, and what phones need to subscribe to them.
async fn messaging(
    settings: &Settings,
    pool: &PgPool,
    gate: &Safeguards,
    clocks: &Clocks,
    entropy: &SharedEntropy,
) -> anyhow::Result<(Arc<Sender<Safeguards>>, PushTerms)> {
    let rules = EndpointRules {
        allow_loopback_http: settings.parsed("push.allow_loopback_http")?,
        any_port_and_name: hunch_people::is_sandbox(pool).await?,
    };
    let vapid = VapidKey::from_pkcs8(&secret_bytes(&settings.folder(), "vapid-key", VapidKey::generate_pkcs8)?)?;
    let signer = VapidSigner::new(vapid, settings.text("push.subject"), clocks.wall.clone())?;
    let transport = PushTransport::new(signer, rules, clocks.wall.clone())?;
    let terms = PushTerms { rules, public_key: transport.public_key_base64() };
    let sender = Sender {
        pool: pool.clone(),
        transport,
        gate: gate.clone(),
        clocks: clocks.clone(),
        entropy: entropy.clone(),
        limits: SenderLimits { concurrent_max: settings.parsed("push.concurrency")?, ..SenderLimits::default() },
    };
    Ok((Arc::new(sender), terms))
}

async fn drive_shard(batcher: Arc<Batcher>, shard: Shard, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = batcher.wait(shard) => {
                batcher.step(shard).await;
            }
            () = stop.cancelled() => {
                while batcher.waiting(shard) > 0 {
                    batcher.step(shard).await;
                }
                return;
            }
        }
    }
}

/// Decides what to say after each purchase, as soon as it is in the log.
async fn consume(engage: Arc<Engage<Safeguards, Arc<dyn Surroundings>>>, shard: Shard, stop: CancellationToken) {
    loop {
        match engage.consume_step(shard, CONSUME_BATCHES_MAX).await {
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%shard, error = format!("{:#}", anyhow::Error::from(error)), "no decisions were made");
                if stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_ERROR)).await.is_none() {
                    return;
                }
            }
        }
        tokio::select! {
            () = engage.wait(shard) => {
                // A little company: one transaction then serves the purchases of some milliseconds.
                if stop.run_until_cancelled(tokio::time::sleep(CONSUME_TOGETHER)).await.is_none() {
                    return;
                }
            }
            // Writers in other processes are not heard.
            () = tokio::time::sleep(LOOK_ANYWAY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Lets decisions be served by the model on the shelf. One that cannot be read is told of, and what served goes on.
async fn keep_model(
    engage: Arc<Engage<Safeguards, Arc<dyn Surroundings>>>,
    models: ModelFolder,
    stop: CancellationToken,
) {
    let mut serving = None;
    loop {
        match models.deciding() {
            Ok(found) => {
                let name = found.as_ref().map(|(sha256, _)| sha256.clone());
                if name != serving {
                    tracing::info!(model = name.as_deref().unwrap_or("none, the rule"), "decisions are served by");
                    engage.serve(found.map(|(_, model)| Arc::new(model)));
                    serving = name;
                }
            }
            Err(error) => tracing::error!(error = format!("{error:#}"), "the model on the shelf cannot be used"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(MODELS_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Hands due pushes to their push services.
async fn send(sender: Arc<Sender<Safeguards>>, stop: CancellationToken) {
    loop {
        let pause = match sender.send_step(SEND_BATCH).await {
            Ok(report) if report.claimed > 0 => Duration::ZERO,
            Ok(_) => NOTHING_TO_SEND,
            Err(error) => {
                tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "no pushes were sent");
                PAUSE_AFTER_ERROR
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Source;
    use hunch_db::testing::TestDb;
    use hunch_kernel::SeededEntropy;
    use ring::digest::{SHA256, digest};

    /// Nobody has both tokens by reading one folder.
    #[tokio::test]
    async fn the_second_persons_token_is_made_in_a_sandbox_only() {
        let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
        let entropy: SharedEntropy = SeededEntropy::shared(1);
        let mut settings = Settings::load(None, std::iter::empty()).unwrap();
        settings.set("database.folder", folder.path().display().to_string(), Source::CommandLine).unwrap();
        let token = folder.path().join("approver-token");
        assert_eq!(operators(&settings, db.app(), "one", &entropy).await.unwrap().len(), 1);
        let named = |text: &str| hex::encode(digest(&SHA256, text.as_bytes()));
        settings.set("operator.approver_sha256", named("two"), Source::CommandLine).unwrap();
        assert_eq!(operators(&settings, db.app(), "one", &entropy).await.unwrap().len(), 2);
        settings.set("operator.approver_sha256", named("one"), Source::CommandLine).unwrap();
        let told = operators(&settings, db.app(), "one", &entropy).await.err().unwrap().to_string();
        assert!(told.contains("two people") && !token.exists(), "{told}");

        sqlx::query("UPDATE people.programme SET sandbox = true").execute(db.owner()).await.unwrap();
        settings.set("operator.approver_sha256", String::new(), Source::CommandLine).unwrap();
        assert_eq!(operators(&settings, db.app(), "one", &entropy).await.unwrap().len(), 2);
        assert!(token.is_file());
    }
}
