//! `hunch drill kill`: server and PostgreSQL die at random moments under load, again and again. Afterwards every receipt
//! has exactly one effect, every hold an end, no order stands at the exchange twice, and the audit holds.

use anyhow::Context;
use hunch_audit::{AuditOptions, read_anchor_file};
use hunch_db::PoolSizes;
use hunch_kernel::SystemEntropy;
use hunch_town::Operator;
use serde_json::json;
use sqlx::{PgPool, Row};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

use crate::clock::clocks;
use crate::drill::load;
use crate::drill::victim::Victim;
use crate::home::Home;
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
/// Orders whose answer was lost are certain after this long at the latest.
const QUIET_SECONDS_MAX: u64 = 120;

pub async fn run(options: &KillDrill, settings: &Settings) -> anyhow::Result<bool> {
    let clocks = clocks(1, None);
    let mut victim = Victim::start(settings, &clocks).await?;
    let token = victim.operator_token()?;
    let (told, mut busy) = load::begin(&victim.base, &token, &clocks).await?;
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
    told.stop();
    while let Some(done) = busy.join_next().await {
        done??;
    }
    let operator = Operator::new(reqwest::Client::new(), &victim.base, &token);
    let begun = Instant::now();
    while operator.open_orders().await.unwrap_or(1) > 0 && begun.elapsed() < Duration::from_secs(QUIET_SECONDS_MAX) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    victim.stop().await?;

    let home = Home::visit(&victim.settings, PoolSizes::default()).await?;
    let auditor = home.database.auditor();
    let counted = count(auditor, &victim).await?;
    let file = victim.settings.folder().join("anchors.jsonl");
    let anchors = if file.is_file() { read_anchor_file(&file)? } else { Vec::new() };
    let audit_options = AuditOptions { full: true, anchors, anchor_file: file.is_file().then_some(file) };
    let report = hunch_audit::run(auditor, &audit_options, clocks.wall.now()).await?;
    if !report.holds {
        eprint!("{}", report.to_text());
    }
    home.close().await?;

    recoveries.sort_unstable();
    let receipts = told.receipts.load(Ordering::Relaxed) as i64;
    let holds = report.holds
        && counted.effects == receipts
        && counted.distinct == receipts
        && counted.entries == receipts
        && counted.open_holds == 0
        && counted.doubled_orders == 0
        && counted.unknown_orders == 0;
    let line = json!({
        "drill": "kill", "rounds": options.rounds, "killed": {"server": servers, "postgres": postgres},
        "receipts": receipts, "effects": counted.effects,
        "credited": counted.entries, "stakes": told.stakes.load(Ordering::Relaxed), "orders": counted.orders,
        "orders_at_exchange": counted.at_exchange, "orders_doubled": counted.doubled_orders,
        "orders_unknown": counted.unknown_orders, "holds_open": counted.open_holds,
        "recovered_ms": {"p50": recoveries.get(recoveries.len() / 2), "max": recoveries.last()},
        "audit_holds": report.holds, "holds": holds,
    });
    println!("{line}");
    finish(victim, options.keep || !holds).await?;
    Ok(holds)
}

/// Counted by SQL that nothing else uses, and from the exchange's own state.
struct Counted {
    /// Purchase rows, and different receipts among them.
    effects: i64,
    distinct: i64,
    /// Entries in the ledger that credit a purchase.
    entries: i64,
    open_holds: i64,
    orders: i64,
    at_exchange: usize,
    doubled_orders: i64,
    unknown_orders: i64,
}

async fn count(auditor: &PgPool, victim: &Victim) -> anyhow::Result<Counted> {
    let state = victim.exchange.state();
    let filled: Vec<Uuid> = state["orders_by_client_order_id"]
        .as_object()
        .context("the exchange's state has no orders")?
        .iter()
        .filter(|(_, order)| order["account"] != 0)
        .filter_map(|(client, _)| client.parse().ok())
        .collect();
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM loyalty.purchase),
                (SELECT count(DISTINCT (terminal, receipt)) FROM loyalty.purchase),
                (SELECT count(*) FROM ledger.entry WHERE reason = 1),
                (SELECT count(*) FROM ledger.hold WHERE open),
                (SELECT count(*) FROM trading.orders),
                (SELECT count(*) FROM (SELECT a.order_id FROM unnest($1::uuid[]) AS x(id)
                   JOIN trading.attempt a ON a.client_order_id = x.id GROUP BY 1 HAVING count(*) > 1) doubled),
                (SELECT count(*) FROM unnest($1::uuid[]) AS x(id)
                   WHERE NOT EXISTS (SELECT FROM trading.attempt a WHERE a.client_order_id = x.id))",
    )
    .bind(&filled)
    .fetch_one(auditor)
    .await?;
    Ok(Counted {
        effects: row.try_get(0)?,
        distinct: row.try_get(1)?,
        entries: row.try_get(2)?,
        open_holds: row.try_get(3)?,
        orders: row.try_get(4)?,
        at_exchange: filled.len(),
        doubled_orders: row.try_get(5)?,
        unknown_orders: row.try_get(6)?,
    })
}

/// Ends what is left and removes the folder, unless somebody wants to look.
async fn finish(mut victim: Victim, keep: bool) -> anyhow::Result<()> {
    victim.stop().await?;
    let folder = victim.folder.clone();
    let places = [victim.settings.folder(), crate::home::cluster_folder(&victim.settings)?];
    drop(victim);
    if keep {
        eprintln!("   everything is left in {}", folder.display());
        return Ok(());
    }
    for place in places.into_iter().chain([folder]) {
        if place.exists() {
            std::fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
        }
    }
    Ok(())
}
