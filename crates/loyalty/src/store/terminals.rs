//! The SQL of tills and their sessions, and of closing them.

use hunch_db::WallToSqlx;
use hunch_db::columns::wall_time;
use hunch_kernel::{MerchantId, TerminalId, WallTime};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::Result;
use crate::terminals::TerminalSession;

/// `false` when the id is there already: then nothing was written.
pub(crate) async fn insert(
    pool: &PgPool,
    id: TerminalId,
    merchant: MerchantId,
    name: &str,
    secret_sha256: &[u8],
    by: &str,
    now: Timestamp,
) -> Result<bool> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let done = sqlx::query(
        "INSERT INTO loyalty.terminal (terminal, merchant, name, secret_sha256, made_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT ON CONSTRAINT terminal_once DO NOTHING",
    )
    .bind(id.0)
    .bind(merchant.0)
    .bind(name)
    .bind(secret_sha256)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// Whose a till is, and its name.
pub(crate) async fn content(pool: &PgPool, id: TerminalId) -> Result<Option<(MerchantId, String)>> {
    let row: Option<(Uuid, String)> = sqlx::query_as("SELECT merchant, name FROM loyalty.terminal WHERE terminal = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|(merchant, name)| (MerchantId(merchant), name)))
}

pub(crate) async fn secret(pool: &PgPool, id: TerminalId) -> Result<Option<(MerchantId, Vec<u8>)>> {
    let row = sqlx::query(
        "SELECT t.merchant, t.secret_sha256 FROM loyalty.terminal t JOIN loyalty.merchant m USING (merchant)
         WHERE t.terminal = $1 AND t.active AND m.closed_at IS NULL",
    )
    .bind(id.0)
    .fetch_optional(pool)
    .await?;
    row.map(|r| Ok((MerchantId(r.try_get(0)?), r.try_get(1)?))).transpose()
}

/// Adds a session and ends the oldest ones of the same till beyond `most`. Gives those that ended.
pub(crate) async fn insert_session(pool: &PgPool, s: &TerminalSession, most: i64) -> Result<Vec<Uuid>> {
    let mut tx = hunch_db::begin(pool).await?;
    // One at a time for each till, so that two at once do not leave one too many.
    sqlx::query("SELECT 1 FROM loyalty.terminal WHERE terminal = $1 FOR NO KEY UPDATE")
        .bind(s.terminal.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query("INSERT INTO loyalty.terminal_session (session, terminal, expires_at) VALUES ($1, $2, $3)")
        .bind(s.session)
        .bind(s.terminal.0)
        .bind(s.expires_at.to_sqlx())
        .execute(&mut *tx)
        .await?;
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "DELETE FROM loyalty.terminal_session WHERE session IN (
             SELECT session FROM loyalty.terminal_session WHERE terminal = $1 AND session <> $2
             ORDER BY expires_at DESC, session OFFSET $3) RETURNING session",
    )
    .bind(s.terminal.0)
    .bind(s.session)
    .bind(most - 1)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(ended)
}

/// Whose session it is and when it ends, if neither till nor merchant is closed.
pub(crate) async fn session(pool: &PgPool, id: Uuid) -> Result<Option<(TerminalId, MerchantId, WallTime)>> {
    let row = sqlx::query(
        "SELECT s.terminal, t.merchant, s.expires_at
         FROM loyalty.terminal_session s JOIN loyalty.terminal t USING (terminal) JOIN loyalty.merchant m USING (merchant)
         WHERE s.session = $1 AND t.active AND m.closed_at IS NULL",
    )
    .bind(id)
    .fetch_optional(pool)
    .await?;
    row.map(|r| Ok((TerminalId(r.try_get(0)?), MerchantId(r.try_get(1)?), wall_time(&r, 2)?))).transpose()
}

pub(crate) async fn delete_expired(pool: &PgPool, now: WallTime, most: i64) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM loyalty.terminal_session WHERE session IN (
             SELECT session FROM loyalty.terminal_session WHERE expires_at <= $1 LIMIT $2)",
    );
    Ok(done.bind(now.to_sqlx()).bind(most).execute(pool).await?.rows_affected())
}

/// Opens or closes a till; closing ends its sessions. False if there is none.
pub(crate) async fn set_terminal(pool: &PgPool, id: TerminalId, open: bool, why: &str, by: &str) -> Result<bool> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let found = sqlx::query(
        "UPDATE loyalty.terminal SET active = $2, closed_why = CASE WHEN $2 THEN NULL WHEN active THEN $3 ELSE closed_why END
         WHERE terminal = $1",
    )
    .bind(id.0)
    .bind(open)
    .bind(why)
    .execute(&mut *tx)
    .await?
    .rows_affected()
        > 0;
    if !open {
        sqlx::query("DELETE FROM loyalty.terminal_session WHERE terminal = $1").bind(id.0).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(found)
}

/// Opens or closes a merchant; closing ends the sessions of all its tills. False if there is none.
pub(crate) async fn set_merchant(
    pool: &PgPool,
    id: MerchantId,
    open: bool,
    why: &str,
    by: &str,
    now: Timestamp,
) -> Result<bool> {
    let mut tx = hunch_db::begin_as(pool, by).await?;
    let found = sqlx::query(
        "UPDATE loyalty.merchant SET closed_at = CASE WHEN NOT $2 THEN coalesce(closed_at, $4) END,
             closed_why = CASE WHEN NOT $2 THEN coalesce(closed_why, $3) END
         WHERE merchant = $1",
    )
    .bind(id.0)
    .bind(open)
    .bind(why)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?
    .rows_affected()
        > 0;
    if !open {
        sqlx::query(
            "DELETE FROM loyalty.terminal_session s USING loyalty.terminal t WHERE s.terminal = t.terminal AND t.merchant = $1",
        )
        .bind(id.0)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(found)
}
