//! The drills in short, as an operator runs them.

use serde_json::Value;
use std::process::{Command, Stdio};

/// What a drill printed on its last line, having held and left nothing behind.
fn drill(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_hunch"))
        .arg("drill")
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{told}{}", String::from_utf8_lossy(&out.stdout));
    let line: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(line["holds"], true, "{line}");
    let left: Vec<_> = std::fs::read_dir(folder.path().join(".hunch")).unwrap().collect();
    assert!(left.is_empty(), "the drill's folder is gone: {left:?}");
    line
}

#[test]
fn killing_server_and_database_loses_nothing() {
    let line = drill(&["kill", "--rounds", "2", "--seconds", "2"]);
    assert_eq!(line["killed"], serde_json::json!({"server": 1, "postgres": 1}));
    assert!(line["receipts"].as_i64().unwrap() > 200, "{line}");
    assert!(
        line["stakes"].as_i64().unwrap() > 5 && line["found"]["orders_at_exchange"].as_i64().unwrap() > 0,
        "{line}"
    );
    assert_eq!(line["receipts"], line["found"]["effects"]);
}

/// Slow, broken or absent: exchange, push service, database, disk, clock.
#[test]
fn troubled_neighbours_cost_nothing() {
    let line = drill(&["neighbours", "--seconds", "8"]);
    let faults = line["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 10, "{line}");
    assert!(line["receipts"].as_i64().unwrap() > 200, "{line}");
}

/// A backup under load becomes a programme again.
#[test]
fn a_backup_is_worth_something() {
    let line = drill(&["restore", "--seconds", "2"]);
    assert!(line["before_backup"].as_i64().unwrap() > 50, "{line}");
    assert!(line["restored"].as_i64() >= line["before_backup"].as_i64(), "{line}");
}
