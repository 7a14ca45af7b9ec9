//! Live news. Everything heard here is a hint or a repeat of what a read would show.

use crate::{ExchangeError, FillReport, MarketResult};
use async_trait::async_trait;
use hunch_kernel::{MarketTicker, Price};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    Lifecycle {
        ticker: MarketTicker,
        kind: LifecycleKind,
    },
    Fill(FillReport),
    /// Messages were lost: read again what must not be missed.
    Gap,
    /// The connection is over.
    Closed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifecycleKind {
    Created,
    Activated,
    Deactivated,
    CloseChanged,
    Determined { result: MarketResult, settlement_value: Option<Price> },
    Settled,
    Other,
}

#[async_trait]
pub trait ExchangeStream: Send {
    /// Waits for the next event. After `Closed` there are none.
    async fn next(&mut self) -> Result<StreamEvent, ExchangeError>;
}
