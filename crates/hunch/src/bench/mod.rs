//! `hunch bench NAME`: speed as one JSON line each, with a floor measured in the same run.

mod earn_http;
mod ledger;

use crate::settings::Settings;
use serde::Serialize;
use std::time::Duration;

#[derive(clap::Subcommand, Debug)]
pub enum Bench {
    /// Points commands through the batcher, against PostgreSQL writing the same rows by itself.
    Ledger(ledger::LedgerBench),
    /// Purchases over HTTP as tills send them, against requests that do nothing.
    EarnHttp(earn_http::EarnHttpBench),
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
    /// requests that do nothing for `earn-http`.
    pub floor_per_second: u64,
    pub share_of_floor: f64,
    /// Processor time of this process and its database for one item.
    pub cpu_us_per: f64,
    pub wal_bytes_per: f64,
    pub clients: usize,
    pub batch: usize,
    pub machine: String,
}

pub async fn run(bench: &Bench, settings: &Settings) -> anyhow::Result<()> {
    let measured = match bench {
        Bench::Ledger(options) => ledger::run(options, settings).await?,
        Bench::EarnHttp(options) => earn_http::run(options, settings).await?,
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Milliseconds below which `share` of the sorted durations lie.
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(0.0, |d| d.as_secs_f64() * 1_000.0)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        model.lines().find_map(|l| l.strip_prefix("model name")).map(|l| l.trim_start_matches([' ', '\t', ':']));
    format!("{cores} cores, {}", model.unwrap_or("unknown processor"))
}
