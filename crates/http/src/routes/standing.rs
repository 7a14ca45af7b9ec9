//! How a member stands, in figures and in words: limits, higher ones that wait, breaks and exclusions.

use hunch_safeguards::{Limits, Protection, Raise};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

/// Higher limits that were asked for and do not count yet.
#[derive(Serialize, ToSchema)]
pub struct RaiseBody {
    pub day_points: i64,
    pub week_points: i64,
    /// Confirm them from then on; until they are confirmed the lower ones count.
    #[schema(value_type = String, format = DateTime)]
    pub confirm_from: Timestamp,
}

/// What keeps the member from staking now.
#[derive(Serialize, ToSchema)]
pub struct ProtectionBody {
    /// break, exclusion
    pub kind: &'static str,
    /// running, term_over (an exclusion that goes on until the member asks to return), returning
    pub state: &'static str,
    /// When the break, the exclusion's term or the wait after asking to return is over; absent for life and where the
    /// member has to ask first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

impl From<Raise> for RaiseBody {
    fn from(raise: Raise) -> RaiseBody {
        RaiseBody { day_points: raise.day.0, week_points: raise.week.0, confirm_from: raise.after }
    }
}

impl From<Protection> for ProtectionBody {
    fn from(protection: Protection) -> ProtectionBody {
        let (kind, state, until) = match protection {
            Protection::Break { until } => ("break", "running", Some(until)),
            Protection::Excluded { until } => ("exclusion", "running", Some(until)),
            Protection::TermOver => ("exclusion", "term_over", None),
            Protection::Returning { at } => ("exclusion", "returning", Some(at)),
        };
        ProtectionBody { kind, state, until: until.filter(|t| *t != Timestamp::MAX) }
    }
}

/// For callers who only want to know when: `life`, `until_you_return` or the moment.
pub fn until_text(protection: Protection) -> String {
    match protection {
        Protection::Excluded { until } if until == Timestamp::MAX => "life".to_owned(),
        Protection::TermOver => "until_you_return".to_owned(),
        Protection::Break { until } | Protection::Excluded { until } | Protection::Returning { at: until } => {
            until.to_string()
        }
    }
}

/// What the member should know of it, in plain words and in the member's own time.
pub fn says(
    limits: Limits,
    raise: Option<Raise>,
    protection: Option<Protection>,
    now: Timestamp,
    zone: &TimeZone,
) -> String {
    let mut sentences = vec![match (limits.day.0, limits.week.0) {
        (_, 0) => "Your limit is 0 points a week, so you cannot stake.".to_owned(),
        (0, _) => "Your limit is 0 points a day, so you cannot stake.".to_owned(),
        (day, week) => format!("You can stake up to {} a day and {} a week.", points(day), points(week)),
    }];
    if let Some(raise) = raise {
        let wanted = format!("{} a day and {} a week", points(raise.day.0), points(raise.week.0));
        sentences.push(if raise.after > now {
            format!(
                "You asked for {wanted}. That does not count yet: confirm it from {} on. Setting a lower limit takes it back.",
                moment(raise.after, zone)
            )
        } else {
            format!("You asked for {wanted}. That counts when you confirm it.")
        });
    }
    sentences.extend(protection.map(|p| protection_says(p, zone)));
    sentences.join(" ")
}

fn protection_says(protection: Protection, zone: &TimeZone) -> String {
    match protection {
        Protection::Break { until } => {
            format!("You are on a break from staking until {}. It ends by itself.", moment(until, zone))
        }
        Protection::Excluded { until } if until == Timestamp::MAX => {
            "You are excluded from staking for life.".to_owned()
        }
        Protection::Excluded { until } => format!(
            "You are excluded from staking until {} at least. After that it goes on until you ask to return.",
            moment(until, zone)
        ),
        Protection::TermOver => {
            "Your exclusion's term is over. You stay excluded from staking until you ask to return; \
                                 after asking you wait 24 hours."
                .to_owned()
        }
        Protection::Returning { at } => {
            format!("You asked to return. You stay excluded from staking until {}.", moment(at, zone))
        }
    }
}

/// Such as `Monday 30 November 2026, 00:00`.
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%A %-d %B %Y, %H:%M").to_string()
}

fn points(n: i64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {}", if n == 1 { "point" } else { "points" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_kernel::Points;

    #[test]
    fn a_member_reads_what_counts_and_what_waits() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let limits = |day, week| Limits { day: Points(day), week: Points(week) };
        let raise = |after: &str| Raise { day: Points(200), week: Points(3_000), after: after.parse().unwrap() };
        let told = |l, r, p| says(l, r, p, now, &zone);
        assert_eq!(told(limits(1, 1_000), None, None), "You can stake up to 1 point a day and 1,000 points a week.");
        assert!(told(limits(0, 20), None, None).contains("cannot stake"));
        let waiting = told(limits(100, 500), Some(raise("2026-11-30T05:00:00Z")), None);
        assert!(waiting.contains("200 points a day and 3,000 points a week"), "{waiting}");
        assert!(waiting.contains("from Monday 30 November 2026, 00:00 on"), "{waiting}");
        let ready = told(limits(100, 500), Some(raise("2026-11-23T12:00:00Z")), None);
        assert!(ready.ends_with("That counts when you confirm it."), "{ready}");
        for (protection, words) in [
            (Protection::Break { until: now }, "ends by itself"),
            (Protection::Excluded { until: now }, "goes on until you ask"),
            (Protection::Excluded { until: Timestamp::MAX }, "for life"),
            (Protection::TermOver, "until you ask to return"),
            (Protection::Returning { at: now }, "You asked to return"),
        ] {
            let text = told(limits(100, 500), None, Some(protection));
            assert!(text.contains(words), "{text}");
        }
    }
}
