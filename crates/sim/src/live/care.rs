//! What members do about themselves: limits, breaks, exclusions, prompts, and where their phones say they are.

use anyhow::Context;
use hunch_engage::OpenedPrompt;
use hunch_kernel::{Clock, MemberId, shard_of};
use hunch_messaging::inbox;
use hunch_safeguards::{BreakTerm, Change, ChangeRefusal, ExclusionTerm, LimitRefusal, StandingRequest};
use jiff::{SignedDuration, Timestamp};

use super::stakes::Wish;
use super::tills::Basket;
use super::{Lived, exchange, stakes, tills};
use crate::facts::Touched;
use crate::jobs;
use crate::model::{Model, Promise, of_age};
use crate::op::{Job, Place};
use crate::world::{HOUSE, SHARDS, World, ZONE, birth_date};

const AFTER_PROTECTION: &[&str] = &["S3"];

/// Each with the hours that it lasts.
const BREAKS: [(BreakTerm, i64); 5] = [
    (BreakTerm::Day, 24),
    (BreakTerm::ThreeDays, 72),
    (BreakTerm::Week, 7 * 24),
    (BreakTerm::Month, 30 * 24),
    (BreakTerm::SixWeeks, 42 * 24),
];
/// Each with the months that it lasts.
const EXCLUSIONS: [(ExclusionTerm, Option<i64>); 5] = [
    (ExclusionTerm::SixMonths, Some(6)),
    (ExclusionTerm::OneYear, Some(12)),
    (ExclusionTerm::TwoYears, Some(24)),
    (ExclusionTerm::FiveYears, Some(60)),
    (ExclusionTerm::Life, None),
];
/// Nobody in these histories waits longer for the end of a term.
const WAITED_FOR: SignedDuration = SignedDuration::from_hours(200 * 24);

pub fn break_of(term: u8) -> Change {
    Change::Break(BREAKS[usize::from(term) % BREAKS.len()].0)
}

pub fn exclusion_of(term: u8) -> Change {
    Change::Exclude(EXCLUSIONS[usize::from(term) % EXCLUSIONS.len()].0)
}

/// Asks for a change and compares what is in force then with what was promised.
pub async fn protect(world: &World, model: &mut Model, member: u8, change: Change) -> anyhow::Result<Lived> {
    let member = world.members[usize::from(member)];
    let request = StandingRequest { member, home_zone: ZONE.to_owned(), change };
    let answer = world.driven(world.parts.standing.submit(shard_of(member, SHARDS), request)).await?;
    let now = world.clock.now();
    let promise = model.promises.get_mut(&member).context("no such member")?;
    let may_return = change == Change::AskToReturn && promise.ask_to_return(now);
    let mut lived = Lived::new("changed", Touched::member(member, AFTER_PROTECTION));
    match (answer, change) {
        (Ok(_), Change::Break(term)) => {
            let hours = BREAKS.iter().find(|(of, _)| *of == term).map_or(0, |(_, hours)| *hours);
            promise.rest(hours, now);
        }
        (Ok(_), Change::Exclude(term)) => {
            let months = EXCLUSIONS.iter().find(|(of, _)| *of == term).and_then(|(_, months)| *months);
            promise.exclude(months, now);
        }
        (Ok(_), Change::AskToReturn) if may_return => {}
        (other, Change::AskToReturn) if may_return || other.is_ok() => {
            lived.wrong.push(format!("S3: {member} asked to return, promised {promise:?}, and was answered {other:?}"));
        }
        // Refused as it had to be, or told above.
        (_, Change::AskToReturn) => "stays".clone_into(&mut lived.words),
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
    lived.wrong.extend(in_force(world, promise, member).await?);
    Ok(lived)
}

/// Says it when something else is in force than was promised.
async fn in_force(world: &World, promise: &Promise, member: MemberId) -> anyhow::Result<Option<String>> {
    let overview = world.parts.gate.overview(member).await.map_err(|denial| anyhow::anyhow!("{denial}"))?;
    let (limits, protection) = (overview.limits, overview.protection);
    let kept =
        (limits.day, limits.week) == (promise.day, promise.week) && protection == promise.protection(world.clock.now());
    Ok((!kept).then(|| format!("S3: {member} was promised {promise:?}, in force is {limits:?}, {protection:?}")))
}

/// An exclusion comes to its end, or does not: nobody stakes, or is prompted, who did not ask to return after the term, or
/// who asked less than 24 hours ago.
pub async fn come_back(
    world: &mut World,
    model: &mut Model,
    member: u8,
    points: i64,
    hours: Option<u8>,
) -> anyhow::Result<Lived> {
    let id = world.members[usize::from(member)];
    let mut lived = Lived::new("", Touched::member(id, &["S1", "S3", "S4", "T1o"]));
    if !model.promises[&id].excluded(world.clock.now()) {
        lived.add(protect(world, model, member, Change::Exclude(ExclusionTerm::SixMonths)).await?);
    }
    lived.add(protect(world, model, member, Change::AskToReturn).await?);
    let ends = model.promises[&id].exclusion.map_or(Timestamp::MAX, |exclusion| exclusion.term_ends);
    let left = ends.duration_since(world.clock.now());
    if left > WAITED_FOR {
        return Ok(lived);
    }
    world.seconds(left.as_secs().max(0));
    if let Some(hours) = hours {
        lived.add(protect(world, model, member, Change::AskToReturn).await?);
        world.seconds(i64::from(hours) * 3_600);
    }
    lived.add(exchange::list(world, 6, false).await?);
    lived.add(tills::buy(world, model, Basket { member, till: 0, cents: 5_000 }, 0).await);
    for job in [Job::Consume, Job::Send] {
        lived.add(jobs::run(world, job, None).await?);
    }
    let wish = Wish { member, market: world.newest(), no: false, points };
    lived.add(stakes::confirm(world, model, wish, 0, 1).await?);
    lived.wrong.extend(in_force(world, &model.promises[&id], id).await?);
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
