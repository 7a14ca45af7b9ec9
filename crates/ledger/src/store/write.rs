//! Writes what a batch of commands did, a statement for each kind of row.

use hunch_kernel::{HoldId, MemberId};
use hunch_log::ShardTx;
use jiff_sqlx::ToSqlx;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use std::collections::HashMap;
use uuid::Uuid;

use super::{provisional, unique};
use crate::account::AccountCode;
use crate::command::{Command, Done, Outcome};
use crate::decide::{Decided, Entry as Posting, HoldState, MemberState, Reversed, State};
use crate::lots::LotRange;

/// Writes everything the decided commands did. `false` when another transaction used one of the keys
/// since they were read: this transaction is over then, and the same batch run again converges.
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
    write_reversals(tx, &effects).await?;
    write_returns(tx, &effects).await?;
    let ended: Vec<_> =
        effects.iter().filter_map(|(c, d, _)| d.provisional.map(|(earned, what)| (c.key, earned, what))).collect();
    provisional::write(tx, &ended).await?;
    Ok(true)
}

type Effect<'a> = (&'a Command, &'a Decided, Done);

/// Entries, accounts, house deltas and answers. One statement, since what a statement costs beside its rows is most of what
/// a small group costs. An account is there since its member joined; writing it as a row that conflicts needs no join
/// and no plan.
const WRITE_POSTINGS: &str = "WITH entries AS (
     INSERT INTO ledger.entry (shard, seq, line, member, debit, credit, house, amount, reason, source, lot_lo, lot_hi, prior_seq, at)
     SELECT $1, t.*, $2 FROM UNNEST($3::int8[], $4::int2[], $5::uuid[], $6::int2[], $7::int2[], $8::uuid[],
                                    $9::int8[], $10::int2[], $11::uuid[], $12::int8[], $13::int8[], $14::int8[]) AS t
 ), accounts AS (
     INSERT INTO ledger.member_account (shard, member, available, held, provisional, debt, credited, consumed, voids_ahead, last_seq)
     SELECT $1, t.* FROM UNNEST($15::uuid[], $16::int8[], $17::int8[], $18::int8[], $19::int8[], $20::int8[],
                                $21::int8[], $22::int4[], $23::int8[]) AS t
     ON CONFLICT ON CONSTRAINT member_account_once DO UPDATE
     SET available = excluded.available, held = excluded.held, provisional = excluded.provisional,
         debt = excluded.debt, credited = excluded.credited, consumed = excluded.consumed,
         voids_ahead = excluded.voids_ahead, last_seq = excluded.last_seq
 ), houses AS (
     INSERT INTO ledger.house_delta (shard, seq, account, house, delta)
     SELECT $1, $24, t.* FROM UNNEST($25::int2[], $26::uuid[], $27::int8[]) AS t
 )
 INSERT INTO ledger.command (shard, key, seq, request, points, available, held, provisional, debt)
 SELECT $1, t.* FROM UNNEST($28::uuid[], $29::int8[], $30::int8[], $31::int8[], $32::int8[], $33::int8[],
                            $34::int8[], $35::int8[]) AS t";

/// Runs [`WRITE_POSTINGS`] and covers the entries with the chain. `false` when a key was used meanwhile.
async fn write_postings(
    tx: &mut ShardTx,
    before: &State,
    after: &State,
    effects: &[Effect<'_>],
) -> Result<bool, sqlx::Error> {
    let lines = lines(effects);
    let (shard, at) = (tx.shard().0, tx.now());
    for line in &lines {
        tx.cover_entry(&canonical_line(shard, line, at));
    }
    // In key order, so that two shards that meet the same keys wait for each other in one direction only.
    let mut answers: Vec<&Effect> = effects.iter().collect();
    answers.sort_by_key(|(c, _, _)| c.key);
    let first_seq = effects.iter().map(|(_, _, done)| done.seq).min().unwrap_or_default();

    let statement = sqlx::query(WRITE_POSTINGS).bind(shard).bind(at.to_sqlx());
    let statement = bind_entries(statement, &lines);
    let statement = bind_accounts(statement, &changed_accounts(before, after, effects));
    let statement = bind_house_deltas(statement, first_seq, &house_deltas(effects));
    // Not ON CONFLICT: it looks for each key once more and writes a second record for it, and a race is rare.
    match bind_answers(statement, &answers).execute(tx.conn()).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(e)) if e.constraint() == Some("command_once") => Ok(false),
        Err(e) => Err(e),
    }
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// An entry with its place in the log.
struct Line<'a> {
    seq: i64,
    /// Order within the command.
    number: i16,
    /// The message of the member's entry before the command.
    prior_seq: i64,
    entry: &'a Posting,
}

/// `$3` to `$14`.
fn bind_entries<'q>(statement: Statement<'q>, lines: &[Line<'_>]) -> Statement<'q> {
    let code = |f: fn(&Posting) -> i16| lines.iter().map(|l| f(l.entry)).collect::<Vec<i16>>();
    let id = |f: fn(&Posting) -> Uuid| lines.iter().map(|l| f(l.entry)).collect::<Vec<Uuid>>();
    let lot = |f: fn(LotRange) -> i64| lines.iter().map(|l| l.entry.lot.map(f)).collect::<Vec<Option<i64>>>();
    statement
        .bind(lines.iter().map(|l| l.seq).collect::<Vec<i64>>())
        .bind(lines.iter().map(|l| l.number).collect::<Vec<i16>>())
        .bind(id(|e| e.member.0))
        .bind(code(|e| e.debit.code()))
        .bind(code(|e| e.credit.code()))
        .bind(id(|e| e.house))
        .bind(lines.iter().map(|l| l.entry.amount.0).collect::<Vec<i64>>())
        .bind(code(|e| e.reason.code()))
        .bind(id(|e| e.source))
        .bind(lot(|range| range.lo))
        .bind(lot(|range| range.hi))
        .bind(lines.iter().map(|l| l.prior_seq).collect::<Vec<i64>>())
}

/// `$15` to `$23`.
fn bind_accounts<'q>(statement: Statement<'q>, accounts: &[(Uuid, &MemberState)]) -> Statement<'q> {
    let account = |f: fn(&MemberState) -> i64| accounts.iter().map(|(_, s)| f(s)).collect::<Vec<i64>>();
    statement
        .bind(accounts.iter().map(|(id, _)| *id).collect::<Vec<Uuid>>())
        .bind(account(|s| s.balance.available.0))
        .bind(account(|s| s.balance.held.0))
        .bind(account(|s| s.balance.provisional.0))
        .bind(account(|s| s.balance.debt.0))
        .bind(account(|s| s.credited))
        .bind(account(|s| s.consumed))
        .bind(accounts.iter().map(|(_, s)| (s.voids.len() + s.owed.len()) as i32).collect::<Vec<i32>>())
        .bind(account(|s| s.last_seq))
}

/// `$24` to `$27`.
fn bind_house_deltas<'q>(statement: Statement<'q>, first_seq: i64, houses: &[(i16, Uuid, i64)]) -> Statement<'q> {
    statement
        .bind(first_seq)
        .bind(houses.iter().map(|h| h.0).collect::<Vec<i16>>())
        .bind(houses.iter().map(|h| h.1).collect::<Vec<Uuid>>())
        .bind(houses.iter().map(|h| h.2).collect::<Vec<i64>>())
}

/// `$28` to `$35`.
fn bind_answers<'q>(statement: Statement<'q>, answers: &[&Effect<'_>]) -> Statement<'q> {
    let answer = |f: fn(&Done) -> i64| answers.iter().map(|(_, _, done)| f(done)).collect::<Vec<i64>>();
    statement
        .bind(answers.iter().map(|(c, _, _)| c.key).collect::<Vec<Uuid>>())
        .bind(answer(|done| done.seq))
        .bind(answers.iter().map(|(c, _, _)| c.request).collect::<Vec<i64>>())
        .bind(answer(|done| done.points.0))
        .bind(answer(|done| done.balance.available.0))
        .bind(answer(|done| done.balance.held.0))
        .bind(answer(|done| done.balance.provisional.0))
        .bind(answer(|done| done.balance.debt.0))
}

/// In the order of the chain.
fn lines<'a>(effects: &[Effect<'a>]) -> Vec<Line<'a>> {
    let of = |(_, decided, done): &Effect<'a>| {
        let (seq, prior_seq) = (done.seq, decided.prior_seq);
        decided.entries.iter().enumerate().map(move |(i, entry)| Line { seq, number: i as i16, prior_seq, entry })
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

/// An entry as the hash chain covers it. The audit writes the same text in SQL. `prior_seq` is not in it: the audit
/// finds it again from the entries.
fn canonical_line(shard: i16, line: &Line<'_>, at: jiff::Timestamp) -> String {
    let Line { seq, number, entry, .. } = line;
    let (lo, hi) = match entry.lot {
        Some(range) => (range.lo.to_string(), range.hi.to_string()),
        None => (String::new(), String::new()),
    };
    format!(
        "{shard}|{seq}|{number}|{}|{}|{}|{}|{}|{}|{}|{lo}|{hi}|{}\n",
        entry.member,
        entry.debit.code(),
        entry.credit.code(),
        entry.house,
        entry.amount,
        entry.reason.code(),
        entry.source,
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

async fn write_reversals(tx: &mut ShardTx, effects: &[Effect<'_>]) -> Result<(), sqlx::Error> {
    let rows: Vec<(&Command, &Reversed)> =
        effects.iter().filter_map(|(c, d, _)| d.reversed.as_ref().map(|r| (*c, r))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let id = |f: fn(&(&Command, &Reversed)) -> Uuid| rows.iter().map(f).collect::<Vec<_>>();
    let points = |f: fn(&Reversed) -> i64| rows.iter().map(|(_, r)| f(r)).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO ledger.reversal (hold, key, member, lot_lo, lot_hi, voided, used, refunded, owed, lost)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::int8[], $6::int8[], $7::int8[],
                              $8::int8[], $9::int8[], $10::int8[])",
    )
    .bind(id(|(_, r)| r.hold.0))
    .bind(id(|(c, _)| c.key))
    .bind(id(|(c, _)| c.member.0))
    .bind(points(|r| r.lot.lo))
    .bind(points(|r| r.lot.hi))
    .bind(points(|r| r.voided.0))
    .bind(points(|r| r.used.0))
    .bind(points(|r| r.refunded.0))
    .bind(points(|r| r.owed.0))
    .bind(points(|r| r.lost.0))
    .execute(tx.conn())
    .await?;
    write_paybacks(tx, effects).await
}

async fn write_paybacks(tx: &mut ShardTx, effects: &[Effect<'_>]) -> Result<(), sqlx::Error> {
    let rows: Vec<(Uuid, i64, i64, Option<i64>, Uuid)> = effects
        .iter()
        .flat_map(|(c, d, _)| {
            d.paybacks.iter().map(|p| (c.member.0, p.lots.lo, p.lots.hi, p.by.map(|by| by.lo), c.key))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO ledger.payback (member, lot_lo, lot_hi, by_lo, key)
         SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::int8[], $4::int8[], $5::uuid[])",
    )
    .bind(rows.iter().map(|r| r.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.1).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.2).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.3).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.4).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Claims on stakes, and the ranges that were voided, or charged and left usable.
async fn write_returns(tx: &mut ShardTx, effects: &[Effect<'_>]) -> Result<(), sqlx::Error> {
    let claims: Vec<(Uuid, Uuid, LotRange, i64)> = effects
        .iter()
        .flat_map(|(c, d, _)| d.claims.iter().map(|(hold, claim)| (hold.0, c.key, claim.part, claim.charged.0)))
        .collect();
    if !claims.is_empty() {
        sqlx::query(
            "INSERT INTO ledger.claim (hold, key, lo, hi, charged)
             SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::int8[], $5::int8[])",
        )
        .bind(claims.iter().map(|c| c.0).collect::<Vec<_>>())
        .bind(claims.iter().map(|c| c.1).collect::<Vec<_>>())
        .bind(claims.iter().map(|c| c.2.lo).collect::<Vec<_>>())
        .bind(claims.iter().map(|c| c.2.hi).collect::<Vec<_>>())
        .bind(claims.iter().map(|c| c.3).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    }
    let ranges: Vec<(Uuid, LotRange, bool, Uuid)> = effects
        .iter()
        .flat_map(|(c, d, _)| {
            let voids = d.voids.iter().map(|range| (range, false));
            voids.chain(d.owed.iter().map(|range| (range, true))).map(|(range, owed)| (c.member.0, *range, owed, c.key))
        })
        .collect();
    if !ranges.is_empty() {
        sqlx::query(
            "INSERT INTO ledger.lot_void (member, lot_lo, lot_hi, owed, key)
             SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::int8[], $4::bool[], $5::uuid[])",
        )
        .bind(ranges.iter().map(|r| r.0).collect::<Vec<_>>())
        .bind(ranges.iter().map(|r| r.1.lo).collect::<Vec<_>>())
        .bind(ranges.iter().map(|r| r.1.hi).collect::<Vec<_>>())
        .bind(ranges.iter().map(|r| r.2).collect::<Vec<_>>())
        .bind(ranges.iter().map(|r| r.3).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}
