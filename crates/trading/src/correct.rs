//! After a final result, only two people together change what was paid: one proposes, another approves. Every position
//! of the market is reversed and paid anew, all lines visible; what a member no longer has is the house's loss.

use async_trait::async_trait;
use hunch_exchange::{ExchangeShard, MarketResult};
use hunch_kernel::{
    Dollars, HoldId, MarketTicker, MemberId, Points, PositionId, Price, Shard, SharedWallClock, derived_uuid,
};
use hunch_ledger::{Action, BatchError, Command, DoorError, Outcome, Reason, ShardHandler, request_digest};
use hunch_log::ShardTx;
use hunch_markets::result_word;
use hunch_treasury::{Payouts, Reversal, Transfer};
use jiff::Timestamp;
use std::collections::HashMap;
use uuid::Uuid;

use crate::payout::{paid_message, rate, worth};
use crate::position::Position;
use crate::{Trading, TradingError, store};

const CHUNK: i64 = 500;

/// A result that should have been paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    pub id: Uuid,
    pub market: MarketTicker,
    pub result: MarketResult,
    /// What one YES contract should have paid.
    pub value: Price,
    pub reason: String,
    pub proposed_by: String,
    pub approved_by: Option<String>,
    pub finished_at: Option<Timestamp>,
    /// Why it could not be carried out in full. It waits for an operator then.
    pub parked: Option<String>,
    pub ended_by: Option<String>,
}

impl Correction {
    fn is_open(&self) -> bool {
        self.finished_at.is_none() && self.ended_by.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionRefusal {
    #[error("this market has not been paid; only a paid result is corrected")]
    NotPaid,
    #[error("another correction of this market is open; approve it or end it")]
    Open,
    #[error("there is no such open correction")]
    Unknown,
    #[error("a correction is approved by someone other than who proposed it")]
    SamePerson,
    #[error("a yes pays 1, a no pays 0, a scalar something between")]
    Value,
    #[error("this correction is not parked; it is carried out by itself")]
    NotParked,
    #[error(
        "this correction is being carried out, or has changed positions already; correct the market anew when it is over"
    )]
    Begun,
    #[error("the correction cannot be stored, and sending it again changes nothing; the reason is in the log")]
    Impossible,
    #[error("the correction could not be stored; try again in a moment")]
    Unavailable,
}

impl Trading {
    /// # Errors
    /// A refusal with a sentence for the operator.
    pub async fn propose_correction(
        &self,
        market: &MarketTicker,
        result: MarketResult,
        value: Price,
        reason: &str,
        by: &str,
    ) -> Result<Correction, CorrectionRefusal> {
        let fits = match result {
            MarketResult::Yes => value == Price::ONE,
            MarketResult::No => value == Price::ZERO,
            MarketResult::Scalar => true,
        };
        if !fits {
            return Err(CorrectionRefusal::Value);
        }
        if !store::is_paid(&self.pool, market).await.map_err(unavailable)? {
            return Err(CorrectionRefusal::NotPaid);
        }
        let correction = Correction {
            id: self.entropy.uuid(),
            market: market.clone(),
            result,
            value,
            reason: reason.to_owned(),
            proposed_by: by.to_owned(),
            approved_by: None,
            finished_at: None,
            parked: None,
            ended_by: None,
        };
        let now = self.clocks.business.now();
        match store::insert_correction(&self.pool, &correction, now).await.map_err(unavailable)? {
            true => Ok(correction),
            false => Err(CorrectionRefusal::Open),
        }
    }

    /// # Errors
    /// A refusal with a sentence for the operator.
    pub async fn approve_correction(&self, id: Uuid, by: &str) -> Result<Correction, CorrectionRefusal> {
        let mut correction = self.open_correction(id).await?;
        if correction.proposed_by == by {
            return Err(CorrectionRefusal::SamePerson);
        }
        store::approve_correction(&self.pool, id, by, self.clocks.business.now()).await.map_err(unavailable)?;
        correction.approved_by = Some(by.to_owned());
        self.ended.notify_one();
        Ok(correction)
    }

    /// The corrections that are not over, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn open_corrections(&self) -> Result<Vec<Correction>, CorrectionRefusal> {
        store::open_corrections(&self.pool).await.map_err(unavailable)
    }

    /// Lets a parked correction be tried again; it goes on where it stopped.
    ///
    /// # Errors
    /// A refusal with a sentence for the operator.
    pub async fn retry_correction(&self, id: Uuid, by: &str) -> Result<Correction, CorrectionRefusal> {
        let mut correction = self.open_correction(id).await?;
        if correction.parked.take().is_none() {
            return Err(CorrectionRefusal::NotParked);
        }
        store::unpark_correction(&self.pool, id, by).await.map_err(unavailable)?;
        self.ended.notify_one();
        Ok(correction)
    }

    /// Gives up a correction that has changed nothing: one that nobody approved, or one that is parked.
    ///
    /// # Errors
    /// A refusal with a sentence for the operator.
    pub async fn end_correction(&self, id: Uuid, by: &str) -> Result<Correction, CorrectionRefusal> {
        let mut correction = self.open_correction(id).await?;
        let now = self.clocks.business.now();
        if !store::end_correction(&self.pool, id, by, now).await.map_err(unavailable)? {
            return Err(CorrectionRefusal::Begun);
        }
        correction.ended_by = Some(by.to_owned());
        Ok(correction)
    }

    async fn open_correction(&self, id: Uuid) -> Result<Correction, CorrectionRefusal> {
        let found = store::correction(&self.pool, id).await.map_err(unavailable)?;
        found.filter(Correction::is_open).ok_or(CorrectionRefusal::Unknown)
    }

    /// Carries out approved corrections, in chunks, and says how many positions changed. One that cannot be carried out in
    /// full holds up no other: it is parked with the reason.
    ///
    /// # Errors
    /// The first thing that stood in the way and may pass; the next step goes on where this one ended.
    pub async fn correct_step(&self) -> Result<usize, TradingError> {
        let (mut changed, mut failed) = (0, None);
        for correction in store::approved_corrections(&self.pool).await? {
            match self.carry_out(&correction, &mut changed).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(correction = %correction.id, %error, "a correction could not be carried out yet");
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(changed), Err)
    }

    async fn carry_out(&self, correction: &Correction, changed: &mut usize) -> Result<(), TradingError> {
        let mut stuck = Vec::new();
        for shard in (0..self.shards).map(|s| Shard(s as i16)) {
            loop {
                let skipped: Vec<PositionId> = stuck.iter().map(|(position, _)| *position).collect();
                let positions = store::uncorrected(&self.pool, correction, shard, &skipped, CHUNK).await?;
                if positions.is_empty() {
                    break;
                }
                *changed += self.correct_chunk(correction, shard, positions, &mut stuck).await?;
            }
        }
        let now = self.clocks.business.now();
        let Some((position, why)) = stuck.first() else {
            return Ok(store::finish_correction(&self.pool, correction.id, now).await?);
        };
        let why = format!("{} positions could not be corrected, the first of them {position}: {why}", stuck.len());
        tracing::error!(correction = %correction.id, market = %correction.market, why, "a correction is parked");
        metrics::counter!("hunch_corrections_parked_total").increment(1);
        Ok(store::park_correction(&self.pool, correction.id, &why, now).await?)
    }

    /// One transaction; if it can never be, two of half the size, so that one position keeps no other from its correction.
    async fn correct_chunk(
        &self,
        correction: &Correction,
        shard: Shard,
        positions: Vec<PositionId>,
        stuck: &mut Vec<(PositionId, String)>,
    ) -> Result<usize, TradingError> {
        let (mut todo, mut changed) = (vec![positions], 0);
        while let Some(mut positions) = todo.pop() {
            let request = CorrectionRequest { correction: correction.clone(), positions: positions.clone() };
            match self.doors.corrections.submit(shard, request).await {
                Ok(()) => changed += positions.len(),
                Err(DoorError::Impossible(_)) if positions.len() > 1 => {
                    let second = positions.split_off(positions.len() / 2);
                    todo.extend([second, positions]);
                }
                Err(DoorError::Impossible(why)) => stuck.extend(positions.into_iter().map(|p| (p, why.clone()))),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(changed)
    }
}

fn unavailable(error: sqlx::Error) -> CorrectionRefusal {
    tracing::error!(%error, "corrections storage failed");
    match hunch_db::is_permanent(&error) {
        true => CorrectionRefusal::Impossible,
        false => CorrectionRefusal::Unavailable,
    }
}

/// Positions of one market in one shard, to be paid by another result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectionRequest {
    pub correction: Correction,
    pub positions: Vec<PositionId>,
}

/// The corrections of one shard transaction.
pub struct CorrectionHandler {
    pub wall: SharedWallClock,
}

#[async_trait]
impl ShardHandler for CorrectionHandler {
    type Request = CorrectionRequest;
    type Answer = ();
    const NAME: &'static str = "corrections";

    async fn handle(&self, tx: &mut ShardTx, requests: &[CorrectionRequest]) -> Result<Vec<()>, BatchError> {
        for request in requests {
            self.correct(tx, request).await?;
        }
        Ok(vec![(); requests.len()])
    }
}

impl CorrectionHandler {
    async fn correct(&self, tx: &mut ShardTx, request: &CorrectionRequest) -> Result<(), BatchError> {
        let (now, correction) = (tx.now(), &request.correction);
        let exchange_shard = store::exchange_shard(tx.conn(), &correction.market).await?;
        let steps: Vec<Step> = in_rounds(store::lock_uncorrected(tx.conn(), correction, &request.positions).await?)
            .into_iter()
            .map(|(position, gross)| Step::new(correction, position, gross))
            .collect();
        let commands: Vec<Command> = steps.iter().flat_map(Step::commands).collect();
        let mut outcomes = hunch_ledger::apply(tx, &commands).await?.into_iter();
        let (mut transfers, mut rows, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for step in &steps {
            let taken = match step.before.is_positive() {
                true => effect(outcomes.next())?.points,
                false => Points::ZERO,
            };
            let done = effect(outcomes.next())?;
            if done.points < step.position.cost {
                lost.push(step.position.member);
            }
            let word = result_word(correction.result);
            tx.announce_at(done.seq, paid_message(&step.position, word, "corrected", done.points, now));
            transfers.extend(step.transfers(exchange_shard, taken, done.points));
            let (position, before, gross) = (step.position.id, step.before, step.right);
            rows.push(store::CorrectedRow { position, before, taken, paid: done.points, gross });
        }
        store::mark_corrected(tx.conn(), correction, &rows, now, self.wall.now()).await?;
        hunch_treasury::post(tx.conn(), &transfers, now).await?;
        hunch_safeguards::note_losses(tx, &lost).await?;
        Ok(())
    }
}

/// A position on its way from what it was paid to what it should have been paid.
struct Step<'a> {
    correction: &'a Correction,
    position: Position,
    before: Points,
    gross: Dollars,
    right: Dollars,
    points: Points,
}

impl Step<'_> {
    fn new(correction: &Correction, position: Position, gross: Dollars) -> Step<'_> {
        let before = position.paid.as_ref().map_or(Points::ZERO, |p| p.points);
        let (right, points) = worth(&position, correction.value);
        Step { correction, position, before, gross, right, points }
    }

    fn key(&self, what: &[u8]) -> Uuid {
        derived_uuid(&[what, self.correction.id.as_bytes(), self.position.id.0.as_bytes()])
    }

    /// Back with what was paid, if anything was, and paid anew.
    fn commands(&self) -> Vec<Command> {
        let hold = HoldId(self.position.order.0);
        let command = |what: &[u8], points: Points, action| Command {
            key: self.key(what),
            request: request_digest(&[&points.0.to_be_bytes()]),
            member: self.position.member,
            action,
        };
        let back = Action::ReversePayout { hold, points: self.before };
        let again = Action::Payout { hold, points: self.points, reason: Reason::Corrected };
        let back = self.before.is_positive().then(|| command(b"reverse", self.before, back));
        back.into_iter().chain([command(b"repay", self.points, again)]).collect()
    }

    fn transfers(&self, exchange_shard: ExchangeShard, taken: Points, paid: Points) -> [Transfer; 2] {
        let rate = rate(&self.position);
        let back = hunch_treasury::reversal(&Reversal {
            correction: self.correction.id,
            position: self.position.id.0,
            market: self.correction.market.clone(),
            exchange_shard,
            gross: self.gross,
            right: self.right,
            taken: rate.dollars(taken),
            lost: rate.dollars(self.before - taken),
        });
        let again = hunch_treasury::payouts(&Payouts {
            chunk: self.key(b"corrected"),
            market: self.correction.market.clone(),
            exchange_shard,
            gross: self.right,
            paid: rate.dollars(paid),
        });
        [back, again]
    }
}

/// Everybody's first position, then everybody's second, and so on: the ledger takes a round at once, since no member is in
/// it twice.
fn in_rounds(positions: Vec<(Position, Dollars)>) -> Vec<(Position, Dollars)> {
    let mut rounds: HashMap<MemberId, usize> = HashMap::new();
    let mut placed: Vec<(usize, (Position, Dollars))> = positions
        .into_iter()
        .map(|entry| {
            let round = rounds.entry(entry.0.member).or_default();
            *round += 1;
            (*round, entry)
        })
        .collect();
    placed.sort_by_key(|(round, _)| *round);
    placed.into_iter().map(|(_, entry)| entry).collect()
}

fn effect(outcome: Option<Outcome>) -> Result<hunch_ledger::Done, BatchError> {
    match outcome {
        Some(Outcome::Done(done) | Outcome::Repeated(done)) => Ok(done),
        Some(Outcome::Refused(refusal)) => Err(BatchError::Handler(format!("a correction was refused: {refusal}"))),
        None => Err(BatchError::Handler("a correction had no answer".to_owned())),
    }
}
