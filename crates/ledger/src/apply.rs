//! The short shell around the decision: load, decide, write, all under the shard's lock.

use hunch_log::{LogError, ShardTx};
use hunch_messages::{Message, Posted};

use crate::command::{Action, Command, Outcome};
use crate::decide::{Decided, decide_batch};
use crate::store;

/// Why a whole batch could not be run. The caller rolls back; nothing has happened.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("another shard used one of the keys at the same moment")]
    KeyRace,
    #[error("batch storage failed")]
    Storage(#[from] sqlx::Error),
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
        outcomes.extend(apply_part(tx, part).await?.into_iter().map(|d| d.outcome));
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

/// A return needs to see what earlier commands wrote, so each clawback is a part of its own.
fn parts(commands: &[Command]) -> Vec<&[Command]> {
    let is_return = |c: &Command| matches!(c.action, Action::Clawback { .. });
    commands.chunk_by(|a, b| !is_return(a) && !is_return(b)).collect()
}
