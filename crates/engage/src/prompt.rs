//! What a device gets when it asks: the prompt behind a notice, and the card of the app's first page.
//!
//! Invariants
//! - Both are judged at that moment, whatever was decided before. What is granted carries its permit by value.
//! - A card shows what was recorded: it is decided and stored once for ten minutes, and read back after that. If what was
//!   stored may not be shown any more, a second card without markets is decided and stored.

use hunch_kernel::{DeviceId, MarketTicker, MemberId, NoticeId, Points, derived_uuid, shard_of};
use hunch_messaging::{
    Notice, OpenedRequest, PromptGate, PromptSitting, PromptState, mark_fetched, notice, withhold_at_fetch,
};
use hunch_safeguards::{GiveError, OfferPermit, PromptPermit, Surface, give_prompts};
use jiff::Timestamp;
use uuid::Uuid;

use crate::consume::{DecidedBy, Engage, Nearby, Recorded};
use crate::decide::{
    Allowed, Candidate, Decision, LEARNED_VERSION, MarketCandidate, OfferCandidate, Situation, decide, seed_of,
};
use crate::store::Decided;
use crate::surroundings::Surroundings;
use crate::{EngageError, store};

/// How long a card stays the same, in seconds of business time.
const CARD_SECONDS: i64 = 600;
/// Cards of one such time: the first, and one without markets when the first may not be shown any more.
const CARDS_MAX: u8 = 2;
/// Why no market is suggested while memory is being rebuilt: whoever is not known is denied.
const NOT_KNOWN: &str = "unavailable";

/// A notice with what its member may see of it now.
#[derive(Debug)]
pub struct OpenedNotice {
    pub id: NoticeId,
    pub body: String,
    pub prompt: OpenedPrompt,
}

#[derive(Debug)]
pub enum OpenedPrompt {
    /// Show the receipt and nothing else. The code says why; it is not for display.
    ReceiptOnly {
        reason: String,
    },
    Offer {
        permit: OfferPermit,
        offer: String,
        title: String,
    },
    /// The slip opens on this market; nothing is preset above the usual stake.
    Market {
        permit: PromptPermit,
        market: MarketCandidate,
        title: String,
        stake_points_max: Option<Points>,
    },
}

/// What the app's first page shows.
#[derive(Debug)]
pub enum Recommendation {
    Nothing { reason: String },
    Offer { permit: OfferPermit, offer: OfferCandidate },
    Market { permit: PromptPermit, market: MarketCandidate, stake_points_max: Option<Points> },
}

impl<G: PromptGate, S: Surroundings> Engage<G, S> {
    /// The member's notice, and its prompt if the market is still open and the gate permits it now. `by_person` says that
    /// the member opened it; a device asks by itself when a push arrives. None if the notice is not this member's.
    ///
    /// # Errors
    /// When the database or the market list fails: then the device shows the receipt it already has.
    pub async fn open_notice(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        id: NoticeId,
        by_person: bool,
    ) -> Result<Option<OpenedNotice>, EngageError> {
        let now = self.clocks.business.now();
        let Some(stored) = notice(&self.pool, member, id).await? else { return Ok(None) };
        mark_fetched(&self.pool, id, now).await?;
        if by_person && stored.opened_at.is_none() && stored.prompt_ref.is_some() {
            self.note_look(member, id).await;
        }
        let prompt = self.opened_prompt(member, device, &stored).await?;
        Ok(Some(OpenedNotice { id, body: stored.body, prompt }))
    }

    /// Only what is learned from it is lost when it fails.
    async fn note_look(&self, member: MemberId, notice: NoticeId) {
        let shard = shard_of(member, self.tail.shard_count());
        if let Err(error) = self.opened.submit(shard, OpenedRequest { member, notice }).await {
            tracing::warn!(%error, "a first look was not noted");
        }
    }

    async fn opened_prompt(
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
        if stored.prompt_until.unwrap_or(stored.expires_at) <= now {
            return only("expired");
        }
        let refusal = match &stored.category {
            None => {
                let offer = reference.parse().unwrap_or_default();
                if hunch_loyalty::offer_for(&self.pool, member, offer, now).await?.is_none() {
                    // A purchase would not be credited for it.
                    return only("offer_over");
                }
                match self.gate.sit(&[member]).await.offer(member, device) {
                    Ok(permit) => return Ok(OpenedPrompt::Offer { permit, offer: reference, title }),
                    Err(refusal) => refusal,
                }
            }
            Some(category) => {
                let Some(market) = self.market_now(&MarketTicker(reference)).await? else {
                    return only("market_closed");
                };
                match self.gate.sit(&[member]).await.prompt(member, device, stored.cause, category) {
                    Ok(permit) => {
                        let stake_points_max = self.usual_stake(member);
                        return Ok(OpenedPrompt::Market { permit, market, title, stake_points_max });
                    }
                    Err(refusal) => refusal,
                }
            }
        };
        withhold_at_fetch(&self.pool, stored, refusal.code, now).await?;
        only(refusal.code)
    }

    /// What the app's first page shows this member: the same policy, judged by the same gate. It stays
    /// the same for ten minutes, and is recorded once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recommend(&self, member: MemberId, device: Option<DeviceId>) -> Result<Recommendation, EngageError> {
        let now = self.clocks.business.now();
        let slot = now.as_second().div_euclid(CARD_SECONDS);
        let used = hunch_loyalty::offers_used(&self.pool, &[member]).await?;
        let nearby = self.nearby(None).await?.for_member(used.get(&member));
        let sitting = self.gate.sit(&[member]).await;
        let mut no_market = None;
        for card in 0..CARDS_MAX {
            let cause = card_cause(member, slot, card);
            let stored = match store::decided(&self.pool, member.0, cause).await? {
                Some(stored) => stored,
                None => self.decide_card(member, cause, &nearby, &sitting, no_market, now).await?,
            };
            match self.shown(member, device, cause, stored, &nearby, &sitting).await? {
                Ok(shown) => return Ok(shown),
                Err(why) => no_market = Some(why),
            }
        }
        Ok(nothing(no_market.unwrap_or(NOT_KNOWN)))
    }

    /// What was recorded, if it may be shown now; else why its market may not.
    async fn shown(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        cause: Uuid,
        stored: Decided,
        nearby: &Nearby,
        sitting: &G::Sitting,
    ) -> Result<Result<Recommendation, &'static str>, EngageError> {
        let reference = stored.reference.unwrap_or_default();
        Ok(match stored.action.as_str() {
            "market" => {
                let Some(market) = self.market_now(&MarketTicker(reference)).await? else {
                    return Ok(Err("market_closed"));
                };
                sitting
                    .prompt(member, device, cause, &market.category)
                    .map_err(|refusal| refusal.code)
                    .map(|permit| Recommendation::Market { permit, stake_points_max: self.usual_stake(member), market })
            }
            "offer" => Ok(match (nearby.offer(&reference), sitting.offer(member, device)) {
                (_, Err(refusal)) => nothing(refusal.code),
                (None, Ok(_)) => nothing("offer_ended"),
                (Some(offer), Ok(permit)) => Recommendation::Offer { permit, offer: offer.clone() },
            }),
            _ => Ok(nothing(&stored.reason)),
        })
    }

    /// Decides a card and records it; what another request recorded meanwhile counts. A prompt that is overtaken gives way
    /// to a card without markets.
    async fn decide_card(
        &self,
        member: MemberId,
        cause: Uuid,
        nearby: &Nearby,
        sitting: &G::Sitting,
        no_market: Option<&'static str>,
        now: Timestamp,
    ) -> Result<Decided, EngageError> {
        let features = self.features(member);
        let no_market = no_market.or(features.is_none().then_some(NOT_KNOWN));
        let mut allowed = Allowed::by(sitting, member, cause, &nearby.candidates, now);
        if let Some(why) = no_market {
            allowed = allowed.without_prompts(why);
        }
        loop {
            let (row, permit) =
                self.card(member, cause, features.clone().unwrap_or_default(), nearby, sitting, &allowed, now);
            let decided = Decided {
                action: row.action.to_owned(),
                reference: row.reference.clone(),
                reason: row.decision.reason.to_owned(),
            };
            let mut tx = hunch_db::begin(&self.pool).await?;
            if store::insert_decisions(&mut tx, &[row]).await? == 0 {
                drop(tx);
                return Ok(store::decided(&self.pool, member.0, cause).await?.unwrap_or(decided));
            }
            match give_prompts(&mut tx, permit.into_iter().collect(), Surface::Card, now).await {
                Ok(()) => {
                    tx.commit().await?;
                    return Ok(decided);
                }
                Err(GiveError::Overtaken(denial)) => allowed = allowed.without_prompts(denial.0.as_str()),
                Err(GiveError::Storage(error)) => return Err(error.into()),
            }
        }
    }

    /// One decision about a card, and the permit of its market.
    #[expect(clippy::too_many_arguments, reason = "what a decision is made from")]
    fn card(
        &self,
        member: MemberId,
        cause: Uuid,
        features: crate::Features,
        nearby: &Nearby,
        sitting: &G::Sitting,
        allowed: &Allowed,
        now: Timestamp,
    ) -> (Recorded, Option<PromptPermit>) {
        let shard = shard_of(member, self.tail.shard_count());
        let had = sitting.prompts_had(member);
        let situation =
            Situation { now, merchant: None, merchant_category: None, prompts_24h: had.day, prompts_7d: had.week };
        let learned = self
            .model_now(now)
            .and_then(|model| self.learned(shard).filter(|learned| learned.learner.model == model.name));
        let learner = learned.as_ref().map(|learned| learned.learner.as_ref());
        let seed = seed_of(member.0, cause);
        let mut decision = decide(&features, &situation, &nearby.candidates, allowed, learner, seed);
        let by = learned.as_ref().filter(|_| decision.policy == LEARNED_VERSION).map(|learned| DecidedBy {
            model: learned.learner.model.clone(),
            began: false,
            learned_seq: learned.seq,
        });
        let (action, reference, permit) = match chosen(&decision, nearby) {
            None => ("nothing", None, None),
            Some(Candidate::Offer(o)) => ("offer", Some(o.offer.to_string()), None),
            Some(Candidate::Market(m)) => match sitting.prompt(member, None, cause, &m.category) {
                Ok(permit) => ("market", Some(m.ticker.as_str().to_owned()), Some(permit)),
                Err(refusal) => {
                    // The same reading allowed it before the draw.
                    decision.reason = refusal.code;
                    ("nothing", None, None)
                }
            },
        };
        // A card teaches nothing: whether it was looked at is not in the log.
        let (channel, asked) = ("card", None);
        (Recorded { member, cause, channel, shard, seq: 0, action, reference, decision, by, asked, at: now }, permit)
    }

    /// Nothing is preset above it. None while memory is being rebuilt.
    fn usual_stake(&self, member: MemberId) -> Option<Points> {
        self.features(member)?.usual_stake.map(Points)
    }
}

fn chosen<'a>(decision: &Decision, nearby: &'a Nearby) -> Option<&'a Candidate> {
    nearby.candidates.get(decision.chosen?)
}

fn nothing(reason: &str) -> Recommendation {
    Recommendation::Nothing { reason: reason.to_owned() }
}

fn card_cause(member: MemberId, slot: i64, card: u8) -> Uuid {
    derived_uuid(&[b"card", member.0.as_bytes(), &slot.to_be_bytes(), &[card]])
}
