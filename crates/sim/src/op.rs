//! What can happen, as data. Numbers choose among what exists at that moment, so every part of a history makes sense.

use crate::dice::Dice;

pub const MEMBERS: u8 = 12;
pub const TILLS: u8 = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A till reports one receipt, dated so many minutes ago.
    Buy {
        member: u8,
        till: u8,
        cents: i64,
        minutes_ago: i16,
    },
    /// A till reports many at once: new ones, repeats, and some that cannot be.
    Batch {
        seed: u64,
        size: u8,
    },
    /// An earlier receipt once more, maybe with another amount.
    Repeat {
        which: u16,
        changed: bool,
    },
    /// A receipt whose till goes away, or whose server dies, while it waits for the answer.
    LostAnswer {
        member: u8,
        till: u8,
        cents: i64,
        waits: u8,
        server: bool,
    },
    Return {
        which: u16,
    },
    /// A purchase at a till that is watched for that moment, and what becomes of its points.
    Watched {
        member: u8,
        till: u8,
        cents: i64,
        then: Watched,
    },
    /// A stake whose answer is lost after, or before, the exchange took it, looked up at once.
    LostOrder {
        member: u8,
        market: u8,
        points: i64,
        taken: bool,
    },
    /// Quote and confirm.
    Stake {
        member: u8,
        market: u8,
        no: bool,
        points: i64,
    },
    /// A stake that the dispatcher and the resolver take on at once, as they do while nothing is in their way.
    StakeSent {
        member: u8,
        market: u8,
        no: bool,
        points: i64,
    },
    /// A quote confirmed so many seconds later, so many times.
    Confirm {
        member: u8,
        market: u8,
        no: bool,
        points: i64,
        seconds: u8,
        times: u8,
    },
    /// The exchange's book: one side's price in cents and how many contracts there are.
    Book {
        market: u8,
        cents: i64,
        depth: i64,
    },
    Fault(Fault),
    Job {
        job: Job,
        crash: Option<u8>,
    },
    /// A new market that closes in so many hours; its result is paid a minute or an hour after it was determined.
    List {
        hours: u8,
        slow: bool,
    },
    Close {
        market: u8,
    },
    Determine {
        market: u8,
        cents: u8,
    },
    Dispute {
        market: u8,
    },
    Amend {
        market: u8,
        cents: u8,
    },
    Finalize {
        market: u8,
    },
    /// A market closes, has its result, and is paid by the exchange and by us.
    End {
        market: u8,
        cents: u8,
    },
    /// Two people say that one of the paid markets should have ended otherwise.
    Correct {
        market: u8,
        cents: u8,
    },
    /// Somebody says a market ended: once, or twice.
    Hint {
        market: u8,
        twice: bool,
    },
    Limits {
        member: u8,
        day: Option<i64>,
        week: Option<i64>,
    },
    ConfirmRaise {
        member: u8,
    },
    Break {
        member: u8,
        term: u8,
    },
    Exclude {
        member: u8,
        term: u8,
    },
    AskToReturn {
        member: u8,
    },
    /// The term of a member's exclusion runs out; it is begun for whoever has none. The member asks to return and waits so
    /// many hours, or does not ask; then they buy, may be prompted, and stake.
    ComeBack {
        member: u8,
        points: i64,
        hours: Option<u8>,
    },
    Prompts {
        member: u8,
        on: bool,
    },
    /// A purchase and a stake, and before anything of them goes out the member takes a break or is excluded.
    StopInTheMiddle {
        member: u8,
        market: u8,
        points: i64,
        exclude: bool,
    },
    /// The phone says where it is.
    Place {
        member: u8,
        place: Place,
    },
    /// The phone fetches what is behind the newest notice.
    Open {
        member: u8,
    },
    Wait {
        seconds: i64,
    },
    Until(Moment),
    /// The whole process dies and starts again.
    Restart,
    Staking {
        on: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    TimeoutAfterAccept,
    ErrorAfterAccept,
    ErrorBefore,
    Unreadable,
    Busy,
    PartialFill { hundredths: i64 },
    ReadsBusy,
    ReadsFail { times: u8 },
    PushFails { times: u8 },
    PushGone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Dispatch,
    Resolve,
    Poll,
    Hints,
    Settle,
    Consume,
    Send,
    Reconcile,
    Sync,
    Sweep,
}

pub const JOBS: [Job; 10] = [
    Job::Dispatch,
    Job::Resolve,
    Job::Poll,
    Job::Hints,
    Job::Settle,
    Job::Consume,
    Job::Send,
    Job::Reconcile,
    Job::Sync,
    Job::Sweep,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    NewYork,
    /// Staking is for people of 21 there.
    Boston,
    /// At sea: staking is allowed nowhere that no rule names.
    Nowhere,
}

/// What becomes of points that wait for a person's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// They go on waiting.
    Nothing,
    Confirmed,
    TakenBack,
    /// The receipt comes back before anybody decides.
    Returned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Midnight,
    WeekEnd,
    /// The next change to or from daylight saving, one hour before.
    ClocksChange,
}

/// `steps` operations from `seed`, the day's ordinary work many times for each rare thing.
pub fn history(seed: u64, steps: usize) -> Vec<Op> {
    let mut dice = Dice::new(seed);
    (0..steps).map(|_| draw(&mut dice)).collect()
}

fn draw(dice: &mut Dice) -> Op {
    let member = dice.below(u64::from(MEMBERS)) as u8;
    let till = dice.below(u64::from(TILLS)) as u8;
    let market = dice.below(64) as u8;
    let cents = dice.between(1, 20_000);
    let no = dice.chance(1, 2);
    let points = match dice.below(12) {
        0 => dice.between(-5, 60_000),
        // A few of these come up to a day's limit.
        1 | 2 => dice.between(400, 1_500),
        _ => dice.between(10, 400),
    };
    match dice.below(1_000) {
        0..=49 => Op::Buy { member, till, cents, minutes_ago: dice.between(-3, 2_000) as i16 },
        50..=139 => Op::Batch { seed: dice.next(), size: dice.between(1, 120) as u8 },
        140..=159 => Op::Repeat { which: dice.next() as u16, changed: dice.chance(1, 3) },
        160..=184 => Op::LostAnswer { member, till, cents, waits: dice.below(30) as u8, server: dice.chance(1, 2) },
        185..=214 => Op::Return { which: dice.next() as u16 },
        215..=224 => Op::LostOrder { member, market, points, taken: dice.chance(3, 4) },
        // Left to the jobs that are drawn, most orders wait until their quotes are over.
        225..=414 if cents % 2 == 0 => Op::StakeSent { member, market, no, points },
        225..=414 => Op::Stake { member, market, no, points },
        415..=439 => {
            let (seconds, times) = (dice.below(13) as u8, dice.between(1, 3) as u8);
            Op::Confirm { member, market, no, points, seconds, times }
        }
        440..=464 => Op::Book { market, cents: dice.between(1, 98), depth: dice.between(0, 40) },
        465..=509 => Op::Fault(fault(dice)),
        510..=834 => {
            let crash = dice.chance(1, 4).then(|| dice.below(24) as u8);
            Op::Job { job: dice.pick(&JOBS), crash }
        }
        835..=844 => Op::Correct { market, cents: dice.pick(&[0, 0, 100, 100, 60]) },
        845..=864 => Op::List { hours: dice.between(1, 30) as u8, slow: dice.chance(1, 4) },
        865..=868 => Op::Close { market },
        869..=878 => Op::Determine { market, cents: dice.pick(&[0, 0, 100, 100, 50, 37]) },
        879..=882 => Op::Dispute { market },
        883..=886 => Op::Amend { market, cents: dice.pick(&[0, 100, 25]) },
        887..=891 => Op::Finalize { market },
        892..=898 => Op::End { market, cents: [0, 100, 0, 100, 37][cents as usize % 5] },
        899..=908 => Op::Hint { market, twice: dice.chance(1, 2) },
        909..=916 => {
            let mut limit = || dice.chance(4, 5).then(|| dice.between(-1, 3_000));
            Op::Limits { member, day: limit(), week: limit() }
        }
        917..=922 => Op::ConfirmRaise { member },
        923..=926 => Op::Break { member, term: dice.below(5) as u8 },
        927 => Op::Exclude { member, term: dice.below(5) as u8 },
        // An exclusion lasts for the rest of most histories, so few of them end that way.
        928..=934 => Op::StopInTheMiddle { member, market, points, exclude: points % 16 == 0 },
        935..=937 => Op::Prompts { member, on: dice.chance(2, 3) },
        938..=942 => {
            let place = dice.pick(&[Place::NewYork, Place::NewYork, Place::NewYork, Place::Boston, Place::Nowhere]);
            Op::Place { member, place }
        }
        943..=955 => Op::Open { member },
        956..=985 => Op::Wait { seconds: dice.pick(&[1, 2, 6, 11, 25, 70, 700, 3_700]) },
        986..=988 => Op::Until(dice.pick(&[Moment::Midnight, Moment::Midnight, Moment::WeekEnd, Moment::ClocksChange])),
        989 | 990 => {
            let all = [Watched::Confirmed, Watched::Nothing, Watched::TakenBack, Watched::Returned];
            Op::Watched { member, till, cents, then: all[cents as usize % 4] }
        }
        991 | 992 => Op::Restart,
        993 => Op::AskToReturn { member },
        994 => Op::ComeBack { member, points, hours: (cents % 5 > 0).then_some((cents % 31) as u8) },
        _ => Op::Staking { on: dice.chance(9, 10) },
    }
}

fn fault(dice: &mut Dice) -> Fault {
    match dice.below(11) {
        0 | 1 => Fault::TimeoutAfterAccept,
        2 => Fault::ErrorAfterAccept,
        3 => Fault::ErrorBefore,
        4 => Fault::Unreadable,
        5 => Fault::Busy,
        6 | 7 => Fault::PartialFill { hundredths: dice.between(1, 400) },
        8 => Fault::ReadsBusy,
        9 => Fault::ReadsFail { times: dice.between(1, 4) as u8 },
        _ if dice.chance(3, 4) => Fault::PushFails { times: dice.between(1, 6) as u8 },
        _ => Fault::PushGone,
    }
}
