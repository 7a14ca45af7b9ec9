//! What clients reach of the simulator, over real sockets: refusals, faults, paging, lag, the socket's sequence.

mod support;

use hunch_exchange_sim::{Cash, Fault, FaultKind, Listing, On, Outcome, Qty, Tier, day};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Bench, KEY_ID, TICKER, http, ioc, order, start_time};

const ORDERS: &str = "/portfolio/events/orders";

async fn place(bench: &Bench, body: Value) -> support::Reply {
    bench.call("POST", ORDERS, Some(body)).await
}

#[tokio::test]
async fn the_four_shapes_of_no() {
    let bench = Bench::start().await;
    let nested = |code: &str, message: &str| json!({ "error": { "code": code, "message": message } });

    let gone = bench.call("POST", "/portfolio/orders", Some(json!({}))).await;
    assert_eq!((gone.status, gone.json["error"]["code"].as_str()), (410, Some("deprecated_v1_order_endpoint")));

    let decode = place(&bench, json!({ "ticker": TICKER, "count": 5 })).await;
    assert_eq!((decode.status, decode.json["code"].as_str()), (400, Some("bad_request")));
    let limit = bench.call("GET", "/markets?limit=1001", None).await;
    assert_eq!((limit.status, limit.json), (400, json!({ "msg": "limit must be less than or equal to 1000" })));

    assert_eq!(place(&bench, ioc("a", "bid", "1", "0.35")).await.status, 201);
    let again = place(&bench, ioc("a", "bid", "1", "0.35")).await;
    assert_eq!((again.status, again.json), (409, nested("order_already_exists", "order already exists")));
    let killed = place(&bench, order("b", "bid", "9000", "0.35", "fill_or_kill")).await;
    assert_eq!(killed.status, 409);
    assert_eq!(killed.json["error"]["code"], "fill_or_kill_insufficient_resting_volume");
    let off = place(&bench, ioc("c", "bid", "1", "0.355")).await;
    assert_eq!((off.status, off.json), (400, nested("invalid_price", "invalid price")));
    let unknown = place(
        &bench,
        json!({ "ticker": "NONE", "client_order_id": "d", "side": "bid", "count": "1", "price": "0.5",
        "time_in_force": "immediate_or_cancel", "self_trade_prevention_type": "maker" }),
    );
    assert_eq!(unknown.await.status, 404);

    bench.sim.pause(true, false);
    assert_eq!(place(&bench, ioc("e", "bid", "1", "0.35")).await.json["error"]["code"], "trading_is_paused");
    bench.sim.pause(false, false);
    assert_eq!(place(&bench, ioc("e", "bid", "1", "0.35")).await.json["error"]["code"], "exchange_is_paused");
    bench.sim.pause(true, true);
    assert_eq!(place(&bench, ioc("e", "bid", "1", "0.35")).await.status, 201, "a refused id was not spent");
    bench.sim.close(TICKER).unwrap();
    assert_eq!(place(&bench, ioc("f", "bid", "1", "0.35")).await.json["error"]["code"], "MARKET_INACTIVE");
    assert_eq!(bench.sim.state()["broken_invariants"], json!([]));
}

#[tokio::test]
async fn only_signed_requests_reach_the_portfolio() {
    let bench = Bench::start().await;
    let port = bench.sim.port();
    let target = "/trade-api/v2/portfolio/balance";
    let code =
        |reply: support::Reply| (reply.status, reply.json["error"]["code"].as_str().unwrap_or_default().to_owned());
    let none = http(port, "GET", target, &[], "").await;
    assert_eq!(code(none), (401, "signature_is_missing_from_headers".to_owned()));
    let now = start_time().as_millisecond();
    let headers = |key: &str, stamp: i64| {
        [
            ("KALSHI-ACCESS-KEY", key.to_owned()),
            ("KALSHI-ACCESS-TIMESTAMP", stamp.to_string()),
            ("KALSHI-ACCESS-SIGNATURE", "AAAA".to_owned()),
        ]
    };
    assert_eq!(code(http(port, "GET", target, &headers("x", now), "").await).0, 401);
    let old = http(port, "GET", target, &headers(KEY_ID, now - 30_000), "").await;
    assert_eq!(code(old), (401, "header_timestamp_expired".to_owned()));
    let bad = http(port, "GET", target, &headers(KEY_ID, now), "").await;
    assert_eq!(bad.json["error"]["details"], "INCORRECT_API_KEY_SIGNATURE");
    assert_eq!(http(port, "GET", "/trade-api/v2/markets", &[], "").await.status, 200, "public");
    assert_eq!(http(port, "GET", "/sim/v1/state", &[], "").await.status, 401, "its own token");
    assert_eq!(bench.control("GET", "/state", json!({})).await.status, 200);
}

#[tokio::test]
async fn netting_positions_and_settlement_read_as_published() {
    let bench = Bench::start().await;
    let bought = place(&bench, ioc("a", "bid", "12.00", "0.4000")).await.json;
    assert_eq!((bought["fill_count"].as_str(), bought["average_fill_price"].as_str()), (Some("12.00"), Some("0.3500")));
    assert_eq!(bought["average_fee_paid"], "0.015925");
    place(&bench, ioc("b", "ask", "10.00", "0.3300")).await;
    let position = &bench.get("/portfolio/positions").await["market_positions"][0];
    assert_eq!(
        (position["position_fp"].as_str(), position["realized_pnl_dollars"].as_str()),
        (Some("2.00"), Some("-0.200000"))
    );
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    let row = &bench.get("/portfolio/settlements").await["settlements"][0];
    assert_eq!((row["revenue"].as_i64(), row["value"].as_i64()), (Some(200), Some(100)));
    assert_eq!((row["yes_count_fp"].as_str(), row["no_count_fp"].as_str()), (Some("12.00"), Some("10.00")));
    let market = &bench.get(&format!("/markets/{TICKER}")).await["market"];
    assert_eq!(
        (market["status"].as_str(), market["settlement_value_dollars"].as_str()),
        (Some("finalized"), Some("1.0000"))
    );
    let open = bench.get("/portfolio/positions").await;
    assert_eq!(open["market_positions"], json!([]), "settled positions are hidden by default");
}

#[tokio::test]
async fn money_is_on_shards() {
    let bench = Bench::with(|config| config.funding = [Cash::dollars(100), Cash(0), Cash(0), Cash(0)]).await;
    let close = start_time() + SignedDuration::from_hours(1);
    bench.sim.list(&Listing::single("KXB-26NOV23-A", "Crypto", start_time(), close).shard(2)).unwrap();
    bench.sim.set_book("KXB-26NOV23-A", &[], &[(hunch_exchange_sim::Px::cents(50), Qty::whole(100))]).unwrap();
    let buy = |id: &str| {
        let mut body = ioc(id, "bid", "10", "0.50");
        body["ticker"] = json!("KXB-26NOV23-A");
        body
    };
    assert_eq!(place(&bench, buy("a")).await.json["error"]["code"], "insufficient_balance");
    let transfer = json!({ "source": "event_contract", "destination": "event_contract", "amount": 200_000, "source_exchange_shard": 0, "destination_exchange_shard": 2 });
    assert_eq!(bench.call("POST", "/portfolio/intra_exchange_instance_transfer", Some(transfer)).await.status, 200);
    assert_eq!(place(&bench, buy("b")).await.status, 201);
    let balance = bench.get("/portfolio/balance").await;
    assert_eq!(balance["balance_breakdown"][0]["balance"], "80.0000");
    // 20 - 10 × 0.50 - fee 0.175
    assert_eq!(balance["balance_breakdown"][2]["balance"], "14.8250");
    // An id alone is looked up on shard 0 only.
    let mut rest = order("c", "bid", "1", "0.20", "good_till_canceled");
    rest["ticker"] = json!("KXB-26NOV23-A");
    let id = place(&bench, rest).await.json["order_id"].as_str().unwrap().to_owned();
    assert_eq!(bench.call("DELETE", &format!("{ORDERS}/{id}"), None).await.status, 404);
    assert_eq!(bench.call("DELETE", &format!("{ORDERS}/{id}?market_ticker=KXB-26NOV23-A"), None).await.status, 200);
}

#[tokio::test]
async fn pages_end_with_an_empty_cursor() {
    let bench = Bench::with(|config| config.listings.extend(day::believable(3, start_time()))).await;
    let (mut tickers, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = bench.get(&format!("/markets?limit=7&cursor={cursor}")).await;
        tickers.extend(page["markets"].as_array().unwrap().iter().map(|m| m["ticker"].as_str().unwrap().to_owned()));
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    let all = bench.get("/markets?limit=1000&cursor=%%garbage").await["markets"].as_array().unwrap().len();
    assert_eq!((tickers.len(), all > 60), (all, true));
    tickers.sort();
    tickers.dedup();
    assert_eq!(tickers.len(), all);
}

#[tokio::test]
async fn reads_lag_and_say_so() {
    let bench = Bench::with(|config| {
        config.portfolio_lag = Duration::from_secs(2);
        config.market_lag = Duration::from_secs(3);
    })
    .await;
    bench.clock.advance(SignedDuration::from_secs(10));
    let id = place(&bench, ioc("a", "bid", "1", "0.35")).await.json["order_id"].as_str().unwrap().to_owned();
    assert_eq!(bench.call("GET", &format!("/portfolio/orders/{id}"), None).await.status, 404);
    assert_eq!(bench.get("/portfolio/fills").await["fills"], json!([]));
    bench.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(bench.get("/portfolio/fills").await["fills"].as_array().unwrap().len(), 1);
    bench.sim.determine(TICKER, Outcome::No).unwrap();
    let status = || async { bench.get(&format!("/markets/{TICKER}")).await["market"]["status"].clone() };
    assert_eq!(status().await, "active");
    bench.clock.advance(SignedDuration::from_secs(3));
    assert_eq!(status().await, "determined");
    let as_of: jiff::Timestamp =
        bench.get("/exchange/user_data_timestamp").await["as_of_time"].as_str().unwrap().parse().unwrap();
    assert!(as_of < start_time() + SignedDuration::from_secs(13));
}

#[tokio::test]
async fn every_rest_fault_does_what_it_says() {
    let bench = Bench::start().await;
    let accepted = |id: &str| bench.sim.state()["orders_by_client_order_id"].get(id).is_some();
    bench.sim.inject(Fault::once(FaultKind::RateLimit).client_order_id("b"));
    assert_eq!(place(&bench, ioc("a", "bid", "1", "0.35")).await.status, 201, "the fault waits for its order");
    let limited = place(&bench, ioc("b", "bid", "1", "0.35")).await;
    assert_eq!((limited.status, limited.json), (429, json!({ "error": "too many requests" })));
    assert!(!accepted("b"));

    bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 503, after_accept: false }).ticker(TICKER));
    assert_eq!(place(&bench, ioc("c", "bid", "1", "0.35")).await.status, 503);
    assert!(!accepted("c"));
    bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 502, after_accept: true }));
    let lost = place(&bench, ioc("d", "bid", "1", "0.35")).await;
    assert_eq!((lost.status, lost.json), (502, Value::Null));
    assert!(accepted("d"));
    assert_eq!(place(&bench, ioc("d", "bid", "1", "0.35")).await.json["error"]["code"], "order_already_exists");

    bench.sim.inject(Fault::once(FaultKind::TimeoutAfterAccept { hold_ms: 30 }));
    assert_eq!(place(&bench, ioc("e", "bid", "1", "0.35")).await.status, 504);
    assert!(accepted("e"));
    bench.sim.inject(Fault::once(FaultKind::Malformed2xx));
    let cut = place(&bench, ioc("f", "bid", "1", "0.35")).await;
    assert_eq!((cut.status, cut.json), (201, Value::Null));
    assert!(accepted("f"));
    bench.sim.inject(Fault::once(FaultKind::PartialFill { at_most: Qty(40) }));
    assert_eq!(place(&bench, ioc("g", "bid", "1", "0.35")).await.json["fill_count"], "0.40");
    bench.sim.inject(Fault::once(FaultKind::RateLimit).on(On::Read).times(2));
    let reads = [bench.call("GET", "/markets", None).await.status, bench.call("GET", "/markets", None).await.status];
    assert_eq!((reads, bench.call("GET", "/markets", None).await.status), ([429, 429], 200));
    assert_eq!(bench.sim.faults_armed(), 0);
    let armed = json!({ "kind": "error_5xx", "after_accept": true, "client_order_id": "h", "count": 2 });
    assert_eq!(bench.control("POST", "/faults", armed).await.status, 200);
    assert_eq!(place(&bench, ioc("h", "bid", "1", "0.35")).await.status, 503);
    assert_eq!(bench.sim.state()["broken_invariants"], json!([]));
}

#[tokio::test]
async fn buckets_run_empty() {
    let bench = Bench::with(|config| config.tier = Tier::BASIC).await;
    let mut statuses = Vec::new();
    for n in 0..12 {
        statuses.push(place(&bench, ioc(&n.to_string(), "bid", "1", "0.35")).await.status);
    }
    assert_eq!(statuses, [[201; 10].as_slice(), &[429; 2]].concat());
    bench.clock.advance(SignedDuration::from_millis(100));
    assert_eq!(place(&bench, ioc("z", "bid", "1", "0.35")).await.status, 201);
}

#[tokio::test]
async fn a_lapsed_attestation_keeps_out_of_sports() {
    let bench = Bench::with(|config| {
        config.region_expires = Some(start_time() - SignedDuration::from_secs(1));
        config.listings.push(Listing::single(
            "KXG-26NOV23-A",
            "Sports",
            start_time(),
            start_time() + SignedDuration::from_hours(1),
        ));
    })
    .await;
    let mut body = ioc("a", "bid", "1", "0.35");
    body["ticker"] = json!("KXG-26NOV23-A");
    assert_eq!(place(&bench, body).await.status, 403);
    assert_eq!(place(&bench, ioc("b", "bid", "1", "0.35")).await.status, 201, "weather is unaffected");
}

#[tokio::test]
async fn the_socket_counts_per_subscription() {
    let bench = Bench::start().await;
    let mut socket = bench.socket().await;
    socket
        .send(json!({ "id": 1, "cmd": "subscribe", "params": { "channels": ["market_lifecycle_v2", "fill"] } }))
        .await;
    assert_eq!(socket.next().await.unwrap()["msg"]["channel"], "market_lifecycle_v2");
    assert_eq!(socket.next().await.unwrap()["msg"]["channel"], "fill");
    place(&bench, ioc("mine", "bid", "12.00", "0.35")).await;
    let fill = socket.next_of("fill").await;
    assert_eq!(
        (fill["msg"]["client_order_id"].as_str(), fill["msg"]["count_fp"].as_str()),
        (Some("mine"), Some("12.00"))
    );
    assert_eq!((fill["msg"]["post_position_fp"].as_str(), fill.get("seq")), (Some("12.00"), None));

    bench.sim.inject(Fault::once(FaultKind::LoseMessage).message("market_lifecycle_v2"));
    bench.sim.inject(Fault::once(FaultKind::DuplicateMessage).message("market_lifecycle_v2"));
    bench.sim.determine(TICKER, Outcome::Yes).unwrap(); // close_date_updated is lost, determined comes twice
    bench.sim.finalize(TICKER).unwrap(); // settled comes twice by itself
    let mut heard = Vec::new();
    for _ in 0..4 {
        let frame = socket.next_of("market_lifecycle_v2").await;
        heard.push((frame["seq"].as_u64().unwrap(), frame["msg"]["event_type"].as_str().unwrap().to_owned()));
    }
    let expected = [(2, "determined"), (2, "determined"), (3, "settled"), (4, "settled")];
    assert_eq!(heard, expected.map(|(seq, kind)| (seq, kind.to_owned())));

    bench.sim.inject(Fault::once(FaultKind::DropSocket { now: true }));
    assert_eq!(socket.next().await, None);
    assert_eq!(bench.sim.sockets(), 0);
}

#[tokio::test]
async fn snapshot_and_deltas_make_the_book() {
    let bench = Bench::start().await;
    let mut socket = bench.socket().await;
    socket.send(json!({ "id": 1, "cmd": "subscribe", "params": { "channels": ["orderbook_delta"], "market_ticker": TICKER } })).await;
    let snapshot = socket.next_of("orderbook_snapshot").await;
    assert_eq!(
        snapshot["msg"]["no_dollars_fp"],
        json!([["0.6400", "75.25"], ["0.6500", "145.50"]]),
        "ascending, NO prices"
    );
    place(&bench, ioc("a", "bid", "12.00", "0.35")).await;
    let delta = socket.next_of("orderbook_delta").await;
    assert_eq!((delta["msg"]["side"].as_str(), delta["msg"]["price_dollars"].as_str()), (Some("no"), Some("0.6500")));
    assert_eq!((delta["msg"]["delta_fp"].as_str(), delta["seq"].as_u64()), (Some("-12.00"), Some(2)));
    assert!(delta["msg"].get("client_order_id").is_none(), "somebody else's order");
    let book = bench.get(&format!("/markets/{TICKER}/orderbook")).await;
    assert_eq!(book["orderbook_fp"]["no_dollars"], json!([["0.6400", "75.25"], ["0.6500", "133.50"]]));
}

#[tokio::test]
async fn bad_bytes_are_answered() {
    let bench = Bench::start().await;
    let bodies = ["", "{", "null", "[]", "\u{0}", "{\"ticker\":{}}", "\"\u{ffff}\"", "{\"count\":1e999}"];
    for body in bodies {
        for (method, path) in [
            ("POST", ORDERS),
            ("POST", "/portfolio/events/orders/batched"),
            ("DELETE", "/portfolio/events/orders/batched"),
            ("POST", "/portfolio/intra_exchange_instance_transfer"),
        ] {
            assert_eq!(bench.call_text(method, path, body).await.status, 400, "{method} {path} {body:?}");
        }
    }
    for target in [
        "/markets/%ff%fe",
        "/portfolio/orders/..",
        "/markets?cursor=%00",
        "/%2e%2e/x",
        "/portfolio/fills?min_ts=99999999999999999",
    ] {
        let status = bench.call("GET", target, None).await.status;
        assert!((200..500).contains(&status), "{target}: {status}");
    }
    for (price, count) in [
        ("1e3", "1"),
        ("-0.35", "1"),
        ("0.35", "-1"),
        ("0", "1"),
        ("1.00", "1"),
        ("0.35", "0.001"),
        ("0.35", "99999999999999"),
        ("NaN", "1"),
    ] {
        assert_eq!(place(&bench, ioc("x", "bid", count, price)).await.status, 400, "{price} {count}");
    }
    for (path, body) in [
        ("/fund", json!({ "amount_dollars": "9223372036854.77" })),
        ("/fund", json!({ "amount_dollars": "-1000000" })),
        ("/markets", json!({ "series": 1 })),
        ("/faults", json!({ "kind": "earthquake" })),
        ("/markets/NONE/determine", json!({ "result": "yes" })),
        ("/markets/KXTEST-26NOV23-A/determine", json!({ "result": "scalar", "settlement_value": "2" })),
        ("/markets/KXTEST-26NOV23-A/book", json!({ "yes": [["0.60", "1"]], "no": [["0.40", "1"]] })),
        ("/markets/KXTEST-26NOV23-A/dance", json!({})),
    ] {
        let status = bench.control("POST", path, body).await.status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(bench.sim.state()["broken_invariants"], json!([]));
}

#[tokio::test]
async fn the_state_file_carries_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exchange.json");
    let first = Bench::with(|config| config.state_file = Some(file.clone())).await;
    place(&first, ioc("a", "bid", "12.00", "0.35")).await;
    let before = first.sim.state();
    first.sim.stop().await;
    let second = Bench::with(|config| config.state_file = Some(file)).await;
    assert_eq!(second.sim.state()["accounts"][1], before["accounts"][1]);
    assert_eq!(place(&second, ioc("a", "bid", "1", "0.35")).await.status, 409, "ids are spent for ever");
}
