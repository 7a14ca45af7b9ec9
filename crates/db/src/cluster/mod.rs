//! A PostgreSQL of our own: found, made, started, shared by nobody, taken over, stopped.

mod account;
mod binaries;
mod error;
mod postmaster;

pub use account::Account;
pub use binaries::{Binaries, MAJOR_MIN, find};
pub use error::ClusterError;
pub(crate) use postmaster::{answers, is_alive, ready_pid};
