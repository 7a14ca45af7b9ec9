//! A confirmed stake: switch, limits, balance and hold decided in one batch, with the order and its first client
//! order id stored in the same transaction.

use async_trait::async_trait;
use hunch_kernel::{HoldId, OrderId, Points, SharedClock, derived_uuid};
use hunch_ledger::{Action, BatchError, Command, HoldOwner, Outcome, ShardHandler, request_digest};
use hunch_log::ShardTx;
use hunch_messages::{Message, StakeHeld};
use hunch_safeguards::{Charges, Denial, HouseLimits, StakePermit};
use jiff::Timestamp;
use std::collections::HashMap;
use uuid::Uuid;

use crate::order::Order;
use crate::place::StakeRefusal;
use crate::quote::Quote;
use crate::store::{self, NewOrderRow};

/// A quote that its member confirmed, with the permit of this moment.
pub struct StakeRequest {
    pub order: OrderId,
    pub quote: Quote,
    pub permit: StakePermit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StakeAnswer {
    pub order: Order,
    /// False on a repeat: the order was there.
    pub first: bool,
}

/// The stakes of one shard transaction.
pub struct StakeHandler {
    pub house: HouseLimits,
    pub wall: SharedClock,
}

/// The client order id of an attempt, for ever.
pub(crate) fn client_order_id(order: OrderId, attempt: i16) -> Uuid {
    derived_uuid(&[b"client-order", order.0.as_bytes(), &attempt.to_be_bytes()])
}

#[async_trait]
impl ShardHandler for StakeHandler {
    type Request = StakeRequest;
    type Answer = Result<StakeAnswer, StakeRefusal>;
    const NAME: &'static str = "stakes";

    async fn handle(&self, tx: &mut ShardTx, requests: &[StakeRequest]) -> Result<Vec<Self::Answer>, BatchError> {
        let ids: Vec<OrderId> = requests.iter().map(|r| r.order).collect();
        let known: HashMap<OrderId, Order> =
            store::orders(tx.conn(), &ids).await?.into_iter().map(|o| (o.id, o)).collect();
        let staking = store::staking_is_on(tx.conn()).await?;
        let members: Vec<_> = requests.iter().map(|r| r.quote.member).collect();
        let mut available = hunch_ledger::available(tx.conn(), &members).await?;
        let now = tx.now();
        let mut answers: Vec<Option<Self::Answer>> = Vec::with_capacity(requests.len());
        let mut seen: Vec<OrderId> = Vec::new();
        let mut charges = Charges::load(tx, &members, self.house, self.wall.now()).await?;
        let mut holding = Vec::new();
        for (n, request) in requests.iter().enumerate() {
            let quote = &request.quote;
            let have = available.entry(quote.member).or_insert(Points::ZERO);
            answers.push(if let Some(order) = known.get(&request.order) {
                Some(Ok(StakeAnswer { order: order.clone(), first: false }))
            } else if seen.contains(&request.order) {
                None // the same quote twice in one batch: answered below, as a repeat
            } else if !staking {
                Some(Err(StakeRefusal::Paused))
            } else if quote.expires_at <= now {
                Some(Err(StakeRefusal::QuoteExpired))
            } else if let Err(denial) = charges.allows(request.order, &request.permit, quote.hold) {
                Some(Err(StakeRefusal::Denied(denial)))
            } else if *have < quote.hold {
                Some(Err(StakeRefusal::InsufficientPoints { available: *have, needed: quote.hold }))
            } else {
                charges
                    .charge(request.order, &request.permit, quote.hold)
                    .map_err(|denial| BatchError::Handler(denial.to_string()))?;
                *have -= quote.hold;
                seen.push(request.order);
                holding.push(n);
                None
            });
        }
        charges.write(tx).await?;
        let commands: Vec<Command> = holding.iter().map(|n| command(&requests[*n])).collect();
        let outcomes = hunch_ledger::apply(tx, &commands).await?;
        let mut rows = Vec::with_capacity(holding.len());
        for (n, outcome) in holding.into_iter().zip(outcomes) {
            let request = &requests[n];
            match outcome {
                Outcome::Done(done) | Outcome::Repeated(done) => {
                    tx.announce_at(done.seq, message(request, now));
                    rows.push((n, self.row(request, tx, now)));
                }
                // The hold was affordable a moment ago, under the same lock: this would be a mistake of ours.
                Outcome::Refused(_) => {
                    return Err(BatchError::Handler(format!("the hold of order {} was refused", request.order)));
                }
            }
        }
        let new: Vec<NewOrderRow> = rows.iter().map(|(_, row)| row.clone()).collect();
        store::insert_orders(tx.conn(), &new).await?;
        let markets: Vec<_> = new.iter().map(|r| r.quote.market.clone()).collect();
        hunch_markets::watch(tx.conn(), &markets).await?;
        let ids: Vec<OrderId> = new.iter().map(|r| r.order).collect();
        let mut made: HashMap<OrderId, Order> =
            store::orders(tx.conn(), &ids).await?.into_iter().map(|o| (o.id, o)).collect();
        for (n, row) in rows {
            let order = made.remove(&row.order).ok_or_else(|| BatchError::Handler("an order was not stored".into()))?;
            answers[n] = Some(Ok(StakeAnswer { order, first: true }));
        }
        let made: HashMap<OrderId, Order> = answers
            .iter()
            .filter_map(|a| Some(a.as_ref()?.as_ref().ok()?.order.clone()))
            .map(|order| (order.id, order))
            .collect();
        let repeat = |request: &StakeRequest| {
            let order = made.get(&request.order).cloned().ok_or(StakeRefusal::Busy)?;
            Ok(StakeAnswer { order, first: false })
        };
        Ok(answers.into_iter().zip(requests).map(|(answer, r)| answer.unwrap_or_else(|| repeat(r))).collect())
    }
}

impl StakeHandler {
    fn row(&self, request: &StakeRequest, tx: &ShardTx, now: Timestamp) -> NewOrderRow {
        NewOrderRow {
            order: request.order,
            quote: request.quote.clone(),
            shard: tx.shard(),
            jurisdiction: request.permit.jurisdiction().to_owned(),
            standing_version: request.permit.standing_version(),
            permit_until: request.permit.until(),
            placed_at: now,
            placed_wall: self.wall.now(),
            client_order_id: client_order_id(request.order, 1),
        }
    }
}

fn command(request: &StakeRequest) -> Command {
    Command {
        key: derived_uuid(&[b"hold", request.order.0.as_bytes()]),
        request: request_digest(&[request.quote.id.0.as_bytes(), &request.quote.hold.0.to_be_bytes()]),
        member: request.quote.member,
        action: Action::PlaceHold {
            hold: HoldId(request.order.0),
            points: request.quote.hold,
            owner: HoldOwner::OrderDispatcher,
        },
    }
}

fn message(request: &StakeRequest, at: Timestamp) -> Message {
    let quote = &request.quote;
    Message::StakeHeld(StakeHeld {
        v: 1,
        order: request.order.0,
        member: quote.member.0,
        market: quote.market.0.clone(),
        category: quote.kind.as_str().to_owned(),
        side: quote.side.as_str().to_owned(),
        hold_points: quote.hold.0,
        count_hundredths: quote.count.0,
        worst_price_micros: quote.worst_price.micros(),
        at,
    })
}

impl From<Denial> for StakeRefusal {
    fn from(denial: Denial) -> StakeRefusal {
        StakeRefusal::Denied(denial)
    }
}
