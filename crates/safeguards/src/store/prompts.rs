//! SQL of setbacks and prompts.

use hunch_kernel::MemberId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgExecutor, Row};
use std::collections::HashMap;
use uuid::Uuid;

use crate::permit::PromptPermit;
use crate::prompts::{History, Surface, WEEK};

type Result<T> = std::result::Result<T, sqlx::Error>;

fn ids(members: &[MemberId]) -> Vec<Uuid> {
    members.iter().map(|member| member.0).collect()
}

/// Waits until nobody else gives prompts to these members, sorted, and keeps others waiting until the transaction ends.
pub(crate) async fn lock(conn: &mut PgConnection, members: &[MemberId]) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended(member::text, 47)) FROM UNNEST($1::uuid[]) AS member")
        .bind(ids(members))
        .execute(conn)
        .await?;
    Ok(())
}

/// The history of each of these members, prompts of the last two weeks oldest first: what is sent or fetched now was given
/// in the second of them at the latest.
pub(crate) async fn histories(
    conn: &mut PgConnection,
    members: &[MemberId],
    now: Timestamp,
) -> Result<HashMap<MemberId, History>> {
    let since = now.checked_sub(WEEK * 2).unwrap_or(Timestamp::MIN);
    let rows = sqlx::query(
        "SELECT member, last_loss_at, last_rejection_at, NULL::uuid, NULL::timestamptz AS given
         FROM safeguards.setback WHERE member = ANY($1)
         UNION ALL
         SELECT member, NULL, NULL, cause, at FROM safeguards.prompt WHERE member = ANY($1) AND at > $2
         ORDER BY given, 4",
    )
    .bind(ids(members))
    .bind(since.to_sqlx())
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<MemberId, History> = members.iter().map(|member| (*member, History::default())).collect();
    for row in &rows {
        let time = |column: usize| {
            Ok::<_, sqlx::Error>(
                row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?.map(jiff_sqlx::Timestamp::to_jiff),
            )
        };
        let history = found.entry(MemberId(row.try_get(0)?)).or_default();
        match (row.try_get::<Option<Uuid>, _>(3)?, time(4)?) {
            (Some(cause), Some(at)) => history.prompts.push((cause, at)),
            _ => (history.last_loss, history.last_rejection) = (time(1)?, time(2)?),
        }
    }
    Ok(found)
}

/// The standing version of each of these members. Someone without a row has a new one.
pub(crate) async fn versions(conn: &mut PgConnection, members: &[MemberId]) -> Result<HashMap<MemberId, i64>> {
    let rows = sqlx::query("SELECT member, version FROM safeguards.standing WHERE member = ANY($1)")
        .bind(ids(members))
        .fetch_all(conn)
        .await?;
    let mut found: HashMap<MemberId, i64> = members.iter().map(|member| (*member, 1)).collect();
    for row in &rows {
        found.insert(MemberId(row.try_get(0)?), row.try_get(1)?);
    }
    Ok(found)
}

pub(crate) async fn insert(
    conn: &mut PgConnection,
    permits: &[PromptPermit],
    surface: Surface,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO safeguards.prompt (member, cause, standing, surface, at)
         SELECT p.*, $4, $5 FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[]) AS p
         ON CONFLICT ON CONSTRAINT prompt_once DO NOTHING",
    )
    .bind(permits.iter().map(|permit| permit.member.0).collect::<Vec<_>>())
    .bind(permits.iter().map(|permit| permit.cause).collect::<Vec<_>>())
    .bind(permits.iter().map(|permit| permit.standing_version).collect::<Vec<_>>())
    .bind(surface.as_str())
    .bind(now.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn note_losses(conn: &mut PgConnection, members: &[MemberId], now: Timestamp) -> Result<()> {
    note(
        conn,
        "INSERT INTO safeguards.setback AS s (member, last_loss_at) SELECT DISTINCT m, $2::timestamptz FROM UNNEST($1::uuid[]) AS m
         ON CONFLICT ON CONSTRAINT setback_once DO UPDATE SET last_loss_at = greatest(s.last_loss_at, excluded.last_loss_at)",
        members,
        now,
    )
    .await
}

pub(crate) async fn note_rejections(conn: &mut PgConnection, members: &[MemberId], now: Timestamp) -> Result<()> {
    note(
        conn,
        "INSERT INTO safeguards.setback AS s (member, last_rejection_at) SELECT DISTINCT m, $2::timestamptz FROM UNNEST($1::uuid[]) AS m
         ON CONFLICT ON CONSTRAINT setback_once DO UPDATE
         SET last_rejection_at = greatest(s.last_rejection_at, excluded.last_rejection_at)",
        members,
        now,
    )
    .await
}

async fn note(conn: &mut PgConnection, sql: &'static str, members: &[MemberId], now: Timestamp) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    sqlx::query(sql).bind(ids(members)).bind(now.to_sqlx()).execute(conn).await?;
    Ok(())
}

/// The standing's version and the history's two times, for the last look before the socket.
pub(crate) async fn last_look<'e>(
    executor: impl PgExecutor<'e>,
    member: MemberId,
) -> Result<(i64, Option<Timestamp>, Option<Timestamp>)> {
    let row = sqlx::query(
        "SELECT coalesce(s.version, 1), b.last_loss_at, b.last_rejection_at
         FROM (VALUES ($1::uuid)) AS asked (member)
         LEFT JOIN safeguards.standing s USING (member) LEFT JOIN safeguards.setback b USING (member)",
    )
    .bind(member.0)
    .fetch_one(executor)
    .await?;
    let time = |column: usize| {
        Ok::<_, sqlx::Error>(row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?.map(jiff_sqlx::Timestamp::to_jiff))
    };
    Ok((row.try_get(0)?, time(1)?, time(2)?))
}
