//! Models: arrays in, numbers out. No I/O, no clock; chance comes from a seed.

pub mod anomaly;
pub mod bandit;
pub mod boosting;
pub mod chances;
pub mod choice;
pub mod churn;
pub mod demand;
pub mod life;
pub mod market_maker;
pub mod numeric;
pub mod off_policy;
pub mod ranking;
pub mod response;
pub mod staffing;
pub mod uplift;
pub mod value;
