//! Which rows and columns a tree sees.

use rand::RngExt;
use std::ops::Range;

use crate::numeric::chance::Chance;

/// `share` of the numbers below `count`, at least one, rising. Source: Knuth, The Art of Computer Programming,
/// volume 2, 3.4.2, algorithm S.
pub fn some(count: usize, share: f64, chance: &mut Chance) -> Vec<u32> {
    let mut wanted = ((count as f64 * share).round() as usize).clamp(1.min(count), count);
    let mut taken = Vec::with_capacity(wanted);
    for i in 0..count {
        let left = (count - i) as f64;
        if wanted > 0 && chance.random::<f64>() * left < wanted as f64 {
            taken.push(i as u32);
            wanted -= 1;
        }
    }
    taken
}

/// The rows of `share` of the groups, or of the rows if there are no groups.
pub fn rows(count: usize, groups: &[Range<usize>], share: f64, chance: &mut Chance) -> Vec<u32> {
    if groups.is_empty() {
        return some(count, share, chance);
    }
    let taken = some(groups.len(), share, chance);
    taken.into_iter().flat_map(|group| groups[group as usize].clone()).map(|row| row as u32).collect()
}
