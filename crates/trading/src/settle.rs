//! The settlement: every market with a final result and unpaid positions is paid, in chunks, all shards at once.

use hunch_kernel::{Points, PositionId, Shard};
use hunch_ledger::DoorError;
use hunch_markets::Final;

use crate::payout::{PayoutRequest, PayoutsDone};
use crate::{Trading, TradingError, store};

/// The most positions of one transaction.
const CHUNK: i64 = 1_000;

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
    /// The first thing that could not be paid. Everything else was paid all the same, and the next step goes on.
    pub async fn settle_step(&self) -> Result<Settled, TradingError> {
        let mut settled = Settled::default();
        let open = store::unsettled(&self.pool).await?;
        let mut conn = self.pool.acquire().await?;
        let finals = hunch_markets::finals(&mut conn, &open).await?;
        drop(conn);
        let mut failed = None;
        for result in finals {
            let shards = (0..self.shards).map(|shard| self.pay_shard(&result, Shard(shard as i16)));
            for (paid, error) in futures_util::future::join_all(shards).await {
                settled.positions += paid.positions;
                settled.points += paid.points;
                if let Some(error) = error {
                    tracing::error!(market = %result.ticker, %error, "a market could not be paid in full");
                    failed.get_or_insert(error);
                }
            }
            let wall = self.clocks.wall.now();
            if let Some(credited) = store::close_market(&self.pool, &result, wall).await? {
                settled.markets += 1;
                self.ring_if_late(&result, credited, "a final result was credited late");
                let waited = credited.duration_since(result.seen_wall);
                metrics::histogram!("hunch_final_credited_seconds").record(waited.as_secs_f64());
                // Our own outages show here: from the exchange's own word on when it paid.
                let since_paid = self.clocks.business.now().duration_since(result.settled_at);
                metrics::histogram!("hunch_settled_credited_seconds").record(since_paid.as_secs_f64());
            }
        }
        failed.map_or(Ok(settled), Err)
    }

    /// Pays what can be paid, and says what stood in the way of the rest.
    async fn pay_shard(&self, result: &Final, shard: Shard) -> (PayoutsDone, Option<TradingError>) {
        let mut all = PayoutsDone::default();
        loop {
            let positions = match store::unpaid(&self.pool, &result.ticker, shard, CHUNK).await {
                Ok(positions) if positions.is_empty() => return (all, None),
                Ok(positions) => positions,
                Err(error) => return (all, Some(error.into())),
            };
            let (done, error) = self.pay_chunk(result, shard, positions).await;
            all.positions += done.positions;
            all.points += done.points;
            if error.is_some() && done.positions == 0 {
                return (all, error);
            }
        }
    }

    /// One transaction; if it fails, two of half the size, so that a position that cannot be paid holds up no other.
    async fn pay_chunk(
        &self,
        result: &Final,
        shard: Shard,
        positions: Vec<PositionId>,
    ) -> (PayoutsDone, Option<TradingError>) {
        let (mut todo, mut all, mut failed) = (vec![positions], PayoutsDone::default(), None);
        while let Some(mut positions) = todo.pop() {
            let request = PayoutRequest { result: result.clone(), positions: positions.clone() };
            match self.doors.payouts.submit(shard, request).await {
                Ok(done) => {
                    all.positions += done.positions;
                    all.points += done.points;
                }
                Err(DoorError::Storage(_) | DoorError::Impossible(_)) if positions.len() > 1 => {
                    let second = positions.split_off(positions.len() / 2);
                    todo.extend([second, positions]);
                }
                Err(error) => {
                    failed.get_or_insert(error.into());
                }
            }
        }
        (all, failed)
    }
}
