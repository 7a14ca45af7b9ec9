//! Credentials that were refused, for whoever watches over the programme: who tried what, and never the secret that was tried.
//! A flood of them does not become a flood of lines.

use hunch_kernel::lock;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Lines a second; the rest are counted, and told with the next line.
const LINES_A_SECOND: u32 = 10;

#[derive(Clone, Default)]
pub(crate) struct Refused(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    since: Option<Instant>,
    written: u32,
    untold: u64,
}

impl Lines {
    /// How many were not told until now, if this one may be told.
    fn may_tell(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            (self.since, self.written) = (Some(now), 0);
        }
        if self.written >= LINES_A_SECOND {
            self.untold += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

impl Refused {
    /// `whose` is the kind of credentials that the route takes, `route` its pattern and no address that was sent.
    pub fn one(&self, whose: &'static str, route: &str, source: Option<IpAddr>) {
        metrics::counter!("hunch_http_credentials_refused_total", "of" => whose).increment(1);
        if let Some(untold) = lock(&self.0).may_tell() {
            let source = source.map(|address| address.to_string());
            tracing::warn!(of = whose, route, source, untold, "credentials were refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_in_few_lines_and_none_is_forgotten() {
        let mut lines = Lines::default();
        let told = (0..1_000).filter(|_| lines.may_tell().is_some()).count();
        assert_eq!(told as u32, LINES_A_SECOND);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(lines.may_tell(), Some(990));
        assert_eq!(lines.may_tell(), Some(0));
    }
}
