//! A confirmed stake: switch, limits, balance and hold decided in one batch, with the order and its first client
//! order id stored in the same transaction.

use async_trait::async_trait;
use hunch_kernel::{HoldId, MemberId, OrderId, Points, SharedWallClock, WallTime, derived_uuid};
use hunch_ledger::{Action, BatchError, Command, HoldOwner, ShardHandler, request_digest};
use hunch_log::ShardTx;
use hunch_messages::{Message, StakeHeld};
use hunch_safeguards::{Charges, Denial, HouseLimits, StakePermit};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
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
    pub wall: SharedWallClock,
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
        let members: Vec<MemberId> = requests.iter().map(|r| r.quote.member).collect();
        // Read once: what a permit is judged at is what its order tells, also when the clock is set in between.
        let wall = self.wall.now();
        let mut judge = Judge {
            now: tx.now(),
            staking: store::staking_is_on(tx.conn()).await?,
            stored: orders(tx, &ids).await?,
            passed: HashSet::new(),
            available: hunch_ledger::available(tx.conn(), &members).await?,
            charges: Charges::load(tx, &members, self.house, wall).await?,
        };
        let judged = requests.iter().map(|request| judge.judge(request)).collect::<Result<Vec<Judged>, _>>()?;
        judge.charges.write(tx).await?;
        let passed: Vec<&StakeRequest> = requests
            .iter()
            .zip(&judged)
            .filter(|(_, j)| matches!(j, Judged::Passed))
            .map(|(request, _)| request)
            .collect();
        let placed = place(tx, &passed, wall).await?;
        let answer = |(request, judged): (&StakeRequest, Judged)| {
            let order = |first| match judge.stored.get(&request.order).or_else(|| placed.get(&request.order)) {
                Some(order) => Ok(Ok(StakeAnswer { order: order.clone(), first })),
                None => Err(BatchError::Handler(format!("order {} was not stored", request.order))),
            };
            match judged {
                Judged::Passed => order(true),
                Judged::Repeated => order(false),
                Judged::Refused(refusal) => Ok(Err(refusal)),
            }
        };
        requests.iter().zip(judged).map(answer).collect()
    }
}

/// What is known before any of a batch's stakes is placed; each that passes leaves less for those after it.
struct Judge {
    now: Timestamp,
    /// The switch for everybody.
    staking: bool,
    stored: HashMap<OrderId, Order>,
    passed: HashSet<OrderId>,
    available: HashMap<MemberId, Points>,
    charges: Charges,
}

enum Judged {
    Passed,
    /// An earlier batch placed it, or it passed in this one already.
    Repeated,
    Refused(StakeRefusal),
}

impl Judge {
    fn judge(&mut self, request: &StakeRequest) -> Result<Judged, BatchError> {
        let (quote, order) = (&request.quote, request.order);
        if self.stored.contains_key(&order) || self.passed.contains(&order) {
            return Ok(Judged::Repeated);
        }
        let available = self.available.entry(quote.member).or_insert(Points::ZERO);
        if !self.staking {
            return Ok(Judged::Refused(StakeRefusal::Paused));
        }
        if quote.expires_at <= self.now {
            return Ok(Judged::Refused(StakeRefusal::QuoteExpired));
        }
        if let Err(denial) = self.charges.allows(order, &request.permit, quote.hold) {
            return Ok(Judged::Refused(StakeRefusal::Denied(denial)));
        }
        if *available < quote.hold {
            let refusal = StakeRefusal::InsufficientPoints { available: *available, needed: quote.hold };
            return Ok(Judged::Refused(refusal));
        }
        let charged = self.charges.charge(order, &request.permit, quote.hold);
        charged.map_err(|denial| BatchError::Handler(denial.to_string()))?;
        *available -= quote.hold;
        self.passed.insert(order);
        Ok(Judged::Passed)
    }
}

/// The stored ones of `ids`.
async fn orders(tx: &mut ShardTx, ids: &[OrderId]) -> Result<HashMap<OrderId, Order>, BatchError> {
    Ok(store::orders(tx.conn(), ids).await?.into_iter().map(|order| (order.id, order)).collect())
}

/// Holds the points of stakes that passed and stores their orders.
async fn place(
    tx: &mut ShardTx,
    passed: &[&StakeRequest],
    wall: WallTime,
) -> Result<HashMap<OrderId, Order>, BatchError> {
    let now = tx.now();
    let commands: Vec<Command> = passed.iter().map(|request| command(request)).collect();
    let outcomes = hunch_ledger::apply(tx, &commands).await?;
    for (request, outcome) in passed.iter().zip(outcomes) {
        // The hold was affordable a moment ago, under the same lock: a refusal would be a mistake of ours.
        let refused = || BatchError::Handler(format!("the hold of order {} was refused", request.order));
        tx.announce_at(outcome.effect().ok_or_else(refused)?.seq, message(request, now));
    }
    let rows: Vec<NewOrderRow> = passed.iter().map(|request| row(request, tx, wall)).collect();
    store::insert_orders(tx.conn(), &rows).await?;
    let markets: Vec<_> = passed.iter().map(|request| request.quote.market.clone()).collect();
    hunch_markets::watch(tx.conn(), &markets).await?;
    let ids: Vec<OrderId> = passed.iter().map(|request| request.order).collect();
    orders(tx, &ids).await
}

fn row(request: &StakeRequest, tx: &ShardTx, wall: WallTime) -> NewOrderRow {
    NewOrderRow {
        order: request.order,
        quote: request.quote.clone(),
        shard: tx.shard(),
        jurisdiction: request.permit.jurisdiction().to_owned(),
        standing_version: request.permit.standing_version(),
        permit_until: request.permit.until(),
        placed_at: tx.now(),
        placed_wall: wall,
        client_order_id: client_order_id(request.order, 1),
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
