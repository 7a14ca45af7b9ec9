//! Models: arrays in, numbers out. No I/O, no clock; chance comes from a seed.

pub mod bandit;
pub mod numeric;
pub mod off_policy;
pub mod uplift;
