//! The benchmarks, in short.

use serde_json::Value;
use std::process::{Command, Stdio};

/// Runs one of them in a folder of its own, and gives its line.
fn bench(words: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_hunch"))
        .arg("bench")
        .args(words)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&out.stderr), String::from_utf8_lossy(&out.stdout));
    assert!(out.status.success(), "{words:?}: {told}");
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{words:?}, {e}: {told}"))
}

/// A rush of three times what it can do. The bounds are ratios, and wide: others use this machine too.
#[test]
fn a_rush_is_turned_away_in_good_order() {
    let wide = ["--slower-max", "25", "--recovery-seconds-max", "20", "--accepted-min", "0.1"];
    let line = bench(&[&["overload", "--seconds", "2"], &wide[..]].concat());
    assert_eq!((&line["holds"], &line["rush_without_retry_after"]), (&Value::from(true), &Value::from(0)), "{line}");
    for answer in line["rush_shed"].as_object().unwrap().keys() {
        assert!(answer.starts_with("429 /problems/") || answer.starts_with("503 /problems/"), "{line}");
    }
    assert!(line["rush_accepted_per_second"].as_u64().unwrap() > 0, "{line}");
    assert!(line["refusal_cpu_us"].as_f64().unwrap() > 0.0 && line["possible"].as_u64().unwrap() > 0, "{line}");
}

/// The others have no bound; that they run and print their line is looked at in the smallest size.
#[test]
fn every_benchmark_prints_its_line() {
    let small: [&[&str]; 6] = [
        &["ledger", "--commands", "4000", "--clients", "4", "--batch", "100"],
        &["settle", "--positions", "2000"],
        &["earn-http", "--seconds", "1", "--clients", "4", "--members", "50"],
        &["growth", "--history", "80000", "--commands", "32000"],
        &["decide", "--seconds", "1"],
        &["push", "--seconds", "1"],
    ];
    for words in small {
        let line = bench(words);
        assert_eq!(line["bench"], words[0], "{line}");
    }
}
