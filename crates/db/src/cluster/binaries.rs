//! Finds PostgreSQL's programs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::cluster::{Account, ClusterError};

/// The oldest major version Hunch runs on.
pub const MAJOR_MIN: u32 = 15;

/// A folder that holds `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub folder: PathBuf,
    pub major: u32,
    /// As `postgres --version` prints it.
    pub version: String,
}

/// Finds the programs to use: the folder that `explicit` or the variable HUNCH_PG_BIN names, else the first
/// that is new enough of PATH, the usual folders of Debian, Red Hat and Homebrew (highest version first), and
/// the tools folder that `cargo xtask setup` fills from npm.
///
/// # Errors
/// [`ClusterError::BadBinaries`] if a named folder does not serve (nothing else is tried then);
/// [`ClusterError::NoBinaries`] if there is none.
pub fn find(explicit: Option<&Path>) -> Result<Binaries, ClusterError> {
    find_preferring(explicit, |_| true)
}

/// As [`find`], but programs of version `major` before any other. The result may still be another version.
pub(super) fn find_major(explicit: Option<&Path>, major: u32) -> Result<Binaries, ClusterError> {
    find_preferring(explicit, |found| found.major == major)
}

fn find_preferring(explicit: Option<&Path>, preferred: impl Fn(&Binaries) -> bool) -> Result<Binaries, ClusterError> {
    let named = explicit.map(Path::to_owned).or_else(|| env::var_os("HUNCH_PG_BIN").map(PathBuf::from));
    if let Some(folder) = named {
        return inspect(&folder).map_err(|reason| ClusterError::BadBinaries { folder, reason });
    }
    let (mut second_best, mut looked) = (None, Vec::new());
    for folder in candidates().into_iter().filter(|folder| has_programs(folder)) {
        match inspect(&folder) {
            Ok(found) if preferred(&found) => return Ok(found),
            Ok(found) => second_best = second_best.or(Some(found)),
            Err(reason) => looked.push(format!("{}: {reason}", folder.display())),
        }
    }
    let looked = if looked.is_empty() { String::new() } else { format!(" (found {})", looked.join("; ")) };
    second_best.ok_or(ClusterError::NoBinaries { min: MAJOR_MIN, looked })
}

fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    folders.extend(versioned("/usr/lib/postgresql", "", "bin"));
    folders.extend(versioned("/usr", "pgsql-", "bin"));
    folders.extend(versioned("/opt/homebrew/opt", "postgresql@", "bin"));
    folders.extend(versioned("/usr/local/opt", "postgresql@", "bin"));
    folders.extend(tools_folders().into_iter().map(|tools| npm_folder(&tools)));
    folders
}

/// Folders `<parent>/<prefix><number>/<last>`, highest number first.
fn versioned(parent: &str, prefix: &str, last: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path().join(last)))
        })
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Where root keeps the tools if the workspace lies where other accounts cannot go.
pub const TOOLS_FOLDER_OF_ROOT: &str = "/var/lib/hunch/tools";

/// The folder that HUNCH_TOOLS_DIR names; else `.hunch/tools` beside the working folder or the program or in
/// any folder above either, then [`TOOLS_FOLDER_OF_ROOT`].
pub fn tools_folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os("HUNCH_TOOLS_DIR") {
        return vec![PathBuf::from(folder)];
    }
    let starts = [env::current_dir().ok(), env::current_exe().ok()];
    let mut folders: Vec<PathBuf> = starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|folder| folder.join(".hunch/tools"))
        .filter(|folder| folder.is_dir())
        .collect();
    folders.push(PathBuf::from(TOOLS_FOLDER_OF_ROOT));
    folders.dedup();
    folders
}

/// npm's package for this kind of machine.
pub(super) fn npm_package() -> String {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    format!("@embedded-postgres/{system}-{machine}")
}

/// Where that package keeps the programs.
fn npm_folder(tools: &Path) -> PathBuf {
    tools.join("node_modules").join(npm_package()).join("native/bin")
}

fn has_programs(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

fn inspect(folder: &Path) -> Result<Binaries, String> {
    if !has_programs(folder) {
        return Err("it lacks the programs initdb and postgres".to_owned());
    }
    // Asked as the account that will run it: what lies below root's home is of no use to that one.
    let folder = &fs::canonicalize(folder).map_err(|error| error.to_string())?;
    let account = Account::for_server().map_err(|error| error.to_string())?;
    let mut ask = Command::new(folder.join("postgres"));
    account.run(&mut ask);
    let output = ask
        .current_dir("/")
        .arg("--version")
        .output()
        .map_err(|error| format!("the account {} cannot run it: {error}", account.name))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = major_of(&version).ok_or_else(|| format!("its version is not understood: {version:?}"))?;
    if major < MAJOR_MIN {
        return Err(format!("version {major} is too old, {MAJOR_MIN} or newer is needed"));
    }
    Ok(Binaries { folder: folder.to_owned(), major, version })
}

/// "postgres (PostgreSQL) 15.14 (Debian …)" is 15; so are betas such as "19beta1".
fn major_of(version: &str) -> Option<u32> {
    let number = version.split(") ").nth(1)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18.4"), Some(18));
        assert_eq!(major_of("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn a_named_folder_without_programs_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("lacks the programs initdb and postgres"), "{error}");
    }
}
