//! A believable day of markets: several of each kind, spread over the hours after `now`, some ending
//! while one watches. The same seed and time give the same day.

mod crypto;
mod games;
mod questions;
mod weather;

use crate::dice::Dice;
use crate::listing::Listing;
use crate::model::{EventSpec, MarketSpec, Outcome, SeriesSpec};
use crate::units::Px;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// Several events of each category for the day that `now` lies in, as New York counts days.
pub fn believable(seed: u64, now: Timestamp) -> Vec<Listing> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let zoned = now.to_zoned(TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC));
    let mut day = Day { dice: Dice::new(seed), now, zoned, listings: Vec::new() };
    day.games();
    day.temperatures();
    day.rain();
    day.crypto();
    day.news();
    day.town();
    day.listings
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
        at.to_zoned(self.zoned.time_zone().clone()).strftime("%y%b%d%H%M").to_string().to_uppercase()
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
    use crate::engine::{Engine, Now};
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
