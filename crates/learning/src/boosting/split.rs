//! The best way to divide the rows of a leaf, from its histograms.

use super::binned::{BLOCK, Binned};
use super::bins::MISSING;
use super::histogram::{BlockHistogram, Cell, Scale};

/// What a split must keep to.
pub struct Rule<'a> {
    pub l2: f64,
    pub gain_min: f64,
    pub rows_min: usize,
    pub hessian_min: f64,
    /// By kept column; empty for none.
    pub monotone: &'a [i8],
    /// By kept column: whether this tree may use it.
    pub allowed: &'a [bool],
    pub scale: Scale,
}

/// Between which values a leaf must stay, so that its ancestors' splits keep their direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    pub const ALL: Range = Range { low: f64::NEG_INFINITY, high: f64::INFINITY };

    pub fn keep(&self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
    }
}

/// Rows whose code of kept column `column` is at most `upto` go left, those without one where `missing_left` says.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    pub gain: f64,
    pub column: usize,
    pub upto: u8,
    pub missing_left: bool,
    pub left: Cell,
    pub right: Cell,
}

/// A leaf that might be split.
pub struct Candidate {
    pub sum: Cell,
    pub range: Range,
}

/// A gain below this part of the terms it is the difference of is taken for a rounding error.
const GAIN_SHARE_MIN: f64 = 1e-10;

impl Rule<'_> {
    /// The best split over the columns of one block; of equals the first. None if none gains anything.
    pub fn best(&self, binned: &Binned, block: usize, histogram: &BlockHistogram, leaf: &Candidate) -> Option<Split> {
        let mut best = None;
        for k in 0..binned.width(block) {
            let column = block * BLOCK + k;
            if self.allowed[column] {
                let slots = histogram.column(k);
                let bins = &slots[..binned.kept[column].bins];
                self.scan(leaf, column, bins, slots[usize::from(MISSING)], &mut best);
            }
        }
        best
    }

    fn scan(&self, leaf: &Candidate, column: usize, bins: &[Cell], missing: Cell, best: &mut Option<Split>) {
        let monotone = self.monotone.get(column).copied().unwrap_or(0);
        let bounded = monotone != 0 || leaf.range != Range::ALL;
        let none_missing = self.scale.count(missing) == 0;
        let parent = self.term(leaf.sum, leaf.range, bounded);
        // With no row missing, one pass decides; rows that come later without a value go where most rows went.
        let passes = if none_missing { 1 } else { 2 };
        for pass in 0..passes {
            let mut left = if pass == 1 { missing } else { Cell::default() };
            let last = if none_missing { bins.len() - 1 } else { bins.len() };
            for (code, bin) in bins[..last].iter().enumerate() {
                left = left.plus(*bin);
                let right = leaf.sum.minus(left);
                if self.scale.count(left) < self.rows_min || self.scale.hessian(left) < self.hessian_min {
                    continue;
                }
                if self.scale.count(right) < self.rows_min || self.scale.hessian(right) < self.hessian_min {
                    break;
                }
                let Some(gain) = self.gain(left, right, parent, leaf.range, monotone, bounded) else { continue };
                if best.is_none_or(|best| gain > best.gain) {
                    let missing_left =
                        if none_missing { self.scale.count(left) > self.scale.count(right) } else { pass == 1 };
                    *best = Some(Split { gain, column, upto: code as u8, missing_left, left, right });
                }
            }
        }
    }

    #[inline(always)]
    fn gain(&self, left: Cell, right: Cell, parent: f64, range: Range, monotone: i8, bounded: bool) -> Option<f64> {
        if bounded && monotone != 0 {
            let rise = self.value(right, range) - self.value(left, range);
            if rise * f64::from(monotone) < 0.0 {
                return None;
            }
        }
        let terms = self.term(left, range, bounded) + self.term(right, range, bounded);
        let gain = terms - parent;
        (gain > self.gain_min && gain > GAIN_SHARE_MIN * terms.abs()).then_some(gain)
    }

    /// Twice what a leaf of these rows takes off the loss, to the second order.
    #[inline(always)]
    fn term(&self, sum: Cell, range: Range, bounded: bool) -> f64 {
        let gradient = self.scale.gradient(sum);
        let curvature = self.scale.hessian(sum) + self.l2;
        if bounded {
            let value = self.value(sum, range);
            -(2.0 * gradient + curvature * value) * value
        } else {
            gradient * gradient / curvature
        }
    }

    /// Where the loss of these rows is smallest, to the second order, within `range`.
    pub fn value(&self, sum: Cell, range: Range) -> f64 {
        range.keep(newton(self.scale.gradient(sum), self.scale.hessian(sum) + self.l2))
    }
}

/// The step to the bottom of a parabola; 0 where there is none.
pub fn newton(gradient: f64, curvature: f64) -> f64 {
    if curvature > 0.0 { -gradient / curvature } else { 0.0 }
}
