//! What a device gets when it asks: the prompt behind a notice, and the card of the app's first page.
//! Both are judged at that moment, whatever was decided before.

use hunch_kernel::{DeviceId, MarketTicker, MemberId, NoticeId, Points, derived_uuid, shard_of};
use hunch_messaging::{Notice, PromptGate, PromptState, mark_fetched, notice, withhold_at_fetch};
use uuid::Uuid;

use crate::consume::{DecidedBy, Engage, Recorded};
use crate::decide::{Candidate, LEARNED_VERSION, MarketCandidate, OfferCandidate, Situation, decide, seed_of};
use crate::surroundings::Surroundings;
use crate::{EngageError, store};

/// How long a card stays the same, in seconds of business time.
const CARD_SECONDS: i64 = 600;

/// A notice with what its member may see of it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedNotice {
    pub id: NoticeId,
    pub body: String,
    pub prompt: OpenedPrompt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenedPrompt {
    /// Show the receipt and nothing else. The code says why; it is not for display.
    ReceiptOnly {
        reason: String,
    },
    Offer {
        offer: String,
        title: String,
    },
    /// The slip opens on this market; nothing is preset above the usual stake.
    Market {
        market: MarketCandidate,
        title: String,
        stake_points_max: Option<Points>,
    },
}

/// What the app's first page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recommendation {
    Nothing { reason: String },
    Offer(OfferCandidate),
    Market { market: MarketCandidate, stake_points_max: Option<Points> },
}

impl<G: PromptGate, S: Surroundings> Engage<G, S> {
    /// The member's notice, and its prompt if the market is still open and the gate permits it now.
    /// None if the notice is not this member's.
    ///
    /// # Errors
    /// When the database or the market list fails: then the device shows the receipt it already has.
    pub async fn open_notice(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        id: NoticeId,
    ) -> Result<Option<OpenedNotice>, EngageError> {
        let now = self.clocks.business.now();
        let Some(stored) = notice(&self.pool, member, id).await? else { return Ok(None) };
        mark_fetched(&self.pool, id, now).await?;
        let prompt = self.opened(member, device, &stored).await?;
        Ok(Some(OpenedNotice { id, body: stored.body, prompt }))
    }

    async fn opened(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        stored: &Notice,
    ) -> Result<OpenedPrompt, EngageError> {
        let now = self.clocks.business.now();
        let only = |reason: &str| Ok(OpenedPrompt::ReceiptOnly { reason: reason.to_owned() });
        let (PromptState::Open, Some(reference), Some(title)) =
            (stored.prompt_state, stored.prompt_ref.clone(), stored.prompt_title.clone())
        else {
            return only(stored.reason.as_deref().unwrap_or("receipt"));
        };
        if stored.expires_at <= now {
            return only("expired");
        }
        let Some(category) = &stored.category else {
            return Ok(OpenedPrompt::Offer { offer: reference, title });
        };
        let Some(market) = self.market_now(&MarketTicker(reference)).await? else {
            return only("market_closed");
        };
        match self.gate.permit(member, device, category).await {
            Ok(_permit) => Ok(OpenedPrompt::Market { market, title, stake_points_max: self.usual_stake(member) }),
            Err(refusal) => {
                withhold_at_fetch(&self.pool, stored, &refusal.code, now).await?;
                only(&refusal.code)
            }
        }
    }

    /// What the app's first page shows this member: the same policy, judged by the same gate. It stays
    /// the same for ten minutes, and is recorded once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recommend(&self, member: MemberId, device: Option<DeviceId>) -> Result<Recommendation, EngageError> {
        let now = self.clocks.business.now();
        let shard = shard_of(member, self.tail.shard_count());
        let cause = card_cause(member, now.as_second().div_euclid(CARD_SECONDS));
        let nearby = self.nearby(None).await?;
        let situation = Situation { now, merchant: None, merchant_category: None };
        let learned = self
            .model_now(now)
            .and_then(|model| self.learned(shard).filter(|learned| learned.learner.model == model.name));
        let learner = learned.as_ref().map(|learned| learned.learner.as_ref());
        let decision =
            decide(&self.features(member), &situation, &nearby.candidates, learner, seed_of(member.0, cause));
        let by = learned.as_ref().filter(|_| decision.policy == LEARNED_VERSION).map(|learned| DecidedBy {
            model: learned.learner.model.clone(),
            began: false,
            learned_seq: learned.seq,
        });
        let stake_points_max = self.usual_stake(member);
        let mut withheld = None;
        let nothing = |reason: &str| Recommendation::Nothing { reason: reason.to_owned() };
        let (action, reference, shown) = match decision.chosen.and_then(|index| nearby.candidates.get(index)) {
            None => ("nothing", None, nothing(decision.reason)),
            Some(Candidate::Offer(o)) => ("offer", Some(o.offer.to_string()), Recommendation::Offer(o.clone())),
            Some(Candidate::Market(m)) => {
                let shown = match self.gate.permit(member, device, &m.category).await {
                    Ok(_permit) => Recommendation::Market { market: m.clone(), stake_points_max },
                    Err(refusal) => {
                        let shown = nothing(&refusal.code);
                        withheld = Some(refusal.code);
                        shown
                    }
                };
                ("market", Some(m.ticker.as_str().to_owned()), shown)
            }
        };
        // A card teaches nothing: whether it was looked at is not in the log.
        let row = Recorded {
            member,
            cause,
            channel: "card",
            shard,
            seq: 0,
            action,
            reference,
            decision,
            by,
            asked: None,
            withheld,
            at: now,
        };
        let mut conn = self.pool.acquire().await?;
        store::insert_decisions(&mut conn, &[row]).await?;
        Ok(shown)
    }

    /// Nothing is preset above it.
    fn usual_stake(&self, member: MemberId) -> Option<Points> {
        self.features(member).usual_stake.map(Points)
    }
}

fn card_cause(member: MemberId, slot: i64) -> Uuid {
    derived_uuid(&[b"card", member.0.as_bytes(), &slot.to_be_bytes()])
}
