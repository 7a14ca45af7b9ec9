//! What the exchange's lists hold that we do not understand: named in the log once, counted, and kept for the operator
//! until it is understood or sent no more.

use hunch_exchange::LeftOut;
use hunch_kernel::{WallTime, lock};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// What was not sent again for so long is gone.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_mins(30);
/// The most that are kept. More than that is no longer a list of exceptions.
const KEPT_MAX: usize = 1_000;
/// The most of a reading that get a line of their own in the log.
const LINES_MAX: usize = 20;

#[derive(Default)]
pub(crate) struct Register(Mutex<BTreeMap<(&'static str, String), Kept>>);

struct Kept {
    left_out: LeftOut,
    seen: WallTime,
}

impl Register {
    /// Takes down what a reading of `list` left out, and strikes what it understood.
    pub fn note(&self, list: &'static str, read: &[String], left_out: &[LeftOut], now: WallTime) {
        let mut kept = lock(&self.0);
        if !kept.is_empty() {
            read.iter().for_each(|name| drop(kept.remove(&(list, name.clone()))));
            kept.retain(|_, one| now.duration_since(one.seen) < FORGOTTEN_AFTER);
        }
        let mut new = Vec::new();
        for one in left_out {
            let key = (list, one.name.clone());
            match kept.get_mut(&key) {
                Some(known) if known.left_out.reason == one.reason => known.seen = now,
                known => {
                    new.push(one);
                    if known.is_some() || kept.len() < KEPT_MAX {
                        kept.insert(key, Kept { left_out: one.clone(), seen: now });
                    }
                }
            }
        }
        let count = kept.keys().filter(|(of, _)| *of == list).count();
        drop(kept);
        metrics::gauge!("hunch_exchange_left_out", "list" => list).set(count as f64);
        tell(list, &new);
    }

    pub fn all(&self) -> Vec<LeftOut> {
        lock(&self.0).values().map(|kept| kept.left_out.clone()).collect()
    }
}

fn tell(list: &str, new: &[&LeftOut]) {
    for LeftOut { name, reason, .. } in new.iter().take(LINES_MAX) {
        tracing::warn!(list, name, reason, "an element of the exchange's list is not understood and was left out");
    }
    if new.len() > LINES_MAX {
        let more = new.len() - LINES_MAX;
        tracing::warn!(list, more, "further elements of the exchange's list are not understood and were left out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> WallTime {
        WallTime::from_microsecond((1_800_000_000 + second) * 1_000_000).unwrap()
    }

    fn bad(name: &str, second: i64) -> LeftOut {
        LeftOut {
            list: "markets",
            name: name.to_owned(),
            reason: "close_time is missing".to_owned(),
            since: at(second),
        }
    }

    #[test]
    fn what_is_left_out_is_kept_until_it_is_understood_or_gone() {
        let register = Register::default();
        register.note("markets", &["B".to_owned()], &[bad("A", 0)], at(0));
        register.note("markets", &["B".to_owned()], &[bad("A", 60)], at(60));
        assert_eq!(register.all(), [bad("A", 0)], "since it was first seen");
        register.note("orders", &["A".to_owned()], &[], at(70));
        assert_eq!(register.all().len(), 1, "another list has names of its own");
        register.note("markets", &["A".to_owned()], &[bad("B", 80)], at(80));
        assert_eq!(register.all(), [bad("B", 80)]);
        register.note("markets", &[], &[], at(80 + FORGOTTEN_AFTER.as_secs()));
        assert!(register.all().is_empty());
    }

    #[test]
    fn a_list_of_nothing_but_faults_fills_no_memory() {
        let register = Register::default();
        let all: Vec<LeftOut> = (0..3 * KEPT_MAX).map(|n| bad(&n.to_string(), 0)).collect();
        register.note("markets", &[], &all, at(0));
        assert_eq!(register.all().len(), KEPT_MAX);
    }
}
