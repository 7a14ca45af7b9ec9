//! How likely is it that a question ends YES, given what people said about it and how right they were before.
//!
//! A site's history is a stream: somebody states a probability or places an order, and later a question is resolved.
//! [`Forecasts`] reads the first kind of stream, [`Orders`] the second. Each answers every row with an [`Estimate`],
//! made of that row and the rows before it.
//!
//! Invariants
//! - C1: an estimate depends on its own row and earlier ones. When models are refitted depends on rows seen, never on
//!   how many will follow.
//! - C2: an outcome teaches when its resolution arrives, not before.
//! - C3: a row costs the same however long the stream and the list of earlier opinions are, refits aside; refits
//!   become rarer as the history grows, so all of them together are linear in it.
//! - C4: `0 < lo <= p <= hi < 1`, all finite.

mod crowd;
mod features;
mod forecasts;
mod logistic;
mod orders;
mod people;
mod reliability;

pub use forecasts::{Forecast, Forecasts};
pub use orders::{Order, Orders, Side};
pub use reliability::{Decile, calibration_gap, reliability};

/// The probability of YES.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub p: f64,
    /// Ends of the 80 % interval for `p` that comes from having learned from `n` questions only. It says nothing of
    /// how surprising the outcome may be; that is `p` itself.
    pub lo: f64,
    pub hi: f64,
    /// Resolved questions that were learned from.
    pub n: u64,
}

/// A row that cannot be used. What was learned so far stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ChanceError {
    #[error("{0} is not a probability from 0 to 1")]
    Probability(f64),
    #[error("{0} is no amount: a finite number from 0 up is needed")]
    Amount(f64),
    #[error("a time is not finite")]
    Time,
    #[error("the row is {0} days earlier than the row before it")]
    Order(f64),
}

/// Half of the standard normal's central 80 %.
const EIGHTY_PERCENT: f64 = 1.281_551_565_544_6;

/// No estimate is surer than this: a resolution itself is now and then wrong.
const SUREST: f64 = 0.002;

impl Estimate {
    fn from_logit(logit: f64, deviation: f64, n: u64) -> Estimate {
        let at = |z: f64| sigmoid(z).clamp(SUREST, 1.0 - SUREST);
        let half = EIGHTY_PERCENT * deviation;
        Estimate { p: at(logit), lo: at(logit - half), hi: at(logit + half), n }
    }
}

/// Weight of a row of a question with n rows is n to this: what is said about one question shares its luck, so that
/// all of it together weighs n to the quarter.
const WEIGHT_POWER: f64 = -0.75;

/// The time of the latest row of a stream.
#[derive(Clone, Copy, Debug)]
struct Latest(f64);

impl Default for Latest {
    fn default() -> Latest {
        Latest(f64::NEG_INFINITY)
    }
}

impl Latest {
    /// # Errors
    /// `Time`, `Order`; then it stays where it was.
    fn go_to(&mut self, at: f64) -> Result<(), ChanceError> {
        if !at.is_finite() {
            return Err(ChanceError::Time);
        }
        if at < self.0 {
            return Err(ChanceError::Order(self.0 - at));
        }
        self.0 = at;
        Ok(())
    }
}

/// Log-odds, with probabilities below `least` and above `1 - least` taken for those.
fn log_odds(p: f64, least: f64) -> f64 {
    let p = p.clamp(least, 1.0 - least);
    libm::log(p / (1.0 - p))
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}
