//! Many rows down many trees.
//!
//! Trees too large for masks are walked by rows side by side, a level at a time and without asking whether a leaf is
//! reached: in a leaf they stay. So no step waits for the one before it in another row, and nothing has to be guessed.

use super::bins::MISSING;
use super::masks::Masks;
use super::tree::Tree;

/// Rows whose codes are made and used at once; they stay in the first cache.
pub const ROWS_AT_ONCE: usize = 256;

/// Codes of one feature.
pub type FeatureCodes = [u8; ROWS_AT_ONCE];

/// Rows that go side by side.
const ABREAST: usize = 16;

/// Fewer rows than this are told sooner than masks are made.
const ROWS_FOR_MASKS_MIN: usize = 128;

/// Trees in the form in which many rows are told fast.
pub struct Forest(Vec<Form>);

enum Form {
    Masks(Box<Masks>),
    Paces(Paces),
}

impl Forest {
    /// For `rows` rows; `place` names for each feature where its codes will stand.
    pub fn new(trees: &[Tree], place: &[u16], rows: usize) -> Forest {
        let form = |tree: &Tree| {
            let masks = if rows < ROWS_FOR_MASKS_MIN { None } else { Masks::new(tree, place) };
            masks.map_or_else(|| Form::Paces(Paces::new(tree, place)), |masks| Form::Masks(Box::new(masks)))
        };
        Forest(trees.iter().map(form).collect())
    }

    /// Adds every tree's value to the scores of up to `ROWS_AT_ONCE` rows.
    pub fn add(&self, codes: &[FeatureCodes], scores: &mut [f64]) {
        for tree in &self.0 {
            match tree {
                Form::Masks(masks) => masks.add(codes, scores),
                Form::Paces(paces) => paces.add(codes, scores),
            }
        }
    }
}

struct Paces {
    nodes: Vec<Pace>,
    values: Vec<f64>,
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

impl Paces {
    fn new(tree: &Tree, place: &[u16]) -> Paces {
        let mut nodes = Vec::with_capacity(tree.nodes.len());
        for (at, node) in tree.nodes.iter().enumerate() {
            nodes.push(if node.is_leaf() {
                Pace { feature: 0, shift: 0, upto: MISSING, left: at as u32 }
            } else {
                let shift = u8::from(node.missing_left);
                let feature = place[usize::from(node.feature)];
                Pace { feature, shift, upto: node.upto.wrapping_add(shift), left: node.left }
            });
        }
        Paces { nodes, values: tree.values.clone(), depth: tree.depth() }
    }

    fn add(&self, codes: &[FeatureCodes], scores: &mut [f64]) {
        for (from, scores) in (0..).step_by(ABREAST).zip(scores.chunks_mut(ABREAST)) {
            self.walk(codes, from, scores);
        }
    }

    fn walk(&self, codes: &[FeatureCodes], from: usize, scores: &mut [f64]) {
        let mut at = [0_u32; ABREAST];
        for _ in 0..self.depth {
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
