//! When the exchange works: as the referee says, and not while it is maintained.

use super::{Engine, Now, Refusal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What readers of status and schedule are told beside the two switches.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hours {
    /// When the exchange expects to go on, while it is switched off.
    pub resumes: Option<Timestamp>,
    /// Windows in which it does not work, also published in the schedule.
    pub maintenance: Vec<(Timestamp, Timestamp)>,
    /// The window it is in now, if any, goes on until then.
    maintained_until: Option<Timestamp>,
}

impl Engine {
    /// Whether anything works at all, and whether orders are taken.
    pub fn works(&self) -> (bool, bool) {
        let works = self.exchange_active && self.hours.maintained_until.is_none();
        (works, works && self.trading_active)
    }

    /// When it is expected to go on.
    pub fn resumes(&self) -> Option<Timestamp> {
        self.hours.maintained_until.max(self.hours.resumes)
    }

    pub fn pause(&mut self, now: Now, exchange_active: bool, trading_active: bool, resumes: Option<Timestamp>) {
        let worked = self.works();
        self.exchange_active = exchange_active;
        self.trading_active = trading_active;
        self.hours.resumes = resumes.filter(|_| !(exchange_active && trading_active));
        self.halt_if_stopped(now, worked);
    }

    /// Announces a window of maintenance and keeps to it.
    pub fn maintain(&mut self, now: Now, from: Timestamp, to: Timestamp) {
        self.hours.maintenance.push((from, to));
        self.keep_hours(now);
    }

    pub(super) fn keep_hours(&mut self, now: Now) {
        let worked = self.works();
        let within = self.hours.maintenance.iter().filter(|(from, to)| (*from..*to).contains(&now.time));
        self.hours.maintained_until = within.map(|(_, to)| *to).max();
        self.halt_if_stopped(now, worked);
    }

    fn halt_if_stopped(&mut self, now: Now, worked: (bool, bool)) {
        let works = self.works();
        if (worked.0 && !works.0) || (worked.1 && !works.1) {
            let tickers: Vec<String> = self.markets.keys().cloned().collect();
            for ticker in tickers {
                self.clear_client_orders(now, &ticker);
            }
        }
    }

    pub(super) fn may_trade(&self) -> Result<(), Refusal> {
        match self.works() {
            (false, _) => Err(Refusal::ExchangePaused),
            (true, false) => Err(Refusal::TradingPaused),
            (true, true) => Ok(()),
        }
    }
}
