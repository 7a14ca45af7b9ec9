//! The command line: a believable day of markets served to any Kalshi client.

use crate::day;
use crate::sim::{ExchangeSim, KeyConfig, SimConfig};
use crate::token_buckets::Tier;
use crate::units::Cash;
use anyhow::Context as _;
use hunch_kernel::{Clock, Clocks, SharedClock};
use jiff::{SignedDuration, Timestamp};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Port of REST, WebSocket and control interface; 0 takes a free one.
    #[arg(long, default_value_t = 8790)]
    pub port: u16,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub listen: IpAddr,
    /// API key id that clients name; the simulator's only account.
    #[arg(long)]
    pub key_id: String,
    /// PEM file with the key's public half, RSA or Ed25519.
    #[arg(long)]
    pub public_key: PathBuf,
    /// Chance of the day: prices, books, outcomes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How fast the business clock goes: 60 lives an hour in a minute. Signatures keep real time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=3600))]
    pub speed: i64,
    /// Dollars the account starts with on each of the four exchange shards.
    #[arg(long, default_value_t = 25_000)]
    pub dollars_per_shard: i64,
    /// Usage level: basic, advanced, premier or unlimited.
    #[arg(long, default_value = "basic")]
    pub tier: String,
    /// Wall milliseconds by which portfolio reads lag behind.
    #[arg(long, default_value_t = 300)]
    pub portfolio_lag_ms: u64,
    /// Wall milliseconds by which market status over REST lags behind the socket.
    #[arg(long, default_value_t = 3000)]
    pub market_lag_ms: u64,
    /// Token of the control interface under /sim/v1; made up and printed when left out.
    #[arg(long, env = "EXCHANGE_SIM_CONTROL_TOKEN", hide_env_values = true)]
    pub control_token: Option<String>,
    /// File that keeps the state over restarts.
    #[arg(long)]
    pub state: Option<PathBuf>,
}

/// Serves until `until` completes.
///
/// # Errors
/// A key file that cannot be read or used, an unknown tier, a port that is taken.
pub async fn run(args: Args, clocks: Clocks, until: impl Future<Output = ()>) -> anyhow::Result<()> {
    let pem = std::fs::read_to_string(&args.public_key)
        .with_context(|| format!("cannot read the public key file {}", args.public_key.display()))?;
    let tier = Tier::by_name(&args.tier).context("--tier is basic, advanced, premier or unlimited")?;
    anyhow::ensure!((0..=1_000_000_000).contains(&args.dollars_per_shard), "--dollars-per-shard is 0 to 1,000,000,000");
    let token = args
        .control_token
        .clone()
        .unwrap_or_else(|| hunch_kernel::random_token(&*hunch_kernel::SystemEntropy::shared()));
    let now = clocks.business.now();
    let clocks =
        Clocks { business: Arc::new(Faster { start: now, speed: args.speed, base: clocks.business }), ..clocks };
    let keys = vec![KeyConfig { key_id: args.key_id.clone(), public_key_pem: pem, account: 1 }];
    let config = SimConfig {
        seed: args.seed,
        listen: args.listen,
        port: args.port,
        funding: [Cash::dollars(args.dollars_per_shard); 4],
        listings: day::believable(args.seed, now),
        tier,
        portfolio_lag: Duration::from_millis(args.portfolio_lag_ms),
        market_lag: Duration::from_millis(args.market_lag_ms),
        house_step: Duration::from_secs(2),
        tick: Duration::from_millis(100),
        region_expires: Some(month_later(now)),
        control_token: token.clone(),
        state_file: args.state.clone(),
        ..SimConfig::quiet(clocks, keys)
    };
    let handle = ExchangeSim::start(config).await?;
    println!("rest     {}", handle.rest_url());
    println!("socket   {}", handle.ws_url());
    println!("control  {}", handle.control_url());
    if args.control_token.is_none() {
        println!("token    {token}");
    }
    until.await;
    handle.stop().await;
    Ok(())
}

/// A clock that starts with its base and then goes `speed` times as fast.
struct Faster {
    base: SharedClock,
    start: Timestamp,
    speed: i64,
}

impl Clock for Faster {
    fn now(&self) -> Timestamp {
        let since = self.base.now().duration_since(self.start).as_micros();
        let micros = i128::from(self.start.as_microsecond()) + since * i128::from(self.speed);
        i64::try_from(micros).ok().and_then(|m| Timestamp::from_microsecond(m).ok()).unwrap_or(Timestamp::MAX)
    }
}

fn month_later(now: Timestamp) -> Timestamp {
    now.checked_add(SignedDuration::from_hours(30 * 24)).unwrap_or(Timestamp::MAX)
}
