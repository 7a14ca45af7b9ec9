//! The settlement's alarm. It rings while a final result is unpaid, whatever holds the payment up: it looks by itself and
//! does not wait for the settlement to get that far.

use hunch_kernel::{MarketTicker, WallTime, lock};
use hunch_markets::Final;
use jiff::SignedDuration;
use std::collections::HashMap;
use std::sync::Mutex;

use crate::{Trading, TradingError, store};

/// Members are promised sixty seconds; somebody must look before they are over.
const ALARM: SignedDuration = SignedDuration::from_secs(45);
/// How often the log repeats that the same market is unpaid.
const REPEAT: SignedDuration = SignedDuration::from_secs(60);

/// Final results whose positions are not all paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpaid {
    pub markets: usize,
    /// Of these, the ones that have waited longer than the alarm allows.
    pub late: usize,
    /// Since the first sight of the oldest.
    pub longest: SignedDuration,
}

/// Markets the alarm has rung for, and when (wall time) the log last said so.
#[derive(Default)]
pub(crate) struct Rung(Mutex<HashMap<MarketTicker, WallTime>>);

impl Rung {
    /// Whether this is the first ring for the market, and whether the log says it now.
    fn ring(&self, market: &MarketTicker, wall: WallTime) -> (bool, bool) {
        let mut rung = lock(&self.0);
        let first = !rung.contains_key(market);
        let says = rung.get(market).is_none_or(|told| wall.duration_since(*told) >= REPEAT);
        if says {
            rung.insert(market.clone(), wall);
        }
        (first, says)
    }

    fn keep(&self, late: &[MarketTicker]) {
        lock(&self.0).retain(|market, _| late.contains(market));
    }
}

impl Trading {
    /// Looks for final results with unpaid positions and rings for those that have waited too long. The gauges fall back to
    /// nothing once everybody is paid.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unpaid_step(&self) -> Result<Unpaid, TradingError> {
        let open = store::unsettled(&self.pool).await?;
        let mut conn = self.pool.acquire().await?;
        let finals = hunch_markets::finals(&mut conn, &open).await?;
        let tickers: Vec<MarketTicker> = finals.iter().map(|f| f.ticker.clone()).collect();
        let unpaid = store::with_unpaid_positions(&mut conn, &tickers).await?;
        drop(conn);
        let wall = self.clocks.wall.now();
        let mut found = Unpaid::default();
        let mut late = Vec::new();
        for result in finals.iter().filter(|f| unpaid.contains(&f.ticker)) {
            let waited = wall.duration_since(result.seen_wall);
            found.markets += 1;
            found.longest = found.longest.max(waited);
            if self.ring_if_late(result, wall, "a final result is not credited to everybody yet") {
                late.push(result.ticker.clone());
            }
        }
        found.late = late.len();
        self.rung.keep(&late);
        metrics::gauge!("hunch_results_unpaid_seconds").set(found.longest.as_secs_f64());
        metrics::gauge!("hunch_results_late").set(found.late as f64);
        Ok(found)
    }

    /// Counts a result that was or is still unpaid at `wall`, once, if that is too late. Says whether it is.
    pub(crate) fn ring_if_late(&self, result: &Final, wall: WallTime, sentence: &str) -> bool {
        let waited = wall.duration_since(result.seen_wall);
        if waited <= ALARM {
            return false;
        }
        let (first, says) = self.rung.ring(&result.ticker, wall);
        if first {
            metrics::counter!("hunch_credited_late_total").increment(1);
        }
        if says {
            tracing::error!(market = %result.ticker, seconds = waited.as_secs(), "{sentence}");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_is_counted_once_and_told_of_every_minute() {
        let (rung, market) = (Rung::default(), MarketTicker("KXA".to_owned()));
        let at = |second: i64| WallTime::from_microsecond((1_800_000_000 + second) * 1_000_000).unwrap();
        assert_eq!(rung.ring(&market, at(0)), (true, true));
        assert_eq!(rung.ring(&market, at(59)), (false, false));
        assert_eq!(rung.ring(&market, at(60)), (false, true));
        rung.keep(&[]);
        assert_eq!(rung.ring(&market, at(61)), (true, true), "paid, and unpaid again: that is another one");
    }
}
