//! Which readings of a metric are unlike all before, told when they are read.
//!
//! What is looked for is the never seen: a value far from every earlier one, or one as far from the mean of late as
//! none was before. How far is far is measured by the metric's own past, so one threshold fits all metrics, and a
//! metric that surprises often has to surprise more to be heard.
//!
//! Invariants
//! - A reading's score comes from it and the readings before it. A stored and reloaded monitor goes on as if it never was.
//! - Scores are finite, in 0..1. A constant metric scores 0 until it changes.
//! - Of what goes on, only the beginning is an alert: until `QUIET_ROWS` later, a reading has to be stranger than the last.
//! - Alerts keep to their budget: never more than `alerts_per_1000` at once, nor in the long run per 1,000 readings.

mod novelty;
mod tail;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use novelty::Novelty;

/// Readings whose mean a reading is compared with; longest last. The opinions of three are averaged, since none is
/// right for every metric.
const LATE_ROWS: [usize; 3] = [70, 100, 150];
/// Readings in which the memory of something strange fades to a third: a candidate has to exceed it.
const QUIET_ROWS: f64 = 60.0;
/// The same for the score of what is no candidate but follows one.
const AFTERMATH_ROWS: f64 = 100.0;
/// Up to this part of the scale, what follows something strange is scored; a candidate can be above.
const AFTERMATH_SCORE: f64 = 0.25;

/// What a reading is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The score from which a reading is worth an alert, 0..1.
    pub alert_score: f64,
    /// The alert budget; readings worth an alert beyond it are not alerts.
    pub alerts_per_1000: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { alert_score: 0.41, alerts_per_1000: 5.0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// 0..1, higher is stranger.
    pub score: f64,
    pub alert: bool,
}

/// A reading that is not finite; the monitor is as before.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a reading of {0} cannot be judged")]
pub struct NotFinite(pub f64);

/// All that is remembered of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    settings: Settings,
    late: VecDeque<f64>,
    values: Novelty,
    departures: [Novelty; 3],
    /// How strange the strangest of late was, faded, for candidates and for what follows them.
    heard: f64,
    aftermath: f64,
    /// Alerts that may still be given.
    budget: f64,
}

impl Monitor {
    pub fn new(settings: Settings) -> Monitor {
        Monitor {
            settings,
            late: VecDeque::new(),
            values: Novelty::default(),
            departures: Default::default(),
            heard: 0.0,
            aftermath: 0.0,
            budget: settings.alerts_per_1000,
        }
    }

    /// Judges a reading; afterwards it is part of the past.
    ///
    /// # Errors
    /// `NotFinite`.
    pub fn push(&mut self, value: f64) -> Result<Judgement, NotFinite> {
        if !value.is_finite() {
            return Err(NotFinite(value));
        }
        let mut departed = 0.0;
        for (rows, departures) in LATE_ROWS.iter().zip(&mut self.departures) {
            let departure = value / 4.0 - mean_of_last(&self.late, *rows).unwrap_or(value) / 4.0;
            // What rounding made of equal numbers is no departure.
            let departure = if departure.abs() > 1e-9 * value.abs() { departure } else { 0.0 };
            departed += departures.push(departure) / LATE_ROWS.len() as f64;
        }
        let strange = self.values.push(value / 4.0).max(departed);
        if self.late.len() == LATE_ROWS[LATE_ROWS.len() - 1] {
            self.late.pop_front();
        }
        self.late.push_back(value);
        Ok(self.judge(strange))
    }

    fn judge(&mut self, strange: f64) -> Judgement {
        self.heard *= libm::exp(-1.0 / QUIET_ROWS);
        self.aftermath = (self.aftermath * libm::exp(-1.0 / AFTERMATH_ROWS)).max(strange);
        let candidate = strange > self.heard;
        self.heard = self.heard.max(strange);
        let aftermath = AFTERMATH_SCORE * squashed(self.aftermath);
        let score = if candidate { aftermath.max(squashed(strange)) } else { aftermath };
        self.budget = (self.budget + self.settings.alerts_per_1000 / 1000.0).min(self.settings.alerts_per_1000);
        let alert = candidate && score >= self.settings.alert_score && self.budget >= 1.0;
        if alert {
            self.budget -= 1.0;
        }
        Judgement { score, alert }
    }
}

/// None of nothing. Divided before it is summed, so that no sum of large readings is infinite.
fn mean_of_last(late: &VecDeque<f64>, rows: usize) -> Option<f64> {
    let rows = rows.min(late.len());
    (rows > 0).then(|| late.range(late.len() - rows..).map(|value| value / rows as f64).sum())
}

/// 0.. as 0..1.
fn squashed(strange: f64) -> f64 {
    strange / (strange + 1.0)
}

#[cfg(test)]
mod tests;
