//! Tills that sell, members who look and ask for quotes, an operator who reads the figures: at a steady pace, each with what
//! their answers took.

use anyhow::ensure;
use hunch_kernel::Clocks;
use hunch_town::{ApiError, Operator, Phone, Purchase, Till};
use reqwest::Client;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::bench::percentile;
use crate::drill::load::NEW_YORK;
use crate::drill::victim::Victim;

const TILLS: usize = 4;
const MEMBERS: usize = 8;
/// From one request to the next, each a second's so many: tills 40, balances 40, quotes 4, figures 4, operators 4.
const TILL_EVERY: Duration = Duration::from_millis(100);
const BALANCE_EVERY: Duration = Duration::from_millis(200);
const RARELY: Duration = Duration::from_millis(250);
/// Longer is refused, as far as a person can tell.
const PATIENCE: Duration = Duration::from_secs(5);
const MARKETS_WITHIN: Duration = Duration::from_secs(30);

pub struct Honest {
    tills: Vec<Till>,
    phones: Vec<Phone>,
    members: Vec<Uuid>,
    market: String,
    operators_base: String,
    operator_token: String,
    http: Client,
    clocks: Clocks,
    receipts: AtomicU64,
}

/// Who asks for what.
#[derive(Clone, Copy)]
enum Asks {
    Till(usize),
    Member(usize),
    Quote,
    Figures,
    Operator,
}

impl Asks {
    fn who_and_how_often(self) -> (&'static str, Duration) {
        match self {
            Asks::Till(_) => ("till", TILL_EVERY),
            Asks::Member(_) => ("member", BALANCE_EVERY),
            Asks::Quote => ("quote", RARELY),
            Asks::Figures => ("figures", RARELY),
            Asks::Operator => ("operator", RARELY),
        }
    }
}

/// What honest people met with in a part.
#[derive(Default)]
pub struct Met {
    took: Vec<Duration>,
    pub refused: u64,
    why: BTreeMap<String, u64>,
}

impl Met {
    pub fn p99_ms(&self) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        (percentile(&sorted, 0.99) * 100.0).round() / 100.0
    }

    /// What the refused were told.
    pub fn said(&self) -> String {
        self.why.iter().map(|(why, count)| format!("{why} ({count})")).collect::<Vec<_>>().join("; ")
    }

    fn one(&mut self, who: &str, asked: Instant, answer: Result<(), String>) {
        match answer {
            Ok(()) => self.took.push(asked.elapsed()),
            Err(why) => {
                self.refused += 1;
                *self.why.entry(format!("{who}: {why}")).or_default() += 1;
            }
        }
    }

    fn add(&mut self, other: Met) {
        self.took.extend(other.took);
        self.refused += other.refused;
        for (why, count) in other.why {
            *self.why.entry(why).or_default() += count;
        }
    }
}

impl Honest {
    /// Opens shops, takes members in, and waits until something can be staked on.
    ///
    /// # Errors
    /// When the programme refuses any of it.
    pub async fn begin(victim: &Victim, token: &str, clocks: &Clocks) -> anyhow::Result<Arc<Honest>> {
        let http = Client::builder().timeout(PATIENCE).build()?;
        let operator = Operator::new(http.clone(), &victim.base, token);
        let people = (0..MEMBERS).map(|n| {
            json!({"full_name": format!("Member {n}"), "email": "", "phone": "", "birth_date": "1980-01-01", "home_zone": "America/New_York"})
        });
        let (mut phones, mut members, mut tills) = (Vec::new(), Vec::new(), Vec::new());
        for login in operator.add_members(people.collect(), true).await? {
            phones.push(Phone::sign_in(http.clone(), &victim.base, &login.sign_in_code).await?);
            members.push(login.member_token);
        }
        for n in 0..TILLS {
            let shop = Uuid::from_u128(n as u128 + 1);
            let login = operator.open_shop(shop, &format!("Shop {n}"), "grocer", "America/New_York").await?;
            tills.push(Till::open(http.clone(), &victim.base, clocks.wall.clone(), &login).await?);
        }
        // Whoever asks for a quote has something to stake.
        let first = Purchase {
            receipt: "first".to_owned(),
            member_token: members[0],
            amount_cents: 10_000,
            currency: "USD",
            purchased_at: clocks.business.now(),
        };
        tills[0].report(&first).await?;
        let market = market(&phones[0]).await?;
        let honest = Arc::new(Honest {
            tills,
            phones,
            members,
            market,
            operators_base: victim.operators_base.clone(),
            operator_token: token.to_owned(),
            http,
            clocks: clocks.clone(),
            receipts: AtomicU64::new(0),
        });
        // What happens once only is over then.
        let warm = honest.work(Duration::from_secs(2)).await;
        ensure!(warm.refused == 0, "before anything was attacked: {}", warm.said());
        Ok(honest)
    }

    /// Everybody does what they do, for so long.
    pub async fn work(self: &Arc<Honest>, lasting: Duration) -> Met {
        let (end, mut all) = (Instant::now() + lasting, JoinSet::new());
        let (tills, phones) = (self.tills.len(), self.phones.len());
        let mut begin = |asks: Asks, first: Duration| all.spawn(self.clone().again(asks, first, end));
        for n in 0..tills {
            begin(Asks::Till(n), TILL_EVERY * n as u32 / tills as u32);
        }
        for n in 0..phones {
            begin(Asks::Member(n), BALANCE_EVERY * n as u32 / phones as u32);
        }
        for (asks, first) in [(Asks::Quote, 0), (Asks::Figures, 1), (Asks::Operator, 2)] {
            begin(asks, RARELY * first / 3);
        }
        let mut met = Met::default();
        while let Some(one) = all.join_next().await {
            match one {
                Ok(one) => met.add(one),
                Err(broke) => met.one("the drill", end, Err(broke.to_string())),
            }
        }
        met
    }

    /// One who asks every so often, and one thing at a time.
    async fn again(self: Arc<Honest>, asks: Asks, first: Duration, end: Instant) -> Met {
        let (who, every) = asks.who_and_how_often();
        let (mut met, mut due) = (Met::default(), Instant::now() + first);
        while due < end {
            tokio::time::sleep_until(due.into()).await;
            let asked = Instant::now();
            let answer = self.ask(asks).await;
            met.one(who, asked, answer);
            // Nobody asks twice because the first answer was slow.
            while due <= Instant::now() {
                due += every;
            }
        }
        met
    }

    async fn ask(&self, asks: Asks) -> Result<(), String> {
        match asks {
            Asks::Till(n) => self.sell(n).await,
            Asks::Member(n) => self.phones[n].balance().await.map(|_| ()).map_err(word),
            Asks::Quote => self.phones[0].quote(&self.market, "yes", 20).await.map(|_| ()).map_err(word),
            Asks::Figures => self.operators("/metrics").await,
            Asks::Operator => self.operators("/v1/ops/orders/unclear").await,
        }
    }

    async fn sell(&self, n: usize) -> Result<(), String> {
        let receipt = self.receipts.fetch_add(1, Ordering::Relaxed);
        let purchase = Purchase {
            receipt: format!("honest-{receipt}"),
            member_token: self.members[receipt as usize % self.members.len()],
            amount_cents: 1_200,
            currency: "USD",
            purchased_at: self.clocks.business.now(),
        };
        self.tills[n].try_report(&purchase).await.map(|_| ()).map_err(word)
    }

    async fn operators(&self, path: &str) -> Result<(), String> {
        let asked = self.http.get(format!("{}{path}", self.operators_base)).bearer_auth(&self.operator_token).send();
        let answer = asked.await.and_then(reqwest::Response::error_for_status).map_err(|error| error.to_string())?;
        answer.bytes().await.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// How it is told.
fn word(error: ApiError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// One on which both sides can be staked, with a quote to prove it.
async fn market(phone: &Phone) -> anyhow::Result<String> {
    let begun = Instant::now();
    phone.be_at(NEW_YORK).await?;
    loop {
        let offered = phone.markets().await?;
        for market in offered.iter().filter(|market| market.yes_and_no) {
            if phone.quote(&market.market, "yes", 20).await.is_ok() {
                return Ok(market.market.clone());
            }
        }
        ensure!(begun.elapsed() < MARKETS_WITHIN, "no market can be quoted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
