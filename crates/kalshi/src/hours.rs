//! The published shapes of the exchange's status and schedule.

use hunch_exchange::{ExchangeShard, ExchangeStatus, Session, ShardStatus, TradingSchedule, TradingWeek};
use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::wire::{WireError, word};

/// "All times are expressed in ET."
const ZONE: &str = "America/New_York";

#[derive(Deserialize)]
pub(crate) struct ExchangeState {
    pub exchange_active: bool,
    pub trading_active: bool,
    /// Not guaranteed, and absent while everything works.
    pub exchange_estimated_resume_time: Option<String>,
    pub exchange_index_statuses: Option<Vec<IndexState>>,
}

#[derive(Deserialize)]
pub(crate) struct IndexState {
    pub exchange_index: i16,
    pub exchange_active: bool,
    pub trading_active: bool,
}

impl ExchangeState {
    pub fn report(self) -> ExchangeStatus {
        let shard = |s: IndexState| ShardStatus {
            shard: ExchangeShard(s.exchange_index),
            exchange_active: s.exchange_active,
            trading_active: s.trading_active,
        };
        ExchangeStatus {
            exchange_active: self.exchange_active,
            trading_active: self.trading_active,
            // An estimate that cannot be read must not hide that the exchange is closed.
            resumes_at: self.exchange_estimated_resume_time.and_then(|text| text.parse().ok()),
            shards: self.exchange_index_statuses.unwrap_or_default().into_iter().map(shard).collect(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct OneSchedule {
    pub schedule: Schedule,
}

#[derive(Deserialize)]
pub(crate) struct Schedule {
    #[serde(default)]
    pub standard_hours: Vec<Week>,
    #[serde(default)]
    pub maintenance_windows: Vec<Window>,
}

#[derive(Deserialize)]
pub(crate) struct Window {
    pub start_datetime: Timestamp,
    pub end_datetime: Timestamp,
}

#[derive(Deserialize)]
pub(crate) struct Week {
    pub start_time: Timestamp,
    pub end_time: Timestamp,
    pub monday: Option<Vec<Hours>>,
    pub tuesday: Option<Vec<Hours>>,
    pub wednesday: Option<Vec<Hours>>,
    pub thursday: Option<Vec<Hours>>,
    pub friday: Option<Vec<Hours>>,
    pub saturday: Option<Vec<Hours>>,
    pub sunday: Option<Vec<Hours>>,
}

#[derive(Deserialize)]
pub(crate) struct Hours {
    /// HH:MM.
    pub open_time: String,
    pub close_time: String,
}

impl Schedule {
    pub fn report(self) -> Result<TradingSchedule, WireError> {
        let zone = TimeZone::get(ZONE).map_err(|_| word("zone", ZONE))?;
        let weeks = self.standard_hours.into_iter().map(Week::report).collect::<Result<Vec<_>, _>>()?;
        let maintenance = self.maintenance_windows.iter().map(|w| (w.start_datetime, w.end_datetime)).collect();
        Ok(TradingSchedule { zone, weeks, maintenance })
    }
}

impl Week {
    fn report(self) -> Result<TradingWeek, WireError> {
        let days = [
            (Weekday::Monday, self.monday),
            (Weekday::Tuesday, self.tuesday),
            (Weekday::Wednesday, self.wednesday),
            (Weekday::Thursday, self.thursday),
            (Weekday::Friday, self.friday),
            (Weekday::Saturday, self.saturday),
            (Weekday::Sunday, self.sunday),
        ];
        let mut sessions = Vec::new();
        for (day, hours) in days {
            for h in hours.unwrap_or_default() {
                let (opens, closes) = (hour("open_time", &h.open_time)?, hour("close_time", &h.close_time)?);
                sessions.push(Session { day, opens, closes });
            }
        }
        Ok(TradingWeek { from: self.start_time, to: self.end_time, sessions })
    }
}

/// `24:00` is the next day's beginning, as `00:00` at the end of a session is.
fn hour(field: &'static str, text: &str) -> Result<Time, WireError> {
    let text = if text == "24:00" { "00:00" } else { text };
    text.parse().map_err(|_| word(field, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_with_and_without_an_estimate_is_a_pause() {
        let read = |body: &str| serde_json::from_str::<ExchangeState>(body).unwrap().report();
        let whole = read(
            r#"{"exchange_active":true,"trading_active":false,"exchange_estimated_resume_time":"2026-11-26T10:00:00Z"}"#,
        );
        assert_eq!((whole.takes_any_orders(), whole.resumes_at), (false, "2026-11-26T10:00:00Z".parse().ok()));
        for odd in ["null", "\"\"", "\"soon\""] {
            let body =
                format!(r#"{{"exchange_active":false,"trading_active":false,"exchange_estimated_resume_time":{odd}}}"#);
            assert_eq!((read(&body).takes_any_orders(), read(&body).resumes_at), (false, None));
        }
        let part = read(
            r#"{"exchange_active":true,"trading_active":true,"exchange_index_statuses":[
                {"exchange_index":2,"description":"Crypto","exchange_active":true,"trading_active":false,"intra_exchange_transfers_active":true}]}"#,
        );
        assert!(!part.takes_orders(ExchangeShard(2)) && part.takes_orders(ExchangeShard(0)));
    }

    #[test]
    fn a_schedule_is_read_as_published() {
        let body = r#"{"standard_hours":[{"start_time":"2026-01-01T05:00:00Z","end_time":"2099-01-01T05:00:00Z",
            "monday":[{"open_time":"00:00","close_time":"24:00"}],"tuesday":[],"wednesday":null,
            "thursday":[{"open_time":"00:00","close_time":"03:00"},{"open_time":"05:00","close_time":"00:00"}],
            "friday":[],"saturday":[],"sunday":[]}],
            "maintenance_windows":[{"start_datetime":"2026-11-26T08:00:00Z","end_datetime":"2026-11-26T10:00:00Z"}]}"#;
        let schedule = serde_json::from_str::<Schedule>(body).unwrap().report().unwrap();
        assert_eq!((schedule.weeks[0].sessions.len(), schedule.maintenance.len()), (3, 1));
        let opens = schedule.opens_after("2026-11-26T09:00:00Z".parse().unwrap());
        assert_eq!(opens, "2026-11-26T10:00:00Z".parse().ok());
        let odd = body.replace("03:00", "3 in the night");
        assert!(serde_json::from_str::<Schedule>(&odd).unwrap().report().is_err());
    }
}
