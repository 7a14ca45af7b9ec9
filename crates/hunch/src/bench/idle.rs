//! How much memory a programme needs that nobody uses.

use anyhow::Context;
use serde::Serialize;
use std::time::Duration;

use crate::bench::machine;
use crate::clock::clocks;
use crate::drill::victim::Victim;
use crate::settings::Settings;

#[derive(clap::Args, Debug)]
pub struct IdleBench {
    /// How long it rests before it is looked at.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[derive(Debug, Serialize)]
pub struct Idle {
    pub bench: &'static str,
    /// Resident memory of the server's process, its exchange being elsewhere; PostgreSQL is not in it.
    pub server_mb: f64,
    /// Private and shared memory of all of PostgreSQL's processes, shared pages counted once.
    pub postgres_mb: f64,
    pub machine: String,
}

pub async fn run(options: &IdleBench, settings: &Settings) -> anyhow::Result<Idle> {
    let victim = Victim::start(settings, &clocks(1, None)).await?;
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (server, postmaster) = (victim.server_id().context("the server is gone")?, victim.postmaster_id()?);
    let server_kb = kilobytes(server, "Rss:").context("the server's memory cannot be read")?;
    let postgres_kb: u64 = family(postmaster).into_iter().filter_map(|id| kilobytes(id, "Pss:")).sum();
    victim.finish(false).await?;
    let megabytes = |kilobytes: u64| (kilobytes as f64 / 102.4).round() / 10.0;
    Ok(Idle { bench: "idle", server_mb: megabytes(server_kb), postgres_mb: megabytes(postgres_kb), machine: machine() })
}

fn kilobytes(process: u32, what: &str) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix(what))?.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// A process and its children.
fn family(process: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    std::iter::once(process).chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect()
}
