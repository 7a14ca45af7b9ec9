//! How much of our sending one push service may hold up. Anyone may subscribe with an address of his
//! own, so a host that takes its time must cost the others nothing.
//!
//! Invariants
//! - A host that answers promptly has at most three quarters of what may be open at once.
//! - Hosts that do not, or that nobody knows yet, have an eighth each and a quarter together.

use hunch_kernel::{WallTime, lock};
use jiff::SignedDuration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// An answer that took longer says that the host is slow.
const PROMPT: SignedDuration = SignedDuration::from_secs(2);
/// Hosts remembered. Past it, those that nobody waits for are forgotten and are strangers again.
const HOSTS_MAX: usize = 4096;

/// Every host with something open, and how the last answer of each came.
#[derive(Default)]
pub(crate) struct Hosts(Mutex<HashMap<String, Host>>);

#[derive(Default)]
struct Host {
    /// When each open request started.
    open: Vec<WallTime>,
    prompt: bool,
}

/// Whether a request may start.
pub(crate) enum Room {
    Now(Passage),
    /// Room is a prompt answer away.
    Soon,
    /// The host, or hosts like it, keep us waiting.
    Later,
}

/// One open request's place. Given back when it is dropped.
pub(crate) struct Passage {
    hosts: Arc<Hosts>,
    origin: String,
    since: WallTime,
}

impl Host {
    fn keeps_waiting(&self, now: WallTime) -> bool {
        self.open.iter().any(|since| now.duration_since(*since) > PROMPT)
    }

    fn trusted(&self, now: WallTime) -> bool {
        self.prompt && !self.keeps_waiting(now)
    }
}

impl Hosts {
    /// Asks for a place at `origin` where `open_max` requests may be open in all.
    pub(crate) fn enter(self: &Arc<Hosts>, origin: &str, now: WallTime, open_max: usize) -> Room {
        let mut hosts = self.lock();
        let doubtful = || hosts.values().filter(|host| !host.trusted(now));
        let (open, trusted) = hosts.get(origin).map_or((0, false), |host| (host.open.len(), host.trusted(now)));
        let free = if trusted {
            open < (open_max * 3 / 4).max(1)
        } else {
            let theirs: usize = doubtful().map(|host| host.open.len()).sum();
            open < (open_max / 8).max(1) && theirs < (open_max / 4).max(1)
        };
        if !free {
            return if trusted || !doubtful().any(|host| host.keeps_waiting(now)) { Room::Soon } else { Room::Later };
        }
        if hosts.len() >= HOSTS_MAX {
            hosts.retain(|_, host| !host.open.is_empty());
        }
        hosts.entry(origin.to_owned()).or_default().open.push(now);
        Room::Now(Passage { hosts: self.clone(), origin: origin.to_owned(), since: now })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        lock(&self.0)
    }
}

impl Passage {
    /// The request is over; whether there was an answer at all.
    pub(crate) fn ended(self, now: WallTime, answered: bool) {
        let prompt = answered && now.duration_since(self.since) <= PROMPT;
        if let Some(host) = self.hosts.lock().get_mut(&self.origin) {
            host.prompt = prompt;
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(host) = self.hosts.lock().get_mut(&self.origin)
            && let Some(at) = host.open.iter().position(|since| *since == self.since)
        {
            host.open.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> WallTime {
        WallTime::from_microsecond((1_800_000_000 + n) * 1_000_000).unwrap()
    }

    /// Takes what there is room for at `origin`.
    fn fill(hosts: &Arc<Hosts>, origin: &str, now: WallTime) -> Vec<Passage> {
        std::iter::from_fn(|| match hosts.enter(origin, now, 64) {
            Room::Now(passage) => Some(passage),
            Room::Soon | Room::Later => None,
        })
        .collect()
    }

    #[test]
    fn strangers_have_a_quarter_together_however_many_they_are() {
        let hosts = Arc::new(Hosts::default());
        let all: Vec<_> = (0..100).flat_map(|n| fill(&hosts, &format!("https://{n}.example"), second(0))).collect();
        assert_eq!(all.len(), 16);
        assert!(matches!(hosts.enter("https://next.example", second(1), 64), Room::Soon));
        assert!(matches!(hosts.enter("https://next.example", second(3), 64), Room::Later));
        drop(all);
        assert_eq!(fill(&hosts, "https://next.example", second(3)).len(), 8);
    }

    #[test]
    fn a_prompt_answer_makes_room_and_a_slow_one_takes_it() {
        let hosts = Arc::new(Hosts::default());
        let Room::Now(first) = hosts.enter("https://push.example", second(0), 64) else { panic!("no room") };
        first.ended(second(1), true);
        let mut open = fill(&hosts, "https://push.example", second(1));
        assert_eq!(open.len(), 48);
        assert!(matches!(hosts.enter("https://push.example", second(1), 64), Room::Soon));
        assert!(matches!(hosts.enter("https://push.example", second(9), 64), Room::Later), "it hangs");
        open.pop().unwrap().ended(second(9), true);
        drop(open);
        assert_eq!(fill(&hosts, "https://push.example", second(9)).len(), 8);
    }

    #[test]
    fn one_request_at_a_time_is_possible() {
        let hosts = Arc::new(Hosts::default());
        let Room::Now(only) = hosts.enter("https://push.example", second(0), 1) else { panic!("no room") };
        assert!(matches!(hosts.enter("https://push.example", second(0), 1), Room::Soon));
        drop(only);
        assert!(matches!(hosts.enter("https://push.example", second(0), 1), Room::Now(_)));
    }
}
