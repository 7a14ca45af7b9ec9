//! `hunch drill slow-senders`: strangers open connections and say nothing, say it by halves, or talk nonsense, and one till
//! sends what can never be stored. Meanwhile tills, members and operators do what they always do, and must notice
//! nothing: nobody of them is refused, and 99 of 100 answers take no more than twice what they take in peace.

mod attack;
mod honest;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::clocks;
use crate::drill::victim::Victim;
use crate::settings::Settings;
use attack::{Attack, Attackers};
use honest::Honest;

#[derive(clap::Args, Debug)]
pub struct SlowSendersDrill {
    /// Only these; all when none is named.
    #[arg(long, value_enum)]
    case: Vec<Attack>,
    /// How long each part lasts: as long in peace as under attack.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How much slower 99 of 100 honest answers may be under attack.
    #[arg(long, default_value_t = 2.0)]
    slower_max: f64,
    /// Leave the folder behind, to look into.
    #[arg(long)]
    keep: bool,
}

/// Quicker than this in peace counts as this.
const CALM_P99_MS_MIN: f64 = 5.0;
/// An attack is under way before anybody is measured, and over before peace is.
const BEFORE: Duration = Duration::from_millis(1_500);
/// So few that the attackers, who are one process with few open files, take all of them.
const CONNECTIONS_MAX: usize = 512;

#[derive(Serialize)]
struct Case {
    name: Attack,
    calm_p99_ms: f64,
    attacked_p99_ms: f64,
    refused_honest: u64,
}

impl Case {
    fn held(&self, slower_max: f64) -> bool {
        self.refused_honest == 0 && self.attacked_p99_ms <= slower_max * self.calm_p99_ms.max(CALM_P99_MS_MIN)
    }
}

pub async fn run(options: &SlowSendersDrill, settings: &Settings) -> anyhow::Result<bool> {
    let clocks = clocks(1, None);
    let mut victim = Victim::prepare(settings, &clocks).await?;
    victim.environment.push(("HUNCH_SERVER__CONNECTIONS_MAX", CONNECTIONS_MAX.to_string()));
    victim.spawn().await?;
    let token = victim.operator_token()?;
    let attackers = Attackers::prepare(&victim, &token, &clocks).await?;
    let honest = Honest::begin(&victim, &token, &clocks).await?;
    let lasting = Duration::from_secs(options.seconds.max(1));
    let all = <Attack as clap::ValueEnum>::value_variants();
    let chosen = if options.case.is_empty() { all } else { &options.case };
    let mut cases = Vec::new();
    for attack in chosen.iter().copied() {
        let case = one(attack, &attackers, &honest, lasting).await.with_context(|| format!("{attack:?}"))?;
        eprintln!("   {}", serde_json::to_string(&case)?);
        cases.push(case);
    }
    let holds = cases.iter().all(|case| case.held(options.slower_max));
    println!("{}", json!({"drill": "slow-senders", "cases": cases, "holds": holds}));
    victim.finish(options.keep || !holds).await?;
    Ok(holds)
}

async fn one(attack: Attack, attackers: &Attackers, honest: &Arc<Honest>, lasting: Duration) -> anyhow::Result<Case> {
    let calm = honest.work(lasting).await;
    let attacking = attackers.attack(attack)?;
    tokio::time::sleep(BEFORE).await;
    let attacked = honest.work(lasting).await;
    let sent = attacking.end().await;
    anyhow::ensure!(sent > 0, "nothing was sent, so nothing was tried");
    anyhow::ensure!(calm.refused == 0, "{} honest requests were refused in peace: {}", calm.refused, calm.said());
    if attacked.refused > 0 {
        eprintln!("   refused: {}", attacked.said());
    }
    tokio::time::sleep(BEFORE).await;
    Ok(Case {
        name: attack,
        calm_p99_ms: calm.p99_ms(),
        attacked_p99_ms: attacked.p99_ms(),
        refused_honest: attacked.refused,
    })
}
