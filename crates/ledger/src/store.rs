//! The ledger's SQL: loads a batch's state with `= ANY`, writes its effects with `UNNEST`.

use hunch_kernel::{HoldId, MemberId, Points};
use hunch_log::ShardTx;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, Row};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::account::{AccountCode, MemberBalance};
use crate::command::{Action, Command, Done, HoldOwner, Outcome};
use crate::decide::{Decided, Entry as Posting, HoldState, MemberState, State};
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
    load_answers(conn, &keys, &mut state).await?;
    load_members(conn, &members, &mut state).await?;
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

async fn load_answers(conn: &mut PgConnection, keys: &[Uuid], state: &mut State) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT key, request, seq, points, available, held, provisional, debt FROM ledger.command WHERE key = ANY($1)",
    )
    .bind(keys)
    .fetch_all(conn)
    .await?;
    for row in rows {
        let done = Done {
            seq: row.try_get(2)?,
            points: Points(row.try_get(3)?),
            balance: MemberBalance {
                available: Points(row.try_get(4)?),
                held: Points(row.try_get(5)?),
                provisional: Points(row.try_get(6)?),
                debt: Points(row.try_get(7)?),
            },
        };
        state.answers.insert(row.try_get(0)?, (row.try_get(1)?, done));
    }
    Ok(())
}

async fn load_members(conn: &mut PgConnection, members: &[Uuid], state: &mut State) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT member, available, held, provisional, debt, credited, consumed, voids_ahead
         FROM ledger.member_account WHERE member = ANY($1)",
    )
    .bind(members)
    .fetch_all(&mut *conn)
    .await?;
    let mut with_voids = Vec::new();
    for row in rows {
        let member: Uuid = row.try_get(0)?;
        if row.try_get::<i32, _>(7)? > 0 {
            with_voids.push(member);
        }
        let balance = MemberBalance {
            available: Points(row.try_get(1)?),
            held: Points(row.try_get(2)?),
            provisional: Points(row.try_get(3)?),
            debt: Points(row.try_get(4)?),
        };
        let found =
            MemberState { balance, credited: row.try_get(5)?, consumed: row.try_get(6)?, ..MemberState::default() };
        state.members.insert(MemberId(member), found);
    }
    if !with_voids.is_empty() {
        let rows = sqlx::query(
            "SELECT v.member, v.lot_lo, v.lot_hi, v.owed FROM ledger.lot_void v JOIN ledger.member_account a USING (member)
             WHERE v.member = ANY($1) AND v.lot_hi > a.consumed ORDER BY v.member, v.lot_lo",
        )
        .bind(&with_voids)
        .fetch_all(conn)
        .await?;
        for row in rows {
            if let Some(member) = state.members.get_mut(&MemberId(row.try_get(0)?)) {
                let range = LotRange { lo: row.try_get(1)?, hi: row.try_get(2)? };
                if row.try_get(3)? { member.owed.push(range) } else { member.voids.push(range) }
            }
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
        "SELECT coalesce(e.lot_lo, 0), coalesce(e.lot_hi, 0), coalesce(e.debit, 11::int2), coalesce(e.house, c.key), coalesce(e.source, c.key)
         FROM ledger.command c
         LEFT JOIN ledger.entry e ON e.shard = c.shard AND e.seq = c.seq AND e.debit IN (10, 11) AND e.lot_lo IS NOT NULL
         WHERE c.key = $1 AND (e.member = $2 OR e.member IS NULL AND c.points = 0)",
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

/// Writes everything the decided commands did. `false` when another transaction used one of the keys
/// since they were read: nothing may be committed then, and the same batch run again converges.
pub(crate) async fn write(
    tx: &mut ShardTx,
    before: &State,
    after: &State,
    commands: &[Command],
    decided: &[Decided],
) -> Result<bool, sqlx::Error> {
    let effects: Vec<(&Command, &Decided, Done)> = commands
        .iter()
        .zip(decided)
        .filter_map(|(c, d)| match &d.outcome {
            Outcome::Done(done) => Some((c, d, *done)),
            Outcome::Repeated(_) | Outcome::Refused(_) => None,
        })
        .collect();
    if effects.is_empty() {
        return Ok(true);
    }
    if !write_commands(tx, &effects).await? {
        return Ok(false);
    }
    write_entries(tx, &effects).await?;
    write_members(tx, before, after, &effects).await?;
    write_house(tx, &effects).await?;
    write_holds(tx, before, after).await?;
    write_payouts(tx, &effects).await?;
    write_returns(tx, &effects).await?;
    Ok(true)
}

async fn write_commands(tx: &mut ShardTx, effects: &[(&Command, &Decided, Done)]) -> Result<bool, sqlx::Error> {
    // In key order, so that two shards that meet the same keys wait for each other in one direction only.
    let mut sorted: Vec<&(&Command, &Decided, Done)> = effects.iter().collect();
    sorted.sort_by_key(|(c, _, _)| c.key);
    let keys: Vec<Uuid> = sorted.iter().map(|(c, _, _)| c.key).collect();
    let seqs: Vec<i64> = sorted.iter().map(|(_, _, d)| d.seq).collect();
    let requests: Vec<i64> = sorted.iter().map(|(c, _, _)| c.request).collect();
    let points: Vec<i64> = sorted.iter().map(|(_, _, d)| d.points.0).collect();
    let available: Vec<i64> = sorted.iter().map(|(_, _, d)| d.balance.available.0).collect();
    let held: Vec<i64> = sorted.iter().map(|(_, _, d)| d.balance.held.0).collect();
    let provisional: Vec<i64> = sorted.iter().map(|(_, _, d)| d.balance.provisional.0).collect();
    let debt: Vec<i64> = sorted.iter().map(|(_, _, d)| d.balance.debt.0).collect();
    let shard = tx.shard().0;
    let written = sqlx::query(
        "INSERT INTO ledger.command (key, shard, seq, request, points, available, held, provisional, debt)
         SELECT key, $2, seq, request, points, available, held, provisional, debt
         FROM UNNEST($1::uuid[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[])
              AS t(key, seq, request, points, available, held, provisional, debt)
         ON CONFLICT ON CONSTRAINT command_once DO NOTHING",
    )
    .bind(&keys)
    .bind(shard)
    .bind(&seqs)
    .bind(&requests)
    .bind(&points)
    .bind(&available)
    .bind(&held)
    .bind(&provisional)
    .bind(&debt)
    .execute(tx.conn())
    .await?;
    Ok(written.rows_affected() == keys.len() as u64)
}

async fn write_entries(tx: &mut ShardTx, effects: &[(&Command, &Decided, Done)]) -> Result<(), sqlx::Error> {
    let lines: Vec<(i64, i16, &Posting)> = effects
        .iter()
        .flat_map(|(_, d, done)| d.entries.iter().enumerate().map(move |(i, e)| (done.seq, i as i16, e)))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let (shard, at) = (tx.shard().0, tx.now());
    for (seq, line, entry) in &lines {
        let canonical = canonical_line(shard, *seq, *line, entry, at);
        tx.cover_entry(&canonical);
    }
    let seqs: Vec<i64> = lines.iter().map(|l| l.0).collect();
    let numbers: Vec<i16> = lines.iter().map(|l| l.1).collect();
    let members: Vec<Uuid> = lines.iter().map(|l| l.2.member.0).collect();
    let debits: Vec<i16> = lines.iter().map(|l| l.2.debit.code()).collect();
    let credits: Vec<i16> = lines.iter().map(|l| l.2.credit.code()).collect();
    let houses: Vec<Uuid> = lines.iter().map(|l| l.2.house).collect();
    let amounts: Vec<i64> = lines.iter().map(|l| l.2.amount.0).collect();
    let reasons: Vec<i16> = lines.iter().map(|l| l.2.reason.code()).collect();
    let sources: Vec<Uuid> = lines.iter().map(|l| l.2.source).collect();
    let lows: Vec<Option<i64>> = lines.iter().map(|l| l.2.lot.map(|r| r.lo)).collect();
    let highs: Vec<Option<i64>> = lines.iter().map(|l| l.2.lot.map(|r| r.hi)).collect();
    sqlx::query(
        "INSERT INTO ledger.entry (shard, seq, line, member, debit, credit, house, amount, reason, source, lot_lo, lot_hi, at)
         SELECT $1, t.*, $13 FROM UNNEST($2::int8[], $3::int2[], $4::uuid[], $5::int2[], $6::int2[], $7::uuid[],
                                        $8::int8[], $9::int2[], $10::uuid[], $11::int8[], $12::int8[]) AS t",
    )
    .bind(shard)
    .bind(&seqs)
    .bind(&numbers)
    .bind(&members)
    .bind(&debits)
    .bind(&credits)
    .bind(&houses)
    .bind(&amounts)
    .bind(&reasons)
    .bind(&sources)
    .bind(&lows)
    .bind(&highs)
    .bind(at.to_sqlx())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An entry as the hash chain covers it. The audit writes the same text in SQL.
fn canonical_line(shard: i16, seq: i64, line: i16, e: &Posting, at: jiff::Timestamp) -> String {
    let (lo, hi) = match e.lot {
        Some(range) => (range.lo.to_string(), range.hi.to_string()),
        None => (String::new(), String::new()),
    };
    format!(
        "{shard}|{seq}|{line}|{}|{}|{}|{}|{}|{}|{}|{lo}|{hi}|{}\n",
        e.member,
        e.debit.code(),
        e.credit.code(),
        e.house,
        e.amount,
        e.reason.code(),
        e.source,
        at.as_microsecond()
    )
}

async fn write_members(
    tx: &mut ShardTx,
    before: &State,
    after: &State,
    effects: &[(&Command, &Decided, Done)],
) -> Result<(), sqlx::Error> {
    let ids = unique(effects.iter().map(|(c, _, _)| c.member.0));
    let changed: Vec<(Uuid, &MemberState)> = ids
        .into_iter()
        .filter_map(|id| Some((id, after.members.get(&MemberId(id))?)))
        .filter(|(id, state)| before.members.get(&MemberId(*id)) != Some(*state))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let members: Vec<Uuid> = changed.iter().map(|(id, _)| *id).collect();
    let column = |f: fn(&MemberState) -> i64| changed.iter().map(|(_, s)| f(s)).collect::<Vec<i64>>();
    let voids: Vec<i32> = changed.iter().map(|(_, s)| (s.voids.len() + s.owed.len()) as i32).collect();
    sqlx::query(
        "UPDATE ledger.member_account a
         SET available = t.available, held = t.held, provisional = t.provisional, debt = t.debt,
             credited = t.credited, consumed = t.consumed, voids_ahead = t.voids_ahead
         FROM UNNEST($1::uuid[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int4[])
              AS t(member, available, held, provisional, debt, credited, consumed, voids_ahead)
         WHERE a.member = t.member",
    )
    .bind(&members)
    .bind(column(|s| s.balance.available.0))
    .bind(column(|s| s.balance.held.0))
    .bind(column(|s| s.balance.provisional.0))
    .bind(column(|s| s.balance.debt.0))
    .bind(column(|s| s.credited))
    .bind(column(|s| s.consumed))
    .bind(&voids)
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn write_house(tx: &mut ShardTx, effects: &[(&Command, &Decided, Done)]) -> Result<(), sqlx::Error> {
    let mut deltas: HashMap<(i16, Uuid), i64> = HashMap::new();
    for entry in effects.iter().flat_map(|(_, d, _)| &d.entries) {
        for (account, signed) in [(entry.debit, -entry.amount.0), (entry.credit, entry.amount.0)] {
            if account.is_house() {
                let house = if account == AccountCode::Issuance { entry.house } else { Uuid::nil() };
                *deltas.entry((account.code(), house)).or_default() += signed;
            }
        }
    }
    if deltas.is_empty() {
        return Ok(());
    }
    let first_seq = effects.iter().map(|(_, _, d)| d.seq).min().unwrap_or_default();
    let (mut accounts, mut houses, mut amounts) = (Vec::new(), Vec::new(), Vec::new());
    for ((account, house), delta) in deltas {
        accounts.push(account);
        houses.push(house);
        amounts.push(delta);
    }
    let shard = tx.shard().0;
    sqlx::query(
        "INSERT INTO ledger.house_delta (shard, seq, account, house, delta)
         SELECT $1, $2, t.* FROM UNNEST($3::int2[], $4::uuid[], $5::int8[]) AS t",
    )
    .bind(shard)
    .bind(first_seq)
    .bind(&accounts)
    .bind(&houses)
    .bind(&amounts)
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn write_holds(tx: &mut ShardTx, before: &State, after: &State) -> Result<(), sqlx::Error> {
    let changed: Vec<(&HoldId, &HoldState)> =
        after.holds.iter().filter(|(id, hold)| before.holds.get(id) != Some(*hold)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = changed.iter().map(|(id, _)| id.0).collect();
    let members: Vec<Uuid> = changed.iter().map(|(_, h)| h.member.0).collect();
    let amounts: Vec<i64> = changed.iter().map(|(_, h)| h.amount.0).collect();
    let captured: Vec<i64> = changed.iter().map(|(_, h)| h.captured.0).collect();
    let released: Vec<i64> = changed.iter().map(|(_, h)| h.released.0).collect();
    let open: Vec<bool> = changed.iter().map(|(_, h)| h.open).collect();
    let settled: Vec<bool> = changed.iter().map(|(_, h)| h.settled).collect();
    let owners: Vec<&str> = changed.iter().map(|(_, h)| h.owner.as_str()).collect();
    let (shard, at) = (tx.shard().0, tx.now());
    sqlx::query(
        "INSERT INTO ledger.hold AS h (hold, member, shard, amount, captured, released, open, settled, owner, placed_at, closed_at)
         SELECT hold, member, $9, amount, captured, released, open, settled, owner, $10, CASE WHEN open THEN NULL ELSE $10 END
         FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::int8[], $5::int8[], $6::bool[], $7::bool[], $8::text[])
              AS t(hold, member, amount, captured, released, open, settled, owner)
         ON CONFLICT ON CONSTRAINT hold_once DO UPDATE
         SET captured = excluded.captured, released = excluded.released, open = excluded.open,
             settled = excluded.settled, closed_at = coalesce(h.closed_at, excluded.closed_at)",
    )
    .bind(&ids)
    .bind(&members)
    .bind(&amounts)
    .bind(&captured)
    .bind(&released)
    .bind(&open)
    .bind(&settled)
    .bind(&owners)
    .bind(shard)
    .bind(at.to_sqlx())
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn write_payouts(tx: &mut ShardTx, effects: &[(&Command, &Decided, Done)]) -> Result<(), sqlx::Error> {
    let rows: Vec<(Uuid, Uuid, Uuid, i64, i64, i64)> = effects
        .iter()
        .filter_map(|(c, d, _)| d.payout.map(|(hold, p, lot)| (hold.0, c.key, c.member.0, p.0, lot.lo, lot.hi)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO ledger.payout (hold, key, member, points, lot_lo, lot_hi)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::int8[], $6::int8[])",
    )
    .bind(rows.iter().map(|r| r.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.1).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.2).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.3).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.4).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.5).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn write_returns(tx: &mut ShardTx, effects: &[(&Command, &Decided, Done)]) -> Result<(), sqlx::Error> {
    for (command, decided, _) in
        effects.iter().filter(|(_, d, _)| !(d.claims.is_empty() && d.voids.is_empty() && d.owed.is_empty()))
    {
        for (hold, part) in &decided.claims {
            sqlx::query("INSERT INTO ledger.claim (hold, key, lo, hi) VALUES ($1, $2, $3, $4)")
                .bind(hold.0)
                .bind(command.key)
                .bind(part.lo)
                .bind(part.hi)
                .execute(tx.conn())
                .await?;
        }
        let voids = decided.voids.iter().map(|v| (v, false));
        for (range, owed) in voids.chain(decided.owed.iter().map(|v| (v, true))) {
            sqlx::query("INSERT INTO ledger.lot_void (member, lot_lo, lot_hi, owed, key) VALUES ($1, $2, $3, $4, $5)")
                .bind(command.member.0)
                .bind(range.lo)
                .bind(range.hi)
                .bind(owed)
                .bind(command.key)
                .execute(tx.conn())
                .await?;
        }
    }
    Ok(())
}

fn unique(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut all: Vec<Uuid> = ids.collect();
    all.sort();
    all.dedup();
    all
}
