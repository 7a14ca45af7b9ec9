//! Local times as people and tickers write them. When clocks go back an hour comes twice, and both need a name.

use jiff::Zoned;
use jiff::tz::AmbiguousOffset;

/// Date and minute, for tickers of which there are several a day. The second of two equal minutes ends in `B`.
pub(super) fn minute_code(at: &Zoned) -> String {
    let code = at.strftime("%y%b%d%H%M").to_string().to_uppercase();
    if pass(at) == Pass::Second { format!("{code}B") } else { code }
}

/// The time of day, with the zone's name while there are two of it.
pub fn time_of_day(at: &Zoned, format: &str) -> String {
    let shown = at.strftime(format).to_string();
    if pass(at) == Pass::Only { shown } else { format!("{shown} {}", at.strftime("%Z")) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Only,
    First,
    Second,
}

/// How often clocks show this time, and which of the times it is.
fn pass(at: &Zoned) -> Pass {
    match at.time_zone().to_ambiguous_timestamp(at.datetime()).offset() {
        AmbiguousOffset::Fold { before, .. } if before == at.offset() => Pass::First,
        AmbiguousOffset::Fold { .. } => Pass::Second,
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => Pass::Only,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use jiff::{SignedDuration, Timestamp};
    use std::collections::HashSet;

    /// Around both changes of clocks, a leap day and a year's end: no two minutes share a code, in whatever zone.
    #[test]
    fn every_minute_has_a_code_of_its_own() {
        let zones = ["America/New_York", "Europe/London", "Pacific/Auckland", "Australia/Lord_Howe"];
        let moments = [
            "2026-03-08T07:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-04-04T15:00:00Z",
            "2026-10-03T15:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-11-01T06:00:00Z",
            "2027-11-07T06:00:00Z",
            "2028-02-29T12:00:00Z",
            "2026-12-31T23:59:00Z",
        ];
        for zone in zones.map(|name| TimeZone::get(name).unwrap()) {
            for moment in moments.map(|text| text.parse::<Timestamp>().unwrap()) {
                let mut seen = HashSet::new();
                for minute in -48 * 60..48 * 60 {
                    let at = (moment + SignedDuration::from_mins(minute)).to_zoned(zone.clone());
                    let code = minute_code(&at);
                    assert!(code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()), "{code}");
                    assert!(seen.insert(code), "{at}");
                    assert!(seen.len() as i64 == minute + 48 * 60 + 1);
                }
            }
        }
    }

    #[test]
    fn people_are_told_which_of_two_equal_times_is_meant() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let shown = |text: &str| time_of_day(&text.parse::<Timestamp>().unwrap().to_zoned(zone.clone()), "%H:%M");
        assert_eq!(shown("2027-11-07T04:59:00Z"), "00:59");
        assert_eq!(shown("2027-11-07T05:30:00Z"), "01:30 EDT");
        assert_eq!(shown("2027-11-07T06:30:00Z"), "01:30 EST");
        assert_eq!(shown("2027-11-07T07:00:00Z"), "02:00");
        assert_eq!(shown("2027-03-14T07:00:00Z"), "03:00");
    }
}
