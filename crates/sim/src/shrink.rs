//! Makes a failing history short: parts are left out as long as the same invariant still breaks (delta debugging,
//! Zeller and Hildebrandt 2002).

use crate::history::{Failure, live};
use crate::op::Op;

/// Gives the shortest list that was found within `tries` lives, and how it fails.
///
/// # Errors
/// When a world could not be had.
pub async fn shrink(ops: &[Op], failure: Failure, tries: u32) -> anyhow::Result<(Vec<Op>, Failure)> {
    let mut best: Vec<Op> = ops.iter().take(failure.at + 1).cloned().collect();
    let mut failure = failure;
    let mut left = tries;
    let mut chunk = best.len().div_ceil(2);
    while chunk > 0 && left > 0 {
        let mut start = 0;
        let mut shorter = false;
        while start < best.len() && left > 0 {
            let without: Vec<Op> = best
                .iter()
                .enumerate()
                .filter(|(n, _)| *n < start || *n >= start + chunk)
                .map(|(_, op)| op.clone())
                .collect();
            left -= 1;
            match live(&without, |_| ()).await? {
                Err(again) if again.id() == failure.id() => {
                    best = without.into_iter().take(again.at + 1).collect();
                    failure = again;
                    shorter = true;
                }
                _ => start += chunk,
            }
        }
        if chunk == 1 && !shorter {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk / 2 };
    }
    Ok((best, failure))
}
