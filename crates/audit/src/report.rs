//! What an audit found.

use serde::Serialize;

/// The whole audit. It holds when every check holds.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    pub holds: bool,
    pub checks: Vec<CheckReport>,
}

#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The invariant, such as `L1`; several checks may serve one invariant and then carry a suffix.
    pub id: &'static str,
    pub title: &'static str,
    /// How many things were looked at.
    pub checked: i64,
    pub violations: i64,
    /// The first things that do not hold, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
}

impl AuditReport {
    pub fn new(checks: Vec<CheckReport>) -> AuditReport {
        AuditReport { holds: checks.iter().all(|c| c.violations == 0), checks }
    }

    /// One line a check, then what is wrong.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let mark = if check.violations == 0 { "ok  " } else { "BAD " };
            text.push_str(&format!("{mark} {:<5} {:>10} checked  {}\n", check.id, check.checked, check.title));
            for line in &check.first {
                text.push_str(&format!("           {line}\n"));
            }
        }
        text.push_str(if self.holds {
            "Every point and every dollar is accounted for.\n"
        } else {
            "The books do NOT hold.\n"
        });
        text
    }
}
