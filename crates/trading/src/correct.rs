//! After a final result, only two people together change what was paid: one proposes, another approves. Every position
//! of the market is reversed and paid anew, all lines visible; what a member no longer has is the house's loss.

use async_trait::async_trait;
use hunch_exchange::MarketResult;
use hunch_kernel::{HoldId, MarketTicker, Points, PositionId, Price, Shard, SharedWallClock, derived_uuid};
use hunch_ledger::{Action, BatchError, Command, Outcome, Reason, ShardHandler, request_digest};
use hunch_log::ShardTx;
use hunch_markets::result_word;
use hunch_treasury::{Payouts, Reversal, Transfer};
use jiff::Timestamp;
use uuid::Uuid;

use crate::payout::{paid_message, rate, worth};
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
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionRefusal {
    #[error("this market has not been paid; only a paid result is corrected")]
    NotPaid,
    #[error("another correction of this market is open; approve it or let it be")]
    Open,
    #[error("there is no such open correction")]
    Unknown,
    #[error("a correction is approved by someone other than who proposed it")]
    SamePerson,
    #[error("a yes pays 1, a no pays 0, a scalar something between")]
    Value,
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
        let found = store::correction(&self.pool, id).await.map_err(unavailable)?;
        let mut correction = found.filter(|c| c.finished_at.is_none()).ok_or(CorrectionRefusal::Unknown)?;
        if correction.proposed_by == by {
            return Err(CorrectionRefusal::SamePerson);
        }
        store::approve_correction(&self.pool, id, by, self.clocks.business.now()).await.map_err(unavailable)?;
        correction.approved_by = Some(by.to_owned());
        self.ended.notify_one();
        Ok(correction)
    }

    /// Carries out approved corrections, in chunks, and says how many positions changed.
    ///
    /// # Errors
    /// When the database fails; the next step goes on where this one ended.
    pub async fn correct_step(&self) -> Result<usize, TradingError> {
        let mut changed = 0;
        for correction in store::approved_corrections(&self.pool).await? {
            for shard in (0..self.shards).map(|s| Shard(s as i16)) {
                loop {
                    let positions = store::uncorrected(&self.pool, &correction, shard, CHUNK).await?;
                    if positions.is_empty() {
                        break;
                    }
                    changed += positions.len();
                    let request = CorrectionRequest { correction: correction.clone(), positions };
                    self.doors.corrections.submit(shard, request).await?;
                }
            }
            store::finish_correction(&self.pool, correction.id, self.clocks.business.now()).await?;
        }
        Ok(changed)
    }
}

fn unavailable(error: sqlx::Error) -> CorrectionRefusal {
    tracing::error!(%error, "corrections storage failed");
    CorrectionRefusal::Unavailable
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
        let mut transfers: Vec<Transfer> = Vec::new();
        let mut lost = Vec::new();
        for (position, gross) in store::lock_uncorrected(tx.conn(), correction, &request.positions).await? {
            let before = position.paid.as_ref().map_or(Points::ZERO, |p| p.points);
            let key = |what: &[u8]| derived_uuid(&[what, correction.id.as_bytes(), position.id.0.as_bytes()]);
            let command = |what: &[u8], points: Points, action| Command {
                key: key(what),
                request: request_digest(&[&points.0.to_be_bytes()]),
                member: position.member,
                action,
            };
            let hold = HoldId(position.order.0);
            let mut taken = Points::ZERO;
            if before.is_positive() {
                let back = command(b"reverse", before, Action::ReversePayout { hold, points: before });
                taken = effect(hunch_ledger::apply(tx, &[back]).await?.pop())?.points;
            }
            let (right, points) = worth(&position, correction.value);
            let again = command(b"repay", points, Action::Payout { hold, points, reason: Reason::Corrected });
            let done = effect(hunch_ledger::apply(tx, &[again]).await?.pop())?;
            if done.points < position.cost {
                lost.push(position.member);
            }
            let word = result_word(correction.result);
            tx.announce_at(done.seq, paid_message(&position, word, "corrected", done.points, now));
            let rate = rate(&position);
            transfers.push(hunch_treasury::reversal(&Reversal {
                correction: correction.id,
                position: position.id.0,
                market: correction.market.clone(),
                exchange_shard,
                gross,
                right,
                taken: rate.dollars(taken),
                lost: rate.dollars(before - taken),
            }));
            transfers.push(hunch_treasury::payouts(&Payouts {
                chunk: key(b"corrected"),
                market: correction.market.clone(),
                exchange_shard,
                gross: right,
                paid: rate.dollars(done.points),
            }));
            let row = store::CorrectedRow { position: position.id, before, taken, paid: done.points, gross: right };
            store::mark_corrected(tx.conn(), correction, &row, now, self.wall.now()).await?;
        }
        hunch_treasury::post(tx.conn(), &transfers, now).await?;
        hunch_safeguards::note_losses(tx, &lost).await?;
        Ok(())
    }
}

fn effect(outcome: Option<Outcome>) -> Result<hunch_ledger::Done, BatchError> {
    match outcome {
        Some(Outcome::Done(done) | Outcome::Repeated(done)) => Ok(done),
        Some(Outcome::Refused(refusal)) => Err(BatchError::Handler(format!("a correction was refused: {refusal}"))),
        None => Err(BatchError::Handler("a correction had no answer".to_owned())),
    }
}
