//! A simulator of Kalshi's published REST and WebSocket interface with a real exchange behind it:
//! accounts, books, matching, fees, netting, lifecycle, settlement, and one fault of each class on
//! demand. It shares no code with the client that is tested against it.
//!
//! Start with `ExchangeSim::start`, `SimHandle` and `Fault`; `day::believable` makes the markets.

mod answers;
mod auth;
mod book;
pub mod cli;
mod control;
pub mod day;
mod dice;
mod engine;
mod faults;
mod fees;
mod listing;
mod model;
mod rest;
mod sim;
mod socket;
mod token_buckets;
mod units;
mod wire;

pub use auth::KeyPair;
pub use book::BookSide;

pub use engine::Refusal;
pub use faults::{Fault, FaultKind, On};
pub use fees::{FeeSchedule, FeeType};
pub use listing::Listing;
pub use model::{Dispute, EventSpec, Grid, MarketSpec, Outcome, Script, SeriesSpec, Status};
pub use sim::{ExchangeSim, KeyConfig, SimConfig, SimHandle, StartError};
pub use token_buckets::Tier;
pub use units::{Cash, Px, Qty};
