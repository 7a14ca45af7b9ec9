//! Reads a shard's log, folds it, and decides what to say about each purchase.
//!
//! Invariants
//! - E1: decisions, notices and the position move in one transaction, fenced by the owner's epoch, so
//!   each cause is decided once however often a step is repeated or its owner replaced.
//! - S4: the gate is asked before anything is drawn, and a suggestion goes into a notice only with its permit, which the
//!   notice uses up. A prompt that was overtaken by what happened meanwhile rules out the whole step, which is done again.
//! - Memory is a copy of the log: after any failure it is read again from the checkpoint. What was learned is checkpointed
//!   with the position, and found again by the answers stored since.

mod checkpoint;
mod nearby;
mod reaction;

use hunch_db::MemoryCopy;
use hunch_kernel::{Clocks, MemberId, Shard, WallTime, read_lock, shard_of, within, write_lock};
use hunch_ledger::Door;
use hunch_log::positions::{self, Position};
use hunch_log::{Batch, Tail};
use hunch_messages::Message;
use hunch_messaging::{OpenedHandler, PromptGate, Wanted, withdraw_prompt, write_notices};
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use std::sync::{Arc, RwLock};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::answers::{Answer, Question, Waiting};
use crate::decide::Decision;
use crate::features::{Book, Features};
use crate::learn::{Learner, Mind, Model};
use crate::surroundings::Surroundings;
use crate::{EngageError, store};
use checkpoint::{Checkpoint, freeze, thaw};
pub(crate) use nearby::Nearby;
use reaction::{Plan, silent_because};

const CONSUMER: &str = "engage";
/// Wall time between checkpoints.
const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// Batches folded at once while memory is rebuilt.
const REBUILD_BATCHES: i64 = 500;
/// How often a step is tried when its prompts are overtaken.
const TRIES: u32 = 3;

/// One for the process. Shards are opened when they are first stepped.
pub struct Engage<G: PromptGate, S: Surroundings> {
    pub(crate) pool: PgPool,
    pub(crate) tail: Tail,
    pub(crate) gate: G,
    pub(crate) surroundings: S,
    pub(crate) clocks: Clocks,
    /// None until memory is what the stored position says.
    books: Vec<RwLock<Option<Book>>>,
    pub(crate) opened: Door<OpenedHandler>,
    owners: Vec<Mutex<Option<Owner>>>,
    nearby: MemoryCopy<Nearby>,
    model: RwLock<Option<Arc<Model>>>,
    /// What each shard had learned when its last step was stored, for cards.
    learned: Vec<RwLock<Option<Learned>>>,
}

/// This process's right to a shard.
struct Owner {
    position: Position,
    checkpoint_wall: WallTime,
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

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    pub messages: usize,
    pub decisions: usize,
    pub prompts: usize,
    /// Purchases after which the gate let no market be suggested though there were some.
    pub denied: usize,
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
    pub at: Timestamp,
}

/// What a message told of decisions before it, in the order in which it was learned.
pub(crate) struct Heard {
    pub shard: Shard,
    pub seq: i64,
    pub answers: Vec<Answer>,
}

impl<G: PromptGate, S: Surroundings> Engage<G, S> {
    /// `opened` takes a first look at a notice to its member's shard.
    pub fn new(
        pool: PgPool,
        tail: Tail,
        gate: G,
        surroundings: S,
        clocks: Clocks,
        opened: Door<OpenedHandler>,
    ) -> Engage<G, S> {
        let shards = tail.shard_count();
        Engage {
            pool,
            tail,
            gate,
            surroundings,
            clocks,
            opened,
            books: (0..shards).map(|_| RwLock::default()).collect(),
            owners: (0..shards).map(|_| Mutex::default()).collect(),
            nearby: MemoryCopy::default(),
            model: RwLock::default(),
            learned: (0..shards).map(|_| RwLock::default()).collect(),
        }
    }

    /// Lets this model decide from now on; None lets the rule decide. A shard that decided by another model begins anew
    /// from this one's file.
    pub fn serve(&self, model: Option<Arc<Model>>) {
        *write_lock(&self.model) = model;
    }

    /// The model that decides now: none if there is none, or if it learned too long ago.
    pub(crate) fn model_now(&self, now: Timestamp) -> Option<Arc<Model>> {
        let model = read_lock(&self.model).clone();
        model.filter(|model| model.is_fresh(now))
    }

    /// What the shard had learned when its last step was stored.
    pub(crate) fn learned(&self, shard: Shard) -> Option<Learned> {
        read_lock(self.learned.get(shard.0 as usize)?).clone()
    }

    fn tell_learned(&self, shard: Shard, seq: i64, mind: &Mind) {
        if let Some(slot) = self.learned.get(shard.0 as usize) {
            let learned = mind.learner.clone().map(|learner| Learned { seq, learner });
            *write_lock(slot) = learned;
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
        let mut tries = 0;
        loop {
            tries += 1;
            let mut held = match owner.take() {
                Some(held) => held,
                None => self.open(shard).await?,
            };
            match self.step(&mut held, batches_max).await {
                // Only a step that ended well gives the shard back with its memory.
                Ok(report) => {
                    *owner = Some(held);
                    return Ok(report);
                }
                Err(EngageError::Overtaken(denial)) if tries < TRIES => {
                    tracing::info!(%shard, %denial, "a prompt was overtaken; the step is done again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns when this process has seen the shard's log grow past what was acted on.
    pub async fn wait(&self, shard: Shard) {
        let seq = self.book(shard, |book| book.map_or(0, |book| book.seq));
        self.tail.wait_past(shard, seq).await;
    }

    /// A member's features now, as far as this process has read the log; None while it has not rebuilt its memory.
    pub fn features(&self, member: MemberId) -> Option<Features> {
        let now = self.clocks.business.now();
        self.book(shard_of(member, self.tail.shard_count()), |book| book.map(|book| book.features(member.0, now)))
    }

    fn book<T>(&self, shard: Shard, read: impl FnOnce(Option<&Book>) -> T) -> T {
        match self.books.get(shard.0 as usize) {
            Some(book) => read(read_lock(book).as_ref()),
            None => read(None),
        }
    }

    fn fold(&self, shard: Shard, seq: i64, message: &Message) {
        if let Some(slot) = self.books.get(shard.0 as usize)
            && let Some(book) = write_lock(slot).as_mut()
        {
            book.fold(seq, message);
        }
    }

    /// Takes the shard over and brings memory to the stored position: checkpoint, then the log after it.
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
        for question in store::unanswered(&self.pool, shard, asked_since).await? {
            waiting.ask(question);
        }
        let mut mind = Mind { learner: learner.map(Arc::new), waiting };
        let model = self.model_now(self.clocks.business.now());
        for lesson in store::lessons_after(&self.pool, shard, checkpoint_seq).await? {
            mind.remember(lesson, model.as_deref());
        }
        self.tell_learned(shard, position.last_seq, &mind);
        if let Some(slot) = self.books.get(shard.0 as usize) {
            *write_lock(slot) = Some(book);
        }
        Ok(Owner { position, checkpoint_wall: self.clocks.wall.now(), mind })
    }

    async fn step(&self, owner: &mut Owner, batches_max: i64) -> Result<StepReport, EngageError> {
        let shard = owner.position.shard;
        let after = owner.position.last_seq;
        let batches = self.tail.read_after(&self.pool, shard, after, batches_max).await?;
        let Some(last_seq) = batches.last().map(|batch| batch.last_seq) else { return Ok(StepReport::default()) };
        let buyers = fresh_buyers(&batches, after, self.clocks.business.now());
        let mut sitting = self.gate.sit(&buyers).await;
        let used = hunch_loyalty::offers_used(&self.pool, &buyers).await?;
        let mut plan = Plan { used, ..Plan::default() };
        let mut messages = 0;
        for batch in &batches {
            let new: Vec<(i64, &Message)> = batch.after(after).collect();
            messages += new.len();
            for (seq, message) in new {
                self.fold(shard, seq, message);
                let answers = owner.mind.hear(message);
                if !answers.is_empty() {
                    plan.heard.push(Heard { shard, seq, answers });
                }
                self.react(shard, seq, message, &mut sitting, &mut owner.mind, &mut plan).await?;
            }
        }
        let mut report = StepReport {
            messages,
            decisions: plan.recorded.len(),
            prompts: plan.notices.iter().filter(|notice| matches!(notice.wanted, Wanted::Market { .. })).count(),
            denied: plan.denied,
            ..StepReport::default()
        };
        let wall = self.clocks.wall.now();
        let due = !within(wall, owner.checkpoint_wall, CHECKPOINT_EVERY);
        let state = if due { self.book(shard, |book| freeze(book?, &owner.mind)) } else { None };
        (report.notices, report.withdrawn) =
            self.write(&owner.position, last_seq, state.as_deref(), plan, wall).await?;
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
        plan: Plan,
        wall: WallTime,
    ) -> Result<(u64, u64), EngageError> {
        let now = self.clocks.business.now();
        let mut tx = hunch_db::begin(&self.pool).await?;
        positions::advance(&mut tx, position, last_seq, state).await?;
        store::insert_decisions(&mut tx, &plan.recorded).await?;
        store::insert_answers(&mut tx, &plan.heard).await?;
        let notices = write_notices(&mut tx, plan.notices, now, wall).await?;
        let mut withdrawn = 0;
        for (notice, reason) in plan.withdrawals {
            withdrawn += u64::from(withdraw_prompt(&mut tx, notice, reason, now, wall).await?);
        }
        tx.commit().await?;
        Ok((notices, withdrawn))
    }
}

/// Whose purchases may be answered with a prompt: the gate looks at all of them at once.
fn fresh_buyers(batches: &[Batch], after: i64, now: Timestamp) -> Vec<MemberId> {
    let buyer = |message: &Message| match message {
        Message::PurchaseRecorded(m) if silent_because(m, now).is_none() => Some(MemberId(m.member)),
        _ => None,
    };
    let mut members: Vec<MemberId> =
        batches.iter().flat_map(|batch| batch.after(after).filter_map(|(_, m)| buyer(m))).collect();
    members.sort_unstable();
    members.dedup();
    members
}
