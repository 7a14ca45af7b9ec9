//! Limits, their windows, and how a member changes them. Pure.
//!
//! A window is a day or a week (from Monday) of the member's own calendar, so it has 23 or 25 hours when clocks
//! change. Stakes count in full from the hold on, fees included.
//!
//! Lowering a limit counts at once and takes back a raise that waits. A raise waits for the latest of three moments: 24
//! hours after it was asked for, 72 hours after the limit was last set, and the end of the running window. Then it
//! must be confirmed; until then the lower limit counts.

use hunch_kernel::{Points, seeded_bug};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::denial::{Denial, DenialCode};

const RAISE_WAITS: SignedDuration = SignedDuration::from_hours(24);
const RAISE_AFTER_SET: SignedDuration = SignedDuration::from_hours(72);

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

    /// When the running day is over.
    pub fn day_ends(&self, zone: &TimeZone) -> Timestamp {
        midnight(self.day.saturating_add(1.day()), zone)
    }

    /// When the running week is over.
    pub fn week_ends(&self, zone: &TimeZone) -> Timestamp {
        midnight(self.week.saturating_add(7.days()), zone)
    }
}

fn midnight(date: Date, zone: &TimeZone) -> Timestamp {
    date.to_zoned(zone.clone()).map_or(Timestamp::MAX, |z| z.timestamp())
}

/// The programme's own limits: nobody may stake more, whatever they set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HouseLimits {
    pub day: Points,
    pub week: Points,
}

/// A member's limits as they are in force: the lower of own and house, and the day's never above the week's.
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
        let week = own_week.map_or(house.week, |w| w.min(house.week));
        Limits { day: own_day.map_or(house.day, |d| d.min(house.day)).min(week), week }
    }

    /// The usage after a stake of `points`, if the limits bear it.
    ///
    /// # Errors
    /// `WeekLimit` before `DayLimit`: nobody is sent to tomorrow whose week is used up.
    pub fn bear(&self, usage: Usage, points: Points) -> Result<Usage, Denial> {
        let after = |used: Points| used.checked_add(points);
        match (after(usage.day).filter(|d| *d <= self.day), after(usage.week).filter(|w| *w <= self.week)) {
            (_, None) => Err(Denial(DenialCode::WeekLimit)),
            (None, _) => Err(Denial(DenialCode::DayLimit)),
            (Some(day), Some(week)) => Ok(Usage { day, week }),
        }
    }
}

/// One limit of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLimit {
    /// `None` is the house's.
    pub points: Option<Points>,
    /// When the member last set it.
    pub set_at: Option<Timestamp>,
}

/// Higher limits that were asked for and do not count yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    pub day: Points,
    pub week: Points,
    /// May be confirmed from then on.
    pub after: Timestamp,
}

/// A member's own limits and the raise that waits, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLimits {
    pub day: OwnLimit,
    pub week: OwnLimit,
    pub raise: Option<Raise>,
}

/// Why limits stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitRefusal {
    #[error("a limit cannot be below 0 points; 0 means that you do not stake at all")]
    Negative,
    #[error(
        "the most that can be staked here is {day} points a day and {week} points a week; choose no more than that"
    )]
    AboveHouse { day: i64, week: i64 },
    #[error(
        "{day} points a day do not fit into {week} points a week; choose a limit for the day that is no higher than the week's"
    )]
    Contradiction { day: i64, week: i64 },
    #[error("there is no raise to confirm; ask for a higher limit first")]
    NothingToConfirm,
    #[error("the raise can be confirmed from {0} on")]
    TooEarly(Timestamp),
}

impl OwnLimits {
    pub fn in_force(&self, house: HouseLimits) -> Limits {
        Limits::in_force(self.day.points, self.week.points, house)
    }

    /// What a wish for these limits makes of them; `None` is the house's limit, so removing a limit is raising it.
    ///
    /// # Errors
    /// `Negative`, `AboveHouse` or `Contradiction`: then nothing changes.
    pub fn wish(
        self,
        day: Option<Points>,
        week: Option<Points>,
        now: Timestamp,
        zone: &TimeZone,
        house: HouseLimits,
    ) -> Result<OwnLimits, LimitRefusal> {
        possible(day, week, house)?;
        let (counts, wanted) = (self.in_force(house), Limits::in_force(day, week, house));
        if seeded_bug("raise-at-once") {
            return Ok(OwnLimits { raise: None, ..self.set(true, true, wanted, now) });
        }
        // What is lower in a mixed wish counts now; what is higher waits.
        let lower = Limits { day: wanted.day.min(counts.day), week: wanted.week.min(counts.week) };
        let (raises_day, raises_week) = (wanted.day > lower.day, wanted.week > lower.week);
        let next = self.set(day.is_some() && !raises_day, week.is_some() && !raises_week, lower, now);
        if lower == wanted {
            return Ok(OwnLimits { raise: None, ..next });
        }
        let windows = Windows::at(now, zone);
        let waits = |limit: OwnLimit, ends: Timestamp| {
            let since_set = limit.set_at.map_or(Timestamp::MIN, |set| later(set, RAISE_AFTER_SET));
            later(now, RAISE_WAITS).max(since_set).max(ends)
        };
        let day_waits = raises_day.then(|| waits(self.day, windows.day_ends(zone)));
        let week_waits = raises_week.then(|| waits(self.week, windows.week_ends(zone)));
        let after = day_waits.max(week_waits).unwrap_or(Timestamp::MAX);
        // The same wish sent again does not begin to wait anew.
        let same = |raise: &Raise| (raise.day, raise.week) == (wanted.day, wanted.week) && lower == counts;
        let raise = self.raise.filter(same).unwrap_or(Raise { day: wanted.day, week: wanted.week, after });
        Ok(OwnLimits { raise: Some(raise), ..next })
    }

    /// Makes a raise count that has waited long enough.
    ///
    /// # Errors
    /// `NothingToConfirm` or `TooEarly`.
    pub fn confirm(self, now: Timestamp) -> Result<OwnLimits, LimitRefusal> {
        let raise = self.raise.ok_or(LimitRefusal::NothingToConfirm)?;
        if now < raise.after {
            return Err(LimitRefusal::TooEarly(raise.after));
        }
        let confirmed = self.set(true, true, Limits { day: raise.day, week: raise.week }, now);
        Ok(OwnLimits { raise: None, ..confirmed })
    }

    /// Takes these limits as the member's own. One that was never set and is not named stays the house's.
    fn set(self, day_named: bool, week_named: bool, limits: Limits, now: Timestamp) -> OwnLimits {
        let set = |own: OwnLimit, named: bool, points: Points| match own.points {
            None if !named => own,
            Some(same) if same == points => own,
            _ => OwnLimit { points: Some(points), set_at: Some(now) },
        };
        OwnLimits {
            day: set(self.day, day_named, limits.day),
            week: set(self.week, week_named, limits.week),
            raise: self.raise,
        }
    }
}

fn possible(day: Option<Points>, week: Option<Points>, house: HouseLimits) -> Result<(), LimitRefusal> {
    if day.is_some_and(|d| d.0 < 0) || week.is_some_and(|w| w.0 < 0) {
        return Err(LimitRefusal::Negative);
    }
    if day.is_some_and(|d| d > house.day) || week.is_some_and(|w| w > house.week) {
        return Err(LimitRefusal::AboveHouse { day: house.day.0, week: house.week.0 });
    }
    match (day, week) {
        (Some(day), Some(week)) if day > week => Err(LimitRefusal::Contradiction { day: day.0, week: week.0 }),
        _ => Ok(()),
    }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
