//! Which rule counts at a place for a category on a day. Pure.

use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `US-NY`, `US` or `*`.
    pub jurisdiction: String,
    /// sports, events, weather, local or `*`.
    pub category: String,
    pub minimum_age: i16,
    pub allowed: bool,
    pub valid_from: Timestamp,
    pub valid_to: Option<Timestamp>,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    pub allowed: bool,
    pub minimum_age: i16,
}

/// The most specific rule in force: the state before the country before everywhere, and within each the category
/// before all categories. Without any rule nothing is allowed.
pub fn rule_for(rules: &[Rule], jurisdiction: &str, category: &str, at: Timestamp) -> Ruling {
    let country = jurisdiction.split('-').next().unwrap_or_default();
    let rank = |rule: &Rule| {
        let place = match rule.jurisdiction.as_str() {
            j if j == jurisdiction => 3,
            j if j == country => 2,
            "*" => 1,
            _ => return None,
        };
        let kind = match rule.category.as_str() {
            c if c == category => 1,
            "*" => 0,
            _ => return None,
        };
        let in_force = rule.valid_from <= at && rule.valid_to.is_none_or(|end| at < end);
        in_force.then_some((place, kind, rule.valid_from))
    };
    let best = rules.iter().filter_map(|r| rank(r).map(|k| (k, r))).max_by_key(|(k, _)| *k);
    best.map_or(Ruling { allowed: false, minimum_age: 99 }, |(_, r)| Ruling {
        allowed: r.allowed,
        minimum_age: r.minimum_age,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(jurisdiction: &str, category: &str, minimum_age: i16, allowed: bool) -> Rule {
        let valid_from = "2000-01-01T00:00:00Z".parse().unwrap();
        Rule {
            jurisdiction: jurisdiction.into(),
            category: category.into(),
            minimum_age,
            allowed,
            valid_from,
            valid_to: None,
        }
    }

    #[test]
    fn the_most_specific_rule_counts() {
        let at = "2026-11-23T12:00:00Z".parse().unwrap();
        let mut rules = vec![
            rule("*", "*", 18, false),
            rule("US", "*", 18, true),
            rule("US-MA", "*", 21, true),
            rule("US-NV", "sports", 18, false),
        ];
        let ask = |rules: &[Rule], place: &str, category: &str| {
            let r = rule_for(rules, place, category, at);
            (r.allowed, r.minimum_age)
        };
        assert_eq!(ask(&rules, "US-NY", "sports"), (true, 18));
        assert_eq!(ask(&rules, "US-MA", "sports"), (true, 21));
        assert_eq!(ask(&rules, "US-NV", "sports"), (false, 18));
        assert_eq!(ask(&rules, "US-NV", "weather"), (true, 18));
        assert_eq!(ask(&rules, "FR", "sports"), (false, 18));
        assert_eq!(ask(&[], "US-NY", "sports"), (false, 99));
        rules[1].valid_to = Some(at);
        assert_eq!(ask(&rules, "US-NY", "sports"), (false, 18), "a rule ends at its end");
    }
}
