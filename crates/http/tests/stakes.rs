//! Markets, quotes, orders, positions and the settlement webhook as an app and a relay meet them. The bodies of the
//! brief's four routes are golden: a field that changes here changes for everyone who integrates.

mod support;

use axum::body::Body;
use axum::http::Request;
use hunch_exchange_sim::{Fault, FaultKind, Listing, Outcome, Px, Qty};
use hunch_http::sign_webhook;
use hunch_kernel::Clock;
use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{APPROVER, Answer, OPERATOR, RAIN, Service, WEBHOOK};
use uuid::Uuid;

fn kind(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["type"].as_str().unwrap_or("none"))
}

async fn quote(service: &Service, token: &str, side: &str, points: i64) -> Answer {
    service.send(token, "POST", "/v1/quotes", json!({"market": RAIN, "side": side, "stake_points": points})).await
}

async fn stake(service: &Service, token: &str, side: &str, points: i64) -> Answer {
    let quoted = quote(service, token, side, points).await;
    assert_eq!(quoted.status, 201, "{}", quoted.body);
    service.send(token, "POST", "/v1/orders", json!({"quote": quoted.body["quote"]})).await
}

async fn webhook(service: &Service, secret: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let header = sign_webhook(secret, service.clock.now().as_second(), body.as_bytes());
    let request = Request::post("/webhooks/settlement").header("content-type", "application/json");
    service.ask(request.header("hunch-webhook-signature", header).body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn the_four_routes_of_the_brief_have_golden_bodies() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, member) = service.staker(&till, 500).await;

    let listed = service.get(&token, "/v1/markets?category=weather&status=open").await;
    let golden = json!({"stakes": {"open": true}, "markets": [{
        "market": RAIN, "event": "KXRAIN-26NOV23", "event_title": "KXRAIN-26NOV23?", "title": "Will it rain in New York today?",
        "category": "weather", "status": "active",
        "yes": {"label": "New York", "price_points": "35", "chance_percent": "35"},
        "no": {"label": "Not: New York", "price_points": "67", "chance_percent": "67"},
        "pays_points": 100, "ends_at": "2026-11-23T18:00:00Z"
    }]});
    assert_eq!((listed.status, &listed.body), (200, &golden));

    let quoted = quote(&service, &token, "yes", 100).await;
    let id = quoted.body["quote"].clone();
    let golden = json!({
        "quote": id, "market": RAIN, "side": "yes", "hold_points": 100, "cost_points": 94, "fee_points": 5,
        "fee_percent": "4.2", "contracts": "2.56", "price_points": "35", "worst_price_points": "37", "pays_points": 256,
        "profit_points": 162, "worst_profit_points": 156, "expires_at": "2026-11-23T12:00:10Z"
    });
    assert_eq!((quoted.status, &quoted.body), (201, &golden));
    let made = service.send(&token, "POST", "/v1/orders", json!({"quote": id})).await;
    let order = made.body["order"].clone();
    let mut golden = json!({
        "order": order, "market": RAIN, "title": "Will it rain in New York today?", "side_label": "New York", "side": "yes",
        "state": "held", "hold_points": 100, "cost_points": 0, "returned_points": 0, "contracts": "2.56",
        "filled_contracts": "0.00", "placed_at": "2026-11-23T12:00:00Z"
    });
    assert_eq!((made.status, &made.body), (201, &golden));
    service.trade().await;
    let filled = service.get(&token, &format!("/v1/orders/{}", order.as_str().unwrap())).await;
    for (field, value) in [
        ("state", json!("filled")),
        ("cost_points", json!(94)),
        ("returned_points", json!(6)),
        ("filled_contracts", json!("2.56")),
        ("ended_at", json!("2026-11-23T12:00:00Z")),
    ] {
        golden[field] = value;
    }
    assert_eq!((filled.status, &filled.body), (200, &golden));

    let held = service.get(&token, "/v1/positions").await;
    let position = held.body["positions"][0]["position"].clone();
    let mut golden = json!({"positions": [{
        "position": position, "order": order, "market": RAIN, "title": "Will it rain in New York today?",
        "side_label": "New York", "side": "yes", "contracts": "2.56", "cost_points": 94, "value_points": 84,
        "profit_points": -10, "pays_points": 256, "state": "open", "opened_at": "2026-11-23T12:00:00Z",
        "ends_at": "2026-11-23T18:00:00Z"
    }]});
    assert_eq!((held.status, &held.body), (200, &golden));

    service.sim.close(RAIN).unwrap();
    service.sim.determine(RAIN, Outcome::Yes).unwrap();
    service.sim.finalize(RAIN).unwrap();
    let call = json!({"market_id": RAIN, "winning_outcome": "yes", "payout": "1.0000", "member_id": member});
    let taken = webhook(&service, WEBHOOK, &call).await;
    let receipt = taken.body["receipt"].clone();
    let golden_receipt = json!({
        "received": true, "receipt": receipt, "market_id": RAIN, "state": "confirming", "amount_credited_points": 0
    });
    assert_eq!((taken.status, &taken.body), (200, &golden_receipt));
    // The hint alone makes the programme look; nothing else reads the market here.
    service.markets.hint_step().await.unwrap();
    service.trading.settle_step().await.unwrap();
    let again = webhook(&service, WEBHOOK, &call).await;
    let golden_receipt = json!({
        "received": true, "receipt": receipt, "market_id": RAIN, "state": "paid", "amount_credited_points": 256
    });
    assert_eq!((again.status, &again.body), (200, &golden_receipt));
    for _ in 0..20 {
        let told = webhook(&service, WEBHOOK, &call).await.body;
        assert_eq!(told, golden_receipt, "the same receipt for ever, with what is credited by now");
    }

    let paid = service.get(&token, "/v1/positions?status=all").await;
    let row = &mut golden["positions"][0];
    row["state"] = json!("paid");
    row["result"] = json!("yes");
    row["value_points"] = json!(256);
    row["profit_points"] = json!(162);
    row["ends_at"] = json!("2026-11-23T12:00:00Z"); // it closed early
    assert_eq!(paid.body, golden);
    let statement = service.get(&token, "/v1/me/statement").await;
    let lines = statement.body["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "a stake is one line: {}", statement.body);
    let told = |n: usize, name: &str| lines[n][name].clone();
    assert_eq!((told(0, "what"), told(0, "reason")), (json!("Won"), json!("stake")));
    assert_eq!(told(0, "name"), "Will it rain in New York today?");
    let held = told(0, "stake")["held_points"].as_i64().unwrap();
    let golden_stake = json!({
        "market": RAIN, "side_label": "New York", "held_points": held, "filled_points": 94, "returned_points": held - 94,
        "paid_points": 256, "state": "won"
    });
    assert_eq!(told(0, "stake"), golden_stake);
    assert_eq!((told(0, "available_points"), told(0, "balance_after_points")), (json!(162), json!(662)));
    assert!(told(0, "rule").as_str().unwrap().contains("100 points if you are right"), "{}", statement.body);
    assert_eq!((told(1, "what"), told(1, "name")), (json!("Purchase"), json!("Rosa's Bakery")));
    assert_eq!((told(1, "available_points"), told(1, "balance_after_points")), (json!(500), json!(500)));
    assert_eq!(told(1, "rule"), "10 points for each 1.00 USD, 5000 at most.");
    let balance = service.get(&token, "/v1/me/balance").await;
    assert_eq!(balance.body["available_points"], 500 - 94 + 256);
}

#[tokio::test]
async fn a_key_has_one_effect_and_one_answer() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, _) = service.staker(&till, 500).await;
    let send = |key: &'static str, body: Value| {
        let request = Request::post("/v1/orders")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        service.ask(request.body(Body::from(body.to_string())).unwrap())
    };
    let first = quote(&service, &token, "yes", 50).await.body["quote"].clone();
    let made = send("k1", json!({"quote": first})).await;
    assert_eq!(made.status, 201);
    service.trade().await;
    let order = made.body["order"].as_str().unwrap();
    let now = service.get(&token, &format!("/v1/orders/{order}")).await;
    assert_eq!((made.body["state"].as_str(), now.body["state"].as_str()), (Some("held"), Some("filled")));
    for _ in 0..5 {
        let again = send("k1", json!({"quote": first})).await;
        assert_eq!(
            (again.status, &again.body),
            (201, &made.body),
            "the first answer, though the order is filled by now"
        );
        assert_eq!(again.headers["idempotency-first-answer"], "kept");
    }
    let second = quote(&service, &token, "yes", 50).await.body["quote"].clone();
    assert_eq!(kind(&send("k1", json!({"quote": second})).await), (422, "/problems/idempotency-key-reused"));
    let refused = send("k2", json!({"quote": Uuid::nil()})).await;
    assert_eq!(kind(&refused), (404, "/problems/unknown-quote"));
    assert_eq!(send("k2", json!({"quote": Uuid::nil()})).await.body, refused.body);
    assert_eq!(kind(&send("", json!({"quote": second})).await), (422, "/problems/invalid"));
    // At the same moment under one key: one of them has an effect, and the other is told.
    let third = quote(&service, &token, "yes", 50).await.body["quote"].clone();
    let (one, other) = tokio::join!(send("k3", json!({"quote": second})), send("k3", json!({"quote": third})));
    let mut told = [one.status, other.status];
    told.sort_unstable();
    assert_eq!(told, [201, 422]);
    let orders: i64 =
        sqlx::query_scalar("SELECT count(*) FROM trading.orders").fetch_one(service.db.app()).await.unwrap();
    assert_eq!(orders, 2);
    let swept = |days: i64| {
        let at = service.clock.now() + SignedDuration::from_hours(24 * days);
        hunch_http::sweep_first_answers(service.db.app(), at, 1_000)
    };
    assert_eq!(swept(29).await.unwrap(), 0, "kept for thirty days");
    assert_eq!(send("k1", json!({"quote": first})).await.body, made.body);
    assert_eq!(swept(31).await.unwrap(), 2, "nothing is kept of quotes that there are not");
}

#[tokio::test]
async fn every_refusal_has_its_own_type_and_a_sentence() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (rich, _) = service.staker(&till, 1_500).await;
    let say = |answer: &Answer| {
        let detail = answer.body["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.len() > 20 && detail.ends_with('.'), "{}", answer.body);
        assert!(detail.starts_with(char::is_uppercase), "{}", answer.body);
    };
    let unknown =
        service.send(&rich, "POST", "/v1/quotes", json!({"market": "KXNONE", "side": "yes", "stake_points": 50})).await;
    assert_eq!(kind(&unknown), (404, "/problems/unknown-market"));
    say(&unknown);
    assert_eq!(kind(&quote(&service, &rich, "yes", 9).await), (422, "/problems/stake"));
    // A stake that pays nothing even if it is right is not sold; the answer says from when on it is one.
    service.sim.set_book(RAIN, &[(Px::cents(33), Qty::whole(200))], &[(Px::cents(5), Qty::whole(120))]).unwrap();
    service.clock.advance(SignedDuration::from_secs(1));
    let dear = quote(&service, &rich, "yes", 10).await;
    assert_eq!(kind(&dear), (422, "/problems/stake-cannot-win"));
    assert!(dear.body["detail"].as_str().unwrap().contains("Stake at least 42 points"), "{}", dear.body);
    let least = quote(&service, &rich, "yes", 42).await;
    assert_eq!(least.status, 201, "{}", least.body);
    assert_eq!((&least.body["price_points"], &least.body["worst_price_points"]), (&json!("95"), &json!("95")));
    assert!(least.body["worst_profit_points"].as_i64().unwrap() > 0, "{}", least.body);
    service.sim.set_book(RAIN, &[(Px::cents(33), Qty::whole(200))], &[(Px::cents(65), Qty::whole(120))]).unwrap();
    service.clock.advance(SignedDuration::from_secs(1));
    let side =
        service.send(&rich, "POST", "/v1/quotes", json!({"market": RAIN, "side": "maybe", "stake_points": 50})).await;
    assert_eq!(kind(&side), (400, "/problems/bad-json"));
    // Over the day's limit of 1,000 points.
    assert_eq!(stake(&service, &rich, "yes", 900).await.status, 201);
    let over = stake(&service, &rich, "yes", 200).await;
    assert_eq!(kind(&over), (403, "/problems/day-limit"));
    say(&over);
    let (poor, _) = service.staker(&till, 20).await;
    let short = stake(&service, &poor, "yes", 50).await;
    assert_eq!(kind(&short), (409, "/problems/insufficient-points"));
    say(&short);
    let (late, _) = service.staker(&till, 100).await;
    let quoted = quote(&service, &late, "no", 50).await.body["quote"].clone();
    service.clock.advance(SignedDuration::from_secs(11));
    let expired = service.send(&late, "POST", "/v1/orders", json!({"quote": quoted})).await;
    assert_eq!(kind(&expired), (409, "/problems/quote-expired"));
    // Nobody knows where they are.
    let (nowhere, _) = service.member().await;
    assert_eq!(kind(&quote(&service, &nowhere, "yes", 50).await), (403, "/problems/stake-place-unknown"));
    // Montreal is outside the United States.
    let montreal = json!({"latitude": 45.5019, "longitude": -73.5674, "accuracy_metres": 30.0});
    service.send(&nowhere, "PUT", "/v1/me/place", montreal).await;
    assert_eq!(kind(&quote(&service, &nowhere, "yes", 50).await), (403, "/problems/place-not-allowed"));
    // Too young.
    let young = json!({"full_name": "Kid Example", "email": "", "phone": "", "birth_date": "2010-05-01", "home_zone": "America/New_York"});
    let added = service.operator("/v1/ops/members", json!({"members": [young]})).await;
    let code = json!({"code": added.body["members"][0]["sign_in_code"]});
    let kid = service.send("none", "POST", "/v1/sign-in", code).await.body["token"].as_str().unwrap().to_owned();
    let place = json!({"latitude": 40.7484, "longitude": -73.9857, "accuracy_metres": 30.0});
    service.send(&kid, "PUT", "/v1/me/place", place).await;
    assert_eq!(kind(&quote(&service, &kid, "yes", 50).await), (403, "/problems/under-age"));
    // Excluded, and on a break.
    let (gone, _) = service.staker(&till, 100).await;
    let before = quote(&service, &gone, "yes", 50).await.body["quote"].clone();
    service.send(&gone, "POST", "/v1/me/exclusion", json!({"term": "life"})).await;
    assert_eq!(
        kind(&service.send(&gone, "POST", "/v1/orders", json!({"quote": before})).await),
        (403, "/problems/excluded")
    );
    assert_eq!(kind(&quote(&service, &gone, "yes", 50).await), (403, "/problems/excluded"));
    let (tired, _) = service.staker(&till, 100).await;
    service.send(&tired, "POST", "/v1/me/break", json!({"term": "24_hours"})).await;
    assert_eq!(kind(&quote(&service, &tired, "yes", 50).await), (403, "/problems/on-break"));
    // The price moved, the market closed, the switch is off.
    let (calm, _) = service.staker(&till, 300).await;
    let moved = quote(&service, &calm, "yes", 50).await.body["quote"].clone();
    service.sim.set_book(RAIN, &[(Px::cents(60), Qty::whole(20))], &[(Px::cents(30), Qty::whole(12))]).unwrap();
    service.clock.advance(SignedDuration::from_secs(2));
    service.markets.sync_step().await.unwrap();
    let moved = service.send(&calm, "POST", "/v1/orders", json!({"quote": moved})).await;
    assert_eq!(kind(&moved), (409, "/problems/price-moved"));
    say(&moved);
    let closing = quote(&service, &calm, "yes", 50).await.body["quote"].clone();
    let silent = service.send(OPERATOR, "PUT", "/v1/ops/staking", json!({"on": false, "reason": " "})).await;
    assert_eq!(kind(&silent), (422, "/problems/invalid"), "who switches says why");
    service.send(OPERATOR, "PUT", "/v1/ops/staking", json!({"on": false, "reason": "a drill"})).await;
    assert_eq!(kind(&quote(&service, &calm, "yes", 50).await), (503, "/problems/staking-paused"));
    service.send(OPERATOR, "PUT", "/v1/ops/staking", json!({"on": true, "reason": "over"})).await;
    service.sim.close(RAIN).unwrap();
    service.markets.hint(&RAIN.into());
    service.markets.hint_step().await.unwrap();
    let closed = service.send(&calm, "POST", "/v1/orders", json!({"quote": closing})).await;
    assert_eq!(kind(&closed), (409, "/problems/market-closed"));
    assert_eq!(service.get(&calm, "/v1/me/balance").await.body["available_points"], 300, "nothing moved");
}

#[tokio::test]
async fn a_webhook_is_believed_by_nobody() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, member) = service.staker(&till, 300).await;
    stake(&service, &token, "yes", 100).await;
    service.trade().await;
    let lie = json!({"market_id": RAIN, "winning_outcome": "yes", "payout": "1.0000", "member_id": member});
    assert_eq!(kind(&webhook(&service, "another secret", &lie).await), (401, "/problems/bad-signature"));
    let body = lie.to_string();
    let old = sign_webhook(WEBHOOK, service.clock.now().as_second() - 301, body.as_bytes());
    let request = Request::post("/webhooks/settlement").header("content-type", "application/json");
    let stale = service.ask(request.header("hunch-webhook-signature", old).body(Body::from(body)).unwrap()).await;
    assert_eq!(kind(&stale), (401, "/problems/bad-signature"));

    let taken = webhook(&service, WEBHOOK, &lie).await;
    assert_eq!((taken.status, taken.body["state"].as_str()), (200, Some("confirming")));
    service.markets.hint_step().await.unwrap();
    service.trading.settle_step().await.unwrap();
    let open = service.get(&token, "/v1/positions").await;
    assert_eq!(open.body["positions"][0]["state"], "open", "the market itself says that nothing has ended");

    let unknown = json!({"market_id": "KXLATER-26NOV23-A", "winning_outcome": "no", "payout": "0"});
    assert_eq!(kind(&webhook(&service, WEBHOOK, &unknown).await), (404, "/problems/unknown-market"));
    let parked = || async {
        let n: i64 = sqlx::query_scalar("SELECT count(*) FROM trading.settlement_hint WHERE parked")
            .fetch_one(service.db.app())
            .await
            .unwrap();
        n
    };
    assert_eq!(parked().await, 1, "and is kept");
    assert_eq!(service.trading.parked_hints_step().await.unwrap(), 0);
    let now = service.clock.now();
    let later =
        hunch_exchange_sim::Listing::single("KXLATER-26NOV23-A", "Sports", now, now + SignedDuration::from_hours(1));
    service.sim.list(&later).unwrap();
    service.markets.sync_step().await.unwrap();
    service.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(service.trading.parked_hints_step().await.unwrap(), 1);
    assert_eq!(parked().await, 0);
    let odd = json!({"market_id": RAIN, "winning_outcome": "yes", "payout": "1.5"});
    assert_eq!(kind(&webhook(&service, WEBHOOK, &odd).await), (422, "/problems/invalid"));
}

#[tokio::test]
async fn a_correction_takes_two_people() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, _) = service.staker(&till, 300).await;
    stake(&service, &token, "yes", 100).await;
    service.trade().await;
    let wish = json!({"market": RAIN, "result": "yes", "value": "1.0000", "reason": "the gauge was broken"});
    let early = service.send(OPERATOR, "POST", "/v1/ops/corrections", wish.clone()).await;
    assert_eq!(kind(&early), (409, "/problems/correction"), "only a paid result is corrected");
    service.sim.close(RAIN).unwrap();
    service.sim.determine(RAIN, Outcome::No).unwrap();
    service.sim.finalize(RAIN).unwrap();
    service.trade().await;
    let before = service.get(&token, "/v1/me/balance").await.body["available_points"].as_i64().unwrap();
    let proposed = service.send(OPERATOR, "POST", "/v1/ops/corrections", wish).await;
    assert_eq!(proposed.status, 201, "{}", proposed.body);
    let path = format!("/v1/ops/corrections/{}/approval", proposed.body["correction"].as_str().unwrap());
    assert_eq!(kind(&service.send(OPERATOR, "POST", &path, json!({})).await), (409, "/problems/correction"));
    let waiting = service.get(OPERATOR, "/v1/ops/corrections").await;
    assert_eq!(waiting.body["corrections"][0]["reason"], "the gauge was broken", "{}", waiting.body);
    assert_eq!(service.send(APPROVER, "POST", &path, json!({})).await.status, 200);
    for (step, told) in [("retry", "not parked"), ("end", "changed positions already")] {
        let refused = service.send(OPERATOR, "POST", &path.replace("approval", step), json!({})).await;
        assert_eq!(kind(&refused), (409, "/problems/correction"));
        assert!(refused.body["detail"].as_str().unwrap().contains(told), "{}", refused.body);
    }
    service.trading.correct_step().await.unwrap();
    assert_eq!(service.get(OPERATOR, "/v1/ops/corrections").await.body, json!({"corrections": []}));
    let over = service.send(OPERATOR, "POST", &path.replace("approval", "retry"), json!({})).await;
    assert_eq!(kind(&over), (404, "/problems/not-found"));
    let after = service.get(&token, "/v1/me/balance").await.body["available_points"].as_i64().unwrap();
    assert_eq!(after, before + 256);
}

#[tokio::test]
async fn who_asks_too_fast_is_told_to_wait() {
    let service = Service::start().await;
    let (token, _) = service.member().await;
    let (other, _) = service.member().await;
    let mut statuses = Vec::new();
    for _ in 0..130 {
        statuses.push(service.get(&token, "/v1/me/balance").await.status);
    }
    assert!(statuses[..100].iter().all(|s| *s == 200));
    assert!(statuses[100..].iter().all(|s| *s == 429), "the clock stands still");
    let told = service.get(&token, "/v1/me/balance").await;
    assert_eq!(kind(&told), (429, "/problems/too-many-requests"));
    assert_eq!(told.headers["retry-after"], "1");
    assert_eq!(told.headers["content-type"], "application/problem+json");
    assert!(told.body["detail"].as_str().unwrap().contains("Wait a second"), "{}", told.body);
    service.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(service.get(&token, "/v1/me/balance").await.status, 200, "a second later it goes on");
    assert_eq!(service.get(&other, "/v1/me/balance").await.status, 200, "nobody else notices");
}

#[tokio::test]
async fn a_week_an_age_and_an_empty_book_are_refused_each_in_its_own_way() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (careful, _) = service.staker(&till, 500).await;
    let limits = service.send(&careful, "PUT", "/v1/me/limits", json!({"week_points": 120})).await;
    assert_eq!(limits.status, 200, "{}", limits.body);
    assert_eq!(stake(&service, &careful, "yes", 100).await.status, 201);
    let over = stake(&service, &careful, "yes", 50).await;
    assert_eq!(kind(&over), (403, "/problems/week-limit"));
    // The vault lost somebody: nobody can say how old he is.
    let (lost, member) = service.staker(&till, 500).await;
    sqlx::query("DELETE FROM vault.person WHERE member = $1")
        .bind(member.parse::<Uuid>().unwrap())
        .execute(&mut service.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(kind(&quote(&service, &lost, "yes", 50).await), (403, "/problems/age-unproven"));
    // Nobody sells YES.
    let (eager, _) = service.staker(&till, 500).await;
    service.sim.set_book(RAIN, &[(Px::cents(33), Qty::whole(200))], &[]).unwrap();
    service.clock.advance(SignedDuration::from_secs(2));
    service.markets.sync_step().await.unwrap();
    let none = quote(&service, &eager, "yes", 50).await;
    assert_eq!(kind(&none), (409, "/problems/no-price"));
    assert_eq!(none.headers["retry-after"], "5");
}

#[tokio::test]
async fn the_live_view_names_nobody() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, member) = service.staker(&till, 300).await;
    stake(&service, &token, "yes", 100).await;
    service.trade().await;
    let live = service.get(OPERATOR, "/v1/ops/live").await;
    assert_eq!(live.status, 200, "{}", live.body);
    assert_eq!(live.body["orders"]["filled"], 1);
    assert_eq!(live.body["newest_stakes"][0]["title"], "Will it rain in New York today?");
    assert_eq!(live.body["newest_purchases"][0]["shop"], "Rosa's Bakery");
    assert!(!live.body.to_string().contains(&member), "no token of a member");
}

/// The slip, the list and the books speak of one rate, also when there is a second one.
#[tokio::test]
async fn a_second_rate_holds_for_the_list_as_for_quotes() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, _) = service.staker(&till, 500).await;
    let list = || service.get(&token, "/v1/markets");
    assert_eq!(list().await.body["markets"][0]["yes"]["price_points"], "35");
    // From a minute on a point is worth half a cent.
    let from = service.clock.now() + SignedDuration::from_mins(1);
    sqlx::query("INSERT INTO trading.rate (rate, micros, valid_from) VALUES (2, 5000, $1::text::timestamptz)")
        .bind(from.to_string())
        .execute(&mut service.db.superuser().await)
        .await
        .unwrap();
    assert_eq!(list().await.body["markets"][0]["yes"]["price_points"], "35", "not in force yet");
    service.clock.advance(SignedDuration::from_mins(1));
    let market = list().await.body["markets"][0].clone();
    assert_eq!((&market["yes"]["price_points"], &market["yes"]["chance_percent"]), (&json!("70"), &json!("35")));
    assert_eq!((&market["no"]["price_points"], &market["pays_points"]), (&json!("134"), &json!(200)));
    let one = service.get(&token, &format!("/v1/markets/{RAIN}")).await.body;
    assert_eq!(one["yes"], market["yes"]);
    let quoted = quote(&service, &token, "yes", 100).await.body;
    assert_eq!((&quoted["price_points"], &quoted["worst_price_points"]), (&json!("70"), &json!("74")));
    // A contract pays two hundred points, and a position says so too.
    let contracts: f64 = quoted["contracts"].as_str().unwrap().parse().unwrap();
    assert_eq!(quoted["pays_points"].as_i64(), Some((contracts * 200.0).round() as i64));
    service.send(&token, "POST", "/v1/orders", json!({"quote": quoted["quote"]})).await;
    service.trade().await;
    let held = service.get(&token, "/v1/positions").await.body;
    assert_eq!(held["positions"][0]["pays_points"], quoted["pays_points"]);
}

/// What a stake costs is what was paid at the exchange: never more than the quote's worst, and a better price is passed on.
#[tokio::test]
async fn a_better_price_is_the_members_and_a_worse_one_is_never_taken() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, _) = service.staker(&till, 900).await;
    let book = |no: i64| {
        let levels = [(Px::cents(no), Qty::whole(120))];
        service.sim.set_book(RAIN, &[(Px::cents(20), Qty::whole(200))], &levels).unwrap();
    };
    // (price of YES when it is sent, what becomes of the order): 48 was shown, 50 is the worst.
    for (price, state) in [(40, "filled"), (48, "filled"), (50, "filled"), (51, "killed")] {
        book(52);
        service.clock.advance(SignedDuration::from_secs(1));
        let quoted = quote(&service, &token, "yes", 100).await.body;
        assert_eq!((&quoted["price_points"], &quoted["worst_price_points"]), (&json!("48"), &json!("50")));
        let made = service.send(&token, "POST", "/v1/orders", json!({"quote": quoted["quote"]})).await;
        book(100 - price);
        service.trade().await;
        let path = format!("/v1/orders/{}", made.body["order"].as_str().unwrap());
        let order = service.get(&token, &path).await.body;
        assert_eq!(order["state"], state, "at {price}: {order}");
        let number = |value: &Value| value.as_i64().unwrap();
        let (cost, back) = (number(&order["cost_points"]), number(&order["returned_points"]));
        assert_eq!(cost + back, number(&quoted["hold_points"]));
        match price {
            40 => assert!(cost < number(&quoted["cost_points"]), "{order}"),
            48 => assert_eq!(cost, number(&quoted["cost_points"]), "as the slip said"),
            50 => assert!(cost <= number(&quoted["hold_points"]) && cost > number(&quoted["cost_points"]), "{order}"),
            _ => assert_eq!((cost, &order["reason"]), (0, &json!("price_moved"))),
        }
    }
}

/// Paused, closed, silent: no quote and no stake, a sentence that says so, and earning goes on.
#[tokio::test]
async fn while_the_exchange_is_closed_nothing_is_staked_and_members_are_told() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, _) = service.staker(&till, 300).await;
    let held = quote(&service, &token, "yes", 50).await.body["quote"].clone();
    let closed = |answer: &Answer| (answer.status, answer.body["type"].as_str().unwrap_or("none").to_owned());
    let no = (503, "/problems/exchange-closed".to_owned());
    let later = async |seconds: i64| {
        service.clock.advance(SignedDuration::from_secs(seconds));
        service.trading.opening_step().await;
    };
    // Trading pauses, with an estimate: half past two in the afternoon in New York.
    let resumes = "2026-11-23T19:30:00Z";
    service.sim.pause_until(true, false, resumes.parse().ok());
    later(5).await;
    let refused = service.send(&token, "POST", "/v1/orders", json!({"quote": held})).await;
    assert_eq!(closed(&refused), no, "{}", refused.body);
    let asked = quote(&service, &token, "yes", 50).await;
    assert_eq!((closed(&asked), asked.headers["retry-after"].to_str().unwrap()), (no.clone(), "60"));
    let told = "The exchange is closed just now, so no stakes are taken. Your points are safe. \
                It expects to open again at 2:30 PM.";
    assert_eq!((&asked.body["detail"], &refused.body["detail"]), (&json!(told), &json!(told)));
    let list = service.get(&token, "/v1/markets").await.body;
    assert_eq!(list["stakes"], json!({"open": false, "reason": "exchange_closed", "until": resumes, "detail": told}));
    assert_eq!(list["markets"][0]["market"], RAIN, "they can still be looked at");
    let (_, earning) = service.staker(&till, 100).await;
    assert!(!earning.is_empty(), "and shops go on");

    // The exchange is shut altogether, and says nothing of when; the schedule does not know either.
    service.sim.pause_until(false, false, None);
    later(5).await;
    assert_eq!(closed(&quote(&service, &token, "yes", 50).await), no);
    let list = service.get(&token, "/v1/markets").await.body;
    assert_eq!((&list["stakes"]["reason"], &list["stakes"]["until"]), (&json!("exchange_closed"), &Value::Null));

    // It opens: stakes are taken again.
    service.sim.pause_until(true, true, None);
    later(5).await;
    assert_eq!(service.get(&token, "/v1/markets").await.body["stakes"], json!({"open": true}));
    assert_eq!(quote(&service, &token, "yes", 50).await.status, 201);

    // It says nothing any more: its last word counts for half a minute.
    let silence = Fault::once(FaultKind::Error5xx { status: 500, after_accept: false }).path("/exchange/status");
    service.sim.inject(silence.times(1_000_000));
    later(30).await;
    assert_eq!(quote(&service, &token, "yes", 50).await.status, 201);
    later(1).await;
    let silent = quote(&service, &token, "yes", 50).await;
    assert_eq!(closed(&silent), no, "{}", silent.body);
    assert!(silent.body["detail"].as_str().unwrap().contains("cannot see"), "{}", silent.body);
    assert_eq!(service.get(&token, "/v1/markets").await.body["stakes"]["reason"], "exchange_unknown");
    service.sim.clear_faults();
    later(1).await;
    assert_eq!(stake(&service, &token, "yes", 50).await.status, 201);
}

/// By its schedule the exchange rests from three to five, and says so before it does.
#[tokio::test]
async fn the_schedule_tells_until_when() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (token, _) = service.staker(&till, 300).await;
    let (from, to) = ("2026-11-23T15:00:00Z", "2026-11-23T17:00:00Z");
    service.sim.maintain(from.parse().unwrap(), to.parse().unwrap());
    assert_eq!(quote(&service, &token, "yes", 50).await.status, 201, "not begun yet");
    service.clock.set("2026-11-23T15:00:00Z".parse().unwrap());
    let place = json!({"latitude": 40.7484, "longitude": -73.9857, "accuracy_metres": 30.0});
    service.send(&token, "PUT", "/v1/me/place", place.clone()).await;
    let refused = quote(&service, &token, "yes", 50).await;
    assert_eq!(kind(&refused), (503, "/problems/exchange-closed"));
    assert!(refused.body["detail"].as_str().unwrap().ends_with("open again at 12:00 PM."), "{}", refused.body);
    service.clock.set("2026-11-23T17:00:00Z".parse().unwrap());
    service.send(&token, "PUT", "/v1/me/place", place).await;
    assert_eq!(quote(&service, &token, "yes", 50).await.status, 201);
}

/// Markets are listed as far ahead as a day and a half; today is the day of whoever looks.
#[tokio::test]
async fn the_list_of_today_is_the_members_own_day() {
    let service = Service::start().await;
    let now = service.clock.now();
    for (name, ends) in [
        ("A", "2026-11-23T18:30:00Z"),
        ("B", "2026-11-23T18:30:01Z"),
        ("C", "2026-11-24T05:00:00Z"),
        ("D", "2026-11-24T05:00:01Z"),
        ("E", "2026-11-24T11:00:01Z"),
    ] {
        let listing = Listing::single(&format!("KXDAY{name}-26NOV23-Y"), "Sports", now, ends.parse().unwrap());
        service.sim.list(&listing).unwrap();
    }
    service.markets.sync_step().await.unwrap();
    for (zone, today) in [
        ("Asia/Kolkata", "A"),
        ("America/New_York", "ABC"),
        ("Pacific/Honolulu", "ABCD"),
        ("Pacific/Auckland", "ABCD"),
        ("Pacific/Midway", "ABCD"),
    ] {
        let (token, _) = service.member_in(zone).await;
        let letters = async |query: &str| {
            let listed = service.get(&token, &format!("/v1/markets?limit=2&{query}")).await;
            let mut letters: Vec<u8> = Vec::new();
            let mut page = listed.body;
            loop {
                let names =
                    page["markets"].as_array().unwrap().iter().map(|m| m["market"].as_str().unwrap().to_owned());
                letters.extend(names.map(|name| name.as_bytes()[5]));
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                page = service.get(&token, &format!("/v1/markets?limit=2&{query}&cursor={cursor}")).await.body;
            }
            String::from_utf8(letters).unwrap()
        };
        assert_eq!(letters("").await, today, "{zone}");
        assert_eq!(letters("ends=today").await, today, "{zone}");
        assert_eq!(letters("ends=any").await, "ABCDE", "{zone}");
        assert_eq!(service.get(&token, "/v1/markets?ends=soon").await.status, 422);
    }
}

#[tokio::test]
async fn the_operator_sees_what_the_exchange_sends_and_nobody_understands() {
    let service = Service::start().await;
    service.rain().await;
    let ready = async || service.ask(Request::get("/readyz").body(Body::empty()).unwrap()).await.body;
    let left_out = async || {
        let request = Request::get("/v1/ops/exchange/left-out").header("authorization", format!("Bearer {OPERATOR}"));
        service.ask(request.body(Body::empty()).unwrap()).await.body
    };
    assert_eq!(left_out().await, json!({"markets_unread_seconds": 0, "left_out": []}));
    let (list, name, field) = ("markets".to_owned(), RAIN.to_owned(), "close_time".to_owned());
    let spoil = FaultKind::SpoilElement { list, name, field, value: json!(""), absent: false };
    service.sim.inject(Fault::once(spoil));
    service.clock.advance(SignedDuration::from_mins(4));
    service.markets.sync_step().await.unwrap();
    let told = left_out().await;
    assert_eq!(told["markets_unread_seconds"], 240);
    assert_eq!(
        (&told["left_out"][0]["name"], &told["left_out"][0]["reason"]),
        (&json!(RAIN), &json!("close_time is missing"))
    );
    let degraded = ready().await;
    assert_eq!(degraded["status"], "degraded", "{degraded}");
    service.markets.sync_step().await.unwrap();
    assert_eq!((&ready().await["status"], left_out().await["left_out"].as_array().unwrap().len()), (&json!("ok"), 0));
}
