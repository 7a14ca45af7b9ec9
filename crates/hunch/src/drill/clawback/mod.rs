//! `hunch drill clawback`: receipts come back before, between and after a market's result and its corrections up and down,
//! in every order there is, through the public API only. Holds only if each step is answered within a second and every
//! lot's journey adds up.

mod orders;
mod proof;

use anyhow::{Context, ensure};
use hunch_exchange_sim::{Listing, Outcome, Px, Qty};
use hunch_kernel::Clocks;
use hunch_town::{MemberLogin, Operator, Phone, Purchase, Till};
use jiff::SignedDuration;
use reqwest::Client;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::clock::clocks;
use crate::drill::load::NEW_YORK;
use crate::drill::victim::Victim;
use crate::settings::Settings;
use orders::{Order, Step};
use proof::Lived;

#[derive(clap::Args, Debug)]
pub struct ClawbackDrill {
    /// How many orders of the steps to live; all when left out.
    #[arg(long)]
    orders: Option<usize>,
    /// The longest that any step may take. More than a second is for machines that are busy with other work.
    #[arg(long, default_value_t = 1_000)]
    answer_ms: u64,
    /// Leave the folder behind, to look into.
    #[arg(long)]
    keep: bool,
    /// A mistake to plant in the programme, to see that the drill finds it. Only in builds that have them.
    #[arg(long, hide = true)]
    mistake: Option<String>,
}

/// How long the exchange, the settlement and a correction of everybody may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Members who act at the same moment.
const AT_ONCE: usize = 4;
/// A receipt earns 105 points.
const RECEIPT_CENTS: i64 = 1_000;

pub async fn run(options: &ClawbackDrill, settings: &Settings) -> anyhow::Result<bool> {
    let clocks = clocks(1, None);
    let mut victim = Victim::prepare(settings, &clocks).await?;
    victim.environment.extend(options.mistake.clone().map(|mistake| ("HUNCH_DRILL_MISTAKE", mistake)));
    let all: Vec<(bool, Order)> =
        [false, true].into_iter().flat_map(|won| orders::all().into_iter().map(move |order| (won, order))).collect();
    let wanted = options.orders.unwrap_or(all.len()).min(all.len());
    let lived = orders::spread(&all, wanted);
    let worlds = [false, true].map(|won_first| {
        let ticker = format!("KXDRILL{}-A", if won_first { "WON" } else { "LOST" });
        let of_this = lived.iter().filter(|(won, _)| *won == won_first);
        let orders: Vec<Order> = of_this.map(|(_, order)| order.clone()).collect();
        (ticker, won_first, orders)
    });
    for (ticker, _, _) in &worlds {
        list(&victim, ticker, &clocks)?;
    }
    victim.spawn().await?;
    let town = Town::open(&victim, &clocks).await?;
    let (mut members, mut broken) = (Vec::new(), Vec::new());
    for (ticker, won_first, orders) in worlds {
        match town.live(&victim, &ticker, won_first, orders).await {
            Ok(lived) => members.extend(lived),
            Err(error) => broken.push(format!("{ticker}: {error:#}")),
        }
    }
    broken.extend(proof::wrong(&mut victim, &members, &clocks).await?);
    let slowest_ms = town.slowest_ms.load(Ordering::Relaxed);
    if slowest_ms > options.answer_ms {
        broken.push(format!("a step was answered after {slowest_ms} ms"));
    }
    broken.iter().take(20).for_each(|what| eprintln!("   {what}"));
    let holds = broken.is_empty() && members.len() == wanted;
    println!(r#"{{"drill": "clawback", "orders": {}, "slowest_ms": {slowest_ms}, "holds": {holds}}}"#, members.len());
    victim.finish(options.keep).await?;
    Ok(holds)
}

/// A market with enough on both sides for everybody.
fn list(victim: &Victim, ticker: &str, clocks: &Clocks) -> anyhow::Result<()> {
    let now = clocks.business.now();
    let close = now + SignedDuration::from_hours(6);
    victim.exchange.list(&Listing::single(ticker, "Climate and Weather", now, close).settlement_timer(1))?;
    let deep = Qty::whole(20_000);
    Ok(victim.exchange.set_book(ticker, &[(Px::cents(38), deep)], &[(Px::cents(60), deep)])?)
}

/// The people of the drill, who know nothing but the public API.
struct Town {
    http: Client,
    base: String,
    clocks: Clocks,
    operator: Operator,
    approver: Operator,
    till: Till,
    slowest_ms: Arc<AtomicU64>,
}

impl Town {
    async fn open(victim: &Victim, clocks: &Clocks) -> anyhow::Result<Arc<Town>> {
        let http = Client::builder().timeout(Duration::from_secs(20)).build()?;
        let operator = Operator::new(http.clone(), &victim.base, &victim.operator_token()?);
        let approver = Operator::new(http.clone(), &victim.base, &victim.approver_token()?);
        let login = operator.open_shop(Uuid::from_u128(1), "Corner Store", "grocer", "America/New_York").await?;
        let till = Till::open(http.clone(), &victim.base, clocks.wall.clone(), &login).await?;
        let (base, clocks, slowest_ms) = (victim.base.clone(), clocks.clone(), Arc::default());
        Ok(Arc::new(Town { http, base, clocks, operator, approver, till, slowest_ms }))
    }

    /// One market's life with everybody's steps between what happens to it.
    async fn live(
        self: &Arc<Town>,
        victim: &Victim,
        ticker: &str,
        won_first: bool,
        orders: Vec<Order>,
    ) -> anyhow::Result<Vec<Lived>> {
        let mut people = self.take_in(ticker, orders).await?;
        if people.is_empty() {
            return Ok(Vec::new());
        }
        self.known(&people[0], ticker).await?;
        let mut won = won_first;
        for phase in 0..5 {
            people = self.act(people, phase, ticker).await?;
            match phase {
                0 => {
                    victim.exchange.close(ticker)?;
                    victim.exchange.determine(ticker, if won { Outcome::Yes } else { Outcome::No })?;
                    victim.exchange.finalize(ticker)?;
                    for person in &people {
                        until(PATIENCE, "a position was not paid", async || Ok(person.phone.results().await?.0 == 0))
                            .await?;
                    }
                }
                1..=3 => {
                    won = !won;
                    self.correct(ticker, won).await?;
                }
                _ => {}
            }
            eprintln!("   {ticker}: {} members, {}", people.len(), if won { "won" } else { "lost" });
        }
        let lived = people.into_iter().map(|person| async move {
            Ok(Lived {
                member: person.member,
                purchases: person.purchases.map(|p| p.map(|(id, _)| id)),
                told: person.wrong,
                balance: person.phone.balance().await?,
                statement: person.phone.statement_total().await?,
                order: person.order,
            })
        });
        let mut all = Vec::new();
        for one in lived {
            all.push(one.await.map_err(|error: hunch_town::ApiError| error)?);
        }
        Ok(all)
    }

    async fn take_in(&self, ticker: &str, orders: Vec<Order>) -> anyhow::Result<Vec<Person>> {
        let mut people = Vec::new();
        for (chunk, orders) in orders.chunks(100).enumerate() {
            let wished = (0..orders.len()).map(|n| {
                json!({"full_name": format!("{ticker} {chunk}x{n}"), "email": "", "phone": "",
                       "birth_date": "1980-01-01", "home_zone": "America/New_York"})
            });
            let logins = self.operator.add_members(wished.collect(), true).await?;
            for (login, order) in logins.iter().zip(orders) {
                people.push(Person::sign_in(self, login, order.clone()).await?);
            }
        }
        Ok(people)
    }

    async fn known(&self, person: &Person, ticker: &str) -> anyhow::Result<()> {
        until(PATIENCE, "the market was not listed", async || {
            Ok(person.phone.markets().await?.iter().any(|m| m.market == ticker && m.yes_and_no))
        })
        .await
    }

    /// Everybody does what the phase holds, a few at a time.
    async fn act(self: &Arc<Town>, people: Vec<Person>, phase: usize, ticker: &str) -> anyhow::Result<Vec<Person>> {
        let (turns, mut busy) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        for (n, mut person) in people.into_iter().enumerate() {
            let (town, turns, ticker) = (self.clone(), turns.clone(), ticker.to_owned());
            busy.spawn(async move {
                let _turn = turns.acquire().await?;
                for step in orders::phases(&person.order)[phase].clone() {
                    town.step(&mut person, step, &ticker)
                        .await
                        .with_context(|| format!("{step:?} of {:?}", person.order))?;
                }
                anyhow::Ok((n, person))
            });
        }
        let mut done = Vec::new();
        while let Some(one) = busy.join_next().await {
            done.push(one??);
        }
        done.sort_by_key(|(n, _)| *n);
        Ok(done.into_iter().map(|(_, person)| person).collect())
    }

    async fn step(&self, person: &mut Person, step: Step, ticker: &str) -> anyhow::Result<()> {
        match step {
            Step::BuyFirst => self.buy(person, 0).await,
            Step::BuySecond => self.buy(person, 1).await,
            Step::ReturnFirst => self.take_back(person, 0).await,
            Step::ReturnSecond => self.take_back(person, 1).await,
            Step::Stake => self.stake(person, ticker).await,
            Step::Paid | Step::Corrected | Step::CorrectedBack | Step::CorrectedAgain => Ok(()),
        }
    }

    async fn buy(&self, person: &mut Person, which: usize) -> anyhow::Result<()> {
        let purchase = Purchase {
            receipt: format!("{}-{which}", person.member),
            member_token: person.member,
            amount_cents: RECEIPT_CENTS,
            currency: "USD",
            purchased_at: self.clocks.business.now(),
        };
        person.purchases[which] = Some(self.timed(self.till.report(&purchase)).await?);
        Ok(())
    }

    /// A return takes at least what the receipt had earned, and at most that and the winnings that were paid.
    async fn take_back(&self, person: &mut Person, which: usize) -> anyhow::Result<()> {
        let (purchase, earned) = person.purchases[which].context("nothing was bought")?;
        let before = person.phone.balance().await?;
        let paid = person.phone.results().await?.1;
        self.timed(self.till.take_back(purchase)).await?;
        let taken = before - person.phone.balance().await?;
        if !(earned..=earned + paid).contains(&taken) {
            person
                .wrong
                .push(format!("a receipt of {earned} points took {taken}, with {paid} won: {:?}", person.order));
        }
        Ok(())
    }

    async fn stake(&self, person: &mut Person, ticker: &str) -> anyhow::Result<()> {
        // Of two receipts' points a part of the second is staked as well.
        let points = if person.phone.balance().await? > 200 { 150 } else { 100 };
        self.timed(person.phone.be_at(NEW_YORK)).await?;
        let quote = self.timed(person.phone.quote(ticker, "yes", points)).await?;
        self.timed(person.phone.confirm(quote)).await?;
        let begun = Instant::now();
        while !person.phone.filled().await? {
            ensure!(begun.elapsed() < PATIENCE, "an order did not fill within {} s", PATIENCE.as_secs());
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Two people change the market's result, and everybody's position follows.
    async fn correct(&self, ticker: &str, won: bool) -> anyhow::Result<()> {
        let correction = self.timed(self.operator.propose_correction(ticker, won, "the drill says so")).await?;
        self.timed(self.approver.approve_correction(correction)).await?;
        until(PATIENCE, "a correction was not carried out", async || {
            let open = self.operator.open_corrections().await?;
            ensure!(open.iter().all(|c| c["parked"].is_null()), "a correction is parked: {}", json!(open));
            Ok(open.is_empty())
        })
        .await
    }

    async fn timed<T, E>(&self, step: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let begun = Instant::now();
        let answer = step.await;
        self.slowest_ms.fetch_max(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        answer
    }
}

struct Person {
    member: Uuid,
    phone: Phone,
    order: Order,
    /// (purchase, points), once they are bought.
    purchases: [Option<(Uuid, i64)>; 2],
    wrong: Vec<String>,
}

impl Person {
    async fn sign_in(town: &Town, login: &MemberLogin, order: Order) -> anyhow::Result<Person> {
        let phone = Phone::sign_in(town.http.clone(), &town.base, &login.sign_in_code).await?;
        Ok(Person { member: login.member_token, phone, order, purchases: [None; 2], wrong: Vec::new() })
    }
}

/// Asks again and again until it is so.
async fn until(
    patience: Duration,
    missing: &'static str,
    mut so: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !so().await? {
        ensure!(begun.elapsed() < patience, "{missing} within {} s", patience.as_secs());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
