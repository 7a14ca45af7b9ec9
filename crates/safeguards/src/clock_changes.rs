//! Windows of the member's calendar on days that clocks make longer or shorter.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use std::collections::BTreeSet;

use crate::limits::Windows;

const ZONES: [&str; 6] = [
    "America/New_York",
    "Europe/London",
    "Pacific/Auckland",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/Santiago",
];

/// Changes of clocks in these zones, a leap day, and a year's end.
const AROUND: [&str; 11] = [
    "2026-03-08T07:00:00Z",
    "2026-03-29T01:00:00Z",
    "2026-04-04T15:00:00Z",
    "2026-09-26T14:00:00Z",
    "2026-10-03T15:30:00Z",
    "2026-10-25T01:00:00Z",
    "2026-11-01T06:00:00Z",
    "2027-04-04T03:00:00Z",
    "2027-09-05T04:00:00Z",
    "2028-02-29T12:00:00Z",
    "2026-12-31T23:59:00Z",
];

#[test]
fn windows_begin_and_end_with_the_members_own_days_and_weeks() {
    let moment = SignedDuration::from_micros(1);
    let mut week_minutes = BTreeSet::new();
    for zone in ZONES.map(|name| TimeZone::get(name).unwrap()) {
        let date = |at: Timestamp| at.to_zoned(zone.clone()).date();
        for around in AROUND.map(|text| text.parse::<Timestamp>().unwrap()) {
            let mut before: Option<Windows> = None;
            for half_hour in -8 * 48..8 * 48 {
                let now = around + SignedDuration::from_mins(30 * half_hour);
                let windows = Windows::at(now, &zone);
                assert_eq!((windows.day, windows.week.weekday()), (date(now), Weekday::Monday), "{now}");
                let end = windows.week_ends(&zone);
                assert!(now < end, "{now}: a window holds its moment");
                assert_eq!(date(end), windows.week.saturating_add(7.days()), "{now}: the week ends on a Monday");
                assert_eq!(Windows::at(end - moment, &zone).week, windows.week, "{now}: and not a moment earlier");
                if let Some(before) = before {
                    assert!(windows.day == before.day || windows.day == before.day.tomorrow().unwrap(), "{now}");
                    assert!(windows.week >= before.week, "{now}: no window comes back");
                }
                before = Some(windows);
                week_minutes.insert(Windows::at(end, &zone).week_ends(&zone).duration_since(end).as_mins());
            }
        }
    }
    let hour = 60;
    let week = 7 * 24 * hour;
    assert_eq!(week_minutes.into_iter().collect::<Vec<_>>(), [week - hour, week - 30, week, week + 30, week + hour]);
}
