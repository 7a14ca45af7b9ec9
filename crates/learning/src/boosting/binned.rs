//! The training table in codes, eight columns side by side: what histograms read.

use super::Columns;
use super::bins::{Bounds, MISSING};

/// Columns that stand side by side. Their histograms together fit into the first cache, and their codes in one word.
pub const BLOCK: usize = 8;

/// Codes of `BLOCK` columns, one entry a row.
pub type Codes = Vec<[u8; BLOCK]>;

/// A table in codes. Columns that cannot be split are left out.
pub struct Binned {
    /// Column k of block b is the kept column `b * BLOCK + k`.
    pub blocks: Vec<Codes>,
    pub kept: Vec<Kept>,
}

/// A column that can be split.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Its place in the table of features.
    pub feature: u16,
    /// Bins of numbers.
    pub bins: usize,
}

impl Binned {
    pub fn new(features: &Columns, bounds: &[Bounds]) -> Binned {
        let kept: Vec<Kept> = bounds.iter().enumerate().filter_map(|(j, b)| keep(features.column(j), j, b)).collect();
        Binned::with(features, bounds, kept)
    }

    /// `features` in the columns that `kept` names.
    pub fn with(features: &Columns, bounds: &[Bounds], kept: Vec<Kept>) -> Binned {
        let rows = features.rows();
        let mut blocks = vec![vec![[0; BLOCK]; rows]; kept.len().div_ceil(BLOCK)];
        for (at, column) in kept.iter().enumerate() {
            let (block, k) = (&mut blocks[at / BLOCK], at % BLOCK);
            let feature = usize::from(column.feature);
            bounds[feature].code_all(features.column(feature), |row, code| block[row][k] = code);
        }
        Binned { blocks, kept }
    }

    /// Columns in use in block `block`.
    pub fn width(&self, block: usize) -> usize {
        self.kept.len().saturating_sub(block * BLOCK).min(BLOCK)
    }
}

fn keep(values: &[f64], feature: usize, bounds: &Bounds) -> Option<Kept> {
    let missing = values.iter().any(|x| x.is_nan());
    let present = values.iter().any(|x| !x.is_nan());
    let useful = bounds.bins() > 1 || (missing && present);
    let feature = u16::try_from(feature).ok()?;
    useful.then_some(Kept { feature, bins: bounds.bins() })
}

/// Whether a row with `code` goes left where everything up to `upto` does.
#[inline(always)]
pub fn goes_left(code: u8, upto: u8, missing_left: bool) -> bool {
    // With 1 added a missing code becomes 0, which is below every bound; without, it is above every bound.
    let shift = u8::from(missing_left);
    code.wrapping_add(shift) <= upto.wrapping_add(shift)
}

const _: () = assert!(MISSING.wrapping_add(1) == 0);
