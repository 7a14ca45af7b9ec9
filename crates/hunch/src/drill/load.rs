//! People and tills that do not give up: whatever was not answered is sent again, the same, until it is.

use hunch_kernel::{Clocks, lock};
use hunch_town::{ApiError, MemberLogin, Operator, Phone, Purchase, Till, TillLogin};
use reqwest::Client;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

const MEMBERS: usize = 200;
const TILLS: usize = 8;
const PHONES: usize = 100;
/// Phones that stake.
const STAKERS: usize = 12;
pub const NEW_YORK: (f64, f64) = (40.7484, -73.9857);

/// What the people did so far.
#[derive(Default)]
pub struct Told {
    pub receipts: AtomicU64,
    pub answered: AtomicU64,
    pub stakes: AtomicU64,
    /// When tills were answered.
    answers: Mutex<Vec<Instant>>,
    stop: AtomicBool,
}

impl Told {
    fn answers(&self) -> MutexGuard<'_, Vec<Instant>> {
        lock(&self.answers)
    }

    /// Answers since then.
    pub fn answered_since(&self, then: Instant) -> usize {
        self.answers().iter().filter(|at| **at > then).count()
    }

    /// The longest time without any answer that ended since then, in milliseconds.
    pub fn longest_silence(&self, then: Instant) -> u64 {
        let answers = self.answers();
        let pairs = answers.windows(2).filter(|pair| pair[1] > then);
        pairs.map(|pair| pair[1].duration_since(pair[0]).as_millis() as u64).max().unwrap_or(0)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// Tills and phones at work.
pub struct Load {
    pub told: Arc<Told>,
    pub busy: JoinSet<anyhow::Result<()>>,
    pub phones: Vec<Phone>,
    pub members: Vec<MemberLogin>,
    /// One more, that nobody uses yet.
    pub till: Till,
}

impl Load {
    /// Opens shops, takes members in, and lets tills and phones begin.
    ///
    /// # Errors
    /// When the programme refuses any of it.
    pub async fn begin(base: &str, operator_token: &str, clocks: &Clocks) -> anyhow::Result<Load> {
        let http = Client::builder().timeout(Duration::from_secs(10)).build()?;
        let operator = Operator::new(http.clone(), base, operator_token);
        let people = (0..MEMBERS).map(|n| {
            json!({"full_name": format!("Member {n}"), "email": "", "phone": "", "birth_date": "1980-01-01", "home_zone": "America/New_York"})
        });
        let members = operator.add_members(people.collect(), true).await?;
        let (told, mut busy, mut tills) = (Arc::new(Told::default()), JoinSet::new(), Vec::new());
        for n in 0..=TILLS {
            let shop = Uuid::from_u128(n as u128 + 1);
            let login: TillLogin = operator.open_shop(shop, &format!("Shop {n}"), "grocer", "America/New_York").await?;
            tills.push(Till::open(http.clone(), base, clocks.wall.clone(), &login).await?);
        }
        let till = tills.swap_remove(TILLS);
        for (n, till) in tills.into_iter().enumerate() {
            busy.spawn(sell(till, n, members.clone(), clocks.clone(), told.clone()));
        }
        let mut phones = Vec::new();
        for member in members.iter().take(PHONES) {
            phones.push(Phone::sign_in(http.clone(), base, &member.sign_in_code).await?);
        }
        for phone in phones.iter().take(STAKERS) {
            busy.spawn(stake(phone.clone(), told.clone()));
        }
        Ok(Load { told, busy, phones, members, till })
    }

    /// Lets everyone finish what they began.
    ///
    /// # Errors
    /// What one of them could not get over.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        self.told.stop.store(true, Ordering::SeqCst);
        while let Some(done) = self.busy.join_next().await {
            done??;
        }
        Ok(())
    }
}

async fn sell(till: Till, n: usize, members: Vec<MemberLogin>, clocks: Clocks, told: Arc<Told>) -> anyhow::Result<()> {
    let mut next = 0usize;
    while !told.stopped() {
        // Now one, now a batch.
        let size = if next.is_multiple_of(3) { 1 } else { 10 };
        let purchases: Vec<Purchase> = (0..size)
            .map(|i| Purchase {
                receipt: format!("{n}-{}", next + i),
                member_token: members[(next + i * 7 + n) % members.len()].member_token,
                amount_cents: 500 + ((next + i) % 3_000) as i64,
                currency: "USD",
                purchased_at: clocks.business.now(),
            })
            .collect();
        next += size;
        told.receipts.fetch_add(size as u64, Ordering::Relaxed);
        loop {
            let answer = match purchases.as_slice() {
                [one] => till.report(one).await.map(|_| ()),
                many => till.report_all(many).await.and_then(|(_, refused)| match refused {
                    0 => Ok(()),
                    n => Err(ApiError::Undocumented(format!("{n} of a batch were not taken"))),
                }),
            };
            match answer {
                Ok(()) => break,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        told.answered.fetch_add(size as u64, Ordering::Relaxed);
        told.answers().push(Instant::now());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn stake(phone: Phone, told: Arc<Told>) -> anyhow::Result<()> {
    let mut turn = 0usize;
    while !told.stopped() {
        turn += 1;
        tokio::time::sleep(Duration::from_millis(150)).await;
        // Whatever fails here was not staked; a confirmation is repeated until it is answered.
        let Ok(()) = phone.be_at(NEW_YORK).await else { continue };
        let Ok(markets) = phone.markets().await else { continue };
        let offered: Vec<_> = markets.into_iter().filter(|m| m.yes_and_no).collect();
        let Some(market) = offered.get(turn % offered.len().max(1)) else { continue };
        let side = if turn.is_multiple_of(2) { "yes" } else { "no" };
        let Ok(quote) = phone.quote(&market.market, side, 20).await else { continue };
        loop {
            match phone.confirm(quote).await {
                Ok(_) => {
                    told.stakes.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(ApiError::Problem { status, .. }) if status < 500 && status != 429 => break,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
    Ok(())
}
