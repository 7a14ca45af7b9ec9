//! Figures over stored rows.

use hunch_kernel::{MarketTicker, Points};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgPool, Row};

use super::Result;
use crate::report::{LatencyFigures, OrderCounts, PaidMarket, TradingFigures};

pub(crate) async fn newest_results(pool: &PgPool, limit: i64) -> Result<Vec<PaidMarket>> {
    let rows = sqlx::query(
        "SELECT m.market, f.result, m.positions, m.paid_points FROM trading.market_paid m JOIN markets.final f ON f.ticker = m.market
         ORDER BY m.credited_wall DESC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(PaidMarket {
                market: MarketTicker(r.try_get(0)?),
                result: r.try_get(1)?,
                positions: r.try_get(2)?,
                points: Points(r.try_get(3)?),
            })
        })
        .collect()
}

pub(crate) async fn figures(pool: &PgPool, since: Timestamp) -> Result<TradingFigures> {
    let orders = sqlx::query(
        "SELECT count(*) FILTER (WHERE state = 'filled'), count(*) FILTER (WHERE state = 'partial'),
                count(*) FILTER (WHERE state = 'killed'), count(*) FILTER (WHERE state = 'refused'),
                count(*) FILTER (WHERE was_unknown AND resolved_at IS NOT NULL), count(*) FILTER (WHERE resolved_at IS NULL)
         FROM trading.orders WHERE placed_at >= $1",
    )
    .bind(since.to_sqlx())
    .fetch_one(pool)
    .await?;
    let paid = sqlx::query(
        "SELECT count(*), coalesce(sum(p.paid_points), 0)::bigint,
                percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM p.paid_wall - f.seen_wall) * 1000)::float8[]
         FROM trading.position p JOIN markets.final f ON f.ticker = p.market WHERE p.paid_at >= $1",
    )
    .bind(since.to_sqlx())
    .fetch_one(pool)
    .await?;
    let markets: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM trading.market_paid m JOIN markets.final f ON f.ticker = m.market WHERE f.seen_at >= $1",
    )
    .bind(since.to_sqlx())
    .fetch_one(pool)
    .await?;
    let results = sqlx::query("SELECT result, count(*) FROM trading.position WHERE paid_at >= $1 GROUP BY result")
        .bind(since.to_sqlx())
        .fetch_all(pool)
        .await?;
    let latency: Option<Vec<Option<f64>>> = paid.try_get(2)?;
    let at = |n: usize| latency.as_ref().and_then(|l| l.get(n).copied().flatten()).unwrap_or(0.0);
    let n: i64 = paid.try_get(0)?;
    Ok(TradingFigures {
        orders: OrderCounts {
            filled: orders.try_get(0)?,
            partial: orders.try_get(1)?,
            killed: orders.try_get(2)?,
            refused: orders.try_get(3)?,
            unknown_resolved: orders.try_get(4)?,
            open: orders.try_get(5)?,
        },
        markets_settled: markets,
        positions_paid: n,
        points_paid: paid.try_get(1)?,
        final_credited: LatencyFigures { p50: at(0), p95: at(1), p99: at(2), n },
        results: results.iter().map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).collect::<Result<_>>()?,
    })
}
