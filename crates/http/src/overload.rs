//! How many requests are in hand at once. Beyond that the next one is not admitted: what was admitted keeps its speed,
//! and the queue empties within seconds once the rush is over. A place is taken by what is whole and believed only
//! (`entrance`): none waits for its sender.
//!
//! Tills, stakes and everything else are admitted apart. Stakes wait for the exchange, and a slow exchange must not keep
//! a shop from selling. Operators and health are always admitted: at 2 a.m. somebody must get in.
//!
//! Admission of tills narrows while answers take longer than they should, in proportion (who is in hand is what arrives
//! in a second times the seconds it stays), and widens again step by step.

use hunch_kernel::lock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

use crate::turned_away::TurnedAway;

const TILLS_MIN: usize = 64;
const STAKES: usize = 128;
const OTHERS: usize = 256;
/// How long a till should wait on average, unless the machine takes half of that with nobody turned away.
const ANSWER_WITHIN: Duration = Duration::from_millis(15);
const WINDOW: Duration = Duration::from_millis(100);
/// What is known of calm times fades by this part of itself in each window.
const FADING: u32 = 256;

#[derive(Clone)]
pub(crate) struct Admissions {
    tills: Arc<Admission>,
    stakes: Arc<Admission>,
    others: Arc<Admission>,
    turned_away: TurnedAway,
}

/// Admits as many as `places` says.
struct Admission {
    name: &'static str,
    inside: AtomicUsize,
    places: AtomicUsize,
    /// Places when nothing is slow.
    most: usize,
    pace: Option<Mutex<Pace>>,
}

/// How long answers took lately.
struct Pace {
    begun: Instant,
    answered: u32,
    took: Duration,
    shed: bool,
    /// The average of the best window without anybody turned away.
    calm: Option<Duration>,
}

/// A request that was admitted, until it is answered.
pub(crate) struct Admitted<'a> {
    by: &'a Admission,
    since: Instant,
}

impl Admission {
    fn new(name: &'static str, places: usize, paced: bool) -> Arc<Admission> {
        let pace = Pace { begun: Instant::now(), answered: 0, took: Duration::ZERO, shed: false, calm: None };
        Arc::new(Admission {
            name,
            inside: AtomicUsize::new(0),
            places: AtomicUsize::new(places),
            most: places,
            pace: paced.then(|| Mutex::new(pace)),
        })
    }

    fn enter(&self) -> Option<Admitted<'_>> {
        if self.inside.fetch_add(1, Ordering::Relaxed) < self.places.load(Ordering::Relaxed) {
            return Some(Admitted { by: self, since: Instant::now() });
        }
        self.inside.fetch_sub(1, Ordering::Relaxed);
        if let Some(pace) = &self.pace {
            lock(pace).shed = true;
        }
        None
    }

    fn answered(&self, took: Duration) {
        let Some(pace) = &self.pace else { return };
        let mut pace = lock(pace);
        pace.answered += 1;
        pace.took += took;
        if pace.begun.elapsed() >= WINDOW {
            let places = pace.places_after(self.places.load(Ordering::Relaxed), self.most);
            self.places.store(places, Ordering::Relaxed);
        }
    }
}

impl Pace {
    /// Ends the window and says how many may be in hand in the next.
    fn places_after(&mut self, places: usize, most: usize) -> usize {
        let average = self.took / self.answered.max(1);
        if let Some(calm) = &mut self.calm {
            *calm += *calm / FADING;
        }
        if !self.shed {
            self.calm = Some(self.calm.map_or(average, |calm| calm.min(average)));
        }
        let target = self.calm.map_or(ANSWER_WITHIN, |calm| ANSWER_WITHIN.max(calm * 2));
        (self.begun, self.answered, self.took, self.shed) = (Instant::now(), 0, Duration::ZERO, false);
        if average > target {
            let narrower = places as f64 * target.as_secs_f64() / average.as_secs_f64();
            (narrower as usize).max(TILLS_MIN.min(most))
        } else {
            (places + (most / 8).max(1)).min(most)
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.by.inside.fetch_sub(1, Ordering::Relaxed);
        self.by.answered(self.since.elapsed());
    }
}

impl Admissions {
    /// `tills`: purchases and returns in hand at once, at most.
    pub fn new(turned_away: TurnedAway, tills: usize) -> Admissions {
        Admissions {
            turned_away,
            tills: Admission::new("tills", tills, true),
            stakes: Admission::new("stakes", STAKES, false),
            others: Admission::new("others", OTHERS, false),
        }
    }

    fn of(&self, path: &str) -> Option<&Admission> {
        let below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
        if below(&["/healthz", "/readyz", "/metrics", "/v1/ops/"]) {
            None
        } else if below(&["/v1/pos/purchases", "/v1/pos/returns"]) {
            Some(&self.tills)
        } else if below(&["/v1/quotes", "/v1/orders", "/webhooks/"]) {
            Some(&self.stakes)
        } else {
            Some(&self.others)
        }
    }

    /// A place, where this path needs one; an error when all are taken.
    pub fn enter(&self, path: &str) -> Result<Option<Admitted<'_>>, ()> {
        let Some(admission) = self.of(path) else { return Ok(None) };
        admission.enter().map(Some).ok_or_else(|| self.turned_away.one(admission.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILLS: usize = 256;

    #[test]
    fn where_all_places_are_taken_the_next_is_turned_away_and_others_are_not() {
        let turned_away = TurnedAway::default();
        let admissions = Admissions::new(turned_away.clone(), TILLS);
        let enter = |path: &str| admissions.enter(path);
        let inside: Vec<_> = (0..TILLS).map(|_| enter("/v1/pos/purchases").unwrap().unwrap()).collect();
        assert!(enter("/v1/pos/purchases").is_err());
        assert_eq!(turned_away.lately(), vec![("tills", 1)]);
        assert!(enter("/v1/me").unwrap().is_some() && enter("/v1/orders").unwrap().is_some());
        assert!(enter("/v1/pos/sessions").unwrap().is_some(), "whoever asks for a session is a stranger still");
        for always in ["/readyz", "/healthz", "/metrics", "/v1/ops/live"] {
            assert!(enter(always).unwrap().is_none(), "{always} needs no place");
        }
        drop(inside);
        assert!(enter("/v1/pos/purchases").is_ok(), "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_answers_narrow_admission_and_quick_ones_widen_it() {
        let admission = Admission::new("tills", TILLS, true);
        let places = || admission.places.load(Ordering::Relaxed);
        let serve = async |took: Duration, windows: u32| {
            for _ in 0..windows * (WINDOW.as_millis() / took.as_millis() + 1) as u32 {
                let inside: Vec<_> = (0..10).filter_map(|_| admission.enter()).collect();
                tokio::time::sleep(took).await;
                drop(inside);
            }
        };
        serve(Duration::from_millis(5), 20).await;
        assert_eq!(places(), TILLS);
        serve(Duration::from_millis(30), 1).await;
        // The window began with quick answers; from then on half as many stay half as long.
        assert!((TILLS / 2..TILLS).contains(&places()), "{}", places());
        serve(Duration::from_millis(400), 10).await;
        assert_eq!(places(), TILLS_MIN);
        serve(Duration::from_millis(5), 20).await;
        assert_eq!(places(), TILLS);
    }

    /// Where storing always takes long, it does not narrow because of that.
    #[tokio::test(start_paused = true)]
    async fn a_slow_machine_is_known_by_its_calm_times() {
        let admission = Admission::new("tills", TILLS, true);
        for _ in 0..50 {
            let inside = admission.enter();
            tokio::time::sleep(Duration::from_millis(60)).await;
            drop(inside);
        }
        assert_eq!(admission.places.load(Ordering::Relaxed), TILLS);
    }
}
