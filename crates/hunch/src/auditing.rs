//! An audit that says how far it is: over a long history a single check may take many seconds.

use hunch_audit::{AuditError, AuditOptions, AuditReport, Progress};
use hunch_kernel::WallTime;
use sqlx::PgPool;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long nothing is said.
const PATIENCE: Duration = Duration::from_secs(2);

/// As [`hunch_audit::run`]; on standard error it says at the beginning that the books are audited, and then every two
/// seconds which check it is at.
///
/// # Errors
/// As [`hunch_audit::run`].
pub async fn audit_aloud(auditor: &PgPool, options: &AuditOptions, now: WallTime) -> Result<AuditReport, AuditError> {
    eprintln!("The books are audited.");
    let begun = Instant::now();
    let (sender, progress) = watch::channel(None::<Progress>);
    let tell = |at| {
        sender.send_replace(Some(at));
    };
    let audit = hunch_audit::run_telling(auditor, options, now, &tell);
    tokio::pin!(audit);
    let mut patience = tokio::time::interval(PATIENCE);
    patience.tick().await;
    loop {
        tokio::select! {
            report = &mut audit => return report,
            _ = patience.tick() => {
                if let Some(at) = *progress.borrow() {
                    eprintln!("{}", line(at, begun.elapsed()));
                }
            }
        }
    }
}

fn line(at: Progress, since: Duration) -> String {
    format!("Auditing the books: check {} of {}, {} ({} s).", at.number, at.of, at.title, since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_the_audit_is() {
        let at = Progress { number: 3, of: 30, id: "L3", title: "every accepted command is in the log" };
        assert_eq!(
            line(at, Duration::from_secs(12)),
            "Auditing the books: check 3 of 30, every accepted command is in the log (12 s)."
        );
    }
}
