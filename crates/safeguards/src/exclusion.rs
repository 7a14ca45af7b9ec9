//! Exclusions and breaks: how long they last, and how an exclusion ends. Pure.
//!
//! A break ends by itself. An exclusion does not: nobody can shorten its term, and after it the exclusion goes on until
//! the member has asked to return and 24 hours have passed.

use hunch_kernel::seeded_bug;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

const RETURN_WAITS: SignedDuration = SignedDuration::from_hours(24);

/// How long an exclusion lasts at least. It cannot be shortened by anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExclusionTerm {
    SixMonths,
    OneYear,
    TwoYears,
    FiveYears,
    Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakTerm {
    Day,
    ThreeDays,
    Week,
    Month,
    SixWeeks,
}

/// What keeps a member from staking and from being prompted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    Break {
        until: Timestamp,
    },
    /// The term runs; `Timestamp::MAX` for life.
    Excluded {
        until: Timestamp,
    },
    /// The term is over, and the member has not asked to return.
    TermOver,
    /// The member has asked to return and may stake from then on.
    Returning {
        at: Timestamp,
    },
}

/// A member's exclusion, also one that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exclusion {
    /// End of the term; `Timestamp::MAX` for life.
    pub until: Option<Timestamp>,
    /// When the member asked to return, never before the term was over.
    pub return_asked: Option<Timestamp>,
}

/// Why a wish to return is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReturnRefusal {
    #[error("you are not excluded from staking, so there is nothing to return from")]
    NotExcluded,
    #[error("your exclusion lasts until {0}; you can ask to return after that")]
    TermRuns(Timestamp),
    #[error("your exclusion is for life and does not end")]
    ForLife,
}

impl Exclusion {
    pub fn protection(&self, now: Timestamp) -> Option<Protection> {
        let until = self.until?;
        if until > now {
            return Some(Protection::Excluded { until });
        }
        let Some(asked) = self.return_asked else {
            return (!seeded_bug("exclusion-ends-by-itself")).then_some(Protection::TermOver);
        };
        let at = if seeded_bug("return-at-once") { asked } else { returns_at(asked) };
        (at > now).then_some(Protection::Returning { at })
    }

    /// Begins a term, or makes a running one longer. A request to return is void then.
    pub fn begin(self, term: ExclusionTerm, now: Timestamp) -> Exclusion {
        let until = self.until.unwrap_or(now).max(term.ends(now));
        Exclusion { until: Some(until), return_asked: None }
    }

    /// The member asks to return. Asking again changes nothing.
    ///
    /// # Errors
    /// When there is no exclusion, or its term runs.
    pub fn ask_to_return(self, now: Timestamp) -> Result<Exclusion, ReturnRefusal> {
        match self.protection(now) {
            None | Some(Protection::Break { .. }) => Err(ReturnRefusal::NotExcluded),
            Some(Protection::Excluded { until }) if until == Timestamp::MAX => Err(ReturnRefusal::ForLife),
            Some(Protection::Excluded { until }) => Err(ReturnRefusal::TermRuns(until)),
            Some(Protection::TermOver) => Ok(Exclusion { return_asked: Some(now), ..self }),
            Some(Protection::Returning { .. }) => Ok(self),
        }
    }
}

/// When somebody who asked then may stake again.
pub(crate) fn returns_at(asked: Timestamp) -> Timestamp {
    asked.saturating_add(RETURN_WAITS).unwrap_or(Timestamp::MAX)
}

impl ExclusionTerm {
    pub fn as_str(self) -> &'static str {
        match self {
            ExclusionTerm::SixMonths => "six_months",
            ExclusionTerm::OneYear => "one_year",
            ExclusionTerm::TwoYears => "two_years",
            ExclusionTerm::FiveYears => "five_years",
            ExclusionTerm::Life => "life",
        }
    }

    pub(crate) fn ends(self, now: Timestamp) -> Timestamp {
        let later =
            |span: jiff::Span| now.to_zoned(TimeZone::UTC).checked_add(span).map_or(Timestamp::MAX, |z| z.timestamp());
        match self {
            ExclusionTerm::SixMonths => later(6.months()),
            ExclusionTerm::OneYear => later(1.year()),
            ExclusionTerm::TwoYears => later(2.years()),
            ExclusionTerm::FiveYears => later(5.years()),
            ExclusionTerm::Life => Timestamp::MAX,
        }
    }
}

impl BreakTerm {
    pub fn as_str(self) -> &'static str {
        match self {
            BreakTerm::Day => "24_hours",
            BreakTerm::ThreeDays => "72_hours",
            BreakTerm::Week => "7_days",
            BreakTerm::Month => "30_days",
            BreakTerm::SixWeeks => "6_weeks",
        }
    }

    /// The end is an instant, not a number of days to be counted later.
    pub(crate) fn ends(self, now: Timestamp) -> Timestamp {
        let hours = match self {
            BreakTerm::Day => 24,
            BreakTerm::ThreeDays => 72,
            BreakTerm::Week => 7 * 24,
            BreakTerm::Month => 30 * 24,
            BreakTerm::SixWeeks => 42 * 24,
        };
        now.saturating_add(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusion_goes_on_until_24_hours_after_the_member_asked() {
        let begun: Timestamp = "2026-01-10T12:00:00Z".parse().unwrap();
        let after = |hours: i64| begun + SignedDuration::from_hours(hours);
        let excluded = Exclusion::default().begin(ExclusionTerm::SixMonths, begun);
        let ends: Timestamp = "2026-07-10T12:00:00Z".parse().unwrap();
        assert_eq!(excluded.protection(begun), Some(Protection::Excluded { until: ends }));
        assert_eq!(excluded.ask_to_return(begun), Err(ReturnRefusal::TermRuns(ends)));
        for years_later in [ends, ends + SignedDuration::from_hours(24 * 3_650)] {
            assert_eq!(excluded.protection(years_later), Some(Protection::TermOver), "it does not end by itself");
        }
        let asked = excluded.ask_to_return(ends).unwrap();
        let free = ends + SignedDuration::from_hours(24);
        assert_eq!(asked.protection(ends), Some(Protection::Returning { at: free }));
        let again = asked.ask_to_return(ends + SignedDuration::from_hours(5)).unwrap();
        assert_eq!(again, asked, "asking again does not begin the 24 hours anew");
        assert!(asked.protection(free - SignedDuration::from_secs(1)).is_some());
        assert_eq!(asked.protection(free), None);
        assert_eq!(asked.ask_to_return(free), Err(ReturnRefusal::NotExcluded));

        let anew = asked.begin(ExclusionTerm::OneYear, free);
        assert!(
            anew.protection(free).is_some() && anew.return_asked.is_none(),
            "a new exclusion begins from the start"
        );
        let life = anew.begin(ExclusionTerm::Life, free);
        assert_eq!(life.ask_to_return(after(1_000_000)), Err(ReturnRefusal::ForLife));
        assert_eq!(life.begin(ExclusionTerm::SixMonths, free), life, "nothing shortens it");
    }
}
