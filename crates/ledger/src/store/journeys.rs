//! Reads what became of points that were used: for a return from the purchase's lot on, for a reversal from the used part
//! of the payout's lot on. Level by level for all commands of a batch together, and each position once.

use hunch_kernel::{HoldId, MemberId, Points, seeded_bug};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::account::AccountCode;
use crate::apply::BatchError;
use crate::command::{Action, Command, Reason};
use crate::decide::{Provisional, ProvisionalEnd, State};
use crate::lots::LotRange;
use crate::provenance::{Consumption, Journey, PaidLot, Payback, Provenance, Use, Visited, pair};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Winnings of winnings of winnings: nobody's go through more hands.
const WALK_LEVELS_MAX: usize = 1_000;

/// Fills in the state's journeys, for commands that follow points.
pub(super) async fn load(
    conn: &mut PgConnection,
    commands: &[Command],
    state: &mut State,
) -> std::result::Result<(), BatchError> {
    let mut earned = load_earned(conn, commands).await?;
    for command in commands {
        if let Action::Clawback { earned: key } = &command.action
            && let Some(provisional) = state.provisional.get(key)
        {
            earned.insert((provisional.member, *key), after_maturing(provisional));
        }
    }
    let roots: Vec<(MemberId, LotRange)> = commands
        .iter()
        .filter_map(|command| match &command.action {
            Action::Clawback { earned: key } => Some((command.member, earned.get(&(command.member, *key))?.earned)),
            Action::ReversePayout { hold, .. } => Some((command.member, used_part(state, command.member, *hold)?)),
            _ => None,
        })
        .filter(|(_, range)| !range.is_empty())
        .collect();
    let journeys = if roots.is_empty() { HashMap::new() } else { walk(conn, roots).await? };
    for command in commands {
        let journey = journeys.get(&command.member).cloned().unwrap_or_default();
        match &command.action {
            Action::Clawback { earned: key } => {
                if let Some(found) = earned.get(&(command.member, *key)) {
                    state.provenance.insert(*key, Provenance { journey, ..found.clone() });
                }
            }
            Action::ReversePayout { hold, .. } => {
                state.journeys.insert(*hold, journey);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Points that were provisional are the lot that they matured to. What ended otherwise left nothing to take back.
fn after_maturing(provisional: &Provisional) -> Provenance {
    Provenance {
        earned: provisional.ended.and_then(ProvisionalEnd::lot).unwrap_or(LotRange { lo: 0, hi: 0 }),
        funder_account: provisional.funder_account,
        funder_house: provisional.funder_house,
        source: provisional.source,
        journey: Journey::default(),
    }
}

/// The part of the payout that counts now which was used already. Mostly there is none.
fn used_part(state: &State, member: MemberId, hold: HoldId) -> Option<LotRange> {
    let lot = state.holds.get(&hold)?.paid?;
    let consumed = state.members.get(&member)?.consumed;
    Some(LotRange { lo: lot.lo, hi: lot.hi.min(consumed) })
}

/// What the returned purchases had earned, without the way of the points.
async fn load_earned(conn: &mut PgConnection, commands: &[Command]) -> Result<HashMap<(MemberId, Uuid), Provenance>> {
    let asked: Vec<(Uuid, Uuid)> = commands
        .iter()
        .filter_map(|command| match &command.action {
            Action::Clawback { earned } => Some((*earned, command.member.0)),
            _ => None,
        })
        .collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        // The parts of one earning stand beside each other in the stream and have one funder.
        "SELECT asked.member, asked.key, coalesce(min(e.lot_lo), 0), coalesce(max(e.lot_hi), 0), coalesce(e.debit, 11::int2),
                coalesce(e.house, c.key), coalesce(e.source, c.key)
         FROM UNNEST($1::uuid[], $2::uuid[]) AS asked(key, member)
         JOIN ledger.command c ON c.key = asked.key
         LEFT JOIN ledger.entry e ON e.shard = c.shard AND e.seq = c.seq AND e.debit IN (10, 11) AND e.lot_lo IS NOT NULL
         WHERE e.member = asked.member OR e.member IS NULL AND c.points = 0
         GROUP BY 1, 2, 5, 6, 7",
    )
    .bind(asked.iter().map(|a| a.0).collect::<Vec<_>>())
    .bind(asked.iter().map(|a| a.1).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let provenance = Provenance {
                earned: LotRange { lo: row.try_get(2)?, hi: row.try_get(3)? },
                funder_account: AccountCode::from_code(row.try_get(4)?).unwrap_or(AccountCode::OperatorIssuance),
                funder_house: row.try_get(5)?,
                source: row.try_get(6)?,
                journey: Journey::default(),
            };
            Ok(((MemberId(row.try_get(0)?), row.try_get(1)?), provenance))
        })
        .collect()
}

/// One walk through the books for all roots.
async fn walk(
    conn: &mut PgConnection,
    roots: Vec<(MemberId, LotRange)>,
) -> std::result::Result<HashMap<MemberId, Journey>, BatchError> {
    let mut journeys: HashMap<MemberId, Journey> = HashMap::new();
    for (member, _) in &roots {
        journeys.entry(*member).or_default();
    }
    load_voids(conn, &mut journeys).await?;
    load_paybacks(conn, &mut journeys).await?;
    let mut visited: HashMap<MemberId, Visited> = HashMap::new();
    let mut frontier = roots;
    for _ in 0..WALK_LEVELS_MAX {
        let mut fresh = Vec::new();
        for (member, range) in frontier {
            let entered = visited.entry(member).or_default().enter(range);
            let entered = entered.map_err(|_| BatchError::WalkTooLong { member })?;
            fresh.extend(entered.into_iter().map(|range| (member, range)));
        }
        if fresh.is_empty() {
            return Ok(journeys);
        }
        load_uses(conn, &fresh, &mut journeys).await?;
        load_stakes(conn, &mut journeys).await?;
        frontier = fresh
            .iter()
            .flat_map(|(member, range)| journeys[member].next(*range).into_iter().map(|next| (*member, next)))
            .collect();
    }
    let member = frontier.first().map_or(MemberId(Uuid::nil()), |(member, _)| *member);
    Err(BatchError::WalkTooLong { member })
}

async fn load_voids(conn: &mut PgConnection, journeys: &mut HashMap<MemberId, Journey>) -> Result<()> {
    let members: Vec<Uuid> = journeys.keys().map(|m| m.0).collect();
    let rows = sqlx::query(
        "SELECT member, lot_lo, lot_hi FROM ledger.lot_void WHERE member = ANY($1) AND NOT owed ORDER BY member, lot_lo",
    );
    for row in rows.bind(members).fetch_all(conn).await? {
        let journey = journeys.entry(MemberId(row.try_get(0)?)).or_default();
        journey.voids.push(LotRange { lo: row.try_get(1)?, hi: row.try_get(2)? });
    }
    Ok(())
}

async fn load_paybacks(conn: &mut PgConnection, journeys: &mut HashMap<MemberId, Journey>) -> Result<()> {
    let members: Vec<Uuid> = journeys.keys().map(|m| m.0).collect();
    let rows = sqlx::query(
        "SELECT member, lot_lo, lot_hi, by_lo FROM ledger.payback WHERE member = ANY($1) ORDER BY member, lot_lo",
    );
    for row in rows.bind(members).fetch_all(conn).await? {
        let lots = LotRange { lo: row.try_get(1)?, hi: row.try_get(2)? };
        let by = row.try_get::<Option<i64>, _>(3)?.map(|lo| LotRange { lo, hi: lo + lots.len() });
        journeys.entry(MemberId(row.try_get(0)?)).or_default().paybacks.push(Payback { lots, by });
    }
    Ok(())
}

/// The uses that overlap these ranges. A member's uses are disjoint and in order, so the index finds the first, and the
/// last is the first that ends where the range ends or later.
async fn load_uses(
    conn: &mut PgConnection,
    ranges: &[(MemberId, LotRange)],
    journeys: &mut HashMap<MemberId, Journey>,
) -> Result<()> {
    let rows = sqlx::query(
        "SELECT DISTINCT e.member, e.lot_lo, e.lot_hi, e.debit, e.credit, e.reason, e.source
         FROM UNNEST($1::uuid[], $2::int8[], $3::int8[]) AS asked(member, lo, hi)
         CROSS JOIN LATERAL (SELECT min(lot_hi) AS hi FROM ledger.entry
                             WHERE member = asked.member AND lot_hi >= asked.hi
                             AND lot_hi IS NOT NULL AND debit IN (1, 2) AND credit <> 1) last
         JOIN ledger.entry e ON e.member = asked.member AND e.lot_hi > asked.lo
              AND e.lot_hi <= coalesce(last.hi, 9223372036854775807) AND e.lot_lo < asked.hi
              AND e.lot_hi IS NOT NULL AND e.debit IN (1, 2) AND e.credit <> 1",
    )
    .bind(ranges.iter().map(|(m, _)| m.0).collect::<Vec<_>>())
    .bind(ranges.iter().map(|(_, r)| r.lo).collect::<Vec<_>>())
    .bind(ranges.iter().map(|(_, r)| r.hi).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    for row in rows {
        let (by, range) = (use_of(&row)?, LotRange { lo: row.try_get(1)?, hi: row.try_get(2)? });
        journeys.entry(MemberId(row.try_get(0)?)).or_default().uses.push(Consumption { range, by });
    }
    for journey in journeys.values_mut() {
        journey.uses.sort_by_key(|used| used.range);
        journey.uses.dedup();
    }
    Ok(())
}

/// Only a captured stake leaves the bucket of held points. What goes to the exchange from the available ones is a reversal,
/// whatever reason an earlier programme gave it.
fn use_of(row: &PgRow) -> Result<Use> {
    let (debit, credit): (i16, i16) = (row.try_get(3)?, row.try_get(4)?);
    let source = HoldId(row.try_get(6)?);
    Ok(match credit == AccountCode::Exchange.code() {
        true if debit == AccountCode::Held.code() || seeded_bug("reversal-as-stake") => Use::Stake(source),
        true => Use::Reversal(source),
        false => Use::Other,
    })
}

/// The stakes that were met and are not known yet.
async fn load_stakes(conn: &mut PgConnection, journeys: &mut HashMap<MemberId, Journey>) -> Result<()> {
    let mut owners: HashMap<HoldId, MemberId> = HashMap::new();
    for (member, journey) in journeys.iter() {
        let holds = journey.uses.iter().filter_map(|used| match used.by {
            Use::Stake(hold) | Use::Reversal(hold) => Some(hold),
            Use::Other => None,
        });
        owners.extend(holds.filter(|hold| !journey.stakes.contains_key(hold)).map(|hold| (hold, *member)));
    }
    if owners.is_empty() {
        return Ok(());
    }
    let holds: Vec<Uuid> = owners.keys().map(|hold| hold.0).collect();
    let rows = sqlx::query(
        "SELECT h.hold, h.captured, p.lot_lo, p.lot_hi, c.seq, r.hold IS NOT NULL
         FROM ledger.hold h
         LEFT JOIN ledger.payout p ON p.hold = h.hold
         LEFT JOIN ledger.command c ON c.key = p.key
         LEFT JOIN ledger.reversal r ON r.hold = p.hold AND r.lot_lo = p.lot_lo AND p.points > 0
         WHERE h.hold = ANY($1) ORDER BY h.hold, p.lot_lo, p.lot_hi",
    )
    .bind(&holds)
    .fetch_all(&mut *conn)
    .await?;
    let mut paid: HashMap<HoldId, Vec<Paid>> = HashMap::new();
    for row in rows {
        let hold = HoldId(row.try_get(0)?);
        let journey = journeys.entry(owners[&hold]).or_default();
        journey.stakes.entry(hold).or_default().captured = Points(row.try_get(1)?);
        if let (Some(lo), Some(hi)) = (row.try_get(2)?, row.try_get(3)?) {
            let payout = Paid { lot: LotRange { lo, hi }, seq: row.try_get(4)?, reversed: row.try_get(5)? };
            paid.entry(hold).or_default().push(payout);
        }
    }
    for (hold, payouts) in paid {
        let journey = journeys.entry(owners[&hold]).or_default();
        if payouts.iter().rev().skip(1).any(|payout| !payout.lot.is_empty() && !payout.reversed) {
            read_as_earlier_programmes_wrote(conn, owners[&hold], hold, &payouts, journey).await?;
        }
        let last = payouts.len() - 1;
        let lots = payouts.iter().enumerate().filter(|(_, payout)| !payout.lot.is_empty());
        let stake = journey.stakes.entry(hold).or_default();
        stake.payouts = lots.map(|(n, p)| PaidLot { lot: p.lot, reversed: p.reversed || n < last }).collect();
    }
    Ok(())
}

/// A row of `ledger.payout`.
struct Paid {
    lot: LotRange,
    seq: i64,
    reversed: bool,
}

/// Earlier programmes reversed a payout by using whatever points came first, and wrote nothing else down. Of those, the
/// payout's own points are no more, and the others stand in for as many of the rest.
async fn read_as_earlier_programmes_wrote(
    conn: &mut PgConnection,
    member: MemberId,
    hold: HoldId,
    payouts: &[Paid],
    journey: &mut Journey,
) -> Result<()> {
    let rows = sqlx::query(
        "SELECT seq, lot_lo, lot_hi FROM ledger.entry
         WHERE member = $1 AND lot_hi IS NOT NULL AND debit IN (1, 2) AND credit <> 1
         AND debit = 1 AND credit = 12 AND reason = $2 AND source = $3 ORDER BY seq",
    )
    .bind(member.0)
    .bind(Reason::Corrected.code())
    .bind(hold.0)
    .fetch_all(conn)
    .await?;
    let mut known: HashSet<LotRange> = journey.paybacks.iter().map(|p| p.lots).collect();
    for row in rows {
        let seq: i64 = row.try_get(0)?;
        let used = LotRange { lo: row.try_get(1)?, hi: row.try_get(2)? };
        let Some(payout) = payouts.iter().rfind(|p| p.seq < seq && !p.lot.is_empty() && !p.reversed) else { continue };
        let others: Vec<LotRange> =
            used.without(&journey.voids).iter().flat_map(|u| u.without(&[payout.lot])).collect();
        let rest: Vec<LotRange> = payout.lot.without(&journey.voids).iter().flat_map(|p| p.without(&[used])).collect();
        let pairs = pair(&rest, &others).into_iter().map(|(lots, by)| Payback { lots, by: Some(by) });
        journey.paybacks.extend(pairs.filter(|payback| known.insert(payback.lots)));
        let own = used.overlap(payout.lot);
        journey.voids.extend(own.without(&journey.voids.clone()));
        journey.voids.sort();
    }
    journey.paybacks.sort();
    Ok(())
}
