//! What is known of a person from questions that were resolved: how right, which way wrong, how often YES.

use super::sigmoid;

/// Tenths of probability, with a bucket of their own for 0 and 1.
pub(super) const BUCKETS: usize = 11;

#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    /// Forecasts made, resolved or not.
    pub made: u64,
    /// Forecasts whose question was resolved.
    pub resolved: f64,
    pub resolved_yes: f64,
    /// Sums of squared errors: their own, and of the crowd before them.
    pub error: f64,
    pub crowd_error: f64,
    /// Calibration on the log-odds scale: `shift + (1 + stretch) * TEMPER * logit`.
    pub shift: f64,
    pub stretch: f64,
    bucket_count: [f64; BUCKETS],
    bucket_yes: [f64; BUCKETS],
    /// Questions of theirs that were resolved, and how many of them YES.
    pub own_resolved: f64,
    pub own_yes: f64,
    /// Running mean of outcome minus their first forecast, over questions of theirs.
    pub own_surprise: f64,
}

/// People are surer than they are right: log-odds are 15 % too wide before anything is known of a person.
const TEMPER: f64 = 0.85;
/// Forecasts that a bucket's common rate is worth.
const BUCKET_PRIOR: f64 = 8.0;
/// Squared error of a forecaster of whom nothing is known, and the forecasts that this guess is worth.
const ERROR_PRIOR: f64 = 0.17;
const ERROR_PRIOR_COUNT: f64 = 20.0;

impl Person {
    pub fn bucket(p: f64) -> usize {
        ((p * 10.0).round() as usize).min(BUCKETS - 1)
    }

    pub fn calibrated(&self, logit: f64) -> f64 {
        self.shift + (1.0 + self.stretch) * TEMPER * logit
    }

    /// How often it was YES when they said about `p`; `common` is the rate over all people.
    pub fn rate_when_saying(&self, p: f64, common: f64) -> f64 {
        let bucket = Person::bucket(p);
        (self.bucket_yes[bucket] + BUCKET_PRIOR * common) / (self.bucket_count[bucket] + BUCKET_PRIOR)
    }

    /// By how much their squared error is below the crowd's; 0 for a stranger.
    pub fn skill(&self) -> f64 {
        (self.crowd_error - self.error) / (self.resolved + ERROR_PRIOR_COUNT)
    }

    pub fn mean_error(&self) -> f64 {
        (self.error + ERROR_PRIOR_COUNT * ERROR_PRIOR) / (self.resolved + ERROR_PRIOR_COUNT)
    }

    /// A question on which they said `p` (`logit`), when the crowd stood at `crowd`, was resolved.
    pub fn learn(&mut self, p: f64, logit: f64, crowd: f64, yes: f64) {
        let bucket = Person::bucket(p);
        self.bucket_count[bucket] += 1.0;
        self.bucket_yes[bucket] += yes;
        self.resolved += 1.0;
        self.resolved_yes += yes;
        self.error += (p - yes) * (p - yes);
        self.crowd_error += (crowd - yes) * (crowd - yes);
        // Stochastic gradient of the log loss with steps that shrink as 1/n: the prior is the common calibration.
        let wrong = yes - sigmoid(self.calibrated(logit));
        let rate = 1.0 / (self.resolved / 4.0 + 6.0);
        self.shift += rate * wrong;
        self.stretch += rate * wrong * logit * 0.3;
        self.shift = self.shift.clamp(-3.0, 3.0);
        self.stretch = self.stretch.clamp(-0.9, 2.0);
    }

    /// A question that they opened with `first` was resolved.
    pub fn learn_own(&mut self, first: f64, yes: f64) {
        self.own_resolved += 1.0;
        self.own_yes += yes;
        self.own_surprise = 0.8 * self.own_surprise + 0.2 * (yes - first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overconfident_person_is_drawn_in_and_a_good_one_has_skill() {
        let (mut bold, mut good) = (Person::default(), Person::default());
        for i in 0..400 {
            let yes = f64::from(u8::from(i % 10 < 6));
            bold.learn(0.95, 2.944, 0.6, yes);
            let p = if yes == 1.0 { 0.8 } else { 0.2 };
            good.learn(p, if yes == 1.0 { 1.386 } else { -1.386 }, 0.6, yes);
        }
        assert!((sigmoid(bold.calibrated(2.944)) - 0.6).abs() < 0.08, "{}", sigmoid(bold.calibrated(2.944)));
        assert!((bold.rate_when_saying(0.95, 0.9) - 0.6).abs() < 0.02);
        assert!(good.skill() > 0.1 && bold.skill() < -0.05);
        assert!(good.mean_error() < 0.06);
    }
}
