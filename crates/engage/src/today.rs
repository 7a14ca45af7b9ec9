//! Today's markets, from the programme's own list.

use async_trait::async_trait;
use hunch_kernel::{MarketTicker, Side};
use hunch_markets::{Market, Markets};
use hunch_trading::Trading;
use jiff::Timestamp;
use std::sync::Arc;

use crate::decide::MarketCandidate;
use crate::surroundings::{Surroundings, SurroundingsError};

/// The most markets that are weighed against each other, soonest end first.
const CANDIDATES_MAX: usize = 50;

/// Open markets, soonest end first; none while no stakes are taken. Which of them end today is each member's own: see
/// `Allowed`.
pub struct Today {
    pub markets: Arc<Markets>,
    pub trading: Arc<Trading>,
}

impl Today {
    fn candidate(market: &Market, now: Timestamp) -> Option<MarketCandidate> {
        market.tradable(now).then(|| MarketCandidate {
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
        let open = open.iter().filter_map(|market| Today::candidate(market, now));
        // What ends within minutes cannot be acted on: the policy asks for some time left.
        Ok(open
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
        Ok(self.markets.market(ticker).await?.and_then(|market| Today::candidate(&market, now)))
    }
}
