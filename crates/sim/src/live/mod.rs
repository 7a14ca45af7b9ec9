//! Lives one operation and compares what it gave with what was promised.

mod care;
mod exchange;
mod stakes;
mod tills;
mod watched;

use hunch_kernel::{Clock, Points};
use hunch_safeguards::Change;
use jiff::ToSpan;

use crate::facts::Touched;
use crate::jobs;
use crate::model::{Model, local};
use crate::op::{Moment, Op};
use crate::world::World;
use care::protect;
use exchange::lifecycle;
pub use exchange::outcome;
use stakes::Wish;
use tills::Basket;
pub use tills::give_everything_back;

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

    /// What came of a step on the way: its words and broken promises are this operation's too.
    fn add(&mut self, step: Lived) {
        self.words.push_str(&step.words);
        self.wrong.extend(step.wrong);
    }
}

/// Lives `op`, and says what it gave and which promises it broke.
pub async fn act(world: &mut World, model: &mut Model, op: &Op) -> anyhow::Result<Lived> {
    Ok(match *op {
        Op::Buy { member, till, cents, minutes_ago } => {
            tills::buy(world, model, Basket { member, till, cents }, minutes_ago).await
        }
        Op::Batch { seed, size } => tills::batch(world, model, seed, size).await,
        Op::Repeat { which, changed } => tills::repeat(world, model, which, changed).await,
        Op::LostAnswer { member, till, cents, waits, server } => {
            tills::lose_answer(world, model, Basket { member, till, cents }, waits, server).await?
        }
        Op::Watched { member, till, cents, then } => {
            watched::buy_and_decide(world, model, Basket { member, till, cents }, then).await?
        }
        Op::Return { which } => tills::give_back(world, model, which).await?,

        Op::Stake { member, market, no, points } => {
            stakes::confirm(world, model, Wish { member, market, no, points }, 0, 1).await?
        }
        Op::StakeSent { member, market, no, points } => {
            stakes::send(world, model, Wish { member, market, no, points }).await?
        }
        Op::Confirm { member, market, no, points, seconds, times } => {
            stakes::confirm(world, model, Wish { member, market, no, points }, seconds, times).await?
        }
        Op::LostOrder { member, market, points, taken } => {
            stakes::lose_order(world, model, Wish { member, market, no: false, points }, taken).await?
        }

        Op::Book { market, cents, depth } => exchange::set_book(world, market, cents, depth),
        Op::Fault(fault) => {
            exchange::arm(world, fault);
            Lived::quiet("armed")
        }
        Op::List { hours, slow } => exchange::list(world, hours, slow).await?,
        Op::Close { market } => lifecycle(world, market, |w, t| w.exchange.close(t)),
        Op::Determine { market, cents } => lifecycle(world, market, |w, t| w.exchange.determine(t, outcome(cents))),
        Op::Dispute { market } => lifecycle(world, market, |w, t| w.exchange.dispute(t)),
        Op::Amend { market, cents } => lifecycle(world, market, |w, t| w.exchange.amend(t, outcome(cents))),
        Op::Finalize { market } => lifecycle(world, market, |w, t| w.exchange.finalize(t)),
        Op::End { market, cents } => exchange::end(world, market, cents).await?,
        Op::Correct { market, cents } => exchange::correct(world, market, cents).await?,
        Op::Hint { market, twice } => exchange::hint(world, market, twice).await?,

        Op::Limits { member, day, week } => {
            protect(world, model, member, Change::Limits { day: day.map(Points), week: week.map(Points) }).await?
        }
        Op::ConfirmRaise { member } => protect(world, model, member, Change::ConfirmRaise).await?,
        Op::Break { member, term } => protect(world, model, member, care::break_of(term)).await?,
        Op::Exclude { member, term } => protect(world, model, member, care::exclusion_of(term)).await?,
        Op::AskToReturn { member } => protect(world, model, member, Change::AskToReturn).await?,
        Op::ComeBack { member, points, hours } => care::come_back(world, model, member, points, hours).await?,
        Op::Prompts { member, on } => protect(world, model, member, Change::Prompts(on)).await?,
        Op::StopInTheMiddle { member, market, points, exclude } => {
            care::stop_in_the_middle(world, model, Wish { member, market, no: false, points }, exclude).await?
        }
        Op::Place { member, place } => care::be_at(world, model, member, place).await,
        Op::Open { member } => care::open_newest(world, model, member).await?,

        Op::Job { job, crash } => jobs::run(world, job, crash).await?,
        Op::Wait { seconds } => {
            world.seconds(seconds);
            Lived::quiet("waited")
        }
        Op::Until(moment) => {
            world.seconds(seconds_until(moment, local(world.clock.now())));
            Lived::quiet(world.clock.now().to_string())
        }
        Op::Restart => {
            world.restart().await?;
            Lived::quiet("again")
        }
        Op::Staking { on } => {
            world.parts.trading.set_staking(on, "simulated", "operator").await?;
            Lived::quiet("switched")
        }
    })
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
