//! `hunch drill kill`: server and PostgreSQL die at random moments under load, again and again. Afterwards every receipt
//! has exactly one effect, every hold an end, no order stands at the exchange twice, and the audit holds.

use hunch_kernel::SystemEntropy;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock::clocks;
use crate::drill::load::Load;
use crate::drill::proof::prove;
use crate::drill::victim::Victim;
use crate::settings::Settings;

#[derive(clap::Args, Debug)]
pub struct KillDrill {
    /// How often something is killed; server and PostgreSQL by turns.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// At most so many seconds of work between two kills.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Leave the folder behind, to look into.
    #[arg(long)]
    keep: bool,
}

/// How long is watched after a kill.
const SETTLED: Duration = Duration::from_secs(4);

pub async fn run(options: &KillDrill, settings: &Settings) -> anyhow::Result<bool> {
    let clocks = clocks(1, None);
    let mut victim = Victim::start(settings, &clocks).await?;
    let token = victim.operator_token()?;
    let mut load = Load::begin(&victim.base, &token, &clocks).await?;
    let told = load.told.clone();
    let chance = SystemEntropy::shared();
    let (mut recoveries, mut servers, mut postgres) = (Vec::new(), 0, 0);
    for round in 0..options.rounds {
        let millis = 500 + chance.uuid().as_u64_pair().0 % (options.seconds.max(1) * 1_000);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let killed = Instant::now();
        if round.is_multiple_of(2) {
            victim.kill_server()?;
            victim.spawn().await?;
            servers += 1;
        } else {
            victim.kill_postgres()?;
            postgres += 1;
        }
        // A while of ordinary work; recovered is the end of the longest silence in it.
        tokio::time::sleep(SETTLED).await;
        let took = told.longest_silence(killed);
        anyhow::ensure!(told.answered_since(killed) > 0, "no till was answered any more");
        recoveries.push(took);
        eprintln!(
            "   {} of {}: {} killed, tills answered after {took} ms",
            round + 1,
            options.rounds,
            if round.is_multiple_of(2) { "server" } else { "PostgreSQL" }
        );
    }
    load.end().await?;
    let proof = prove(&mut victim, &token, &clocks).await?;
    recoveries.sort_unstable();
    let receipts = told.receipts.load(Ordering::Relaxed) as i64;
    let holds = proof.holds(receipts);
    let line = json!({
        "drill": "kill", "rounds": options.rounds, "killed": {"server": servers, "postgres": postgres},
        "receipts": receipts, "stakes": told.stakes.load(Ordering::Relaxed), "found": proof,
        "recovered_ms": {"p50": recoveries.get(recoveries.len() / 2), "max": recoveries.last()}, "holds": holds,
    });
    println!("{line}");
    victim.finish(options.keep || !holds).await?;
    Ok(holds)
}
