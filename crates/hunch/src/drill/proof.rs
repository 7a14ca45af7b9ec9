//! What has to be true after a drill, counted by means that the programme does not use.

use anyhow::Context;
use hunch_audit::AuditOptions;
use hunch_db::PoolSizes;
use hunch_kernel::Clocks;
use hunch_town::Operator;
use serde::Serialize;
use sqlx::{PgPool, Row};
use std::time::{Duration, Instant};
use uuid::Uuid;

use crate::drill::victim::Victim;
use crate::home::Home;

/// Orders whose answer was lost are certain after this long at the latest.
const QUIET_SECONDS_MAX: u64 = 120;

impl Proof {
    /// Each receipt had exactly one effect, every hold has an end, no order stands at the exchange twice or unknown to
    /// us, no push is without its end, and the audit holds.
    pub fn holds(&self, receipts: i64) -> bool {
        self.audit_holds
            && [self.effects, self.distinct, self.credited].iter().all(|counted| *counted == receipts)
            && [self.holds_open, self.orders_doubled, self.orders_unknown, self.pushes_unended]
                .iter()
                .all(|counted| *counted == 0)
    }
}

/// Waits until every order is over and every push handed over, stops the programme and counts.
///
/// # Errors
/// When the programme does not end well or its database cannot be read.
pub async fn prove(victim: &mut Victim, operator_token: &str, clocks: &Clocks) -> anyhow::Result<Proof> {
    let operator = Operator::new(reqwest::Client::new(), &victim.base, operator_token);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(QUIET_SECONDS_MAX) {
        match operator.open_orders().await {
            Ok(0) => break,
            Ok(open) => eprintln!("   {open} orders are not over yet"),
            Err(error) => eprintln!("   orders are not told of: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let looking = Home::visit(&victim.settings, PoolSizes::default()).await?;
    while begun.elapsed() < Duration::from_secs(QUIET_SECONDS_MAX) {
        match sqlx::query_scalar(PUSHES_UNENDED).fetch_one(looking.database.auditor()).await? {
            0i64 => break,
            open => eprintln!("   {open} pushes are not over yet"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    looking.close().await?;
    victim.stop().await?;
    let home = Home::visit(&victim.settings, PoolSizes::default()).await?;
    let auditor = home.database.auditor();
    let file = victim.settings.folder().join("anchors.jsonl");
    let options = AuditOptions::with_anchors(true, Some(file).filter(|file| file.is_file()))?;
    let report = hunch_audit::run(auditor, &options, clocks.wall.now()).await?;
    if !report.holds {
        eprint!("{}", report.to_text());
    }
    let proof = count(auditor, victim, report.holds).await;
    home.close().await?;
    proof
}

/// Pushes that were due to a subscription and have no end: accepted, or over for a reason that an attempt states. A
/// service that says *later* gives no end.
const PUSHES_UNENDED: &str = "SELECT count(*) FROM messaging.delivery d
     WHERE NOT EXISTS (SELECT FROM messaging.attempt a WHERE a.notice = d.notice AND a.subscription = d.subscription
                       AND a.attempt = d.attempts AND a.outcome = d.state)";

/// Counted by SQL that nothing else uses, and from the exchange's own state.
#[derive(Serialize)]
pub struct Proof {
    /// Purchase rows, and different receipts among them.
    pub effects: i64,
    pub distinct: i64,
    /// Entries in the ledger that credit a purchase.
    pub credited: i64,
    pub holds_open: i64,
    pub orders: i64,
    pub orders_at_exchange: usize,
    pub orders_doubled: i64,
    pub orders_unknown: i64,
    /// Attempts that a push service accepted, as we wrote them down.
    pub pushes_accepted: i64,
    pub pushes_unended: i64,
    pub audit_holds: bool,
}

async fn count(auditor: &PgPool, victim: &Victim, audit_holds: bool) -> anyhow::Result<Proof> {
    let state = victim.exchange.state();
    let filled: Vec<Uuid> = state["orders_by_client_order_id"]
        .as_object()
        .context("the exchange's state has no orders")?
        .iter()
        .filter(|(_, order)| order["account"] != 0)
        .filter_map(|(client, _)| client.parse().ok())
        .collect();
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM loyalty.purchase),
                (SELECT count(DISTINCT (terminal, receipt)) FROM loyalty.purchase),
                (SELECT count(*) FROM ledger.entry WHERE reason = 1),
                (SELECT count(*) FROM ledger.hold WHERE open),
                (SELECT count(*) FROM trading.orders),
                (SELECT count(*) FROM (SELECT a.order_id FROM unnest($1::uuid[]) AS x(id)
                   JOIN trading.attempt a ON a.client_order_id = x.id GROUP BY 1 HAVING count(*) > 1) doubled),
                (SELECT count(*) FROM unnest($1::uuid[]) AS x(id)
                   WHERE NOT EXISTS (SELECT FROM trading.attempt a WHERE a.client_order_id = x.id)),
                (SELECT count(*) FROM messaging.attempt WHERE outcome = 'accepted')",
    )
    .bind(&filled)
    .fetch_one(auditor)
    .await?;
    Ok(Proof {
        effects: row.try_get(0)?,
        distinct: row.try_get(1)?,
        credited: row.try_get(2)?,
        holds_open: row.try_get(3)?,
        orders: row.try_get(4)?,
        orders_at_exchange: filled.len(),
        orders_doubled: row.try_get(5)?,
        orders_unknown: row.try_get(6)?,
        pushes_accepted: row.try_get(7)?,
        pushes_unended: sqlx::query_scalar(PUSHES_UNENDED).fetch_one(auditor).await?,
        audit_holds,
    })
}
