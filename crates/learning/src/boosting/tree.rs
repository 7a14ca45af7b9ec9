//! One tree: where a row goes by its codes, and what waits there.

use serde::{Deserialize, Serialize};

use super::BoostError;
use super::binned::goes_left;

/// A tree in arrays, one entry a node. The root is node 0, children stand behind their parent and side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// What is added to the raw score in a leaf; in an inner node, what a leaf there would have added.
    pub values: Vec<f64>,
    /// Rows of the training sample that came by.
    pub covers: Vec<u32>,
    /// What the split took off the loss, times two; 0 for leaves.
    pub gains: Vec<f64>,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Column of the table of features.
    pub feature: u16,
    /// The highest code that goes left.
    pub upto: u8,
    pub missing_left: bool,
    /// Left child, the right one is next; 0 in a leaf.
    pub left: u32,
}

impl Node {
    pub const LEAF: Node = Node { feature: 0, upto: 0, missing_left: false, left: 0 };

    pub fn is_leaf(&self) -> bool {
        self.left == 0
    }

    #[inline(always)]
    pub fn child(&self, code: u8) -> usize {
        self.left as usize + usize::from(!goes_left(code, self.upto, self.missing_left))
    }
}

impl Tree {
    /// The leaf of a row whose code of feature j is `code(j)`.
    #[inline(always)]
    pub fn leaf(&self, code: impl Fn(u16) -> u8) -> usize {
        let mut at = 0;
        loop {
            let node = self.nodes[at];
            if node.is_leaf() {
                return at;
            }
            at = node.child(code(node.feature));
        }
    }

    /// Levels below the root.
    pub fn depth(&self) -> usize {
        let mut depths = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.is_leaf()) {
            let left = node.left as usize;
            depths[left] = depths[at] + 1;
            depths[left + 1] = depths[at] + 1;
        }
        depths.into_iter().max().unwrap_or(0)
    }

    /// Whether every walk ends and every number can be used, for models that come from a file.
    ///
    /// # Errors
    /// `Stored`.
    pub fn sound(&self, width: usize) -> Result<(), BoostError> {
        let nodes = self.nodes.len();
        if nodes == 0 || [self.values.len(), self.covers.len(), self.gains.len()].iter().any(|&len| len != nodes) {
            return Err(BoostError::Stored("arrays of a tree"));
        }
        if self.covers.contains(&0) {
            return Err(BoostError::Stored("a node of a tree that no row came by"));
        }
        let mut parents = vec![0_u8; nodes];
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.is_leaf()) {
            let left = node.left as usize;
            if left <= at || left + 1 >= nodes || usize::from(node.feature) >= width {
                return Err(BoostError::Stored("a node of a tree"));
            }
            for child in [left, left + 1] {
                parents[child] = parents[child].saturating_add(1);
            }
        }
        if parents.iter().skip(1).any(|&parents| parents != 1) {
            return Err(BoostError::Stored("a node of a tree without one parent"));
        }
        if self.values.iter().chain(&self.gains).any(|number| !number.is_finite()) {
            return Err(BoostError::Stored("a number in a tree that is not finite"));
        }
        Ok(())
    }
}
