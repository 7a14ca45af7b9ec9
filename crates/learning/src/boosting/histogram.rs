//! Sums of gradients by bin.
//!
//! Sums are of whole numbers: gradients are rounded once, to 30 bits of the largest, and hessians to what sixty-three
//! bits hold for all rows together. So a sum is the same in whatever order, by however many threads and on whatever
//! machine it is made, and a child's histogram is its parent's minus its sibling's to the last bit.

use super::binned::{BLOCK, Binned, Codes};
use super::bins::MISSING;

/// Slots of one column. One more than there are codes: columns a power of two apart would compete for the same lines of
/// the cache.
const SLOTS: usize = 257;

/// Sums over the rows of one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(16))]
pub struct Cell {
    pub gradient: i64,
    /// Hessians above, the count of rows in the lowest `count_bits`.
    pub packed: i64,
}

impl Cell {
    #[inline(always)]
    pub fn plus(self, other: Cell) -> Cell {
        Cell { gradient: self.gradient.wrapping_add(other.gradient), packed: self.packed.wrapping_add(other.packed) }
    }

    #[inline(always)]
    pub fn minus(self, other: Cell) -> Cell {
        Cell { gradient: self.gradient.wrapping_sub(other.gradient), packed: self.packed.wrapping_sub(other.packed) }
    }
}

/// What one step of a sum is worth.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub gradient: f64,
    pub hessian: f64,
    pub count_bits: u32,
}

impl Scale {
    #[inline(always)]
    pub fn gradient(&self, cell: Cell) -> f64 {
        cell.gradient as f64 * self.gradient
    }

    #[inline(always)]
    pub fn hessian(&self, cell: Cell) -> f64 {
        (cell.packed >> self.count_bits) as f64 * self.hessian
    }

    #[inline(always)]
    pub fn count(&self, cell: Cell) -> usize {
        (cell.packed & ((1_i64 << self.count_bits) - 1)) as usize
    }
}

/// A row's gradient and hessian in steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    gradient: i32,
    hessian: u32,
}

/// Rounds gradients and hessians to steps, `hessian` being at least 0; None if no gradient differs from 0.
pub fn round(gradient: &[f64], hessian: &[f64], out: &mut Vec<Step>) -> Option<Scale> {
    let largest = gradient.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
    let largest_hessian = hessian.iter().fold(0.0_f64, |most, h| most.max(*h));
    let count_bits = usize::BITS - gradient.len().leading_zeros();
    // Rows times the largest hessian must stay below 2^(63 - count_bits).
    let hessian_bits = 63_u32.checked_sub(2 * count_bits)?.min(31);
    let steps = steps_per_unit(largest, 30)?;
    let hessian_steps = steps_per_unit(largest_hessian, hessian_bits).unwrap_or(0.0);
    out.clear();
    out.extend(
        gradient.iter().zip(hessian).map(|(g, h)| Step {
            gradient: nearest(g * steps) as i32,
            hessian: nearest(h * hessian_steps) as i64 as u32,
        }),
    );
    let back = |steps: f64| if steps > 0.0 { 1.0 / steps } else { 0.0 };
    Some(Scale { gradient: back(steps), hessian: back(hessian_steps), count_bits })
}

/// A power of two such that `largest` makes at most `2^bits` steps.
fn steps_per_unit(largest: f64, bits: u32) -> Option<f64> {
    if !(1e-200..1e200).contains(&largest) {
        return None;
    }
    let (_, exponent) = libm::frexp(largest);
    Some(libm::ldexp(1.0, bits as i32 - exponent))
}

/// The nearest whole number of one below 2^51, ties to even, without a call.
#[inline(always)]
fn nearest(x: f64) -> f64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    (x + SHIFT) - SHIFT
}

/// Fills `cells` with the steps of `rows` and returns their sum.
pub fn gather(steps: &[Step], rows: &[u32], count_bits: u32, cells: &mut Vec<Cell>) -> Cell {
    cells.clear();
    cells.extend(rows.iter().map(|&row| {
        let step = steps[row as usize];
        Cell { gradient: i64::from(step.gradient), packed: (i64::from(step.hessian) << count_bits) | 1 }
    }));
    cells.iter().fold(Cell::default(), |sum, cell| sum.plus(*cell))
}

/// The histograms of one block's columns.
#[derive(Clone, Debug)]
pub struct BlockHistogram(Box<[[Cell; SLOTS]; BLOCK]>);

impl BlockHistogram {
    pub fn new() -> BlockHistogram {
        BlockHistogram(Box::new([[Cell::default(); SLOTS]; BLOCK]))
    }

    /// Column `k`: a slot for every code.
    pub fn column(&self, k: usize) -> &[Cell; SLOTS] {
        &self.0[k]
    }

    /// Sums over `rows`, whose steps are `cells`.
    pub fn fill(&mut self, binned: &Binned, block: usize, rows: &[u32], cells: &[Cell]) {
        let width = binned.width(block);
        for (k, column) in self.0.iter_mut().enumerate().take(width) {
            let bins = binned.kept[block * BLOCK + k].bins;
            column[..bins].fill(Cell::default());
            column[usize::from(MISSING)] = Cell::default();
        }
        let codes = &binned.blocks[block];
        match width {
            1 => self.sum::<1>(codes, rows, cells),
            2 => self.sum::<2>(codes, rows, cells),
            3 => self.sum::<3>(codes, rows, cells),
            4 => self.sum::<4>(codes, rows, cells),
            5 => self.sum::<5>(codes, rows, cells),
            6 => self.sum::<6>(codes, rows, cells),
            7 => self.sum::<7>(codes, rows, cells),
            _ => self.sum::<8>(codes, rows, cells),
        }
    }

    fn sum<const WIDTH: usize>(&mut self, codes: &Codes, rows: &[u32], cells: &[Cell]) {
        for (&row, &cell) in rows.iter().zip(cells) {
            let codes = codes[row as usize];
            for (column, code) in self.0[..WIDTH].iter_mut().zip(codes) {
                let slot = &mut column[usize::from(code)];
                *slot = slot.plus(cell);
            }
        }
    }

    /// Takes `other` off: what is left of a parent without one child.
    pub fn subtract(&mut self, other: &BlockHistogram, binned: &Binned, block: usize) {
        for k in 0..binned.width(block) {
            let bins = binned.kept[block * BLOCK + k].bins;
            let (mine, others) = (&mut self.0[k], &other.0[k]);
            for (mine, other) in mine[..bins].iter_mut().zip(&others[..bins]) {
                *mine = mine.minus(*other);
            }
            let missing = usize::from(MISSING);
            mine[missing] = mine[missing].minus(others[missing]);
        }
    }
}
