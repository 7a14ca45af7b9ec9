//! Limits and their windows. Pure.
//!
//! A window is a day or a week (from Monday) of the member's own calendar, so it has 23 or 25 hours when clocks
//! change. Stakes count in full from the hold on, fees included.

use hunch_kernel::{Points, seeded_bug};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::denial::{Denial, DenialCode};

/// The calendar windows that a moment falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    pub day: Date,
    /// The week's Monday.
    pub week: Date,
}

impl Windows {
    pub fn at(now: Timestamp, zone: &TimeZone) -> Windows {
        let day = now.to_zoned(zone.clone()).date();
        let back = i64::from(day.weekday().to_monday_zero_offset());
        Windows { day, week: day.saturating_sub(back.days()) }
    }

    /// When the running week (which ends no earlier than the running day) is over.
    pub fn week_ends(&self, zone: &TimeZone) -> Timestamp {
        let next = self.week.saturating_add(7.days());
        next.to_zoned(zone.clone()).map_or(Timestamp::MAX, |z| z.timestamp())
    }
}

/// The programme's own limits: nobody may stake more, whatever they set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HouseLimits {
    pub day: Points,
    pub week: Points,
}

/// A member's limits as they are in force: the lower of own and house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub day: Points,
    pub week: Points,
}

/// What was staked in the running windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub day: Points,
    pub week: Points,
}

impl Limits {
    pub fn in_force(own_day: Option<Points>, own_week: Option<Points>, house: HouseLimits) -> Limits {
        Limits {
            day: own_day.map_or(house.day, |d| d.min(house.day)),
            week: own_week.map_or(house.week, |w| w.min(house.week)),
        }
    }

    /// The usage after a stake of `points`, if the limits bear it.
    ///
    /// # Errors
    /// `DayLimit` or `WeekLimit`, the first that does not.
    pub fn bear(&self, usage: Usage, points: Points) -> Result<Usage, Denial> {
        let after = |used: Points| used.checked_add(points);
        match (after(usage.day).filter(|d| *d <= self.day), after(usage.week).filter(|w| *w <= self.week)) {
            (None, _) => Err(Denial(DenialCode::DayLimit)),
            (_, None) => Err(Denial(DenialCode::WeekLimit)),
            (Some(day), Some(week)) => Ok(Usage { day, week }),
        }
    }
}

/// What becomes of a wish to change limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaiseOutcome {
    /// Lower or equal: in force at once. A waiting raise is dropped.
    Lowered,
    /// Higher: may be confirmed from then on, and is in force only when confirmed.
    Waits(Timestamp),
}

/// Lowering counts now. Raising waits for the later of 24 hours and the end of the running week. `None` is the
/// house's limit, so removing a limit is raising it.
pub fn change(now: Timestamp, zone: &TimeZone, in_force: Limits, wanted: Limits) -> RaiseOutcome {
    if (wanted.day <= in_force.day && wanted.week <= in_force.week) || seeded_bug("raise-at-once") {
        return RaiseOutcome::Lowered;
    }
    let tomorrow = now.saturating_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
    RaiseOutcome::Waits(tomorrow.max(Windows::at(now, zone).week_ends(zone)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone() -> TimeZone {
        TimeZone::get("America/New_York").unwrap()
    }

    fn at(text: &str) -> Windows {
        Windows::at(text.parse().unwrap(), &zone())
    }

    #[test]
    fn windows_follow_the_members_own_calendar() {
        assert_eq!(at("2026-11-23T04:59:59Z").day, jiff::civil::date(2026, 11, 22));
        assert_eq!(at("2026-11-23T05:00:00Z").day, jiff::civil::date(2026, 11, 23));
        assert_eq!(at("2026-11-23T04:59:59Z").week, jiff::civil::date(2026, 11, 16));
        assert_eq!(at("2026-11-23T05:00:00Z").week, jiff::civil::date(2026, 11, 23));
        // The day on which clocks go back has 25 hours and is one window.
        assert_eq!(at("2026-11-01T04:00:00Z").day, at("2026-11-02T04:59:59Z").day);
        // The day on which they go forward has 23.
        assert_eq!(at("2026-03-08T05:00:00Z").day, at("2026-03-09T03:59:59Z").day);
        assert_ne!(at("2026-03-08T05:00:00Z").day, at("2026-03-09T04:00:00Z").day);
    }

    #[test]
    fn a_raise_waits_for_the_day_and_the_week() {
        let limits = |day, week| Limits { day: Points(day), week: Points(week) };
        let change_at = |now: &str, wanted| change(now.parse().unwrap(), &zone(), limits(100, 500), wanted);
        assert_eq!(change_at("2026-11-23T12:00:00Z", limits(50, 500)), RaiseOutcome::Lowered);
        // Monday: the week ends next Monday at local midnight.
        let monday = "2026-11-30T05:00:00Z".parse().unwrap();
        assert_eq!(change_at("2026-11-23T12:00:00Z", limits(101, 500)), RaiseOutcome::Waits(monday));
        // Sunday evening: 24 hours are later than the week's end.
        let later = "2026-11-30T23:00:00Z".parse().unwrap();
        assert_eq!(change_at("2026-11-29T23:00:00Z", limits(50, 501)), RaiseOutcome::Waits(later));
    }

    proptest! {
        /// S2: whatever is asked in whatever order, what was borne never exceeds the limits, and restoring unfilled
        /// stake gives back exactly that.
        #[test]
        fn limits_are_never_exceeded(day in 0i64..500, week in 0i64..1_000, stakes in prop::collection::vec((1i64..200, 0i64..200), 0..40)) {
            let limits = Limits { day: Points(day), week: Points(week) };
            let mut usage = Usage::default();
            for (points, unfilled) in stakes {
                if let Ok(after) = limits.bear(usage, Points(points)) {
                    prop_assert!(after.day <= limits.day && after.week <= limits.week);
                    let back = Points(unfilled.min(points));
                    usage = Usage { day: after.day - back, week: after.week - back };
                    prop_assert!(usage.day.0 >= 0 && usage.week.0 >= 0);
                } else {
                    prop_assert!(usage.day.0 + points > day || usage.week.0 + points > week);
                }
            }
        }

        /// S3: a raise never counts before 24 hours are over, nor within the week it was asked in.
        #[test]
        fn a_raise_is_never_early(hours in 0i64..20_000, more in 1i64..100) {
            let now = "2025-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours);
            let limits = Limits { day: Points(100), week: Points(500) };
            let wanted = Limits { day: Points(100 + more), ..limits };
            let RaiseOutcome::Waits(until) = change(now, &zone(), limits, wanted) else { panic!("a raise") };
            prop_assert!(until.duration_since(now) >= SignedDuration::from_hours(24));
            prop_assert!(Windows::at(until, &zone()).week > Windows::at(now, &zone()).week);
        }
    }
}
