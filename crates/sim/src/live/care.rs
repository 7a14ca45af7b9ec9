//! What members do about themselves: limits, breaks, exclusions, prompts, and where their phones say they are.

use hunch_engage::OpenedPrompt;
use hunch_kernel::{Clock, shard_of};
use hunch_messaging::inbox;
use hunch_safeguards::{BreakTerm, Change, ChangeRefusal, ExclusionTerm, LimitRefusal, Protection, StandingRequest};
use jiff::Timestamp;

use super::stakes::Wish;
use super::tills::Basket;
use super::{Lived, stakes, tills};
use crate::facts::Touched;
use crate::jobs;
use crate::model::{Model, of_age};
use crate::op::{Job, Place};
use crate::world::{HOUSE, SHARDS, World, ZONE, birth_date};

const AFTER_PROTECTION: &[&str] = &["S3"];

pub const BREAKS: [BreakTerm; 5] =
    [BreakTerm::Day, BreakTerm::ThreeDays, BreakTerm::Week, BreakTerm::Month, BreakTerm::SixWeeks];
pub const EXCLUSIONS: [ExclusionTerm; 5] = [
    ExclusionTerm::SixMonths,
    ExclusionTerm::OneYear,
    ExclusionTerm::TwoYears,
    ExclusionTerm::FiveYears,
    ExclusionTerm::Life,
];

/// Asks for a change and compares what is in force then with what was promised.
pub async fn protect(world: &World, model: &mut Model, member: u8, change: Change) -> anyhow::Result<Lived> {
    let member = world.members[usize::from(member)];
    let request = StandingRequest { member, home_zone: ZONE.to_owned(), change };
    let answer = world.driven(world.parts.standing.submit(shard_of(member, SHARDS), request)).await?;
    let now = world.clock.now();
    let promise = model.promises.get_mut(&member).ok_or_else(|| anyhow::anyhow!("no such member"))?;
    let mut lived = Lived::new("changed", Touched::member(member, AFTER_PROTECTION));
    match (answer, change) {
        (Ok(changed), Change::Exclude(_) | Change::Break(_)) => {
            let until = match changed.protection {
                Some(Protection::Break { until }) => until,
                // Nobody in these histories asks to return, so an exclusion goes on after its term.
                Some(_) => Timestamp::MAX,
                None => now,
            };
            promise.protected_until = promise.protected_until.max(Some(until));
            if matches!(change, Change::Exclude(_)) {
                promise.raise = None;
            }
            if until <= now {
                lived.wrong.push(format!("S3: a protection of {member} ended at once"));
            }
        }
        (Ok(_), Change::AskToReturn) => {}
        (Ok(_), Change::Prompts(on)) => promise.prompts = on,
        // The town of the simulation has no offers.
        (Ok(_), Change::Offers(_)) => {}
        (Ok(_), Change::Limits { day, week }) => {
            promise.wish(
                day.map_or(HOUSE.day, |d| d.min(HOUSE.day)),
                week.map_or(HOUSE.week, |w| w.min(HOUSE.week)),
                now,
            );
        }
        (Ok(_), Change::ConfirmRaise) => {
            if let Err(what) = promise.confirm(now) {
                lived.wrong.push(format!("S3: {member}: {what}"));
            }
        }
        (Err(ChangeRefusal::Limit(LimitRefusal::NothingToConfirm)), _) if promise.raise.is_some() => {
            lived.wrong.push(format!("S3: the raise of {member} was forgotten"));
        }
        (Err(refusal), _) => lived.words = refusal.to_string(),
    }
    let limits = world.parts.gate.overview(member).await.map_err(|d| anyhow::anyhow!("{d}"))?.limits;
    if (limits.day, limits.week) != (promise.day, promise.week) {
        lived.wrong.push(format!("S3: {member} was promised {promise:?}, in force is {limits:?}"));
    }
    Ok(lived)
}

/// A purchase and a stake, and before anything of them goes out the member asks for protection.
pub async fn stop_in_the_middle(
    world: &mut World,
    model: &mut Model,
    wish: Wish,
    exclude: bool,
) -> anyhow::Result<Lived> {
    let basket = Basket { member: wish.member, till: 0, cents: 5_000 };
    let bought = tills::buy(world, model, basket, 0).await;
    jobs::run(world, Job::Consume, None).await?;
    let staked = stakes::confirm(world, model, wish, 0, 1).await?;
    world.seconds(1);
    let change = if exclude { Change::Exclude(ExclusionTerm::SixMonths) } else { Change::Break(BreakTerm::Day) };
    let mut stopped = protect(world, model, wish.member, change).await?;
    world.seconds(1);
    let sent = jobs::run(world, Job::Dispatch, None).await?;
    let pushed = jobs::run(world, Job::Send, None).await?;
    for part in [bought, staked, sent, pushed] {
        stopped.add(part);
    }
    stopped.touched = Touched::member(world.members[usize::from(wish.member)], &["S1", "S3", "S4", "T1o"]);
    Ok(stopped)
}

pub async fn be_at(world: &World, model: &mut Model, member: u8, place: Place) -> Lived {
    let member = world.members[usize::from(member)];
    model.promises.entry(member).and_modify(|p| p.place = place);
    let found = world.place(member, place).await;
    Lived::quiet(format!("found {found}"))
}

/// The phone fetches what is behind the newest notice; nobody who may not be prompted may see a market there.
pub async fn open_newest(world: &World, model: &Model, member: u8) -> anyhow::Result<Lived> {
    let (id, device) = (world.members[usize::from(member)], world.devices[usize::from(member)]);
    let Some(newest) = inbox(world.db.app(), id, None, 1).await?.pop() else { return Ok(Lived::quiet("empty")) };
    let opened = world.driven(world.parts.engage.open_notice(id, Some(device), newest.id, true)).await?;
    let (now, promise) = (world.clock.now(), &model.promises[&id]);
    let mut lived = Lived::quiet("receipt");
    if let Some(OpenedPrompt::Market { .. }) = opened.map(|o| o.prompt) {
        lived.words = "prompt".to_owned();
        if promise.protected(now) || !promise.prompts || !of_age(birth_date(member), now, promise.place) {
            lived.wrong.push(format!("S4: {id} was shown a market: {promise:?}"));
        }
    }
    Ok(lived)
}
