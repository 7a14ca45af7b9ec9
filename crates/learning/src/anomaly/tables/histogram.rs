//! A detector that looks at one column at a time and adds up.

use super::prepare::Matrix;

/// Numbers of bins whose histograms are averaged: a coarse one sees gaps between groups, a fine one sees thin places.
const BINS: [usize; 2] = [10, 20];

/// Sum over columns of the logarithm of how much fuller the fullest bin is than the row's own, bins of equal width.
/// Source: Goldstein and Dengel (2012), HBOS with static bins.
pub fn thinness(rows: &Matrix) -> Vec<f64> {
    let mut scores = vec![0.0; rows.rows()];
    for column in 0..rows.width() {
        let values = rows.column(column);
        for bins in BINS {
            add_histogram(&values, bins, &mut scores);
        }
    }
    scores
}

fn add_histogram(values: &[f64], bins: usize, scores: &mut [f64]) {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    // A constant column was left out, so the width is above zero.
    let bin = |value: f64| (((value - low) / (high - low) * bins as f64) as usize).min(bins - 1);
    let mut counts = vec![0.0_f64; bins];
    for &value in values {
        counts[bin(value)] += 1.0;
    }
    let fullest = counts.iter().fold(0.0_f64, |most, &count| most.max(count));
    let strange: Vec<f64> = counts.iter().map(|count| libm::log((fullest + 0.1) / (count + 0.1))).collect();
    for (score, &value) in scores.iter_mut().zip(values) {
        *score += strange[bin(value)];
    }
}
