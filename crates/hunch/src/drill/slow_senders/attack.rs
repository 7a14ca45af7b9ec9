//! What strangers do, and one till.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hunch_kernel::{Clocks, SharedWallClock};
use hunch_loyalty::sign;
use hunch_town::Operator;
use reqwest::{Body, Client, Method};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::drill::victim::Victim;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Connections that begin a head and go no further: more of them than the programme takes.
    SilentHeaders,
    /// Purchases that say a body follows, and none does: some of a session that nobody knows, some of a known one.
    SilentBodies,
    /// The same, many at once on each of a few connections (HTTP/2 without TLS).
    SilentStreams,
    /// One member who listens with very many phones.
    ManyEventStreams,
    /// Requests with methods that were never heard of, each another one.
    MadeUpMethods,
    /// One till that sends full batches of what can never be stored, as fast as it is answered.
    Poison,
}

const HALF_HEADS: usize = 700;
const BODIES: usize = 600;
const H2_CONNECTIONS: usize = 5;
const H2_STREAMS: usize = 200;
const LISTENERS: usize = 150;
const INVENTORS: usize = 8;
/// Eleven hundred a second of all inventors.
const INVENTED_EVERY: Duration = Duration::from_millis(7);
const POISONERS: usize = 2;
const POISON_BATCH: usize = 500;
/// Before somebody who was sent away comes again.
const AGAIN: Duration = Duration::from_secs(2);

pub struct Attackers {
    host: String,
    base: String,
    member: String,
    till: Session,
    wall: SharedWallClock,
}

#[derive(Clone)]
struct Session {
    id: String,
    key: Vec<u8>,
}

/// An attack under way, on a thread of its own: its work must not stand in the way of those who are measured.
pub struct Attacking {
    sent: Arc<AtomicU64>,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl Attacking {
    /// Ends it and says how much was sent.
    pub async fn end(self) -> u64 {
        self.stop.cancel();
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
        self.sent.load(Ordering::Relaxed)
    }
}

impl Attackers {
    /// A member and a till of their own.
    ///
    /// # Errors
    /// When the programme refuses them.
    pub async fn prepare(victim: &Victim, token: &str, clocks: &Clocks) -> anyhow::Result<Attackers> {
        let http = Client::new();
        let operator = Operator::new(http.clone(), &victim.base, token);
        let person = json!({"full_name": "Somebody", "email": "", "phone": "", "birth_date": "1970-01-01", "home_zone": "America/New_York"});
        let member = operator.add_members(vec![person], true).await?.pop().context("nobody was taken in")?;
        let till = operator.open_shop(Uuid::from_u128(999), "The last shop", "kiosk", "America/New_York").await?;
        let post = async |path: &str, body: Value| -> anyhow::Result<Value> {
            let answer = http.post(format!("{}{path}", victim.base)).json(&body).send().await?;
            Ok(serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?)
        };
        let signed_in = post("/v1/sign-in", json!({"code": member.sign_in_code})).await?;
        let opened = post("/v1/pos/sessions", json!({"terminal": till.terminal, "secret": till.secret})).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("an answer that is not documented");
        Ok(Attackers {
            host: victim.base.replace("http://", ""),
            base: victim.base.clone(),
            member: text(&signed_in["token"])?,
            till: Session { id: text(&opened["session"])?, key: STANDARD.decode(text(&opened["key"])?)? },
            wall: clocks.wall.clone(),
        })
    }

    /// Begins.
    ///
    /// # Errors
    /// When no thread can be had for it.
    pub fn attack(&self, attack: Attack) -> anyhow::Result<Attacking> {
        let (sent, stop) = (Arc::<AtomicU64>::default(), CancellationToken::new());
        let one = Arc::new(One {
            host: self.host.clone(),
            base: self.base.clone(),
            member: self.member.clone(),
            till: self.till.clone(),
            wall: self.wall.clone(),
            sent: sent.clone(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stopping = stop.clone();
        let thread = std::thread::Builder::new().name("attackers".to_owned()).spawn(move || {
            runtime.block_on(stopping.run_until_cancelled(async {
                let mut all = one.all(attack);
                while all.join_next().await.is_some() {}
            }));
        })?;
        Ok(Attacking { sent, stop, thread })
    }
}

/// What each of the attackers knows.
struct One {
    host: String,
    base: String,
    member: String,
    till: Session,
    wall: SharedWallClock,
    sent: Arc<AtomicU64>,
}

impl One {
    fn all(self: &Arc<One>, attack: Attack) -> JoinSet<()> {
        let mut all = JoinSet::new();
        let many = match attack {
            Attack::SilentHeaders => HALF_HEADS,
            Attack::SilentBodies => BODIES,
            Attack::SilentStreams => H2_CONNECTIONS,
            Attack::ManyEventStreams => LISTENERS,
            Attack::MadeUpMethods => INVENTORS,
            Attack::Poison => POISONERS,
        };
        for n in 0..many {
            let one = self.clone();
            all.spawn(async move {
                match attack {
                    Attack::SilentHeaders => one.half_heads().await,
                    Attack::SilentBodies => one.silent_bodies(n).await,
                    Attack::SilentStreams => one.silent_streams().await,
                    Attack::ManyEventStreams => one.listen().await,
                    Attack::MadeUpMethods => one.invent(n).await,
                    Attack::Poison => one.poison(n).await,
                }
            });
        }
        all
    }

    fn count(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    async fn half_heads(&self) {
        loop {
            self.say_and_wait("POST /v1/pos/purchases HTTP/1.1\r\nhost: hunch\r\nx-slow: ").await;
        }
    }

    async fn silent_bodies(&self, n: usize) {
        loop {
            let session = if n.is_multiple_of(2) { self.till.id.clone() } else { random_id(n).to_string() };
            let head =
                self.head(&session).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
            let text = format!("POST /v1/pos/purchases HTTP/1.1\r\nhost: hunch\r\ncontent-length: 1000\r\n{head}\r\n");
            self.say_and_wait(&text).await;
        }
    }

    /// Says this on a new connection, and nothing more until it ends.
    async fn say_and_wait(&self, text: &str) {
        if let Ok(mut stream) = TcpStream::connect(&self.host).await
            && stream.write_all(text.as_bytes()).await.is_ok()
        {
            self.count();
            let mut answer = [0; 512];
            while let Ok(1..) = stream.read(&mut answer).await {}
        }
        tokio::time::sleep(AGAIN).await;
    }

    /// Headers of a till that only its signature shows to be none.
    fn head(&self, session: &str) -> [(&'static str, String); 4] {
        [
            ("content-type", "application/json".to_owned()),
            ("hunch-session", session.to_owned()),
            ("hunch-timestamp", self.wall.now().as_second().to_string()),
            ("hunch-signature", "00".repeat(32)),
        ]
    }

    async fn silent_streams(self: Arc<One>) {
        let Ok(client) = Client::builder().http2_prior_knowledge().build() else { return };
        let mut streams = JoinSet::new();
        for _ in 0..H2_STREAMS {
            let (one, client) = (self.clone(), client.clone());
            streams.spawn(async move {
                loop {
                    let nothing = tokio_stream::pending::<Result<Vec<u8>, std::io::Error>>();
                    let mut request = client.post(format!("{}/v1/pos/purchases", one.base));
                    for (name, value) in one.head(&one.till.id) {
                        request = request.header(name, value);
                    }
                    one.count();
                    let _ = request.body(Body::wrap_stream(nothing)).send().await;
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
        while streams.join_next().await.is_some() {}
    }

    async fn listen(&self) {
        let client = Client::new();
        loop {
            self.count();
            let asked = client.get(format!("{}/v1/me/stream", self.base)).bearer_auth(&self.member).send().await;
            if let Ok(mut stream) = asked {
                while let Ok(Some(_)) = stream.chunk().await {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn invent(&self, n: usize) {
        let client = Client::new();
        let mut due = tokio::time::interval(INVENTED_EVERY);
        for invention in 0u64.. {
            due.tick().await;
            let Ok(method) = Method::from_bytes(format!("X{n}-{invention}").as_bytes()) else { return };
            self.count();
            let _ = client.request(method, format!("{}/v1/me/balance", self.base)).send().await;
        }
    }

    async fn poison(&self, n: usize) {
        let (client, path) = (Client::new(), "/v1/pos/purchases/batch");
        for batch in 0u64.. {
            let purchases: Vec<Value> =
                (0..POISON_BATCH).map(|item| poisoned(&format!("{n}-{batch}-{item}"))).collect();
            let body = json!({"purchases": purchases}).to_string();
            let now = self.wall.now().as_second();
            let request = client
                .post(format!("{}{path}", self.base))
                .header("content-type", "application/json")
                .header("hunch-session", &self.till.id)
                .header("hunch-timestamp", now)
                .header("hunch-signature", sign(&self.till.key, now, "POST", path, body.as_bytes()));
            self.count();
            if request.body(body).send().await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// A receipt of a time that PostgreSQL does not know.
fn poisoned(receipt: &str) -> Value {
    json!({
        "receipt": receipt, "member_token": Uuid::from_u128(1), "amount_cents": 100, "currency": "USD",
        "purchased_at": "-004713-01-01T00:00:00Z"
    })
}

/// A session that was never opened, another one each time.
fn random_id(n: usize) -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u64_pair(NEXT.fetch_add(1, Ordering::Relaxed), n as u64)
}
