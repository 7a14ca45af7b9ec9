//! What tills do: receipts, one by one and in batches, repeated, unanswered, returned. Every answer is held against what
//! was promised.

use hunch_kernel::{Clock, MemberId, Points, Shard, TerminalId, shard_of};
use hunch_loyalty::{MemberRef, PurchaseAnswer, PurchaseRefusal, PurchaseRequest, ReturnRequest, purchase_id};
use jiff::SignedDuration;
use uuid::Uuid;

use super::Lived;
use crate::crash::crash_after;
use crate::dice::Dice;
use crate::facts::Touched;
use crate::model::{Model, Receipt};
use crate::op::TILLS;
use crate::origins;
use crate::world::{SHARDS, World};

/// So many members buy in batches.
const RICH: usize = 8;
const AFTER_PURCHASE: &[&str] = &[];
const AFTER_BATCH: &[&str] = &["L1", "L5h", "L6p"];
const AFTER_RETURN: &[&str] = &["L1", "L6p"];

/// Who buys where, and for how much.
#[derive(Clone, Copy)]
pub struct Basket {
    pub member: u8,
    pub till: u8,
    pub cents: i64,
}

impl Basket {
    pub(super) fn receipt(self, world: &World, model: &mut Model, minutes_ago: i16) -> PurchaseRequest {
        let at = world.clock.now() - SignedDuration::from_mins(i64::from(minutes_ago));
        let (member, till) = (world.members[usize::from(self.member)], world.tills[usize::from(self.till)]);
        model.receipt(member, till, self.cents, at)
    }
}

pub async fn buy(world: &World, model: &mut Model, basket: Basket, minutes_ago: i16) -> Lived {
    let receipt = basket.receipt(world, model, minutes_ago);
    let member = world.members[usize::from(basket.member)];
    report(world, model, vec![receipt], Touched::member(member, AFTER_PURCHASE)).await
}

pub async fn batch(world: &World, model: &mut Model, seed: u64, size: u8) -> Lived {
    let receipts = mixed_batch(world, model, seed, size);
    let members = world.members.clone();
    report(world, model, receipts, Touched { members, checks: AFTER_BATCH }).await
}

pub async fn repeat(world: &World, model: &mut Model, which: u16, changed: bool) -> Lived {
    let Some(known) = model.pick(which).map(|at| model.receipts[at].clone()) else {
        return Lived::quiet("nothing to repeat");
    };
    let mut request = known.request.clone();
    request.amount_cents += i64::from(changed);
    report(world, model, vec![request], Touched::member(known.member(), AFTER_PURCHASE)).await
}

/// The till, or with `server` the programme, goes away after so many waits; then the receipt is reported again.
pub async fn lose_answer(
    world: &mut World,
    model: &mut Model,
    basket: Basket,
    waits: u8,
    server: bool,
) -> anyhow::Result<Lived> {
    let receipt = basket.receipt(world, model, 0);
    let asked = world.parts.purchases.record(vec![receipt.clone()]);
    if server {
        crash_after(world.driven(asked), Some(waits)).await;
        world.restart().await?;
    } else {
        world.driven(crash_after(asked, Some(waits))).await;
        drain(world).await;
    }
    let member = world.members[usize::from(basket.member)];
    let mut lived = report(world, model, vec![receipt], Touched::member(member, AFTER_PURCHASE)).await;
    lived.requests += 1;
    Ok(lived)
}

pub async fn give_back(world: &World, model: &mut Model, which: u16) -> anyhow::Result<Lived> {
    // Half of them are the poor ones', whose points are soon spent: the oldest first, so one of the oldest third.
    let poor = |r: &Receipt| r.returned.is_none() && world.members[RICH..].contains(&r.member());
    let theirs: Vec<usize> = (0..model.receipts.len()).filter(|at| poor(&model.receipts[*at])).collect();
    let at = match (which % 2, theirs.len()) {
        (1, n) if n > 0 => Some(theirs[usize::from(which / 2) % n.div_ceil(3)]),
        _ => model.pick(which / 2),
    };
    let Some(at) = at else { return Ok(Lived::quiet("nothing to return")) };
    let receipt = &mut model.receipts[at];
    let (member, terminal) = (receipt.member(), receipt.request.terminal);
    let purchase = purchase_id(terminal, &receipt.request.receipt);
    let request = ReturnRequest { purchase, member, terminal };
    let before = hunch_ledger::balance(world.db.app(), member).await?.unwrap_or_default();
    let answer = world.driven(world.parts.returns.submit(shard_of(member, SHARDS), request)).await?;
    let mut lived = Lived::new("returned", Touched::member(member, AFTER_RETURN));
    match (answer, &receipt.returned) {
        (Ok(answer), None) if answer.first && answer.earned == receipt.points => {
            let owed = before.debt - answer.balance.debt;
            let taken = answer.clawed_back + owed;
            if taken < answer.earned && !receipt.taken_back {
                lived.wrong.push(format!("L7: return of {purchase} took too little: {answer:?}, owed {owed} more"));
            }
            let won = won_by(world, member).await?;
            if taken > answer.earned + won {
                lived.wrong.push(format!("L7: return of {purchase} took {taken}, with {won} won: {answer:?}"));
            }
            receipt.returned = Some(answer);
            lived.wrong.extend(origins::claimed(world, member).await?);
        }
        (Ok(answer), Some(first)) if !answer.first && answer.clawed_back == first.clawed_back => {
            lived.words = "returned again".to_owned();
        }
        (other, first) => lived.wrong.push(format!("L6: return of {purchase}: first {first:?}, now {other:?}")),
    }
    Ok(lived)
}

/// What a member's stakes ever brought: what counts as paid, and what could not be taken back.
async fn won_by(world: &World, member: MemberId) -> anyhow::Result<Points> {
    let won: i64 = sqlx::query_scalar(
        "SELECT ((SELECT coalesce(sum(paid_points), 0) FROM trading.position WHERE member = $1)
               + (SELECT coalesce(sum(lost), 0) FROM ledger.reversal WHERE member = $1))::int8",
    )
    .bind(member.0)
    .fetch_one(world.db.auditor())
    .await?;
    Ok(Points(won))
}

/// When all is over, those who bought little bring all of it back: they keep nothing, and no more is gone than they staked.
pub async fn give_everything_back(world: &World, model: &mut Model) -> anyhow::Result<Vec<String>> {
    let poor = world.members[RICH..].to_vec();
    let mut wrong = Vec::new();
    for receipt in model.receipts.iter_mut().filter(|r| poor.contains(&r.member()) && r.returned.is_none()) {
        let (member, terminal) = (receipt.member(), receipt.request.terminal);
        let purchase = purchase_id(terminal, &receipt.request.receipt);
        let request = ReturnRequest { purchase, member, terminal };
        match world.driven(world.parts.returns.submit(shard_of(member, SHARDS), request)).await? {
            Ok(answer) => receipt.returned = Some(answer),
            Err(refusal) => wrong.push(format!("L6: return of {purchase}: {refusal}")),
        }
    }
    for member in poor {
        let left = hunch_ledger::balance(world.db.app(), member).await?.unwrap_or_default().total();
        let staked: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(captured), 0)::int8 FROM ledger.hold WHERE member = $1")
                .bind(member.0)
                .fetch_one(world.db.auditor())
                .await?;
        if left > Points::ZERO || left.0 < -staked {
            wrong.push(format!("L7: everything returned, and {left} are left of {member}, who staked {staked}"));
        }
    }
    Ok(wrong)
}

/// Hands receipts in and holds every answer against what was promised.
pub(super) async fn report(
    world: &World,
    model: &mut Model,
    requests: Vec<PurchaseRequest>,
    touched: Touched,
) -> Lived {
    let answers = world.driven(world.parts.purchases.record(requests.clone())).await;
    let mut lived = Lived::new(String::new(), touched);
    lived.requests = requests.len() as u64;
    for (request, answer) in requests.into_iter().zip(answers) {
        let id = purchase_id(request.terminal, &request.receipt);
        lived.words.push_str(match &answer {
            Ok(PurchaseAnswer { first: true, .. }) => "taken ",
            Ok(_) => "repeated ",
            Err(_) => "refused ",
        });
        let known = model
            .receipts
            .iter_mut()
            .find(|r| r.request.terminal == request.terminal && r.request.receipt == request.receipt);
        let fault = match (known, answer) {
            (Some(known), Ok(answer)) if known.request == request => match &known.answer {
                Some(first) if !same(first, &answer) => Some(format!("first {first:?}, now {answer:?}")),
                Some(_) if answer.first => Some("a repeat was taken as new".to_owned()),
                _ => {
                    known.answer.get_or_insert(answer);
                    None
                }
            },
            (Some(known), Err(PurchaseRefusal::ReceiptReused(_))) if known.request != request => None,
            (Some(_), other) => Some(format!("a known receipt was answered {other:?}")),
            (None, Ok(answer)) if possible(world, &request) => {
                let points = earns(world, &request).unwrap_or_default();
                let right = answer.points == points && answer.purchase == id;
                let what = (!right).then(|| format!("{points} were due, got {answer:?}"));
                model.receipts.push(Receipt {
                    request,
                    points,
                    answer: Some(answer),
                    returned: None,
                    taken_back: false,
                });
                what
            }
            (None, Err(PurchaseRefusal::Busy | PurchaseRefusal::Unavailable)) => {
                Some("a receipt was not taken though nothing was wrong".to_owned())
            }
            (None, Err(_)) if !possible(world, &request) => None,
            (None, other) => Some(format!("{request:?} was answered {other:?}")),
        };
        lived.wrong.extend(fault.map(|what| format!("L6: receipt {id}: {what}")));
    }
    lived
}

fn same(first: &PurchaseAnswer, now: &PurchaseAnswer) -> bool {
    PurchaseAnswer { first: true, ..first.clone() } == PurchaseAnswer { first: true, ..now.clone() }
}

/// What this receipt earns, reckoned apart from the programme: a point for ten cents, none, one or two for the visit
/// by the shop, at most 5,000. A shop's first rule counts for receipts of any age.
fn earns(world: &World, request: &PurchaseRequest) -> Option<Points> {
    let till = world.tills.iter().position(|t| *t == request.terminal)?;
    let visit = till as i64 % 3;
    Some(Points((request.amount_cents / 10 + visit).min(5_000)))
}

fn possible(world: &World, request: &PurchaseRequest) -> bool {
    let member = match &request.member {
        MemberRef::Token(member) => world.members.contains(member),
        MemberRef::Code(_) => false,
    };
    let ahead = request.purchased_at.duration_since(world.clock.now()).as_secs();
    member
        && world.tills.contains(&request.terminal)
        && request.currency == "USD"
        && (1..=100_000_000).contains(&request.amount_cents)
        && ahead <= 120
}

/// New receipts, twins of others of the batch, earlier ones again, and some that cannot be.
fn mixed_batch(world: &World, model: &mut Model, seed: u64, size: u8) -> Vec<PurchaseRequest> {
    let mut dice = Dice::new(seed);
    let mut requests: Vec<PurchaseRequest> = Vec::new();
    for _ in 0..size {
        // The others stay poor, so that they can owe something.
        let member = dice.pick(&world.members[..RICH]);
        let till = world.tills[dice.below(u64::from(TILLS)) as usize];
        let at = world.clock.now() - SignedDuration::from_secs(dice.between(0, 90_000));
        let mut request = model.receipt(member, till, dice.between(1, 9_000), at);
        match dice.below(40) {
            0 => request.amount_cents = dice.pick(&[0, -5, i64::MAX]),
            1 => request.currency = "EUR".to_owned(),
            2 => request.terminal = TerminalId(Uuid::from_u128(9)),
            3 => request.member = MemberRef::Token(MemberId(Uuid::from_u128(9))),
            4 => request.purchased_at = world.clock.now() + SignedDuration::from_hours(2),
            5..=8 if !requests.is_empty() => {
                request = requests[dice.below(requests.len() as u64) as usize].clone();
            }
            9..=11 => {
                if let Some(at) = model.pick(dice.next() as u16) {
                    request = model.receipts[at].request.clone();
                }
            }
            _ => {}
        }
        requests.push(request);
    }
    requests
}

/// Answers what callers that went away had handed in.
async fn drain(world: &World) {
    for shard in 0..SHARDS {
        while world.parts.batcher.waiting(Shard(shard as i16)) > 0 {
            world.parts.batcher.step(Shard(shard as i16)).await;
        }
    }
}
