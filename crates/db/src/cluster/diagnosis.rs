//! What a private cluster would meet on this machine, without starting one.

use std::path::Path;

use crate::cluster::{Account, ClusterError, binaries, places::Places, reachable_folder};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub subject: &'static str,
    pub is_well: bool,
    /// Whether Hunch cannot run while this is not well.
    pub is_needed: bool,
    /// What is there, or what is wrong.
    pub found: String,
    /// The command that brings what is missing.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn well(subject: &'static str, found: impl Into<String>) -> Finding {
        Finding { subject, is_well: true, is_needed: true, found: found.into(), remedy: None }
    }

    pub fn ill(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { subject, is_well: false, is_needed: true, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something to mend without which Hunch runs all the same.
    pub fn doubtful(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { is_needed: false, ..Finding::ill(subject, found, remedy) }
    }

    /// Whether this keeps Hunch from running.
    pub fn stops(&self) -> bool {
        self.is_needed && !self.is_well
    }
}

/// Looks at the programs, the account and the folder that [`crate::cluster::PrivateCluster::start`] would use.
pub fn diagnose(folder: &Path, programs: Option<&Path>) -> Vec<Finding> {
    vec![look_for_programs(programs), look_for_account(), look_at_folder(folder, programs)]
}

fn look_for_programs(programs: Option<&Path>) -> Finding {
    const SUBJECT: &str = "PostgreSQL";
    match binaries::find(programs) {
        Ok(found) => Finding::well(SUBJECT, format!("{} in {}", found.version, found.folder.display())),
        Err(error) => Finding::ill(SUBJECT, error.to_string(), install_command()),
    }
}

fn look_for_account() -> Finding {
    const SUBJECT: &str = "account";
    match Account::for_server() {
        Ok(account) => Finding::well(SUBJECT, format!("PostgreSQL would run as {}", account.name)),
        Err(error @ ClusterError::UnknownAccount { uid }) => {
            let entry = format!("echo 'hunch:x:{uid}:{uid}::/tmp:/bin/sh' >> /etc/passwd");
            Finding::ill(SUBJECT, error.to_string(), entry)
        }
        Err(error) => Finding::ill(SUBJECT, error.to_string(), "useradd --system hunch"),
    }
}

/// Data that is there must be of the version that is installed; data that is not there must have a place.
fn look_at_folder(folder: &Path, programs: Option<&Path>) -> Finding {
    const SUBJECT: &str = "data folder";
    let looked = || -> Result<Finding, ClusterError> {
        let instead = reachable_folder(folder)?;
        if !instead.exists() {
            let parent = instead.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
            if rustix::fs::access(parent, rustix::fs::Access::WRITE_OK).is_err() {
                let wrong =
                    format!("{} cannot be made: {} is not ours to write in", instead.display(), parent.display());
                return Ok(Finding::ill(SUBJECT, wrong, "choose another folder"));
            }
            return Ok(Finding::well(SUBJECT, format!("{} will be made", instead.display())));
        }
        let places = Places::prepare(&instead)?;
        places.server_account()?;
        let Some(major) = places.data_major()? else {
            return Ok(Finding::well(SUBJECT, format!("{} holds no database yet", instead.display())));
        };
        Ok(match binaries::find_major(programs, major) {
            Ok(found) if found.major == major => {
                Finding::well(SUBJECT, format!("{} holds a database of version {major}", instead.display()))
            }
            _ => Finding::ill(
                SUBJECT,
                format!("{} holds a database of version {major}, whose programs are missing", instead.display()),
                format!("{}apt-get install postgresql-{major}", sudo()),
            ),
        })
    };
    looked().unwrap_or_else(|error| Finding::ill(SUBJECT, error.to_string(), "choose another folder"))
}

/// The command that brings PostgreSQL to this machine and account.
fn install_command() -> String {
    let has = |program: &str| {
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|at| at.join(program).is_file()))
    };
    if rustix::process::getuid().is_root() && has("apt-get") {
        return "apt-get install postgresql".to_owned();
    }
    if has("npm") {
        return format!("npm install --prefix .hunch/tools {}", binaries::npm_package());
    }
    match () {
        () if has("dnf") => format!("{}dnf install postgresql-server", sudo()),
        () if has("brew") => "brew install postgresql@18".to_owned(),
        () => format!("{}apt-get install postgresql", sudo()),
    }
}

fn sudo() -> &'static str {
    if rustix::process::getuid().is_root() { "" } else { "sudo " }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_come_with_the_command_that_brings_them() {
        let folder = tempfile::tempdir().unwrap();
        let findings = diagnose(&folder.path().join("town"), Some(folder.path()));
        let programs = &findings[0];
        assert!(!programs.is_well);
        let remedy = programs.remedy.as_deref().unwrap();
        assert!(remedy.contains("install"), "{remedy}");
        assert!(findings[2].is_well, "{:?}", findings[2]);
        assert!(!folder.path().join("town").exists(), "looking makes nothing");
    }
}
