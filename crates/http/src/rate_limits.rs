//! How often one credential may ask. Whoever is faster is told to wait; nobody else notices.

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use hunch_kernel::{Elapsed, MemberId, SharedWallClock, TerminalId};
use std::num::NonZeroU32;
use std::sync::Arc;
use uuid::Uuid;

use crate::problem::{Problem, ProblemKind};
use crate::refused_receipts::RefusedReceipts;

/// Requests a second, and how many may come at once. A member has one thumb; a till may empty its memory.
const MEMBER: (u32, u32) = (20, 100);
const TERMINAL: (u32, u32) = (1_000, 5_000);
/// Credentials that were not seen lately are forgotten when there are more than this.
const REMEMBERED: usize = 100_000;

type Limiter = RateLimiter<Uuid, DefaultKeyedStateStore<Uuid>, Passing, NoOpMiddleware<Nanos>>;

/// The wall clock we were given, as the limiter wants to read it: never back.
#[derive(Clone)]
struct Passing(Arc<Elapsed>);

impl Clock for Passing {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(u64::try_from(self.0.get().as_nanos()).unwrap_or(u64::MAX))
    }
}

#[derive(Clone)]
pub struct RateLimits {
    members: Arc<Limiter>,
    terminals: Arc<Limiter>,
    refused: RefusedReceipts,
}

fn limiter((per_second, at_once): (u32, u32), wall: &SharedWallClock) -> Arc<Limiter> {
    let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(at_once));
    Arc::new(RateLimiter::new(
        quota,
        DefaultKeyedStateStore::default(),
        Passing(Arc::new(Elapsed::since_now(wall.clone()))),
    ))
}

impl RateLimits {
    pub fn new(wall: &SharedWallClock) -> RateLimits {
        RateLimits {
            members: limiter(MEMBER, wall),
            terminals: limiter(TERMINAL, wall),
            refused: RefusedReceipts::new(wall),
        }
    }

    pub(crate) fn member(&self, member: MemberId) -> Result<(), Problem> {
        check(&self.members, member.0)
    }

    pub(crate) fn terminal(&self, terminal: TerminalId) -> Result<(), Problem> {
        check(&self.terminals, terminal.0)?;
        if self.refused.too_many(terminal) {
            let sentence = "this till sent more receipts that are refused than can be looked at; mend it, wait some seconds and go on";
            return Err(Problem::new(ProblemKind::TooManyRequests, sentence));
        }
        Ok(())
    }

    /// So many receipts of a till were refused. Its next requests wait when they are too many.
    pub(crate) fn refused(&self, terminal: TerminalId, receipts: usize) {
        self.refused.add(terminal, receipts);
    }
}

fn check(limiter: &Limiter, who: Uuid) -> Result<(), Problem> {
    if limiter.len() > REMEMBERED {
        limiter.retain_recent();
    }
    limiter.check_key(&who).map_err(|_| {
        Problem::new(
            ProblemKind::TooManyRequests,
            "these credentials ask faster than they may; wait a second and go on",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_kernel::{ManualClock, WallTime};

    #[test]
    fn a_till_of_much_nonsense_waits_and_others_do_not() {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let wall: SharedWallClock = clock.clone();
        let limits = RateLimits::new(&wall);
        let (poison, honest) = (TerminalId(Uuid::from_u128(1)), TerminalId(Uuid::from_u128(2)));
        let _: WallTime = wall.now();
        limits.refused(poison, 999);
        for _ in 0..2_000 {
            // As many as it likes: what is not refused counts for nothing.
            assert!(limits.terminal(poison).is_ok(), "a bad day of a till");
            assert!(limits.terminal(honest).is_ok());
        }
        limits.refused(poison, 1);
        assert_eq!(limits.terminal(poison).unwrap_err().kind, ProblemKind::TooManyRequests);
        assert!(limits.terminal(honest).is_ok());
        clock.advance(jiff::SignedDuration::from_secs(2));
        assert!(limits.terminal(poison).is_ok());
    }
}
