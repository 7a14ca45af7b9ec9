//! The loops that drive markets and trading. Each calls a step, waits to be woken or for its time, and goes on after
//! errors: nothing that is owned here is ever left alone.

use hunch_exchange::Exchange;
use hunch_markets::{Listener, Markets};
use hunch_trading::Trading;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

const ORDERS_AT_ONCE: i64 = 64;
/// Other processes place orders too and do not wake us.
const LOOK_FOR_ORDERS: Duration = Duration::from_millis(200);
const LOOK_UP_ORDERS: Duration = Duration::from_millis(50);
const LOOK_FOR_RESULTS: Duration = Duration::from_secs(1);
/// A quote asks by itself when this was five seconds ago.
const LOOK_AT_OPENING: Duration = Duration::from_secs(4);
/// Whether somebody waits too long for a result is looked at apart from paying, which may be what hangs.
const LOOK_FOR_UNPAID: Duration = Duration::from_secs(5);
const RECONCILE_EVERY: Duration = Duration::from_secs(15);
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// An operator's account may rise to another tier.
const LEARN_LIMITS_EVERY: Duration = Duration::from_secs(900);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
const PACE_MIN: Duration = Duration::from_millis(250);

pub struct TradingLoops {
    pub exchange: Arc<dyn Exchange>,
    pub markets: Arc<Markets>,
    pub trading: Arc<Trading>,
    pub sync_every: Duration,
    pub poll_every: Duration,
}

/// Seconds of business time as wall time: a day that runs faster is looked at more often.
pub fn paced(settings: &Settings, key: &str) -> anyhow::Result<Duration> {
    let (seconds, speed): (u32, u32) = (settings.parsed(key)?, settings.parsed("clock.speed")?);
    Ok((Duration::from_secs(u64::from(seconds)) / speed).max(PACE_MIN))
}

impl TradingLoops {
    pub fn start(&self, loops: &mut JoinSet<()>, stop: &CancellationToken) {
        self.start_reading(loops, stop);
        self.start_ordering(loops, stop);
        self.start_settling(loops, stop);
        self.start_tidying(loops, stop);
    }

    /// What the exchange says of its markets, and how much it may be asked.
    fn start_reading(&self, loops: &mut JoinSet<()>, stop: &CancellationToken) {
        let exchange = self.exchange.clone();
        loops.spawn(repeat("the account's limits are not read", stop.clone(), async move || {
            exchange.learn_limits().await?;
            tokio::time::sleep(LEARN_LIMITS_EVERY).await;
            Ok(())
        }));
        let t = self.trading.clone();
        loops.spawn(repeat("whether the exchange is open is not read", stop.clone(), async move || {
            t.opening_step().await;
            tokio::time::sleep(LOOK_AT_OPENING).await;
            Ok(())
        }));
        let (m, t, every) = (self.markets.clone(), self.trading.clone(), self.sync_every);
        loops.spawn(repeat("markets are not read", stop.clone(), async move || {
            t.open_books().await?;
            m.sync_step().await?;
            tokio::time::sleep(every).await;
            Ok(())
        }));
        let (m, t, every) = (self.markets.clone(), self.trading.clone(), self.poll_every);
        loops.spawn(repeat("results are not polled", stop.clone(), async move || {
            m.poll_step().await?;
            t.ring_results();
            tokio::time::sleep(every).await;
            Ok(())
        }));
        let (m, t) = (self.markets.clone(), self.trading.clone());
        loops.spawn(repeat("hints are not looked up", stop.clone(), async move || {
            m.hint_step().await?;
            t.ring_results();
            let wait = m.next_hint().and_then(|wait| Duration::try_from(wait).ok()).unwrap_or(LOOK_FOR_RESULTS);
            woken_within(wait.min(LOOK_FOR_RESULTS), m.hinted()).await;
            Ok(())
        }));
        loops.spawn(listen(self.markets.clone(), self.trading.clone(), stop.clone()));
    }

    /// Orders on their way to the exchange, and those whose answer was lost.
    fn start_ordering(&self, loops: &mut JoinSet<()>, stop: &CancellationToken) {
        let t = self.trading.clone();
        loops.spawn(repeat("orders are not sent", stop.clone(), async move || {
            if t.dispatch_step(ORDERS_AT_ONCE).await? == 0 {
                woken_within(LOOK_FOR_ORDERS, t.order_waits()).await;
            }
            Ok(())
        }));
        let t = self.trading.clone();
        loops.spawn(repeat("orders are not looked up", stop.clone(), async move || {
            if t.resolve_step(ORDERS_AT_ONCE).await? == 0 {
                woken_within(LOOK_UP_ORDERS, t.lookup_waits()).await;
            }
            Ok(())
        }));
    }

    /// Payouts, and our books beside the exchange's.
    fn start_settling(&self, loops: &mut JoinSet<()>, stop: &CancellationToken) {
        let t = self.trading.clone();
        loops.spawn(repeat("results are not paid", stop.clone(), async move || {
            let settled = t.settle_step().await;
            t.correct_step().await?;
            settled?;
            woken_within(LOOK_FOR_RESULTS, t.result_waits()).await;
            Ok(())
        }));
        let t = self.trading.clone();
        loops.spawn(repeat("unpaid results and unclear orders are not looked for", stop.clone(), async move || {
            t.unpaid_step().await?;
            t.unclear_step().await?;
            tokio::time::sleep(LOOK_FOR_UNPAID).await;
            Ok(())
        }));
        let t = self.trading.clone();
        loops.spawn(repeat("books are not compared", stop.clone(), async move || {
            tokio::time::sleep(RECONCILE_EVERY).await;
            t.reconcile_step().await?;
            Ok(())
        }));
    }

    fn start_tidying(&self, loops: &mut JoinSet<()>, stop: &CancellationToken) {
        let t = self.trading.clone();
        loops.spawn(repeat("old quotes are not swept", stop.clone(), async move || {
            tokio::time::sleep(TIDY_EVERY).await;
            t.sweep_quotes_step().await?;
            t.parked_hints_step().await?;
            Ok(())
        }));
    }
}

/// Returns when woken, and after `longest` at the latest.
async fn woken_within(longest: Duration, woken: impl Future<Output = ()>) {
    let _ = tokio::time::timeout(longest, woken).await;
}

/// Calls `step` until told to stop. A step that is stopped half-way leaves what it owns to the next start.
pub async fn repeat(failing: &'static str, stop: CancellationToken, mut step: impl AsyncFnMut() -> anyhow::Result<()>) {
    loop {
        match stop.run_until_cancelled(step()).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(error = format!("{error:#}"), "{failing}");
                if stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_ERROR)).await.is_none() {
                    return;
                }
            }
        }
    }
}

async fn listen(markets: Arc<Markets>, trading: Arc<Trading>, stop: CancellationToken) {
    let mut listener = Listener::new(markets);
    loop {
        let heard = match stop.run_until_cancelled(listener.step()).await {
            None => return,
            Some(heard) => heard,
        };
        let kept = match heard {
            Ok(Some(fill)) => trading.keep_fills(&[fill]).await.map_err(anyhow::Error::from),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = kept {
            tracing::error!(
                error = format!("{error:#}"),
                "what the exchange's socket said was not kept; reads will bring it"
            );
        }
    }
}
