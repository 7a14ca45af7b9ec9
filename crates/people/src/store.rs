//! People's SQL.

use hunch_db::WallToSqlx;
use hunch_db::columns::wall_time;
use hunch_kernel::{MemberId, MerchantId, Shard, WallTime, shard_of};
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool, Row};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::{Member, SESSIONS_MAX};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Adds members and gives those that were not there.
pub(crate) async fn insert_members(
    conn: &mut PgConnection,
    ids: &[MemberId],
    zones: &[String],
    shards: u16,
    now: Timestamp,
) -> Result<Vec<MemberId>> {
    let new: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO people.member (member, shard, home_zone, joined_at)
         SELECT member, shard, zone, $4 FROM UNNEST($1::uuid[], $2::int2[], $3::text[]) AS t(member, shard, zone)
         ON CONFLICT ON CONSTRAINT member_once DO NOTHING RETURNING member",
    )
    .bind(ids.iter().map(|m| m.0).collect::<Vec<Uuid>>())
    .bind(ids.iter().map(|m| shard_of(*m, shards).0).collect::<Vec<i16>>())
    .bind(zones)
    .bind(now.to_sqlx())
    .fetch_all(conn)
    .await?;
    Ok(new.into_iter().map(MemberId).collect())
}

pub(crate) async fn home_zones(pool: &PgPool, members: &[MemberId]) -> Result<HashMap<MemberId, String>> {
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT member, home_zone FROM people.member WHERE member = ANY($1)")
            .bind(members.iter().map(|m| m.0).collect::<Vec<Uuid>>())
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().map(|(member, zone)| (MemberId(member), zone)).collect())
}

pub(crate) async fn count(pool: &PgPool) -> Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM people.member").fetch_one(pool).await
}

pub(crate) async fn members_among(pool: &PgPool, members: &[MemberId]) -> Result<HashSet<MemberId>> {
    let found: Vec<Uuid> = sqlx::query_scalar("SELECT member FROM people.member WHERE member = ANY($1)")
        .bind(members.iter().map(|m| m.0).collect::<Vec<Uuid>>())
        .fetch_all(pool)
        .await?;
    Ok(found.into_iter().map(MemberId).collect())
}

pub(crate) async fn member(pool: &PgPool, id: MemberId) -> Result<Option<Member>> {
    let row = sqlx::query("SELECT shard, home_zone, joined_at FROM people.member WHERE member = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await?;
    row.map(|r| {
        Ok(Member {
            id,
            shard: Shard(r.try_get(0)?),
            home_zone: r.try_get(1)?,
            joined_at: r.try_get::<jiff_sqlx::Timestamp, _>(2)?.to_jiff(),
        })
    })
    .transpose()
}

/// A code for each member instead of those that there were.
pub(crate) async fn replace_codes(
    conn: &mut PgConnection,
    digests: &[Vec<u8>],
    members: &[MemberId],
    reusable: bool,
    expires_at: WallTime,
) -> Result<()> {
    let members: Vec<Uuid> = members.iter().map(|m| m.0).collect();
    // One after the other for a member, so that two at once do not leave two codes.
    sqlx::query("SELECT 1 FROM people.member WHERE member = ANY($1) ORDER BY member FOR NO KEY UPDATE")
        .bind(&members)
        .execute(&mut *conn)
        .await?;
    sqlx::query("DELETE FROM people.sign_in_code WHERE member = ANY($1) AND used_at IS NULL")
        .bind(&members)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT INTO people.sign_in_code (code_hmac, member, reusable, expires_at)
         SELECT code, member, $3, $4 FROM UNNEST($1::bytea[], $2::uuid[]) AS t(code, member)",
    )
    .bind(digests)
    .bind(&members)
    .bind(reusable)
    .bind(expires_at.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn never_signed_in(pool: &PgPool, members: &[MemberId]) -> Result<Vec<MemberId>> {
    let never: Vec<Uuid> = sqlx::query_scalar(
        "SELECT member FROM UNNEST($1::uuid[]) AS asked(member)
         WHERE NOT EXISTS (SELECT 1 FROM people.session s WHERE s.member = asked.member)
           AND EXISTS (SELECT 1 FROM people.member m WHERE m.member = asked.member AND m.signed_in_at IS NULL)",
    )
    .bind(members.iter().map(|m| m.0).collect::<Vec<Uuid>>())
    .fetch_all(pool)
    .await?;
    Ok(never.into_iter().map(MemberId).collect())
}

pub(crate) async fn is_sandbox(pool: &PgPool) -> Result<bool> {
    sqlx::query_scalar("SELECT coalesce((SELECT sandbox FROM people.programme), false)").fetch_one(pool).await
}

/// Whether there is such a code, whatever became of it.
pub(crate) async fn has_code(pool: &PgPool, digest: &[u8]) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM people.sign_in_code WHERE code_hmac = $1)")
        .bind(digest)
        .fetch_one(pool)
        .await
}

/// Whose code it is, and whether it is a sandbox's. One statement, so that a code cannot be used twice at once.
pub(crate) async fn use_code(
    conn: &mut PgConnection,
    digest: &[u8],
    now: WallTime,
) -> Result<Option<(MemberId, bool)>> {
    let found: Option<(Uuid, bool)> = sqlx::query_as(
        "UPDATE people.sign_in_code SET used_at = $2
         WHERE code_hmac = $1 AND expires_at > $2
           AND (used_at IS NULL OR (reusable AND (SELECT sandbox FROM people.programme)))
         RETURNING member, reusable AND (SELECT sandbox FROM people.programme)",
    )
    .bind(digest)
    .bind(now.to_sqlx())
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|(member, sandbox)| (MemberId(member), sandbox)))
}

/// Adds a session and ends those of the member that were used longest ago, beyond [`SESSIONS_MAX`]. Gives those that ended.
pub(crate) async fn insert_session(
    conn: &mut PgConnection,
    token_sha256: &[u8],
    member: MemberId,
    expires_at: WallTime,
    now: WallTime,
) -> Result<Vec<Vec<u8>>> {
    // Also lets a member's sessions begin one after the other, so that two at once do not leave one too many.
    sqlx::query("UPDATE people.member SET signed_in_at = $2 WHERE member = $1")
        .bind(member.0)
        .bind(now.to_sqlx())
        .execute(&mut *conn)
        .await?;
    sqlx::query("INSERT INTO people.session (token_sha256, member, expires_at, used_at) VALUES ($1, $2, $3, $4)")
        .bind(token_sha256)
        .bind(member.0)
        .bind(expires_at.to_sqlx())
        .bind(now.to_sqlx())
        .execute(&mut *conn)
        .await?;
    sqlx::query_scalar(
        "UPDATE people.session SET revoked_at = $4 WHERE token_sha256 IN (
             SELECT token_sha256 FROM people.session WHERE member = $1 AND revoked_at IS NULL AND token_sha256 <> $2
             ORDER BY used_at DESC, expires_at DESC OFFSET $3) RETURNING token_sha256",
    )
    .bind(member.0)
    .bind(token_sha256)
    .bind(SESSIONS_MAX - 1)
    .bind(now.to_sqlx())
    .fetch_all(conn)
    .await
}

pub(crate) struct FoundSession {
    pub member: MemberId,
    pub expires_at: WallTime,
    pub used_at: WallTime,
}

/// A session that holds: neither ended, nor idle for too long.
pub(crate) async fn session(
    pool: &PgPool,
    token_sha256: &[u8],
    now: WallTime,
    idle_days: i64,
) -> Result<Option<FoundSession>> {
    let idle = now - SignedDuration::from_hours(24 * idle_days);
    let row = sqlx::query(
        "SELECT member, expires_at, used_at FROM people.session
         WHERE token_sha256 = $1 AND revoked_at IS NULL AND expires_at > $2 AND used_at > $3",
    )
    .bind(token_sha256)
    .bind(now.to_sqlx())
    .bind(idle.to_sqlx())
    .fetch_optional(pool)
    .await?;
    row.map(|r| {
        let (member, expires_at) = (MemberId(r.try_get(0)?), wall_time(&r, 1)?);
        Ok(FoundSession { member, expires_at, used_at: wall_time(&r, 2)? })
    })
    .transpose()
}

pub(crate) async fn session_used(pool: &PgPool, token_sha256: &[u8], now: WallTime) -> Result<()> {
    sqlx::query("UPDATE people.session SET used_at = greatest(used_at, $2) WHERE token_sha256 = $1")
        .bind(token_sha256)
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}

pub(crate) async fn revoke_all(conn: &mut PgConnection, member: MemberId, now: WallTime) -> Result<()> {
    sqlx::query("UPDATE people.session SET revoked_at = $2 WHERE member = $1 AND revoked_at IS NULL")
        .bind(member.0)
        .bind(now.to_sqlx())
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes codes and sessions that ended before `ended`, and sessions that nobody used since `idle`.
pub(crate) async fn sweep(pool: &PgPool, ended: WallTime, idle: WallTime, most: i64) -> Result<u64> {
    let codes = sqlx::query(
        "DELETE FROM people.sign_in_code WHERE code_hmac IN (
             SELECT code_hmac FROM people.sign_in_code WHERE expires_at <= $1 LIMIT $2)",
    );
    let codes = codes.bind(ended.to_sqlx()).bind(most).execute(pool).await?.rows_affected();
    let sessions = sqlx::query(
        "DELETE FROM people.session WHERE token_sha256 IN (
             SELECT token_sha256 FROM people.session WHERE used_at <= $1 LIMIT $2)",
    );
    Ok(codes + sessions.bind(idle.to_sqlx()).bind(most).execute(pool).await?.rows_affected())
}

pub(crate) async fn revoke_session(pool: &PgPool, token_sha256: &[u8], now: WallTime) -> Result<()> {
    sqlx::query("UPDATE people.session SET revoked_at = $2 WHERE token_sha256 = $1 AND revoked_at IS NULL")
        .bind(token_sha256)
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}

/// The pair's token; `fresh` becomes it if there is none yet.
pub(crate) async fn sponsor_token(pool: &PgPool, member: MemberId, merchant: MerchantId, fresh: Uuid) -> Result<Uuid> {
    sqlx::query(
        "INSERT INTO people.sponsor_token (member, merchant, token) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT sponsor_token_once DO NOTHING",
    )
    .bind(member.0)
    .bind(merchant.0)
    .bind(fresh)
    .execute(pool)
    .await?;
    sqlx::query_scalar("SELECT token FROM people.sponsor_token WHERE member = $1 AND merchant = $2")
        .bind(member.0)
        .bind(merchant.0)
        .fetch_one(pool)
        .await
}
