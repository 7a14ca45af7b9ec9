//! The one switch to stop staking. It stops new stakes and orders not yet sent; results are paid all the same.

use jiff::Timestamp;

use crate::opening::Openness;
use crate::{Trading, TradingError, store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    pub on: bool,
    pub reason: String,
    pub changed_at: Timestamp,
}

impl Trading {
    /// # Errors
    /// When the database fails.
    pub async fn staking(&self) -> Result<Switch, TradingError> {
        Ok(store::switch(&self.pool).await?)
    }

    /// Whether stakes are taken just now: neither switched off here, nor is the exchange closed or silent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn takes_stakes(&self) -> Result<bool, TradingError> {
        Ok(self.staking().await?.on && self.openness().await == Openness::Open)
    }

    /// Turns staking on or off for everyone, in every process, from the next stake on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_staking(&self, on: bool, reason: &str, by: &str) -> Result<Switch, TradingError> {
        tracing::warn!(on, reason, by, "staking was switched");
        store::set_switch(&self.pool, on, reason, by, self.clocks.business.now()).await?;
        self.staking().await
    }
}
