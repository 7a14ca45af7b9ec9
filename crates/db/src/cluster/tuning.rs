//! The server's settings, written at every start to fit the machine. What an operator sets with
//! `ALTER SYSTEM` lies in postgresql.auto.conf, wins, and is never touched.

use std::{fs, path::Path, process::Command};

use crate::cluster::{
    Account, Binaries, ClusterError,
    places::{Places, write_for},
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Assumed where the machine does not say.
const MEMORY_BYTES_DEFAULT: u64 = 4 * GIB;

/// Parts that a build of PostgreSQL may lack. Asked for, they keep the server from starting.
#[derive(Debug, Clone, Copy, Default)]
struct Optional {
    lz4_toast: bool,
    lz4_wal: bool,
    statements: bool,
}

pub(super) fn write(places: &Places, binaries: &Binaries, account: &Account) -> Result<(), ClusterError> {
    let optional = Optional {
        lz4_toast: understands(places, binaries, account, "default_toast_compression=lz4"),
        lz4_wal: understands(places, binaries, account, "wal_compression=lz4"),
        statements: has_library(binaries, "pg_stat_statements"),
    };
    let text = settings(places.socket_folder(), memory_bytes(), optional);
    write_for(account, &places.data().join("postgresql.conf"), &text)
}

fn settings(socket_folder: &Path, memory_bytes: u64, optional: Optional) -> String {
    let megabytes = |bytes: u64| format!("{}MB", bytes / MIB);
    let quoted = format!("'{}'", socket_folder.display().to_string().replace('\'', "''"));
    let mut lines = vec![
        ("listen_addresses", "''".to_owned()),
        ("unix_socket_directories", quoted),
        ("unix_socket_permissions", "0700".to_owned()),
        ("max_connections", "200".to_owned()),
        ("shared_buffers", megabytes((memory_bytes / 4).clamp(128 * MIB, 4 * GIB))),
        ("effective_cache_size", megabytes((memory_bytes / 2).max(256 * MIB))),
        ("work_mem", "32MB".to_owned()),
        ("maintenance_work_mem", megabytes((memory_bytes / 8).clamp(64 * MIB, 512 * MIB))),
        ("max_wal_size", "4GB".to_owned()),
        ("checkpoint_timeout", "15min".to_owned()),
        ("random_page_cost", "1.1".to_owned()),
        ("jit", "off".to_owned()),
        ("huge_pages", "try".to_owned()),
        ("wal_level", "replica".to_owned()),
        ("idle_in_transaction_session_timeout", "60s".to_owned()),
        ("log_line_prefix", "'%m [%p] %u '".to_owned()),
        ("log_timezone", "'UTC'".to_owned()),
        ("timezone", "'UTC'".to_owned()),
        // A statement's text or values may name a person; the server's log is not the vault.
        ("log_min_error_statement", "panic".to_owned()),
        ("log_error_verbosity", "terse".to_owned()),
        ("log_parameter_max_length_on_error", "0".to_owned()),
    ];
    if optional.lz4_toast {
        lines.push(("default_toast_compression", "lz4".to_owned()));
    }
    if optional.lz4_wal {
        lines.push(("wal_compression", "lz4".to_owned()));
    }
    if optional.statements {
        lines.push(("shared_preload_libraries", "'pg_stat_statements'".to_owned()));
    }
    let mut text = String::from("# Written at every start. Use ALTER SYSTEM for settings of your own.\n");
    for (name, value) in lines {
        text.push_str(&format!("{name} = {value}\n"));
    }
    text
}

/// Lets the program itself say whether it was built with what `setting` needs. Starts no server.
fn understands(places: &Places, binaries: &Binaries, account: &Account, setting: &str) -> bool {
    let mut ask = Command::new(binaries.folder.join("postgres"));
    account.run(&mut ask);
    ask.current_dir("/")
        .env_clear()
        .arg("-C")
        .arg("data_directory")
        .arg("-D")
        .arg(places.data())
        // Whatever an earlier start wrote must not get in the way of the question.
        .args(["-c", "config_file=/dev/null", "-c", setting])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn has_library(binaries: &Binaries, name: &str) -> bool {
    // The folder on PATH may hold links into the one where everything lies.
    let program = fs::canonicalize(binaries.folder.join("postgres"));
    let Some(root) = program.as_deref().ok().and_then(|program| program.ancestors().nth(2)) else { return false };
    ["lib", "lib/postgresql", "lib64", "lib64/postgresql", "lib64/pgsql"]
        .iter()
        .any(|folder| ["so", "dylib"].iter().any(|end| root.join(folder).join(format!("{name}.{end}")).is_file()))
}

/// What the machine has, or what a control group leaves us of it.
fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_total(&text));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => u64::min(machine, group),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => MEMORY_BYTES_DEFAULT,
    }
}

fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_settings_follow_the_machine_within_bounds() {
        let of = |bytes| settings(Path::new("/run/it's"), bytes, Optional::default());
        assert!(of(GIB / 4).contains("shared_buffers = 128MB\n"));
        assert!(of(8 * GIB).contains("shared_buffers = 2048MB\n"));
        assert!(of(64 * GIB).contains("shared_buffers = 4096MB\n"));
        assert!(of(GIB).contains("unix_socket_directories = '/run/it''s'\n"));
        assert!(!of(GIB).contains("lz4"));
    }

    #[test]
    fn meminfo_is_read() {
        assert_eq!(memory_total("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(24_576_000 * 1024));
        assert_eq!(memory_total(""), None);
    }
}
