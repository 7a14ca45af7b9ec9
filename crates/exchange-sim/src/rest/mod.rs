//! Kalshi's REST operations under `/trade-api/v2`. One handler reads the request, asks the engine and
//! answers in the published shape; signature, limits and faults come before it.

#![expect(clippy::result_large_err, reason = "a refused request ends in its answer, and that is a whole response")]

mod markets;
mod orders;
mod portfolio;

use crate::answers::{answer, flat, nested, not_found, parameter, too_many};
use crate::auth::authenticate;
use crate::engine::Now;
use crate::faults::{FaultKind, On, Subject};
use crate::model::SHARDS;
use crate::sim::Sim;
use crate::token_buckets::Bucket;
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
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

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
            && !self.sim.token_buckets().take(account, Bucket::Balance, 1, wall)
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
        self.sim.token_buckets().take(account, bucket, cost, wall)
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
        let path = format!("/{}", self.path.join("/"));
        let subject = Subject {
            on,
            ticker: ticker.as_deref(),
            client_order_id: client_order_id.as_deref(),
            path: Some(&path),
            message: None,
        };
        let whole = |kind: &FaultKind| !kind.is_socket() && !kind.is_matching() && !kind.is_within_an_answer();
        let fault = self.sim.faults().take(&subject, whole);
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
            Some(FaultKind::Misreport { field, value }) => misreported(self.answer(&subject), &field, &value).await,
            Some(FaultKind::Malformed2xx) => cut_in_the_middle(self.answer(&subject)).await,
            _ => self.spoiled(self.answer(&subject)).await,
        }
    }

    async fn spoiled(&self, response: Response) -> Response {
        if self.method != Method::GET || !self.sim.faults().spoils_elements() {
            return response;
        }
        let (head, body) = response.into_parts();
        let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        let Ok(mut value) = serde_json::from_slice(&whole) else { return Response::from_parts(head, whole.into()) };
        self.sim.faults().spoil(&mut value);
        answer(head.status.as_u16(), value)
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

async fn misreported(response: Response, field: &str, value: &str) -> Response {
    let (head, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let mut told: Value = serde_json::from_slice(&whole).unwrap_or_default();
    if head.status.is_success() {
        replace(&mut told, field, value);
    }
    answer(head.status.as_u16(), told)
}

fn replace(told: &mut Value, field: &str, value: &str) {
    match told {
        Value::Object(fields) => {
            for (name, held) in fields {
                if name == field { *held = json!(value) } else { replace(held, field, value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, field, value)),
        _ => {}
    }
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
