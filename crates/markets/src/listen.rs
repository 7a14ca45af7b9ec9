//! The exchange's socket: opened again whenever it breaks, with growing pauses. Everything heard is a hint or a
//! repeat of what a read would show, so losing it costs time, never money.

use hunch_exchange::{ExchangeStream, FillReport, LifecycleKind, StreamEvent};
use std::sync::Arc;
use std::time::Duration;

use crate::observe::Seen;
use crate::{Markets, MarketsError};

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Owns the one socket. Its owner calls [`Listener::step`] again and again.
pub struct Listener {
    markets: Arc<Markets>,
    stream: Option<Box<dyn ExchangeStream>>,
    failures: u32,
}

impl Listener {
    pub fn new(markets: Arc<Markets>) -> Listener {
        Listener { markets, stream: None, failures: 0 }
    }

    pub fn connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Waits for the next thing to happen and does what it asks for; gives our own fills to whoever keeps them. When
    /// not connected, waits a pause and connects.
    ///
    /// # Errors
    /// When the database fails. A broken socket is not an error: the next step opens another.
    pub async fn step(&mut self) -> Result<Option<FillReport>, MarketsError> {
        let Some(stream) = &mut self.stream else {
            self.connect().await?;
            return Ok(None);
        };
        match stream.next().await {
            Ok(StreamEvent::Fill(fill)) => return Ok(Some(fill)),
            Ok(StreamEvent::Lifecycle { ticker, kind }) => match kind {
                LifecycleKind::Determined { result, settlement_value } => {
                    let seen = Seen::Determined { ticker: ticker.clone(), result, value: settlement_value };
                    self.markets.observe(&[seen]).await?;
                    self.markets.hint(&ticker);
                }
                LifecycleKind::Settled
                | LifecycleKind::Activated
                | LifecycleKind::Deactivated
                | LifecycleKind::CloseChanged => self.markets.hint(&ticker),
                // The next sync brings what is new.
                LifecycleKind::Created | LifecycleKind::Other => {}
            },
            Ok(StreamEvent::Gap) => {
                tracing::info!("the exchange's socket lost messages; results are read again");
                metrics::counter!("hunch_exchange_gaps_total").increment(1);
                self.markets.hint_watched().await?;
            }
            Ok(StreamEvent::Closed(why)) => self.lost(&why),
            Err(error) => self.lost(&error.to_string()),
        }
        Ok(None)
    }

    fn lost(&mut self, why: &str) {
        tracing::info!(why, "the exchange's socket is gone; it is opened again");
        metrics::counter!("hunch_exchange_reconnects_total").increment(1);
        self.stream = None;
    }

    async fn connect(&mut self) -> Result<(), MarketsError> {
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(8)).min(PAUSE_MAX);
        if self.failures > 0 {
            tokio::time::sleep(pause).await;
        }
        // Never back to no pause at all: a socket that opens and breaks at once must not be hammered either.
        self.failures = self.failures.saturating_add(1);
        match self.markets.exchange().stream().await {
            Ok(stream) => {
                self.stream = Some(stream);
                self.failures = 1;
                self.markets.hint_watched().await
            }
            Err(error) => {
                tracing::warn!(%error, "the exchange's socket does not open");
                Ok(())
            }
        }
    }
}
