//! What the exchange does: books that move, answers that fail, and the life of a market up to its result.

use hunch_exchange::MarketResult;
use hunch_exchange_sim::{Fault as Armed, FaultKind, On, Outcome, Px, Qty};
use hunch_kernel::{Clock, MarketTicker, Price};
use hunch_town::StatusCode;
use hunch_trading::{CorrectionRefusal, Hint};

use super::Lived;
use crate::facts::Touched;
use crate::jobs;
use crate::op::{Fault, Job};
use crate::origins;
use crate::world::World;

pub fn set_book(world: &World, market: u8, cents: i64, depth: i64) -> Lived {
    let set = world.book(&world.ticker(market), cents, depth);
    Lived::quiet(if set.is_ok() { "set" } else { "not open" })
}

pub async fn list(world: &mut World, hours: u8, slow: bool) -> anyhow::Result<Lived> {
    world.list(hours, slow)?;
    // Known at once, unless the exchange cannot be read just now.
    Ok(Lived::quiet(format!("known {}", world.parts.markets.sync_step().await.is_ok())))
}

pub fn lifecycle<E>(world: &World, market: u8, step: impl Fn(&World, &str) -> Result<(), E>) -> Lived {
    let ticker = world.ticker(market);
    let done = step(world, &ticker).is_ok();
    Lived::quiet(if done { "done" } else { "not now" })
}

/// Takes a market through to its payouts; steps that do not fit where it stands are left out.
pub async fn end(world: &mut World, market: u8, cents: u8) -> anyhow::Result<Lived> {
    let ticker = world.ticker(market);
    let _ = world.exchange.close(&ticker);
    let _ = world.exchange.determine(&ticker, outcome(cents));
    let finalized = world.exchange.finalize(&ticker).is_ok();
    let touched = Touched { members: world.members.clone(), checks: AFTER_PAYOUTS };
    let mut lived = Lived::new(format!("final {finalized} "), touched);
    for job in [Job::Poll, Job::Settle] {
        lived.add(jobs::run(world, job, None).await?);
    }
    Ok(lived)
}

pub fn outcome(cents: u8) -> Outcome {
    match cents {
        0 => Outcome::No,
        100 => Outcome::Yes,
        other => Outcome::Scalar(Px::cents(i64::from(other))),
    }
}

const AFTER_PAYOUTS: &[&str] = &["L1", "L5h", "T4", "U1", "U3"];

/// Corrects what one of the paid markets paid: proposed by one, approved by another, carried out at once.
pub async fn correct(world: &World, market: u8, cents: u8) -> anyhow::Result<Lived> {
    let paid: Vec<String> = sqlx::query_scalar(
        "SELECT market FROM trading.position WHERE paid_at IS NOT NULL GROUP BY market ORDER BY market",
    )
    .fetch_all(world.db.auditor())
    .await?;
    let ticker = if paid.is_empty() { world.ticker(market) } else { paid[usize::from(market) % paid.len()].clone() };
    let (ticker, trading) = (MarketTicker(ticker), &world.parts.trading);
    let before = origins::reversals(world).await?;
    let result = match cents {
        0 => MarketResult::No,
        100 => MarketResult::Yes,
        _ => MarketResult::Scalar,
    };
    let value = Price::from_micros(i64::from(cents) * 10_000)?;
    let proposed = match trading.propose_correction(&ticker, result, value, "simulated", "operator").await {
        Ok(proposed) => proposed,
        Err(CorrectionRefusal::NotPaid) => return Ok(Lived::quiet("not paid")),
        Err(refusal) => anyhow::bail!("T4: a correction of {ticker}: {refusal}"),
    };
    trading.approve_correction(proposed.id, "approver").await.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let changed = world.driven(trading.correct_step()).await?;
    let parked = trading.open_corrections().await.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let mut lived = Lived::new("corrected", Touched { members: world.members.clone(), checks: AFTER_PAYOUTS });
    lived.requests += changed as u64;
    lived.wrong.extend(parked.into_iter().map(|c| format!("T4: a correction was not carried out: {c:?}")));
    lived.wrong.extend(origins::reversed(world, &before).await?);
    Ok(lived)
}

pub async fn hint(world: &World, market: u8, twice: bool) -> anyhow::Result<Lived> {
    let ticker = world.ticker(market);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&world.clock.now().as_second().to_be_bytes());
    let hint = Hint { digest, market: MarketTicker(ticker), member: None };
    for _ in 0..=usize::from(twice) {
        world.parts.trading.take_hint(&hint).await?;
    }
    Ok(Lived::quiet("hinted"))
}

pub fn arm(world: &World, fault: Fault) {
    let arm = |kind: FaultKind| world.exchange.inject(Armed::once(kind));
    match fault {
        Fault::TimeoutAfterAccept => arm(FaultKind::TimeoutAfterAccept { hold_ms: 1 }),
        Fault::ErrorAfterAccept => arm(FaultKind::Error5xx { status: 502, after_accept: true }),
        Fault::ErrorBefore => arm(FaultKind::Error5xx { status: 503, after_accept: false }),
        Fault::Unreadable => arm(FaultKind::Malformed2xx),
        Fault::Busy => arm(FaultKind::RateLimit),
        Fault::PartialFill { hundredths } => arm(FaultKind::PartialFill { at_most: Qty(hundredths) }),
        Fault::ReadsBusy => world.exchange.inject(Armed::once(FaultKind::RateLimit).on(On::Read)),
        Fault::ReadsFail { times } => {
            let failing = FaultKind::Error5xx { status: 500, after_accept: false };
            world.exchange.inject(Armed::once(failing).on(On::Read).times(u32::from(times)));
        }
        Fault::PushFails { times } => world.phones.trouble(StatusCode::SERVICE_UNAVAILABLE, usize::from(times)),
        Fault::PushGone => world.phones.trouble(StatusCode::GONE, 1),
    }
}
