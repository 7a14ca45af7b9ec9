//! The exchange that the settings name: one that speaks Kalshi's protocol, or the simulator within this process. The
//! programme talks to either over a socket, through the same client.

use anyhow::{Context, anyhow, ensure};
use hunch_exchange::{Exchange, MarketQuery};
use hunch_exchange_sim::{Cash, ExchangeSim, KeyConfig, KeyPair, Listing, SimConfig, SimHandle, Tier, day};
use hunch_kalshi::{Kalshi, KalshiConfig};
use hunch_kernel::{Clocks, SharedWallClock, SystemEntropy};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::clock;
use crate::secrets::{secret, secret_bytes};
use crate::settings::Settings;

const SIMULATOR_KEY_ID: &str = "hunch";
const SIMULATOR_DOLLARS: i64 = 25_000;

/// A client, and the simulator behind it if it is ours.
pub struct Connected {
    pub client: Kalshi,
    pub simulator: Option<SimHandle>,
}

/// Opens the exchange of the section `[exchange]`, starting the simulator if that is it.
///
/// # Errors
/// One sentence about the setting that is missing or wrong.
pub async fn connect(settings: &Settings, clocks: &Clocks) -> anyhow::Result<Connected> {
    settings.check()?;
    if settings.text("exchange.kind") == "kalshi" {
        return Ok(Connected { client: configured(settings, clocks.wall.clone())?, simulator: None });
    }
    let folder = settings.folder();
    let pair: StoredKey = serde_json::from_slice(&secret_bytes(&folder, "simulator-key", new_key)?)?;
    let key = KeyConfig { key_id: SIMULATOR_KEY_ID.to_owned(), public_key_pem: pair.public_pem, account: 1 };
    let now = clocks.business.now();
    let simulator = ExchangeSim::start(SimConfig {
        port: settings.parsed("exchange.simulator_port")?,
        seed: seed_of(now),
        funding: [Cash::dollars(SIMULATOR_DOLLARS); 4],
        listings: day::believable(seed_of(now), now),
        tier: Tier::PREMIER,
        portfolio_lag: Duration::from_millis(200),
        market_lag: Duration::from_millis(500),
        house_step: Duration::from_secs(2),
        tick: Duration::from_millis(100),
        control_token: secret(&folder, "simulator-control-token", SystemEntropy::shared().as_ref())?,
        state_file: Some(folder.join("simulator.json")),
        ..SimConfig::quiet(clocks.clone(), vec![key])
    })
    .await
    .context("the exchange simulator")?;
    let config = KalshiConfig {
        rest_url: simulator.rest_url(),
        ws_url: simulator.ws_url(),
        key_id: SIMULATOR_KEY_ID.to_owned(),
        private_key_pem: SecretString::from(pair.private_pem),
    };
    Ok(Connected { client: Kalshi::new(&config, clocks.wall.clone())?, simulator: Some(simulator) })
}

/// The simulator's day, for later days of a programme that runs on.
pub fn day_of(now: jiff::Timestamp) -> Vec<Listing> {
    day::believable(seed_of(now), now)
}

/// Another day, another chance.
fn seed_of(now: jiff::Timestamp) -> u64 {
    now.as_second().div_euclid(86_400).unsigned_abs()
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    private_pem: String,
    public_pem: String,
}

fn new_key() -> anyhow::Result<Vec<u8>> {
    let pair = KeyPair::ed25519(SystemEntropy::shared().as_ref()).ok_or_else(|| anyhow!("no key could be made"))?;
    Ok(serde_json::to_vec(&StoredKey { private_pem: pair.private_pem, public_pem: pair.public_pem })?)
}

fn configured(settings: &Settings, wall: SharedWallClock) -> anyhow::Result<Kalshi> {
    let file = settings.path("exchange.private_key_file").context("exchange.private_key_file")?;
    let pem = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let config = KalshiConfig {
        rest_url: settings.text("exchange.rest_url").to_owned(),
        ws_url: settings.text("exchange.ws_url").to_owned(),
        key_id: settings.text("exchange.key_id").to_owned(),
        private_key_pem: pem.into(),
    };
    Ok(Kalshi::new(&config, wall)?)
}

/// Whether a client can be made of the settings: the key's file is read, and nothing is asked of the exchange.
///
/// # Errors
/// The setting that is missing, or what is wrong with the key.
pub fn try_key(settings: &Settings) -> anyhow::Result<()> {
    if settings.text("exchange.kind") == "kalshi" {
        configured(settings, clock::clocks(1, None).wall).context("exchange.private_key_file")?;
    }
    Ok(())
}

/// `hunch exchange-status`: can we reach it, are we known there, what could be traded?
///
/// # Errors
/// What the exchange or the settings say.
pub async fn status(settings: &Settings, clocks: &Clocks) -> anyhow::Result<()> {
    settings.check()?;
    ensure!(
        settings.text("exchange.kind") == "kalshi",
        "no exchange is named, so `hunch serve` runs the simulator within itself; set exchange.kind = kalshi with \
         rest_url, ws_url, key_id and private_key_file (`hunch exchange-sim` serves one for trying)"
    );
    let exchange = configured(settings, clocks.wall.clone())?;
    let state = exchange.status().await?;
    let yes_no = |yes| if yes { "yes" } else { "no" };
    println!("exchange active   {}", yes_no(state.exchange_active));
    println!("trading active    {}", yes_no(state.trading_active));
    for shard in state.shards.iter().filter(|s| !(s.exchange_active && s.trading_active)) {
        println!("shard {}           takes no orders", shard.shard.0);
    }
    if let Some(opens) = state.resumes_at.or(exchange.schedule().await?.opens_after(clocks.business.now())) {
        println!("opens again       {opens}, as far as is known");
    }
    for cash in exchange.cash().await? {
        println!("cash on shard {}   ${}", cash.shard.0, cash.available);
    }
    let (mut markets, mut cursor) = (0, None);
    loop {
        let page = exchange.markets(&MarketQuery::Open, cursor.as_deref()).await?;
        markets += page.items.len();
        // A cursor that does not move would never end.
        match page.next.filter(|next| Some(next) != cursor.as_ref()) {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    println!("open markets      {markets}");
    exchange.series().await?;
    for one in exchange.left_out() {
        println!("not understood    {} {}: {}", one.list, one.name, one.reason);
    }
    Ok(())
}
