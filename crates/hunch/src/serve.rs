//! `hunch serve`: the programme with its HTTP API, until it is told to stop.

use anyhow::{Context, anyhow, ensure};
use hunch_db::{Database, PoolSizes};
use hunch_exchange_sim::day::simulated_date;
use hunch_exchange_sim::{Refusal, SimHandle};
use hunch_http::{ListenerTerms, Readiness, Ticket};
use hunch_kernel::{Clocks, lock};
use hunch_trading::Trading;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{clocks, zone_with_day_left};
use crate::exchange::{Connected, connect, day_of, try_key};
use crate::home::Home;
use crate::only_one::OnlyOne;
use crate::programme::Programme;
use crate::settings::{Settings, Source};

/// A machine's clock that was set right leaves the programme ahead of it by so much at most.
const CLOCK_AHEAD_MAX: SignedDuration = SignedDuration::from_secs(60);
/// How often a private server that died is looked for.
const WATCH_SECONDS: u64 = 1;

/// A served programme, for whoever wants to use it from within the process and end it.
pub struct Served {
    pub address: SocketAddr,
    /// Where operators are answered too, and the figures are.
    pub operators_address: SocketAddr,
    pub operator_token: String,
    /// For the live page's link.
    pub ticket: Ticket,
    pub database: Database,
    pub clocks: Clocks,
    /// Where the town is: what ends today.
    pub zone: TimeZone,
    /// The exchange, when it runs within this process.
    pub simulator: Option<Arc<SimHandle>>,
    pub trading: Arc<Trading>,
    stop: CancellationToken,
    done: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Served {
    /// Opens the database, wires everything and listens.
    ///
    /// # Errors
    /// One sentence about what is missing or in the way.
    pub async fn start(settings: &Settings) -> anyhow::Result<Served> {
        settings.check()?;
        try_key(settings)?;
        // First, so that nothing is made or started where the address cannot be had.
        Served::start_on(settings, Listeners::open(settings).await?).await
    }

    /// As [`Served::start`], on addresses that are ours already.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub async fn start_on(settings: &Settings, listeners: Listeners) -> anyhow::Result<Served> {
        settings.check()?;
        let room = room(settings.parsed("server.connections_max")?);
        let proxies = settings.parsed::<u8>("server.proxies")?.into();
        let mut home = Home::open(settings, PoolSizes::default()).await?;
        let only_one = OnlyOne::take(&home.database).await?;
        crate::sandbox::check(settings, &home.database).await?;
        let clocks = business_clocks(settings, &home.database).await?;
        let zone = town_zone(settings, clocks.business.now())?;
        let Connected { client, simulator } = connect(settings, &clocks).await?;
        let simulator = simulator.map(Arc::new);
        let programme =
            Programme::build(settings, &home.database, clocks.clone(), Arc::new(client), recorder()?).await?;
        let database = home.database.clone();
        let over_tls = settings.text("server.public_url").starts_with("https://");
        let (address, operators_address) = (listeners.public.local_addr()?, listeners.operators.local_addr()?);
        let operator_token = programme.operator_token.clone();
        let ticket = programme.app.tickets.issue(clocks.wall.now());
        let app = programme.app.clone();
        let (stop, trading) = (app.closing.clone(), app.trading.clone());
        if let Some(simulator) = &simulator {
            tokio::spawn(next_days(simulator.clone(), clocks.clone(), stop.clone()));
        }

        let serving = stop.clone();
        let done = tokio::spawn(async move {
            let mut loops = programme.start(&serving);
            loops.spawn(only_one.hold(serving.clone()));
            app.readiness.set(true);
            let (services, watching) = (hunch_http::services(&app, over_tls), serving.clone());
            // Tasks of their own: starting PostgreSQL again stops the one that does it.
            let serve = |listener, router, room| {
                let (stop, turned_away) = (serving.clone(), services.turned_away.clone());
                let terms = ListenerTerms { room, proxies };
                let answering = tokio::spawn(hunch_http::serve(listener, router, terms, turned_away, stop.clone()));
                async move {
                    let served = answering.await;
                    stop.cancel();
                    served
                }
            };
            let (public, operators, watched, worked) = tokio::join!(
                serve(listeners.public, services.public, room),
                serve(listeners.operators, services.operators, OPERATORS_ROOM),
                watch(&mut home, &watching),
                supervise(&mut loops, &app.readiness, &serving),
            );
            app.readiness.set(false);
            home.close().await?;
            public.and(operators).context("a listener broke")?;
            watched?;
            worked
        });
        Ok(Served {
            address,
            operators_address,
            operator_token,
            ticket,
            database,
            clocks,
            zone,
            simulator,
            trading,
            stop,
            done,
        })
    }

    /// Answers what is in hand, writes what waits, stops the database.
    ///
    /// # Errors
    /// What went wrong while stopping.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let done = self.done.await?;
        // Its state is on disk already; this only ends it in order.
        if let Some(simulator) = self.simulator.and_then(Arc::into_inner) {
            simulator.stop().await;
        }
        done
    }

    async fn until_told(mut self) -> anyhow::Result<()> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            done = &mut self.done => return done?,
        }
        eprintln!("Stopping: answering what is in hand.");
        self.stop().await
    }
}

/// The addresses on which a programme answers.
pub struct Listeners {
    pub public: TcpListener,
    pub operators: TcpListener,
}

impl Listeners {
    /// # Errors
    /// Why one of the addresses cannot be had, and the setting that names another.
    pub async fn open(settings: &Settings) -> anyhow::Result<Listeners> {
        let public = listen(settings.listen()?, PUBLIC).await?;
        Ok(Listeners { public, operators: listen(settings.operators_listen()?, OPERATORS).await? })
    }

    /// The first free ports from the settings' own on; an address that somebody named for operators is taken as it is.
    ///
    /// # Errors
    /// When `tries` in a row are taken, or an address cannot be had for another reason.
    pub async fn near(settings: &Settings, tries: u16) -> anyhow::Result<Listeners> {
        let wanted = settings.listen()?;
        let public = listen_near(wanted, tries, PUBLIC).await?;
        let operators = if settings.text(OPERATORS).is_empty() && wanted.port() != 0 {
            let next = settings.operators_listen()?.ip();
            let port = public.local_addr()?.port().checked_add(1).unwrap_or(0);
            listen_near(SocketAddr::new(next, port), PORTS_BESIDE, OPERATORS).await?
        } else {
            listen(settings.operators_listen()?, OPERATORS).await?
        };
        Ok(Listeners { public, operators })
    }
}

const PUBLIC: &str = "server.listen";
const OPERATORS: &str = "server.operators_listen";
/// How many ports are tried for operators where none was named.
const PORTS_BESIDE: u16 = 100;

/// # Errors
/// Why that address cannot be had, and the setting that names another.
async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let (ip, port) = (address.ip(), address.port());
    let variable = format!("HUNCH_{}", key.to_uppercase().replace('.', "__"));
    let other = format!("{key} in the settings file, such as {ip}:{}, or {variable}", port.wrapping_add(2));
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {port} of {ip} is in use by another program; stop that one, or choose another address with {other}"
        ),
        ErrorKind::PermissionDenied => {
            anyhow!("port {port} is not for this account to listen on; choose one above 1023 with {key} or {variable}")
        }
        ErrorKind::AddrNotAvailable => {
            anyhow!("{ip} is no address of this machine; name one with {key} or {variable}")
        }
        _ => anyhow::Error::new(error).context(format!("{address} cannot be listened on; choose another with {other}")),
    })
}

/// The first free port from the address's own on.
///
/// # Errors
/// When `tries` in a row are taken, or the address cannot be had for another reason.
async fn listen_near(address: SocketAddr, tries: u16, key: &str) -> anyhow::Result<TcpListener> {
    for port in (address.port()..=u16::MAX).take(usize::from(tries)) {
        match TcpListener::bind(SocketAddr::new(address.ip(), port)).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Ok(listener) => return Ok(listener),
            Err(_) => break,
        }
    }
    listen(address, key).await
}

/// Operators' connections at once: no attack on the public listener takes any of them.
const OPERATORS_ROOM: usize = 128;
/// Open files that are not connections of the public listener.
const OTHER_FILES: u64 = 512;

/// How many connections there may be: each is an open file, and the last ones are not for strangers.
fn room(wanted: usize) -> usize {
    let mut files = getrlimit(Resource::Nofile);
    if files.current.is_some() && files.current != files.maximum {
        // As many as this account may have. Where that is not granted, it stays as it was.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
        files = getrlimit(Resource::Nofile);
    }
    let possible = files.current.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(files / 2));
    let room = wanted.min(usize::try_from(possible).unwrap_or(usize::MAX));
    if room < wanted {
        tracing::warn!(
            connections = room,
            wanted,
            "this account may open too few files for server.connections_max; raise the limit of open files (ulimit -n)"
        );
    }
    room
}

pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    let served = Served::start(settings).await?;
    eprintln!("Hunch answers at http://{}", served.address);
    eprintln!("  the API's document   http://{}/openapi.json", served.address);
    eprintln!("  operators, /metrics  http://{}", served.operators_address);
    eprintln!("  the operator's token {}", settings.folder().join("operator-token").display());
    eprintln!("Ctrl-C stops it.");
    served.until_told().await
}

/// Waits until every loop has ended. One that breaks while others work would leave its part of the work undone without
/// anybody noticing: then the whole process stops, to be started anew.
async fn supervise(loops: &mut JoinSet<()>, readiness: &Readiness, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut worked = Ok(());
    while let Some(ended) = loops.join_next().await {
        let too_early = match ended {
            Ok(()) if stop.is_cancelled() => continue,
            Ok(()) => anyhow::anyhow!("a loop of the programme ended by itself"),
            Err(broke) => anyhow::Error::new(broke).context("a loop of the programme broke"),
        };
        tracing::error!(error = format!("{too_early:#}"), "the programme stops");
        readiness.set(false);
        stop.cancel();
        worked = worked.and(Err(too_early));
    }
    worked
}

/// The two clocks. Business time never goes back: after a fast day the next start goes on from its end.
pub async fn business_clocks(settings: &Settings, database: &Database) -> anyhow::Result<Clocks> {
    let speed = settings.parsed("clock.speed")?;
    let wall = clocks(1, None).wall.now().to_timestamp();
    let last = hunch_log::newest(database.app()).await?.filter(|last| *last > wall);
    refuse_moved_clock(settings, last, wall)?;
    Ok(clocks(speed, last))
}

/// A real exchange keeps real time. A programme whose clock is ahead of it, because its day once went faster, would look
/// there for its orders in the future.
fn refuse_moved_clock(settings: &Settings, last: Option<Timestamp>, wall: Timestamp) -> anyhow::Result<()> {
    let Some(last) = last.filter(|last| last.duration_since(wall) > CLOCK_AHEAD_MAX) else { return Ok(()) };
    ensure!(
        settings.text("exchange.kind") != "kalshi",
        "this programme's clock stands at {last:.0}, ahead of real time ({wall:.0}), because its day went faster before; \
         exchange.kind = kalshi needs real time. Take the simulator, another database.folder, or wait until then"
    );
    Ok(())
}

/// What `serve` would say of the programme's clock. A programme that does not exist yet has none.
///
/// # Errors
/// When it would not start.
pub async fn check_clock(settings: &Settings) -> anyhow::Result<()> {
    if settings.text("exchange.kind") != "kalshi" {
        return Ok(());
    }
    let Some(home) = Home::look(settings, PoolSizes::default()).await? else { return Ok(()) };
    let fits = business_clocks(settings, &home.database).await;
    home.close().await?;
    fits.map(|_| ())
}

/// The town's time zone. A town on the simulator that was given none stands where some of its day is left.
fn town_zone(settings: &Settings, now: Timestamp) -> anyhow::Result<TimeZone> {
    let zone = settings.zone()?;
    let free = settings.text("exchange.kind") == "simulator" && settings.source("programme.zone") == Source::Default;
    Ok(if free { zone_with_day_left(&zone, now) } else { zone })
}

/// The simulator's exchange lists a new day when the old one is over.
async fn next_days(simulator: Arc<SimHandle>, clocks: Clocks, stop: CancellationToken) {
    let date = || simulated_date(clocks.business.now());
    let mut listed = date();
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_some() {
        if date() != listed {
            listed = date();
            for listing in day_of(clocks.business.now()) {
                // What ends in an hour may be listed since yesterday.
                if let Err(refusal) = simulator.list(&listing)
                    && !matches!(refusal, Refusal::Exists(_))
                {
                    tracing::warn!(error = refusal.to_string(), "a market of the new day is not listed");
                }
            }
        }
    }
}

/// Starts the private server again if it dies under us.
async fn watch(home: &mut Home, stop: &CancellationToken) -> anyhow::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(WATCH_SECONDS))).await.is_some() {
        match tokio::task::block_in_place(|| home.recover_if_dead()) {
            Ok(false) => {}
            Ok(true) => tracing::warn!("the private PostgreSQL had died and was started again"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "the private PostgreSQL does not start"),
        }
    }
    Ok(())
}

/// A process has one recorder, also when it serves one programme after the other.
fn recorder() -> anyhow::Result<PrometheusHandle> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = lock(&INSTALLED);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = buckets()?.install_recorder().context("metrics")?;
    *installed = Some(handle.clone());
    Ok(handle)
}

fn buckets() -> anyhow::Result<PrometheusBuilder> {
    const SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];
    // Sixty seconds are promised and the alarm is at forty-five: both are bounds, and what is worse can be told apart.
    const CREDITED_SECONDS: &[f64] = &[
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
        21_600.0, 86_400.0,
    ];
    let credited = |name: &str| Matcher::Full(format!("hunch_{name}_credited_seconds"));
    let builder = PrometheusBuilder::new().set_buckets(SECONDS)?;
    let builder = builder.set_buckets_for_metric(credited("final"), CREDITED_SECONDS)?;
    Ok(builder.set_buckets_for_metric(credited("settled"), CREDITED_SECONDS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A credit that is late by minutes can be told from one that is late by hours.
    #[test]
    fn the_histogram_of_credits_reaches_past_the_promise() {
        let recorder = buckets().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            for seconds in [0.3, 44.0, 59.0, 61.0, 250.0] {
                metrics::histogram!("hunch_final_credited_seconds").record(seconds);
            }
        });
        let text = handle.render();
        for (bound, count) in [("45", 2), ("60", 3), ("90", 4), ("120", 4), ("300", 5)] {
            let line = format!("hunch_final_credited_seconds_bucket{{le=\"{bound}\"}} {count}");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    /// Lives until it is told to stop.
    async fn dutiful(stop: CancellationToken) {
        stop.cancelled().await;
    }

    #[tokio::test]
    async fn a_loop_that_breaks_or_ends_by_itself_stops_the_whole_process() {
        for breaks in [true, false] {
            let (stop, readiness) = (CancellationToken::new(), Readiness::default());
            readiness.set(true);
            let mut loops = JoinSet::new();
            loops.spawn(dutiful(stop.clone()));
            loops.spawn(async move { assert!(!breaks, "a mistake of ours") });
            let told = supervise(&mut loops, &readiness, &stop).await.unwrap_err().to_string();
            assert!(told.contains(if breaks { "broke" } else { "ended by itself" }), "{told}");
            assert!(stop.is_cancelled() && loops.is_empty(), "the others ended in order");
            assert!(!readiness.get());
        }
    }

    #[test]
    fn a_real_exchange_is_refused_to_a_programme_whose_clock_was_moved() {
        let settings = |kind: &str| {
            Settings::load(None, [("HUNCH_EXCHANGE__KIND".to_owned(), kind.to_owned())].into_iter()).unwrap()
        };
        let wall: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let ahead = |seconds: i64| Some(wall + SignedDuration::from_secs(seconds));
        let refused = refuse_moved_clock(&settings("kalshi"), ahead(7_200), wall).unwrap_err().to_string();
        assert!(refused.contains("2026-11-23T14:00:00Z") && refused.contains("real time"), "{refused}");
        assert!(refuse_moved_clock(&settings("simulator"), ahead(7_200), wall).is_ok());
        assert!(refuse_moved_clock(&settings("kalshi"), ahead(30), wall).is_ok(), "as after a correction of the clock");
        assert!(refuse_moved_clock(&settings("kalshi"), None, wall).is_ok());
    }

    #[tokio::test]
    async fn loops_that_end_when_told_to_are_no_fault() {
        let stop = CancellationToken::new();
        let mut loops = JoinSet::new();
        loops.spawn(dutiful(stop.clone()));
        stop.cancel();
        supervise(&mut loops, &Readiness::default(), &stop).await.unwrap();
    }
}
