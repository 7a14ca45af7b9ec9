//! Known weaknesses of the crates we are built from, looked up in a copy of the RustSec database that lies ready on this machine:
//! what is downloaded, and when, is the machine's affair.

use std::{env, path::Path};

use anyhow::Context;
use rustsec::{
    Lockfile,
    database::Database,
    report::{Report, Settings},
};

use crate::workspace;

/// Names the folder of the copy.
const DATABASE: &str = "HUNCH_ADVISORY_DB";

pub fn check() -> anyhow::Result<()> {
    let Some(folder) = env::var_os(DATABASE) else {
        eprintln!("   not looked up: {DATABASE} names no copy of https://github.com/rustsec/advisory-db");
        return Ok(());
    };
    let (known, refused) = weaknesses(Path::new(&folder), &workspace::root().join("Cargo.lock"))?;
    eprintln!("   {known} advisories looked up");
    anyhow::ensure!(refused.is_empty(), "known weaknesses:\n  {}", refused.join("\n  "));
    Ok(())
}

/// How many advisories there are, and those that are about what the lock file names.
fn weaknesses(database: &Path, lock: &Path) -> anyhow::Result<(usize, Vec<String>)> {
    let shown = database.display().to_string();
    let database = Database::open(database).with_context(|| format!("{shown} is no copy of the advisory database"))?;
    let known = database.iter().count();
    // A folder that is empty by mistake must not look like good news.
    anyhow::ensure!(known > 0, "{shown} holds no advisory");
    let lock = Lockfile::load(lock).with_context(|| format!("reading {}", lock.display()))?;
    let report = Report::generate(&database, &lock, &Settings::default());
    let told = |v: &rustsec::Vulnerability| {
        format!("{} {}: {} {}", v.package.name, v.package.version, v.advisory.id, v.advisory.title)
    };
    Ok((known, report.vulnerabilities.list.iter().map(told).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ADVISORY: &str = r#"```toml
[advisory]
id = "RUSTSEC-2026-9999"
package = "leaky"
date = "2026-01-02"

[versions]
patched = [">= 1.2.4"]
```

# Leaks when asked

All of it.
"#;

    #[test]
    fn what_is_known_to_be_weak_is_found_and_what_is_mended_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (database, lock) = (folder.path().join("db"), folder.path().join("Cargo.lock"));
        fs::create_dir_all(database.join("crates/leaky")).unwrap();
        assert!(weaknesses(&database, &lock).is_err(), "an empty one is no good news");
        fs::write(database.join("crates/leaky/RUSTSEC-2026-9999.md"), ADVISORY).unwrap();
        for (version, weak) in [("1.2.3", 1), ("1.2.4", 0)] {
            let package = format!(
                "version = 4\n[[package]]\nname = \"leaky\"\nversion = \"{version}\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n"
            );
            fs::write(&lock, package).unwrap();
            let (known, found) = weaknesses(&database, &lock).unwrap();
            assert_eq!((known, found.len()), (1, weak), "{found:?}");
            assert!(found.iter().all(|told| told.contains("Leaks when asked")), "{found:?}");
        }
    }
}
