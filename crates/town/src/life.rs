//! The town at work: forty tills report what a thousand members buy, in the rhythm of a real log.

use hunch_kernel::{Clocks, derived_uuid};
use jiff::SignedDuration;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::api::{ApiError, MemberLogin, Operator, Phone, Purchase, Till, TillLogin};
use crate::latency::{Latencies, Percentiles};
use crate::log::{Basket, Log};
use crate::names::{SHOPS, person};

const MEMBERS: usize = 1_000;
const ZONE: &str = "America/New_York";
/// One purchase in so many is told twice, as a till does that lost an answer.
const TOLD_TWICE: u64 = 29;
/// One in so many comes back.
const RETURNED: u64 = 83;
/// One in so many waits and is reported a day late, with others in a batch.
const LATE: u64 = 17;
/// How many members' phones are looked at in the end.
const PHONES: usize = 20;

pub struct TownConfig {
    pub base_url: String,
    pub operator_token: String,
    pub clocks: Clocks,
    pub log: Log,
    /// Where tills and members keep their logins and the log's place is remembered.
    pub state_file: PathBuf,
    pub purchases_per_second: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the town's memory {path} cannot be read or written")]
    State {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("a phone shows {shown} points, its statement adds up to {stated}")]
    Phone { shown: i64, stated: i64 },
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// Something that just happened, for whoever watches.
#[derive(Clone, Debug)]
pub enum Happening {
    Bought { who: String, shop: String, points: i64 },
    Returned { shop: String, points: i64 },
}

/// What the town did, in the words of the demo's last line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub members: usize,
    pub merchants: usize,
    pub purchases: u64,
    pub points_issued: i64,
    pub returns: u64,
    /// Receipts that were told twice and answered the same.
    pub repeats: u64,
    pub request_answer: Percentiles,
}

/// What must be remembered between two starts.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    tills: Vec<TillLogin>,
    members: Vec<MemberLogin>,
    /// The next basket of the log.
    next: u64,
}

pub struct Town {
    config: TownConfig,
    http: Client,
    memory: Memory,
    tills: Vec<Till>,
}

/// Counters that the tills share.
#[derive(Default)]
struct Counts {
    purchases: AtomicU64,
    points: AtomicU64,
    returns: AtomicU64,
    repeats: AtomicU64,
}

impl Town {
    /// Opens the shops and takes the members in, or finds them as they were left.
    ///
    /// # Errors
    /// What the programme answers, or a memory that cannot be read.
    pub async fn open(config: TownConfig) -> Result<Town, LifeError> {
        let http = Client::builder().timeout(Duration::from_secs(10)).build().map_err(LifeError::Client)?;
        let operator = Operator::new(http.clone(), &config.base_url, &config.operator_token);
        let mut memory = recall(&config.state_file)?;
        if memory.tills.is_empty() {
            for (n, (name, category)) in SHOPS.iter().enumerate() {
                let merchant = derived_uuid(&[b"town-shop", &n.to_be_bytes()]);
                memory.tills.push(operator.open_shop(merchant, name, category, ZONE).await?);
            }
            for first in (0..MEMBERS).step_by(500) {
                let people = (first..MEMBERS.min(first + 500)).map(|n| {
                    json!({
                        "member_token": derived_uuid(&[b"town-member", config.operator_token.as_bytes(), &n.to_be_bytes()]),
                        "full_name": person(n), "email": format!("member{n}@town.example"), "phone": "",
                        "birth_date": format!("{}-{:02}-{:02}", 1950 + n % 60, 1 + n % 12, 1 + n % 28), "home_zone": ZONE
                    })
                });
                memory.members.extend(operator.add_members(people.collect(), true).await?);
            }
            remember(&config.state_file, &memory)?;
        }
        let mut tills = Vec::new();
        for login in &memory.tills {
            tills.push(Till::open(http.clone(), &config.base_url, config.clocks.wall.clone(), login).await?);
        }
        Ok(Town { config, http, memory, tills })
    }

    /// Sign-in codes of the first members, for visitors.
    pub fn visitors(&self) -> impl Iterator<Item = (String, &str)> {
        self.memory.members.iter().enumerate().map(|(n, m)| (person(n), m.sign_in_code.as_str()))
    }

    pub fn first_till(&self) -> Option<&TillLogin> {
        self.memory.tills.first()
    }

    /// Lives until `until` or until told to stop, then looks at some phones.
    ///
    /// # Errors
    /// A refusal that no honest till deserves, or a phone whose statement does not add up.
    pub async fn live(
        &mut self,
        until: Option<Instant>,
        stop: &Arc<std::sync::atomic::AtomicBool>,
        watch: mpsc::UnboundedSender<Happening>,
    ) -> Result<Summary, LifeError> {
        let counts = Arc::new(Counts::default());
        let mut workers = JoinSet::new();
        let mut queues = Vec::new();
        for (n, till) in self.tills.iter().enumerate() {
            let (sender, receiver) = mpsc::channel(256);
            queues.push(sender);
            workers.spawn(serve(
                till.clone(),
                self.memory.tills[n].shop.clone(),
                receiver,
                counts.clone(),
                watch.clone(),
            ));
        }
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let per_tick = f64::from(self.config.purchases_per_second) / 50.0;
        let mut due = 0.0;
        while until.is_none_or(|end| Instant::now() < end) && !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            due += per_tick;
            while due >= 1.0 {
                due -= 1.0;
                let errand = self.next_errand();
                let queue = &queues[errand.shop % queues.len()];
                if queue.send(errand).await.is_err() {
                    break;
                }
            }
        }
        drop(queues);
        let mut latencies = Latencies::default();
        while let Some(done) = workers.join_next().await {
            latencies.merge(&done.map_err(|e| ApiError::Undocumented(e.to_string()))??);
        }
        remember(&self.config.state_file, &self.memory)?;
        self.look_at_phones().await?;
        let count = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Ok(Summary {
            members: self.memory.members.len(),
            merchants: self.memory.tills.len(),
            purchases: count(&counts.purchases),
            points_issued: count(&counts.points) as i64,
            returns: count(&counts.returns),
            repeats: count(&counts.repeats),
            request_answer: latencies.percentiles(),
        })
    }

    fn next_errand(&mut self) -> Errand {
        let n = self.memory.next;
        self.memory.next += 1;
        let baskets = &self.config.log.baskets;
        let basket: &Basket = &baskets[n as usize % baskets.len()];
        // A log with fewer customers than we have members is spread over them, round by round.
        let spread = if self.config.log.customers < MEMBERS { n as usize / self.config.log.customers } else { 0 };
        let member = (basket.customer + spread * self.config.log.customers) % self.memory.members.len();
        Errand {
            n,
            member: self.memory.members[member].member_token,
            who: person(member),
            shop: (basket.shop % self.tills.len() as u64) as usize,
            cents: basket.cents,
            at: self.config.clocks.business.now(),
        }
    }

    async fn look_at_phones(&self) -> Result<(), LifeError> {
        let step = (self.memory.members.len() / PHONES).max(1);
        for login in self.memory.members.iter().step_by(step) {
            let phone = Phone::sign_in(self.http.clone(), &self.config.base_url, &login.sign_in_code).await?;
            let (shown, stated) = (phone.balance().await?, phone.statement_total().await?);
            if shown != stated {
                return Err(LifeError::Phone { shown, stated });
            }
        }
        Ok(())
    }
}

/// One basket on its way to a till.
struct Errand {
    n: u64,
    member: Uuid,
    who: String,
    shop: usize,
    cents: i64,
    at: jiff::Timestamp,
}

async fn serve(
    till: Till,
    shop: String,
    mut errands: mpsc::Receiver<Errand>,
    counts: Arc<Counts>,
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
                hand_in(&till, &mut late, &counts).await?;
            }
            continue;
        }
        let started = Instant::now();
        let (id, points) = till.report(&purchase).await?;
        latencies.add(started.elapsed());
        counts.purchases.fetch_add(1, Ordering::Relaxed);
        counts.points.fetch_add(points.max(0) as u64, Ordering::Relaxed);
        // Nobody has to watch.
        let _ = watch.send(Happening::Bought { who: errand.who, shop: shop.clone(), points });
        if errand.n % TOLD_TWICE == 0 {
            let again = till.report(&purchase).await?;
            if again != (id, points) {
                return Err(ApiError::Undocumented(format!("receipt {} was answered differently", purchase.receipt)));
            }
            counts.repeats.fetch_add(1, Ordering::Relaxed);
        }
        sold.push_back(id);
        if sold.len() > 20 {
            sold.pop_front();
        }
        if errand.n % RETURNED == 0
            && let Some(back) = sold.pop_front()
        {
            let points = till.take_back(back).await?;
            counts.returns.fetch_add(1, Ordering::Relaxed);
            let _ = watch.send(Happening::Returned { shop: shop.clone(), points });
        }
    }
    hand_in(&till, &mut late, &counts).await?;
    Ok(latencies)
}

async fn hand_in(till: &Till, late: &mut Vec<Purchase>, counts: &Counts) -> Result<(), ApiError> {
    if late.is_empty() {
        return Ok(());
    }
    let (points, refused) = till.report_all(late).await?;
    counts.purchases.fetch_add((late.len() - refused) as u64, Ordering::Relaxed);
    counts.points.fetch_add(points.max(0) as u64, Ordering::Relaxed);
    late.clear();
    Ok(())
}

fn recall(path: &Path) -> Result<Memory, LifeError> {
    let fail = |source| LifeError::State { path: path.to_owned(), source };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| fail(e.into())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Memory::default()),
        Err(e) => Err(fail(e)),
    }
}

/// Written beside its place and moved there, so that a crash leaves the old memory or the new one.
fn remember(path: &Path, memory: &Memory) -> Result<(), LifeError> {
    use std::os::unix::fs::OpenOptionsExt;
    let write = || -> std::io::Result<()> {
        let draft = path.with_extension("new");
        let file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        serde_json::to_writer(&file, memory)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(|source| LifeError::State { path: path.to_owned(), source })
}
