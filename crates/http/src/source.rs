//! Where a request comes from: the address that connected, or what the proxies in front of the programme say of it.

use axum::http::HeaderMap;
use std::net::IpAddr;

/// The address to which a request is counted. Proves nothing about anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(pub IpAddr);

const FORWARDED: &str = "x-forwarded-for";

impl Source {
    /// Each proxy adds the address that it sees at the end of `X-Forwarded-For`. Of `proxies` that are ours the first one's
    /// entry counts; what stands before it is the caller's own invention.
    pub fn of(peer: IpAddr, proxies: usize, headers: &HeaderMap) -> Source {
        let peer = peer.to_canonical();
        if proxies == 0 {
            return Source(peer);
        }
        let lines = headers.get_all(FORWARDED).iter().filter_map(|line| line.to_str().ok());
        let told: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        let place = told.len().checked_sub(proxies);
        let first: Option<IpAddr> = place.and_then(|place| told[place].parse().ok());
        Source(first.map_or(peer, |address| address.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn what_the_caller_says_of_itself_counts_for_nothing() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        let told = |lines: &[&str], proxies| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED, HeaderValue::from_str(line).unwrap());
            }
            Source::of(peer, proxies, &headers).0.to_string()
        };
        assert_eq!(told(&["203.0.113.9"], 0), "10.0.0.1");
        assert_eq!(told(&["203.0.113.9"], 1), "203.0.113.9");
        assert_eq!(told(&["198.51.100.1, 203.0.113.9"], 1), "203.0.113.9");
        assert_eq!(told(&["198.51.100.1", "203.0.113.9, 10.0.0.7"], 2), "203.0.113.9");
        assert_eq!(told(&["::ffff:203.0.113.9"], 1), "203.0.113.9");
        for nonsense in [&["nobody"][..], &[], &["203.0.113.9"]] {
            assert_eq!(told(nonsense, 2), "10.0.0.1", "{nonsense:?}");
        }
    }
}
