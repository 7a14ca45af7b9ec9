//! The town at work: forty tills report what a thousand members buy, in the rhythm of a real log.

use futures_util::{StreamExt, TryStreamExt};
use hunch_kernel::{Clocks, SharedEntropy, derived_uuid};
use jiff::SignedDuration;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::api::{ApiError, MemberLogin, Operator, Phone, Purchase, Till, TillLogin, push_key};
use crate::latency::{Latencies, Percentiles};
use crate::log::{Basket, Log};
use crate::names::{OFFERS, SHOPS, person};
use crate::push_service::{PushService, Pushed};
use crate::stakes::{StakeCounts, Stakers, be_somewhere, take_winnings_back};

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
/// How many baskets are noted as rung up at once.
const BASKETS_AHEAD: u64 = 1_000;
/// How the receipt of a purchase begins on a phone.
const RECEIPT_BEGINS: &str = "You earned";

/// How many phones may be talking to the programme at once while the town wakes up.
const WAKING_AT_ONCE: usize = 32;
/// How long the last pushes are waited for when the shops have closed.
const LAST_PUSHES: Duration = Duration::from_secs(3);
/// How long orders that are on their way are waited for. One whose outcome is unknown takes ten seconds and more.
const LAST_ORDERS: Duration = Duration::from_secs(40);

pub struct TownConfig {
    pub base_url: String,
    pub operator_token: String,
    pub clocks: Clocks,
    pub entropy: SharedEntropy,
    pub log: Log,
    /// Where tills and members keep their logins and the log's place is remembered.
    pub state_file: PathBuf,
    pub purchases_per_second: u32,
    /// How fast the town's clock goes.
    pub speed: u32,
    /// 0 is a town without stakes.
    pub stakes_per_second: u32,
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
    #[error("the town's push service could not be started")]
    PushService(#[source] std::io::Error),
    #[error("{0} pushes could not be read or were not signed by the programme")]
    BadPushes(u64),
    #[error("a phone was pushed {pushed:?}, its notice says {shown:?}")]
    Notice { pushed: String, shown: String },
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// Something that just happened, for whoever watches.
#[derive(Clone, Debug)]
pub enum Happening {
    Bought {
        who: String,
        shop: String,
        points: i64,
    },
    Returned {
        shop: String,
        points: i64,
    },
    Staked {
        who: String,
        points: i64,
        title: String,
    },
    /// A stake that was not allowed or not possible.
    Refused {
        who: String,
        code: String,
    },
    /// A phone lit up.
    Pushed {
        who: String,
        text: String,
    },
}

/// What the town did, in the words of the demo's last line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub members: usize,
    pub merchants: usize,
    pub purchases: u64,
    pub points_issued: i64,
    pub returns: u64,
    /// Stakes that were confirmed, and those that were refused by the problem's word.
    pub stakes: u64,
    pub stakes_refused: BTreeMap<String, u64>,
    /// Returns that took a share of winnings back.
    pub clawbacks: u64,
    /// Receipts that were told twice and answered the same.
    pub repeats: u64,
    /// What the phones' push service accepted and could read.
    pub pushes_sent: u64,
    pub request_answer: Percentiles,
    /// From the last purchase's request to the member's phone lighting up.
    pub purchase_push: Percentiles,
}

/// What must be remembered between two starts.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    tills: Vec<TillLogin>,
    /// Baskets of the log before this one may have been rung up. Written ahead of use, so that a town that was cut off
    /// never gives a receipt number twice; a few baskets are skipped then.
    next: u64,
}

pub struct Town {
    config: TownConfig,
    memory: Memory,
    /// The next basket of the log.
    next: u64,
    tills: Vec<Till>,
    members: Vec<MemberLogin>,
    phones: Arc<Vec<Phone>>,
    operator: Operator,
    /// Two members who will take their receipts back.
    pair: [(MemberLogin, Phone); 2],
    push_service: PushService,
    arrivals: mpsc::UnboundedReceiver<Pushed>,
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
            let now = config.clocks.business.now();
            let month = now..now.saturating_add(SignedDuration::from_hours(30 * 24)).unwrap_or(now);
            for (shop, title, bonus) in OFFERS {
                operator
                    .add_offer(derived_uuid(&[b"town-shop", &shop.to_be_bytes()]), title, bonus, month.clone())
                    .await?;
            }
            remember(&config.state_file, &memory)?;
        }
        // Members keep their tokens; each opening gives them new codes.
        let mut members = Vec::new();
        for first in (0..MEMBERS).step_by(500) {
            let people = (first..MEMBERS.min(first + 500)).map(|n| {
                json!({
                    "member_token": derived_uuid(&[b"town-member", config.operator_token.as_bytes(), &n.to_be_bytes()]),
                    "full_name": person(n), "email": format!("member{n}@town.example"), "phone": "",
                    "birth_date": format!("{}-{:02}-{:02}", 1950 + n % 60, 1 + n % 12, 1 + n % 28), "home_zone": ZONE
                })
            });
            members.extend(operator.add_members(people.collect(), true).await?);
        }
        let mut tills = Vec::new();
        for login in &memory.tills {
            tills.push(Till::open(http.clone(), &config.base_url, config.clocks.wall.clone(), login).await?);
        }
        let (sender, arrivals) = mpsc::unbounded_channel();
        let key = push_key(&http, &config.base_url).await?;
        let started = PushService::start(&key, config.clocks.wall.clone(), sender).await;
        let push_service = started.map_err(LifeError::PushService)?;
        let waking = members.iter().enumerate().map(|(number, login)| {
            let (http, base, code) = (http.clone(), config.base_url.clone(), login.sign_in_code.clone());
            let subscription = push_service.phone(&config.entropy);
            async move {
                let phone = Phone::sign_in(http, &base, &code).await?;
                phone.subscribe(&subscription).await?;
                be_somewhere(number, &phone).await?;
                Ok::<Phone, ApiError>(phone)
            }
        });
        // In order, so that a phone's number is its member's.
        let phones: Vec<Phone> = futures_util::stream::iter(waking).buffered(WAKING_AT_ONCE).try_collect().await?;
        let pair = two_strangers(&http, &config, &operator).await?;
        let next = memory.next;
        Ok(Town {
            config,
            memory,
            next,
            tills,
            members,
            phones: Arc::new(phones),
            operator,
            pair,
            push_service,
            arrivals,
        })
    }

    /// Sign-in codes of the first members, for visitors.
    pub fn visitors(&self) -> impl Iterator<Item = (String, &str)> {
        self.members.iter().enumerate().map(|(n, m)| (person(n), m.sign_in_code.as_str()))
    }

    /// One command that buys something at the first till, ready to be pasted: the member's name and the command.
    pub fn one_purchase(&self, base_url: &str) -> Option<(String, String)> {
        let (till, member) = (self.tills.first()?, self.members.first()?);
        let purchase = Purchase {
            receipt: format!("CURL-{}", self.config.clocks.wall.now().as_second()),
            member_token: member.member_token,
            amount_cents: 1_250,
            currency: "USD",
            purchased_at: self.config.clocks.business.now(),
        };
        Some((person(0), till.curl(base_url, &purchase)))
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
        let asked: Arc<Vec<AtomicU64>> = Arc::new((0..self.members.len()).map(|_| AtomicU64::new(0)).collect());
        let staking_ends = Arc::new(AtomicBool::new(false));
        let stakers = Stakers {
            phones: self.phones.clone(),
            clocks: self.config.clocks.clone(),
            entropy: self.config.entropy.clone(),
            per_second: self.config.stakes_per_second,
            asked: asked.clone(),
            watch: watch.clone(),
            stop: staking_ends.clone(),
        };
        let speed = self.config.speed;
        let (till, pair, clocks, ends) =
            (self.tills[0].clone(), self.pair.clone(), self.config.clocks.clone(), staking_ends.clone());
        let stakes = (self.config.stakes_per_second > 0).then(|| {
            let clawbacks = tokio::spawn(async move { take_winnings_back(&till, &pair, &clocks, speed, &ends).await });
            (tokio::spawn(stakers.live()), clawbacks)
        });
        let opened = Instant::now();
        let mut pushes = Latencies::default();
        let mut last_push: Option<Pushed> = None;
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let per_tick = f64::from(self.config.purchases_per_second) / 50.0;
        let mut due = 0.0;
        while until.is_none_or(|end| Instant::now() < end) && !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            while let Ok(pushed) = self.arrivals.try_recv() {
                lit_up(&pushed, opened, &asked, &mut pushes, &watch);
                last_push = Some(pushed);
            }
            due += per_tick;
            while due >= 1.0 {
                due -= 1.0;
                let errand = self.next_errand()?;
                let since = opened.elapsed().as_micros() as u64;
                asked[errand.number].store(since + 1, Ordering::Relaxed);
                let queue = &queues[errand.shop % queues.len()];
                if queue.send(errand).await.is_err() {
                    break;
                }
            }
        }
        drop(queues);
        staking_ends.store(true, Ordering::Relaxed);
        let mut staked = StakeCounts::default();
        if let Some((stakers, clawbacks)) = stakes {
            let crashed = |e: tokio::task::JoinError| ApiError::Undocumented(e.to_string());
            staked = stakers.await.map_err(crashed)??;
            staked.clawbacks = clawbacks.await.map_err(crashed)??;
            // What is on its way to the exchange is waited for.
            let closing = Instant::now();
            while self.operator.open_orders().await? > 0 && closing.elapsed() < LAST_ORDERS {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        let mut latencies = Latencies::default();
        while let Some(done) = workers.join_next().await {
            latencies.merge(&done.map_err(|e| ApiError::Undocumented(e.to_string()))??);
        }
        let closed = Instant::now();
        while let Some(left) = LAST_PUSHES.checked_sub(closed.elapsed()) {
            match tokio::time::timeout(left, self.arrivals.recv()).await {
                Ok(Some(pushed)) => {
                    lit_up(&pushed, opened, &asked, &mut pushes, &watch);
                    last_push = Some(pushed);
                }
                _ => break,
            }
        }
        self.memory.next = self.next;
        remember(&self.config.state_file, &self.memory)?;
        self.look_at_phones(last_push.as_ref()).await?;
        let pushed = self.push_service.counts();
        if pushed.refused > 0 {
            return Err(LifeError::BadPushes(pushed.refused));
        }
        let count = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Ok(Summary {
            members: self.members.len(),
            merchants: self.memory.tills.len(),
            purchases: count(&counts.purchases),
            points_issued: count(&counts.points) as i64,
            returns: count(&counts.returns) + 2 * staked.clawbacks.min(1),
            stakes: staked.placed,
            stakes_refused: staked.refused,
            clawbacks: staked.clawbacks,
            repeats: count(&counts.repeats),
            pushes_sent: pushed.accepted,
            request_answer: latencies.percentiles(),
            purchase_push: pushes.percentiles(),
        })
    }

    fn next_errand(&mut self) -> Result<Errand, LifeError> {
        if self.next == self.memory.next {
            self.memory.next += BASKETS_AHEAD;
            remember(&self.config.state_file, &self.memory)?;
        }
        let n = self.next;
        self.next += 1;
        let baskets = &self.config.log.baskets;
        let basket: &Basket = &baskets[n as usize % baskets.len()];
        // A log with fewer customers than we have members is spread over them, round by round.
        let spread = if self.config.log.customers < MEMBERS { n as usize / self.config.log.customers } else { 0 };
        let member = (basket.customer + spread * self.config.log.customers) % self.members.len();
        Ok(Errand {
            n,
            number: member,
            member: self.members[member].member_token,
            who: person(member),
            shop: (basket.shop % self.tills.len() as u64) as usize,
            cents: basket.cents,
            at: self.config.clocks.business.now(),
        })
    }

    /// Some phones must show what their statements add up to, and what was pushed must be what the notice says.
    async fn look_at_phones(&self, last_push: Option<&Pushed>) -> Result<(), LifeError> {
        if let Some(pushed) = last_push
            && let (Some(notice), Some(phone)) = (pushed.notice, self.phones.get(pushed.phone))
        {
            let shown = phone.open_notice(notice).await?;
            if shown != pushed.text {
                return Err(LifeError::Notice { pushed: pushed.text.clone(), shown });
            }
        }
        let step = (self.phones.len() / PHONES).max(1);
        for phone in self.phones.iter().step_by(step) {
            let (shown, stated) = (phone.balance().await?, phone.statement_total().await?);
            if shown != stated {
                return Err(LifeError::Phone { shown, stated });
            }
        }
        Ok(())
    }
}

/// Two members of their own, who own nothing yet.
async fn two_strangers(
    http: &Client,
    config: &TownConfig,
    operator: &Operator,
) -> Result<[(MemberLogin, Phone); 2], LifeError> {
    let people = (0..2).map(|n| {
        json!({
            "full_name": format!("Visitor {n}"), "email": "", "phone": "", "birth_date": "1980-06-15", "home_zone": ZONE
        })
    });
    let logins = operator.add_members(people.collect(), true).await?;
    let mut pair = Vec::new();
    for login in logins {
        let phone = Phone::sign_in(http.clone(), &config.base_url, &login.sign_in_code).await?;
        pair.push((login, phone));
    }
    pair.try_into().map_err(|_| LifeError::Api(ApiError::Undocumented("two members were asked for".to_owned())))
}

/// One basket on its way to a till.
struct Errand {
    n: u64,
    /// The member's number in the town.
    number: usize,
    member: Uuid,
    who: String,
    shop: usize,
    cents: i64,
    at: jiff::Timestamp,
}

/// A phone lit up: how long after its member's last purchase was asked for?
fn lit_up(
    pushed: &Pushed,
    opened: Instant,
    asked: &[AtomicU64],
    latencies: &mut Latencies,
    watch: &mpsc::UnboundedSender<Happening>,
) {
    let since = asked.get(pushed.phone).map_or(0, |a| a.load(Ordering::Relaxed));
    // Other pushes, about results and returns, have another cause than the last purchase.
    if since > 0 && pushed.text.starts_with(RECEIPT_BEGINS) {
        let asked_at = opened + Duration::from_micros(since - 1);
        latencies.add(pushed.at.saturating_duration_since(asked_at));
    }
    // Nobody has to watch.
    let _ = watch.send(Happening::Pushed { who: person(pushed.phone), text: pushed.text.clone() });
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
