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
    load_standing(conn, &keys, &members, &mut state).await?;
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
async fn load_standing(
    conn: &mut PgConnection,
    keys: &[Uuid],
    members: &[Uuid],
    state: &mut State,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT true AS answer, key, available, held, provisional, debt, seq, points, request, 0 AS voids
         FROM ledger.command WHERE key = ANY($1)
         UNION ALL
         SELECT false, member, available, held, provisional, debt, credited, consumed, 0, voids_ahead
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
        let found =
            MemberState { balance, credited: row.try_get(6)?, consumed: row.try_get(7)?, ..MemberState::default() };
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
    let effects: Vec<Effect> = commands
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
    if !write_postings(tx, before, after, &effects).await? {
        return Ok(false);
    }
    write_holds(tx, before, after).await?;
    write_payouts(tx, &effects).await?;
    write_returns(tx, &effects).await?;
    Ok(true)
}

type Effect<'a> = (&'a Command, &'a Decided, Done);

/// Commands, entries, accounts and house deltas, in one statement: what a statement costs beside its rows is most of
/// what a small group costs. `false` when a key was used meanwhile.
async fn write_postings(
    tx: &mut ShardTx,
    before: &State,
    after: &State,
    effects: &[Effect<'_>],
) -> Result<bool, sqlx::Error> {
    // In key order, so that two shards that meet the same keys wait for each other in one direction only.
    let mut sorted: Vec<&Effect> = effects.iter().collect();
    sorted.sort_by_key(|(c, _, _)| c.key);
    let answer = |f: fn(&Done) -> i64| sorted.iter().map(|(_, _, done)| f(done)).collect::<Vec<i64>>();
    let lines = lines(effects);
    let (shard, at) = (tx.shard().0, tx.now());
    for (seq, line, entry) in &lines {
        tx.cover_entry(&canonical_line(shard, *seq, *line, entry, at));
    }
    let code = |f: fn(&Posting) -> i16| lines.iter().map(|l| f(l.2)).collect::<Vec<i16>>();
    let id = |f: fn(&Posting) -> Uuid| lines.iter().map(|l| f(l.2)).collect::<Vec<Uuid>>();
    let lot = |f: fn(LotRange) -> i64| lines.iter().map(|l| l.2.lot.map(f)).collect::<Vec<Option<i64>>>();
    let accounts = changed_accounts(before, after, effects);
    let account = |f: fn(&MemberState) -> i64| accounts.iter().map(|(_, s)| f(s)).collect::<Vec<i64>>();
    let houses = house_deltas(effects);
    let first_seq = effects.iter().map(|(_, _, done)| done.seq).min().unwrap_or_default();
    // An account is there since its member joined; writing it as a row that conflicts needs no join and no plan.
    let written = sqlx::query(
        "WITH entries AS (
             INSERT INTO ledger.entry (shard, seq, line, member, debit, credit, house, amount, reason, source, lot_lo, lot_hi, at)
             SELECT $1, t.*, $2 FROM UNNEST($3::int8[], $4::int2[], $5::uuid[], $6::int2[], $7::int2[], $8::uuid[],
                                            $9::int8[], $10::int2[], $11::uuid[], $12::int8[], $13::int8[]) AS t
         ), accounts AS (
             INSERT INTO ledger.member_account (shard, member, available, held, provisional, debt, credited, consumed, voids_ahead)
             SELECT $1, t.* FROM UNNEST($14::uuid[], $15::int8[], $16::int8[], $17::int8[], $18::int8[], $19::int8[],
                                        $20::int8[], $21::int4[]) AS t
             ON CONFLICT ON CONSTRAINT member_account_once DO UPDATE
             SET available = excluded.available, held = excluded.held, provisional = excluded.provisional,
                 debt = excluded.debt, credited = excluded.credited, consumed = excluded.consumed,
                 voids_ahead = excluded.voids_ahead
         ), houses AS (
             INSERT INTO ledger.house_delta (shard, seq, account, house, delta)
             SELECT $1, $22, t.* FROM UNNEST($23::int2[], $24::uuid[], $25::int8[]) AS t
         )
         INSERT INTO ledger.command (shard, key, seq, request, points, available, held, provisional, debt)
         SELECT $1, t.* FROM UNNEST($26::uuid[], $27::int8[], $28::int8[], $29::int8[], $30::int8[], $31::int8[],
                                    $32::int8[], $33::int8[]) AS t
         ON CONFLICT ON CONSTRAINT command_once DO NOTHING",
    )
    .bind(shard)
    .bind(at.to_sqlx())
    .bind(lines.iter().map(|l| l.0).collect::<Vec<i64>>())
    .bind(lines.iter().map(|l| l.1).collect::<Vec<i16>>())
    .bind(id(|e| e.member.0))
    .bind(code(|e| e.debit.code()))
    .bind(code(|e| e.credit.code()))
    .bind(id(|e| e.house))
    .bind(lines.iter().map(|l| l.2.amount.0).collect::<Vec<i64>>())
    .bind(code(|e| e.reason.code()))
    .bind(id(|e| e.source))
    .bind(lot(|range| range.lo))
    .bind(lot(|range| range.hi))
    .bind(accounts.iter().map(|(id, _)| *id).collect::<Vec<Uuid>>())
    .bind(account(|s| s.balance.available.0))
    .bind(account(|s| s.balance.held.0))
    .bind(account(|s| s.balance.provisional.0))
    .bind(account(|s| s.balance.debt.0))
    .bind(account(|s| s.credited))
    .bind(account(|s| s.consumed))
    .bind(accounts.iter().map(|(_, s)| (s.voids.len() + s.owed.len()) as i32).collect::<Vec<i32>>())
    .bind(first_seq)
    .bind(houses.iter().map(|h| h.0).collect::<Vec<i16>>())
    .bind(houses.iter().map(|h| h.1).collect::<Vec<Uuid>>())
    .bind(houses.iter().map(|h| h.2).collect::<Vec<i64>>())
    .bind(sorted.iter().map(|(c, _, _)| c.key).collect::<Vec<Uuid>>())
    .bind(answer(|done| done.seq))
    .bind(sorted.iter().map(|(c, _, _)| c.request).collect::<Vec<i64>>())
    .bind(answer(|done| done.points.0))
    .bind(answer(|done| done.balance.available.0))
    .bind(answer(|done| done.balance.held.0))
    .bind(answer(|done| done.balance.provisional.0))
    .bind(answer(|done| done.balance.debt.0))
    .execute(tx.conn())
    .await?;
    Ok(written.rows_affected() == sorted.len() as u64)
}

/// (seq, line, entry) in the order of the chain.
fn lines<'a>(effects: &[Effect<'a>]) -> Vec<(i64, i16, &'a Posting)> {
    let of = |(_, decided, done): &Effect<'a>| {
        let seq = done.seq;
        decided.entries.iter().enumerate().map(move |(i, entry)| (seq, i as i16, entry))
    };
    effects.iter().flat_map(of).collect()
}

fn changed_accounts<'a>(before: &State, after: &'a State, effects: &[Effect<'_>]) -> Vec<(Uuid, &'a MemberState)> {
    let ids = unique(effects.iter().map(|(c, _, _)| c.member.0));
    ids.into_iter()
        .filter_map(|id| Some((id, after.members.get(&MemberId(id))?)))
        .filter(|(id, state)| before.members.get(&MemberId(*id)) != Some(*state))
        .collect()
}

/// (account, house, points) summed over everything that was decided.
fn house_deltas(effects: &[Effect<'_>]) -> Vec<(i16, Uuid, i64)> {
    let mut deltas: HashMap<(i16, Uuid), i64> = HashMap::new();
    for entry in effects.iter().flat_map(|(_, decided, _)| &decided.entries) {
        for (account, signed) in [(entry.debit, -entry.amount.0), (entry.credit, entry.amount.0)] {
            if account.is_house() {
                let house = if account == AccountCode::Issuance { entry.house } else { Uuid::nil() };
                *deltas.entry((account.code(), house)).or_default() += signed;
            }
        }
    }
    deltas.into_iter().map(|((account, house), delta)| (account, house, delta)).collect()
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

async fn write_payouts(tx: &mut ShardTx, effects: &[Effect<'_>]) -> Result<(), sqlx::Error> {
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

async fn write_returns(tx: &mut ShardTx, effects: &[Effect<'_>]) -> Result<(), sqlx::Error> {
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
