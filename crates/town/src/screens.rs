//! The phones' screens: what lights up there, and how long after the purchase that caused it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

use crate::latency::Latencies;
use crate::life::Happening;
use crate::names::person;
use crate::push_service::Pushed;

/// How the receipt of a purchase begins on a phone.
const RECEIPT_BEGINS: &str = "You earned";

pub(crate) struct Screens {
    opened: Instant,
    /// When each member's last purchase was asked for: microseconds after `opened`, and one more; zero is never.
    pub asked: Arc<Vec<AtomicU64>>,
    /// From the last purchase's request to the phone lighting up.
    pub purchase_push: Latencies,
    pub last: Option<Pushed>,
    /// How often a phone lit up.
    pub lit: u64,
    watch: mpsc::UnboundedSender<Happening>,
}

impl Screens {
    pub fn new(members: usize, watch: mpsc::UnboundedSender<Happening>) -> Screens {
        Screens {
            opened: Instant::now(),
            asked: Arc::new((0..members).map(|_| AtomicU64::new(0)).collect()),
            purchase_push: Latencies::default(),
            last: None,
            lit: 0,
            watch,
        }
    }

    /// A purchase of this member goes out now.
    pub fn asked_now(&self, number: usize) {
        let since = self.opened.elapsed().as_micros() as u64;
        self.asked[number].store(since + 1, Ordering::Relaxed);
    }

    pub fn lit_up(&mut self, pushed: Pushed) {
        let since = self.asked.get(pushed.phone).map_or(0, |a| a.load(Ordering::Relaxed));
        // Other pushes, about results and returns, have another cause than the last purchase.
        if since > 0 && pushed.text.starts_with(RECEIPT_BEGINS) {
            let asked_at = self.opened + Duration::from_micros(since - 1);
            self.purchase_push.add(pushed.at.saturating_duration_since(asked_at));
        }
        self.lit += 1;
        // Nobody has to watch.
        let _ = self.watch.send(Happening::Pushed { who: person(pushed.phone), text: pushed.text.clone() });
        self.last = Some(pushed);
    }
}
