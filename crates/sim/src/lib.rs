//! The simulation: the real crates on a real PostgreSQL with a real exchange socket, a clock that is moved by hand,
//! and whatever can happen to them, drawn from a seed.
//!
//! - A history is a list of [`Op`]s. The same seed gives the same list, and any part of a list can be lived.
//! - After each operation the invariants it touched are looked at, by SQL and by a plain model of what was promised;
//!   now and then, and at the end, all of them.
//! - A history that fails is shrunk to a short one, which becomes a named test in `tests/found.rs`.
//! - [`bugs`] plants mistakes to prove that all this can fail.

pub mod bugs;
pub mod core;
mod crash;
mod dice;
mod facts;
pub mod history;
mod jobs;
mod live;
mod model;
pub mod op;
mod origins;
mod shrink;
mod world;

pub use history::{Failure, Life, left_behind, live};
pub use op::Op;
pub use shrink::shrink;
