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
        "PostgreSQL does not run as root and none of the accounts hunch, postgres, nobody exists; make one with \
         `useradd --system hunch`"
    )]
    NoAccount,
    #[error("the account with user id {uid} is not in /etc/passwd, and PostgreSQL needs its name")]
    UnknownAccount { uid: u32 },
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
    #[error("the new cluster could not be prepared")]
    Prepare(#[source] sqlx::Error),
}

impl ClusterError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ClusterError {
        let doing = doing.into();
        move |source| ClusterError::Io { doing, source }
    }
}
