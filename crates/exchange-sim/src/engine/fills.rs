//! What happens when orders meet: who can pay, what a match costs, and what it does to both sides.

use super::{Engine, HOUSE, NewOrder, Notice, Now, Refusal, TRADES_KEPT};
use crate::book::{BookSide, Incoming, Plan};
use crate::model::{Fill, Lagged, Market, Order, OrderStatus, Position, Trade};
use crate::units::{Cash, Px, Qty};
use std::collections::HashMap;

/// One of the two sides of a trade.
#[derive(Clone, Copy)]
struct Party {
    owner: usize,
    side: BookSide,
    /// None where the order is not kept: the house's.
    order: Option<u64>,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Taker,
    /// `gone`: nothing of its order rests any more.
    Maker {
        gone: bool,
    },
}

impl Engine {
    /// The plan after resting orders that their owners can no longer pay for are gone.
    pub(super) fn payable_plan(&mut self, now: Now, ticker: &str, incoming: &Incoming) -> Plan {
        loop {
            let Some(market) = self.markets.get(ticker) else { return Plan::default() };
            let plan = market.book.plan(incoming);
            let Some((price, seq)) = self.first_unpayable(market, incoming.side.opposite(), &plan) else { return plan };
            self.cancel_resting(now, ticker, incoming.side.opposite(), price, seq, "MarginCancel");
        }
    }

    /// The first resting order of the plan whose owner cannot pay for what it would get.
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
    fn fill_fee(&self, market: &Market, taker: bool, side: BookSide, price: Px, count: Qty, excess: &mut i64) -> Cash {
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
            let taking = Party { owner: incoming.owner, side: incoming.side, order: taker, role: Role::Taker };
            self.book_fill(now, &trade, taking);
            let order = self.orders.contains_key(&m.maker).then_some(m.maker);
            self.book_fill(
                now,
                &trade,
                Party { owner: m.maker_owner, side: maker_side, order, role: Role::Maker { gone } },
            );
            self.refresh_open_interest(ticker);
            self.publish_trade(trade);
        }
    }

    /// What a trade does to one of its sides: money and position, the order, and what its owner is told.
    fn book_fill(&mut self, now: Now, trade: &Trade, party: Party) {
        let Some(market) = self.markets.get(&trade.ticker) else { return };
        let shard = market.shard;
        let mut order = party.order.and_then(|seq| self.orders.get(&seq)).map(|o| o.now().clone());
        let mut no_excess = 0;
        let excess = order.as_mut().map_or(&mut no_excess, |o| &mut o.fee_excess);
        let fee = self.fill_fee(market, party.role == Role::Taker, party.side, trade.price, trade.count, excess);

        let fresh = || Position::new(now.time);
        let mut position = self.position(party.owner, &trade.ticker).cloned().unwrap_or_else(fresh);
        let effect = position.trade(party.side, trade.price, trade.count);
        position.fees += fee;
        position.updated = now.time;
        let mut balance = self.accounts[party.owner].balance.now().clone();
        balance.cash[shard] = balance.cash[shard] + effect.pair_cash - effect.cost - fee;
        self.fees += fee;
        if let Some(market) = self.markets.get_mut(&trade.ticker) {
            market.pot = market.pot + effect.cost - effect.pair_cash;
        }
        if let Some(order) = order.as_mut() {
            balance.reserved[shard] -= fill(order, trade, party.role, effect.cost, fee);
        }

        let (wall, lag) = (now.wall, self.lags.portfolio);
        let account = &mut self.accounts[party.owner];
        account.balance.set(wall, lag, balance);
        match account.positions.get_mut(&trade.ticker) {
            Some(known) => known.set(wall, lag, position.clone()),
            None => {
                account.positions.insert(trade.ticker.clone(), Lagged::new(wall, position.clone()));
            }
        }
        if let (Some(order), true) = (order, party.owner != HOUSE) {
            self.tell_owner(now, trade, party, order, fee, position);
        }
    }

    fn tell_owner(&mut self, now: Now, trade: &Trade, party: Party, order: Order, fee: Cash, position: Position) {
        let fill = Fill {
            seq: self.next_seq(),
            wall: now.wall,
            trade_id: trade.id,
            order_id: order.id,
            owner: party.owner,
            ticker: trade.ticker.clone(),
            shard: order.shard,
            side: party.side,
            price: trade.price,
            count: trade.count,
            fee,
            is_taker: party.role == Role::Taker,
            at: now.time,
        };
        self.fills.push(fill.clone());
        let client_order_id = order.client_order_id.clone();
        match party.role {
            // The caller stores the order's final state once; here only the running sums.
            Role::Taker => {
                if let Some(stored) = self.orders.get_mut(&order.seq) {
                    stored.set(now.wall, self.lags.portfolio, order);
                }
            }
            Role::Maker { .. } => self.store_order(now, order, Some("Trade")),
        }
        self.note(Notice::Fill { fill, client_order_id, post_position: position.net });
        self.note(Notice::Position { owner: party.owner, ticker: trade.ticker.clone(), position });
    }

    pub(super) fn publish_trade(&mut self, trade: Trade) {
        self.note(Notice::Trade(trade.clone()));
        self.trades.push_back(trade);
        if self.trades.len() > TRADES_KEPT {
            self.trades.pop_front();
        }
    }

    fn refresh_open_interest(&mut self, ticker: &str) {
        if let Some(market) = self.markets.get_mut(ticker) {
            market.open_interest = Qty(market.pot.0 / 10_000);
        }
    }
}

/// Adds a trade to its order, and gives what no longer needs to be set aside for it.
fn fill(order: &mut Order, trade: &Trade, role: Role, cost: Cash, fee: Cash) -> Cash {
    order.filled += trade.count;
    order.yes_notional += trade.price.times(trade.count);
    order.updated = trade.at;
    match role {
        Role::Taker => {
            order.taker_cost += cost;
            order.taker_fees += fee;
            Cash::ZERO
        }
        Role::Maker { gone } => {
            let release = if gone { order.reserved } else { part(order.reserved, trade.count, order.remaining) };
            order.reserved -= release;
            order.remaining -= trade.count;
            order.maker_cost += cost;
            order.maker_fees += fee;
            if order.remaining <= Qty::ZERO {
                order.status = OrderStatus::Executed;
            }
            release
        }
    }
}

/// What falls to `count` of `whole`, rounded down.
pub(super) fn part(amount: Cash, count: Qty, whole: Qty) -> Cash {
    if whole.0 <= 0 {
        return Cash::ZERO;
    }
    Cash((i128::from(amount.0) * i128::from(count.0) / i128::from(whole.0)) as i64)
}
