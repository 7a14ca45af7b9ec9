//! The business clock is an argument everywhere, so tests and the demo can move it. The wall clock
//! serves signatures, leases and latency figures only.

use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

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
