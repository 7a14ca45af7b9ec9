//! One market's order book and the decision what an incoming order meets. Pure: no accounts, no clock.
//!
//! Invariants
//! - B1: the book is never crossed: the best bid is below the best ask.
//! - B2: better prices trade first, and at one price whoever rested first (price-time priority).
//! - B3: every fill happens at the resting order's price, so improvement goes to the incoming order.
//!
//! All prices are YES prices. An `ask` sells YES, which is the same as buying NO at one minus the price.

use crate::units::{Px, Qty};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BookSide {
    Bid,
    Ask,
}

impl BookSide {
    pub fn as_str(self) -> &'static str {
        match self {
            BookSide::Bid => "bid",
            BookSide::Ask => "ask",
        }
    }

    /// The answer an order on this side ends up holding.
    pub fn outcome(self) -> &'static str {
        match self {
            BookSide::Bid => "yes",
            BookSide::Ask => "no",
        }
    }

    pub fn opposite(self) -> BookSide {
        match self {
            BookSide::Bid => BookSide::Ask,
            BookSide::Ask => BookSide::Bid,
        }
    }

    /// What one contract costs whoever is on this side.
    pub fn cost_of(self, yes_price: Px) -> Px {
        match self {
            BookSide::Bid => yes_price,
            BookSide::Ask => yes_price.complement(),
        }
    }
}

/// An order waiting in the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resting {
    /// Position in time; unique in the simulator.
    pub seq: u64,
    pub owner: usize,
    pub remaining: Qty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelfTrade {
    /// The incoming order stops where it would meet its owner.
    TakerAtCross,
    /// The resting order is cancelled and the incoming one goes on.
    Maker,
}

/// What an incoming order asks of the book.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    pub owner: usize,
    pub side: BookSide,
    pub limit: Px,
    pub count: Qty,
    pub self_trade: SelfTrade,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    pub price: Px,
    pub count: Qty,
    pub maker: u64,
    pub maker_owner: usize,
}

/// What would happen, before anything has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub matches: Vec<Match>,
    /// Resting orders of the same owner to cancel: (price, seq).
    pub self_cancels: Vec<(Px, u64)>,
    pub met_itself: bool,
}

impl Plan {
    pub fn filled(&self) -> Qty {
        self.matches.iter().map(|m| m.count).sum()
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Book {
    bids: BTreeMap<Px, VecDeque<Resting>>,
    asks: BTreeMap<Px, VecDeque<Resting>>,
}

impl Book {
    /// What `order` would meet now (B2, B3).
    pub fn plan(&self, order: &Incoming) -> Plan {
        let mut plan = Plan::default();
        let mut left = order.count;
        for (price, queue) in self.against(order.side) {
            if left <= Qty::ZERO || !crosses(order.side, order.limit, price) {
                break;
            }
            for resting in queue {
                if left <= Qty::ZERO {
                    break;
                }
                if resting.owner == order.owner {
                    plan.met_itself = true;
                    match order.self_trade {
                        SelfTrade::TakerAtCross => return plan,
                        SelfTrade::Maker => plan.self_cancels.push((price, resting.seq)),
                    }
                    continue;
                }
                let count = left.min(resting.remaining);
                plan.matches.push(Match { price, count, maker: resting.seq, maker_owner: resting.owner });
                left -= count;
            }
        }
        plan
    }

    /// Takes `count` from the resting order `seq`. True when nothing of it is left.
    pub fn take(&mut self, side: BookSide, price: Px, seq: u64, count: Qty) -> bool {
        let levels = self.side_mut(side);
        let Some(queue) = levels.get_mut(&price) else { return true };
        let Some(at) = queue.iter().position(|r| r.seq == seq) else { return true };
        queue[at].remaining -= count;
        let gone = queue[at].remaining <= Qty::ZERO;
        if gone {
            queue.remove(at);
        }
        if queue.is_empty() {
            levels.remove(&price);
        }
        gone
    }

    pub fn rest(&mut self, side: BookSide, price: Px, resting: Resting) {
        self.side_mut(side).entry(price).or_default().push_back(resting);
    }

    /// Removes the order and says how much of it was left.
    pub fn remove(&mut self, side: BookSide, price: Px, seq: u64) -> Option<Resting> {
        let levels = self.side_mut(side);
        let queue = levels.get_mut(&price)?;
        let at = queue.iter().position(|r| r.seq == seq)?;
        let removed = queue.remove(at);
        if queue.is_empty() {
            levels.remove(&price);
        }
        removed
    }

    /// Everything one owner has here, best first.
    pub fn of_owner(&self, owner: usize) -> Vec<(BookSide, Px, Resting)> {
        self.all().filter(|(_, _, r)| r.owner == owner).map(|(s, p, r)| (s, p, r.clone())).collect()
    }

    pub fn all(&self) -> impl Iterator<Item = (BookSide, Px, &Resting)> {
        let bids = self.bids.iter().rev().flat_map(|(p, q)| q.iter().map(|r| (BookSide::Bid, *p, r)));
        let asks = self.asks.iter().flat_map(|(p, q)| q.iter().map(|r| (BookSide::Ask, *p, r)));
        bids.chain(asks)
    }

    /// Best price and the size waiting there.
    pub fn best(&self, side: BookSide) -> Option<(Px, Qty)> {
        let level = match side {
            BookSide::Bid => self.bids.last_key_value(),
            BookSide::Ask => self.asks.first_key_value(),
        };
        level.map(|(price, queue)| (*price, queue.iter().map(|r| r.remaining).sum()))
    }

    /// Price levels of one side, ascending in the price a buyer of that answer pays: YES bids, or NO
    /// bids at NO prices. The last one is the best.
    pub fn levels(&self, side: BookSide) -> Vec<(Px, Qty)> {
        let sum = |q: &VecDeque<Resting>| q.iter().map(|r| r.remaining).sum();
        match side {
            BookSide::Bid => self.bids.iter().map(|(p, q)| (*p, sum(q))).collect(),
            BookSide::Ask => self.asks.iter().rev().map(|(p, q)| (p.complement(), sum(q))).collect(),
        }
    }

    /// How much waits in front of `seq` at its price and better. An amended order may be older than those before it, so
    /// the queue itself is asked.
    pub fn ahead_of(&self, side: BookSide, price: Px, seq: u64) -> Qty {
        let mut ahead = Qty::ZERO;
        for (_, at, resting) in self.all().filter(|(s, _, _)| *s == side) {
            if at == price && resting.seq == seq {
                return ahead;
            }
            if at == price || better(side, at, price) {
                ahead += resting.remaining;
            }
        }
        Qty::ZERO
    }

    fn against(&self, taker: BookSide) -> Box<dyn Iterator<Item = (Px, &VecDeque<Resting>)> + '_> {
        match taker {
            BookSide::Bid => Box::new(self.asks.iter().map(|(p, q)| (*p, q))),
            BookSide::Ask => Box::new(self.bids.iter().rev().map(|(p, q)| (*p, q))),
        }
    }

    fn side_mut(&mut self, side: BookSide) -> &mut BTreeMap<Px, VecDeque<Resting>> {
        match side {
            BookSide::Bid => &mut self.bids,
            BookSide::Ask => &mut self.asks,
        }
    }
}

fn crosses(taker: BookSide, limit: Px, price: Px) -> bool {
    match taker {
        BookSide::Bid => price <= limit,
        BookSide::Ask => price >= limit,
    }
}

fn better(side: BookSide, a: Px, b: Px) -> bool {
    match side {
        BookSide::Bid => a > b,
        BookSide::Ask => a < b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn incoming(owner: usize, side: BookSide, limit: i64, count: i64) -> Incoming {
        Incoming { owner, side, limit: Px::cents(limit), count: Qty(count), self_trade: SelfTrade::TakerAtCross }
    }

    #[test]
    fn better_price_first_then_earlier() {
        let mut book = Book::default();
        for (seq, price, count) in [(1, 60, 100), (2, 59, 50), (3, 59, 70)] {
            book.rest(BookSide::Ask, Px::cents(price), Resting { seq, owner: 1, remaining: Qty(count) });
        }
        let plan = book.plan(&incoming(2, BookSide::Bid, 60, 150));
        let met: Vec<_> = plan.matches.iter().map(|m| (m.maker, m.price.0 / 10_000, m.count.0)).collect();
        assert_eq!(met, [(2, 59, 50), (3, 59, 70), (1, 60, 30)]);
    }

    #[test]
    fn nobody_trades_with_themselves() {
        let mut book = Book::default();
        book.rest(BookSide::Bid, Px::cents(40), Resting { seq: 1, owner: 1, remaining: Qty(100) });
        book.rest(BookSide::Bid, Px::cents(39), Resting { seq: 2, owner: 2, remaining: Qty(100) });
        let stop = book.plan(&incoming(1, BookSide::Ask, 30, 100));
        assert!(stop.met_itself && stop.matches.is_empty());
        let on = book.plan(&Incoming { self_trade: SelfTrade::Maker, ..incoming(1, BookSide::Ask, 30, 100) });
        assert_eq!(on.self_cancels, [(Px::cents(40), 1)]);
        assert_eq!(on.matches.len(), 1);
    }

    proptest! {
        /// B1–B3 and no contract made or lost, over any sequence of resting and taking orders.
        #[test]
        fn priority_holds(orders in prop::collection::vec((any::<bool>(), 1i64..99, 1i64..500, 0usize..3), 1..80)) {
            let mut book = Book::default();
            for (seq, (bid, price, count, owner)) in orders.into_iter().enumerate() {
                let side = if bid { BookSide::Bid } else { BookSide::Ask };
                let order = incoming(owner, side, price, count);
                let before: Qty = book.all().map(|(_, _, r)| r.remaining).sum();
                let plan = book.plan(&order);
                let mut last: Option<(Px, u64)> = None;
                for m in &plan.matches {
                    prop_assert!(crosses(side, order.limit, m.price), "B3: no worse than the limit");
                    prop_assert!(m.maker_owner != owner);
                    if let Some((price, maker)) = last {
                        prop_assert!(better(side.opposite(), price, m.price) || (price == m.price && maker < m.maker), "B2");
                    }
                    last = Some((m.price, m.maker));
                    book.take(side.opposite(), m.price, m.maker, m.count);
                }
                let left = order.count - plan.filled();
                prop_assert!(left >= Qty::ZERO);
                let rests = left > Qty::ZERO && !plan.met_itself;
                if rests {
                    book.rest(side, order.limit, Resting { seq: seq as u64, owner, remaining: left });
                }
                let after: Qty = book.all().map(|(_, _, r)| r.remaining).sum();
                prop_assert_eq!(after, before - plan.filled() + if rests { left } else { Qty::ZERO });
                if let (Some((bid, _)), Some((ask, _))) = (book.best(BookSide::Bid), book.best(BookSide::Ask)) {
                    prop_assert!(bid < ask, "B1");
                }
            }
        }
    }
}
