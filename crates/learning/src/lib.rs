//! Models: arrays in, numbers out. No I/O, no clock; chance comes from a seed.

pub mod life;
pub mod churn;
pub mod numeric;
pub mod value;
pub mod bandit;
pub mod off_policy;
