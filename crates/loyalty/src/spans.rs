//! Times and spans of time as people say them.

use jiff::Timestamp;

/// A span in its largest unit, rounded down: 3 years, 13 minutes, 1 second.
pub(crate) fn span(seconds: u64) -> String {
    let units = [(31_557_600, "year"), (86_400, "day"), (3_600, "hour"), (60, "minute")];
    let (size, name) = units.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "second"));
    let n = seconds / size;
    if n == 1 { format!("1 {name}") } else { format!("{n} {name}s") }
}

/// A time of day in UTC, with its date if that is another day than that of `beside`.
pub(crate) fn clock(second: i64, beside: i64) -> String {
    let Ok(at) = Timestamp::from_second(second) else { return "a time that no calendar knows".to_owned() };
    let near = second.div_euclid(86_400) == beside.div_euclid(86_400);
    at.strftime(if near { "%H:%M:%S UTC" } else { "%F %H:%M:%S UTC" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_their_largest_unit() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "1 minute"),
            (780, "13 minutes"),
            (90_000, "1 day"),
            (97_578_843, "3 years"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_clock_names_the_day_only_when_it_is_another() {
        let now = "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap().as_second();
        assert_eq!(clock(now - 420, now), "11:53:00 UTC");
        assert_eq!(clock(1, now), "1970-01-01 00:00:01 UTC");
        assert_eq!(clock(i64::MIN, now), "a time that no calendar knows");
    }
}
