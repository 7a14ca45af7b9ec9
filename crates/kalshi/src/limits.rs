//! Keeps us below the exchange's limits: token buckets as it counts them, one for reads, one for writes, one for the
//! balance.

use hunch_kernel::{Elapsed, SharedClock};
use jiff::SignedDuration;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longer than this nobody waits; the caller is told that we are at the limit.
const WAIT_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Bucket {
    elapsed: Elapsed,
    per_second: i64,
    most: i64,
    /// Milli-tokens, and when they were counted.
    level: Mutex<(i64, SignedDuration)>,
}

impl Bucket {
    /// `per_second` tokens come in, at most `most` are kept.
    pub fn new(wall: SharedClock, per_second: i64, most: i64) -> Bucket {
        let level = Mutex::new((most * 1_000, SignedDuration::ZERO));
        Bucket { elapsed: Elapsed::since_now(wall), per_second, most, level }
    }

    /// Waits until `cost` tokens are there. `false`: it would take too long.
    pub async fn take(&self, cost: i64) -> bool {
        match self.reserve(cost) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
            None => false,
        }
    }

    /// Takes the tokens, if need be in advance, and says how long to wait for them. Milli-tokens, so no remainder is lost.
    fn reserve(&self, cost: i64) -> Option<Duration> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.elapsed.get();
        let passed_ms = (now - level.1).as_millis().clamp(0, 60_000) as i64;
        let full = (level.0 + passed_ms * self.per_second).min(self.most * 1_000);
        let left = full - cost * 1_000;
        let wait = Duration::from_millis(if left >= 0 { 0 } else { (-left / self.per_second.max(1)) as u64 });
        if wait > WAIT_MAX {
            return None;
        }
        *level = (left, now);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_kernel::ManualClock;

    #[test]
    fn a_bucket_gives_what_it_has_then_what_comes_in() {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let bucket = Bucket::new(clock.clone(), 100, 100);
        for _ in 0..10 {
            assert_eq!(bucket.reserve(10), Some(Duration::ZERO));
        }
        assert_eq!(bucket.reserve(10), Some(Duration::from_millis(100)));
        for _ in 0..19 {
            assert!(bucket.reserve(10).is_some());
        }
        assert_eq!(bucket.reserve(10), None, "more than two seconds ahead");
        clock.advance(SignedDuration::from_secs(60));
        assert_eq!(bucket.reserve(10), Some(Duration::ZERO));
    }
}
