//! Programmes and books that live as long as a benchmark, in folders of their own.

use anyhow::Context;
use hunch_db::PoolSizes;
use sqlx::PgPool;
use std::path::PathBuf;

use crate::home::Home;
use crate::serve::Served;
use crate::settings::{Settings, Source};

/// A programme of its own in a new folder, for as long as a benchmark takes.
pub async fn serve_apart(settings: &Settings) -> anyhow::Result<(Served, PathBuf)> {
    let folder = tempfile_folder(settings)?;
    let mut own = settings.clone();
    own.set("database.folder", folder.display().to_string(), Source::CommandLine)?;
    own.set("database.url", String::new(), Source::CommandLine)?;
    own.set("server.listen", "127.0.0.1:0".to_owned(), Source::CommandLine)?;
    // Its members sign in with codes that work again and again.
    own.set("sandbox.create", "true".to_owned(), Source::CommandLine)?;
    Ok((Served::start(&own).await?, folder))
}

/// Ends it and removes what it left.
pub async fn end((served, folder): (Served, PathBuf)) -> anyhow::Result<()> {
    served.stop().await?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
}

/// Runs `work` on a private PostgreSQL of its own, which is removed afterwards.
pub async fn on_new_books<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&PgPool, &PgPool) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let folder = tempfile_folder(settings)?;
    let mut own = settings.clone();
    own.set("database.folder", folder.display().to_string(), Source::CommandLine)?;
    own.set("database.url", String::new(), Source::CommandLine)?;
    let home = Home::open(&own, PoolSizes::default()).await?;
    let done = work(home.database.app(), home.database.owner()).await;
    home.close().await?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    done
}

fn tempfile_folder(settings: &Settings) -> anyhow::Result<PathBuf> {
    let folder = settings.folder().with_file_name(format!("bench-{}", std::process::id()));
    std::path::absolute(&folder).with_context(|| folder.display().to_string())
}
