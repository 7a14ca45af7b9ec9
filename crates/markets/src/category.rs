//! Our four kinds of markets, told from the exchange's own words by rules that are data.

use hunch_exchange::SeriesReport;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Sports,
    Events,
    Weather,
    Local,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Sports, Kind::Events, Kind::Weather, Kind::Local];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Sports => "sports",
            Kind::Events => "events",
            Kind::Weather => "weather",
            Kind::Local => "local",
        }
    }
}

impl FromStr for Kind {
    type Err = ();
    fn from_str(text: &str) -> Result<Kind, ()> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// A rule as stored; the first in rank order that fits a series names its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindRule {
    /// `category`, `tag`, or `series` (a prefix of the ticker).
    pub field: String,
    pub value: String,
    pub kind: Kind,
}

impl KindRule {
    fn fits(&self, series: &SeriesReport) -> bool {
        match self.field.as_str() {
            "category" => series.category == self.value,
            "tag" => series.tags.contains(&self.value),
            "series" => series.ticker.as_str().starts_with(&self.value),
            _ => false,
        }
    }
}

/// What no rule knows is an event.
pub fn kind_of(rules: &[KindRule], series: &SeriesReport) -> Kind {
    rules.iter().find(|rule| rule.fits(series)).map_or(Kind::Events, |rule| rule.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_exchange::FeeRule;

    #[test]
    fn the_first_rule_that_fits_names_the_kind() {
        let rule = |field: &str, value: &str, kind| KindRule { field: field.into(), value: value.into(), kind };
        let rules = [
            rule("series", "KXTOWN", Kind::Local),
            rule("tag", "Transit", Kind::Local),
            rule("category", "Sports", Kind::Sports),
        ];
        let series = |ticker: &str, category: &str, tag: &str| SeriesReport {
            ticker: ticker.into(),
            title: String::new(),
            category: category.into(),
            tags: vec![tag.into()],
            fee: FeeRule::Unsupported,
        };
        assert_eq!(kind_of(&rules, &series("KXTOWNDERBY", "Sports", "")), Kind::Local);
        assert_eq!(kind_of(&rules, &series("KXBUS", "Transportation", "Transit")), Kind::Local);
        assert_eq!(kind_of(&rules, &series("KXNBAGAME", "Sports", "Basketball")), Kind::Sports);
        assert_eq!(kind_of(&rules, &series("KXELSE", "Politics", "")), Kind::Events);
    }
}
