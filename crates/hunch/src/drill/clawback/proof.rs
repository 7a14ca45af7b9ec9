//! Whether every lot's journey adds up, by SQL over the books that shares nothing with what wrote them.

use hunch_audit::AuditOptions;
use hunch_db::PoolSizes;
use hunch_kernel::Clocks;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::orders::Order;
use crate::drill::victim::Victim;
use crate::home::Home;

/// A member who has lived an order of steps.
pub struct Lived {
    pub member: Uuid,
    pub purchases: [Option<Uuid>; 2],
    pub order: Order,
    /// What was wrong on the way.
    pub told: Vec<String>,
    /// By the API: what can be spent minus what is owed, and the sum of the statement.
    pub balance: i64,
    pub statement: i64,
}

/// Rows are what does not add up; `$1` are the members.
const CHECKS: [(&str, &str); 6] = [
    (
        "a lot is used, voided or still there, each point once",
        "SELECT a.member::text || ': ' || a.credited || ' credited, ' || coalesce(u.points, 0) || ' used, ' || coalesce(v.points, 0) || ' voided, '
                || (a.available + a.held) || ' there'
         FROM ledger.member_account a
         LEFT JOIN (SELECT member, sum(amount)::int8 AS points FROM ledger.entry
                    WHERE lot_lo IS NOT NULL AND debit IN (1, 2) GROUP BY member) u USING (member)
         LEFT JOIN (SELECT member, sum(lot_hi - lot_lo)::int8 AS points FROM ledger.lot_void WHERE NOT owed GROUP BY member) v USING (member)
         WHERE a.member = ANY($1)
         AND a.credited <> coalesce(u.points, 0) + coalesce(v.points, 0) + a.available + a.held",
    ),
    (
        "no two uses or voids touch the same point",
        "SELECT a.member::text || ': ' || a.lot_lo || '-' || a.lot_hi || ' and ' || b.lot_lo || '-' || b.lot_hi
         FROM ledger.entry a JOIN ledger.entry b ON b.member = a.member AND (a.shard, a.seq, a.line) < (b.shard, b.seq, b.line)
              AND a.lot_lo < b.lot_hi AND b.lot_lo < a.lot_hi
         WHERE a.member = ANY($1) AND a.debit IN (1, 2) AND b.debit IN (1, 2)
         UNION ALL
         SELECT a.member::text || ': void ' || a.lot_lo || '-' || a.lot_hi || ' and ' || b.lot_lo || '-' || b.lot_hi
         FROM ledger.lot_void a JOIN ledger.lot_void b ON b.member = a.member AND a.lot_lo < b.lot_lo AND b.lot_lo < a.lot_hi
         WHERE a.member = ANY($1) AND NOT a.owed AND NOT b.owed",
    ),
    (
        "the exchange has what was staked, less what counts as paid",
        "SELECT p.position::text || ': ' || x.points || ' at the exchange, ' || h.captured || ' staked, ' || p.paid_points || ' paid'
         FROM trading.position p JOIN ledger.hold h ON h.hold = p.order_id
         CROSS JOIN LATERAL (SELECT sum(CASE WHEN e.credit = 12 THEN amount ELSE -amount END)::int8 AS points
                             FROM ledger.entry e WHERE e.source = p.order_id AND 12 IN (e.debit, e.credit)) x
         WHERE p.member = ANY($1) AND x.points <> h.captured - p.paid_points",
    ),
    (
        "a reversed payout is accounted for, point by point",
        "SELECT r.hold::text || ': ' || to_jsonb(r)
         FROM ledger.reversal r
         CROSS JOIN LATERAL (SELECT coalesce(sum(lot_hi - lot_lo), 0) AS points FROM ledger.lot_void v WHERE v.key = r.key AND NOT owed) v
         CROSS JOIN LATERAL (SELECT coalesce(sum(e.amount), 0) AS points FROM ledger.command c
                             JOIN ledger.entry e ON e.shard = c.shard AND e.seq = c.seq WHERE c.key = r.key AND e.credit = 12) e
         WHERE r.member = ANY($1) AND (v.points <> r.voided OR e.points <> r.lot_hi - r.lot_lo)",
    ),
    (
        "a shop gets back for a returned receipt what it had given",
        "SELECT p.purchase::text || ': ' || p.points || ' given, ' || coalesce(b.points, 0) || ' back'
         FROM loyalty.purchase p
         LEFT JOIN (SELECT source, sum(amount)::int8 AS points FROM ledger.entry WHERE credit = 10 GROUP BY source) b ON b.source = p.purchase
         WHERE p.member = ANY($1) AND p.points <> coalesce(b.points, 0)",
    ),
    (
        "nothing is left of what was returned, and no more is gone than was lost by staking",
        "SELECT a.member::text || ': ' || (a.available + a.debt) || ' left, ' || h.captured || ' staked, ' || p.paid_points || ' paid, ' || l.points || ' borne by the house'
         FROM ledger.member_account a JOIN trading.position p USING (member) JOIN ledger.hold h ON h.hold = p.order_id
         CROSS JOIN LATERAL (SELECT coalesce(sum(lost), 0)::int8 AS points FROM ledger.reversal r WHERE r.member = a.member) l
         WHERE a.member = ANY($1)
         AND NOT a.available + a.held + a.debt BETWEEN least(0, p.paid_points - h.captured)
                                                   AND least(0, p.paid_points - h.captured + l.points)",
    ),
];

/// Sentences about what does not hold.
///
/// # Errors
/// When the books cannot be read.
pub async fn wrong(victim: &mut Victim, members: &[Lived], clocks: &Clocks) -> anyhow::Result<Vec<String>> {
    let mut wrong: Vec<String> = members.iter().flat_map(|m| m.told.clone()).collect();
    for one in members.iter().filter(|one| one.balance != one.statement) {
        wrong.push(format!("{}: {} by the balance, {} by the statement", one.member, one.balance, one.statement));
    }
    for one in members.iter().filter(|one| one.purchases.contains(&None)) {
        wrong.push(format!("{}: a receipt was not taken: {:?}", one.member, one.order));
    }
    victim.stop().await?;
    let home = Home::visit(&victim.settings, PoolSizes::default()).await?;
    let found = in_the_books(home.database.auditor(), members, clocks).await;
    home.close().await?;
    wrong.extend(found?);
    Ok(wrong)
}

async fn in_the_books(auditor: &PgPool, members: &[Lived], clocks: &Clocks) -> anyhow::Result<Vec<String>> {
    let ids: Vec<Uuid> = members.iter().map(|one| one.member).collect();
    let mut wrong = Vec::new();
    for (what, sql) in CHECKS {
        for row in sqlx::query(sql).bind(&ids).fetch_all(auditor).await? {
            let told: String = row.try_get(0)?;
            let order = members.iter().find(|one| told.starts_with(&one.member.to_string())).map(|one| &one.order);
            wrong.push(format!("not so: {what}: {told} {order:?}"));
        }
    }
    let options = AuditOptions::with_anchors(true, None)?;
    let report = hunch_audit::run(auditor, &options, clocks.wall.now()).await?;
    if !report.holds {
        wrong.push(report.to_text());
    }
    Ok(wrong)
}
