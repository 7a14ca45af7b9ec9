//! Purchases over HTTP, as tills send them: signed, over kept connections, each answered after its points are committed.
//! Clients and programme share the machine, so the figures are a lower bound of what the programme does alone. The floor
//! is the same clients asking for `/healthz`, in the same run.

use anyhow::ensure;
use hunch_kernel::{Clocks, derived_uuid};
use hunch_town::{ApiError, MemberLogin, Operator, Purchase, Till, TillLogin};
use reqwest::Client;
use serde::Serialize;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use crate::bench::apart::{end, serve_apart};
use crate::bench::{Figures, Measured, cpu_seconds, measured, wal_bytes};
use crate::serve::Served;
use crate::settings::Settings;

#[derive(clap::Args, Debug)]
pub struct EarnHttpBench {
    /// Seconds to measure, after one to warm up.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Parallel clients, each with one request on its way. The tills' door never lets in fewer than 64.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Purchases of one request: 1 to 500.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=500))]
    batch: u32,
    #[arg(long, default_value_t = 5_000)]
    members: usize,
    /// Purchases a second that all clients together begin, however slow the answers are, and latency counted from the
    /// moment a purchase was due. Without it each client sends as soon as it was answered.
    #[arg(long)]
    rate: Option<u64>,
}

const TILLS: usize = 40;
const WARM_UP: Duration = Duration::from_secs(1);
/// A till would wait a second; so short a pause keeps the crowd at the door.
const AFTER_BUSY: Duration = Duration::from_millis(20);

/// What the clients saw.
#[derive(Debug, Serialize)]
pub struct EarnHttp {
    #[serde(flatten)]
    measured: Measured,
    /// Requests that were turned away at the door; not among those measured.
    shed: usize,
}

pub async fn run(options: &EarnHttpBench, settings: &Settings) -> anyhow::Result<EarnHttp> {
    let served = serve_apart(settings).await?;
    let measured = measure(options, &served.0).await;
    end(served).await?;
    measured
}

/// Where a programme is, and how its operator gets in.
pub struct Place {
    pub base: String,
    pub operator_token: String,
    pub clocks: Clocks,
}

impl Place {
    pub fn of(served: &Served) -> Place {
        Place {
            base: format!("http://{}", served.address),
            operator_token: served.operator_token.clone(),
            clocks: served.clocks.clone(),
        }
    }
}

/// Members and tills, each till with a session.
pub async fn open_town(place: &Place, http: &Client, count: usize) -> anyhow::Result<(Vec<MemberLogin>, Vec<Till>)> {
    let base = &place.base;
    let operator = Operator::new(http.clone(), base, &place.operator_token);
    let members = members(&operator, count).await?;
    let mut tills = Vec::new();
    for n in 0..TILLS {
        let shop = derived_uuid(&[b"bench-shop", &n.to_be_bytes()]);
        let login: TillLogin = operator.open_shop(shop, &format!("Shop {n}"), "grocer", "America/New_York").await?;
        tills.push(Till::open(http.clone(), base, place.clocks.wall.clone(), &login).await?);
    }
    Ok((members, tills))
}

async fn measure(options: &EarnHttpBench, served: &Served) -> anyhow::Result<EarnHttp> {
    let place = Place::of(served);
    let http = Client::builder().pool_max_idle_per_host(options.clients).build()?;
    let (members, tills) = open_town(&place, &http, options.members).await?;
    let floor = floor(options, &http, &place.base).await?;

    let app = served.database.app();
    let (wal_before, cpu_before, begun) = (wal_bytes(app).await?, cpu_seconds(), Instant::now());
    let measuring = begun + WARM_UP;
    let end = measuring + Duration::from_secs(options.seconds);
    let mut clients = JoinSet::new();
    for client in 0..options.clients {
        let (till, clocks) = (tills[client % TILLS].clone(), served.clocks.clone());
        let own: Vec<MemberLogin> = members.iter().skip(client).step_by(options.clients).cloned().collect();
        let batch = options.batch as usize;
        let every =
            options.rate.map(|rate| Duration::from_secs_f64((options.clients * batch) as f64 / rate.max(1) as f64));
        let first = begun + every.map_or(Duration::ZERO, |every| every.mul_f64(client as f64 / options.clients as f64));
        clients.spawn(async move {
            let (mut answered, mut shed, mut total, mut n) = (Vec::new(), 0usize, 0usize, 0usize);
            while Instant::now() < end {
                let due = every.map(|every| first + every.mul_f64((n / batch) as f64));
                if let Some(due) = due {
                    tokio::time::sleep_until(due.into()).await;
                }
                let purchases: Vec<Purchase> = (0..batch)
                    .map(|i| Purchase {
                        receipt: format!("{client}-{}", n + i),
                        member_token: own[(n + i) % own.len()].member_token,
                        amount_cents: 100 + ((n + i) % 5_000) as i64,
                        currency: "USD",
                        purchased_at: clocks.business.now(),
                    })
                    .collect();
                n += batch;
                let sent = due.unwrap_or_else(Instant::now);
                if !reported(&till, &purchases).await? {
                    shed += usize::from(sent >= measuring);
                    continue;
                }
                total += batch;
                if sent >= measuring {
                    answered.push(sent.elapsed());
                }
            }
            anyhow::Ok((answered, shed, total))
        });
    }
    let (mut latencies, mut shed, mut total) = (Vec::new(), 0, 0);
    while let Some(done) = clients.join_next().await {
        let (answered, turned_away, sent) = done??;
        latencies.extend(answered);
        shed += turned_away;
        total += sent;
    }
    let (wal, cpu) = (wal_bytes(app).await? - wal_before, cpu_seconds() - cpu_before);
    ensure!(!latencies.is_empty(), "no purchase was answered");
    // Processor and log are of all purchases, the rest of those after the warm-up.
    let done = latencies.len() as f64 * f64::from(options.batch);
    let share = done / total as f64;
    let figures = Figures {
        done,
        took: Duration::from_secs(options.seconds),
        cpu: cpu * share,
        wal: wal * share,
        floor,
        clients: options.clients,
        batch: options.batch as usize,
    };
    let measured = measured("earn-http", &mut latencies, &figures);
    Ok(EarnHttp { measured, shed })
}

/// Whether the purchases were taken; false when the door turned them away.
pub(super) async fn reported(till: &Till, purchases: &[Purchase]) -> anyhow::Result<bool> {
    let [purchase] = purchases else {
        let (_, refused) = till.report_all(purchases).await?;
        ensure!(refused == 0, "{refused} purchases of a batch were refused");
        return Ok(true);
    };
    match till.try_report(purchase).await {
        Ok(_) => Ok(true),
        Err(ApiError::Problem { status: 429 | 503, .. }) => {
            tokio::time::sleep(AFTER_BUSY).await;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn members(operator: &Operator, count: usize) -> anyhow::Result<Vec<MemberLogin>> {
    let mut members = Vec::with_capacity(count);
    for first in (0..count).step_by(500) {
        let people = (first..count.min(first + 500)).map(|n| {
            json!({"full_name": format!("Member {n}"), "email": "", "phone": "", "birth_date": "1980-01-01", "home_zone": "America/New_York"})
        });
        members.extend(operator.add_members(people.collect(), true).await?);
    }
    Ok(members)
}

/// Requests a second that do nothing.
async fn floor(options: &EarnHttpBench, http: &Client, base: &str) -> anyhow::Result<f64> {
    let lasting = Duration::from_secs((options.seconds / 3).max(1));
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..options.clients {
        let (http, url) = (http.clone(), format!("{base}/healthz"));
        clients.spawn(async move {
            let mut n = 0u64;
            while begun.elapsed() < lasting {
                http.get(&url).send().await?.bytes().await?;
                n += 1;
            }
            anyhow::Ok(n)
        });
    }
    let mut total = 0;
    while let Some(done) = clients.join_next().await {
        total += done??;
    }
    Ok(total as f64 * f64::from(options.batch) / begun.elapsed().as_secs_f64())
}
