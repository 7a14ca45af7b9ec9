//! Quotes over HTTP, as phones ask for them: gate, the best prices of the exchange's book read over its REST interface (one
//! reading serves all who ask for a market within half a second), sizing, stored. The floor is the same phones asking for
//! `/healthz`. The exchange's own limit on reads bounds how many quotes a second there can be, so phones ask at a steady pace
//! and the figure to look at is the latency.

use anyhow::ensure;
use hunch_town::{ApiError, Operator, Phone};
use reqwest::Client;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::bench::apart::{end, serve_apart};
use crate::bench::{Figures, Measured, cpu_seconds, measured, wal_bytes};
use crate::serve::Served;
use crate::settings::Settings;

const NEW_YORK: (f64, f64) = (40.7484, -73.9857);

#[derive(clap::Args, Debug)]
pub struct QuoteBench {
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Phones that ask.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Quotes a second, of all phones together.
    #[arg(long, default_value_t = 16)]
    rate: u64,
}

pub async fn run(options: &QuoteBench, settings: &Settings) -> anyhow::Result<Measured> {
    let served = serve_apart(settings).await?;
    let measured = measure(options, &served.0).await;
    end(served).await?;
    measured
}

async fn measure(options: &QuoteBench, served: &Served) -> anyhow::Result<Measured> {
    let base = format!("http://{}", served.address);
    let http = Client::new();
    let operator = Operator::new(http.clone(), &base, &served.operator_token);
    let people = (0..options.clients).map(|n| {
        json!({"full_name": format!("Member {n}"), "email": "", "phone": "", "birth_date": "1980-01-01", "home_zone": "America/New_York"})
    });
    let mut phones = Vec::new();
    for login in operator.add_members(people.collect(), true).await? {
        let phone = Phone::sign_in(http.clone(), &base, &login.sign_in_code).await?;
        phone.be_at(NEW_YORK).await?;
        phones.push(phone);
    }
    let markets = offered(&phones[0]).await?;
    let begun = Instant::now();
    let mut floor = 0u64;
    while begun.elapsed() < Duration::from_secs(2) {
        http.get(format!("{base}/healthz")).send().await?.bytes().await?;
        floor += 1;
    }
    let floor = floor as f64 / begun.elapsed().as_secs_f64();

    let app = served.database.app();
    let (wal, cpu, begun) = (wal_bytes(app).await?, cpu_seconds(), Instant::now());
    let mut pace = interval(Duration::from_secs(1) / options.rate.max(1) as u32);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = JoinSet::new();
    let mut n = 0usize;
    while begun.elapsed() < Duration::from_secs(options.seconds) {
        pace.tick().await;
        let (phone, market) = (phones[n % phones.len()].clone(), markets[n * 7 % markets.len()].clone());
        n += 1;
        asked.spawn(async move {
            let asking = Instant::now();
            let answer = phone.quote(&market, if n.is_multiple_of(2) { "yes" } else { "no" }, 50).await;
            (answer, asking.elapsed())
        });
    }
    let mut latencies = Vec::new();
    while let Some(done) = asked.join_next().await {
        match done? {
            (Ok(_), took) => latencies.push(took),
            // A side that nobody offers just now, or a market that just ended.
            (Err(ApiError::Problem { status: 409 | 422, .. }), _) => {}
            (Err(error), _) => return Err(error.into()),
        }
    }
    let took = begun.elapsed();
    ensure!(!latencies.is_empty(), "no quote was given");
    let figures = Figures {
        done: latencies.len() as f64,
        took,
        cpu: cpu_seconds() - cpu,
        wal: wal_bytes(app).await? - wal,
        floor,
        clients: options.clients,
        batch: 1,
    };
    Ok(measured("quote", &mut latencies, &figures))
}

/// Markets with both sides offered, once the programme has read them.
async fn offered(phone: &Phone) -> anyhow::Result<Vec<String>> {
    for _ in 0..100 {
        let found: Vec<String> =
            phone.markets().await?.into_iter().filter(|m| m.yes_and_no).map(|m| m.market).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the exchange offers nothing")
}
