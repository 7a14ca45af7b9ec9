//! How many contracts a stake buys, what is held for them, and what can come back. Pure.
//!
//! The hold is everything the order can cost at its worst: `count × worst price`, the fee at that price, and a slack
//! for the exchange's rounding. A lower price never costs more: price plus fee grows with the price as long as the
//! fee's factor stays below one. What is not spent comes back, so a better price is the member's.
//!
//! No quote is made that cannot win: at its worst price, with everything filled, the right answer pays more than the hold.

use hunch_exchange::{FeeRule, PriceBand};
use hunch_kernel::{
    Count, Dollars, MarketTicker, MemberId, OrderId, PointRate, Points, Price, QuoteId, Side, derived_uuid,
};
use hunch_markets::Kind;
use jiff::Timestamp;

use crate::tolerance::worst_price;

/// How long a quote stands, in business time.
pub const QUOTE_SECONDS: i64 = 10;
/// The smallest stake.
pub const STAKE_POINTS_MIN: i64 = 10;
/// The largest stake that is a stake and not a mistake.
pub const STAKE_POINTS_MAX: i64 = 1_000_000;
/// The exchange rounds each fill's fee up to 0.0001 dollar and gives a cent back as soon as that has cost a cent.
const ROUNDING_SLACK: Dollars = Dollars(10_000);
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
    /// If everything fills and the side wins. Always more than the hold.
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

    /// The fee's share of the hold, in tenths of a percent rounded up.
    pub fn fee_tenths_percent(&self) -> i64 {
        let fee = i128::from(fee_at_most(self.count, self.worst_price, self.fee_millionths).0);
        let hold = i128::from(self.rate.dollars(self.hold).0.max(1));
        (fee * 1_000 / hold + i128::from(fee * 1_000 % hold != 0)) as i64
    }

    /// What it costs if the price is what it is now and everything fills; the rest of the hold comes back then.
    pub fn cost(&self) -> Points {
        let cost = self.price.times_up(self.count) + fee_at_most(self.count, self.price, self.fee_millionths);
        self.rate.points_up(cost).min(self.hold)
    }
}

/// The terms on which a side is sold just now.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub side: Side,
    /// What one contract of the side costs now.
    pub price: Price,
    /// The prices that the exchange takes, of YES.
    pub bands: &'a [PriceBand],
    pub fee: FeeRule,
    pub rate: PointRate,
}

/// What fits into a stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StakeSize {
    pub count: Count,
    pub worst_price: Price,
    pub hold: Points,
    pub pays: Points,
}

impl StakeSize {
    fn wins(&self) -> bool {
        self.pays > self.hold
    }
}

impl Terms<'_> {
    /// The most contracts that `stake` pays for and that win: the right answer pays more than they cost at the worst. The
    /// price gets room to move unless that room would eat all there is to win. `None`: this stake cannot win.
    pub fn size(&self, stake: Points) -> Option<StakeSize> {
        let FeeRule::Quadratic { millionths } = self.fee else { return None };
        self.worst_prices().into_iter().find_map(|worst| size(stake, worst, millionths, self.rate))
    }

    /// The smallest stake that can win, if any can.
    pub fn smallest_winning(&self) -> Option<Points> {
        let FeeRule::Quadratic { millionths } = self.fee else { return None };
        let each = self.worst_prices().into_iter().filter_map(|worst| least_winning(worst, millionths, self.rate));
        each.min().filter(|least| least.0 <= STAKE_POINTS_MAX).map(|least| least.max(Points(STAKE_POINTS_MIN)))
    }

    /// With the whole tolerance, and with none.
    fn worst_prices(&self) -> [Price; 2] {
        [worst_price(self.price, self.side, self.bands), self.price]
    }
}

/// The fee of one fill of `count` at `price`, rounded up as the exchange does.
pub fn fee_at_most(count: Count, price: Price, fee_millionths: i64) -> Dollars {
    let p = i128::from(price.micros());
    // millionths/10^6 × count/10^2 × p/10^6 × (10^6 − p)/10^6 dollars, in micros.
    let scaled = i128::from(fee_millionths) * i128::from(count.0) * p * (1_000_000 - p);
    let unit = 100_000_000_000_000 * FEE_UNIT;
    Dollars(((scaled.div_euclid(unit) + i128::from(scaled.rem_euclid(unit) != 0)) * FEE_UNIT) as i64)
}

/// What `count` contracts cost at the worst, and what they pay if the side wins.
fn weighed(count: Count, worst_price: Price, millionths: i64, rate: PointRate) -> StakeSize {
    let most = worst_price.times_up(count) + fee_at_most(count, worst_price, millionths) + ROUNDING_SLACK;
    let pays = rate.points_down(Price::ONE.times_down(count));
    StakeSize { count, worst_price, hold: rate.points_up(most), pays }
}

/// One contract with its fee, in 10^-18 dollars.
fn each(worst_price: Price, millionths: i64) -> i128 {
    let p = i128::from(worst_price.micros());
    p * 1_000_000_000_000 + i128::from(millionths) * p * (1_000_000 - p)
}

/// The most contracts that `stake` pays for at `worst` and that win, to 0.01. Roundings up can cost a little more than the
/// exact sum, and can make the last hundredth of a contract cost a point that it does not bring.
fn size(stake: Points, worst: Price, millionths: i64, rate: PointRate) -> Option<StakeSize> {
    let budget = rate.dollars(stake) - ROUNDING_SLACK;
    let most = i128::from(budget.0.max(0)) * 100 * 1_000_000_000_000 / each(worst, millionths).max(1);
    let (least, most) = (not_before(worst, millionths, rate)?, i64::try_from(most).ok()?);
    let mut counts = (least..=most).rev().map(|count| weighed(Count(count), worst, millionths, rate));
    counts.find(|sized| sized.hold <= stake && sized.wins())
}

/// The hold of the fewest contracts that win. More contracts are held by no less, so no smaller stake wins.
fn least_winning(worst: Price, millionths: i64, rate: PointRate) -> Option<Points> {
    let from = not_before(worst, millionths, rate)?;
    let mut counts = (from..).map(|count| weighed(Count(count), worst, millionths, rate));
    counts.find(|sized| sized.wins() || sized.hold.0 > STAKE_POINTS_MAX).filter(StakeSize::wins).map(|sized| sized.hold)
}

/// Fewer contracts (in hundredths) than this win nothing: they have not gained the slack and a point. `None` when the fee
/// eats every gain.
fn not_before(worst: Price, millionths: i64, rate: PointRate) -> Option<i64> {
    let gain = 1_000_000_000_000_000_000 - each(worst, millionths);
    let needed = i128::from(ROUNDING_SLACK.0 + rate.micros) * 100 * 1_000_000_000_000;
    (gain > 0).then(|| i64::try_from(needed / gain).unwrap_or(i64::MAX).max(1))
}

/// A price as points, without superfluous zeros: 35, 35.1.
pub fn points_text(price: Price, rate: PointRate) -> String {
    let hundredths = price.micros() * 100 / rate.micros;
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STANDARD: FeeRule = FeeRule::Quadratic { millionths: 70_000 };
    const CENT: i64 = 10_000;

    fn cents(cents: i64) -> Price {
        Price::from_micros(cents * CENT).unwrap()
    }

    fn grid(step: i64) -> Vec<PriceBand> {
        let price = |micros| Price::from_micros(micros).unwrap();
        vec![PriceBand { start: Price::ZERO, end: Price::ONE, step: price(step) }]
    }

    /// On the side of YES at a price in tenths of a cent.
    fn terms(tenths: i64, bands: &[PriceBand]) -> Terms<'_> {
        let price = Price::from_micros(tenths * 1_000).unwrap();
        Terms { side: Side::Yes, price, bands, fee: STANDARD, rate: PointRate::STANDARD }
    }

    #[test]
    fn fees_are_the_exchanges() {
        for (price, count, fee) in [(52, 100, 17_500), (2, 400, 5_500), (97, 100, 2_100)] {
            assert_eq!(fee_at_most(Count(count), cents(price), 70_000), Dollars(fee));
        }
    }

    #[test]
    fn a_stake_of_fifty_points_buys_what_half_a_dollar_buys() {
        let linear = grid(CENT);
        let sized = terms(350, &linear).size(Points(50)).unwrap();
        assert_eq!((sized.count, sized.worst_price, sized.hold), (Count(126), cents(37), Points(50)));
        assert_eq!(sized.pays, Points(126));
        assert_eq!(terms(350, &linear).size(Points(1)), None);
        assert_eq!(Terms { fee: FeeRule::Unsupported, ..terms(350, &linear) }.size(Points(50)), None);
    }

    /// (price in tenths of a cent, tick in micros, stake) and what comes of it: (worst price in micros, contracts in
    /// hundredths, hold, pays), or the smallest stake that can win.
    #[test]
    fn what_a_stake_buys() {
        type Sized = (i64, i64, i64, i64);
        type Bought = Result<Sized, Option<i64>>;
        let table: &[(i64, i64, i64, Bought)] = &[
            (480, CENT, 100, Ok((500_000, 191, 100, 191))),
            (350, CENT, 10, Ok((370_000, 23, 10, 23))),
            // Cheap contracts in a deep book take the whole stake: 0.3 stays 0.3.
            (3, 1_000, 100, Ok((3_000, 30_846, 100, 30_846))),
            // Room to move would leave nothing to win, so there is none.
            (800, CENT, 10, Ok((800_000, 11, 10, 11))),
            // Dear contracts pay no more than they cost until there are enough of them to earn the rounding back.
            (900, CENT, 10, Err(Some(21))),
            (950, CENT, 10, Err(Some(42))),
            (950, CENT, 100, Ok((950_000, 103, 100, 103))),
            (990, CENT, 100, Err(Some(214))),
            (999, 1_000, 1_000, Err(Some(2_159))),
        ];
        for (tenths, tick, stake, expected) in table {
            let bands = grid(*tick);
            let terms = terms(*tenths, &bands);
            let found = terms.size(Points(*stake)).map(|s| (s.worst_price.micros(), s.count.0, s.hold.0, s.pays.0));
            let found = found.ok_or_else(|| terms.smallest_winning().map(|points| points.0));
            assert_eq!(found, *expected, "{stake} points at {tenths} tenths of a cent");
        }
    }

    #[test]
    fn a_fee_that_eats_every_gain_leaves_no_winning_stake() {
        let linear = grid(CENT);
        let dear = Terms { fee: FeeRule::Quadratic { millionths: 1_100_000 }, ..terms(950, &linear) };
        assert_eq!((dear.size(Points(1_000)), dear.smallest_winning()), (None, None));
    }

    #[test]
    fn prices_read_like_points() {
        for (micros, text) in [(350_000, "35"), (351_000, "35.1"), (10_000, "1"), (500, "0.05"), (1_000_000, "100")] {
            assert_eq!(points_text(Price::from_micros(micros).unwrap(), PointRate::STANDARD), text);
        }
    }

    proptest! {
        /// No quote loses when the side wins; who is refused is told the smallest stake that is not, if there is one.
        #[test]
        fn a_quote_can_win_and_a_refusal_says_from_when_on(
            tenths in 1i64..1_000,
            deci in any::<bool>(),
            yes in any::<bool>(),
            stake in STAKE_POINTS_MIN..3_000,
            millionths in prop::sample::select(vec![0i64, 35_000, 70_000, 140_000]),
            micros in prop::sample::select(vec![10_000i64, 5_000, 2_500, 40_000]),
        ) {
            let bands = grid(if deci { 1_000 } else { CENT });
            prop_assume!(deci || tenths % 10 == 0);
            let side = if yes { Side::Yes } else { Side::No };
            let fee = FeeRule::Quadratic { millionths };
            let terms = Terms { side, fee, rate: PointRate { id: 2, micros }, ..terms(tenths, &bands) };
            let (sized, least) = (terms.size(Points(stake)), terms.smallest_winning());
            prop_assert_eq!(sized.is_some(), least.is_some_and(|least| least <= Points(stake)), "{:?}", least);
            if let Some(sized) = sized {
                prop_assert!(sized.pays > sized.hold && sized.hold <= Points(stake));
            }
            if let Some(least) = least {
                prop_assert!(terms.size(least).is_some());
                prop_assert!(least.0 == STAKE_POINTS_MIN || terms.size(least - Points(1)).is_none());
            }
        }

        /// Where the book is deep enough, a stake is spent nearly whole: the tolerance holds back a tenth at most.
        #[test]
        fn a_deep_book_takes_the_stake(tenths in 1i64..1_000, deci in any::<bool>(), stake in 100i64..5_000) {
            let bands = grid(if deci { 1_000 } else { CENT });
            prop_assume!(deci || tenths % 10 == 0);
            let terms = terms(tenths, &bands);
            let Some(sized) = terms.size(Points(stake)) else { return Ok(()) };
            let cost = terms.price.times_up(sized.count) + fee_at_most(sized.count, terms.price, 70_000);
            prop_assert!(terms.rate.points_up(cost).0 * 100 >= stake * 85, "{cost} of {stake}");
        }

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
            let Some(sized) = size(Points(stake), worst, millionths, rate) else { return Ok(()) };
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
