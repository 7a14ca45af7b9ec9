//! `cargo xtask fuzz`: libFuzzer over every reader of bytes from outside (`crates/fuzz`).
//!
//! The compiler's own coverage counters are switched on by flags that the stable toolchain takes, so nothing but a C++
//! compiler is needed, for libFuzzer itself. What was learnt is kept in `target/fuzz/corpus` and goes on from there.

use std::{
    env,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::{
    setup::{self, Extent},
    shell::{ask, cargo, run},
    workspace,
};

const SECONDS: u64 = 600;
const SECONDS_IN_TESTS: u64 = 8;
/// Counters at every edge, and the operands of comparisons, which lead the search to magic words.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
const WORDS: &[&str] = &[
    "-use_value_profile=1",
    "-timeout=10",
    "-rss_limit_mb=2048",
    "-max_len=4096",
    "-print_final_stats=1",
    "-verbosity=1",
];
/// Set for this program where cargo calls it in the compiler's place.
pub const COMPILES: &str = "HUNCH_FUZZ_COMPILES";
const LOOK: Duration = Duration::from_millis(500);
const SAY: Duration = Duration::from_secs(30);

pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    let (mut seconds, mut only) = (SECONDS, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--seconds", Some(number)) => seconds = number.parse().context("--seconds takes a whole number")?,
            ("--target", Some(name)) => only = Some(name.as_str()),
            (other, _) => bail!("fuzz takes --seconds N and --target NAME, not {other:?}"),
        }
    }
    setup::bring(Extent::Test)?;
    fuzz(seconds, only, &build()?)
}

/// For every test run: some seconds for each reader, and the dependencies as the tests built them, without counters.
pub fn short() -> anyhow::Result<()> {
    fuzz(SECONDS_IN_TESTS, None, &build_beside_tests()?)
}

fn fuzz(seconds: u64, only: Option<&str>, program: &Path) -> anyhow::Result<()> {
    let seeds = workspace::root().join("crates/fuzz/seeds");
    let mut targets: Vec<String> = fs::read_dir(&seeds)
        .with_context(|| seeds.display().to_string())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    targets.sort();
    if let Some(name) = only {
        ensure!(targets.iter().any(|target| target == name), "there is no target {name:?}, but there are {targets:?}");
        targets.retain(|target| target == name);
    }
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let mut waiting = targets.into_iter().rev().collect::<Vec<_>>();
    let mut running: Vec<Hunt> = Vec::new();
    let (mut table, mut broken) = (Vec::new(), Vec::new());
    let mut said = Instant::now();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < cores
            && let Some(target) = waiting.pop()
        {
            running.push(Hunt::begin(program, &seeds, target, seconds)?);
        }
        thread::sleep(LOOK);
        for mut hunt in std::mem::take(&mut running) {
            match hunt.child.try_wait()? {
                None => running.push(hunt),
                Some(status) => {
                    let row = hunt.row()?;
                    eprintln!("   {row}");
                    table.push(row);
                    if !status.success() {
                        broken.push(hunt.report()?);
                    }
                }
            }
        }
        if said.elapsed() > SAY && !running.is_empty() {
            said = Instant::now();
            for hunt in &running {
                eprintln!("   … {}", hunt.row()?);
            }
        }
    }
    table.sort();
    table.iter().for_each(|row| println!("{row}"));
    ensure!(broken.is_empty(), "{}", broken.join("\n\n"));
    Ok(())
}

/// Counters in everything but the standard library.
fn build() -> anyhow::Result<PathBuf> {
    let machine = ask("rustc", &["-vV"]).context("rustc does not answer")?;
    let machine = machine.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let target = workspace::target_folder()?.join("fuzz");
    // With a machine named, the flags reach what runs under the fuzzer and not the compiler's own helpers.
    run(cargo()
        .args(["build", "--locked", "--quiet", "--package", "hunch-fuzz", "--features", "libfuzzer"])
        .args(["--profile", "fuzz", "--target", machine, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", COVERAGE.join(" ")))?;
    Ok(target.join(machine).join("fuzz/hunch-fuzz"))
}

/// Counters in Hunch's own crates: cargo asks this program to compile them, see [`compile`].
fn build_beside_tests() -> anyhow::Result<PathBuf> {
    run(cargo()
        .args([
            "build",
            "--locked",
            "--quiet",
            "--workspace",
            "--bin",
            "hunch-fuzz",
            "--features",
            "hunch-fuzz/libfuzzer",
        ])
        .env("RUSTC_WORKSPACE_WRAPPER", env::current_exe()?)
        .env(COMPILES, "1"))?;
    Ok(workspace::target_folder()?.join("debug/hunch-fuzz"))
}

/// The command line when cargo calls this program in the compiler's place.
pub fn compile(compiler_and_arguments: &[String]) -> anyhow::Result<()> {
    let (compiler, arguments) = compiler_and_arguments.split_first().context("cargo named no compiler")?;
    // What runs while building has nobody who reads its counters.
    let is_for_building = arguments.iter().any(|argument| argument == "build_script_build");
    let counters = if is_for_building { &[][..] } else { COVERAGE };
    let error = Command::new(compiler).args(arguments).args(counters).exec();
    Err(error).with_context(|| compiler.clone())
}

/// One reader under fire.
struct Hunt {
    target: String,
    child: Child,
    log: PathBuf,
    found: PathBuf,
}

impl Hunt {
    fn begin(program: &Path, seeds: &Path, target: String, seconds: u64) -> anyhow::Result<Hunt> {
        let folder = workspace::target_folder()?.join("fuzz");
        let (corpus, found) = (folder.join("corpus").join(&target), folder.join("found").join(&target));
        fs::create_dir_all(&corpus)?;
        let _ = fs::remove_dir_all(&found);
        fs::create_dir_all(&found)?;
        let log = folder.join(format!("{target}.log"));
        let child = Command::new(program)
            .env("HUNCH_FUZZ_TARGET", &target)
            .args(WORDS)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", found.display()))
            .args([&corpus, &seeds.join(&target)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Hunt { target, child, log, found })
    }

    fn row(&self) -> anyhow::Result<String> {
        let log = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
        let last = log.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or_default();
        let words: Vec<&str> = last.split_whitespace().collect();
        let after = |name: &str| {
            words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied().unwrap_or("0")
        };
        let runs = words.first().map_or("0", |word| word.trim_start_matches('#'));
        let total = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let runs = total.map_or(runs, str::trim);
        Ok(format!(
            "{:18} {runs:>12} inputs tried, {:>6} edges and {:>6} features seen, {} inputs kept",
            self.target,
            after("cov:"),
            after("ft:"),
            after("corp:").split('/').next().unwrap_or("0"),
        ))
    }

    fn report(&self) -> anyhow::Result<String> {
        let log = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
        let said = log.lines().find(|line| line.contains("panicked at") || line.contains("ERROR")).unwrap_or_default();
        let next = log.lines().skip_while(|line| !line.contains("panicked at")).nth(1).unwrap_or_default();
        let input = fs::read_dir(&self.found)?.flatten().map(|entry| entry.path()).next();
        let input = input.map_or_else(|| "no input was kept".to_owned(), |path| path.display().to_string());
        Ok(format!(
            "{} is broken: {said} {next}\n  by {input}\n  keep it under crates/fuzz/seeds/{}, with a name that says what it is; \
             `cargo test -p hunch-fuzz` runs it from then on",
            self.target, self.target
        ))
    }
}
