//! A chunk of a market's positions is paid, in one transaction of their shard, from our own book.

use async_trait::async_trait;
use hunch_exchange::MarketResult;
use hunch_kernel::{Dollars, HoldId, PointRate, Points, PositionId, Price, SharedWallClock, derived_uuid, seeded_bug};
use hunch_ledger::{Action, BatchError, Command, Outcome, Reason, ShardHandler, request_digest};
use hunch_log::ShardTx;
use hunch_markets::{Final, result_word};
use hunch_messages::{Message, PositionPaid};
use hunch_treasury::Payouts;

use crate::position::Position;
use crate::store;

/// Positions of one market in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutRequest {
    pub result: Final,
    pub positions: Vec<PositionId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayoutsDone {
    pub positions: usize,
    pub points: Points,
}

/// The payouts of one shard transaction.
pub struct PayoutHandler {
    pub wall: SharedWallClock,
}

/// What a position is worth by a result: in dollars exactly, and in whole points.
pub(crate) fn worth(position: &Position, value: Price) -> (Dollars, Points) {
    let gross = value.of(position.side).times_down(position.count);
    let rate = rate(position);
    let up = seeded_bug("payout-rounds-up");
    (gross, if up { rate.points_up(gross) } else { rate.points_down(gross) })
}

pub(crate) fn rate(position: &Position) -> PointRate {
    PointRate { id: 0, micros: position.rate_micros }
}

pub(crate) fn reason(result: MarketResult, points: Points) -> Reason {
    match result {
        MarketResult::Scalar => Reason::StakeScalar,
        _ if points.is_positive() => Reason::StakeWon,
        _ => Reason::StakeLost,
    }
}

#[async_trait]
impl ShardHandler for PayoutHandler {
    type Request = PayoutRequest;
    type Answer = PayoutsDone;
    const NAME: &'static str = "payouts";

    async fn handle(&self, tx: &mut ShardTx, requests: &[PayoutRequest]) -> Result<Vec<PayoutsDone>, BatchError> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(self.pay(tx, request).await?);
        }
        Ok(answers)
    }
}

impl PayoutHandler {
    async fn pay(&self, tx: &mut ShardTx, request: &PayoutRequest) -> Result<PayoutsDone, BatchError> {
        let (now, wall, result) = (tx.now(), self.wall.now(), &request.result);
        let positions = store::lock_unpaid(tx.conn(), &result.ticker, &request.positions).await?;
        let Some(first) = positions.first() else { return Ok(PayoutsDone::default()) };
        let exchange_shard = store::exchange_shard(tx.conn(), &result.ticker).await?;
        let mut commands: Vec<Command> = positions.iter().map(|p| command(p, result)).collect();
        if seeded_bug("settlement-pays-twice") {
            let again =
                commands.iter().map(|c| Command { key: derived_uuid(&[b"again", c.key.as_bytes()]), ..c.clone() });
            commands.extend(again.collect::<Vec<_>>());
        }
        let outcomes = hunch_ledger::apply(tx, &commands).await?;
        let mut done = PayoutsDone::default();
        let (mut gross, mut paid) = (Dollars::ZERO, Dollars::ZERO);
        let mut rows = Vec::with_capacity(positions.len());
        let mut lost = Vec::new();
        for (position, outcome) in positions.iter().zip(outcomes) {
            let effect = match outcome {
                Outcome::Done(effect) | Outcome::Repeated(effect) => effect,
                Outcome::Refused(refusal) => {
                    return Err(BatchError::Handler(format!("position {} was not paid: {refusal}", position.id)));
                }
            };
            tx.announce_at(effect.seq, message(position, result, effect.points, now));
            let (worth, _) = worth(position, result.value);
            gross += worth;
            paid += rate(position).dollars(effect.points);
            rows.push((position.id, worth, effect.points));
            if effect.points < position.cost {
                lost.push(position.member);
            }
            done.positions += 1;
            done.points += effect.points;
        }
        store::mark_paid(tx.conn(), result, &rows, now, wall).await?;
        // In the transaction that books the loss, so that nobody is prompted to stake in the moment after it.
        hunch_safeguards::note_losses(tx, &lost).await?;
        // A position is paid in exactly one chunk, so its first one names the chunk.
        let chunk = derived_uuid(&[b"chunk", first.id.0.as_bytes(), &result.revision.to_be_bytes()]);
        let booked =
            hunch_treasury::payouts(&Payouts { chunk, market: result.ticker.clone(), exchange_shard, gross, paid });
        hunch_treasury::post(tx.conn(), &[booked], now).await?;
        Ok(done)
    }
}

fn command(position: &Position, result: &Final) -> Command {
    let (_, points) = worth(position, result.value);
    Command {
        key: derived_uuid(&[b"payout", position.id.0.as_bytes(), &result.revision.to_be_bytes()]),
        request: request_digest(&[&points.0.to_be_bytes()]),
        member: position.member,
        action: Action::Payout { hold: HoldId(position.order.0), points, reason: reason(result.result, points) },
    }
}

fn message(position: &Position, result: &Final, points: Points, at: jiff::Timestamp) -> Message {
    let outcome = match result.result {
        MarketResult::Scalar => "scalar",
        _ if points.is_positive() => "won",
        _ => "lost",
    };
    paid_message(position, result_word(result.result), outcome, points, at)
}

pub(crate) fn paid_message(
    position: &Position,
    result: &str,
    outcome: &str,
    points: Points,
    at: jiff::Timestamp,
) -> Message {
    Message::PositionPaid(PositionPaid {
        v: 1,
        position: position.id.0,
        order: position.order.0,
        member: position.member.0,
        market: position.market.0.clone(),
        category: position.category.clone(),
        side: position.side.as_str().to_owned(),
        result: result.to_owned(),
        outcome: outcome.to_owned(),
        cost_points: position.cost.0,
        paid_points: points.0,
        at,
    })
}
