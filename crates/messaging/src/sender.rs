//! Hands due notices over to push services.
//!
//! A step claims deliveries (marked and leased, committed), never more than may be on their way at once, asks
//! the gate about whatever is more than a receipt, sends, and writes outcomes as they come. Whoever dies in between is followed by
//! another step after the lease; the repeat has the same topic and replaces the first. A host that keeps us
//! waiting holds up its own deliveries only: they are put off, and what is open there outlasts the step.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use hunch_kernel::{Clocks, DeviceId, MemberId, NoticeId, SharedEntropy, SubscriptionId, WallTime, lock};
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use std::collections::VecDeque;
use std::time::Duration;
use uuid::Uuid;

use crate::push::{
    Delivery, Endpoint, Grant, Letter, Outgoing, Passage, PushTransport, RETRY_DEFAULT, Room, UserAgentKeys, back_off,
    ttl_seconds,
};
use crate::{MessagingError, PromptGate, PromptSitting, Withheld, store};

/// Outcomes stored in one transaction at most.
const STORE_TOGETHER: usize = 64;
/// While answers are awaited, how often what has become due meanwhile is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
pub struct SenderLimits {
    /// Requests open at once, and deliveries claimed at once.
    pub concurrent_max: usize,
    /// How long a delivery may take before another step repeats it. Well above the transport's own limit.
    pub lease: Duration,
    /// How long a step with nothing else to do waits for an answer before it leaves it to the next one.
    pub patience: Duration,
}

impl Default for SenderLimits {
    fn default() -> SenderLimits {
        SenderLimits { concurrent_max: 64, lease: Duration::from_secs(30), patience: Duration::from_millis(200) }
    }
}

/// What one step saw the end of; `claimed` is what it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    pub claimed: usize,
    pub accepted: usize,
    pub gone: usize,
    pub retried: usize,
    pub refused: usize,
    pub expired: usize,
    /// Prompts and offers that the gate turned into receipts.
    pub withheld: usize,
}

/// Why a claimed delivery is not sent at once.
enum Wait {
    Soon,
    Later,
}

/// Hands notices over. `G` is the gate; only permits it made let more than a receipt out.
#[derive(Clone)]
pub struct Sender<G: PromptGate> {
    pub pool: PgPool,
    pub transport: PushTransport,
    pub gate: G,
    pub clocks: Clocks,
    pub entropy: SharedEntropy,
    pub limits: SenderLimits,
}

/// What a delivery is to carry besides the receipt, if the gate grants it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Receipt,
    Offer,
    /// About a market.
    Prompt,
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
    /// What the notice tells of.
    pub cause: Uuid,
    pub category: Option<String>,
    pub expires_at: Timestamp,
    /// When the cause reached us.
    pub caused_wall: WallTime,
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
    /// What was handed over: less than what was wanted when the gate said no. Receipt, offer or prompt.
    pub content: &'static str,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub standing: Option<i64>,
    pub withheld: Option<&'static str>,
    /// Business time just before the socket.
    pub at: Timestamp,
    pub due_wall: WallTime,
    pub ended_wall: WallTime,
}

/// Sends on their way.
pub(crate) type Underway = FuturesUnordered<BoxFuture<'static, Resolved>>;

/// What is being done, and what waits in memory for room at a host that answers promptly.
struct Work {
    underway: Underway,
    waiting: VecDeque<(WallTime, Claimed)>,
}

impl<G: PromptGate + Clone> Sender<G> {
    /// Sends up to `batch` due deliveries. Several steps may run at once, also in several processes.
    ///
    /// # Errors
    /// When the database fails: what was claimed is claimed again after the lease.
    pub async fn send_step(&self, batch: usize) -> Result<SendReport, MessagingError> {
        let outlasting = || lock(&self.transport.outlasting);
        let mut work = Work { underway: std::mem::take(&mut *outlasting()), waiting: VecDeque::new() };
        let report = self.work_off(batch, &mut work).await;
        outlasting().extend(work.underway);
        report
    }

    async fn work_off(&self, batch: usize, work: &mut Work) -> Result<SendReport, MessagingError> {
        let mut report = SendReport::default();
        let (mut taken, mut quiet) = (0, Duration::ZERO);
        while quiet < self.limits.patience {
            taken += self.begin(batch - taken, work, &mut report).await?;
            if work.underway.is_empty() && work.waiting.is_empty() {
                break;
            }
            match tokio::time::timeout(LOOK_AGAIN, work.underway.by_ref().ready_chunks(STORE_TOGETHER).next()).await {
                Ok(Some(done)) => {
                    let (now, wall) = (self.clocks.business.now(), self.clocks.wall.now());
                    store::resolve(&self.pool, &done, now, wall).await?.iter().for_each(tell_refusal);
                    report.count(&done);
                    quiet = Duration::ZERO;
                }
                Ok(None) => {} // room at the waiting ones' host is for another step to give back
                Err(_) => quiet += LOOK_AGAIN,
            }
            if work.underway.is_empty() && !work.waiting.is_empty() {
                tokio::time::sleep(LOOK_AGAIN).await;
                quiet += LOOK_AGAIN;
            }
        }
        let late: Vec<Claimed> = work.waiting.drain(..).map(|(_, claimed)| claimed).collect();
        report.claimed -= late.len();
        store::put_off(&self.pool, &late, self.clocks.wall.now()).await?;
        Ok(report)
    }

    /// Claims up to `more` deliveries, as many as may be on their way, and begins those that have room at their
    /// host. Returns how many were claimed.
    async fn begin(&self, more: usize, work: &mut Work, report: &mut SendReport) -> Result<usize, MessagingError> {
        let wall = self.clocks.wall.now();
        let lease = SignedDuration::try_from(self.limits.lease).unwrap_or(SignedDuration::from_mins(1));
        let free = self.limits.concurrent_max.max(1).saturating_sub(work.underway.len() + work.waiting.len());
        let claimed = match more.min(free) {
            0 => Vec::new(),
            limit => {
                let now = self.clocks.business.now();
                store::claim(&self.pool, limit as i64, now, wall, wall + lease).await?
            }
        };
        let taken = claimed.len();
        report.claimed += taken;
        let mut put_off = Vec::new();
        let queue = std::mem::take(&mut work.waiting).into_iter().chain(claimed.into_iter().map(|new| (wall, new)));
        for (since, claimed) in queue {
            match self.room(&claimed, wall) {
                Ok(passage) => work.underway.push(Box::pin(self.clone().hand_over(claimed, passage))),
                // Half a lease is kept for the sending itself.
                Err(Wait::Soon) if wall.duration_since(since) < lease / 2 => work.waiting.push_back((since, claimed)),
                Err(Wait::Soon | Wait::Later) => put_off.push(claimed),
            }
        }
        if !put_off.is_empty() {
            report.claimed -= put_off.len();
            let later = wall + SignedDuration::try_from(RETRY_DEFAULT).unwrap_or(SignedDuration::ZERO);
            store::put_off(&self.pool, &put_off, later).await?;
        }
        Ok(taken)
    }

    /// A place at the delivery's host; none is needed where nothing will be sent.
    fn room(&self, claimed: &Claimed, wall: WallTime) -> Result<Option<Passage>, Wait> {
        let Some((endpoint, ..)) = &claimed.target else { return Ok(None) };
        let Ok(endpoint) = Endpoint::parse(endpoint, self.transport.rules()) else { return Ok(None) };
        match self.transport.hosts.enter(&endpoint.origin(), wall, self.limits.concurrent_max) {
            Room::Now(passage) => Ok(Some(passage)),
            Room::Soon => Err(Wait::Soon),
            Room::Later => Err(Wait::Later),
        }
    }

    /// Asks the gate, seals, sends. Never fails: every end is an outcome.
    async fn hand_over(self, claimed: Claimed, passage: Option<Passage>) -> Resolved {
        let (prepared, withheld) = self.prepare(&claimed).await;
        let at = self.clocks.business.now();
        let (content, standing) = match &prepared {
            Ok(outgoing) => (outgoing.grant().content(), outgoing.grant().standing_version()),
            // Nothing is handed over.
            Err(_) => (Grant::Receipt.content(), None),
        };
        let sent = prepared.is_ok();
        let (outcome, status, wait) = match prepared {
            Ok(outgoing) => self.transmit(outgoing, &claimed).await,
            Err(outcome) => (outcome, None, Duration::ZERO),
        };
        let ended_wall = self.clocks.wall.now();
        if let Some(passage) = passage.filter(|_| sent) {
            passage.ended(ended_wall, status.is_some());
        }
        let due_wall = ended_wall + SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO);
        Resolved { claimed, content, outcome, status, standing, withheld, at, due_wall, ended_wall }
    }

    /// A sealed message with what the gate grants now, and why it granted less than was wanted.
    async fn prepare(&self, claimed: &Claimed) -> (Result<Outgoing, Outcome>, Option<&'static str>) {
        let letter = match self.letter(claimed) {
            Ok(letter) => letter,
            Err(outcome) => return (Err(outcome), None),
        };
        let (grant, withheld) = match self.ask(claimed).await {
            Ok(grant) => (grant, None),
            Err(refusal) => (Grant::Receipt, Some(refusal.code)),
        };
        match Outgoing::seal(letter, grant) {
            Err(_) => (Err(Outcome::Refused), withheld),
            Ok(outgoing) if outgoing.still_granted(&self.gate).await => (Ok(outgoing), withheld),
            Ok(_) => {
                let receipt = self
                    .letter(claimed)
                    .and_then(|letter| Outgoing::seal(letter, Grant::Receipt).map_err(|_| Outcome::Refused));
                (receipt, Some("standing_changed"))
            }
        }
    }

    /// What may be said besides the receipt, at this moment.
    async fn ask(&self, claimed: &Claimed) -> Result<Grant, Withheld> {
        let (member, device) = (claimed.member, Some(claimed.device));
        Ok(match claimed.content {
            Content::Receipt => Grant::Receipt,
            Content::Offer => Grant::Offer(self.gate.sit(&[member]).await.offer(member, device)?),
            Content::Prompt => {
                let category = claimed.category.as_deref().unwrap_or_default();
                Grant::Prompt(self.gate.sit(&[member]).await.prompt(member, device, claimed.cause, category)?)
            }
        })
    }

    fn letter<'a>(&self, claimed: &'a Claimed) -> Result<Letter<'a>, Outcome> {
        let ttl_seconds = ttl_seconds(self.clocks.business.now(), claimed.expires_at).ok_or(Outcome::Expired)?;
        let (endpoint, p256dh, auth) = claimed.target.as_ref().ok_or(Outcome::Gone)?;
        // Judged when it was stored; judged again because the rules may be stricter now.
        let endpoint = Endpoint::parse(endpoint, self.transport.rules()).map_err(|_| Outcome::Refused)?;
        let keys = UserAgentKeys::new(p256dh, auth).map_err(|_| Outcome::Refused)?;
        Ok(Letter { endpoint, keys, ttl_seconds, notice: claimed.notice, text: &claimed.body })
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

/// Once for a subscription and a status: what is wrong stays wrong until somebody looks. The path of the address is a secret
/// of the member's, the host is not.
fn tell_refusal(refused: &store::NewlyRefused) {
    let host = url::Url::parse(&refused.endpoint).ok().and_then(|url| Some(url.host_str()?.to_owned()));
    tracing::warn!(
        subscription = %refused.subscription,
        host = host.as_deref().unwrap_or("unknown"),
        status = refused.status.unwrap_or_default(),
        "a push service refuses what is sent to a subscription; 401 and 403 mean that the signing key or push.subject is not what it expects"
    );
}

impl SendReport {
    /// Adds what came of some sends, also to the published figures.
    fn count(&mut self, done: &[Resolved]) {
        for resolved in done {
            let (sum, outcome) = match resolved.outcome {
                Outcome::Accepted => (&mut self.accepted, "accepted"),
                Outcome::Gone => (&mut self.gone, "gone"),
                Outcome::Retry => (&mut self.retried, "retry"),
                Outcome::Refused => (&mut self.refused, "refused"),
                Outcome::Expired => (&mut self.expired, "expired"),
            };
            *sum += 1;
            metrics::counter!("hunch_push_total", "outcome" => outcome).increment(1);
            if resolved.outcome == Outcome::Accepted {
                let took = resolved.ended_wall.duration_since(resolved.claimed.caused_wall);
                metrics::histogram!("hunch_cause_push_seconds").record(took.as_secs_f64().max(0.0));
            }
        }
        let withheld = done.iter().filter(|resolved| resolved.withheld.is_some()).count();
        self.withheld += withheld;
        metrics::counter!("hunch_push_prompts_withheld_total").increment(withheld as u64);
    }
}
