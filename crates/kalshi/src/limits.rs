//! Keeps us below the exchange's limits: token buckets as it counts them, one for reads, one for writes, one for the
//! balance.

use hunch_kernel::{Elapsed, SharedWallClock, lock};
use jiff::SignedDuration;
use std::sync::Mutex;
use std::time::Duration;

/// Longer than this nobody waits; the caller is told that we are at the limit.
const WAIT_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Bucket {
    elapsed: Elapsed,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    per_second: i64,
    most: i64,
    milli_tokens: i64,
    counted_at: SignedDuration,
}

impl State {
    /// Milli-tokens, so no remainder is lost.
    fn level(&self, now: SignedDuration) -> i64 {
        let passed_ms = (now - self.counted_at).as_millis().clamp(0, 60_000) as i64;
        (self.milli_tokens + passed_ms * self.per_second).min(self.most * 1_000)
    }
}

impl Bucket {
    /// `per_second` tokens come in, at most `most` are kept.
    pub fn new(wall: SharedWallClock, per_second: i64, most: i64) -> Bucket {
        let state = State { per_second, most, milli_tokens: most * 1_000, counted_at: SignedDuration::ZERO };
        Bucket { elapsed: Elapsed::since_now(wall), state: Mutex::new(state) }
    }

    /// What comes in and is kept changes from now on; what is there stays, as far as it may.
    pub fn resize(&self, per_second: i64, most: i64) {
        let mut state = lock(&self.state);
        let now = self.elapsed.get();
        let milli_tokens = state.level(now).min(most * 1_000);
        *state = State { per_second, most, milli_tokens, counted_at: now };
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

    /// Takes the tokens, if need be in advance, and says how long to wait for them.
    fn reserve(&self, cost: i64) -> Option<Duration> {
        let mut state = lock(&self.state);
        let now = self.elapsed.get();
        let left = state.level(now) - cost * 1_000;
        let wait = Duration::from_millis(if left >= 0 { 0 } else { (-left / state.per_second.max(1)) as u64 });
        if wait > WAIT_MAX {
            return None;
        }
        (state.milli_tokens, state.counted_at) = (left, now);
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

    #[test]
    fn a_larger_bucket_fills_faster_and_a_smaller_one_keeps_no_more_than_it_holds() {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let bucket = Bucket::new(clock.clone(), 100, 100);
        assert_eq!(bucket.reserve(200), Some(Duration::from_secs(1)), "taken in advance");
        bucket.resize(1_000, 2_000);
        assert_eq!(bucket.reserve(100), Some(Duration::from_millis(200)), "what was taken is still owed");
        clock.advance(SignedDuration::from_secs(10));
        bucket.resize(100, 100);
        assert_eq!(bucket.reserve(100), Some(Duration::ZERO));
        assert_eq!(bucket.reserve(10), Some(Duration::from_millis(100)));
    }
}
