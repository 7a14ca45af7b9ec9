//! The day's weather in some cities.

use super::Day;
use crate::listing::{plain_market, series_spec};
use crate::model::{EventSpec, MarketSpec, Outcome, Script};
use crate::units::Px;
use jiff::SignedDuration;
use serde_json::Number;

/// Degrees that one temperature market stands for. Bins touch, and the outer two are open.
struct Bin {
    suffix: String,
    label: String,
    floor: Option<i64>,
    cap: Option<i64>,
    kind: &'static str,
    fair_cents: i64,
    hit: bool,
}

/// Below `low`, four bins of two degrees, and what is above them.
fn bins(low: i64, observed: i64) -> [Bin; 6] {
    std::array::from_fn(|bin| {
        let (from, to) = (low + 2 * (bin as i64 - 1), low + 2 * (bin as i64 - 1) + 1);
        let fair_cents = [6, 14, 30, 30, 14, 6][bin];
        match bin {
            0 => Bin {
                suffix: format!("T{low}"),
                label: format!("{}° or below", low - 1),
                floor: None,
                cap: Some(low),
                kind: "less",
                fair_cents,
                hit: observed < low,
            },
            5 => Bin {
                suffix: format!("T{}", from - 1),
                label: format!("{from}° or above"),
                floor: Some(from - 1),
                cap: None,
                kind: "greater",
                fair_cents,
                hit: observed >= from,
            },
            _ => Bin {
                suffix: format!("B{from}.5"),
                label: format!("{from}° to {to}°"),
                floor: Some(from),
                cap: Some(to),
                kind: "between",
                fair_cents,
                hit: (from..=to).contains(&observed),
            },
        }
    })
}

impl Day {
    pub(super) fn temperatures(&mut self) {
        const CITIES: [(&str, &str, i64); 3] =
            [("KXHIGHNY", "NYC", 52), ("KXHIGHCHI", "Chicago", 41), ("KXHIGHMIA", "Miami", 79)];
        for (series, city, around) in CITIES {
            let low = around + self.dice.between(-2, 2) - 4;
            let observed = low + self.dice.between(0, 9);
            self.temperature(series, city, &bins(low, observed), observed);
        }
    }

    /// Six mutually exclusive markets a city; trading ends at midnight, payment comes the next morning.
    fn temperature(&mut self, series: &str, city: &str, bins: &[Bin], observed: i64) {
        let event = format!("{series}-{}", self.code());
        let close = self.midnight();
        let paid = close.checked_add(SignedDuration::from_hours(8)).unwrap_or(close);
        let market = |bin: &Bin| {
            let title = format!("Will the high temp in {city} be {} on {}?", bin.label, self.long_date());
            let ticker = format!("{event}-{}", bin.suffix);
            MarketSpec {
                fair: Px::cents(bin.fair_cents),
                expected_expiration_time: Some(paid),
                settlement_timer_seconds: 3600,
                strike_type: Some(bin.kind.to_owned()),
                floor_strike: bin.floor.map(Number::from),
                cap_strike: bin.cap.map(Number::from),
                script: Some(Script {
                    determine_at: paid,
                    outcome: if bin.hit { Outcome::Yes } else { Outcome::No },
                    expiration_value: format!("{observed}.00"),
                    dispute: None,
                }),
                ..plain_market(&ticker, &event, &title, &bin.label, self.opened(), close)
            }
        };
        let markets = bins.iter().map(market).collect();
        let title = format!("Highest temperature in {city}");
        let mut spec = series_spec(series, &title, "Climate and Weather", &["Daily temperature"], 0);
        spec.source = "The Weather Company".to_owned();
        let event = EventSpec {
            ticker: event,
            series_ticker: series.to_owned(),
            title: format!("{title} on {}?", self.long_date()),
            sub_title: format!("On {}", self.long_date()),
            mutually_exclusive: true,
            strike_date: Some(close),
        };
        self.push(spec, event, markets);
    }

    /// One market a city; where it rains, the market ends early.
    pub(super) fn rain(&mut self) {
        const CITIES: [(&str, &str, i64); 6] = [
            ("NYC", "New York", 6),
            ("BOS", "Boston", 15),
            ("CHI", "Chicago", 40),
            ("SEA", "Seattle", 10),
            ("DEN", "Denver", 0),
            ("MIA", "Miami", 90),
        ];
        let event = format!("KXRAIN-{}", self.code());
        let midnight = self.midnight();
        let mut markets = Vec::new();
        for (code, city, falls) in CITIES {
            let fair = Px::cents(if falls == 0 { 12 } else { self.dice.between(45, 80) });
            let (at, outcome) = if falls == 0 { (midnight, Outcome::No) } else { (self.after(falls), Outcome::Yes) };
            markets.push(MarketSpec {
                fair,
                expected_expiration_time: Some(if falls == 0 { midnight } else { at }),
                settlement_timer_seconds: 60,
                strike_type: Some("greater".to_owned()),
                floor_strike: Some(Number::from(0)),
                script: Some(Script { determine_at: at, outcome, expiration_value: String::new(), dispute: None }),
                ..plain_market(
                    &format!("{event}-{code}"),
                    &event,
                    &format!("Will it rain in {city} today?"),
                    city,
                    self.opened(),
                    midnight,
                )
            });
        }
        let mut spec = series_spec("KXRAIN", "Where will it rain?", "Climate and Weather", &["Rain"], 0);
        spec.source = "The Weather Company".to_owned();
        let spec_event = EventSpec {
            ticker: event,
            series_ticker: "KXRAIN".to_owned(),
            title: "Where will it rain today?".to_owned(),
            sub_title: format!("On {}", self.long_date()),
            mutually_exclusive: false,
            strike_date: Some(midnight),
        };
        self.push(spec, spec_event, markets);
    }
}
