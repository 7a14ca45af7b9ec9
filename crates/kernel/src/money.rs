//! Dollars in micros, prices with up to six decimals, contract counts with two. The exchange's wire
//! carries all three as decimal strings; parsing is exact or refused, never rounded.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

/// Millionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dollars(pub i64);

/// What one YES contract costs, in millionths of a dollar: 0 to 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i64);

/// Contracts in hundredths: the exchange fills 0.28 of a contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(pub i64);

/// Which answer a contract pays on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Yes,
    No,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("{0:?} is not a plain decimal number")]
    NotDecimal(String),
    #[error("{value:?} has more than {decimals} decimals")]
    TooFine { value: String, decimals: u32 },
    #[error("{0:?} is out of range")]
    OutOfRange(String),
}

impl Dollars {
    pub const ZERO: Dollars = Dollars(0);
    pub const ONE: Dollars = Dollars(1_000_000);

    pub fn from_cents(cents: i64) -> Dollars {
        Dollars(cents * 10_000)
    }
}

impl Price {
    pub const ZERO: Price = Price(0);
    pub const ONE: Price = Price(1_000_000);

    /// # Errors
    /// `OutOfRange` unless 0 ≤ `micros` ≤ 1,000,000.
    pub fn from_micros(micros: i64) -> Result<Price, MoneyError> {
        if (0..=1_000_000).contains(&micros) {
            Ok(Price(micros))
        } else {
            Err(MoneyError::OutOfRange(micros.to_string()))
        }
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The price of the other answer: 1 − p.
    pub fn complement(self) -> Price {
        Price(1_000_000 - self.0)
    }

    /// What a holder of `side` pays or receives a contract when YES is worth this much.
    pub fn of(self, side: Side) -> Price {
        match side {
            Side::Yes => self,
            Side::No => self.complement(),
        }
    }

    /// Price times count, rounded up to a micro: what a buyer must be able to pay.
    pub fn times_up(self, count: Count) -> Dollars {
        let exact = i128::from(self.0) * i128::from(count.0);
        Dollars((exact.div_euclid(100) + i128::from(exact.rem_euclid(100) != 0)) as i64)
    }

    /// Price times count, rounded down to a micro: what a holder may be paid.
    pub fn times_down(self, count: Count) -> Dollars {
        Dollars((i128::from(self.0) * i128::from(count.0)).div_euclid(100) as i64)
    }
}

impl Count {
    pub const ZERO: Count = Count(0);

    pub fn whole(contracts: i64) -> Count {
        Count(contracts * 100)
    }
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Yes => "yes",
            Side::No => "no",
        }
    }

    pub fn other(self) -> Side {
        match self {
            Side::Yes => Side::No,
            Side::No => Side::Yes,
        }
    }
}

impl FromStr for Side {
    type Err = MoneyError;
    fn from_str(s: &str) -> Result<Side, MoneyError> {
        match s {
            "yes" => Ok(Side::Yes),
            "no" => Ok(Side::No),
            other => Err(MoneyError::OutOfRange(other.to_owned())),
        }
    }
}

/// Parses a plain decimal ("12", "0.5600", "-3.5") into units of 10^-decimals, exactly. Trailing
/// zeros beyond the unit are accepted, other digits there are refused.
fn parse_fixed(text: &str, decimals: u32) -> Result<i64, MoneyError> {
    let not = || MoneyError::NotDecimal(text.chars().take(40).collect());
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 18 || !all_digits(whole) || !all_digits(fraction) {
        return Err(not());
    }
    let keep = decimals as usize;
    let (used, rest) = fraction.split_at(fraction.len().min(keep));
    if rest.bytes().any(|b| b != b'0') {
        return Err(MoneyError::TooFine { value: text.to_owned(), decimals });
    }
    let scale = 10i64.pow(decimals);
    let mut units = whole.parse::<i64>().map_err(|_| not())?.checked_mul(scale).ok_or_else(not)?;
    if !used.is_empty() {
        let missing = decimals - used.len() as u32;
        units = units.checked_add(used.parse::<i64>().map_err(|_| not())? * 10i64.pow(missing)).ok_or_else(not)?;
    }
    Ok(if negative { -units } else { units })
}

fn write_fixed(f: &mut fmt::Formatter<'_>, units: i64, decimals: u32, shown: usize) -> fmt::Result {
    let scale = 10u64.pow(decimals);
    let sign = if units < 0 { "-" } else { "" };
    let (whole, fraction) = (units.unsigned_abs() / scale, units.unsigned_abs() % scale);
    let mut digits = format!("{fraction:0width$}", width = decimals as usize);
    while digits.len() > shown && digits.ends_with('0') {
        digits.pop();
    }
    write!(f, "{sign}{whole}.{digits}")
}

impl FromStr for Dollars {
    type Err = MoneyError;
    fn from_str(s: &str) -> Result<Dollars, MoneyError> {
        parse_fixed(s, 6).map(Dollars)
    }
}

impl FromStr for Price {
    type Err = MoneyError;
    fn from_str(s: &str) -> Result<Price, MoneyError> {
        Price::from_micros(parse_fixed(s, 6)?)
    }
}

impl FromStr for Count {
    type Err = MoneyError;
    fn from_str(s: &str) -> Result<Count, MoneyError> {
        parse_fixed(s, 2).map(Count)
    }
}

/// At least four decimals, as the exchange writes them: `0.5600`, `0.123456`.
impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fixed(f, self.0, 6, 4)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fixed(f, self.0, 6, 4)
    }
}

/// Always two decimals: `12.00`.
impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fixed(f, self.0, 2, 2)
    }
}

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
arithmetic!(Dollars, Count);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!("0.5600".parse::<Price>().unwrap().micros(), 560_000);
        assert_eq!("12".parse::<Count>().unwrap(), Count(1200));
        assert_eq!("-0.34".parse::<Count>().unwrap(), Count(-34));
        assert!(matches!("0.001".parse::<Count>(), Err(MoneyError::TooFine { .. })));
        for bad in ["", ".", "1.", "1e3", "+1", " 1", "1,000", "NaN", "--1", "1.2.3", "99999999999999999"] {
            let ok = bad == "1.";
            assert_eq!(bad.parse::<Dollars>().is_ok(), ok, "{bad:?}");
        }
        assert!("1.000001".parse::<Price>().is_err());
    }

    proptest! {
        /// What is written parses back to the same units.
        #[test]
        fn text_round_trips(units in -1_000_000_000_000i64..1_000_000_000_000) {
            prop_assert_eq!(Dollars(units).to_string().parse::<Dollars>().unwrap(), Dollars(units));
            prop_assert_eq!(Count(units).to_string().parse::<Count>().unwrap(), Count(units));
        }

        /// YES and NO of one contract are together exactly a dollar.
        #[test]
        fn sides_add_to_a_dollar(micros in 0i64..=1_000_000, count in 0i64..10_000_000) {
            let p = Price::from_micros(micros).unwrap();
            let both = p.times_up(Count(count)) + p.complement().times_down(Count(count));
            prop_assert!((both - Price::ONE.times_down(Count(count))).0.abs() <= 1);
        }
    }
}
