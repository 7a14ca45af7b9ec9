//! The real exchange behind the port `hunch_exchange::Exchange`: Kalshi's V2 contract over REST and WebSocket.
//!
//! What an integrator gets wrong, and what holds here
//! - Orders are written to the V2 route only, on the YES book: buying NO at q is an ask at 1 − q.
//! - Money and counts travel as strings and are fixed-point here; a fill of 0.28 contracts is 28 hundredths.
//! - A client order id is spent for ever; this crate never makes one and never repeats a submission by itself.
//! - No answer, a 5xx or an answer that is not understood is *unknown*, never a refusal. Only what the exchange
//!   certainly did not take is refused.
//! - Every request is signed anew, at the time it is sent. Redirects are not followed.
//! - Four shapes of error bodies are read, and those of proxies in between.

mod client;
mod elements;
mod errors;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hours;
mod left_out;
mod limits;
mod signing;
mod socket;
mod transport;
mod wire;

pub use client::{Kalshi, KalshiConfig};
pub use errors::{ApiError, ErrorBody, classify_submission};
pub use signing::{KeyError, SigningKey};
