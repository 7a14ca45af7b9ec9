//! `hunch demo`: a town at work. Everything the town does goes through the HTTP API, with credentials of its own.

use anyhow::Context;
use hunch_audit::{AuditOptions, AuditReport};
use hunch_kernel::SystemEntropy;
use hunch_town::{Happening, Log, Percentiles, Summary, Town, TownConfig};
use hunch_trading::TradingFigures;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::serve::Served;
use crate::settings::{Settings, Source};
use crate::watchable::Stage;

/// How long the exchange's reads are waited for when the town has closed.
const BOOKS_WAIT: Duration = Duration::from_secs(30);

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

/// The demo's last line.
#[derive(Serialize)]
struct LastLine {
    members: usize,
    merchants: usize,
    purchases: u64,
    points_issued: i64,
    returns: u64,
    repeats: u64,
    decisions: i64,
    pushes_sent: u64,
    pushes_withheld: BTreeMap<String, i64>,
    stakes: u64,
    stakes_refused: BTreeMap<String, u64>,
    orders: Orders,
    markets_settled: i64,
    /// Positions paid, by result.
    results: BTreeMap<String, i64>,
    amended: i64,
    positions_paid: i64,
    points_paid: i64,
    /// Returns that took winnings back.
    clawbacks: u64,
    latency_ms: LatencyMs,
    audit: AuditReport,
    data: Data,
}

#[derive(Serialize)]
struct Orders {
    filled: i64,
    partial: i64,
    killed: i64,
    refused: i64,
    /// Of all these, how many were unknown for a while.
    unknown_resolved: i64,
    /// Not over when the town closed.
    open: i64,
}

#[derive(Serialize)]
struct LatencyMs {
    request_answer: Percentiles,
    purchase_push: Percentiles,
    /// From our first sight of a final result to the member's points.
    final_credited: Percentiles,
}

#[derive(Serialize)]
struct Data {
    source: String,
    rows: usize,
}

pub async fn run(args: &DemoArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
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
    let log = Log::find(std::env::var_os("HUNCH_DATA_DIR").map(PathBuf::from).as_deref())?;
    let data = Data { source: log.source.clone(), rows: log.baskets.len() };
    let served = Served::start(&settings).await?;
    let (started_at, started_wall) = (served.clocks.business.now(), served.clocks.wall.now());
    let staged = CancellationToken::new();
    if let Some(simulator) = &served.simulator {
        let stage = Stage {
            simulator: simulator.clone(),
            clocks: served.clocks.clone(),
            entropy: SystemEntropy::shared(),
            zone: TimeZone::get(settings.text("programme.zone"))?,
            speed: args.speed,
        };
        tokio::spawn(stage.play(staged.clone()));
    }
    let lived = live(args, &settings, &served, log).await;
    staged.cancel();
    let closed = match &lived {
        Ok(_) => Some(close(&served, &settings, started_at, started_wall).await),
        Err(_) => None,
    };
    served.stop().await?;
    let summary = lived?;
    let Closed { decisions, pushes_withheld, figures, amended, audit } =
        closed.context("the town did not live, so nothing was audited")??;
    let holds = audit.holds;
    eprint!("\n{}", audit.to_text());
    if args.json {
        let line = LastLine {
            members: summary.members,
            merchants: summary.merchants,
            purchases: summary.purchases,
            points_issued: summary.points_issued,
            returns: summary.returns,
            repeats: summary.repeats,
            decisions,
            pushes_sent: summary.pushes_sent,
            pushes_withheld,
            stakes: summary.stakes,
            stakes_refused: summary.stakes_refused,
            orders: Orders {
                filled: figures.orders.filled,
                partial: figures.orders.partial,
                killed: figures.orders.killed,
                refused: figures.orders.refused,
                unknown_resolved: figures.orders.unknown_resolved,
                open: figures.orders.open,
            },
            markets_settled: figures.markets_settled,
            results: figures.results,
            amended,
            positions_paid: figures.positions_paid,
            points_paid: figures.points_paid,
            clawbacks: summary.clawbacks,
            latency_ms: LatencyMs {
                request_answer: summary.request_answer,
                purchase_push: summary.purchase_push,
                final_credited: Percentiles {
                    p50: figures.final_credited.p50,
                    p95: figures.final_credited.p95,
                    p99: figures.final_credited.p99,
                    n: usize::try_from(figures.final_credited.n).unwrap_or(0),
                },
            },
            audit,
            data,
        };
        println!("{}", serde_json::to_string(&line)?);
    } else {
        println!(
            "{} purchases of {} members at {} shops earned {} points; {} came back; {} phones lit up. {} stakes went to the exchange, {} were refused; {} markets ended and paid {} points. A till's answer took {:.1} ms at the median, {:.1} ms at worst for 99 of 100.",
            summary.purchases,
            summary.members,
            summary.merchants,
            summary.points_issued,
            summary.returns,
            summary.pushes_sent,
            summary.stakes,
            summary.stakes_refused.values().sum::<u64>(),
            figures.markets_settled,
            figures.points_paid,
            summary.request_answer.p50,
            summary.request_answer.p99
        );
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn live(args: &DemoArgs, settings: &Settings, served: &Served, log: Log) -> anyhow::Result<Summary> {
    let base_url = format!("http://{}", served.address);
    eprintln!("Hunch answers at {base_url}");
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
    })
    .await?;
    eprintln!("Watch the town at {base_url}/live#{}", served.operator_token);
    eprintln!("Be a member at {base_url}/app#at=40.7484,-73.9857 with one of these codes:");
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
            eprintln!("\nClosing time: the last baskets are rung up.");
            interrupted.store(true, Ordering::Relaxed);
        }
    });
    let lived = town.live(args.lasting.map(|d| Instant::now() + d), &stop, sender).await;
    listener.abort();
    teller.await?;
    Ok(lived?)
}

/// Tells the town's life a line a second.
async fn tell(mut happenings: mpsc::UnboundedReceiver<Happening>) {
    let (mut bought, mut points, mut lit, mut staked, mut refused) = (0u64, 0i64, 0u64, 0u64, 0u64);
    // The rarer it is, the rather it is told.
    let mut news: (u8, String) = (0, String::new());
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        tokio::select! {
            happening = happenings.recv() => {
                let Some(happening) = happening else { return };
                let told = match happening {
                    Happening::Bought { who, shop, points: earned } => {
                        bought += 1;
                        points += earned;
                        (0, format!("🛍  {who} earned {earned} {} at {shop}", if earned == 1 { "point" } else { "points" }))
                    }
                    Happening::Returned { shop, points: taken } => {
                        (2, format!("↩  a basket came back to {shop}, {taken} points with it"))
                    }
                    Happening::Staked { who, points, title } => {
                        staked += 1;
                        (3, format!("🎯 {who} stakes {points} points: {title}"))
                    }
                    Happening::Refused { who, code } => {
                        refused += 1;
                        (2, format!("✋ {who} may not stake: {}", code.replace('-', " ")))
                    }
                    Happening::Pushed { who, text } => {
                        lit += 1;
                        (if text.contains("available") { 4 } else { 1 }, format!("📱 {who}'s phone: {text}"))
                    }
                };
                if told.0 >= news.0 {
                    news = told;
                }
            }
            _ = second.tick() => {
                let (_, text) = std::mem::take(&mut news);
                eprintln!("{bought:>7} baskets {points:>9} points {lit:>6} pushes {staked:>5} stakes {refused:>4} refused   {text}");
            }
        }
    }
}

/// What the programme says of the day, and whether every point and dollar is accounted for.
struct Closed {
    decisions: i64,
    pushes_withheld: BTreeMap<String, i64>,
    figures: TradingFigures,
    /// Results that were amended before they were paid.
    amended: i64,
    audit: AuditReport,
}

async fn close(
    served: &Served,
    settings: &Settings,
    since: Timestamp,
    since_wall: Timestamp,
) -> anyhow::Result<Closed> {
    // What the exchange still has to show is waited for; then the books are compared once more, at rest.
    let waited = Instant::now();
    loop {
        let found = served.trading.reconcile_step().await;
        let at_rest = found.as_ref().is_ok_and(|f| {
            f.differences.is_empty() && f.cash.iter().all(|c| c.in_flight == hunch_kernel::Dollars::ZERO)
        });
        if at_rest || waited.elapsed() > BOOKS_WAIT {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let counts = hunch_messaging::push_counts(served.database.app(), since_wall).await?;
    Ok(Closed {
        decisions: hunch_engage::decisions_since(served.database.app(), since).await?,
        pushes_withheld: counts.withheld.into_iter().collect(),
        figures: served.trading.figures(since).await?,
        amended: hunch_markets::amended_since(served.database.app(), since).await?,
        audit: audit(&served.database, settings).await?,
    })
}

async fn audit(database: &hunch_db::Database, settings: &Settings) -> anyhow::Result<AuditReport> {
    let now = crate::clock::clocks(1, None).wall.now();
    let file = settings.folder().join("anchors.jsonl");
    let options = AuditOptions::with_anchors(true, file.is_file().then(|| file.clone()))?;
    let report = hunch_audit::run(database.auditor(), &options, now).await?;
    if report.holds {
        hunch_audit::write_anchor_file(database.auditor(), &file, now).await?;
    }
    Ok(report)
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
