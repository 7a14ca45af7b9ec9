//! The programme's own jobs, run once or killed half-way.

use hunch_engage::EngageError;
use hunch_exchange::ExchangeError;
use hunch_kernel::Shard;
use hunch_markets::MarketsError;
use hunch_messaging::copy::betting_word;
use hunch_trading::TradingError;

use crate::crash::crash_after;
use crate::facts::{Touched, paid_too_early, prompted_too_much};
use crate::live::Lived;
use crate::op::Job;
use crate::world::{SHARDS, World};

const ORDERS: usize = 64;
const LOG_BATCHES: i64 = 200;
const DELIVERIES: usize = 200;

/// How many orders, or deliveries, a step has under way at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Which of several requests under way is heard first, and meets the fault that was armed or takes the last contract, is
    /// for the machine to say and not for the seed.
    OneByOne,
    Together,
}

/// Runs a job; with `crash` it is dropped after so many waits, and the process with it, with as much under way as the
/// programme may have.
pub async fn run(world: &mut World, job: Job, crash: Option<u8>) -> anyhow::Result<Lived> {
    let pace = if crash.is_some() { Pace::Together } else { Pace::OneByOne };
    let done = crash_after(world.driven(once(world, job, pace)), crash).await;
    let words = match done {
        Some(words) => words?,
        None => {
            world.restart().await?;
            "crashed".to_owned()
        }
    };
    let mut wrong = match job {
        Job::Settle => paid_too_early(world).await?,
        Job::Send => prompted_too_much(world).await?,
        _ => Vec::new(),
    };
    while let Ok(pushed) = world.pushed.try_recv() {
        if let Some(word) = betting_word(pushed.text.as_bytes()) {
            wrong.push(format!("S4: a push says {word:?}: {}", pushed.text));
        }
    }
    Ok(Lived { words, touched: Touched::checks(checks(job)), requests: 1, wrong })
}

fn checks(job: Job) -> &'static [&'static str] {
    match job {
        Job::Dispatch | Job::Resolve => &["L1", "T1o", "T2", "T3", "T5", "S1o", "S2", "S4", "U1"],
        Job::Settle => &["L1", "T4", "U1", "U3"],
        Job::Consume => &["E1", "E1a", "E1d", "M1"],
        Job::Send => &["S1", "S4"],
        Job::Reconcile => &["T3", "U1", "U2", "U3"],
        Job::Poll | Job::Hints | Job::Sync | Job::Sweep => &[],
    }
}

async fn once(world: &World, job: Job, pace: Pace) -> anyhow::Result<String> {
    let parts = &world.parts;
    Ok(match job {
        Job::Dispatch => format!("sent {}", orders(pace, |most| parts.trading.dispatch_step(most)).await?),
        Job::Resolve => format!("looked {}", orders(pace, |most| parts.trading.resolve_step(most)).await?),
        Job::Settle => {
            let settled = traded(parts.trading.settle_step().await)?;
            traded(parts.trading.correct_step().await)?;
            format!("paid {:?}", settled.map(|s| s.positions))
        }
        Job::Reconcile => match traded(parts.trading.reconcile_step().await)? {
            Some(found) if !found.differences.is_empty() => {
                anyhow::bail!("U2: the books differ: {:?}", found.differences)
            }
            found => format!("compared {}", found.is_some()),
        },
        Job::Poll => format!("polled {}", seen(parts.markets.poll_step().await)?),
        Job::Hints => format!("read {}", seen(parts.markets.hint_step().await)?),
        Job::Sync => format!("listed {}", seen(parts.markets.sync_step().await)?),
        Job::Sweep => {
            parts.trading.sweep_quotes_step().await?;
            parts.trading.parked_hints_step().await?;
            "swept".to_owned()
        }
        Job::Consume => {
            let mut fenced = 0;
            for shard in 0..SHARDS {
                match parts.engage.consume_step(Shard(shard as i16), LOG_BATCHES).await {
                    Ok(_) => {}
                    // The last statement of a killed process may arrive after its successor's first: the successor
                    // is fenced off then, and goes on with its next step.
                    Err(EngageError::Fenced) => fenced += 1,
                    Err(other) => return Err(other.into()),
                }
            }
            format!("consumed {}", fenced == 0)
        }
        Job::Send => {
            let mut sender = parts.sender.clone();
            if pace == Pace::OneByOne {
                sender.limits.concurrent_max = 1;
            }
            format!("{:?}", sender.send_step(DELIVERIES).await?)
        }
    })
}

/// Steps until nothing is due; says with how many orders.
async fn orders(pace: Pace, step: impl AsyncFn(i64) -> Result<usize, TradingError>) -> anyhow::Result<usize> {
    let (steps, most) = if pace == Pace::Together { (1, ORDERS) } else { (ORDERS, 1) };
    let mut all = 0;
    for _ in 0..steps {
        match traded(step(most as i64).await)? {
            None | Some(0) => break,
            Some(done) => all += done,
        }
    }
    Ok(all)
}

/// That the exchange does not answer is part of the game; anything else is not.
fn traded<T>(result: Result<T, TradingError>) -> anyhow::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(TradingError::Exchange(error) | TradingError::Markets(MarketsError::Exchange(error))) => silent(error),
        Err(other) => Err(other.into()),
    }
}

fn seen<T>(result: Result<T, MarketsError>) -> anyhow::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(MarketsError::Exchange(error)) => silent::<bool>(error).map(|none| none.is_some()),
        Err(other) => Err(other.into()),
    }
}

fn silent<T>(_: ExchangeError) -> anyhow::Result<Option<T>> {
    Ok(None)
}
