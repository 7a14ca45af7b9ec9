//! Anchors: hashes of the log, kept outside the database. With them anyone can prove that nothing
//! before was changed and that no tail was cut off.

use crate::report::CheckReport;
use hunch_db::WallToSqlx;
use hunch_kernel::WallTime;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(crate) const ID: &str = "L4a";
pub(crate) const TITLE: &str = "the log still carries the hashes that were kept outside the database";

/// One line of an anchor file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub shard: i16,
    pub last_seq: i64,
    /// Hexadecimal.
    pub hash: String,
    pub at: jiff::Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    #[error("anchor file {path} cannot be read or written")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("anchor file {path}, line {line}: not an anchor")]
    Line {
        path: PathBuf,
        line: usize,
        #[source]
        source: serde_json::Error,
    },
}

/// Appends the present head of every shard to `path`, one JSON object a line, and makes it durable.
///
/// # Errors
/// `File`, or the database's error inside `AuditError` at the caller.
pub async fn write_anchor_file(auditor: &sqlx::PgPool, path: &Path, now: WallTime) -> Result<usize, crate::AuditError> {
    let rows = sqlx::query(
        "SELECT shard, last_seq, encode(hash, 'hex') FROM log.shard_head WHERE last_seq > 0 ORDER BY shard",
    )
    .fetch_all(auditor)
    .await?;
    let mut text = String::new();
    for row in &rows {
        let (shard, last_seq, hash) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let anchor = Anchor { shard, last_seq, hash, at: now.to_timestamp() };
        text.push_str(&serde_json::to_string(&anchor).unwrap_or_default());
        text.push('\n');
    }
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| AnchorError::File { path: path.to_owned(), source })?;
    let mut tx = hunch_db::begin(auditor).await?;
    sqlx::query("SET TRANSACTION READ WRITE").execute(&mut *tx).await?;
    sqlx::query(
        "INSERT INTO audit.anchored (file, shard, last_seq, at)
         SELECT $1, shard, last_seq, $2 FROM UNNEST($3::int2[], $4::int8[]) AS a(shard, last_seq)
         ON CONFLICT ON CONSTRAINT anchored_once DO UPDATE SET last_seq = excluded.last_seq, at = excluded.at",
    )
    .bind(name_of(path))
    .bind(now.to_sqlx())
    .bind(rows.iter().map(|r| r.try_get(0)).collect::<Result<Vec<i16>, _>>()?)
    .bind(rows.iter().map(|r| r.try_get(1)).collect::<Result<Vec<i64>, _>>()?)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(rows.len())
}

/// # Errors
/// `File` or `Line`; an empty file has no anchors and proves nothing, which the audit then shows as zero checked.
pub fn read_anchor_file(path: &Path) -> Result<Vec<Anchor>, AnchorError> {
    let text = std::fs::read_to_string(path).map_err(|source| AnchorError::File { path: path.to_owned(), source })?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(n, line)| {
            serde_json::from_str(line).map_err(|source| AnchorError::Line {
                path: path.to_owned(),
                line: n + 1,
                source,
            })
        })
        .collect()
}

/// The name under which the database remembers a file.
fn name_of(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Every anchor must still stand in the log where it was taken, and the file must have every shard's newest one that
/// was written to it: an older copy would not show what was cut off since.
pub(crate) async fn check(
    conn: &mut PgConnection,
    anchors: &[Anchor],
    file: Option<&Path>,
) -> Result<CheckReport, sqlx::Error> {
    let row = sqlx::query(
        "WITH anchor AS (SELECT * FROM UNNEST($1::int2[], $2::int8[], $3::text[]) AS a(shard, last_seq, hash)),
         looked AS (
            SELECT a.shard, a.last_seq, encode(b.hash, 'hex') IS NOT DISTINCT FROM a.hash AS holds,
                   CASE WHEN b.hash IS NULL THEN ': the log ends before its anchor' ELSE ': another hash than its anchor' END AS what
            FROM anchor a LEFT JOIN log.batch b ON b.shard = a.shard AND b.last_seq = a.last_seq
            UNION ALL
            SELECT n.shard, n.last_seq, EXISTS (SELECT FROM anchor a WHERE a.shard = n.shard AND a.last_seq >= n.last_seq),
                   ': its anchor of ' || n.at || ' is not in this file, which is an older copy'
            FROM audit.anchored n WHERE n.file = $4)
         SELECT count(*), count(*) FILTER (WHERE NOT holds),
                (array_agg('shard ' || shard || ', message ' || last_seq || what ORDER BY shard, last_seq) FILTER (WHERE NOT holds))[1:20]
         FROM looked",
    )
    .bind(anchors.iter().map(|a| a.shard).collect::<Vec<_>>())
    .bind(anchors.iter().map(|a| a.last_seq).collect::<Vec<_>>())
    .bind(anchors.iter().map(|a| a.hash.as_str()).collect::<Vec<_>>())
    .bind(file.map(name_of))
    .fetch_one(conn)
    .await?;
    Ok(CheckReport {
        id: ID,
        title: TITLE,
        checked: row.try_get(0)?,
        violations: row.try_get(1)?,
        first: row.try_get::<Option<Vec<String>>, _>(2)?.unwrap_or_default(),
    })
}
