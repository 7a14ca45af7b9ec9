//! The running simulator: the engine behind one lock, its clock, its listeners, its faults. Starting
//! it gives a `SimHandle`, through which tests and the demo drive it without HTTP.

use crate::auth::{ApiKey, KeyError, PublicKey};
use crate::engine::{Engine, Lags, Notice, Now, Refusal};
use crate::faults::{Fault, FaultKind, Faults};
use crate::listing::Listing;
use crate::model::{Outcome, SHARDS, Status};
use crate::socket::Hub;
use crate::token_buckets::{Tier, TokenBuckets};
use crate::units::{Cash, Px, Qty};
use crate::{control, rest, socket, wire};
use hunch_kernel::{Clocks, lock};
use jiff::Timestamp;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone)]
pub struct KeyConfig {
    pub key_id: String,
    pub public_key_pem: String,
    /// Keys with the same number share an account. Clients count from 1; 0 is the house.
    pub account: usize,
}

#[derive(Clone)]
pub struct SimConfig {
    pub clocks: Clocks,
    pub seed: u64,
    pub listen: IpAddr,
    /// 0 takes any free port.
    pub port: u16,
    pub keys: Vec<KeyConfig>,
    /// What each client account starts with on shards 0 to 3.
    pub funding: [Cash; SHARDS],
    pub listings: Vec<Listing>,
    pub tier: Tier,
    /// How late orders, fills, positions and balances show over REST (wall time).
    pub portfolio_lag: Duration,
    /// How late market status and result show over REST; the socket is not late (wall time).
    pub market_lag: Duration,
    pub clock_tolerance: Duration,
    /// `settled` is sent once and then so many times more.
    pub settled_repeats: u32,
    /// Business time between two moves of the house; zero stops it.
    pub house_step: Duration,
    /// Wall time between two looks at the clock. Every request looks as well.
    pub tick: Duration,
    pub ping: Duration,
    /// When the location attestation lapses: then no Sports, Elections, Entertainment.
    pub region_expires: Option<Timestamp>,
    pub control_token: String,
    /// Kept here over restarts; written on stop and now and then.
    pub state_file: Option<PathBuf>,
}

impl SimConfig {
    /// No markets, no lag, no limits, no house moves: for tests that set everything themselves.
    pub fn quiet(clocks: Clocks, keys: Vec<KeyConfig>) -> SimConfig {
        SimConfig {
            clocks,
            seed: 1,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            keys,
            funding: [Cash::dollars(10_000); SHARDS],
            listings: Vec::new(),
            tier: Tier::UNLIMITED,
            portfolio_lag: Duration::ZERO,
            market_lag: Duration::ZERO,
            clock_tolerance: Duration::from_secs(10),
            settled_repeats: 1,
            house_step: Duration::ZERO,
            tick: Duration::from_millis(20),
            ping: Duration::from_secs(10),
            region_expires: None,
            control_token: "control".to_owned(),
            state_file: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the public key of {key_id} cannot be used")]
    Key {
        key_id: String,
        #[source]
        source: KeyError,
    },
    #[error("account numbers of keys count from 1 without a gap")]
    Accounts,
    #[error("market {0} cannot be listed")]
    Listing(String, #[source] Refusal),
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("the state file {0} cannot be read")]
    State(PathBuf, #[source] std::io::Error),
}

pub struct Sim {
    pub clocks: Clocks,
    pub config: SimConfig,
    pub keys: Vec<ApiKey>,
    engine: Mutex<Engine>,
    hub: Hub,
    token_buckets: Mutex<TokenBuckets>,
    faults: Mutex<Faults>,
    stopping: watch::Sender<bool>,
}

pub struct ExchangeSim;

impl ExchangeSim {
    /// Opens the accounts, lists the markets and serves REST, socket and control on one port.
    ///
    /// # Errors
    /// A key, listing or state file that cannot be used, or a port that is taken.
    pub async fn start(config: SimConfig) -> Result<SimHandle, StartError> {
        let address = SocketAddr::new(config.listen, config.port);
        let sim = Arc::new(Sim::build(config)?);
        let listener = tokio::net::TcpListener::bind(address).await.map_err(|e| StartError::Listen(address, e))?;
        let address = listener.local_addr().map_err(|e| StartError::Listen(address, e))?;
        let app = rest::router(sim.clone()).merge(socket::router(sim.clone())).merge(control::router(sim.clone()));
        let mut stopped = sim.stopping.subscribe();
        let server = tokio::spawn(async move {
            let until = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
                tracing::error!(%error, "exchange simulator stopped serving");
            }
        });
        let ticker = tokio::spawn(tick(sim.clone()));
        Ok(SimHandle { sim, address, server, ticker })
    }
}

async fn tick(sim: Arc<Sim>) {
    let mut stopped = sim.stopping.subscribe();
    let mut interval = tokio::time::interval(sim.config.tick.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let ticks_per_save = (10_000 / sim.config.tick.as_millis().max(1)).max(1) as u64;
    for round in 1u64.. {
        tokio::select! {
            _ = interval.tick() => sim.with(|_, _| ()),
            _ = stopped.wait_for(|stop| *stop) => break,
        }
        if round % ticks_per_save == 0 {
            sim.save();
        }
    }
    sim.save();
}

impl Sim {
    fn build(config: SimConfig) -> Result<Sim, StartError> {
        let mut keys = Vec::new();
        for key in &config.keys {
            let public = PublicKey::from_pem(&key.public_key_pem)
                .map_err(|source| StartError::Key { key_id: key.key_id.clone(), source })?;
            keys.push(ApiKey { id: key.key_id.clone(), public, account: key.account });
        }
        let accounts = config.keys.iter().map(|k| k.account).max().unwrap_or(1);
        if config.keys.iter().any(|k| k.account == 0) || accounts > 1000 {
            return Err(StartError::Accounts);
        }
        let now = now(&config.clocks);
        let loaded = config.state_file.as_ref().map(load).transpose()?.flatten();
        let fresh = loaded.is_none();
        let mut engine = loaded.unwrap_or_else(|| Engine::new(config.seed, now));
        engine.lags =
            Lags { portfolio: config.portfolio_lag.as_micros() as i64, markets: config.market_lag.as_micros() as i64 };
        engine.settled_repeats = config.settled_repeats;
        engine.house_step_micros = config.house_step.as_micros() as i64;
        while engine.accounts.len() <= accounts {
            engine.open_account(config.funding);
        }
        for listing in &config.listings {
            match listing.list(&mut engine, now) {
                Ok(()) => {}
                Err(Refusal::Exists(_)) if !fresh => {}
                Err(refusal) => return Err(StartError::Listing(listing.event.ticker.clone(), refusal)),
            }
        }
        engine.take_notices();
        Ok(Sim {
            clocks: config.clocks.clone(),
            keys,
            engine: Mutex::new(engine),
            hub: Hub::default(),
            token_buckets: Mutex::new(TokenBuckets::new(config.tier)),
            faults: Mutex::new(Faults::default()),
            stopping: watch::channel(false).0,
            config,
        })
    }

    /// Runs `work` on the engine, which has first done what time alone brings about. What happened goes
    /// to the listeners before the lock is let go, so they hear it in order.
    pub fn with<R>(&self, work: impl FnOnce(&mut Engine, Now) -> R) -> R {
        let mut engine = lock(&self.engine);
        let now = now(&self.clocks);
        engine.advance(now);
        let result = work(&mut engine, now);
        let notices = engine.take_notices();
        // What a client is told must survive us: it is on disk before anybody hears of it.
        if notices.iter().any(Notice::must_last) {
            self.store(&engine);
        }
        self.hub.publish(&engine, now.time, &notices);
        result
    }

    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    pub fn token_buckets(&self) -> MutexGuard<'_, TokenBuckets> {
        lock(&self.token_buckets)
    }

    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub fn arm(&self, fault: Fault) {
        if fault.kind == (FaultKind::DropSocket { now: true }) {
            self.hub.drop_all();
        } else {
            self.faults().arm(fault);
        }
    }

    pub fn wall_ms(&self) -> i64 {
        self.clocks.wall.now().as_millisecond()
    }

    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    fn save(&self) {
        self.store(&lock(&self.engine));
    }

    /// Writes beside the state file and moves it in place, so a crash leaves the old one.
    fn store(&self, engine: &Engine) {
        let Some(path) = &self.config.state_file else { return };
        let beside = path.with_extension("writing");
        let write = || -> std::io::Result<()> {
            let mut options = std::fs::File::options();
            let file = options.create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
            let mut file = std::io::BufWriter::new(file);
            serde_json::to_writer(&mut file, engine).map_err(std::io::Error::other)?;
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?;
            std::fs::rename(&beside, path)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, path = %path.display(), "exchange simulator state not saved");
        }
    }
}

fn load(path: &PathBuf) -> Result<Option<Engine>, StartError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| StartError::State(path.clone(), std::io::Error::other(e))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StartError::State(path.clone(), error)),
    }
}

/// Business time in whole microseconds, so what readers store compares equal to what they were told.
fn now(clocks: &Clocks) -> Now {
    let time = clocks.business.now();
    let time = Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time);
    Now { time, wall: clocks.wall.now().as_microsecond() }
}

/// A running simulator. Dropping it leaves the server running until the runtime ends; `stop` ends it.
pub struct SimHandle {
    sim: Arc<Sim>,
    address: SocketAddr,
    server: JoinHandle<()>,
    ticker: JoinHandle<()>,
}

impl SimHandle {
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn rest_url(&self) -> String {
        format!("http://{}/trade-api/v2", self.address)
    }

    pub fn ws_url(&self) -> String {
        format!("ws://{}/trade-api/ws/v2", self.address)
    }

    pub fn control_url(&self) -> String {
        format!("http://{}/sim/v1", self.address)
    }

    /// Arms a fault; it is used up by what it fits.
    pub fn inject(&self, fault: Fault) {
        self.sim.arm(fault);
    }

    /// How many faults are still waiting for something they fit.
    pub fn faults_armed(&self) -> usize {
        self.sim.faults().armed().len()
    }

    /// How many sockets are connected.
    pub fn sockets(&self) -> usize {
        self.sim.hub.count()
    }

    pub fn clear_faults(&self) {
        self.sim.faults().clear();
    }

    /// # Errors
    /// Tickers that exist already, times or prices that make no sense.
    pub fn list(&self, listing: &Listing) -> Result<(), Refusal> {
        self.sim.with(|engine, now| listing.list(engine, now))
    }

    /// YES bids and NO bids as (price, count), each at the price its buyer pays; the house stays away after.
    ///
    /// # Errors
    /// Unknown market, prices off the grid, a crossed book.
    pub fn set_book(&self, ticker: &str, yes: &[(Px, Qty)], no: &[(Px, Qty)]) -> Result<(), Refusal> {
        self.sim.with(|engine, now| engine.set_book(now, ticker, yes, no))
    }

    /// # Errors
    /// A market that is unknown or not open.
    pub fn close(&self, ticker: &str) -> Result<(), Refusal> {
        self.sim.with(|engine, now| engine.close(now, ticker))
    }

    /// # Errors
    /// A market that is unknown or already determined.
    pub fn determine(&self, ticker: &str, outcome: Outcome) -> Result<(), Refusal> {
        self.sim.with(|engine, now| engine.determine(now, ticker, outcome, ""))
    }

    /// # Errors
    /// A market that is not determined.
    pub fn dispute(&self, ticker: &str) -> Result<(), Refusal> {
        self.sim.with(|engine, now| engine.dispute(now, ticker))
    }

    /// # Errors
    /// A market that is not disputed.
    pub fn amend(&self, ticker: &str, outcome: Outcome) -> Result<(), Refusal> {
        self.sim.with(|engine, now| engine.amend_outcome(now, ticker, outcome, ""))
    }

    /// Pays at once, whatever the settlement timer says.
    ///
    /// # Errors
    /// A market that is not determined or amended.
    pub fn finalize(&self, ticker: &str) -> Result<(), Refusal> {
        self.sim.with(|engine, now| engine.finalize(now, ticker))
    }

    /// # Errors
    /// A market that is not active.
    pub fn deactivate(&self, ticker: &str) -> Result<(), Refusal> {
        self.sim.with(|engine, now| engine.deactivate(now, ticker))
    }

    /// # Errors
    /// A market that is not inactive.
    pub fn activate(&self, ticker: &str) -> Result<(), Refusal> {
        self.sim.with(|engine, now| engine.activate(now, ticker))
    }

    pub fn pause(&self, exchange_active: bool, trading_active: bool) {
        self.pause_until(exchange_active, trading_active, None);
    }

    /// `resumes` is what the exchange says about when it goes on; it goes on when it is told to.
    pub fn pause_until(&self, exchange_active: bool, trading_active: bool, resumes: Option<Timestamp>) {
        self.sim.with(|engine, now| engine.pause(now, exchange_active, trading_active, resumes));
    }

    /// Announces a window in which nothing works, and keeps to it.
    pub fn maintain(&self, from: Timestamp, to: Timestamp) {
        self.sim.with(|engine, now| engine.maintain(now, from, to));
    }

    /// # Errors
    /// Unknown account or shard, or taking more than is there.
    pub fn fund(&self, account: usize, shard: usize, amount: Cash) -> Result<(), Refusal> {
        let funded = self.sim.with(|engine, now| engine.fund(now, account, shard, amount));
        self.sim.save();
        funded
    }

    pub fn status(&self, ticker: &str) -> Option<Status> {
        self.sim.with(|engine, _| engine.markets.get(ticker).map(|m| m.status()))
    }

    /// Looks at the clock now, instead of at the next tick.
    pub fn advance(&self) {
        self.sim.with(|_, _| ());
    }

    /// The whole state for audits, as `GET /sim/v1/state` gives it.
    pub fn state(&self) -> Value {
        self.sim.with(|engine, _| wire::dump(engine))
    }

    /// Ends the server, cuts the sockets and writes the state file.
    pub async fn stop(self) {
        let _ = self.sim.stopping.send(true);
        self.sim.hub.drop_all();
        let _ = self.ticker.await;
        // Requests held by a fault would keep a graceful stop waiting for as long as they are held.
        let mut server = self.server;
        if tokio::time::timeout(Duration::from_millis(500), &mut server).await.is_err() {
            server.abort();
        }
    }
}
