//! The exchange itself: accounts, matching, netting, lifecycle, settlement. No I/O: it is told the
//! time and answers; what happened goes out as `Notice`s.
//!
//! Invariants (`Engine::audit` checks them)
//! - E1: cash of all accounts + the markets' pots + collected fees + rounding = everything ever funded.
//! - E2: a market's pot is one dollar for each open YES, and there are as many NO.
//! - E3: no client's available cash is below zero on any shard.
//! - E4: a client_order_id is accepted once, for ever.

use crate::book::{Book, BookSide, Incoming, Plan, Resting, SelfTrade};
use crate::dice::Dice;
use crate::model::{
    Account, Balance, EventSpec, Fill, Lagged, Life, Market, MarketSpec, Order, OrderStatus, Outcome, Position, SHARDS,
    SeriesSpec, Settlement, Status, TimeInForce, Trade, Transfer,
};
use crate::units::{Cash, Px, Qty};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
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

    // ---- listing -------------------------------------------------------------------------------

    pub fn list_series(&mut self, spec: SeriesSpec) -> Result<(), Refusal> {
        if spec.shard >= SHARDS {
            return Err(Refusal::Parameters("shard"));
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
            last_price: Px(0),
            last_size: Qty::ZERO,
            volume: Qty::ZERO,
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

    // ---- orders --------------------------------------------------------------------------------

    pub fn place(&mut self, now: Now, owner: usize, ask: NewOrder) -> Result<Placed, Refusal> {
        let client_order_id = ask.client_order_id.clone().unwrap_or_default();
        if !client_order_id.is_empty() && self.accounts[owner].client_order_ids.contains_key(&client_order_id) {
            return Err(Refusal::AlreadyExists); // E4, and before any other answer: the safe probe
        }
        self.may_trade()?;
        let market = self.markets.get(&ask.ticker).ok_or(Refusal::UnknownMarket)?;
        if market.status() != Status::Active {
            return Err(Refusal::MarketInactive);
        }
        check_shape(now, &ask, market)?;

        let mut count = ask.count;
        if ask.reduce_only {
            let net = self.position(owner, &ask.ticker).map_or(Qty::ZERO, |p| p.net);
            let closable = if ask.side == BookSide::Bid { -net } else { net };
            count = count.min(closable.max(Qty::ZERO));
        }
        let immediate = ask.time_in_force != TimeInForce::GoodTillCanceled;
        let reach = if immediate { ask.cap.map_or(count, |cap| count.min(cap)) } else { count };
        let incoming = Incoming { owner, side: ask.side, limit: ask.price, count: reach, self_trade: ask.self_trade };
        let plan = self.payable_plan(now, &ask.ticker, &incoming);
        if ask.post_only && (!plan.matches.is_empty() || plan.met_itself) {
            return Err(Refusal::Order("post only cross"));
        }
        let filled = plan.filled();
        let kill = ask.time_in_force == TimeInForce::FillOrKill && filled < ask.count && !plan.met_itself;
        let rest = if immediate || (plan.met_itself && ask.self_trade == SelfTrade::TakerAtCross) {
            Qty::ZERO
        } else {
            count - filled
        };
        let reserve = if kill { Cash::ZERO } else { self.taker_can_pay(owner, &ask, &plan, rest)? };

        let seq = self.next_seq();
        let id = self.dice.uuid();
        let market = &self.markets[&ask.ticker];
        let order = Order {
            seq,
            id,
            owner,
            client_order_id: if client_order_id.is_empty() { id.to_string() } else { client_order_id },
            ticker: ask.ticker.clone(),
            event_ticker: market.spec.event_ticker.clone(),
            shard: market.shard,
            side: ask.side,
            price: ask.price,
            initial: ask.count,
            filled: Qty::ZERO,
            remaining: rest,
            status: if rest > Qty::ZERO { OrderStatus::Resting } else { OrderStatus::Canceled },
            time_in_force: ask.time_in_force,
            self_trade: ask.self_trade,
            expiration: ask.expiration,
            cancel_on_pause: ask.cancel_on_pause,
            taker_cost: Cash::ZERO,
            maker_cost: Cash::ZERO,
            taker_fees: Cash::ZERO,
            maker_fees: Cash::ZERO,
            yes_notional: Cash::ZERO,
            fee_excess: 0,
            reserved: Cash::ZERO,
            created: now.time,
            updated: now.time,
        };
        self.accounts[owner].client_order_ids.insert(order.client_order_id.clone(), seq);
        self.order_seqs.insert(id, seq);
        self.orders.insert(seq, Lagged::new(now.wall, order.clone()));
        if kill {
            return Err(Refusal::Killed);
        }
        for (price, maker) in &plan.self_cancels {
            self.cancel_resting(now, &ask.ticker, ask.side.opposite(), *price, *maker, "SelfTradeCancel");
        }
        self.execute(now, &ask.ticker, Some(seq), &incoming, &plan);
        let mut order = self.orders[&seq].now().clone();
        if order.filled == order.initial {
            order.status = OrderStatus::Executed;
            order.remaining = Qty::ZERO;
        }
        if rest > Qty::ZERO {
            order.reserved = reserve;
            self.reserve(now, owner, order.shard, reserve);
            self.rest(now, &ask.ticker, ask.side, ask.price, Resting { seq, owner, remaining: rest });
        }
        let reason = match order.status {
            _ if filled > Qty::ZERO => Some("Trade"),
            OrderStatus::Canceled if ask.reduce_only => Some("ReduceOnlyCancel"),
            OrderStatus::Canceled if plan.met_itself => Some("SelfTradeCancel"),
            _ => None,
        };
        self.store_order(now, order.clone(), reason);
        self.note(Notice::Ticker { ticker: ask.ticker });
        Ok(Placed { order })
    }

    pub fn cancel(&mut self, now: Now, owner: usize, id: Uuid) -> Result<(Order, Qty), Refusal> {
        if !self.exchange_active {
            return Err(Refusal::ExchangePaused);
        }
        let order = self.own_order(owner, id)?;
        if order.status != OrderStatus::Resting {
            return Err(Refusal::UnknownOrder);
        }
        if self
            .markets
            .get(&order.ticker)
            .is_some_and(|m| m.status() != Status::Active && m.status() != Status::Inactive)
        {
            return Err(Refusal::MarketInactive);
        }
        let left = order.remaining;
        self.cancel_resting(now, &order.ticker, order.side, order.price, order.seq, "Decrease");
        Ok((self.own_order(owner, id)?, left))
    }

    pub fn cancel_all(&mut self, now: Now, owner: usize) {
        for order in self.resting_orders(owner) {
            self.cancel_resting(now, &order.ticker, order.side, order.price, order.seq, "Decrease");
        }
    }

    /// Takes contracts off a resting order; it keeps its place in the queue.
    pub fn decrease(&mut self, now: Now, owner: usize, id: Uuid, to: impl Fn(Qty) -> Qty) -> Result<Order, Refusal> {
        self.may_trade()?;
        let order = self.own_order(owner, id)?;
        if order.status != OrderStatus::Resting {
            return Err(Refusal::UnknownOrder);
        }
        let left = to(order.remaining);
        if left < Qty::ZERO || left >= order.remaining {
            return Err(Refusal::Size);
        }
        if left == Qty::ZERO {
            return self.cancel(now, owner, id).map(|(order, _)| order);
        }
        let by = order.remaining - left;
        if let Some(market) = self.markets.get_mut(&order.ticker) {
            market.book.take(order.side, order.price, order.seq, by);
        }
        self.book_moved(now, &order.ticker, order.side, order.price, -by, owner, Some(order.client_order_id.clone()));
        let release = part(order.reserved, by, order.remaining);
        self.reserve(now, owner, order.shard, -release);
        let order = Order { remaining: left, reserved: order.reserved - release, updated: now.time, ..order };
        self.store_order(now, order.clone(), Some("Decrease"));
        Ok(order)
    }

    /// Cancels what rests of the order and places the rest anew, at the end of the queue.
    pub fn amend(
        &mut self,
        now: Now,
        owner: usize,
        id: Uuid,
        price: Px,
        count: Qty,
        new_client_id: Option<String>,
    ) -> Result<Order, Refusal> {
        self.may_trade()?;
        let old = self.own_order(owner, id)?;
        if old.status != OrderStatus::Resting {
            return Err(Refusal::UnknownOrder);
        }
        if count <= old.filled {
            return Err(Refusal::Size);
        }
        self.cancel_resting(now, &old.ticker, old.side, old.price, old.seq, "Amend");
        let placed = self.place(
            now,
            owner,
            NewOrder {
                client_order_id: new_client_id,
                ticker: old.ticker.clone(),
                side: old.side,
                count: count - old.filled,
                price,
                time_in_force: TimeInForce::GoodTillCanceled,
                self_trade: old.self_trade,
                post_only: false,
                reduce_only: false,
                cancel_on_pause: old.cancel_on_pause,
                expiration: old.expiration,
                shard: None,
                cap: None,
            },
        )?;
        Ok(placed.order)
    }

    fn may_trade(&self) -> Result<(), Refusal> {
        match (self.exchange_active, self.trading_active) {
            (false, _) => Err(Refusal::ExchangePaused),
            (true, false) => Err(Refusal::TradingPaused),
            (true, true) => Ok(()),
        }
    }

    /// The plan after resting orders that their owners can no longer pay for are gone.
    fn payable_plan(&mut self, now: Now, ticker: &str, incoming: &Incoming) -> Plan {
        loop {
            let Some(market) = self.markets.get(ticker) else { return Plan::default() };
            let plan = market.book.plan(incoming);
            let Some((price, seq)) = self.first_unpayable(market, incoming.side.opposite(), &plan) else { return plan };
            self.cancel_resting(now, ticker, incoming.side.opposite(), price, seq, "MarginCancel");
        }
    }

    fn first_unpayable(&self, market: &Market, side: BookSide, plan: &Plan) -> Option<(Px, u64)> {
        let mut seen: HashMap<usize, (Position, Cash)> = HashMap::new();
        for m in plan.matches.iter().filter(|m| m.maker_owner != HOUSE) {
            let order = self.orders.get(&m.maker)?.now();
            let balance = self.accounts[m.maker_owner].balance.now();
            let (position, cash) = seen.entry(m.maker_owner).or_insert_with(|| {
                let fresh = || Position::new(order.created);
                (
                    self.position(m.maker_owner, &market.spec.ticker).cloned().unwrap_or_else(fresh),
                    balance.available(market.shard),
                )
            });
            let effect = position.trade(side, m.price, m.count);
            let fee = market.fees.at_most(false, m.price, m.count) + Cash(100);
            let released = part(order.reserved, m.count, order.remaining);
            *cash = *cash + released + effect.pair_cash - effect.cost - fee;
            if *cash < Cash::ZERO {
                return Some((m.price, m.maker));
            }
        }
        None
    }

    /// What must be set aside for the part that will rest, or the refusal.
    fn taker_can_pay(&self, owner: usize, ask: &NewOrder, plan: &Plan, rest: Qty) -> Result<Cash, Refusal> {
        let market = &self.markets[&ask.ticker];
        let mut position = self.position(owner, &ask.ticker).cloned().unwrap_or_else(|| Position::new(market.created));
        let mut cash = self.accounts[owner].balance.now().available(market.shard);
        let mut excess = 0;
        for m in &plan.matches {
            let effect = position.trade(ask.side, m.price, m.count);
            cash = cash + effect.pair_cash
                - effect.cost
                - self.fill_fee(market, true, ask.side, m.price, m.count, &mut excess);
        }
        let mut reserve = Cash::ZERO;
        if rest > Qty::ZERO {
            let promised: Qty = self
                .resting_orders(owner)
                .iter()
                .filter(|o| o.ticker == ask.ticker && o.side == ask.side)
                .map(|o| o.remaining)
                .sum();
            let against = if ask.side == BookSide::Bid { -position.net } else { position.net };
            let closing = (against - promised).max(Qty::ZERO).min(rest);
            reserve = ask.side.cost_of(ask.price).times(rest - closing) + market.fees.at_most(false, ask.price, rest);
        }
        if cash < reserve { Err(Refusal::Balance) } else { Ok(reserve) }
    }

    /// The fee, with what makes the balance change a multiple of 0.0001 dollar.
    fn fill_fee(&self, market: &Market, taker: bool, side: BookSide, price: Px, count: Qty, excess: &mut i64) -> Cash {
        let fee = market.fees.fee(taker, price, count, excess);
        let paid = side.cost_of(price).times(count) + fee;
        fee + Cash((-paid.0).rem_euclid(100))
    }

    /// Books every match of the plan on both sides. The plan was found payable.
    fn execute(&mut self, now: Now, ticker: &str, taker: Option<u64>, incoming: &Incoming, plan: &Plan) {
        for m in &plan.matches {
            let maker_side = incoming.side.opposite();
            let Some(market) = self.markets.get_mut(ticker) else { return };
            let gone = market.book.take(maker_side, m.price, m.maker, m.count);
            market.last_price = m.price;
            market.last_size = m.count;
            market.volume += m.count;
            let maker_client_id = self.orders.get(&m.maker).map(|o| o.now().client_order_id.clone());
            self.book_moved(now, ticker, maker_side, m.price, -m.count, m.maker_owner, maker_client_id);
            let trade = Trade {
                seq: self.next_seq(),
                id: self.dice.uuid(),
                ticker: ticker.to_owned(),
                price: m.price,
                count: m.count,
                taker_side: incoming.side,
                at: now.time,
            };
            self.book_fill(now, &trade, incoming.owner, incoming.side, taker, true, false);
            let maker_order = self.orders.contains_key(&m.maker).then_some(m.maker);
            self.book_fill(now, &trade, m.maker_owner, maker_side, maker_order, false, gone);
            self.refresh_open_interest(ticker);
            self.note(Notice::Trade(trade.clone()));
            self.trades.push_back(trade);
            if self.trades.len() > TRADES_KEPT {
                self.trades.pop_front();
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one fill has these facts, and one caller")]
    fn book_fill(
        &mut self,
        now: Now,
        trade: &Trade,
        owner: usize,
        side: BookSide,
        order: Option<u64>,
        taker: bool,
        gone: bool,
    ) {
        let Some(market) = self.markets.get(&trade.ticker) else { return };
        let shard = market.shard;
        let mut order = order.and_then(|seq| self.orders.get(&seq)).map(|o| o.now().clone());
        let mut no_excess = 0;
        let excess = order.as_mut().map_or(&mut no_excess, |o| &mut o.fee_excess);
        let fee = self.fill_fee(market, taker, side, trade.price, trade.count, excess);

        let mut position = self.position(owner, &trade.ticker).cloned().unwrap_or_else(|| Position::new(now.time));
        let effect = position.trade(side, trade.price, trade.count);
        position.fees += fee;
        position.updated = now.time;
        let mut balance = self.accounts[owner].balance.now().clone();
        balance.cash[shard] = balance.cash[shard] + effect.pair_cash - effect.cost - fee;
        self.fees += fee;
        if let Some(market) = self.markets.get_mut(&trade.ticker) {
            market.pot = market.pot + effect.cost - effect.pair_cash;
        }
        if let Some(order) = order.as_mut() {
            order.filled += trade.count;
            order.yes_notional += trade.price.times(trade.count);
            order.updated = now.time;
            if taker {
                order.taker_cost += effect.cost;
                order.taker_fees += fee;
            } else {
                let release = if gone { order.reserved } else { part(order.reserved, trade.count, order.remaining) };
                order.reserved -= release;
                balance.reserved[shard] -= release;
                order.remaining -= trade.count;
                order.maker_cost += effect.cost;
                order.maker_fees += fee;
                if order.remaining <= Qty::ZERO {
                    order.status = OrderStatus::Executed;
                }
            }
        }
        let post_position = position.net;
        let (wall, lag) = (now.wall, self.lags.portfolio);
        let account = &mut self.accounts[owner];
        account.balance.set(wall, lag, balance);
        match account.positions.get_mut(&trade.ticker) {
            Some(known) => known.set(wall, lag, position.clone()),
            None => {
                account.positions.insert(trade.ticker.clone(), Lagged::new(wall, position.clone()));
            }
        }
        if owner == HOUSE {
            return;
        }
        let Some(order) = order else { return };
        let fill = Fill {
            seq: self.next_seq(),
            wall,
            trade_id: trade.id,
            order_id: order.id,
            owner,
            ticker: trade.ticker.clone(),
            shard,
            side,
            price: trade.price,
            count: trade.count,
            fee,
            is_taker: taker,
            at: now.time,
        };
        self.fills.push(fill.clone());
        let client_order_id = order.client_order_id.clone();
        if taker {
            // The caller stores the order's final state once; here only the running sums.
            if let Some(stored) = self.orders.get_mut(&order.seq) {
                stored.set(wall, lag, order);
            }
        } else {
            self.store_order(now, order, Some("Trade"));
        }
        self.note(Notice::Fill { fill, client_order_id, post_position });
        self.note(Notice::Position { owner, ticker: trade.ticker.clone(), position });
    }

    fn refresh_open_interest(&mut self, ticker: &str) {
        if let Some(market) = self.markets.get_mut(ticker) {
            market.open_interest = Qty(market.pot.0 / 10_000);
        }
    }

    fn rest(&mut self, now: Now, ticker: &str, side: BookSide, price: Px, resting: Resting) {
        let (owner, count, seq) = (resting.owner, resting.remaining, resting.seq);
        if let Some(market) = self.markets.get_mut(ticker) {
            market.book.rest(side, price, resting);
        }
        let client_order_id = self.orders.get(&seq).map(|o| o.now().client_order_id.clone());
        self.book_moved(now, ticker, side, price, count, owner, client_order_id);
    }

    fn cancel_resting(&mut self, now: Now, ticker: &str, side: BookSide, price: Px, seq: u64, reason: &'static str) {
        let Some(market) = self.markets.get_mut(ticker) else { return };
        let Some(removed) = market.book.remove(side, price, seq) else { return };
        let order = self.orders.get(&seq).map(|o| o.now().clone());
        let client_order_id = order.as_ref().map(|o| o.client_order_id.clone());
        self.book_moved(now, ticker, side, price, -removed.remaining, removed.owner, client_order_id);
        if let Some(order) = order {
            self.reserve(now, order.owner, order.shard, -order.reserved);
            let order = Order {
                reserved: Cash::ZERO,
                remaining: Qty::ZERO,
                status: OrderStatus::Canceled,
                updated: now.time,
                ..order
            };
            self.store_order(now, order, Some(reason));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a delta on the socket has these facts")]
    fn book_moved(
        &mut self,
        now: Now,
        ticker: &str,
        side: BookSide,
        price: Px,
        delta: Qty,
        owner: usize,
        client_order_id: Option<String>,
    ) {
        let Some(market) = self.markets.get_mut(ticker) else { return };
        market.clock += 1;
        let clock = market.clock;
        let ticker = ticker.to_owned();
        self.note(Notice::Book { ticker, clock, side, price, delta, owner, client_order_id, at: now.time });
    }

    fn reserve(&mut self, now: Now, owner: usize, shard: usize, amount: Cash) {
        let mut balance = self.accounts[owner].balance.now().clone();
        balance.reserved[shard] += amount;
        self.accounts[owner].balance.set(now.wall, self.lags.portfolio, balance);
    }

    fn store_order(&mut self, now: Now, order: Order, reason: Option<&'static str>) {
        if let Some(stored) = self.orders.get_mut(&order.seq) {
            stored.set(now.wall, self.lags.portfolio, order.clone());
        }
        self.note(Notice::Order { order, reason });
    }

    pub fn position(&self, owner: usize, ticker: &str) -> Option<&Position> {
        self.accounts[owner].positions.get(ticker).map(Lagged::now)
    }

    fn own_order(&self, owner: usize, id: Uuid) -> Result<Order, Refusal> {
        let seq = self.order_seqs.get(&id).ok_or(Refusal::UnknownOrder)?;
        let order = self.orders.get(seq).ok_or(Refusal::UnknownOrder)?.now();
        if order.owner == owner { Ok(order.clone()) } else { Err(Refusal::UnknownOrder) }
    }

    fn resting_orders(&self, owner: usize) -> Vec<Order> {
        let mine = |o: &&Order| o.owner == owner && o.status == OrderStatus::Resting;
        self.orders.values().map(Lagged::now).filter(mine).cloned().collect()
    }

    // ---- money ---------------------------------------------------------------------------------

    pub fn fund(&mut self, now: Now, owner: usize, shard: usize, amount: Cash) -> Result<(), Refusal> {
        if shard >= SHARDS || owner >= self.accounts.len() {
            return Err(Refusal::Parameters("account or shard"));
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
        if !self.exchange_active {
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

    // ---- lifecycle -----------------------------------------------------------------------------

    /// Does everything that time alone brings about.
    pub fn advance(&mut self, now: Now) {
        self.as_of.set(now.wall, self.lags.portfolio, now.time);
        let tickers: Vec<String> =
            self.markets.values().filter(|m| m.status() != Status::Finalized).map(|m| m.spec.ticker.clone()).collect();
        for ticker in tickers {
            self.advance_market(now, &ticker);
        }
        let expired: Vec<Order> = self
            .markets
            .values()
            .flat_map(|m| m.book.all())
            .filter(|(_, _, r)| r.owner != HOUSE)
            .filter_map(|(_, _, r)| self.orders.get(&r.seq).map(Lagged::now))
            .filter(|o| o.expiration.is_some_and(|at| at <= now.time))
            .cloned()
            .collect();
        for order in expired {
            self.cancel_resting(now, &order.ticker, order.side, order.price, order.seq, "ExpiryCancel");
        }
        if self.house_step_micros > 0 && now.time >= self.house_next {
            self.house_next =
                Timestamp::from_microsecond(now.time.as_microsecond().saturating_add(self.house_step_micros))
                    .unwrap_or(Timestamp::MAX);
            self.house_step(now);
        }
    }

    fn advance_market(&mut self, now: Now, ticker: &str) {
        let Some(market) = self.markets.get(ticker) else { return };
        let life = market.life.now().clone();
        match life.status {
            Status::Initialized if now.time >= market.spec.open_time => {
                self.set_life(now, ticker, |life| life.status = Status::Active);
                self.quote(now, ticker);
            }
            Status::Active | Status::Inactive if now.time >= life.close_time => self.shut(now, ticker),
            _ => {}
        }
        let Some(market) = self.markets.get(ticker) else { return };
        if let Some(script) = market.spec.script.clone() {
            let open = matches!(market.status(), Status::Active | Status::Inactive | Status::Closed);
            if open && now.time >= script.determine_at {
                // A script that names a wrong outcome is refused when the market is listed.
                let _ = self.determine(now, ticker, script.outcome, &script.expiration_value);
            }
            self.advance_dispute(now, ticker, &script);
        }
        let Some(market) = self.markets.get(ticker) else { return };
        let waiting = matches!(market.status(), Status::Determined | Status::Amended);
        if waiting && market.settlement_due().is_some_and(|due| due <= now.time) {
            let _ = self.finalize(now, ticker);
        }
    }

    fn advance_dispute(&mut self, now: Now, ticker: &str, script: &crate::model::Script) {
        let (Some(dispute), Some(market)) = (&script.dispute, self.markets.get(ticker)) else { return };
        let Some(determined) = market.life.now().determined_at else { return };
        let since = now.time.duration_since(determined).as_secs();
        match market.status() {
            Status::Determined if !market.disputed_once && since >= dispute.after_seconds => {
                let _ = self.dispute(now, ticker);
            }
            Status::Disputed if since >= 2 * dispute.after_seconds => {
                let _ = self.amend_outcome(now, ticker, dispute.amended, &script.expiration_value);
            }
            _ => {}
        }
    }

    fn set_life(&mut self, now: Now, ticker: &str, change: impl FnOnce(&mut Life)) {
        let keep = self.lags.markets;
        if let Some(market) = self.markets.get_mut(ticker) {
            let mut life = market.life.now().clone();
            change(&mut life);
            life.updated = now.time;
            market.life.set(now.wall, keep, life);
        }
    }

    fn shut(&mut self, now: Now, ticker: &str) {
        self.clear_book(now, ticker, "CloseCancel", |_| true);
        self.set_life(now, ticker, |life| life.status = Status::Closed);
    }

    fn clear_book(&mut self, now: Now, ticker: &str, reason: &'static str, which: impl Fn(&Order) -> bool) {
        let Some(market) = self.markets.get(ticker) else { return };
        let all: Vec<(BookSide, Px, u64)> = market.book.all().map(|(s, p, r)| (s, p, r.seq)).collect();
        for (side, price, seq) in all {
            if self.orders.get(&seq).is_none_or(|o| which(o.now())) {
                self.cancel_resting(now, ticker, side, price, seq, reason);
            }
        }
    }

    fn status_of(&self, ticker: &str) -> Result<Status, Refusal> {
        self.markets.get(ticker).map(Market::status).ok_or(Refusal::UnknownMarket)
    }

    /// Moves the close to now: the game has ended.
    pub fn close(&mut self, now: Now, ticker: &str) -> Result<(), Refusal> {
        match self.status_of(ticker)? {
            Status::Initialized | Status::Active | Status::Inactive => {
                self.set_life(now, ticker, |life| life.close_time = now.time);
                self.note(Notice::CloseDateUpdated { ticker: ticker.to_owned(), close: now.time });
                self.shut(now, ticker);
                Ok(())
            }
            other => Err(Refusal::State(other.as_str())),
        }
    }

    pub fn set_close_time(&mut self, now: Now, ticker: &str, close: Timestamp) -> Result<(), Refusal> {
        match self.status_of(ticker)? {
            Status::Initialized | Status::Active | Status::Inactive | Status::Closed => {
                self.set_life(now, ticker, |life| {
                    life.close_time = close;
                    if life.status == Status::Closed && close > now.time {
                        life.status = Status::Active;
                    }
                });
                self.note(Notice::CloseDateUpdated { ticker: ticker.to_owned(), close });
                Ok(())
            }
            other => Err(Refusal::State(other.as_str())),
        }
    }

    pub fn deactivate(&mut self, now: Now, ticker: &str) -> Result<(), Refusal> {
        match self.status_of(ticker)? {
            Status::Active => {
                self.clear_book(now, ticker, "HaltCancel", |order| order.cancel_on_pause);
                self.set_life(now, ticker, |life| life.status = Status::Inactive);
                self.note(Notice::Deactivated { ticker: ticker.to_owned() });
                Ok(())
            }
            other => Err(Refusal::State(other.as_str())),
        }
    }

    /// Reactivation cancels everything that rests.
    pub fn activate(&mut self, now: Now, ticker: &str) -> Result<(), Refusal> {
        match self.status_of(ticker)? {
            Status::Inactive | Status::Initialized => {
                self.clear_book(now, ticker, "HaltCancel", |_| true);
                self.set_life(now, ticker, |life| life.status = Status::Active);
                self.note(Notice::Activated { ticker: ticker.to_owned() });
                self.quote(now, ticker);
                Ok(())
            }
            other => Err(Refusal::State(other.as_str())),
        }
    }

    /// Names the result. An open market closes first.
    pub fn determine(&mut self, now: Now, ticker: &str, outcome: Outcome, value: &str) -> Result<(), Refusal> {
        check_outcome(outcome)?;
        if matches!(self.status_of(ticker)?, Status::Initialized | Status::Active | Status::Inactive) {
            self.close(now, ticker)?;
        }
        match self.status_of(ticker)? {
            Status::Closed => {
                self.set_outcome(now, ticker, Status::Determined, outcome, value);
                Ok(())
            }
            other => Err(Refusal::State(other.as_str())),
        }
    }

    pub fn dispute(&mut self, now: Now, ticker: &str) -> Result<(), Refusal> {
        match self.status_of(ticker)? {
            Status::Determined | Status::Amended => {
                self.set_life(now, ticker, |life| life.status = Status::Disputed);
                if let Some(market) = self.markets.get_mut(ticker) {
                    market.disputed_once = true;
                }
                Ok(())
            }
            other => Err(Refusal::State(other.as_str())),
        }
    }

    /// Answers a dispute; the settlement timer starts anew.
    pub fn amend_outcome(&mut self, now: Now, ticker: &str, outcome: Outcome, value: &str) -> Result<(), Refusal> {
        check_outcome(outcome)?;
        match self.status_of(ticker)? {
            Status::Disputed => {
                self.set_outcome(now, ticker, Status::Amended, outcome, value);
                Ok(())
            }
            other => Err(Refusal::State(other.as_str())),
        }
    }

    fn set_outcome(&mut self, now: Now, ticker: &str, status: Status, outcome: Outcome, value: &str) {
        self.set_life(now, ticker, |life| {
            life.status = status;
            life.outcome = Some(outcome);
            life.expiration_value = if value.is_empty() { outcome.as_str().to_owned() } else { value.to_owned() };
            life.determined_at = Some(now.time);
        });
        self.note(Notice::Determined { ticker: ticker.to_owned(), outcome, at: now.time });
    }

    /// Pays every position, in whole cents of the net, and ends the market.
    pub fn finalize(&mut self, now: Now, ticker: &str) -> Result<(), Refusal> {
        let market = self.markets.get(ticker).ok_or(Refusal::UnknownMarket)?;
        let life = market.life.now().clone();
        let (Status::Determined | Status::Amended, Some(outcome)) = (life.status, life.outcome) else {
            return Err(Refusal::State(life.status.as_str()));
        };
        for owner in 0..self.accounts.len() {
            self.settle_account(now, ticker, owner, outcome);
        }
        if let Some(market) = self.markets.get_mut(ticker) {
            // What is left of the pot is what flooring to cents cut off.
            self.rounding += market.pot;
            market.pot = Cash::ZERO;
        }
        self.set_life(now, ticker, |life| {
            life.status = Status::Finalized;
            life.settled_at = Some(now.time);
        });
        for _ in 0..=self.settled_repeats {
            self.note(Notice::Settled { ticker: ticker.to_owned(), at: now.time });
        }
        Ok(())
    }

    fn settle_account(&mut self, now: Now, ticker: &str, owner: usize, outcome: Outcome) {
        let Some(mut position) = self.position(owner, ticker).cloned() else { return };
        let Some(market) = self.markets.get_mut(ticker) else { return };
        let (shard, event_ticker) = (market.shard, market.spec.event_ticker.clone());
        let revenue_cents = position.revenue_cents(outcome.value());
        let revenue = Cash(revenue_cents * 10_000);
        market.pot -= revenue;
        let gross = position.clone();
        position.realized += revenue - position.basis;
        position.basis = Cash::ZERO;
        position.net = Qty::ZERO;
        position.settled = true;
        position.updated = now.time;
        let mut balance = self.accounts[owner].balance.now().clone();
        balance.cash[shard] += revenue;
        let (wall, lag) = (now.wall, self.lags.portfolio);
        self.accounts[owner].balance.set(wall, lag, balance);
        if let Some(known) = self.accounts[owner].positions.get_mut(ticker) {
            known.set(wall, lag, position.clone());
        }
        if owner == HOUSE {
            return;
        }
        let seq = self.next_seq();
        self.settlements.push(Settlement {
            seq,
            wall,
            owner,
            ticker: ticker.to_owned(),
            event_ticker,
            shard,
            outcome,
            position: gross,
            revenue_cents,
            at: now.time,
        });
        self.note(Notice::Position { owner, ticker: ticker.to_owned(), position });
    }

    pub fn pause(&mut self, now: Now, exchange_active: bool, trading_active: bool) {
        let halting = (self.exchange_active && !exchange_active) || (self.trading_active && !trading_active);
        self.exchange_active = exchange_active;
        self.trading_active = trading_active;
        if halting {
            let tickers: Vec<String> = self.markets.keys().cloned().collect();
            for ticker in tickers {
                self.clear_client_orders(now, &ticker);
            }
        }
    }

    fn clear_client_orders(&mut self, now: Now, ticker: &str) {
        let Some(market) = self.markets.get(ticker) else { return };
        let marked: Vec<(BookSide, Px, u64)> = market
            .book
            .all()
            .filter(|(_, _, r)| self.orders.get(&r.seq).is_some_and(|o| o.now().cancel_on_pause))
            .map(|(s, p, r)| (s, p, r.seq))
            .collect();
        for (side, price, seq) in marked {
            self.cancel_resting(now, ticker, side, price, seq, "HaltCancel");
        }
    }

    // ---- the house -----------------------------------------------------------------------------

    /// Puts exactly these levels into the book, in the house's name, in place of what the house had.
    /// YES bids and NO bids, each at the price its buyer pays.
    pub fn set_book(&mut self, now: Now, ticker: &str, yes: &[(Px, Qty)], no: &[(Px, Qty)]) -> Result<(), Refusal> {
        let market = self.markets.get_mut(ticker).ok_or(Refusal::UnknownMarket)?;
        let legal = |levels: &[(Px, Qty)]| {
            levels.iter().all(|(p, q)| *q > Qty::ZERO && *q <= COUNT_MAX && market.spec.grid.allows(*p))
        };
        if !legal(yes) || !legal(no) {
            return Err(Refusal::Price);
        }
        let best = |levels: &[(Px, Qty)]| levels.iter().map(|(p, _)| p.0).max().unwrap_or(0);
        if best(yes) + best(no) >= 1_000_000 {
            return Err(Refusal::Order("crossed book"));
        }
        market.by_hand = true;
        self.house_withdraw(now, ticker);
        for (price, count) in yes {
            self.house_offer(now, ticker, BookSide::Bid, *price, *count);
        }
        for (price, count) in no {
            self.house_offer(now, ticker, BookSide::Ask, price.complement(), *count);
        }
        self.note(Notice::Ticker { ticker: ticker.to_owned() });
        Ok(())
    }

    fn house_withdraw(&mut self, now: Now, ticker: &str) {
        let Some(market) = self.markets.get(ticker) else { return };
        for (side, price, resting) in market.book.of_owner(HOUSE) {
            self.cancel_resting(now, ticker, side, price, resting.seq, "Decrease");
        }
    }

    /// Meets resting client orders first, as any order would, then rests.
    fn house_offer(&mut self, now: Now, ticker: &str, side: BookSide, price: Px, count: Qty) {
        let incoming = Incoming { owner: HOUSE, side, limit: price, count, self_trade: SelfTrade::TakerAtCross };
        let plan = self.payable_plan(now, ticker, &incoming);
        self.execute(now, ticker, None, &incoming, &plan);
        let left = count - plan.filled();
        if left > Qty::ZERO && !plan.met_itself {
            let seq = self.next_seq();
            self.rest(now, ticker, side, price, Resting { seq, owner: HOUSE, remaining: left });
        }
    }

    /// Moves the house's opinion of a few markets by a cent or two and quotes them afresh.
    fn house_step(&mut self, now: Now) {
        let open: Vec<String> = self
            .markets
            .values()
            .filter(|m| m.status() == Status::Active && !m.by_hand)
            .map(|m| m.spec.ticker.clone())
            .collect();
        if open.is_empty() {
            return;
        }
        let turns = (open.len() / 6).max(1);
        let picked: BTreeSet<usize> =
            (0..turns).map(|_| self.dice.between(0, open.len() as i64 - 1) as usize).collect();
        for at in picked {
            self.walk(now, &open[at]);
            self.quote(now, &open[at]);
        }
    }

    /// A random walk that leans towards the scripted outcome as the end comes near.
    fn walk(&mut self, now: Now, ticker: &str) {
        let Some(market) = self.markets.get(ticker) else { return };
        let fair = market.fair.0;
        let script = market.spec.script.as_ref();
        let goal = script.map(|s| s.outcome.value().0.clamp(40_000, 960_000));
        let near = script.is_some_and(|s| s.determine_at.duration_since(now.time).as_mins() < 30);
        let lean = if near { 62 } else { 52 };
        let up = match goal {
            Some(goal) if goal > fair => self.dice.percent(lean),
            Some(_) => !self.dice.percent(lean),
            None => self.dice.percent(50),
        };
        let step = self.dice.between(0, 2) * 10_000;
        let moved = (fair + if up { step } else { -step }).clamp(40_000, 960_000);
        if let Some(market) = self.markets.get_mut(ticker) {
            market.fair = Px(moved);
        }
    }

    /// Replaces the house's quotes: a one or two cent spread around its opinion, five levels a side.
    fn quote(&mut self, now: Now, ticker: &str) {
        let Some(market) = self.markets.get(ticker) else { return };
        if market.by_hand {
            return;
        }
        let (fair, depth) = (market.fair.0 / 10_000 * 10_000, market.spec.house_depth.max(1));
        self.house_withdraw(now, ticker);
        let wide = self.dice.between(0, 1) * 10_000;
        for level in 0..5 {
            let away = level * 10_000;
            for (side, price) in [(BookSide::Bid, fair - 10_000 - away), (BookSide::Ask, fair + 10_000 + wide + away)] {
                if (10_000..=990_000).contains(&price) {
                    // Hundredths of a contract: sizes on the exchange are rarely round.
                    let size = self.dice.between(depth * 25, depth * 175) * (level + 2) / 2;
                    self.house_offer(now, ticker, side, Px(price), Qty(size.max(1)));
                }
            }
        }
        self.note(Notice::Ticker { ticker: ticker.to_owned() });
    }

    // ---- audit ---------------------------------------------------------------------------------

    /// Sentences about every broken invariant; empty when all hold.
    pub fn audit(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let cash: Cash = self.accounts.iter().flat_map(|a| a.balance.now().cash).sum();
        let pots: Cash = self.markets.values().map(|m| m.pot).sum();
        let there = cash + pots + self.fees + self.rounding;
        if there != self.funded {
            broken.push(format!("E1: {there} dollars are there, {} were funded", self.funded));
        }
        for market in self.markets.values().filter(|m| m.status() != Status::Finalized) {
            let nets =
                || self.accounts.iter().filter_map(|a| a.positions.get(&market.spec.ticker)).map(|p| p.now().net);
            let yes: Qty = nets().filter(|n| *n > Qty::ZERO).sum();
            let no: Qty = nets().filter(|n| *n < Qty::ZERO).map(|n| -n).sum();
            if yes != no || market.pot != Px::ONE.times(yes) {
                broken.push(format!("E2: {}: {yes} YES, {no} NO, pot {}", market.spec.ticker, market.pot));
            }
        }
        for (owner, account) in self.accounts.iter().enumerate() {
            let balance = account.balance.now();
            for shard in 0..SHARDS {
                if balance.available(shard) < Cash::ZERO || balance.reserved[shard] < Cash::ZERO {
                    broken.push(format!("E3: account {owner} shard {shard}: {balance:?}"));
                }
            }
            let reserved: Cash =
                self.orders.values().map(Lagged::now).filter(|o| o.owner == owner).map(|o| o.reserved).sum();
            if reserved != balance.reserved.iter().copied().sum() {
                broken.push(format!("E3: account {owner}: orders reserve {reserved}, balance says {balance:?}"));
            }
        }
        broken
    }
}

/// What falls to `count` of `whole`, rounded down.
fn part(amount: Cash, count: Qty, whole: Qty) -> Cash {
    if whole.0 <= 0 {
        return Cash::ZERO;
    }
    Cash((i128::from(amount.0) * i128::from(count.0) / i128::from(whole.0)) as i64)
}

fn check_outcome(outcome: Outcome) -> Result<(), Refusal> {
    match outcome {
        Outcome::Scalar(value) if value.0 < 0 || value > Px::ONE => Err(Refusal::Parameters("settlement value")),
        _ => Ok(()),
    }
}

fn check_shape(now: Now, ask: &NewOrder, market: &Market) -> Result<(), Refusal> {
    if ask.shard.is_some_and(|shard| shard != market.shard) {
        return Err(Refusal::Parameters("exchange_index"));
    }
    if ask.count <= Qty::ZERO || ask.count > COUNT_MAX {
        return Err(Refusal::Size);
    }
    if !market.spec.grid.allows(ask.price) {
        return Err(Refusal::Price);
    }
    if ask.client_order_id.as_deref().is_some_and(|id| id.contains('.') || id.len() > 128) {
        return Err(Refusal::Parameters("client_order_id"));
    }
    let immediate = ask.time_in_force != TimeInForce::GoodTillCanceled;
    match ask.expiration {
        Some(_) if immediate => return Err(Refusal::Parameters("expiration_time")),
        Some(at) if at <= now.time => return Err(Refusal::Parameters("expiration_time")),
        _ => {}
    }
    if ask.post_only && immediate {
        return Err(Refusal::Order("post only with immediate order"));
    }
    if ask.reduce_only && ask.time_in_force != TimeInForce::ImmediateOrCancel {
        return Err(Refusal::Order("reduce only needs immediate_or_cancel"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
