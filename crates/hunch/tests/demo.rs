//! The demonstration as a stranger runs it: it tells its last line, and a pulled plug loses nothing.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn demo(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hunch"));
    command.current_dir(folder).args(["demo", "--port", "0", "--pace", "60"]).args(more);
    command.env_remove("HUNCH_DATA_DIR").stdin(Stdio::null());
    command
}

fn last_line(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn number(line: &Value, path: &str) -> i64 {
    line.pointer(path).and_then(Value::as_i64).unwrap_or_else(|| panic!("{path} is missing in {line}"))
}

#[test]
fn a_pulled_plug_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Stakes are on their way and markets are ending when the plug is pulled.
    let errors = std::fs::File::create(folder.path().join("told")).unwrap();
    let mut first = demo(folder.path(), &[]).stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    let begun = Instant::now();
    while stakes_told(folder.path()) < 20 {
        assert!(begun.elapsed() < Duration::from_secs(180), "the town does not come to life");
        assert!(first.try_wait().unwrap().is_none(), "the town ended by itself");
        std::thread::sleep(Duration::from_millis(300));
    }
    first.kill().unwrap();
    first.wait().unwrap();

    let line = last_line(&demo(folder.path(), &["--for", "60s", "--json"]).output().unwrap());
    assert_eq!(line["audit"]["holds"], true);
    assert!(number(&line, "/purchases") > 500);
    assert!(number(&line, "/stakes") > 50);
    assert!(number(&line, "/markets_settled") >= 5);
    assert!(number(&line, "/positions_paid") > 10);
    assert_eq!(number(&line, "/orders/open"), 0);
    assert!(number(&line, "/latency_ms/final_credited/n") > 10);
    for check in line["audit"]["checks"].as_array().unwrap() {
        assert!(check["checked"].as_i64().unwrap() > 0, "{check} looked at nothing");
        assert_eq!(check["violations"], 0);
    }
    told_in_full(&line);

    let audited = Command::new(env!("CARGO_BIN_EXE_hunch"))
        .current_dir(folder.path())
        .args(["audit", "--full", "--json", "--anchor", ".hunch/town/anchors.jsonl"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let audited = last_line(&audited);
    assert_eq!(shape(&audited), shape(&line["audit"]), "the same object, printed alone");
    let ids = |audit: &Value| audit["checks"].as_array().unwrap().iter().map(|c| c["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&audited), ids(&line["audit"]));
    assert!(number(&audited, "/checks/0/checked") >= number(&line, "/members"), "it looked at the same town");
}

/// Somebody else has the port, and the town closes: both are said, and what is counted on the way is what is told in the end.
#[test]
fn a_taken_port_is_passed_over_and_closing_says_what_it_does() {
    let (folder, other) = (tempfile::tempdir().unwrap(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let taken = other.local_addr().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hunch"));
    command.current_dir(folder.path()).args(["demo", "--for", "12s", "--pace", "60", "--stakes", "2"]);
    command.env_remove("HUNCH_DATA_DIR").env("HUNCH_SERVER__LISTEN", taken.to_string()).stdin(Stdio::null());
    let done = command.output().unwrap();
    let (told, last) = (String::from_utf8_lossy(&done.stderr), String::from_utf8_lossy(&done.stdout));
    assert!(done.status.success(), "{told}");
    assert!(
        told.contains(&format!("Port {} is in use by another program, so the demo takes ", taken.port())),
        "{told}"
    );
    for step in [
        "The shops are shut; the last baskets are rung up.",
        "The last pushes are waited for.",
        "The books are compared with the exchange's.",
        "The books are audited.",
        "The programme and its database are stopped.",
    ] {
        assert!(told.contains(step), "{step:?} is not in {told}");
    }
    for file in files_of(&folder.path().join(".hunch/town")) {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{} is for others to read: {mode:o}", file.display());
    }
    let counted = told.lines().rev().find(|line| line.contains(" baskets ")).unwrap();
    let counted: Vec<u64> = counted.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let summed: Vec<u64> = last.split([' ', ';']).filter_map(|word| word.parse().ok()).collect();
    // Purchases, points, pushes, stakes, refusals; the summary has members, shops and returns between them.
    let [purchases, _, _, points, _, pushes, stakes, refused, ..] = summed[..] else { panic!("{last}") };
    assert_eq!(counted[..5], [purchases, points, pushes, stakes, refused], "{last}");
}

/// Everything that a programme keeps, but for PostgreSQL's own folders, which are closed as a whole.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            match entry.file_name().to_str() {
                Some("data" | "run") => {}
                _ if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    for name in ["simulator.json", "town-memory.json", "operator-token"] {
        assert!(found.iter().any(|file| file.ends_with(name)), "{name} is not among {found:?}");
    }
    found
}

/// Every field that somebody who reads the line by program may lean on, and among them all that a town of a minute
/// has to have met.
fn told_in_full(line: &Value) {
    for path in [
        "/members",
        "/merchants",
        "/purchases",
        "/points_issued",
        "/returns",
        "/decisions",
        "/pushes_sent",
        "/stakes",
        "/orders/filled",
        "/orders/partial",
        "/orders/killed",
        "/orders/unknown_resolved",
        "/markets_settled",
        "/positions_paid",
        "/points_paid",
        "/data/rows",
    ] {
        assert!(number(line, path) > 0, "{path} in {line}");
    }
    for code in ["limit", "excluded", "under-age", "place"] {
        let refused = line["stakes_refused"].as_object().unwrap().iter().filter(|(said, _)| said.contains(code));
        assert!(refused.map(|(_, n)| n.as_i64().unwrap()).sum::<i64>() > 0, "{code} in {}", line["stakes_refused"]);
    }
    let withheld = line["pushes_withheld"].as_object().unwrap();
    assert!(!withheld.is_empty() && withheld.values().all(|n| n.as_i64().unwrap() > 0), "{withheld:?}");
    for measured in ["request_answer", "purchase_push", "final_credited"] {
        for figure in ["p50", "p95", "p99"] {
            let path = format!("/latency_ms/{measured}/{figure}");
            assert!(line.pointer(&path).is_some_and(Value::is_number), "{path} in {line}");
        }
        assert!(number(line, &format!("/latency_ms/{measured}/n")) > 0);
    }
    assert!(line["data"]["source"].as_str().is_some_and(|source| !source.is_empty()), "{}", line["data"]);
}

/// An object's names and kinds of value, without the values.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => items.first().map_or(Value::Null, shape),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => Value::Null,
    }
}

/// The number of stakes in the newest line of the town's own account.
fn stakes_told(folder: &Path) -> u64 {
    let told = std::fs::read_to_string(folder.join("told")).unwrap_or_default();
    let line = told.lines().rev().find(|l| l.contains(" stakes "));
    let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    words.windows(2).find(|w| w[1] == "stakes").and_then(|w| w[0].parse().ok()).unwrap_or(0)
}
