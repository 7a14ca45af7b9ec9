//! What stands on one question: everybody's latest forecast, in sums that a new forecast changes in constant time.

use std::collections::HashMap;

use super::sigmoid;

/// After this many days a forecast counts `1/e`.
const MEMORY_DAYS: f64 = 30.0;

/// Somebody's latest word on a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub logit: f64,
    /// The logit after that person's own calibration of then.
    pub calibrated: f64,
    /// Grows with the skill that person had shown by then.
    pub weight: f64,
    pub at: f64,
}

/// Sums over people. Those that fade are as of `at`.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: f64,
    logit: f64,
    square: f64,
    probability: f64,
    calibrated: f64,
    at: f64,
    recent: f64,
    recent_logit: f64,
    skilled: f64,
    skilled_calibrated: f64,
}

impl Sums {
    fn fade(&mut self, now: f64) {
        let keep = libm::exp(-(now - self.at) / MEMORY_DAYS);
        self.recent *= keep;
        self.recent_logit *= keep;
        self.skilled *= keep;
        self.skilled_calibrated *= keep;
        self.at = now;
    }

    /// Adds (`sign` 1) or takes away (-1) a mark; the sums stand at a time not before the mark's.
    fn add(&mut self, mark: &Mark, sign: f64) {
        let fresh = sign * libm::exp(-(self.at - mark.at) / MEMORY_DAYS);
        self.count += sign;
        self.logit += sign * mark.logit;
        self.square += sign * mark.logit * mark.logit;
        self.probability += sign * sigmoid(mark.logit);
        self.calibrated += sign * mark.calibrated;
        self.recent += fresh;
        self.recent_logit += fresh * mark.logit;
        self.skilled += fresh * mark.weight;
        self.skilled_calibrated += fresh * mark.weight * mark.calibrated;
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    marks: HashMap<u64, Mark>,
    sums: Sums,
    /// The two people who spoke last, the latest first.
    latest: [Option<(u64, Mark)>; 2],
}

/// The crowd without one person.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Others {
    pub count: f64,
    /// Means of log-odds: plain, with recent forecasts counting more, calibrated, calibrated and weighted by skill and
    /// recency.
    pub mean: f64,
    pub recent: f64,
    pub calibrated: f64,
    pub skilled: f64,
    pub deviation: f64,
    pub probability: f64,
    pub latest: f64,
    pub latest_age_days: f64,
}

impl Crowd {
    pub fn of(&self, person: u64) -> Option<&Mark> {
        self.marks.get(&person)
    }

    /// None if nobody else said anything.
    pub fn without(&self, person: u64, now: f64) -> Option<Others> {
        let mut sums = self.sums;
        sums.fade(now);
        if let Some(own) = self.marks.get(&person) {
            sums.add(own, -1.0);
        }
        let count = sums.count.round();
        if count < 1.0 {
            return None;
        }
        let mean = sums.logit / count;
        // What faded to nothing has no mean of its own.
        let ratio = |sum: f64, of: f64, otherwise: f64| if of > 1e-9 { sum / of } else { otherwise };
        let calibrated = sums.calibrated / count;
        let latest = self.latest.iter().flatten().find(|(who, _)| *who != person);
        Some(Others {
            count,
            mean,
            recent: ratio(sums.recent_logit, sums.recent, mean).clamp(-6.0, 6.0),
            calibrated,
            skilled: ratio(sums.skilled_calibrated, sums.skilled, calibrated).clamp(-6.0, 6.0),
            deviation: (sums.square / count - mean * mean).max(0.0).sqrt(),
            probability: sums.probability / count,
            latest: latest.map_or(mean, |(_, mark)| mark.logit),
            latest_age_days: latest.map_or(0.0, |(_, mark)| now - mark.at),
        })
    }

    pub fn say(&mut self, person: u64, mark: Mark) {
        self.sums.fade(mark.at);
        if let Some(before) = self.marks.insert(person, mark) {
            self.sums.add(&before, -1.0);
        }
        self.sums.add(&mark, 1.0);
        match self.latest[0] {
            Some((who, _)) if who == person => self.latest[0] = Some((person, mark)),
            other => self.latest = [Some((person, mark)), other],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Sums kept by small changes say what a walk through all marks says.
        #[test]
        fn sums_agree_with_a_walk(said in proptest::collection::vec((0u64..5, -4.0..4.0f64, 0.0..20.0f64), 1..40)) {
            let mut crowd = Crowd::default();
            let mut now = 0.0;
            for (person, logit, gap) in said {
                now += gap;
                crowd.say(person, Mark { logit, calibrated: logit * 0.5, weight: 1.0 + logit.abs(), at: now });
            }
            for person in 0..6 {
                let others: Vec<&Mark> = crowd.marks.iter().filter(|(who, _)| **who != person).map(|(_, m)| m).collect();
                let Some(found) = crowd.without(person, now) else {
                    prop_assert!(others.is_empty());
                    continue;
                };
                let n = others.len() as f64;
                prop_assert_eq!(found.count, n);
                let mean = others.iter().map(|m| m.logit).sum::<f64>() / n;
                prop_assert!((found.mean - mean).abs() < 1e-9);
                let fresh = |m: &Mark| ((m.at - now) / MEMORY_DAYS).exp();
                let total: f64 = others.iter().map(|m| fresh(m)).sum();
                if total > 1e-3 {
                    let recent = others.iter().map(|m| fresh(m) * m.logit).sum::<f64>() / total;
                    prop_assert!((found.recent - recent).abs() < 1e-6);
                }
                let newest = others.iter().map(|m| m.at).fold(f64::MIN, f64::max);
                prop_assert!((found.latest_age_days - (now - newest)).abs() < 1e-9);
            }
        }
    }
}
