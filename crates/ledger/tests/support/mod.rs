//! A door between the pool and the server that can lose the answer to a COMMIT, as a network can.

use hunch_db::testing::TestDb;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

pub struct LossyProxy {
    options: PgConnectOptions,
    to_lose: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

impl LossyProxy {
    pub async fn start(db: &TestDb) -> LossyProxy {
        let direct = db.app().connect_options();
        let socket = direct
            .get_socket()
            .expect("test databases listen on a socket")
            .join(format!(".s.PGSQL.{}", direct.get_port()));
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let (to_lose, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(accept(listener, socket, to_lose.clone(), lost.clone()));
        let options = (*direct).clone().socket(folder.path()).port(5432);
        LossyProxy { options, to_lose, lost, _folder: folder }
    }

    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(4).connect_with(self.options.clone()).await.unwrap()
    }

    pub fn lose_next_commit_answers(&self, n: usize) {
        self.to_lose.store(n, Ordering::SeqCst);
    }

    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

async fn accept(listener: UnixListener, server: PathBuf, to_lose: Arc<AtomicUsize>, lost: Arc<AtomicUsize>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = UnixStream::connect(&server).await.unwrap();
        tokio::spawn(carry(client, server, to_lose.clone(), lost.clone()));
    }
}

async fn carry(mut client: UnixStream, mut server: UnixStream, to_lose: Arc<AtomicUsize>, lost: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0u8; 65_536], vec![0u8; 65_536]);
    let mut losing = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let n = read.unwrap_or(0);
                if n == 0 { return; }
                let commit = asked[..n].windows(6).any(|w| w == b"COMMIT");
                losing = commit && to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                if server.write_all(&asked[..n]).await.is_err() { return; }
            }
            read = server.read(&mut answered) => {
                let n = read.unwrap_or(0);
                if n == 0 { return; }
                if losing {
                    // The server has committed and says so; nobody hears it.
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if client.write_all(&answered[..n]).await.is_err() { return; }
            }
        }
    }
}
