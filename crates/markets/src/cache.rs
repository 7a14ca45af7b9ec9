//! Today's markets in memory, so that lists and prompts ask nobody.

use hunch_kernel::MarketTicker;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;

use crate::{Kind, Market, Markets, MarketsError, store};

/// How old the copy may be (wall time). Other processes write too.
const FRESH: SignedDuration = SignedDuration::from_secs(1);

/// What is in memory of the markets.
pub(crate) struct Shown {
    /// By end, then ticker.
    markets: Vec<Arc<Market>>,
    by_ticker: HashMap<MarketTicker, Arc<Market>>,
}

impl Markets {
    async fn shown(&self) -> Result<Arc<Shown>, MarketsError> {
        let since = self.clocks.business.now().saturating_sub(SignedDuration::from_hours(24));
        let read = async {
            let markets = store::ending_after(&self.pool, since.unwrap_or(Timestamp::MIN)).await?;
            let markets: Vec<Arc<Market>> = markets.into_iter().map(Arc::new).collect();
            let by_ticker = markets.iter().map(|m| (m.ticker.clone(), m.clone())).collect();
            Ok(Shown { markets, by_ticker })
        };
        Ok(self.cache.get(self.clocks.wall.now(), FRESH, read).await?)
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
