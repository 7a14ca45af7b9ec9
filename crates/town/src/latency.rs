//! Latency figures.

use serde::Serialize;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<u32>);

/// In milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub n: usize,
}

impl Latencies {
    pub fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn merge(&mut self, other: &Latencies) {
        self.0.extend_from_slice(&other.0);
    }

    pub fn percentiles(&self) -> Percentiles {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
            sorted.get(place).map_or(0.0, |us| f64::from(*us) / 1_000.0)
        };
        Percentiles { p50: at(0.50), p95: at(0.95), p99: at(0.99), n: sorted.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut all = Latencies::default();
        (1..=100).for_each(|ms| all.add(Duration::from_millis(ms)));
        let p = all.percentiles();
        assert_eq!((p.p50, p.p95, p.p99, p.n), (50.0, 95.0, 99.0, 100));
        assert_eq!(Latencies::default().percentiles(), Percentiles::default());
    }
}
