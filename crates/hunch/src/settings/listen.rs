//! Where the API listens, in the ways in which people write it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// What is shown to whoever wrote something else.
pub const EXAMPLES: &str =
    "write 127.0.0.1:8080 or localhost:8080 for this machine alone, :8080 for every address of it, or only 8080";

/// `8080` is this machine alone, as the default is; `:8080` is every address of it. A name that has several
/// addresses stands for its first IPv4 address, as `localhost` does everywhere.
pub fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    if let Ok(port) = text.parse() {
        return Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let known: Option<IpAddr> = match host {
        "" | "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ => None,
    };
    known.map(|ip| SocketAddr::new(ip, port)).or_else(|| look_up(host, port))
}

/// The next port. Of an address that is every one of this machine only this machine's own: what operators are told is not
/// for the street. Beside a port that is any, any.
pub fn beside(public: SocketAddr) -> SocketAddr {
    let ip = match public.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let port = if public.port() == 0 { 0 } else { public.port().checked_add(1).unwrap_or(0) };
    SocketAddr::new(ip, port)
}

fn look_up(host: &str, port: u16) -> Option<SocketAddr> {
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().ok()?.collect();
    found.iter().find(|address| address.is_ipv4()).or(found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_people_write_it() {
        for (written, meant) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("*:8080", "0.0.0.0:8080"),
            (" 8080 ", "127.0.0.1:8080"),
            ("[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(address(written), Some(meant.parse().unwrap()), "{written}");
        }
        for written in ["", "localhost", ":", ":http", "127.0.0.1:70000", "http://localhost:8080", "a b:80"] {
            assert_eq!(address(written), None, "{written}");
        }
    }

    #[test]
    fn operators_are_next_door() {
        for (public, operators) in [
            ("127.0.0.1:8080", "127.0.0.1:8081"),
            ("10.0.0.5:80", "10.0.0.5:81"),
            ("0.0.0.0:8080", "127.0.0.1:8081"),
            ("[::]:8080", "[::1]:8081"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:65535", "127.0.0.1:0"),
        ] {
            assert_eq!(beside(public.parse().unwrap()), operators.parse().unwrap(), "{public}");
        }
    }
}
