//! The cluster that all test programs of one account share.

use std::{
    env, fs,
    fs::File,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

use crate::cluster::{Account, Binaries, answers, find, is_alive, ready_pid};

/// The number in the socket's file name; nothing listens on a network.
const PORT: u16 = 5432;
/// How long the server outlives the last test program.
const IDLE_SECONDS: u32 = 300;

/// A running server without fsync, and this program's claim on it.
#[derive(Debug)]
pub(super) struct SharedCluster {
    socket_folder: PathBuf,
    /// Held shared for the life of the program: the watchdog stops the server only when it gets it alone.
    _users: File,
}

impl SharedCluster {
    /// The cluster of this machine's account, started if nobody has yet.
    pub(super) fn get() -> anyhow::Result<&'static SharedCluster> {
        static CLUSTER: OnceLock<SharedCluster> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        if let Some(cluster) = CLUSTER.get() {
            return Ok(cluster);
        }
        let _guard = STARTING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(cluster) = CLUSTER.get() {
            return Ok(cluster);
        }
        let cluster = start()?;
        cluster.sweep();
        Ok(CLUSTER.get_or_init(|| cluster))
    }

    pub(super) fn socket_folder(&self) -> &Path {
        &self.socket_folder
    }

    pub(super) fn port(&self) -> u16 {
        PORT
    }

    pub(super) fn superuser(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .socket(&self.socket_folder)
            .port(PORT)
            .username("postgres")
            .database("postgres")
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
    }

    /// Drops databases that killed test programs left behind. Whatever fails is left for the next one.
    fn sweep(&self) {
        let options = self.superuser();
        let sweeper = thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&options).await?;
                let names: Vec<String> =
                    sqlx::query_scalar("SELECT datname FROM pg_database WHERE datname LIKE 't\\_%\\_%'")
                        .fetch_all(&mut connection)
                        .await?;
                for name in names.iter().filter(|name| owner_of(name).is_some_and(|pid| !is_alive(pid))) {
                    let sql = format!("DROP DATABASE IF EXISTS {name}");
                    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.ok();
                }
                connection.close().await?;
                Ok(())
            })
        });
        sweeper.join().ok();
    }
}

/// The process that made the database `t_<pid>_<n>`.
fn owner_of(database: &str) -> Option<u32> {
    database.strip_prefix("t_")?.split('_').next()?.parse().ok()
}

fn start() -> anyhow::Result<SharedCluster> {
    let binaries = find(None)?;
    let account = Account::for_server()?;
    let home = home(&binaries)?;
    let users = open_lock(&home.join("users"))?;
    flock(&users, FlockOperation::LockShared).context("waiting for the test cluster to stop")?;
    let starting = open_lock(&home.join("starting"))?;
    flock(&starting, FlockOperation::LockExclusive).context("waiting for another program to start the test cluster")?;

    let folder = home.join("c");
    let running = ready_pid(&folder.join("data")).is_some_and(is_alive) && answers(&socket(&folder));
    if !running {
        create(&binaries, &account, &folder)?;
        launch(&binaries, &account, &folder, &home.join("users"))?;
    }
    Ok(SharedCluster { socket_folder: folder, _users: users })
}

fn socket(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

/// One folder per account and set of programs. Short, because a socket's path may have 107 bytes.
fn home(binaries: &Binaries) -> anyhow::Result<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let programs = ring::digest::digest(&ring::digest::SHA256, binaries.folder.as_os_str().as_encoded_bytes());
    let name = format!("hunch-test-{uid}-{}-{}", binaries.major, hex::encode(&programs.as_ref()[..3]));
    let temporary = env::temp_dir();
    let parent = if temporary.as_os_str().len() > 40 { PathBuf::from("/tmp") } else { temporary };
    let home = parent.join(name);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&home).with_context(|| format!("making {home:?}"))?;
    let seen = fs::symlink_metadata(&home)?;
    ensure!(seen.is_dir() && seen.uid() == uid, "{} belongs to somebody else; remove it", home.display());
    Ok(home)
}

fn open_lock(path: &Path) -> anyhow::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))
}

/// A cluster without fsync cannot be trusted after a crash, so one that does not run is made anew.
fn create(binaries: &Binaries, account: &Account, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("clearing {}", folder.display()))?;
    }
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    account.give(folder)?;
    let mut initdb = Command::new(binaries.folder.join("initdb"));
    account.run(&mut initdb);
    let output = initdb
        .current_dir("/")
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .args(["--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "--auth=trust"])
        .arg("-D")
        .arg(folder.join("data"))
        .output()
        .context("running initdb")?;
    ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=400",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off", // a worker inside a template would hold up its copies
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=2GB",
    "checkpoint_timeout=60min",
    "shared_buffers=256MB",
    "jit=off",
    "max_locks_per_transaction=128",
];

fn launch(binaries: &Binaries, account: &Account, folder: &Path, users: &Path) -> anyhow::Result<()> {
    let data = folder.join("data");
    let log_path = folder.join("server.log");
    let log = File::create(&log_path)?;
    let mut postgres = Command::new(binaries.folder.join("postgres"));
    account.run(&mut postgres);
    postgres
        .current_dir("/")
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(folder)
        .arg("-p")
        .arg(PORT.to_string());
    for setting in SETTINGS {
        postgres.arg("-c").arg(setting);
    }
    let mut child = postgres.spawn().context("starting postgres")?;
    for _ in 0..6000 {
        if ready_pid(&data) == Some(child.id()) {
            watch(child.id(), users)?;
            return Ok(());
        }
        if child.try_wait()?.is_some() {
            bail!("the test cluster does not start: {}", fs::read_to_string(&log_path).unwrap_or_default());
        }
        thread::sleep(Duration::from_millis(5));
    }
    bail!("the test cluster is not ready after 30 s: {}", fs::read_to_string(&log_path).unwrap_or_default())
}

/// Leaves a small shell behind that stops the server once no test program has claimed it for a while.
fn watch(pid: u32, users: &Path) -> anyhow::Result<()> {
    const SCRIPT: &str = r#"while sleep "$3"; do
        kill -0 "$1" 2>/dev/null || exit 0
        flock -n -x "$2" sh -c 'kill -INT "$0"; n=0; while kill -0 "$0" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done' "$1" && exit 0
    done"#;
    Command::new("sh")
        .current_dir("/")
        .args(["-c", SCRIPT, "hunch-test-watchdog"])
        .arg(pid.to_string())
        .arg(users)
        .arg(IDLE_SECONDS.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("starting the test cluster's watchdog")?;
    Ok(())
}
