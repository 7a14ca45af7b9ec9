//! A believable day of markets: several of each kind, spread over the hours after `now`, some ending
//! while one watches. The same seed and time give the same day.

mod crypto;
mod games;
mod local;
mod questions;
mod weather;

pub use local::time_of_day;

use crate::dice::Dice;
use crate::listing::Listing;
use crate::model::{EventSpec, MarketSpec, Outcome, SeriesSpec};
use crate::units::Px;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// Several events of each category for the day that `now` lies in, as New York counts days.
pub fn believable(seed: u64, now: Timestamp) -> Vec<Listing> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut day = Day { dice: Dice::new(seed), now, zoned: new_york(now), listings: Vec::new() };
    day.games();
    day.temperatures();
    day.rain();
    day.crypto();
    day.news();
    day.town();
    day.listings
}

/// The day that `now` lies in: tickers of daily markets carry its date.
pub fn simulated_date(now: Timestamp) -> Date {
    new_york(now).date()
}

fn new_york(now: Timestamp) -> Zoned {
    now.to_zoned(TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC))
}

struct Day {
    dice: Dice,
    now: Timestamp,
    zoned: Zoned,
    listings: Vec<Listing>,
}

impl Day {
    fn after(&self, minutes: i64) -> Timestamp {
        self.now.checked_add(SignedDuration::from_mins(minutes)).unwrap_or(Timestamp::MAX)
    }

    fn code(&self) -> String {
        self.zoned.strftime("%y%b%d").to_string().to_uppercase()
    }

    /// Date and time of a moment, for tickers of which there are several a day.
    fn code_at(&self, at: Timestamp) -> String {
        local::minute_code(&at.to_zoned(self.zoned.time_zone().clone()))
    }

    fn long_date(&self) -> String {
        self.zoned.strftime("%b %-d, %Y").to_string()
    }

    /// The end of the local day, when daily markets stop.
    fn midnight(&self) -> Timestamp {
        let tomorrow = self.zoned.date().tomorrow().unwrap_or(self.zoned.date());
        tomorrow
            .to_zoned(self.zoned.time_zone().clone())
            .map_or(self.after(8 * 60), |z| z.timestamp())
            .max(self.after(30))
    }

    fn opened(&self) -> Timestamp {
        self.after(-20 * 60)
    }

    /// Yes with the chance that the price says.
    fn draw(&mut self, fair: Px) -> Outcome {
        if self.dice.between(1, 1_000_000) <= fair.0 { Outcome::Yes } else { Outcome::No }
    }

    fn push(&mut self, series: SeriesSpec, event: EventSpec, markets: Vec<MarketSpec>) {
        let created = Some(self.after(-21 * 60));
        self.listings.push(Listing { series, event, markets, created });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Now, Refusal};
    use crate::model::Status;
    use std::collections::BTreeMap;

    fn now() -> Timestamp {
        "2026-11-23T17:00:00Z".parse().unwrap()
    }

    #[test]
    fn every_kind_is_there_and_some_end_soon() {
        let mut engine = Engine::new(1, Now { time: now(), wall: 0 });
        for listing in believable(7, now()) {
            listing.list(&mut engine, Now { time: now(), wall: 0 }).unwrap();
        }
        let mut categories: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, event, _) in engine.events.values() {
            *categories.entry(&engine.series[&event.series_ticker].1.category).or_default() += 1;
        }
        for kind in
            ["Sports", "Climate and Weather", "Crypto", "Economics", "Entertainment", "Social", "Transportation"]
        {
            assert!(categories[kind] >= 3, "{kind}: {categories:?}");
        }
        let open = engine.markets.values().filter(|m| m.status() == Status::Active).count();
        assert!(open >= 70 && open < engine.markets.len(), "{open} are open, later hours are not yet");
        let soon = now() + SignedDuration::from_mins(10);
        let ending = engine.markets.values().filter(|m| m.spec.script.as_ref().is_some_and(|s| s.determine_at <= soon));
        assert!(ending.count() >= 8);
        for hours in [40, 41, 42, 43, 44] {
            engine.advance(Now { time: now() + SignedDuration::from_hours(hours), wall: hours });
        }
        assert!(engine.markets.values().all(|m| m.status() == Status::Finalized));
        assert_eq!(engine.audit(), Vec::<String>::new());
    }

    /// Both changes of clocks, a leap day and a year's end, in New York.
    const AROUND: [&str; 5] = [
        "2026-03-08T07:00:00Z",
        "2026-11-01T06:00:00Z",
        "2027-11-07T06:00:00Z",
        "2028-02-29T05:00:00Z",
        "2027-01-01T05:00:00Z",
    ];

    #[test]
    fn a_day_can_be_listed_at_any_time_of_the_year() {
        let zone = TimeZone::get("America/New_York").unwrap();
        for around in AROUND.map(|text| text.parse::<Timestamp>().unwrap()) {
            for quarter in -36 * 4..36 * 4 {
                let now = around + SignedDuration::from_mins(15 * quarter);
                let mut engine = Engine::new(1, Now { time: now, wall: 0 });
                for listing in believable(7, now) {
                    let listed = listing.list(&mut engine, Now { time: now, wall: 0 });
                    assert!(listed.is_ok(), "{} at {}: {listed:?}", listing.event.ticker, now.to_zoned(zone.clone()));
                }
                let of_day = engine.markets.values().filter(|m| m.spec.ticker.starts_with("KXHIGH"));
                let date = now.to_zoned(zone.clone()).date();
                for close in of_day.map(|m| m.spec.close_time) {
                    let last = (close - SignedDuration::from_secs(1)).to_zoned(zone.clone());
                    let late = close == now + SignedDuration::from_mins(30);
                    assert!(late || (last.date(), last.hour(), last.minute()) == (date, 23, 59), "{now}: {close}");
                }
            }
        }
    }

    /// Each day that begins in New York is listed, whatever stands there from the day before.
    #[test]
    fn the_next_day_is_listed_beside_the_last() {
        let zone = TimeZone::get("America/New_York").unwrap();
        for around in AROUND.map(|text| text.parse::<Timestamp>().unwrap()) {
            let first = around - SignedDuration::from_hours(60);
            let mut engine = Engine::new(1, Now { time: first, wall: 0 });
            let mut date = None;
            for hour in 0..120 {
                let now = first + SignedDuration::from_hours(hour);
                if date.replace(simulated_date(now)) == Some(simulated_date(now)) {
                    continue;
                }
                for listing in believable(7, now) {
                    // Markets of an hour may be there from the day before, and no other.
                    let listed = listing.list(&mut engine, Now { time: now, wall: 0 });
                    let there = listing.markets.iter().all(|market| engine.markets.contains_key(&market.ticker));
                    assert!(there && matches!(listed, Ok(()) | Err(Refusal::Exists(_))), "{now}: {listed:?}");
                    let daily = ["KXHIGH", "KXRAIN"].iter().any(|series| listing.event.ticker.starts_with(series));
                    assert!(listed.is_ok() || !daily, "{} at {}", listing.event.ticker, now.to_zoned(zone.clone()));
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_day() {
        let text = |seed| serde_json::to_string(&believable(seed, now())).unwrap();
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }

    #[test]
    fn exactly_one_temperature_comes_true() {
        for seed in 0..50 {
            for listing in believable(seed, now()).into_iter().filter(|l| l.series.ticker.starts_with("KXHIGH")) {
                let yes =
                    listing.markets.iter().filter_map(|m| m.script.as_ref()).filter(|s| s.outcome == Outcome::Yes);
                assert_eq!(yes.count(), 1, "{} seed {seed}", listing.event.ticker);
            }
        }
    }
}
