//! `hunch-sim`: lives histories from seeds, on all processors, and says what broke.

use clap::Parser;
use hunch_kernel::SystemEntropy;
use hunch_sim::{Failure, Life, Op, core, live, op, shrink};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

#[derive(Parser, Debug)]
#[command(
    name = "hunch-sim",
    about = "Real crates, a movable clock, and whatever can happen to them, drawn from a seed"
)]
struct Args {
    /// How many histories to live.
    #[arg(long, default_value_t = 8)]
    seeds: u64,
    /// Operations of each history.
    #[arg(long, default_value_t = 1_000)]
    ops: usize,
    /// The first seed; any when left out, and 1 for `--bugs`. One seed alone is lived again with `--seeds 1`.
    #[arg(long)]
    seed: Option<u64>,
    /// Histories lived at once; as many as there are processors when left out.
    #[arg(long)]
    workers: Option<usize>,
    /// The pure points ledger alone, for so many operations.
    #[arg(long, num_args = 0..=1, default_missing_value = "100000000")]
    core: Option<u64>,
    /// Plant every known mistake in turn; each must be found.
    #[arg(long)]
    bugs: bool,
    /// One mistake only.
    #[arg(long, requires = "bugs")]
    bug: Option<String>,
    /// One JSON object at the end instead of text.
    #[arg(long)]
    json: bool,
    /// How often a failing history may be lived again to make it short.
    #[arg(long, default_value_t = 150)]
    shrink: u32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("HUNCH_SIM_LOG").unwrap_or_else(|_| "off".into()))
        .with_writer(std::io::stderr)
        .init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match (&args.core, args.bugs) {
        (Some(operations), _) => of_the_core(&args, *operations),
        (None, true) => of_bugs(&args),
        (None, false) => of_everything(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hunch-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Small enough to be read aloud.
fn first_seed(args: &Args) -> u64 {
    args.seed.unwrap_or_else(|| SystemEntropy::shared().uuid().as_u64_pair().0 % 1_000_000_000)
}

fn of_the_core(args: &Args, operations: u64) -> anyhow::Result<bool> {
    let (seed, begun) = (first_seed(args), Instant::now());
    let told = AtomicU64::new(0);
    let done = core::run(seed, operations, |done| {
        let tenth = done * 20 / operations.max(1);
        if told.fetch_max(tenth, Ordering::Relaxed) < tenth {
            eprintln!("   {done} of {operations} operations, {:.0} s", begun.elapsed().as_secs_f64());
        }
    });
    match done {
        Ok(done) => {
            println!(
                "{}",
                serde_json::json!({ "sim": "core", "seed": seed, "operations": done, "holds": true,
                                    "seconds": begun.elapsed().as_secs_f64().round() })
            );
            Ok(true)
        }
        Err(what) => {
            eprintln!("The pure ledger broke with seed {seed}: {what}");
            Ok(false)
        }
    }
}

/// A thread and a runtime of one thread for each world: nothing runs beside what the history drives.
fn in_a_world<T>(work: impl AsyncFnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
}

fn of_everything(args: &Args) -> anyhow::Result<bool> {
    let (first, begun) = (first_seed(args), Instant::now());
    let mut lived = match live_all(args, first) {
        Ok(lived) => lived,
        Err((seed, ops, failure)) => {
            tell_failure(args, seed, &ops, failure?)?;
            return Ok(false);
        }
    };
    lived.sort_by_key(|(seed, _)| *seed);
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for (name, n) in lived.iter().flat_map(|(_, life)| &life.by_outcome) {
        *outcomes.entry(name.clone()).or_default() += n;
    }
    let operations: u64 = lived.iter().map(|(_, life)| life.operations).sum();
    let requests: u64 = lived.iter().map(|(_, life)| life.requests).sum();
    let seconds = begun.elapsed().as_secs_f64();
    if args.json {
        let digests: Vec<String> = lived.iter().map(|(seed, life)| format!("{seed}:{}", life.digest)).collect();
        println!(
            "{}",
            serde_json::json!({ "sim": "all", "seed": first, "seeds": args.seeds, "operations": operations,
                "requests": requests, "holds": true, "seconds": seconds.round(), "outcomes": outcomes, "digests": digests })
        );
    } else {
        for (name, n) in &outcomes {
            println!("{n:>9}  {name}");
        }
        println!(
            "{} histories from seed {first}, {operations} operations, {requests} requests: all held. {seconds:.0} s",
            lived.len(),
        );
    }
    Ok(true)
}

/// A history that did not hold, or could not be lived: its seed, its operations, and what happened.
type Broken = (u64, Vec<Op>, anyhow::Result<Failure>);

/// Lives every history, several at a time, until all are lived or one is broken.
fn live_all(args: &Args, first: u64) -> Result<Vec<(u64, Life)>, Broken> {
    let workers = args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let progress = Progress::of(args.seeds * args.ops as u64);
    let next = AtomicU64::new(0);
    let (lived, broken) = (Mutex::new(Vec::new()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= args.seeds {
                        return;
                    }
                    let seed = first.wrapping_add(n);
                    let ops = op::history(seed, args.ops);
                    let failure = match in_a_world(async || live(&ops, |_| progress.step()).await) {
                        Ok(Ok(life)) => {
                            lived.lock().unwrap_or_else(|e| e.into_inner()).push((seed, life));
                            continue;
                        }
                        Ok(Err(failure)) => Ok(failure),
                        Err(error) => Err(error),
                    };
                    next.store(args.seeds, Ordering::Relaxed);
                    *broken.lock().unwrap_or_else(|e| e.into_inner()) = Some((seed, ops, failure));
                    return;
                }
            });
        }
    });
    match broken.into_inner().unwrap_or_else(|e| e.into_inner()) {
        Some(broken) => Err(broken),
        None => Ok(lived.into_inner().unwrap_or_else(|e| e.into_inner())),
    }
}

/// Says how far all worlds together have come, twenty times.
struct Progress {
    total: u64,
    done: AtomicU64,
    told: AtomicU64,
    begun: Instant,
}

impl Progress {
    fn of(total: u64) -> Progress {
        Progress { total, done: AtomicU64::new(0), told: AtomicU64::new(0), begun: Instant::now() }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let part = done * 20 / self.total.max(1);
        if self.told.fetch_max(part, Ordering::Relaxed) < part {
            eprintln!("   {done} of {} operations, {:.0} s", self.total, self.begun.elapsed().as_secs_f64());
        }
    }
}

/// What broke, how to see it again, and the shortest history that breaks the same.
fn tell_failure(args: &Args, seed: u64, ops: &[Op], failure: Failure) -> anyhow::Result<()> {
    eprintln!("Seed {seed} broke at operation {}:", failure.at);
    failure.what.iter().for_each(|what| eprintln!("   {what}"));
    eprintln!("   cargo xtask sim --seed {seed} --seeds 1 --ops {}", args.ops);
    let (short, failure) = in_a_world(async || shrink(ops, failure, args.shrink).await)?;
    eprintln!("The shortest history found that breaks the same ({} operations):", short.len());
    print_ops(&short);
    failure.what.iter().for_each(|what| eprintln!("   {what}"));
    Ok(())
}

fn print_ops(ops: &[Op]) {
    eprintln!("    vec![");
    ops.iter().for_each(|op| eprintln!("        {op:?},"));
    eprintln!("    ]");
}

#[cfg(not(feature = "seeded-bugs"))]
fn of_bugs(_: &Args) -> anyhow::Result<bool> {
    anyhow::bail!("this build has no mistakes to plant: use `cargo xtask sim --bugs`")
}

#[cfg(feature = "seeded-bugs")]
fn of_bugs(args: &Args) -> anyhow::Result<bool> {
    use hunch_sim::bugs::BUGS;
    let wanted = |name: &str| args.bug.as_deref().is_none_or(|only| only == name);
    let mut escaped = 0;
    println!("{:<26} {:>8} {:>8}  found by", "mistake", "within", "found at");
    for bug in BUGS.iter().filter(|bug| wanted(bug.name)) {
        hunch_kernel::plant_bug(Some(bug.name));
        let mut found = None;
        let mut lived = 0;
        for seed in (args.seed.unwrap_or(1)..).take(bug.within.div_ceil(args.ops)) {
            let ops = op::history(seed, args.ops.min(bug.within - lived));
            match in_a_world(async || live(&ops, |_| ()).await)? {
                Ok(_) => lived += ops.len(),
                Err(failure) => {
                    found = Some((lived + failure.at, failure));
                    break;
                }
            }
        }
        hunch_kernel::plant_bug(None);
        match found {
            Some((at, failure)) => {
                let what: String = failure.what[0].chars().take(110).collect();
                println!("{:<26} {:>8} {at:>8}  {what}", bug.name, bug.within);
            }
            None => {
                escaped += 1;
                println!("{:<26} {:>8} {:>8}  {}", bug.name, bug.within, "ESCAPED", bug.what);
            }
        }
    }
    anyhow::ensure!(escaped == 0, "{escaped} planted mistakes were not found");
    Ok(true)
}
