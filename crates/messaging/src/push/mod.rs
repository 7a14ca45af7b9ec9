//! Web Push by hand: sealing (RFC 8291), identification (RFC 8292), the rules of RFC 8030, and the one
//! network client of this crate.

mod endpoint;
mod hosts;
mod outgoing;
mod rules;
mod seal;
mod transport;
mod vapid;

pub use endpoint::{Endpoint, EndpointError, EndpointRules};
pub(crate) use hosts::{Passage, Room};
pub use outgoing::Grant;
pub(crate) use outgoing::{Letter, Outgoing};
pub use rules::{Delivery, RETRY_DEFAULT, TTL_CAP, Urgency, back_off, classify, topic, ttl_seconds};
pub use seal::{PLAINTEXT_BYTES_MAX, SEALED_BYTES, SealError, UserAgentKeys, seal};
pub use transport::{PushTransport, TransportError};
pub use vapid::{VapidError, VapidKey, VapidSigner};
