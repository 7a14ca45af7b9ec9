//! What was promised to whom, kept in the plainest way and never read from the programme.

use hunch_kernel::{MemberId, Points, TerminalId};
use hunch_loyalty::{MemberRef, PurchaseAnswer, PurchaseRequest, ReturnAnswer};
use hunch_safeguards::Protection;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use std::collections::HashMap;

use crate::op::Place;
use crate::world::{HOUSE, ZONE};

/// A receipt that a till made and could rightly report.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub request: PurchaseRequest,
    pub points: Points,
    /// The first answer, if anyone heard it.
    pub answer: Option<PurchaseAnswer>,
    pub returned: Option<ReturnAnswer>,
    /// Its points waited for a decision and were not confirmed.
    pub taken_back: bool,
}

impl Receipt {
    pub fn member(&self) -> MemberId {
        match &self.request.member {
            MemberRef::Token(member) => *member,
            MemberRef::Code(_) => unreachable!("simulated tills know members by token"),
        }
    }
}

/// What a member was promised about their own protection.
#[derive(Clone, Debug)]
pub struct Promise {
    pub day: Points,
    pub week: Points,
    /// When each limit last changed by the member's own wish.
    pub day_set: Option<Timestamp>,
    pub week_set: Option<Timestamp>,
    /// A raise that was asked for, and when.
    pub raise: Option<(Points, Points, Timestamp)>,
    pub break_until: Option<Timestamp>,
    pub exclusion: Option<Exclusion>,
    pub prompts: bool,
    pub place: Place,
}

#[derive(Clone, Copy, Debug)]
pub struct Exclusion {
    pub term_ends: Timestamp,
    pub return_asked: Option<Timestamp>,
}

#[derive(Default)]
pub struct Model {
    pub receipts: Vec<Receipt>,
    pub promises: HashMap<MemberId, Promise>,
    /// Number of the next receipt of any till.
    pub next_receipt: u64,
}

impl Model {
    pub fn new(members: &[MemberId]) -> Model {
        let promise = Promise {
            day: HOUSE.day,
            week: HOUSE.week,
            day_set: None,
            week_set: None,
            raise: None,
            break_until: None,
            exclusion: None,
            prompts: true,
            place: Place::NewYork,
        };
        Model { promises: members.iter().map(|m| (*m, promise.clone())).collect(), ..Model::default() }
    }

    pub fn receipt(&mut self, member: MemberId, terminal: TerminalId, cents: i64, at: Timestamp) -> PurchaseRequest {
        self.next_receipt += 1;
        PurchaseRequest {
            terminal,
            receipt: format!("R-{}", self.next_receipt),
            member: MemberRef::Token(member),
            amount_cents: cents,
            currency: "USD".to_owned(),
            purchased_at: at,
        }
    }

    pub fn pick(&self, which: u16) -> Option<usize> {
        (!self.receipts.is_empty()).then(|| usize::from(which) % self.receipts.len())
    }
}

impl Promise {
    pub fn protected(&self, now: Timestamp) -> bool {
        self.protection(now).is_some()
    }

    /// An exclusion goes on after its term until 24 hours after the member asked to return; a break ends by itself.
    pub fn protection(&self, now: Timestamp) -> Option<Protection> {
        let excluded = self.exclusion.and_then(|exclusion| match exclusion.return_asked {
            _ if exclusion.term_ends > now => Some(Protection::Excluded { until: exclusion.term_ends }),
            None => Some(Protection::TermOver),
            Some(asked) => {
                let at = asked + SignedDuration::from_hours(24);
                (at > now).then_some(Protection::Returning { at })
            }
        });
        let on_break = self.break_until.filter(|until| *until > now);
        excluded.or(on_break.map(|until| Protection::Break { until }))
    }

    pub fn excluded(&self, now: Timestamp) -> bool {
        !matches!(self.protection(now), None | Some(Protection::Break { .. }))
    }

    pub fn rest(&mut self, hours: i64, now: Timestamp) {
        self.break_until = self.break_until.max(Some(now + SignedDuration::from_hours(hours)));
    }

    /// For so many months, or for life. A higher limit that waited is forgotten.
    pub fn exclude(&mut self, months: Option<i64>, now: Timestamp) {
        let ends = months.and_then(|months| now.to_zoned(TimeZone::UTC).checked_add(months.months()).ok());
        let ends = ends.map_or(Timestamp::MAX, |at| at.timestamp());
        let before = self.exclusion.map_or(now, |exclusion| exclusion.term_ends);
        self.exclusion = Some(Exclusion { term_ends: before.max(ends), return_asked: None });
        self.raise = None;
    }

    /// Whether somebody who asks now is let return one day.
    pub fn ask_to_return(&mut self, now: Timestamp) -> bool {
        let still = self.protection(now);
        match &mut self.exclusion {
            Some(exclusion) if matches!(still, Some(Protection::TermOver | Protection::Returning { .. })) => {
                exclusion.return_asked.get_or_insert(now);
                true
            }
            _ => false,
        }
    }

    /// Lower counts at once; anything higher waits. Both wishes are for this day and this week.
    pub fn wish(&mut self, day: Points, week: Points, now: Timestamp) {
        let day = day.min(week);
        let (lower_day, lower_week) = (self.day.min(day), self.week.min(week));
        let lowers = (lower_day, lower_week) != (self.day, self.week);
        self.change(lower_day, lower_week, now);
        let raise = day > self.day || week > self.week;
        self.raise = match self.raise {
            // The same wish again waits no longer than the first.
            Some((d, w, asked)) if raise && !lowers && (d, w) == (day, week) => Some((d, w, asked)),
            _ => raise.then_some((day, week, now)),
        };
    }

    fn change(&mut self, day: Points, week: Points, now: Timestamp) {
        if day != self.day {
            (self.day, self.day_set) = (day, Some(now));
        }
        if week != self.week {
            (self.week, self.week_set) = (week, Some(now));
        }
    }

    /// A raise was confirmed: was it late enough? Never within 24 hours, nor 72 hours after the limit was set, nor in the
    /// day or week in which it was asked for.
    pub fn confirm(&mut self, now: Timestamp) -> Result<(), String> {
        let Some((day, week, asked)) = self.raise.take() else { return Err("nothing waited".to_owned()) };
        let soon =
            |set: Option<Timestamp>| set.is_some_and(|at| now.duration_since(at) < SignedDuration::from_hours(72));
        let early = now.duration_since(asked) < SignedDuration::from_hours(24)
            || day > self.day && (soon(self.day_set) || local(asked).date() == local(now).date())
            || week > self.week && (soon(self.week_set) || monday(asked) == monday(now));
        if early {
            return Err(format!("a raise of {asked} counted at {now}"));
        }
        self.change(day, week, now);
        Ok(())
    }
}

pub fn local(at: Timestamp) -> jiff::Zoned {
    at.to_zoned(TimeZone::get(ZONE).unwrap_or(TimeZone::UTC))
}

pub fn monday(at: Timestamp) -> Date {
    let day = local(at).date();
    day.saturating_sub(i64::from(day.weekday().to_monday_zero_offset()).days())
}

/// Whether somebody born then may stake on the weather there, by the rules in force in this programme.
pub fn of_age(born: Date, at: Timestamp, place: Place) -> bool {
    let years = match place {
        Place::NewYork => 18,
        Place::Boston => 21,
        Place::Nowhere => return false,
    };
    let today = local(at).date();
    let birthday_passed = (today.month(), today.day()) >= (born.month(), born.day());
    let age = today.year() - born.year() - i16::from(!birthday_passed);
    age >= years
}
