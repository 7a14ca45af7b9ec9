//! How far the nearest of a few random rows is, averaged over many draws.
//!
//! The nearest of all rows would be a bad judge: strange rows that come in groups have each other. Among a few drawn
//! rows hardly one of the group appears, and a draw costs a fraction of the distances between all rows.
//! Source: Pang, Ting and Albrecht (2015), LeSiNN.

use rand::RngExt as _;

use super::prepare::Matrix;
use super::rows;
use crate::numeric::chance::{Chance, chance};

/// Draws of each size; few drawn rows see the whole, many see the neighbourhood.
const DRAWS: usize = 40;
const SIZES: [usize; 3] = [4, 8, 16];
/// A draw takes at most one row in this many, so that groups stay apart in small tables.
const ROWS_PER_DRAWN: usize = 16;
const PURPOSE: u64 = 0x4E45_4947;

/// The draws.
#[derive(Clone, Debug)]
pub struct Samples {
    draws: Vec<Draw>,
}

#[derive(Clone, Debug)]
struct Draw {
    rows: Vec<usize>,
    values: Vec<f64>,
}

impl Samples {
    pub fn mixed(table: &Matrix, seed: u64) -> Samples {
        let mut random = chance(seed, PURPOSE);
        let mut deck: Vec<usize> = (0..table.rows()).collect();
        let size_max = (table.rows() / ROWS_PER_DRAWN).clamp(2, 64).min(table.rows());
        let draw = |size: usize| draw(table, &mut deck, size.min(size_max), &mut random);
        Samples { draws: SIZES.iter().flat_map(|&size| std::iter::repeat_n(size, DRAWS)).map(draw).collect() }
    }

    /// Mean distance of the rows of the table that was drawn from; a drawn row is no neighbour of itself.
    pub fn scores_inside(&self, table: &Matrix, threads: usize) -> Vec<f64> {
        rows::each(table.rows(), threads, |row| {
            let total: f64 = self.draws.iter().map(|draw| draw.nearest(table.row(row), row)).sum();
            total / self.draws.len() as f64
        })
    }
}

impl Draw {
    fn nearest(&self, at: &[f64], itself: usize) -> f64 {
        let mut nearest = f64::MAX;
        for (&drawn, other) in self.rows.iter().zip(self.values.chunks_exact(at.len().max(1))) {
            if drawn != itself {
                nearest = nearest.min(square_distance(at, other));
            }
        }
        if nearest == f64::MAX { 0.0 } else { nearest.sqrt() }
    }
}

/// In four sums side by side, which the compiler turns into wide instructions; the order is fixed.
fn square_distance(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0_f64; 4];
    let (a_fours, b_fours) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_fours.remainder().iter().zip(b_fours.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in a_fours.zip(b_fours) {
        for i in 0..4 {
            sums[i] += (x[i] - y[i]) * (x[i] - y[i]);
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// `size` different rows: the front of `deck` after as many steps of a shuffle.
fn draw(table: &Matrix, deck: &mut [usize], size: usize, random: &mut Chance) -> Draw {
    shuffle_front(deck, size, random);
    let rows = deck[..size].to_vec();
    let values = rows.iter().flat_map(|&row| table.row(row)).copied().collect();
    Draw { rows, values }
}

/// Fisher and Yates' shuffle, as far as the first `size` places.
pub fn shuffle_front(deck: &mut [usize], size: usize, random: &mut Chance) {
    for place in 0..size.min(deck.len()) {
        let other = random.random_range(place as u64..deck.len() as u64) as usize;
        deck.swap(place, other);
    }
}
