//! The log: what happened in each shard, in order, one row per transaction.
//!
//! Invariants
//! - A shard has one writer at a time: whoever holds the row lock of `log.shard_head`.
//! - Sequence numbers are dense: nothing is skipped, nothing appears before what it follows.
//! - Each batch carries the hash of the one before (L4), over its messages and its ledger entries.
//! - A batch is committed together with every effect it describes, or not at all (E1).

mod batch;
mod chain;
pub mod positions;
mod reader;
mod shard_tx;
mod tail;

pub use batch::{BatchFormatError, decode_messages};
pub use chain::{Anchor, anchors};
pub use reader::{Batch, head, newest, read_after, shards};
pub use shard_tx::{CommitError, Committed, ShardTx};
pub use tail::Tail;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("shard {0} does not exist")]
    UnknownShard(hunch_kernel::Shard),
    #[error("log storage failed")]
    Storage(#[source] sqlx::Error),
    #[error("batch of shard {shard} ending at {last_seq} cannot be read")]
    Format {
        shard: hunch_kernel::Shard,
        last_seq: i64,
        #[source]
        source: BatchFormatError,
    },
}

impl From<sqlx::Error> for LogError {
    fn from(e: sqlx::Error) -> LogError {
        LogError::Storage(e)
    }
}
