//! The SQL of merchants and their earn rules.

use hunch_db::columns::{maybe_time, time};
use hunch_kernel::MerchantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use std::collections::HashMap;
use uuid::Uuid;

use super::Result;
use crate::directory::Merchant;
use crate::earn_rule::{EarnRule, EarnTerms};
use crate::merchants::{MerchantChange, NewEarnRule, NewMerchant};

/// `false` when the id is there already: then nothing was written.
pub(crate) async fn insert(
    pool: &PgPool,
    new: &NewMerchant,
    terms: &EarnTerms,
    by: &str,
    now: Timestamp,
) -> Result<bool> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let done = sqlx::query(
        "INSERT INTO loyalty.merchant (merchant, name, category, zone, currency, joined_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT ON CONSTRAINT merchant_once DO NOTHING",
    )
    .bind(new.id.0)
    .bind(&new.name)
    .bind(&new.category)
    .bind(&new.zone)
    .bind(&new.currency)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    // From the beginning of time, so that receipts from before the merchant was entered are not lost.
    sqlx::query(
        "INSERT INTO loyalty.earn_rule (rule, merchant, points_per_unit, per_cents, points_per_visit, points_max, valid_from, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, '2000-01-01T00:00:00Z', $7)",
    )
    .bind(hunch_kernel::derived_uuid(&[b"first-rule", new.id.0.as_bytes()]))
    .bind(new.id.0)
    .bind(terms.points_per_unit)
    .bind(terms.per_cents)
    .bind(terms.points_per_visit)
    .bind(terms.points_max)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Changes what differs, and keeps each difference with who and when. Nothing happens if there is no such merchant.
pub(crate) async fn change(
    pool: &PgPool,
    id: MerchantId,
    change: &MerchantChange,
    by: &str,
    now: Timestamp,
) -> Result<()> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let row = sqlx::query("SELECT name, category, zone FROM loyalty.merchant WHERE merchant = $1 FOR UPDATE")
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(()) };
    for (field, wanted) in [("name", &change.name), ("category", &change.category), ("zone", &change.zone)] {
        let before: String = row.try_get(field)?;
        let Some(after) = wanted.as_ref().filter(|after| **after != before) else { continue };
        sqlx::query(
            "INSERT INTO loyalty.merchant_change (merchant, field, before, after, changed_by, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.0)
        .bind(field)
        .bind(before)
        .bind(after)
        .bind(by)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query(
        "UPDATE loyalty.merchant SET name = coalesce($2, name), category = coalesce($3, category), zone = coalesce($4, zone)
         WHERE merchant = $1",
    )
    .bind(id.0)
    .bind(&change.name)
    .bind(&change.category)
    .bind(&change.zone)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

pub(crate) async fn find(pool: &PgPool, id: MerchantId) -> Result<Option<Merchant>> {
    let row = sqlx::query("SELECT name, category, zone, currency FROM loyalty.merchant WHERE merchant = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let rules = sqlx::query(
        "SELECT merchant, rule, points_per_unit, per_cents, points_per_visit, points_max, valid_from, valid_to
         FROM loyalty.earn_rule WHERE merchant = $1 ORDER BY valid_from",
    )
    .bind(id.0)
    .fetch_all(pool)
    .await?;
    Ok(Some(Merchant {
        id,
        name: row.try_get(0)?,
        category: row.try_get(1)?,
        zone: row.try_get(2)?,
        currency: row.try_get(3)?,
        rules: rules.iter().map(|r| Ok(earn_rule(r)?.1)).collect::<Result<_>>()?,
    }))
}

pub(crate) async fn names(pool: &PgPool) -> Result<HashMap<Uuid, String>> {
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT merchant, name FROM loyalty.merchant").fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}

pub(crate) async fn rule(conn: &mut PgConnection, id: Uuid) -> Result<Option<(MerchantId, EarnRule)>> {
    let row = sqlx::query(
        "SELECT merchant, rule, points_per_unit, per_cents, points_per_visit, points_max, valid_from, valid_to
         FROM loyalty.earn_rule WHERE rule = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(earn_rule).transpose()
}

/// The rule that begins at this moment: this one, or one that was there.
pub(crate) async fn insert_rule(
    conn: &mut PgConnection,
    new: &NewEarnRule,
    from: Timestamp,
    now: Timestamp,
) -> Result<EarnRule> {
    sqlx::query(
        "INSERT INTO loyalty.earn_rule (rule, merchant, points_per_unit, per_cents, points_per_visit, points_max, valid_from, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT ON CONSTRAINT earn_rule_start DO NOTHING",
    )
    .bind(new.id)
    .bind(new.merchant.0)
    .bind(new.terms.points_per_unit)
    .bind(new.terms.per_cents)
    .bind(new.terms.points_per_visit)
    .bind(new.terms.points_max)
    .bind(from.to_sqlx())
    .bind(now.to_sqlx())
    .execute(&mut *conn)
    .await?;
    let row = sqlx::query(
        "SELECT merchant, rule, points_per_unit, per_cents, points_per_visit, points_max, valid_from, valid_to
         FROM loyalty.earn_rule WHERE merchant = $1 AND valid_from = $2",
    )
    .bind(new.merchant.0)
    .bind(from.to_sqlx())
    .fetch_one(conn)
    .await?;
    Ok(earn_rule(&row)?.1)
}

pub(crate) fn earn_rule(r: &PgRow) -> Result<(MerchantId, EarnRule)> {
    let rule = EarnRule {
        rule: r.try_get(1)?,
        terms: EarnTerms {
            points_per_unit: r.try_get(2)?,
            per_cents: r.try_get(3)?,
            points_per_visit: r.try_get(4)?,
            points_max: r.try_get(5)?,
        },
        valid_from: time(r, 6)?,
        valid_to: maybe_time(r, 7)?,
    };
    Ok((MerchantId(r.try_get(0)?), rule))
}
