//! Models: arrays in, numbers out. No I/O, no clock; chance comes from a seed.

pub mod anomaly;
pub mod boosting;
pub mod numeric;
