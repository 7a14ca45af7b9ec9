//! Three times what the programme can do: what it turns away, how quick it stays for the rest, and how soon it is well
//! again. Tills and programme share the machine, so the rush also takes processor time from the programme.

use hunch_kernel::Clocks;
use hunch_town::{ApiError, MemberLogin, Purchase, Till};
use reqwest::Client;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use crate::bench::earn_http::{Place, end, open_town, serve_apart};
use crate::bench::{machine, percentile};
use crate::settings::Settings;

#[derive(clap::Args, Clone, Copy, Debug)]
pub struct OverloadBench {
    /// Seconds of each of the four parts: as many as it can, ordinary, the rush, ordinary again.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// The rush, as a multiple of what it can do.
    #[arg(long, default_value_t = 3.0)]
    times: f64,
}

#[derive(Serialize)]
pub struct Overload {
    bench: &'static str,
    /// Purchases a second with as many tills as give the most.
    sustained_per_second: u64,
    /// At seven tenths of that.
    normal_p99_ms: f64,
    rush_offered_per_second: u64,
    rush_accepted_per_second: u64,
    /// Answers of those turned away.
    rush_shed: BTreeMap<String, u64>,
    rush_p99_ms: f64,
    rush_p99_over_normal: f64,
    /// From the end of the rush until everything is accepted within a second and as quickly as before.
    recovered_seconds: u64,
    machine: String,
}

const CLIENTS: usize = 128;
const MEMBERS: usize = 5_000;
const ORDINARY: f64 = 0.7;
const TICK: Duration = Duration::from_millis(2);

pub async fn run(options: &OverloadBench, settings: &Settings) -> anyhow::Result<Overload> {
    let served = serve_apart(settings).await?;
    let (options, place) = (*options, Place::of(&served.0));
    // On a thread of its own: the crowd's tasks must not stand in the programme's queue.
    let crowd = tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(options, &place))
    });
    let measured = crowd.await?;
    end(served).await?;
    measured
}

async fn measure(options: OverloadBench, place: &Place) -> anyhow::Result<Overload> {
    let http = Client::builder().pool_max_idle_per_host(2_000).build()?;
    let (members, tills) = open_town(place, &http, MEMBERS).await?;
    let crowd = Arc::new(Crowd { members, tills, clocks: place.clocks.clone() });
    let part = Duration::from_secs(options.seconds.max(2));
    let sustained = crowd.as_many_as_can_be(part).await?;
    let normal = crowd.offer("normal", sustained * ORDINARY, part).await?;
    let rush = crowd.offer("rush", sustained * options.times, part).await?;
    let (normal_p99, rush_p99) = (normal.p99(), rush.p99());
    let mut recovered_seconds = 0;
    while recovered_seconds < part.as_secs() * 4 {
        let name = format!("after-{recovered_seconds}");
        let second = crowd.offer(&name, sustained * ORDINARY, Duration::from_secs(1)).await?;
        if second.shed.is_empty() && second.p99() <= normal_p99 * 2.0 {
            break;
        }
        recovered_seconds += 1;
    }
    let rounded = |value: f64| (value * 100.0).round() / 100.0;
    Ok(Overload {
        bench: "overload",
        sustained_per_second: sustained as u64,
        normal_p99_ms: rounded(normal_p99),
        rush_offered_per_second: rush.per_second(rush.offered),
        rush_accepted_per_second: rush.per_second(rush.accepted.len()),
        rush_p99_ms: rounded(rush_p99),
        rush_p99_over_normal: rounded(rush_p99 / normal_p99),
        rush_shed: rush.shed,
        recovered_seconds,
        machine: machine(),
    })
}

/// Tills and whom they serve.
struct Crowd {
    members: Vec<MemberLogin>,
    tills: Vec<Till>,
    clocks: Clocks,
}

/// What became of what was offered.
#[derive(Default)]
struct Offered {
    offered: usize,
    accepted: Vec<Duration>,
    shed: BTreeMap<String, u64>,
    took: Duration,
}

impl Offered {
    fn p99(&self) -> f64 {
        let mut sorted = self.accepted.clone();
        sorted.sort_unstable();
        percentile(&sorted, 0.99)
    }

    fn per_second(&self, count: usize) -> u64 {
        (count as f64 / self.took.as_secs_f64()) as u64
    }

    fn count(&mut self, took: Duration, answer: Result<i64, ApiError>) -> anyhow::Result<()> {
        match answer {
            Ok(_) => self.accepted.push(took),
            Err(ApiError::Problem { status: status @ (429 | 503), kind, .. }) => {
                *self.shed.entry(format!("{status} {kind}")).or_default() += 1;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Crowd {
    async fn buy(&self, receipt: String, n: usize) -> (Duration, Result<i64, ApiError>) {
        let purchase = Purchase {
            receipt,
            member_token: self.members[n % self.members.len()].member_token,
            amount_cents: 100 + (n % 5_000) as i64,
            currency: "USD",
            purchased_at: self.clocks.business.now(),
        };
        let sent = Instant::now();
        let answer = self.tills[n % self.tills.len()].try_report(&purchase).await;
        (sent.elapsed(), answer)
    }

    /// Each of the clients sends as soon as it was answered.
    async fn as_many_as_can_be(self: &Arc<Crowd>, lasting: Duration) -> anyhow::Result<f64> {
        let (begun, mut clients) = (Instant::now(), JoinSet::new());
        for client in 0..CLIENTS {
            let crowd = self.clone();
            clients.spawn(async move {
                let mut n = 0;
                while begun.elapsed() < lasting {
                    crowd.buy(format!("most-{client}-{n}"), client + n * CLIENTS).await.1?;
                    n += 1;
                }
                anyhow::Ok(n)
            });
        }
        let mut total = 0;
        while let Some(done) = clients.join_next().await {
            total += done??;
        }
        Ok(total as f64 / begun.elapsed().as_secs_f64())
    }

    /// So many a second, however slow the answers are.
    async fn offer(self: &Arc<Crowd>, name: &str, per_second: f64, lasting: Duration) -> anyhow::Result<Offered> {
        let (begun, mut sent, mut offered) = (Instant::now(), JoinSet::new(), Offered::default());
        let mut ticks = tokio::time::interval(TICK);
        while begun.elapsed() < lasting {
            ticks.tick().await;
            let due = (begun.elapsed().as_secs_f64() * per_second) as usize;
            for n in offered.offered..due {
                let (crowd, receipt) = (self.clone(), format!("{name}-{n}"));
                sent.spawn(async move { crowd.buy(receipt, n).await });
            }
            offered.offered = due;
            while let Some(done) = sent.try_join_next() {
                let (took, answer) = done?;
                offered.count(took, answer)?;
            }
        }
        while let Some(done) = sent.join_next().await {
            let (took, answer) = done?;
            offered.count(took, answer)?;
        }
        offered.took = begun.elapsed();
        Ok(offered)
    }
}
