//! Placing, cancelling and changing orders, and what a fill does to both sides.

use super::{COUNT_MAX, Engine, HOUSE, NewOrder, Notice, Now, Placed, Refusal, TRADES_KEPT};
use crate::book::{BookSide, Incoming, Plan, Resting, SelfTrade};
use crate::model::{Fill, Lagged, Market, Order, OrderStatus, Position, Status, TimeInForce, Trade};
use crate::units::{Cash, Px, Qty};
use std::collections::HashMap;
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

    /// Cancels what rests of the order and places the rest anew, at the end of the queue, as an order with
    /// an id of its own. Refused before anything is cancelled, so a refusal leaves the order as it was.
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
        if new_client_id.as_ref().is_some_and(|id| self.accounts[owner].client_order_ids.contains_key(id)) {
            return Err(Refusal::AlreadyExists);
        }
        let ask = NewOrder {
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
        };
        let market = self.markets.get(&old.ticker).ok_or(Refusal::UnknownMarket)?;
        if market.status() != Status::Active {
            return Err(Refusal::MarketInactive);
        }
        check_shape(now, &ask, market)?;
        // The whole of it opens and takes at the dearest fee, with a rounding for every order it can meet.
        let worst = ask.side.cost_of(price).times(ask.count)
            + market.fees.at_most(true, Px::cents(50), ask.count)
            + Cash(100 * (market.book.all().count() as i64 + 1));
        if self.accounts[owner].balance.now().available(old.shard) + old.reserved < worst {
            return Err(Refusal::Balance);
        }
        self.cancel_resting(now, &old.ticker, old.side, old.price, old.seq, "Amend");
        let placed = self.place(now, owner, ask)?;
        Ok(placed.order)
    }

    pub(super) fn may_trade(&self) -> Result<(), Refusal> {
        match (self.exchange_active, self.trading_active) {
            (false, _) => Err(Refusal::ExchangePaused),
            (true, false) => Err(Refusal::TradingPaused),
            (true, true) => Ok(()),
        }
    }

    /// The plan after resting orders that their owners can no longer pay for are gone.
    pub(super) fn payable_plan(&mut self, now: Now, ticker: &str, incoming: &Incoming) -> Plan {
        loop {
            let Some(market) = self.markets.get(ticker) else { return Plan::default() };
            let plan = market.book.plan(incoming);
            let Some((price, seq)) = self.first_unpayable(market, incoming.side.opposite(), &plan) else { return plan };
            self.cancel_resting(now, ticker, incoming.side.opposite(), price, seq, "MarginCancel");
        }
    }

    pub(super) fn first_unpayable(&self, market: &Market, side: BookSide, plan: &Plan) -> Option<(Px, u64)> {
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
    pub(super) fn taker_can_pay(&self, owner: usize, ask: &NewOrder, plan: &Plan, rest: Qty) -> Result<Cash, Refusal> {
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
    pub(super) fn fill_fee(
        &self,
        market: &Market,
        taker: bool,
        side: BookSide,
        price: Px,
        count: Qty,
        excess: &mut i64,
    ) -> Cash {
        let fee = market.fees.fee(taker, price, count, excess);
        let paid = side.cost_of(price).times(count) + fee;
        fee + Cash((-paid.0).rem_euclid(100))
    }

    /// Books every match of the plan on both sides. The plan was found payable.
    pub(super) fn execute(&mut self, now: Now, ticker: &str, taker: Option<u64>, incoming: &Incoming, plan: &Plan) {
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
            self.publish_trade(trade);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one fill has these facts, and one caller")]
    pub(super) fn book_fill(
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

    pub(super) fn publish_trade(&mut self, trade: Trade) {
        self.note(Notice::Trade(trade.clone()));
        self.trades.push_back(trade);
        if self.trades.len() > TRADES_KEPT {
            self.trades.pop_front();
        }
    }

    pub(super) fn refresh_open_interest(&mut self, ticker: &str) {
        if let Some(market) = self.markets.get_mut(ticker) {
            market.open_interest = Qty(market.pot.0 / 10_000);
        }
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

/// What falls to `count` of `whole`, rounded down.
fn part(amount: Cash, count: Qty, whole: Qty) -> Cash {
    if whole.0 <= 0 {
        return Cash::ZERO;
    }
    Cash((i128::from(amount.0) * i128::from(count.0) / i128::from(whole.0)) as i64)
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
