//! What each feature adds to a prediction: exact Shapley values of trees, rows without a feature going both ways in
//! the shares of the training sample.
//!
//! Source: Lundberg, Erion and Lee (2018), Consistent individualized feature attribution for tree ensembles,
//! algorithm 2; quadratic in the depth where enumeration is exponential in the features.

use super::bins::Bounds;
use super::tree::Tree;
use super::{BoostError, Booster, Columns};

impl Booster {
    /// For every row, what each feature adds to its raw score, and last what is expected without knowing any. The sum of
    /// a row is `raw`, but for rounding.
    ///
    /// # Errors
    /// `Width` unless there are as many columns as in training.
    pub fn explain(&self, features: &Columns) -> Result<Vec<Vec<f64>>, BoostError> {
        self.fits(features)?;
        let expected = self.start + self.trees.iter().map(expectation).sum::<f64>();
        let mut out = vec![vec![0.0; self.width() + 1]; features.rows()];
        let codes = codes(&self.bounds, features);
        let mut walk = Walk::default();
        for (row, parts) in out.iter_mut().enumerate() {
            for tree in &self.trees {
                walk.add(tree, |feature| codes[usize::from(feature)][row], parts);
            }
            parts[self.width()] = expected;
        }
        Ok(out)
    }
}

fn codes(bounds: &[Bounds], features: &Columns) -> Vec<Vec<u8>> {
    let column = |(j, bounds): (usize, &Bounds)| {
        let mut codes = vec![0; features.rows()];
        bounds.code_all(features.column(j), |row, code| codes[row] = code);
        codes
    };
    bounds.iter().enumerate().map(column).collect()
}

/// Mean value over the training sample.
fn expectation(tree: &Tree) -> f64 {
    let total = f64::from(tree.covers.first().copied().unwrap_or(1));
    let leaves = tree.nodes.iter().zip(tree.values.iter().zip(&tree.covers)).filter(|(node, _)| node.is_leaf());
    leaves.map(|(_, (value, cover))| value * f64::from(*cover) / total).sum()
}

/// A split on the way from the root.
#[derive(Clone, Copy)]
struct Element {
    /// None at the root.
    feature: Option<u16>,
    /// Share of rows that go this way when the feature is not known.
    unknown: f64,
    /// 1 if the row goes this way, else 0.
    known: f64,
    /// Weight of the sets of known features of the size of this element's place.
    weight: f64,
}

/// A node yet to be visited.
struct Visit {
    node: usize,
    level: usize,
    last: Element,
}

/// Memory of the walks: the way to the node at hand, level by level.
#[derive(Default)]
struct Walk {
    ways: Vec<Vec<Element>>,
    open: Vec<Visit>,
}

impl Walk {
    /// Adds to `parts`, one entry a feature, what each feature contributes to the value of `tree`.
    fn add(&mut self, tree: &Tree, code: impl Fn(u16) -> u8, parts: &mut [f64]) {
        let root = Element { feature: None, unknown: 1.0, known: 1.0, weight: 1.0 };
        self.open.push(Visit { node: 0, level: 0, last: root });
        while let Some(Visit { node: at, level, last }) = self.open.pop() {
            let mut way = self.way_to(level);
            extend(&mut way, last);
            let node = tree.nodes[at];
            if node.is_leaf() {
                for place in 1..way.len() {
                    let element = way[place];
                    let part = sum_without(&way, place) * (element.known - element.unknown) * tree.values[at];
                    parts[element.feature.map_or(0, usize::from)] += part;
                }
            } else {
                let before = way.iter().position(|element| element.feature == Some(node.feature));
                let (unknown, known) = before.map_or((1.0, 1.0), |place| without(&mut way, place));
                let goes_to = node.child(code(node.feature));
                for child in [node.left as usize + 1, node.left as usize] {
                    let share = f64::from(tree.covers[child]) / f64::from(tree.covers[at]);
                    let known = if child == goes_to { known } else { 0.0 };
                    let last = Element { feature: Some(node.feature), unknown: unknown * share, known, weight: 0.0 };
                    self.open.push(Visit { node: child, level: level + 1, last });
                }
            }
            self.ways[level] = way;
        }
    }

    /// A copy of the way to the parent of a node at `level`, in that level's memory.
    fn way_to(&mut self, level: usize) -> Vec<Element> {
        if self.ways.len() <= level {
            self.ways.push(Vec::new());
        }
        let mut way = std::mem::take(&mut self.ways[level]);
        way.clear();
        if let Some(parent) = level.checked_sub(1) {
            way.extend_from_slice(&self.ways[parent]);
        }
        way
    }
}

/// Makes the way one element longer and weighs the sets anew.
fn extend(way: &mut Vec<Element>, last: Element) {
    let before = way.len();
    way.push(Element { weight: if before == 0 { 1.0 } else { 0.0 }, ..last });
    let size = (before + 1) as f64;
    for i in (0..before).rev() {
        let weight = way[i].weight;
        way[i + 1].weight += last.known * weight * (i + 1) as f64 / size;
        way[i].weight = last.unknown * weight * (before - i) as f64 / size;
    }
}

/// Takes the element at `place` out, as if it had never been added; returns its shares, unknown and known.
fn without(way: &mut Vec<Element>, place: usize) -> (f64, f64) {
    let Element { unknown, known, .. } = way[place];
    unwind(way, place, |way, i, weight| way[i].weight = weight);
    for i in place..way.len() - 1 {
        way[i] = Element { weight: way[i].weight, ..way[i + 1] };
    }
    way.pop();
    (unknown, known)
}

/// The sum of weights there would be without the element at `place`.
fn sum_without(way: &[Element], place: usize) -> f64 {
    let mut sum = 0.0;
    let mut way = way;
    unwind(&mut way, place, |_, _, weight| sum += weight);
    sum
}

/// Tells `put` what each weight was before the element at `place` was added, from the last to the first.
fn unwind<W: std::ops::Deref<Target = [Element]>>(way: &mut W, place: usize, mut put: impl FnMut(&mut W, usize, f64)) {
    let last = way.len() - 1;
    let size = way.len() as f64;
    let Element { unknown, known, .. } = way[place];
    let mut next = way[last].weight;
    for i in (0..last).rev() {
        let (weight, rest) = (way[i].weight, (last - i) as f64);
        if known > 0.0 {
            let before = next * size / ((i + 1) as f64 * known);
            next = weight - before * unknown * rest / size;
            put(way, i, before);
        } else {
            put(way, i, weight * size / (unknown * rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boosting::{Loss, Sample, Settings, fit};
    use proptest::prelude::*;

    /// Expected value when only the features of `known` are: the definition, by recursion.
    fn conditional(tree: &Tree, at: usize, known: u32, row: &[u8]) -> f64 {
        let node = tree.nodes[at];
        if node.is_leaf() {
            return tree.values[at];
        }
        if known >> node.feature & 1 == 1 {
            return conditional(tree, node.child(row[usize::from(node.feature)]), known, row);
        }
        let left = node.left as usize;
        let share = |child: usize| f64::from(tree.covers[child]) / f64::from(tree.covers[at]);
        [left, left + 1].iter().map(|&child| share(child) * conditional(tree, child, known, row)).sum()
    }

    /// Shapley (1953): the mean over all orders of what a feature adds to those before it.
    fn by_enumeration(tree: &Tree, feature: usize, width: usize, row: &[u8]) -> f64 {
        let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
        let mut part = 0.0;
        for set in (0..1_u32 << width).filter(|set| set >> feature & 1 == 0) {
            let size = set.count_ones() as usize;
            let weight = factorial(size) * factorial(width - size - 1) / factorial(width);
            let with = conditional(tree, 0, set | 1 << feature, row);
            part += weight * (with - conditional(tree, 0, set, row));
        }
        part
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(25))]

        #[test]
        fn parts_are_shapley_values_and_add_up(
            rows in proptest::collection::vec(
                (proptest::collection::vec(prop_oneof![Just(f64::NAN), -2.0..2.0_f64, (0_i32..3).prop_map(f64::from)], 4),
                 -1.0..1.0_f64), 12..50),
            leaves_max in 2_usize..12,
        ) {
            let columns = (0..4).map(|j| rows.iter().map(|(x, _)| x[j]).collect()).collect();
            let features = Columns::new(columns).unwrap();
            let target: Vec<f64> = rows.iter().map(|(x, noise)| noise + if x[0] > x[1] { 2.0 } else { x[2].max(0.0) }).collect();
            let sample = Sample { features: &features, target: &target, weight: None, offset: None, group: None };
            let settings = Settings { rounds: 2, leaves_max, rows_per_leaf_min: 1, ..Settings::default() };
            let booster = fit(&sample, None, Loss::Squared, &settings).unwrap();
            let (parts, raw) = (booster.explain(&features).unwrap(), booster.raw(&features).unwrap());
            let codes = codes(&booster.bounds, &features);
            for (i, (parts, raw)) in parts.iter().zip(&raw).enumerate() {
                prop_assert!((parts.iter().sum::<f64>() - raw).abs() < 1e-10);
                if i < 5 {
                    let row: Vec<u8> = codes.iter().map(|column| column[i]).collect();
                    for (feature, part) in parts[..4].iter().enumerate() {
                        let expected: f64 = booster.trees.iter().map(|t| by_enumeration(t, feature, 4, &row)).sum();
                        prop_assert!((part - expected).abs() < 1e-10, "{} instead of {}", part, expected);
                    }
                }
            }
        }
    }
}
