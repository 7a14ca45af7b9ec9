//! What was earned provisionally, and what became of it.

use hunch_kernel::{MemberId, Points};
use hunch_log::ShardTx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::unique;
use crate::account::AccountCode;
use crate::command::{Action, Command};
use crate::decide::{Provisional, ProvisionalEnd, State};
use crate::lots::LotRange;

/// For the commands that end provisional points or return what earned them.
pub(super) async fn load(conn: &mut PgConnection, commands: &[Command], state: &mut State) -> Result<(), sqlx::Error> {
    let asked: Vec<Uuid> = unique(commands.iter().filter_map(|command| match &command.action {
        Action::Mature { earned } | Action::TakeBack { earned } | Action::Clawback { earned } => Some(*earned),
        _ => None,
    }));
    if asked.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        // The parts of one earning have one funder.
        "SELECT c.key, e.member, sum(e.amount)::int8, e.debit, e.house, e.source, p.outcome, p.lot_lo, p.lot_hi
         FROM ledger.command c
         JOIN ledger.entry e ON e.shard = c.shard AND e.seq = c.seq AND e.debit IN (10, 11) AND e.credit = 3
         LEFT JOIN ledger.provisional_end p ON p.earned = c.key
         WHERE c.key = ANY($1) GROUP BY 1, 2, 4, 5, 6, 7, 8, 9",
    );
    for row in rows.bind(asked).fetch_all(conn).await? {
        state.provisional.insert(row.try_get(0)?, read(&row)?);
    }
    Ok(())
}

fn read(row: &PgRow) -> Result<Provisional, sqlx::Error> {
    let outcome: Option<String> = row.try_get(6)?;
    let ended = match outcome.as_deref() {
        None => None,
        Some("matured") => Some(ProvisionalEnd::Matured(LotRange { lo: row.try_get(7)?, hi: row.try_get(8)? })),
        Some("taken_back") => Some(ProvisionalEnd::TakenBack),
        Some("returned") => Some(ProvisionalEnd::Returned),
        Some(other) => return Err(sqlx::Error::Decode(format!("unknown end {other} of provisional points").into())),
    };
    Ok(Provisional {
        member: MemberId(row.try_get(1)?),
        points: Points(row.try_get(2)?),
        funder_account: AccountCode::from_code(row.try_get(3)?).unwrap_or(AccountCode::OperatorIssuance),
        funder_house: row.try_get(4)?,
        source: row.try_get(5)?,
        ended,
    })
}

/// Writes what ended, each as (key of its command, key of its earning, what it was).
pub(super) async fn write(tx: &mut ShardTx, ended: &[(Uuid, Uuid, Provisional)]) -> Result<(), sqlx::Error> {
    let ended: Vec<(Uuid, Uuid, Provisional, ProvisionalEnd)> =
        ended.iter().filter_map(|(key, earned, p)| Some((*key, *earned, *p, p.ended?))).collect();
    if ended.is_empty() {
        return Ok(());
    }
    let lot = |f: fn(LotRange) -> i64| ended.iter().map(|e| e.3.lot().map(f)).collect::<Vec<Option<i64>>>();
    sqlx::query(
        "INSERT INTO ledger.provisional_end (earned, key, member, points, outcome, lot_lo, lot_hi)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::text[], $6::int8[], $7::int8[])",
    )
    .bind(ended.iter().map(|e| e.1).collect::<Vec<_>>())
    .bind(ended.iter().map(|e| e.0).collect::<Vec<_>>())
    .bind(ended.iter().map(|e| e.2.member.0).collect::<Vec<_>>())
    .bind(ended.iter().map(|e| e.2.points.0).collect::<Vec<_>>())
    .bind(ended.iter().map(|e| e.3.as_str()).collect::<Vec<_>>())
    .bind(lot(|range| range.lo))
    .bind(lot(|range| range.hi))
    .execute(tx.conn())
    .await?;
    Ok(())
}
