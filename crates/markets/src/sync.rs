//! Reading the exchange: the list of what is open, the results that are waited for, and what was hinted at.

use hunch_exchange::{ExchangeError, MarketQuery, MarketReport, MarketStatus};
use hunch_kernel::{EventTicker, MarketTicker, WallTime, lock, within};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use crate::category::kind_of;
use crate::market::ends_at;
use crate::observe::{Observed, Seen};
use crate::{Markets, MarketsError, store};

/// Markets that end later than this are not the programme's: it is about today.
const AHEAD: SignedDuration = SignedDuration::from_hours(36);
/// Events are read one by one; a busy exchange has thousands, so they come over several rounds.
const NEW_EVENTS_PER_STEP: usize = 200;
/// The most tickers asked for in one read.
const TICKERS_PER_READ: usize = 100;
/// How far a sweep of results looks back beyond the one before: reads lag.
const SWEEP_OVERLAP: SignedDuration = SignedDuration::from_mins(10);
/// A hint is looked up again after these many milliseconds (wall time) while the result is not final.
const HINT_RETRIES_MS: [i64; 8] = [0, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
/// A list that does not end is a mistake of somebody's.
const PAGES_MAX: usize = 500;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Reports read.
    pub read: usize,
    pub observed: Observed,
}

/// An event that is not understood is asked for again after this time.
const ASKED_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Events that were not understood, and when they were read.
#[derive(Default)]
pub(crate) struct Unknown(Mutex<HashMap<String, WallTime>>);

impl Unknown {
    fn add(&self, event: String, wall: WallTime) {
        lock(&self.0).insert(event, wall);
    }

    fn has(&self, event: &str) -> bool {
        lock(&self.0).contains_key(event)
    }

    fn forget_old(&self, wall: WallTime) {
        lock(&self.0).retain(|_, asked| within(wall, *asked, ASKED_AGAIN_AFTER));
    }
}

/// How far the sweeps have come.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Option<Timestamp>>);

/// Markets somebody spoke of: when to look next, and how often it was done.
#[derive(Default)]
pub(crate) struct Hints(Mutex<BTreeMap<MarketTicker, (WallTime, usize)>>);

impl Hints {
    /// A market that is due already keeps its place in the queue: speaking of it again and again pushes it to no end.
    pub(crate) fn add(&self, ticker: MarketTicker, wall: WallTime) {
        let mut hints = lock(&self.0);
        let (at, tries) = hints.entry(ticker).or_insert((wall, 0));
        (*at, *tries) = ((*at).min(wall), 0);
    }

    /// Those that have been due longest come first, so that none waits for ever however many there are.
    fn due(&self, wall: WallTime) -> Vec<MarketTicker> {
        let hints = lock(&self.0);
        let mut due: Vec<(WallTime, &MarketTicker)> =
            hints.iter().filter(|(_, (at, _))| *at <= wall).map(|(ticker, (at, _))| (*at, ticker)).collect();
        due.sort_unstable();
        due.into_iter().take(TICKERS_PER_READ).map(|(_, ticker)| ticker.clone()).collect()
    }

    /// Looked at, and not final: again a little later, or not at all any more. The poll goes on anyway.
    fn again(&self, ticker: &MarketTicker, wall: WallTime) {
        let mut hints = lock(&self.0);
        let Some((_, tries)) = hints.get(ticker).copied() else { return };
        match HINT_RETRIES_MS.get(tries + 1) {
            Some(after) => {
                hints.insert(ticker.clone(), (wall + SignedDuration::from_millis(*after), tries + 1));
            }
            None => {
                hints.remove(ticker);
            }
        }
    }

    fn done(&self, ticker: &MarketTicker) {
        lock(&self.0).remove(ticker);
    }

    fn next(&self) -> Option<WallTime> {
        lock(&self.0).values().map(|(at, _)| *at).min()
    }
}

impl Markets {
    /// Reads everything that is open and ends within a day and a half: new markets, prices, states.
    ///
    /// # Errors
    /// When the exchange or the database fails; what was read before that counts.
    pub async fn sync_step(&self) -> Result<SyncReport, MarketsError> {
        let mut report = SyncReport::default();
        let (mut understood, mut left_out) = (0, 0);
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.exchange.markets(&MarketQuery::Open, cursor.as_deref()).await?;
            understood += page.items.len();
            left_out += page.left_out.len();
            let now = self.clocks.business.now();
            let until = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
            let ours: Vec<MarketReport> =
                page.items.into_iter().filter(|m| (now..until).contains(&ends_at(m))).collect();
            self.learn_events(&ours).await?;
            self.take(ours, &mut report).await?;
            match page.next.filter(|next| Some(next) != cursor.as_ref()) {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        // A list of which nothing was understood was not read.
        if understood > 0 || left_out == 0 {
            *lock(&self.last_read) = Some(self.clocks.wall.now());
        }
        Ok(report)
    }

    /// Looks for results: of every market with a stake by name, of all others by time. Always runs, also while the
    /// socket looks healthy.
    ///
    /// # Errors
    /// When the exchange or the database fails; the next step looks again.
    pub async fn poll_step(&self) -> Result<SyncReport, MarketsError> {
        let mut report = SyncReport::default();
        for tickers in store::watched(&self.pool).await?.chunks(TICKERS_PER_READ) {
            self.read_tickers(tickers, &mut report).await?;
        }
        let now = self.clocks.business.now();
        let last = *lock(&self.progress.0);
        let from = last.unwrap_or(now).saturating_sub(SWEEP_OVERLAP).unwrap_or(now);
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.exchange.markets(&MarketQuery::SettledSince(from), cursor.as_deref()).await?;
            let known = self.stored(&page.items).await?;
            let ours = page.items.into_iter().filter(|m| known.contains(&m.ticker.0)).collect();
            self.take(ours, &mut report).await?;
            match page.next.filter(|next| Some(next) != cursor.as_ref()) {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        *lock(&self.progress.0) = Some(now);
        Ok(report)
    }

    /// Looks up what was hinted at and is due.
    ///
    /// # Errors
    /// When the exchange or the database fails; the hints stay.
    pub async fn hint_step(&self) -> Result<SyncReport, MarketsError> {
        let mut report = SyncReport::default();
        let wall = self.clocks.wall.now();
        let due = self.hints.due(wall);
        if due.is_empty() {
            return Ok(report);
        }
        let read = self.read_tickers(&due, &mut report).await;
        let finished = read.as_ref().cloned().unwrap_or_default();
        for ticker in &due {
            if finished.contains(ticker) {
                self.hints.done(ticker);
            } else {
                self.hints.again(ticker, wall);
            }
        }
        read.map(|_| report)
    }

    /// How long until a hint is due (wall time); `None` when there is none.
    pub fn next_hint(&self) -> Option<SignedDuration> {
        let wall = self.clocks.wall.now();
        self.hints.next().map(|at| at.duration_since(wall).max(SignedDuration::ZERO))
    }

    /// Everything with a stake is looked up now: after a reconnect or a gap of the socket.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hint_watched(&self) -> Result<(), MarketsError> {
        let wall = self.clocks.wall.now();
        for ticker in store::watched(&self.pool).await? {
            self.hints.add(ticker, wall);
        }
        self.bell.notify_one();
        Ok(())
    }

    /// Reads these markets; gives those that need no further look: final ones, and those we do not know.
    async fn read_tickers(
        &self,
        tickers: &[MarketTicker],
        report: &mut SyncReport,
    ) -> Result<HashSet<MarketTicker>, MarketsError> {
        let page = self.exchange.markets(&MarketQuery::Tickers(tickers.to_vec()), None).await?;
        let known = self.stored(&page.items).await?;
        let is_over = |m: &&MarketReport| m.status == MarketStatus::Finalized || !known.contains(&m.ticker.0);
        let over = page.items.iter().filter(is_over).map(|m| m.ticker.clone()).collect();
        let ours = page.items.into_iter().filter(|m| known.contains(&m.ticker.0)).collect();
        self.take(ours, report).await?;
        Ok(over)
    }

    async fn stored(&self, reports: &[MarketReport]) -> Result<HashSet<String>, MarketsError> {
        let tickers: Vec<String> = reports.iter().map(|m| m.ticker.0.clone()).collect();
        let mut conn = self.pool.acquire().await?;
        Ok(store::states(&mut conn, &tickers).await?.into_keys().collect())
    }

    async fn take(&self, reports: Vec<MarketReport>, report: &mut SyncReport) -> Result<(), MarketsError> {
        report.read += reports.len();
        let seen: Vec<Seen> = reports.into_iter().map(|r| Seen::Report(Box::new(r))).collect();
        let part = self.observe(&seen).await?;
        report.observed.added += part.added;
        report.observed.changed += part.changed;
        report.observed.finalized += part.finalized;
        report.observed.conflicts += part.conflicts;
        Ok(())
    }

    /// Series and events of markets that are new to us. A market waits until its event is known.
    async fn learn_events(&self, reports: &[MarketReport]) -> Result<(), MarketsError> {
        let mut wanted: Vec<String> = reports.iter().map(|m| m.event.0.clone()).collect();
        wanted.sort();
        wanted.dedup();
        let known = store::known_events(&self.pool, &wanted).await?;
        let wall = self.clocks.wall.now();
        self.unknown.forget_old(wall);
        wanted.retain(|event| !known.contains(event) && !self.unknown.has(event));
        let mut series_read = false;
        for ticker in wanted.into_iter().take(NEW_EVENTS_PER_STEP) {
            let event = match self.exchange.event(&EventTicker(ticker.clone())).await {
                Ok(Some(event)) => event,
                Ok(None) => continue,
                // Its markets wait; those of other events do not.
                Err(ExchangeError::Malformed(_)) => {
                    self.unknown.add(ticker, wall);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !series_read && !store::known_series(&self.pool, event.series.as_str()).await? {
                self.learn_series().await?;
                series_read = true;
            }
            if !store::known_series(&self.pool, event.series.as_str()).await? {
                continue; // the list does not have it yet, or it is not understood there
            }
            let mut conn = self.pool.acquire().await?;
            store::put_event(&mut conn, &event).await?;
        }
        Ok(())
    }

    async fn learn_series(&self) -> Result<(), MarketsError> {
        let rules = store::kind_rules(&self.pool).await?;
        let series = self.exchange.series().await?;
        let series: Vec<_> = series.into_iter().map(|s| (s.clone(), kind_of(&rules, &s))).collect();
        let mut tx = hunch_db::begin(&self.pool).await?;
        store::put_series(&mut tx, &series).await?;
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> WallTime {
        WallTime::from_microsecond((1_800_000_000 + second) * 1_000_000).unwrap()
    }

    fn ticker(n: usize) -> MarketTicker {
        MarketTicker(format!("KX{n:04}"))
    }

    #[test]
    fn no_due_hint_waits_longer_than_the_number_of_those_before_it_explains() {
        let hints = Hints::default();
        // The last letter was hinted at first; afterwards the first letters are hinted at without end.
        hints.add(MarketTicker("KXZZ".to_owned()), at(0));
        (0..250).for_each(|n| hints.add(ticker(n), at(1)));
        assert_eq!(hints.due(at(2))[0].0, "KXZZ");
        let mut served = HashSet::new();
        for round in 2..6 {
            (0..TICKERS_PER_READ).for_each(|n| hints.add(ticker(n), at(round)));
            let due = hints.due(at(round));
            assert_eq!(due.len(), TICKERS_PER_READ);
            for ticker in &due {
                served.insert(ticker.clone());
                hints.done(ticker);
            }
        }
        assert_eq!(served.len(), 251, "each was looked up within as many rounds as their number needs");
    }

    #[test]
    fn speaking_of_a_market_again_does_not_send_it_back_to_the_end() {
        let hints = Hints::default();
        hints.add(ticker(500), at(0));
        (0..TICKERS_PER_READ).for_each(|n| hints.add(ticker(n), at(1)));
        hints.add(ticker(500), at(2));
        assert_eq!(hints.due(at(2))[0], ticker(500));
        // Looked at and not final: it waits its time, unless somebody speaks of it meanwhile.
        hints.again(&ticker(500), at(2));
        assert!(!hints.due(at(2)).contains(&ticker(500)));
        hints.done(&ticker(0));
        hints.add(ticker(500), at(2));
        assert!(hints.due(at(2)).contains(&ticker(500)));
    }
}
