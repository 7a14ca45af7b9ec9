//! Lives one operation and compares what it gave with what was promised.

use hunch_engage::OpenedPrompt;
use hunch_exchange_sim::{Fault as Armed, FaultKind, On, Outcome, Px, Qty};
use hunch_kernel::shard_of;
use hunch_kernel::{Clock, MarketTicker, MemberId, Points, Side, TerminalId};
use hunch_loyalty::{PurchaseAnswer, PurchaseRefusal, PurchaseRequest, ReturnRequest, purchase_id};
use hunch_messaging::inbox;
use hunch_safeguards::{BreakTerm, Change, ChangeRefusal, ExclusionTerm, StandingRequest};
use hunch_town::StatusCode;
use hunch_trading::{Hint, StakeRefusal};
use jiff::{SignedDuration, ToSpan};
use uuid::Uuid;

use crate::crash::crash_after;
use crate::dice::Dice;
use crate::facts::Touched;
use crate::jobs;
use crate::model::{Model, Receipt, local, of_age};
use crate::op::{Fault, Job, Moment, Op, TILLS};
use crate::world::{SHARDS, World, ZONE, birth_date};

/// What became of an operation.
pub struct Lived {
    /// For the digest of a run: the same seed gives the same words.
    pub words: String,
    pub touched: Touched,
    /// How many requests it handed in.
    pub requests: u64,
    /// Promises that were broken.
    pub wrong: Vec<String>,
}

impl Lived {
    fn new(words: impl Into<String>, touched: Touched) -> Lived {
        Lived { words: words.into(), touched, requests: 1, wrong: Vec::new() }
    }

    fn quiet(words: impl Into<String>) -> Lived {
        Lived::new(words, Touched::default())
    }
}

/// So many members buy in batches.
const RICH: usize = 8;
const AFTER_PURCHASE: &[&str] = &[];
const AFTER_BATCH: &[&str] = &["L1", "L5h", "L6p"];
const AFTER_RETURN: &[&str] = &["L1", "L6p"];
const AFTER_STAKE: &[&str] = &["T1o", "T2", "S1o", "S4"];
const AFTER_PROTECTION: &[&str] = &["S3"];

pub async fn act(world: &mut World, model: &mut Model, op: &Op) -> anyhow::Result<Lived> {
    let now = world.clock.now();
    Ok(match op {
        Op::Buy { member, till, cents, minutes_ago } => {
            let at = now - SignedDuration::from_mins(i64::from(*minutes_ago));
            let (member, till) = (world.members[usize::from(*member)], world.tills[usize::from(*till)]);
            let request = model.receipt(member, till, *cents, at);
            report(world, model, vec![request], Touched::member(member, AFTER_PURCHASE)).await
        }
        Op::Batch { seed, size } => {
            let requests = batch(world, model, *seed, *size);
            let members = world.members.clone();
            report(world, model, requests, Touched { members, checks: AFTER_BATCH }).await
        }
        Op::Repeat { which, changed } => {
            let Some(known) = model.pick(*which).map(|at| model.receipts[at].clone()) else {
                return Ok(Lived::quiet("nothing to repeat"));
            };
            let mut request = known.request.clone();
            request.amount_cents += i64::from(*changed);
            report(world, model, vec![request], Touched::member(known.member(), AFTER_PURCHASE)).await
        }
        Op::LostAnswer { member, till, cents, waits, server } => {
            let (member, till) = (world.members[usize::from(*member)], world.tills[usize::from(*till)]);
            let request = model.receipt(member, till, *cents, now);
            let asked = world.parts.purchases.record(vec![request.clone()]);
            if *server {
                crash_after(world.driven(asked), Some(*waits)).await;
                world.restart().await?;
            } else {
                world.driven(crash_after(asked, Some(*waits))).await;
                drain(world).await;
            }
            let mut lived = report(world, model, vec![request], Touched::member(member, AFTER_PURCHASE)).await;
            lived.requests += 1;
            lived
        }
        Op::Return { which } => give_back(world, model, *which).await?,
        Op::LostOrder { member, market, points, taken } => {
            arm(world, if *taken { Fault::TimeoutAfterAccept } else { Fault::ErrorBefore });
            let wish = Wish { member: *member, market: *market, no: false, points: *points };
            let mut staked = stake(world, model, wish, 0, 1).await?;
            for job in [Job::Dispatch, Job::Resolve] {
                let done = jobs::run(world, job, None).await?;
                staked.words.push_str(&done.words);
                staked.wrong.extend(done.wrong);
            }
            staked
        }
        Op::Stake { member, market, no, points } => {
            let wish = Wish { member: *member, market: *market, no: *no, points: *points };
            stake(world, model, wish, 0, 1).await?
        }
        Op::Confirm { member, market, no, points, seconds, times } => {
            let wish = Wish { member: *member, market: *market, no: *no, points: *points };
            stake(world, model, wish, *seconds, *times).await?
        }
        Op::Book { market, cents, depth } => {
            let ticker = world.ticker(*market);
            let set = world.book(&ticker, *cents, *depth);
            Lived::quiet(if set.is_ok() { "set" } else { "not open" })
        }
        Op::Fault(fault) => {
            arm(world, *fault);
            Lived::quiet("armed")
        }
        Op::Job { job, crash } => jobs::run(world, *job, *crash).await?,
        Op::List { hours, slow } => {
            world.list(*hours, *slow)?;
            // Known at once, unless the exchange cannot be read just now.
            Lived::quiet(format!("known {}", world.parts.markets.sync_step().await.is_ok()))
        }
        Op::Close { market } => lifecycle(world, *market, |w, t| w.exchange.close(t)),
        Op::Determine { market, cents } => lifecycle(world, *market, |w, t| w.exchange.determine(t, outcome(*cents))),
        Op::Dispute { market } => lifecycle(world, *market, |w, t| w.exchange.dispute(t)),
        Op::Amend { market, cents } => lifecycle(world, *market, |w, t| w.exchange.amend(t, outcome(*cents))),
        Op::Finalize { market } => lifecycle(world, *market, |w, t| w.exchange.finalize(t)),
        Op::Hint { market, twice } => hint(world, *market, *twice).await?,
        Op::Limits { member, day, week } => {
            let change = Change::Limits { day: day.map(Points), week: week.map(Points) };
            protect(world, model, *member, change).await?
        }
        Op::ConfirmRaise { member } => protect(world, model, *member, Change::ConfirmRaise).await?,
        Op::Break { member, term } => {
            const TERMS: [BreakTerm; 5] =
                [BreakTerm::Day, BreakTerm::ThreeDays, BreakTerm::Week, BreakTerm::Month, BreakTerm::SixWeeks];
            protect(world, model, *member, Change::Break(TERMS[usize::from(*term) % 5])).await?
        }
        Op::Exclude { member, term } => {
            const TERMS: [ExclusionTerm; 5] = [
                ExclusionTerm::SixMonths,
                ExclusionTerm::OneYear,
                ExclusionTerm::TwoYears,
                ExclusionTerm::FiveYears,
                ExclusionTerm::Life,
            ];
            protect(world, model, *member, Change::Exclude(TERMS[usize::from(*term) % 5])).await?
        }
        Op::StopInTheMiddle { member, market, points, exclude } => {
            let id = world.members[usize::from(*member)];
            let request = model.receipt(id, world.tills[0], 5_000, now);
            let bought = report(world, model, vec![request], Touched::default()).await;
            jobs::run(world, Job::Consume, None).await?;
            let wish = Wish { member: *member, market: *market, no: false, points: *points };
            let staked = stake(world, model, wish, 0, 1).await?;
            world.seconds(1);
            let change =
                if *exclude { Change::Exclude(ExclusionTerm::SixMonths) } else { Change::Break(BreakTerm::Day) };
            let mut stopped = protect(world, model, *member, change).await?;
            world.seconds(1);
            let sent = jobs::run(world, Job::Dispatch, None).await?;
            let pushed = jobs::run(world, Job::Send, None).await?;
            for part in [bought, staked, sent, pushed] {
                stopped.words.push_str(&part.words);
                stopped.wrong.extend(part.wrong);
            }
            stopped.touched = Touched::member(id, &["S1", "S3", "S4", "T1o"]);
            stopped
        }
        Op::Prompts { member, on } => protect(world, model, *member, Change::Prompts(*on)).await?,
        Op::Place { member, place } => {
            let member = world.members[usize::from(*member)];
            model.promises.entry(member).and_modify(|p| p.place = *place);
            let found = world.place(member, *place).await;
            Lived::quiet(format!("found {found}"))
        }
        Op::Open { member } => open(world, model, *member).await?,
        Op::Wait { seconds } => {
            world.seconds(*seconds);
            Lived::quiet("waited")
        }
        Op::Until(moment) => {
            world.seconds(seconds_until(*moment, local(now)));
            Lived::quiet(world.clock.now().to_string())
        }
        Op::Restart => {
            world.restart().await?;
            Lived::quiet("again")
        }
        Op::Staking { on } => {
            world.parts.trading.set_staking(*on, "simulated").await?;
            Lived::quiet("switched")
        }
    })
}

/// Answers what callers that went away had handed in.
async fn drain(world: &World) {
    for shard in 0..SHARDS {
        while world.parts.batcher.waiting(hunch_kernel::Shard(shard as i16)) > 0 {
            world.parts.batcher.step(hunch_kernel::Shard(shard as i16)).await;
        }
    }
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
        hunch_loyalty::MemberRef::Token(member) => world.members.contains(member),
        hunch_loyalty::MemberRef::Code(_) => false,
    };
    let ahead = request.purchased_at.duration_since(world.clock.now()).as_secs();
    member
        && world.tills.contains(&request.terminal)
        && request.currency == "USD"
        && (1..=100_000_000).contains(&request.amount_cents)
        && ahead <= 120
}

fn batch(world: &World, model: &mut Model, seed: u64, size: u8) -> Vec<PurchaseRequest> {
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
            3 => request.member = hunch_loyalty::MemberRef::Token(MemberId(Uuid::from_u128(9))),
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

/// Hands receipts in and holds every answer against what was promised.
async fn report(world: &World, model: &mut Model, requests: Vec<PurchaseRequest>, touched: Touched) -> Lived {
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
                model.receipts.push(Receipt { request, points, answer: Some(answer), returned: None });
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

async fn give_back(world: &World, model: &mut Model, which: u16) -> anyhow::Result<Lived> {
    // Half of them are the poor ones', whose points are soon spent.
    let poor = |r: &Receipt| world.members[RICH..].contains(&r.member());
    let theirs: Vec<usize> = (0..model.receipts.len()).filter(|at| poor(&model.receipts[*at])).collect();
    let at = match (which % 2, theirs.len()) {
        (1, n) if n > 0 => Some(theirs[usize::from(which / 2) % n]),
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
            if answer.clawed_back + owed < answer.earned {
                lived.wrong.push(format!("L4: return of {purchase} took too little: {answer:?}, owed {owed} more"));
            }
            receipt.returned = Some(answer);
        }
        (Ok(answer), Some(first)) if !answer.first && answer.clawed_back == first.clawed_back => {
            lived.words = "returned again".to_owned();
        }
        (other, first) => lived.wrong.push(format!("L6: return of {purchase}: first {first:?}, now {other:?}")),
    }
    Ok(lived)
}

struct Wish {
    member: u8,
    market: u8,
    no: bool,
    points: i64,
}

/// Quotes, waits, confirms; whoever may not stake must have been refused.
async fn stake(world: &World, model: &mut Model, wish: Wish, seconds: u8, times: u8) -> anyhow::Result<Lived> {
    let member = world.members[usize::from(wish.member)];
    let promise = model.promises[&member].clone();
    // A phone says where it is before it asks for a quote.
    world.place(member, promise.place).await;
    let ticker = MarketTicker(world.ticker(wish.market));
    let side = if wish.no { Side::No } else { Side::Yes };
    let touched = Touched::member(member, AFTER_STAKE);
    let trading = &world.parts.trading;
    let quote = match trading.quote(member, &ticker, side, Points(wish.points)).await {
        Ok(quote) => quote,
        Err(refusal) => return Ok(Lived::new(format!("no quote: {refusal}"), touched)),
    };
    world.seconds(i64::from(seconds));
    let mut lived = Lived::new("", touched);
    let mut first = None;
    for _ in 0..times {
        let answer = world.driven(trading.confirm(member, quote.id)).await;
        let now = world.clock.now();
        match answer {
            Ok(answer) => {
                let order = first.get_or_insert(answer.order.id);
                if *order != answer.order.id {
                    lived.wrong.push(format!("T2: quote {} made two orders", quote.id));
                }
                if answer.first {
                    lived.words.push_str("staked ");
                    let age = of_age(birth_date(wish.member), now, promise.place);
                    let used = world.parts.gate.overview(member).await.map_err(|d| anyhow::anyhow!("{d}"))?.usage;
                    for (right, what) in [
                        (seconds < 10, "S1: an expired quote was staked on"),
                        (age, "S4: somebody under age staked"),
                        (!promise.protected(now), "S4: somebody protected staked"),
                        (used.day <= promise.day && used.week <= promise.week, "S2: more was staked than the limit"),
                    ] {
                        if !right {
                            lived.wrong.push(format!("{what}: {member}, used {used:?}, promised {promise:?}"));
                        }
                    }
                }
            }
            Err(StakeRefusal::Busy | StakeRefusal::Unavailable) => {
                lived.wrong.push(format!("a stake of {member} was not taken though nothing was wrong"));
            }
            Err(refusal) => lived.words.push_str(&format!("refused: {refusal} ")),
        }
    }
    Ok(lived)
}

fn arm(world: &World, fault: Fault) {
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

pub fn outcome(cents: u8) -> Outcome {
    match cents {
        0 => Outcome::No,
        100 => Outcome::Yes,
        other => Outcome::Scalar(Px::cents(i64::from(other))),
    }
}

fn lifecycle<E>(world: &World, market: u8, step: impl Fn(&World, &str) -> Result<(), E>) -> Lived {
    let ticker = world.ticker(market);
    let done = step(world, &ticker).is_ok();
    Lived::quiet(if done { "done" } else { "not now" })
}

async fn hint(world: &World, market: u8, twice: bool) -> anyhow::Result<Lived> {
    let ticker = world.ticker(market);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&world.clock.now().as_second().to_be_bytes());
    let hint = Hint { digest, market: MarketTicker(ticker), member: None };
    for _ in 0..=usize::from(twice) {
        world.parts.trading.take_hint(&hint).await?;
    }
    Ok(Lived::quiet("hinted"))
}

async fn protect(world: &World, model: &mut Model, member: u8, change: Change) -> anyhow::Result<Lived> {
    let member = world.members[usize::from(member)];
    let request = StandingRequest { member, home_zone: ZONE.to_owned(), change };
    let answer = world.driven(world.parts.standing.submit(shard_of(member, SHARDS), request)).await?;
    let now = world.clock.now();
    let promise = model.promises.get_mut(&member).ok_or_else(|| anyhow::anyhow!("no such member"))?;
    let mut lived = Lived::new("changed", Touched::member(member, AFTER_PROTECTION));
    match (answer, change) {
        (Ok(changed), Change::Exclude(_) | Change::Break(_)) => {
            let until = changed.protected_until.unwrap_or(now);
            promise.protected_until = promise.protected_until.max(Some(until));
            if until <= now {
                lived.wrong.push(format!("S3: a protection of {member} ended at once"));
            }
        }
        (Ok(_), Change::Prompts(on)) => promise.prompts = on,
        (Ok(_), Change::Limits { day, week }) => {
            let house = crate::world::HOUSE;
            promise.wish(
                day.map_or(house.day, |d| d.min(house.day)),
                week.map_or(house.week, |w| w.min(house.week)),
                now,
            );
        }
        (Ok(_), Change::ConfirmRaise) => {
            if let Err(what) = promise.confirm(now) {
                lived.wrong.push(format!("S3: {member}: {what}"));
            }
        }
        (Err(ChangeRefusal::NothingToConfirm), _) if promise.raise.is_some() => {
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

async fn open(world: &World, model: &Model, member: u8) -> anyhow::Result<Lived> {
    let (id, device) = (world.members[usize::from(member)], world.devices[usize::from(member)]);
    let Some(newest) = inbox(world.db.app(), id, None, 1).await?.pop() else { return Ok(Lived::quiet("empty")) };
    let opened = world.parts.engage.open_notice(id, Some(device), newest.id).await?;
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

fn seconds_until(moment: Moment, now: jiff::Zoned) -> i64 {
    let midnight = |days: i64| now.date().saturating_add(days.days()).to_zoned(now.time_zone().clone());
    let next = match moment {
        Moment::Midnight => midnight(1),
        Moment::WeekEnd => midnight(7 - i64::from(now.date().weekday().to_monday_zero_offset())),
        Moment::ClocksChange => {
            let change = now.time_zone().following(now.timestamp()).next();
            Ok(change.map_or(now.clone(), |t| t.timestamp().to_zoned(now.time_zone().clone())))
        }
    };
    let before = if moment == Moment::ClocksChange { 3_600 } else { 2 };
    next.map_or(1, |next| next.timestamp().duration_since(now.timestamp()).as_secs() - before).max(1)
}
