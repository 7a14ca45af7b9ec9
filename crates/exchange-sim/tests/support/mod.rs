//! A running simulator with a signed-in client on plain sockets, sharing no code with either side.
#![allow(dead_code, reason = "each test file uses its part")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use hunch_exchange_sim::{ExchangeSim, KeyConfig, KeyPair, Listing, Px, Qty, SimConfig, SimHandle};
use hunch_kernel::{Clock as _, Clocks, ManualClock, SeededEntropy};
use jiff::{SignedDuration, Timestamp};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

pub const TICKER: &str = "KXTEST-26NOV23-A";
pub const KEY_ID: &str = "6f1ab0b4-8f4e-4f0c-9b0e-0c4c7a8d5e21";

pub fn start_time() -> Timestamp {
    "2026-11-23T17:00:00Z".parse().unwrap()
}

pub struct Bench {
    pub clock: Arc<ManualClock>,
    pub sim: SimHandle,
    key: Ed25519KeyPair,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub text: String,
    pub json: Value,
}

pub fn config(clock: &Arc<ManualClock>) -> (SimConfig, Ed25519KeyPair) {
    let pair = KeyPair::ed25519(&*SeededEntropy::shared(5)).unwrap();
    let body: String = pair.private_pem.lines().filter(|l| !l.starts_with("-----")).collect();
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&STANDARD.decode(body).unwrap()).unwrap();
    let keys = vec![KeyConfig { key_id: KEY_ID.to_owned(), public_key_pem: pair.public_pem, account: 1 }];
    (SimConfig::quiet(Clocks::manual(clock.clone()), keys), key)
}

impl Bench {
    /// One market with 100 contracts at 0.33 bid and 145.50 at 0.35 asked.
    pub async fn start() -> Bench {
        Bench::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut SimConfig)) -> Bench {
        let clock = ManualClock::at(start_time());
        let (mut config, key) = config(&clock);
        let close = start_time() + SignedDuration::from_hours(2);
        config.listings.push(Listing::single(TICKER, "Climate and Weather", start_time(), close));
        change(&mut config);
        let sim = ExchangeSim::start(config).await.unwrap();
        let bench = Bench { clock, sim, key };
        bench.book(&[(33, 10_000), (32, 5_000)], &[(65, 14_550), (64, 7_525)]);
        bench
    }

    pub fn book(&self, yes: &[(i64, i64)], no: &[(i64, i64)]) {
        let levels = |l: &[(i64, i64)]| l.iter().map(|(p, c)| (Px::cents(*p), Qty(*c))).collect::<Vec<_>>();
        self.sim.set_book(TICKER, &levels(yes), &levels(no)).unwrap();
    }

    fn signature(&self, method: &str, path: &str) -> [(&'static str, String); 3] {
        let stamp = self.clock.now().as_millisecond().to_string();
        let signature = STANDARD.encode(self.key.sign(format!("{stamp}{method}{path}").as_bytes()));
        [
            ("KALSHI-ACCESS-KEY", KEY_ID.to_owned()),
            ("KALSHI-ACCESS-TIMESTAMP", stamp),
            ("KALSHI-ACCESS-SIGNATURE", signature),
        ]
    }

    /// `target` is below `/trade-api/v2`, with its query.
    pub async fn call(&self, method: &str, target: &str, body: Option<Value>) -> Reply {
        let text = body.map(|b| b.to_string()).unwrap_or_default();
        self.call_text(method, target, &text).await
    }

    pub async fn call_text(&self, method: &str, target: &str, body: &str) -> Reply {
        let full = format!("/trade-api/v2{target}");
        let path = full.split('?').next().unwrap();
        let headers = self.signature(method, path);
        http(self.sim.port(), method, &full, &headers, body).await
    }

    pub async fn get(&self, target: &str) -> Value {
        let reply = self.call("GET", target, None).await;
        assert_eq!(reply.status, 200, "{target}: {}", reply.text);
        reply.json
    }

    pub async fn control(&self, method: &str, target: &str, body: Value) -> Reply {
        let headers = [("authorization", "Bearer control".to_owned())];
        http(self.sim.port(), method, &format!("/sim/v1{target}"), &headers, &body.to_string()).await
    }

    pub async fn socket(&self) -> Socket {
        let mut request = self.sim.ws_url().into_client_request().unwrap();
        for (name, value) in self.signature("GET", "/trade-api/ws/v2") {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        Socket(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }
}

pub fn order(id: &str, side: &str, count: &str, price: &str, force: &str) -> Value {
    json!({ "ticker": TICKER, "client_order_id": id, "side": side, "count": count, "price": price,
        "time_in_force": force, "self_trade_prevention_type": "taker_at_cross" })
}

pub fn ioc(id: &str, side: &str, count: &str, price: &str) -> Value {
    order(id, side, count, price, "immediate_or_cancel")
}

pub async fn http(port: u16, method: &str, target: &str, headers: &[(&str, String)], body: &str) -> Reply {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, text: text.to_owned(), json: serde_json::from_str(text).unwrap_or(Value::Null) }
}

pub struct Socket(tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn send(&mut self, command: Value) {
        self.send_text(&command.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.0.send(Message::Text(text.into())).await.unwrap();
    }

    /// The next JSON frame, or None when the connection was cut.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(10), self.0.next()).await.expect("a frame in time");
            match frame {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(text.as_str()).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await.expect("still connected");
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Everything up to the answer to one more command: all that was caused before it.
    pub async fn drain(&mut self) -> Vec<Value> {
        self.send(json!({ "id": 999, "cmd": "list_subscriptions" })).await;
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            let last = frame["id"] == 999;
            frames.push(frame);
            if last {
                break;
            }
        }
        frames
    }
}
