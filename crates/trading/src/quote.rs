//! How many contracts a stake buys, what is held for them, and what can come back. Pure.
//!
//! The hold is everything the order can cost at its worst: `count × worst price`, the fee at that price, and a slack
//! for the exchange's rounding. A lower price never costs more: price plus fee grows with the price as long as the
//! fee's factor stays below one.

use hunch_exchange::FeeRule;
use hunch_kernel::{
    Count, Dollars, MarketTicker, MemberId, OrderId, PointRate, Points, Price, QuoteId, Side, derived_uuid,
};
use hunch_markets::Kind;
use jiff::Timestamp;

/// How long a quote stands, in business time.
pub const QUOTE_SECONDS: i64 = 10;
/// The smallest stake.
pub const STAKE_POINTS_MIN: i64 = 10;
/// The largest stake that is a stake and not a mistake.
pub const STAKE_POINTS_MAX: i64 = 1_000_000;
/// How far the price may move between quote and fill.
const SLIPPAGE_MICROS: i64 = 20_000;
const CENT: i64 = 10_000;
/// The exchange rounds each fill's fee up to 0.0001 dollar and gives a cent back as soon as that has cost a cent.
const ROUNDING_SLACK: Dollars = Dollars(CENT);
/// Fees are multiples of 0.0001 dollar.
const FEE_UNIT: i128 = 100;

/// An offer to a member, frozen for ten seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    pub id: QuoteId,
    pub member: MemberId,
    pub market: MarketTicker,
    pub kind: Kind,
    pub side: Side,
    /// What the member wanted to stake at most.
    pub stake: Points,
    pub count: Count,
    /// Of one contract, now.
    pub price: Price,
    /// The most that is paid for one.
    pub worst_price: Price,
    /// Never more than the stake.
    pub hold: Points,
    /// If everything fills and the side wins.
    pub pays: Points,
    pub fee_millionths: i64,
    pub rate: PointRate,
    pub exchange_shard: hunch_exchange::ExchangeShard,
    pub made_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Quote {
    /// The one order that can come of it.
    pub fn order(&self) -> OrderId {
        OrderId(derived_uuid(&[b"order", self.id.0.as_bytes()]))
    }

    /// The fee contained in the hold, in points rounded up.
    pub fn fee_points(&self) -> Points {
        self.rate.points_up(fee_at_most(self.count, self.worst_price, self.fee_millionths))
    }
}

/// What fits into a stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StakeSize {
    pub count: Count,
    pub hold: Points,
    pub pays: Points,
}

/// The fee of one fill of `count` at `price`, rounded up as the exchange does.
pub fn fee_at_most(count: Count, price: Price, fee_millionths: i64) -> Dollars {
    let p = i128::from(price.micros());
    // millionths/10^6 × count/10^2 × p/10^6 × (10^6 − p)/10^6 dollars, in micros.
    let scaled = i128::from(fee_millionths) * i128::from(count.0) * p * (1_000_000 - p);
    let unit = 100_000_000_000_000 * FEE_UNIT;
    Dollars(((scaled.div_euclid(unit) + i128::from(scaled.rem_euclid(unit) != 0)) * FEE_UNIT) as i64)
}

/// The most that is paid for a contract that costs `price` now: two cents more, in whole cents, which every grid has.
pub fn worst_price(price: Price) -> Option<Price> {
    let cents = (price.micros() + SLIPPAGE_MICROS + CENT - 1) / CENT * CENT;
    Price::from_micros(cents.min(1_000_000 - CENT)).ok().filter(|worst| *worst >= price)
}

/// The most contracts that `stake` pays for at `worst`, to 0.01; `None` when it does not buy any.
pub fn size(stake: Points, worst: Price, fee: FeeRule, rate: PointRate) -> Option<StakeSize> {
    let FeeRule::Quadratic { millionths } = fee else { return None };
    let budget = rate.dollars(stake) - ROUNDING_SLACK;
    let p = i128::from(worst.micros());
    let each = p * 1_000_000_000_000 + i128::from(millionths) * p * (1_000_000 - p);
    let first = i128::from(budget.0.max(0)) * 100 * 1_000_000_000_000 / each.max(1);
    let mut count = Count(i64::try_from(first).unwrap_or(0));
    // Roundings up can cost a little more than the exact sum.
    while count > Count::ZERO {
        let hold = rate.points_up(worst.times_up(count) + fee_at_most(count, worst, millionths) + ROUNDING_SLACK);
        if hold <= stake {
            return Some(StakeSize { count, hold, pays: rate.points_down(Price::ONE.times_down(count)) });
        }
        count -= Count(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STANDARD: FeeRule = FeeRule::Quadratic { millionths: 70_000 };

    fn cents(cents: i64) -> Price {
        Price::from_micros(cents * CENT).unwrap()
    }

    #[test]
    fn fees_are_the_exchanges() {
        for (price, count, fee) in [(52, 100, 17_500), (2, 400, 5_500), (97, 100, 2_100)] {
            assert_eq!(fee_at_most(Count(count), cents(price), 70_000), Dollars(fee));
        }
    }

    #[test]
    fn a_stake_of_fifty_points_buys_what_half_a_dollar_buys() {
        let sized = size(Points(50), cents(37), STANDARD, PointRate::STANDARD).unwrap();
        assert_eq!((sized.count, sized.hold, sized.pays), (Count(126), Points(50), Points(126)));
        assert_eq!(size(Points(1), cents(37), STANDARD, PointRate::STANDARD), None);
        assert_eq!(size(Points(50), cents(37), FeeRule::Unsupported, PointRate::STANDARD), None);
        assert_eq!(worst_price(cents(35)), Some(cents(37)));
        assert_eq!(worst_price(cents(99)), Some(cents(99)));
        assert_eq!(worst_price(Price::from_micros(995_000).unwrap()), None, "nothing above 99 cents");
        assert_eq!(worst_price(Price::from_micros(351_000).unwrap()), Some(cents(38)));
    }

    proptest! {
        /// T5: whatever is filled at whatever better prices, in however many pieces the exchange pays back rounding
        /// for, the hold covers it, and the hold is within the stake.
        #[test]
        fn the_hold_covers_every_fill(
            stake in STAKE_POINTS_MIN..20_000,
            worst in 1i64..100,
            better in prop::collection::vec((0i64..99, 1i64..100), 1..20),
            millionths in prop::sample::select(vec![0i64, 35_000, 70_000, 140_000]),
        ) {
            let rate = PointRate::STANDARD;
            let worst = cents(worst);
            let fee = FeeRule::Quadratic { millionths };
            let Some(sized) = size(Points(stake), worst, fee, rate) else { return Ok(()) };
            prop_assert!(sized.hold.0 <= stake && sized.count > Count::ZERO);
            let (mut cost, mut fees, mut exact, mut left) = (Dollars::ZERO, 0i64, 0i128, sized.count);
            for (cheaper, share) in better {
                let part = Count((sized.count.0 * share / 100).min(left.0));
                if part == Count::ZERO { continue }
                left -= part;
                let price = Price::from_micros((worst.micros() - cheaper * CENT).max(CENT)).unwrap();
                cost += price.times_up(part);
                fees += fee_at_most(part, price, millionths).0;
                let p = i128::from(price.micros());
                exact += i128::from(millionths) * i128::from(part.0) * p * (1_000_000 - p);
                // The exchange's accumulator: a cent back as soon as rounding has cost more than one.
                if i128::from(fees) * 100_000_000_000_000 - exact > i128::from(CENT) * 100_000_000_000_000 {
                    fees -= CENT;
                }
            }
            let needed = rate.points_up(cost + Dollars(fees));
            prop_assert!(needed <= sized.hold, "needed {needed}, held {}", sized.hold);
        }
    }
}
