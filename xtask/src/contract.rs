//! `cargo xtask contract`: schemathesis asks a running programme everything that the OpenAPI document allows, and much
//! that it does not. Before that, a stranger's tools judge the document itself.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use anyhow::{Context, bail};

use crate::{
    setup::{self, Extent},
    shell::{cargo, run},
    workspace,
};

const SUITE: &str = "crates/http/tests/schemathesis";
const CLIENTS: &str = "crates/http/tests/clients";
/// Cases for each operation and phase.
const LONG: u32 = 200;
const SHORT: u32 = 20;
const START_MAX: Duration = Duration::from_secs(60);

pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    let (mut examples, mut seed) = (LONG, process::id());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let number = || rest.as_slice().first().and_then(|text| text.parse::<u32>().ok());
        match (argument.as_str(), number()) {
            ("--examples", Some(n)) => examples = n,
            ("--seed", Some(n)) => seed = n,
            (other, _) => bail!("contract does not know {other:?}; it takes --examples N and --seed S"),
        }
        rest.next();
    }
    setup::bring(Extent::Test)?;
    run(cargo().args(["build", "--release", "--locked", "--package", "hunch"]))?;
    ask(&workspace::target_folder()?.join("release/hunch"), examples, seed)
}

/// For every test run: few cases, always the same ones, with the build that the tests made.
pub fn short() -> anyhow::Result<()> {
    ask(&workspace::programs_of_tests()?.join("hunch"), SHORT, 1)
}

/// A stranger's tools take the document as valid and make a Python client of it that works. What they make in TypeScript is
/// a suite of its own, beside this one.
fn judge_document(served: &Served) -> anyhow::Result<()> {
    let root = workspace::root();
    run(Command::new(setup::readers_of_the_document())
        .arg(root.join(CLIENTS).join("judge.py"))
        .args([&served.url])
        .args([&served.folder, &root.join("docs/openapi.json"), &root.join(".hunch/clients")])
        .env("PYTHONDONTWRITEBYTECODE", "1"))
}

fn ask(hunch: &Path, examples: u32, seed: u32) -> anyhow::Result<()> {
    let served = Served::start(hunch)?;
    judge_document(&served)?;
    let root = workspace::root();
    let suite = root.join(SUITE);
    let report = root.join(".hunch/schemathesis");
    fs::create_dir_all(&report).with_context(|| format!("making {}", report.display()))?;
    let mut schemathesis = Command::new(setup::schemathesis());
    schemathesis
        // It leaves a folder with what it learnt where it runs.
        .current_dir(&report)
        .arg("--config-file")
        .arg(suite.join("schemathesis.toml"))
        .arg("run")
        .arg(root.join("docs/openapi.json"))
        .args(["--url", &served.url, "--phases", "examples,coverage,fuzzing", "--continue-on-failure"])
        .args(["--max-examples", &examples.to_string(), "--seed", &seed.to_string()])
        // What an earlier run remembers would make the same seed another run.
        .args(["--generation-database", "none"])
        .env("SCHEMATHESIS_HOOKS", suite.join("hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HUNCH_URL", &served.url)
        .env("HUNCH_FOLDER", &served.folder)
        .env("HUNCH_EXCHANGE_URL", &served.exchange_url);
    run(&mut schemathesis)
}

/// A new, empty programme, for as long as this value lives.
struct Served {
    process: Child,
    url: String,
    /// Of the simulator, whose control interface says when a market ends.
    exchange_url: String,
    folder: PathBuf,
}

impl Served {
    fn start(hunch: &Path) -> anyhow::Result<Served> {
        let folder = workspace::root().join(format!(".hunch/contract-{}", process::id()));
        let (address, exchange) = (free_address()?, free_address()?);
        let process = Command::new(hunch)
            .arg("serve")
            .env("HUNCH_SERVER__LISTEN", address.to_string())
            .env("HUNCH_SERVER__OPERATORS_LISTEN", "127.0.0.1:0")
            .env("HUNCH_EXCHANGE__SIMULATOR_PORT", exchange.port().to_string())
            .env("HUNCH_EXCHANGE__SYNC_SECONDS", "1")
            .env("HUNCH_EXCHANGE__POLL_SECONDS", "1")
            .env("HUNCH_DATABASE__FOLDER", &folder)
            // Its members buy for much.
            .env("HUNCH_LIMITS__RULE_POINTS", "1000000")
            .env("HUNCH_LIMITS__TILL_MINUTE_RECEIPTS", "100000")
            .env("HUNCH_LIMITS__TILL_DAY_POINTS", "1000000000")
            .env("HUNCH_LIMITS__MERCHANT_DAY_POINTS", "1000000000")
            .env("HUNCH_LIMITS__MEMBER_DAY_RECEIPTS", "100000")
            .env("HUNCH_LIMITS__MEMBER_DAY_POINTS", "1000000000")
            .env("HUNCH_LOG__FILTER", "warn")
            // Its members sign in with codes that work again and again.
            .env("HUNCH_SANDBOX__CREATE", "true")
            .spawn()
            .with_context(|| format!("starting {}", hunch.display()))?;
        let exchange_url = format!("http://{exchange}");
        let mut served = Served { process, url: format!("http://{address}"), exchange_url, folder };
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = served.process.try_wait()? {
                bail!("the programme ended before it answered: {status}");
            }
            anyhow::ensure!(begun.elapsed() < START_MAX, "the programme does not answer");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(served)
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Drop for Served {
    fn drop(&mut self) {
        // Asked to end, it stops its database; whatever goes wrong here, the test's own result counts.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
