//! One transaction of one shard: lock the head, do the work, append the batch, commit.

use hunch_kernel::{Shard, seeded_bug};
use hunch_messages::Message;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use ring::digest::{Context, SHA256};
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};
use std::sync::Arc;

use crate::{LogError, batch, chain};

/// The single writer of a shard, for the length of one database transaction. Dropping it rolls back.
pub struct ShardTx {
    tx: Transaction<'static, Postgres>,
    shard: Shard,
    now: Timestamp,
    last_seq: i64,
    prev_hash: Vec<u8>,
    staged: Vec<Message>,
    entry_lines: Context,
}

/// What a commit made durable.
#[derive(Clone, Debug)]
pub struct Committed {
    pub shard: Shard,
    pub first_seq: i64,
    /// `first_seq - 1` when the transaction announced nothing.
    pub last_seq: i64,
    pub messages: Arc<Vec<Message>>,
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was committed.
    #[error("the batch could not be written")]
    Rejected(#[source] sqlx::Error),
    /// The answer of the commit was lost: it may or may not have taken effect. Run the same work
    /// again; its keys tell.
    #[error("the commit's answer was lost")]
    Unknown(#[source] sqlx::Error),
}

impl ShardTx {
    /// Opens a transaction and waits for the shard's lock.
    ///
    /// # Errors
    /// `UnknownShard`, or `Storage` if the database cannot be reached.
    pub async fn begin(pool: &PgPool, shard: Shard, now: Timestamp) -> Result<ShardTx, LogError> {
        let mut tx = hunch_db::begin(pool).await?;
        let head = sqlx::query("SELECT last_seq, hash FROM log.shard_head WHERE shard = $1 FOR UPDATE")
            .bind(shard.0)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(LogError::UnknownShard(shard))?;
        Ok(ShardTx {
            tx,
            shard,
            now,
            last_seq: head.try_get(0)?,
            prev_hash: head.try_get(1)?,
            staged: Vec::new(),
            entry_lines: Context::new(&SHA256),
        })
    }

    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Business time of this batch: one instant for everything in it.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The connection all SQL of this batch goes through.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Sequence number of the newest message, this batch's own included.
    pub fn last_seq(&self) -> i64 {
        self.last_seq + self.staged.len() as i64
    }

    /// Appends a message and gives its sequence number in the shard.
    pub fn announce(&mut self, message: Message) -> i64 {
        self.staged.push(message);
        self.last_seq + self.staged.len() as i64
    }

    /// Says in better words what happened at `seq`, which this batch announced already. A number
    /// outside this batch is ignored.
    pub fn announce_at(&mut self, seq: i64, message: Message) {
        let index = seq - self.last_seq - 1;
        if let Some(slot) = usize::try_from(index).ok().and_then(|i| self.staged.get_mut(i)) {
            *slot = message;
        }
    }

    /// Adds one ledger entry's canonical line to the batch's hash. Lines must come in the order
    /// (seq, line) in which the audit reads them.
    pub fn cover_entry(&mut self, canonical_line: &str) {
        if !seeded_bug("chain-skips-entries") {
            self.entry_lines.update(canonical_line.as_bytes());
        }
    }

    /// Appends the batch, moves the head and commits. Without messages it commits what was written.
    ///
    /// # Errors
    /// `Rejected` when nothing was committed, `Unknown` when the answer was lost.
    pub async fn commit(mut self) -> Result<Committed, CommitError> {
        let first_seq = self.last_seq + 1;
        let last_seq = self.last_seq + self.staged.len() as i64;
        let messages = std::mem::take(&mut self.staged);
        if !messages.is_empty() {
            let payload = batch::encode_messages(&messages)
                .map_err(|e| CommitError::Rejected(sqlx::Error::Encode(Box::new(e))))?;
            let entries_hash = self.entry_lines.clone().finish().as_ref().to_vec();
            let hash = chain::batch_hash(&self.prev_hash, first_seq, last_seq, &payload, &entries_hash);
            sqlx::query(
                "WITH moved AS (UPDATE log.shard_head SET last_seq = $2, hash = $5 WHERE shard = $1)
                 INSERT INTO log.batch (shard, last_seq, first_seq, prev_hash, hash, entries_hash, payload, written_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(self.shard.0)
            .bind(last_seq)
            .bind(first_seq)
            .bind(&self.prev_hash)
            .bind(&hash)
            .bind(&entries_hash)
            .bind(&payload)
            .bind(self.now.to_sqlx())
            .execute(&mut *self.tx)
            .await
            .map_err(CommitError::Rejected)?;
        }
        self.tx.commit().await.map_err(classify_commit)?;
        Ok(Committed { shard: self.shard, first_seq, last_seq, messages: Arc::new(messages) })
    }
}

/// A commit that the database answered with an error did not happen; one it did not answer may have.
fn classify_commit(e: sqlx::Error) -> CommitError {
    match e {
        sqlx::Error::Database(_) => CommitError::Rejected(e),
        other => CommitError::Unknown(other),
    }
}
