//! What members with points do: a quote, a confirmation, and what may become of its order. Whoever may not stake must
//! have been refused.

use hunch_kernel::{Clock, MarketTicker, MemberId, Points, Side};
use hunch_trading::StakeRefusal;

use super::{Lived, exchange};
use crate::facts::Touched;
use crate::jobs;
use crate::model::{Model, local, monday, of_age};
use crate::op::{Fault, Job};
use crate::world::{READS_LAG, World, ZONE, birth_date};

const AFTER_STAKE: &[&str] = &["T1o", "T2", "S1o", "S4"];

/// Who wants to stake how much on which side.
#[derive(Clone, Copy)]
pub struct Wish {
    pub member: u8,
    pub market: u8,
    pub no: bool,
    pub points: i64,
}

/// A stake whose answer is lost after the exchange took it, or before, and is looked up at once.
pub async fn lose_order(world: &mut World, model: &Model, wish: Wish, taken: bool) -> anyhow::Result<Lived> {
    exchange::arm(world, if taken { Fault::TimeoutAfterAccept } else { Fault::ErrorBefore });
    let mut staked = confirm(world, model, wish, 0, 1).await?;
    for job in [Job::Dispatch, Job::Resolve] {
        let done = jobs::run(world, job, None).await?;
        staked.add(done);
    }
    Ok(staked)
}

/// A stake that is sent at once, and looked up when the exchange's reads have come up with it.
pub async fn send(world: &mut World, model: &Model, wish: Wish) -> anyhow::Result<Lived> {
    let mut staked = confirm(world, model, wish, 0, 1).await?;
    staked.add(jobs::run(world, Job::Dispatch, None).await?);
    world.seconds(READS_LAG.as_secs() as i64 + 1);
    staked.add(jobs::run(world, Job::Resolve, None).await?);
    Ok(staked)
}

/// What a member has put on markets today and this week, reckoned from the orders and not from what the limits remember.
async fn staked(world: &World, member: MemberId) -> anyhow::Result<(Points, Points)> {
    let now = world.clock.now();
    let (day, week): (i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(c.points - c.restored) FILTER (WHERE o.at::date = $2::date), 0)::int8,
                coalesce(sum(c.points - c.restored) FILTER (WHERE date_trunc('week', o.at)::date = $3::date), 0)::int8
         FROM safeguards.charge c
         JOIN (SELECT order_id, placed_at AT TIME ZONE $4 AS at FROM trading.orders WHERE member = $1) o USING (order_id)",
    )
    .bind(member.0)
    .bind(local(now).date().to_string())
    .bind(monday(now).to_string())
    .bind(ZONE)
    .fetch_one(world.db.auditor())
    .await?;
    Ok((Points(day), Points(week)))
}

/// Quotes, waits so many seconds, and confirms the quote so many times.
pub async fn confirm(world: &World, model: &Model, wish: Wish, seconds: u8, times: u8) -> anyhow::Result<Lived> {
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
                    let (day, week) = staked(world, member).await?;
                    for (right, what) in [
                        (seconds < 10, "S1: an expired quote was staked on"),
                        (age, "S4: somebody under age staked"),
                        (!promise.protected(now), "S4: somebody protected staked"),
                        (day <= promise.day && week <= promise.week, "S2: more was staked than the limit"),
                    ] {
                        if !right {
                            lived.wrong.push(format!(
                                "{what}: {member}, {day} of this day, {week} of this week, promised {promise:?}"
                            ));
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
