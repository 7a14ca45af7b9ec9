//! Histories that once broke something, and proofs that the simulation itself can be trusted.

use hunch_sim::op::{Fault, JOBS, Job, history};
use hunch_sim::{Op, live};

async fn holds(ops: Vec<Op>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Err(failure) = live(&ops, |_| ()).await.unwrap() {
        panic!("at operation {}: {:#?}", failure.at, failure.what);
    }
}

fn job(job: Job) -> Op {
    Op::Job { job, crash: None }
}

/// The exchange had paid a market of whose end we had not read: the books were said to differ.
#[tokio::test]
async fn a_market_paid_before_we_heard_of_its_end_is_no_difference() {
    holds(vec![
        Op::Batch { seed: 7, size: 120 },
        Op::Stake { member: 5, market: 0, no: false, points: 200 },
        Op::Stake { member: 6, market: 0, no: true, points: 90 },
        job(Job::Dispatch),
        job(Job::Resolve),
        Op::Close { market: 0 },
        Op::Determine { market: 0, cents: 100 },
        Op::Finalize { market: 0 },
        job(Job::Reconcile),
        job(Job::Hints),
        job(Job::Settle),
        job(Job::Reconcile),
    ])
    .await;
}

/// The exchange paid while we were away for days: its settlement rows were only read back two days.
#[tokio::test]
async fn a_market_paid_during_a_long_outage_is_still_booked() {
    holds(vec![
        Op::Batch { seed: 7, size: 120 },
        Op::Stake { member: 5, market: 0, no: false, points: 200 },
        job(Job::Dispatch),
        job(Job::Resolve),
        Op::Close { market: 0 },
        Op::Determine { market: 0, cents: 0 },
        Op::Finalize { market: 0 },
        Op::Wait { seconds: 5 * 86_400 },
        job(Job::Reconcile),
        job(Job::Poll),
        job(Job::Settle),
        job(Job::Reconcile),
    ])
    .await;
}

/// sqlx gave a connection back with a transaction open when whoever began it was dropped: the next consumer waited for
/// ever for the shard's row.
#[tokio::test]
async fn a_job_killed_while_its_transaction_begins_blocks_nobody() {
    let mut ops = vec![Op::Batch { seed: 3, size: 60 }];
    for waits in 0..24 {
        ops.push(Op::Buy { member: 4, till: 1, cents: 1_000, minutes_ago: 0 });
        ops.push(Op::Job { job: Job::Consume, crash: Some(waits) });
        ops.push(job(Job::Consume));
    }
    holds(ops).await;
}

/// Each job dies at each of its first 24 waits, with a stake under way that the exchange took without saying so. Three
/// of the waits share a world, each with a market of its own.
#[tokio::test]
async fn every_job_may_die_at_every_wait() {
    for first in 0..8 {
        let mut ops = vec![Op::Batch { seed: u64::from(first), size: 100 }];
        for (market, waits) in [first, first + 8, first + 16].into_iter().enumerate() {
            let market = market as u8 + 1;
            for (n, work) in [Job::Dispatch, Job::Resolve, Job::Consume, Job::Send].into_iter().enumerate() {
                ops.push(Op::Fault(Fault::TimeoutAfterAccept));
                ops.push(Op::Stake { member: 4 + n as u8, market, no: n % 2 == 0, points: 100 });
                ops.extend([Op::Job { job: work, crash: Some(waits) }, job(work)]);
            }
            ops.extend([Op::Close { market }, Op::Determine { market, cents: 100 }, Op::Finalize { market }]);
            ops.push(Op::Hint { market, twice: false });
            for work in JOBS {
                ops.extend([Op::Job { job: work, crash: Some(waits) }, job(work)]);
            }
        }
        holds(ops).await;
    }
}

/// Nothing goes out to somebody who took a break or was excluded after it was decided.
#[tokio::test]
async fn a_stop_in_the_middle_stops_what_is_under_way() {
    let stop = |member, exclude| Op::StopInTheMiddle { member, market: 1, points: 100, exclude };
    holds(vec![Op::Batch { seed: 5, size: 120 }, stop(4, false), stop(5, true), stop(6, true)]).await;
}

/// After its term an exclusion goes on until the member asked to return and 24 hours have passed.
#[tokio::test]
async fn whoever_comes_back_asked_and_waited() {
    let back = |member, hours| Op::ComeBack { member, points: 100, hours };
    let asks = |member| Op::AskToReturn { member };
    holds(vec![
        Op::Batch { seed: 5, size: 120 },
        asks(4),
        Op::Exclude { member: 5, term: 4 },
        Op::Exclude { member: 6, term: 1 },
        back(4, None),
        back(4, Some(23)),
        asks(4),
        Op::Wait { seconds: 3_700 },
        asks(4),
        back(5, Some(30)),
        back(6, Some(24)),
        back(6, Some(24)),
        back(7, Some(0)),
        Op::Exclude { member: 7, term: 0 },
        asks(7),
    ])
    .await;
}

#[tokio::test]
async fn a_seed_gives_the_same_operations() {
    assert_eq!(history(11, 200), history(11, 200));
    assert_ne!(history(11, 200), history(12, 200));
}

/// The steps take one order and one delivery after the other, so no answer of a socket decides anything. What a killed job
/// had sent may still take effect or may not, so no job is killed here.
#[tokio::test]
async fn a_seed_gives_the_same_books() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut ops = history(11, 120);
    for op in &mut ops {
        if let Op::Job { crash, .. } = op {
            *crash = None;
        }
    }
    let mut lives = Vec::new();
    for _ in 0..2 {
        lives.push(live(&ops, |_| ()).await.unwrap().unwrap_or_else(|failure| panic!("{failure:?}")));
    }
    assert_eq!((lives[0].requests, &lives[0].books), (lives[1].requests, &lives[1].books));
}

/// The table in the README is the list in the code.
#[test]
fn the_readme_names_every_planted_mistake() {
    let readme = include_str!("../README.md");
    for bug in hunch_sim::bugs::BUGS {
        assert!(readme.contains(&format!("| `{}` | {} | {} |", bug.name, bug.what, bug.within)), "{}", bug.name);
    }
}
