//! Who gets in: accounts of this machine that the map names, over the socket, and nobody else.

use crate::{
    cluster::{Account, ClusterError, places::Places, places::write_for},
    roles::Role,
};

const HBA: &str = "\
# Written at every start. The operating system says who is calling; pg_ident.conf says as whom.
local all all peer map=hunch
";

/// Writes the rules. The map names the server's account and ours; when root started us they differ.
pub(super) fn write(places: &Places, account: &Account) -> Result<(), ClusterError> {
    let data = places.data();
    write_for(account, &data.join("pg_hba.conf"), HBA)?;
    let own = Account::own()?;
    write_for(account, &data.join("pg_ident.conf"), &map(&[own.name.as_str(), account.name.as_str()]))
}

/// The superuser is in the map for backups and repair by hand; the program itself never uses it.
fn map(accounts: &[&str]) -> String {
    let mut accounts = accounts.to_vec();
    accounts.dedup();
    let mut text = String::from("# Written at every start: map, account of this machine, role.\n");
    for account in accounts {
        for role in Role::ALL.map(Role::name).into_iter().chain(["postgres"]) {
            text.push_str(&format!("hunch \"{account}\" {role}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_is_mapped_once() {
        assert_eq!(map(&["ann", "ann"]).lines().count(), 6);
        assert_eq!(map(&["root", "postgres"]).lines().count(), 11);
        assert!(map(&["ann"]).contains("hunch \"ann\" hunch_vault\n"));
    }
}
