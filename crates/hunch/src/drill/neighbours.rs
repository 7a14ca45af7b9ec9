//! `hunch drill neighbours`: what the programme leans on is slow, broken or absent for a while, under load. Earning stays
//! up where it can; where it cannot, people are told so and when to try again; afterwards nothing is missing.

use anyhow::{Context, bail};
use hunch_kernel::{Clocks, SharedEntropy, SystemEntropy, lock};
use hunch_town::{ApiError, Phone, Purchase, PushService, StatusCode, Till, push_key};
use reqwest::Client;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::clock::clocks;
use crate::drill::load::{Load, NEW_YORK};
use crate::drill::machine::Machine;
use crate::drill::proof::prove;
use crate::drill::proxy::{Line, Proxy};
use crate::drill::victim::Victim;
use crate::settings::{Settings, Source};

#[derive(clap::Args, Debug)]
pub struct NeighboursDrill {
    /// Only these faults; all when none is named.
    #[arg(long, value_enum)]
    fault: Vec<Fault>,
    /// How long each fault lasts.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Leave the folder behind, to look into.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing at all, to compare with.
    Calm,
    /// The machine's clock jumps 90 seconds ahead, and back again. Early in the list: an order whose answer was lost
    /// then is certain only when the exchange's own time has passed that moment.
    ClockAhead,
    /// The machine's clock jumps 90 seconds back, and ahead again.
    ClockBehind,
    /// Each piece of the exchange's answers is three seconds late.
    ExchangeSlow,
    /// The exchange cannot be reached.
    ExchangeDown,
    /// The push service takes five seconds for each message.
    PushSlow,
    /// The push service answers 503.
    PushFails,
    /// The push service says 410 once for each phone: the phones subscribe anew.
    PushGone,
    /// PostgreSQL ends every connection and takes no new one.
    DatabaseRefuses,
    /// No file of PostgreSQL can grow.
    DiskFull,
}

impl Fault {
    /// Quotes have nothing to do with it.
    fn lets_quote(self) -> bool {
        matches!(self, Fault::Calm | Fault::PushSlow | Fault::PushFails | Fault::PushGone)
    }

    /// Pushes have nothing to do with it, or are late only.
    fn lets_push(self) -> bool {
        matches!(self, Fault::Calm | Fault::ExchangeSlow | Fault::ExchangeDown | Fault::PushSlow)
    }

    /// Purchases are answered all the while.
    fn lets_earn(self) -> bool {
        !matches!(self, Fault::DatabaseRefuses | Fault::DiskFull)
    }
}

const JUMP_SECONDS: i64 = 90;
/// How often is looked, and how long a recovery may take before the drill gives up on it.
const LOOK: Duration = Duration::from_millis(200);
const RECOVERED_SECONDS_MAX: u64 = 120;
const NOT_ASKED: &str = "not asked";

/// What was seen during one fault: answer → how often.
#[derive(Clone, Default, Serialize)]
struct Seen {
    tills: BTreeMap<String, u64>,
    ready: BTreeMap<String, u64>,
    quotes: BTreeMap<String, u64>,
    /// Answers of 429 or 503 that do not say when to try again.
    without_retry_after: u64,
}

#[derive(Serialize)]
struct Told {
    fault: Fault,
    #[serde(flatten)]
    seen: Seen,
    pushes: u64,
    recovered_ms: u64,
    held: bool,
}

pub async fn run(options: &NeighboursDrill, settings: &Settings) -> anyhow::Result<bool> {
    let clocks = clocks(1, None);
    let machine = Machine::prepare()?;
    let mut victim = Victim::prepare(settings, &clocks).await?;
    let exchange = exchange_through_a_proxy(&mut victim).await?;
    victim.environment = machine.environment()?;
    victim.spawn().await?;
    let token = victim.operator_token()?;
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let drain = tokio::spawn(async move { while arrived.recv().await.is_some() {} });
    let key = push_key(&Client::new(), &victim.base).await?;
    let push = PushService::start(&key, clocks.wall.clone(), arrivals).await?;
    let mut load = Load::begin(&victim.base, &token, &clocks).await?;
    let entropy = SystemEntropy::shared();
    subscribe(&load.phones, &push, &entropy).await?;

    let probe = Probe::new(&victim.base, &load, &clocks)?;
    let watching = tokio::spawn(probe.clone().watch());
    probe.well_again(Instant::now(), &push).await.context("before anything was broken")?;
    let all = <Fault as clap::ValueEnum>::value_variants();
    let faults = if options.fault.is_empty() { all } else { &options.fault };
    let near = Neighbours { machine: &machine, victim: &victim, exchange: &exchange, push: &push };
    let mut told = Vec::new();
    for fault in faults.iter().copied() {
        let pushed = push.counts().accepted;
        near.break_down(fault, load.phones.len())?;
        probe.begin();
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let seen = probe.take();
        near.mend(fault)?;
        if fault == Fault::PushGone {
            subscribe(&load.phones, &push, &entropy).await?;
        }
        let pushes = push.counts().accepted - pushed;
        let recovered_ms = probe.well_again(Instant::now(), &push).await.with_context(|| format!("after {fault:?}"))?;
        let one = Told { held: held(fault, &seen, pushes), fault, seen, pushes, recovered_ms };
        eprintln!("   {}", serde_json::to_string(&one)?);
        told.push(one);
    }
    watching.abort();
    let owed = probe.pay_back().await?;
    load.end().await?;
    drain.abort();
    let proof = prove(&mut victim, &token, &clocks).await?;
    let receipts = load.told.receipts.load(Ordering::Relaxed) as i64 + owed;
    // A push that we wrote down as accepted was seen by the service.
    let seen_by_service = push.counts().accepted >= u64::try_from(proof.pushes_accepted)?;
    let holds = proof.holds(receipts) && seen_by_service && told.iter().all(|one| one.held);
    let line = json!({
        "drill": "neighbours", "seconds": options.seconds, "faults": told, "receipts": receipts,
        "stakes": load.told.stakes.load(Ordering::Relaxed), "found": proof, "holds": holds,
    });
    println!("{line}");
    victim.finish(options.keep || !holds).await?;
    Ok(holds)
}

/// Lets the victim reach its exchange through a line that can be cut.
async fn exchange_through_a_proxy(victim: &mut Victim) -> anyhow::Result<Proxy> {
    let exchange = Proxy::start(([127, 0, 0, 1], victim.exchange.port()).into()).await?;
    for key in ["exchange.rest_url", "exchange.ws_url"] {
        let (real, proxied) = (victim.exchange.port().to_string(), exchange.address.port().to_string());
        let address = victim.settings.text(key).replacen(&real, &proxied, 1);
        victim.settings.set(key, address, Source::CommandLine)?;
    }
    Ok(exchange)
}

/// What the programme leans on.
struct Neighbours<'a> {
    machine: &'a Machine,
    victim: &'a Victim,
    exchange: &'a Proxy,
    push: &'a PushService,
}

impl Neighbours<'_> {
    fn break_down(&self, fault: Fault, phones: usize) -> anyhow::Result<()> {
        match fault {
            Fault::Calm => {}
            Fault::ExchangeSlow => self.exchange.set(Line::Slow(Duration::from_secs(3))),
            Fault::ExchangeDown => self.exchange.set(Line::Cut),
            Fault::PushSlow => self.push.slow(Duration::from_secs(5)),
            Fault::PushFails => self.push.trouble(StatusCode::SERVICE_UNAVAILABLE, usize::MAX),
            Fault::PushGone => self.push.trouble(StatusCode::GONE, phones * 2),
            Fault::DatabaseRefuses => self.victim.postgres_refuses(true)?,
            Fault::DiskFull => self.machine.fill_disk(true),
            Fault::ClockAhead => self.machine.shift_clock(JUMP_SECONDS),
            Fault::ClockBehind => self.machine.shift_clock(-JUMP_SECONDS),
        }
        Ok(())
    }

    fn mend(&self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Calm => {}
            Fault::ExchangeSlow | Fault::ExchangeDown => self.exchange.set(Line::Fine),
            Fault::PushSlow | Fault::PushFails | Fault::PushGone => self.push.forgive(),
            Fault::DatabaseRefuses => self.victim.postgres_refuses(false)?,
            Fault::DiskFull => self.machine.fill_disk(false),
            Fault::ClockAhead | Fault::ClockBehind => self.machine.shift_clock(0),
        }
        Ok(())
    }
}

/// Whether people were treated well while it lasted.
fn held(fault: Fault, seen: &Seen, pushes: u64) -> bool {
    let answered = |what: &BTreeMap<String, u64>, answer: &str| what.get(answer).copied().unwrap_or(0);
    let refused = seen.tills.keys().filter(|answer| answer.as_str() != "answered").count();
    let broken = [&seen.tills, &seen.ready, &seen.quotes].iter().any(|what| what.keys().any(|a| a.starts_with("500")));
    let honest = if fault.lets_earn() {
        refused == 0 && answered(&seen.tills, "answered") > 0 && seen.ready.keys().all(|answer| answer == "200")
    } else {
        refused > 0
            && seen.tills.keys().all(|answer| answer == "answered" || answer.starts_with("503"))
            && answered(&seen.ready, "503") > 0
    };
    let asked: u64 = seen.quotes.values().sum();
    let quoted = !fault.lets_quote() || answered(&seen.quotes, "answered") * 2 > asked;
    let pushed = !fault.lets_push() || pushes > 0;
    honest && quoted && pushed && !broken && seen.without_retry_after == 0
}

async fn subscribe(phones: &[Phone], push: &PushService, entropy: &SharedEntropy) -> anyhow::Result<()> {
    for phone in phones {
        phone.subscribe(&push.phone(entropy)).await?;
    }
    Ok(())
}

/// Somebody who tries everything again and again and writes down what he is told.
#[derive(Clone)]
struct Probe {
    base: String,
    http: Client,
    till: Till,
    phone: Phone,
    member: Uuid,
    clocks: Clocks,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    seen: Seen,
    receipts: i64,
    /// Purchases that are not answered yet.
    owed: Vec<Purchase>,
    /// Whether the last look at each found it well.
    well: [bool; 3],
}

impl Probe {
    fn new(base: &str, load: &Load, clocks: &Clocks) -> anyhow::Result<Probe> {
        Ok(Probe {
            base: base.to_owned(),
            http: Client::builder().timeout(Duration::from_secs(10)).build()?,
            till: load.till.clone(),
            // Nobody else asks by it: a member may ask twenty times a second.
            phone: load.phones.last().context("nobody has a phone")?.clone(),
            member: load.members.last().context("nobody is a member")?.member_token,
            clocks: clocks.clone(),
            book: Arc::default(),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    fn begin(&self) {
        self.book().seen = Seen::default();
    }

    fn take(&self) -> Seen {
        std::mem::take(&mut self.book().seen)
    }

    async fn watch(self) {
        tokio::join!(self.sell(), self.look(), self.quote());
    }

    async fn sell(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let number = {
                let mut book = self.book();
                book.receipts += 1;
                book.receipts
            };
            let purchase = Purchase {
                receipt: format!("probe-{number}"),
                member_token: self.member,
                amount_cents: 700,
                currency: "USD",
                purchased_at: self.clocks.business.now(),
            };
            self.book().owed.push(purchase.clone());
            let answer = self.till.try_report(&purchase).await;
            let mut book = self.book();
            book.well[0] = answer.is_ok();
            if answer.is_ok() {
                book.owed.retain(|owed| owed.receipt != purchase.receipt);
            }
            let word = book.seen.word(answer);
            *book.seen.tills.entry(word).or_default() += 1;
        }
    }

    async fn look(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let answer = self.http.get(format!("{}/readyz", self.base)).send().await;
            let word = answer.map_or_else(|_| "no answer".to_owned(), |a| a.status().as_u16().to_string());
            let mut book = self.book();
            book.well[1] = word == "200";
            *book.seen.ready.entry(word).or_default() += 1;
        }
    }

    async fn quote(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let asked = async {
                self.phone.be_at(NEW_YORK).await?;
                let offered = self.phone.markets().await?;
                match offered.iter().find(|market| market.yes_and_no) {
                    Some(market) => self.phone.quote(&market.market, "yes", 20).await.map(|_| 0),
                    None => Err(ApiError::Undocumented(NOT_ASKED.to_owned())),
                }
            };
            let answer = asked.await;
            let mut book = self.book();
            // A refusal for a reason of business is an answer.
            book.well[2] = match &answer {
                Ok(_) => true,
                Err(ApiError::Problem { status, .. }) => (400..429).contains(status),
                Err(_) => false,
            };
            let word = book.seen.word(answer);
            *book.seen.quotes.entry(word).or_default() += 1;
        }
    }

    /// Milliseconds from `since` until everything answers and another push arrived.
    async fn well_again(&self, since: Instant, push: &PushService) -> anyhow::Result<u64> {
        let pushed = push.counts().accepted;
        self.book().well = [false; 3];
        while since.elapsed() < Duration::from_secs(RECOVERED_SECONDS_MAX) {
            tokio::time::sleep(LOOK / 4).await;
            if self.book().well == [true; 3] && push.counts().accepted > pushed {
                return Ok(since.elapsed().as_millis() as u64);
            }
        }
        let pushes = push.counts().accepted - pushed;
        let book = self.book();
        bail!("it did not come back: [tills, ready, quotes] = {:?}, {pushes} pushes; {}", book.well, json!(book.seen))
    }

    /// Reports what is still owed; gives how many receipts there were.
    async fn pay_back(&self) -> anyhow::Result<i64> {
        let (owed, receipts) = {
            let mut book = self.book();
            (std::mem::take(&mut book.owed), book.receipts)
        };
        for purchase in &owed {
            self.till.report(purchase).await?;
        }
        Ok(receipts)
    }
}

impl Seen {
    /// An answer as it is counted.
    fn word<T>(&mut self, answer: Result<T, ApiError>) -> String {
        match answer {
            Ok(_) => "answered".to_owned(),
            Err(ApiError::NoAnswer(_)) => "no answer".to_owned(),
            Err(ApiError::Undocumented(what)) => what,
            Err(ApiError::Problem { status, kind, retry_after, .. }) => {
                self.without_retry_after += u64::from(matches!(status, 429 | 503) && retry_after.is_none());
                format!("{status} {kind}")
            }
        }
    }
}
