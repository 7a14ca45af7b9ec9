//! The SQL of offers and of what they gave.

use hunch_db::columns::{maybe_time, time};
use hunch_kernel::{MemberId, MerchantId, Points, PurchaseId};
use hunch_log::ShardTx;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use super::Result;
use crate::credit::{Credit, OfferCredit};
use crate::offers::{NewOffer, Offer};
use crate::purchases::Purchase;

fn offer(r: &PgRow) -> Result<Offer> {
    Ok(Offer {
        id: r.try_get(0)?,
        merchant: MerchantId(r.try_get(1)?),
        merchant_name: r.try_get(2)?,
        merchant_category: r.try_get(3)?,
        title: r.try_get(4)?,
        bonus: Points(r.try_get(5)?),
        valid_from: time(r, 6)?,
        valid_to: time(r, 7)?,
        told_until: maybe_time(r, 8)?,
        budget: r.try_get::<Option<i64>, _>(9)?.map(Points),
        leased: Points(r.try_get(10)?),
    })
}

/// Offers that had not ended at `at`, soonest to end first.
pub(crate) async fn ending_after(pool: &PgPool, at: Timestamp) -> Result<Vec<Offer>> {
    let rows = sqlx::query(
        "SELECT o.offer, o.merchant, m.name, m.category, o.title, o.bonus_points, o.valid_from, o.valid_to, o.told_until, o.budget_points,
                coalesce((SELECT a.leased FROM loyalty.allowance a WHERE a.counter = 'offer_points' AND a.subject = o.offer), 0)
         FROM loyalty.offer o JOIN loyalty.merchant m USING (merchant) WHERE o.valid_to > $1 ORDER BY o.valid_to, o.offer",
    )
    .bind(at.to_sqlx())
    .fetch_all(pool)
    .await?;
    rows.iter().map(offer).collect()
}

pub(crate) async fn find(pool: &PgPool, id: Uuid) -> Result<Option<Offer>> {
    let row = sqlx::query(
        "SELECT o.offer, o.merchant, m.name, m.category, o.title, o.bonus_points, o.valid_from, o.valid_to, o.told_until, o.budget_points,
                coalesce((SELECT a.leased FROM loyalty.allowance a WHERE a.counter = 'offer_points' AND a.subject = o.offer), 0)
         FROM loyalty.offer o JOIN loyalty.merchant m USING (merchant) WHERE o.offer = $1",
    )
    .bind(id)
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(offer).transpose()
}

/// `false` when the id is there already.
pub(crate) async fn insert(pool: &PgPool, new: &NewOffer, by: &str) -> Result<bool> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let done = sqlx::query(
        "INSERT INTO loyalty.offer (offer, merchant, title, bonus_points, valid_from, valid_to, budget_points)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT offer_once DO NOTHING",
    )
    .bind(new.id)
    .bind(new.merchant.0)
    .bind(&new.title)
    .bind(new.bonus.0)
    .bind(new.valid.start.to_sqlx())
    .bind(new.valid.end.to_sqlx())
    .bind(new.budget.map(|budget| budget.0))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the end that it has now.
pub(crate) async fn end(
    pool: &PgPool,
    id: Uuid,
    by: &str,
    told: Timestamp,
    counts: Timestamp,
) -> Result<Option<Timestamp>> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let row = sqlx::query(
        "UPDATE loyalty.offer SET told_until = least(told_until, $2), valid_to = greatest(valid_from, least(valid_to, $3))
         WHERE offer = $1 RETURNING valid_to",
    )
    .bind(id)
    .bind(told.to_sqlx())
    .bind(counts.to_sqlx())
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    row.map(|r| time(&r, 0)).transpose()
}

pub(crate) async fn used(conn: &mut PgConnection, members: &[MemberId]) -> Result<HashMap<MemberId, HashSet<Uuid>>> {
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT member, offer FROM loyalty.offer_use WHERE member = ANY($1) AND returned_at IS NULL")
            .bind(members.iter().map(|m| m.0).collect::<Vec<Uuid>>())
            .fetch_all(conn)
            .await?;
    let mut used: HashMap<MemberId, HashSet<Uuid>> = HashMap::new();
    for (member, offer) in rows {
        used.entry(MemberId(member)).or_default().insert(offer);
    }
    Ok(used)
}

/// What offers gave these purchases when they were recorded.
pub(crate) async fn given(
    conn: &mut PgConnection,
    ids: &[PurchaseId],
) -> Result<HashMap<PurchaseId, Vec<OfferCredit>>> {
    let rows = sqlx::query(
        "SELECT purchase, offer, title, points FROM loyalty.offer_use WHERE purchase = ANY($1) ORDER BY purchase, offer",
    )
    .bind(ids.iter().map(|id| id.0).collect::<Vec<Uuid>>())
    .fetch_all(conn)
    .await?;
    let mut given: HashMap<PurchaseId, Vec<OfferCredit>> = HashMap::new();
    for r in rows {
        let credit = OfferCredit { offer: r.try_get(1)?, title: r.try_get(2)?, points: Points(r.try_get(3)?) };
        given.entry(PurchaseId(r.try_get(0)?)).or_default().push(credit);
    }
    Ok(given)
}

pub(crate) async fn insert_uses(tx: &mut ShardTx, fresh: &[(i64, &Purchase, Credit)]) -> Result<()> {
    let uses: Vec<(&Purchase, &OfferCredit)> =
        fresh.iter().flat_map(|(_, purchase, credit)| credit.offers().map(move |offer| (*purchase, offer))).collect();
    if uses.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sqlx::query(
        "INSERT INTO loyalty.offer_use (purchase, offer, member, title, points, used_at)
         SELECT t.*, $6 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::int8[]) AS t",
    )
    .bind(uses.iter().map(|(p, _)| p.id.0).collect::<Vec<_>>())
    .bind(uses.iter().map(|(_, o)| o.offer).collect::<Vec<_>>())
    .bind(uses.iter().map(|(p, _)| p.member.0).collect::<Vec<_>>())
    .bind(uses.iter().map(|(_, o)| o.title.as_str()).collect::<Vec<_>>())
    .bind(uses.iter().map(|(_, o)| o.points.0).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The purchase came back, and its offers are the member's again.
pub(crate) async fn give_back(tx: &mut ShardTx, purchase: PurchaseId) -> Result<()> {
    let now = tx.now();
    sqlx::query("UPDATE loyalty.offer_use SET returned_at = $2 WHERE purchase = $1 AND returned_at IS NULL")
        .bind(purchase.0)
        .bind(now.to_sqlx())
        .execute(tx.conn())
        .await?;
    Ok(())
}
