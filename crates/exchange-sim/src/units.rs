//! The simulator's own fixed-point units. They are kept apart from the kernel's because they are also
//! written to the state file; on the wire both read the same: decimal strings, exact or refused.

use hunch_kernel::{Count, Dollars, MoneyError, Price};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

/// Millionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cash(pub i64);

/// Price of one YES contract in millionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Px(pub i64);

/// Hundredths of a contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Qty(pub i64);

impl Cash {
    pub const ZERO: Cash = Cash(0);

    pub const fn dollars(whole: i64) -> Cash {
        Cash(whole * 1_000_000)
    }

    /// Whole cents, rounded towards minus infinity.
    pub fn cents_down(self) -> i64 {
        self.0.div_euclid(10_000)
    }

    /// Six decimals, as the exchange writes costs and fees.
    pub fn six(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        format!("{sign}{}.{:06}", units / 1_000_000, units % 1_000_000)
    }

    /// Four decimals, what is below them cut off, as the exchange writes balances.
    pub fn four(self) -> String {
        Cash(self.0.div_euclid(100) * 100).to_string()
    }
}

impl Px {
    pub const ONE: Px = Px(1_000_000);

    pub const fn cents(cents: i64) -> Px {
        Px(cents * 10_000)
    }

    pub fn complement(self) -> Px {
        Px(1_000_000 - self.0)
    }

    /// Exact: the finest price step is 100 micros and the finest count a hundredth.
    pub fn times(self, count: Qty) -> Cash {
        Cash((i128::from(self.0) * i128::from(count.0)).div_euclid(100) as i64)
    }
}

impl Qty {
    pub const ZERO: Qty = Qty(0);

    pub const fn whole(contracts: i64) -> Qty {
        Qty(contracts * 100)
    }

    pub fn abs(self) -> Qty {
        Qty(self.0.abs())
    }
}

macro_rules! like_kernel {
    ($($mine:ident, $theirs:ident, $out:expr, $back:expr);*) => {$(
        impl FromStr for $mine {
            type Err = MoneyError;
            fn from_str(text: &str) -> Result<$mine, MoneyError> { text.parse::<$theirs>().map($out) }
        }
        impl fmt::Display for $mine {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { $back(*self).fmt(f) }
        }
    )*};
}
like_kernel!(
    Cash, Dollars, |d: Dollars| Cash(d.0), |c: Cash| Dollars(c.0);
    Px, Price, |p: Price| Px(p.micros()), |p: Px| Dollars(p.0);
    Qty, Count, |c: Count| Qty(c.0), |q: Qty| Count(q.0)
);

macro_rules! arithmetic {
    ($($name:ident),*) => {$(
        impl Add for $name { type Output = $name; fn add(self, o: $name) -> $name { $name(self.0 + o.0) } }
        impl Sub for $name { type Output = $name; fn sub(self, o: $name) -> $name { $name(self.0 - o.0) } }
        impl Neg for $name { type Output = $name; fn neg(self) -> $name { $name(-self.0) } }
        impl AddAssign for $name { fn add_assign(&mut self, o: $name) { self.0 += o.0; } }
        impl SubAssign for $name { fn sub_assign(&mut self, o: $name) { self.0 -= o.0; } }
        impl Sum for $name {
            fn sum<I: Iterator<Item = $name>>(iter: I) -> $name { iter.fold($name(0), Add::add) }
        }
    )*};
}
arithmetic!(Cash, Qty);
