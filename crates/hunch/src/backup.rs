//! `hunch backup` and `hunch restore`: the private database, the keys and an anchor, as one folder.
//!
//! The anchor is written into the backup's own time: with it the audit of a restored copy shows that nothing in it was
//! changed since, and with any later anchor that the copy is older.

use anyhow::{Context, ensure};
use hunch_audit::AuditOptions;
use hunch_db::PoolSizes;
use hunch_db::cluster;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::clock::clocks;
use crate::home::{Home, cluster_folder};
use crate::settings::Settings;

const DATA: &str = "postgres";
const KEYS: &str = "keys";
/// What is made anew wherever a programme runs.
const NO_KEYS: &[&str] = &["anchors.jsonl", "simulator.json"];

/// # Errors
/// One sentence about what is missing or in the way.
pub async fn back_up(folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    ensure!(
        settings.text("database.url").is_empty(),
        "the database is your own server ([database] url); back it up with its tools, such as pg_basebackup"
    );
    ensure!(!folder.exists(), "{} is there already; a backup goes into a new folder", folder.display());
    let home = Home::visit(settings, PoolSizes::default()).await?;
    let now = clocks(1, None).wall.now();
    fs::DirBuilder::new().mode(0o700).create(folder).with_context(|| folder.display().to_string())?;
    copy_keys(&settings.folder(), &folder.join(KEYS))?;
    let anchor = folder.join(format!("anchor-{}.jsonl", now.as_second()));
    let auditor = home.database.auditor().clone();
    let write_anchor = async || {
        hunch_audit::write_anchor_file(&auditor, &anchor, now).await?;
        anyhow::Ok(())
    };
    let copied = cluster::back_up(&cluster_folder(settings)?, &folder.join(DATA), write_anchor).await?;
    home.close().await?;
    eprintln!("{} files, {} MiB, in {}", copied.files, copied.bytes >> 20, folder.display());
    eprintln!("It holds people's data and the programme's keys: keep it as safe as the original.");
    Ok(())
}

/// Whether the audit of what was restored holds.
///
/// # Errors
/// One sentence about what is missing or in the way.
pub async fn restore(folder: &Path, settings: &Settings) -> anyhow::Result<bool> {
    ensure!(
        settings.text("database.url").is_empty(),
        "the database is your own server ([database] url); a backup restores a private one"
    );
    let anchor = anchor_of(folder)?;
    cluster::restore(&folder.join(DATA), &cluster_folder(settings)?)?;
    copy_keys(&folder.join(KEYS), &settings.folder())?;
    let held = audit(settings, &anchor).await?;
    eprintln!("{}", if held { "Restored; the audit holds." } else { "Restored, but the audit does not hold." });
    eprintln!(
        "Orders that were placed after the backup stand at the exchange only: reconcile before staking is opened."
    );
    Ok(held)
}

/// Audits everything with the anchor file.
///
/// # Errors
/// When the database does not come up.
pub async fn audit(settings: &Settings, anchor: &Path) -> anyhow::Result<bool> {
    let home = Home::visit(settings, PoolSizes::default()).await?;
    let options = AuditOptions::with_anchors(true, Some(anchor.to_owned()))?;
    let report = hunch_audit::run(home.database.auditor(), &options, clocks(1, None).wall.now()).await?;
    home.close().await?;
    if !report.holds {
        eprint!("{}", report.to_text());
    }
    Ok(report.holds)
}

/// The anchor that lies in a backup.
///
/// # Errors
/// When there is none: then it is no backup, or one that was cut short.
pub fn anchor_of(folder: &Path) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let anchors = entries.flatten().map(|entry| entry.path());
    let found = anchors.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).max();
    found.with_context(|| format!("{} is no backup: there is no anchor in it", folder.display()))
}

fn copy_keys(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !to.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(to).with_context(|| to.display().to_string())?;
    }
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())?.flatten() {
        let (here, name) = (entry.path(), entry.file_name());
        if here.is_file() && !NO_KEYS.iter().any(|left_out| name == *left_out) {
            fs::copy(&here, to.join(&name)).with_context(|| here.display().to_string())?;
        }
    }
    Ok(())
}
