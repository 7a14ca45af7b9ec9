//! How rare a number is among those that came before it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The numbers of the recent past, in order of time and of size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    past: VecDeque<f64>,
    sorted: Vec<f64>,
}

/// Numbers that are remembered.
const PAST_MAX: usize = 8192;
/// Before so many were seen, nothing is rare.
const PAST_MIN: usize = 40;
/// The share of the largest from which the tail beyond them is estimated.
const TAIL: f64 = 0.03;
/// Rarer than one in ten to this is not distinguished.
const RARITY_MAX: f64 = 30.0;

impl Tail {
    /// -log10 of the chance that a number like those before is as large as `value`, which is then one of them.
    ///
    /// Within the past it is the rank; beyond its largest numbers an exponential tail, whose scale is their mean
    /// excess (the Gumbel case of Pickands 1975; Siffer et al. 2017 use it for streams).
    pub fn push(&mut self, value: f64) -> f64 {
        let rarity = self.rarity(value);
        self.add(value);
        rarity
    }

    pub fn rarity(&self, value: f64) -> f64 {
        let count = self.sorted.len();
        if count < PAST_MIN {
            return 0.0;
        }
        let beyond = count - self.sorted.partition_point(|&past| past < value);
        let tail = ((count as f64 * TAIL) as usize).max(5);
        let threshold = self.sorted[count - tail];
        if beyond >= tail || value <= threshold {
            return -libm::log10((beyond as f64 + 1.0) / (count as f64 + 1.0));
        }
        let excess = self.sorted[count - tail..].iter().map(|past| past - threshold).sum::<f64>() / tail as f64;
        let scale = excess.max(1e-9 + 1e-3 * threshold.abs());
        let share = tail as f64 / count as f64;
        ((value - threshold) / scale * std::f64::consts::LOG10_E - libm::log10(share)).min(RARITY_MAX)
    }

    fn add(&mut self, value: f64) {
        if self.past.len() == PAST_MAX
            && let Some(oldest) = self.past.pop_front()
        {
            let place = self.sorted.partition_point(|&past| past < oldest);
            self.sorted.remove(place);
        }
        self.past.push_back(value);
        let place = self.sorted.partition_point(|&past| past < value);
        self.sorted.insert(place, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::chance;
    use rand::RngExt as _;

    /// An exponential number exceeds x with chance exp(-x): its rarity is x log10(e), inside and beyond what was seen.
    #[test]
    fn rarity_of_exponential_numbers_is_known() {
        let mut random = chance(11, 3);
        let mut tail = Tail::default();
        for _ in 0..4_000 {
            tail.push(-libm::log(1.0 - random.random::<f64>()));
        }
        for x in [0.5, 1.0, 2.0, 5.0, 12.0, 20.0] {
            let wanted = x * std::f64::consts::LOG10_E;
            assert!((tail.rarity(x) - wanted).abs() < 0.1 + 0.1 * wanted, "{x}: {}", tail.rarity(x));
        }
    }
}
