//! What a coin is worth on the hour.

use super::{Day, time_of_day};
use crate::listing::{plain_market, series_spec};
use crate::model::{EventSpec, Grid, MarketSpec, Outcome, Script};
use crate::units::Px;
use jiff::SignedDuration;
use serde_json::Number;

impl Day {
    /// Hourly ladders on the finer grid, the first ending soon; later ones open as the day goes on.
    pub(super) fn crypto(&mut self) {
        let hours = (1..=14).map(|hour| 30 + 60 * hour);
        for ends in [5, 30].into_iter().chain(hours) {
            let close = self.after(ends);
            let local = close.to_zoned(self.zoned.time_zone().clone());
            let shown = time_of_day(&local, "%H:%M");
            let event = format!("KXBTCD-{}", self.code_at(close));
            let price = 89_000 + self.dice.between(-600, 600);
            let mut markets = Vec::new();
            for (rung, fair) in [(-500, 88), (-250, 70), (0, 50), (250, 29), (500, 11)] {
                let strike = 89_000 + rung;
                markets.push(MarketSpec {
                    fair: Px::cents(fair),
                    settlement_timer_seconds: 20,
                    grid: Grid::TaperedDeciCent,
                    strike_type: Some("greater".to_owned()),
                    floor_strike: Some(Number::from(strike)),
                    script: Some(Script {
                        determine_at: close.checked_add(SignedDuration::from_secs(5)).unwrap_or(close),
                        outcome: if price > strike { Outcome::Yes } else { Outcome::No },
                        expiration_value: format!("{},{:03}.00", price / 1000, price % 1000),
                        dispute: None,
                    }),
                    ..plain_market(
                        &format!("{event}-T{strike}"),
                        &event,
                        &format!("Bitcoin above ${strike} at {shown}?"),
                        &format!("${strike} or above"),
                        self.after(ends - 90),
                        close,
                    )
                });
            }
            let mut spec = series_spec("KXBTCD", "Bitcoin price", "Crypto", &["BTC"], 2);
            spec.frequency = "hourly".to_owned();
            let spec_event = EventSpec {
                ticker: event,
                series_ticker: "KXBTCD".to_owned(),
                title: format!("Bitcoin price at {shown}?"),
                sub_title: format!("{} at {shown}", local.strftime("%b %-d")),
                mutually_exclusive: false,
                strike_date: Some(close),
            };
            self.push(spec, spec_event, markets);
        }
    }
}
