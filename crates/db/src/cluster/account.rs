//! The operating system's account that PostgreSQL runs under.

use std::{fs, path::Path, process::Command};

use std::os::unix::process::CommandExt;

use crate::cluster::ClusterError;

/// Accounts that root may lend to the server, best first. Not `nobody`: it is everybody's who has no account of its own, and the
/// account that runs the server is its superuser.
const LENT_BY_ROOT: [&str; 2] = ["hunch", "postgres"];

/// A line of /etc/passwd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// The account of this process.
    ///
    /// # Errors
    /// [`ClusterError::UnknownAccount`] if it has no name, which `initdb` would refuse too.
    pub fn own() -> Result<Account, ClusterError> {
        let uid = rustix::process::getuid().as_raw();
        Account::by_uid(uid)?.ok_or(ClusterError::UnknownAccount { uid })
    }

    pub(crate) fn by_uid(uid: u32) -> Result<Option<Account>, ClusterError> {
        Ok(accounts()?.into_iter().find(|account| account.uid == uid))
    }

    /// The account for the server: our own, or an unprivileged one when we are root.
    ///
    /// # Errors
    /// [`ClusterError::NoAccount`] if root finds none to lend.
    pub fn for_server() -> Result<Account, ClusterError> {
        if !rustix::process::getuid().is_root() {
            return Account::own();
        }
        lent_by_root(&accounts()?).ok_or(ClusterError::NoAccount)
    }

    /// Lets `command` run under this account. Only root can change accounts; anyone else already is it.
    pub(crate) fn run(&self, command: &mut Command) {
        if rustix::process::getuid().is_root() {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives a file or folder to this account when we are root.
    pub(crate) fn give(&self, path: &Path) -> Result<(), ClusterError> {
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).map_err(ClusterError::io(format!(
                "giving {} to {}",
                path.display(),
                self.name
            )))?;
        }
        Ok(())
    }
}

fn lent_by_root(known: &[Account]) -> Option<Account> {
    LENT_BY_ROOT.iter().find_map(|name| known.iter().find(|account| account.name == *name && account.uid != 0)).cloned()
}

fn accounts() -> Result<Vec<Account>, ClusterError> {
    let text = fs::read_to_string("/etc/passwd").map_err(ClusterError::io("reading /etc/passwd"))?;
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { name, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passwd_line_is_read() {
        let account = parse("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash");
        assert_eq!(account, Some(Account { name: "postgres".into(), uid: 101, gid: 104 }));
        assert_eq!(parse("# comment"), None);
    }

    #[test]
    fn root_lends_to_an_account_for_it_and_never_to_nobody() {
        let account = |name: &str, uid: u32| Account { name: name.into(), uid, gid: uid };
        let (root, nobody, postgres) = (account("root", 0), account("nobody", 65_534), account("postgres", 101));
        assert_eq!(lent_by_root(&[root.clone(), nobody.clone()]), None);
        assert_eq!(lent_by_root(&[root.clone(), nobody, postgres.clone()]), Some(postgres.clone()));
        let (own, disguised) = (account("hunch", 998), account("hunch", 0));
        assert_eq!(lent_by_root(&[postgres.clone(), own.clone()]), Some(own));
        assert_eq!(lent_by_root(&[disguised, postgres.clone()]), Some(postgres));
    }
}
