//! From a purchase to the inbox, the notice and the reason, and what members do to protect themselves.

mod support;

use axum::body::Body;
use axum::http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{Answer, Service, purchase};

async fn call(service: &Service, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/json");
    service.ask(request.body(body.map_or(Body::empty(), |b| Body::from(b.to_string()))).unwrap()).await
}

#[tokio::test]
async fn a_purchase_is_in_the_inbox_and_says_what_became_of_its_push() {
    let service = Service::start().await;
    let till = service.till().await;
    let (token, member) = service.member().await;
    let mut body = purchase("1", 500);
    body["member_token"] = json!(member);
    let bought = service.signed(&till, "/v1/pos/purchases", &body.to_string()).await;
    let id = bought.body["purchase"].as_str().unwrap().to_owned();
    let why = format!("/v1/ops/purchases/{id}/push");
    assert_eq!(call(&service, support::OPERATOR, "GET", &why, None).await.body["code"], "not_decided");
    service.engage().await;
    let code = call(&service, support::OPERATOR, "GET", &why, None).await.body["code"].as_str().unwrap().to_owned();
    assert_eq!(code, "no_subscription", "every purchase that earns is to be pushed");
    let inbox = call(&service, &token, "GET", "/v1/me/inbox", None).await;
    let notice = &inbox.body["notices"][0];
    assert!(notice["text"].as_str().unwrap().starts_with("You earned 50 points at Rosa's Bakery"), "{}", inbox.body);
    assert!(inbox.body.get("next_cursor").is_none());
    let path = format!("/v1/notices/{}", notice["notice"].as_str().unwrap());
    let opened = call(&service, &token, "GET", &path, None).await;
    assert_eq!((opened.status, opened.body["text"].clone()), (200, notice["text"].clone()));
    assert!(opened.body.get("market").is_none(), "there is no market to prompt about");
    let (other, _) = service.member().await;
    let foreign = call(&service, &other, "GET", &path, None).await;
    assert_eq!((foreign.status, foreign.body["type"].as_str()), (404, Some("/problems/unknown-notice")));
}

/// What Chromium and Firefox give for `JSON.stringify(subscription)`, with keys of RFC 8291's own example.
const OF_A_BROWSER: &str = r#"{"endpoint":"https://updates.push.services.mozilla.com/wpush/v2/gAAAAABnExample","expirationTime":null,"keys":{"auth":"BTBZMqHH6r4Tts7J_aSIgg","p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"}}"#;

async fn subscribed(service: &Service, token: &str, body: &str) -> Answer {
    let request = Request::post("/v1/me/push-subscriptions").header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/json").body(Body::from(body.to_owned()));
    service.ask(request.unwrap()).await
}

#[tokio::test]
async fn a_browsers_own_json_is_a_subscription() {
    let service = Service::start().await;
    let (token, _) = service.member().await;
    let first = subscribed(&service, &token, OF_A_BROWSER).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let again = subscribed(&service, &token, OF_A_BROWSER).await;
    assert_eq!((again.status, &again.body), (201, &first.body), "the same phone");
    // Chromium gives a time where there is one; the page adds the phone's own id.
    let browser: Value = serde_json::from_str(OF_A_BROWSER).unwrap();
    let mut named = browser.clone();
    named["expirationTime"] = json!(1_795_000_000_000_i64);
    named["device"] = json!("00000000-0000-0000-0000-000000000007");
    let named = subscribed(&service, &token, &named.to_string()).await;
    assert_eq!(named.status, 201, "{}", named.body);
    assert_ne!(named.body, first.body, "a phone with a name of its own takes the address over");
    let (key, auth) = (&browser["keys"]["p256dh"], &browser["keys"]["auth"]);
    let flat = json!({"device": "00000000-0000-0000-0000-000000000007", "endpoint": browser["endpoint"], "p256dh": key, "auth": auth});
    assert_eq!(subscribed(&service, &token, &flat.to_string()).await.body, named.body, "as before");
    let kept: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT endpoint, auth FROM messaging.subscription").fetch_all(service.db.app()).await.unwrap();
    assert_eq!((kept.len(), kept[0].0.as_str()), (1, browser["endpoint"].as_str().unwrap()));
    assert_eq!(kept[0].1.len(), 16);
    let mut keyless = browser;
    keyless["keys"] = Value::Null;
    let refused = subscribed(&service, &token, &keyless.to_string()).await;
    assert_eq!((refused.status, refused.body["type"].as_str()), (422, Some("/problems/push-subscription")));
    assert_eq!(refused.body["detail"], "The fields keys.p256dh and keys.auth are missing.");
}

#[tokio::test]
async fn a_subscription_that_nothing_could_be_sent_to_is_refused() {
    let service = Service::start().await;
    let (token, _) = service.member().await;
    let device = "00000000-0000-0000-0000-000000000007";
    for (endpoint, p256dh) in
        [("ftp://x", "AAAA"), ("https://push.example/1", "AAAA"), ("https://push.example/1", "%%%")]
    {
        let body = json!({"device": device, "endpoint": endpoint, "p256dh": p256dh, "auth": "AAAAAAAAAAAAAAAAAAAAAA"});
        let answer = call(&service, &token, "POST", "/v1/me/push-subscriptions", Some(body)).await;
        assert_eq!(
            (answer.status, answer.body["type"].as_str()),
            (422, Some("/problems/push-subscription")),
            "{}",
            answer.body
        );
    }
    let path = format!("/v1/me/push-subscriptions/{device}");
    assert_eq!(call(&service, &token, "DELETE", &path, None).await.status, 404);
    let key = service.ask(Request::get("/v1/push-key").body(Body::empty()).unwrap()).await;
    assert_eq!(key.body["application_server_key"], "key");
}

#[tokio::test]
async fn members_protect_themselves_and_nobody_can_undo_it() {
    let service = Service::start().await;
    let (token, _) = service.member().await;
    let place = json!({"latitude": 40.7484, "longitude": -73.9857, "accuracy_metres": 25.0});
    assert_eq!(call(&service, &token, "PUT", "/v1/me/place", Some(place)).await.body["jurisdiction"], "US-NY");
    let sea = json!({"latitude": -45.0, "longitude": -130.0, "accuracy_metres": 25.0});
    assert_eq!(call(&service, &token, "PUT", "/v1/me/place", Some(sea)).await.body["type"], "/problems/place-unknown");

    let lower = call(&service, &token, "PUT", "/v1/me/limits", Some(json!({"day_points": 100}))).await;
    assert_eq!(lower.status, 200, "{}", lower.body);
    assert!(lower.body.get("raise_after").is_none());
    let confirm = call(&service, &token, "POST", "/v1/me/limits/confirm", None).await;
    assert_eq!((confirm.status, confirm.body["type"].as_str()), (409, Some("/problems/no-raise")));
    let raise = call(&service, &token, "PUT", "/v1/me/limits", Some(json!({"day_points": 200}))).await;
    assert_eq!(raise.body["raise_after"], "2026-11-26T12:00:00Z", "72 hours since it was set: {}", raise.body);
    assert_eq!((&raise.body["day_points"], &raise.body["raise"]["day_points"]), (&json!(100), &json!(200)));
    let says = raise.body["says"].as_str().unwrap();
    assert!(says.starts_with("You can stake up to 100 points a day and 3,000 points a week."), "{says}");
    assert!(says.contains("That does not count yet: confirm it from Thursday 26 November 2026, 07:00 on."), "{says}");
    let shown = call(&service, &token, "GET", "/v1/me/limits", None).await;
    assert_eq!((&shown.body["raise"], &shown.body["says"]), (&raise.body["raise"], &raise.body["says"]));
    assert_eq!((&shown.body["house_day_points"], &shown.body["house_week_points"]), (&json!(1_000), &json!(3_000)));
    let early = call(&service, &token, "POST", "/v1/me/limits/confirm", None).await;
    assert_eq!(early.body["type"], "/problems/raise-too-early");
    assert!(early.body["detail"].as_str().unwrap().contains("Thursday 26 November 2026, 07:00"), "{}", early.body);
    for (wish, sentence) in [
        (
            json!({"day_points": 999_999_999}),
            "The most that can be staked here is 1000 points a day and 3000 points a week. Choose no more than that.",
        ),
        (
            json!({"day_points": 50, "week_points": 20}),
            "50 points a day do not fit into 20 points a week. Choose a limit for the day that is no higher than the week's.",
        ),
    ] {
        let refused = call(&service, &token, "PUT", "/v1/me/limits", Some(wish)).await;
        assert_eq!((refused.status, &refused.body["type"]), (422, &json!("/problems/limits")));
        assert_eq!(refused.body["detail"], sentence);
    }
    let negative = call(&service, &token, "PUT", "/v1/me/limits", Some(json!({"day_points": -1}))).await;
    assert_eq!((negative.status, &negative.body["type"]), (422, &json!("/problems/invalid")));
    assert!(negative.body["detail"].as_str().unwrap().contains("day_points"), "{}", negative.body);
    let kept = call(&service, &token, "GET", "/v1/me/limits", None).await;
    assert_eq!(kept.body, shown.body, "what is refused changes nothing");
    let none = call(&service, &token, "PUT", "/v1/me/limits", Some(json!({"day_points": 0}))).await;
    assert_eq!(none.body["says"].as_str().unwrap(), "Your limit is 0 points a day, so you cannot stake.");
    assert_eq!(call(&service, &token, "PUT", "/v1/me/prompts", Some(json!({"prompts_on": false}))).await.status, 200);
    assert_eq!(call(&service, &token, "PUT", "/v1/me/offers", Some(json!({"offers_on": false}))).await.status, 200);
    let limits = call(&service, &token, "GET", "/v1/me/limits", None).await;
    assert_eq!((&limits.body["prompts_on"], &limits.body["offers_on"]), (&json!(false), &json!(false)));
    let pause = call(&service, &token, "POST", "/v1/me/break", Some(json!({"term": "24_hours"}))).await;
    assert_eq!(
        (&pause.body["protection"]["kind"], &pause.body["protection"]["state"]),
        (&json!("break"), &json!("running"))
    );
    assert!(pause.body["protected_until"].is_string(), "{}", pause.body);
    let life = call(&service, &token, "POST", "/v1/me/exclusion", Some(json!({"term": "life"}))).await;
    assert_eq!(life.body["protected_until"], "life");
    let shorter = call(&service, &token, "POST", "/v1/me/exclusion", Some(json!({"term": "six_months"}))).await;
    assert_eq!(shorter.body["protected_until"], "life");
    for (method, path) in [("PUT", "/v1/me/limits"), ("POST", "/v1/me/limits/confirm")] {
        let body = (method == "PUT").then(|| json!({}));
        let limits = call(&service, &token, method, path, body).await;
        assert_eq!((limits.status, &limits.body["type"]), (409, &json!("/problems/protected")), "{path}");
    }
    let nonsense = call(&service, &token, "POST", "/v1/me/break", Some(json!({"term": "forever"}))).await;
    assert_eq!(nonsense.body["type"], "/problems/bad-json");
}

#[tokio::test]
async fn who_is_excluded_returns_only_by_asking_and_a_day_later() {
    let service = Service::start().await;
    let (token, member) = service.member().await;
    let ask = || call(&service, &token, "POST", "/v1/me/exclusion/return", None);
    let none = ask().await;
    assert_eq!((none.status, none.body["type"].as_str()), (409, Some("/problems/not-excluded")));
    call(&service, &token, "POST", "/v1/me/exclusion", Some(json!({"term": "six_months"}))).await;
    let early = ask().await;
    assert_eq!((early.status, early.body["type"].as_str()), (409, Some("/problems/exclusion-runs")));
    let detail = early.body["detail"].as_str().unwrap();
    assert_eq!(detail, "Your exclusion lasts until Sunday 23 May 2027, 08:00. You can ask to return after that.");
    service.clock.advance(SignedDuration::from_hours(24 * 300));
    let token = service.sign_in_again(&member).await;
    let over = call(&service, &token, "GET", "/v1/me/limits", None).await;
    assert_eq!(over.body["protected_until"], "until_you_return", "the term is over, the exclusion is not");
    assert_eq!(over.body["protection"], json!({"kind": "exclusion", "state": "term_over"}));
    let wish = json!({"market": "KXRAIN-26NOV23-NYC", "side": "yes", "stake_points": 50});
    service.rain().await;
    let quote = call(&service, &token, "POST", "/v1/quotes", Some(wish)).await;
    assert_eq!(quote.body["type"], "/problems/excluded");
    assert!(quote.body["detail"].as_str().unwrap().contains("until you ask to return"), "{}", quote.body);
    let asked = call(&service, &token, "POST", "/v1/me/exclusion/return", None).await;
    assert_eq!(asked.body["protection"]["state"], "returning");
    service.clock.advance(SignedDuration::from_hours(24));
    let free = call(&service, &token, "GET", "/v1/me/limits", None).await;
    assert!(free.body.get("protection").is_none() && free.body.get("protected_until").is_none(), "{}", free.body);
}

/// A browser's keys, real enough to be sealed for.
fn browser(endpoint: &str, device: u128) -> Value {
    let pair = p256_point();
    json!({"device": uuid::Uuid::from_u128(device), "endpoint": endpoint, "p256dh": pair, "auth": "AAAAAAAAAAAAAAAAAAAAAA"})
}

/// The generator of P-256: a point on the curve.
fn p256_point() -> String {
    use base64::Engine;
    let x = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    let y = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let bytes = hex::decode(format!("04{x}{y}")).unwrap();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn signing_out_ends_this_phones_subscription_and_no_other() {
    let service = Service::start().await;
    let (first, member) = service.member().await;
    let second = service.sign_in_again(&member).await;
    let subscribe = |token: String, n: u128| {
        let body = browser(&format!("http://127.0.0.1:9/{n}"), n);
        let service = &service;
        async move { call(service, &token, "POST", "/v1/me/push-subscriptions", Some(body)).await }
    };
    for (token, n) in [(&first, 1), (&second, 2)] {
        let made = subscribe(token.clone(), n).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let devices = || async {
        let found: Vec<uuid::Uuid> =
            sqlx::query_scalar("SELECT device FROM messaging.subscription WHERE member = $1 ORDER BY device")
                .bind(member.parse::<uuid::Uuid>().unwrap())
                .fetch_all(service.db.app())
                .await
                .unwrap();
        found.iter().map(|d| d.as_u128()).collect::<Vec<u128>>()
    };
    assert_eq!(devices().await, [1, 2]);
    assert_eq!(call(&service, &first, "POST", "/v1/sign-out", None).await.status, 204);
    assert_eq!(devices().await, [2], "the phone that signed out is pushed to no more");
    assert_eq!(subscribe(first.clone(), 1).await.status, 401);

    // The same phone signs in again; its subscription belongs to the new session then, and ends with that one.
    let third = service.sign_in_again(&member).await;
    subscribe(third.clone(), 2).await;
    assert_eq!(call(&service, &second, "POST", "/v1/sign-out", None).await.status, 204);
    assert_eq!(devices().await, [2], "it is the third session's now");
    assert_eq!(call(&service, &third, "POST", "/v1/sign-out", None).await.status, 204);
    assert_eq!(devices().await, [0u128; 0]);
}
