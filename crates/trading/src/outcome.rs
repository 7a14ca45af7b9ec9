//! What became of an order, in one transaction of its member's shard: points captured and released, the position, the
//! hedge book, the dollars, the limits, the message. Whoever says it first counts; repeats get the first answer.

use async_trait::async_trait;
use hunch_exchange::ExchangeShard;
use hunch_kernel::{
    Count, Dollars, HoldId, MarketTicker, OrderId, Points, PositionId, SharedWallClock, Side, derived_uuid, seeded_bug,
};
use hunch_ledger::{Action, BatchError, Command, Outcome, ShardHandler, request_digest};
use hunch_log::ShardTx;
use hunch_messages::{Message, StakeResolved};
use hunch_treasury::{Captured, HedgeBook, HousePart, Transfer};
use std::collections::{BTreeMap, HashMap};

use crate::order::{Order, OrderState};
use crate::store;

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The exchange took it. A count of zero is a kill.
    Taken {
        exchange_order_id: String,
        filled: Count,
        /// Exact, from fills or from the order as the exchange shows it; never from averages.
        cost: Dollars,
        fees: Dollars,
    },
    /// The exchange certainly never took it. The word is stable.
    NotTaken { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRequest {
    pub order: OrderId,
    pub fate: Fate,
}

/// An order that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub order: Order,
    /// False when it was over before.
    pub first: bool,
}

/// The outcomes of one shard transaction.
pub struct OutcomeHandler {
    pub wall: SharedWallClock,
}

/// What a fate means for a member's order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    state: OrderState,
    /// The member's contracts; what goes beyond the order is the house's.
    member_count: Count,
    captured: Points,
    house: HousePart,
    reason: Option<String>,
}

/// T5: the capture is what the member's contracts cost, rounded up, and never more than the hold.
fn judge(order: &Order, fate: &Fate) -> Verdict {
    let (filled, cost, fees) = match fate {
        Fate::NotTaken { reason } => {
            return Verdict {
                state: OrderState::Refused,
                member_count: Count::ZERO,
                captured: Points::ZERO,
                house: HousePart::default(),
                reason: Some(reason.clone()),
            };
        }
        Fate::Taken { filled, cost, fees, .. } => (*filled, *cost, *fees),
    };
    let member_count = filled.min(order.count);
    let beyond = filled - member_count;
    let house_cost = share_up(cost + fees, beyond, filled);
    let own = cost + fees - house_cost;
    let down = seeded_bug("capture-rounds-down");
    let needed = if down { order.rate.points_down(own) } else { order.rate.points_up(own) };
    let captured = needed.min(order.hold);
    let short = (own - order.rate.dollars(captured)).0.max(0);
    Verdict {
        state: match filled {
            Count::ZERO => OrderState::Killed,
            some if some < order.count => OrderState::Partial,
            _ => OrderState::Filled,
        },
        member_count,
        captured,
        house: HousePart { count: beyond, cost: house_cost + Dollars(short) },
        reason: (filled < order.count).then(|| "price_moved".to_owned()),
    }
}

fn share_up(of: Dollars, part: Count, whole: Count) -> Dollars {
    if part == Count::ZERO {
        return Dollars::ZERO;
    }
    let exact = i128::from(of.0) * i128::from(part.0);
    let whole = i128::from(whole.0.max(1));
    Dollars((exact.div_euclid(whole) + i128::from(exact.rem_euclid(whole) != 0)) as i64)
}

/// Stake that did not fill, of the hold: the only thing that gives a limit back (S2).
fn unfilled(order: &Order, member_count: Count) -> Points {
    let left = i128::from((order.count - member_count).0.max(0));
    Points((i128::from(order.hold.0) * left / i128::from(order.count.0.max(1))) as i64)
}

#[async_trait]
impl ShardHandler for OutcomeHandler {
    type Request = OutcomeRequest;
    type Answer = Option<Resolved>;
    const NAME: &'static str = "outcomes";

    /// `None` for an order that does not exist.
    async fn handle(&self, tx: &mut ShardTx, requests: &[OutcomeRequest]) -> Result<Vec<Self::Answer>, BatchError> {
        let (now, wall) = (tx.now(), self.wall.now());
        let ids: Vec<OrderId> = requests.iter().map(|r| r.order).collect();
        let known: HashMap<OrderId, Order> =
            store::lock_orders(tx.conn(), &ids).await?.into_iter().map(|o| (o.id, o)).collect();
        let mut fates: BTreeMap<OrderId, &Fate> = BTreeMap::new();
        for request in requests {
            if known.get(&request.order).is_some_and(|o| !o.state.is_over()) {
                fates.entry(request.order).or_insert(&request.fate);
            }
        }
        let judged: Vec<(&Order, &Fate, Verdict)> =
            fates.iter().filter_map(|(id, fate)| Some((known.get(id)?, *fate, judge(known.get(id)?, fate)))).collect();

        let commands: Vec<Command> = judged.iter().map(|(order, _, verdict)| command(order, verdict)).collect();
        let outcomes = hunch_ledger::apply(tx, &commands).await?;
        let hedges = self.hedge(tx, &judged).await?;
        let mut transfers: Vec<Transfer> = Vec::new();
        let mut refused = Vec::new();
        for (((order, fate, verdict), outcome), before) in judged.iter().zip(outcomes).zip(hedges) {
            let done = match outcome {
                Outcome::Done(done) | Outcome::Repeated(done) => done,
                Outcome::Refused(refusal) => {
                    return Err(BatchError::Handler(format!("the hold of order {} did not end: {refusal}", order.id)));
                }
            };
            tx.announce_at(done.seq, message(order, verdict, now));
            if verdict.captured == Points::ZERO {
                refused.push(order.member);
            }
            store::finish_order(tx.conn(), order, fate, verdict.into(), now, wall).await?;
            let back = unfilled(order, verdict.member_count);
            if back.is_positive() && !seeded_bug("unfilled-not-restored") {
                hunch_safeguards::restore(tx, order.id, back).await?;
            }
            if let Fate::Taken { filled, cost, fees, .. } = fate
                && *filled > Count::ZERO
            {
                store::insert_position(tx.conn(), order, verdict.member_count, verdict.captured, now).await?;
                transfers.push(hunch_treasury::capture(&Captured {
                    order: order.id.0,
                    market: order.market.clone(),
                    exchange_shard: order.exchange_shard,
                    side: order.side,
                    filled: *filled,
                    points: verdict.captured,
                    rate: order.rate,
                    cost: *cost,
                    fees: *fees,
                    before,
                    house: verdict.house,
                }));
            }
        }
        hunch_treasury::post(tx.conn(), &transfers, now).await?;
        hunch_safeguards::note_rejections(tx, &refused).await?;
        let after: HashMap<OrderId, Order> =
            store::orders(tx.conn(), &ids).await?.into_iter().map(|o| (o.id, o)).collect();
        let mut told: Vec<OrderId> = Vec::new();
        Ok(requests
            .iter()
            .map(|request| {
                let first = fates.contains_key(&request.order) && !told.contains(&request.order);
                told.push(request.order);
                Some(Resolved { order: after.get(&request.order)?.clone(), first })
            })
            .collect())
    }
}

impl OutcomeHandler {
    /// Adds what was bought to the hedge book and gives the book as it was before each. Markets are taken in one
    /// order, so two shards never wait for each other in a circle.
    async fn hedge(
        &self,
        tx: &mut ShardTx,
        judged: &[(&Order, &Fate, Verdict)],
    ) -> Result<Vec<HedgeBook>, sqlx::Error> {
        let mut places: Vec<usize> = (0..judged.len()).collect();
        places.sort_by(|a, b| judged[*a].0.market.cmp(&judged[*b].0.market));
        let mut before = vec![HedgeBook::default(); judged.len()];
        for n in places {
            let (order, fate, verdict) = &judged[n];
            if let Fate::Taken { filled, .. } = fate
                && *filled > Count::ZERO
            {
                let bought = Bought {
                    market: &order.market,
                    exchange_shard: order.exchange_shard,
                    side: order.side,
                    count: *filled,
                    house: verdict.house.count,
                };
                before[n] = store::add_to_hedge(tx.conn(), &bought).await?;
            }
        }
        Ok(before)
    }
}

/// What one order adds to the hedge book.
pub(crate) struct Bought<'a> {
    pub market: &'a MarketTicker,
    pub exchange_shard: ExchangeShard,
    pub side: Side,
    pub count: Count,
    /// Of `count`, the house's.
    pub house: Count,
}

/// What is written to the order's row.
pub(crate) struct Ending {
    pub state: OrderState,
    pub captured: Points,
    pub reason: Option<String>,
}

impl From<&Verdict> for Ending {
    fn from(v: &Verdict) -> Ending {
        Ending { state: v.state, captured: v.captured, reason: v.reason.clone() }
    }
}

fn command(order: &Order, verdict: &Verdict) -> Command {
    Command {
        key: derived_uuid(&[b"close", order.id.0.as_bytes()]),
        request: request_digest(&[&verdict.captured.0.to_be_bytes()]),
        member: order.member,
        action: Action::CloseHold { hold: HoldId(order.id.0), capture: verdict.captured },
    }
}

fn message(order: &Order, verdict: &Verdict, at: jiff::Timestamp) -> Message {
    Message::StakeResolved(StakeResolved {
        v: 1,
        order: order.id.0,
        member: order.member.0,
        market: order.market.0.clone(),
        category: order.category.clone(),
        side: order.side.as_str().to_owned(),
        outcome: verdict.state.as_str().to_owned(),
        filled_hundredths: verdict.member_count.0,
        captured_points: verdict.captured.0,
        released_points: (order.hold - verdict.captured).0,
        reason: verdict.reason.clone(),
        at,
    })
}

/// The position that belongs to an order for ever.
pub(crate) fn position_id(order: OrderId) -> PositionId {
    PositionId(derived_uuid(&[b"position", order.0.as_bytes()]))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use hunch_kernel::{MemberId, PointRate, Price, QuoteId, Shard, WallTime};
    use uuid::Uuid;

    /// At 0.35 at the worst.
    pub(crate) fn order(count: i64, hold: i64) -> Order {
        let price = Price::from_micros(350_000).unwrap();
        let at = "2026-11-23T17:00:00Z".parse().unwrap();
        let wall = WallTime::from_timestamp(at);
        Order {
            id: OrderId(Uuid::from_u128(1)),
            quote: QuoteId(Uuid::from_u128(2)),
            member: MemberId(Uuid::from_u128(3)),
            shard: Shard(0),
            market: "KXTEST-A".into(),
            category: "sports".into(),
            side: Side::Yes,
            count: Count(count),
            price,
            worst_price: price,
            hold: Points(hold),
            rate: PointRate::STANDARD,
            exchange_shard: ExchangeShard(0),
            standing_version: 1,
            permit_until: wall,
            quote_until: at,
            placed_at: at,
            placed_wall: wall,
            state: OrderState::Accepted,
            attempt: 1,
            client_order_id: Uuid::from_u128(4),
            sent_at: Some(at),
            sent_wall: Some(wall),
            looks: 0,
            exchange_order_id: None,
            filled: Count::ZERO,
            cost: Dollars::ZERO,
            fees: Dollars::ZERO,
            captured: Points::ZERO,
            released: Points::ZERO,
            reason: None,
            doubt: None,
            resolved_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::order;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the exchange reports: nobody pays more than the hold, the house pays the rest, and exactly the
        /// unfilled share of the stake goes back to the limits.
        #[test]
        fn nobody_pays_more_than_the_hold(count in 1i64..10_000, hold in 1i64..10_000, filled in 0i64..12_000, cost in 0i64..200_000_000, fees in 0i64..1_000_000) {
            let o = order(count, hold);
            let fate = Fate::Taken { exchange_order_id: "x".into(), filled: Count(filled), cost: Dollars(cost), fees: Dollars(fees) };
            let v = judge(&o, &fate);
            prop_assert!(v.captured.0 >= 0 && v.captured <= o.hold);
            prop_assert!(v.member_count <= o.count);
            prop_assert!(v.house.cost.0 >= 0 && v.house.count.0 >= 0);
            if filled > 0 {
                let given = o.rate.dollars(v.captured) + v.house.cost;
                prop_assert!(given.0 >= cost + fees, "everything is paid for");
                prop_assert!(given.0 - cost - fees < o.rate.micros + 1, "and nobody pays a point too much");
            }
            let back = unfilled(&o, v.member_count);
            prop_assert!(back.0 >= 0 && back <= o.hold);
            prop_assert_eq!(back == o.hold, v.member_count == Count::ZERO);
        }
    }

    #[test]
    fn a_kill_gives_everything_back_and_says_why() {
        let fate = Fate::Taken {
            exchange_order_id: "x".into(),
            filled: Count::ZERO,
            cost: Dollars::ZERO,
            fees: Dollars::ZERO,
        };
        let v = judge(&order(100, 40), &fate);
        assert_eq!((v.state, v.captured, v.reason.as_deref()), (OrderState::Killed, Points::ZERO, Some("price_moved")));
    }
}
