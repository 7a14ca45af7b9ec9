//! Group commit. Requests of all capabilities wait in queues, one per shard; a step takes what waits,
//! runs it in one transaction of the shard, commits once, and answers everyone.
//!
//! - A database error never reaches innocent requests: the group is halved until the culprit is alone,
//!   which is answered with an error and logged.
//! - Whoever had a request refused so waits apart afterwards: one request a step, after everybody else's (see `watch.rs`).
//! - A commit whose answer was lost is run again: the keys of what took effect give the first answers.
//! - Nobody is answered before the commit.

use async_trait::async_trait;
use hunch_db::is_permanent;
use hunch_kernel::{Clocks, Shard, WallTime, lock, within};
use hunch_log::{CommitError, Committed, LogError, ShardTx, Tail};
use jiff::SignedDuration;
use sqlx::PgPool;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::apply::BatchError;
use crate::watch::Watch;

/// How many requests one transaction takes at most.
const BATCH_REQUESTS_MAX: usize = 1_000;
/// How many requests may wait in all shards together before new ones are turned away, evenly divided: what is stored in
/// a second or two.
const QUEUE_REQUESTS_MAX: usize = 32_000;
/// How long, from its arrival, a request is tried when the database cannot be reached or the commit's answer is lost: a
/// restart of PostgreSQL takes less. Then people are told.
pub const TRYING_SECONDS_MAX: u64 = 4;
/// How often the same work is tried when other transactions were quicker.
const TRIES_MAX: u32 = 10;

/// What a capability does with a group of its requests, inside one shard transaction. Must be
/// repeatable: the batcher runs the same requests again after an unknown commit, and in smaller
/// groups after a database error.
#[async_trait]
pub trait ShardHandler: Send + Sync + 'static {
    type Request: Send + Sync + 'static;
    type Answer: Send + 'static;
    const NAME: &'static str;

    /// Who handed the request in, where that is someone outside whose requests may be refused by the database again and again.
    fn origin(_: &Self::Request) -> Option<Uuid> {
        None
    }

    /// One answer per request, in the same order.
    async fn handle(&self, tx: &mut ShardTx, requests: &[Self::Request]) -> Result<Vec<Self::Answer>, BatchError>;
}

/// Where a capability hands in its requests.
pub struct Door<H: ShardHandler> {
    queue: Arc<HandlerQueue<H>>,
}

impl<H: ShardHandler> Clone for Door<H> {
    fn clone(&self) -> Door<H> {
        Door { queue: self.queue.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// Nothing happened. Try again after a moment.
    #[error("too many requests are waiting")]
    Busy,
    /// Unknown whether it happened: ask again with the same key.
    #[error("the batcher stopped before it answered")]
    Stopped,
    /// Nothing happened. Try again after a moment.
    #[error("the request could not be stored: {0}")]
    Storage(String),
    /// Nothing happened, and nothing ever will: the same request is refused by the database again. The cause is in the log.
    #[error("the request can never be stored: {0}")]
    Impossible(String),
    /// Unknown whether it happened, the database's answer to the commit being lost: ask again with the same key.
    #[error("it is not known whether the request was stored")]
    Unknown,
}

impl<H: ShardHandler> Door<H> {
    /// Waits until the request's transaction is committed.
    ///
    /// # Errors
    /// `Busy`, `Stopped`, `Storage`, `Impossible` or `Unknown`; a business refusal is an answer, not an error.
    pub async fn submit(&self, shard: Shard, request: H::Request) -> Result<H::Answer, DoorError> {
        let mut answers = self.submit_all(shard, vec![request]).await?;
        answers.pop().ok_or(DoorError::Stopped)?
    }

    /// Hands in several requests that may share a transaction; each is answered by itself.
    ///
    /// # Errors
    /// `Busy` for all of them; other errors come per request.
    pub async fn submit_all(
        &self,
        shard: Shard,
        requests: Vec<H::Request>,
    ) -> Result<Vec<Result<H::Answer, DoorError>>, DoorError> {
        let mut waiting = Vec::with_capacity(requests.len());
        {
            let place = self.queue.shards.get(shard.0 as usize).ok_or(DoorError::Stopped)?;
            let mut places = lock(place);
            if places.len() + requests.len() > QUEUE_REQUESTS_MAX / self.queue.shards.len() {
                return Err(DoorError::Busy);
            }
            let since = Instant::now();
            for request in requests {
                let (sender, receiver) = oneshot::channel();
                places.push((request, sender, since));
                waiting.push(receiver);
            }
        }
        self.queue.bells[shard.0 as usize].notify_one();
        let mut answers = Vec::with_capacity(waiting.len());
        for receiver in waiting {
            answers.push(receiver.await.unwrap_or(Err(DoorError::Stopped)));
        }
        Ok(answers)
    }
}

/// One queue per shard, one loop per shard. The loops belong to the caller of [`Batcher::step`].
pub struct Batcher {
    pool: PgPool,
    clocks: Clocks,
    tail: Tail,
    queues: Vec<Arc<dyn Queue>>,
    bells: Arc<Vec<Notify>>,
    trouble: Trouble,
}

/// When work could last not be stored, in wall time.
#[derive(Clone, Default)]
pub struct Trouble(Arc<Mutex<Failures>>);

#[derive(Default)]
struct Failures {
    /// The last one, if nothing was stored since.
    unmended: Option<WallTime>,
    /// When a request was last turned away for it.
    told: Option<WallTime>,
}

impl Trouble {
    /// Whether storing failed within the last `span` and nothing was stored since.
    pub fn lasts(&self, now: WallTime, span: SignedDuration) -> bool {
        lock(&self.0).unmended.is_some_and(|at| within(now, at, span))
    }

    /// Whether a request was turned away within the last `span`, whatever was stored since: on a full disk some work still
    /// finds room.
    pub fn told_lately(&self, now: WallTime, span: SignedDuration) -> bool {
        lock(&self.0).told.is_some_and(|at| within(now, at, span))
    }
}

pub struct BatcherBuilder {
    pool: PgPool,
    clocks: Clocks,
    tail: Tail,
    queues: Vec<Arc<dyn Queue>>,
    bells: Arc<Vec<Notify>>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    pub requests: usize,
    pub transactions: usize,
    /// Requests answered with an error.
    pub failed: usize,
}

impl BatcherBuilder {
    /// Registers a capability's handler and gives the door to it.
    pub fn register<H: ShardHandler>(&mut self, handler: H) -> Door<H> {
        let queue = Arc::new(HandlerQueue {
            handler: Arc::new(handler),
            shards: (0..self.bells.len()).map(|_| Mutex::default()).collect(),
            bells: self.bells.clone(),
        });
        self.queues.push(queue.clone());
        Door { queue }
    }

    pub fn build(self) -> Arc<Batcher> {
        Arc::new(Batcher {
            pool: self.pool,
            clocks: self.clocks,
            tail: self.tail,
            queues: self.queues,
            bells: self.bells,
            trouble: Trouble::default(),
        })
    }
}

impl Batcher {
    /// `shards` as in [`hunch_log::shards`]; `tail` hears of every commit.
    pub fn builder(pool: PgPool, clocks: Clocks, tail: Tail) -> BatcherBuilder {
        let bells = Arc::new((0..tail.shard_count()).map(|_| Notify::new()).collect());
        BatcherBuilder { pool, clocks, tail, queues: Vec::new(), bells }
    }

    pub fn shard_count(&self) -> u16 {
        self.bells.len() as u16
    }

    /// Whether what is handed in can be stored.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Returns when a request waits for `shard`.
    pub async fn wait(&self, shard: Shard) {
        match self.bells.get(shard.0 as usize) {
            Some(_) if self.waiting(shard) > 0 => {}
            Some(bell) => bell.notified().await,
            None => std::future::pending().await,
        }
    }

    /// How many requests wait for `shard`.
    pub fn waiting(&self, shard: Shard) -> usize {
        self.queues.iter().map(|q| q.len(shard)).sum()
    }

    /// Runs what waits for `shard` now, and answers it. Returns at once when nothing waits.
    pub async fn step(&self, shard: Shard) -> StepReport {
        let mut groups: Vec<Box<dyn Group>> = Vec::new();
        for (queue, places) in self.queues.iter().zip(self.places(shard)) {
            groups.extend(queue.clone().take(shard, places));
        }
        let apart: Vec<Box<dyn Group>> =
            self.queues.iter().filter_map(|queue| queue.clone().take_apart(shard)).collect();
        let requests = groups.iter().chain(&apart).map(|group| group.len()).sum();
        let mut report = StepReport { requests, ..StepReport::default() };
        if !groups.is_empty() {
            self.run(shard, groups, &mut report).await;
        }
        for group in apart {
            self.run(shard, vec![group], &mut report).await;
        }
        report
    }

    /// How many requests of each queue the next transaction takes. Each has an equal share for itself and what others
    /// leave of theirs, so that a crowd of purchases holds up no exclusion, outcome or payout.
    fn places(&self, shard: Shard) -> Vec<usize> {
        let waiting: Vec<usize> = self.queues.iter().map(|queue| queue.together(shard)).collect();
        let share = BATCH_REQUESTS_MAX / waiting.len().max(1);
        let mut left = BATCH_REQUESTS_MAX - waiting.iter().map(|n| (*n).min(share)).sum::<usize>();
        waiting
            .into_iter()
            .map(|n| {
                let more = n.saturating_sub(share).min(left);
                left -= more;
                n.min(share) + more
            })
            .collect()
    }

    /// Runs the groups together; on a database error, apart and halved until the culprit is alone.
    async fn run(&self, shard: Shard, groups: Vec<Box<dyn Group>>, report: &mut StepReport) {
        let mut todo = vec![groups];
        while let Some(mut groups) = todo.pop() {
            match self.run_with_retries(shard, &mut groups, report).await {
                Ok(committed) => {
                    lock(&self.trouble.0).unmended = None;
                    self.tail.publish(&committed);
                    groups.into_iter().for_each(|g| g.answer());
                }
                Err(error) if groups.len() > 1 => {
                    tracing::warn!(%shard, error = chain(&error), "batch failed; its groups run apart");
                    todo.extend(groups.into_iter().rev().map(|g| vec![g]));
                }
                Err(error) => {
                    for group in groups {
                        if group.len() > 1 && !error.is_outage() {
                            let (first, second) = group.halve();
                            todo.push(vec![second]);
                            todo.push(vec![first]);
                        } else {
                            tracing::error!(%shard, handler = group.name(), error = chain(&error), "request parked");
                            metrics::counter!("hunch_batch_parked_total", "handler" => group.name())
                                .increment(group.len() as u64);
                            report.failed += group.len();
                            if error.is_outage() {
                                lock(&self.trouble.0).told = Some(self.clocks.wall.now());
                            }
                            group.fail(&error.told(), error.is_outage());
                            // What the same origin handed in besides waits apart, so that it is not found out one by one here.
                            todo.iter_mut().flatten().for_each(|group| group.set_aside());
                            todo.iter_mut().for_each(|groups| groups.retain(|group| group.len() > 0));
                            todo.retain(|groups| !groups.is_empty());
                        }
                    }
                }
            }
        }
    }

    async fn run_with_retries(
        &self,
        shard: Shard,
        groups: &mut [Box<dyn Group>],
        report: &mut StepReport,
    ) -> Result<Committed, RunError> {
        let mut tries = 0u32;
        let since = groups.iter().map(|group| group.since()).min();
        let mut commit_unknown = false;
        // Who comes while it is known to fail is told at once.
        let known = self.trouble.lasts(self.clocks.wall.now(), SignedDuration::from_secs(TRYING_SECONDS_MAX as i64));
        let patience = Duration::from_secs(if known { 0 } else { TRYING_SECONDS_MAX });
        let waited = || since.is_none_or(|since| since.elapsed() >= patience);
        loop {
            tries += 1;
            report.transactions += 1;
            let error = match self.run_once(shard, groups).await {
                Ok(committed) => return Ok(committed),
                Err(error) => error,
            };
            if error.is_outage() {
                lock(&self.trouble.0).unmended = Some(self.clocks.wall.now());
            }
            commit_unknown |= matches!(error, RunError::Commit(CommitError::Unknown(_)));
            let over = if error.is_outage() { waited() } else { tries >= TRIES_MAX };
            if over || !error.is_worth_repeating() {
                // Whatever stands in the way now, an earlier run may have been stored.
                return Err(if commit_unknown { RunError::Lost(Box::new(error)) } else { error });
            }
            tracing::warn!(%shard, tries, error = chain(&error), "batch runs again");
            tokio::time::sleep(Duration::from_millis(20 << tries.min(5))).await;
        }
    }

    async fn run_once(&self, shard: Shard, groups: &mut [Box<dyn Group>]) -> Result<Committed, RunError> {
        let mut tx = ShardTx::begin(&self.pool, shard, self.clocks.business.now()).await.map_err(RunError::Begin)?;
        for group in groups.iter_mut() {
            group.run(&mut tx).await.map_err(RunError::Group)?;
        }
        tx.commit().await.map_err(RunError::Commit)
    }
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the shard's transaction could not begin")]
    Begin(#[source] LogError),
    #[error("a group of the batch failed")]
    Group(#[source] BatchError),
    #[error("the batch could not be committed")]
    Commit(#[source] CommitError),
    #[error("the answer to a commit was lost, and the batch could not be run again")]
    Lost(#[source] Box<RunError>),
}

impl RunError {
    /// The database is out of reach, or its answer was lost, or another transaction was quicker. A full disk is not
    /// emptied within seconds.
    fn is_worth_repeating(&self) -> bool {
        let outage = |e: &sqlx::Error| outage(e) && !full_disk(e);
        match self {
            RunError::Begin(LogError::Storage(e)) => outage(e),
            RunError::Begin(_) => false,
            RunError::Group(BatchError::KeyRace) => true,
            RunError::Group(BatchError::Storage(e) | BatchError::Log(LogError::Storage(e))) => {
                outage(e) || transient(e)
            }
            RunError::Group(_) => false,
            RunError::Commit(CommitError::Unknown(_)) => true,
            RunError::Commit(CommitError::Rejected(e)) => outage(e) || transient(e),
            RunError::Lost(_) => false,
        }
    }

    /// What the caller hears.
    fn told(&self) -> DoorError {
        match self {
            RunError::Lost(_) | RunError::Commit(CommitError::Unknown(_)) => DoorError::Unknown,
            other if other.is_permanent() => DoorError::Impossible(other.to_string()),
            other => DoorError::Storage(other.to_string()),
        }
    }

    /// The same request meets the same refusal, whenever it comes.
    fn is_permanent(&self) -> bool {
        match self {
            RunError::Begin(_) | RunError::Lost(_) | RunError::Commit(CommitError::Unknown(_)) => false,
            RunError::Group(BatchError::Storage(e) | BatchError::Log(LogError::Storage(e)))
            | RunError::Commit(CommitError::Rejected(e)) => is_permanent(e),
            RunError::Group(BatchError::KeyRace) => false,
            RunError::Group(BatchError::WalkTooLong { .. } | BatchError::Handler(_) | BatchError::Log(_)) => true,
        }
    }

    fn is_outage(&self) -> bool {
        match self {
            RunError::Begin(_) | RunError::Commit(CommitError::Unknown(_)) | RunError::Lost(_) => true,
            RunError::Group(BatchError::Storage(e)) | RunError::Commit(CommitError::Rejected(e)) => outage(e),
            RunError::Group(_) => false,
        }
    }
}

fn outage(e: &sqlx::Error) -> bool {
    match e {
        // Class 57P: the server is shutting down or starting up; class 53: no disk, no memory, no connection left.
        sqlx::Error::Database(d) => d.code().is_some_and(|c| c.starts_with("57P") || c.starts_with("53")),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

fn full_disk(e: &sqlx::Error) -> bool {
    matches!(e, sqlx::Error::Database(d) if d.code().is_some_and(|c| c == "53100"))
}

/// Serialization failure or deadlock: the same work may succeed now.
fn transient(e: &sqlx::Error) -> bool {
    matches!(e, sqlx::Error::Database(d) if d.code().is_some_and(|c| c == "40001" || c == "40P01"))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A request, where its answer goes, and since when it waits.
type Waiting<H> =
    (<H as ShardHandler>::Request, oneshot::Sender<Result<<H as ShardHandler>::Answer, DoorError>>, Instant);

struct HandlerQueue<H: ShardHandler> {
    handler: Arc<H>,
    shards: Vec<Mutex<Places<H>>>,
    bells: Arc<Vec<Notify>>,
}

/// Where requests of a shard wait.
struct Places<H: ShardHandler> {
    together: VecDeque<Waiting<H>>,
    /// Those of watched origins.
    apart: VecDeque<Waiting<H>>,
    watch: Watch,
}

impl<H: ShardHandler> Default for Places<H> {
    fn default() -> Places<H> {
        Places { together: VecDeque::new(), apart: VecDeque::new(), watch: Watch::default() }
    }
}

impl<H: ShardHandler> Places<H> {
    fn len(&self) -> usize {
        self.together.len() + self.apart.len()
    }

    fn push(&mut self, waiting: Waiting<H>) {
        let apart = self.watch.is_watched(H::origin(&waiting.0));
        if apart { self.apart.push_back(waiting) } else { self.together.push_back(waiting) }
    }
}

trait Queue: Send + Sync {
    fn len(&self, shard: Shard) -> usize;
    /// How many wait to go together.
    fn together(&self, shard: Shard) -> usize;
    fn take(self: Arc<Self>, shard: Shard, requests_max: usize) -> Option<Box<dyn Group>>;
    /// The next request that waits apart.
    fn take_apart(self: Arc<Self>, shard: Shard) -> Option<Box<dyn Group>>;
}

impl<H: ShardHandler> HandlerQueue<H> {
    fn group(self: Arc<Self>, shard: Shard, waiting: Vec<Waiting<H>>) -> Option<Box<dyn Group>> {
        let since = waiting.first()?.2;
        let (requests, senders) = waiting.into_iter().map(|(request, sender, _)| (request, sender)).unzip();
        Some(Box::new(HandlerGroup { queue: self, shard, requests, senders, since, answers: Vec::new() }))
    }

    fn place(&self, shard: Shard) -> Option<&Mutex<Places<H>>> {
        self.shards.get(shard.0 as usize)
    }
}

impl<H: ShardHandler> Queue for HandlerQueue<H> {
    fn len(&self, shard: Shard) -> usize {
        self.place(shard).map_or(0, |place| lock(place).len())
    }

    fn together(&self, shard: Shard) -> usize {
        self.place(shard).map_or(0, |place| lock(place).together.len())
    }

    fn take(self: Arc<Self>, shard: Shard, requests_max: usize) -> Option<Box<dyn Group>> {
        let taken: Vec<Waiting<H>> = {
            let mut places = lock(self.place(shard)?);
            let n = places.together.len().min(requests_max);
            places.together.drain(..n).collect()
        };
        self.group(shard, taken)
    }

    fn take_apart(self: Arc<Self>, shard: Shard) -> Option<Box<dyn Group>> {
        let next = lock(self.place(shard)?).apart.pop_front()?;
        self.group(shard, vec![next])
    }
}

/// Requests of one handler that run together.
#[async_trait]
trait Group: Send {
    fn name(&self) -> &'static str;
    fn len(&self) -> usize;
    /// When the first of its requests came.
    fn since(&self) -> Instant;
    async fn run(&mut self, tx: &mut ShardTx) -> Result<(), BatchError>;
    fn halve(self: Box<Self>) -> (Box<dyn Group>, Box<dyn Group>);
    fn answer(self: Box<Self>);
    /// In an outage nobody is to blame; else whoever handed it in is watched.
    fn fail(self: Box<Self>, error: &DoorError, outage: bool);
    /// Gives the requests of watched origins back to wait apart.
    fn set_aside(&mut self);
}

struct HandlerGroup<H: ShardHandler> {
    queue: Arc<HandlerQueue<H>>,
    shard: Shard,
    requests: Vec<H::Request>,
    senders: Vec<oneshot::Sender<Result<H::Answer, DoorError>>>,
    since: Instant,
    answers: Vec<H::Answer>,
}

#[async_trait]
impl<H: ShardHandler> Group for HandlerGroup<H> {
    fn name(&self) -> &'static str {
        H::NAME
    }

    fn len(&self) -> usize {
        self.requests.len()
    }

    fn since(&self) -> Instant {
        self.since
    }

    async fn run(&mut self, tx: &mut ShardTx) -> Result<(), BatchError> {
        self.answers = self.queue.handler.handle(tx, &self.requests).await?;
        if self.answers.len() == self.requests.len() {
            Ok(())
        } else {
            Err(BatchError::Handler(format!(
                "{} gave {} answers to {} requests",
                H::NAME,
                self.answers.len(),
                self.requests.len()
            )))
        }
    }

    fn halve(mut self: Box<Self>) -> (Box<dyn Group>, Box<dyn Group>) {
        let half = self.requests.len() / 2;
        let second = HandlerGroup {
            queue: self.queue.clone(),
            shard: self.shard,
            requests: self.requests.split_off(half),
            senders: self.senders.split_off(half),
            since: self.since,
            answers: Vec::new(),
        };
        (self, Box::new(second))
    }

    fn answer(self: Box<Self>) {
        if let Some(place) = self.queue.place(self.shard) {
            let watch = &mut lock(place).watch;
            self.requests.iter().filter_map(H::origin).for_each(|origin| watch.went_well(origin));
        }
        for (sender, answer) in self.senders.into_iter().zip(self.answers) {
            // A caller that stopped waiting finds its effect by the key.
            let _ = sender.send(Ok(answer));
        }
    }

    fn fail(self: Box<Self>, error: &DoorError, outage: bool) {
        if let (Some(place), false) = (self.queue.place(self.shard), outage) {
            let watch = &mut lock(place).watch;
            self.requests.iter().filter_map(H::origin).for_each(|origin| watch.parked(origin));
        }
        for sender in self.senders {
            let _ = sender.send(Err(error.clone()));
        }
    }

    fn set_aside(&mut self) {
        let queue = self.queue.clone();
        let Some(place) = queue.place(self.shard) else { return };
        let mut places = lock(place);
        let all: Vec<(H::Request, _)> = self.requests.drain(..).zip(self.senders.drain(..)).collect();
        for (request, sender) in all {
            if places.watch.is_watched(H::origin(&request)) {
                places.apart.push_back((request, sender, self.since));
            } else {
                self.requests.push(request);
                self.senders.push(sender);
            }
        }
    }
}
