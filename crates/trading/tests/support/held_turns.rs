//! An exchange whose queue for orders can be stopped: who asks for a turn waits, as when our limits are used up.

use hunch_exchange::{
    BookTop, CashReport, EventReport, Exchange, ExchangeError, ExchangePosition, ExchangeStatus, ExchangeStream,
    FillReport, LeftOut, MarketQuery, MarketReport, NewOrder, OrderReport, Page, SentAt, SeriesReport,
    SettlementReport, SubmitOutcome, TradingSchedule, Turn,
};
use hunch_kalshi::Kalshi;
use hunch_kernel::{EventTicker, MarketTicker};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::watch;
use uuid::Uuid;

pub struct HeldTurns {
    pub inner: Kalshi,
    pub held: watch::Receiver<bool>,
    /// How often prices were read.
    pub tops_read: Arc<AtomicUsize>,
    /// True: no order can be cancelled.
    pub cancels_fail: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Exchange for HeldTurns {
    async fn learn_limits(&self) -> Result<(), ExchangeError> {
        self.inner.learn_limits().await
    }

    async fn turn(&self) -> Option<Turn> {
        self.held.clone().wait_for(|held| !held).await.ok()?;
        self.inner.turn().await
    }

    async fn submit(&self, order: &NewOrder, turn: Turn) -> SubmitOutcome {
        self.inner.submit(order, turn).await
    }

    async fn cancel(&self, exchange_order_id: &str, ticker: &MarketTicker) -> Result<(), ExchangeError> {
        if self.cancels_fail.load(Ordering::SeqCst) {
            return Err(ExchangeError::Unreachable("the line is cut".to_owned()));
        }
        self.inner.cancel(exchange_order_id, ticker).await
    }

    async fn find_order(
        &self,
        client_order_id: Uuid,
        ticker: &MarketTicker,
        sent: SentAt,
    ) -> Result<Option<OrderReport>, ExchangeError> {
        self.inner.find_order(client_order_id, ticker, sent).await
    }

    async fn data_as_of(&self) -> Result<Timestamp, ExchangeError> {
        self.inner.data_as_of().await
    }

    async fn market(&self, ticker: &MarketTicker) -> Result<Option<MarketReport>, ExchangeError> {
        self.inner.market(ticker).await
    }

    async fn markets(&self, query: &MarketQuery, cursor: Option<&str>) -> Result<Page<MarketReport>, ExchangeError> {
        self.inner.markets(query, cursor).await
    }

    async fn event(&self, ticker: &EventTicker) -> Result<Option<EventReport>, ExchangeError> {
        self.inner.event(ticker).await
    }

    async fn series(&self) -> Result<Vec<SeriesReport>, ExchangeError> {
        self.inner.series().await
    }

    async fn book_top(&self, ticker: &MarketTicker) -> Result<BookTop, ExchangeError> {
        self.tops_read.fetch_add(1, Ordering::SeqCst);
        self.inner.book_top(ticker).await
    }

    async fn status(&self) -> Result<ExchangeStatus, ExchangeError> {
        self.inner.status().await
    }

    async fn schedule(&self) -> Result<TradingSchedule, ExchangeError> {
        self.inner.schedule().await
    }

    async fn cash(&self) -> Result<Vec<CashReport>, ExchangeError> {
        self.inner.cash().await
    }

    async fn positions(&self, cursor: Option<&str>) -> Result<Page<ExchangePosition>, ExchangeError> {
        self.inner.positions(cursor).await
    }

    async fn fills(&self, since: Timestamp, cursor: Option<&str>) -> Result<Page<FillReport>, ExchangeError> {
        self.inner.fills(since, cursor).await
    }

    async fn settlements(
        &self,
        since: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Page<SettlementReport>, ExchangeError> {
        self.inner.settlements(since, cursor).await
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.inner.left_out()
    }

    async fn stream(&self) -> Result<Box<dyn ExchangeStream>, ExchangeError> {
        self.inner.stream().await
    }
}
