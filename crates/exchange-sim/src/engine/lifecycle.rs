//! From `initialized` to `finalized`: what time brings about, what a referee decides, and the payment.

use super::{Engine, HOUSE, Notice, Now, Refusal};
use crate::book::BookSide;
use crate::model::{Lagged, Life, Market, Order, Outcome, Script, Settlement, Status};
use crate::units::{Cash, Px, Qty};
use jiff::Timestamp;

impl Engine {
    /// Does everything that time alone brings about.
    pub fn advance(&mut self, now: Now) {
        self.as_of.set(now.wall, self.lags.portfolio, now.time);
        self.keep_hours(now);
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

    pub(super) fn advance_market(&mut self, now: Now, ticker: &str) {
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

    pub(super) fn advance_dispute(&mut self, now: Now, ticker: &str, script: &Script) {
        let (Some(dispute), Some(market)) = (&script.dispute, self.markets.get(ticker)) else { return };
        let Some(determined) = market.life.now().determined_at else { return };
        let since = now.time.duration_since(determined).as_secs();
        match market.status() {
            Status::Determined if !market.disputed_once && since >= dispute.after_seconds => {
                let _ = self.dispute(now, ticker);
            }
            Status::Disputed if since >= dispute.after_seconds.saturating_mul(2) => {
                let _ = self.amend_outcome(now, ticker, dispute.amended, &script.expiration_value);
            }
            _ => {}
        }
    }

    pub(super) fn set_life(&mut self, now: Now, ticker: &str, change: impl FnOnce(&mut Life)) {
        let keep = self.lags.markets;
        if let Some(market) = self.markets.get_mut(ticker) {
            let mut life = market.life.now().clone();
            change(&mut life);
            life.updated = now.time;
            market.life.set(now.wall, keep, life);
        }
    }

    pub(super) fn shut(&mut self, now: Now, ticker: &str) {
        self.clear_book(now, ticker, "CloseCancel", |_| true);
        self.set_life(now, ticker, |life| life.status = Status::Closed);
    }

    pub(super) fn clear_book(&mut self, now: Now, ticker: &str, reason: &'static str, which: impl Fn(&Order) -> bool) {
        let Some(market) = self.markets.get(ticker) else { return };
        let all: Vec<(BookSide, Px, u64)> = market.book.all().map(|(s, p, r)| (s, p, r.seq)).collect();
        for (side, price, seq) in all {
            if self.orders.get(&seq).is_none_or(|o| which(o.now())) {
                self.cancel_resting(now, ticker, side, price, seq, reason);
            }
        }
    }

    pub(super) fn status_of(&self, ticker: &str) -> Result<Status, Refusal> {
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

    pub(super) fn set_outcome(&mut self, now: Now, ticker: &str, status: Status, outcome: Outcome, value: &str) {
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

    pub(super) fn settle_account(&mut self, now: Now, ticker: &str, owner: usize, outcome: Outcome) {
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

    pub(super) fn clear_client_orders(&mut self, now: Now, ticker: &str) {
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
}

pub(super) fn check_outcome(outcome: Outcome) -> Result<(), Refusal> {
    match outcome {
        Outcome::Scalar(value) if value.0 < 0 || value > Px::ONE => Err(Refusal::Parameters("settlement value")),
        _ => Ok(()),
    }
}
