//! The pure points ledger over very many histories, each checked after every command.

use hunch_ledger::testing::books::{Books, Op};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::dice::Dice;

/// Operations of one history: enough for stakes on winnings and returns of both.
const HISTORY: u64 = 48;
/// What stakes are paid that were not paid in the history.
const LAST_PAY: i64 = 120;

fn draw(dice: &mut Dice) -> Op {
    let member = dice.below(3) as u8;
    let which = dice.next() as usize;
    match dice.below(26) {
        0..=2 => Op::Earn { member, points: dice.between(-5, 200), provisional: dice.chance(1, 5) },
        3 => Op::EarnBoth { member, points: dice.between(-1, 200), extra: dice.between(-1, 60) },
        4 => match dice.chance(2, 3) {
            true => Op::Mature { which },
            false => Op::TakeBack { which },
        },
        5..=9 => Op::Hold { member, points: dice.between(0, 250) },
        10..=13 => Op::Close { which, capture: dice.between(0, 260) },
        14..=16 => Op::Pay { which, points: dice.between(0, 500) },
        17..=19 => Op::Return { which },
        20..=21 => Op::Reverse { which },
        22..=23 => Op::Repay { which, points: dice.between(0, 500) },
        24 => Op::RepeatLast,
        _ => Op::ReuseLastKey,
    }
}

fn history(seed: u64) -> Vec<Op> {
    let mut dice = Dice::new(seed);
    (0..HISTORY).map(|_| draw(&mut dice)).collect()
}

/// How many commands there were: some operations find nothing to do.
fn live(ops: &[Op]) -> u64 {
    let (mut books, mut commands) = (Books::new(), 0);
    for op in ops {
        if let Some(command) = books.command(op) {
            books.run(command);
            books.check();
            commands += 1;
        }
    }
    books.bring_everything_back(LAST_PAY);
    commands
}

/// Lives histories from `seed` on, on all processors, until `operations` are done.
///
/// # Errors
/// The shortest failing history that was found, in words.
pub fn run(seed: u64, operations: u64, progress: impl Fn(u64) + Sync) -> Result<u64, String> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    std::panic::set_hook(Box::new(|_| ())); // a failing history is told once, when it is short
    let failed = std::thread::scope(|scope| {
        let work = || {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= u64::MAX / 2 || done.load(Ordering::Relaxed) >= operations {
                    return None;
                }
                let ops = history(seed.wrapping_add(n));
                let Ok(commands) = catch_unwind(AssertUnwindSafe(|| live(&ops))) else {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                    return Some(ops);
                };
                progress(done.fetch_add(commands, Ordering::Relaxed) + commands);
            }
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().find_map(|t| t.join().ok().flatten())
    });
    let told = failed.map(shortest);
    let _ = std::panic::take_hook();
    told.map_or(Ok(done.into_inner()), |(ops, what)| Err(format!("{what}\n{ops:#?}")))
}

/// What goes wrong in this history.
fn failure(ops: &[Op]) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| live(ops))).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
}

fn shortest(mut ops: Vec<Op>) -> (Vec<Op>, String) {
    let mut at = 0;
    while at < ops.len() {
        let mut without = ops.clone();
        without.remove(at);
        if failure(&without).is_some() { ops = without } else { at += 1 }
    }
    let what = failure(&ops).unwrap_or_default();
    (ops, what)
}
