//! Reads a shard's log, folds it, and decides what to say about each purchase.
//!
//! Invariants
//! - E1: decisions, notices and the position move in one transaction, fenced by the owner's epoch, so
//!   each cause is decided once however often a step is repeated or its owner replaced.
//! - S4: a market goes into a notice only after the gate permitted it just now.
//! - Memory is a copy of the log: after any failure it is read again from the checkpoint. What was learned is checkpointed
//!   with the position, and found again by the answers stored since.

use hunch_kernel::{Clocks, MarketTicker, MemberId, MerchantId, Points, Shard, derived_uuid, shard_of, within};
use hunch_log::positions::{self, AdvanceError, Position};
use hunch_log::{Batch, LogError, Tail};
use hunch_loyalty::LoyaltyError;
use hunch_messages::{Message, PositionPaid, PurchaseRecorded, StakeResolved};
use hunch_messaging::copy::{
    credit_receipt, market_prompt, offer_prompt, points_words, purchase_receipt, return_receipt,
};
use hunch_messaging::{
    Cause, MessagingError, NewNotice, PromptGate, PromptSitting, Wanted, WithheldPrompt, open_prompt_categories,
    withdraw_prompts, write_notices,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::answers::{Answer, Answers, MARKET_WINDOW, OFFER_WINDOW, Question, Waiting};
use crate::decide::{Candidate, Decision, LEARNED_VERSION, OfferCandidate, POLICY_VERSION, Situation, decide, seed_of};
use crate::features::{Book, Features};
use crate::learn::{Learner, Mind, Model};
use crate::surroundings::Surroundings;
use crate::told::Told;
use crate::{EngageError, store};

const CONSUMER: &str = "engage";
/// A purchase told about later than this gets its receipt in the inbox and no push.
const FRESH: SignedDuration = SignedDuration::from_mins(15);
/// How long a receipt is worth being pushed.
const RECEIPT_LIFE: SignedDuration = SignedDuration::from_hours(4);
/// Wall time between checkpoints, and for which markets, offers and merchants are kept in memory.
const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_secs(5);
const CANDIDATES_FRESH: SignedDuration = SignedDuration::from_secs(1);
/// Batches folded at once while memory is rebuilt.
const REBUILD_BATCHES: i64 = 500;

/// One for the process. Shards are opened when they are first stepped.
pub struct Engage<G: PromptGate, S: Surroundings> {
    pub(crate) pool: PgPool,
    pub(crate) tail: Tail,
    pub(crate) gate: G,
    pub(crate) surroundings: S,
    pub(crate) clocks: Clocks,
    books: Vec<RwLock<Book>>,
    owners: Vec<Mutex<Option<Owner>>>,
    nearby: RwLock<Option<Arc<Nearby>>>,
    model: RwLock<Option<Arc<Model>>>,
    /// What each shard had learned when its last step was stored, for cards.
    learned: Vec<RwLock<Option<Learned>>>,
}

/// This process's right to a shard.
struct Owner {
    position: Position,
    checkpoint_wall: Timestamp,
    mind: Mind,
}

/// What a shard has learned from its log up to `seq`.
#[derive(Clone)]
pub(crate) struct Learned {
    pub seq: i64,
    pub learner: Arc<Learner>,
}

/// Which model decided.
pub(crate) struct DecidedBy {
    pub model: String,
    pub began: bool,
    pub learned_seq: i64,
}

/// What can be offered now.
#[derive(Default)]
pub(crate) struct Nearby {
    pub candidates: Vec<Candidate>,
    merchants: HashMap<Uuid, String>,
    read_wall: Option<Timestamp>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    pub messages: usize,
    pub decisions: usize,
    pub prompts: usize,
    pub withheld: usize,
    pub notices: u64,
    pub withdrawn: u64,
}

/// A decision with everything its row says.
pub(crate) struct Recorded {
    pub member: MemberId,
    pub cause: Uuid,
    pub channel: &'static str,
    pub shard: Shard,
    pub seq: i64,
    pub action: &'static str,
    pub reference: Option<String>,
    pub decision: Decision,
    /// None when the rule decided.
    pub by: Option<DecidedBy>,
    pub asked: Option<Question>,
    pub withheld: Option<String>,
    pub at: Timestamp,
}

/// What a message told of decisions before it, in the order in which it was learned.
pub(crate) struct Heard {
    pub shard: Shard,
    pub seq: i64,
    pub answers: Vec<Answer>,
}

/// What a step will write.
#[derive(Default)]
struct Plan {
    recorded: Vec<Recorded>,
    heard: Vec<Heard>,
    notices: Vec<NewNotice>,
    withdrawals: Vec<(MemberId, String)>,
    prompted: Vec<(Uuid, Timestamp)>,
}

impl<G: PromptGate, S: Surroundings> Engage<G, S> {
    pub fn new(pool: PgPool, tail: Tail, gate: G, surroundings: S, clocks: Clocks) -> Engage<G, S> {
        let shards = tail.shard_count();
        Engage {
            pool,
            tail,
            gate,
            surroundings,
            clocks,
            books: (0..shards).map(|_| RwLock::default()).collect(),
            owners: (0..shards).map(|_| Mutex::default()).collect(),
            nearby: RwLock::default(),
            model: RwLock::default(),
            learned: (0..shards).map(|_| RwLock::default()).collect(),
        }
    }

    /// Lets this model decide from now on; None lets the rule decide. A shard that decided by another model begins anew
    /// from this one's file.
    pub fn serve(&self, model: Option<Arc<Model>>) {
        *self.model.write().unwrap_or_else(PoisonError::into_inner) = model;
    }

    /// The model that decides now: none if there is none, or if it learned too long ago.
    pub(crate) fn model_now(&self, now: Timestamp) -> Option<Arc<Model>> {
        let model = self.model.read().unwrap_or_else(PoisonError::into_inner).clone();
        model.filter(|model| model.is_fresh(now))
    }

    /// What the shard had learned when its last step was stored.
    pub(crate) fn learned(&self, shard: Shard) -> Option<Learned> {
        self.learned.get(shard.0 as usize)?.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell_learned(&self, shard: Shard, seq: i64, mind: &Mind) {
        if let Some(slot) = self.learned.get(shard.0 as usize) {
            let learned = mind.learner.clone().map(|learner| Learned { seq, learner });
            *slot.write().unwrap_or_else(PoisonError::into_inner) = learned;
        }
    }

    /// Acts on up to `batches_max` batches of the shard's log. Returns at once when there is nothing new:
    /// wait with [`Engage::wait`] between steps.
    ///
    /// # Errors
    /// `Fenced` when another process has taken the shard over; `Storage` and its like when nothing of the
    /// step happened. Either way the next step starts from what is stored.
    pub async fn consume_step(&self, shard: Shard, batches_max: i64) -> Result<StepReport, EngageError> {
        let slot = self.owners.get(shard.0 as usize).ok_or(EngageError::UnknownShard(shard))?;
        let mut owner = slot.lock().await;
        let mut held = match owner.take() {
            Some(held) => held,
            None => self.open(shard).await?,
        };
        // Only a step that ended well gives the shard back with its memory.
        let report = self.step(&mut held, batches_max).await?;
        *owner = Some(held);
        Ok(report)
    }

    /// Returns when this process has seen the shard's log grow past what was acted on.
    pub async fn wait(&self, shard: Shard) {
        let seq = self.book(shard, |book| book.seq);
        self.tail.wait_past(shard, seq).await;
    }

    /// A member's features now, as far as this process has read the log.
    pub fn features(&self, member: MemberId) -> Features {
        let now = self.clocks.business.now();
        self.book(shard_of(member, self.tail.shard_count()), |book| book.features(member.0, now))
    }

    fn book<T>(&self, shard: Shard, read: impl FnOnce(&Book) -> T) -> T {
        match self.books.get(shard.0 as usize) {
            Some(book) => read(&book.read().unwrap_or_else(PoisonError::into_inner)),
            None => read(&Book::default()),
        }
    }

    fn change<T>(&self, shard: Shard, write: impl FnOnce(&mut Book) -> T) -> T {
        match self.books.get(shard.0 as usize) {
            Some(book) => write(&mut book.write().unwrap_or_else(PoisonError::into_inner)),
            None => write(&mut Book::default()),
        }
    }

    /// Takes the shard over and brings memory to the stored position: checkpoint, then the log and the
    /// prompts after it.
    async fn open(&self, shard: Shard) -> Result<Owner, EngageError> {
        let mut conn = self.pool.acquire().await?;
        let position = positions::take_over(&mut conn, CONSUMER, shard).await?;
        drop(conn);
        let Checkpoint { mut book, learner, asked_since, clock } = position
            .state
            .as_deref()
            .and_then(thaw)
            .filter(|kept| kept.book.seq <= position.last_seq)
            .unwrap_or_default();
        let checkpoint_seq = book.seq;
        let mut waiting = Waiting::resume(clock);
        while book.seq < position.last_seq {
            let batches = hunch_log::read_after(&self.pool, shard, book.seq, REBUILD_BATCHES).await?;
            if batches.is_empty() {
                break;
            }
            for batch in &batches {
                let known = batch.after(book.seq).take_while(|(seq, _)| *seq <= position.last_seq);
                known.collect::<Vec<_>>().into_iter().for_each(|(seq, message)| {
                    book.fold(seq, message);
                    waiting.hear(message);
                });
                if batch.last_seq >= position.last_seq {
                    break;
                }
            }
        }
        for (member, at) in store::prompts_after(&self.pool, shard, checkpoint_seq).await? {
            book.prompted(member, at);
        }
        for question in store::unanswered(&self.pool, shard, asked_since).await? {
            waiting.ask(question);
        }
        let mut mind = Mind { learner: learner.map(Arc::new), waiting };
        let model = self.model_now(self.clocks.business.now());
        for lesson in store::lessons_after(&self.pool, shard, checkpoint_seq).await? {
            mind.remember(lesson, model.as_deref());
        }
        self.tell_learned(shard, position.last_seq, &mind);
        self.change(shard, |known| *known = book);
        Ok(Owner { position, checkpoint_wall: self.clocks.wall.now(), mind })
    }

    async fn step(&self, owner: &mut Owner, batches_max: i64) -> Result<StepReport, EngageError> {
        let shard = owner.position.shard;
        let after = owner.position.last_seq;
        let batches = self.tail.read_after(&self.pool, shard, after, batches_max).await?;
        let Some(last_seq) = batches.last().map(|batch| batch.last_seq) else { return Ok(StepReport::default()) };
        let sitting = self.gate.sit(&fresh_buyers(&batches, after, self.clocks.business.now())).await;
        let mut plan = Plan::default();
        let mut messages = 0;
        for batch in &batches {
            let new: Vec<(i64, &Message)> = batch.after(after).collect();
            messages += new.len();
            for (seq, message) in new {
                self.change(shard, |book| book.fold(seq, message));
                let answers = owner.mind.hear(message);
                if !answers.is_empty() {
                    plan.heard.push(Heard { shard, seq, answers });
                }
                self.react(shard, seq, message, &sitting, &mut owner.mind, &mut plan).await?;
            }
        }
        let mut report = StepReport {
            messages,
            decisions: plan.recorded.len(),
            prompts: plan.prompted.len(),
            withheld: plan.recorded.iter().filter(|r| r.withheld.is_some()).count(),
            ..StepReport::default()
        };
        let wall = self.clocks.wall.now();
        let due = !within(wall, owner.checkpoint_wall, CHECKPOINT_EVERY);
        let state = if due { self.book(shard, |book| freeze(book, &owner.mind)) } else { None };
        (report.notices, report.withdrawn) =
            self.write(&owner.position, last_seq, state.as_deref(), &plan, wall).await?;
        owner.position.last_seq = last_seq;
        self.tell_learned(shard, last_seq, &owner.mind);
        if due {
            owner.checkpoint_wall = wall;
        }
        metrics::counter!("hunch_decisions_total").increment(report.decisions as u64);
        Ok(report)
    }

    /// The one transaction of a step. The position goes first: whoever was replaced writes nothing.
    async fn write(
        &self,
        position: &Position,
        last_seq: i64,
        state: Option<&[u8]>,
        plan: &Plan,
        wall: Timestamp,
    ) -> Result<(u64, u64), EngageError> {
        let now = self.clocks.business.now();
        let mut tx = hunch_db::begin(&self.pool).await?;
        positions::advance(&mut tx, position, last_seq, state).await?;
        store::insert_decisions(&mut tx, &plan.recorded).await?;
        store::insert_answers(&mut tx, &plan.heard).await?;
        let notices = write_notices(&mut tx, &plan.notices, now, wall).await?;
        let mut withdrawn = 0;
        for (member, reason) in &plan.withdrawals {
            withdrawn += withdraw_prompts(&mut tx, *member, reason, now, wall).await?;
        }
        tx.commit().await?;
        Ok((notices, withdrawn))
    }

    async fn react(
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
        let member = MemberId(m.member);
        let nearby = self.nearby(Some(m.merchant)).await?;
        let situation = Situation {
            now,
            merchant: Some(MerchantId(m.merchant)),
            merchant_category: Some(m.merchant_category.clone()),
        };
        let seed = seed_of(m.member, m.purchase);
        let (decision, by) = if is_fresh(m, now) {
            let features = self.book(shard, |book| book.features(m.member, now));
            let served = self.model_now(now).map(|model| mind.serve(&model));
            let learner = served.as_ref().map(|(learner, _)| learner.as_ref());
            let decision = decide(&features, &situation, &nearby.candidates, learner, seed);
            let by = |(learner, began): (Arc<Learner>, bool)| DecidedBy {
                model: learner.model.clone(),
                began,
                learned_seq: seq,
            };
            let served = served.filter(|_| decision.policy == LEARNED_VERSION);
            (decision, served.map(by))
        } else {
            (late(seed), None)
        };
        let reason = decision.reason;
        let chosen = decision.chosen.and_then(|index| nearby.candidates.get(index));
        let recorded = |action, reference, withheld: Option<String>| Recorded {
            member,
            cause: m.purchase,
            channel: "push",
            shard,
            seq,
            action,
            reference,
            asked: chosen.filter(|_| withheld.is_none()).and_then(|chosen| question(seq, m, chosen, &decision, now)),
            decision,
            by,
            withheld,
            at: now,
        };
        let (row, wanted, expires_at) = match chosen {
            None => {
                let wanted = Wanted::Nothing { reason: reason.to_owned() };
                (recorded("nothing", None, None), wanted, now + RECEIPT_LIFE)
            }
            Some(Candidate::Offer(o)) => {
                let title = offer_prompt(&o.title, &o.merchant_name, o.bonus);
                let row = recorded("offer", Some(o.offer.to_string()), None);
                (row, Wanted::Offer { offer: o.offer, title }, o.ends_at.min(now + RECEIPT_LIFE))
            }
            Some(Candidate::Market(market)) => {
                let ticker = market.ticker.as_str().to_owned();
                match sitting.permit(member, None, &market.category) {
                    Ok(_permit) => {
                        self.change(shard, |book| book.prompted(m.member, now));
                        plan.prompted.push((m.member, now));
                        let row = recorded("market", Some(ticker.clone()), None);
                        let title = market_prompt(&market.title);
                        let wanted = Wanted::Market { ticker, category: market.category.clone(), title };
                        (row, wanted, market.ends_at.min(now + RECEIPT_LIFE))
                    }
                    Err(refusal) => {
                        let row = recorded("market", Some(ticker), Some(refusal.code.clone()));
                        let withheld = Some(WithheldPrompt { reason: refusal.code });
                        (row, Wanted::Receipt { withheld }, now + RECEIPT_LIFE)
                    }
                }
            }
        };
        row.asked.clone().into_iter().for_each(|question| mind.waiting.ask(question));
        plan.recorded.push(row);
        plan.notices.push(NewNotice {
            member,
            cause: Cause::Purchase(m.purchase),
            body: purchase_receipt(Points(m.points), nearby.merchant(m.merchant)),
            wanted,
            expires_at,
            caused_wall: Timestamp::from_microsecond(m.received_wall_us).unwrap_or(now),
        });
        Ok(())
    }

    /// Markets, offers and merchants of the last second; read again at once for a merchant not known,
    /// unless they were read just now.
    pub(crate) async fn nearby(&self, merchant: Option<Uuid>) -> Result<Arc<Nearby>, EngageError> {
        let (now, wall) = (self.clocks.business.now(), self.clocks.wall.now());
        let known = self.nearby.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            let missing = merchant.is_some_and(|id| !known.merchants.contains_key(&id));
            let span = if missing { CANDIDATES_FRESH / 10 } else { CANDIDATES_FRESH };
            if known.read_wall.is_some_and(|read| within(wall, read, span)) {
                return Ok(known);
            }
        }
        let markets = self.surroundings.markets(now).await.unwrap_or_else(|error| {
            tracing::warn!(error, "no markets to choose from");
            Vec::new()
        });
        let offers = hunch_loyalty::active_offers(&self.pool, now).await?.into_iter().map(|o| {
            Candidate::Offer(OfferCandidate {
                offer: o.id,
                merchant: o.merchant,
                merchant_name: o.merchant_name,
                merchant_category: o.merchant_category,
                title: o.title,
                bonus: o.bonus,
                ends_at: o.valid_to,
            })
        });
        let merchants = hunch_loyalty::merchants(&self.pool).await?.into_iter().map(|m| (m.id.0, m.name)).collect();
        let candidates = markets.into_iter().map(Candidate::Market).chain(offers).collect();
        let nearby = Arc::new(Nearby { candidates, merchants, read_wall: Some(wall) });
        *self.nearby.write().unwrap_or_else(PoisonError::into_inner) = Some(nearby.clone());
        Ok(nearby)
    }

    pub(crate) async fn market_now(
        &self,
        ticker: &MarketTicker,
    ) -> Result<Option<crate::MarketCandidate>, EngageError> {
        self.surroundings.market(ticker, self.clocks.business.now()).await.map_err(EngageError::Surroundings)
    }
}

const RECEIPT: Wanted = Wanted::Receipt { withheld: None };

impl Plan {
    fn tell(&mut self, member: MemberId, cause: Cause, body: String, wanted: Wanted, now: Timestamp, wall: Timestamp) {
        self.notices.push(NewNotice { member, cause, body, wanted, expires_at: now + RECEIPT_LIFE, caused_wall: wall });
    }

    /// Points that come back are worth a push; a filled order the member has just watched is not.
    fn stake(&mut self, m: &StakeResolved, now: Timestamp, wall: Timestamp) {
        let (body, wanted) = if m.captured_points == 0 {
            (credit_receipt(Points(m.released_points)), RECEIPT)
        } else {
            let body = format!("Confirmed: {} used.", points_words(Points(m.captured_points)));
            (body, Wanted::Nothing { reason: "shown_in_app".to_owned() })
        };
        self.tell(MemberId(m.member), Cause::Stake(m.order), body, wanted, now, wall);
    }

    /// A result without points stands in the inbox and is not pushed.
    fn paid(&mut self, m: &PositionPaid, now: Timestamp, wall: Timestamp) {
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

impl Nearby {
    fn merchant(&self, id: Uuid) -> &str {
        self.merchants.get(&id).map_or("your shop", String::as_str)
    }
}

/// Whose purchases may be answered with a prompt: the gate looks at all of them at once.
fn fresh_buyers(batches: &[Batch], after: i64, now: Timestamp) -> Vec<MemberId> {
    let buyer = |message: &Message| match message {
        Message::PurchaseRecorded(m) if is_fresh(m, now) => Some(MemberId(m.member)),
        _ => None,
    };
    let mut members: Vec<MemberId> =
        batches.iter().flat_map(|batch| batch.after(after).filter_map(|(_, m)| buyer(m))).collect();
    members.sort_unstable();
    members.dedup();
    members
}

fn is_fresh(m: &PurchaseRecorded, now: Timestamp) -> bool {
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

/// Memory as it is kept with the position.
#[derive(Default, Deserialize)]
struct Checkpoint {
    /// Its fields stand beside the others: the audit reads them.
    #[serde(flatten)]
    book: Book,
    learner: Option<Learner>,
    /// No decision before this message waits for an answer.
    asked_since: i64,
    clock: Option<Timestamp>,
}

#[derive(Serialize)]
struct CheckpointOf<'a> {
    #[serde(flatten)]
    book: &'a Book,
    learner: Option<&'a Learner>,
    asked_since: i64,
    clock: Option<Timestamp>,
}

/// A version byte, then JSON.
fn freeze(book: &Book, mind: &Mind) -> Option<Vec<u8>> {
    let mut bytes = vec![2];
    let kept = CheckpointOf {
        book,
        learner: mind.learner.as_deref(),
        asked_since: mind.waiting.since().unwrap_or(book.seq + 1),
        clock: mind.waiting.clock(),
    };
    serde_json::to_writer(&mut bytes, &kept).ok()?;
    Some(bytes)
}

/// None for what an unknown version wrote: the log is read again from its beginning.
fn thaw(bytes: &[u8]) -> Option<Checkpoint> {
    let (version, rest) = bytes.split_first()?;
    match version {
        // Before there were models.
        1 => Some(Checkpoint { book: serde_json::from_slice(rest).ok()?, ..Checkpoint::default() }),
        2 => serde_json::from_slice(rest).ok(),
        _ => None,
    }
}

impl From<LogError> for EngageError {
    fn from(error: LogError) -> EngageError {
        EngageError::Log(error)
    }
}

impl From<AdvanceError> for EngageError {
    fn from(error: AdvanceError) -> EngageError {
        match error {
            AdvanceError::Fenced => EngageError::Fenced,
            AdvanceError::Storage(error) => EngageError::Storage(error),
        }
    }
}

impl From<MessagingError> for EngageError {
    fn from(MessagingError::Storage(error): MessagingError) -> EngageError {
        EngageError::Storage(error)
    }
}

impl From<LoyaltyError> for EngageError {
    fn from(error: LoyaltyError) -> EngageError {
        EngageError::Loyalty(error)
    }
}
