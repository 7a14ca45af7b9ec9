//! Trading fees: quadratic in the price, rounded up to 0.0001 dollar a fill, with the order's
//! accumulator that gives a cent back once rounding has cost more than a cent.

use crate::units::{Cash, Px, Qty};
use serde::{Deserialize, Serialize};

const UNIT: i128 = 100; // micros: 0.0001 dollar
const CENT: i128 = 10_000; // micros

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeType {
    Quadratic,
    QuadraticWithMakerFees,
}

/// What a series charges. The multiplier is in thousandths, so 1000 is once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeSchedule {
    pub fee_type: FeeType,
    pub multiplier_thousandths: i64,
}

impl FeeSchedule {
    pub const STANDARD: FeeSchedule = FeeSchedule { fee_type: FeeType::Quadratic, multiplier_thousandths: 1000 };

    /// Ten-thousandths of a dollar a contract at P(1-P) = 1: 0.07 for takers, 0 or 0.0175 for makers.
    fn rate(self, taker: bool) -> i128 {
        match (taker, self.fee_type) {
            (true, _) => 700,
            (false, FeeType::Quadratic) => 0,
            (false, FeeType::QuadraticWithMakerFees) => 175,
        }
    }

    /// Fee of one fill. `excess` is the order's accumulator, in units of 10^-12 dollar.
    pub fn fee(self, taker: bool, price: Px, count: Qty, excess: &mut i64) -> Cash {
        let (exact, rounded) = self.exact_and_rounded(taker, price, count);
        let mut fee = rounded;
        let mut over = i128::from(*excess) + rounded * 1_000_000 - exact;
        if over > CENT * 1_000_000 && fee >= CENT {
            fee -= CENT;
            over -= CENT * 1_000_000;
        }
        *excess = over as i64;
        Cash(fee as i64)
    }

    /// The fee of a fill without any accumulator: an upper bound of what one fill costs.
    pub fn at_most(self, taker: bool, price: Px, count: Qty) -> Cash {
        Cash(self.exact_and_rounded(taker, price, count).1 as i64)
    }

    /// In 10^-12 dollars, and in micros rounded up to 0.0001 dollar.
    fn exact_and_rounded(self, taker: bool, price: Px, count: Qty) -> (i128, i128) {
        let p = i128::from(price.0);
        // rate/10^4 × multiplier/10^3 × count/10^2 × p/10^6 × (10^6-p)/10^6 dollars, times 10^12.
        let scaled =
            self.rate(taker) * i128::from(self.multiplier_thousandths) * i128::from(count.0) * p * (1_000_000 - p);
        let unit = 1_000_000_000; // 10^(4+3+2)
        let exact = ceil_div(scaled, unit);
        (exact, ceil_div(scaled, unit * 1_000_000 * UNIT) * UNIT)
    }
}

fn ceil_div(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real fills as published: 1 @ 0.52, 4 NO @ 0.98, 1 @ 0.97, and 11.62 + 0.38 @ 0.35.
    #[test]
    fn fees_match_real_fills() {
        let fee = |price: i64, count: i64| FeeSchedule::STANDARD.fee(true, Px::cents(price), Qty(count), &mut 0).0;
        assert_eq!(fee(52, 100), 17_500);
        assert_eq!(fee(2, 400), 5_500);
        assert_eq!(fee(97, 100), 2_100);
        assert_eq!(fee(35, 1162), 185_100);
        assert_eq!(fee(35, 38), 6_100);
    }

    #[test]
    fn rounding_beyond_a_cent_comes_back() {
        let mut excess = 0;
        let total: i64 =
            (0..2_000).map(|_| FeeSchedule::STANDARD.fee(true, Px::cents(50), Qty(1000), &mut excess).0).sum();
        assert_eq!(total, 2_000 * 175_000, "0.175 is exact");
        let mut excess = 0;
        let each: Vec<i64> =
            (0..400).map(|_| FeeSchedule::STANDARD.fee(true, Px::cents(33), Qty(1000), &mut excess).0).collect();
        assert!(each.iter().any(|f| *f < each[0]), "some fill got its cent back");
        assert!(i128::from(excess) <= CENT * 1_000_000 + 100_000_000);
    }
}
