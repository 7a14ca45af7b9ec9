//! Choices that wait for their rewards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Taken;

/// Choices by the caller's number, at most so many; the oldest number goes when it is full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    open: BTreeMap<u64, Taken>,
    limit: usize,
}

impl Pending {
    /// Keeps at most `limit`, at least 1.
    pub fn new(limit: usize) -> Pending {
        Pending { open: BTreeMap::new(), limit: limit.max(1) }
    }

    /// Keeps a choice until its reward comes; gives back what had to go for it: an earlier choice of this number, or
    /// the lowest number. Whether that earned nothing or is unknown is the caller's to say.
    pub fn keep(&mut self, number: u64, taken: Taken) -> Option<Taken> {
        let before = self.open.insert(number, taken);
        if before.is_none() && self.open.len() > self.limit {
            self.open.pop_first().map(|(_, taken)| taken)
        } else {
            before
        }
    }

    /// The choice whose reward has come; None if it is not known, or its reward came before.
    pub fn take(&mut self, number: u64) -> Option<Taken> {
        self.open.remove(&number)
    }

    /// Gives up on all choices below `number`, lowest first.
    pub fn expire(&mut self, number: u64) -> Vec<Taken> {
        let kept = self.open.split_off(&number);
        std::mem::replace(&mut self.open, kept).into_values().collect()
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
