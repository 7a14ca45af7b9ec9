//! What the programme says of the day when the shops have closed.

use hunch_audit::{AuditOptions, AuditReport};
use hunch_kernel::WallTime;
use hunch_trading::TradingFigures;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::serve::Served;
use crate::settings::Settings;

/// How long the exchange's reads are waited for when the town has closed.
const BOOKS_WAIT: Duration = Duration::from_secs(30);

/// When the day began, by both clocks.
pub struct Opened {
    pub business: Timestamp,
    pub wall: WallTime,
}

/// What the programme says of the day, and whether every point and dollar is accounted for.
pub struct Closed {
    pub decisions: i64,
    pub pushes_withheld: BTreeMap<String, i64>,
    pub figures: TradingFigures,
    /// Results that were amended before they were paid.
    pub amended: i64,
    pub audit: AuditReport,
}

pub async fn close(served: &Served, settings: &Settings, opened: Opened) -> anyhow::Result<Closed> {
    // What the exchange still has to show is waited for; then the books are compared once more, at rest.
    eprintln!("The books are compared with the exchange's.");
    let waited = Instant::now();
    loop {
        let found = served.trading.reconcile_step().await;
        let at_rest = found.as_ref().is_ok_and(|f| {
            f.differences.is_empty() && f.cash.iter().all(|c| c.in_flight == hunch_kernel::Dollars::ZERO)
        });
        if at_rest || waited.elapsed() > BOOKS_WAIT {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let counts = hunch_messaging::push_counts(served.database.app(), opened.wall).await?;
    Ok(Closed {
        decisions: hunch_engage::decisions_since(served.database.app(), opened.business).await?,
        pushes_withheld: counts.withheld.into_iter().collect(),
        figures: served.trading.figures(opened.business).await?,
        amended: hunch_markets::amended_since(served.database.app(), opened.business).await?,
        audit: audit(&served.database, settings).await?,
    })
}

async fn audit(database: &hunch_db::Database, settings: &Settings) -> anyhow::Result<AuditReport> {
    let now = crate::clock::clocks(1, None).wall.now();
    let file = settings.folder().join("anchors.jsonl");
    let options = AuditOptions::with_anchors(true, file.is_file().then(|| file.clone()))?;
    let report = crate::auditing::audit_aloud(database.auditor(), &options, now).await?;
    if report.holds {
        hunch_audit::write_anchor_file(database.auditor(), &file, now).await?;
    }
    Ok(report)
}
