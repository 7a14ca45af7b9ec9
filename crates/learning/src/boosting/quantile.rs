//! Quantiles of a leaf.

/// The quantile of `level` in `values`, which are reordered: each stands at the middle of its share of ranks, and
/// between two of them is a straight line (Hyndman and Fan 1996, definition 5). 0 of nothing.
pub fn plain(values: &mut [f64], level: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = (values.len() as f64 * level - 0.5).clamp(0.0, last as f64);
    let below = (place as usize).min(last);
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    low + (high - low) * (place - below as f64)
}

/// The same of `(value, weight)`, weights above 0.
pub fn weighted(values: &mut [(f64, f64)], level: f64) -> f64 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let (mut sum, mut before) = (0.0, None);
    for &(value, weight) in values.iter() {
        let place = sum + weight / 2.0;
        if place >= level * total {
            return match before {
                Some((value_before, place_before)) if place > place_before => {
                    let share = (level * total - place_before) / (place - place_before);
                    value_before + (value - value_before) * share
                }
                _ => value,
            };
        }
        before = Some((value, place));
        sum += weight;
    }
    before.map_or(0.0, |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_five_numbers() {
        // R: quantile(c(1, 2, 4, 8, 16), c(0.1, 0.5, 0.75, 0.99), type = 5) is 1, 4, 10, 16.
        for (level, expected) in [(0.1, 1.0), (0.5, 4.0), (0.75, 10.0), (0.99, 16.0)] {
            let mut values = [8.0, 1.0, 16.0, 2.0, 4.0];
            let mut pairs = values.map(|value| (value, 3.0));
            assert!((plain(&mut values, level) - expected).abs() < 1e-12);
            assert!((weighted(&mut pairs, level) - expected).abs() < 1e-12);
        }
        assert_eq!(plain(&mut [], 0.5), 0.0);
    }
}
