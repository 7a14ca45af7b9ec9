//! Reads a shard's log, folds it, and decides what to say about each purchase.
//!
//! Invariants
//! - E1: decisions, notices and the position move in one transaction, fenced by the owner's epoch, so
//!   each cause is decided once however often a step is repeated or its owner replaced.
//! - S4: a market goes into a notice only after the gate permitted it just now.
//! - Memory is a copy of the log: after any failure it is read again from the checkpoint. What was learned is checkpointed
//!   with the position, and found again by the answers stored since.

mod checkpoint;
mod nearby;
mod reaction;

use hunch_kernel::{Clocks, MemberId, Shard, WallTime, read_lock, shard_of, within, write_lock};
use hunch_log::positions::{self, Position};
use hunch_log::{Batch, Tail};
use hunch_messages::Message;
use hunch_messaging::{PromptGate, withdraw_prompts, write_notices};
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
use nearby::Nearby;
use reaction::{Plan, is_fresh};

const CONSUMER: &str = "engage";
/// Wall time between checkpoints.
const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_secs(5);
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
            Some(book) => read(&read_lock(book)),
            None => read(&Book::default()),
        }
    }

    fn change<T>(&self, shard: Shard, write: impl FnOnce(&mut Book) -> T) -> T {
        match self.books.get(shard.0 as usize) {
            Some(book) => write(&mut write_lock(book)),
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
        wall: WallTime,
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
