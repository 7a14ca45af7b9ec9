//! Kalshi's REST operations under `/trade-api/v2`. One handler reads the request, asks the engine and
//! answers in the published shape; signature, limits and faults come before it.

#![expect(clippy::result_large_err, reason = "a refused request ends in its answer, and that is a whole response")]

use crate::answers::{answer, flat, nested, not_found, parameter, refusal_error, too_many};
use crate::auth::authenticate;
use crate::book::{BookSide, SelfTrade};
use crate::engine::{Engine, NewOrder, Now, Refusal};
use crate::faults::{FaultKind, On, Subject};
use crate::limits::Bucket;
use crate::model::{Balance, Lagged, Market, Order, Position, SHARDS, TimeInForce};
use crate::sim::Sim;
use crate::units::{Cash, Px, Qty};
use crate::wire;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const BASE: &str = "/trade-api/v2";
const BODY_BYTES_MAX: usize = 1 << 20;
const REGIONAL: [&str; 3] = ["Sports", "Elections", "Entertainment"];

pub fn router(sim: Arc<Sim>) -> Router {
    Router::new().fallback(serve).with_state(sim)
}

/// One request, read completely.
struct Call<'a> {
    sim: &'a Sim,
    method: Method,
    /// Below the base, without a slash at the end.
    path: Vec<String>,
    query: Vec<(String, String)>,
    body: Bytes,
    account: Option<usize>,
}

async fn serve(State(sim): State<Arc<Sim>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(below) = head.uri.path().strip_prefix(BASE) else { return not_found() };
    let path: Vec<String> = below.split('/').filter(|p| !p.is_empty()).map(decode).collect();
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return flat("http: request body too large");
    };
    let signed = head.headers.contains_key("kalshi-access-key");
    let tolerance = sim.config.clock_tolerance.as_millis() as i64;
    let account =
        match authenticate(&sim.keys, &head.headers, head.method.as_str(), head.uri.path(), sim.wall_ms(), tolerance) {
            Ok(account) => Some(account),
            Err(failure) if signed || is_private(&path) => return failure.into_response(),
            Err(_) => None,
        };
    let call = Call { sim: &sim, method: head.method, path, query, body, account };
    if !call.within_limits() {
        return too_many();
    }
    call.answer_with_faults().await
}

fn decode(part: &str) -> String {
    // A path segment is not form data, but `+` never occurs in tickers and ids.
    url::form_urlencoded::parse(format!("x={}", part.replace('+', "%2B")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, v)| v.into_owned())
}

fn is_private(path: &[String]) -> bool {
    match path.first().map(String::as_str) {
        Some("portfolio" | "api_keys") => true,
        Some("account") => path.get(1).is_some_and(|p| p != "endpoint_costs"),
        _ => false,
    }
}

/// The body of a create request as published; unknown fields are ignored as the exchange does.
#[derive(Deserialize)]
struct CreateOrder {
    ticker: String,
    client_order_id: Option<String>,
    side: BookSide,
    count: String,
    price: String,
    expiration_time: Option<i64>,
    time_in_force: TimeInForce,
    #[serde(default)]
    post_only: bool,
    self_trade_prevention_type: SelfTrade,
    #[serde(default)]
    cancel_order_on_pause: bool,
    #[serde(default)]
    reduce_only: bool,
    subaccount: Option<i64>,
    exchange_index: Option<i64>,
}

impl CreateOrder {
    fn read(self) -> Result<NewOrder, Refusal> {
        if self.subaccount.is_some_and(|s| s != 0) {
            return Err(Refusal::Parameters("subaccount"));
        }
        let shard = match self.exchange_index {
            None => None,
            Some(index) => Some(usize::try_from(index).map_err(|_| Refusal::Parameters("exchange_index"))?),
        };
        let expiration = match self.expiration_time {
            None => None,
            Some(second) => Some(Timestamp::from_second(second).map_err(|_| Refusal::Parameters("expiration_time"))?),
        };
        Ok(NewOrder {
            client_order_id: self.client_order_id.filter(|id| !id.is_empty()),
            ticker: self.ticker,
            side: self.side,
            count: self.count.parse().map_err(|_| Refusal::Size)?,
            price: self.price.parse().map_err(|_| Refusal::Price)?,
            time_in_force: self.time_in_force,
            self_trade: self.self_trade_prevention_type,
            post_only: self.post_only,
            reduce_only: self.reduce_only,
            cancel_on_pause: self.cancel_order_on_pause,
            expiration,
            shard,
            cap: None,
        })
    }
}

impl Call<'_> {
    fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    fn flag(&self, name: &str) -> bool {
        self.param(name) == Some("true")
    }

    /// Unix seconds.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, Response> {
        let Some(text) = self.param(name) else { return Ok(None) };
        let second = text.parse::<i64>().map_err(|_| parameter(format!("{name} must be an integer")))?;
        Timestamp::from_second(second).map(Some).map_err(|_| parameter(format!("{name} is out of range")))
    }

    fn window(&self, min: &str, max: &str) -> Result<Window, Response> {
        Ok(Window { min: self.time(min)?, max: self.time(max)? })
    }

    fn limit(&self, default: usize, max: usize) -> Result<usize, Response> {
        let Some(text) = self.param("limit") else { return Ok(default) };
        match text.parse::<i64>() {
            Ok(0) => Ok(default),
            Ok(n) if n < 0 => Err(parameter("limit must be greater than or equal to 0")),
            Ok(n) if n > max as i64 => Err(parameter(format!("limit must be less than or equal to {max}"))),
            Ok(n) => Ok(n as usize),
            Err(_) => Err(parameter("limit must be an integer")),
        }
    }

    /// Sequence number after which the page begins. Garbage is taken as the beginning, as observed.
    fn cursor(&self) -> Option<u64> {
        let raw = URL_SAFE_NO_PAD.decode(self.param("cursor")?).ok()?;
        std::str::from_utf8(&raw).ok()?.strip_prefix("after:")?.parse().ok()
    }

    fn list(&self, name: &str) -> Option<BTreeSet<String>> {
        self.param(name).map(|v| v.split(',').map(str::to_owned).collect())
    }

    fn json<T: for<'d> Deserialize<'d>>(&self) -> Result<T, Response> {
        serde_json::from_slice(&self.body).map_err(|error| flat(&format!("json: {error}")))
    }

    /// The account behind a private route. The signature was checked before; public routes need none.
    fn owner(&self) -> Result<usize, Response> {
        self.account.ok_or_else(|| crate::auth::AuthFailure::Missing.into_response())
    }

    /// The portfolio as readers may see it now: some time ago.
    fn seen(&self, now: Now) -> i64 {
        now.wall.saturating_sub(self.sim.config.portfolio_lag.as_micros() as i64)
    }

    fn seen_market(&self, now: Now) -> i64 {
        now.wall.saturating_sub(self.sim.config.market_lag.as_micros() as i64)
    }

    fn is_create(&self) -> bool {
        self.method == Method::POST && self.segments() == ["portfolio", "events", "orders"]
    }

    /// Ticker and client_order_id of a create request, as far as they can be read.
    fn named(&self) -> (Option<String>, Option<String>) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let in_path =
            || (self.path.first().map(String::as_str) == Some("markets")).then(|| self.path.get(1).cloned()).flatten();
        (text("ticker").or_else(|| self.param("ticker").map(str::to_owned)).or_else(in_path), text("client_order_id"))
    }

    fn within_limits(&self) -> bool {
        let account = self.account.unwrap_or(usize::MAX);
        let wall = self.sim.clocks.wall.now().as_microsecond();
        let segments = self.segments();
        if self.method == Method::GET
            && segments == ["portfolio", "balance"]
            && !self.sim.limits().take(account, Bucket::Balance, 1, wall)
        {
            return false;
        }
        let (bucket, cost) = match (&self.method, segments.as_slice()) {
            (&Method::GET, ["portfolio", "orders", _]) => (Bucket::Read, 2),
            (&Method::GET, _) => (Bucket::Read, 10),
            (&Method::DELETE, ["portfolio", "events", "orders", "batched"]) => {
                (Bucket::Write(0), 2 * self.batch_size())
            }
            (&Method::DELETE, _) => (Bucket::Write(0), 2),
            (_, ["portfolio", "events", "orders", "batched"]) => (Bucket::Write(0), 10 * self.batch_size()),
            _ => (Bucket::Write(self.named_shard()), 10),
        };
        self.sim.limits().take(account, bucket, cost, wall)
    }

    fn batch_size(&self) -> i64 {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body.get("orders").and_then(Value::as_array).map_or(1, |o| o.len().clamp(1, 1000) as i64)
    }

    fn named_shard(&self) -> usize {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body.get("exchange_index").and_then(Value::as_u64).map_or(0, |n| (n as usize).min(SHARDS - 1))
    }

    async fn answer_with_faults(&self) -> Response {
        let (ticker, client_order_id) = self.named();
        let on = match self.method {
            Method::GET => On::Read,
            _ if self.is_create() => On::CreateOrder,
            _ => On::Any,
        };
        let subject =
            Subject { on, ticker: ticker.as_deref(), client_order_id: client_order_id.as_deref(), message: None };
        let fault = self
            .sim
            .faults()
            .take(&subject, |kind| !kind.is_socket() && !matches!(kind, FaultKind::PartialFill { .. }));
        match fault {
            Some(FaultKind::RateLimit) => too_many(),
            Some(FaultKind::Error5xx { status, after_accept }) => {
                if after_accept {
                    self.answer(&subject);
                }
                server_error(status)
            }
            Some(FaultKind::TimeoutAfterAccept { hold_ms }) => {
                self.answer(&subject);
                let mut stopping = self.sim.stopping();
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(hold_ms)) => {}
                    _ = stopping.wait_for(|stop| *stop) => {}
                }
                server_error(504)
            }
            Some(FaultKind::Malformed2xx) => cut_in_the_middle(self.answer(&subject)).await,
            _ => self.answer(&subject),
        }
    }

    fn answer(&self, subject: &Subject<'_>) -> Response {
        self.route(subject).unwrap_or_else(|refused| refused)
    }

    fn route(&self, subject: &Subject<'_>) -> Result<Response, Response> {
        let segments = self.segments();
        match (self.method.as_str(), segments.as_slice()) {
            ("GET", ["exchange", "status"]) => Ok(self.exchange_status()),
            ("GET", ["exchange", "schedule"]) => Ok(self.exchange_schedule()),
            ("GET", ["exchange", "user_data_timestamp"]) => Ok(self.user_data_timestamp()),
            ("GET", ["series"]) => self.series_list(),
            ("GET", ["series", "fee_changes"]) => Ok(answer(200, json!({ "series_fee_change_arr": [] }))),
            ("GET", ["series", ticker]) => self.series(ticker),
            ("GET", ["events"]) => self.events(),
            ("GET", ["events", "fee_changes"]) => Ok(answer(200, json!({ "event_fee_changes": [], "cursor": "" }))),
            ("GET", ["events", "multivariate"]) => Ok(answer(200, json!({ "events": [], "cursor": "" }))),
            ("GET", ["events", ticker]) => self.event(ticker),
            ("GET", ["markets"]) => self.markets(),
            ("GET", ["markets", "trades"]) => self.trades(),
            ("GET", ["markets", "orderbooks"]) => self.orderbooks(),
            ("GET", ["markets", ticker]) => self.market(ticker),
            ("GET", ["markets", ticker, "orderbook"]) => self.orderbook(ticker),
            ("GET", ["search", "tags_by_categories"]) => Ok(self.tags_by_categories()),
            ("GET", ["search", "filters_by_sport"]) => Ok(self.filters_by_sport()),
            ("GET", ["account", "limits"]) => Ok(self.account_limits()),
            ("GET", ["account", "endpoint_costs"]) => Ok(endpoint_costs()),
            ("GET", ["api_keys"]) => self.api_keys(),
            ("GET", ["portfolio", "balance"]) => self.balance(),
            ("GET", ["portfolio", "positions"]) => self.positions(),
            ("GET", ["portfolio", "fills"]) => self.fills(),
            ("GET", ["portfolio", "settlements"]) => self.settlements(),
            ("GET", ["portfolio", "orders"]) => self.orders(),
            ("GET", ["portfolio", "orders", "queue_positions"]) => self.queue_positions(),
            ("GET", ["portfolio", "orders", id]) => self.order(id),
            ("GET", ["portfolio", "orders", id, "queue_position"]) => self.queue_position(id),
            ("GET", ["portfolio", "summary", "total_resting_order_value"]) => self.resting_value(),
            ("GET", ["portfolio", "intra_exchange_instance_transfers"]) => self.transfers(),
            ("GET", ["portfolio", "intra_exchange_instance_transfers", id]) => self.transfer(id),
            ("POST", ["portfolio", "intra_exchange_instance_transfer"]) => self.make_transfer(),
            ("POST", ["portfolio", "orders"] | ["portfolio", "orders", "batched"])
            | ("DELETE", ["portfolio", "orders", ..])
            | ("POST", ["portfolio", "orders", _, "amend" | "decrease"]) => Ok(legacy()),
            ("POST", ["portfolio", "events", "orders"]) => self.create(subject),
            ("DELETE", ["portfolio", "events", "orders"]) => self.cancel_all(),
            ("POST", ["portfolio", "events", "orders", "batched"]) => self.create_batch(),
            ("DELETE", ["portfolio", "events", "orders", "batched"]) => self.cancel_batch(),
            ("DELETE", ["portfolio", "events", "orders", id]) => self.cancel(id),
            ("POST", ["portfolio", "events", "orders", id, "amend"]) => self.amend(id),
            ("POST", ["portfolio", "events", "orders", id, "decrease"]) => self.decrease(id),
            _ => Ok(not_found()),
        }
    }

    // ---- exchange ------------------------------------------------------------------------------

    fn exchange_status(&self) -> Response {
        let (exchange, trading) = self.sim.with(|engine, _| (engine.exchange_active, engine.trading_active));
        let shards: Vec<Value> = (0..SHARDS)
            .map(|shard| {
                json!({ "exchange_index": shard, "description": wire::SHARD_NAMES[shard], "exchange_active": exchange,
                    "trading_active": exchange && trading, "intra_exchange_transfers_active": exchange })
            })
            .collect();
        let mut body = json!({
            "exchange_active": exchange,
            "trading_active": exchange && trading,
            "intra_exchange_transfers_active": exchange,
            "exchange_index_statuses": shards,
        });
        if !(exchange && trading) {
            body["exchange_estimated_resume_time"] = Value::Null;
        }
        answer(200, body)
    }

    fn exchange_schedule(&self) -> Response {
        let day = |open: &str, close: &str| json!([{ "open_time": open, "close_time": close }]);
        let week = json!({
            "start_time": "2026-01-01T05:00:00Z", "end_time": "2099-01-01T05:00:00Z",
            "monday": day("00:00", "00:00"), "tuesday": day("00:00", "00:00"), "wednesday": day("00:00", "00:00"),
            "thursday": day("05:00", "03:00"), "friday": day("00:00", "00:00"), "saturday": day("00:00", "00:00"),
            "sunday": day("00:00", "00:00"),
        });
        answer(200, json!({ "schedule": { "standard_hours": [week], "maintenance_windows": [] } }))
    }

    fn user_data_timestamp(&self) -> Response {
        let as_of = self.sim.with(|engine, now| {
            let seen = engine.as_of.at(self.seen(now)).copied().unwrap_or(engine.as_of.now().to_owned());
            // Something written in the same microsecond as the last look may not be visible yet.
            let lag = self.sim.config.portfolio_lag;
            if lag.is_zero() {
                now.time
            } else {
                seen.checked_sub(jiff::SignedDuration::from_micros(1)).unwrap_or(seen)
            }
        });
        answer(200, json!({ "as_of_time": as_of.to_string() }))
    }

    // ---- market data ---------------------------------------------------------------------------

    fn series_list(&self) -> Result<Response, Response> {
        let tags: Option<BTreeSet<String>> = self.list("tags");
        let category = self.param("category");
        self.time("min_updated_ts")?;
        let found: Vec<Value> = self.sim.with(|engine, _| {
            let volumes = self.flag("include_volume").then(|| series_volumes(engine));
            engine
                .series
                .values()
                .filter(|(_, s)| category.is_none_or(|c| s.category == c))
                .filter(|(_, s)| tags.as_ref().is_none_or(|t| s.tags.iter().any(|tag| t.contains(tag))))
                .map(|(_, s)| wire::series(s, volumes.as_ref().map(|v| v.get(&s.ticker).copied().unwrap_or_default())))
                .collect()
        });
        Ok(answer(200, json!({ "series": found })))
    }

    fn series(&self, ticker: &str) -> Result<Response, Response> {
        self.sim.with(|engine, _| {
            let (_, series) = engine.series.get(ticker).ok_or_else(not_found)?;
            let volume = self.flag("include_volume").then(|| series_volumes(engine).remove(ticker).unwrap_or_default());
            Ok(answer(200, json!({ "series": wire::series(series, volume) })))
        })
    }

    fn events(&self) -> Result<Response, Response> {
        let limit = self.limit(200, 200)?;
        let (series, tickers, status) = (self.param("series_ticker"), self.list("tickers"), self.param("status"));
        if status.is_some_and(|s| !["unopened", "open", "closed", "settled"].contains(&s)) {
            return Err(parameter("invalid status"));
        }
        let min_close = self.time("min_close_ts")?;
        let min_updated = self.time("min_updated_ts")?;
        Ok(self.sim.with(|engine, now| {
            let at = self.seen_market(now);
            let children = |ticker: &str| -> Vec<Value> {
                let mine = engine.markets.values().filter(|m| m.spec.event_ticker == ticker);
                let mut mine: Vec<&Market> = mine.collect();
                mine.sort_by_key(|m| m.seq);
                mine.iter().filter_map(|m| m.life.at(at).map(|life| wire::market(m, life))).collect()
            };
            let any_child = |ticker: &str, test: &dyn Fn(&crate::model::Life) -> bool| {
                engine.markets.values().any(|m| m.spec.event_ticker == ticker && m.life.at(at).is_some_and(test))
            };
            let rows = engine
                .events
                .values()
                .filter(|(_, e, _)| series.is_none_or(|s| e.series_ticker == s))
                .filter(|(_, e, _)| tickers.as_ref().is_none_or(|t| t.contains(&e.ticker)))
                .filter(|(_, e, _)| status.is_none_or(|s| any_child(&e.ticker, &|l| l.status.filter_word() == s)))
                .filter(|(_, e, _)| min_close.is_none_or(|t| any_child(&e.ticker, &|l| l.close_time >= t)))
                .filter(|(_, e, _)| min_updated.is_none_or(|t| any_child(&e.ticker, &|l| l.updated >= t)));
            let rows = rows.map(|(seq, e, listed)| (*seq, (e, *listed))).collect();
            let (page, cursor) = page(rows, limit, self.cursor(), Sorted::Oldest);
            let events: Vec<Value> = page
                .into_iter()
                .map(|(event, listed)| {
                    let mut value = wire::event(engine, event, listed);
                    if self.flag("with_nested_markets") {
                        value["markets"] = Value::Array(children(&event.ticker));
                    }
                    value
                })
                .collect();
            let mut body = json!({ "events": events, "cursor": cursor });
            if self.flag("with_milestones") {
                body["milestones"] = json!([]);
            }
            answer(200, body)
        }))
    }

    fn event(&self, ticker: &str) -> Result<Response, Response> {
        self.sim.with(|engine, now| {
            let at = self.seen_market(now);
            let (_, event, listed) = engine.events.get(ticker).ok_or_else(not_found)?;
            let mut mine: Vec<&Market> = engine.markets.values().filter(|m| m.spec.event_ticker == ticker).collect();
            mine.sort_by_key(|m| m.seq);
            let markets: Vec<Value> =
                mine.iter().filter_map(|m| m.life.at(at).map(|life| wire::market(m, life))).collect();
            let mut body = json!({ "event": wire::event(engine, event, *listed), "markets": [] });
            if self.flag("with_nested_markets") {
                body["event"]["markets"] = Value::Array(markets);
            } else if !self.flag("exclude_markets") {
                body["markets"] = Value::Array(markets);
            }
            Ok(answer(200, body))
        })
    }

    fn markets(&self) -> Result<Response, Response> {
        let limit = self.limit(100, 1000)?;
        let (event, series, status) = (self.param("event_ticker"), self.param("series_ticker"), self.param("status"));
        if status.is_some_and(|s| !["unopened", "open", "paused", "closed", "settled"].contains(&s)) {
            return Err(parameter("invalid status"));
        }
        let tickers = self.list("tickers");
        let created = self.window("min_created_ts", "max_created_ts")?;
        let updated = self.window("min_updated_ts", "max_updated_ts")?;
        let close = self.window("min_close_ts", "max_close_ts")?;
        let settled = self.window("min_settled_ts", "max_settled_ts")?;
        let families =
            [&created, &updated, &settled].into_iter().filter(|w| w.is_set()).count() + usize::from(close.is_set());
        if families > 1 {
            return Err(parameter("timestamp filters are mutually exclusive"));
        }
        let combos_only = self.param("mve_filter") == Some("only");
        Ok(self.sim.with(|engine, now| {
            let at = self.seen_market(now);
            let rows = engine
                .markets
                .values()
                .filter_map(|m| m.life.at(at).map(|life| (m, life)))
                .filter(|_| !combos_only)
                .filter(|(m, _)| event.is_none_or(|e| m.spec.event_ticker == e))
                .filter(|(m, _)| series.is_none_or(|s| m.series_ticker == s))
                .filter(|(m, _)| tickers.as_ref().is_none_or(|t| t.contains(&m.spec.ticker)))
                .filter(|(_, life)| status.is_none_or(|s| life.status.filter_word() == s))
                .filter(|(m, life)| {
                    created.has(Some(m.created))
                        && updated.has(Some(life.updated))
                        && close.has(Some(life.close_time))
                        && settled.has(life.settled_at)
                });
            let rows = rows.map(|(m, life)| (m.seq, (m, life))).collect();
            let (page, cursor) = page(rows, limit, self.cursor(), Sorted::Oldest);
            let markets: Vec<Value> = page.into_iter().map(|(m, life)| wire::market(m, life)).collect();
            answer(200, json!({ "markets": markets, "cursor": cursor }))
        }))
    }

    fn market(&self, ticker: &str) -> Result<Response, Response> {
        self.sim.with(|engine, now| {
            let market = engine.markets.get(ticker).ok_or_else(not_found)?;
            let life = market.life.at(self.seen_market(now)).ok_or_else(not_found)?;
            Ok(answer(200, json!({ "market": wire::market(market, life) })))
        })
    }

    fn orderbook(&self, ticker: &str) -> Result<Response, Response> {
        let depth = match self.param("depth").map(str::parse::<usize>) {
            None => 0,
            Some(Ok(depth)) if depth <= 100 => depth,
            Some(_) => return Err(parameter("depth must be between 0 and 100")),
        };
        self.sim.with(|engine, now| {
            let market = engine.markets.get(ticker).ok_or_else(not_found)?;
            market.life.at(self.seen_market(now)).ok_or_else(not_found)?;
            Ok(answer(200, json!({ "orderbook_fp": wire::orderbook(market, depth) })))
        })
    }

    fn orderbooks(&self) -> Result<Response, Response> {
        let tickers: Vec<&str> =
            self.query.iter().filter(|(n, _)| n == "tickers" || n == "tickers[]").map(|(_, v)| v.as_str()).collect();
        if tickers.is_empty() || tickers.len() > 100 {
            return Err(flat("tickers must name 1 to 100 markets"));
        }
        Ok(self.sim.with(|engine, _| {
            let books: Vec<Value> = tickers
                .iter()
                .filter_map(|t| engine.markets.get(*t))
                .map(|m| json!({ "ticker": m.spec.ticker, "orderbook_fp": wire::orderbook(m, 0) }))
                .collect();
            answer(200, json!({ "orderbooks": books }))
        }))
    }

    fn trades(&self) -> Result<Response, Response> {
        let limit = self.limit(100, 1000)?;
        let (ticker, window) = (self.param("ticker"), self.window("min_ts", "max_ts")?);
        let block_only = self.flag("is_block_trade");
        Ok(self.sim.with(|engine, _| {
            let rows = engine
                .trades
                .iter()
                .filter(|t| !block_only && ticker.is_none_or(|n| t.ticker == n) && window.has(Some(t.at)));
            let (page, cursor) = page(rows.map(|t| (t.seq, t)).collect(), limit, self.cursor(), Sorted::Newest);
            answer(200, json!({ "trades": page.into_iter().map(wire::trade).collect::<Vec<_>>(), "cursor": cursor }))
        }))
    }

    fn tags_by_categories(&self) -> Response {
        let tags = self.sim.with(|engine, _| {
            let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (_, series) in engine.series.values() {
                tags.entry(series.category.clone()).or_default().extend(series.tags.iter().cloned());
            }
            tags
        });
        answer(200, json!({ "tags_by_categories": tags }))
    }

    fn filters_by_sport(&self) -> Response {
        let sports = self.sim.with(|engine, _| {
            let mut sports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (_, series) in engine.series.values().filter(|(_, s)| s.category == "Sports") {
                for tag in &series.tags {
                    sports.entry(tag.clone()).or_default().insert(series.title.clone());
                }
            }
            sports
        });
        let filters: BTreeMap<&String, Value> = sports
            .iter()
            .map(|(sport, titles)| {
                let competitions: BTreeMap<&String, Value> =
                    titles.iter().map(|t| (t, json!({ "scopes": ["Games"] }))).collect();
                (sport, json!({ "scopes": ["Games"], "competitions": competitions }))
            })
            .collect();
        let ordering: Vec<&String> = sports.keys().collect();
        answer(200, json!({ "filters_by_sports": filters, "sport_ordering": ordering }))
    }

    // ---- account -------------------------------------------------------------------------------

    fn account_limits(&self) -> Response {
        let tier = self.sim.limits().tier;
        let bucket = |(rate, size): (i64, i64)| json!({ "refill_rate": rate, "bucket_capacity": size });
        answer(
            200,
            json!({ "usage_tier": tier.name, "read": bucket(tier.read), "write": bucket(tier.write), "grants": [] }),
        )
    }

    fn api_keys(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let keys: Vec<Value> = self
            .sim
            .keys
            .iter()
            .filter(|k| k.account == owner)
            .map(|k| json!({ "api_key_id": k.id, "name": "simulated", "scopes": ["read", "write::trade", "write::transfer"] }))
            .collect();
        let expires = self.sim.config.region_expires.map(|t| t.as_second());
        Ok(answer(200, json!({ "api_keys": keys, "api_key_region_expiration_ts": expires })))
    }

    /// Only the primary subaccount exists.
    fn other_subaccount(&self) -> bool {
        self.param("subaccount").is_some_and(|s| s != "0")
    }

    fn shard_filter(&self) -> Result<Option<usize>, Response> {
        match self.param("exchange_index").map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(shard)) => Ok(Some(shard)),
            Some(Err(_)) => Err(parameter("exchange_index must be an integer")),
        }
    }

    fn balance(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let shard = self.shard_filter()?;
        if shard.is_some_and(|s| s >= SHARDS) {
            return Err(parameter("exchange_index is unknown"));
        }
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let account = &engine.accounts[owner];
            let empty = Balance::default();
            let balance = if self.other_subaccount() { &empty } else { account.balance.at(at).unwrap_or(&empty) };
            let shown = shard.map_or_else(|| balance.total(), |s| balance.available(s));
            let positions = account.positions.values().filter_map(|p| p.at(at));
            let worth: Cash = positions.map(|p| p.basis).sum();
            let breakdown: Vec<Value> =
                (0..SHARDS).map(|s| json!({ "exchange_index": s, "balance": balance.available(s).four() })).collect();
            answer(
                200,
                json!({
                    "balance": shown.cents_down(),
                    "balance_dollars": shown.four(),
                    "portfolio_value": worth.cents_down(),
                    "updated_ts": now.time.as_second(),
                    "balance_breakdown": breakdown,
                }),
            )
        }))
    }

    fn positions(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 1000)?;
        let (ticker, event, shard) = (self.param("ticker"), self.param("event_ticker"), self.shard_filter()?);
        let wanted = match self.param("settlement_status") {
            None | Some("unsettled") => Some(false),
            Some("settled") => Some(true),
            Some("all") => None,
            Some(_) => return Err(parameter("invalid settlement_status")),
        };
        let filters = self.list("count_filter").unwrap_or_default();
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let rows: Vec<(u64, (&Market, &Position))> = engine.accounts[owner]
                .positions
                .iter()
                .filter_map(|(t, p)| Some((engine.markets.get(t)?, p.at(at)?)))
                .filter(|_| !self.other_subaccount())
                .filter(|(m, _)| ticker.is_none_or(|t| m.spec.ticker == t))
                .filter(|(m, _)| event.is_none_or(|e| m.spec.event_ticker == e))
                .filter(|(m, _)| shard.is_none_or(|s| m.shard == s))
                .filter(|(_, p)| wanted.is_none_or(|settled| p.settled == settled))
                .filter(|(_, p)| !filters.contains("position") || p.net != Qty::ZERO)
                .filter(|(_, p)| !filters.contains("total_traded") || p.traded != Cash::ZERO)
                .map(|(m, p)| (m.seq, (m, p)))
                .collect();
            let (page, cursor) = page(rows, limit, self.cursor(), Sorted::Oldest);
            let mut events: BTreeMap<&str, Vec<&Position>> = BTreeMap::new();
            for (market, position) in &page {
                events.entry(&market.spec.event_ticker).or_default().push(position);
            }
            answer(
                200,
                json!({
                    "market_positions": page.iter().map(|(m, p)| wire::position(m, p)).collect::<Vec<_>>(),
                    "event_positions": events.iter().map(|(e, p)| wire::event_position(e, p)).collect::<Vec<_>>(),
                    "cursor": cursor,
                }),
            )
        }))
    }

    fn fills(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 1000)?;
        let (tickers, order, shard) = (self.list("ticker"), self.param("order_id"), self.shard_filter()?);
        let window = self.window("min_ts", "max_ts")?;
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let rows = engine
                .fills
                .iter()
                .filter(|f| f.owner == owner && f.wall <= at && !self.other_subaccount())
                .filter(|f| tickers.as_ref().is_none_or(|t| t.contains(&f.ticker)))
                .filter(|f| order.is_none_or(|o| f.order_id.to_string() == o))
                .filter(|f| shard.is_none_or(|s| f.shard == s))
                .filter(|f| window.has(Some(f.at)));
            let (page, cursor) = page(rows.map(|f| (f.seq, f)).collect(), limit, self.cursor(), Sorted::Newest);
            answer(200, json!({ "fills": page.into_iter().map(wire::fill).collect::<Vec<_>>(), "cursor": cursor }))
        }))
    }

    fn settlements(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 1000)?;
        let (ticker, event) = (self.param("ticker"), self.param("event_ticker"));
        let window = self.window("min_ts", "max_ts")?;
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let rows = engine
                .settlements
                .iter()
                .filter(|s| s.owner == owner && s.wall <= at && !self.other_subaccount())
                .filter(|s| ticker.is_none_or(|t| s.ticker == t))
                .filter(|s| event.is_none_or(|e| s.event_ticker == e))
                .filter(|s| window.has(Some(s.at)));
            let (page, cursor) = page(rows.map(|s| (s.seq, s)).collect(), limit, self.cursor(), Sorted::Newest);
            let rows: Vec<Value> = page.into_iter().map(wire::settlement).collect();
            answer(200, json!({ "settlements": rows, "cursor": cursor }))
        }))
    }

    // ---- orders --------------------------------------------------------------------------------

    fn orders(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 1000)?;
        let (ticker, events, shard) = (self.param("ticker"), self.list("event_ticker"), self.shard_filter()?);
        let status = self.param("status");
        if status.is_some_and(|s| !["resting", "canceled", "executed"].contains(&s)) {
            return Err(flat("status is unknown"));
        }
        let window = self.window("min_ts", "max_ts")?;
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let rows = engine
                .orders
                .values()
                .filter_map(|o| o.at(at))
                .filter(|o| o.owner == owner && !self.other_subaccount())
                .filter(|o| ticker.is_none_or(|t| o.ticker == t))
                .filter(|o| events.as_ref().is_none_or(|e| e.contains(&o.event_ticker)))
                .filter(|o| status.is_none_or(|s| o.status.as_str() == s))
                .filter(|o| shard.is_none_or(|s| o.shard == s))
                .filter(|o| window.has(Some(o.created)));
            let (page, cursor) = page(rows.map(|o| (o.seq, o)).collect(), limit, self.cursor(), Sorted::Newest);
            let orders: Vec<Value> = page.into_iter().map(|o| wire::order(engine, o)).collect();
            answer(200, json!({ "orders": orders, "cursor": cursor }))
        }))
    }

    fn seen_order(&self, engine: &Engine, now: Now, owner: usize, id: &str) -> Result<Order, Response> {
        let id: Uuid = id.parse().map_err(|_| not_found())?;
        let seq = engine.order_seqs.get(&id).ok_or_else(not_found)?;
        let order = engine.orders.get(seq).and_then(|o| o.at(self.seen(now))).ok_or_else(not_found)?;
        if order.owner == owner { Ok(order.clone()) } else { Err(not_found()) }
    }

    fn order(&self, id: &str) -> Result<Response, Response> {
        let owner = self.owner()?;
        self.sim.with(|engine, now| {
            let order = self.seen_order(engine, now, owner, id)?;
            Ok(answer(200, json!({ "order": wire::order(engine, &order) })))
        })
    }

    fn queue_position(&self, id: &str) -> Result<Response, Response> {
        let owner = self.owner()?;
        self.sim.with(|engine, now| {
            let order = self.seen_order(engine, now, owner, id)?;
            Ok(answer(200, json!({ "queue_position_fp": ahead(engine, &order).to_string() })))
        })
    }

    fn queue_positions(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let (tickers, event) = (self.list("market_tickers"), self.param("event_ticker"));
        Ok(self.sim.with(|engine, _| {
            let rows: Vec<Value> = engine
                .orders
                .values()
                .map(Lagged::now)
                .filter(|o| o.owner == owner && o.remaining > Qty::ZERO)
                .filter(|o| tickers.as_ref().is_none_or(|t| t.contains(&o.ticker)))
                .filter(|o| event.is_none_or(|e| o.event_ticker == e))
                .map(|o| {
                    json!({ "order_id": o.id, "market_ticker": o.ticker, "queue_position_fp": ahead(engine, o).to_string() })
                })
                .collect();
            answer(200, json!({ "queue_positions": rows }))
        }))
    }

    fn resting_value(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        Ok(self.sim.with(|engine, _| {
            let reserved = engine.accounts[owner].balance.now().reserved;
            let rows: Vec<Value> =
                (0..SHARDS).map(|s| json!({ "exchange_index": s, "balance": reserved[s].four() })).collect();
            let total: Cash = reserved.into_iter().sum();
            answer(
                200,
                json!({ "total_resting_order_value": total.cents_down(), "resting_order_value_breakdown": rows }),
            )
        }))
    }

    fn place(&self, owner: usize, body: CreateOrder, subject: &Subject<'_>) -> Result<Order, Response> {
        let mut ask = body.read().map_err(IntoResponse::into_response)?;
        self.region_allows(&ask.ticker)?;
        let partial = self.sim.faults().take(subject, |kind| matches!(kind, FaultKind::PartialFill { .. }));
        if let Some(FaultKind::PartialFill { at_most }) = partial {
            ask.cap = Some(at_most);
        }
        let placed = self.sim.with(|engine, now| engine.place(now, owner, ask));
        placed.map(|p| p.order).map_err(IntoResponse::into_response)
    }

    /// A lapsed attestation keeps the key out of three categories.
    fn region_allows(&self, ticker: &str) -> Result<(), Response> {
        let Some(expires) = self.sim.config.region_expires else { return Ok(()) };
        let lapsed = self.sim.with(|engine, now| {
            let series = engine.markets.get(ticker).and_then(|m| engine.series.get(&m.series_ticker));
            now.time >= expires && series.is_some_and(|(_, s)| REGIONAL.contains(&s.category.as_str()))
        });
        if lapsed {
            return Err(nested(403, "region_attestation_expired", "location attestation has expired", None));
        }
        Ok(())
    }

    fn create(&self, subject: &Subject<'_>) -> Result<Response, Response> {
        let owner = self.owner()?;
        let order = self.place(owner, self.json()?, subject)?;
        Ok(answer(201, wire::placed(&order)))
    }

    fn create_batch(&self) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Batch {
            orders: Vec<CreateOrder>,
        }
        let owner = self.owner()?;
        let batch: Batch = self.json()?;
        let results: Vec<Value> = batch
            .orders
            .into_iter()
            .map(|body| {
                let client_order_id = body.client_order_id.clone();
                let placed = body.read().and_then(|ask| self.sim.with(|engine, now| engine.place(now, owner, ask)));
                match placed {
                    Ok(placed) => wire::placed(&placed.order),
                    Err(refusal) => json!({ "client_order_id": client_order_id, "error": refusal_error(&refusal) }),
                }
            })
            .collect();
        Ok(answer(201, json!({ "orders": results })))
    }

    /// An id alone is looked up on shard 0 only, as published.
    fn findable(&self, id: &str, ticker: Option<&str>, shard: Option<usize>) -> Result<Uuid, Refusal> {
        let id: Uuid = id.parse().map_err(|_| Refusal::UnknownOrder)?;
        let home = self.sim.with(|engine, _| {
            let seq = engine.order_seqs.get(&id)?;
            engine.orders.get(seq).map(|o| (o.now().shard, o.now().ticker.clone()))
        });
        match home {
            Some((_, home)) if ticker == Some(&home) => Ok(id),
            Some((home, _)) if ticker.is_none() && shard.unwrap_or(0) == home => Ok(id),
            _ => Err(Refusal::UnknownOrder),
        }
    }

    fn cancel(&self, id: &str) -> Result<Response, Response> {
        let owner = self.owner()?;
        let id = self
            .findable(id, self.param("market_ticker"), self.shard_filter()?)
            .map_err(IntoResponse::into_response)?;
        let (order, left) =
            self.sim.with(|engine, now| engine.cancel(now, owner, id)).map_err(IntoResponse::into_response)?;
        Ok(answer(200, cancelled(&order, left)))
    }

    fn cancel_batch(&self) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct One {
            order_id: String,
            exchange_index: Option<usize>,
            market_ticker: Option<String>,
        }
        #[derive(Deserialize)]
        struct Batch {
            orders: Vec<One>,
        }
        let owner = self.owner()?;
        let batch: Batch = self.json()?;
        let results: Vec<Value> = batch
            .orders
            .iter()
            .map(|one| {
                let done = self
                    .findable(&one.order_id, one.market_ticker.as_deref(), one.exchange_index)
                    .and_then(|id| self.sim.with(|engine, now| engine.cancel(now, owner, id)));
                match done {
                    Ok((order, left)) => cancelled(&order, left),
                    Err(refusal) => {
                        json!({ "order_id": one.order_id, "reduced_by": "0.00", "error": refusal_error(&refusal) })
                    }
                }
            })
            .collect();
        Ok(answer(200, json!({ "orders": results })))
    }

    fn cancel_all(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        self.sim.with(|engine, now| engine.cancel_all(now, owner));
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    fn amend(&self, id: &str) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Amend {
            ticker: String,
            side: BookSide,
            price: String,
            count: String,
            updated_client_order_id: Option<String>,
        }
        let owner = self.owner()?;
        let body: Amend = self.json()?;
        let refuse = |r: Refusal| r.into_response();
        let id = self.findable(id, Some(&body.ticker), None).map_err(refuse)?;
        let price: Px = body.price.parse().map_err(|_| refuse(Refusal::Price))?;
        let count: Qty = body.count.parse().map_err(|_| refuse(Refusal::Size))?;
        let order = self
            .sim
            .with(|engine, now| {
                let side = engine.order_seqs.get(&id).and_then(|s| engine.orders.get(s)).map(|o| o.now().side);
                if side != Some(body.side) {
                    return Err(Refusal::Parameters("side"));
                }
                engine.amend(now, owner, id, price, count, body.updated_client_order_id)
            })
            .map_err(refuse)?;
        Ok(answer(200, wire::placed(&order)))
    }

    fn decrease(&self, id: &str) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Decrease {
            reduce_by: Option<String>,
            reduce_to: Option<String>,
            exchange_index: Option<usize>,
            market_ticker: Option<String>,
        }
        let owner = self.owner()?;
        let body: Decrease = self.json()?;
        let refuse = |r: Refusal| r.into_response();
        let id = self.findable(id, body.market_ticker.as_deref(), body.exchange_index).map_err(refuse)?;
        let parse = |text: &str| text.parse::<Qty>().map_err(|_| refuse(Refusal::Size));
        let (by, to) = match (body.reduce_by.as_deref(), body.reduce_to.as_deref()) {
            (Some(by), None) => (Some(parse(by)?), Qty::ZERO),
            (None, Some(to)) => (None, parse(to)?),
            _ => return Err(refuse(Refusal::Parameters("reduce_by or reduce_to"))),
        };
        let order = self
            .sim
            .with(|engine, now| engine.decrease(now, owner, id, |left| by.map_or(to, |by| (left - by).max(Qty::ZERO))))
            .map_err(refuse)?;
        let body = json!({ "order_id": order.id, "client_order_id": order.client_order_id,
            "remaining_count": order.remaining.to_string(), "ts_ms": order.updated.as_millisecond() });
        Ok(answer(200, body))
    }

    // ---- transfers -----------------------------------------------------------------------------

    fn make_transfer(&self) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Transfer {
            client_transfer_id: Option<Uuid>,
            source: String,
            destination: String,
            /// Hundredths of a cent.
            amount: i64,
            #[serde(default)]
            source_exchange_shard: usize,
            #[serde(default)]
            destination_exchange_shard: usize,
        }
        let owner = self.owner()?;
        let body: Transfer = self.json()?;
        if body.source != "event_contract" || body.destination != "event_contract" {
            return Err(Refusal::Parameters("source or destination").into_response());
        }
        let amount = body.amount.checked_mul(100).map(Cash).ok_or_else(|| parameter("amount is out of range"))?;
        let id = self
            .sim
            .with(|engine, now| {
                engine.transfer(
                    now,
                    owner,
                    body.source_exchange_shard,
                    body.destination_exchange_shard,
                    amount,
                    body.client_transfer_id,
                )
            })
            .map_err(IntoResponse::into_response)?;
        Ok(answer(200, json!({ "transfer_id": id })))
    }

    fn transfers(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 500)?;
        Ok(self.sim.with(|engine, _| {
            let rows = engine.transfers.iter().filter(|t| t.owner == owner).map(|t| (t.seq, t)).collect();
            let (page, cursor) = page(rows, limit, self.cursor(), Sorted::Newest);
            let rows: Vec<Value> = page.into_iter().map(transfer).collect();
            answer(200, json!({ "transfers": rows, "cursor": cursor }))
        }))
    }

    fn transfer(&self, id: &str) -> Result<Response, Response> {
        let owner = self.owner()?;
        self.sim.with(|engine, _| {
            let found = engine.transfers.iter().find(|t| t.owner == owner && t.id.to_string() == id);
            Ok(answer(200, json!({ "transfer": transfer(found.ok_or_else(not_found)?) })))
        })
    }
}

fn transfer(row: &crate::model::Transfer) -> Value {
    let mut value = json!({
        "transfer_id": row.id,
        "source": "event_contract",
        "destination": "event_contract",
        "source_exchange_shard": row.from,
        "destination_exchange_shard": row.to,
        "amount": row.amount.four(),
        "status": "complete",
        "created_ts": row.at.as_second(),
    });
    if let Some(id) = row.client_id {
        value["client_transfer_id"] = json!(id);
    }
    value
}

fn cancelled(order: &Order, left: Qty) -> Value {
    json!({ "order_id": order.id, "client_order_id": order.client_order_id, "reduced_by": left.to_string(),
        "ts_ms": order.updated.as_millisecond() })
}

fn ahead(engine: &Engine, order: &Order) -> Qty {
    engine.markets.get(&order.ticker).map_or(Qty::ZERO, |m| m.book.ahead_of(order.side, order.price, order.seq))
}

fn series_volumes(engine: &Engine) -> BTreeMap<String, Qty> {
    let mut volumes: BTreeMap<String, Qty> = BTreeMap::new();
    for market in engine.markets.values() {
        *volumes.entry(market.series_ticker.clone()).or_default() += market.volume;
    }
    volumes
}

fn legacy() -> Response {
    let details = "https://docs.kalshi.com/api-reference/orders/create-order-v2";
    nested(410, "deprecated_v1_order_endpoint", "Please switch to the V2 endpoints", Some(details))
}

fn endpoint_costs() -> Response {
    let cost = |method: &str, path: &str, cost: i64| json!({ "method": method, "path": path, "cost": cost });
    let costs = [
        cost("GET", "/trade-api/v2/portfolio/orders/:order_id", 2),
        cost("DELETE", "/trade-api/v2/portfolio/events/orders/:order_id", 2),
        cost("DELETE", "/trade-api/v2/portfolio/events/orders/batched", 2),
    ];
    answer(200, json!({ "default_cost": 10, "endpoint_costs": costs }))
}

/// What a proxy in front of the exchange says: not JSON for 502, the published shape otherwise.
fn server_error(status: u16) -> Response {
    let status = if (500..=599).contains(&status) { status } else { 503 };
    if status == 502 {
        let page = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>";
        return (StatusCode::BAD_GATEWAY, [("content-type", "text/html")], page).into_response();
    }
    nested(status, "service_unavailable", "service unavailable", None)
}

async fn cut_in_the_middle(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let mut response = Response::new(Body::from(whole.slice(..whole.len() / 2)));
    *response.status_mut() = head.status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

#[derive(Default)]
struct Window {
    min: Option<Timestamp>,
    max: Option<Timestamp>,
}

impl Window {
    fn is_set(&self) -> bool {
        self.min.is_some() || self.max.is_some()
    }

    /// Bounds are whole seconds: `max` holds to the end of its second.
    fn has(&self, time: Option<Timestamp>) -> bool {
        match time {
            None => !self.is_set(),
            Some(time) => {
                self.min.is_none_or(|min| time >= min) && self.max.is_none_or(|max| time.as_second() <= max.as_second())
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sorted {
    Oldest,
    Newest,
}

/// One page and the cursor of the next; the last page's cursor is the empty string.
fn page<T>(mut rows: Vec<(u64, T)>, limit: usize, after: Option<u64>, order: Sorted) -> (Vec<T>, String) {
    match order {
        Sorted::Oldest => rows.sort_by_key(|(seq, _)| *seq),
        Sorted::Newest => rows.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq)),
    }
    if let Some(after) = after {
        rows.retain(|(seq, _)| if order == Sorted::Oldest { *seq > after } else { *seq < after });
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = match rows.last() {
        Some((seq, _)) if more => URL_SAFE_NO_PAD.encode(format!("after:{seq}")),
        _ => String::new(),
    };
    (rows.into_iter().map(|(_, row)| row).collect(), cursor)
}
