//! Receipts of a till that were refused lately. A till that sends nonsense by the thousand costs others their time, so it has to
//! wait; a till with some bad receipts does not.

use hunch_kernel::{Elapsed, SharedWallClock, TerminalId, lock};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// How many are forgotten in a second.
const FORGOTTEN_A_SECOND: u128 = 100;
/// How many a till may have before it has to wait.
const BORNE: u128 = 1_000;
/// What is more than this is not counted: nobody waits longer than for as many.
const COUNTED: u128 = 2 * BORNE;
const MILLI: u128 = 1_000;
const TILLS_MAX: usize = 100_000;

#[derive(Clone)]
pub(crate) struct RefusedReceipts {
    passed: Arc<Elapsed>,
    of: Arc<Mutex<HashMap<TerminalId, Counted>>>,
}

#[derive(Clone, Copy)]
struct Counted {
    /// Thousandths of a receipt.
    milli: u128,
    /// Milliseconds of the clock when it was so.
    at: u128,
}

impl RefusedReceipts {
    pub fn new(wall: &SharedWallClock) -> RefusedReceipts {
        RefusedReceipts { passed: Arc::new(Elapsed::since_now(wall.clone())), of: Arc::default() }
    }

    pub fn add(&self, terminal: TerminalId, receipts: usize) {
        if receipts == 0 {
            return;
        }
        let (now, mut of) = (self.now(), lock(&self.of));
        if of.len() >= TILLS_MAX {
            of.clear();
        }
        let milli = left(of.get(&terminal), now) + receipts as u128 * MILLI;
        of.insert(terminal, Counted { milli: milli.min(COUNTED * MILLI), at: now });
    }

    pub fn too_many(&self, terminal: TerminalId) -> bool {
        let now = self.now();
        left(lock(&self.of).get(&terminal), now) >= BORNE * MILLI
    }

    fn now(&self) -> u128 {
        self.passed.get().as_millis().max(0).unsigned_abs()
    }
}

fn left(counted: Option<&Counted>, now: u128) -> u128 {
    counted.map_or(0, |c| c.milli.saturating_sub(now.saturating_sub(c.at) * FORGOTTEN_A_SECOND))
}
