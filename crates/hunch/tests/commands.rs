//! The commands as an operator types them, in folders and with settings that are not as they should be.

use hunch_db::testing::TestDb;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

struct Said {
    well: bool,
    out: String,
    err: String,
}

fn hunch(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hunch"));
    command.current_dir(folder).args(words).env_remove("HUNCH_DATA_DIR").envs(variables.iter().copied());
    let done = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { well: done.status.success(), out: text(&done.stdout), err: text(&done.stderr) }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn commands_that_look_at_a_programme_make_none() {
    let folder = tempfile::tempdir().unwrap();
    let cover = ["treasury", "cover", "--loss", "house", "--dollars", "1", "--cause", "x"];
    let looking: &[&[&str]] = &[
        &["audit"],
        &["audit", "--full", "--json"],
        &["audit", "--write-anchor", "anchors.jsonl"],
        &["backup", "copy"],
        &["treasury", "balances"],
        &cover,
        &["models", "list"],
        &["models", "rollback", "churn"],
        &["models", "export", "table"],
        &["models", "drift"],
    ];
    for words in looking {
        let said = hunch(folder.path(), words, &[]);
        assert!(!said.well && said.err.contains("there is no programme in .hunch/town"), "{words:?}: {}", said.err);
        assert!(said.err.contains("--config") && said.out.is_empty(), "{words:?}: {}{}", said.out, said.err);
        assert!(is_empty(folder.path()), "{words:?} made something");
    }
}

/// A server of the operator's on which nobody ever started a programme.
#[tokio::test]
async fn a_server_without_a_programme_is_left_as_it_is() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let (address, parameters) = match db.url().split_once('?') {
        Some((address, parameters)) => (address.to_owned(), format!("?{parameters}")),
        None => (db.url(), String::new()),
    };
    let empty = format!("{}/postgres{parameters}", address.rsplit_once('/').unwrap().0);
    let said = hunch(folder.path(), &["audit"], &[("HUNCH_DATABASE__URL", &empty)]);
    assert!(!said.well && said.err.contains("there is no programme in the database"), "{}{}", said.out, said.err);
    let again = hunch(folder.path(), &["audit"], &[("HUNCH_DATABASE__URL", &empty)]);
    assert_eq!(said.err, again.err, "the first look made something");
    let said = hunch(folder.path(), &["audit"], &[("HUNCH_DATABASE__URL", &db.url()), ("HUNCH_LOG__FILTER", "trace")]);
    assert!(said.well, "{}", said.err);
    assert!(!said.err.contains('\u{1b}'), "colours in a pipe: {}", said.err);
}

#[test]
fn a_settings_file_that_is_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    for words in [["config", "check"], ["models", "list"]] {
        let said = hunch(folder.path(), &[&["--config", "nothere.toml"], &words[..]].concat(), &[]);
        assert!(!said.well && said.err.contains("no settings file nothere.toml"), "{}", said.err);
    }
    assert!(hunch(folder.path(), &["config", "check"], &[]).well, "the usual file may be absent");
}

/// What `serve` refuses to start with, `config check` refuses too, with the same sentence; and no password is shown.
#[test]
fn the_settings_that_serve_refuses_are_refused_before() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("no-key.pem"), "this is no key\n").unwrap();
    let kalshi = [
        ("HUNCH_EXCHANGE__KIND", "kalshi"),
        ("HUNCH_EXCHANGE__REST_URL", "http://127.0.0.1:9/trade-api/v2"),
        ("HUNCH_EXCHANGE__WS_URL", "ws://127.0.0.1:9/trade-api/ws/v2"),
        ("HUNCH_EXCHANGE__KEY_ID", "k"),
        ("HUNCH_PUSH__SUBJECT", "mailto:operator@example.org"),
    ];
    let cases: &[(&str, &str, &str)] = &[
        ("HUNCH_PUSH__SUBJECT", "mailto:operator@localhost", "push.subject"),
        ("HUNCH_EXCHANGE__PRIVATE_KEY_FILE", "nowhere.pem", "exchange.private_key_file"),
        ("HUNCH_EXCHANGE__PRIVATE_KEY_FILE", "no-key.pem", "exchange.private_key_file"),
        ("HUNCH_EXCHANGE__REST_URL", "127.0.0.1:9/trade-api/v2", "exchange.rest_url"),
        ("HUNCH_OPERATOR__TOKEN_FILE", "nowhere", "operator.token_file"),
        ("HUNCH_LIMITS__HOUSE_DAY_POINTS", "999999999", "limits.house_day_points"),
        ("HUNCH_DATABASE__URL", "ann:tea-and-cake@db.example.org/hunch", "database.url"),
    ];
    for (name, value, setting) in cases {
        let key =
            (*name != "HUNCH_EXCHANGE__PRIVATE_KEY_FILE").then_some(("HUNCH_EXCHANGE__PRIVATE_KEY_FILE", "key.pem"));
        std::fs::write(folder.path().join("key.pem"), key_pem()).unwrap();
        let others = kalshi.iter().copied().filter(|(other, _)| other != name).chain(key);
        let variables: Vec<(&str, &str)> = others.chain([(*name, *value)]).collect();
        let (checked, served) =
            (hunch(folder.path(), &["config", "check"], &variables), hunch(folder.path(), &["serve"], &variables));
        assert!(!checked.well && checked.err.contains(setting), "{name}={value}: {}", checked.err);
        assert!(!served.well && served.err.contains(setting), "{name}={value}: {}", served.err);
        let all = [&checked.out, &checked.err, &served.err].map(String::as_str).concat();
        assert!(!all.contains("tea-and-cake"), "{all}");
    }
}

/// A key of the kind that the exchange gives.
fn key_pem() -> String {
    let entropy = hunch_kernel::SeededEntropy::shared(1);
    hunch_exchange_sim::KeyPair::ed25519(entropy.as_ref()).unwrap().private_pem
}

#[test]
fn a_busy_port_is_named_with_the_setting_and_nothing_is_started() {
    let (folder, other) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = other.local_addr().unwrap().port().to_string();
    for listen in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), port.clone()] {
        let said = hunch(folder.path(), &["serve"], &[("HUNCH_SERVER__LISTEN", &listen)]);
        let named = [format!("port {port}"), "in use".to_owned(), "server.listen".to_owned()];
        assert!(!said.well && named.iter().all(|words| said.err.contains(words)), "{listen}: {}", said.err);
    }
    assert!(is_empty(folder.path()));
    let said = hunch(folder.path(), &["serve"], &[("HUNCH_SERVER__LISTEN", "http://localhost")]);
    assert!(!said.well && said.err.contains("localhost:8080"), "an example is given: {}", said.err);
}

#[test]
fn a_wrong_data_folder_does_not_keep_hunch_from_running() {
    let folder = tempfile::tempdir().unwrap();
    let said = hunch(folder.path(), &["doctor"], &[("HUNCH_DATA_DIR", "/nowhere/at/all")]);
    assert!(said.well && said.out.contains("WARNING  real data sets"), "{}{}", said.out, said.err);
    assert!(!said.out.contains("cannot run"), "{}", said.out);
}
