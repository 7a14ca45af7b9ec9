//! Three times what the programme can do: what it turns away, how quick it stays for the rest, and how soon it is well
//! again. Tills and programme share the machine, so the rush also takes processor time from the programme: sending what is
//! refused, and refusing it. How much a refusal takes is measured apart, on a programme that lets nobody in; so it is
//! known what could be accepted with the rest.

use anyhow::{Context, bail, ensure};
use hunch_kernel::Clocks;
use hunch_town::{MemberLogin, Purchase, Till};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::bench::apart::{end, serve_apart};
use crate::bench::earn_http::{Place, open_town};
use crate::bench::{cpu_seconds, machine, percentile};
use crate::settings::{Settings, Source};

#[derive(clap::Args, Clone, Copy, Debug)]
pub struct OverloadBench {
    /// Seconds of each of the four parts: as many as it can, ordinary, the rush, ordinary again.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// The rush, as a multiple of what it can do.
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    /// How much slower an accepted purchase may be in the rush, 99 of 100, than on an ordinary day.
    #[arg(long, default_value_t = 2.0)]
    slower_max: f64,
    /// How soon it has to be well again.
    #[arg(long, default_value_t = 2)]
    recovery_seconds_max: u64,
    /// How much of what could be accepted beside refusing has to be.
    #[arg(long, default_value_t = 0.9)]
    accepted_min: f64,
}

#[derive(Serialize)]
pub struct Overload {
    bench: &'static str,
    /// Purchases a second with as many tills as give the most.
    sustained_per_second: u64,
    /// At seven tenths of that.
    normal_p99_ms: f64,
    /// Processor time of a refusal, of tills and programme together.
    refusal_cpu_us: f64,
    rush_offered_per_second: u64,
    rush_accepted_per_second: u64,
    /// What the processor time that refusing leaves could accept in a second.
    possible: u64,
    /// Answers of those turned away.
    rush_shed: BTreeMap<String, u64>,
    rush_p99_ms: f64,
    rush_p99_over_normal: f64,
    /// Refusals that did not say when to try again.
    rush_without_retry_after: u64,
    /// From the end of the rush until everything is accepted within a second and as quickly as before.
    recovered_seconds: u64,
    /// Nearly all that was possible was accepted, it stayed quick, whoever was turned away was told when to come back, and it was soon over. Any other
    /// answer than 200, 201, 429 and 503 ends the benchmark with an error.
    pub holds: bool,
    machine: String,
}

const CLIENTS: usize = 128;
const MEMBERS: usize = 5_000;
const ORDINARY: f64 = 0.7;
/// Tills with a request on its way at once, at most.
const CONNECTIONS: usize = 1_000;

pub async fn run(options: &OverloadBench, settings: &Settings) -> anyhow::Result<Overload> {
    let served = serve_apart(settings).await?;
    let (options, place) = (*options, Place::of(&served.0));
    // On a thread of its own: the crowd's tasks must not stand in the programme's queue.
    let crowd = tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(options, &place))
    });
    let measured = crowd.await?;
    end(served).await?;
    let (mut measured, Busy { sustained, accepted_cpu, refused_per_second }) = measured?;
    let refusal_cpu = refusal_cost(&options, settings).await?;
    // Of the processor time that accepting alone took, what refusing leaves.
    let possible = sustained * (1.0 - refused_per_second * refusal_cpu / (sustained * accepted_cpu)).max(0.0);
    measured.refusal_cpu_us = (refusal_cpu * 1e7).round() / 10.0;
    measured.possible = possible as u64;
    measured.holds &= measured.rush_accepted_per_second as f64 >= options.accepted_min * possible;
    Ok(measured)
}

/// What the rush is compared with.
struct Busy {
    sustained: f64,
    /// Processor seconds of a purchase where nobody is refused.
    accepted_cpu: f64,
    refused_per_second: f64,
}

/// What a refusal costs: measured on a programme that lets no purchase in.
async fn refusal_cost(options: &OverloadBench, settings: &Settings) -> anyhow::Result<f64> {
    let mut narrow = settings.clone();
    narrow.set("server.tills_max", "0".to_owned(), Source::CommandLine)?;
    let served = serve_apart(&narrow).await?;
    let place = Place::of(&served.0);
    let part = Duration::from_secs(options.seconds.max(2));
    let crowd = tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let crowd = Crowd::open(&place).await?;
            // What a programme does that nobody asks anything.
            let before = cpu_seconds();
            tokio::time::sleep(part).await;
            let idle = cpu_seconds() - before;
            let offered = crowd.as_many_as_can_be(part).await?;
            anyhow::Ok((offered, cpu_seconds() - before - 2.0 * idle))
        })
    });
    let measured = crowd.await?;
    end(served).await?;
    let (offered, cpu) = measured?;
    let refused: u64 = offered.shed.values().sum();
    ensure!(refused > 100 && offered.accepted.is_empty(), "a programme that lets nobody in refused only {refused}");
    Ok(cpu.max(0.0) / refused as f64)
}

async fn measure(options: OverloadBench, place: &Place) -> anyhow::Result<(Overload, Busy)> {
    let crowd = Crowd::open(place).await?;
    let part = Duration::from_secs(options.seconds.max(2));
    let cpu_before = cpu_seconds();
    let most = crowd.as_many_as_can_be(part).await?;
    let accepted_cpu = (cpu_seconds() - cpu_before) / most.accepted.len().max(1) as f64;
    let sustained = most.accepted.len() as f64 / most.took.as_secs_f64();
    let normal = crowd.offer("normal", sustained * ORDINARY, part).await?;
    let rush = crowd.offer("rush", sustained * options.times, part).await?;
    let (normal_p99, rush_p99) = (normal.p99(), rush.p99());
    let (mut recovered_seconds, mut well) = (0, false);
    while !well && recovered_seconds < options.recovery_seconds_max.max(part.as_secs() * 4) {
        let name = format!("after-{recovered_seconds}");
        let second = crowd.offer(&name, sustained * ORDINARY, Duration::from_secs(1)).await?;
        well = second.shed.is_empty() && second.p99() <= normal_p99 * options.slower_max;
        recovered_seconds += u64::from(!well);
    }
    let rounded = |value: f64| (value * 100.0).round() / 100.0;
    let slower = rush_p99 / normal_p99;
    let holds = !rush.accepted.is_empty()
        && slower <= options.slower_max
        && rush.without_retry_after == 0
        && well
        && recovered_seconds <= options.recovery_seconds_max;
    let refused_per_second = rush.shed.values().sum::<u64>() as f64 / rush.took.as_secs_f64();
    let measured = Overload {
        bench: "overload",
        sustained_per_second: sustained as u64,
        normal_p99_ms: rounded(normal_p99),
        refusal_cpu_us: 0.0,
        possible: 0,
        rush_offered_per_second: rush.per_second(rush.offered),
        rush_accepted_per_second: rush.per_second(rush.accepted.len()),
        rush_p99_ms: rounded(rush_p99),
        rush_p99_over_normal: rounded(slower),
        rush_without_retry_after: rush.without_retry_after,
        rush_shed: rush.shed,
        recovered_seconds,
        holds,
        machine: machine(),
    };
    Ok((measured, Busy { sustained, accepted_cpu, refused_per_second }))
}

/// Tills and whom they serve.
struct Crowd {
    host: String,
    /// Connections of the part before.
    kept: tokio::sync::Mutex<Vec<Line>>,
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
    without_retry_after: u64,
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

    fn add(&mut self, other: Offered) {
        self.offered += other.offered;
        self.accepted.extend(other.accepted);
        self.without_retry_after += other.without_retry_after;
        for (kind, count) in other.shed {
            *self.shed.entry(kind).or_default() += count;
        }
    }

    async fn ask(&mut self, line: &mut Line, request: &[u8]) -> anyhow::Result<()> {
        self.offered += 1;
        let sent = Instant::now();
        let answer = line.ask(request).await?;
        match answer.status {
            200 | 201 => self.accepted.push(sent.elapsed()),
            429 | 503 => {
                let problem: Problem = serde_json::from_slice(answer.body)?;
                *self.shed.entry(format!("{} {}", answer.status, problem.kind)).or_default() += 1;
                self.without_retry_after += u64::from(!answer.says_when);
            }
            other => bail!("{other}: {}", String::from_utf8_lossy(answer.body)),
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
}

impl Crowd {
    async fn open(place: &Place) -> anyhow::Result<Arc<Crowd>> {
        let http = Client::builder().pool_max_idle_per_host(2_000).build()?;
        let (members, tills) = open_town(place, &http, MEMBERS).await?;
        let (host, clocks) = (place.base.replace("http://", ""), place.clocks.clone());
        Ok(Arc::new(Crowd { host, kept: Default::default(), members, tills, clocks }))
    }

    /// The purchase as bytes, so that sending it costs the machine as little as can be.
    fn request(&self, receipt: String, n: usize) -> Vec<u8> {
        let purchase = Purchase {
            receipt,
            member_token: self.members[n % self.members.len()].member_token,
            amount_cents: 100 + (n % 5_000) as i64,
            currency: "USD",
            purchased_at: self.clocks.business.now(),
        };
        self.tills[n % self.tills.len()].wire(&self.host, &purchase)
    }

    async fn lines(&self, count: usize) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(&self.host).await?;
            stream.set_nodelay(true)?;
            lines.push(Line { stream, read: Vec::with_capacity(2_048) });
        }
        Ok(lines)
    }

    /// Each of the clients sends as soon as it was answered.
    async fn as_many_as_can_be(self: &Arc<Crowd>, lasting: Duration) -> anyhow::Result<Offered> {
        let lines = self.lines(CLIENTS).await?;
        let (begun, mut clients) = (Instant::now(), JoinSet::new());
        for (client, mut line) in lines.into_iter().enumerate() {
            let crowd = self.clone();
            clients.spawn(async move {
                let mut own = Offered::default();
                while begun.elapsed() < lasting {
                    let n = own.offered;
                    let request = crowd.request(format!("most-{client}-{n}"), client + n * CLIENTS);
                    own.ask(&mut line, &request).await?;
                }
                anyhow::Ok(own)
            });
        }
        let mut total = Offered::default();
        while let Some(done) = clients.join_next().await {
            total.add(done??);
        }
        total.took = begun.elapsed();
        Ok(total)
    }

    /// So many a second over [`CONNECTIONS`], each with one request on its way: what is due when all of them wait
    /// is sent as soon as one is free, and its time counts from then.
    async fn offer(self: &Arc<Crowd>, name: &str, per_second: f64, lasting: Duration) -> anyhow::Result<Offered> {
        let mut lines = std::mem::take(&mut *self.kept.lock().await);
        let missing = CONNECTIONS - lines.len();
        lines.extend(self.lines(missing).await?);
        // Signed beforehand.
        let count = (per_second * lasting.as_secs_f64()) as usize;
        let requests: Arc<Vec<Vec<u8>>> =
            Arc::new((0..count).map(|n| self.request(format!("{name}-{n}"), n)).collect());
        let (begun, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let mut connections = JoinSet::new();
        for mut line in lines {
            let (requests, next) = (requests.clone(), next.clone());
            connections.spawn(async move {
                let mut own = Offered::default();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let due = Duration::from_secs_f64(n as f64 / per_second);
                    let Some(request) = requests.get(n).filter(|_| begun.elapsed() < lasting) else {
                        return anyhow::Ok((own, line));
                    };
                    tokio::time::sleep_until((begun + due).into()).await;
                    own.ask(&mut line, request).await?;
                }
            });
        }
        let mut offered = Offered::default();
        while let Some(done) = connections.join_next().await {
            let (own, line) = done??;
            offered.add(own);
            self.kept.lock().await.push(line);
        }
        offered.took = begun.elapsed();
        Ok(offered)
    }
}

/// A till's kept connection.
struct Line {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Line {
    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let (status, says_when, body) = loop {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the programme hung up");
            if let Some(whole) = whole_answer(&self.read)? {
                break whole;
            }
        };
        Ok(Answer { status, says_when, body: &self.read[body] })
    }
}

struct Answer<'a> {
    status: u16,
    /// It has a Retry-After.
    says_when: bool,
    body: &'a [u8],
}

/// Status, whether it says when to try again, and place of the body, once all of it is there.
fn whole_answer(bytes: &[u8]) -> anyhow::Result<Option<(u16, bool, Range<usize>)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = answer.parse(bytes)? else { return Ok(None) };
    let header = |name: &str| answer.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
    let (length, says_when) = (header("content-length"), header("retry-after").is_some());
    let length: usize = std::str::from_utf8(length.context("an answer without a length")?.value)?.parse()?;
    let status = answer.code.context("an answer without a status")?;
    Ok((bytes.len() >= head + length).then_some((status, says_when, head..head + length)))
}
