//! What a purchase earns. Pure.

use hunch_kernel::Points;
use jiff::Timestamp;
use uuid::Uuid;

use crate::money::written;

/// Points per whole unit of the amount, plus points per visit. Parts of a unit earn nothing: the one rounding there
/// is, always down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarnTerms {
    pub points_per_unit: i64,
    /// Size of a unit, in minor units of the merchant's currency.
    pub per_cents: i64,
    pub points_per_visit: i64,
    /// No purchase earns more than this by the rule.
    pub points_max: i64,
}

/// Terms with the time in which they hold: until the next rule of the merchant begins, or to an end of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarnRule {
    pub rule: Uuid,
    pub terms: EarnTerms,
    pub valid_from: Timestamp,
    pub valid_to: Option<Timestamp>,
}

impl EarnTerms {
    pub fn points(&self, amount_cents: i64) -> Points {
        let by_amount = i128::from(amount_cents / self.per_cents) * i128::from(self.points_per_unit);
        let all = by_amount + i128::from(self.points_per_visit);
        Points(all.clamp(0, i128::from(self.points_max)) as i64)
    }
}

impl EarnRule {
    pub fn covers(&self, at: Timestamp) -> bool {
        self.valid_from <= at && self.valid_to.is_none_or(|end| at < end)
    }

    pub fn points(&self, amount_cents: i64) -> Points {
        self.terms.points(amount_cents)
    }

    /// The rule as people read it: 10 points for each 1.00 USD and 5 a visit, 500 at most.
    pub fn words(&self, currency: &str) -> String {
        let plural = |n: i64| if n == 1 { "1 point".to_owned() } else { format!("{n} points") };
        let unit = written(self.terms.per_cents, currency);
        let by_amount = format!("{} for each {unit}", plural(self.terms.points_per_unit));
        let earned = match (self.terms.points_per_unit, self.terms.points_per_visit) {
            (_, 0) => by_amount,
            (0, visit) => format!("{} a visit", plural(visit)),
            (_, visit) => format!("{by_amount} and {visit} a visit"),
        };
        format!("{earned}, {} at most.", self.terms.points_max)
    }
}

/// The rule in force at `at`, if any.
pub(crate) fn in_force(rules: &[EarnRule], at: Timestamp) -> Option<&EarnRule> {
    rules.iter().filter(|r| r.covers(at)).max_by_key(|r| r.valid_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(points_per_unit: i64, per_cents: i64, points_per_visit: i64, points_max: i64) -> EarnRule {
        let valid_from = "2026-01-01T00:00:00Z".parse().unwrap();
        let terms = EarnTerms { points_per_unit, per_cents, points_per_visit, points_max };
        EarnRule { rule: Uuid::nil(), terms, valid_from, valid_to: None }
    }

    #[test]
    fn rules_are_told_in_words() {
        assert_eq!(rule(10, 100, 0, 500).words("USD"), "10 points for each 1.00 USD, 500 at most.");
        assert_eq!(rule(1, 50, 5, 9).words("EUR"), "1 point for each 0.50 EUR and 5 a visit, 9 at most.");
        assert_eq!(rule(0, 100, 1, 9).words("JPY"), "1 point a visit, 9 at most.");
    }

    #[test]
    fn whole_rules_from_a_table() {
        // (points per unit, unit in cents, per visit, most), amount in cents, points
        let table = [
            ((1, 100, 0, 1_000), 1_250, 12),
            ((1, 100, 5, 1_000), 1_250, 17),
            ((2, 100, 0, 1_000), 99, 0),
            ((2, 100, 3, 1_000), 99, 3),
            ((1, 10, 0, 1_000), 999, 99),
            ((10, 100, 0, 50), 10_000, 50),
            ((0, 100, 7, 1_000), 1, 7),
            ((i64::MAX, 1, i64::MAX, i64::MAX), i64::MAX, i64::MAX),
        ];
        for ((unit, per, visit, most), amount, points) in table {
            assert_eq!(rule(unit, per, visit, most).points(amount), Points(points), "{amount} at {unit}/{per}+{visit}");
        }
    }

    #[test]
    fn the_rule_of_the_day_counts() {
        let mut old = rule(1, 100, 0, 1_000);
        old.valid_to = Some("2026-06-01T00:00:00Z".parse().unwrap());
        let mut new = rule(2, 100, 0, 1_000);
        new.valid_from = "2026-06-01T00:00:00Z".parse().unwrap();
        let rules = [old, new];
        let points = |at: &str| in_force(&rules, at.parse().unwrap()).map(|r| r.points(100).0);
        assert_eq!(points("2025-12-31T23:59:59Z"), None);
        assert_eq!(points("2026-05-31T23:59:59Z"), Some(1));
        assert_eq!(points("2026-06-01T00:00:00Z"), Some(2));
    }
}
