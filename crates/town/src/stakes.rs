//! Members with their phones in hand: they look at today's markets, stake a few points, get refused where they may not,
//! and one pair takes its receipts back after a win. All over the public API.

use hunch_kernel::{SharedEntropy, lock};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::api::{ApiError, MarketRow, MemberLogin, Phone, Purchase, Till};
use crate::life::Happening;
use crate::names::person;

/// Places that phones report: the town's own, one over the border, one where sports are not allowed.
const TOWN_PLACE: (f64, f64) = (40.7484, -73.9857);
const MONTREAL: (f64, f64) = (45.5019, -73.5674);
const LAS_VEGAS: (f64, f64) = (36.1699, -115.1398);
/// How old the list of markets on the phones may be.
const LIST_FRESH: Duration = Duration::from_millis(1_500);
/// A stake needs so much time left (of the town's clock) to make sense.
const TIME_LEFT_MIN: SignedDuration = SignedDuration::from_secs(5);
const AT_ONCE: usize = 24;
const PLACE_AGAIN_SECONDS: i64 = 600;
/// How long the clawback pair waits for its result.
const PAIR_WAITS: Duration = Duration::from_secs(600);
/// How long it looks for a market that ends soon.
const PAIR_CHOOSY: Duration = Duration::from_secs(30);
/// Ending this soon (of a clock that runs at real speed) is worth watching.
const SOON: SignedDuration = SignedDuration::from_secs(60);

/// What the phones did.
#[derive(Clone, Debug, Default)]
pub(crate) struct StakeCounts {
    pub placed: u64,
    /// By the problem's type, such as day-limit.
    pub refused: BTreeMap<String, u64>,
    /// Returns that took winnings back too.
    pub clawbacks: u64,
}

/// Members with a part to play; the others just stake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Excluded,
    Elsewhere,
    Limited,
    InNevada,
    Anyone,
}

fn role(number: usize) -> Role {
    match number {
        7 => Role::Excluded,
        11 => Role::Elsewhere,
        13 => Role::Limited,
        17 => Role::InNevada,
        _ => Role::Anyone,
    }
}

pub(crate) struct Stakers {
    pub phones: Arc<Vec<Phone>>,
    pub clocks: hunch_kernel::Clocks,
    pub entropy: SharedEntropy,
    pub per_second: u32,
    /// When each member last bought something; zero is never.
    pub asked: Arc<Vec<AtomicU64>>,
    pub watch: mpsc::UnboundedSender<Happening>,
    pub stop: Arc<AtomicBool>,
}

/// What several tasks share.
struct Table {
    markets: Mutex<Vec<MarketRow>>,
    counts: Mutex<StakeCounts>,
    /// When each phone last said where it is, in seconds of the town's clock; its word counts for twenty minutes.
    placed: Vec<AtomicI64>,
}

impl Stakers {
    /// Stakes until told to stop, and says what happened.
    ///
    /// # Errors
    /// An answer that no honest phone deserves.
    pub async fn live(self) -> Result<StakeCounts, ApiError> {
        let table = Arc::new(Table {
            markets: Mutex::new(Vec::new()),
            counts: Mutex::new(StakeCounts::default()),
            placed: (0..self.phones.len()).map(|_| AtomicI64::new(0)).collect(),
        });
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks: JoinSet<Result<(), ApiError>> = JoinSet::new();
        let mut pace = tokio::time::interval(Duration::from_secs(1) / self.per_second.max(1));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut read_at: Option<Instant> = None;
        let mut turn = 0usize;
        while !self.stop.load(Ordering::Relaxed) {
            pace.tick().await;
            if read_at.is_none_or(|at| at.elapsed() > LIST_FRESH) {
                // Any phone shows the same list.
                match self.phones[self.dice(self.phones.len())].markets().await {
                    Ok(list) => *lock(&table.markets) = list,
                    Err(error) if error.is_passing() => {}
                    Err(error) => return Err(error),
                }
                read_at = Some(Instant::now());
            }
            turn += 1;
            let Some(number) = self.who(turn) else { continue };
            let Some((market, side, points)) = self.wish(&table, number) else { continue };
            let Ok(permit) = room.clone().acquire_owned().await else { break };
            let wish = Wish { number, phone: self.phones[number].clone(), market, side, points };
            let (table, watch, now) = (table.clone(), self.watch.clone(), self.clocks.business.now());
            tasks.spawn(async move {
                let _permit = permit;
                stake(&table, wish, now, &watch).await
            });
            while let Some(done) = tasks.try_join_next() {
                done.map_err(|e| ApiError::Undocumented(e.to_string()))??;
            }
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(|e| ApiError::Undocumented(e.to_string()))??;
        }
        let counts = lock(&table.counts).clone();
        Ok(counts)
    }

    fn dice(&self, sides: usize) -> usize {
        (self.entropy.uuid().as_u64_pair().0 >> 8) as usize % sides.max(1)
    }

    /// Mostly someone who has just bought something; now and then one of those with a part to play.
    fn who(&self, turn: usize) -> Option<usize> {
        const PARTS: [usize; 5] = [7, 11, 13, 17, 59];
        if turn.is_multiple_of(9) {
            return Some(PARTS[(turn / 9) % PARTS.len()]);
        }
        let bought = |n: &usize| self.asked.get(*n).is_some_and(|at| at.load(Ordering::Relaxed) > 0);
        (0..20).map(|_| self.dice(self.phones.len())).find(bought)
    }

    /// A market, a side and a sum: mostly something that ends soon.
    fn wish(&self, table: &Table, number: usize) -> Option<(MarketRow, &'static str, i64)> {
        let now = self.clocks.business.now();
        let markets = lock(&table.markets);
        let open: Vec<&MarketRow> = markets.iter().filter(|m| m.ends_at.duration_since(now) > TIME_LEFT_MIN).collect();
        let pick: Vec<&&MarketRow> = match role(number) {
            Role::InNevada => open.iter().filter(|m| m.category == "sports").collect(),
            // The list comes by end: the first dozen end soonest.
            _ if self.dice(10) < 7 => open.iter().take(12).collect(),
            _ => open.iter().collect(),
        };
        let market = MarketRow::clone(pick.get(self.dice(pick.len()))?);
        let side = if self.dice(2) == 0 { "yes" } else { "no" };
        let points = if role(number) == Role::Limited { 50 } else { [10, 15, 20, 25, 30, 40, 50, 75][self.dice(8)] };
        Some((market, side, points))
    }
}

/// Who wants to stake what.
struct Wish {
    number: usize,
    phone: Phone,
    market: MarketRow,
    side: &'static str,
    points: i64,
}

async fn stake(
    table: &Table,
    wish: Wish,
    now: Timestamp,
    watch: &mpsc::UnboundedSender<Happening>,
) -> Result<(), ApiError> {
    let Wish { number, phone, market, side, points } = wish;
    let done = async {
        let said = table.placed[number].load(Ordering::Relaxed);
        if now.as_second() - said > PLACE_AGAIN_SECONDS {
            be_somewhere(number, &phone).await?;
            table.placed[number].store(now.as_second(), Ordering::Relaxed);
        }
        if said == 0 {
            arrive(number, &phone).await?;
        }
        let quote = phone.quote(&market.market, side, points).await?;
        phone.confirm(quote).await
    };
    match done.await {
        Ok(_) => {
            lock(&table.counts).placed += 1;
            // Nobody has to watch.
            let _ = watch.send(Happening::Staked { who: person(number), points, title: market.title.clone() });
        }
        Err(error) => match error.refusal() {
            Some(code) => {
                *lock(&table.counts).refused.entry(code.clone()).or_default() += 1;
                let _ = watch.send(Happening::Refused { who: person(number), code });
            }
            None if error.is_passing() => {}
            None => return Err(error),
        },
    }
    Ok(())
}

/// An app that is opened says where it is.
pub(crate) async fn be_somewhere(number: usize, phone: &Phone) -> Result<(), ApiError> {
    let place = match role(number) {
        Role::Elsewhere => MONTREAL,
        Role::InNevada => LAS_VEGAS,
        _ => TOWN_PLACE,
    };
    phone.be_at(place).await
}

/// What those with a part to play do before their first stake.
async fn arrive(number: usize, phone: &Phone) -> Result<(), ApiError> {
    match role(number) {
        Role::Excluded => phone.exclude("six_months").await,
        Role::Limited => phone.limit(20, 100).await,
        _ => Ok(()),
    }
}

/// Two members buy something, stake on both sides of a market that ends soon, and take their receipts back once it is
/// paid: the winner's return must take a share of the winnings too. Gives how many did.
///
/// # Errors
/// An answer that no honest phone or till deserves.
pub(crate) async fn take_winnings_back(
    till: &Till,
    pair: &[(MemberLogin, Phone); 2],
    clocks: &hunch_kernel::Clocks,
    speed: u32,
    stop: &AtomicBool,
) -> Result<u64, ApiError> {
    let now = clocks.business.now();
    let mut purchases: Vec<(Uuid, i64)> = Vec::new();
    for (n, (login, phone)) in pair.iter().enumerate() {
        phone.be_at(TOWN_PLACE).await?;
        let purchase = Purchase {
            receipt: format!("B{}-{n}", login.member_token.simple()),
            member_token: login.member_token,
            amount_cents: 2_000,
            currency: "USD",
            purchased_at: now,
        };
        purchases.push(till.report(&purchase).await?);
    }
    let deadline = Instant::now() + PAIR_WAITS;
    while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (mut paid, mut open) = ([0i64; 2], 0);
        for ((_, phone), paid) in pair.iter().zip(&mut paid) {
            let (still_open, points) = phone.results().await?;
            open += still_open;
            *paid = points;
        }
        match (open, paid) {
            (1.., _) => continue,
            // Nothing staked yet, or nothing filled.
            (0, [0, 0]) => {
                // Rather one that ends while they watch; in a town without such markets, the next that ends.
                let patient = Instant::now() + PAIR_WAITS - PAIR_CHOOSY > deadline;
                let within = if patient { SignedDuration::MAX } else { SOON * speed as i32 };
                stake_both_sides(pair, clocks, within).await?;
            }
            (0, _) => {
                let mut clawed = 0;
                for ((purchase, earned), won) in purchases.iter().zip(paid) {
                    let taken = till.take_back(*purchase).await?;
                    clawed += u64::from(won > 0 && taken > *earned);
                }
                return Ok(clawed);
            }
        }
    }
    Ok(0)
}

/// Both sides of the same market, so that one of them wins.
async fn stake_both_sides(
    pair: &[(MemberLogin, Phone); 2],
    clocks: &hunch_kernel::Clocks,
    within: SignedDuration,
) -> Result<(), ApiError> {
    let now = clocks.business.now();
    let list = pair[0].1.markets().await?;
    let soon = |m: &&MarketRow| {
        let left = m.ends_at.duration_since(now);
        left > TIME_LEFT_MIN * 2 && left < within && m.yes_and_no
    };
    let Some(market) = list.iter().find(soon) else { return Ok(()) };
    for (side, (_, phone)) in ["yes", "no"].into_iter().zip(pair) {
        match async { phone.confirm(phone.quote(&market.market, side, 60).await?).await }.await {
            Ok(_) => {}
            Err(error) if error.refusal().is_some() || error.is_passing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A market as the list shows it.
pub(crate) fn market_row(value: &serde_json::Value) -> Option<MarketRow> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Some(MarketRow {
        market: text("market")?,
        title: text("title")?,
        category: text("category")?,
        ends_at: text("ends_at")?.parse::<Timestamp>().ok()?,
        yes_and_no: value["yes"]["price_points"].is_string() && value["no"]["price_points"].is_string(),
    })
}
