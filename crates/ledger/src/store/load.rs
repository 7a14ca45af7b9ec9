//! Reads what a batch of commands must know: first answers, accounts, holds, and for returns the way of their points.

use hunch_kernel::{HoldId, MemberId, Points};
use sqlx::{PgConnection, Row};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use super::unique;
use crate::account::{AccountCode, MemberBalance};
use crate::command::{Action, Command, Done, HoldOwner};
use crate::decide::{HoldState, MemberState, State};
use crate::lots::LotRange;
use crate::provenance::{Consumption, Provenance, Stake, winnings_of};

pub(crate) async fn load(conn: &mut PgConnection, last_seq: i64, commands: &[Command]) -> Result<State, sqlx::Error> {
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
        Action::Payout { hold, .. } => Some(hold.0),
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
    for command in commands {
        if let Action::Clawback { earned } = &command.action
            && let Some(found) = load_provenance(conn, command.member, *earned).await?
        {
            state.provenance.insert(*earned, found);
        }
    }
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
        "SELECT hold, member, amount, captured, released, open, settled FROM ledger.hold WHERE hold = ANY($1)",
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
            owner: HoldOwner::OrderDispatcher,
            fresh: false,
        };
        state.holds.insert(HoldId(row.try_get(0)?), hold);
    }
    Ok(())
}

async fn load_claims(conn: &mut PgConnection, holds: &[Uuid], state: &mut State) -> Result<(), sqlx::Error> {
    let rows = sqlx::query("SELECT hold, lo, hi FROM ledger.claim WHERE hold = ANY($1) ORDER BY hold, lo")
        .bind(holds)
        .fetch_all(conn)
        .await?;
    for row in rows {
        let claim = LotRange { lo: row.try_get(1)?, hi: row.try_get(2)? };
        state.claims.entry(HoldId(row.try_get(0)?)).or_default().push(claim);
    }
    Ok(())
}

/// Follows the lot of an earning through every stake it reached. Only returns read this.
async fn load_provenance(
    conn: &mut PgConnection,
    member: MemberId,
    earned: Uuid,
) -> Result<Option<Provenance>, sqlx::Error> {
    let Some(row) = sqlx::query(
        // The parts of one earning stand beside each other in the stream and have one funder.
        "SELECT coalesce(min(e.lot_lo), 0), coalesce(max(e.lot_hi), 0), coalesce(e.debit, 11::int2), coalesce(e.house, c.key), coalesce(e.source, c.key)
         FROM ledger.command c
         LEFT JOIN ledger.entry e ON e.shard = c.shard AND e.seq = c.seq AND e.debit IN (10, 11) AND e.lot_lo IS NOT NULL
         WHERE c.key = $1 AND (e.member = $2 OR e.member IS NULL AND c.points = 0)
         GROUP BY 3, 4, 5",
    )
    .bind(earned)
    .bind(member.0)
    .fetch_optional(&mut *conn)
    .await?
    else {
        return Ok(None);
    };
    let range = LotRange { lo: row.try_get(0)?, hi: row.try_get(1)? };
    let funder = AccountCode::from_code(row.try_get(2)?).unwrap_or(AccountCode::OperatorIssuance);
    let mut provenance = Provenance {
        earned: range,
        funder_account: funder,
        funder_house: row.try_get(3)?,
        source: row.try_get(4)?,
        consumptions: Vec::new(),
        stakes: HashMap::new(),
        voids: Vec::new(),
    };
    provenance.voids =
        sqlx::query("SELECT lot_lo, lot_hi FROM ledger.lot_void WHERE member = $1 AND NOT owed ORDER BY lot_lo")
            .bind(member.0)
            .fetch_all(&mut *conn)
            .await?
            .iter()
            .map(|r| Ok(LotRange { lo: r.try_get(0)?, hi: r.try_get(1)? }))
            .collect::<Result<_, sqlx::Error>>()?;
    let mut frontier = vec![range];
    let mut seen: HashSet<LotRange> = HashSet::new();
    while let Some(range) = frontier.pop() {
        for used in consumptions(conn, member, range).await? {
            if let Some(hold) = used.stake {
                if let Entry::Vacant(place) = provenance.stakes.entry(hold) {
                    place.insert(load_stake(conn, hold).await?);
                }
                for slice in range.overlap(used.range).without(&provenance.voids) {
                    frontier.extend(winnings_of(slice, used.range, &provenance.stakes[&hold], &provenance.voids));
                }
            }
            if seen.insert(used.range) {
                provenance.consumptions.push(used);
            }
        }
    }
    Ok(Some(provenance))
}

async fn consumptions(
    conn: &mut PgConnection,
    member: MemberId,
    range: LotRange,
) -> Result<Vec<Consumption>, sqlx::Error> {
    // Uses are disjoint and in order, so the index on lot_hi finds the first and the walk stops at lot_lo.
    let rows = sqlx::query(
        "SELECT lot_lo, lot_hi, credit, source FROM ledger.entry
         WHERE member = $1 AND lot_hi IS NOT NULL AND debit IN (1, 2) AND credit <> 1 AND lot_hi > $2 AND lot_lo < $3
         ORDER BY lot_hi",
    )
    .bind(member.0)
    .bind(range.lo)
    .bind(range.hi)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let stake =
                (row.try_get::<i16, _>(2)? == AccountCode::Exchange.code()).then_some(row.try_get::<Uuid, _>(3)?);
            Ok(Consumption { range: LotRange { lo: row.try_get(0)?, hi: row.try_get(1)? }, stake: stake.map(HoldId) })
        })
        .collect()
}

async fn load_stake(conn: &mut PgConnection, hold: HoldId) -> Result<Stake, sqlx::Error> {
    let Some(row) = sqlx::query("SELECT captured, settled FROM ledger.hold WHERE hold = $1")
        .bind(hold.0)
        .fetch_optional(&mut *conn)
        .await?
    else {
        return Ok(Stake::default());
    };
    let payouts =
        sqlx::query("SELECT lot_lo, lot_hi FROM ledger.payout WHERE hold = $1 AND points > 0 ORDER BY lot_lo")
            .bind(hold.0)
            .fetch_all(conn)
            .await?
            .iter()
            .map(|r| Ok(LotRange { lo: r.try_get(0)?, hi: r.try_get(1)? }))
            .collect::<Result<_, sqlx::Error>>()?;
    Ok(Stake { captured: Points(row.try_get(0)?), settled: row.try_get(1)?, payouts })
}
