//! Models: arrays in, numbers out. No I/O, no clock; chance comes from a seed.

pub mod demand;
pub mod numeric;
pub mod staffing;
