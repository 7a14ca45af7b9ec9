//! How few random cuts set a row apart. Source: Liu, Ting and Zhou (2008), isolation forest.
//!
//! Samples are smaller than the paper's 256, and of several sizes: strange rows that come in groups are set apart
//! sooner where fewer of the group are drawn.

use rand::RngExt as _;

use super::neighbours::shuffle_front;
use super::prepare::Matrix;
use super::rows;
use crate::numeric::chance::{Chance, chance};

const PURPOSE: u64 = 0x464F_5245;
/// Trees of each sample size.
const TREES: usize = 120;
const SAMPLES: [usize; 3] = [32, 64, 128];
/// A sample takes at most one row in this many.
const ROWS_PER_DRAWN: usize = 8;

/// Trees of random cuts.
#[derive(Clone, Debug)]
pub struct Forest {
    trees: Vec<Tree>,
}

#[derive(Clone, Debug)]
struct Tree {
    nodes: Vec<Node>,
    /// One over the mean depth of a search that fails in a tree of this many rows.
    per_depth: f64,
}

/// The left child follows its parent; `right` of 0 is a leaf, whose `cut` is its whole depth.
#[derive(Clone, Copy, Debug)]
struct Node {
    cut: f64,
    column: u32,
    right: u32,
}

impl Forest {
    /// Trees of several sample sizes.
    pub fn mixed(table: &Matrix, seed: u64) -> Forest {
        let size_max = (table.rows() / ROWS_PER_DRAWN).max(8);
        let sizes: Vec<usize> =
            SAMPLES.iter().flat_map(|&size| std::iter::repeat_n(size.min(size_max), TREES)).collect();
        Forest::of_sizes(table, &sizes, seed)
    }

    fn of_sizes(table: &Matrix, sizes: &[usize], seed: u64) -> Forest {
        let mut deck: Vec<usize> = (0..table.rows()).collect();
        let mut random = chance(seed, PURPOSE);
        let mut grow = |&size: &usize| {
            let size = size.min(table.rows());
            shuffle_front(&mut deck, size, &mut random);
            let mut sample = deck[..size].to_vec();
            let depth_max = usize::BITS - size.max(1).saturating_sub(1).leading_zeros();
            let mut growth = Growth { table, nodes: Vec::with_capacity(2 * size), depth_max };
            growth.grow(&mut sample, 0, &mut random);
            Tree { nodes: growth.nodes, per_depth: 1.0 / mean_depth(size).max(1.0) }
        };
        Forest { trees: sizes.iter().map(&mut grow).collect() }
    }

    /// The anomaly score of the paper for each row of `table`: 1 is strange, one half and below is common.
    pub fn scores(&self, table: &Matrix, threads: usize) -> Vec<f64> {
        let count = self.trees.len().max(1) as f64;
        rows::each(table.rows(), threads, |row| {
            let at = table.row(row);
            let depth: f64 = self.trees.iter().map(|tree| tree.depth(at) * tree.per_depth).sum();
            libm::exp2(-depth / count)
        })
    }
}

impl Tree {
    fn depth(&self, at: &[f64]) -> f64 {
        let mut place = 0;
        loop {
            let node = self.nodes[place];
            if node.right == 0 {
                return node.cut;
            }
            place = if at[node.column as usize] < node.cut { place + 1 } else { node.right as usize };
        }
    }
}

struct Growth<'a> {
    table: &'a Matrix,
    nodes: Vec<Node>,
    depth_max: u32,
}

impl Growth<'_> {
    fn grow(&mut self, sample: &mut [usize], depth: u32, random: &mut Chance) {
        let cut = if depth < self.depth_max && sample.len() > 1 { self.cut(sample, random) } else { None };
        let Some((column, cut)) = cut else {
            let depth = f64::from(depth) + mean_depth(sample.len());
            self.nodes.push(Node { cut: depth, column: 0, right: 0 });
            return;
        };
        let below = partition(sample, |row| self.table.row(row)[column] < cut);
        let parent = self.nodes.len();
        self.nodes.push(Node { cut, column: column as u32, right: 0 });
        let (left, right) = sample.split_at_mut(below);
        self.grow(left, depth + 1, random);
        self.nodes[parent].right = self.nodes.len() as u32;
        self.grow(right, depth + 1, random);
    }

    /// A column that is not constant here and a place in it, above its least value; None if every column is constant.
    fn cut(&self, sample: &[usize], random: &mut Chance) -> Option<(usize, f64)> {
        let width = self.table.width();
        if width == 0 {
            return None;
        }
        let range = |column: usize| {
            let values = sample.iter().map(|&row| self.table.row(row)[column]);
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        // Most columns vary, so one is drawn before all are looked at.
        let first = random.random_range(0..width as u64) as usize;
        let column = if range(first).0 < range(first).1 {
            first
        } else {
            let varied: Vec<usize> = (0..width).filter(|&c| range(c).0 < range(c).1).collect();
            if varied.is_empty() {
                return None;
            }
            varied[random.random_range(0..varied.len() as u64) as usize]
        };
        let (low, high) = range(column);
        let cut = low + (high - low) * random.random::<f64>();
        Some((column, if cut > low { cut } else { high }))
    }
}

/// Brings the rows for which `first` holds to the front; how many they are.
fn partition(sample: &mut [usize], first: impl Fn(usize) -> bool) -> usize {
    let mut front = 0;
    for place in 0..sample.len() {
        if first(sample[place]) {
            sample.swap(front, place);
            front += 1;
        }
    }
    front
}

/// Mean depth of an unsuccessful search in a binary search tree of `rows`, equation 1 of the paper.
fn mean_depth(rows: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = rows as f64;
            2.0 * (libm::log(n - 1.0) + EULER) - 2.0 * (n - 1.0) / n
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// c(256) of the paper, to the digits given by its equation; c(2) = 1 by Liu, Ting and Zhou (2012), equation 3.
    #[test]
    fn mean_depth_is_that_of_the_paper() {
        assert!((mean_depth(256) - 10.244_770_920).abs() < 1e-6, "{}", mean_depth(256));
        assert_eq!(mean_depth(2), 1.0);
        assert_eq!(mean_depth(1), 0.0);
    }
}
