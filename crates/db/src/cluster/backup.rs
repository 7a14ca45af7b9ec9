//! A copy of a running private cluster from which it can be made again, as PostgreSQL's low-level backup asks for:
//! start, copy what is there while it changes, stop, then the log of what changed meanwhile.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions, Connection, PgConnection, Row, postgres::PgConnectOptions};

use crate::cluster::{
    Account, ClusterError, DATABASE, PORT,
    places::{Places, make_private},
    postmaster,
};

/// What belongs to the running server alone, or is copied by itself.
const LEFT_OUT: &[&str] = &["postmaster.pid", "postmaster.opts", "pg_internal.init"];
/// Folders that a server fills anew; they are copied empty.
const COPIED_EMPTY: &[&str] =
    &["pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"];

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("no private PostgreSQL runs in {0}")]
    NotRunning(PathBuf),
    #[error("{0} is there already; a backup goes into a new folder")]
    Exists(PathBuf),
    #[error("{0} is no backup of this programme")]
    NoBackup(PathBuf),
    #[error("PostgreSQL could not be asked")]
    Storage(#[from] sqlx::Error),
    #[error("{doing} failed")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("the log of what changed while copying ends before the copy did ({0} is gone); run it again")]
    LogGone(String),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

fn io_error(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let doing = format!("{doing} {}", path.display());
    move |source| BackupError::Io { doing, source }
}

/// The way in for the superuser of the cluster that runs in `cluster`, for what no role of ours may do: backups and
/// looking at what statements cost. The programme itself never uses it.
pub fn superuser(cluster: &Path) -> Option<PgConnectOptions> {
    let socket_folder = postmaster::recorded_socket_folder(&cluster.join("data"))?;
    let options = PgConnectOptions::new_without_pgpass().host("localhost").socket(&socket_folder).port(PORT);
    Some(options.username("postgres").database(DATABASE))
}

/// How much a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub files: u64,
    pub bytes: u64,
}

/// Copies the cluster that runs in `cluster` into the new folder `to`. `before_end` runs after the copy and before the
/// backup is consistent: what it commits is in the backup.
///
/// # Errors
/// One sentence about what is missing or in the way. A folder that was begun is left behind unfinished, without
/// `backup_label`, and [`restore`] refuses it.
pub async fn back_up<E: From<BackupError>>(
    cluster: &Path,
    to: &Path,
    before_end: impl AsyncFnOnce() -> Result<(), E>,
) -> Result<Copied, E> {
    let data = cluster.join("data");
    let options = superuser(cluster).ok_or_else(|| BackupError::NotRunning(cluster.to_owned()))?;
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()).into());
    }
    make_private(to, &Account::own().map_err(BackupError::from)?).map_err(BackupError::from)?;
    // The backup belongs to this one session, from start to stop.
    let mut session = options.connect().await.map_err(BackupError::from)?;
    let first = begin(&mut session).await?;
    let copied = tokio::task::block_in_place(|| {
        let mut copied = Copied::default();
        copy(&data, to, &mut copied)?;
        // Last, so that it never says less than the files.
        fs::copy(data.join("global/pg_control"), to.join("global/pg_control"))
            .map_err(io_error("copying", &data.join("global/pg_control")))?;
        Ok::<_, BackupError>(copied)
    })?;
    before_end().await?;
    finish(session, &data, to, &first).await?;
    Ok(copied)
}

/// Gives the name of the log's segment with which a restore begins.
async fn begin(session: &mut PgConnection) -> Result<String, BackupError> {
    // Its names changed in PostgreSQL 15, which is the oldest that we take.
    let row = sqlx::query("SELECT pg_walfile_name(pg_backup_start('hunch', true))").fetch_one(session).await?;
    Ok(row.try_get(0)?)
}

async fn finish(mut session: PgConnection, data: &Path, to: &Path, first: &str) -> Result<(), BackupError> {
    let row = sqlx::query("SELECT pg_walfile_name(lsn), labelfile FROM pg_backup_stop(false)")
        .fetch_one(&mut session)
        .await?;
    let (last, label): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    // The last segment is filled up, so that all of it is on disk.
    sqlx::query("SELECT pg_switch_wal()").execute(&mut session).await?;
    session.close().await?;
    tokio::task::block_in_place(|| {
        let log = data.join("pg_wal");
        let mut kept = BTreeSet::new();
        for entry in fs::read_dir(&log).map_err(io_error("reading", &log))? {
            let name = entry.map_err(io_error("reading", &log))?.file_name().to_string_lossy().into_owned();
            if name.len() == 24 && name.as_str() >= first && name.as_str() <= last.as_str() {
                fs::copy(log.join(&name), to.join("pg_wal").join(&name)).map_err(io_error("copying", &log))?;
                kept.insert(name);
            }
        }
        for wanted in [first, last.as_str()] {
            if !kept.contains(wanted) {
                return Err(BackupError::LogGone(wanted.to_owned()));
            }
        }
        // With the label a restore knows where to begin; without it this is no backup.
        let place = to.join("backup_label");
        fs::write(&place, label).map_err(io_error("writing", &place))?;
        rustix::fs::sync();
        Ok(())
    })
}

fn copy(from: &Path, to: &Path, copied: &mut Copied) -> Result<(), BackupError> {
    for entry in fs::read_dir(from).map_err(io_error("reading", from))? {
        let entry = entry.map_err(io_error("reading", from))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if LEFT_OUT.contains(&name.as_str()) || name.starts_with("pgsql_tmp") || name == "pg_control" {
            continue;
        }
        let (here, there) = (entry.path(), to.join(&name));
        let kind = entry.file_type().map_err(io_error("reading", &here))?;
        if kind.is_dir() {
            fs::create_dir(&there).map_err(io_error("making", &there))?;
            if !COPIED_EMPTY.contains(&name.as_str()) {
                copy(&here, &there, copied)?;
            }
            continue;
        }
        match fs::copy(&here, &there) {
            Ok(bytes) => {
                copied.files += 1;
                copied.bytes += bytes;
            }
            // A table that was dropped meanwhile: the log tells of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("copying", &here)(error)),
        }
    }
    Ok(())
}

/// Makes the backup in `from` the cluster of the folder `cluster`, in which there must be none. The next start recovers
/// it.
///
/// # Errors
/// As [`back_up`].
pub fn restore(from: &Path, cluster: &Path) -> Result<(), BackupError> {
    if !from.join("backup_label").is_file() {
        return Err(BackupError::NoBackup(from.to_owned()));
    }
    let places = Places::prepare(cluster)?;
    if places.data().exists() {
        return Err(BackupError::Exists(places.data()));
    }
    let account = places.server_account()?;
    places.check_reach(&account)?;
    let _ownership = places.own()?;
    let unfinished = places.data_unfinished();
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io_error("clearing", &unfinished))?;
    }
    make_private(&unfinished, &account)?;
    give_all(from, &unfinished, &account)?;
    rustix::fs::sync();
    fs::rename(&unfinished, places.data()).map_err(io_error("moving", &unfinished))
}

fn give_all(from: &Path, to: &Path, account: &Account) -> Result<(), BackupError> {
    for entry in fs::read_dir(from).map_err(io_error("reading", from))? {
        let entry = entry.map_err(io_error("reading", from))?;
        let (here, there) = (entry.path(), to.join(entry.file_name()));
        if here.is_dir() {
            make_private(&there, account)?;
            give_all(&here, &there, account)?;
        } else {
            fs::copy(&here, &there).map_err(io_error("copying", &here))?;
            account.give(&there)?;
        }
    }
    Ok(())
}
