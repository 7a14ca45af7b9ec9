//! A clock that somebody sets ahead between two readings.

use hunch_kernel::{ManualClock, WallClock, WallTime};
use jiff::SignedDuration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct JumpingClock {
    clock: Arc<ManualClock>,
    readings_before: AtomicUsize,
}

impl JumpingClock {
    pub fn on(clock: Arc<ManualClock>) -> Arc<JumpingClock> {
        Arc::new(JumpingClock { clock, readings_before: AtomicUsize::new(usize::MAX) })
    }

    /// The next reading is as it was; the one after it is 90 seconds later, as are all that follow.
    pub fn jumps_after_one_reading(&self) {
        self.readings_before.store(1, Ordering::SeqCst);
    }
}

impl WallClock for JumpingClock {
    fn now(&self) -> WallTime {
        if self.readings_before.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.clock.advance(SignedDuration::from_secs(90));
        }
        self.clock.wall()
    }
}
