//! `hunch drill restore`: a backup is taken while tills sell and phones stake, and made a programme again elsewhere.
//! Everything that was answered before the backup began is in it, nothing is in it that never was, the audit holds with
//! the backup's anchor, and a later anchor tells that the copy is older.

use anyhow::Context;
use hunch_db::PoolSizes;
use serde_json::json;
use sqlx::PgPool;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

use crate::backup;
use crate::clock::clocks;
use crate::drill::load::Load;
use crate::drill::proof::prove;
use crate::drill::victim::Victim;
use crate::home::{Home, cluster_folder};
use crate::settings::{Settings, Source};

#[derive(clap::Args, Debug)]
pub struct RestoreDrill {
    /// Seconds of work before the backup, and again after it.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Leave the folder behind, to look into.
    #[arg(long)]
    keep: bool,
}

pub async fn run(options: &RestoreDrill, settings: &Settings) -> anyhow::Result<bool> {
    let clocks = clocks(1, None);
    let mut victim = Victim::start(settings, &clocks).await?;
    let token = victim.operator_token()?;
    let mut load = Load::begin(&victim.base, &token, &clocks).await?;
    let working = Duration::from_secs(options.seconds);
    tokio::time::sleep(working).await;

    let home = Home::visit(&victim.settings, PoolSizes::default()).await?;
    let before = purchases(home.database.auditor()).await?;
    let (folder, begun) = (victim.folder.join("backup"), Instant::now());
    backup::back_up(&folder, &victim.settings).await?;
    let backup_ms = begun.elapsed().as_millis() as u64;
    home.close().await?;
    tokio::time::sleep(working).await;
    load.end().await?;
    let proof = prove(&mut victim, &token, &clocks).await?;
    let receipts = load.told.receipts.load(Ordering::Relaxed) as i64;

    let home = Home::visit(&victim.settings, PoolSizes::default()).await?;
    let all = purchases(home.database.auditor()).await?;
    let late = victim.folder.join("late.jsonl");
    hunch_audit::write_anchor_file(home.database.auditor(), &late, clocks.wall.now()).await?;
    home.close().await?;

    let mut copy = victim.settings.clone();
    let place = victim.folder.join("restored").display().to_string();
    copy.set("database.folder", place, Source::CommandLine)?;
    let begun = Instant::now();
    let audit_holds = backup::restore(&folder, &copy).await?;
    let restore_ms = begun.elapsed().as_millis() as u64;
    let home = Home::visit(&copy, PoolSizes::default()).await?;
    let restored = purchases(home.database.auditor()).await?;
    home.close().await?;
    eprintln!("   with the newest anchor the audit must say that the copy is older:");
    let age_found = !backup::audit(&copy, &late).await?;

    let (missing, invented) = (before.difference(&restored).count(), restored.difference(&all).count());
    let holds = proof.holds(receipts)
        && audit_holds
        && age_found
        && (missing, invented) == (0, 0)
        && restored.len() < all.len();
    let line = json!({
        "drill": "restore", "receipts": receipts, "before_backup": before.len(), "restored": restored.len(),
        "missing": missing, "invented": invented, "backup_ms": backup_ms, "restore_ms": restore_ms,
        "audit_holds": audit_holds, "older_copy_found": age_found, "found": proof, "holds": holds,
    });
    println!("{line}");
    let (keep, own_place) = (options.keep || !holds, cluster_folder(&copy)?);
    victim.finish(keep).await?;
    if !keep && own_place.exists() {
        std::fs::remove_dir_all(&own_place).with_context(|| own_place.display().to_string())?;
    }
    Ok(holds)
}

/// Every purchase there is.
async fn purchases(auditor: &PgPool) -> anyhow::Result<HashSet<Uuid>> {
    let all: Vec<Uuid> = sqlx::query_scalar("SELECT purchase FROM loyalty.purchase").fetch_all(auditor).await?;
    Ok(all.into_iter().collect())
}
