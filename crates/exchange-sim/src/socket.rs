//! Kalshi's WebSocket at `/trade-api/ws/v2`: commands, channels, a sequence per subscription, pings,
//! and the socket faults.

use crate::auth::authenticate;
use crate::book::BookSide;
use crate::engine::{Engine, HOUSE, Notice};
use crate::faults::{FaultKind, Subject};
use crate::sim::Sim;
use crate::units::{Px, Qty};
use crate::wire;
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hunch_kernel::lock;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

const PATH: &str = "/trade-api/ws/v2";
const WAITING_MAX: usize = 50_000;

pub fn router(sim: Arc<Sim>) -> Router {
    Router::new().route(PATH, get(upgrade)).with_state(sim)
}

async fn upgrade(State(sim): State<Arc<Sim>>, upgrade: WebSocketUpgrade, request: Request) -> Response {
    let tolerance = sim.config.clock_tolerance.as_millis() as i64;
    let account = match authenticate(&sim.keys, request.headers(), "GET", PATH, sim.wall_ms(), tolerance) {
        Ok(account) => account,
        Err(failure) => return failure.into_response(),
    };
    upgrade.max_message_size(1 << 20).on_upgrade(move |socket| serve(sim, account, socket))
}

// ---- from the engine to the connections ---------------------------------------------------------------

/// A notice in the published shape, not yet numbered for a subscription.
#[derive(Debug)]
struct Event {
    channel: &'static str,
    kind: &'static str,
    ticker: Option<String>,
    /// Only this account may see it.
    owner: Option<usize>,
    msg: Value,
    book: Option<BookChange>,
}

#[derive(Debug)]
struct BookChange {
    clock: u64,
    side: BookSide,
    price: Px,
    owner: usize,
    client_order_id: Option<String>,
}

enum Push {
    Event(Arc<Event>),
    Drop,
}

/// Everyone who is connected.
#[derive(Default)]
pub struct Hub(Mutex<Connections>);

#[derive(Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, mpsc::Sender<Push>>,
    /// Channels that somebody subscribed to since the last time nobody was connected.
    wanted: BTreeSet<&'static str>,
}

impl Hub {
    fn connections(&self) -> std::sync::MutexGuard<'_, Connections> {
        lock(&self.0)
    }

    fn join(&self) -> (u64, mpsc::Receiver<Push>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let mut connections = self.connections();
        connections.next += 1;
        let id = connections.next;
        connections.open.insert(id, sender);
        (id, receiver)
    }

    fn leave(&self, id: u64) {
        self.connections().open.remove(&id);
    }

    fn want(&self, channel: &'static str) {
        self.connections().wanted.insert(channel);
    }

    pub fn count(&self) -> usize {
        self.connections().open.len()
    }

    /// Cuts every connection without a close frame.
    pub fn drop_all(&self) {
        for (_, sender) in self.connections().open.drain() {
            let _ = sender.try_send(Push::Drop);
        }
    }

    /// Called under the engine's lock, so every connection hears things in their order. Whoever does not
    /// read is cut off: a hole in the stream must not look like silence.
    pub fn publish(&self, engine: &Engine, at: Timestamp, notices: &[Notice]) {
        let mut connections = self.connections();
        if connections.open.is_empty() {
            connections.wanted.clear();
            return;
        }
        // The house moves its quotes all the time: what nobody listens to is not even written.
        let wanted = connections.wanted.clone();
        let heard = notices.iter().filter(|n| wanted.contains(channel(n)));
        for event in heard.filter_map(|n| event(engine, at, n)).map(Arc::new) {
            connections.open.retain(|_, sender| sender.try_send(Push::Event(event.clone())).is_ok());
        }
    }
}

fn channel(notice: &Notice) -> &'static str {
    match notice {
        Notice::EventCreated { .. }
        | Notice::Created { .. }
        | Notice::Deactivated { .. }
        | Notice::Activated { .. }
        | Notice::CloseDateUpdated { .. }
        | Notice::Determined { .. }
        | Notice::Settled { .. } => "market_lifecycle_v2",
        Notice::Order { .. } => "user_orders",
        Notice::Fill { .. } => "fill",
        Notice::Position { .. } => "market_positions",
        Notice::Trade(_) => "trade",
        Notice::Ticker { .. } => "ticker",
        Notice::Book { .. } => "orderbook_delta",
    }
}

fn event(engine: &Engine, at: Timestamp, notice: &Notice) -> Option<Event> {
    let plain = |channel, kind, ticker: &str, owner, msg| Event {
        channel,
        kind,
        ticker: Some(ticker.to_owned()),
        owner,
        msg,
        book: None,
    };
    Some(match notice {
        Notice::EventCreated { event_ticker } => Event {
            channel: channel(notice),
            kind: "event_lifecycle",
            ticker: None,
            owner: None,
            msg: wire::event_lifecycle(engine, event_ticker)?,
            book: None,
        },
        Notice::Created { ticker }
        | Notice::Deactivated { ticker }
        | Notice::Activated { ticker }
        | Notice::CloseDateUpdated { ticker, .. }
        | Notice::Determined { ticker, .. }
        | Notice::Settled { ticker, .. } => {
            plain("market_lifecycle_v2", "market_lifecycle_v2", ticker, None, wire::lifecycle(engine, notice)?)
        }
        Notice::Order { order, reason } => plain(
            "user_orders",
            "user_order",
            &order.ticker,
            Some(order.owner),
            wire::user_order(engine, order, *reason),
        ),
        Notice::Fill { fill, client_order_id, post_position } => {
            plain("fill", "fill", &fill.ticker, Some(fill.owner), wire::ws_fill(fill, client_order_id, *post_position))
        }
        Notice::Position { owner, ticker, position } if *owner != HOUSE => plain(
            "market_positions",
            "market_position",
            ticker,
            Some(*owner),
            wire::ws_position(engine, *owner, ticker, position),
        ),
        Notice::Position { .. } => return None,
        Notice::Trade(trade) => plain("trade", "trade", &trade.ticker, None, wire::ws_trade(trade)),
        Notice::Ticker { ticker } => {
            plain("ticker", "ticker", ticker, None, wire::ticker(engine.markets.get(ticker)?, at))
        }
        Notice::Book { ticker, clock, side, price, delta, owner, client_order_id, at } => Event {
            channel: "orderbook_delta",
            kind: "orderbook_delta",
            ticker: Some(ticker.clone()),
            owner: None,
            msg: json!({
                "market_ticker": ticker,
                "market_id": engine.markets.get(ticker)?.id,
                "clock": clock,
                "delta_fp": signed(*delta),
                "side": side.outcome(),
                "ts": at.to_string(),
                "ts_ms": at.as_millisecond(),
            }),
            book: Some(BookChange {
                clock: *clock,
                side: *side,
                price: *price,
                owner: *owner,
                client_order_id: client_order_id.clone(),
            }),
        },
    })
}

fn signed(delta: Qty) -> String {
    delta.to_string()
}

// ---- one connection -------------------------------------------------------------------------------------

const CHANNELS: [(&str, bool); 7] = [
    // Whether messages of the channel carry a sequence number.
    ("market_lifecycle_v2", true),
    ("user_orders", false),
    ("fill", false),
    ("market_positions", false),
    ("ticker", false),
    ("orderbook_delta", true),
    ("trade", true),
];

struct Subscription {
    channel: &'static str,
    numbered: bool,
    /// None means all.
    tickers: Option<BTreeSet<String>>,
    use_yes_price: bool,
    seq: u64,
    /// Book changes up to this clock are in the snapshot that was sent.
    snapshots: HashMap<String, u64>,
}

struct Connection {
    sim: Arc<Sim>,
    account: usize,
    subscriptions: BTreeMap<u64, Subscription>,
    next_sid: u64,
}

async fn serve(sim: Arc<Sim>, account: usize, mut socket: WebSocket) {
    let (id, mut pushes) = sim.hub().join();
    let mut ping = tokio::time::interval(sim.config.ping.max(std::time::Duration::from_millis(10)));
    ping.tick().await;
    let mut connection = Connection { sim: sim.clone(), account, subscriptions: BTreeMap::new(), next_sid: 0 };
    loop {
        let frames = tokio::select! {
            push = pushes.recv() => match push {
                Some(Push::Event(event)) => match connection.on_event(&event) {
                    Some(frames) => frames,
                    None => break,
                },
                Some(Push::Drop) | None => break,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(text))) => connection.on_command(text.as_str()),
                Some(Ok(Message::Binary(bytes))) => connection.on_command(&String::from_utf8_lossy(&bytes)),
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => Vec::new(),
            },
            _ = ping.tick() => {
                if socket.send(Message::Ping("heartbeat".into())).await.is_err() {
                    break;
                }
                Vec::new()
            }
        };
        if !send_all(&mut socket, frames).await {
            break;
        }
    }
    sim.hub().leave(id);
}

async fn send_all(socket: &mut WebSocket, frames: Vec<Value>) -> bool {
    for frame in frames {
        // A newline at the end, as observed.
        if socket.send(Message::Text(format!("{frame}\n").into())).await.is_err() {
            return false;
        }
    }
    true
}

impl Connection {
    fn stamp(&self, mut frame: Value) -> Value {
        frame["sending_ts_ms"] = json!(self.sim.wall_ms());
        frame
    }

    fn error(&self, id: Option<&Value>, code: i64, text: &str) -> Vec<Value> {
        let mut frame = json!({ "type": "error", "msg": { "code": code, "msg": text } });
        if let Some(id) = id.filter(|id| id.as_u64().is_some()) {
            frame["id"] = id.clone();
        }
        vec![self.stamp(frame)]
    }

    /// The frames this connection gets for `event`, or None when the socket is to be cut.
    fn on_event(&mut self, event: &Event) -> Option<Vec<Value>> {
        let mut frames = Vec::new();
        if event.owner.is_some_and(|owner| owner != self.account) {
            return Some(frames);
        }
        let sids: Vec<u64> = self.subscriptions.keys().copied().collect();
        for sid in sids {
            let Some(subscription) = self.subscriptions.get_mut(&sid) else { continue };
            let Some(msg) = subscription.message(event, self.account) else { continue };
            let mut frame = json!({ "type": event.kind, "sid": sid, "msg": msg });
            if subscription.numbered {
                subscription.seq += 1;
                frame["seq"] = json!(subscription.seq);
            }
            let frame = self.stamp(frame);
            let subject = Subject { ticker: event.ticker.as_deref(), message: Some(event.kind), ..Subject::default() };
            match self.sim.faults().take(&subject, FaultKind::is_socket) {
                Some(FaultKind::DropSocket { .. }) => return None,
                Some(FaultKind::LoseMessage) => {}
                Some(FaultKind::DuplicateMessage) => frames.extend([frame.clone(), frame]),
                _ => frames.push(frame),
            }
        }
        Some(frames)
    }

    fn on_command(&mut self, text: &str) -> Vec<Value> {
        let Ok(command) = serde_json::from_str::<Value>(text) else {
            return self.error(None, 1, "Unable to process message");
        };
        let id = command.get("id").cloned();
        let id = id.as_ref();
        let params = command.get("params").filter(|p| p.is_object());
        match command.get("cmd").and_then(Value::as_str) {
            Some("list_subscriptions") => {
                let list: Vec<Value> =
                    self.subscriptions.iter().map(|(sid, s)| json!({ "channel": s.channel, "sid": sid })).collect();
                vec![self.reply(id, json!({ "type": "ok", "msg": list }))]
            }
            Some("subscribe" | "unsubscribe" | "update_subscription") if params.is_none() => {
                self.error(id, 2, "Params required")
            }
            Some("subscribe") => self.subscribe(id, &params.cloned().unwrap_or_default()),
            Some("unsubscribe") => self.unsubscribe(id, &params.cloned().unwrap_or_default()),
            Some("update_subscription") => self.update(id, &params.cloned().unwrap_or_default()),
            _ => self.error(id, 5, "Unknown command"),
        }
    }

    fn reply(&self, id: Option<&Value>, mut frame: Value) -> Value {
        if let Some(id) = id.filter(|id| id.as_u64().is_some()) {
            frame["id"] = id.clone();
        }
        self.stamp(frame)
    }

    fn subscribe(&mut self, id: Option<&Value>, params: &Value) -> Vec<Value> {
        let names: Vec<&str> =
            params.get("channels").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() {
            return self.error(id, 3, "Channels required");
        }
        let mut wanted = Vec::new();
        for name in names {
            match CHANNELS.iter().find(|(channel, _)| *channel == name) {
                Some(found) => wanted.push(*found),
                None => return self.error(id, 8, "Unknown channel name"),
            }
        }
        let tickers = self.tickers(params);
        if wanted.iter().any(|(channel, _)| *channel == "orderbook_delta") && tickers.is_none() {
            return self.error(id, 14, "Market Ticker required");
        }
        let yes = |name: &str| params.get(name).and_then(Value::as_bool).unwrap_or(false);
        let mut frames = Vec::new();
        for (channel, numbered) in wanted {
            self.next_sid += 1;
            let sid = self.next_sid;
            let subscription = Subscription {
                channel,
                numbered,
                tickers: if channel == "market_lifecycle_v2" { None } else { tickers.clone() },
                use_yes_price: yes("use_yes_price"),
                seq: 0,
                snapshots: HashMap::new(),
            };
            self.subscriptions.insert(sid, subscription);
            self.sim.hub().want(channel);
            frames.push(self.reply(id, json!({ "type": "subscribed", "msg": { "channel": channel, "sid": sid } })));
            if channel == "orderbook_delta" {
                frames.extend(self.snapshots(None, sid, &tickers.clone().unwrap_or_default()));
            }
            if channel == "ticker" && yes("send_initial_snapshot") {
                frames.extend(self.first_tickers(sid, tickers.as_ref()));
            }
        }
        frames
    }

    /// Markets named by ticker or id, in the singular or the plural.
    fn tickers(&self, params: &Value) -> Option<BTreeSet<String>> {
        let texts = |one: &str, many: &str| -> Vec<String> {
            let many = params.get(many).and_then(Value::as_array).into_iter().flatten();
            many.chain(params.get(one)).filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut named: BTreeSet<String> = texts("market_ticker", "market_tickers").into_iter().collect();
        let ids = texts("market_id", "market_ids");
        if !ids.is_empty() {
            named.extend(self.sim.with(|engine, _| -> Vec<String> {
                let markets = engine.markets.values().filter(|m| ids.contains(&m.id.to_string()));
                markets.map(|m| m.spec.ticker.clone()).collect()
            }));
        }
        (!named.is_empty()).then_some(named)
    }

    fn snapshots(&mut self, id: Option<&Value>, sid: u64, tickers: &BTreeSet<String>) -> Vec<Value> {
        let Some(subscription) = self.subscriptions.get_mut(&sid) else { return Vec::new() };
        let books: Vec<(String, u64, Value)> = self.sim.with(|engine, _| {
            let known = tickers.iter().filter_map(|t| engine.markets.get(t));
            known.map(|m| (m.spec.ticker.clone(), m.clock, wire::snapshot(m, subscription.use_yes_price))).collect()
        });
        let mut frames = Vec::new();
        for (ticker, clock, msg) in books {
            subscription.seq += 1;
            subscription.snapshots.insert(ticker, clock);
            frames.push(json!({ "type": "orderbook_snapshot", "sid": sid, "seq": subscription.seq, "msg": msg }));
        }
        frames.into_iter().map(|frame| self.reply(id, frame)).collect()
    }

    fn first_tickers(&self, sid: u64, tickers: Option<&BTreeSet<String>>) -> Vec<Value> {
        let now: Vec<Value> = self.sim.with(|engine, now| {
            let wanted = engine.markets.values().filter(|m| tickers.is_none_or(|t| t.contains(&m.spec.ticker)));
            wanted.map(|m| wire::ticker(m, now.time)).collect()
        });
        now.into_iter().map(|msg| self.stamp(json!({ "type": "ticker", "sid": sid, "msg": msg }))).collect()
    }

    fn sids(params: &Value) -> Vec<u64> {
        let many = params.get("sids").and_then(Value::as_array).into_iter().flatten();
        many.chain(params.get("sid")).filter_map(Value::as_u64).collect()
    }

    fn unsubscribe(&mut self, id: Option<&Value>, params: &Value) -> Vec<Value> {
        let sids = Connection::sids(params);
        if sids.is_empty() {
            return self.error(id, 4, "Subscription IDs required");
        }
        let mut frames = Vec::new();
        for sid in sids {
            match self.subscriptions.remove(&sid) {
                Some(gone) => {
                    frames.push(self.reply(id, json!({ "type": "unsubscribed", "sid": sid, "seq": gone.seq + 1 })));
                }
                None => frames.extend(self.error(id, 7, "Unknown subscription ID")),
            }
        }
        frames
    }

    fn update(&mut self, id: Option<&Value>, params: &Value) -> Vec<Value> {
        let [sid] = Connection::sids(params)[..] else {
            return self.error(id, 12, "Exactly one subscription ID is required");
        };
        let named = self.tickers(params);
        let Some(subscription) = self.subscriptions.get_mut(&sid) else {
            return self.error(id, 7, "Unknown subscription ID");
        };
        let action = params.get("action").and_then(Value::as_str);
        let Some(named) = named else {
            return match action {
                None => self.error(id, 15, "Action required"),
                Some(_) => self.error(id, 14, "Market Ticker required"),
            };
        };
        let is_book = subscription.channel == "orderbook_delta";
        match action {
            Some("get_snapshot") if is_book => return self.snapshots(id, sid, &named),
            Some("add_markets") => {
                if let Some(tickers) = subscription.tickers.as_mut() {
                    tickers.extend(named.iter().cloned());
                }
            }
            Some("delete_markets") => {
                if let Some(tickers) = subscription.tickers.as_mut() {
                    tickers.retain(|t| !named.contains(t));
                }
            }
            None => return self.error(id, 15, "Action required"),
            Some(_) => return self.error(id, 13, "Unsupported action"),
        }
        let tickers: Vec<String> = subscription.tickers.iter().flatten().cloned().collect();
        subscription.seq += 1;
        let seq = subscription.seq;
        let mut frames =
            vec![self.reply(id, json!({ "type": "ok", "sid": sid, "seq": seq, "msg": { "market_tickers": tickers } }))];
        if action == Some("add_markets") && is_book {
            frames.extend(self.snapshots(None, sid, &named));
        }
        frames
    }
}

impl Subscription {
    /// The body of `event` for this subscription, if it wants it.
    fn message(&self, event: &Event, account: usize) -> Option<Value> {
        let wanted = |ticker: &String| self.tickers.as_ref().is_none_or(|t| t.contains(ticker));
        if event.channel != self.channel || !event.ticker.as_ref().is_none_or(wanted) {
            return None;
        }
        let mut msg = event.msg.clone();
        if let Some(change) = &event.book {
            if event.ticker.as_ref().and_then(|t| self.snapshots.get(t)).is_some_and(|seen| change.clock <= *seen) {
                return None;
            }
            let price = match change.side {
                BookSide::Ask if !self.use_yes_price => change.price.complement(),
                _ => change.price,
            };
            msg["price_dollars"] = json!(price.to_string());
            if change.owner == account && change.client_order_id.is_some() {
                msg["client_order_id"] = json!(change.client_order_id);
            }
        }
        Some(msg)
    }
}
