//! The best prices of a market, read once for all who ask at about the same moment: a push makes a thousand people look
//! at the same game, and the exchange answers an ordinary account twenty times a second.

use hunch_exchange::{BookTop, Exchange, ExchangeError};
use hunch_kernel::{Elapsed, MarketTicker, SharedWallClock, lock};
use jiff::SignedDuration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// How old prices may be, in wall time that passed. What moves meanwhile is bounded by the order's worst price, as what moves later is.
const FRESH: SignedDuration = SignedDuration::from_millis(500);
/// Markets remembered before those that nobody asks about are forgotten.
const REMEMBERED: usize = 1_000;

pub(crate) struct Tops {
    exchange: Arc<dyn Exchange>,
    /// Never goes back, so who asks after a reading ended comes after it whatever the clock was set to.
    passed: Elapsed,
    places: Mutex<HashMap<MarketTicker, Arc<Place>>>,
}

/// One reads, the others wait for what he reads.
type Place = tokio::sync::Mutex<Option<Read>>;

struct Read {
    began: SignedDuration,
    ended: SignedDuration,
    found: Result<BookTop, ExchangeError>,
}

impl Read {
    /// Whether it answers who asked at `asked`: it was under way then, or gave prices that were still fresh.
    fn answers(&self, asked: SignedDuration) -> bool {
        asked < self.ended || self.found.is_ok() && asked < self.began + FRESH
    }
}

impl Tops {
    pub fn new(exchange: Arc<dyn Exchange>, wall: SharedWallClock) -> Tops {
        Tops { exchange, passed: Elapsed::since_now(wall), places: Mutex::default() }
    }

    /// # Errors
    /// When the exchange cannot be read.
    pub async fn of(&self, ticker: &MarketTicker) -> Result<BookTop, ExchangeError> {
        let asked = self.passed.get();
        let place = self.place(ticker);
        let mut newest = place.lock().await;
        if let Some(read) = newest.as_ref().filter(|read| read.answers(asked)) {
            return read.found.clone();
        }
        let began = self.passed.get();
        let found = self.exchange.book_top(ticker).await;
        *newest = Some(Read { began, ended: self.passed.get(), found: found.clone() });
        found
    }

    fn place(&self, ticker: &MarketTicker) -> Arc<Place> {
        let mut places = lock(&self.places);
        if places.len() >= REMEMBERED {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        places.entry(ticker.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> SignedDuration {
        SignedDuration::from_millis(millis)
    }

    #[test]
    fn a_reading_answers_who_waited_for_it_and_prices_who_come_soon_after() {
        let prices = Read { began: at(0), ended: at(200), found: Ok(BookTop::default()) };
        assert!([0, 150, 400, 499].iter().all(|asked| prices.answers(at(*asked))));
        assert!(!prices.answers(at(500)), "old");
        let trouble = Read { found: Err(ExchangeError::RateLimited), ..prices };
        assert!(trouble.answers(at(150)) && !trouble.answers(at(200)), "who comes afterwards tries again");
    }
}
