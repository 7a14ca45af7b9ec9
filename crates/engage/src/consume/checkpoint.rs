//! A shard's memory as it is kept with its position, so that a start need not read the whole log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::features::Book;
use crate::learn::{Learner, Mind};

#[derive(Default, Deserialize)]
pub(super) struct Checkpoint {
    /// Its fields stand beside the others: the audit reads them.
    #[serde(flatten)]
    pub book: Book,
    pub learner: Option<Learner>,
    /// No decision before this message waits for an answer.
    pub asked_since: i64,
    pub clock: Option<Timestamp>,
}

#[derive(Serialize)]
struct CheckpointOf<'a> {
    #[serde(flatten)]
    book: &'a Book,
    learner: Option<&'a Learner>,
    asked_since: i64,
    clock: Option<Timestamp>,
}

/// A version byte, then JSON.
pub(super) fn freeze(book: &Book, mind: &Mind) -> Option<Vec<u8>> {
    let mut bytes = vec![3];
    let kept = CheckpointOf {
        book,
        learner: mind.learner.as_deref(),
        asked_since: mind.waiting.since().unwrap_or(book.seq + 1),
        clock: mind.waiting.clock(),
    };
    serde_json::to_writer(&mut bytes, &kept).ok()?;
    Some(bytes)
}

/// None for what an unknown version wrote: the log is read again from its beginning.
pub(super) fn thaw(bytes: &[u8]) -> Option<Checkpoint> {
    let (version, rest) = bytes.split_first()?;
    match version {
        // Before there were models.
        1 => Some(Checkpoint { book: serde_json::from_slice(rest).ok()?, ..Checkpoint::default() }),
        // Its learner was rewarded for stakes and told of them: it is forgotten.
        2 => Some(Checkpoint { learner: None, ..serde_json::from_slice(rest).ok()? }),
        3 => serde_json::from_slice(rest).ok(),
        _ => None,
    }
}
