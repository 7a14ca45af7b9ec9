//! Whether the world is still the one a model learned from: how its inputs are distributed, and whether what it says
//! still happens as often as it says.
//!
//! Both alarms need two things, size and certainty: a shift too small to matter is quiet however many rows show it,
//! and a large one that so few rows show by chance alone is quiet too.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Population stability index from which a feature is watched, and from which it is alarming: the rule of thumb of
/// credit scoring (Siddiqi 2006, Credit Risk Scorecards).
pub const PSI_WATCH: f64 = 0.1;
pub const PSI_ALARM: f64 = 0.25;
/// Mean absolute gap between what was said and what happened, over ten bins, from which calibration is alarming.
pub const CALIBRATION_GAP_ALARM: f64 = 0.05;
/// A shift counts when chance alone gives one so large less often than this.
const CHANCE: f64 = 0.001;
/// Stands in for a share of nothing, whose logarithm would have no end: half a row.
const HALF_ROW: f64 = 0.5;
const CALIBRATION_BINS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Steady,
    Watch,
    Alarm,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DriftError {
    #[error("there are no rows to compare")]
    Empty,
    #[error("the lengths differ: {0} and {1}")]
    Length(usize, usize),
    #[error("row {0} is not a probability, or its outcome neither 0 nor 1")]
    Probability(usize),
}

/// How one feature or score was distributed when the model learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    /// Bin k holds what is at most `edges[k]` and above the edge before; the last bin what is above all.
    edges: Vec<f64>,
    /// Rows in each bin; one more than edges, and last those without a value.
    counts: Vec<u64>,
}

/// What comparing gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    pub psi: f64,
    /// What chance alone exceeds once in a thousand times at these numbers of rows.
    pub by_chance: f64,
    pub verdict: Verdict,
}

impl Reference {
    /// `values` in up to `bins` bins of equal count; what is not finite is a value that is missing.
    ///
    /// # Errors
    /// `Empty` without rows.
    pub fn new(name: &str, values: &[f64], bins: usize) -> Result<Reference, DriftError> {
        if values.is_empty() {
            return Err(DriftError::Empty);
        }
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let bins = bins.max(2);
        let mut edges: Vec<f64> =
            (1..bins).filter_map(|k| sorted.get((k * sorted.len() / bins).saturating_sub(1)).copied()).collect();
        edges.dedup();
        // An edge at the largest value would leave the last bin empty for ever.
        edges.retain(|edge| sorted.last().is_some_and(|last| edge < last));
        let mut reference = Reference { name: name.to_owned(), edges, counts: Vec::new() };
        reference.counts = reference.count(values);
        Ok(reference)
    }

    pub(super) fn is_finite(&self) -> bool {
        self.edges.iter().all(|edge| edge.is_finite())
    }

    fn count(&self, values: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; self.edges.len() + 2];
        for value in values {
            let bin =
                if value.is_finite() { self.edges.partition_point(|edge| edge < value) } else { self.edges.len() + 1 };
            counts[bin] += 1;
        }
        counts
    }
}

/// Population stability index of `values` against what the model learned from: the sum over bins of
/// (share now − share then) · ln(share now / share then); a bin without rows counts half a row.
///
/// Without any shift its distribution is that of (1/n + 1/m) times a chi-squared with one degree of freedom less than
/// bins (Yurdakul and Naranjo 2020, Statistical properties of the population stability index), which gives `by_chance`.
///
/// # Errors
/// `Empty` without rows.
pub fn stability(reference: &Reference, values: &[f64]) -> Result<Shift, DriftError> {
    let then_rows: u64 = reference.counts.iter().sum();
    if values.is_empty() || then_rows == 0 {
        return Err(DriftError::Empty);
    }
    let now = reference.count(values);
    let (n, m) = (then_rows as f64, values.len() as f64);
    let mut psi = 0.0;
    let mut bins = 0;
    for (then, now) in reference.counts.iter().zip(&now) {
        if *then == 0 && *now == 0 {
            continue;
        }
        bins += 1;
        let then = (*then as f64).max(HALF_ROW) / n;
        let now = (*now as f64).max(HALF_ROW) / m;
        psi += (now - then) * libm::log(now / then);
    }
    let by_chance = chi_squared_upper(bins - 1) * (1.0 / n + 1.0 / m);
    let verdict = match psi {
        psi if psi < PSI_WATCH || psi <= by_chance => Verdict::Steady,
        psi if psi < PSI_ALARM => Verdict::Watch,
        _ => Verdict::Alarm,
    };
    Ok(Shift { psi, by_chance, verdict })
}

/// How well probabilities hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    pub rows: usize,
    /// Mean outcome less mean probability: above 0, more happens than was said.
    pub mean_gap: f64,
    /// Expected calibration error: the mean absolute gap over ten bins of equal count.
    pub bin_gap: f64,
    /// Hosmer and Lemeshow's statistic over the same bins, and what chance alone exceeds once in a thousand times.
    pub statistic: f64,
    pub by_chance: f64,
    pub verdict: Verdict,
}

/// Compares probabilities with what happened (0 or 1).
///
/// The statistic is that of Hosmer and Lemeshow (1980); for predictions on data that the model did not learn from it
/// has as many degrees of freedom as bins. Watch when it is beyond chance, alarm when the gap is also
/// [`CALIBRATION_GAP_ALARM`] or more.
///
/// # Errors
/// `Length`, `Empty`, `Probability`.
pub fn calibration(probability: &[f64], outcome: &[f64]) -> Result<Calibration, DriftError> {
    if probability.len() != outcome.len() {
        return Err(DriftError::Length(probability.len(), outcome.len()));
    }
    if probability.is_empty() {
        return Err(DriftError::Empty);
    }
    let fits = |i: &usize| (0.0..=1.0).contains(&probability[*i]) && (outcome[*i] == 0.0 || outcome[*i] == 1.0);
    if let Some(row) = (0..probability.len()).find(|i| !fits(i)) {
        return Err(DriftError::Probability(row));
    }
    let mut order: Vec<usize> = (0..probability.len()).collect();
    order.sort_by(|a, b| probability[*a].total_cmp(&probability[*b]));
    let rows = order.len();
    let (mut bin_gap, mut statistic, mut bins) = (0.0, 0.0, 0);
    for k in 0..CALIBRATION_BINS {
        let bin = &order[k * rows / CALIBRATION_BINS..(k + 1) * rows / CALIBRATION_BINS];
        if bin.is_empty() {
            continue;
        }
        bins += 1;
        let said: f64 = bin.iter().map(|i| probability[*i]).sum();
        let happened: f64 = bin.iter().map(|i| outcome[*i]).sum();
        // A bin said to be certain has no variance; a quarter of a row keeps one surprise from being infinite.
        let variance = (said * (1.0 - said / bin.len() as f64)).max(HALF_ROW / 2.0);
        statistic += (happened - said).powi(2) / variance;
        bin_gap += (happened - said).abs() / rows as f64;
    }
    let mean_gap = outcome.iter().zip(probability).map(|(y, p)| y - p).sum::<f64>() / rows as f64;
    let by_chance = chi_squared_upper(bins);
    let verdict = match statistic > by_chance {
        false => Verdict::Steady,
        true if bin_gap < CALIBRATION_GAP_ALARM => Verdict::Watch,
        true => Verdict::Alarm,
    };
    Ok(Calibration { rows, mean_gap, bin_gap, statistic, by_chance, verdict })
}

/// What a chi-squared variable exceeds with probability [`CHANCE`]; 0 without a degree of freedom.
fn chi_squared_upper(freedom: usize) -> f64 {
    ChiSquared::new(freedom as f64).map_or(0.0, |distribution| distribution.inverse_cdf(1.0 - CHANCE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::chance::chance;
    use proptest::prelude::*;

    fn uniform(seed: u64, rows: usize) -> Vec<f64> {
        let mut chance = chance(seed, 0);
        (0..rows).map(|_| chance.random::<f64>()).collect()
    }

    /// Two bins of 50 %, now 70 % and 30 %: 0.2 · ln 1.4 − 0.2 · ln 0.6 = 0.16946, by hand.
    #[test]
    fn the_index_is_what_a_hand_computes() {
        let half = |low: usize| [vec![0.0; low], vec![1.0; 1000 - low]].concat();
        let reference = Reference::new("x", &half(500), 2).unwrap();
        let shift = stability(&reference, &half(700)).unwrap();
        assert!((shift.psi - 0.169_459_6).abs() < 1e-6, "{shift:?}");
        assert_eq!(shift.verdict, Verdict::Watch);
        assert_eq!(stability(&reference, &half(850)).unwrap().verdict, Verdict::Alarm);
    }

    /// The 99.9 % points of chi-squared with 1 and 10 degrees: 10.828 and 29.588 (Pearson and Hartley, table 8).
    #[test]
    fn chance_is_as_tabled() {
        assert!((chi_squared_upper(1) - 10.828).abs() < 1e-3);
        assert!((chi_squared_upper(10) - 29.588).abs() < 1e-3);
    }

    /// Without a shift there is hardly ever an alarm, also with few rows, where the index alone would often be large.
    #[test]
    fn few_rows_are_no_reason_for_an_alarm() {
        let reference = Reference::new("x", &uniform(1, 2_000), 10).unwrap();
        let shifts: Vec<Shift> = (0..300).map(|s| stability(&reference, &uniform(s + 2, 40)).unwrap()).collect();
        assert!(shifts.iter().filter(|s| s.psi >= PSI_ALARM).count() > 20, "the index alone would cry wolf");
        assert!(shifts.iter().filter(|s| s.verdict == Verdict::Alarm).count() <= 6);
    }

    #[test]
    fn a_shift_and_missing_values_are_alarms() {
        let reference = Reference::new("x", &uniform(1, 2_000), 10).unwrap();
        let moved: Vec<f64> = uniform(2, 500).iter().map(|x| x + 0.5).collect();
        assert_eq!(stability(&reference, &moved).unwrap().verdict, Verdict::Alarm);
        let gone: Vec<f64> =
            uniform(3, 500).iter().map(|x| if *x < 0.5 { f64::NAN } else { uniform(4, 1)[0] }).collect();
        assert_eq!(stability(&reference, &gone).unwrap().verdict, Verdict::Alarm);
    }

    #[test]
    fn a_constant_has_one_bin_and_leaving_it_is_seen() {
        let reference = Reference::new("x", &[3.0; 500], 10).unwrap();
        assert_eq!(stability(&reference, &[3.0; 400]).unwrap().verdict, Verdict::Steady);
        let gone = stability(&reference, &[f64::NAN; 400]).unwrap();
        assert_eq!(gone.verdict, Verdict::Alarm);
        assert!(gone.psi.is_finite());
        assert_eq!(stability(&reference, &[]), Err(DriftError::Empty));
        assert_eq!(Reference::new("x", &[], 10), Err(DriftError::Empty));
    }

    fn happened(probability: &[f64], seed: u64, by: f64) -> Vec<f64> {
        let mut chance = chance(seed, 1);
        probability.iter().map(|p| f64::from(u8::from(chance.random::<f64>() < p + by))).collect()
    }

    #[test]
    fn calibration_alarms_when_more_happens_than_was_said_and_not_before() {
        let said: Vec<f64> = uniform(5, 3_000).iter().map(|p| 0.1 + 0.6 * p).collect();
        let alarms = |by: f64, rows: usize| {
            let verdict = |s| calibration(&said[..rows], &happened(&said[..rows], s, by)).unwrap().verdict;
            (0..100).filter(|s| verdict(*s) == Verdict::Alarm).count()
        };
        assert_eq!(alarms(0.0, 3_000), 0);
        assert!(alarms(0.0, 60) <= 3, "few rows");
        assert!(alarms(0.1, 3_000) >= 99);
        assert_eq!(alarms(0.02, 3_000), 0, "too small to matter");
    }

    #[test]
    fn what_cannot_be_judged_is_told() {
        assert_eq!(calibration(&[0.5], &[]), Err(DriftError::Length(1, 0)));
        assert_eq!(calibration(&[], &[]), Err(DriftError::Empty));
        assert_eq!(calibration(&[0.5, f64::NAN], &[1.0, 0.0]), Err(DriftError::Probability(1)));
        assert_eq!(calibration(&[0.5], &[0.3]), Err(DriftError::Probability(0)));
    }

    proptest! {
        #[test]
        fn nothing_is_ever_not_a_number(then in prop::collection::vec(any::<f64>(), 1..80), now in prop::collection::vec(any::<f64>(), 1..80), bins in 0usize..20) {
            let shift = stability(&Reference::new("x", &then, bins).unwrap(), &now).unwrap();
            prop_assert!(shift.psi.is_finite() && shift.psi >= 0.0 && shift.by_chance.is_finite());
        }

        #[test]
        fn the_same_rows_are_steady(then in prop::collection::vec(-1e6f64..1e6, 1..200)) {
            prop_assert_eq!(stability(&Reference::new("x", &then, 10).unwrap(), &then).unwrap().psi, 0.0);
        }
    }
}
