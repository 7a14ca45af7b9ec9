//! `hunch demo`: a town at work. Everything the town does goes through the HTTP API, with credentials of its own.

use anyhow::Context;
use hunch_audit::{AuditOptions, AuditReport};
use hunch_kernel::SystemEntropy;
use hunch_town::{Happening, Log, Percentiles, Summary, Town, TownConfig};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

use crate::serve::Served;
use crate::settings::{Settings, Source};

#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// End by itself after this long, such as 90s or 5m; else Ctrl-C ends it.
    #[arg(long = "for", value_parser = duration)]
    lasting: Option<Duration>,
    /// Port of the HTTP API; 0 takes a free one.
    #[arg(long)]
    port: Option<u16>,
    /// Purchases a second.
    #[arg(long, default_value_t = 140, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pace: u32,
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
    latency_ms: LatencyMs,
    audit: AuditReport,
    data: Data,
}

#[derive(Serialize)]
struct LatencyMs {
    request_answer: Percentiles,
    purchase_push: Percentiles,
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
    let log = Log::find(std::env::var_os("HUNCH_DATA_DIR").map(PathBuf::from).as_deref())?;
    let data = Data { source: log.source.clone(), rows: log.baskets.len() };
    let served = Served::start(&settings).await?;
    let started_at = served.clocks.business.now();
    let lived = live(args, &settings, &served, log).await;
    let database = served.database.clone();
    let told = told(&database, started_at).await;
    let audited = match &lived {
        Ok(_) => audit(&database, &settings).await.map(Some),
        Err(_) => Ok(None),
    };
    served.stop().await?;
    let (summary, audit) = (lived?, audited?.context("the town did not live, so nothing was audited")?);

    let (decisions, pushes_withheld) = told?;
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
            latency_ms: LatencyMs { request_answer: summary.request_answer, purchase_push: summary.purchase_push },
            audit,
            data,
        };
        println!("{}", serde_json::to_string(&line)?);
    } else {
        println!(
            "{} purchases of {} members at {} shops earned {} points; {} came back; {} phones lit up. The answer took {:.1} ms at the median, {:.1} ms at worst for 99 of 100.",
            summary.purchases,
            summary.members,
            summary.merchants,
            summary.points_issued,
            summary.returns,
            summary.pushes_sent,
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
    })
    .await?;
    eprintln!("Be a member at {base_url}/app with one of these codes:");
    for (name, code) in town.visitors().take(5) {
        eprintln!("  {code}  {name}");
    }
    if let Some(till) = town.first_till() {
        eprintln!("Be the cashier of {} at {base_url}/till:", till.shop);
        eprintln!("  terminal {}\n  secret   {}", till.terminal, till.secret);
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
    let (mut bought, mut points, mut returned, mut lit, mut last) = (0u64, 0i64, 0u64, 0u64, String::new());
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        tokio::select! {
            happening = happenings.recv() => match happening {
                Some(Happening::Bought { who, shop, points: earned }) => {
                    bought += 1;
                    points += earned;
                    last = format!("{who} earned {earned} {} at {shop}", if earned == 1 { "point" } else { "points" });
                }
                Some(Happening::Returned { shop, points: taken }) => {
                    returned += 1;
                    last = format!("a basket came back to {shop}, {taken} points with it");
                }
                Some(Happening::Pushed { who, text }) => {
                    lit += 1;
                    if lit % 3 == 0 {
                        last = format!("{who}'s phone: {text}");
                    }
                }
                None => return,
            },
            _ = second.tick() => eprintln!("{bought:>7} baskets  {points:>9} points  {lit:>6} pushes  {returned:>4} returned   {last}"),
        }
    }
}

/// How many decisions were made since, and why pushes were withheld.
async fn told(database: &hunch_db::Database, since: jiff::Timestamp) -> anyhow::Result<(i64, BTreeMap<String, i64>)> {
    let counts = hunch_messaging::push_counts(database.app(), since).await?;
    let decisions = hunch_engage::decisions_since(database.app(), since).await?;
    Ok((decisions, counts.withheld.into_iter().collect()))
}

async fn audit(database: &hunch_db::Database, settings: &Settings) -> anyhow::Result<AuditReport> {
    let now = crate::clock::clocks(1, None).wall.now();
    let file = settings.folder().join("anchors.jsonl");
    let anchors = if file.is_file() { hunch_audit::read_anchor_file(&file)? } else { Vec::new() };
    let report = hunch_audit::run(database.auditor(), &AuditOptions { full: true, anchors }, now).await?;
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
