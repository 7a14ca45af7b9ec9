//! Turns people away no faster than is cheap. Where very many ask again at once, their answers wait, each for a moment of its own: so
//! nobody reads them again meanwhile, and those inside have the processor.

use hunch_kernel::lock;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// From one refusal to the next, when there are many: a thousand a second.
const APART: Duration = Duration::from_millis(1);
/// So many are answered at once after a pause.
const AT_ONCE: u32 = 500;
/// Nobody waits longer. Whoever would have to is answered then all the same.
const WAIT_MAX: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Patience {
    /// When the next refusal is due, if they all came without a pause.
    next: Mutex<Option<Instant>>,
}

impl Patience {
    /// Returns at once where few are turned away, and in a second at the latest.
    pub async fn wait(&self) {
        let due = self.due(Instant::now());
        if due > Instant::now() {
            sleep_until(due).await;
        }
    }

    fn due(&self, now: Instant) -> Instant {
        let mut next = lock(&self.next);
        let earliest = now.checked_sub(APART * AT_ONCE).unwrap_or(now);
        let due = next.unwrap_or(earliest).max(earliest);
        if due > now + WAIT_MAX {
            return now + WAIT_MAX;
        }
        *next = Some(due + APART);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_are_answered_at_once_many_wait_and_nobody_longer_than_a_second() {
        let patience = Patience::default();
        tokio::time::advance(Duration::from_secs(10)).await;
        let now = Instant::now();
        let waits: Vec<Duration> = (0..5_000).map(|_| patience.due(now).saturating_duration_since(now)).collect();
        assert_eq!(waits[AT_ONCE as usize - 1], Duration::ZERO);
        assert_eq!(waits[AT_ONCE as usize + 100], APART * 100);
        assert!(waits.iter().all(|wait| *wait <= WAIT_MAX), "{waits:?}");
        tokio::time::advance(Duration::from_secs(3)).await;
        let later = Instant::now();
        assert!(patience.due(later) <= later, "the flood is over");
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_comes_when_it_is_due() {
        let patience = Patience::default();
        for _ in 0..AT_ONCE + 200 {
            patience.due(Instant::now());
        }
        let begun = Instant::now();
        patience.wait().await;
        assert!(begun.elapsed() >= APART * 199 && begun.elapsed() <= WAIT_MAX, "{:?}", begun.elapsed());
    }
}
