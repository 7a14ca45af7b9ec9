//! The two real clocks. Nothing else in the programme reads time.

use hunch_kernel::{Clock, Clocks, SharedClock};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// The machine's time.
struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where real time enters")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Business time that runs `speed` times as fast as the wall from where it was started.
struct FastClock {
    wall: SharedClock,
    wall_start: Timestamp,
    business_start: Timestamp,
    speed: u32,
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let passed = self.wall.now().duration_since(self.wall_start);
        let fast = SignedDuration::from_micros((passed.as_micros() as i64).saturating_mul(i64::from(self.speed)));
        self.business_start.saturating_add(fast).unwrap_or(Timestamp::MAX)
    }
}

/// Business time equals wall time at speed 1; otherwise it starts at `business_start` and runs faster.
pub fn clocks(speed: u32, business_start: Option<Timestamp>) -> Clocks {
    let wall: SharedClock = Arc::new(WallClock);
    if speed == 1 && business_start.is_none() {
        return Clocks { business: wall.clone(), wall };
    }
    let wall_start = wall.now();
    let business_start = business_start.unwrap_or(wall_start);
    Clocks { business: Arc::new(FastClock { wall: wall.clone(), wall_start, business_start, speed }), wall }
}
