//! The business clock is an argument everywhere, so tests and the demo can move it. The wall clock
//! serves signatures, leases and latency figures only.

use crate::locks::lock;
use jiff::{SignedDuration, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

pub type SharedClock = Arc<dyn Clock>;

/// The two times a part of the programme may ask for.
#[derive(Clone)]
pub struct Clocks {
    /// Moves as the programme is told: limits, birthdays, markets, quotes, sessions.
    pub business: SharedClock,
    /// Real time: signatures, TLS, leases, latency figures.
    pub wall: SharedClock,
}

/// Whether `since` is less than `span` ago. A stamp from the future was left by a clock that has been set back since,
/// and counts as old: otherwise whatever leans on it would stand still until that time comes again.
pub fn within(now: Timestamp, since: Timestamp, span: SignedDuration) -> bool {
    (SignedDuration::ZERO..span).contains(&now.duration_since(since))
}

/// How much time a clock has shown to pass. Setting it back takes nothing away.
pub struct Elapsed {
    clock: SharedClock,
    /// What it showed last, and the sum of its steps ahead.
    seen: Mutex<(Timestamp, SignedDuration)>,
}

impl Elapsed {
    pub fn since_now(clock: SharedClock) -> Elapsed {
        let now = clock.now();
        Elapsed { clock, seen: Mutex::new((now, SignedDuration::ZERO)) }
    }

    pub fn get(&self) -> SignedDuration {
        let mut seen = lock(&self.seen);
        let now = self.clock.now();
        seen.1 = seen.1.saturating_add(now.duration_since(seen.0).max(SignedDuration::ZERO));
        seen.0 = now;
        seen.1
    }
}

/// A clock that stands still until it is moved. Microsecond resolution, as PostgreSQL keeps it.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(now: Timestamp) -> Arc<ManualClock> {
        Arc::new(ManualClock(AtomicI64::new(now.as_microsecond())))
    }

    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_microsecond(), Ordering::SeqCst);
    }

    pub fn advance(&self, by: SignedDuration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}

impl Clocks {
    /// Both clocks on one hand-moved clock, for tests.
    pub fn manual(clock: Arc<ManualClock>) -> Clocks {
        Clocks { business: clock.clone(), wall: clock }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_leaves_no_fresh_stamps_and_no_standstill() {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let (minute, start) = (SignedDuration::from_mins(1), clock.now());
        let elapsed = Elapsed::since_now(clock.clone());
        clock.advance(minute);
        assert_eq!(elapsed.get(), minute);
        assert!(!within(clock.now(), start, minute) && within(clock.now(), start, minute * 2));
        let ahead = clock.now();
        clock.set(start - SignedDuration::from_hours(1));
        assert_eq!(elapsed.get(), minute);
        assert!(!within(clock.now(), ahead, minute), "a stamp from the future");
        clock.advance(minute);
        assert_eq!(elapsed.get(), minute * 2);
    }
}
