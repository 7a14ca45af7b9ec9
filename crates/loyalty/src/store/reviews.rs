//! SQL of points that wait for a decision.

use hunch_db::columns::time;
use hunch_kernel::{MemberId, MerchantId, Points, PurchaseId, TerminalId};
use hunch_log::ShardTx;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, PgPool, Row};
use std::collections::HashMap;
use uuid::Uuid;

use super::Result;
use crate::credit::Credit;
use crate::purchases::Purchase;
use crate::reviews::{Review, ReviewEnd, ReviewReason, WhichReviews};

/// Those of the purchases that wait and have points that could.
pub(crate) async fn insert(tx: &mut ShardTx, fresh: &[(i64, &Purchase, Credit)]) -> Result<()> {
    let waiting: Vec<(&Purchase, ReviewReason, Points)> = fresh
        .iter()
        .filter_map(|(_, purchase, credit)| Some((*purchase, purchase.waits(credit)?, credit.total())))
        .collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let ids = |f: fn(&Purchase) -> Uuid| waiting.iter().map(|(p, _, _)| f(p)).collect::<Vec<Uuid>>();
    let now = tx.now();
    sqlx::query(
        "INSERT INTO loyalty.review (purchase, member, merchant, terminal, points, reason, since)
         SELECT t.*, $1 FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::int8[], $7::text[]) AS t",
    )
    .bind(now.to_sqlx())
    .bind(ids(|p| p.id.0))
    .bind(ids(|p| p.member.0))
    .bind(ids(|p| p.sale.merchant.0))
    .bind(ids(|p| p.terminal.0))
    .bind(waiting.iter().map(|(_, _, points)| points.0).collect::<Vec<_>>())
    .bind(waiting.iter().map(|(_, reason, _)| reason.as_str()).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Points that waited at first, of those among the purchases that had any.
pub(crate) async fn waited(conn: &mut PgConnection, ids: &[PurchaseId]) -> Result<HashMap<PurchaseId, Points>> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as("SELECT purchase, points FROM loyalty.review WHERE purchase = ANY($1)")
        .bind(ids.iter().map(|id| id.0).collect::<Vec<Uuid>>())
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|(id, points)| (PurchaseId(id), Points(points))).collect())
}

pub(crate) async fn end(tx: &mut ShardTx, purchase: PurchaseId, end: &ReviewEnd) -> Result<()> {
    sqlx::query(
        "UPDATE loyalty.review SET decision = $2, decided_at = $3, decided_by = $4, why = $5
         WHERE purchase = $1 AND decision IS NULL",
    )
    .bind(purchase.0)
    .bind(&end.word)
    .bind(end.at.to_sqlx())
    .bind(&end.by)
    .bind(&end.why)
    .execute(tx.conn())
    .await?;
    Ok(())
}

const COLUMNS: &str = "SELECT r.purchase, r.member, r.merchant, m.name, r.terminal, r.points, r.reason, r.since, r.decision, r.decided_at,
         r.decided_by, r.why
     FROM loyalty.review r JOIN loyalty.merchant m USING (merchant)";

pub(crate) async fn one(from: impl PgExecutor<'_>, purchase: PurchaseId) -> Result<Option<Review>> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE r.purchase = $1"));
    sqlx::query(sql).bind(purchase.0).fetch_optional(from).await?.map(|row| read(&row)).transpose()
}

pub(crate) async fn list(
    pool: &PgPool,
    which: WhichReviews,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Review>> {
    let those = match which {
        WhichReviews::Waiting => "r.decision IS NULL AND $4::uuid IS NULL",
        WhichReviews::All => "$4::uuid IS NULL",
        WhichReviews::Of(_) => "r.decision IS NULL AND r.member = $4",
    };
    let member = match which {
        WhichReviews::Of(member) => Some(member.0),
        WhichReviews::Waiting | WhichReviews::All => None,
    };
    let sql = format!(
        "{COLUMNS} WHERE {those} AND (r.since, r.purchase) > (coalesce($1, '-infinity'::timestamptz), coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY r.since, r.purchase LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(after.map(|(since, _)| since.to_sqlx()))
        .bind(after.map(|(_, purchase)| purchase))
        .bind(limit)
        .bind(member)
        .fetch_all(pool)
        .await?;
    rows.iter().map(read).collect()
}

pub(crate) async fn watch(
    pool: &PgPool,
    terminal: TerminalId,
    why: Option<&str>,
    by: &str,
    now: Timestamp,
) -> Result<bool> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    // Sent again with the same words it goes on as it was.
    let done = sqlx::query(
        "UPDATE loyalty.terminal SET watched_since = CASE WHEN $2::text IS NOT NULL THEN coalesce(watched_since, $4) END,
             watched_by = CASE WHEN $2 IS NOT NULL THEN $3::text END, watched_why = $2
         WHERE terminal = $1",
    )
    .bind(terminal.0)
    .bind(why)
    .bind(by)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

fn read(row: &PgRow) -> Result<Review> {
    let reason: String = row.try_get(6)?;
    let word: Option<String> = row.try_get(8)?;
    let ended = match word {
        Some(word) => Some(ReviewEnd { word, at: time(row, 9)?, by: row.try_get(10)?, why: row.try_get(11)? }),
        None => None,
    };
    Ok(Review {
        purchase: PurchaseId(row.try_get(0)?),
        member: MemberId(row.try_get(1)?),
        merchant: MerchantId(row.try_get(2)?),
        merchant_name: row.try_get(3)?,
        terminal: TerminalId(row.try_get(4)?),
        points: Points(row.try_get(5)?),
        reason: ReviewReason::from_word(&reason)
            .ok_or_else(|| sqlx::Error::Decode(format!("unknown reason {reason} of a review").into()))?,
        since: time(row, 7)?,
        ended,
    })
}
