//! Scores as ranks.

/// The share of the others that a score is above, ties shared: 0..=1, one half for all if all are equal.
pub fn shares(scores: &[f64]) -> Vec<f64> {
    let count = scores.len();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut shares = vec![0.5; count];
    let mut first = 0;
    while first < count {
        let last = (first..count).take_while(|&i| scores[order[i]] == scores[order[first]]).last().unwrap_or(first);
        let share = if count > 1 { (first + last) as f64 / 2.0 / (count - 1) as f64 } else { 0.5 };
        for &row in &order[first..=last] {
            shares[row] = share;
        }
        first = last + 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_rank() {
        assert_eq!(shares(&[3.0, 1.0, 3.0, 9.0, 0.0]), [0.625, 0.25, 0.625, 1.0, 0.0]);
        assert_eq!(shares(&[7.0, 7.0]), [0.5, 0.5]);
        assert_eq!(shares(&[7.0]), [0.5]);
    }
}
