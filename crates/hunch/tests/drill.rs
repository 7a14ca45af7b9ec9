//! The drills in short, as an operator runs them.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a drill printed on its last line, having held and left nothing behind.
fn drill(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let (line, told) = lived(arguments, folder.path());
    assert_eq!(line["holds"], true, "{line} {told}");
    let left: Vec<_> = std::fs::read_dir(folder.path().join(".hunch")).unwrap().collect();
    assert!(left.is_empty(), "the drill's folder is gone: {left:?}");
    line
}

/// A drill's last line and what it told; its exit code says what the line says.
fn lived(arguments: &[&str], folder: &Path) -> (Value, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_hunch"))
        .arg("drill")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    let line: Value = printed
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| panic!("{told}{printed}"));
    assert_eq!(out.status.success(), line["holds"] == true, "{told}{printed}");
    (line, told)
}

/// Receipts come back before, between and after corrections, in some of the orders that there are. The mistake of earlier
/// programmes, a reversal that counts as a stake, is found.
#[test]
fn no_order_of_corrections_and_returns_loses_a_lots_way() {
    // The tests of a workspace run beside each other: how fast it is, the whole drill says.
    let few = ["clawback", "--orders", "24", "--answer-ms", "30000"];
    let line = drill(&few);
    assert_eq!(line["orders"], 24, "{line}");
    assert!(line["slowest_ms"].as_i64().is_some_and(|ms| ms > 0), "{line}");
    let folder = tempfile::tempdir().unwrap();
    let (line, told) = lived(&[&few[..], &["--mistake", "reversal-as-stake"]].concat(), folder.path());
    assert_eq!(line["holds"], false, "{line} {told}");
    let found = ["can never be stored", "cannot be stored", "not so: nothing is left of what was returned"];
    assert!(found.iter().any(|what| told.contains(what)), "it is found by what members would meet: {told}");
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

/// Strangers who are slow, silent or inventive, and a till that sends nonsense, keep nobody out.
#[test]
fn slow_senders_cost_nobody_else_anything() {
    // The tests of a workspace run beside each other: how quick the honest stay, the whole drill says.
    let line = drill(&["slow-senders", "--seconds", "4", "--slower-max", "100"]);
    let cases = line["cases"].as_array().unwrap();
    let names: Vec<&str> = cases.iter().filter_map(|case| case["name"].as_str()).collect();
    let all = ["silent-headers", "silent-bodies", "silent-streams", "many-event-streams", "made-up-methods", "poison"];
    assert_eq!(names, all, "{line}");
    for case in cases {
        assert_eq!(case["refused_honest"], 0, "{line}");
        assert!(
            case["calm_p99_ms"].as_f64().unwrap() > 0.0 && case["attacked_p99_ms"].as_f64().unwrap() > 0.0,
            "{line}"
        );
    }
}
