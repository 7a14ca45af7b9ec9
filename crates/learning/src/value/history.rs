//! What one customer bought: purchase days and what was spent on each.

/// One customer's purchases, one entry for each day with a purchase, in order.
///
/// Spend is what the till took, net of refunds and of what points paid. This is the only input there is for a
/// customer's value: nothing that was staked, won or lost on a market has a place in it, by construction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PurchaseHistory {
    days: Vec<i32>,
    spend: Vec<f64>,
}

/// A purchase that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("the purchase at place {place} has the spend {spend}; finite amounts from 0 are needed")]
pub struct BadSpend {
    pub place: usize,
    pub spend: f64,
}

impl PurchaseHistory {
    /// From purchases in any order, as (day number, spend); several on one day become one.
    ///
    /// # Errors
    /// `BadSpend` for a negative or non-finite spend.
    pub fn new(purchases: &[(i32, f64)]) -> Result<PurchaseHistory, BadSpend> {
        let bad = |spend: f64| !(0.0..f64::INFINITY).contains(&spend);
        if let Some((place, (_, spend))) = purchases.iter().enumerate().find(|(_, (_, spend))| bad(*spend)) {
            return Err(BadSpend { place, spend: *spend });
        }
        let mut sorted = purchases.to_vec();
        sorted.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)));
        let mut history = PurchaseHistory::default();
        for (day, spend) in sorted {
            match history.spend.last_mut() {
                Some(last) if history.days.last() == Some(&day) => *last += spend,
                _ => {
                    history.days.push(day);
                    history.spend.push(spend);
                }
            }
        }
        Ok(history)
    }

    /// Day numbers with a purchase, ascending.
    pub fn days(&self) -> &[i32] {
        &self.days
    }

    /// Spend on each of `days`.
    pub fn spend(&self) -> &[f64] {
        &self.spend
    }

    /// What was known at the end of `day`.
    pub fn until(&self, day: i32) -> Seen<'_> {
        let seen = self.days.partition_point(|d| *d <= day);
        Seen { days: &self.days[..seen], spend: &self.spend[..seen] }
    }

    /// Purchase days and spend from the day after `day` to `last` inclusive.
    pub fn between(&self, day: i32, last: i32) -> Seen<'_> {
        let (from, to) = (self.days.partition_point(|d| *d <= day), self.days.partition_point(|d| *d <= last));
        Seen { days: &self.days[from..to.max(from)], spend: &self.spend[from..to.max(from)] }
    }
}

/// A part of a history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen<'a> {
    pub days: &'a [i32],
    pub spend: &'a [f64],
}

impl Seen<'_> {
    pub fn spend_sum(&self) -> f64 {
        self.spend.iter().sum()
    }

    /// What repeat-buying models need to know of a customer at the end of `cutoff`; None without a purchase.
    pub fn summary(&self, cutoff: i32) -> Option<Summary> {
        let (first, last) = (*self.days.first()?, *self.days.last()?);
        let gaps = self.days.windows(2).map(|pair| weeks(pair[1] - pair[0]));
        Some(Summary {
            repeats: u32::try_from(self.days.len() - 1).unwrap_or(u32::MAX),
            recency: weeks(last - first),
            age: weeks(cutoff.max(last) - first),
            ln_gaps: gaps.map(libm::log).sum(),
        })
    }

    /// Number of purchase days with a spend above 0, and their mean spend.
    pub fn mean_spend(&self) -> MeanSpend {
        let days = self.spend.iter().filter(|spend| **spend > 0.0).count();
        MeanSpend { days: days as f64, mean: if days == 0 { 0.0 } else { self.spend_sum() / days as f64 } }
    }
}

fn weeks(days: i32) -> f64 {
    f64::from(days) / 7.0
}

/// A customer as repeat-buying models see one. Times are in weeks, counted from the first purchase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Purchase days after the first.
    pub repeats: u32,
    /// Time of the last purchase; 0 without a repeat.
    pub recency: f64,
    /// Time of the cut-off, at least `recency`.
    pub age: f64,
    /// Sum of the logarithms of the times between purchases; decides between degrees of regularity.
    pub ln_gaps: f64,
}

/// Purchase days with spend, and the mean spend on them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanSpend {
    pub days: f64,
    pub mean: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_day_are_one_purchase_day_in_any_order() {
        let history = PurchaseHistory::new(&[(9, 2.0), (2, 5.0), (9, 3.0), (16, 0.0)]).unwrap();
        assert_eq!(history.days(), [2, 9, 16]);
        assert_eq!(history.spend(), [5.0, 5.0, 0.0]);
        let summary = history.until(15).summary(16).unwrap();
        assert_eq!((summary.repeats, summary.recency, summary.age, summary.ln_gaps), (1, 1.0, 2.0, 0.0));
        assert_eq!(history.between(2, 16).days, [9, 16]);
        assert_eq!(history.until(20).mean_spend(), MeanSpend { days: 2.0, mean: 5.0 });
        assert_eq!(history.until(1).summary(1), None);
    }

    #[test]
    fn negative_and_non_finite_spend_is_refused() {
        assert_eq!(PurchaseHistory::new(&[(1, 1.0), (2, -1.0)]), Err(BadSpend { place: 1, spend: -1.0 }));
        assert!(PurchaseHistory::new(&[(1, f64::NAN)]).is_err());
        assert!(PurchaseHistory::new(&[(1, f64::INFINITY)]).is_err());
    }
}
