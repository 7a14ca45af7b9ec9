//! The one way out: a shared HTTP client that keeps connections to the few push services open.

use hunch_kernel::{SharedWallClock, WallTime};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::endpoint::{EndpointRules, is_public};
use super::hosts::Hosts;
use super::outgoing::Outgoing;
use super::rules::{Delivery, RETRY_DEFAULT, classify};
use super::vapid::VapidSigner;
use crate::sender::Underway;

const ANSWER_SECONDS_MAX: u64 = 10;
const CONNECT_SECONDS_MAX: u64 = 5;

#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("the push client could not be built")]
    Build(#[source] reqwest::Error),
}

/// Hands sealed messages to push services. Cheap to clone.
#[derive(Clone)]
pub struct PushTransport {
    client: reqwest::Client,
    signer: Arc<VapidSigner>,
    rules: EndpointRules,
    wall: SharedWallClock,
    pub(crate) hosts: Arc<Hosts>,
    /// Sends that outlasted the step that began them; the next step goes on with them.
    pub(crate) outlasting: Arc<Mutex<Underway>>,
}

impl PushTransport {
    /// # Errors
    /// `Build` if the system offers no usable TLS.
    pub fn new(
        signer: VapidSigner,
        rules: EndpointRules,
        wall: SharedWallClock,
    ) -> Result<PushTransport, TransportError> {
        // The process may have chosen its provider already; either choice is good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent("hunch")
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none()) // a redirect would lead past the endpoint's checks
            .dns_resolver(Arc::new(PublicOnly { rules }))
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
            .build()
            .map_err(TransportError::Build)?;
        Ok(PushTransport {
            client,
            signer: Arc::new(signer),
            rules,
            wall,
            hosts: Arc::default(),
            outlasting: Arc::default(),
        })
    }

    /// What the page passes as `applicationServerKey`.
    pub fn public_key_base64(&self) -> String {
        self.signer.public_base64()
    }

    /// What endpoints this transport accepts; subscriptions are judged by the same rules.
    pub fn rules(&self) -> EndpointRules {
        self.rules
    }

    /// Uses the message up, and with it whatever permit it was made by. Never an error: a service that cannot be reached is one to try again later.
    pub(crate) async fn send(&self, message: Outgoing) -> (Delivery, Option<u16>) {
        let authorization = match self.signer.authorization(&message.endpoint.origin()) {
            Ok(header) => header,
            Err(error) => {
                tracing::error!(%error, "no push can be signed");
                return (Delivery::RetryAfter(RETRY_DEFAULT), None);
            }
        };
        let request = self
            .client
            .post(message.endpoint.url().clone())
            .header("Authorization", authorization)
            .header("Content-Encoding", "aes128gcm")
            .header("Content-Type", "application/octet-stream")
            .header("TTL", message.ttl_seconds)
            .header("Urgency", message.urgency.as_str())
            .header("Topic", message.topic)
            .body(message.body);
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let asked = asked.and_then(|text| retry_after(text, self.wall.now()));
                // Reading a short body to its end lets the connection be used again.
                if answer.content_length().is_some_and(|bytes| bytes <= 4096) {
                    let _ = answer.bytes().await;
                }
                (classify(status, asked), Some(status))
            }
            Err(error) => {
                // The address is a member's secret, so it stays out of the log.
                tracing::debug!(error = %error.without_url(), "push service not reached");
                (Delivery::RetryAfter(RETRY_DEFAULT), None)
            }
        }
    }
}

/// Seconds, or a date as HTTP writes it (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: WallTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    u64::try_from(at.as_second() - now.as_second()).ok().map(Duration::from_secs)
}

/// Resolves names and drops every address that is not public.
struct PublicOnly {
    rules: EndpointRules,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.rules;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let localhost = name.as_str().eq_ignore_ascii_case("localhost");
            let wanted = |address: &SocketAddr| {
                let ip = address.ip();
                is_public(ip) || (rules.allow_loopback_http && localhost && ip.is_loopback())
            };
            let kept: Vec<SocketAddr> = found.filter(wanted).collect();
            if kept.is_empty() {
                return Err(std::io::Error::other("the name has no public address").into());
            }
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = WallTime::from_timestamp("2026-11-23T12:00:00Z".parse().unwrap());
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Mon, 23 Nov 2026 12:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Mon, 23 Nov 2026 11:00:00 GMT", now), None);
        assert_eq!(retry_after("soon", now), None);
    }
}
