//! Help for tests of the capabilities that post points, and for the simulation.

pub mod books;

use hunch_kernel::Shard;
use std::sync::Arc;

use crate::Batcher;

/// Drives every shard of `batcher` until the guard is dropped. For tests only: the programme's own
/// loops live in the executable.
pub fn run_batcher(batcher: &Arc<Batcher>) -> RunningBatcher {
    let tasks = (0..batcher.shard_count()).map(|s| tokio::spawn(drive(batcher.clone(), Shard(s as i16)))).collect();
    RunningBatcher(tasks)
}

pub struct RunningBatcher(Vec<tokio::task::JoinHandle<()>>);

impl Drop for RunningBatcher {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn drive(batcher: Arc<Batcher>, shard: Shard) {
    loop {
        batcher.wait(shard).await;
        batcher.step(shard).await;
    }
}
