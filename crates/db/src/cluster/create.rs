//! Makes a cluster: beside its place, complete with roles and database, then moves it there in one step.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    cluster::{
        Account, Binaries, ClusterError,
        places::{Places, make_private},
    },
    roles::CREATE_ROLES_SQL,
};

/// The one database of a private cluster.
pub const DATABASE: &str = "hunch";

/// True if the cluster was made now. A start that is cut short leaves only a folder that the next one clears.
pub(super) fn create_if_missing(places: &Places, binaries: &Binaries, account: &Account) -> Result<bool, ClusterError> {
    if places.data_major()?.is_some() {
        return Ok(false);
    }
    let unfinished = places.data_unfinished();
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(ClusterError::io("clearing an unfinished cluster"))?;
    }
    make_private(&unfinished, account)?;
    initdb(binaries, account, &unfinished)?;
    create_roles_and_database(binaries, account, &unfinished)?;
    flush(places.folder())?;
    fs::rename(&unfinished, places.data()).map_err(ClusterError::io("moving the new cluster to its place"))?;
    flush(places.folder())?;
    Ok(true)
}

fn initdb(binaries: &Binaries, account: &Account, data: &Path) -> Result<(), ClusterError> {
    let mut initdb = tool(binaries, account, "initdb");
    initdb
        .args(["--no-sync", "--no-instructions", "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"])
        .args(["--username=postgres", "--auth-local=peer", "--auth-host=reject"])
        .arg("-D")
        .arg(data);
    finish(initdb, "initdb", "")
}

/// Single-user mode needs no socket and no authentication, and everything is there before the cluster is.
fn create_roles_and_database(binaries: &Binaries, account: &Account, data: &Path) -> Result<(), ClusterError> {
    let mut postgres = tool(binaries, account, "postgres");
    // -j: a statement ends at a semicolon followed by an empty line.
    postgres.args(["--single", "-j", "-c", "exit_on_error=on", "-c", "fsync=off", "-D"]).arg(data).arg("postgres");
    let sql = format!("{}\n\nCREATE DATABASE {DATABASE} OWNER hunch_owner;\n\n", CREATE_ROLES_SQL.trim());
    finish(postgres, "postgres --single", &sql)
}

fn tool(binaries: &Binaries, account: &Account, program: &str) -> Command {
    let mut command = Command::new(binaries.folder.join(program));
    account.run(&mut command);
    command.current_dir("/").env_clear().env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command
}

fn finish(mut command: Command, program: &str, input: &str) -> Result<(), ClusterError> {
    let doing = || ClusterError::io(format!("running {program}"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(doing())?;
    // The input is far smaller than a pipe's buffer. A program that did not read it says why below.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).ok();
    }
    let output = child.wait_with_output().map_err(doing())?;
    if output.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(ClusterError::Command { program: program.to_owned(), output: said.trim().to_owned() })
}

/// One flush of the whole file system is as safe as initdb's own and much faster than a file at a time.
fn flush(folder: &Path) -> Result<(), ClusterError> {
    let folder = File::open(folder).map_err(ClusterError::io("flushing the new cluster to disk"))?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&folder).map_err(|errno| ClusterError::io("flushing the new cluster to disk")(errno.into()))?;
    #[cfg(not(target_os = "linux"))]
    {
        rustix::fs::sync();
        drop(folder);
    }
    Ok(())
}
