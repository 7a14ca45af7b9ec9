//! Are stated chances kept? Of what is said to come true in 70 of 100 cases, about 70 of 100 should.

/// A tenth of the estimates, ordered by what they claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decile {
    pub n: usize,
    /// Mean of the probabilities stated.
    pub claimed: f64,
    /// Share that came true.
    pub came_true: f64,
    /// Wilson's 80 % interval for the share that comes true in the long run, as if outcomes were independent. Opinions
    /// on one question are not, so with many of them the truth is wider.
    pub lo: f64,
    pub hi: f64,
}

/// Ten groups of equal size (to one) in the order of `claimed`; fewer with less than ten rows, none without rows.
///
/// Both slices have length n; what stands beyond the shorter one, and pairs whose probability is not finite, are left
/// out. Source of the interval: Wilson (1927).
pub fn reliability(claimed: &[f64], came_true: &[bool]) -> Vec<Decile> {
    let mut pairs: Vec<(f64, bool)> =
        claimed.iter().copied().zip(came_true.iter().copied()).filter(|(p, _)| p.is_finite()).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = pairs.len();
    (0..10).map(|i| &pairs[i * n / 10..(i + 1) * n / 10]).filter(|group| !group.is_empty()).map(decile).collect()
}

/// Largest difference between claim and outcome over the deciles; the product promises at most 0.03 on a long record.
/// None without deciles.
pub fn calibration_gap(deciles: &[Decile]) -> Option<f64> {
    deciles.iter().map(|decile| (decile.claimed - decile.came_true).abs()).reduce(f64::max)
}

fn decile(group: &[(f64, bool)]) -> Decile {
    let n = group.len() as f64;
    let claimed = group.iter().map(|(p, _)| p).sum::<f64>() / n;
    let share = group.iter().filter(|(_, yes)| *yes).count() as f64 / n;
    let z2 = super::EIGHTY_PERCENT * super::EIGHTY_PERCENT;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = super::EIGHTY_PERCENT * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    Decile { n: group.len(), claimed, came_true: share, lo: (centre - half).max(0.0), hi: (centre + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deciles_are_of_equal_size_and_in_order() {
        let claimed: Vec<f64> = (0..200).map(|i| f64::from(i) / 200.0).collect();
        let came: Vec<bool> = (0..200).map(|i| (i * 7919) % 200 < i).collect();
        let deciles = reliability(&claimed, &came);
        assert_eq!(deciles.len(), 10);
        assert!(deciles.iter().all(|d| d.n == 20 && d.lo <= d.came_true && d.came_true <= d.hi));
        assert!(deciles.windows(2).all(|pair| pair[0].claimed < pair[1].claimed));
        assert!(calibration_gap(&deciles).unwrap() < 0.15);
    }

    /// Wilson's ends are where the share that was seen lies at the edge of the normal interval around the truth.
    #[test]
    fn the_interval_is_wilsons() {
        let group: Vec<(f64, bool)> = (0..10).map(|i| (0.8, i < 8)).collect();
        let decile = decile(&group);
        for end in [decile.lo, decile.hi] {
            let distance = (0.8 - end).abs() / (end * (1.0 - end) / 10.0).sqrt();
            assert!((distance - 1.281_551_565_5).abs() < 1e-9, "{decile:?}");
        }
    }

    #[test]
    fn few_rows_give_few_groups() {
        assert!(reliability(&[], &[]).is_empty() && calibration_gap(&[]).is_none());
        assert_eq!(reliability(&[0.3, f64::NAN, 0.6], &[true, true, false]).len(), 2);
    }
}
