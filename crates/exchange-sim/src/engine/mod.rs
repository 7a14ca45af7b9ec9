//! The exchange itself: accounts, matching, netting, lifecycle, settlement. No I/O: it is told the
//! time and answers; what happened goes out as `Notice`s.
//!
//! Invariants (`Engine::audit` checks them)
//! - E1: cash of all accounts + the markets' pots + collected fees + rounding = everything ever funded.
//! - E2: a market's pot is one dollar for each open YES, and there are as many NO.
//! - E3: no client's available cash is below zero on any shard.
//! - E4: a client_order_id is accepted once, for ever.

mod amend;
mod audit;
mod fills;
mod hours;
mod house;
mod lifecycle;
mod orders;

pub use amend::{Amended, Amendment, Expiry};
pub use hours::Hours;

use crate::book::{Book, BookSide, SelfTrade};
use crate::dice::Dice;
use crate::model::{
    Account, Balance, EventSpec, Fill, Lagged, Life, Market, MarketSpec, Order, Outcome, Position, SHARDS, SeriesSpec,
    Settlement, Status, TimeInForce, Trade, Transfer,
};
use crate::units::{Cash, Px, Qty};
use jiff::Timestamp;
use lifecycle::check_outcome;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use uuid::Uuid;

/// The market maker's account.
pub const HOUSE: usize = 0;
const HOUSE_CASH: Cash = Cash(1_000_000_000_000_000); // a billion dollars a shard
const TRADES_KEPT: usize = 20_000;
const COUNT_MAX: Qty = Qty::whole(5_000_000);

/// Both clocks as the engine sees them: business time, and wall microseconds for what readers may see.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub time: Timestamp,
    pub wall: i64,
}

/// How late readers see what happened, in wall microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lags {
    /// Orders, fills, positions, balances, settlements.
    pub portfolio: i64,
    /// Market status and result over REST; the socket is not late.
    pub markets: i64,
}

#[derive(Clone, Debug)]
pub struct NewOrder {
    pub client_order_id: Option<String>,
    pub ticker: String,
    pub side: BookSide,
    pub count: Qty,
    pub price: Px,
    pub time_in_force: TimeInForce,
    pub self_trade: SelfTrade,
    pub post_only: bool,
    pub reduce_only: bool,
    pub cancel_on_pause: bool,
    pub expiration: Option<Timestamp>,
    pub shard: Option<usize>,
    /// A fault's limit on what the book may give this order.
    pub cap: Option<Qty>,
    /// A fault: what does not fill at once rests, though the order asked for the opposite.
    pub rests: bool,
}

/// Why an order operation was not done. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("exchange is paused")]
    ExchangePaused,
    #[error("trading is paused")]
    TradingPaused,
    #[error("order already exists")]
    AlreadyExists,
    #[error("market not found")]
    UnknownMarket,
    #[error("order not found")]
    UnknownOrder,
    #[error("market is not active")]
    MarketInactive,
    #[error("invalid price")]
    Price,
    #[error("invalid order size")]
    Size,
    #[error("invalid parameters: {0}")]
    Parameters(&'static str),
    #[error("invalid order: {0}")]
    Order(&'static str),
    #[error("insufficient balance")]
    Balance,
    #[error("fill or kill insufficient resting volume")]
    Killed,
    #[error("transfer already exists")]
    TransferExists,
    #[error("not possible in state {0}")]
    State(&'static str),
    #[error("{0} already exists")]
    Exists(String),
}

#[derive(Clone, Debug)]
pub struct Placed {
    pub order: Order,
}

/// Something that subscribers may hear of.
#[derive(Clone, Debug)]
pub enum Notice {
    Created {
        ticker: String,
    },
    EventCreated {
        event_ticker: String,
    },
    Deactivated {
        ticker: String,
    },
    Activated {
        ticker: String,
    },
    CloseDateUpdated {
        ticker: String,
        close: Timestamp,
    },
    Determined {
        ticker: String,
        outcome: Outcome,
        at: Timestamp,
    },
    Settled {
        ticker: String,
        at: Timestamp,
    },
    Order {
        order: Order,
        reason: Option<&'static str>,
    },
    Fill {
        fill: Fill,
        client_order_id: String,
        post_position: Qty,
    },
    Position {
        owner: usize,
        ticker: String,
        position: Position,
    },
    Trade(Trade),
    Book {
        ticker: String,
        clock: u64,
        side: BookSide,
        price: Px,
        delta: Qty,
        owner: usize,
        client_order_id: Option<String>,
        at: Timestamp,
    },
    Ticker {
        ticker: String,
    },
}

impl Notice {
    /// Whether a client relies on it: its own orders and fills, and every result.
    pub fn must_last(&self) -> bool {
        match self {
            Notice::Determined { .. } | Notice::Settled { .. } => true,
            Notice::Order { order, .. } => order.owner != HOUSE,
            Notice::Fill { fill, .. } => fill.owner != HOUSE,
            Notice::Position { owner, .. } => *owner != HOUSE,
            _ => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub struct Engine {
    pub series: BTreeMap<String, (u64, SeriesSpec)>,
    pub events: BTreeMap<String, (u64, EventSpec, Timestamp)>,
    pub markets: BTreeMap<String, Market>,
    pub accounts: Vec<Account>,
    pub orders: BTreeMap<u64, Lagged<Order>>,
    pub order_seqs: HashMap<Uuid, u64>,
    pub fills: Vec<Fill>,
    pub trades: VecDeque<Trade>,
    pub settlements: Vec<Settlement>,
    pub transfers: Vec<Transfer>,
    pub exchange_active: bool,
    pub trading_active: bool,
    #[serde(default)]
    pub hours: Hours,
    /// Collected fees, and what flooring payouts to a cent left behind.
    pub fees: Cash,
    pub rounding: Cash,
    pub funded: Cash,
    pub as_of: Lagged<Timestamp>,
    pub dice: Dice,
    pub house_next: Timestamp,
    seq: u64,
    #[serde(skip)]
    pub lags: Lags,
    #[serde(skip)]
    pub settled_repeats: u32,
    #[serde(skip)]
    pub house_step_micros: i64,
    #[serde(skip)]
    notices: Vec<Notice>,
}

impl Engine {
    pub fn new(seed: u64, now: Now) -> Engine {
        let mut engine = Engine {
            series: BTreeMap::new(),
            events: BTreeMap::new(),
            markets: BTreeMap::new(),
            accounts: Vec::new(),
            orders: BTreeMap::new(),
            order_seqs: HashMap::new(),
            fills: Vec::new(),
            trades: VecDeque::new(),
            settlements: Vec::new(),
            transfers: Vec::new(),
            exchange_active: true,
            trading_active: true,
            hours: Hours::default(),
            fees: Cash::ZERO,
            rounding: Cash::ZERO,
            funded: Cash::ZERO,
            as_of: Lagged::always(now.time),
            dice: Dice::new(seed),
            house_next: now.time,
            seq: 0,
            lags: Lags::default(),
            settled_repeats: 0,
            house_step_micros: 0,
            notices: Vec::new(),
        };
        let house = engine.open_account([HOUSE_CASH; SHARDS]);
        debug_assert_eq!(house, HOUSE);
        engine
    }

    pub fn open_account(&mut self, cash: [Cash; SHARDS]) -> usize {
        self.funded += cash.iter().copied().sum();
        let balance = Lagged::always(Balance { cash, reserved: [Cash::ZERO; SHARDS] });
        let user_id = self.dice.uuid();
        self.accounts.push(Account { user_id, balance, positions: BTreeMap::new(), client_order_ids: HashMap::new() });
        self.accounts.len() - 1
    }

    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn note(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    pub fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub fn list_series(&mut self, spec: SeriesSpec) -> Result<(), Refusal> {
        if spec.shard >= SHARDS || !(0..=10_000).contains(&spec.fees.multiplier_thousandths) {
            return Err(Refusal::Parameters("shard or fee multiplier"));
        }
        let seq = self.next_seq();
        self.series.insert(spec.ticker.clone(), (seq, spec));
        Ok(())
    }

    pub fn list_event(&mut self, now: Now, spec: EventSpec) -> Result<(), Refusal> {
        if !self.series.contains_key(&spec.series_ticker) {
            return Err(Refusal::Parameters("unknown series"));
        }
        if self.events.contains_key(&spec.ticker) {
            return Err(Refusal::Exists(spec.ticker));
        }
        let seq = self.next_seq();
        let ticker = spec.ticker.clone();
        self.events.insert(ticker.clone(), (seq, spec, now.time));
        self.note(Notice::EventCreated { event_ticker: ticker });
        Ok(())
    }

    /// `created` is when readers are told it came to be; days prepared beforehand say an earlier time.
    pub fn list_market(&mut self, now: Now, created: Timestamp, spec: MarketSpec) -> Result<(), Refusal> {
        let Some((_, event, _)) = self.events.get(&spec.event_ticker) else {
            return Err(Refusal::Parameters("unknown event"));
        };
        let Some((_, series)) = self.series.get(&event.series_ticker) else {
            return Err(Refusal::Parameters("unknown series"));
        };
        if self.markets.contains_key(&spec.ticker) {
            return Err(Refusal::Exists(spec.ticker));
        }
        if !(10_000..=990_000).contains(&spec.fair.0) || spec.close_time <= spec.open_time {
            return Err(Refusal::Parameters("fair price or times"));
        }
        if !(0..=100_000).contains(&spec.house_depth) || !(0..=10_000_000).contains(&spec.settlement_timer_seconds) {
            return Err(Refusal::Parameters("house depth or settlement timer"));
        }
        if let Some(script) = &spec.script {
            check_outcome(script.outcome)?;
            script.dispute.as_ref().map_or(Ok(()), |dispute| check_outcome(dispute.amended))?;
        }
        let (series_ticker, shard, fees) = (series.ticker.clone(), series.shard, series.fees);
        let status = if spec.open_time <= now.time { Status::Active } else { Status::Initialized };
        let life = Life {
            status,
            close_time: spec.close_time,
            outcome: None,
            expiration_value: String::new(),
            determined_at: None,
            settled_at: None,
            updated: now.time.min(created.max(spec.open_time)),
        };
        let (seq, id) = (self.next_seq(), self.dice.uuid());
        let ticker = spec.ticker.clone();
        // A market that was open before the simulator looked has been traded already.
        let old = status == Status::Active && created < now.time && spec.house_depth > 0;
        let volume = if old { Qty::whole(self.dice.between(500, 20_000)) } else { Qty::ZERO };
        let market = Market {
            seq,
            id,
            series_ticker,
            shard,
            fees,
            created,
            life: if created < now.time { Lagged::always(life) } else { Lagged::new(now.wall, life) },
            book: Book::default(),
            clock: 0,
            last_price: if old { spec.fair } else { Px(0) },
            last_size: Qty::ZERO,
            volume,
            open_interest: Qty::ZERO,
            pot: Cash::ZERO,
            fair: spec.fair,
            by_hand: spec.house_depth == 0,
            disputed_once: false,
            spec,
        };
        self.markets.insert(ticker.clone(), market);
        self.note(Notice::Created { ticker: ticker.clone() });
        if status == Status::Active {
            self.quote(now, &ticker);
        }
        Ok(())
    }

    pub fn fund(&mut self, now: Now, owner: usize, shard: usize, amount: Cash) -> Result<(), Refusal> {
        if shard >= SHARDS || owner >= self.accounts.len() || amount.0.unsigned_abs() > HOUSE_CASH.0.unsigned_abs() {
            return Err(Refusal::Parameters("account, shard or amount"));
        }
        let mut balance = self.accounts[owner].balance.now().clone();
        balance.cash[shard] += amount;
        if balance.available(shard) < Cash::ZERO {
            return Err(Refusal::Balance);
        }
        self.funded += amount;
        self.accounts[owner].balance.set(now.wall, self.lags.portfolio, balance);
        Ok(())
    }

    pub fn transfer(
        &mut self,
        now: Now,
        owner: usize,
        from: usize,
        to: usize,
        amount: Cash,
        client_id: Option<Uuid>,
    ) -> Result<Uuid, Refusal> {
        if !self.works().0 {
            return Err(Refusal::ExchangePaused);
        }
        if from >= SHARDS || to >= SHARDS || from == to || amount <= Cash::ZERO {
            return Err(Refusal::Parameters("shard or amount"));
        }
        if client_id.is_some() && self.transfers.iter().any(|t| t.owner == owner && t.client_id == client_id) {
            return Err(Refusal::TransferExists);
        }
        let mut balance = self.accounts[owner].balance.now().clone();
        if balance.available(from) < amount {
            return Err(Refusal::Balance);
        }
        balance.cash[from] -= amount;
        balance.cash[to] += amount;
        self.accounts[owner].balance.set(now.wall, self.lags.portfolio, balance);
        let (seq, id) = (self.next_seq(), self.dice.uuid());
        self.transfers.push(Transfer { seq, id, client_id, owner, from, to, amount, at: now.time });
        Ok(id)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
