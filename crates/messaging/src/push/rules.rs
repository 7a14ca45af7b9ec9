//! The rules of RFC 8030 that need no network: how long, how urgent, what an answer means.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hunch_kernel::NoticeId;
use jiff::Timestamp;
use std::time::Duration;

/// A receipt that arrives after four hours is noise.
pub const TTL_CAP: Duration = Duration::from_secs(4 * 3600);
/// When a service says "later" without saying when.
pub const RETRY_DEFAULT: Duration = Duration::from_secs(5);
/// The longest single wait before the next attempt.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// What the push service answered, reduced to what we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Accepted,
    Gone,
    RetryAfter(Duration),
    Refused { status: u16 },
}

/// 404 is the standard's answer for a dead subscription (RFC 8030, 7.3); services also use 410. These two end it. Any other
/// refusal, 403 for one, may be a mistake of ours, such as a wrong key: if it ended subscriptions, one such mistake would
/// end all of them.
pub fn classify(status: u16, retry_after: Option<Duration>) -> Delivery {
    match status {
        200..=299 => Delivery::Accepted,
        404 | 410 => Delivery::Gone,
        429 | 500..=599 => Delivery::RetryAfter(retry_after.unwrap_or(RETRY_DEFAULT)),
        _ => Delivery::Refused { status },
    }
}

/// How soon a sleeping phone should be woken (RFC 8030, 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    Normal,
    High,
}

impl Urgency {
    pub fn as_str(self) -> &'static str {
        match self {
            Urgency::Normal => "normal",
            Urgency::High => "high",
        }
    }
}

/// Seconds the service may keep the message: up to the end of what it is about, at most four hours.
/// None when that is over already: then nothing is sent.
pub fn ttl_seconds(now: Timestamp, ends: Timestamp) -> Option<u64> {
    let left = ends.as_second().saturating_sub(now.as_second());
    u64::try_from(left).ok().filter(|seconds| *seconds > 0).map(|seconds| seconds.min(TTL_CAP.as_secs()))
}

/// A newer message with the same topic replaces the older one while it waits at the service. Our topic
/// is the notice, so a repeated or corrected push never shows twice. 22 URL-safe characters of 32 allowed.
pub fn topic(notice: NoticeId) -> String {
    BASE64.encode(notice.0.as_bytes())
}

/// How long to wait before attempt number `attempts` + 1: doubling from what the service asked, never
/// more than ten minutes, with `jitter` (any number) adding up to half so that phones do not come back at once.
pub fn back_off(asked: Duration, attempts: u32, jitter: u64) -> Duration {
    let asked = asked.as_millis().min(RETRY_MAX.as_millis()) as u64;
    let doubled = asked.saturating_mul(1 << attempts.saturating_sub(1).min(10));
    let base = doubled.clamp(100, RETRY_MAX.as_millis() as u64);
    Duration::from_millis(base + jitter % (base / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[test]
    fn answers_are_reduced_to_what_we_do() {
        assert_eq!(classify(201, None), Delivery::Accepted);
        assert_eq!(classify(404, None), Delivery::Gone);
        assert_eq!(classify(410, None), Delivery::Gone);
        let later = Duration::from_secs(7);
        assert_eq!(classify(429, Some(later)), Delivery::RetryAfter(later));
        assert_eq!(classify(503, None), Delivery::RetryAfter(RETRY_DEFAULT));
        for status in [301, 400, 401, 403, 413] {
            assert_eq!(classify(status, None), Delivery::Refused { status });
        }
    }

    proptest! {
        /// Nothing outlives its market, nor four hours; what is over is not sent.
        #[test]
        fn a_message_never_outlives_what_it_is_about(now in 0i64..4_000_000_000, left in -100_000i64..100_000) {
            let (start, end) = (Timestamp::from_second(now).unwrap(), Timestamp::from_second(now + left).unwrap());
            match ttl_seconds(start, end) {
                Some(ttl) => prop_assert!(ttl > 0 && ttl as i64 <= left && ttl <= TTL_CAP.as_secs()),
                None => prop_assert!(left <= 0),
            }
        }

        /// Never shorter than asked (up to the cap), never more than half longer than the cap.
        #[test]
        fn waits_stay_within_bounds(asked in 0u64..10_000, attempts in 0u32..100, jitter in any::<u64>()) {
            let wait = back_off(Duration::from_secs(asked), attempts, jitter);
            prop_assert!(wait >= Duration::from_secs(asked).min(RETRY_MAX));
            prop_assert!(wait <= RETRY_MAX + RETRY_MAX / 2);
        }

        #[test]
        fn a_topic_is_allowed_by_the_standard(id in any::<u128>()) {
            let topic = topic(NoticeId(Uuid::from_u128(id)));
            prop_assert!(topic.len() <= 32);
            prop_assert!(topic.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }
    }
}
