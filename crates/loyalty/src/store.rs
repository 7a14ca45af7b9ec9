//! Loyalty's SQL.

pub(crate) mod allowances;
pub(crate) mod merchants;
pub(crate) mod offers;
pub(crate) mod reviews;
pub(crate) mod terminals;

use hunch_db::WallToSqlx;
use hunch_db::columns::{time, wall_time};
use hunch_kernel::{MemberId, MerchantId, Points, PurchaseId, TerminalId, WallTime};
use hunch_ledger::Done;
use hunch_log::ShardTx;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgExecutor, PgPool, Row};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::codes::CodeRow;
use crate::credit::Credit;
use crate::directory::{Known, Merchant, Terminal};
use crate::purchases::Purchase;
use crate::returns::ReturnRequest;

type Result<T> = std::result::Result<T, sqlx::Error>;

pub(crate) async fn directory(pool: &PgPool) -> Result<Known> {
    let mut known = Known { spellings: has_spellings(pool).await?, ..Known::default() };
    for row in
        sqlx::query("SELECT merchant, name, category, zone, currency FROM loyalty.merchant").fetch_all(pool).await?
    {
        let id = MerchantId(row.try_get(0)?);
        let merchant = Merchant {
            id,
            name: row.try_get(1)?,
            category: row.try_get(2)?,
            zone: row.try_get(3)?,
            currency: row.try_get(4)?,
            rules: Vec::new(),
        };
        known.merchants.insert(id, merchant);
    }
    let rules = sqlx::query(
        "SELECT merchant, rule, points_per_unit, per_cents, points_per_visit, points_max, valid_from, valid_to
         FROM loyalty.earn_rule ORDER BY valid_from",
    );
    for row in rules.fetch_all(pool).await? {
        if let Some(merchant) = known.merchants.get_mut(&MerchantId(row.try_get(0)?)) {
            merchant.rules.push(merchants::earn_rule(&row)?.1);
        }
    }
    let tills = "SELECT t.terminal, t.merchant, t.name, t.active AND m.closed_at IS NULL, t.watched_since IS NOT NULL
                 FROM loyalty.terminal t JOIN loyalty.merchant m USING (merchant)";
    for row in sqlx::query(tills).fetch_all(pool).await? {
        let terminal = Terminal {
            id: TerminalId(row.try_get(0)?),
            merchant: MerchantId(row.try_get(1)?),
            name: row.try_get(2)?,
            open: row.try_get(3)?,
            watched: row.try_get(4)?,
        };
        known.terminals.insert(terminal.id, terminal);
    }
    Ok(known)
}

pub(crate) async fn insert_code(pool: &PgPool, code: Uuid, member: MemberId, expires_at: WallTime) -> Result<()> {
    sqlx::query("INSERT INTO loyalty.member_code (code, member, expires_at) VALUES ($1, $2, $3)")
        .bind(code)
        .bind(member.0)
        .bind(expires_at.to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}

pub(crate) async fn code(pool: &PgPool, code: Uuid) -> Result<Option<CodeRow>> {
    let row = sqlx::query("SELECT member, expires_at, used_for FROM loyalty.member_code WHERE code = $1")
        .bind(code)
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(CodeRow {
        member: MemberId(row.try_get("member")?),
        expires_at: wall_time(&row, "expires_at")?,
        used_for: row.try_get::<Option<Uuid>, _>("used_for")?.map(PurchaseId),
    }))
}

/// What codes were used for. Codes of one member change under his shard's lock only, so the answer stands until
/// the transaction ends.
pub(crate) async fn code_uses(tx: &mut ShardTx, codes: &[Uuid]) -> Result<HashMap<Uuid, PurchaseId>> {
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT code, used_for FROM loyalty.member_code WHERE code = ANY($1) AND used_for IS NOT NULL")
            .bind(codes)
            .fetch_all(tx.conn())
            .await?;
    Ok(rows.into_iter().map(|(code, purchase)| (code, PurchaseId(purchase))).collect())
}

/// Marks codes as used for the purchases that were accepted with them; a repeat changes nothing.
pub(crate) async fn use_codes(tx: &mut ShardTx, used: &[(Uuid, &Purchase)]) -> Result<()> {
    if used.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE loyalty.member_code c SET used_at = to_timestamp(0) + u.at * interval '1 microsecond', used_by = u.terminal,
             used_for = u.purchase
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[]) AS u (code, terminal, purchase, at)
         WHERE c.code = u.code AND c.used_for IS NULL",
    )
    .bind(used.iter().map(|(code, _)| *code).collect::<Vec<_>>())
    .bind(used.iter().map(|(_, p)| p.terminal.0).collect::<Vec<_>>())
    .bind(used.iter().map(|(_, p)| p.id.0).collect::<Vec<_>>())
    .bind(used.iter().map(|(_, p)| p.received_wall.as_microsecond()).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Deletes codes that nobody used, a day after their end, and used ones after `used_before`, with refusals of before then.
pub(crate) async fn sweep_codes(
    pool: &PgPool,
    unused_before: WallTime,
    used_before: WallTime,
    most: i64,
) -> Result<u64> {
    let codes = sqlx::query(
        "DELETE FROM loyalty.member_code WHERE code IN (
             SELECT code FROM loyalty.member_code
             WHERE expires_at < $1 AND (used_for IS NULL OR expires_at < $2) ORDER BY expires_at LIMIT $3)",
    );
    let codes = codes.bind(unused_before.to_sqlx()).bind(used_before.to_sqlx()).bind(most).execute(pool).await?;
    let refused = sqlx::query(
        "DELETE FROM loyalty.refused_code WHERE id IN (SELECT id FROM loyalty.refused_code WHERE at < $1 ORDER BY id LIMIT $2)",
    );
    let refused = refused.bind(used_before.to_sqlx()).bind(most).execute(pool).await?;
    Ok(codes.rows_affected() + refused.rows_affected())
}

pub(crate) async fn log_refused_code(
    to: impl PgExecutor<'_>,
    terminal: TerminalId,
    reason: &str,
    code: Uuid,
    at: WallTime,
) -> Result<()> {
    sqlx::query("INSERT INTO loyalty.refused_code (terminal, reason, code, at) VALUES ($1, $2, $3, $4)")
        .bind(terminal.0)
        .bind(reason)
        .bind(code)
        .bind(at.to_sqlx())
        .execute(to)
        .await?;
    Ok(())
}

pub(crate) async fn insert_purchases(tx: &mut ShardTx, fresh: &[(i64, &Purchase, Credit)]) -> Result<()> {
    if fresh.is_empty() {
        return Ok(());
    }
    let ids = |f: fn(&Purchase) -> Uuid| fresh.iter().map(|(_, p, _)| f(p)).collect::<Vec<Uuid>>();
    let given = |credit: &Credit| credit.offers().map(|offer| offer.points.0).sum::<i64>();
    let (shard, now) = (tx.shard().0, tx.now());
    sqlx::query(
        "INSERT INTO loyalty.purchase (purchase, shard, seq, member, merchant, terminal, receipt, receipt_key, amount_cents, points, rule, offer_points, purchased_at, recorded_at, merchant_category)
         SELECT purchase, $1, seq, member, merchant, terminal, receipt, key, amount, points, rule, given, to_timestamp(0) + bought * interval '1 microsecond', $2, category
         FROM UNNEST($3::uuid[], $4::int8[], $5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::int8[], $11::int8[], $12::uuid[], $13::int8[], $14::int8[], $15::text[])
              AS t(purchase, seq, member, merchant, terminal, receipt, key, amount, points, rule, given, bought, category)",
    )
    .bind(shard)
    .bind(now.to_sqlx())
    .bind(ids(|p| p.id.0))
    .bind(fresh.iter().map(|(seq, _, _)| *seq).collect::<Vec<_>>())
    .bind(ids(|p| p.member.0))
    .bind(ids(|p| p.sale.merchant.0))
    .bind(ids(|p| p.terminal.0))
    .bind(fresh.iter().map(|(_, p, _)| p.receipt.as_str()).collect::<Vec<_>>())
    .bind(fresh.iter().map(|(_, p, _)| p.receipt_key.as_deref()).collect::<Vec<Option<&str>>>())
    .bind(fresh.iter().map(|(_, p, _)| p.sale.amount_cents).collect::<Vec<_>>())
    .bind(fresh.iter().map(|(_, _, credit)| credit.total().0).collect::<Vec<_>>())
    .bind(fresh.iter().map(|(_, _, credit)| credit.rule).collect::<Vec<Option<Uuid>>>())
    .bind(fresh.iter().map(|(_, _, credit)| given(credit)).collect::<Vec<_>>())
    .bind(fresh.iter().map(|(_, p, _)| p.sale.purchased_at.as_microsecond()).collect::<Vec<_>>())
    .bind(fresh.iter().map(|(_, p, _)| p.merchant_category.as_str()).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What a return needs to know of a purchase.
pub(crate) struct PurchaseRow {
    pub member: MemberId,
    pub merchant: MerchantId,
    /// Of the time when it was recorded.
    pub merchant_category: String,
    pub amount_cents: i64,
    pub points: Points,
    /// Part of the points that offers gave.
    pub offer_points: Points,
    pub purchased_at: Timestamp,
    /// Its points wait for a decision.
    pub waits: bool,
}

/// Whether receipts were recorded while each spelling of a number had an id of its own.
pub(crate) async fn has_spellings(pool: &PgPool) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM loyalty.receipt_spelling)").fetch_one(pool).await
}

/// The receipt of before with this very spelling, else the one whose number is equal.
pub(crate) async fn spelled(pool: &PgPool, as_sent: PurchaseId, named: PurchaseId) -> Result<Option<PurchaseId>> {
    let found: Option<Uuid> = sqlx::query_scalar(
        "SELECT purchase FROM loyalty.receipt_spelling WHERE purchase = $1 OR named = $2 ORDER BY purchase <> $1 LIMIT 1",
    )
    .bind(as_sent.0)
    .bind(named.0)
    .fetch_optional(pool)
    .await?;
    Ok(found.map(PurchaseId))
}

/// Which of these were recorded before.
pub(crate) async fn recorded(conn: &mut PgConnection, ids: &[PurchaseId]) -> Result<HashSet<PurchaseId>> {
    let rows: Vec<Uuid> = sqlx::query_scalar("SELECT purchase FROM loyalty.purchase WHERE purchase = ANY($1)")
        .bind(ids.iter().map(|id| id.0).collect::<Vec<Uuid>>())
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(PurchaseId).collect())
}

pub(crate) async fn purchases(conn: &mut PgConnection, ids: &[PurchaseId]) -> Result<HashMap<PurchaseId, PurchaseRow>> {
    let rows = sqlx::query(
        "SELECT p.purchase, p.member, p.merchant, coalesce(p.merchant_category, f.before, m.category), p.amount_cents, p.points,
                p.purchased_at, p.offer_points,
                EXISTS (SELECT 1 FROM loyalty.review r WHERE r.purchase = p.purchase AND r.decision IS NULL)
         FROM loyalty.purchase p JOIN loyalty.merchant m USING (merchant)
              LEFT JOIN LATERAL (SELECT before FROM loyalty.merchant_change c
                                 WHERE c.merchant = p.merchant AND c.field = 'category' ORDER BY c.change LIMIT 1) f
              ON p.merchant_category IS NULL
         WHERE p.purchase = ANY($1)",
    )
    .bind(ids.iter().map(|id| id.0).collect::<Vec<Uuid>>())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|r| {
            let row = PurchaseRow {
                member: MemberId(r.try_get(1)?),
                merchant: MerchantId(r.try_get(2)?),
                merchant_category: r.try_get(3)?,
                amount_cents: r.try_get(4)?,
                points: Points(r.try_get(5)?),
                purchased_at: time(r, 6)?,
                offer_points: Points(r.try_get(7)?),
                waits: r.try_get(8)?,
            };
            Ok((PurchaseId(r.try_get(0)?), row))
        })
        .collect()
}

pub(crate) async fn insert_return(tx: &mut ShardTx, request: &ReturnRequest, done: &Done) -> Result<()> {
    let (shard, now) = (tx.shard().0, tx.now());
    sqlx::query(
        "INSERT INTO loyalty.purchase_return (purchase, shard, seq, terminal, clawed_back, owed, returned_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(request.purchase.0)
    .bind(shard)
    .bind(done.seq)
    .bind(request.terminal.0)
    .bind(done.points.0)
    .bind(-done.balance.debt.0)
    .bind(now.to_sqlx())
    .execute(tx.conn())
    .await?;
    Ok(())
}
