//! A town that lives through the public API: tills that sign their requests, members who sign in. It knows the
//! programme only by its HTTP API, as any till vendor would.
//!
//! What people buy, when and for how much follows a real transaction log ([`Log`]); who they are is invented.

mod api;
mod counters;
mod latency;
mod life;
mod log;
mod memory;
mod names;
mod push_service;
mod screens;
mod stakes;

pub use api::{ApiError, MarketRow, MemberLogin, Operator, Phone, Purchase, Till, TillLogin, push_key};
/// For [`PushService::trouble`].
pub use axum::http::StatusCode;
pub use latency::{Latencies, Percentiles};
pub use life::{Happening, LifeError, Summary, Town, TownConfig};
pub use log::{Basket, Log, LogError};
pub use push_service::{PushCounts, PushService, Pushed, Subscription};
