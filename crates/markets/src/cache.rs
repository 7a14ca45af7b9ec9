//! Today's markets in memory, so that lists and prompts ask nobody.

use hunch_kernel::{MarketTicker, WallTime, read_lock, within, write_lock};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use crate::{Kind, Market, Markets, MarketsError, store};

/// How old the copy may be (wall time). Other processes write too.
const FRESH: SignedDuration = SignedDuration::from_secs(1);

#[derive(Default)]
pub(crate) struct Cache {
    shown: RwLock<Option<Shown>>,
    /// One reader renews the copy; the others use the old one meanwhile.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Shown {
    read_wall: WallTime,
    /// By end, then ticker.
    markets: Arc<Vec<Arc<Market>>>,
    by_ticker: Arc<HashMap<MarketTicker, Arc<Market>>>,
}

impl Cache {
    fn get(&self) -> Option<Shown> {
        read_lock(&self.shown).clone()
    }

    pub(crate) fn forget(&self) {
        *write_lock(&self.shown) = None;
    }
}

impl Markets {
    async fn shown(&self) -> Result<Shown, MarketsError> {
        let wall = self.clocks.wall.now();
        let known = self.cache.get();
        if let Some(known) = &known
            && within(wall, known.read_wall, FRESH)
        {
            return Ok(known.clone());
        }
        let _renewing = match known {
            Some(old) => match self.cache.renewing.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(old),
            },
            None => {
                let renewing = self.cache.renewing.lock().await;
                // Whoever was first has read meanwhile, for all who waited.
                if let Some(fresh) = self.cache.get() {
                    return Ok(fresh);
                }
                renewing
            }
        };
        let since = self.clocks.business.now().saturating_sub(SignedDuration::from_hours(24));
        let markets: Vec<Arc<Market>> =
            store::ending_after(&self.pool, since.unwrap_or(Timestamp::MIN)).await?.into_iter().map(Arc::new).collect();
        let by_ticker = markets.iter().map(|m| (m.ticker.clone(), m.clone())).collect();
        let shown = Shown { read_wall: wall, markets: Arc::new(markets), by_ticker: Arc::new(by_ticker) };
        *write_lock(&self.cache.shown) = Some(shown.clone());
        Ok(shown)
    }

    /// Markets that may be staked on now, soonest end first, after `after` (end, ticker), at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(
        &self,
        kind: Option<Kind>,
        after: Option<&(Timestamp, MarketTicker)>,
        limit: usize,
    ) -> Result<Vec<Arc<Market>>, MarketsError> {
        self.open_until(Timestamp::MAX, kind, after, limit).await
    }

    /// As [`Markets::open`], of those that end no later than `until`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_until(
        &self,
        until: Timestamp,
        kind: Option<Kind>,
        after: Option<&(Timestamp, MarketTicker)>,
        limit: usize,
    ) -> Result<Vec<Arc<Market>>, MarketsError> {
        let now = self.clocks.business.now();
        let shown = self.shown().await?;
        let open = shown.markets.iter().filter(|m| {
            m.tradable(now)
                && m.ends_at <= until
                && kind.is_none_or(|k| m.kind == k)
                && after.is_none_or(|(ends, ticker)| (m.ends_at, &m.ticker) > (*ends, ticker))
        });
        Ok(open.take(limit).cloned().collect())
    }

    /// One market, open or ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn market(&self, ticker: &MarketTicker) -> Result<Option<Arc<Market>>, MarketsError> {
        if let Some(found) = self.shown().await?.by_ticker.get(ticker) {
            return Ok(Some(found.clone()));
        }
        Ok(store::markets(&self.pool, std::slice::from_ref(ticker)).await?.pop().map(Arc::new))
    }

    /// Several markets by ticker, open or ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_tickers(
        &self,
        tickers: &[MarketTicker],
    ) -> Result<HashMap<MarketTicker, Arc<Market>>, MarketsError> {
        let shown = self.shown().await?;
        let mut found: HashMap<MarketTicker, Arc<Market>> =
            tickers.iter().filter_map(|t| Some((t.clone(), shown.by_ticker.get(t)?.clone()))).collect();
        let missing: Vec<MarketTicker> = tickers.iter().filter(|t| !found.contains_key(*t)).cloned().collect();
        if !missing.is_empty() {
            found.extend(
                store::markets(&self.pool, &missing).await?.into_iter().map(|m| (m.ticker.clone(), Arc::new(m))),
            );
        }
        Ok(found)
    }
}
