//! Wakes in-process readers when a shard's log grows, and spares them the database while they keep up.
//!
//! The tail is a convenience, never the truth: whoever falls behind its memory reads the table.

use hunch_kernel::{Shard, lock};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

use crate::reader::read_after;
use crate::{Batch, Committed, LogError};

/// How many batches a shard's tail remembers.
const REMEMBERED: usize = 256;

#[derive(Clone)]
pub struct Tail {
    shards: Arc<Vec<ShardTail>>,
}

struct ShardTail {
    newest: watch::Sender<i64>,
    recent: Mutex<VecDeque<Batch>>,
}

impl Tail {
    pub fn new(shards: u16) -> Tail {
        let one = |_| ShardTail { newest: watch::Sender::new(0), recent: Mutex::new(VecDeque::new()) };
        Tail { shards: Arc::new((0..shards).map(one).collect()) }
    }

    pub fn shard_count(&self) -> u16 {
        self.shards.len() as u16
    }

    /// Tells readers of a commit. Called by whoever committed, in commit order within a shard.
    pub fn publish(&self, committed: &Committed) {
        let Some(shard) = self.shards.get(committed.shard.0 as usize) else { return };
        if committed.messages.is_empty() {
            return;
        }
        let mut recent = lock(&shard.recent);
        recent.push_back(Batch {
            shard: committed.shard,
            first_seq: committed.first_seq,
            last_seq: committed.last_seq,
            messages: committed.messages.clone(),
        });
        if recent.len() > REMEMBERED {
            recent.pop_front();
        }
        drop(recent);
        shard.newest.send_if_modified(|newest| {
            let grew = committed.last_seq > *newest;
            *newest = (*newest).max(committed.last_seq);
            grew
        });
    }

    /// Returns once this process has seen the shard grow past `seq`. Writers in other processes are
    /// not heard: pair it with a time limit and read anyway.
    pub async fn wait_past(&self, shard: Shard, seq: i64) {
        let Some(shard) = self.shards.get(shard.0 as usize) else {
            return std::future::pending().await;
        };
        let mut newest = shard.newest.subscribe();
        // The sender lives as long as self, so the wait cannot end with an error.
        let _ = newest.wait_for(|n| *n > seq).await;
    }

    /// Like [`read_after`], from memory when it reaches back without a gap, else from the table.
    ///
    /// # Errors
    /// As [`read_after`].
    pub async fn read_after(
        &self,
        pool: &sqlx::PgPool,
        shard: Shard,
        after_seq: i64,
        batches_max: i64,
    ) -> Result<Vec<Batch>, LogError> {
        match self.remembered(shard, after_seq, batches_max) {
            Some(batches) => Ok(batches),
            None => read_after(pool, shard, after_seq, batches_max).await,
        }
    }

    fn remembered(&self, shard: Shard, after_seq: i64, batches_max: i64) -> Option<Vec<Batch>> {
        let recent = lock(&self.shards.get(shard.0 as usize)?.recent);
        let mut next = after_seq + 1;
        let mut found = Vec::new();
        for batch in recent.iter().filter(|b| b.last_seq > after_seq).take(batches_max.max(0) as usize) {
            if batch.first_seq > next {
                break;
            }
            next = batch.last_seq + 1;
            found.push(batch.clone());
        }
        (!found.is_empty()).then_some(found)
    }
}
