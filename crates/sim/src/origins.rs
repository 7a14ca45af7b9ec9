//! Whose points were staked and paid, looked at after returns and corrections, from the rows alone.

use hunch_kernel::MemberId;
use uuid::Uuid;

use crate::world::World;

/// Points of returned purchases that a stake was captured from, and how many of a stake's are claimed. What a return
/// voided was never staked.
const CLAIMED: &str = "
SELECT 'L7: of stake ' || e.source || ' returned purchases funded ' || sum(staked.points) || ' points, and ' || claimed.points || ' are claimed'
FROM loyalty.purchase_return r
JOIN (SELECT member, source, min(lot_lo) AS lo, max(lot_hi) AS hi FROM ledger.entry
      WHERE member = $1 AND debit IN (10, 11) AND lot_lo IS NOT NULL GROUP BY member, source) earned ON earned.source = r.purchase
JOIN ledger.entry e ON e.member = earned.member AND e.debit = 2 AND e.credit = 12 AND e.lot_lo < earned.hi AND e.lot_hi > earned.lo
CROSS JOIN LATERAL (SELECT least(e.lot_hi, earned.hi) AS hi, greatest(e.lot_lo, earned.lo) AS lo) part
CROSS JOIN LATERAL (SELECT part.hi - part.lo - coalesce(sum(least(v.lot_hi, part.hi) - greatest(v.lot_lo, part.lo)), 0) AS points
                    FROM ledger.lot_void v WHERE v.member = e.member AND NOT v.owed AND v.lot_lo < part.hi AND v.lot_hi > part.lo) staked
CROSS JOIN LATERAL (SELECT coalesce(sum(c.hi - c.lo), 0) AS points FROM ledger.claim c WHERE c.hold = e.source) claimed
GROUP BY e.source, claimed.points HAVING sum(staked.points) > claimed.points";

/// Payouts that were reversed with other points of the member while some of their own were there.
const OWN_FIRST: &str = "
SELECT 'L7: a payout of stake ' || r.hold || ' was reversed with ' || r.used || ' other points, and ' || own.points || ' of its own are left'
FROM ledger.reversal r
JOIN ledger.member_account a USING (member)
CROSS JOIN LATERAL (SELECT r.lot_hi - greatest(r.lot_lo, a.consumed)
                         - coalesce(sum(least(v.lot_hi, r.lot_hi) - greatest(v.lot_lo, r.lot_lo, a.consumed)), 0) AS points
                    FROM ledger.lot_void v WHERE v.member = r.member AND NOT v.owed
                         AND v.lot_lo < r.lot_hi AND v.lot_hi > greatest(r.lot_lo, a.consumed)) own
WHERE r.used > 0 AND own.points > 0";

/// Of reversals that were made just now: what returns had taken of such a payout beyond their charge comes back from the
/// community pot. What the same correction claims may count or not, by which position came first.
const REFUNDED: &str = "
SELECT 'L7: of a reversed payout of stake ' || r.hold || ' the pot had ' || pot.least || ' to ' || pot.most || ' points, and gave back ' || r.refunded
FROM ledger.reversal r
JOIN ledger.hold h USING (hold)
CROSS JOIN LATERAL (SELECT coalesce(sum(x.beyond) FILTER (WHERE x.earlier), 0) AS least, coalesce(sum(x.beyond), 0) AS most
                    FROM (SELECT greatest((r.lot_hi - r.lot_lo) * c.hi / h.captured - (r.lot_hi - r.lot_lo) * c.lo / h.captured
                                          - coalesce(c.charged, c.hi - c.lo), 0) AS beyond,
                                 NOT EXISTS (SELECT FROM ledger.reversal n WHERE n.key = c.key) AS earlier
                          FROM ledger.claim c WHERE c.hold = r.hold) x) pot
WHERE h.captured > 0 AND r.key <> ALL($1) AND r.refunded NOT BETWEEN pot.least AND pot.most";

/// After a return of this member.
pub async fn claimed(world: &World, member: MemberId) -> anyhow::Result<Vec<String>> {
    Ok(sqlx::query_scalar(CLAIMED).bind(member.0).fetch_all(world.db.auditor()).await?)
}

/// The commands that reversed a payout so far.
pub async fn reversals(world: &World) -> anyhow::Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar("SELECT key FROM ledger.reversal").fetch_all(world.db.auditor()).await?)
}

/// After a correction, before which there were these reversals.
pub async fn reversed(world: &World, before: &[Uuid]) -> anyhow::Result<Vec<String>> {
    let mut wrong: Vec<String> = sqlx::query_scalar(OWN_FIRST).fetch_all(world.db.auditor()).await?;
    wrong.extend(sqlx::query_scalar::<_, String>(REFUNDED).bind(before).fetch_all(world.db.auditor()).await?);
    Ok(wrong)
}
