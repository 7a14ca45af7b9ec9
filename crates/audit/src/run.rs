//! Runs the checks, one after another, in one snapshot of the database.

use hunch_db::WallToSqlx;
use hunch_kernel::WallTime;
use sqlx::{PgPool, Row};
use std::path::PathBuf;

use crate::anchors::{self, Anchor, AnchorError, read_anchor_file};
use crate::checks::CHECKS;
use crate::report::{AuditReport, CheckReport};

#[derive(Clone, Debug, Default)]
pub struct AuditOptions {
    /// From the beginning, and not from the marks of the audit before.
    pub full: bool,
    /// Anchors kept outside the database, see [`crate::read_anchor_file`].
    pub anchors: Vec<Anchor>,
    /// Where they were read from: an older copy of that file is found out.
    pub anchor_file: Option<PathBuf>,
}

impl AuditOptions {
    /// With the anchors of `file`, if one is given.
    ///
    /// # Errors
    /// When the file cannot be read or is no file of anchors.
    pub fn with_anchors(full: bool, file: Option<PathBuf>) -> Result<AuditOptions, AnchorError> {
        let anchors = file.as_deref().map(read_anchor_file).transpose()?.unwrap_or_default();
        Ok(AuditOptions { full, anchors, anchor_file: file })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("check {id} could not be run")]
    Check {
        id: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("the audit's own storage failed")]
    Storage(#[from] sqlx::Error),
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

/// Runs every check in one repeatable-read snapshot, so that a working town cannot blur the picture,
/// and moves the marks when everything holds.
///
/// # Errors
/// When the database fails; a broken invariant is a report, not an error.
pub async fn run(auditor: &PgPool, options: &AuditOptions, now: WallTime) -> Result<AuditReport, AuditError> {
    run_telling(auditor, options, now, &|_| {}).await
}

/// Which check is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// From 1.
    pub number: usize,
    pub of: usize,
    pub id: &'static str,
    pub title: &'static str,
}

/// As [`run`], and says of each check that it begins.
///
/// # Errors
/// As [`run`].
pub async fn run_telling(
    auditor: &PgPool,
    options: &AuditOptions,
    now: WallTime,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<AuditReport, AuditError> {
    let anchored = !options.anchors.is_empty() || options.anchor_file.is_some();
    let of = CHECKS.len() + usize::from(anchored);
    let mut tx = hunch_db::begin(auditor).await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE").execute(&mut *tx).await?;
    let mut reports = Vec::with_capacity(CHECKS.len() + 1);
    for (number, check) in (1..).zip(CHECKS) {
        tell(Progress { number, of, id: check.id, title: check.title });
        let row = sqlx::query(check.sql)
            .bind(options.full)
            .fetch_one(&mut *tx)
            .await
            .map_err(|source| AuditError::Check { id: check.id, source })?;
        reports.push(CheckReport {
            id: check.id,
            title: check.title,
            checked: row.try_get(0)?,
            violations: row.try_get(1)?,
            first: row.try_get::<Option<Vec<String>>, _>(2)?.unwrap_or_default(),
        });
    }
    if anchored {
        tell(Progress { number: of, of, id: anchors::ID, title: anchors::TITLE });
        let file = options.anchor_file.as_deref();
        reports.push(anchors::check(&mut tx, &options.anchors, file).await?);
    }
    let report = AuditReport::new(reports);
    if report.holds {
        move_marks(&mut tx, now).await?;
    }
    tx.commit().await?;
    Ok(report)
}

/// The ids of checks that fail inside a transaction of the caller's: for tests that tamper and roll back.
///
/// # Errors
/// When the database fails.
pub async fn violated(conn: &mut sqlx::PgConnection) -> Result<Vec<&'static str>, sqlx::Error> {
    let mut ids = Vec::new();
    for check in CHECKS {
        let row = sqlx::query(check.sql).bind(true).fetch_one(&mut *conn).await?;
        if row.try_get::<i64, _>(1)? > 0 {
            ids.push(check.id);
        }
    }
    Ok(ids)
}

async fn move_marks(conn: &mut sqlx::PgConnection, now: WallTime) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO audit.mark (shard, last_seq, hash, at)
         SELECT shard, last_seq, hash, $1 FROM log.shard_head WHERE last_seq > 0
         ON CONFLICT ON CONSTRAINT mark_once DO UPDATE
         SET last_seq = excluded.last_seq, hash = excluded.hash, at = excluded.at",
    )
    .bind(now.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}
