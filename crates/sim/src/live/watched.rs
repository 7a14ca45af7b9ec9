//! Points that wait for a person's decision: nothing can use them, and each waiting ends once.

use hunch_kernel::{Clock, Points, PurchaseId, shard_of};
use hunch_loyalty::{ReturnRequest, Review, ReviewDecision, ReviewRefusal, ReviewRequest, purchase_id, watch_terminal};

use super::Lived;
use super::tills::{Basket, report};
use crate::facts::Touched;
use crate::model::Model;
use crate::op::Watched;
use crate::world::{SHARDS, World};

const AFTER_DECISION: &[&str] = &["L1", "L5p", "L6p"];

/// One purchase at a till that is watched while it is reported, and what becomes of its points.
pub async fn buy_and_decide(world: &World, model: &mut Model, basket: Basket, then: Watched) -> anyhow::Result<Lived> {
    let (member, till) = (world.members[usize::from(basket.member)], world.tills[usize::from(basket.till)]);
    let before = hunch_ledger::balance(world.db.app(), member).await?.unwrap_or_default();
    watch(world, &basket, Some("simulated")).await?;
    let receipt = basket.receipt(world, model, 0);
    let purchase = purchase_id(till, &receipt.receipt);
    let mut lived = report(world, model, vec![receipt], Touched::member(member, AFTER_DECISION)).await;
    watch(world, &basket, None).await?;
    let Some(at) = model.receipts.iter().position(|r| purchase_id(r.request.terminal, &r.request.receipt) == purchase)
    else {
        return Ok(lived);
    };
    let points = model.receipts[at].points;
    let after = hunch_ledger::balance(world.db.app(), member).await?.unwrap_or_default();
    if (after.available, after.debt, after.provisional) != (before.available, before.debt, before.provisional + points)
    {
        lived.wrong.push(format!("L5p: {points} wait, and {before:?} became {after:?}"));
    }
    if !points.is_positive() {
        return Ok(lived);
    }
    let (first, other) = match then {
        Watched::Nothing => return Ok(lived),
        Watched::Confirmed => (ReviewDecision::Confirm, ReviewDecision::TakeBack),
        Watched::TakenBack => (ReviewDecision::TakeBack, ReviewDecision::Confirm),
        Watched::Returned => {
            let request = ReturnRequest { purchase, member, terminal: till };
            let answer = world.driven(world.parts.returns.submit(shard_of(member, SHARDS), request)).await?;
            match answer {
                Ok(answer) if answer.clawed_back == points => model.receipts[at].returned = Some(answer),
                other => lived.wrong.push(format!("L5p: {points} of {purchase} waited, and its return gave {other:?}")),
            }
            let late = decide(world, model, at, purchase, ReviewDecision::Confirm).await?;
            if !matches!(late, Err(ReviewRefusal::Decided(_))) {
                lived.wrong.push(format!("L5p: {purchase} came back and was decided on: {late:?}"));
            }
            return Ok(lived);
        }
    };
    let decided = decide(world, model, at, purchase, first).await?;
    let again = decide(world, model, at, purchase, first).await?;
    let otherwise = decide(world, model, at, purchase, other).await?;
    if decided.is_err() || again != decided || !matches!(otherwise, Err(ReviewRefusal::Decided(_))) {
        lived.wrong.push(format!("L5p: {purchase} was decided {decided:?}, again {again:?}, otherwise {otherwise:?}"));
    }
    model.receipts[at].taken_back = first == ReviewDecision::TakeBack;
    let ended = hunch_ledger::balance(world.db.app(), member).await?.unwrap_or_default();
    let given = if first == ReviewDecision::Confirm { points } else { Points::ZERO };
    if ended.total() != before.total() + given || ended.provisional != before.provisional {
        lived.wrong.push(format!("L5p: {points} were decided on as {first:?}, and {before:?} became {ended:?}"));
    }
    Ok(lived)
}

async fn watch(world: &World, basket: &Basket, why: Option<&str>) -> anyhow::Result<()> {
    let till = world.tills[usize::from(basket.till)];
    watch_terminal(world.db.app(), till, why, "operator", world.clock.now()).await?;
    world.parts.purchases.directory.forget();
    Ok(())
}

async fn decide(
    world: &World,
    model: &Model,
    at: usize,
    purchase: PurchaseId,
    decision: ReviewDecision,
) -> anyhow::Result<Result<Review, ReviewRefusal>> {
    let member = model.receipts[at].member();
    let (by, why) = ("operator".to_owned(), "simulated".to_owned());
    let request = ReviewRequest { purchase, member, decision, by, why };
    Ok(world.driven(world.parts.reviews.submit(shard_of(member, SHARDS), request)).await?)
}
