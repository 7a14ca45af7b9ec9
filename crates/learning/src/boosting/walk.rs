//! Many rows down many trees.
//!
//! Rows go down a tree side by side, a level at a time and without asking whether a leaf is reached: in a leaf they
//! stay. So no step waits for the one before it in another row, and nothing has to be guessed.

use super::bins::MISSING;
use super::tree::Tree;

/// Rows whose codes are made and used at once; they stay in the first cache.
pub const ROWS_AT_ONCE: usize = 256;

/// Codes of one feature.
pub type FeatureCodes = [u8; ROWS_AT_ONCE];

/// Rows that go side by side.
const ABREAST: usize = 16;

/// Trees in the form in which walking is fast.
pub struct Forest {
    nodes: Vec<Pace>,
    values: Vec<f64>,
    trees: Vec<Root>,
}

struct Root {
    at: u32,
    depth: usize,
}

/// A node: the code of `feature`, `shift` added, goes left up to `upto`. A leaf sends every code to itself.
#[derive(Clone, Copy)]
struct Pace {
    feature: u16,
    shift: u8,
    upto: u8,
    left: u32,
}

impl Forest {
    /// `place` names for each feature where its codes will stand.
    pub fn new(trees: &[Tree], place: &[u16]) -> Forest {
        let mut forest = Forest { nodes: Vec::new(), values: Vec::new(), trees: Vec::new() };
        for tree in trees {
            let root = forest.nodes.len() as u32;
            for (at, node) in tree.nodes.iter().enumerate() {
                let pace = if node.is_leaf() {
                    Pace { feature: 0, shift: 0, upto: MISSING, left: root + at as u32 }
                } else {
                    let shift = u8::from(node.missing_left);
                    let feature = place[usize::from(node.feature)];
                    Pace { feature, shift, upto: node.upto.wrapping_add(shift), left: root + node.left }
                };
                forest.nodes.push(pace);
            }
            forest.values.extend_from_slice(&tree.values);
            forest.trees.push(Root { at: root, depth: tree.depth() });
        }
        forest
    }

    /// Adds every tree's value to the scores of up to `ROWS_AT_ONCE` rows.
    pub fn add(&self, codes: &[FeatureCodes], scores: &mut [f64]) {
        for root in &self.trees {
            for (from, scores) in (0..).step_by(ABREAST).zip(scores.chunks_mut(ABREAST)) {
                self.walk(root, codes, from, scores);
            }
        }
    }

    fn walk(&self, root: &Root, codes: &[FeatureCodes], from: usize, scores: &mut [f64]) {
        let mut at = [root.at; ABREAST];
        for _ in 0..root.depth {
            let mut moved = false;
            for (i, at) in at.iter_mut().enumerate() {
                let pace = self.nodes[*at as usize];
                let code = codes[usize::from(pace.feature)][(from + i) % ROWS_AT_ONCE];
                let next = pace.left + u32::from(code.wrapping_add(pace.shift) > pace.upto);
                moved |= next != *at;
                *at = next;
            }
            if !moved {
                break;
            }
        }
        for (score, at) in scores.iter_mut().zip(at) {
            *score += self.values[at as usize];
        }
    }
}
