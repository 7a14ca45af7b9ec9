//! The settlement: every market with a final result and unpaid positions is paid, in chunks, all shards at once.

use hunch_kernel::{Points, Shard};
use jiff::SignedDuration;

use crate::payout::PayoutRequest;
use crate::{Trading, TradingError, store};

/// The most positions of one transaction.
const CHUNK: i64 = 1_000;
/// Members are promised sixty seconds; somebody must look before they are over.
const ALARM: SignedDuration = SignedDuration::from_secs(45);

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub positions: usize,
    pub points: Points,
    /// Markets whose last position was paid.
    pub markets: usize,
}

impl Trading {
    /// Pays everything that can be paid now. Safe to call at any time, in any number of processes.
    ///
    /// # Errors
    /// When the database fails; what was paid before stays paid, the next step goes on.
    pub async fn settle_step(&self) -> Result<Settled, TradingError> {
        let mut settled = Settled::default();
        let open = store::unsettled(&self.pool).await?;
        let mut conn = self.pool.acquire().await?;
        let finals = hunch_markets::finals(&mut conn, &open).await?;
        drop(conn);
        for result in finals {
            let shards = (0..self.shards).map(|shard| self.pay_shard(&result, Shard(shard as i16)));
            for paid in futures_util::future::join_all(shards).await {
                let paid = paid?;
                settled.positions += paid.positions;
                settled.points += paid.points;
            }
            let wall = self.clocks.wall.now();
            if store::close_market(&self.pool, &result, wall).await? {
                settled.markets += 1;
                let waited = wall.duration_since(result.seen_wall);
                if waited > ALARM {
                    tracing::error!(market = %result.ticker, seconds = waited.as_secs(), "a final result was credited late");
                    metrics::counter!("hunch_credited_late_total").increment(1);
                }
                metrics::histogram!("hunch_final_credited_seconds").record(waited.as_secs_f64());
                // Our own outages show here: from the exchange's own word on when it paid.
                let since_paid = self.clocks.business.now().duration_since(result.settled_at);
                metrics::histogram!("hunch_settled_credited_seconds").record(since_paid.as_secs_f64());
            }
        }
        Ok(settled)
    }

    async fn pay_shard(&self, result: &hunch_markets::Final, shard: Shard) -> Result<crate::PayoutsDone, TradingError> {
        let mut all = crate::PayoutsDone::default();
        loop {
            let positions = store::unpaid(&self.pool, &result.ticker, shard, CHUNK).await?;
            if positions.is_empty() {
                return Ok(all);
            }
            let request = PayoutRequest { result: result.clone(), positions };
            let done = self.doors.payouts.submit(shard, request).await?;
            all.positions += done.positions;
            all.points += done.points;
        }
    }
}
