//! Counts and sums over the last day, week and month, exact and without going through the month again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::DAY;

/// How far back each window reaches, in seconds.
pub const REACHES: [i64; 3] = [DAY, 7 * DAY, 30 * DAY];

/// What happened within each reach of the time it was last brought to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// Time and value, oldest first; those outside the longest reach are gone.
    past: VecDeque<(i64, f64)>,
    /// How many at the front of `past` are outside each reach.
    outside: [usize; 3],
    sums: [f64; 3],
}

impl Windows {
    /// Time goes on to `now`: a window holds what is younger than its reach.
    pub fn advance(&mut self, now: i64) {
        for (window, reach) in REACHES.iter().enumerate() {
            while let Some((_, value)) = self.past.get(self.outside[window]).filter(|(at, _)| *at <= now - reach) {
                self.sums[window] -= value;
                self.outside[window] += 1;
            }
        }
        let gone = self.outside[REACHES.len() - 1];
        if gone > 0 {
            self.past.drain(..gone);
            self.outside.iter_mut().for_each(|outside| *outside -= gone);
        }
        if self.past.is_empty() {
            // What subtraction left of the sums goes too.
            self.sums = [0.0; 3];
        }
    }

    /// Adds `value` at `now`, which is not before what was added last.
    pub fn push(&mut self, now: i64, value: f64) {
        self.past.push_back((now, value));
        self.sums.iter_mut().for_each(|sum| *sum += value);
    }

    pub fn count(&self, window: usize) -> f64 {
        (self.past.len() - self.outside[window]) as f64
    }

    pub fn sum(&self, window: usize) -> f64 {
        if self.past.len() == self.outside[window] { 0.0 } else { self.sums[window].max(0.0) }
    }

    /// NaN for an empty window.
    pub fn mean(&self, window: usize) -> f64 {
        let count = self.count(window);
        if count > 0.0 { self.sum(window) / count } else { f64::NAN }
    }

    pub fn last(&self) -> Option<i64> {
        self.past.back().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Counts and sums are those of going through the whole past.
        #[test]
        fn windows_hold_what_a_search_finds(steps in prop::collection::vec((0..5 * DAY, 0..100u32), 1..60)) {
            let mut windows = Windows::default();
            let mut all: Vec<(i64, f64)> = Vec::new();
            let mut now = 0;
            for (gap, value) in steps {
                now += gap;
                windows.advance(now);
                for (window, reach) in REACHES.iter().enumerate() {
                    let inside: Vec<f64> = all.iter().filter(|(at, _)| *at > now - reach).map(|(_, v)| *v).collect();
                    prop_assert_eq!(windows.count(window), inside.len() as f64);
                    prop_assert_eq!(windows.sum(window), inside.iter().sum::<f64>());
                }
                windows.push(now, f64::from(value));
                all.push((now, f64::from(value)));
            }
        }
    }
}
