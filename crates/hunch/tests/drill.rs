//! The drills in short, as an operator runs them.

use serde_json::Value;
use std::process::{Command, Stdio};

#[test]
fn killing_server_and_database_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_hunch"))
        .args(["drill", "kill", "--rounds", "2", "--seconds", "2"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{told}");
    let line: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(line["holds"], true, "{line}");
    assert_eq!(line["killed"], serde_json::json!({"server": 1, "postgres": 1}));
    assert!(line["receipts"].as_i64().unwrap() > 200, "{line}");
    assert!(line["stakes"].as_i64().unwrap() > 5 && line["orders_at_exchange"].as_i64().unwrap() > 0, "{line}");
    assert_eq!(line["receipts"], line["effects"]);
    let left: Vec<_> = std::fs::read_dir(folder.path().join(".hunch")).unwrap().collect();
    assert!(left.is_empty(), "the drill's folder is gone: {left:?}");
}
