//! Placing, cancelling and changing orders.

use super::fills::part;
use super::{COUNT_MAX, Engine, NewOrder, Notice, Now, Placed, Refusal};
use crate::book::{BookSide, Incoming, Resting, SelfTrade};
use crate::model::{Lagged, Market, Order, OrderStatus, Position, Status, TimeInForce};
use crate::units::{Cash, Px, Qty};
use uuid::Uuid;

impl Engine {
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

        let count = if ask.reduce_only { ask.count.min(self.closable(owner, &ask)) } else { ask.count };
        let immediate = ask.time_in_force != TimeInForce::GoodTillCanceled && !ask.rests;
        let reach = if immediate || ask.rests { ask.cap.map_or(count, |cap| count.min(cap)) } else { count };
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

        let seq = self.take_on(now, owner, &ask, client_order_id, rest);
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

    /// How many contracts of this order would close what its owner holds.
    fn closable(&self, owner: usize, ask: &NewOrder) -> Qty {
        let net = self.position(owner, &ask.ticker).map_or(Qty::ZERO, |p| p.net);
        let against = if ask.side == BookSide::Bid { -net } else { net };
        against.max(Qty::ZERO)
    }

    /// Gives the order its number and keeps it under all its ids, before anything meets it. `rest` will rest.
    fn take_on(&mut self, now: Now, owner: usize, ask: &NewOrder, client_order_id: String, rest: Qty) -> u64 {
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
        self.orders.insert(seq, Lagged::new(now.wall, order));
        seq
    }

    pub fn cancel(&mut self, now: Now, owner: usize, id: Uuid) -> Result<(Order, Qty), Refusal> {
        if !self.works().0 {
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

    pub(super) fn rest(&mut self, now: Now, ticker: &str, side: BookSide, price: Px, resting: Resting) {
        let (owner, count, seq) = (resting.owner, resting.remaining, resting.seq);
        if let Some(market) = self.markets.get_mut(ticker) {
            market.book.rest(side, price, resting);
        }
        let client_order_id = self.orders.get(&seq).map(|o| o.now().client_order_id.clone());
        self.book_moved(now, ticker, side, price, count, owner, client_order_id);
    }

    pub(super) fn cancel_resting(
        &mut self,
        now: Now,
        ticker: &str,
        side: BookSide,
        price: Px,
        seq: u64,
        reason: &'static str,
    ) {
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
    pub(super) fn book_moved(
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

    pub(super) fn reserve(&mut self, now: Now, owner: usize, shard: usize, amount: Cash) {
        let mut balance = self.accounts[owner].balance.now().clone();
        balance.reserved[shard] += amount;
        self.accounts[owner].balance.set(now.wall, self.lags.portfolio, balance);
    }

    pub(super) fn store_order(&mut self, now: Now, order: Order, reason: Option<&'static str>) {
        if let Some(stored) = self.orders.get_mut(&order.seq) {
            stored.set(now.wall, self.lags.portfolio, order.clone());
        }
        self.note(Notice::Order { order, reason });
    }

    pub fn position(&self, owner: usize, ticker: &str) -> Option<&Position> {
        self.accounts[owner].positions.get(ticker).map(Lagged::now)
    }

    pub(super) fn own_order(&self, owner: usize, id: Uuid) -> Result<Order, Refusal> {
        let seq = self.order_seqs.get(&id).ok_or(Refusal::UnknownOrder)?;
        let order = self.orders.get(seq).ok_or(Refusal::UnknownOrder)?.now();
        if order.owner == owner { Ok(order.clone()) } else { Err(Refusal::UnknownOrder) }
    }

    pub(super) fn resting_orders(&self, owner: usize) -> Vec<Order> {
        let mine = |o: &&Order| o.owner == owner && o.status == OrderStatus::Resting;
        self.orders.values().map(Lagged::now).filter(mine).cloned().collect()
    }
}

pub(super) fn check_shape(now: Now, ask: &NewOrder, market: &Market) -> Result<(), Refusal> {
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
