//! The town at work: forty tills report what a thousand members buy, in the rhythm of a real log.

use futures_util::{StreamExt, TryStreamExt};
use hunch_kernel::{Clocks, SharedEntropy, derived_uuid};
use jiff::Timestamp;
use reqwest::Client;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::api::{ApiError, MemberLogin, Operator, Phone, Purchase, Till, TillLogin, push_key};
use crate::counters::{Counters, Errand};
use crate::latency::Percentiles;
use crate::log::{Basket, Log};
use crate::memory::{Memory, recall, remember};
use crate::names::{OFFERS, SHOPS, person};
use crate::push_service::{PushService, Pushed};
use crate::screens::Screens;
use crate::stakes::{StakeCounts, Stakers, be_somewhere, take_winnings_back};

const MEMBERS: usize = 1_000;
/// How many members' phones are looked at in the end.
const PHONES: usize = 20;
/// How many baskets are noted as rung up at once.
const BASKETS_AHEAD: u64 = 1_000;

/// How many phones may be talking to the programme at once while the town wakes up.
const WAKING_AT_ONCE: usize = 32;
/// How many members are taken in by one request.
const MEMBERS_AT_ONCE: usize = 500;
/// How often baskets go to the counters.
const TICK: Duration = Duration::from_millis(20);
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
    /// The town's and its members' time zone: what ends today.
    pub zone: String,
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
    /// Receipts that waited at a till, handed in together.
    HandedIn {
        shop: String,
        purchases: u64,
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
    /// The town is closing, and this is what it does or waits for.
    Closing {
        step: String,
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
    /// What lit a phone up: the push service took it and could read it.
    pub pushes_sent: u64,
    pub request_answer: Percentiles,
    /// From the last purchase's request to the member's phone lighting up.
    pub purchase_push: Percentiles,
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
            memory.tills = open_shops(&operator, &config).await?;
            remember(&config.state_file, &memory)?;
        }
        let members = take_members_in(&operator, &config).await?;
        let mut tills = Vec::new();
        for login in &memory.tills {
            tills.push(Till::open(http.clone(), &config.base_url, config.clocks.wall.clone(), login).await?);
        }
        let (sender, arrivals) = mpsc::unbounded_channel();
        let key = push_key(&http, &config.base_url).await?;
        let started = PushService::start(&key, config.clocks.wall.clone(), sender).await;
        let push_service = started.map_err(LifeError::PushService)?;
        let phones = wake_phones(&http, &config, &members, &push_service).await?;
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
        stop: &AtomicBool,
        watch: mpsc::UnboundedSender<Happening>,
    ) -> Result<Summary, LifeError> {
        let mut screens = Screens::new(self.members.len(), watch.clone());
        let shops = self.memory.tills.iter().map(|login| login.shop.as_str());
        let mut counters = Counters::open(self.tills.iter().zip(shops), &watch);
        let staking =
            (self.config.stakes_per_second > 0).then(|| self.start_staking(screens.asked.clone(), watch.clone()));
        self.trade(until, stop, &counters, &mut screens).await?;
        // Nobody has to watch.
        let tell = |step: String| drop(watch.send(Happening::Closing { step }));
        counters.shut();
        tell("The shops are shut; the last baskets are rung up.".to_owned());
        let staked = match staking {
            Some(staking) => self.end_staking(staking, &tell).await?,
            None => StakeCounts::default(),
        };
        let (takings, request_answer) = counters.closed().await?;
        tell("The last pushes are waited for.".to_owned());
        self.wait_for_last_pushes(&mut screens).await;
        self.memory.next = self.next;
        remember(&self.config.state_file, &self.memory)?;
        tell(format!("{PHONES} phones are looked at: what they show must be what their statements add up to."));
        self.look_at_phones(screens.last.as_ref()).await?;
        let pushed = self.push_service.counts();
        if pushed.refused > 0 {
            return Err(LifeError::BadPushes(pushed.refused));
        }
        let count = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Ok(Summary {
            members: self.members.len(),
            merchants: self.memory.tills.len(),
            purchases: count(&takings.purchases),
            points_issued: count(&takings.points) as i64,
            returns: count(&takings.returns) + 2 * staked.clawbacks.min(1),
            stakes: staked.placed,
            stakes_refused: staked.refused,
            clawbacks: staked.clawbacks,
            repeats: count(&takings.repeats),
            pushes_sent: screens.lit,
            request_answer: request_answer.percentiles(),
            purchase_push: screens.purchase_push.percentiles(),
        })
    }

    /// Sends baskets to the counters at the town's pace, and sees the phones light up meanwhile.
    async fn trade(
        &mut self,
        until: Option<Instant>,
        stop: &AtomicBool,
        counters: &Counters,
        screens: &mut Screens,
    ) -> Result<(), LifeError> {
        let mut pace = tokio::time::interval(TICK);
        let per_tick = f64::from(self.config.purchases_per_second) * TICK.as_secs_f64();
        let mut due = 0.0;
        while until.is_none_or(|end| Instant::now() < end) && !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            while let Ok(pushed) = self.arrivals.try_recv() {
                screens.lit_up(pushed);
            }
            due += per_tick;
            while due >= 1.0 {
                due -= 1.0;
                let errand = self.next_errand()?;
                screens.asked_now(errand.number);
                if !counters.ring_up(errand).await {
                    break;
                }
            }
        }
        Ok(())
    }

    fn start_staking(&self, asked: Arc<Vec<AtomicU64>>, watch: mpsc::UnboundedSender<Happening>) -> Staking {
        let ends = Arc::new(AtomicBool::new(false));
        let stakers = Stakers {
            phones: self.phones.clone(),
            clocks: self.config.clocks.clone(),
            entropy: self.config.entropy.clone(),
            per_second: self.config.stakes_per_second,
            asked,
            watch,
            stop: ends.clone(),
        };
        let (till, pair, clocks) = (self.tills[0].clone(), self.pair.clone(), self.config.clocks.clone());
        let (speed, closing) = (self.config.speed, ends.clone());
        let clawbacks = tokio::spawn(async move { take_winnings_back(&till, &pair, &clocks, speed, &closing).await });
        Staking { ends, stakers: tokio::spawn(stakers.live()), clawbacks }
    }

    /// Nobody stakes any more; what is on its way to the exchange is waited for.
    async fn end_staking(&self, mut staking: Staking, tell: &dyn Fn(String)) -> Result<StakeCounts, LifeError> {
        let crashed = |e: tokio::task::JoinError| ApiError::Undocumented(e.to_string());
        staking.ends.store(true, Ordering::Relaxed);
        let mut staked = (&mut staking.stakers).await.map_err(crashed)??;
        staked.clawbacks = (&mut staking.clawbacks).await.map_err(crashed)??;
        let closing = Instant::now();
        let mut told = None;
        loop {
            let open = self.operator.open_orders().await?;
            if open == 0 || closing.elapsed() >= LAST_ORDERS {
                return Ok(staked);
            }
            if told != Some(open) {
                told = Some(open);
                tell(format!("Orders whose outcome is still to come: {open}."));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn wait_for_last_pushes(&mut self, screens: &mut Screens) {
        let closed = Instant::now();
        while let Some(left) = LAST_PUSHES.checked_sub(closed.elapsed()) {
            match tokio::time::timeout(left, self.arrivals.recv()).await {
                Ok(Some(pushed)) => screens.lit_up(pushed),
                _ => break,
            }
        }
        while let Ok(pushed) = self.arrivals.try_recv() {
            screens.lit_up(pushed);
        }
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

/// The stakers and the pair who take their receipts back, at work until told to end.
struct Staking {
    ends: Arc<AtomicBool>,
    stakers: JoinHandle<Result<StakeCounts, ApiError>>,
    clawbacks: JoinHandle<Result<u64, ApiError>>,
}

/// A town that ends early leaves nobody at work.
impl Drop for Staking {
    fn drop(&mut self) {
        self.stakers.abort();
        self.clawbacks.abort();
    }
}

const OFFER_SECONDS: i64 = 30 * 24 * 3600;

fn shop_id(number: usize) -> Uuid {
    derived_uuid(&[b"town-shop", &number.to_be_bytes()])
}

async fn open_shops(operator: &Operator, config: &TownConfig) -> Result<Vec<TillLogin>, LifeError> {
    let mut tills = Vec::new();
    for (n, (name, category)) in SHOPS.iter().enumerate() {
        tills.push(operator.open_shop(shop_id(n), name, category, &config.zone).await?);
    }
    // The same ones for thirty days, however often the town is opened: each member has an offer once.
    let month = config.clocks.business.now().as_second().div_euclid(OFFER_SECONDS);
    let begins = |month: i64| Timestamp::from_second(month * OFFER_SECONDS).unwrap_or_default();
    for (shop, title, bonus) in OFFERS {
        let id = derived_uuid(&[b"town-offer", &shop.to_be_bytes(), &month.to_be_bytes()]);
        operator.add_offer(id, shop_id(shop), title, bonus, begins(month)..begins(month + 1)).await?;
    }
    Ok(tills)
}

/// Members keep their tokens; each opening gives them new codes.
async fn take_members_in(operator: &Operator, config: &TownConfig) -> Result<Vec<MemberLogin>, LifeError> {
    let mut members = Vec::new();
    for first in (0..MEMBERS).step_by(MEMBERS_AT_ONCE) {
        let people = (first..MEMBERS.min(first + MEMBERS_AT_ONCE)).map(|n| {
            json!({
                "member_token": derived_uuid(&[b"town-member", config.operator_token.as_bytes(), &n.to_be_bytes()]),
                "full_name": person(n), "email": format!("member{n}@town.example"), "phone": "",
                "birth_date": format!("{}-{:02}-{:02}", 1950 + n % 60, 1 + n % 12, 1 + n % 28), "home_zone": config.zone
            })
        });
        members.extend(operator.add_members(people.collect(), true).await?);
    }
    Ok(members)
}

/// Every member signs in, subscribes to pushes and says where they are.
async fn wake_phones(
    http: &Client,
    config: &TownConfig,
    members: &[MemberLogin],
    push_service: &PushService,
) -> Result<Vec<Phone>, LifeError> {
    let waking = members.iter().enumerate().map(|(number, login)| {
        let subscription = push_service.phone(&config.entropy);
        async move {
            let phone = Phone::sign_in(http.clone(), &config.base_url, &login.sign_in_code).await?;
            phone.subscribe(&subscription).await?;
            be_somewhere(number, &phone).await?;
            Ok::<Phone, ApiError>(phone)
        }
    });
    // In order, so that a phone's number is its member's.
    Ok(futures_util::stream::iter(waking).buffered(WAKING_AT_ONCE).try_collect().await?)
}

/// Two members of their own, who own nothing yet.
async fn two_strangers(
    http: &Client,
    config: &TownConfig,
    operator: &Operator,
) -> Result<[(MemberLogin, Phone); 2], LifeError> {
    // Strangers at each opening: nobody is a member twice.
    let opening = config.entropy.uuid().simple().to_string();
    let people = (0..2).map(|n| {
        json!({
            "full_name": format!("Visitor {n} {opening}"), "email": "", "phone": "", "birth_date": "1980-06-15", "home_zone": config.zone
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
