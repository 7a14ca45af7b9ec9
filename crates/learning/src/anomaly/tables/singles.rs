//! Detectors that look at one column at a time and add up.

use super::prepare::Matrix;

/// Numbers of bins whose histograms are averaged: a coarse one sees gaps between groups, a fine one sees thin places.
const BINS: [usize; 2] = [10, 20];

/// Sum over columns of the logarithm of how much fuller the fullest bin is than the row's own, bins of equal width.
/// Source: Goldstein and Dengel (2012), HBOS with static bins.
pub fn histogram(rows: &Matrix) -> Vec<f64> {
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

/// Sum over columns of the surprise of standing so far out: -log of twice the share of values at or beyond the row's,
/// on its nearer side. Source: Li et al. (2022), ECOD; two-sided, since a table's skew does not tell which side matters.
pub fn tails(rows: &Matrix) -> Vec<f64> {
    let mut scores = vec![0.0; rows.rows()];
    let count = rows.rows();
    for column in 0..rows.width() {
        let values = rows.column(column);
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let mut first = 0;
        while first < count {
            let tied = order[first..].iter().take_while(|&&row| values[row] == values[order[first]]).count();
            let beyond = (first + tied).min(count - first);
            let surprise = -libm::log((2.0 * beyond as f64 / count as f64).min(1.0));
            for &row in &order[first..first + tied] {
                scores[row] += surprise;
            }
            first += tied;
        }
    }
    scores
}
