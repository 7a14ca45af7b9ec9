//! The first judge: everything the simulator says is held against what is published of the protocol: its facts, which stand
//! in `tests/facts`, and, where `HUNCH_KALSHI_DOCS` names them, the published JSON Schemas, which stay outside the project.

#[path = "support/facts.rs"]
mod facts;
mod support;

use hunch_exchange_sim::{Outcome, Px, SimConfig, day};
use jiff::SignedDuration;
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use support::{Bench, Reply, TICKER, ioc, order, start_time};

struct Judge {
    operations: Vec<Operation>,
    errors: Validator,
    /// message type → the schemas that may describe it.
    messages: BTreeMap<String, Vec<Validator>>,
    seen: Mutex<BTreeSet<String>>,
}

/// Method, path template, and by status the schema; none where the document names none.
type Operation = (String, Vec<String>, BTreeMap<u16, Option<Validator>>);

/// The judges there are, at least one.
fn judges() -> Vec<Judge> {
    let documents = std::env::var_os("HUNCH_KALSHI_DOCS").map(|folder| Judge::by_documents(folder.as_ref()));
    [Some(Judge::by_facts()), documents].into_iter().flatten().collect()
}

/// Stricter than the documents: a field they do not name is an error too.
fn close_objects(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                object.insert("unevaluatedProperties".to_owned(), json!(false));
            }
            for (name, inner) in object.iter_mut() {
                if name != "example" && name != "default" {
                    close_objects(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close_objects),
        _ => {}
    }
}

fn compile(defs: &Value, schema: &Value) -> Validator {
    let mut root = Map::new();
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("$defs".to_owned(), defs.clone());
    root.insert("allOf".to_owned(), json!([schema]));
    jsonschema::options().should_validate_formats(true).build(&Value::Object(root)).unwrap()
}

fn operation(defs: &Value, operation: &Value) -> Operation {
    let responses = operation["responses"].as_object().unwrap();
    let used = matches!(
        operation["path"].as_str().unwrap().split('/').nth(1).unwrap(),
        "exchange" | "series" | "events" | "markets" | "portfolio" | "account" | "api_keys" | "search"
    );
    let statuses = responses
        .iter()
        .filter(|(status, _)| used && status.starts_with('2'))
        .map(|(status, schema)| (status.parse().unwrap(), (!schema.is_null()).then(|| compile(defs, schema))));
    let path = operation["path"].as_str().unwrap().split('/').skip(1).map(str::to_owned).collect();
    (operation["method"].as_str().unwrap().to_owned(), path, statuses.collect())
}

fn by_kind(all: impl Iterator<Item = (String, Validator)>) -> BTreeMap<String, Vec<Validator>> {
    let mut messages: BTreeMap<String, Vec<Validator>> = BTreeMap::new();
    for (kind, validator) in all {
        messages.entry(kind).or_default().push(validator);
    }
    // The answer to list_subscriptions is framed as `ok`.
    let listed = messages.remove("list_subscriptions").unwrap_or_default();
    messages.entry("ok".to_owned()).or_default().extend(listed);
    messages
}

fn complaints(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|e| format!("{} at {}", e, e.instance_path)).collect()
}

impl Judge {
    fn by_facts() -> Judge {
        let (rest, ws) = (facts::read(include_str!("facts/rest.txt")), facts::read(include_str!("facts/ws.txt")));
        let errors = compile(&rest.shapes, &json!({ "$ref": "#/$defs/ErrorResponse" }));
        let (mut shapes, mut of_messages) = (rest.shapes, ws.shapes);
        close_objects(&mut shapes);
        close_objects(&mut of_messages);
        let mut operations: BTreeMap<(String, String), BTreeMap<u16, Option<Validator>>> = BTreeMap::new();
        for (said, schema) in &rest.said {
            let words: Vec<&str> = said.split(' ').collect();
            let [method, path, status] = words[..] else { continue };
            let statuses = operations.entry((method.to_owned(), path.to_owned())).or_default();
            statuses.insert(status.parse().unwrap(), (!schema.is_null()).then(|| compile(&shapes, schema)));
        }
        let parts = |path: String| path.split('/').skip(1).map(str::to_owned).collect();
        let operations =
            operations.into_iter().map(|((method, path), statuses)| (method, parts(path), statuses)).collect();
        let messages = ws.said.iter().map(|(kind, schema)| (kind.clone(), compile(&of_messages, schema)));
        Judge { operations, errors, messages: by_kind(messages), seen: Mutex::default() }
    }

    fn by_documents(directory: &std::path::Path) -> Judge {
        let read = |name: &str| -> Value {
            let path = directory.join("jsonschema").join(name);
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        let (mut rest, mut ws) = (read("rest.json"), read("ws.json"));
        let errors = compile(&rest["$defs"].clone(), &json!({ "$ref": "#/$defs/ErrorResponse" }));
        close_objects(&mut rest["$defs"]);
        close_objects(&mut ws["$defs"]);
        let operations = rest["operations"].as_array().unwrap().iter().map(|o| operation(&rest["$defs"], o)).collect();
        let compiled =
            |message: &Value| (message["type"].as_str().unwrap().to_owned(), compile(&ws["$defs"], &message["schema"]));
        let messages = by_kind(ws["messages"].as_object().unwrap().values().map(compiled));
        Judge { operations, errors, messages, seen: Mutex::default() }
    }

    fn rest(&self, method: &str, target: &str, reply: &Reply) {
        let path: Vec<&str> = target.split('?').next().unwrap().split('/').skip(1).collect();
        let fits = |template: &Vec<String>| {
            template.len() == path.len() && template.iter().zip(&path).all(|(t, p)| t.starts_with('{') || t == p)
        };
        let literal = |template: &Vec<String>| template.iter().filter(|t| !t.starts_with('{')).count();
        let found =
            self.operations.iter().filter(|(m, t, _)| m == method && fits(t)).max_by_key(|(_, t, _)| literal(t));
        let (_, template, statuses) = found.unwrap_or_else(|| panic!("{method} {target} is not published"));
        if reply.status >= 400 {
            assert_eq!(
                complaints(&self.errors, &reply.json),
                Vec::<String>::new(),
                "{method} {target}: {}",
                reply.text
            );
            return;
        }
        let schema =
            statuses.get(&reply.status).unwrap_or_else(|| panic!("{method} {target}: status {}", reply.status));
        match schema {
            Some(schema) => {
                let wrong = complaints(schema, &reply.json);
                assert_eq!(wrong, Vec::<String>::new(), "{method} {target}: {}", reply.text);
            }
            None => assert_eq!(reply.text, "", "{method} {target}"),
        }
        self.seen.lock().unwrap().insert(format!("{method} /{}", template.join("/")));
    }

    fn frame(&self, frame: &Value) {
        let kind = frame["type"].as_str().unwrap();
        let schemas = self.messages.get(kind).unwrap_or_else(|| panic!("{kind} is not published"));
        let wrong: Vec<_> = schemas.iter().map(|s| complaints(s, frame)).collect();
        assert!(wrong.iter().any(Vec::is_empty), "{frame}: {wrong:?}");
        let detail = frame["msg"]["event_type"].as_str().map(|e| format!(" {e}")).unwrap_or_default();
        self.seen.lock().unwrap().insert(format!("{kind}{detail}"));
    }

    fn saw(&self, all: &[&str]) {
        let seen = self.seen.lock().unwrap();
        let missing: Vec<_> = all.iter().filter(|name| !seen.contains(**name)).collect();
        assert!(missing.is_empty(), "not exercised: {missing:?}; seen: {seen:?}");
    }
}

struct Judged<'a> {
    bench: &'a Bench,
    judges: &'a [Judge],
}

impl Judged<'_> {
    async fn call(&self, method: &str, target: &str, body: Option<Value>) -> Value {
        let reply = self.bench.call(method, target, body).await;
        self.judges.iter().for_each(|judge| judge.rest(method, target, &reply));
        reply.json
    }

    async fn get(&self, target: &str) -> Value {
        self.call("GET", target, None).await
    }
}

fn full_day(config: &mut SimConfig) {
    config.listings.extend(day::believable(3, start_time()));
    config.region_expires = Some(start_time() + SignedDuration::from_hours(500));
}

const READS: [&str; 31] = [
    "/exchange/status",
    "/exchange/schedule",
    "/exchange/user_data_timestamp",
    "/series",
    "/series?category=Sports&include_volume=true",
    "/series/KXRAIN",
    "/series/fee_changes",
    "/events?with_nested_markets=true&limit=200&with_milestones=true",
    "/events?status=open&limit=3",
    "/events/fee_changes",
    "/events/multivariate",
    "/markets?limit=1000&mve_filter=exclude",
    "/markets?status=open&limit=5",
    "/markets?status=settled",
    "/markets/KXTEST-26NOV23-A",
    "/markets/KXTEST-26NOV23-A/orderbook?depth=1",
    "/markets/orderbooks?tickers=KXTEST-26NOV23-A&tickers=KXRAIN-26NOV23-NYC",
    "/markets/trades?limit=3",
    "/search/tags_by_categories",
    "/search/filters_by_sport",
    "/account/limits",
    "/account/endpoint_costs",
    "/api_keys",
    "/portfolio/balance",
    "/portfolio/balance?exchange_index=3",
    "/portfolio/positions?settlement_status=all",
    "/portfolio/fills",
    "/portfolio/orders",
    "/portfolio/settlements",
    "/portfolio/orders/queue_positions",
    "/portfolio/summary/total_resting_order_value",
];

#[tokio::test]
async fn every_rest_answer_validates() {
    let judges = judges();
    let bench = Bench::with(full_day).await;
    let on = Judged { bench: &bench, judges: &judges };
    for target in READS {
        on.get(target).await;
    }
    trade_everything(&on).await;
    let event = "/events/KXTEST-26NOV23";
    for target in
        [event.to_owned(), format!("{event}?with_nested_markets=true"), format!("{event}?exclude_markets=true")]
    {
        on.get(&target).await;
    }
    // A whole day passes: every status a market can have is read on the way.
    for minutes in [5, 10, 10, 60, 600, 900, 600] {
        bench.clock.advance(SignedDuration::from_mins(minutes));
        bench.sim.advance();
        on.get("/markets?limit=1000").await;
        on.get("/portfolio/settlements").await;
    }
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    for target in READS {
        on.get(target).await;
    }
    wrong_requests(&on).await;
    let calls = [
        "POST /portfolio/events/orders",
        "DELETE /portfolio/events/orders/{order_id}",
        "POST /portfolio/events/orders/{order_id}/amend",
        "POST /portfolio/events/orders/{order_id}/decrease",
        "POST /portfolio/events/orders/batched",
        "DELETE /portfolio/events/orders/batched",
        "DELETE /portfolio/events/orders",
        "POST /portfolio/intra_exchange_instance_transfer",
        "GET /portfolio/settlements",
        "GET /events/{event_ticker}",
    ];
    judges.iter().for_each(|judge| judge.saw(&calls));
    bench.sim.stop().await;
}

async fn trade_everything(on: &Judged<'_>) {
    let orders = "/portfolio/events/orders";
    on.call("POST", orders, Some(ioc("a", "bid", "12.00", "0.3500"))).await;
    on.call("POST", orders, Some(ioc("b", "ask", "3.5", "0.33"))).await;
    on.call("POST", orders, Some(ioc("c", "bid", "5", "0.10"))).await;
    let rests = on.call("POST", orders, Some(order("d", "bid", "20.00", "0.3400", "good_till_canceled"))).await;
    let id = rests["order_id"].as_str().unwrap();
    for target in [
        format!("/portfolio/orders/{id}"),
        format!("/portfolio/orders/{id}/queue_position"),
        format!("/portfolio/fills?order_id={id}"),
    ] {
        on.get(&target).await;
    }
    on.get("/portfolio/orders/queue_positions").await;
    on.call("POST", &format!("{orders}/{id}/decrease"), Some(json!({ "reduce_by": "5.00", "market_ticker": TICKER })))
        .await;
    let amend =
        json!({ "ticker": TICKER, "side": "bid", "price": "0.3300", "count": "7.00", "updated_client_order_id": "d2" });
    let amended = on.call("POST", &format!("{orders}/{id}/amend"), Some(amend)).await;
    assert_eq!(amended["order_id"], id, "an amended order keeps its id");
    let read = on.get(&format!("/portfolio/orders/{id}")).await;
    assert_eq!(read["order"]["yes_price_dollars"], "0.3300", "and reading it shows the new price");
    let later = json!({ "ticker": TICKER, "side": "bid", "price": "0.3300", "count": "7.00", "client_order_id": "d2",
        "expiration_time": 4_000_000_000_i64 });
    on.call("POST", &format!("{orders}/{id}/amend"), Some(later)).await;
    on.call("DELETE", &format!("{orders}/{id}?market_ticker={TICKER}"), None).await;
    let two =
        [order("e", "bid", "1", "0.30", "good_till_canceled"), order("a", "bid", "1", "0.30", "good_till_canceled")];
    let batch = on.call("POST", &format!("{orders}/batched"), Some(json!({ "orders": two }))).await;
    let id = batch["orders"][0]["order_id"].clone();
    let cancel = json!({ "orders": [{ "order_id": id, "market_ticker": TICKER }, { "order_id": "none" }] });
    on.call("DELETE", &format!("{orders}/batched"), Some(cancel)).await;
    on.call("DELETE", orders, None).await;
    let transfer = json!({ "source": "event_contract", "destination": "event_contract", "amount": 12_345,
        "client_transfer_id": "018f9d2c-7c1a-7e1b-9c55-6f0f5d1f2a11", "source_exchange_shard": 0, "destination_exchange_shard": 3 });
    let moved = on.call("POST", "/portfolio/intra_exchange_instance_transfer", Some(transfer.clone())).await;
    on.call("POST", "/portfolio/intra_exchange_instance_transfer", Some(transfer)).await;
    on.get("/portfolio/intra_exchange_instance_transfers").await;
    on.get(&format!("/portfolio/intra_exchange_instance_transfers/{}", moved["transfer_id"].as_str().unwrap())).await;
    on.get("/portfolio/positions").await;
}

async fn wrong_requests(on: &Judged<'_>) {
    for target in
        ["/markets?limit=1001", "/markets/NONE", "/portfolio/orders?limit=x", "/events?limit=201", "/markets?status=x"]
    {
        on.get(target).await;
    }
    for body in
        [json!({}), json!({ "count": 5 }), ioc("a", "bid", "1", "0.35"), ioc("z", "bid", "1", "0.355"), Value::Null]
    {
        on.call("POST", "/portfolio/events/orders", Some(body)).await;
    }
}

/// The judge itself: it must not nod everything through.
#[test]
fn the_judge_refuses_what_is_not_published() {
    for judge in judges() {
        let said = |json: Value| Reply { status: 200, text: String::new(), json };
        let refused = |reply: Reply| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge.rest("GET", "/markets", &reply))).is_err()
        };
        assert!(!refused(said(json!({ "markets": [], "cursor": "" }))));
        assert!(refused(said(json!({ "markets": [] }))), "a required field is missing");
        assert!(refused(said(json!({ "markets": [], "cursor": "", "more": 1 }))), "a field of its own");
        assert!(refused(said(json!({ "markets": [{ "ticker": "A" }], "cursor": "" }))), "half a market");
        let frame =
            |frame: Value| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge.frame(&frame))).is_err();
        let removed = json!({ "type": "unsubscribed", "id": 1, "sid": 2, "seq": 3 });
        assert!(!frame(removed.clone()));
        for wrong in ["sid", "more", "seq"] {
            let mut message = removed.clone();
            message[wrong] = json!("x");
            assert!(frame(message), "{wrong}");
        }
    }
}

#[tokio::test]
async fn every_socket_message_validates() {
    let judges = judges();
    let bench = Bench::with(full_day).await;
    let mut socket = bench.socket().await;
    socket.send(json!({ "id": 1, "cmd": "subscribe", "params": { "channels": ["market_lifecycle_v2", "fill", "user_orders", "market_positions", "trade"] } })).await;
    socket
        .send(
            json!({ "id": 2, "cmd": "subscribe", "params": { "channels": ["ticker"], "send_initial_snapshot": true } }),
        )
        .await;
    let markets = [TICKER, "KXRAIN-26NOV23-NYC"];
    socket.send(json!({ "id": 3, "cmd": "subscribe", "params": { "channels": ["orderbook_delta"], "market_tickers": markets, "use_yes_price": true } })).await;
    let mut frames = socket.drain().await;
    let sid = frames.iter().find(|f| f["msg"]["channel"] == "orderbook_delta").unwrap()["msg"]["sid"].clone();
    for (id, action) in [(4, "get_snapshot"), (5, "delete_markets"), (6, "add_markets"), (7, "nonsense")] {
        socket.send(json!({ "id": id, "cmd": "update_subscription", "params": { "sids": [sid], "market_tickers": [TICKER], "action": action } })).await;
    }
    for command in [
        json!({ "id": 8, "cmd": "subscribe", "params": { "channels": ["orderbook_delta"] } }),
        json!({ "id": 8, "cmd": "subscribe", "params": { "channels": ["none"] } }),
        json!({ "id": 8, "cmd": "subscribe" }),
        json!({ "id": 8, "cmd": "subscribe", "params": {} }),
        json!({ "id": 8, "cmd": "unsubscribe", "params": { "sids": [77] } }),
        json!({ "id": 8, "cmd": "update_subscription", "params": {} }),
        json!("text"),
    ] {
        socket.send(command).await;
    }
    socket.send_text("\u{0}{[").await;
    let quiet = judge_trading(&bench).await;
    frames.extend(socket.drain().await);
    socket.send(json!({ "id": 9, "cmd": "unsubscribe", "params": { "sids": [sid] } })).await;
    frames.extend(socket.drain().await);
    assert!(quiet);
    let kinds = [
        "subscribed",
        "unsubscribed",
        "ok",
        "error",
        "orderbook_snapshot",
        "orderbook_delta",
        "ticker",
        "trade",
        "fill",
        "user_order",
        "market_position",
        "event_lifecycle",
        "market_lifecycle_v2 created",
        "market_lifecycle_v2 deactivated",
        "market_lifecycle_v2 activated",
        "market_lifecycle_v2 close_date_updated",
        "market_lifecycle_v2 determined",
        "market_lifecycle_v2 settled",
    ];
    for judge in &judges {
        frames.iter().for_each(|frame| judge.frame(frame));
        judge.saw(&kinds);
    }
    bench.sim.stop().await;
}

/// Causes every kind of message.
async fn judge_trading(bench: &Bench) -> bool {
    let orders = "/portfolio/events/orders";
    let place = |body: Value| bench.call("POST", orders, Some(body));
    assert_eq!(place(ioc("a", "bid", "12.00", "0.3500")).await.status, 201);
    assert_eq!(place(order("b", "ask", "4.00", "0.3400", "good_till_canceled")).await.status, 201);
    bench.sim.deactivate(TICKER).unwrap();
    bench.sim.activate(TICKER).unwrap();
    let close = start_time() + SignedDuration::from_hours(1);
    let other = hunch_exchange_sim::Listing::single("KXNEW-26NOV23-A", "Social", start_time(), close);
    bench.sim.list(&other).unwrap();
    bench.clock.advance(SignedDuration::from_mins(5));
    bench.sim.advance();
    bench.sim.determine(TICKER, Outcome::Scalar(Px::cents(50))).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    true
}
