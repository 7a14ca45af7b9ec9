//! Every setting: what it is for, its default, and where its value came from.
//!
//! Order: the default, then `hunch.toml`, then `HUNCH_…` (`HUNCH_EXCHANGE__REST_URL` is
//! `exchange.rest_url`). An unknown key is refused, so a misspelt safeguard cannot be silently absent.

mod check;
mod listen;

use anyhow::{Context, bail, ensure};
use hunch_kernel::SHARDS_MAX;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use url::Url;

/// Name, default and purpose of each setting. The reader and `hunch config check` work by this one list.
const KNOWN: &[(&str, &str, &str)] = &[
    ("server.listen", "127.0.0.1:8080", "address and port of the HTTP API; :8080 is every address of this machine"),
    (
        "server.operators_listen",
        "",
        "where operators are answered too, and /metrics alone; empty: the next port, of this machine alone where server.listen is every address",
    ),
    (
        "server.connections_max",
        "4096",
        "connections at once; then the one that is quiet longest makes room for a new one",
    ),
    ("server.tills_max", "256", "purchases and returns in hand at once; the next is told to come back; 0 lets none in"),
    ("server.proxies", "0", "proxies of yours in front of server.listen, whose X-Forwarded-For is believed"),
    ("server.public_url", "", "address under which phones reach the API; http://<listen> when empty"),
    ("database.url", "", "a PostgreSQL that you run; empty starts a private one under database.folder"),
    ("database.folder", ".hunch/town", "folder of the private PostgreSQL, keys and anchors"),
    (
        "programme.zone",
        "America/New_York",
        "the town's time zone: what ends today (on the simulator, unless set, one where it is not late)",
    ),
    (
        "programme.shards",
        "0",
        "how many members' books are written at once, 1 to 8; fixed when the database is new. 0: one a processor",
    ),
    (
        "exchange.kind",
        "simulator",
        "simulator (runs within this process), or kalshi (anything that speaks its protocol)",
    ),
    ("exchange.rest_url", "", "REST address up to and including /trade-api/v2"),
    ("exchange.ws_url", "", "WebSocket address, ending in /trade-api/ws/v2"),
    ("exchange.key_id", "", "API key id"),
    ("exchange.private_key_file", "", "PEM file of the API key"),
    ("exchange.simulator_port", "0", "port of the simulator and of its control interface; 0 takes a free one"),
    ("exchange.sync_seconds", "10", "how often open markets and prices are read"),
    ("exchange.poll_seconds", "10", "how often results are polled even while the socket looks healthy"),
    (
        "push.subject",
        "mailto:operator@localhost",
        "contact that push services see, such as mailto:operator@example.org",
    ),
    ("push.allow_loopback_http", "false", "accept plain-http push endpoints on this machine (tests and the demo)"),
    ("push.concurrency", "64", "pushes on their way at once"),
    ("webhook.secret_file", "", "secret of POST /webhooks/settlement; made under database.folder when empty"),
    ("operator.token_file", "", "operator's token; made under database.folder when empty"),
    (
        "operator.approver_sha256",
        "",
        "digest of the second person's token, as `hunch approver` prints it on that person's machine; a sandbox makes one",
    ),
    ("clock.speed", "1", "business seconds a real second (sandbox only, with the simulator)"),
    ("sandbox.create", "false", "make a new database a sandbox for ever: reusable codes, a fast clock, a given place"),
    (
        "sandbox.place",
        "",
        "latitude,longitude of the town in which members are who sign in with a sandbox's reusable codes",
    ),
    ("limits.house_day_points", "500", "most points a member may stake in a day, whatever they choose"),
    ("limits.house_week_points", "2000", "most points a member may stake in a week, whatever they choose"),
    (
        "limits.till_minute_receipts",
        "30",
        "receipts of one minute that a till brings before the rest wait for a person",
    ),
    ("limits.till_day_points", "200000", "points a day that a till gives before the rest wait for a person"),
    ("limits.merchant_day_points", "1000000", "points a day that a merchant gives before the rest wait for a person"),
    ("limits.member_day_receipts", "20", "purchases a day by which a member earns before the rest wait for a person"),
    ("limits.member_day_points", "20000", "points a day that a member earns before the rest wait for a person"),
    (
        "limits.rule_points",
        "10000",
        "most points of one purchase that one operator may let an earn rule or an offer give; above it takes two",
    ),
    ("log.format", "text", "text or json"),
    ("log.filter", "info,sqlx=warn", "which log lines are written"),
];

/// What one till, merchant or member may bring before a person looks.
const VELOCITY: [&str; 5] = [
    "limits.till_minute_receipts",
    "limits.till_day_points",
    "limits.merchant_day_points",
    "limits.member_day_receipts",
    "limits.member_day_points",
];
const VELOCITY_RAISED: &str = "1000000000";

/// Read when no other is named.
const USUAL_FILE: &str = "hunch.toml";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File,
    Environment,
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Default => "default",
            Source::File => "settings file",
            Source::Environment => "environment",
            Source::CommandLine => "command line",
        })
    }
}

/// All settings with their sources.
#[derive(Clone, Debug)]
pub struct Settings(BTreeMap<&'static str, (String, Source)>);

impl Settings {
    /// Reads the file that is named, or `hunch.toml` if there is one, then the variables given.
    ///
    /// # Errors
    /// A file that is named and absent, an unreadable file, an unknown key, or a value that is not a plain one.
    pub fn load(named: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> anyhow::Result<Settings> {
        let file = named.unwrap_or(Path::new(USUAL_FILE));
        let defaults = KNOWN.iter().map(|(key, default, _)| (*key, (default.to_string(), Source::Default)));
        let mut settings = Settings(defaults.collect());
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let table: toml::Table = text.parse().with_context(|| format!("{} is not TOML", file.display()))?;
                for (section, value) in table {
                    let toml::Value::Table(keys) = value else {
                        bail!("{}: `{section}` must be a section, such as [{section}]", file.display());
                    };
                    for (key, value) in keys {
                        let text = match value {
                            toml::Value::String(s) => s,
                            toml::Value::Integer(n) => n.to_string(),
                            toml::Value::Boolean(b) => b.to_string(),
                            other => bail!("{}: {section}.{key} must be a plain value, not {other}", file.display()),
                        };
                        settings.set(&format!("{section}.{key}"), text, Source::File)?;
                    }
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_none() => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                bail!("there is no settings file {}, which --config names", file.display())
            }
            Err(e) => return Err(e).with_context(|| format!("{} cannot be read", file.display())),
        }
        for (name, value) in variables {
            if let Some(path) = name.strip_prefix("HUNCH_")
                && let Some((section, key)) = path.split_once("__")
            {
                let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
                settings
                    .set(&key, value, Source::Environment)
                    .with_context(|| format!("environment variable {name}"))?;
            }
        }
        Ok(settings)
    }

    /// # Errors
    /// An unknown key.
    pub fn set(&mut self, key: &str, value: String, source: Source) -> anyhow::Result<()> {
        let Some((known, _, _)) = KNOWN.iter().find(|(k, _, _)| *k == key) else {
            let near = KNOWN.iter().map(|(k, _, _)| *k).filter(|k| k.split('.').next() == key.split('.').next());
            bail!("there is no setting `{key}`; known here: {}", near.collect::<Vec<_>>().join(", "));
        };
        self.0.insert(known, (value, source));
        Ok(())
    }

    /// For towns that live a day in minutes, and for measurements: what one till, merchant and member may bring is raised where
    /// nobody set it, and the check goes on. Says so.
    ///
    /// # Errors
    /// Never: the settings exist.
    pub fn with_velocity_raised(&self) -> anyhow::Result<Settings> {
        let mut raised = self.clone();
        let keys: Vec<&str> = VELOCITY.into_iter().filter(|key| self.source(key) == Source::Default).collect();
        for key in &keys {
            raised.set(key, VELOCITY_RAISED.to_owned(), Source::CommandLine)?;
        }
        if !keys.is_empty() {
            eprintln!("Points wait for a person only above {VELOCITY_RAISED} here ({}).", keys.join(", "));
        }
        Ok(raised)
    }

    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", |(value, _)| value.as_str())
    }

    /// Where a setting's value comes from.
    pub fn source(&self, key: &str) -> Source {
        self.0.get(key).map_or(Source::Default, |(_, source)| *source)
    }

    /// The town's time zone.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn zone(&self) -> anyhow::Result<TimeZone> {
        let zone = self.text("programme.zone");
        TimeZone::get(zone)
            .ok()
            .with_context(|| format!("programme.zone = {zone:?} is no time zone, such as Europe/Paris"))
    }

    pub fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.text(key)).filter(|v| !v.is_empty()).map(PathBuf::from)
    }

    /// # Errors
    /// The setting's name, value and source when it cannot be understood.
    pub fn parsed<T: FromStr>(&self, key: &str) -> anyhow::Result<T> {
        let (value, source) = self.0.get(key).with_context(|| format!("no setting {key}"))?;
        value.parse().ok().with_context(|| format!("{key} = {value:?} (from the {source}) is not understood"))
    }

    /// Where the API listens.
    ///
    /// # Errors
    /// When that is no address and port, with examples.
    pub fn listen(&self) -> anyhow::Result<SocketAddr> {
        let (written, source) = (self.text("server.listen"), self.source("server.listen"));
        listen::address(written).with_context(|| {
            format!("server.listen = {written:?} (from the {source}) is no address and port; {}", listen::EXAMPLES)
        })
    }

    /// Where operators are answered, beside the API at [`Settings::listen`].
    ///
    /// # Errors
    /// When that is no address and port, with examples.
    pub fn operators_listen(&self) -> anyhow::Result<SocketAddr> {
        let (written, source) = (self.text("server.operators_listen"), self.source("server.operators_listen"));
        if written.is_empty() {
            return Ok(listen::beside(self.listen()?));
        }
        listen::address(written).with_context(|| {
            format!(
                "server.operators_listen = {written:?} (from the {source}) is no address and port; {}",
                listen::EXAMPLES
            )
        })
    }

    pub fn folder(&self) -> PathBuf {
        PathBuf::from(self.text("database.folder"))
    }

    /// Checks that all values can be used together.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(&self) -> anyhow::Result<()> {
        for number in [
            "server.connections_max",
            "exchange.sync_seconds",
            "exchange.poll_seconds",
            "push.concurrency",
            "clock.speed",
            "limits.house_day_points",
            "limits.house_week_points",
            "limits.rule_points",
            "limits.till_minute_receipts",
            "limits.till_day_points",
            "limits.merchant_day_points",
            "limits.member_day_receipts",
            "limits.member_day_points",
        ] {
            ensure!(self.parsed::<u32>(number)? > 0, "{number} must be at least 1");
        }
        ensure!(
            self.parsed::<u16>("programme.shards")? <= SHARDS_MAX,
            "programme.shards must be from 0 to {SHARDS_MAX}"
        );
        let (day, week): (u32, u32) =
            (self.parsed("limits.house_day_points")?, self.parsed("limits.house_week_points")?);
        ensure!(
            day <= week,
            "limits.house_day_points = {day} cannot count beside limits.house_week_points = {week}; lower the first or raise the second"
        );
        self.parsed::<bool>("sandbox.create")?;
        crate::sandbox::place(self)?;
        self.parsed::<u8>("server.proxies")?;
        self.parsed::<u32>("server.tills_max")?;
        self.parsed::<u16>("exchange.simulator_port")?;
        self.parsed::<bool>("push.allow_loopback_http")?;
        self.zone()?;
        ensure!(matches!(self.text("log.format"), "text" | "json"), "log.format must be text or json");
        match self.text("exchange.kind") {
            "simulator" => {}
            "kalshi" => {
                for key in ["exchange.rest_url", "exchange.ws_url", "exchange.key_id", "exchange.private_key_file"] {
                    ensure!(!self.text(key).is_empty(), "exchange.kind = kalshi needs {key}");
                }
                let speed: u32 = self.parsed("clock.speed")?;
                ensure!(
                    speed == 1,
                    "clock.speed = {speed} does not go with exchange.kind = kalshi: that exchange keeps real time, so \
                     orders would be looked for in the future. Take clock.speed = 1, or the simulator"
                );
            }
            other => bail!("exchange.kind = {other:?} is neither simulator nor kalshi"),
        }
        check::check(self)
    }

    /// One line a setting: name, value, source, purpose. No password is among them.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for (key, _, purpose) in KNOWN {
            let shown = match self.shown(key) {
                empty if empty.is_empty() => "(empty)".to_owned(),
                value => value,
            };
            let source = self.source(key).to_string();
            text.push_str(&format!("{key:<28} {shown:<28} {source:<13} {purpose}\n"));
        }
        text
    }

    /// A setting's value as it may be shown to anybody: an address without its password.
    fn shown(&self, key: &str) -> String {
        match key {
            "database.url" => without_password(self.text(key)),
            _ => self.text(key).to_owned(),
        }
    }
}

/// Passwords stand before the host, or among the parameters. Of what is no address nothing is shown.
fn without_password(address: &str) -> String {
    const HIDDEN: &str = "***";
    let known = |url: &Url| matches!(url.scheme(), "postgres" | "postgresql");
    let Some(mut url) = Url::parse(address).ok().filter(known) else {
        return if address.is_empty() { String::new() } else { HIDDEN.to_owned() };
    };
    if url.password().is_some() {
        let _ = url.set_password(Some(HIDDEN));
    }
    if let Some(parameters) = url.query().map(str::to_owned) {
        let hide = |pair: &str| match pair.split_once('=') {
            Some((name, _)) if name.to_lowercase().contains("pass") => format!("{name}={HIDDEN}"),
            _ => pair.to_owned(),
        };
        url.set_query(Some(&parameters.split('&').map(hide).collect::<Vec<_>>().join("&")));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("hunch.toml");
        std::fs::write(&path, file)?;
        Settings::load(Some(&path), variables.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn the_environment_beats_the_file_beats_the_default() {
        let s = load("[exchange]\nrest_url = \"a\"\nkind = \"kalshi\"", &[("HUNCH_EXCHANGE__REST_URL", "b")]).unwrap();
        assert_eq!((s.text("exchange.rest_url"), s.text("exchange.kind")), ("b", "kalshi"));
        assert_eq!(s.text("server.listen"), "127.0.0.1:8080");
    }

    #[test]
    fn unknown_keys_are_refused_with_their_neighbours() {
        let error = load("[exchange]\nrest_ulr = \"a\"", &[]).unwrap_err().to_string();
        assert!(error.contains("rest_ulr") && error.contains("exchange.rest_url"), "{error}");
        assert!(load("", &[("HUNCH_SERVER__LISTEM", "x")]).is_err());
        assert!(load("listen = 1", &[]).is_err());
    }

    #[test]
    fn settings_that_do_not_fit_together_are_named() {
        let s = load("[exchange]\nkind = \"kalshi\"", &[]).unwrap();
        assert!(s.check().unwrap_err().to_string().contains("exchange.rest_url"));
        assert!(load("[clock]\nspeed = 0", &[]).unwrap().check().is_err());
        let limits = load("[limits]\nhouse_day_points = 50\nhouse_week_points = 20", &[]).unwrap().check().unwrap_err();
        assert!(limits.to_string().contains("house_day_points = 50 cannot count beside limits.house_week_points = 20"));
        for place in ["Paris", "91,0", "1,2,3,4", "40.7484"] {
            let said = load(&format!("[sandbox]\nplace = \"{place}\""), &[]).unwrap().check().unwrap_err().to_string();
            assert!(said.contains("is no place; write latitude and longitude"), "{said}");
        }
        assert!(load("[sandbox]\nplace = \"40.7484, -73.9857\"", &[]).unwrap().check().is_ok());
        let kalshi = "[exchange]\nkind = \"kalshi\"\nrest_url = \"https://e.example/trade-api/v2\"\nws_url = \"wss://e.example/trade-api/ws/v2\"\nkey_id = \"k\"\nprivate_key_file = \"Cargo.toml\"\n[push]\nsubject = \"mailto:operator@example.org\"\n";
        assert!(load(kalshi, &[]).unwrap().check().is_ok());
        let fast = load(kalshi, &[("HUNCH_CLOCK__SPEED", "60")]).unwrap().check().unwrap_err().to_string();
        assert!(fast.contains("clock.speed = 60") && fast.contains("simulator"), "{fast}");
        assert!(load("", &[("HUNCH_CLOCK__SPEED", "60")]).unwrap().check().is_ok());
        assert!(load("", &[]).unwrap().check().is_ok());
    }

    #[test]
    fn a_settings_file_that_is_named_and_absent_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("nothere.toml");
        let error = Settings::load(Some(&absent), std::iter::empty()).unwrap_err().to_string();
        assert!(error.contains("nothere.toml") && error.contains("--config"), "{error}");
    }

    /// What `hunch serve` cannot use is refused with the setting's name before anything is started.
    #[test]
    fn what_cannot_be_served_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "the same\n").unwrap();
        let token = token.display().to_string();
        let kalshi: &[(&str, &str)] = &[
            ("HUNCH_EXCHANGE__KIND", "kalshi"),
            ("HUNCH_EXCHANGE__REST_URL", "https://exchange.example.org/trade-api/v2"),
            ("HUNCH_EXCHANGE__WS_URL", "wss://exchange.example.org/trade-api/ws/v2"),
            ("HUNCH_EXCHANGE__KEY_ID", "k"),
            ("HUNCH_EXCHANGE__PRIVATE_KEY_FILE", &token),
            ("HUNCH_PUSH__SUBJECT", "mailto:operator@example.org"),
        ];
        assert!(load("", kalshi).unwrap().check().is_ok());
        let wrong: &[(&str, &str)] = &[
            ("push.subject", "mailto:operator@localhost"),
            ("push.subject", "mailto:@example.org"),
            ("push.subject", "operator@example.org"),
            ("push.subject", "https://localhost/contact"),
            ("exchange.private_key_file", "/nowhere/key.pem"),
            ("exchange.rest_url", "exchange.example.org/trade-api/v2"),
            ("exchange.rest_url", "wss://exchange.example.org"),
            ("exchange.ws_url", "exchange.example.org"),
            ("operator.token_file", "/nowhere/token"),
            ("webhook.secret_file", "/dev/null"),
            ("server.public_url", "hunch.example.org"),
            ("server.listen", "http://localhost:8080"),
            ("server.operators_listen", "operators"),
            ("server.connections_max", "0"),
            ("server.proxies", "many"),
            ("operator.approver_sha256", "not a digest"),
            ("database.url", "db.example.org/hunch"),
            ("database.url", "mysql://db.example.org/hunch"),
            ("limits.house_day_points", "600000000"),
            ("log.filter", "info,==="),
        ];
        for (key, value) in wrong {
            let mut settings = load("", kalshi).unwrap();
            settings.set(key, (*value).to_owned(), Source::CommandLine).unwrap();
            let error = format!("{:#}", settings.check().expect_err(&format!("{key} = {value}")));
            assert!(error.contains(key), "{key} = {value}: {error}");
        }
        let digest = hex::encode(ring::digest::digest(&ring::digest::SHA256, b"the same"));
        let same = [("HUNCH_OPERATOR__TOKEN_FILE", token.as_str()), ("HUNCH_OPERATOR__APPROVER_SHA256", &digest)];
        let error = load("", &same).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("two people"), "{error}");
        for (one, other) in [
            (("HUNCH_SERVER__LISTEN", ":9000"), ("HUNCH_EXCHANGE__SIMULATOR_PORT", "9000")),
            (("HUNCH_SERVER__LISTEN", ":8999"), ("HUNCH_EXCHANGE__SIMULATOR_PORT", "9000")),
            (("HUNCH_SERVER__LISTEN", ":9000"), ("HUNCH_SERVER__OPERATORS_LISTEN", ":9000")),
        ] {
            let error = load("", &[one, other]).unwrap().check().unwrap_err().to_string();
            assert!(error.contains("both name port 9000"), "{error}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for url in [
            "postgres://ann:tea-and-cake@db.example.org:5432/hunch?sslmode=require",
            "postgres://db.example.org/hunch?user=ann&password=tea-and-cake",
            "ann:tea-and-cake@db.example.org/hunch",
            "host=db.example.org password=tea-and-cake",
        ] {
            let settings = load("", &[("HUNCH_DATABASE__URL", url)]).unwrap();
            let told = format!("{} {:?}", settings.explain(), settings.check().map_err(|e| format!("{e:#}")));
            assert!(!told.contains("tea-and-cake"), "{told}");
        }
        let settings = load("", &[("HUNCH_DATABASE__URL", "postgres://ann:pw@db.example.org/hunch")]).unwrap();
        assert!(settings.explain().contains("postgres://ann:***@db.example.org/hunch"), "{}", settings.explain());
    }
}
