//! Public holidays by country, as the tables of the crate `opening-hours` have them.

use std::ops::RangeInclusive;

use chrono::NaiveDate;
use opening_hours::localization::Country;

/// Those among `days`, which are days since 1970-01-01, in ascending order. None if `country` is no ISO 3166-1 code of two
/// letters that the tables know. These reach from 2000 to 2076; before and after there are none.
pub(crate) fn public_holidays(country: &str, days: RangeInclusive<i64>) -> Option<Vec<i64>> {
    let holidays = country.parse::<Country>().ok()?.holidays();
    let date = |day: i64| i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days);
    let free = |day: &i64| date(*day).is_some_and(|date| holidays.get_public().contains(date));
    Some(days.filter(free).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the countries' governments publish them.
    #[test]
    fn holidays_are_where_the_countries_have_them() {
        let day = |year: i16, month: i8, date: i8| {
            let since = jiff::civil::date(year, month, date).since(jiff::civil::date(1970, 1, 1)).unwrap();
            i64::from(since.get_days())
        };
        let of = |country, year| public_holidays(country, day(year, 1, 1)..=day(year, 12, 31)).unwrap();
        let american = of("US", 2024);
        for (month, date) in [(1, 1), (1, 15), (2, 19), (5, 27), (6, 19), (7, 4), (9, 2), (11, 28), (12, 25)] {
            assert!(american.contains(&day(2024, month, date)), "{month}-{date}");
        }
        assert!(!american.contains(&day(2024, 11, 27)) && american.is_sorted());
        // Ascension Day and Whit Monday.
        assert!([day(2024, 5, 9), day(2024, 5, 20)].iter().all(|day| of("DE", 2024).contains(day)));
        assert_eq!(public_holidays("XX", 0..=365), None);
        assert_eq!(public_holidays("", 0..=365), None);
    }
}
