//! The short shell around the decision: load, decide, write, all under the shard's lock.

use hunch_kernel::MemberId;
use hunch_log::{LogError, ShardTx};
use hunch_messages::{Message, Posted};
use std::collections::HashSet;

use crate::command::{Command, Outcome, Refusal};
use crate::decide::{Decided, decide_batch};
use crate::store;

/// Why a whole batch could not be run. The caller rolls back; nothing has happened.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("another shard used one of the keys at the same moment")]
    KeyRace,
    #[error("batch storage failed")]
    Storage(#[from] sqlx::Error),
    /// The way of this member's points is longer than any books can make it. Nothing is repeated.
    #[error("the points of member {member} cannot be followed to their end")]
    WalkTooLong { member: MemberId },
    #[error("batch log failed")]
    Log(#[from] LogError),
    /// A capability's own reason; only this request's group is affected.
    #[error("the request could not be handled: {0}")]
    Handler(String),
}

/// Applies `commands` in order and answers each by itself. Each accepted command takes one sequence
/// number; the caller describes it with `tx.announce_at(done.seq, …)`, else it appears as `Posted`.
///
/// # Errors
/// `BatchError` when nothing may be committed. A refused command is an `Outcome`, not an error.
pub async fn apply(tx: &mut ShardTx, commands: &[Command]) -> Result<Vec<Outcome>, BatchError> {
    let mut outcomes = Vec::with_capacity(commands.len());
    for part in parts(commands) {
        for (command, decided) in part.iter().zip(apply_part(tx, part).await?) {
            if decided.outcome == Outcome::Refused(Refusal::WalkTooLong) {
                return Err(BatchError::WalkTooLong { member: command.member });
            }
            outcomes.push(decided.outcome);
        }
    }
    Ok(outcomes)
}

async fn apply_part(tx: &mut ShardTx, commands: &[Command]) -> Result<Vec<Decided>, BatchError> {
    let last_seq = tx.last_seq();
    let before = store::load(tx.conn(), last_seq, commands).await?;
    let mut after = before.clone();
    let decided = decide_batch(&mut after, commands);
    for (command, decision) in commands.iter().zip(&decided) {
        if let Outcome::Done(done) = &decision.outcome {
            tx.announce(Message::Posted(Posted {
                v: 1,
                member: command.member.0,
                points: done.points.0,
                reason: command.action.name().to_owned(),
            }));
        }
    }
    if store::write(tx, &before, &after, commands, &decided).await? { Ok(decided) } else { Err(BatchError::KeyRace) }
}

/// Who follows points through the books must see what the same member's earlier commands wrote: such a command is the
/// first of its member in its part.
fn parts(commands: &[Command]) -> Vec<&[Command]> {
    let mut parts = Vec::new();
    let (mut begin, mut members) = (0, HashSet::new());
    for (at, command) in commands.iter().enumerate() {
        if !members.insert(command.member) && command.action.follows_points() {
            parts.push(&commands[begin..at]);
            begin = at;
            members = HashSet::from([command.member]);
        }
    }
    parts.push(&commands[begin..]);
    parts
}
