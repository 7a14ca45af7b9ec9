//! `hunch demo`: a town at work. Everything the town does goes through the HTTP API, with credentials of its own.

mod closing;
mod last_line;
mod teller;

use anyhow::Context;
use hunch_kernel::SystemEntropy;
use hunch_town::{Log, Summary, Town, TownConfig};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::serve::{Listeners, Served};
use crate::settings::{Settings, Source};
use crate::watchable::Stage;
use closing::{Opened, close};
use last_line::{Data, LastLine, in_words};
use teller::tell;

/// The town's square.
const TOWN_PLACE: &str = "40.7484,-73.9857";
const DAY_POINTS: u32 = 5_000;
const WEEK_POINTS: u32 = 20_000;
/// How many ports are tried, one after the other, before the demo gives up.
const PORTS_TRIED: u16 = 100;

#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// End by itself after this long, such as 90s or 5m; else Ctrl-C ends it.
    #[arg(long = "for", value_parser = duration)]
    lasting: Option<Duration>,
    /// Port of the HTTP API; 0 takes a free one.
    #[arg(long)]
    port: Option<u16>,
    /// How fast the town's clock goes: 60 lives an hour in a minute.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=600))]
    speed: u32,
    /// Purchases a second.
    #[arg(long, default_value_t = 140, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pace: u32,
    /// Stakes a second; 0 is a town without stakes.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=200))]
    stakes: u32,
    /// The last line on standard output is one JSON object.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: &DemoArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    let settings = for_a_town(args, settings)?;
    let log = Log::find(std::env::var_os("HUNCH_DATA_DIR").map(PathBuf::from).as_deref())?;
    let data = Data { source: log.source.clone(), rows: log.baskets.len() };
    let served = Served::start_on(&settings, door(args, &settings).await?).await?;
    let opened = Opened { business: served.clocks.business.now(), wall: served.clocks.wall.now() };
    let staged = set_the_stage(args, &served);
    let lived = live(args, &settings, &served, log).await;
    staged.cancel();
    let closed = match &lived {
        Ok(_) => Some(close(&served, &settings, opened).await),
        Err(_) => None,
    };
    eprintln!("The programme and its database are stopped.");
    served.stop().await?;
    let summary = lived?;
    let closed = closed.context("the town did not live, so nothing was audited")??;
    let holds = closed.audit.holds;
    eprint!("\n{}", closed.audit.to_text());
    if args.json {
        println!("{}", serde_json::to_string(&LastLine::new(summary, closed, data))?);
    } else {
        println!("{}", in_words(&summary, &closed.figures));
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The port that was asked for, or else the first free one from the settings' own on: a demonstration is not to fail
/// because something else runs here.
async fn door(args: &DemoArgs, settings: &Settings) -> anyhow::Result<Listeners> {
    settings.check()?;
    let wanted = settings.listen()?;
    let tries = if args.port.is_some() { 1 } else { PORTS_TRIED };
    let listeners = Listeners::near(settings, tries).await?;
    let taken = listeners.public.local_addr()?;
    if wanted.port() != 0 && taken.port() != wanted.port() {
        eprintln!("Port {} is in use by another program, so the demo takes {}.", wanted.port(), taken.port());
    }
    Ok(listeners)
}

/// The settings, as a town on this machine needs them.
fn for_a_town(args: &DemoArgs, settings: &Settings) -> anyhow::Result<Settings> {
    let mut settings = settings.clone();
    // The town's phones and their push service are on this machine.
    settings.set("push.allow_loopback_http", "true".to_owned(), Source::CommandLine)?;
    if let Some(port) = args.port {
        settings.set("server.listen", format!("127.0.0.1:{port}"), Source::CommandLine)?;
    }
    // Markets that end within the minute must be seen soon after they are listed.
    if settings.text("exchange.kind") == "simulator" {
        settings.set("exchange.sync_seconds", "2".to_owned(), Source::CommandLine)?;
    }
    settings.set("clock.speed", args.speed.to_string(), Source::CommandLine)?;
    settings.set("sandbox.create", "true".to_owned(), Source::CommandLine)?;
    for (key, value) in [
        ("sandbox.place", TOWN_PLACE.to_owned()),
        // A thousand members who stake all the time, and visitors who want to try it.
        ("limits.house_day_points", DAY_POINTS.to_string()),
        ("limits.house_week_points", WEEK_POINTS.to_string()),
    ] {
        if settings.source(key) == Source::Default {
            settings.set(key, value, Source::CommandLine)?;
        }
    }
    settings.with_velocity_raised()
}

/// Where the exchange is our simulator, markets end and things go wrong on it until the token is cancelled.
fn set_the_stage(args: &DemoArgs, served: &Served) -> CancellationToken {
    let staged = CancellationToken::new();
    if let Some(simulator) = &served.simulator {
        let stage = Stage {
            simulator: simulator.clone(),
            clocks: served.clocks.clone(),
            entropy: SystemEntropy::shared(),
            zone: served.zone.clone(),
            speed: args.speed,
        };
        tokio::spawn(stage.play(staged.clone()));
    }
    staged
}

async fn live(args: &DemoArgs, settings: &Settings, served: &Served, log: Log) -> anyhow::Result<Summary> {
    let base_url = format!("http://{}", served.address);
    eprintln!("Hunch answers at {base_url}");
    eprintln!(
        "Operators are answered at http://{} too, and the figures are at http://{0}/metrics",
        served.operators_address
    );
    let (day, week) = (settings.text("limits.house_day_points"), settings.text("limits.house_week_points"));
    eprintln!(
        "In this town a member may stake {day} points a day and {week} a week at most (limits.house_day_points, limits.house_week_points)."
    );
    eprintln!("The town shops as in {} ({} baskets of {} customers).", log.source, log.baskets.len(), log.customers);
    let mut town = Town::open(TownConfig {
        base_url: base_url.clone(),
        operator_token: served.operator_token.clone(),
        clocks: served.clocks.clone(),
        entropy: SystemEntropy::shared(),
        log,
        state_file: settings.folder().join("town-memory.json"),
        purchases_per_second: args.pace,
        speed: args.speed,
        stakes_per_second: args.stakes,
        zone: served.zone.iana_name().unwrap_or("America/New_York").to_owned(),
    })
    .await?;
    eprintln!("Watch the town at {base_url}/live#{}", served.ticket.text);
    eprintln!("Be a member at {base_url}/app with one of these codes; with them you are in town, wherever you are:");
    for (name, code) in town.visitors().take(5) {
        eprintln!("  {code}  {name}");
    }
    if let Some(till) = town.first_till() {
        eprintln!("Be the cashier of {} at {base_url}/till:", till.shop);
        eprintln!("  terminal {}\n  secret   {}", till.terminal, till.secret);
    }
    if let Some((name, curl)) = town.one_purchase(&base_url) {
        eprintln!("Or buy something for {name} with one command:\n  {curl}");
    }
    eprintln!();

    let stop = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::unbounded_channel();
    let teller = tokio::spawn(tell(receiver));
    let interrupted = stop.clone();
    let listener = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("\nClosing time.");
            interrupted.store(true, Ordering::Relaxed);
        }
    });
    let lived = town.live(args.lasting.map(|d| Instant::now() + d), &stop, sender).await;
    listener.abort();
    teller.await?;
    Ok(lived?)
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is not a time such as 90s"))?;
    match unit {
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        "h" => Ok(Duration::from_secs(3_600 * number)),
        _ => Err(format!("{unit:?} is not s, m or h")),
    }
}
