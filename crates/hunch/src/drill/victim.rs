//! A programme to be broken: a process of its own with a private PostgreSQL, trading on an exchange that survives.

use anyhow::{Context, bail};
use hunch_exchange_sim::{Cash, ExchangeSim, KeyConfig, KeyPair, SimConfig, SimHandle, Tier, day};
use hunch_kernel::{Clocks, SystemEntropy};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::clock::zone_with_day_left;
use crate::home::cluster_folder;
use crate::settings::{Settings, Source};

const KEY_ID: &str = "drill";
const READY_SECONDS_MAX: u64 = 60;
/// What a member of the drill may stake in a day and in a week.
const STAKE_POINTS_MAX: u32 = 1_000_000;

pub struct Victim {
    pub base: String,
    /// Where operators are answered too.
    pub operators_base: String,
    pub folder: PathBuf,
    /// As the process sees them, for commands that visit its database.
    pub settings: Settings,
    pub exchange: SimHandle,
    /// Variables of the process beyond its settings.
    pub environment: Vec<(&'static str, String)>,
    process: Option<Child>,
    port: u16,
    http: Client,
}

/// The settings that a victim does not take from whoever drills.
const OWN_SETTINGS: [&str; 21] = [
    "database.url",
    "database.folder",
    "server.listen",
    "server.operators_listen",
    "exchange.kind",
    "exchange.rest_url",
    "exchange.ws_url",
    "exchange.key_id",
    "exchange.private_key_file",
    "exchange.sync_seconds",
    "exchange.poll_seconds",
    "push.allow_loopback_http",
    "push.subject",
    "sandbox.create",
    "limits.house_day_points",
    "limits.house_week_points",
    "limits.till_minute_receipts",
    "limits.till_day_points",
    "limits.merchant_day_points",
    "limits.member_day_receipts",
    "limits.member_day_points",
];

impl Victim {
    /// Starts exchange and programme in a new folder beside the settings' own.
    ///
    /// # Errors
    /// What does not start.
    pub async fn start(settings: &Settings, clocks: &Clocks) -> anyhow::Result<Victim> {
        let mut victim = Victim::prepare(settings, clocks).await?;
        victim.spawn().await?;
        Ok(victim)
    }

    /// As [`Victim::start`], but the programme is not started yet.
    ///
    /// # Errors
    /// As [`Victim::start`].
    pub async fn prepare(settings: &Settings, clocks: &Clocks) -> anyhow::Result<Victim> {
        let folder = settings.folder().with_file_name(format!("drill-{}", std::process::id()));
        let folder = std::path::absolute(&folder).with_context(|| folder.display().to_string())?;
        std::fs::create_dir_all(&folder)?;
        let pair = KeyPair::ed25519(SystemEntropy::shared().as_ref()).context("no key could be made")?;
        std::fs::write(folder.join("exchange-key.pem"), &pair.private_pem)?;
        let key = KeyConfig { key_id: KEY_ID.to_owned(), public_key_pem: pair.public_pem, account: 1 };
        let now = clocks.business.now();
        let exchange = ExchangeSim::start(SimConfig {
            seed: 7,
            funding: [Cash::dollars(50_000); 4],
            listings: day::believable(7, now),
            tier: Tier::PREMIER,
            portfolio_lag: Duration::from_millis(200),
            market_lag: Duration::from_millis(200),
            house_step: Duration::from_secs(2),
            tick: Duration::from_millis(100),
            ..SimConfig::quiet(clocks.clone(), vec![key])
        })
        .await?;
        let (port, operators_port) = two_free_ports()?;
        let zone = zone_with_day_left(&settings.zone()?, now);
        let mut own = settings.clone();
        for (key, value) in [
            ("database.url", String::new()),
            ("database.folder", folder.join("home").display().to_string()),
            ("server.listen", format!("127.0.0.1:{port}")),
            ("server.operators_listen", format!("127.0.0.1:{operators_port}")),
            ("exchange.kind", "kalshi".to_owned()),
            ("exchange.rest_url", exchange.rest_url()),
            ("exchange.ws_url", exchange.ws_url()),
            ("exchange.key_id", KEY_ID.to_owned()),
            ("exchange.private_key_file", folder.join("exchange-key.pem").display().to_string()),
            ("exchange.sync_seconds", "2".to_owned()),
            ("exchange.poll_seconds", "2".to_owned()),
            ("push.allow_loopback_http", "true".to_owned()),
            ("push.subject", "mailto:drill@example.org".to_owned()),
            ("sandbox.create", "true".to_owned()),
            // A dozen phones stake all the time.
            ("limits.house_day_points", STAKE_POINTS_MAX.to_string()),
            ("limits.house_week_points", STAKE_POINTS_MAX.to_string()),
            ("programme.zone", zone.iana_name().context("a zone without a name")?.to_owned()),
        ] {
            own.set(key, value, Source::CommandLine)?;
        }
        eprintln!(
            "The drill's members may stake {STAKE_POINTS_MAX} points a day and a week: limits.house_day_points, limits.house_week_points."
        );
        let http = Client::builder().timeout(Duration::from_secs(5)).build()?;
        let base = format!("http://127.0.0.1:{port}");
        let operators_base = format!("http://127.0.0.1:{operators_port}");
        Ok(Victim {
            base,
            operators_base,
            folder,
            settings: own,
            exchange,
            environment: Vec::new(),
            process: None,
            port,
            http,
        })
    }

    /// Starts the process and waits until it says it is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn spawn(&mut self) -> anyhow::Result<()> {
        let told = File::options().create(true).append(true).open(self.folder.join("told"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").current_dir(&self.folder).stdin(Stdio::null()).stdout(told.try_clone()?).stderr(told);
        for key in OWN_SETTINGS {
            let name = format!("HUNCH_{}", key.to_uppercase().replace('.', "__"));
            command.env(name, self.settings.text(key));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(command.spawn()?);
        self.ready().await
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(READY_SECONDS_MAX) {
            let asked = self.http.get(format!("{}/readyz", self.base)).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.process.as_mut().and_then(|p| p.try_wait().ok().flatten()) {
                bail!("the server ended with {status}: see {}", self.folder.join("told").display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("port {} was not ready in {READY_SECONDS_MAX} s: see {}", self.port, self.folder.join("told").display())
    }

    /// kill -9, as when the machine's memory ends.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_server(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// kill -9 of PostgreSQL's first process; its children notice and die.
    ///
    /// # Errors
    /// When it is not there.
    pub fn kill_postgres(&self) -> anyhow::Result<()> {
        let postmaster = i32::try_from(self.postmaster_id()?)?;
        kill_process(Pid::from_raw(postmaster).context("no process")?, Signal::KILL)?;
        Ok(())
    }

    /// Process id of PostgreSQL's first process.
    ///
    /// # Errors
    /// When it is not there.
    pub fn postmaster_id(&self) -> anyhow::Result<u32> {
        let file = self.data_folder()?.join("postmaster.pid");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        text.lines().next().unwrap_or_default().trim().parse().context("postmaster.pid")
    }

    /// Process id of the server, while it runs.
    pub fn server_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Ends what is left and removes the folder, unless somebody wants to look.
    ///
    /// # Errors
    /// When something does not end or cannot be removed.
    pub async fn finish(mut self, keep: bool) -> anyhow::Result<()> {
        self.stop().await?;
        let folder = self.folder.clone();
        let places = [self.settings.folder(), cluster_folder(&self.settings)?];
        drop(self);
        if keep {
            eprintln!("   everything is left in {}", folder.display());
            return Ok(());
        }
        for place in places.into_iter().chain([folder]) {
            if place.exists() {
                std::fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
            }
        }
        Ok(())
    }

    /// PostgreSQL takes no new connections and ends those it has, as under an administrator's hand; with `false` it
    /// takes them again.
    ///
    /// # Errors
    /// When its socket is not where it says.
    pub fn postgres_refuses(&self, refuses: bool) -> anyhow::Result<()> {
        let file = self.data_folder()?.join("postmaster.pid");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let [postmaster, _, _, port, folder, ..] = lines[..] else { bail!("{} is too short", file.display()) };
        let socket = PathBuf::from(folder).join(format!(".s.PGSQL.{port}"));
        let hidden = socket.with_extension("away");
        if !refuses {
            return std::fs::rename(&hidden, &socket).with_context(|| hidden.display().to_string());
        }
        std::fs::rename(&socket, &hidden).with_context(|| socket.display().to_string())?;
        // One that was just made may not have its name yet: looked for until there is none.
        while end_backends(postmaster)? > 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// PostgreSQL's own files.
    ///
    /// # Errors
    /// When the folder cannot be told.
    pub fn data_folder(&self) -> anyhow::Result<PathBuf> {
        Ok(cluster_folder(&self.settings)?.join("data"))
    }

    /// The operator's token.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn operator_token(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.settings.folder().join("operator-token"))?.trim().to_owned())
    }

    /// The second person's token, who approves corrections.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn approver_token(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.settings.folder().join("approver-token"))?.trim().to_owned())
    }

    /// Ends the process in order; its PostgreSQL ends with it.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        kill_process(Pid::from_child(&process), Signal::TERM)?;
        let status = tokio::task::spawn_blocking(move || process.wait()).await??;
        anyhow::ensure!(status.success(), "the server ended with {status}: see {}", self.folder.join("told").display());
        Ok(())
    }
}

/// Ends every connection of the programme; gives how many there were.
fn end_backends(postmaster: &str) -> anyhow::Result<usize> {
    let mut ended = 0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let about = |what: &str| std::fs::read_to_string(entry.path().join(what)).unwrap_or_default();
        let stat = about("stat");
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)).unwrap_or_default();
        // The programme's roles begin with its name; PostgreSQL's own helpers have none.
        let backend = parent == postmaster && about("cmdline").contains("hunch_");
        if backend && let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            // It may have gone meanwhile.
            let _ = kill_process(Pid::from_raw(pid).context("no process")?, Signal::TERM);
            ended += 1;
        }
    }
    Ok(ended)
}

fn two_free_ports() -> anyhow::Result<(u16, u16)> {
    let free = || std::net::TcpListener::bind("127.0.0.1:0");
    let (one, other) = (free()?, free()?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Nothing is left running, whatever went wrong.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
