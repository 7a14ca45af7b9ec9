//! Hands due notices over to push services.
//!
//! A step claims deliveries (marked and leased, committed), asks the gate about each prompt, sends a
//! bounded number at a time, and writes all outcomes in one transaction. Whoever dies in between is
//! followed by another step after the lease; the repeat has the same topic and replaces the first.

use futures_util::{StreamExt as _, stream};
use hunch_kernel::{Clocks, DeviceId, MemberId, NoticeId, SharedEntropy, SubscriptionId};
use hunch_safeguards::PromptPermit;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::PgPool;
use std::time::Duration;

use crate::push::{
    Delivery, Endpoint, Outgoing, PushTransport, RETRY_DEFAULT, Urgency, UserAgentKeys, back_off, seal, topic,
    ttl_seconds,
};

use crate::{MessagingError, PromptGate, store};

#[derive(Clone, Copy, Debug)]
pub struct SenderLimits {
    /// Requests open at once.
    pub concurrent_max: usize,
    /// How long a step may take before another one repeats it. Above the transport's own limit.
    pub lease: Duration,
}

impl Default for SenderLimits {
    fn default() -> SenderLimits {
        SenderLimits { concurrent_max: 64, lease: Duration::from_secs(60) }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    pub claimed: usize,
    pub accepted: usize,
    pub gone: usize,
    pub retried: usize,
    pub refused: usize,
    pub expired: usize,
    /// Prompts that the gate turned into receipts.
    pub withheld: usize,
}

/// Hands notices over. `G` is the gate; only permits it made let a prompt out.
pub struct Sender<G: PromptGate> {
    pub pool: PgPool,
    pub transport: PushTransport,
    pub gate: G,
    pub clocks: Clocks,
    pub entropy: SharedEntropy,
    pub limits: SenderLimits,
}

/// What a delivery carries besides the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Receipt,
    Offer,
    /// About a market: needs a permit.
    Prompt,
}

impl Content {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Content::Receipt => "receipt",
            Content::Offer => "offer",
            Content::Prompt => "prompt",
        }
    }
}

/// A delivery this step holds.
pub(crate) struct Claimed {
    pub notice: NoticeId,
    pub subscription: SubscriptionId,
    pub member: MemberId,
    pub device: DeviceId,
    pub attempt: i32,
    pub body: String,
    pub content: Content,
    pub category: Option<String>,
    pub expires_at: Timestamp,
    /// Wall time at which the cause reached us.
    pub caused_wall: Timestamp,
    /// Endpoint and keys; None when the subscription was taken back meanwhile.
    pub target: Option<(String, Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Gone,
    Retry,
    Refused,
    Expired,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Gone => "gone",
            Outcome::Retry => "retry",
            Outcome::Refused => "refused",
            Outcome::Expired => "expired",
        }
    }

    pub(crate) fn delivery_state(self) -> &'static str {
        if self == Outcome::Retry { "due" } else { self.as_str() }
    }
}

/// A delivery with what came of it.
pub(crate) struct Resolved {
    pub claimed: Claimed,
    /// What was handed over: less than what was wanted when the gate said no.
    pub content: Content,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub standing: Option<i64>,
    pub withheld: Option<String>,
    /// Business time just before the socket.
    pub at: Timestamp,
    pub due_wall: Timestamp,
    pub ended_wall: Timestamp,
}

/// The push's plaintext: the receipt and the notice's name. `more` asks the service worker to fetch.
#[derive(Serialize)]
struct Payload<'a> {
    v: u8,
    notice: String,
    text: &'a str,
    more: bool,
}

pub(crate) fn payload(notice: NoticeId, body: &str, content: Content) -> Vec<u8> {
    let more = content != Content::Receipt;
    serde_json::to_vec(&Payload { v: 1, notice: notice.to_string(), text: body, more }).unwrap_or_default()
}

impl<G: PromptGate> Sender<G> {
    /// Sends up to `batch` due deliveries. Several steps may run at once, also in several processes.
    ///
    /// # Errors
    /// When the database fails: what was claimed is claimed again after the lease.
    pub async fn send_step(&self, batch: usize) -> Result<SendReport, MessagingError> {
        let wall = self.clocks.wall.now();
        let lease = SignedDuration::try_from(self.limits.lease).unwrap_or(SignedDuration::from_mins(1));
        let claimed = store::claim(&self.pool, batch as i64, wall, wall + lease).await?;
        if claimed.is_empty() {
            return Ok(SendReport::default());
        }
        let done: Vec<Resolved> = stream::iter(claimed)
            .map(|claimed| self.hand_over(claimed))
            .buffer_unordered(self.limits.concurrent_max.max(1))
            .collect()
            .await;
        store::resolve(&self.pool, &done, self.clocks.business.now(), self.clocks.wall.now()).await?;
        Ok(report(&done))
    }

    /// Asks the gate, seals, sends. Never fails: every end is an outcome.
    async fn hand_over(&self, claimed: Claimed) -> Resolved {
        let mut content = claimed.content;
        let (mut permit, mut withheld) = (None, None);
        if content == Content::Prompt {
            let category = claimed.category.as_deref().unwrap_or_default();
            match self.gate.permit(claimed.member, Some(claimed.device), category).await {
                Ok(given) => permit = Some(given),
                Err(refusal) => {
                    content = Content::Receipt;
                    withheld = Some(refusal.code);
                }
            }
        }
        let prepared = self.prepare(&claimed, content);
        // The last look, with nothing left to do but the socket.
        let prepared = match (&permit, prepared) {
            (Some(given), Ok(_)) if !self.gate.still_holds(given).await => {
                content = Content::Receipt;
                permit = None;
                withheld = Some("standing_changed".to_owned());
                self.prepare(&claimed, content)
            }
            (_, prepared) => prepared,
        };
        let at = self.clocks.business.now();
        let standing = permit.as_ref().map(PromptPermit::standing_version);
        let (outcome, status, wait) = match prepared {
            Ok(outgoing) => self.transmit(outgoing, &claimed).await,
            Err(outcome) => (outcome, None, Duration::ZERO),
        };
        let ended_wall = self.clocks.wall.now();
        let due_wall = ended_wall + SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO);
        Resolved { claimed, content, outcome, status, standing, withheld, at, due_wall, ended_wall }
    }

    fn prepare(&self, claimed: &Claimed, content: Content) -> Result<Outgoing, Outcome> {
        let ttl = ttl_seconds(self.clocks.business.now(), claimed.expires_at).ok_or(Outcome::Expired)?;
        let (endpoint, p256dh, auth) = claimed.target.as_ref().ok_or(Outcome::Gone)?;
        // Judged when it was stored; judged again because the rules may be stricter now.
        let endpoint = Endpoint::parse(endpoint, self.transport.rules()).map_err(|_| Outcome::Refused)?;
        let keys = UserAgentKeys::new(p256dh, auth).map_err(|_| Outcome::Refused)?;
        let body = seal(&keys, &payload(claimed.notice, &claimed.body, content)).map_err(|_| Outcome::Refused)?;
        let urgency = if content == Content::Offer { Urgency::Normal } else { Urgency::High };
        Ok(Outgoing { endpoint, body, ttl_seconds: ttl, urgency, topic: topic(claimed.notice) })
    }

    async fn transmit(&self, outgoing: Outgoing, claimed: &Claimed) -> (Outcome, Option<u16>, Duration) {
        let (delivery, status) = self.transport.send(outgoing).await;
        match delivery {
            Delivery::Accepted => (Outcome::Accepted, status, Duration::ZERO),
            Delivery::Gone => (Outcome::Gone, status, Duration::ZERO),
            Delivery::Refused { .. } => (Outcome::Refused, status, Duration::ZERO),
            Delivery::RetryAfter(asked) => {
                let mut jitter = [0u8; 8];
                self.entropy.fill(&mut jitter);
                let asked = if asked.is_zero() { RETRY_DEFAULT } else { asked };
                let wait = back_off(asked, claimed.attempt.unsigned_abs(), u64::from_le_bytes(jitter));
                // A wait past the end is the end: the next claim would only find it expired.
                let ends = claimed.expires_at;
                let next = self.clocks.business.now() + SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO);
                if next >= ends { (Outcome::Expired, status, wait) } else { (Outcome::Retry, status, wait) }
            }
        }
    }
}

fn report(done: &[Resolved]) -> SendReport {
    let count = |outcome| done.iter().filter(|d| d.outcome == outcome).count();
    let report = SendReport {
        claimed: done.len(),
        accepted: count(Outcome::Accepted),
        gone: count(Outcome::Gone),
        retried: count(Outcome::Retry),
        refused: count(Outcome::Refused),
        expired: count(Outcome::Expired),
        withheld: done.iter().filter(|d| d.withheld.is_some()).count(),
    };
    for sent in done.iter().filter(|d| d.outcome == Outcome::Accepted) {
        let took = sent.ended_wall.duration_since(sent.claimed.caused_wall);
        metrics::histogram!("hunch_cause_push_seconds").record(took.as_secs_f64().max(0.0));
    }
    for (outcome, n) in [
        ("accepted", report.accepted),
        ("gone", report.gone),
        ("retry", report.retried),
        ("refused", report.refused),
        ("expired", report.expired),
    ] {
        metrics::counter!("hunch_push_total", "outcome" => outcome).increment(n as u64);
    }
    metrics::counter!("hunch_push_prompts_withheld_total").increment(report.withheld as u64);
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::betting_word;
    use uuid::Uuid;

    /// What travels to a protected person, byte by byte: receipt and notice, and nothing to fetch.
    #[test]
    fn a_receipt_push_has_no_word_of_betting() {
        let notice = NoticeId(Uuid::from_u128(0xfeed));
        let bytes = payload(notice, "You earned 1 point at Rosa's Bakery.", Content::Receipt);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"v":1,"notice":"00000000-0000-0000-0000-00000000feed","text":"You earned 1 point at Rosa's Bakery.","more":false}"#
        );
        assert_eq!(betting_word(&bytes), None);
        // A prompt's push says no more than that there is something to fetch.
        let prompt = payload(notice, "You earned 1 point at Rosa's Bakery.", Content::Prompt);
        assert_eq!(betting_word(&prompt), None);
    }
}
