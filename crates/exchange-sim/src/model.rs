//! What the exchange knows: series, events, markets with their lifecycle, orders, fills, positions.

use crate::book::{Book, BookSide, SelfTrade};
use crate::fees::FeeSchedule;
use crate::units::{Cash, Px, Qty};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Number;
use std::collections::{BTreeMap, HashMap, VecDeque};
use uuid::Uuid;

pub const SHARDS: usize = 4;

/// A value with its past, because reads lag behind writes: `at` answers with what was known then.
/// Stamps are microseconds of the wall clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lagged<T>(VecDeque<(i64, T)>);

impl<T: Clone> Lagged<T> {
    pub fn new(wall: i64, value: T) -> Lagged<T> {
        Lagged(VecDeque::from([(wall, value)]))
    }

    /// Known at any time, for what existed before the exchange opened.
    pub fn always(value: T) -> Lagged<T> {
        Lagged::new(i64::MIN, value)
    }

    pub fn now(&self) -> &T {
        // The queue is never empty: `new` puts one in and `set` removes only what a later one covers.
        &self.0[self.0.len() - 1].1
    }

    pub fn at(&self, wall: i64) -> Option<&T> {
        self.0.iter().rev().find(|(stamp, _)| *stamp <= wall).map(|(_, value)| value)
    }

    pub fn set(&mut self, wall: i64, keep_micros: i64, value: T) {
        self.0.push_back((wall, value));
        while self.0.len() > 1 && self.0[1].0 <= wall.saturating_sub(keep_micros) {
            self.0.pop_front();
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeriesSpec {
    pub ticker: String,
    pub title: String,
    pub category: String,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default = "daily")]
    pub frequency: String,
    #[serde(default = "standard_fees")]
    pub fees: FeeSchedule,
    /// Exchange shard of its markets, 0 to 3.
    #[serde(default)]
    pub shard: usize,
    #[serde(default = "somewhere")]
    pub source: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventSpec {
    pub ticker: String,
    pub series_ticker: String,
    pub title: String,
    #[serde(default)]
    pub sub_title: String,
    #[serde(default)]
    pub mutually_exclusive: bool,
    #[serde(default)]
    pub strike_date: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MarketSpec {
    pub ticker: String,
    pub event_ticker: String,
    pub title: String,
    pub yes_sub_title: String,
    pub no_sub_title: String,
    #[serde(default)]
    pub rules_primary: String,
    pub open_time: Timestamp,
    pub close_time: Timestamp,
    #[serde(default)]
    pub expected_expiration_time: Option<Timestamp>,
    #[serde(default)]
    pub occurrence_time: Option<Timestamp>,
    #[serde(default = "minute")]
    pub settlement_timer_seconds: i64,
    #[serde(default)]
    pub grid: Grid,
    #[serde(default)]
    pub strike_type: Option<String>,
    #[serde(default)]
    pub floor_strike: Option<Number>,
    #[serde(default)]
    pub cap_strike: Option<Number>,
    /// Where the house starts to quote, in micros of a dollar.
    #[serde(default = "even")]
    pub fair: Px,
    /// Contracts the house shows at each level, on average; 0 leaves the book to others.
    #[serde(default = "depth")]
    pub house_depth: i64,
    /// How the market ends by itself; without it, it ends by the control interface.
    #[serde(default)]
    pub script: Option<Script>,
}

fn daily() -> String {
    "daily".to_owned()
}
fn somewhere() -> String {
    "Town records".to_owned()
}
fn standard_fees() -> FeeSchedule {
    FeeSchedule::STANDARD
}
fn minute() -> i64 {
    60
}
fn even() -> Px {
    Px(500_000)
}
fn depth() -> i64 {
    200
}

/// A market's ending, known to the simulator alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    pub determine_at: Timestamp,
    pub outcome: Outcome,
    #[serde(default)]
    pub expiration_value: String,
    /// Seconds after the determination at which it is disputed and, as long again later, amended.
    #[serde(default)]
    pub dispute: Option<Dispute>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dispute {
    pub after_seconds: i64,
    pub amended: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Yes,
    No,
    /// What one YES contract pays.
    Scalar(Px),
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Yes => "yes",
            Outcome::No => "no",
            Outcome::Scalar(_) => "scalar",
        }
    }

    pub fn value(self) -> Px {
        match self {
            Outcome::Yes => Px::ONE,
            Outcome::No => Px(0),
            Outcome::Scalar(value) => value,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grid {
    #[default]
    LinearCent,
    DeciCent,
    TaperedDeciCent,
}

impl Grid {
    pub fn name(self) -> &'static str {
        match self {
            Grid::LinearCent => "linear_cent",
            Grid::DeciCent => "deci_cent",
            Grid::TaperedDeciCent => "tapered_deci_cent",
        }
    }

    /// (start, end, step) in micros.
    pub fn ranges(self) -> &'static [(i64, i64, i64)] {
        match self {
            Grid::LinearCent => &[(0, 1_000_000, 10_000)],
            Grid::DeciCent => &[(0, 1_000_000, 1_000)],
            Grid::TaperedDeciCent => &[(0, 100_000, 1_000), (100_000, 900_000, 10_000), (900_000, 1_000_000, 1_000)],
        }
    }

    /// Zero and a dollar are never prices.
    pub fn allows(self, price: Px) -> bool {
        price.0 > 0
            && price.0 < 1_000_000
            && self
                .ranges()
                .iter()
                .any(|(start, end, step)| (*start..=*end).contains(&price.0) && (price.0 - start) % step == 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Initialized,
    Inactive,
    Active,
    Closed,
    Determined,
    Disputed,
    Amended,
    Finalized,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Initialized => "initialized",
            Status::Inactive => "inactive",
            Status::Active => "active",
            Status::Closed => "closed",
            Status::Determined => "determined",
            Status::Disputed => "disputed",
            Status::Amended => "amended",
            Status::Finalized => "finalized",
        }
    }

    /// The word of the `status` filter that finds markets in this state.
    pub fn filter_word(self) -> &'static str {
        match self {
            Status::Initialized => "unopened",
            Status::Active => "open",
            Status::Inactive => "paused",
            Status::Closed | Status::Determined | Status::Disputed | Status::Amended => "closed",
            Status::Finalized => "settled",
        }
    }
}

/// The part of a market that changes as it lives; readers over REST see it late.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    pub status: Status,
    pub close_time: Timestamp,
    pub outcome: Option<Outcome>,
    pub expiration_value: String,
    pub determined_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub updated: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Market {
    pub seq: u64,
    pub id: Uuid,
    pub spec: MarketSpec,
    pub series_ticker: String,
    pub shard: usize,
    pub fees: FeeSchedule,
    pub created: Timestamp,
    pub life: Lagged<Life>,
    pub book: Book,
    /// Orders every change of the book, as `clock` on the socket.
    pub clock: u64,
    pub last_price: Px,
    pub last_size: Qty,
    pub volume: Qty,
    pub open_interest: Qty,
    /// What holders have paid in: one dollar for each pair of YES and NO outstanding.
    pub pot: Cash,
    /// The house's present opinion.
    pub fair: Px,
    /// Set by hand through the control interface: the house keeps away.
    pub by_hand: bool,
    pub disputed_once: bool,
}

impl Market {
    pub fn status(&self) -> Status {
        self.life.now().status
    }

    pub fn settlement_due(&self) -> Option<Timestamp> {
        let wait = SignedDuration::from_secs(self.spec.settlement_timer_seconds);
        self.life.now().determined_at.and_then(|at| at.checked_add(wait).ok())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    FillOrKill,
    GoodTillCanceled,
    ImmediateOrCancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    Resting,
    Canceled,
    Executed,
}

impl OrderStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Resting => "resting",
            OrderStatus::Canceled => "canceled",
            OrderStatus::Executed => "executed",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub seq: u64,
    pub id: Uuid,
    pub owner: usize,
    pub client_order_id: String,
    pub ticker: String,
    pub event_ticker: String,
    pub shard: usize,
    pub side: BookSide,
    pub price: Px,
    pub initial: Qty,
    pub filled: Qty,
    pub remaining: Qty,
    pub status: OrderStatus,
    pub time_in_force: TimeInForce,
    pub self_trade: SelfTrade,
    pub expiration: Option<Timestamp>,
    pub cancel_on_pause: bool,
    pub taker_cost: Cash,
    pub maker_cost: Cash,
    pub taker_fees: Cash,
    pub maker_fees: Cash,
    /// Sum of YES price × count, for the average.
    pub yes_notional: Cash,
    pub fee_excess: i64,
    /// Cash set aside while it rests.
    pub reserved: Cash,
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fill {
    pub seq: u64,
    pub wall: i64,
    pub trade_id: Uuid,
    pub order_id: Uuid,
    pub owner: usize,
    pub ticker: String,
    pub shard: usize,
    pub side: BookSide,
    pub price: Px,
    pub count: Qty,
    pub fee: Cash,
    pub is_taker: bool,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trade {
    pub seq: u64,
    pub id: Uuid,
    pub ticker: String,
    pub price: Px,
    pub count: Qty,
    pub taker_side: BookSide,
    pub at: Timestamp,
}

/// One account in one market. Positive `net` is YES, negative NO; never both (netting).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Position {
    pub net: Qty,
    /// What the contracts now held cost.
    pub basis: Cash,
    pub realized: Cash,
    pub fees: Cash,
    pub traded: Cash,
    pub volume: Qty,
    pub yes_count: Qty,
    pub yes_cost: Cash,
    pub no_count: Qty,
    pub no_cost: Cash,
    pub settled: bool,
    pub updated: Timestamp,
}

/// What a fill does to the account that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Paid for the contracts, before anything comes back.
    pub cost: Cash,
    /// One dollar for every YES that met a NO of the same account.
    pub pair_cash: Cash,
}

impl Position {
    pub fn new(at: Timestamp) -> Position {
        Position {
            net: Qty::ZERO,
            basis: Cash::ZERO,
            realized: Cash::ZERO,
            fees: Cash::ZERO,
            traded: Cash::ZERO,
            volume: Qty::ZERO,
            yes_count: Qty::ZERO,
            yes_cost: Cash::ZERO,
            no_count: Qty::ZERO,
            no_cost: Cash::ZERO,
            settled: false,
            updated: at,
        }
    }

    /// Books one fill and says what it costs. A YES and a NO in one hand leave it as one dollar.
    pub fn trade(&mut self, side: BookSide, yes_price: Px, count: Qty) -> Effect {
        let each = side.cost_of(yes_price);
        let cost = each.times(count);
        let against = match side {
            BookSide::Bid => -self.net,
            BookSide::Ask => self.net,
        };
        let pairs = against.max(Qty::ZERO).min(count);
        let pair_cash = Px::ONE.times(pairs);
        if pairs > Qty::ZERO {
            let closed_basis =
                Cash((i128::from(self.basis.0) * i128::from(pairs.0) / i128::from(self.net.abs().0)) as i64);
            self.realized += pair_cash - each.times(pairs) - closed_basis;
            self.basis -= closed_basis;
        }
        self.basis += each.times(count - pairs);
        self.net += if side == BookSide::Bid { count } else { -count };
        self.traded += cost;
        self.volume += count;
        match side {
            BookSide::Bid => {
                self.yes_count += count;
                self.yes_cost += cost;
            }
            BookSide::Ask => {
                self.no_count += count;
                self.no_cost += cost;
            }
        }
        Effect { cost, pair_cash }
    }

    /// What this position pays when YES is worth `value`: whole cents, the rest is cut off.
    pub fn revenue_cents(&self, value: Px) -> i64 {
        let each = if self.net.0 >= 0 { value } else { value.complement() };
        each.times(self.net.abs()).cents_down()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settlement {
    pub seq: u64,
    pub wall: i64,
    pub owner: usize,
    pub ticker: String,
    pub event_ticker: String,
    pub shard: usize,
    pub outcome: Outcome,
    pub position: Position,
    pub revenue_cents: i64,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    pub seq: u64,
    pub id: Uuid,
    pub client_id: Option<Uuid>,
    pub owner: usize,
    pub from: usize,
    pub to: usize,
    pub amount: Cash,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub cash: [Cash; SHARDS],
    pub reserved: [Cash; SHARDS],
}

impl Balance {
    pub fn available(&self, shard: usize) -> Cash {
        self.cash[shard] - self.reserved[shard]
    }

    pub fn total(&self) -> Cash {
        (0..SHARDS).map(|shard| self.available(shard)).sum()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    pub user_id: Uuid,
    pub balance: Lagged<Balance>,
    pub positions: BTreeMap<String, Lagged<Position>>,
    /// Spent for ever, killed orders' ids included. The value is the order's sequence number.
    pub client_order_ids: HashMap<String, u64>,
}
