//! Changing an order that rests: its price, its size, its expiry. The order keeps its id and what it has filled.
//!
//! As published: a change of expiry alone and a smaller size keep the place in the queue; a larger size and another price
//! put the order at its end, after it has met what it now crosses.

use super::fills::part;
use super::orders::check_shape;
use super::{Engine, NewOrder, Now, Refusal};
use crate::book::{Incoming, Plan, Resting, SelfTrade};
use crate::model::{Order, OrderStatus, TimeInForce};
use crate::units::{Cash, Px, Qty};
use jiff::Timestamp;
use uuid::Uuid;

/// What is wanted of a resting order.
#[derive(Clone, Debug)]
pub struct Amendment {
    pub price: Px,
    /// What has filled and what shall rest, together.
    pub count: Qty,
    pub client_order_id: Option<String>,
    pub expiration: Expiry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Keep,
    Remove,
    At(Timestamp),
}

/// The order afterwards, and what the change brought about.
#[derive(Clone, Debug)]
pub struct Amended {
    pub order: Order,
    /// Filled because the new price crossed the book.
    pub filled: Qty,
    /// Sum of YES price × count, and fees, of these fills.
    pub yes_notional: Cash,
    pub fees: Cash,
    /// Another number of contracts rests than before.
    pub resized: bool,
}

impl Engine {
    /// Refused before anything is changed, so a refusal leaves the order as it was.
    pub fn amend(&mut self, now: Now, owner: usize, id: Uuid, wanted: &Amendment) -> Result<Amended, Refusal> {
        self.may_trade()?;
        let old = self.own_order(owner, id)?;
        if old.status != OrderStatus::Resting {
            return Err(Refusal::UnknownOrder);
        }
        let remaining = wanted.count - old.filled;
        if remaining <= Qty::ZERO {
            return Err(Refusal::Size);
        }
        if wanted.client_order_id.as_ref().is_some_and(|id| self.accounts[owner].client_order_ids.contains_key(id)) {
            return Err(Refusal::AlreadyExists);
        }
        let expiration = match wanted.expiration {
            Expiry::Keep => old.expiration,
            Expiry::Remove => None,
            Expiry::At(at) => Some(at),
        };
        let ask = amended_ask(&old, wanted, remaining, expiration);
        self.may_amend(now, &old, &ask)?;
        if let Some(client_order_id) = &wanted.client_order_id {
            self.accounts[owner].client_order_ids.insert(client_order_id.clone(), old.seq);
        }
        let stays = ask.price == old.price && remaining <= old.remaining;
        let before = old.clone();
        let order = Order {
            initial: wanted.count,
            client_order_id: wanted.client_order_id.clone().unwrap_or(old.client_order_id.clone()),
            expiration,
            updated: now.time,
            ..old
        };
        let order = if stays { self.shrink(now, order, remaining) } else { self.requeue(now, order, &ask)? };
        self.store_order(now, order.clone(), Some("Amend"));
        Ok(Amended {
            filled: order.filled - before.filled,
            yes_notional: order.yes_notional - before.yes_notional,
            fees: order.taker_fees - before.taker_fees,
            resized: order.remaining != before.remaining,
            order,
        })
    }

    fn may_amend(&self, now: Now, old: &Order, ask: &NewOrder) -> Result<(), Refusal> {
        let market = self.markets.get(&old.ticker).ok_or(Refusal::UnknownMarket)?;
        if market.status() != crate::model::Status::Active {
            return Err(Refusal::MarketInactive);
        }
        check_shape(now, ask, market)?;
        // The whole of it opens and takes at the dearest fee, with a rounding for every order it can meet.
        let worst = ask.side.cost_of(ask.price).times(ask.count)
            + market.fees.at_most(true, Px::cents(50), ask.count)
            + Cash(100 * (market.book.all().count() as i64 + 1));
        let available = self.accounts[old.owner].balance.now().available(old.shard) + old.reserved;
        let smaller = ask.price == old.price && ask.count <= old.remaining;
        if available < worst && !smaller { Err(Refusal::Balance) } else { Ok(()) }
    }

    /// No more rests than before, at the same price: the order keeps its place.
    fn shrink(&mut self, now: Now, order: Order, remaining: Qty) -> Order {
        let by = order.remaining - remaining;
        if by == Qty::ZERO {
            return order;
        }
        if let Some(market) = self.markets.get_mut(&order.ticker) {
            market.book.take(order.side, order.price, order.seq, by);
        }
        let client_order_id = Some(order.client_order_id.clone());
        self.book_moved(now, &order.ticker, order.side, order.price, -by, order.owner, client_order_id);
        let release = part(order.reserved, by, order.remaining);
        self.reserve(now, order.owner, order.shard, -release);
        Order { remaining, reserved: order.reserved - release, ..order }
    }

    /// Takes the order out of the book, lets it meet what its new price crosses, and rests what is left at the end of the
    /// queue.
    fn requeue(&mut self, now: Now, order: Order, ask: &NewOrder) -> Result<Order, Refusal> {
        let (seq, owner, ticker) = (order.seq, order.owner, order.ticker.clone());
        if let Some(market) = self.markets.get_mut(&ticker) {
            market.book.remove(order.side, order.price, seq);
        }
        let client_order_id = Some(order.client_order_id.clone());
        self.book_moved(now, &ticker, order.side, order.price, -order.remaining, owner, client_order_id);
        self.reserve(now, owner, order.shard, -order.reserved);
        // While it is in no book it promises nothing.
        let out = Order { price: ask.price, remaining: Qty::ZERO, reserved: Cash::ZERO, ..order };
        let lag = self.lags.portfolio;
        if let Some(stored) = self.orders.get_mut(&seq) {
            stored.set(now.wall, lag, Order { status: OrderStatus::Canceled, ..out });
        }
        let incoming =
            Incoming { owner, side: ask.side, limit: ask.price, count: ask.count, self_trade: ask.self_trade };
        let plan = self.payable_plan(now, &ticker, &incoming);
        let left = left_after(ask, &plan);
        let reserved = self.taker_can_pay(owner, ask, &plan, left)?;
        for (price, maker) in &plan.self_cancels {
            self.cancel_resting(now, &ticker, ask.side.opposite(), *price, *maker, "SelfTradeCancel");
        }
        self.execute(now, &ticker, Some(seq), &incoming, &plan);
        let mut order = self.orders[&seq].now().clone();
        order.updated = now.time;
        order.remaining = left;
        order.status = match left {
            Qty::ZERO if order.filled == order.initial => OrderStatus::Executed,
            Qty::ZERO => OrderStatus::Canceled,
            _ => OrderStatus::Resting,
        };
        if left > Qty::ZERO {
            order.reserved = reserved;
            self.reserve(now, owner, order.shard, reserved);
            self.rest(now, &ticker, ask.side, ask.price, Resting { seq, owner, remaining: left });
        }
        Ok(order)
    }
}

fn left_after(ask: &NewOrder, plan: &Plan) -> Qty {
    let stopped = plan.met_itself && ask.self_trade == SelfTrade::TakerAtCross;
    if stopped { Qty::ZERO } else { ask.count - plan.filled() }
}

/// What shall rest, as if it were ordered anew.
fn amended_ask(old: &Order, wanted: &Amendment, remaining: Qty, expiration: Option<Timestamp>) -> NewOrder {
    NewOrder {
        client_order_id: wanted.client_order_id.clone(),
        ticker: old.ticker.clone(),
        side: old.side,
        count: remaining,
        price: wanted.price,
        time_in_force: TimeInForce::GoodTillCanceled,
        self_trade: old.self_trade,
        post_only: false,
        reduce_only: false,
        cancel_on_pause: old.cancel_on_pause,
        expiration,
        shard: None,
        cap: None,
        rests: false,
    }
}
