//! A copy in memory of what the database says: read often, changed rarely. However many ask at once, one of them reads, and all
//! have what it read.

use hunch_kernel::{WallTime, read_lock, within, write_lock};
use jiff::SignedDuration;
use moka::future::Cache;
use std::sync::{Arc, RwLock};

/// Readings that somebody may still wait for.
const READINGS_MAX: u64 = 8;

/// The copy. Its users have their own clock, which tests set by hand.
pub struct MemoryCopy<T> {
    /// By their number, each with when it was asked for.
    readings: Cache<u64, (Arc<T>, WallTime)>,
    state: RwLock<State<T>>,
}

struct State<T> {
    /// Which reading comes next. A number is used until its reading has come in, or what it reads was forgotten.
    next: u64,
    newest: Option<(Arc<T>, WallTime)>,
}

impl<T: Send + Sync + 'static> Default for MemoryCopy<T> {
    fn default() -> MemoryCopy<T> {
        MemoryCopy { readings: Cache::new(READINGS_MAX), state: RwLock::new(State { next: 0, newest: None }) }
    }
}

impl<T: Send + Sync + 'static> MemoryCopy<T> {
    /// What was read last, if there is anything, however old.
    pub fn last(&self) -> Option<Arc<T>> {
        read_lock(&self.state).newest.as_ref().map(|(value, _)| value.clone())
    }

    /// The copy, read by `read` if it is not younger than `fresh`. Where reading fails, the old copy serves on, if there is one.
    ///
    /// # Errors
    /// Those of reading, when there is nothing to show instead.
    pub async fn get(
        &self,
        now: WallTime,
        fresh: SignedDuration,
        read: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<Arc<T>, sqlx::Error> {
        let (turn, old) = {
            let state = read_lock(&self.state);
            match &state.newest {
                Some((value, read_at)) if within(now, *read_at, fresh) => return Ok(value.clone()),
                newest => (state.next, newest.as_ref().map(|(value, _)| value.clone())),
            }
        };
        match self.readings.try_get_with(turn, async { read.await.map(|value| (Arc::new(value), now)) }).await {
            Ok((value, read_at)) => {
                let mut state = write_lock(&self.state);
                // What was forgotten meanwhile is for those only who asked before.
                if state.next == turn {
                    (state.next, state.newest) = (turn + 1, Some((value.clone(), read_at)));
                }
                Ok(value)
            }
            Err(error) => match old {
                Some(old) => {
                    tracing::warn!(
                        error = error.to_string(),
                        "a copy in memory could not be read anew; the old one serves on"
                    );
                    Ok(old)
                }
                None => {
                    Err(Arc::try_unwrap(error).unwrap_or_else(|shared| sqlx::Error::AnyDriverError(Box::new(shared))))
                }
            },
        }
    }

    /// Forgets the copy, after a change made through this process. A reading that is on its way serves only those who wait for it.
    pub fn forget(&self) {
        let mut state = write_lock(&self.state);
        (state.next, state.newest) = (state.next + 1, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    const FRESH: SignedDuration = SignedDuration::from_secs(1);

    fn at(second: i64) -> WallTime {
        WallTime::from_timestamp(jiff::Timestamp::from_second(second).unwrap())
    }

    #[tokio::test]
    async fn of_many_who_ask_at_once_one_reads() {
        let (copy, reads, go) = (MemoryCopy::<u32>::default(), AtomicU32::new(0), Notify::new());
        let ask = |now| {
            copy.get(now, FRESH, async {
                let n = reads.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
                Ok(n)
            })
        };
        for round in 0..3 {
            let now = at(i64::from(round) * 10);
            let (one, two, three, ()) = tokio::join!(ask(now), ask(now), ask(now), async {
                tokio::task::yield_now().await;
                go.notify_one();
            });
            assert_eq!([*one.unwrap(), *two.unwrap(), *three.unwrap()], [round; 3]);
            assert_eq!(*ask(now).await.unwrap(), round, "it is fresh");
        }
        assert_eq!(reads.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn what_was_forgotten_while_it_was_read_is_read_again() {
        let (copy, go) = (MemoryCopy::<u32>::default(), Notify::new());
        let slow = copy.get(at(0), FRESH, async {
            go.notified().await;
            Ok(1)
        });
        let (old, ()) = tokio::join!(slow, async {
            tokio::task::yield_now().await;
            copy.forget();
            go.notify_one();
        });
        assert_eq!(*old.unwrap(), 1);
        assert_eq!(*copy.get(at(0), FRESH, async { Ok(2) }).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn the_old_copy_serves_on_where_reading_fails() {
        let copy = MemoryCopy::<u32>::default();
        let fails = || async { Err(sqlx::Error::PoolTimedOut) };
        assert!(copy.get(at(0), FRESH, fails()).await.is_err());
        copy.get(at(0), FRESH, async { Ok(5) }).await.unwrap();
        assert_eq!(*copy.get(at(100), FRESH, fails()).await.unwrap(), 5);
        assert_eq!(*copy.get(at(100), FRESH, async { Ok(6) }).await.unwrap(), 6, "and is asked for again");
    }
}
