//! What a market may become. Pure.
//!
//! The exchange's reads lag behind its socket by seconds, and the socket repeats itself. So a state that is further
//! on is never left for one that is less far, and a final one never at all.

use hunch_exchange::{MarketResult, MarketStatus};
use hunch_kernel::{Price, seeded_bug};

/// A market as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub status: MarketStatus,
    pub outcome: Option<(MarketResult, Price)>,
}

/// What to do about a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing new.
    Same,
    /// The market is now so. `determined` when the result is new or another than before.
    Become { now: Known, determined: bool },
    /// An older state than we know: a read that lags.
    Stale,
    /// A final result is contradicted, or a report makes no sense. Never applied; somebody must look.
    Conflict,
}

/// How far a state is. States with the same number may follow each other freely.
fn distance(status: MarketStatus) -> u8 {
    match status {
        MarketStatus::Initialized | MarketStatus::Inactive | MarketStatus::Active | MarketStatus::Closed => 0,
        MarketStatus::Determined => 1,
        MarketStatus::Disputed => 2,
        MarketStatus::Amended => 3,
        MarketStatus::Finalized => 4,
    }
}

/// What one YES contract pays, where the result alone says so.
pub fn value_of(result: MarketResult, value: Option<Price>) -> Option<Price> {
    match result {
        MarketResult::Yes => Some(value.unwrap_or(Price::ONE)),
        MarketResult::No => Some(value.unwrap_or(Price::ZERO)),
        MarketResult::Scalar => value,
    }
}

/// Decides. `seen` may come from any source, in any order, any number of times.
pub fn step(known: Known, seen: Known) -> Step {
    let hasty = seen.status == MarketStatus::Determined && seeded_bug("paid-while-determined");
    let seen = if hasty { Known { status: MarketStatus::Finalized, ..seen } } else { seen };
    if known.status == MarketStatus::Finalized {
        return match (seen.status, seen.outcome) {
            (MarketStatus::Finalized, outcome) if outcome != known.outcome => Step::Conflict,
            (MarketStatus::Finalized, _) => Step::Same,
            _ => Step::Stale,
        };
    }
    if seen.status == MarketStatus::Finalized && seen.outcome.is_none() {
        return Step::Conflict;
    }
    if distance(seen.status) < distance(known.status) {
        // A new result can only be an amendment, however the messenger calls the state.
        return match seen.outcome {
            Some(outcome) if seen.status == MarketStatus::Determined && known.status == MarketStatus::Disputed => {
                changed(known, Known { status: MarketStatus::Amended, outcome: Some(outcome) })
            }
            _ => Step::Stale,
        };
    }
    // A dispute takes no result away from what was seen.
    let outcome = seen.outcome.or(if distance(seen.status) > 0 { known.outcome } else { None });
    changed(known, Known { status: seen.status, outcome })
}

fn changed(known: Known, now: Known) -> Step {
    if known == now {
        return Step::Same;
    }
    Step::Become { now, determined: now.outcome.is_some() && now.outcome != known.outcome }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATES: [MarketStatus; 8] = [
        MarketStatus::Initialized,
        MarketStatus::Inactive,
        MarketStatus::Active,
        MarketStatus::Closed,
        MarketStatus::Determined,
        MarketStatus::Disputed,
        MarketStatus::Amended,
        MarketStatus::Finalized,
    ];

    fn known(status: MarketStatus, cents: Option<i64>) -> Known {
        let outcome = cents.map(|c| {
            let result = match c {
                0 => MarketResult::No,
                100 => MarketResult::Yes,
                _ => MarketResult::Scalar,
            };
            (result, Price::from_micros(c * 10_000).unwrap())
        });
        Known { status, outcome }
    }

    #[test]
    fn reads_that_lag_take_nothing_back() {
        let determined = known(MarketStatus::Determined, Some(100));
        assert_eq!(step(determined, known(MarketStatus::Closed, None)), Step::Stale);
        let amended = known(MarketStatus::Amended, Some(0));
        assert_eq!(step(amended, determined), Step::Stale);
        assert_eq!(
            step(known(MarketStatus::Disputed, Some(100)), known(MarketStatus::Determined, Some(0))),
            Step::Become { now: amended, determined: true }
        );
        assert_eq!(
            step(determined, known(MarketStatus::Disputed, None)),
            Step::Become { now: known(MarketStatus::Disputed, Some(100)), determined: false }
        );
        let reopened = Step::Become { now: known(MarketStatus::Active, None), determined: false };
        assert_eq!(step(known(MarketStatus::Closed, None), known(MarketStatus::Active, None)), reopened);
    }

    #[test]
    fn final_is_final() {
        let paid = known(MarketStatus::Finalized, Some(100));
        assert_eq!(step(paid, paid), Step::Same);
        assert_eq!(step(paid, known(MarketStatus::Amended, Some(0))), Step::Stale);
        assert_eq!(step(paid, known(MarketStatus::Finalized, Some(0))), Step::Conflict);
        assert_eq!(step(known(MarketStatus::Active, None), known(MarketStatus::Finalized, None)), Step::Conflict);
        let straight = step(known(MarketStatus::Active, None), paid);
        assert_eq!(straight, Step::Become { now: paid, determined: true }, "no step in between is needed");
    }

    fn any() -> impl Strategy<Value = Known> {
        (0usize..8, prop::option::of(prop::sample::select(vec![0i64, 37, 50, 100])))
            .prop_map(|(status, cents)| known(STATES[status], cents))
    }

    proptest! {
        /// However reports are mixed and repeated: never back from final, never less far, repeats change nothing.
        #[test]
        fn reports_in_any_order_converge(reports in prop::collection::vec(any(), 1..30)) {
            let mut market = known(MarketStatus::Initialized, None);
            for seen in reports {
                let before = market;
                if let Step::Become { now, .. } = step(market, seen) {
                    prop_assert!(distance(now.status) >= distance(before.status));
                    prop_assert!(before.status != MarketStatus::Finalized);
                    market = now;
                    let again = step(market, seen);
                    prop_assert!(matches!(again, Step::Same | Step::Stale), "{again:?}");
                }
                prop_assert!(market.status != MarketStatus::Finalized || market.outcome.is_some());
            }
        }
    }
}
