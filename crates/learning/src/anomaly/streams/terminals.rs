//! What is remembered of a terminal.

use serde::{Deserialize, Serialize};

use super::windows::Windows;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terminal {
    /// Each purchase's amount over the customer's usual one.
    pub ratios: Windows,
    /// 1 for a fraud, 0 for none, at the time of the purchase.
    pub labels: Windows,
    /// Frauds that could not be seen in the amount.
    pub quiet: Windows,
    /// The last labels, newest in the lowest bit, and how many there are, up to 8.
    recent: u8,
    recent_count: u32,
    /// Frauds in a row up to the newest label, and when the first of them and the last honest purchase happened.
    pub run: f64,
    pub run_first: Option<i64>,
    pub honest_last: Option<i64>,
    pub fraud_last: Option<i64>,
}

const RATIO_MAX: f64 = 20.0;

impl Terminal {
    pub fn push(&mut self, now: i64, ratio: f64) {
        self.ratios.push(now, ratio.min(RATIO_MAX));
    }

    /// The share of frauds in the last `count` labels, up to 8; NaN without labels.
    pub fn share_of_last(&self, count: u32) -> f64 {
        let count = count.min(self.recent_count);
        if count == 0 {
            return f64::NAN;
        }
        let newest = u32::from(self.recent) & ((1 << count) - 1);
        f64::from(newest.count_ones()) / f64::from(count)
    }

    pub fn learn(&mut self, at: i64, fraud: bool, quiet: bool) {
        let at = self.labels.last().map_or(at, |last| last.max(at));
        self.labels.push(at, f64::from(u8::from(fraud)));
        self.quiet.push(at, f64::from(u8::from(fraud && quiet)));
        self.recent = self.recent << 1 | u8::from(fraud);
        self.recent_count = (self.recent_count + 1).min(8);
        if fraud {
            self.run += 1.0;
            self.run_first = self.run_first.or(Some(at));
            self.fraud_last = Some(at);
        } else {
            self.run = 0.0;
            self.run_first = None;
            self.honest_last = Some(at);
        }
    }
}
