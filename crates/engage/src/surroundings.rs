//! What engage needs to know of the world besides the log: today's markets.

use async_trait::async_trait;
use hunch_kernel::MarketTicker;
use jiff::Timestamp;

use crate::decide::MarketCandidate;

/// Why today's markets could not be read. Then there are none: nobody is prompted on a guess.
pub type SurroundingsError = Box<dyn std::error::Error + Send + Sync>;

/// Today's markets, as the owner of the market list sees them.
#[async_trait]
pub trait Surroundings: Send + Sync + 'static {
    /// Markets that may be traded now, whoever's day they end on. None at all while staking is switched off.
    async fn markets(&self, now: Timestamp) -> Result<Vec<MarketCandidate>, SurroundingsError>;

    /// One market, if it may be traded now.
    async fn market(&self, ticker: &MarketTicker, now: Timestamp)
    -> Result<Option<MarketCandidate>, SurroundingsError>;
}

#[async_trait]
impl<T: Surroundings + ?Sized> Surroundings for std::sync::Arc<T> {
    async fn markets(&self, now: Timestamp) -> Result<Vec<MarketCandidate>, SurroundingsError> {
        (**self).markets(now).await
    }

    async fn market(
        &self,
        ticker: &MarketTicker,
        now: Timestamp,
    ) -> Result<Option<MarketCandidate>, SurroundingsError> {
        (**self).market(ticker, now).await
    }
}

/// No markets at all. For a programme without an exchange: offers and receipts only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMarkets;

#[async_trait]
impl Surroundings for NoMarkets {
    async fn markets(&self, _: Timestamp) -> Result<Vec<MarketCandidate>, SurroundingsError> {
        Ok(Vec::new())
    }

    async fn market(&self, _: &MarketTicker, _: Timestamp) -> Result<Option<MarketCandidate>, SurroundingsError> {
        Ok(None)
    }
}
