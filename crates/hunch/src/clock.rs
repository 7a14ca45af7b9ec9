//! The two real clocks. Nothing else in the programme reads time.

use hunch_kernel::{Clock, Clocks, SharedWallClock, WallClock, WallTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// From this hour on little of a day is left.
const LATE_HOUR: i8 = 21;

/// The machine's time.
struct MachineClock;

impl WallClock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where real time enters")]
    fn now(&self) -> WallTime {
        WallTime::from_timestamp(Timestamp::now())
    }
}

/// Business time as it is where nobody moved it: the machine's.
impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        WallClock::now(self).to_timestamp()
    }
}

/// Business time that runs `speed` times as fast as the wall from where it was started.
struct FastClock {
    wall: SharedWallClock,
    wall_start: WallTime,
    business_start: Timestamp,
    speed: u32,
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let passed = self.wall.now().duration_since(self.wall_start);
        let fast = SignedDuration::from_micros((passed.as_micros() as i64).saturating_mul(i64::from(self.speed)));
        self.business_start.saturating_add(fast).unwrap_or(Timestamp::MAX)
    }
}

/// `zone`, or where it is late there, a zone in which it is noon. A town made for show or for trial has hours of its day
/// before it, whenever somebody looks: nothing ends today shortly before midnight.
pub fn zone_with_day_left(zone: &TimeZone, now: Timestamp) -> TimeZone {
    if now.to_zoned(zone.clone()).hour() < LATE_HOUR {
        return zone.clone();
    }
    let noon = 12 - now.to_zoned(TimeZone::UTC).hour();
    // Named after what must be added to have Greenwich's time.
    let name = if noon == 0 { "Etc/GMT".to_owned() } else { format!("Etc/GMT{:+}", -noon) };
    TimeZone::get(&name).unwrap_or_else(|_| zone.clone())
}

/// Business time equals wall time at speed 1; otherwise it starts at `business_start` and runs faster.
pub fn clocks(speed: u32, business_start: Option<Timestamp>) -> Clocks {
    let wall: SharedWallClock = Arc::new(MachineClock);
    if speed == 1 && business_start.is_none() {
        return Clocks { business: Arc::new(MachineClock), wall };
    }
    let wall_start = wall.now();
    let business_start = business_start.unwrap_or(wall_start.to_timestamp());
    Clocks { business: Arc::new(FastClock { wall: wall.clone(), wall_start, business_start, speed }), wall }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also when clocks change, on a leap day and at a year's end, wherever the town is.
    #[test]
    fn a_town_on_show_is_never_late() {
        let around = [
            "2026-03-08T07:00:00Z",
            "2026-11-01T06:00:00Z",
            "2026-10-03T15:30:00Z",
            "2028-02-29T12:00:00Z",
            "2026-12-31T23:59:00Z",
        ];
        for name in ["America/New_York", "Europe/London", "Pacific/Auckland", "Australia/Lord_Howe"] {
            let town = TimeZone::get(name).unwrap();
            for around in around.map(|text| text.parse::<Timestamp>().unwrap()) {
                for quarter in -48 * 4..48 * 4 {
                    let now = around + SignedDuration::from_mins(15 * quarter);
                    let local = now.to_zoned(zone_with_day_left(&town, now));
                    assert!(local.hour() < LATE_HOUR, "{local}");
                    assert!(local.time_zone().iana_name().is_some(), "it has a name that members can be given");
                }
            }
        }
    }

    #[test]
    fn a_town_on_show_has_hours_of_its_day_left() {
        let new_york = TimeZone::get("America/New_York").unwrap();
        for hour in 0..24 {
            let now: Timestamp = format!("2026-11-23T{hour:02}:59:59Z").parse().unwrap();
            let zone = zone_with_day_left(&new_york, now);
            // New York is five hours behind.
            assert_eq!(zone == new_york, !(2..5).contains(&hour), "at {now}");
            assert!(zone == new_york || now.to_zoned(zone).hour() == 12, "at {now}");
        }
    }
}
