//! How long decisions took, from the occasion to the action: without the lines that bring the one and take the other.

use std::fmt::{self, Display, Formatter};
use std::time::Instant;

/// Microseconds of each decision.
#[derive(Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn of<T>(&mut self, decide: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let decided = decide();
        self.0.push(start.elapsed().as_secs_f64() * 1e6);
        decided
    }
}

impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut ordered = self.0.clone();
        ordered.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| ordered.get((share * ordered.len() as f64) as usize).copied().unwrap_or_default();
        write!(f, "nba: {} decisions, median {:.1} us, 99th percentile {:.1} us", ordered.len(), at(0.5), at(0.99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_counts_and_none_is_no_mistake() {
        assert_eq!(Times::default().to_string(), "nba: 0 decisions, median 0.0 us, 99th percentile 0.0 us");
        let mut times = Times::default();
        assert_eq!((times.of(|| 1), times.of(|| 2)), (1, 2));
        assert!(times.to_string().starts_with("nba: 2 decisions, median "));
        let times = Times((0..200).map(f64::from).collect());
        assert_eq!(times.to_string(), "nba: 200 decisions, median 100.0 us, 99th percentile 198.0 us");
    }
}
