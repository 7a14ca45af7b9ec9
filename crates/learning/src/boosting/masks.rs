//! Many rows down one small tree, without going down.
//!
//! Every split that sends a row right rules out the leaves to its left; of those that no split ruled out, the row's is
//! the leftmost. What all splits by one feature rule out together stands in a table by the feature's code, so a row
//! costs one look for each feature of a tree however deep it is. Source: Lucchese et al. (2015), QuickScorer.

use super::binned::goes_left;
use super::tree::Tree;
use super::walk::{FeatureCodes, ROWS_AT_ONCE};

/// Leaves of a tree that a mask can hold.
const LEAVES_MAX: usize = u64::BITS as usize;

/// A tree in tables.
pub struct Masks {
    /// Where the codes of a feature stand, and for each code the leaves that are not ruled out.
    columns: Vec<(u16, Box<[u64; 256]>)>,
    /// By leaf, from left to right.
    values: [f64; LEAVES_MAX],
}

impl Masks {
    /// `place` names for each feature where its codes will stand. None if the tree has too many leaves.
    pub fn new(tree: &Tree, place: &[u16]) -> Option<Masks> {
        let spans = spans(tree);
        if spans.first().is_none_or(|root| root.leaves > LEAVES_MAX) {
            return None;
        }
        let mut masks = Masks { columns: Vec::new(), values: [0.0; LEAVES_MAX] };
        for ((node, span), value) in tree.nodes.iter().zip(&spans).zip(&tree.values) {
            if node.is_leaf() {
                masks.values[span.first] = *value;
                continue;
            }
            // Left children have fewer leaves than there are bits: the right one has some.
            let left = spans[node.left as usize].leaves;
            let rest = !(((1_u64 << left) - 1) << span.first);
            let table = masks.table(place[usize::from(node.feature)]);
            for (code, open) in (0..=u8::MAX).zip(table.iter_mut()) {
                *open &= if goes_left(code, node.upto, node.missing_left) { u64::MAX } else { rest };
            }
        }
        Some(masks)
    }

    fn table(&mut self, place: u16) -> &mut [u64; 256] {
        let at = self.columns.iter().position(|(other, _)| *other == place).unwrap_or_else(|| {
            self.columns.push((place, Box::new([u64::MAX; 256])));
            self.columns.len() - 1
        });
        &mut self.columns[at].1
    }

    /// Adds the tree's value to the scores of up to `ROWS_AT_ONCE` rows.
    pub fn add(&self, codes: &[FeatureCodes], scores: &mut [f64]) {
        let mut open = [u64::MAX; ROWS_AT_ONCE];
        for (place, table) in &self.columns {
            for (open, code) in open.iter_mut().zip(&codes[usize::from(*place)]) {
                *open &= table[usize::from(*code)];
            }
        }
        for (score, open) in scores.iter_mut().zip(open) {
            *score += self.values[open.trailing_zeros() as usize % LEAVES_MAX];
        }
    }
}

/// The leaves below a node: the first, counted from the left, and how many.
#[derive(Clone, Copy, Default)]
struct Span {
    first: usize,
    leaves: usize,
}

fn spans(tree: &Tree) -> Vec<Span> {
    let mut spans = vec![Span { first: 0, leaves: 1 }; tree.nodes.len()];
    for (at, node) in tree.nodes.iter().enumerate().rev().filter(|(_, node)| !node.is_leaf()) {
        let left = node.left as usize;
        spans[at].leaves = spans[left].leaves + spans[left + 1].leaves;
    }
    for (at, node) in tree.nodes.iter().enumerate().filter(|(_, node)| !node.is_leaf()) {
        let left = node.left as usize;
        spans[left].first = spans[at].first;
        spans[left + 1].first = spans[at].first + spans[left].leaves;
    }
    spans
}
