//! What is booked when: pure, from amounts to entries.

use hunch_exchange::ExchangeShard;
use hunch_kernel::{Count, Dollars, MarketTicker, PointRate, Points, Price, Side, derived_uuid, seeded_bug};
use uuid::Uuid;

use crate::{Account, EntryKind, Transfer};

/// All contracts ever bought in one market. One account holds them at the exchange, so opposite ones cancel out in
/// pairs, and each pair brings a dollar back at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HedgeBook {
    pub yes: Count,
    pub no: Count,
}

impl HedgeBook {
    pub fn bought(self, side: Side, count: Count) -> HedgeBook {
        match side {
            Side::Yes => HedgeBook { yes: self.yes + count, ..self },
            Side::No => HedgeBook { no: self.no + count, ..self },
        }
    }

    /// Pairs so far. Only buying ever happens, so their number does not depend on the order of the fills.
    pub fn pairs(self) -> Count {
        self.yes.min(self.no)
    }

    /// What the exchange shows: positive YES, negative NO.
    pub fn net(self) -> Count {
        self.yes - self.no
    }
}

/// A filled order: what the member's points gave, and what was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    pub order: Uuid,
    pub market: MarketTicker,
    pub exchange_shard: ExchangeShard,
    pub side: Side,
    pub filled: Count,
    pub points: Points,
    pub rate: PointRate,
    /// For all filled contracts, without fees.
    pub cost: Dollars,
    pub fees: Dollars,
    pub before: HedgeBook,
    pub house: HousePart,
}

/// What of an order the member's hold did not cover: the house pays it and owns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HousePart {
    pub count: Count,
    /// Of cost and fees together.
    pub cost: Dollars,
}

/// The entries of a filled order.
pub fn capture(c: &Captured) -> Transfer {
    use Account::{CommunityPot, ExchangeCash, House, Market, Points as PointsAccount};
    let mut t = Transfer::new(derived_uuid(&[b"capture", c.order.as_bytes()]), c.exchange_shard, Some(&c.market));
    t.conversion = Some(c.order);
    let given = c.rate.dollars(c.points);
    t.add(PointsAccount, Market, given, EntryKind::Captured);
    t.add(Market, ExchangeCash, c.cost, EntryKind::Bought);
    if !seeded_bug("fee-not-booked") {
        t.add(Market, ExchangeCash, c.fees, EntryKind::Fee);
    }
    t.add(House, Market, c.house.cost, EntryKind::HouseBought);
    t.add(Market, CommunityPot, given + c.house.cost - c.cost - c.fees, EntryKind::CaptureRounding);
    let pairs = c.before.bought(c.side, c.filled).pairs() - c.before.pairs();
    t.add(ExchangeCash, Market, Price::ONE.times_down(pairs), EntryKind::Paired);
    t
}

/// One chunk of a market's payouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payouts {
    /// Derived from what is paid.
    pub chunk: Uuid,
    pub market: MarketTicker,
    pub exchange_shard: ExchangeShard,
    /// What the contracts are worth.
    pub gross: Dollars,
    /// The points paid, as dollars at each order's own rate.
    pub paid: Dollars,
}

/// The entries of a chunk of payouts. What the points do not reach goes to the pot.
pub fn payouts(p: &Payouts) -> Transfer {
    let mut t = Transfer::new(derived_uuid(&[b"payouts", p.chunk.as_bytes()]), p.exchange_shard, Some(&p.market));
    t.conversion = Some(p.chunk);
    t.add(Account::Market, Account::Points, p.paid, EntryKind::PaidOut);
    t.add(Account::Market, Account::CommunityPot, p.gross - p.paid, EntryKind::PayoutRounding);
    t
}

/// The exchange paid a market: `revenue` on our net position, which is worth `exact`; `house` is the worth of the
/// contracts that are the house's.
pub fn revenue(
    market: &MarketTicker,
    exchange_shard: ExchangeShard,
    revenue: Dollars,
    exact: Dollars,
    house: Dollars,
) -> Transfer {
    let id = derived_uuid(&[b"revenue", market.as_str().as_bytes()]);
    let mut t = Transfer::new(id, exchange_shard, Some(market));
    t.add(Account::ExchangeCash, Account::Market, revenue, EntryKind::Revenue);
    t.add(Account::SettlementRounding, Account::Market, exact - revenue, EntryKind::RevenueRounding);
    t.add(Account::Market, Account::House, house, EntryKind::HousePaid);
    t
}

/// A corrected position: what was paid is taken back as far as it is there; the right payout is a chunk of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    pub correction: Uuid,
    pub position: Uuid,
    pub market: MarketTicker,
    pub exchange_shard: ExchangeShard,
    /// What the wrong payout was worth, roundings included, and what the right one is worth.
    pub gross: Dollars,
    pub right: Dollars,
    /// Points taken back, and points that could not be, as dollars.
    pub taken: Dollars,
    pub lost: Dollars,
}

/// The entries of a reversal. The market gets back what the payout had cost it; what the member no longer has is lost.
pub fn reversal(r: &Reversal) -> Transfer {
    let id = derived_uuid(&[b"reversal", r.correction.as_bytes(), r.position.as_bytes()]);
    let mut t = Transfer::new(id, r.exchange_shard, Some(&r.market));
    t.conversion = Some(r.position);
    t.add(Account::Points, Account::Market, r.taken, EntryKind::Reversed);
    t.add(Account::CorrectionLoss, Account::Market, r.lost, EntryKind::CorrectionLost);
    t.add(Account::CommunityPot, Account::Market, r.gross - r.taken - r.lost, EntryKind::PayoutRounding);
    // The exchange does not change what it paid: the difference is ours.
    t.add(Account::CorrectionLoss, Account::Market, r.right - r.gross, EntryKind::CorrectionLost);
    t
}

/// The operator's money arrives on a shard of the exchange. `cause` names it for ever.
pub fn fund(cause: &str, exchange_shard: ExchangeShard, amount: Dollars) -> Transfer {
    let mut t = Transfer::new(derived_uuid(&[b"fund", cause.as_bytes()]), exchange_shard, None);
    t.add(Account::ExchangeCash, Account::Funding, amount, EntryKind::Funded);
    t
}

/// A loss account is made whole from the reserve. `cause` names it for ever.
pub fn reserve(cause: &str, loss: Account, amount: Dollars) -> Transfer {
    let mut t = Transfer::new(derived_uuid(&[b"cover", cause.as_bytes()]), ExchangeShard(0), None);
    t.add(Account::Reserve, loss, amount, EntryKind::LossCovered);
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn total(transfers: &[Transfer], account: Account) -> Dollars {
        transfers.iter().map(|t| t.change(account)).sum()
    }

    fn market() -> MarketTicker {
        "KXTEST-A".into()
    }

    proptest! {
        /// U1 to U3 over whole lives of a market: stakes on both sides at any prices, a result of any kind, an
        /// exchange that pays floored cents on the net, house parts.
        #[test]
        fn a_market_that_is_over_leaves_nothing(
            stakes in prop::collection::vec((any::<bool>(), 1i64..5_000, 1i64..99, 0i64..3, 0i64..200_000), 0..40),
            value_cents in 0i64..=100,
            value_fine in 0i64..10_000,
        ) {
            let shard = ExchangeShard(0);
            let rate = PointRate::STANDARD;
            let value = Price::from_micros((value_cents * 10_000 + value_fine).min(1_000_000)).unwrap();
            let mut transfers = vec![fund("first", shard, Dollars(1_000_000_000_000))];
            let (mut hedge, mut positions, mut house) = (HedgeBook::default(), Vec::new(), Dollars::ZERO);
            let mut cash = Dollars(1_000_000_000_000);
            for (n, (yes, hundredths, cents, house_hundredths, fee)) in stakes.into_iter().enumerate() {
                let side = if yes { Side::Yes } else { Side::No };
                let filled = Count(hundredths + house_hundredths);
                let price = Price::from_micros(cents * 10_000).unwrap();
                let cost = price.times_up(filled);
                let house_cost = price.times_up(Count(house_hundredths));
                let points = rate.points_up(cost + Dollars(fee) - house_cost);
                let c = Captured {
                    order: Uuid::from_u128(n as u128), market: market(), exchange_shard: shard, side, filled, points, rate,
                    cost, fees: Dollars(fee), before: hedge,
                    house: HousePart { count: Count(house_hundredths), cost: house_cost },
                };
                let pairs_before = hedge.pairs();
                hedge = hedge.bought(side, filled);
                cash = cash - cost - Dollars(fee) + Price::ONE.times_down(hedge.pairs() - pairs_before);
                transfers.push(capture(&c));
                positions.push((side, Count(hundredths)));
                house += value.of(side).times_down(Count(house_hundredths));
                prop_assert!(total(&transfers, Account::CommunityPot).0 <= 0, "the pot only gets");
            }
            // The exchange pays the net, floored to cents.
            let net = hedge.net();
            let exact = if net.0 >= 0 { value.times_down(net) } else { value.complement().times_down(-net) };
            let paid_by_exchange = Dollars::from_cents(exact.0 / 10_000);
            cash += paid_by_exchange;
            transfers.push(revenue(&market(), shard, paid_by_exchange, exact, house));
            // Members are paid from our book, in chunks.
            for (n, chunk) in positions.chunks(7).enumerate() {
                let gross: Dollars = chunk.iter().map(|(side, count)| value.of(*side).times_down(*count)).sum();
                let paid: Dollars = chunk.iter().map(|(side, count)| rate.dollars(rate.points_down(value.of(*side).times_down(*count)))).sum();
                let chunk = Uuid::from_u128(n as u128);
                transfers.push(payouts(&Payouts { chunk, market: market(), exchange_shard: shard, gross, paid }));
            }
            let sum: Dollars = Account::ALL.iter().map(|a| total(&transfers, *a)).sum();
            prop_assert_eq!(sum, Dollars::ZERO, "U1");
            prop_assert_eq!(total(&transfers, Account::ExchangeCash), cash, "U2");
            // U3: what is left are fractions of a micro, one for each time something was multiplied.
            let left = total(&transfers, Account::Market).0;
            prop_assert!(left.abs() <= 2 * 40 + 2, "U3: {left}");
            let mut by_id: BTreeMap<Uuid, usize> = BTreeMap::new();
            transfers.iter().for_each(|t| *by_id.entry(t.id).or_default() += 1);
            prop_assert!(by_id.values().all(|n| *n == 1), "each cause has its own id");
        }

        /// A corrected position costs the market what the right result says, whoever can pay it back.
        #[test]
        fn a_correction_is_booked_whole(wrong in 0i64..100, right in 0i64..100, count in 1i64..10_000, had in 0i64..2_000) {
            let rate = PointRate::STANDARD;
            let shard = ExchangeShard(0);
            let gross = |cents: i64| Price::from_micros(cents * 10_000).unwrap().times_down(Count(count));
            let paid = rate.points_down(gross(wrong));
            let taken = Points(paid.0.min(had));
            let first = payouts(&Payouts { chunk: Uuid::from_u128(1), market: market(), exchange_shard: shard, gross: gross(wrong), paid: rate.dollars(paid) });
            let back = reversal(&Reversal {
                correction: Uuid::from_u128(9), position: Uuid::from_u128(1), market: market(), exchange_shard: shard,
                gross: gross(wrong), right: gross(right), taken: rate.dollars(taken), lost: rate.dollars(paid - taken),
            });
            let again = payouts(&Payouts { chunk: Uuid::from_u128(2), market: market(), exchange_shard: shard, gross: gross(right), paid: rate.dollars(rate.points_down(gross(right))) });
            let all = [first, back, again];
            prop_assert_eq!(total(&all, Account::Market), gross(wrong), "what the exchange paid for");
            prop_assert_eq!(total(&all, Account::CorrectionLoss), rate.dollars(paid - taken) + gross(right) - gross(wrong));
        }
    }
}
