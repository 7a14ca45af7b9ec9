//! What was bought lately, for whoever watches the town. Nobody is named.

use hunch_kernel::Points;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgPool, Row};

use crate::LoyaltyError;

/// One purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestPurchase {
    pub merchant_name: String,
    pub points: Points,
    pub recorded_at: Timestamp,
}

/// The newest purchases of everybody since (business time).
///
/// # Errors
/// When the database fails.
pub async fn newest_purchases(
    pool: &PgPool,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<NewestPurchase>, LoyaltyError> {
    let rows = sqlx::query(
        "SELECT m.name, p.points, p.recorded_at FROM loyalty.purchase p JOIN loyalty.merchant m USING (merchant)
         WHERE p.recorded_at >= $1 ORDER BY p.recorded_at DESC LIMIT $2",
    )
    .bind(since.to_sqlx())
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|r| {
            let recorded_at = r.try_get::<jiff_sqlx::Timestamp, _>(2)?.to_jiff();
            Ok(NewestPurchase { merchant_name: r.try_get(0)?, points: Points(r.try_get(1)?), recorded_at })
        })
        .collect()
}

/// How many purchases were recorded since, and the points they earned.
///
/// # Errors
/// When the database fails.
pub async fn sold_since(pool: &PgPool, since: Timestamp) -> Result<(i64, Points), LoyaltyError> {
    let row =
        sqlx::query("SELECT count(*), coalesce(sum(points), 0)::bigint FROM loyalty.purchase WHERE recorded_at >= $1")
            .bind(since.to_sqlx())
            .fetch_one(pool)
            .await?;
    Ok((row.try_get(0)?, Points(row.try_get(1)?)))
}
