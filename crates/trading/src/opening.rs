//! Whether the exchange takes orders just now, as it says itself. While it does not, no quote is given and no stake is taken.
//!
//! Its word is good for half a minute of wall time: as long as it cannot be read for no longer than that, the last word
//! counts, and afterwards nothing is known, which is the same as closed. A word is read anew for every quote that finds it
//! older than five seconds, once for all who wait for it.

use hunch_exchange::{Exchange, ExchangeShard, ExchangeStatus, TradingSchedule};
use hunch_kernel::{Elapsed, SharedWallClock, lock};
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex};

use crate::Trading;

/// A word that is younger is not asked for again.
const FRESH: SignedDuration = SignedDuration::from_secs(5);
/// An older word is none.
const AGE_MAX: SignedDuration = SignedDuration::from_secs(30);
/// Schedules change rarely.
const SCHEDULE_EVERY: SignedDuration = SignedDuration::from_mins(15);

/// Whether orders are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness {
    Open,
    /// `until` is when the exchange expects to go on, by its own word or by its schedule. It may take longer.
    Closed {
        until: Option<Timestamp>,
    },
    /// The exchange has not said so for too long.
    Unknown,
}

pub(crate) struct Opening {
    exchange: Arc<dyn Exchange>,
    passed: Elapsed,
    /// One reads, the others wait for what he reads.
    reading: tokio::sync::Mutex<()>,
    told: Mutex<Told>,
}

/// What the exchange said last, and when (as [`Opening::passed`] counts) that was.
#[derive(Default)]
struct Told {
    status: Option<(ExchangeStatus, SignedDuration)>,
    /// When it was last asked, with or without an answer.
    asked: Option<SignedDuration>,
    schedule: Option<TradingSchedule>,
    schedule_asked: Option<SignedDuration>,
}

impl Told {
    fn openness(&self, shard: Option<ExchangeShard>, passed: SignedDuration, now: Timestamp) -> Openness {
        let Some((status, _)) = self.status.as_ref().filter(|(_, at)| passed - *at <= AGE_MAX) else {
            return Openness::Unknown;
        };
        let open = match shard {
            Some(shard) => status.takes_orders(shard),
            None => status.takes_any_orders(),
        };
        if open {
            return Openness::Open;
        }
        let estimated = status.resumes_at.filter(|at| *at > now);
        Openness::Closed { until: estimated.or_else(|| self.schedule.as_ref()?.opens_after(now)) }
    }
}

impl Opening {
    pub fn new(exchange: Arc<dyn Exchange>, wall: SharedWallClock) -> Opening {
        Opening {
            exchange,
            passed: Elapsed::since_now(wall),
            reading: tokio::sync::Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Asks unless that was done within `every`. Whoever comes while another asks takes that answer.
    async fn ask(&self, every: SignedDuration) {
        let is_due = |asked: Option<SignedDuration>, since: SignedDuration| asked.is_none_or(|at| since - at >= every);
        let came = self.passed.get();
        if !is_due(lock(&self.told).asked, came) {
            return;
        }
        let _one = self.reading.lock().await;
        if !is_due(lock(&self.told).asked, came) {
            return;
        }
        let found = self.exchange.status().await;
        let passed = self.passed.get();
        let schedule_due =
            lock(&self.told).schedule_asked.is_none_or(|at| passed - at >= SCHEDULE_EVERY) && found.is_ok();
        let schedule = if schedule_due { Some(self.exchange.schedule().await) } else { None };
        let mut told = lock(&self.told);
        told.asked = Some(passed);
        match found {
            Ok(status) => {
                tell_change(told.status.as_ref().map(|(before, _)| before), &status);
                told.status = Some((status, passed));
            }
            Err(error) => tracing::warn!(%error, "the exchange does not say whether it takes orders"),
        }
        if let Some(read) = schedule {
            told.schedule_asked = Some(passed);
            match read {
                Ok(schedule) => told.schedule = Some(schedule),
                Err(error) => tracing::warn!(%error, "the exchange's schedule cannot be read"),
            }
        }
    }
}

fn tell_change(before: Option<&ExchangeStatus>, status: &ExchangeStatus) {
    if before != Some(status) {
        let (exchange, trading) = (status.exchange_active, status.trading_active);
        let resumes_at = status.resumes_at.map(|at| at.to_string());
        tracing::info!(exchange, trading, resumes_at, "the exchange says whether it takes orders");
    }
}

impl Trading {
    /// Asks the exchange whether it takes orders. Called every few seconds, so that lists need not wait for its answer.
    pub async fn opening_step(&self) -> Openness {
        self.opening.ask(SignedDuration::ZERO).await;
        let openness = self.told(None);
        metrics::gauge!("hunch_exchange_open").set(f64::from(u8::from(openness == Openness::Open)));
        openness
    }

    /// Whether orders are taken anywhere, as far as was said within half a minute. Asks only if nobody has for so long.
    pub async fn openness(&self) -> Openness {
        self.opening.ask(AGE_MAX).await;
        self.told(None)
    }

    /// Whether orders are taken on this part of the exchange, by a word of the last five seconds if it can be had.
    pub(crate) async fn openness_now(&self, shard: ExchangeShard) -> Openness {
        self.opening.ask(FRESH).await;
        self.told(Some(shard))
    }

    /// The same by what was said for the quote, which is seconds old: nobody who confirms waits for the exchange.
    pub(crate) async fn openness_as_told(&self, shard: ExchangeShard) -> Openness {
        self.opening.ask(AGE_MAX).await;
        self.told(Some(shard))
    }

    fn told(&self, shard: Option<ExchangeShard>) -> Openness {
        let passed = self.opening.passed.get();
        lock(&self.opening.told).openness(shard, passed, self.clocks.business.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn status(trading_active: bool, resumes_at: Option<Timestamp>) -> ExchangeStatus {
        ExchangeStatus { exchange_active: true, trading_active, resumes_at, shards: Vec::new() }
    }

    #[test]
    fn a_word_counts_for_half_a_minute_and_then_nothing_is_known() {
        let now = at("2026-11-26T08:30:00Z");
        let told =
            |open| Told { status: Some((status(open, None), SignedDuration::from_secs(100))), ..Told::default() };
        let after = |open, seconds: i64| told(open).openness(None, SignedDuration::from_secs(100 + seconds), now);
        assert_eq!((after(true, 0), after(true, 30)), (Openness::Open, Openness::Open));
        assert_eq!(after(true, 31), Openness::Unknown);
        assert_eq!(after(false, 30), Openness::Closed { until: None });
        assert_eq!(after(false, 31), Openness::Unknown);
        assert_eq!(Told::default().openness(None, SignedDuration::ZERO, now), Openness::Unknown, "never read");
    }

    #[test]
    fn until_is_the_exchanges_estimate_while_that_lies_ahead() {
        let now = at("2026-11-26T08:30:00Z");
        let told = |resumes: &str| Told {
            status: Some((status(false, Some(at(resumes))), SignedDuration::ZERO)),
            ..Told::default()
        };
        let until = |resumes: &str| told(resumes).openness(None, SignedDuration::ZERO, now);
        assert_eq!(until("2026-11-26T10:00:00Z"), Openness::Closed { until: Some(at("2026-11-26T10:00:00Z")) });
        assert_eq!(until("2026-11-26T08:00:00Z"), Openness::Closed { until: None }, "that was too hopeful");
    }
}
