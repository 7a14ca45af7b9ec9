//! Points: whole numbers, never fractions. A point is worth what the frozen rate says it is.

use crate::Dollars;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// A whole number of points. Negative only inside account balances and deltas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Points(pub i64);

impl Points {
    pub const ZERO: Points = Points(0);

    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    pub fn checked_add(self, other: Points) -> Option<Points> {
        self.0.checked_add(other.0).map(Points)
    }

    pub fn checked_sub(self, other: Points) -> Option<Points> {
        self.0.checked_sub(other.0).map(Points)
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Add for Points {
    type Output = Points;
    fn add(self, other: Points) -> Points {
        Points(self.0 + other.0)
    }
}

impl Sub for Points {
    type Output = Points;
    fn sub(self, other: Points) -> Points {
        Points(self.0 - other.0)
    }
}

impl Neg for Points {
    type Output = Points;
    fn neg(self) -> Points {
        Points(-self.0)
    }
}

impl AddAssign for Points {
    fn add_assign(&mut self, other: Points) {
        self.0 += other.0;
    }
}

impl SubAssign for Points {
    fn sub_assign(&mut self, other: Points) {
        self.0 -= other.0;
    }
}

impl Sum for Points {
    fn sum<I: Iterator<Item = Points>>(iter: I) -> Points {
        iter.fold(Points::ZERO, Add::add)
    }
}

/// What one point is worth: `micros` of a dollar a point. Frozen on every order.
/// The default of the programme is 100 points for a dollar, 10,000 micros a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointRate {
    pub id: i32,
    pub micros: i64,
}

impl PointRate {
    /// The programme's first rate: 100 points are one dollar.
    pub const STANDARD: PointRate = PointRate { id: 1, micros: 10_000 };

    pub fn dollars(self, points: Points) -> Dollars {
        Dollars(points.0 * self.micros)
    }

    /// The fewest whole points that cover `dollars`. Used for holds and captures.
    pub fn points_up(self, dollars: Dollars) -> Points {
        Points(dollars.0.div_euclid(self.micros) + i64::from(dollars.0.rem_euclid(self.micros) != 0))
    }

    /// The most whole points that `dollars` cover. Used for payouts.
    pub fn points_down(self, dollars: Dollars) -> Points {
        Points(dollars.0.div_euclid(self.micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Rounding up never covers less, rounding down never more, and both stay within one point.
        #[test]
        fn rounding_stays_within_one_point(micros in 0i64..1_000_000_000_000, rate in 1i64..1_000_000) {
            let rate = PointRate { id: 1, micros: rate };
            let up = rate.points_up(Dollars(micros));
            let down = rate.points_down(Dollars(micros));
            prop_assert!(rate.dollars(up).0 >= micros);
            prop_assert!(rate.dollars(down).0 <= micros);
            prop_assert!((up - down).0 <= 1);
        }
    }
}
