//! The town's push service, as a browser maker runs one: it takes RFC 8030 messages for the town's phones. Unlike a
//! real one it is also the phones, so it decrypts each message with a library that is not Hunch's own, checks who
//! signed it, and counts.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hunch_kernel::{SharedEntropy, SharedWallClock, lock};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;
use web_push_native::p256::SecretKey;
use web_push_native::p256::elliptic_curve::sec1::ToEncodedPoint;
use web_push_native::{Auth, decrypt};

/// A message that arrived and could be read.
#[derive(Clone, Debug)]
pub struct Pushed {
    pub phone: usize,
    pub text: String,
    pub notice: Option<Uuid>,
    pub at: Instant,
}

/// What a phone tells the programme when it subscribes.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub device: Uuid,
    pub endpoint: String,
    pub p256dh: String,
    pub auth: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushCounts {
    pub accepted: u64,
    /// Not readable, not signed by the programme, or for nobody here.
    pub refused: u64,
}

pub struct PushService {
    shared: Arc<Shared>,
    origin: String,
    server: JoinHandle<()>,
}

struct Shared {
    phones: Mutex<Vec<(SecretKey, [u8; 16])>>,
    counts: Mutex<PushCounts>,
    /// What the next requests are answered with instead of being taken.
    /// Answers to come, and how often each.
    trouble: Mutex<VecDeque<(StatusCode, usize)>>,
    /// How long every request waits first.
    delay: Mutex<Duration>,
    /// The programme's public key, as its own page gets it.
    signer: Vec<u8>,
    origin: String,
    wall: SharedWallClock,
    arrivals: mpsc::UnboundedSender<Pushed>,
}

impl PushService {
    /// Listens on this machine. `signer` is the programme's `applicationServerKey`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(
        signer: &str,
        wall: SharedWallClock,
        arrivals: mpsc::UnboundedSender<Pushed>,
    ) -> std::io::Result<PushService> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            phones: Mutex::default(),
            counts: Mutex::default(),
            trouble: Mutex::default(),
            delay: Mutex::default(),
            signer: URL_SAFE_NO_PAD.decode(signer).unwrap_or_default(),
            origin: origin.clone(),
            wall,
            arrivals,
        });
        let router = Router::new().route("/push/{phone}", post(take)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            // Ends with the task; nothing else can go wrong with an open listener.
            let _ = axum::serve(listener, router).await;
        });
        Ok(PushService { shared, origin, server })
    }

    /// A new phone with keys of its own.
    pub fn phone(&self, entropy: &SharedEntropy) -> Subscription {
        let (secret, auth) = loop {
            let (mut scalar, mut auth) = ([0u8; 32], [0u8; 16]);
            entropy.fill(&mut scalar);
            entropy.fill(&mut auth);
            // One draw in four billion is no key.
            if let Ok(secret) = SecretKey::from_slice(&scalar) {
                break (secret, auth);
            }
        };
        let p256dh = URL_SAFE_NO_PAD.encode(secret.public_key().to_encoded_point(false).as_bytes());
        let mut phones = lock(&self.shared.phones);
        phones.push((secret, auth));
        Subscription {
            device: entropy.uuid(),
            endpoint: format!("{}/push/{}", self.origin, phones.len() - 1),
            p256dh,
            auth: URL_SAFE_NO_PAD.encode(auth),
        }
    }

    /// Answers the next `times` requests with `status` and takes none of them.
    pub fn trouble(&self, status: StatusCode, times: usize) {
        lock(&self.shared.trouble).push_back((status, times));
    }

    /// Lets every request wait so long from now on.
    pub fn slow(&self, delay: Duration) {
        *lock(&self.shared.delay) = delay;
    }

    /// Takes requests again, and at once.
    pub fn forgive(&self) {
        lock(&self.shared.trouble).clear();
        *lock(&self.shared.delay) = Duration::ZERO;
    }

    pub fn counts(&self) -> PushCounts {
        *lock(&self.shared.counts)
    }
}

impl Drop for PushService {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn next_trouble(trouble: &mut VecDeque<(StatusCode, usize)>) -> Option<StatusCode> {
    while let Some((status, times)) = trouble.front_mut() {
        if let Some(left) = times.checked_sub(1) {
            *times = left;
            return Some(*status);
        }
        trouble.pop_front();
    }
    None
}

async fn take(
    State(shared): State<Arc<Shared>>,
    Path(phone): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let delay = *lock(&shared.delay);
    tokio::time::sleep(delay).await;
    if let Some(status) = next_trouble(&mut lock(&shared.trouble)) {
        return status;
    }
    let Some((secret, auth)) = lock(&shared.phones).get(phone).cloned() else {
        lock(&shared.counts).refused += 1;
        return StatusCode::GONE;
    };
    let read = signed_by_the_programme(&shared, &headers)
        .then(|| decrypt(body.to_vec(), &secret, &Auth::clone_from_slice(&auth)).ok())
        .flatten()
        .and_then(|plain| serde_json::from_slice::<Value>(&plain).ok());
    let Some(message) = read else {
        lock(&shared.counts).refused += 1;
        return StatusCode::BAD_REQUEST;
    };
    lock(&shared.counts).accepted += 1;
    let pushed = Pushed {
        phone,
        text: message["text"].as_str().unwrap_or_default().to_owned(),
        notice: message["notice"].as_str().and_then(|n| n.parse().ok()),
        at: Instant::now(),
    };
    // Nobody has to watch.
    let _ = shared.arrivals.send(pushed);
    StatusCode::CREATED
}

/// RFC 8292: a token for this origin, not expired, signed with the key the phones subscribed with.
fn signed_by_the_programme(shared: &Shared, headers: &HeaderMap) -> bool {
    let header = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let Some(token) = header.strip_prefix("vapid t=").and_then(|rest| rest.split(',').next()) else { return false };
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &shared.signer);
    if key.verify(signed.as_bytes(), &signature).is_err() {
        return false;
    }
    let claims = signed.split_once('.').and_then(|(_, claims)| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Value = claims.and_then(|c| serde_json::from_slice(&c).ok()).unwrap_or_default();
    claims["aud"] == shared.origin.as_str()
        && claims["exp"].as_i64().is_some_and(|exp| exp > shared.wall.now().as_second())
}
