//! Where a push may be sent. A subscription comes from a browser, so its address is a stranger's wish:
//! it must not make us knock at doors inside our own network.
//!
//! Invariants
//! - https on port 443 only, to public addresses and names only, and never with a name or password in the address. A sandbox may
//!   have other ports and names.
//! - Plain http exists for loopback alone, and only where the operator allowed it.
//! - Names are judged again when they are resolved (see the transport), so a name that turns to a
//!   private address later is refused too.

use std::net::IpAddr;
use url::{Host, Url};

/// Longest endpoint kept. Real ones have 150 to 400 characters.
const ENDPOINT_CHARS_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointRules {
    /// For the demo and tests, whose push service is on this machine.
    pub allow_loopback_http: bool,
    /// For a sandbox: other ports than 443, and names that no registry gives.
    pub any_port_and_name: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("a push endpoint is an absolute address of at most {ENDPOINT_CHARS_MAX} characters")]
    NotAnAddress,
    #[error("a push endpoint must use https")]
    NotHttps,
    #[error("a push endpoint must not carry a name or password")]
    Credentials,
    #[error("a push endpoint must be at a public address")]
    NotPublic,
    #[error("a push endpoint must use port 443")]
    Port,
}

/// A checked address of a push service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// # Errors
    /// What is wrong with the address.
    pub fn parse(text: &str, rules: EndpointRules) -> Result<Endpoint, EndpointError> {
        if text.len() > ENDPOINT_CHARS_MAX {
            return Err(EndpointError::NotAnAddress);
        }
        let url = Url::parse(text).map_err(|_| EndpointError::NotAnAddress)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        let loopback = is_loopback(&url);
        match url.scheme() {
            "http" | "https" if loopback && rules.allow_loopback_http => return Ok(Endpoint(url)),
            "https" => {}
            _ => return Err(EndpointError::NotHttps),
        }
        if url.port().is_some() && !rules.any_port_and_name {
            return Err(EndpointError::Port);
        }
        let public = match url.host() {
            Some(Host::Ipv4(ip)) => is_public(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => is_public(IpAddr::V6(ip)),
            Some(Host::Domain(name)) => is_public_name(name, rules),
            None => false,
        };
        if public { Ok(Endpoint(url)) } else { Err(EndpointError::NotPublic) }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Scheme, host and the port if it is not the scheme's own: the audience of the VAPID token.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

/// Whether a name can be had by everybody: its end is one that a registry gives names under. Names of the own network are not,
/// whatever they are called there (`svc`, `consul`, `lan` …).
fn is_public_name(name: &str, rules: EndpointRules) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // A name without a dot belongs to the local network; localhost is caught here as well.
    let inner = !name.contains('.')
        || ["localhost", "local", "internal", "home.arpa"]
            .iter()
            .any(|inner| name.strip_suffix(inner).is_some_and(|rest| rest.ends_with('.')));
    let registered = || psl::domain(name.as_bytes()).is_some_and(|domain| domain.suffix().is_known());
    !inner && (rules.any_port_and_name || registered())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Whether an address can belong to a push service on the open internet. The list is RFC 6890's.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(ip) => {
            if let Some(inner) = ip.to_ipv4_mapped() {
                return is_public(IpAddr::V4(inner));
            }
            // 2000::/3 is all that is global unicast; 2002::/16, 2001::/32 and 64:ff9b::/96 wrap IPv4
            // addresses of anyone's choice, 2001:db8::/32 is for documents.
            let [first, second, ..] = ip.segments();
            (first & 0xe000) == 0x2000 && first != 0x2002 && !(first == 0x2001 && (second == 0 || second == 0xdb8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: EndpointRules = EndpointRules { allow_loopback_http: true, any_port_and_name: true };
    const STRICT: EndpointRules = EndpointRules { allow_loopback_http: false, any_port_and_name: false };

    #[test]
    fn real_push_services_pass() {
        for text in [
            "https://fcm.googleapis.com/fcm/send/abc:def",
            "https://updates.push.services.mozilla.com/wpush/v2/gAAAA",
            "https://web.push.apple.com/QOX",
            "https://wns2-bl2p.notify.windows.com/w/?token=x",
            "https://[2606:4700::1]/x",
        ] {
            assert!(Endpoint::parse(text, STRICT).is_ok(), "{text}");
        }
    }

    #[test]
    fn doors_inside_are_closed() {
        use EndpointError::*;
        for (text, why) in [
            ("http://fcm.googleapis.com/x", NotHttps),
            ("ftp://fcm.googleapis.com/x", NotHttps),
            ("file:///etc/passwd", NotHttps),
            ("not an address", NotAnAddress),
            ("https://user:pass@fcm.googleapis.com/x", Credentials),
            ("https://10.0.0.1/x", NotPublic),
            ("https://169.254.169.254/latest/meta-data", NotPublic),
            ("https://100.64.0.1/x", NotPublic),
            ("https://0x7f.1/x", NotPublic),
            ("https://2130706433/x", NotPublic),
            ("https://[::1]/x", NotPublic),
            ("https://[::ffff:10.0.0.1]/x", NotPublic),
            ("https://[fd00::1]/x", NotPublic),
            ("https://[2002:7f00:1::]/x", NotPublic),
            ("https://localhost/x", NotPublic),
            ("https://db.internal/x", NotPublic),
            ("https://printer.local./x", NotPublic),
            ("https://intranet/x", NotPublic),
            ("https://push.default.svc/x", NotPublic),
            ("https://push.service.consul/x", NotPublic),
            ("https://printer.lan/x", NotPublic),
            ("https://com/x", NotPublic),
            ("https://fcm.googleapis.com:8443/x", Port),
            ("https://fcm.googleapis.com:22/x", Port),
        ] {
            assert_eq!(Endpoint::parse(text, STRICT), Err(why), "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_and_only_when_allowed() {
        for text in ["http://127.0.0.1:8099/push/1", "http://localhost:8099/push/1", "http://[::1]:8099/x"] {
            assert!(Endpoint::parse(text, OPEN).is_ok(), "{text}");
            assert_eq!(Endpoint::parse(text, STRICT), Err(EndpointError::NotHttps), "{text}");
        }
        assert_eq!(Endpoint::parse("http://10.0.0.1/x", OPEN), Err(EndpointError::NotHttps));
        assert_eq!(Endpoint::parse("https://10.0.0.1/x", OPEN), Err(EndpointError::NotPublic));
    }

    #[test]
    fn a_sandbox_may_push_to_any_port_and_name() {
        for text in ["https://push.example.com:8443/x", "https://push.default.svc/x"] {
            assert!(Endpoint::parse(text, OPEN).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_origin_keeps_an_unusual_port() {
        let origin = |text| Endpoint::parse(text, OPEN).unwrap().origin();
        assert_eq!(origin("https://push.example.com:8443/a/b"), "https://push.example.com:8443");
        assert_eq!(origin("https://push.example.com:443/a/b"), "https://push.example.com");
        assert_eq!(origin("http://127.0.0.1:8099/a"), "http://127.0.0.1:8099");
    }
}
