//! The shops' counters: each till rings up its baskets in order, tells some twice, takes some back and hands some in late.

use jiff::SignedDuration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::api::{ApiError, Purchase, Till};
use crate::latency::Latencies;
use crate::life::Happening;

/// One purchase in so many is told twice, as a till does that lost an answer.
const TOLD_TWICE: u64 = 29;
/// One in so many comes back.
const RETURNED: u64 = 83;
/// One in so many waits and is reported a day late, with others in a batch.
const LATE: u64 = 17;
/// How many baskets may wait at a till before the town waits too.
const WAITING: usize = 256;

/// All counters of the town. They share what they took.
pub(crate) struct Counters {
    queues: Vec<mpsc::Sender<Errand>>,
    tills: JoinSet<Result<Latencies, ApiError>>,
    takings: Arc<Takings>,
}

/// One basket on its way to a till.
pub(crate) struct Errand {
    pub n: u64,
    /// The member's number in the town.
    pub number: usize,
    pub member: Uuid,
    pub who: String,
    pub shop: usize,
    pub cents: i64,
    pub at: jiff::Timestamp,
}

/// What the tills took together.
#[derive(Default)]
pub(crate) struct Takings {
    pub purchases: AtomicU64,
    pub points: AtomicU64,
    pub returns: AtomicU64,
    pub repeats: AtomicU64,
}

impl Counters {
    /// One counter for each till with its shop's name.
    pub fn open<'a>(
        tills: impl Iterator<Item = (&'a Till, &'a str)>,
        watch: &mpsc::UnboundedSender<Happening>,
    ) -> Counters {
        let mut counters = Counters { queues: Vec::new(), tills: JoinSet::new(), takings: Arc::default() };
        for (till, shop) in tills {
            let (queue, errands) = mpsc::channel(WAITING);
            counters.queues.push(queue);
            let takings = counters.takings.clone();
            counters.tills.spawn(serve(till.clone(), shop.to_owned(), errands, takings, watch.clone()));
        }
        counters
    }

    /// Puts a basket on its counter; false when nobody stands there any more.
    pub async fn ring_up(&self, errand: Errand) -> bool {
        self.queues[errand.shop % self.queues.len()].send(errand).await.is_ok()
    }

    /// Nobody new is let in; who waits is still served.
    pub fn shut(&mut self) {
        self.queues.clear();
    }

    /// Waits for the last basket, and gives what was taken and how long the programme's answers took.
    ///
    /// # Errors
    /// The first refusal that no honest till deserves.
    pub async fn closed(mut self) -> Result<(Arc<Takings>, Latencies), ApiError> {
        let mut latencies = Latencies::default();
        while let Some(done) = self.tills.join_next().await {
            latencies.merge(&done.map_err(|e| ApiError::Undocumented(e.to_string()))??);
        }
        Ok((self.takings, latencies))
    }
}

async fn serve(
    till: Till,
    shop: String,
    mut errands: mpsc::Receiver<Errand>,
    takings: Arc<Takings>,
    watch: mpsc::UnboundedSender<Happening>,
) -> Result<Latencies, ApiError> {
    let mut latencies = Latencies::default();
    let mut late: Vec<Purchase> = Vec::new();
    let mut sold: VecDeque<Uuid> = VecDeque::new();
    while let Some(errand) = errands.recv().await {
        let mut purchase = Purchase {
            receipt: format!("R{}", errand.n),
            member_token: errand.member,
            amount_cents: errand.cents,
            currency: "USD",
            purchased_at: errand.at,
        };
        if errand.n % LATE == 0 {
            purchase.purchased_at = errand.at.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(errand.at);
            late.push(purchase);
            if late.len() >= 10 {
                hand_in(&till, &shop, &mut late, &takings, &watch).await?;
            }
            continue;
        }
        let started = Instant::now();
        let (id, points) = till.report(&purchase).await?;
        latencies.add(started.elapsed());
        takings.purchases.fetch_add(1, Ordering::Relaxed);
        takings.points.fetch_add(points.max(0) as u64, Ordering::Relaxed);
        // Nobody has to watch.
        let _ = watch.send(Happening::Bought { who: errand.who, shop: shop.clone(), points });
        if errand.n % TOLD_TWICE == 0 {
            let again = till.report(&purchase).await?;
            if again != (id, points) {
                return Err(ApiError::Undocumented(format!("receipt {} was answered differently", purchase.receipt)));
            }
            takings.repeats.fetch_add(1, Ordering::Relaxed);
        }
        sold.push_back(id);
        if sold.len() > 20 {
            sold.pop_front();
        }
        if errand.n % RETURNED == 0
            && let Some(back) = sold.pop_front()
        {
            let points = till.take_back(back).await?;
            takings.returns.fetch_add(1, Ordering::Relaxed);
            let _ = watch.send(Happening::Returned { shop: shop.clone(), points });
        }
    }
    hand_in(&till, &shop, &mut late, &takings, &watch).await?;
    Ok(latencies)
}

async fn hand_in(
    till: &Till,
    shop: &str,
    late: &mut Vec<Purchase>,
    takings: &Takings,
    watch: &mpsc::UnboundedSender<Happening>,
) -> Result<(), ApiError> {
    if late.is_empty() {
        return Ok(());
    }
    let (points, refused) = till.report_all(late).await?;
    let purchases = (late.len() - refused) as u64;
    takings.purchases.fetch_add(purchases, Ordering::Relaxed);
    takings.points.fetch_add(points.max(0) as u64, Ordering::Relaxed);
    // Nobody has to watch.
    let _ = watch.send(Happening::HandedIn { shop: shop.to_owned(), purchases, points });
    late.clear();
    Ok(())
}
