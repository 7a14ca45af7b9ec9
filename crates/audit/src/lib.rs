//! Proves from the stored rows that every point and every dollar is accounted for.
//!
//! Shares no code with what wrote the rows: each check is one SQL statement of its own, run as the
//! auditor's role, which can read everything but the vault and change nothing but its own marks.
//! A check yields one row for each thing it looked at, with whether it holds and, if not, what is
//! wrong in words that lead to the row.

mod anchors;
mod checks;
mod report;
mod run;

pub use anchors::{AnchorError, read_anchor_file, write_anchor_file};
pub use checks::{CHECKS, Check};
pub use report::{AuditReport, CheckReport};
pub use run::{AuditError, AuditOptions, Progress, run, run_telling, violated};
