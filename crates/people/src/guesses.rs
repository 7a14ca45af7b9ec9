//! Wrong sign-in codes: how many came from where, lately. Counted only after a code turned out wrong, so that a right one
//! always works, whoever else guesses.

use hunch_kernel::{WallTime, within};
use jiff::SignedDuration;
use std::collections::HashMap;
use std::net::IpAddr;

/// Wrong codes a minute from one source, before it is told to wait.
const OF_A_SOURCE_MAX: u32 = 20;
/// Wrong codes a minute from everywhere that are somebody's guessing, and no longer people's typing.
const OF_ALL_ALARM: u32 = 600;
const SOURCES_MAX: usize = 50_000;
const MINUTE: SignedDuration = SignedDuration::from_secs(60);

#[derive(Default)]
pub(crate) struct Guesses {
    since: Option<WallTime>,
    of_all: u32,
    of_source: HashMap<Option<IpAddr>, u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// This source has to wait.
    pub wait: bool,
    /// This minute's guesses have just become an attack.
    pub alarm: bool,
}

impl Guesses {
    /// `source` is none where nobody knows it: all of those count as one.
    pub fn wrong(&mut self, source: Option<IpAddr>, now: WallTime) -> Counted {
        let source = source.map(network);
        if !self.since.is_some_and(|since| within(now, since, MINUTE)) {
            *self = Guesses { since: Some(now), ..Guesses::default() };
        }
        self.of_all = self.of_all.saturating_add(1);
        // From so many places at once nobody is told apart any more.
        let room = self.of_source.len() < SOURCES_MAX || self.of_source.contains_key(&source);
        let of_source = self.of_source.entry(if room { source } else { None }).or_default();
        *of_source = of_source.saturating_add(1);
        Counted { wait: *of_source > OF_A_SOURCE_MAX, alarm: self.of_all == OF_ALL_ALARM }
    }
}

/// Whoever has one address of version 6 has a network of them.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_waits_for_itself_and_all_together_raise_the_alarm_once_a_minute() {
        let mut guesses = Guesses::default();
        let start = WallTime::from_timestamp("2026-11-23T12:00:00Z".parse().unwrap());
        let source = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        for n in 1..=OF_A_SOURCE_MAX + 1 {
            assert_eq!(guesses.wrong(source(1), start).wait, n > OF_A_SOURCE_MAX);
        }
        assert_eq!(guesses.wrong(source(2), start), Counted { wait: false, alarm: false });
        for n in 1..=OF_A_SOURCE_MAX + 1 {
            let address = Some(format!("2001:db8:1:2::{n:x}").parse().unwrap());
            assert_eq!(guesses.wrong(address, start).wait, n > OF_A_SOURCE_MAX, "one network");
        }
        let alarms = (0..1_000u32).filter(|n| guesses.wrong(source((n % 200) as u8), start).alarm).count();
        assert_eq!(alarms, 1);
        let later = start + SignedDuration::from_secs(61);
        assert_eq!(guesses.wrong(source(1), later), Counted { wait: false, alarm: false });
    }
}
