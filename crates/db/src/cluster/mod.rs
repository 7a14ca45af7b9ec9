//! A PostgreSQL of our own: found, made, started, shared with nobody, taken over, recovered, stopped.
//!
//! What always holds
//! - One program at a time owns a cluster: a lock beside the data is held as long as [`PrivateCluster`] lives.
//! - A folder called `data` is a finished cluster: it is made beside its place and moved there at the end.
//! - Nothing listens on a network. The way in is a socket in a folder of mode 0700, and the operating system
//!   says who is calling (peer authentication). There is no password anywhere.
//! - PostgreSQL never runs as root. Root lends it an unprivileged account.
//! - A cluster is never upgraded silently.
//!
//! The folder given in [`ClusterConfig`] holds `lock`, `data/`, `run/` (the socket) and `server.log`.

mod access;
mod account;
mod backup;
mod binaries;
mod create;
mod diagnosis;
mod error;
mod keeper;
mod places;
mod postmaster;
mod tuning;

use std::{
    fs::{self, File},
    os::unix::{
        fs::{OpenOptionsExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

pub use account::Account;
pub use backup::{BackupError, Copied, back_up, restore, superuser};
pub use binaries::{Binaries, MAJOR_MIN, find, tools_folders};
pub use create::DATABASE;
pub use diagnosis::{Finding, diagnose};
pub use error::ClusterError;
use keeper::Keeper;
pub use places::reachable_folder;
use places::{Ownership, Places};
pub(crate) use postmaster::{answers, is_alive, ready_pid};

use crate::DatabaseConfig;

/// The number in the socket's file name; nothing listens on a network.
pub(crate) const PORT: u16 = 5432;
/// After a kill, old backends hold shared memory for a second or two; recovery may take longer.
const START_SECONDS_MAX: u64 = 30;
const READY_SECONDS_MAX: u64 = 300;
const FAST_STOP_SECONDS_MAX: u64 = 60;
const POLL: Duration = Duration::from_millis(5);

/// What a private cluster needs to know.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Made with its parents if missing. Belongs to the cluster alone.
    pub folder: PathBuf,
    /// The folder of `initdb` and `postgres`; looked for if not named (see [`find`]).
    pub binaries: Option<PathBuf>,
    /// Whether the server is told to stop when this process dies, however it dies (Linux). True unless a
    /// test wants an orphan.
    pub die_with_parent: bool,
}

impl ClusterConfig {
    pub fn new(folder: impl Into<PathBuf>) -> ClusterConfig {
        ClusterConfig { folder: folder.into(), binaries: None, die_with_parent: true }
    }
}

/// What [`PrivateCluster::start`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// There was no cluster; now there is.
    Created,
    /// An orderly stopped cluster was started again.
    Resumed,
    /// The last server had been killed; its work was recovered from the write-ahead log.
    Recovered,
    /// A server whose parent had been killed was still running and is ours now.
    Adopted,
}

/// A running server that this process owns. Dropping it stops the server; [`PrivateCluster::stop`] also says
/// whether that went well.
#[derive(Debug)]
pub struct PrivateCluster {
    config: ClusterConfig,
    places: Places,
    account: Account,
    binaries: Binaries,
    start: Start,
    server: Option<Server>,
    keeper: Keeper,
    /// Last, so that the lock is let go only when the server is gone.
    _ownership: Ownership,
}

/// A postmaster: a child of ours, or an adopted one that we know by its process id only.
#[derive(Debug)]
struct Server {
    pid: u32,
    child: Option<Child>,
}

impl PrivateCluster {
    /// Makes the cluster if there is none, then starts it, adopts it, or recovers it, and returns when it takes
    /// connections. Blocks for a tenth of a second as a rule, half a second the first time, longer only after
    /// a crash. May be called from any thread: the server is the child of a thread kept for it.
    ///
    /// # Errors
    /// One sentence each for: another owner, another version, no programs, no account, a path that does not
    /// serve, a server that does not start.
    pub fn start(config: &ClusterConfig) -> Result<PrivateCluster, ClusterError> {
        let places = Places::prepare(&config.folder)?;
        let account = places.server_account()?;
        places.check_reach(&account)?;
        let ownership = places.own()?;
        let places = places.with_socket(&account)?;
        let binaries = choose_binaries(config, &places)?;

        let created = create::create_if_missing(&places, &binaries, &account)?;
        access::write(&places, &account)?;
        tuning::write(&places, &binaries, &account)?;

        let mut cluster = PrivateCluster {
            config: config.clone(),
            places,
            account,
            binaries,
            start: Start::Created,
            server: None,
            keeper: Keeper::new(),
            _ownership: ownership,
        };
        let start = cluster.bring_up()?;
        cluster.start = if created { Start::Created } else { start };
        tracing::info!(how = ?cluster.start, folder = %cluster.places.folder().display(), version = cluster.binaries.version, "private PostgreSQL is up");
        Ok(cluster)
    }

    /// How to connect to a cluster that another process owns and runs, `None` if none runs there. For programs
    /// that look and leave, such as an audit: the server goes when its owner does.
    pub fn join(folder: &Path) -> Option<DatabaseConfig> {
        let data = folder.join("data");
        let pid = ready_pid(&data)?;
        let socket_folder = postmaster::recorded_socket_folder(&data)?;
        (postmaster::is_ours(pid, &data) && answers(&socket_folder.join(format!(".s.PGSQL.{PORT}"))))
            .then(|| DatabaseConfig::on_socket(&socket_folder, PORT, DATABASE))
    }

    /// Whether there is a cluster in `folder`, running or not. Makes nothing.
    pub fn is_made(folder: &Path) -> bool {
        folder.join("data").is_dir()
    }

    /// How this server came to run.
    pub fn how_started(&self) -> Start {
        self.start
    }

    /// The programs in use.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The account the server runs under.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Where the socket is: `run` beside the data, or a short folder if that path would be too long.
    pub fn socket_folder(&self) -> &Path {
        self.places.socket_folder()
    }

    /// The postmaster's process id, for those who test what its death does.
    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().map(|server| server.pid)
    }

    /// How to connect to the cluster's one database.
    pub fn database_config(&self) -> DatabaseConfig {
        DatabaseConfig::on_socket(self.socket_folder(), PORT, DATABASE)
    }

    /// Starts the server again if it has died under us. True if it had.
    ///
    /// # Errors
    /// As [`PrivateCluster::start`].
    pub fn recover_if_dead(&mut self) -> Result<bool, ClusterError> {
        let running = match &mut self.server {
            Some(server) => server.runs(),
            None => false,
        };
        if !running {
            self.server = None;
            self.start = self.bring_up()?;
        }
        Ok(!running)
    }

    /// Stops the server in order: running transactions are undone, everything committed is on disk. Close the
    /// pools first; whoever is still connected is cut off.
    ///
    /// # Errors
    /// [`ClusterError::DoesNotStop`] if it is still there after a minute and an immediate stop.
    pub fn stop(mut self) -> Result<(), ClusterError> {
        self.halt()
    }

    fn halt(&mut self) -> Result<(), ClusterError> {
        match self.server.take() {
            Some(server) => server.stop(),
            None => Ok(()),
        }
    }

    /// Looks at what is there, waits for a dying predecessor, and leaves with a server that takes connections.
    fn bring_up(&mut self) -> Result<Start, ClusterError> {
        let begun = Instant::now();
        let data = self.places.data();
        let mut crashed = false;
        while let Some(pid) = postmaster::recorded_pid(&data) {
            if !postmaster::is_ours(pid, &data) {
                // A dead postmaster's note. Its number may belong to a stranger by now, whom PostgreSQL would
                // take for a living postmaster; we hold the lock and have looked, so the note can go.
                if is_alive(pid) {
                    fs::remove_file(data.join("postmaster.pid")).map_err(ClusterError::io("removing a stale note"))?;
                }
                crashed = true;
                break;
            }
            if ready_pid(&data) == Some(pid)
                && postmaster::recorded_socket_folder(&data).as_deref() == Some(self.places.socket_folder())
                && answers(&self.places.socket())
            {
                self.server = Some(Server { pid, child: None });
                return Ok(Start::Adopted);
            }
            // It is starting, stopping, or deaf. The first two end by themselves.
            if begun.elapsed() > Duration::from_secs(START_SECONDS_MAX) {
                return Err(ClusterError::Deaf { pid, folder: self.places.folder().to_owned() });
            }
            thread::sleep(POLL);
        }
        self.server = Some(self.launch(crashed)?);
        Ok(if crashed { Start::Recovered } else { Start::Resumed })
    }

    /// Starts postgres and waits until it is ready. After a crash it may exit at once because old backends
    /// still hold its memory: then it is tried again for a while.
    fn launch(&mut self, crashed: bool) -> Result<Server, ClusterError> {
        let begun = Instant::now();
        let data = self.places.data();
        let mut child = self.keeper.spawn(self.command()?)?;
        loop {
            if ready_pid(&data) == Some(child.id()) {
                return Ok(Server { pid: child.id(), child: Some(child) });
            }
            let ended = child.try_wait().map_err(ClusterError::io("waiting for postgres"))?.is_some();
            if ended && (!crashed || begun.elapsed() > Duration::from_secs(START_SECONDS_MAX)) {
                return Err(self.does_not_start());
            }
            if ended {
                thread::sleep(Duration::from_millis(100));
                child = self.keeper.spawn(self.command()?)?;
            }
            if begun.elapsed() > Duration::from_secs(READY_SECONDS_MAX) {
                Server { pid: child.id(), child: Some(child) }.stop()?;
                return Err(self.does_not_start());
            }
            thread::sleep(POLL);
        }
    }

    fn command(&self) -> Result<Command, ClusterError> {
        let log = self.open_log()?;
        let errors = log.try_clone().map_err(ClusterError::io("opening the server's log"))?;
        let mut command = Command::new(self.binaries.folder.join("postgres"));
        command
            .current_dir("/")
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .arg("-D")
            .arg(self.places.data())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Its own group: Ctrl-C reaches our program only, which closes its pools and then stops the server.
            .process_group(0);
        self.account.run(&mut command);
        if self.config.die_with_parent {
            keeper::die_with_parent(&mut command);
        }
        Ok(command)
    }

    fn open_log(&self) -> Result<File, ClusterError> {
        const LOG_BYTES_MAX: u64 = 16 << 20;
        let path = self.places.log();
        let long = fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX);
        let mut options = File::options();
        // Statements that failed stand in it, with what they were about.
        options.create(true).mode(0o600);
        if long {
            options.write(true).truncate(true)
        } else {
            options.append(true)
        };
        let doing = || ClusterError::io(format!("opening {}", path.display()));
        let log = options.open(&path).map_err(doing())?;
        // One that an earlier version made may be open to everybody.
        log.set_permissions(fs::Permissions::from_mode(0o600)).map_err(doing())?;
        Ok(log)
    }

    fn does_not_start(&self) -> ClusterError {
        let log = self.places.log();
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(5)..].join(" | ");
        ClusterError::DoesNotStart { log, tail }
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        if let Err(error) = self.halt() {
            tracing::warn!(%error, "private PostgreSQL did not stop in order");
        }
    }
}

impl Server {
    fn runs(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => is_alive(self.pid),
        }
    }

    /// Fast shutdown, and after a minute the immediate one, which the next start recovers from.
    fn stop(mut self) -> Result<(), ClusterError> {
        for (signal, seconds) in [(Signal::INT, FAST_STOP_SECONDS_MAX), (Signal::QUIT, START_SECONDS_MAX)] {
            if !self.runs() {
                return Ok(());
            }
            self.signal(signal);
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(seconds) {
                if !self.runs() {
                    return Ok(());
                }
                thread::sleep(POLL);
            }
        }
        Err(ClusterError::DoesNotStop { pid: self.pid })
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw) {
            // It may have gone between the look and the signal; the loop finds out.
            rustix::process::kill_process(pid, signal).ok();
        }
    }
}

/// The named programs, else the best installed that fit the data that is there.
fn choose_binaries(config: &ClusterConfig, places: &Places) -> Result<Binaries, ClusterError> {
    let Some(major) = places.data_major()? else { return find(config.binaries.as_deref()) };
    let found = binaries::find_major(config.binaries.as_deref(), major)?;
    if found.major != major {
        return Err(ClusterError::VersionDiffers {
            data: places.data(),
            data_major: major,
            found: found.folder,
            found_major: found.major,
        });
    }
    Ok(found)
}
