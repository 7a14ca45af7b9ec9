//! What is looked at after an operation: SQL over what it touched, and the whole audit now and then.

use anyhow::Context;
use hunch_audit::{AuditOptions, CHECKS};
use hunch_exchange_sim::Status;
use hunch_kernel::MemberId;
use serde_json::Value;
use sqlx::Row;
use std::collections::HashMap;
use uuid::Uuid;

use crate::world::World;

/// What an operation may have changed.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    pub members: Vec<MemberId>,
    /// Checks of the audit.
    pub checks: &'static [&'static str],
}

impl Touched {
    pub fn member(member: MemberId, checks: &'static [&'static str]) -> Touched {
        Touched { members: vec![member], checks }
    }

    pub fn checks(checks: &'static [&'static str]) -> Touched {
        Touched { members: Vec::new(), checks }
    }
}

/// Balances, lots, holds and limits of these members, summed up from the rows again (L2, L5, T1, S2).
const MEMBERS_SQL: &str = "
SELECT a.member, a.available, a.held, a.provisional, a.debt, a.credited - a.consumed AS unused,
       coalesce(e.available, 0), coalesce(e.held, 0), coalesce(e.provisional, 0), coalesce(e.debt, 0), coalesce(h.open, 0), coalesce(v.void, 0),
       u.usage = coalesce(c.charged, 0)
FROM unnest($1::uuid[]) AS asked(member)
JOIN ledger.member_account a USING (member)
LEFT JOIN (SELECT member, coalesce(sum(CASE 1 WHEN credit THEN amount WHEN debit THEN -amount END), 0)::int8 AS available,
                  coalesce(sum(CASE 2 WHEN credit THEN amount WHEN debit THEN -amount END), 0)::int8 AS held,
                  coalesce(sum(CASE 3 WHEN credit THEN amount WHEN debit THEN -amount END), 0)::int8 AS provisional,
                  coalesce(sum(CASE 4 WHEN credit THEN amount WHEN debit THEN -amount END), 0)::int8 AS debt
           FROM ledger.entry WHERE member = ANY($1) GROUP BY member) e USING (member)
CROSS JOIN LATERAL (SELECT sum(amount)::int8 AS open FROM ledger.hold x WHERE x.member = a.member AND x.open) h
CROSS JOIN LATERAL (SELECT sum(lot_hi - greatest(lot_lo, a.consumed))::int8 AS void FROM ledger.lot_void x
                    WHERE x.member = a.member AND NOT x.owed AND x.lot_hi > a.consumed) v
CROSS JOIN LATERAL (SELECT coalesce(sum(points), 0)::int8 AS usage FROM safeguards.usage x WHERE x.member = a.member AND x.kind = 1) u
CROSS JOIN LATERAL (SELECT sum(points - restored)::int8 AS charged FROM safeguards.charge x WHERE x.member = a.member) c";

/// Sentences about what does not hold; empty when all does.
pub async fn look(world: &World, touched: &Touched) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    if !touched.members.is_empty() {
        let members: Vec<Uuid> = touched.members.iter().map(|m| m.0).collect();
        for row in sqlx::query(MEMBERS_SQL).bind(&members).fetch_all(world.db.auditor()).await? {
            let member: Uuid = row.try_get(0)?;
            let n = |at: usize| row.try_get::<i64, _>(at);
            let (available, held, provisional, debt) = (n(1)?, n(2)?, n(3)?, n(4)?);
            let mut say = |holds: bool, what: &str| {
                if !holds {
                    wrong.push(format!("{what}: member {member}, {available}/{held}/{provisional}/{debt}"));
                }
            };
            say(available >= 0 && held >= 0 && provisional >= 0 && debt <= 0, "L2");
            say(debt == 0 || available == 0, "L2 debt beside points");
            say((available, held, provisional, debt) == (n(6)?, n(7)?, n(8)?, n(9)?), "L5");
            say(available + held == n(5)? - n(11)?, "L5l");
            say(held == n(10)?, "T1");
            say(row.try_get::<bool, _>(12)?, "S2");
        }
    }
    for check in CHECKS.iter().filter(|check| touched.checks.contains(&check.id)) {
        let row = sqlx::query(check.sql).bind(false).fetch_one(world.db.auditor()).await?;
        if row.try_get::<i64, _>(1)? > 0 {
            let first = row.try_get::<Option<Vec<String>>, _>(2)?.unwrap_or_default();
            wrong.push(format!("{}: {}", check.id, first.first().cloned().unwrap_or_default()));
        }
    }
    Ok(wrong)
}

/// Every invariant over everything.
pub async fn look_at_all(world: &World) -> anyhow::Result<Vec<String>> {
    let options = AuditOptions { full: true, ..AuditOptions::default() };
    let report = hunch_audit::run(world.db.auditor(), &options, world.clock.wall()).await?;
    let failed = report.checks.iter().filter(|c| c.violations > 0);
    let mut wrong: Vec<String> =
        failed.map(|c| format!("{}: {}", c.id, c.first.first().cloned().unwrap_or_default())).collect();
    wrong.extend(doubled_at_the_exchange(world).await?);
    wrong.extend(paid_too_early(world).await?);
    wrong.extend(prompted_too_much(world).await?);
    Ok(wrong)
}

/// From the exchange's own state: of all attempts of an order at most one was ever filled, and no order of ours is
/// there that we do not know.
async fn doubled_at_the_exchange(world: &World) -> anyhow::Result<Vec<String>> {
    let rows =
        sqlx::query("SELECT client_order_id, order_id FROM trading.attempt").fetch_all(world.db.auditor()).await?;
    let mut ours: HashMap<Uuid, Uuid> = HashMap::new();
    for row in rows {
        ours.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let state = world.exchange.state();
    let mut filled: HashMap<Uuid, u32> = HashMap::new();
    let mut wrong = Vec::new();
    let orders = state["orders_by_client_order_id"].as_object().context("the exchange shows no orders")?;
    for (client, order) in orders {
        let Some(client) = client.parse::<Uuid>().ok().filter(|_| order["account"] != 0) else { continue };
        match ours.get(&client) {
            None => wrong.push(format!("T2: the exchange knows {client}, we do not")),
            Some(order_id) if has_fills(order) => *filled.entry(*order_id).or_default() += 1,
            Some(_) => {}
        }
    }
    wrong.extend(filled.iter().filter(|(_, n)| **n > 1).map(|(id, n)| format!("T2: order {id} was filled {n} times")));
    wrong.sort();
    Ok(wrong)
}

/// From the exchange's own state: what is not final there is paid nowhere.
pub async fn paid_too_early(world: &World) -> anyhow::Result<Vec<String>> {
    let paid: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT market FROM trading.position WHERE paid_at IS NOT NULL")
            .fetch_all(world.db.auditor())
            .await?;
    let early = paid.into_iter().filter(|market| world.exchange.status(market) != Some(Status::Finalized));
    Ok(early.map(|market| format!("T4: {market} was paid before it was final")).collect())
}

/// From positions and pushes alone: no prompt to stake left within four hours of a loss, and none of more than three in a day.
pub async fn prompted_too_much(world: &World) -> anyhow::Result<Vec<String>> {
    let after_loss = "SELECT DISTINCT 'S4: ' || a.member || ' lost at ' || p.paid_at || ' and was prompted at ' || a.at
         FROM messaging.attempt a JOIN trading.position p ON p.member = a.member AND p.paid_points < p.cost_points
              AND p.paid_at < a.at AND p.paid_at > a.at - interval '4 hours'
         WHERE a.content = 'prompt'";
    let too_many = "SELECT 'S4: ' || d.member || ' had more than three prompts in the day before ' || d.at
         FROM engage.decision d JOIN engage.decision e ON e.member = d.member AND e.action = 'market'
              AND e.at <= d.at AND e.at > d.at - interval '24 hours'
         WHERE d.action = 'market' GROUP BY d.member, d.cause, d.at HAVING count(*) > 3";
    let mut wrong: Vec<String> = sqlx::query_scalar(after_loss).fetch_all(world.db.auditor()).await?;
    wrong.extend(sqlx::query_scalar::<_, String>(too_many).fetch_all(world.db.auditor()).await?);
    Ok(wrong)
}

fn has_fills(order: &Value) -> bool {
    order["fill_count_fp"].as_str().is_some_and(|n| n.parse::<f64>().is_ok_and(|n| n > 0.0))
}

/// When everything has come to rest: nothing is owned by nobody, nothing waits.
pub async fn look_at_rest(world: &World) -> anyhow::Result<Vec<String>> {
    let mut wrong = look_at_all(world).await?;
    for (what, sql) in [
        ("T1: holds are open", "SELECT count(*) FROM ledger.hold WHERE open"),
        ("T1: orders are not over", "SELECT count(*) FROM trading.orders WHERE resolved_at IS NULL"),
        ("T4: positions are not paid", "SELECT count(*) FROM trading.position WHERE paid_at IS NULL"),
        (
            "E1: messages were not read",
            "SELECT count(*) FROM log.shard_head h LEFT JOIN log.consumer_position p ON p.shard = h.shard AND p.consumer = 'engage' WHERE h.last_seq > 0 AND p.last_seq IS DISTINCT FROM h.last_seq",
        ),
        (
            "E1: purchases' receipts stand in the inbox alone",
            "SELECT count(*) FROM messaging.notice WHERE cause_kind = 'purchase' AND wanted = 'nothing'",
        ),
        ("E1: deliveries are still due", "SELECT count(*) FROM messaging.delivery WHERE state = 'due'"),
    ] {
        let n: i64 = sqlx::query_scalar(sql).fetch_one(world.db.auditor()).await?;
        if n > 0 {
            wrong.push(format!("{what}: {n}"));
        }
    }
    Ok(wrong)
}
