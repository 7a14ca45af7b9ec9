//! A machine whose clock jumps and whose disk fills up: a small library stands before libc in the programme and in its
//! PostgreSQL (`faults.c`), and reads from a page in memory what is wrong just now. Linux with a C compiler only.

use anyhow::{Context, ensure};
use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Machine {
    folder: PathBuf,
    page: File,
}

/// Offsets in the page.
const CLOCK: u64 = 0;
const DISK: u64 = 8;

impl Machine {
    /// Builds the library.
    ///
    /// # Errors
    /// When there is no C compiler, or no PostgreSQL to stand before.
    pub fn prepare() -> anyhow::Result<Machine> {
        // Where PostgreSQL's own account can go, too.
        let folder = std::env::temp_dir().join(format!("hunch-machine-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        let source = folder.join("faults.c");
        std::fs::write(&source, include_str!("faults.c"))?;
        let built = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(folder.join("faults.so"))
            .arg(&source)
            .arg("-ldl")
            .status()
            .context("a C compiler is needed to break clock and disk: install `cc`")?;
        ensure!(built.success(), "the library that breaks clock and disk does not compile");
        let page = File::options().create(true).truncate(true).read(true).write(true).open(folder.join("page"))?;
        page.set_len(4096)?;
        page.set_permissions(Permissions::from_mode(0o644))?;
        Ok(Machine { folder, page })
    }

    /// What the programme is started with. Its PostgreSQL gets nothing of it by itself, so that it is wrapped.
    ///
    /// # Errors
    /// When there is no PostgreSQL.
    pub fn environment(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let (library, page) = (self.folder.join("faults.so"), self.folder.join("page"));
        let real = hunch_db::cluster::find(None)?.folder;
        let wrapped = self.folder.join("bin");
        std::fs::create_dir_all(&wrapped)?;
        for entry in std::fs::read_dir(&real)?.flatten() {
            let _ = symlink(entry.path(), wrapped.join(entry.file_name()));
        }
        let program = std::fs::canonicalize(real.join("postgres"))?;
        let script = format!(
            "#!/bin/sh\nexport LD_PRELOAD='{}' HUNCH_DRILL_FAULTS='{}'\nexec '{}' \"$@\"\n",
            library.display(),
            page.display(),
            program.display()
        );
        replace(&wrapped.join("postgres"), &script)?;
        Ok(vec![
            ("LD_PRELOAD", library.display().to_string()),
            ("HUNCH_DRILL_FAULTS", page.display().to_string()),
            ("HUNCH_PG_BIN", wrapped.display().to_string()),
        ])
    }

    pub fn shift_clock(&self, seconds: i64) {
        self.set(CLOCK, seconds);
    }

    pub fn fill_disk(&self, full: bool) {
        self.set(DISK, i64::from(full));
    }

    fn set(&self, at: u64, value: i64) {
        if let Err(error) = self.page.write_all_at(&value.to_ne_bytes(), at) {
            tracing::error!(%error, "the page of faults cannot be written");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn replace(path: &Path, script: &str) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        std::fs::remove_file(path)?;
    }
    std::fs::write(path, script).with_context(|| path.display().to_string())?;
    std::fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}
