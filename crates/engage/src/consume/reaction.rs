//! What each message makes a step say, and what it decides about a purchase.

use hunch_kernel::{MemberId, MerchantId, Points, Shard, WallTime, derived_uuid};
use hunch_messages::{Message, PositionPaid, PurchaseRecorded, StakeResolved};
use hunch_messaging::copy::{
    credit_receipt, market_prompt, offer_prompt, points_words, purchase_receipt, return_receipt,
};
use hunch_messaging::{Cause, NewNotice, PromptGate, PromptSitting, Wanted, WithheldPrompt, open_prompt_categories};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use uuid::Uuid;

use super::{DecidedBy, Engage, Heard, Recorded};
use crate::EngageError;
use crate::answers::{Answers, MARKET_WINDOW, OFFER_WINDOW, Question};
use crate::decide::{Candidate, Decision, LEARNED_VERSION, POLICY_VERSION, Situation, decide, seed_of};
use crate::learn::{Learner, Mind};
use crate::surroundings::Surroundings;
use crate::told::Told;

/// A purchase told about later than this gets its receipt in the inbox and no push.
const FRESH: SignedDuration = SignedDuration::from_mins(15);
/// How long a receipt is worth being pushed.
const RECEIPT_LIFE: SignedDuration = SignedDuration::from_hours(4);
const RECEIPT: Wanted = Wanted::Receipt { withheld: None };

/// What a step will write.
#[derive(Default)]
pub(super) struct Plan {
    pub recorded: Vec<Recorded>,
    pub heard: Vec<Heard>,
    pub notices: Vec<NewNotice>,
    pub withdrawals: Vec<(MemberId, String)>,
    pub prompted: Vec<(Uuid, Timestamp)>,
}

/// What will be said beside a purchase's receipt, and how the decision's row tells it.
struct Say {
    action: &'static str,
    reference: Option<String>,
    /// Why the gate kept the prompt back.
    withheld: Option<String>,
    wanted: Wanted,
    expires_at: Timestamp,
}

impl<G: PromptGate, S: Surroundings> Engage<G, S> {
    pub(super) async fn react(
        &self,
        shard: Shard,
        seq: i64,
        message: &Message,
        sitting: &G::Sitting,
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
            Message::StakeResolved(m) => plan.stake(m, now, wall),
            Message::PositionPaid(m) => plan.paid(m, now, wall),
            Message::StandingChanged(m) => {
                let member = MemberId(m.member);
                for category in open_prompt_categories(&self.pool, member, now).await? {
                    if let Err(refusal) = self.gate.permit(member, None, &category).await {
                        plan.withdrawals.push((member, refusal.code));
                        break;
                    }
                }
            }
            Message::Posted(_) | Message::MemberJoined(_) | Message::MarketChanged(_) | Message::StakeHeld(_) => {}
        }
        Ok(())
    }

    async fn purchase(
        &self,
        shard: Shard,
        seq: i64,
        m: &PurchaseRecorded,
        sitting: &G::Sitting,
        mind: &mut Mind,
        plan: &mut Plan,
    ) -> Result<(), EngageError> {
        let now = self.clocks.business.now();
        let nearby = self.nearby(Some(m.merchant)).await?;
        let seed = seed_of(m.member, m.purchase);
        let (decision, by) = if is_fresh(m, now) {
            self.consider(shard, seq, m, &nearby.candidates, seed, mind)
        } else {
            (late(seed), None)
        };
        let chosen = decision.chosen.and_then(|index| nearby.candidates.get(index));
        let say = match chosen {
            Some(chosen) => say(m, chosen, sitting, now),
            None => Say {
                action: "nothing",
                reference: None,
                withheld: None,
                wanted: Wanted::Nothing { reason: decision.reason.to_owned() },
                expires_at: now + RECEIPT_LIFE,
            },
        };
        if let Wanted::Market { .. } = say.wanted {
            self.change(shard, |book| book.prompted(m.member, now));
            plan.prompted.push((m.member, now));
        }
        let said = chosen.filter(|_| say.withheld.is_none());
        let asked = said.and_then(|said| question(seq, m, said, &decision, now));
        asked.clone().into_iter().for_each(|question| mind.waiting.ask(question));
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
            withheld: say.withheld,
            at: now,
        });
        plan.notices.push(NewNotice {
            member: MemberId(m.member),
            cause: Cause::Purchase(m.purchase),
            body: purchase_receipt(Points(m.points), nearby.merchant(m.merchant)),
            wanted: say.wanted,
            expires_at: say.expires_at,
            caused_wall: WallTime::from_microsecond(m.received_wall_us).unwrap_or_else(|| self.clocks.wall.now()),
        });
        Ok(())
    }

    /// Decides by the model that serves now, or by the rule.
    fn consider(
        &self,
        shard: Shard,
        seq: i64,
        m: &PurchaseRecorded,
        candidates: &[Candidate],
        seed: u64,
        mind: &mut Mind,
    ) -> (Decision, Option<DecidedBy>) {
        let now = self.clocks.business.now();
        let situation = Situation {
            now,
            merchant: Some(MerchantId(m.merchant)),
            merchant_category: Some(m.merchant_category.clone()),
        };
        let features = self.book(shard, |book| book.features(m.member, now));
        let served = self.model_now(now).map(|model| mind.serve(&model));
        let learner = served.as_ref().map(|(learner, _)| learner.as_ref());
        let decision = decide(&features, &situation, candidates, learner, seed);
        let by = |(learner, began): (Arc<Learner>, bool)| DecidedBy {
            model: learner.model.clone(),
            began,
            learned_seq: seq,
        };
        let served = served.filter(|_| decision.policy == LEARNED_VERSION);
        (decision, served.map(by))
    }
}

/// Puts a choice into words; for a market the gate is asked, just now (S4).
fn say(m: &PurchaseRecorded, chosen: &Candidate, sitting: &impl PromptSitting, now: Timestamp) -> Say {
    match chosen {
        Candidate::Offer(o) => Say {
            action: "offer",
            reference: Some(o.offer.to_string()),
            withheld: None,
            wanted: Wanted::Offer { offer: o.offer, title: offer_prompt(&o.title, &o.merchant_name, o.bonus) },
            expires_at: o.ends_at.min(now + RECEIPT_LIFE),
        },
        Candidate::Market(market) => {
            let ticker = market.ticker.as_str().to_owned();
            let (withheld, wanted, expires_at) = match sitting.permit(MemberId(m.member), None, &market.category) {
                Ok(_permit) => {
                    let title = market_prompt(&market.title);
                    let wanted = Wanted::Market { ticker: ticker.clone(), category: market.category.clone(), title };
                    (None, wanted, market.ends_at.min(now + RECEIPT_LIFE))
                }
                Err(refusal) => {
                    let receipt = Wanted::Receipt { withheld: Some(WithheldPrompt { reason: refusal.code.clone() }) };
                    (Some(refusal.code), receipt, now + RECEIPT_LIFE)
                }
            };
            Say { action: "market", reference: Some(ticker), withheld, wanted, expires_at }
        }
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

/// Whether there is still something to say beside the receipt.
pub(super) fn is_fresh(m: &PurchaseRecorded, now: Timestamp) -> bool {
    now.duration_since(m.purchased_at) <= FRESH && now.duration_since(m.recorded_at) <= FRESH
}

/// The decision about a purchase that is told too late to say more than its receipt.
fn late(seed: u64) -> Decision {
    Decision {
        chosen: None,
        propensity_ppm: 1_000_000,
        policy: POLICY_VERSION,
        seed,
        candidates_hash: [0; 16],
        eligible: 1,
        reason: "late",
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
        Candidate::Market(market) => {
            (Answers::Stake(market.ticker.as_str().to_owned()), market.ends_at.min(now + MARKET_WINDOW))
        }
        Candidate::Offer(offer) => (Answers::Purchase(offer.merchant.0), offer.ends_at.min(now + OFFER_WINDOW)),
    };
    // As exact as it is stored, so that a restart changes nothing.
    let until = Timestamp::from_microsecond(until.as_microsecond()).unwrap_or(until);
    let numbers = decision.told.choices.get(decision.told_at?)?.numbers(decision.told.seen).to_vec();
    Some(Question { seq, member: m.member, cause: m.purchase, answers, until, numbers })
}
