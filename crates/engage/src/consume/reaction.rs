//! What each message makes a step say, and what it decides about a purchase.

use hunch_kernel::{MemberId, MerchantId, NoticeId, Points, Shard, WallTime, derived_uuid};
use hunch_messages::{Message, PositionPaid, PurchaseRecorded, StakeResolved};
use hunch_messaging::copy::{
    credit_receipt, market_prompt, offer_prompt, pending_receipt, points_words, purchase_receipt, return_receipt,
    review_receipt,
};
use hunch_messaging::{Cause, NewNotice, OpenPrompt, PromptGate, PromptSitting, Wanted, is_denial, open_prompts};
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

use super::{DecidedBy, Engage, Heard, Recorded};
use crate::EngageError;
use crate::answers::{Answers, MARKET_WINDOW, OFFER_WINDOW, Question};
use crate::decide::{Allowed, Candidate, Decision, LEARNED_VERSION, POLICY_VERSION, Situation, decide, seed_of};
use crate::learn::{Learner, Mind};
use crate::surroundings::Surroundings;
use crate::told::Told;

/// A purchase told about later than this gets its receipt and no suggestion: the member is long somewhere else.
const FRESH: SignedDuration = SignedDuration::from_mins(15);
/// How long a receipt is worth being pushed.
const RECEIPT_LIFE: SignedDuration = SignedDuration::from_hours(4);
const RECEIPT: Wanted = Wanted::Receipt { alone: None };

/// What a step will write.
#[derive(Default)]
pub(super) struct Plan {
    /// Offers that its buyers had before, these purchases included: what it goes by.
    pub used: HashMap<MemberId, HashSet<Uuid>>,
    pub recorded: Vec<Recorded>,
    pub heard: Vec<Heard>,
    pub notices: Vec<NewNotice>,
    pub withdrawals: Vec<(NoticeId, &'static str)>,
    pub denied: usize,
}

/// What will be said beside a purchase's receipt, and how the decision's row tells it.
struct Say {
    action: &'static str,
    reference: Option<String>,
    wanted: Wanted,
}

impl<G: PromptGate, S: Surroundings> Engage<G, S> {
    pub(super) async fn react(
        &self,
        shard: Shard,
        seq: i64,
        message: &Message,
        sitting: &mut G::Sitting,
        mind: &mut Mind,
        plan: &mut Plan,
    ) -> Result<(), EngageError> {
        let (now, wall) = (self.clocks.business.now(), self.clocks.wall.now());
        match message {
            Message::PurchaseRecorded(m) => self.purchase(shard, seq, m, sitting, mind, plan).await?,
            Message::PurchaseReturned(m) => {
                let nearby = self.nearby(Some(m.merchant)).await?;
                let body = return_receipt(Points(m.clawed_back), nearby.merchant(m.merchant));
                plan.tell(MemberId(m.member), Cause::Return(m.purchase), body, RECEIPT, now, wall);
            }
            Message::PurchaseReviewed(m) => {
                let nearby = self.nearby(Some(m.merchant)).await?;
                let body = review_receipt(Points(m.points), m.confirmed, nearby.merchant(m.merchant));
                plan.tell(MemberId(m.member), Cause::Review(m.purchase), body, RECEIPT, now, wall);
            }
            Message::StakeResolved(m) => plan.stake(m, now, wall),
            Message::PositionPaid(m) => plan.paid(m, now, wall),
            Message::StandingChanged(m) => {
                let open = open_prompts(&self.pool, MemberId(m.member), now).await?;
                plan.withdrawals.extend(self.no_longer_allowed(MemberId(m.member), &open).await);
            }
            Message::NoticeOpened(_)
            | Message::Posted(_)
            | Message::MemberJoined(_)
            | Message::MarketChanged(_)
            | Message::StakeHeld(_) => {}
        }
        Ok(())
    }

    async fn purchase(
        &self,
        shard: Shard,
        seq: i64,
        m: &PurchaseRecorded,
        sitting: &mut G::Sitting,
        mind: &mut Mind,
        plan: &mut Plan,
    ) -> Result<(), EngageError> {
        let now = self.clocks.business.now();
        let nearby = self.nearby(Some(m.merchant)).await?;
        let seed = seed_of(m.member, m.purchase);
        let nearby = nearby.for_member(plan.used.get(&MemberId(m.member)));
        let (decision, by) = match silent_because(m, now) {
            None => self.consider((shard, seq), m, &nearby.candidates, sitting, seed, mind),
            Some(reason) => (silent(seed, reason), None),
        };
        let chosen = decision.chosen.and_then(|index| nearby.candidates.get(index));
        let said = chosen.and_then(|chosen| say(m, chosen, sitting).map(|say| (chosen, say)));
        let asked = said.as_ref().and_then(|(chosen, _)| question(seq, m, chosen, &decision, now));
        asked.clone().into_iter().for_each(|question| mind.waiting.ask(question));
        plan.denied += usize::from(is_denial(decision.reason));
        let say = said.map_or_else(|| Say::nothing(decision.reason), |(_, say)| say);
        plan.recorded.push(Recorded {
            member: MemberId(m.member),
            cause: m.purchase,
            channel: "push",
            shard,
            seq,
            action: say.action,
            reference: say.reference,
            asked,
            decision,
            by,
            at: now,
        });
        let offers: Vec<(&str, Points)> = m.offers.iter().map(|o| (o.title.as_str(), Points(o.points))).collect();
        plan.notices.push(NewNotice {
            member: MemberId(m.member),
            cause: Cause::Purchase(m.purchase),
            body: match m.pending {
                true => pending_receipt(Points(m.points), nearby.merchant(m.merchant)),
                false => purchase_receipt(Points(m.points), &offers, nearby.merchant(m.merchant)),
            },
            wanted: say.wanted,
            expires_at: now + RECEIPT_LIFE,
            caused_wall: WallTime::from_microsecond(m.received_wall_us).unwrap_or_else(|| self.clocks.wall.now()),
        });
        Ok(())
    }

    /// Suggestions that the member can still look at and may not any more.
    async fn no_longer_allowed(&self, member: MemberId, open: &[OpenPrompt]) -> Vec<(NoticeId, &'static str)> {
        if open.is_empty() {
            return Vec::new();
        }
        let sitting = self.gate.sit(&[member]).await;
        let refused = |prompt: &OpenPrompt| match &prompt.category {
            Some(category) => sitting.allows_prompt(member, prompt.cause, category).err(),
            None => sitting.offer(member, None).err(),
        };
        open.iter().filter_map(|prompt| Some((prompt.notice, refused(prompt)?.code))).collect()
    }

    /// Decides by the model that serves now, or by the rule, about the purchase of a place in the log.
    fn consider(
        &self,
        (shard, seq): (Shard, i64),
        m: &PurchaseRecorded,
        candidates: &[Candidate],
        sitting: &G::Sitting,
        seed: u64,
        mind: &mut Mind,
    ) -> (Decision, Option<DecidedBy>) {
        let (now, member) = (self.clocks.business.now(), MemberId(m.member));
        let had = sitting.prompts_had(member);
        let situation = Situation {
            now,
            merchant: Some(MerchantId(m.merchant)),
            merchant_category: Some(m.merchant_category.clone()),
            prompts_24h: had.day,
            prompts_7d: had.week,
        };
        let allowed = Allowed::by(sitting, member, m.purchase, candidates, now);
        // The owner of a shard has rebuilt its memory before its first step.
        let features = self.book(shard, |book| book.map(|book| book.features(m.member, now))).unwrap_or_default();
        let served = self.model_now(now).map(|model| mind.serve(&model));
        let learner = served.as_ref().map(|(learner, _)| learner.as_ref());
        let decision = decide(&features, &situation, candidates, &allowed, learner, seed);
        let by = |(learner, began): (Arc<Learner>, bool)| DecidedBy {
            model: learner.model.clone(),
            began,
            learned_seq: seq,
        };
        let served = served.filter(|_| decision.policy == LEARNED_VERSION);
        (decision, served.map(by))
    }
}

/// Puts a choice into words, with the gate's permit of this sitting (S4). None if there is none after all.
fn say(m: &PurchaseRecorded, chosen: &Candidate, sitting: &mut impl PromptSitting) -> Option<Say> {
    let member = MemberId(m.member);
    match chosen {
        Candidate::Offer(o) => {
            let permit = sitting.offer(member, None).ok()?;
            let title = offer_prompt(&o.title, &o.merchant_name, o.bonus, o.limited);
            let wanted = Wanted::Offer { permit, offer: o.offer, title, until: o.ends_at };
            Some(Say { action: "offer", reference: Some(o.offer.to_string()), wanted })
        }
        Candidate::Market(market) => {
            let permit = sitting.prompt(member, None, m.purchase, &market.category).ok()?;
            sitting.prompted(member, m.purchase);
            let (ticker, title) = (market.ticker.as_str().to_owned(), market_prompt(&market.title));
            let wanted = Wanted::Market { permit, ticker: ticker.clone(), title, until: market.ends_at };
            Some(Say { action: "market", reference: Some(ticker), wanted })
        }
    }
}

impl Say {
    /// The receipt alone.
    fn nothing(reason: &str) -> Say {
        Say { action: "nothing", reference: None, wanted: Wanted::Receipt { alone: Some(reason.to_owned()) } }
    }
}

impl Plan {
    fn tell(&mut self, member: MemberId, cause: Cause, body: String, wanted: Wanted, now: Timestamp, wall: WallTime) {
        self.notices.push(NewNotice { member, cause, body, wanted, expires_at: now + RECEIPT_LIFE, caused_wall: wall });
    }

    /// Points that come back are worth a push; a filled order the member has just watched is not.
    fn stake(&mut self, m: &StakeResolved, now: Timestamp, wall: WallTime) {
        let (body, wanted) = if m.captured_points == 0 {
            (credit_receipt(Points(m.released_points)), RECEIPT)
        } else {
            let body = format!("Confirmed: {} used.", points_words(Points(m.captured_points)));
            (body, Wanted::Nothing { reason: "shown_in_app".to_owned() })
        };
        self.tell(MemberId(m.member), Cause::Stake(m.order), body, wanted, now, wall);
    }

    /// A result without points stands in the inbox and is not pushed.
    fn paid(&mut self, m: &PositionPaid, now: Timestamp, wall: WallTime) {
        let (body, wanted) = if m.paid_points > 0 {
            (credit_receipt(Points(m.paid_points)), RECEIPT)
        } else {
            ("A result is in. Open the app to see it.".to_owned(), Wanted::Nothing { reason: "no_points".to_owned() })
        };
        // A correction is a second message about the same position, and a notice of its own.
        let cause = derived_uuid(&[m.position.as_bytes(), &m.at.as_microsecond().to_be_bytes()]);
        self.tell(MemberId(m.member), Cause::Settlement(cause), body, wanted, now, wall);
    }
}

/// Why there is nothing to say beside the receipt: it is told too late, or its points cannot be used yet.
pub(super) fn silent_because(m: &PurchaseRecorded, now: Timestamp) -> Option<&'static str> {
    let fresh = now.duration_since(m.purchased_at) <= FRESH && now.duration_since(m.recorded_at) <= FRESH;
    match (fresh, m.pending) {
        (true, false) => None,
        (true, true) => Some("pending"),
        (false, _) => Some("late"),
    }
}

/// The decision about a purchase of which nothing but its receipt is said.
fn silent(seed: u64, reason: &'static str) -> Decision {
    Decision {
        chosen: None,
        propensity_ppm: 1_000_000,
        policy: POLICY_VERSION,
        seed,
        candidates_hash: [0; 16],
        eligible: 1,
        reason,
        told: Told::default(),
        told_at: None,
    }
}

/// What would answer this choice, and until when.
fn question(
    seq: i64,
    m: &PurchaseRecorded,
    chosen: &Candidate,
    decision: &Decision,
    now: Timestamp,
) -> Option<Question> {
    let (answers, until) = match chosen {
        Candidate::Market(market) => (Answers::Look, market.ends_at.min(now + MARKET_WINDOW)),
        Candidate::Offer(offer) => (Answers::Visit(offer.merchant.0), offer.ends_at.min(now + OFFER_WINDOW)),
    };
    // As exact as it is stored, so that a restart changes nothing.
    let until = Timestamp::from_microsecond(until.as_microsecond()).unwrap_or(until);
    let numbers = decision.told.choices.get(decision.told_at?)?.numbers(decision.told.seen).to_vec();
    Some(Question { seq, member: m.member, cause: m.purchase, answers, until, numbers })
}
