//! `hunch bench NAME`: speed as one JSON line each, with a floor measured in the same run.

mod apart;
mod decide;
mod earn_http;
mod growth;
mod idle;
mod ledger;
mod overload;
mod push;
mod quote;
mod settle;
mod stages;

use crate::settings::Settings;
use serde::Serialize;
use sqlx::PgPool;
use std::time::Duration;

#[derive(clap::Subcommand, Debug)]
pub enum Bench {
    /// Points commands through the batcher, against PostgreSQL writing the same rows by itself.
    Ledger(ledger::LedgerBench),
    /// Purchases over HTTP as tills send them, against requests that do nothing.
    EarnHttp(earn_http::EarnHttpBench),
    /// Whether the ledger stays as quick with ten million entries, and with one sponsor for everything.
    Growth(growth::GrowthBench),
    /// Memory of a programme that nobody uses.
    Idle(idle::IdleBench),
    /// A market's positions credited by a running programme, against PostgreSQL writing the same rows by itself.
    Settle(settle::SettleBench),
    /// Quotes over HTTP at a steady pace, against requests that do nothing.
    Quote(quote::QuoteBench),
    /// Where the time and the write-ahead log of a purchase go, statement by statement, as a table in Markdown.
    Stages(stages::StagesBench),
    /// Three times what the programme can do: what it turns away, how quick the rest is, how soon it is well again.
    Overload(overload::OverloadBench),
    /// Encrypting pushes on one core, against bare key agreements.
    Push(push::PushBench),
    /// Decisions in process, against hashing their candidates.
    Decide(decide::DecideBench),
}

/// What every benchmark prints.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub bench: &'static str,
    pub per_second: u64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    /// What the machine does without our work, in the same run: plain set-based writes of the same rows for `ledger`,
    /// requests that do nothing for `earn-http`; each benchmark says its own.
    pub floor_per_second: u64,
    pub share_of_floor: f64,
    /// Processor time of this process and its database for one item.
    pub cpu_us_per: f64,
    pub wal_bytes_per: f64,
    pub clients: usize,
    pub batch: usize,
    pub machine: String,
}

/// False when a benchmark has a bound of its own and it was not kept.
pub async fn run(bench: &Bench, settings: &Settings) -> anyhow::Result<bool> {
    let measured = match bench {
        Bench::Stages(options) => {
            print!("{}", stages::run(options, settings).await?);
            return Ok(true);
        }
        Bench::Overload(options) => {
            let overload = overload::run(options, settings).await?;
            println!("{}", serde_json::to_string(&overload)?);
            return Ok(overload.holds);
        }
        Bench::Growth(options) => {
            println!("{}", serde_json::to_string(&growth::run(options, settings).await?)?);
            return Ok(true);
        }
        Bench::EarnHttp(options) => {
            println!("{}", serde_json::to_string(&earn_http::run(options, settings).await?)?);
            return Ok(true);
        }
        Bench::Idle(options) => {
            println!("{}", serde_json::to_string(&idle::run(options, settings).await?)?);
            return Ok(true);
        }
        Bench::Ledger(options) => ledger::run(options, settings).await?,
        Bench::Settle(options) => settle::run(options, settings).await?,
        Bench::Quote(options) => quote::run(options, settings).await?,
        Bench::Push(options) => push::run(options)?,
        Bench::Decide(options) => decide::run(options)?,
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(true)
}

/// What a run gave, before it is put into words.
struct Figures {
    done: f64,
    took: Duration,
    /// Seconds.
    cpu: f64,
    wal: f64,
    floor: f64,
    clients: usize,
    batch: usize,
}

fn measured(bench: &'static str, latencies: &mut [Duration], of: &Figures) -> Measured {
    latencies.sort_unstable();
    let per_second = of.done / of.took.as_secs_f64();
    let rounded = |value: f64, digits: f64| (value * digits).round() / digits;
    Measured {
        bench,
        per_second: per_second as u64,
        p50_ms: percentile(latencies, 0.50),
        p95_ms: percentile(latencies, 0.95),
        p99_ms: percentile(latencies, 0.99),
        floor_per_second: of.floor as u64,
        share_of_floor: rounded(per_second / of.floor, 1_000.0),
        cpu_us_per: rounded(of.cpu * 1e6 / of.done, 100.0),
        wal_bytes_per: (of.wal / of.done).round(),
        clients: of.clients,
        batch: of.batch,
        machine: machine(),
    }
}

/// Milliseconds below which `share` of the sorted durations lie.
pub fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(0.0, |d| d.as_nanos() as f64 / 1e6)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        model.lines().find_map(|l| l.strip_prefix("model name")).map(|l| l.trim_start_matches([' ', '\t', ':']));
    format!("{cores} cores, {}", model.unwrap_or("unknown processor"))
}

async fn wal_bytes(pool: &PgPool) -> anyhow::Result<f64> {
    Ok(sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8").fetch_one(pool).await?)
}

/// Processor seconds of this process and of everything it started that still runs or has ended.
fn cpu_seconds() -> f64 {
    let group = |name: String| -> Option<(u32, u32, f64)> {
        let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        let rest: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks: f64 = rest.get(11)?.parse::<f64>().ok()? + rest.get(12)?.parse::<f64>().ok()?;
        Some((name.parse().ok()?, rest.get(1)?.parse().ok()?, ticks / 100.0))
    };
    let all: Vec<(u32, u32, f64)> = std::fs::read_dir("/proc")
        .map(|d| d.flatten().filter_map(|e| group(e.file_name().to_string_lossy().into_owned())).collect())
        .unwrap_or_default();
    let mut family = vec![std::process::id()];
    let mut total = 0.0;
    while let Some(pid) = family.pop() {
        total += all.iter().filter(|p| p.0 == pid).map(|p| p.2).sum::<f64>();
        family.extend(all.iter().filter(|p| p.1 == pid).map(|p| p.0));
    }
    total
}

/// Processor seconds of this process alone.
fn own_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let ticks = |at: usize| rest.get(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
