//! The business clock is an argument everywhere, so tests and the demo can move it. The wall clock
//! serves signatures, leases and latency figures only. Each has a type of its own, so that neither can stand where the
//! other is asked for.

use crate::WallTime;
use crate::locks::lock;
use jiff::{SignedDuration, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Tells business time, which is a plain `Timestamp`: see [`WallTime`] for why one type of its own is enough.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// Tells the real world's time.
pub trait WallClock: Send + Sync + 'static {
    fn now(&self) -> WallTime;
}

pub type SharedClock = Arc<dyn Clock>;
pub type SharedWallClock = Arc<dyn WallClock>;

/// The two times a part of the programme may ask for.
#[derive(Clone)]
pub struct Clocks {
    /// Moves as the programme is told: limits, birthdays, markets, quotes.
    pub business: SharedClock,
    /// Real time: signatures, TLS, sessions, leases, latency figures.
    pub wall: SharedWallClock,
}

/// A point on one of the two lines of time.
pub trait PointInTime: Copy {
    /// Negative when `earlier` is the later one.
    fn passed_since(self, earlier: Self) -> SignedDuration;
}

impl PointInTime for Timestamp {
    fn passed_since(self, earlier: Timestamp) -> SignedDuration {
        self.duration_since(earlier)
    }
}

impl PointInTime for WallTime {
    fn passed_since(self, earlier: WallTime) -> SignedDuration {
        self.duration_since(earlier)
    }
}

/// Whether `since` is less than `span` ago. A stamp from the future was left by a clock that has been set back since,
/// and counts as old: otherwise whatever leans on it would stand still until that time comes again.
pub fn within<T: PointInTime>(now: T, since: T, span: SignedDuration) -> bool {
    (SignedDuration::ZERO..span).contains(&now.passed_since(since))
}

/// How much time a clock has shown to pass. Setting it back takes nothing away.
pub struct Elapsed {
    clock: SharedWallClock,
    /// What it showed last, and the sum of its steps ahead.
    seen: Mutex<(WallTime, SignedDuration)>,
}

impl Elapsed {
    pub fn since_now(clock: SharedWallClock) -> Elapsed {
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

    /// What it tells as a wall clock.
    pub fn wall(&self) -> WallTime {
        WallClock::now(self)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}

impl WallClock for ManualClock {
    fn now(&self) -> WallTime {
        WallTime::from_timestamp(Clock::now(self))
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
        let (minute, start) = (SignedDuration::from_mins(1), Clock::now(&*clock));
        let elapsed = Elapsed::since_now(clock.clone());
        clock.advance(minute);
        assert_eq!(elapsed.get(), minute);
        assert!(!within(Clock::now(&*clock), start, minute) && within(Clock::now(&*clock), start, minute * 2));
        let ahead = Clock::now(&*clock);
        clock.set(start - SignedDuration::from_hours(1));
        assert_eq!(elapsed.get(), minute);
        assert!(!within(Clock::now(&*clock), ahead, minute), "a stamp from the future");
        clock.advance(minute);
        assert_eq!(elapsed.get(), minute * 2);
    }
}
