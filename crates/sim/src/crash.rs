//! A crash at an await point: the work is dropped where it stands, with everything it holds. What it had sent to the
//! database or to the exchange may or may not take effect, as when a process is killed.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Runs `work`, but drops it when it has waited `waits` times. `None` is a crash.
pub async fn crash_after<F: Future>(work: F, waits: Option<u8>) -> Option<F::Output> {
    let Some(mut left) = waits else { return Some(work.await) };
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(out) => Poll::Ready(Some(out)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
