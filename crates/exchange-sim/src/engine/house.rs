//! The market maker: seeded quotes on both sides of every open market, moving as the day goes on.

use super::{COUNT_MAX, Engine, HOUSE, Notice, Now, Refusal};
use crate::book::{BookSide, Incoming, Resting, SelfTrade};
use crate::model::{Status, Trade};
use crate::units::{Px, Qty};
use std::collections::BTreeSet;

impl Engine {
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

    pub(super) fn house_withdraw(&mut self, now: Now, ticker: &str) {
        let Some(market) = self.markets.get(ticker) else { return };
        for (side, price, resting) in market.book.of_owner(HOUSE) {
            self.cancel_resting(now, ticker, side, price, resting.seq, "Decrease");
        }
    }

    /// Meets resting client orders first, as any order would, then rests.
    pub(super) fn house_offer(&mut self, now: Now, ticker: &str, side: BookSide, price: Px, count: Qty) {
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
    pub(super) fn house_step(&mut self, now: Now) {
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
            self.crowd_trade(now, &open[at]);
            self.walk(now, &open[at]);
            self.quote(now, &open[at]);
        }
    }

    /// The house's account stands for everybody else, so what they trade among themselves moves no
    /// money: it takes from the book, and the public sees a trade.
    pub(super) fn crowd_trade(&mut self, now: Now, ticker: &str) {
        if !self.dice.percent(40) {
            return;
        }
        let taker = if self.dice.percent(50) { BookSide::Bid } else { BookSide::Ask };
        let Some(market) = self.markets.get_mut(ticker) else { return };
        let first = market.book.all().find(|(side, _, _)| *side == taker.opposite());
        let Some((side, price, resting)) = first.map(|(s, p, r)| (s, p, r.clone())) else { return };
        if resting.owner != HOUSE {
            return;
        }
        let count = Qty(self.dice.between(100, 5_000).min(resting.remaining.0));
        market.book.take(side, price, resting.seq, count);
        market.last_price = price;
        market.last_size = count;
        market.volume += count;
        self.book_moved(now, ticker, side, price, -count, HOUSE, None);
        let (seq, id) = (self.next_seq(), self.dice.uuid());
        self.publish_trade(Trade { seq, id, ticker: ticker.to_owned(), price, count, taker_side: taker, at: now.time });
    }

    /// A random walk that leans towards the scripted outcome as the end comes near.
    pub(super) fn walk(&mut self, now: Now, ticker: &str) {
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
        let event = market.spec.event_ticker.clone();
        if let Some(market) = self.markets.get_mut(ticker) {
            market.fair = Px(moved);
        }
        self.follow(now, ticker, &event, Px(moved).complement());
    }

    /// Where exactly two answers exclude each other, the other one moves the other way.
    pub(super) fn follow(&mut self, now: Now, ticker: &str, event: &str, fair: Px) {
        if !self.events.get(event).is_some_and(|(_, e, _)| e.mutually_exclusive) {
            return;
        }
        let mut others = self.markets.values_mut().filter(|m| m.spec.event_ticker == event && m.spec.ticker != ticker);
        let (Some(other), None) = (others.next(), others.next()) else { return };
        other.fair = fair;
        let other = other.spec.ticker.clone();
        if self.status_of(&other) == Ok(Status::Active) {
            self.quote(now, &other);
        }
    }

    /// Replaces the house's quotes: a one or two cent spread around its opinion, five levels a side.
    pub(super) fn quote(&mut self, now: Now, ticker: &str) {
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
}
