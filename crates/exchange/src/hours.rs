//! Whether the exchange takes orders, and when it means to.

use crate::ExchangeShard;
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Whether the exchange works at all and takes orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeStatus {
    pub exchange_active: bool,
    pub trading_active: bool,
    /// When the exchange expects to go on, while it does not work. It may take longer.
    pub resumes_at: Option<Timestamp>,
    /// Shard by shard, where the exchange says so.
    pub shards: Vec<ShardStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    pub shard: ExchangeShard,
    pub exchange_active: bool,
    pub trading_active: bool,
}

impl ExchangeStatus {
    /// Whether orders are taken on this shard. The exchange as a whole counts where it does not say.
    pub fn takes_orders(&self, shard: ExchangeShard) -> bool {
        match self.shards.iter().find(|s| s.shard == shard) {
            Some(own) => own.exchange_active && own.trading_active,
            None => self.exchange_active && self.trading_active,
        }
    }

    /// Whether orders are taken anywhere.
    pub fn takes_any_orders(&self) -> bool {
        let anywhere = self.shards.iter().any(|s| s.exchange_active && s.trading_active);
        anywhere || (self.shards.is_empty() && self.exchange_active && self.trading_active)
    }
}

/// The hours in which the exchange means to trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradingSchedule {
    /// In which its hours are told.
    pub zone: TimeZone,
    pub weeks: Vec<TradingWeek>,
    /// From and to: the exchange may not work then.
    pub maintenance: Vec<(Timestamp, Timestamp)>,
}

/// A week that is the same from one date to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradingWeek {
    pub from: Timestamp,
    pub to: Timestamp,
    pub sessions: Vec<Session>,
}

/// Trading on one day of the week. One that ends at or before its beginning ends on the day after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub day: Weekday,
    pub opens: Time,
    pub closes: Time,
}

/// How far ahead an opening is looked for.
const DAYS_AHEAD: i32 = 8;
/// Windows and gaps that follow one another without a moment of trading; more are a mistake of whoever sent them.
const TURNS_MAX: usize = 100;

impl TradingSchedule {
    /// When trading begins again by the schedule, if it says that there is none at `at`. `None`: it trades then, or the
    /// schedule does not say.
    pub fn opens_after(&self, at: Timestamp) -> Option<Timestamp> {
        let mut opening = at;
        // Each turn leaves one window or one gap between sessions behind.
        for _ in 0..TURNS_MAX {
            let later = self.after_maintenance(self.after_gap(opening)?);
            if later == opening {
                break;
            }
            opening = later;
        }
        (opening > at).then_some(opening)
    }

    fn after_maintenance(&self, at: Timestamp) -> Timestamp {
        let inside = self.maintenance.iter().filter(|(from, to)| (*from..*to).contains(&at));
        inside.map(|(_, to)| *to).max().unwrap_or(at)
    }

    /// `at` if a session is on or nothing is said of that week, else the beginning of the next session. `None` when there is
    /// none within a week.
    fn after_gap(&self, at: Timestamp) -> Option<Timestamp> {
        let Some(week) = self.weeks.iter().find(|w| (w.from..w.to).contains(&at)) else { return Some(at) };
        let local = at.to_zoned(self.zone.clone()).datetime();
        let days = (-1..=DAYS_AHEAD).filter_map(|days| local.date().checked_add(days.days()).ok());
        let spans = days.flat_map(|date| {
            let own = week.sessions.iter().filter(move |s| s.day == date.weekday());
            own.filter_map(move |s| s.span(date.to_datetime(s.opens)))
        });
        let spans = spans.filter_map(|(from, to)| {
            let moment = |local: DateTime| local.to_zoned(self.zone.clone()).ok().map(|z| z.timestamp());
            Some((moment(from)?, moment(to)?))
        });
        spans.filter(|(_, to)| *to > at).map(|(from, _)| from.max(at)).min()
    }
}

impl Session {
    fn span(&self, from: DateTime) -> Option<(DateTime, DateTime)> {
        let to = from.date().to_datetime(self.closes);
        let to = if to > from { to } else { to.checked_add(1.day()).ok()? };
        Some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        TimeZone::get("America/New_York").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Always, but for Thursdays from three to five.
    fn schedule() -> TradingSchedule {
        let time = |hour| Time::constant(hour, 0, 0, 0);
        let mut sessions = Vec::new();
        for day in Weekday::Monday.cycle_forward().take(7) {
            match day {
                Weekday::Thursday => {
                    sessions.push(Session { day, opens: time(0), closes: time(3) });
                    sessions.push(Session { day, opens: time(5), closes: time(0) });
                }
                _ => sessions.push(Session { day, opens: time(0), closes: time(0) }),
            }
        }
        let weeks = vec![TradingWeek { from: at("2026-01-01T05:00:00Z"), to: at("2099-01-01T05:00:00Z"), sessions }];
        TradingSchedule { zone: zone(), weeks, maintenance: Vec::new() }
    }

    #[test]
    fn the_schedule_says_when_trading_begins_again() {
        let schedule = schedule();
        for (now, opens) in [
            // Thursday in winter: three o'clock in New York is eight in London.
            ("2026-11-26T07:59:59Z", None),
            ("2026-11-26T08:00:00Z", Some("2026-11-26T10:00:00Z")),
            ("2026-11-26T09:59:59Z", Some("2026-11-26T10:00:00Z")),
            ("2026-11-26T10:00:00Z", None),
            // In summer an hour earlier.
            ("2026-07-02T07:30:00Z", Some("2026-07-02T09:00:00Z")),
            ("2026-11-28T12:00:00Z", None),
            // The nights on which the clocks change.
            ("2026-03-08T07:30:00Z", None),
            ("2026-11-01T05:30:00Z", None),
        ] {
            assert_eq!(schedule.opens_after(at(now)), opens.map(at), "{now}");
        }
        assert_eq!(schedule.opens_after(at("2025-11-27T08:30:00Z")), None, "before the schedule begins");
    }

    #[test]
    fn a_session_may_end_on_the_next_day_and_maintenance_may_follow_a_gap() {
        let time = |hour| Time::constant(hour, 0, 0, 0);
        let days = Weekday::Monday.cycle_forward().take(7);
        let sessions = days.map(|day| Session { day, opens: time(8), closes: time(3) }).collect();
        let week = TradingWeek { from: at("2026-01-01T05:00:00Z"), to: at("2099-01-01T05:00:00Z"), sessions };
        let window = (at("2026-11-26T12:00:00Z"), at("2026-11-26T14:30:00Z"));
        let schedule = TradingSchedule { zone: zone(), weeks: vec![week], maintenance: vec![window] };
        assert_eq!(schedule.opens_after(at("2026-11-26T07:30:00Z")), None, "half past two, still yesterday's");
        // From three in the night to eight nobody trades; then it is maintained until half past nine.
        assert_eq!(schedule.opens_after(at("2026-11-26T09:00:00Z")), Some(window.1));
        assert_eq!(schedule.opens_after(at("2026-11-26T14:00:00Z")), Some(window.1));
        assert_eq!(schedule.opens_after(at("2026-11-27T09:00:00Z")), Some(at("2026-11-27T13:00:00Z")));
    }

    #[test]
    fn a_shard_of_its_own_counts_before_the_whole() {
        let shard =
            |shard, trading_active| ShardStatus { shard: ExchangeShard(shard), exchange_active: true, trading_active };
        let status = ExchangeStatus {
            exchange_active: true,
            trading_active: true,
            resumes_at: None,
            shards: vec![shard(0, true), shard(2, false)],
        };
        assert!(status.takes_orders(ExchangeShard(0)) && !status.takes_orders(ExchangeShard(2)));
        assert!(status.takes_orders(ExchangeShard(3)), "where nothing is said of it");
        assert!(status.takes_any_orders());
    }
}
