//! Today's markets, from the programme's own list.

use async_trait::async_trait;
use hunch_kernel::{MarketTicker, Side};
use hunch_markets::{Market, Markets, ends_today};
use hunch_trading::Trading;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;

use crate::decide::MarketCandidate;
use crate::surroundings::{Surroundings, SurroundingsError};

/// The most markets that are weighed against each other, soonest end first.
const CANDIDATES_MAX: usize = 50;

/// Open markets that end on the town's own day; none while no stakes are taken.
pub struct Today {
    pub markets: Arc<Markets>,
    pub trading: Arc<Trading>,
    /// The town's.
    pub zone: TimeZone,
}

impl Today {
    fn candidate(&self, market: &Market, now: Timestamp) -> Option<MarketCandidate> {
        (market.tradable(now) && ends_today(market.ends_at, now, &self.zone)).then(|| MarketCandidate {
            ticker: market.ticker.clone(),
            title: market.title.clone(),
            category: market.kind.as_str().to_owned(),
            yes_price: market.ask(Side::Yes),
            ends_at: market.ends_at,
        })
    }
}

#[async_trait]
impl Surroundings for Today {
    async fn markets(&self, now: Timestamp) -> Result<Vec<MarketCandidate>, SurroundingsError> {
        if !self.trading.takes_stakes().await? {
            return Ok(Vec::new());
        }
        let open = self.markets.open(None, None, usize::MAX).await?;
        let today = open.iter().filter_map(|market| self.candidate(market, now));
        // What ends within minutes cannot be acted on: the policy asks for some time left.
        Ok(today
            .filter(|c| c.ends_at.duration_since(now).as_mins() >= crate::decide::ACT_MINUTES_MIN)
            .take(CANDIDATES_MAX)
            .collect())
    }

    async fn market(
        &self,
        ticker: &MarketTicker,
        now: Timestamp,
    ) -> Result<Option<MarketCandidate>, SurroundingsError> {
        if !self.trading.takes_stakes().await? {
            return Ok(None);
        }
        Ok(self.markets.market(ticker).await?.and_then(|market| self.candidate(&market, now)))
    }
}
