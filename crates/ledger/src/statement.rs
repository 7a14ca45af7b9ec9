//! A member's statement: what happened to the points, one line for each thing that happened, newest first.
//!
//! A stake is one line, which stands where its points were held and has all its parts in it, those that came later too: what
//! was filled, what came back, what it paid. A correction of its result is a line of its own, at its own time. So a line's
//! balance after is what could be spent after it with every stake before it told to its end, and it is never below zero.
//!
//! Invariants
//! - The changes of all lines together are the balance; the balance after a line is the sum of it and all before it.
//! - A page goes on where the one before it ended, as of the moment of the first page: what happens in between is not on it.

use hunch_kernel::{MemberId, Points};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use std::collections::HashMap;
use uuid::Uuid;

use crate::account::AccountCode;
use crate::command::Reason;

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementPlace {
    /// The newest message that the first page saw.
    pub as_of: i64,
    /// The message that the next line is in, and how many of its lines were told.
    pub seq: i64,
    pub told: i64,
    /// After the next line.
    pub available: Points,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementItem {
    /// Change of what can be spent.
    pub available: Points,
    /// Change of what is provisional.
    pub provisional: Points,
    /// Change of everything the member owns.
    pub total: Points,
    /// What could be spent after it.
    pub available_after: Points,
    pub reason: Reason,
    /// Purchase, order or other cause.
    pub source: Uuid,
    /// The merchant whose account paid or took, if any.
    pub merchant: Option<Uuid>,
    /// Of a stake: its parts. The reason is [`Reason::StakeHeld`] then.
    pub stake: Option<StakeParts>,
    pub at: Timestamp,
}

/// What became of the points of one stake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StakeParts {
    pub held: Points,
    /// What went to the exchange.
    pub filled: Points,
    /// What was held and came back.
    pub returned: Points,
    /// What it paid when the result came, before any correction.
    pub paid: Points,
    pub ended: StakeEnd,
}

/// How far a stake has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StakeEnd {
    /// The order is on its way.
    #[default]
    Held,
    /// Nothing was filled.
    NotFilled,
    /// Filled, and the result is not paid yet.
    Open,
    Won,
    Lost,
    /// The market ended between yes and no.
    Between,
}

impl StakeParts {
    fn available(&self) -> Points {
        self.returned + self.paid - self.held
    }

    fn total(&self) -> Points {
        self.paid - self.filled
    }
}

/// The newest `limit` lines from `place` on, and where the next page begins, if there is one.
///
/// # Errors
/// When the database fails.
pub async fn statement_items(
    pool: &PgPool,
    member: MemberId,
    place: Option<StatementPlace>,
    limit: usize,
) -> Result<(Vec<StatementItem>, Option<StatementPlace>), sqlx::Error> {
    let account = sqlx::query("SELECT shard, last_seq, available FROM ledger.member_account WHERE member = $1");
    let Some(account) = account.bind(member.0).fetch_optional(pool).await? else { return Ok((Vec::new(), None)) };
    let (shard, last_seq): (i16, i64) = (account.try_get(0)?, account.try_get(1)?);
    let newest = StatementPlace { as_of: last_seq, seq: last_seq, told: 0, available: Points(account.try_get(2)?) };
    let place = place.unwrap_or(newest);
    let mut walk = Walk { pool, member, shard, place, next: place.seq.min(last_seq), found: Vec::new() };
    // One more shows whether there is another page.
    while walk.next > 0 && walk.found.len() <= limit {
        walk.step(limit as i64 + 1).await?;
    }
    let as_of = place.as_of.min(last_seq);
    let more = walk.found.len() > limit;
    let parts = walk.stakes(as_of, limit + 1).await?;
    let mut after = place.available;
    let mut items = Vec::with_capacity(limit);
    for found in walk.found.iter().take(limit) {
        let mut item = found.item.clone();
        if let Some(parts) = parts.get(&item.source).filter(|_| item.reason == Reason::StakeHeld) {
            (item.available, item.total, item.stake) = (parts.available(), parts.total(), Some(*parts));
        }
        item.available_after = after;
        after = Points(after.0.saturating_sub(item.available.0));
        items.push(item);
    }
    let next = walk.found.get(limit).filter(|_| more);
    let next = next.map(|next| StatementPlace { as_of, seq: next.seq, told: next.told, available: after });
    Ok((items, next))
}

/// The way back along the links from each message of a member to the one before.
struct Walk<'a> {
    pool: &'a PgPool,
    member: MemberId,
    shard: i16,
    place: StatementPlace,
    /// The next message to read, 0 at the end.
    next: i64,
    found: Vec<Found>,
}

/// A line in the making.
struct Found {
    seq: i64,
    /// How many lines of its message come before it.
    told: i64,
    item: StatementItem,
}

impl Walk<'_> {
    /// Reads so many messages. Each entry names the member's message before it, so that no index of members is needed.
    async fn step(&mut self, messages: i64) -> Result<(), sqlx::Error> {
        let rows = sqlx::query(
            "WITH RECURSIVE message AS (
                 SELECT $2::int8 AS seq, $3::int8 AS left_over
                 UNION ALL
                 SELECT e.prior_seq, m.left_over - 1 FROM message m
                 CROSS JOIN LATERAL (SELECT prior_seq FROM ledger.entry
                                     WHERE shard = $4 AND seq = m.seq AND member = $1 LIMIT 1) e
                 WHERE m.left_over > 1 AND e.prior_seq > 0
             )
             SELECT seq, debit, credit, house, amount, reason, source, at, prior_seq
             FROM message JOIN ledger.entry USING (seq)
             WHERE shard = $4 AND member = $1 ORDER BY seq DESC, line DESC",
        )
        .bind(self.member.0)
        .bind(self.next)
        .bind(messages)
        .bind(self.shard)
        .fetch_all(self.pool)
        .await?;
        self.next = 0;
        // The lines of the message at hand, and where each of them is in `found`, unless a page before told it.
        let (mut message, mut lines): (i64, Vec<(Reason, Option<usize>)>) = (0, Vec::new());
        for row in &rows {
            let seq: i64 = row.try_get(0)?;
            if seq != message {
                (message, lines) = (seq, Vec::new());
            }
            self.next = row.try_get(8)?;
            let entry = read(row)?;
            if is_part(entry.reason) {
                continue;
            }
            // Several entries of one command with one reason are one thing that happened.
            match lines.iter().find(|(reason, _)| *reason == entry.reason) {
                Some((_, Some(at))) => self.found[*at].item.add(&entry),
                Some((_, None)) => {}
                None => {
                    let told = lines.len() as i64;
                    let new = seq != self.place.seq || told >= self.place.told;
                    lines.push((entry.reason, new.then_some(self.found.len())));
                    if new {
                        self.found.push(Found { seq, told, item: entry });
                    }
                }
            }
        }
        Ok(())
    }

    /// The parts of the stakes among the first lines.
    async fn stakes(&self, as_of: i64, lines: usize) -> Result<HashMap<Uuid, StakeParts>, sqlx::Error> {
        let held = self.found.iter().take(lines).filter(|f| f.item.reason == Reason::StakeHeld);
        let ids: Vec<Uuid> = held.map(|f| f.item.source).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query(
            "SELECT e.source, e.reason, sum(e.amount)::int8,
                 EXISTS (SELECT FROM ledger.payout p JOIN ledger.command c ON c.key = p.key
                         WHERE p.hold = e.source AND c.seq <= $4)
             FROM ledger.entry e
             WHERE e.source = ANY($1) AND e.reason BETWEEN 10 AND 19 AND e.member = $2 AND e.shard = $3 AND e.seq <= $4
             GROUP BY e.source, e.reason",
        )
        .bind(&ids)
        .bind(self.member.0)
        .bind(self.shard)
        .bind(as_of)
        .fetch_all(self.pool)
        .await?;
        let mut stakes: HashMap<Uuid, (StakeParts, bool, bool)> = HashMap::new();
        for row in &rows {
            let (parts, between, settled) = stakes.entry(row.try_get(0)?).or_default();
            let points = Points(row.try_get(2)?);
            // A stake that lost was paid nothing, and nothing has no entry.
            *settled = row.try_get(3)?;
            match reason(row.try_get(1)?)? {
                Reason::StakeHeld => parts.held += points,
                Reason::StakeCaptured => parts.filled += points,
                Reason::StakeReleased => parts.returned += points,
                Reason::StakeWon => parts.paid += points,
                Reason::StakeScalar => {
                    parts.paid += points;
                    *between = true;
                }
                // Told by lines of their own.
                _ => {}
            }
        }
        let ended = stakes.into_iter().map(|(id, (parts, between, settled))| {
            let ended = how_far(&parts, between, settled);
            (id, StakeParts { ended, ..parts })
        });
        Ok(ended.collect())
    }
}

fn how_far(parts: &StakeParts, between: bool, settled: bool) -> StakeEnd {
    match parts {
        _ if (parts.filled + parts.returned).0 == 0 => StakeEnd::Held,
        _ if parts.filled.0 == 0 => StakeEnd::NotFilled,
        _ if between => StakeEnd::Between,
        _ if parts.paid.is_positive() => StakeEnd::Won,
        _ if settled => StakeEnd::Lost,
        _ => StakeEnd::Open,
    }
}

/// What a stake's own line tells, where the points were held.
fn is_part(reason: Reason) -> bool {
    use Reason::{StakeCaptured, StakeLost, StakeReleased, StakeScalar, StakeWon};
    matches!(reason, StakeCaptured | StakeReleased | StakeWon | StakeScalar | StakeLost)
}

fn reason(code: i16) -> Result<Reason, sqlx::Error> {
    Reason::from_code(code).ok_or_else(|| sqlx::Error::Decode(format!("unknown reason {code}").into()))
}

fn read(row: &PgRow) -> Result<StatementItem, sqlx::Error> {
    let (debit, credit): (i16, i16) = (row.try_get(1)?, row.try_get(2)?);
    let (house, amount): (Uuid, i64) = (row.try_get(3)?, row.try_get(4)?);
    let change = |is: &dyn Fn(i16) -> bool| Points(amount * (i64::from(is(credit)) - i64::from(is(debit))));
    Ok(StatementItem {
        available: change(&|account| account == AccountCode::Available.code()),
        provisional: change(&|account| account == AccountCode::Provisional.code()),
        total: change(&|account| account < AccountCode::Issuance.code()),
        available_after: Points::ZERO,
        reason: reason(row.try_get(5)?)?,
        source: row.try_get(6)?,
        merchant: (!house.is_nil()).then_some(house),
        stake: None,
        at: row.try_get::<jiff_sqlx::Timestamp, _>(7)?.to_jiff(),
    })
}

impl StatementItem {
    fn add(&mut self, entry: &StatementItem) {
        self.available += entry.available;
        self.provisional += entry.provisional;
        self.total += entry.total;
        self.merchant = self.merchant.or(entry.merchant);
    }
}
