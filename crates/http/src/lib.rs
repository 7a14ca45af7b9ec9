//! The HTTP API: routes, wire types, problem details, OpenAPI. No business rule lives here.
//!
//! - Every error is a problem document (RFC 9457) from one table, [`Problem`].
//! - Member, terminal and operator credentials are three different types; a route names the one it takes.
//! - The OpenAPI document is made from the code and kept as a snapshot in `docs/openapi.json`.

mod app;
mod bounds;
mod credentials;
mod entrance;
mod extract;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod idempotency;
mod items;
mod json;
mod listener;
mod mistake;
mod openapi;
mod overload;
mod patience;
mod problem;
mod rate_limits;
mod refused;
mod refused_receipts;
mod router;
mod routes;
mod sentence;
mod source;
mod tickets;
mod turned_away;

pub use app::{App, PushTerms, Readiness};
pub use credentials::{MEMBER, OPERATOR, OperatorKey, TERMINAL, TICKET, WEBHOOK};
pub use idempotency::sweep_first_answers;
pub use listener::{ListenerTerms, serve};
pub use openapi::openapi_json;
pub use problem::{PROBLEMS, Problem, ProblemKind};
pub use rate_limits::RateLimits;
pub use router::{Services, services};
pub use routes::webhook::{WebhookKey, sign_webhook};
pub use tickets::{Ticket, TicketKey};
pub use turned_away::TurnedAway;
