//! Who was turned away lately, for whoever asks whether this process is well.

use hunch_kernel::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// So long after the last one it is still told.
const LATELY: Duration = Duration::from_secs(10);

/// Shared by all that turn somebody away.
#[derive(Clone, Default)]
pub struct TurnedAway(Arc<Mutex<BTreeMap<&'static str, Spell>>>);

/// People turned away without a longer pause between two.
struct Spell {
    last: Instant,
    count: u64,
}

impl TurnedAway {
    /// Counts one, of those who are named so.
    pub(crate) fn one(&self, who: &'static str) {
        // The label keeps the word that dashboards know.
        metrics::counter!("hunch_http_shed_total", "door" => who).increment(1);
        let (now, mut all) = (Instant::now(), lock(&self.0));
        let spell = all.entry(who).or_insert(Spell { last: now, count: 0 });
        if now.duration_since(spell.last) > LATELY {
            spell.count = 0;
        }
        (spell.last, spell.count) = (now, spell.count + 1);
    }

    /// Who, and how many.
    pub fn lately(&self) -> Vec<(&'static str, u64)> {
        let (now, all) = (Instant::now(), lock(&self.0));
        let lately = all.iter().filter(|(_, spell)| now.duration_since(spell.last) <= LATELY);
        lately.map(|(who, spell)| (*who, spell.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_was_turned_away_is_told_until_it_is_over() {
        let away = TurnedAway::default();
        assert!(away.lately().is_empty());
        away.one("tills");
        away.one("tills");
        tokio::time::sleep(LATELY / 2).await;
        away.one("stakes");
        assert_eq!(away.lately(), vec![("stakes", 1), ("tills", 2)]);
        tokio::time::sleep(LATELY * 3 / 4).await;
        assert_eq!(away.lately(), vec![("stakes", 1)]);
        tokio::time::sleep(LATELY).await;
        assert!(away.lately().is_empty());
        away.one("stakes");
        assert_eq!(away.lately(), vec![("stakes", 1)], "counted anew");
    }
}
