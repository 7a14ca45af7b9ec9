//! Tickets for looking: whoever has one sees the live page until it ends, and can do nothing. A page has it in its link, where an
//! operator's token must never stand.

use hunch_kernel::WallTime;
use jiff::SignedDuration;
use ring::hmac;

const LASTING: SignedDuration = SignedDuration::from_hours(12);
const PURPOSE: &str = "hunch live ticket";

/// The server's key for tickets.
#[derive(Clone)]
pub struct TicketKey(hmac::Key);

/// A ticket and when it ends.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub text: String,
    pub expires_at: WallTime,
}

impl TicketKey {
    pub fn new(secret: &[u8]) -> TicketKey {
        TicketKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// For twelve hours. Nothing is kept of it.
    pub fn issue(&self, now: WallTime) -> Ticket {
        let expires_at = now + LASTING;
        let ends = expires_at.as_second();
        let signature = hex::encode(hmac::sign(&self.0, signed(ends).as_bytes()));
        Ticket { text: format!("look-{ends}-{signature}"), expires_at }
    }

    /// Whether we made it and it has not ended.
    pub(crate) fn admits(&self, ticket: &str, now: WallTime) -> bool {
        let parts = ticket.strip_prefix("look-").and_then(|rest| rest.split_once('-'));
        parts.is_some_and(|(ends, signature)| {
            let (ends, signature) = (ends.parse::<i64>(), hex::decode(signature));
            let (Ok(ends), Ok(signature)) = (ends, signature) else { return false };
            ends > now.as_second() && hmac::verify(&self.0, signed(ends).as_bytes(), &signature).is_ok()
        })
    }
}

fn signed(ends: i64) -> String {
    format!("{PURPOSE}\n{ends}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_ends_and_cannot_be_made_by_others() {
        let now = WallTime::from_timestamp("2026-11-23T12:00:00Z".parse().unwrap());
        let key = TicketKey::new(b"a key of tests");
        let ticket = key.issue(now);
        assert!(key.admits(&ticket.text, now));
        assert!(!key.admits(&ticket.text, ticket.expires_at));
        assert!(!TicketKey::new(b"another").admits(&ticket.text, now));
        let later = ticket.text.replace(&ticket.expires_at.as_second().to_string(), "99999999999");
        for forged in [later.as_str(), "look-1-", "look--", "", "look-99999999999-00"] {
            assert!(!key.admits(forged, now), "{forged}");
        }
    }
}
