//! What the town must remember between two starts.

use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::api::TillLogin;
use crate::life::LifeError;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub tills: Vec<TillLogin>,
    /// Baskets of the log before this one may have been rung up. Written ahead of use, so that a town that was cut off
    /// never gives a receipt number twice; a few baskets are skipped then.
    pub next: u64,
}

pub(crate) fn recall(path: &Path) -> Result<Memory, LifeError> {
    let fail = |source| LifeError::State { path: path.to_owned(), source };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| fail(e.into())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Memory::default()),
        Err(e) => Err(fail(e)),
    }
}

/// Written beside its place and moved there, so that a crash leaves the old memory or the new one.
pub(crate) fn remember(path: &Path, memory: &Memory) -> Result<(), LifeError> {
    use std::os::unix::fs::OpenOptionsExt;
    let write = || -> std::io::Result<()> {
        let draft = path.with_extension("new");
        let file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        serde_json::to_writer(&file, memory)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(|source| LifeError::State { path: path.to_owned(), source })
}
