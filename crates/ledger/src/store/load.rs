//! Reads what a batch of commands must know: first answers, accounts, holds, and for returns the way of their points.

use hunch_kernel::{HoldId, MemberId, Points};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{journeys, provisional, unique};
use crate::account::MemberBalance;
use crate::apply::BatchError;
use crate::command::{Action, Command, Done, HoldOwner};
use crate::decide::{Claim, HoldState, MemberState, State};
use crate::lots::LotRange;

pub(crate) async fn load(conn: &mut PgConnection, last_seq: i64, commands: &[Command]) -> Result<State, BatchError> {
    let keys: Vec<Uuid> = commands.iter().map(|c| c.key).collect();
    let members: Vec<Uuid> = unique(commands.iter().map(|c| c.member.0));
    let holds: Vec<Uuid> = unique(commands.iter().filter_map(|c| match &c.action {
        Action::PlaceHold { hold, .. }
        | Action::CloseHold { hold, .. }
        | Action::Payout { hold, .. }
        | Action::ReversePayout { hold, .. } => Some(hold.0),
        _ => None,
    }));
    let payouts: Vec<Uuid> = unique(commands.iter().filter_map(|c| match &c.action {
        Action::Payout { hold, .. } | Action::ReversePayout { hold, .. } => Some(hold.0),
        _ => None,
    }));
    let mut state = State { last_seq, ..State::default() };
    load_answers_and_accounts(conn, &keys, &members, &mut state).await?;
    if !holds.is_empty() {
        load_holds(conn, &holds, &mut state).await?;
    }
    if !payouts.is_empty() {
        load_claims(conn, &payouts, &mut state).await?;
    }
    provisional::load(conn, commands, &mut state).await?;
    journeys::load(conn, commands, &mut state).await?;
    Ok(state)
}

/// First answers and accounts, in one question: every purchase pays for it.
async fn load_answers_and_accounts(
    conn: &mut PgConnection,
    keys: &[Uuid],
    members: &[Uuid],
    state: &mut State,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT true AS answer, key, available, held, provisional, debt, seq, points, request, 0 AS voids, 0::int8 AS last_seq
         FROM ledger.command WHERE key = ANY($1)
         UNION ALL
         SELECT false, member, available, held, provisional, debt, credited, consumed, 0, voids_ahead, last_seq
         FROM ledger.member_account WHERE member = ANY($2)",
    )
    .bind(keys)
    .bind(members)
    .fetch_all(&mut *conn)
    .await?;
    let mut with_voids = Vec::new();
    for row in rows {
        let id: Uuid = row.try_get(1)?;
        let balance = MemberBalance {
            available: Points(row.try_get(2)?),
            held: Points(row.try_get(3)?),
            provisional: Points(row.try_get(4)?),
            debt: Points(row.try_get(5)?),
        };
        if row.try_get(0)? {
            let done = Done { seq: row.try_get(6)?, points: Points(row.try_get(7)?), balance };
            state.answers.insert(id, (row.try_get(8)?, done));
            continue;
        }
        if row.try_get::<i32, _>(9)? > 0 {
            with_voids.push(id);
        }
        let found = MemberState {
            balance,
            credited: row.try_get(6)?,
            consumed: row.try_get(7)?,
            last_seq: row.try_get(10)?,
            ..MemberState::default()
        };
        state.members.insert(MemberId(id), found);
    }
    if with_voids.is_empty() { Ok(()) } else { load_voids(conn, &with_voids, state).await }
}

async fn load_voids(conn: &mut PgConnection, members: &[Uuid], state: &mut State) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT v.member, v.lot_lo, v.lot_hi, v.owed FROM ledger.lot_void v JOIN ledger.member_account a USING (member)
         WHERE v.member = ANY($1) AND v.lot_hi > a.consumed ORDER BY v.member, v.lot_lo",
    )
    .bind(members)
    .fetch_all(conn)
    .await?;
    for row in rows {
        if let Some(member) = state.members.get_mut(&MemberId(row.try_get(0)?)) {
            let range = LotRange { lo: row.try_get(1)?, hi: row.try_get(2)? };
            if row.try_get(3)? { member.owed.push(range) } else { member.voids.push(range) }
        }
    }
    Ok(())
}

async fn load_holds(conn: &mut PgConnection, holds: &[Uuid], state: &mut State) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT h.hold, h.member, h.amount, h.captured, h.released, h.open, h.settled, p.lot_lo, p.lot_hi
         FROM ledger.hold h
         LEFT JOIN LATERAL (SELECT lot_lo, lot_hi FROM ledger.payout WHERE hold = h.hold
                            ORDER BY lot_lo DESC, lot_hi DESC LIMIT 1) newest ON h.settled
         LEFT JOIN LATERAL (SELECT newest.lot_lo, newest.lot_hi WHERE newest.lot_lo < newest.lot_hi AND NOT EXISTS (
                            SELECT FROM ledger.reversal r WHERE r.hold = h.hold AND r.lot_lo = newest.lot_lo)) p ON true
         WHERE h.hold = ANY($1)",
    )
    .bind(holds)
    .fetch_all(conn)
    .await?;
    for row in rows {
        let hold = HoldState {
            member: MemberId(row.try_get(1)?),
            amount: Points(row.try_get(2)?),
            captured: Points(row.try_get(3)?),
            released: Points(row.try_get(4)?),
            open: row.try_get(5)?,
            settled: row.try_get(6)?,
            paid: match (row.try_get(7)?, row.try_get(8)?) {
                (Some(lo), Some(hi)) => Some(LotRange { lo, hi }),
                _ => None,
            },
            owner: HoldOwner::OrderDispatcher,
            fresh: false,
        };
        state.holds.insert(HoldId(row.try_get(0)?), hold);
    }
    Ok(())
}

async fn load_claims(conn: &mut PgConnection, holds: &[Uuid], state: &mut State) -> Result<(), sqlx::Error> {
    let claims =
        "SELECT hold, lo, hi, coalesce(charged, hi - lo) FROM ledger.claim WHERE hold = ANY($1) ORDER BY hold, lo";
    for row in sqlx::query(claims).bind(holds).fetch_all(conn).await? {
        let part = LotRange { lo: row.try_get(1)?, hi: row.try_get(2)? };
        let claim = Claim { part, charged: Points(row.try_get(3)?) };
        state.claims.entry(HoldId(row.try_get(0)?)).or_default().push(claim);
    }
    Ok(())
}
