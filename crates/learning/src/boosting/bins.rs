//! Numbers cut into at most 255 bins: what trees see of a feature.
//!
//! A code tells between which bounds a number lies; `MISSING` tells that there is none. A split between two codes is a
//! split at the bound between them, so that codes and numbers always go the same way.

use serde::{Deserialize, Serialize};

use super::{BoostError, Columns};

/// The code of NaN. Codes of numbers are below it.
pub const MISSING: u8 = u8::MAX;

/// Rows that decide where bounds lie; of a longer table one of every k is looked at, not always the same one.
const LOOKED_AT_MAX: usize = 200_000;

/// The upper bounds of all bins of one feature but the last, rising strictly. Code c holds the numbers above bound c-1
/// up to and including bound c.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bounds(Vec<f64>);

impl Bounds {
    /// Bounds such that bins hold about equally many of `values`; a value that is frequent has a bin of its own.
    pub fn of(values: &[f64], bins_max: usize) -> Bounds {
        let step = values.len().div_ceil(LOOKED_AT_MAX).max(1);
        let looked_at = values.chunks(step).zip(0_u64..).map(|(few, number)| few[scattered(number) % few.len()]);
        let mut keys: Vec<u64> = looked_at.filter(|x| !x.is_nan()).map(key).collect();
        keys.sort_unstable();
        let distinct: Vec<(f64, usize)> =
            keys.chunk_by(|a, b| a == b).map(|same| (number(same[0]), same.len())).collect();
        Bounds(cut(&distinct, keys.len(), bins_max.clamp(1, usize::from(MISSING))))
    }

    /// Bins of numbers, without the one of missing values.
    pub fn bins(&self) -> usize {
        self.0.len() + 1
    }

    /// The number up to which code `code` reaches; the last code has no bound.
    #[cfg(test)]
    pub fn upper(&self, code: u8) -> Option<f64> {
        self.0.get(usize::from(code)).copied()
    }

    /// Whether they rise strictly, are numbers and leave `MISSING` free.
    pub fn sound(&self) -> Result<(), BoostError> {
        let rising = self.0.windows(2).all(|pair| pair[0] < pair[1]) && self.0.iter().all(|x| x.is_finite());
        if rising && self.0.len() < usize::from(MISSING) { Ok(()) } else { Err(BoostError::Stored("bounds of bins")) }
    }

    /// The code of one number.
    pub fn code(&self, x: f64) -> u8 {
        if x.is_nan() { MISSING } else { self.0.partition_point(|bound| x > *bound) as u8 }
    }

    /// The codes of `values`, one after another, to `put`.
    pub fn code_all(&self, values: &[f64], mut put: impl FnMut(usize, u8)) {
        // Padded to a power of two with NaN, which no number is above, the search takes the same steps for every value.
        let mut ladder = [f64::NAN; 256];
        ladder[..self.0.len()].copy_from_slice(&self.0);
        let first = (self.0.len() + 1).next_power_of_two() / 2;
        for (i, &x) in values.iter().enumerate() {
            let mut code = 0_usize;
            let mut step = first;
            while step > 0 {
                let above = x > ladder[(code + step - 1) & 255];
                code += if above { step } else { 0 };
                step /= 2;
            }
            put(i, if x.is_nan() { MISSING } else { code as u8 });
        }
    }
}

/// A number without a pattern that rows could share.
fn scattered(number: u64) -> usize {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize
}

/// Orders as the numbers do, both zeros being one.
fn key(x: f64) -> u64 {
    let bits = (x + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn number(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

fn cut(distinct: &[(f64, usize)], rows: usize, bins_max: usize) -> Vec<f64> {
    let mut bounds = Vec::new();
    let mut left = Fill { rows, bins: bins_max };
    let roomy = distinct.len() <= bins_max;
    let mean = rows.div_ceil(bins_max.max(1));
    if !roomy {
        for (_, count) in distinct.iter().filter(|(_, count)| *count >= mean) {
            left.take(*count);
        }
    }
    let mut filled = 0;
    for pair in distinct.windows(2) {
        if bounds.len() + 1 >= bins_max {
            break;
        }
        let (here, next) = (pair[0].1, pair[1].1);
        filled += here;
        let full = roomy || here >= mean || next >= mean || filled >= left.rows_per_bin();
        if full {
            bounds.push(between(pair[0].0, pair[1].0));
            if !roomy && here < mean {
                left.take(filled);
            }
            filled = 0;
        }
    }
    bounds
}

/// What is left for values that have no bin of their own.
struct Fill {
    rows: usize,
    bins: usize,
}

impl Fill {
    fn take(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
        self.bins = self.bins.saturating_sub(1);
    }

    fn rows_per_bin(&self) -> usize {
        self.rows.div_ceil(self.bins.max(1)).max(1)
    }
}

/// A number from `low` up to but not including `high`, in the middle where there is one.
fn between(low: f64, high: f64) -> f64 {
    let middle = low / 2.0 + high / 2.0;
    if middle >= low && middle < high { middle } else { low }
}

/// Bounds of every column.
pub fn bounds_of(features: &Columns, bins_max: usize) -> Vec<Bounds> {
    (0..features.width()).map(|j| Bounds::of(features.column(j), bins_max)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codes(bounds: &Bounds, values: &[f64]) -> Vec<u8> {
        let mut out = vec![0; values.len()];
        bounds.code_all(values, |i, code| out[i] = code);
        out
    }

    #[test]
    fn few_values_have_a_bin_each() {
        let values = [[2.0, 0.0, 1.0, f64::NAN, -3.0]; 4].concat();
        let bounds = Bounds::of(&values, 255);
        assert_eq!(codes(&bounds, &values[..5]), [3, 1, 2, MISSING, 0]);
    }

    #[test]
    fn a_frequent_value_stands_alone_and_the_rest_is_shared_evenly() {
        let mut values = vec![0.0; 5_000];
        values.extend((1..=5_000).map(f64::from));
        let bounds = Bounds::of(&values, 51);
        let coded = codes(&bounds, &values);
        assert_eq!(bounds.bins(), 51);
        assert!(coded[..5_000].iter().all(|&code| code == 0) && coded[5_000..].iter().all(|&code| code > 0));
        for bin in 1..51 {
            let held = coded.iter().filter(|&&code| code == bin).count();
            assert!((99..=101).contains(&held), "bin {bin} holds {held}");
        }
    }

    #[test]
    fn of_a_long_table_every_part_is_looked_at() {
        // Two places by turns, one small and one large: a fixed step of two would see one of them only.
        let values: Vec<f64> = (0..400_002).map(|i| if i % 2 == 0 { f64::from(i % 1_000) } else { 1e6 }).collect();
        let bounds = Bounds::of(&values, 100);
        assert!(bounds.bins() > 90);
        assert!(bounds.code(1e6) > bounds.code(998.0) && bounds.code(500.0) > bounds.code(400.0));
    }

    proptest! {
        /// Codes rise with the numbers and no more of them are used than allowed.
        #[test]
        fn codes_keep_the_order(
            values in proptest::collection::vec(prop_oneof![-1e300..1e300, -5.0..5.0, Just(0.0), Just(-0.0)], 1..600),
            bins_max in 1_usize..=255,
        ) {
            let bounds = Bounds::of(&values, bins_max);
            prop_assert!(bounds.bins() <= bins_max);
            prop_assert_eq!(bounds.sound(), Ok(()));
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let coded = codes(&bounds, &sorted);
            prop_assert!(sorted.iter().zip(&coded).all(|(x, code)| bounds.code(*x) == *code));
            prop_assert!(coded.windows(2).all(|pair| pair[0] <= pair[1]));
            for (x, code) in sorted.iter().zip(&coded) {
                prop_assert!(bounds.upper(*code).is_none_or(|upper| *x <= upper));
                prop_assert!(*code == 0 || bounds.upper(code - 1).is_some_and(|lower| *x > lower));
            }
        }
    }
}
