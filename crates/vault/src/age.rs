//! How old someone is on a day. Pure.

use jiff::civil::{Date, date};

/// Whether someone born on `born` is at least `years` old on the local day `on`. A birthday counts from its first
/// moment; one on 29 February counts on 1 March in common years.
pub fn is_at_least(born: Date, years: i16, on: Date) -> bool {
    let year = born.year().saturating_add(years);
    let birthday = Date::new(year, born.month(), born.day()).unwrap_or_else(|_| date(year.clamp(-9999, 9999), 3, 1));
    on >= birthday
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_birthday_is_the_first_day() {
        let born = date(2008, 11, 23);
        assert!(!is_at_least(born, 18, date(2026, 11, 22)));
        assert!(is_at_least(born, 18, date(2026, 11, 23)));
        assert!(!is_at_least(born, 21, date(2026, 11, 23)));
    }

    #[test]
    fn the_leap_day_counts_on_the_first_of_march() {
        let born = date(2008, 2, 29);
        assert!(!is_at_least(born, 18, date(2026, 2, 28)));
        assert!(is_at_least(born, 18, date(2026, 3, 1)));
        assert!(!is_at_least(born, 20, date(2028, 2, 28)));
        assert!(is_at_least(born, 20, date(2028, 2, 29)));
    }

    proptest! {
        /// Once old enough, always old enough; and never before that many years are over.
        #[test]
        fn age_only_grows(y in 1900i16..2020, m in 1i8..=12, d in 1i8..=28, years in 0i16..100, later in 0i64..40_000) {
            let born = date(y, m, d);
            let on = born.saturating_add(jiff::ToSpan::days(later));
            let old = is_at_least(born, years, on);
            prop_assert_eq!(old, on >= date(y + years, m, d));
            let next = on.tomorrow().unwrap();
            prop_assert!(!old || is_at_least(born, years, next));
        }
    }
}
