//! How far a number is from every one before it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::tail::Tail;

/// Numbers that are remembered.
const PAST_MAX: usize = 8192;
/// While so few were seen, everything is new: gaps count as none.
const PAST_MIN: usize = 150;
/// While so few were seen, there are not enough gaps to say which is rare: nothing is strange.
const JUDGED_FROM: usize = 200;
/// Rarer than one in ten to this is not distinguished.
const RARITY_MAX: f64 = 8.0;
/// How much the size of the gap counts beside its rarity: the power of its share of the range seen so far. At 0 a tiny
/// gap is as strange as a huge one if no gap was as large; at 1 only what bursts the range is strange.
const SIZE_POWER: f64 = 0.375;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    past: VecDeque<f64>,
    sorted: Vec<f64>,
    /// Of all time, beyond what is remembered.
    range: Option<(f64, f64)>,
    gaps: Tail,
    seen: usize,
}

impl Novelty {
    /// How strange `value` is, 0 to `RARITY_MAX`: the rarity of its gap to the nearest number before, reduced by how
    /// small it is. Differences of what is pushed must be finite.
    pub fn push(&mut self, value: f64) -> f64 {
        let place = self.sorted.partition_point(|&past| past < value);
        let above = self.sorted.get(place).map_or(f64::INFINITY, |above| above - value);
        let below = place.checked_sub(1).map_or(f64::INFINITY, |below| value - self.sorted[below]);
        let gap = if self.seen < PAST_MIN { 0.0 } else { above.min(below) };
        let rarity = self.gaps.push(gap).min(RARITY_MAX);
        let (low, high) = self.range.unwrap_or((value, value));
        let size = if gap >= high - low { 1.0 } else { gap / (high - low) };
        self.range = Some((low.min(value), high.max(value)));
        let strange = gap > 0.0 && self.seen >= JUDGED_FROM;
        self.remember(value, place);
        if strange { rarity * libm::pow(size, SIZE_POWER) } else { 0.0 }
    }

    fn remember(&mut self, value: f64, place: usize) {
        self.sorted.insert(place, value);
        self.past.push_back(value);
        self.seen = self.seen.saturating_add(1);
        if self.past.len() > PAST_MAX
            && let Some(oldest) = self.past.pop_front()
        {
            let place = self.sorted.partition_point(|&past| past < oldest);
            self.sorted.remove(place);
        }
    }
}
