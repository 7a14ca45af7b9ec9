//! Real time, as a type of its own.

use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::ops::{Add, Sub};

/// A moment of the real world, as a wall clock tells it.
///
/// Business time stays a plain [`Timestamp`]. One type of its own is enough: a `Timestamp` does not pass where wall time
/// is asked for, nor wall time where a `Timestamp` is, so the two cannot be swapped, compared or subtracted by mistake.
/// A time that somebody sent us is a `Timestamp` as well; it becomes wall time only by [`WallTime::from_timestamp`],
/// which a reader can see.
///
/// Whole microseconds, as PostgreSQL keeps them: what is stored reads back equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(Timestamp);

impl WallTime {
    pub const MIN: WallTime = WallTime(Timestamp::MIN);

    /// Says that `at` was told by a wall clock: for clocks, for columns that hold wall time, and for times in messages
    /// from the real world.
    pub fn from_timestamp(at: Timestamp) -> WallTime {
        WallTime(Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at))
    }

    /// For writing it down: into a column that holds wall time, a signature, an answer to people. Never in place of
    /// business time.
    pub fn to_timestamp(self) -> Timestamp {
        self.0
    }

    /// `None` outside the years that a `Timestamp` knows.
    pub fn from_microsecond(microsecond: i64) -> Option<WallTime> {
        Timestamp::from_microsecond(microsecond).ok().map(WallTime)
    }

    pub fn as_second(self) -> i64 {
        self.0.as_second()
    }

    pub fn as_millisecond(self) -> i64 {
        self.0.as_millisecond()
    }

    pub fn as_microsecond(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Negative when `earlier` is the later one.
    pub fn duration_since(self, earlier: WallTime) -> SignedDuration {
        self.0.duration_since(earlier.0)
    }

    /// Stops at the last moment a `Timestamp` can name.
    pub fn saturating_add(self, span: SignedDuration) -> WallTime {
        let end = if span.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
        WallTime(self.0.checked_add(span).unwrap_or(end))
    }

    /// Stops at the first moment a `Timestamp` can name.
    pub fn saturating_sub(self, span: SignedDuration) -> WallTime {
        let end = if span.is_negative() { Timestamp::MAX } else { Timestamp::MIN };
        WallTime(self.0.checked_sub(span).unwrap_or(end))
    }
}

impl Add<SignedDuration> for WallTime {
    type Output = WallTime;
    fn add(self, span: SignedDuration) -> WallTime {
        self.saturating_add(span)
    }
}

impl Sub<SignedDuration> for WallTime {
    type Output = WallTime;
    fn sub(self, span: SignedDuration) -> WallTime {
        self.saturating_sub(span)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_kept_to_the_microsecond_and_stops_at_its_ends() {
        let at: Timestamp = "2026-11-23T12:00:00.123456789Z".parse().unwrap();
        let wall = WallTime::from_timestamp(at);
        assert_eq!(wall.to_string(), "2026-11-23T12:00:00.123456Z");
        assert_eq!(WallTime::from_microsecond(wall.as_microsecond()), Some(wall));
        let second = SignedDuration::from_secs(1);
        assert_eq!((wall + second).duration_since(wall), second);
        assert_eq!((wall - second).duration_since(wall), -second);
        assert_eq!(wall.saturating_sub(SignedDuration::MAX), WallTime::MIN);
        assert_eq!(wall.saturating_sub(SignedDuration::MIN).to_timestamp(), Timestamp::MAX);
        assert_eq!(wall.saturating_add(SignedDuration::MAX).to_timestamp(), Timestamp::MAX);
    }
}
