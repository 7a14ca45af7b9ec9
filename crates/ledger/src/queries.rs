//! What others may ask of the ledger. Reads only, save for opening a member's account.

use hunch_kernel::{MemberId, Points, shard_of};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool, Row};
use std::collections::HashMap;
use uuid::Uuid;

use crate::account::{AccountCode, MemberBalance};
use crate::command::Reason;

/// Opens the members' accounts with nothing in them. Safe to repeat.
///
/// # Errors
/// When the database fails.
pub async fn open_members(conn: &mut PgConnection, members: &[MemberId], shards: u16) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = members.iter().map(|m| m.0).collect();
    let places: Vec<i16> = members.iter().map(|m| shard_of(*m, shards).0).collect();
    sqlx::query(
        "INSERT INTO ledger.member_account (member, shard) SELECT * FROM UNNEST($1::uuid[], $2::int2[])
         ON CONFLICT ON CONSTRAINT member_account_once DO NOTHING",
    )
    .bind(&ids)
    .bind(&places)
    .execute(conn)
    .await?;
    Ok(())
}

/// The member's buckets, or `None` for someone the ledger does not know.
///
/// # Errors
/// When the database fails.
pub async fn balance(pool: &PgPool, member: MemberId) -> Result<Option<MemberBalance>, sqlx::Error> {
    let row = sqlx::query("SELECT available, held, provisional, debt FROM ledger.member_account WHERE member = $1")
        .bind(member.0)
        .fetch_optional(pool)
        .await?;
    row.map(|r| {
        Ok(MemberBalance {
            available: Points(r.try_get(0)?),
            held: Points(r.try_get(1)?),
            provisional: Points(r.try_get(2)?),
            debt: Points(r.try_get(3)?),
        })
    })
    .transpose()
}

/// What these members can spend now. Inside a shard's transaction nobody else changes it.
///
/// # Errors
/// When the database fails.
pub async fn available(
    conn: &mut PgConnection,
    members: &[MemberId],
) -> Result<HashMap<MemberId, Points>, sqlx::Error> {
    let ids: Vec<Uuid> = members.iter().map(|m| m.0).collect();
    let rows = sqlx::query("SELECT member, available FROM ledger.member_account WHERE member = ANY($1)")
        .bind(ids)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|r| Ok((MemberId(r.try_get(0)?), Points(r.try_get(1)?)))).collect()
}

/// Where a statement page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementCursor {
    pub seq: i64,
    pub line: i16,
}

/// One movement of a member's points, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementLine {
    pub cursor: StatementCursor,
    /// Into (positive) or out of (negative) what the member owns in all buckets together.
    pub change: Points,
    /// Change of the available bucket alone.
    pub available_change: Points,
    pub reason: Reason,
    /// Purchase, order or other cause.
    pub source: Uuid,
    /// The merchant behind it, if any.
    pub merchant: Option<Uuid>,
    pub at: Timestamp,
}

/// The newest `limit` lines before `before`, which is a cursor of this member's own statement. Each entry names the member's
/// message before it, so a page costs as much as it is long, and writing keeps no index of members.
///
/// # Errors
/// When the database fails.
pub async fn statement(
    pool: &PgPool,
    member: MemberId,
    before: Option<StatementCursor>,
    limit: i64,
) -> Result<Vec<StatementLine>, sqlx::Error> {
    let before = before.unwrap_or(StatementCursor { seq: i64::MAX, line: i16::MAX });
    // A message has at least one line, and the first may have none left before the cursor.
    let rows = sqlx::query(
        "WITH RECURSIVE message AS (
             SELECT shard, least(last_seq, $2) AS seq, $4 AS left_over FROM ledger.member_account WHERE member = $1
             UNION ALL
             SELECT m.shard, e.prior_seq, m.left_over - 1
             FROM message m
             CROSS JOIN LATERAL (SELECT prior_seq FROM ledger.entry
                                 WHERE shard = m.shard AND seq = m.seq AND member = $1 LIMIT 1) e
             WHERE m.left_over > 0 AND e.prior_seq > 0
         )
         SELECT seq, line, debit, credit, house, amount, reason, source, at
         FROM message JOIN ledger.entry USING (shard, seq)
         WHERE member = $1 AND (seq, line) < ($2, $3) ORDER BY seq DESC, line DESC LIMIT $4",
    )
    .bind(member.0)
    .bind(before.seq)
    .bind(before.line)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|r| {
            let (debit, credit): (i16, i16) = (r.try_get(2)?, r.try_get(3)?);
            let amount: i64 = r.try_get(5)?;
            let own = |account: i16| i64::from(account < 10);
            let available = |account: i16| i64::from(account == AccountCode::Available.code());
            let house: Uuid = r.try_get(4)?;
            let reason: i16 = r.try_get(6)?;
            Ok(StatementLine {
                cursor: StatementCursor { seq: r.try_get(0)?, line: r.try_get(1)? },
                change: Points(amount * (own(credit) - own(debit))),
                available_change: Points(amount * (available(credit) - available(debit))),
                reason: Reason::from_code(reason)
                    .ok_or_else(|| sqlx::Error::Decode(format!("unknown reason {reason}").into()))?,
                source: r.try_get(7)?,
                merchant: (!house.is_nil()).then_some(house),
                at: r.try_get::<jiff_sqlx::Timestamp, _>(8)?.to_jiff(),
            })
        })
        .collect()
}
