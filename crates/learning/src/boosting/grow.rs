//! Growing one tree, the leaf with the largest gain first.

use super::binned::{BLOCK, Binned, goes_left};
use super::histogram::{BlockHistogram, Cell, Step, gather};
use super::split::{Candidate, Range, Rule, Split};
use super::tree::{Node, Tree};

/// When to stop.
pub struct Limits {
    pub leaves_max: usize,
    /// None for no bound.
    pub depth_max: Option<usize>,
    pub threads: usize,
}

/// Rows times columns below which a second thread costs more than it saves.
const WORK_PER_THREAD_MIN: usize = 100_000;

/// What is used again for every tree.
pub struct Grower<'a> {
    binned: &'a Binned,
    limits: Limits,
    /// Rows in the order of leaves.
    rows: Vec<u32>,
    scratch: Vec<u32>,
    cells: Vec<Cell>,
    pool: Vec<Histogram>,
}

type Histogram = Vec<BlockHistogram>;

/// A tree without values yet, and which rows stand in its leaves.
pub struct Grown {
    pub tree: Tree,
    pub leaves: Vec<GrownLeaf>,
}

pub struct GrownLeaf {
    pub node: usize,
    /// Where its rows stand in `Grower::rows`.
    pub rows: std::ops::Range<usize>,
    pub range: Range,
}

struct Leaf {
    node: usize,
    rows: std::ops::Range<usize>,
    depth: usize,
    sum: Cell,
    range: Range,
    histogram: Option<Histogram>,
    best: Option<Split>,
}

impl<'a> Grower<'a> {
    pub fn new(binned: &'a Binned, limits: Limits) -> Grower<'a> {
        Grower { binned, limits, rows: Vec::new(), scratch: Vec::new(), cells: Vec::new(), pool: Vec::new() }
    }

    /// Rows of the last tree in the order of its leaves.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// A tree over `rows` of the table, rising, with their `steps`. A tree of one leaf if nothing is to be gained.
    pub fn grow(&mut self, rows: &[u32], steps: &[Step], rule: &Rule<'_>) -> Grown {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        self.scratch.resize(rows.len(), 0);
        let mut leaves = vec![self.root(steps, rule)];
        let mut tree = Tree {
            nodes: vec![Node::LEAF],
            values: vec![rule.value(leaves[0].sum, Range::ALL)],
            covers: vec![rows.len() as u32],
            gains: vec![0.0],
        };
        while leaves.len() < self.limits.leaves_max {
            let Some((at, split)) = largest_gain(&leaves) else { break };
            let more = leaves.len() + 1 < self.limits.leaves_max;
            let leaf = leaves.swap_remove(at);
            let (left, right) = self.split(leaf, &split, &mut tree, rule);
            leaves.extend(self.judge(left, right, steps, rule, more));
        }
        leaves.sort_by_key(|leaf| leaf.node);
        for leaf in &mut leaves {
            self.pool.extend(leaf.histogram.take());
        }
        let leaves = leaves.into_iter().map(|leaf| GrownLeaf { node: leaf.node, rows: leaf.rows, range: leaf.range });
        Grown { tree, leaves: leaves.collect() }
    }

    fn root(&mut self, steps: &[Step], rule: &Rule<'_>) -> Leaf {
        let sum = gather(steps, &self.rows, rule.scale.count_bits, &mut self.cells);
        let rows = 0..self.rows.len();
        let mut leaf = Leaf { node: 0, rows, depth: 0, sum, range: Range::ALL, histogram: None, best: None };
        if self.divisible(&leaf, rule) && self.limits.leaves_max > 1 {
            let mut histogram = self.take_histogram();
            leaf.best = self.first(&leaf, &mut histogram, rule);
            leaf.histogram = Some(histogram);
        }
        leaf
    }

    fn divisible(&self, leaf: &Leaf, rule: &Rule<'_>) -> bool {
        let deep = self.limits.depth_max.is_some_and(|most| leaf.depth >= most);
        let small = leaf.rows.len() < 2 * rule.rows_min.max(1);
        let flat = rule.scale.hessian(leaf.sum) < 2.0 * rule.hessian_min;
        !deep && !small && !flat
    }

    fn take_histogram(&mut self) -> Histogram {
        let blocks = self.binned.blocks.len();
        self.pool.pop().unwrap_or_else(|| (0..blocks).map(|_| BlockHistogram::new()).collect())
    }

    /// Divides the rows of `leaf` and writes its children into `tree`.
    fn split(&mut self, leaf: Leaf, split: &Split, tree: &mut Tree, rule: &Rule<'_>) -> (Leaf, Leaf) {
        let middle = self.divide(&leaf, split);
        let node = tree.nodes.len();
        let feature = self.binned.kept[split.column].feature;
        tree.nodes[leaf.node] = Node { feature, upto: split.upto, missing_left: split.missing_left, left: node as u32 };
        tree.gains[leaf.node] = split.gain;
        let (left_range, right_range) = ranges(&leaf, split, rule);
        let child = |node, rows, sum, range| Leaf {
            node,
            rows,
            depth: leaf.depth + 1,
            sum,
            range,
            histogram: None,
            best: None,
        };
        let mut left = child(node, leaf.rows.start..middle, split.left, left_range);
        let right = child(node + 1, middle..leaf.rows.end, split.right, right_range);
        // The parent's histogram waits in the left child until `judge` hands it on.
        left.histogram = leaf.histogram;
        for child in [&left, &right] {
            tree.nodes.push(Node::LEAF);
            tree.values.push(rule.value(child.sum, child.range));
            tree.covers.push(child.rows.len() as u32);
            tree.gains.push(0.0);
        }
        (left, right)
    }

    /// Puts the rows that go left first, both sides keeping their order; returns where the right side begins.
    fn divide(&mut self, leaf: &Leaf, split: &Split) -> usize {
        let codes = &self.binned.blocks[split.column / BLOCK];
        let k = split.column % BLOCK;
        let rows = &mut self.rows[leaf.rows.clone()];
        let scratch = &mut self.scratch[..rows.len()];
        let (mut left, mut right) = (0_usize, 0_usize);
        for i in 0..rows.len() {
            let row = rows[i];
            let goes_left = goes_left(codes[row as usize][k], split.upto, split.missing_left);
            rows[left] = row;
            scratch[right] = row;
            left = left.wrapping_add(usize::from(goes_left));
            right = right.wrapping_add(usize::from(!goes_left));
        }
        rows[left..].copy_from_slice(&scratch[..right]);
        leaf.rows.start + left
    }

    /// Finds the children's best splits: sums up the smaller one, and what the parent has besides is the other's.
    fn judge(&mut self, mut left: Leaf, mut right: Leaf, steps: &[Step], rule: &Rule<'_>, more: bool) -> [Leaf; 2] {
        let parent = left.histogram.take();
        let wanted = more && (self.divisible(&left, rule) || self.divisible(&right, rule));
        let Some(mut large) = parent.filter(|_| wanted) else {
            return [left, right];
        };
        let (little, big) =
            if left.rows.len() <= right.rows.len() { (&mut left, &mut right) } else { (&mut right, &mut left) };
        gather(steps, &self.rows[little.rows.clone()], rule.scale.count_bits, &mut self.cells);
        let mut small = self.take_histogram();
        let (of_little, of_big) = self.both(little, big, &mut small, &mut large, rule);
        if self.divisible(little, rule) {
            little.best = of_little;
        }
        if self.divisible(big, rule) {
            big.best = of_big;
        }
        little.histogram = Some(small);
        big.histogram = Some(large);
        [left, right]
    }

    fn first(&self, leaf: &Leaf, histogram: &mut Histogram, rule: &Rule<'_>) -> Option<Split> {
        let rows = &self.rows[leaf.rows.clone()];
        let candidate = Candidate { sum: leaf.sum, range: leaf.range };
        let work = |(block, histogram): (usize, &mut BlockHistogram)| {
            histogram.fill(self.binned, block, rows, &self.cells);
            rule.best(self.binned, block, histogram, &candidate)
        };
        let blocks = histogram.iter_mut().enumerate().collect();
        self.by_block(rows.len(), blocks, work).into_iter().fold(None, better)
    }

    fn both(
        &self,
        little: &Leaf,
        big: &Leaf,
        small: &mut Histogram,
        large: &mut Histogram,
        rule: &Rule<'_>,
    ) -> (Option<Split>, Option<Split>) {
        let rows = &self.rows[little.rows.clone()];
        let of_little = Candidate { sum: little.sum, range: little.range };
        let of_big = Candidate { sum: big.sum, range: big.range };
        let work = |(block, (small, large)): (usize, (&mut BlockHistogram, &mut BlockHistogram))| {
            small.fill(self.binned, block, rows, &self.cells);
            large.subtract(small, self.binned, block);
            (rule.best(self.binned, block, small, &of_little), rule.best(self.binned, block, large, &of_big))
        };
        let blocks = small.iter_mut().zip(large.iter_mut()).enumerate().collect();
        let found = self.by_block(rows.len(), blocks, work);
        found.into_iter().fold((None, None), |best, next| (better(best.0, next.0), better(best.1, next.1)))
    }

    /// Does `work` for every block, answers in the order of blocks.
    fn by_block<I: Send, O: Send>(&self, rows: usize, blocks: Vec<I>, work: impl Fn(I) -> O + Sync) -> Vec<O> {
        let useful = rows.saturating_mul(self.binned.kept.len()) / WORK_PER_THREAD_MIN;
        let threads = self.limits.threads.min(useful).min(blocks.len());
        super::threads::map(blocks, threads, work)
    }
}

fn better(best: Option<Split>, next: Option<Split>) -> Option<Split> {
    match (best, next) {
        (Some(best), Some(next)) if next.gain > best.gain => Some(next),
        (None, next) => next,
        (best, _) => best,
    }
}

fn largest_gain(leaves: &[Leaf]) -> Option<(usize, Split)> {
    let mut best: Option<(usize, Split)> = None;
    for (at, leaf) in leaves.iter().enumerate() {
        let Some(split) = leaf.best else { continue };
        // Of equals the oldest, wherever it stands.
        let wins = best.is_none_or(|(other, found)| {
            split.gain > found.gain || (split.gain == found.gain && leaf.node < leaves[other].node)
        });
        if wins {
            best = Some((at, split));
        }
    }
    best
}

/// Where a column must rise or fall, its children are kept on their sides of the middle between them.
fn ranges(leaf: &Leaf, split: &Split, rule: &Rule<'_>) -> (Range, Range) {
    let (mut left, mut right) = (leaf.range, leaf.range);
    let monotone = rule.monotone.get(split.column).copied().unwrap_or(0);
    if monotone != 0 {
        let middle = (rule.value(split.left, leaf.range) + rule.value(split.right, leaf.range)) / 2.0;
        let (lower, upper) = if monotone > 0 { (&mut left, &mut right) } else { (&mut right, &mut left) };
        lower.high = lower.high.min(middle);
        upper.low = upper.low.max(middle);
    }
    (left, right)
}
