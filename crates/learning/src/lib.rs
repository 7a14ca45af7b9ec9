//! Models: arrays in, numbers out. No I/O, no clock; chance comes from a seed.

pub mod life;
pub mod numeric;
