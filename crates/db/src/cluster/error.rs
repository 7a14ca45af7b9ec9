//! Everything that can keep the private cluster from running, each with a sentence one can act on.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "no PostgreSQL {min} or newer is installed{looked}; bring one with `cargo xtask setup`, with \
         `apt-get install postgresql`, or name the folder of its programs in HUNCH_PG_BIN"
    )]
    NoBinaries { min: u32, looked: String },
    #[error("{folder} holds no usable PostgreSQL: {reason}")]
    BadBinaries { folder: PathBuf, reason: String },
    #[error(
        "PostgreSQL does not run as root and neither of the accounts hunch and postgres exists; make one with \
         `useradd --system hunch`"
    )]
    NoAccount,
    #[error("the account with user id {uid} is not in /etc/passwd, and PostgreSQL needs its name")]
    UnknownAccount { uid: u32 },
    #[error("the database in {folder} is in use by process {holder}; stop that one or choose another folder")]
    TwoOwners { folder: PathBuf, holder: u32 },
    #[error(
        "{data} was made by PostgreSQL {data_major}, but the programs in {found} are version {found_major}; bring the \
         right ones with `apt-get install postgresql-{data_major}` or name their folder in HUNCH_PG_BIN"
    )]
    VersionDiffers { data: PathBuf, data_major: u32, found: PathBuf, found_major: u32 },
    #[error("{path} is {bytes} bytes long and PostgreSQL allows {max}; choose a folder with a shorter path")]
    PathTooLong { path: PathBuf, bytes: usize, max: usize },
    #[error(
        "PostgreSQL would run as {account}, which may not enter {barred}, so it cannot reach {folder}; choose a folder \
         elsewhere, such as /var/lib/hunch"
    )]
    OutOfReach { folder: PathBuf, barred: PathBuf, account: String },
    #[error("{data} belongs to the account {owner}, and this program would use {account}; run it as {owner}")]
    OtherAccount { data: PathBuf, owner: String, account: String },
    #[error("{data} is there but is no PostgreSQL cluster; move it away or choose another folder")]
    NotACluster { data: PathBuf },
    #[error("process {pid} runs the database in {folder} but neither answers nor ends; stop it with `kill -INT {pid}`")]
    Deaf { pid: u32, folder: PathBuf },
    #[error("process {pid} did not stop; it was asked twice")]
    DoesNotStop { pid: u32 },
    #[error("{doing} failed")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("{program} failed: {output}")]
    Command { program: String, output: String },
    #[error("PostgreSQL does not start; the end of {log}: {tail}")]
    DoesNotStart { log: PathBuf, tail: String },
}

impl ClusterError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ClusterError {
        let doing = doing.into();
        move |source| ClusterError::Io { doing, source }
    }
}
