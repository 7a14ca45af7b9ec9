//! Models: arrays in, numbers out. No I/O, no clock; chance comes from a seed.

pub mod boosting;
pub mod demand;
pub mod chances;
pub mod market_maker;
pub mod numeric;
pub mod ranking;
