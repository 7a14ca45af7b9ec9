//! From a purchase to the inbox, the notice and the reason, and what members do to protect themselves.

mod support;

use axum::body::Body;
use axum::http::Request;
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
    assert!(["no_subscription", "nothing_better"].contains(&code.as_str()), "{code}");
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
    assert!(raise.body["raise_after"].is_string(), "{}", raise.body);
    let early = call(&service, &token, "POST", "/v1/me/limits/confirm", None).await;
    assert_eq!(early.body["type"], "/problems/raise-too-early");
    assert_eq!(call(&service, &token, "PUT", "/v1/me/limits", Some(json!({"day_points": -1}))).await.status, 422);
    assert_eq!(call(&service, &token, "PUT", "/v1/me/prompts", Some(json!({"prompts_on": false}))).await.status, 200);
    let pause = call(&service, &token, "POST", "/v1/me/break", Some(json!({"term": "24_hours"}))).await;
    assert!(pause.body["protected_until"].is_string(), "{}", pause.body);
    let life = call(&service, &token, "POST", "/v1/me/exclusion", Some(json!({"term": "life"}))).await;
    assert_eq!(life.body["protected_until"], "life");
    let shorter = call(&service, &token, "POST", "/v1/me/exclusion", Some(json!({"term": "six_months"}))).await;
    assert_eq!(shorter.body["protected_until"], "life");
    let limits = call(&service, &token, "PUT", "/v1/me/limits", Some(json!({}))).await;
    assert_eq!(limits.body["type"], "/problems/protected");
    let nonsense = call(&service, &token, "POST", "/v1/me/break", Some(json!({"term": "forever"}))).await;
    assert_eq!(nonsense.body["type"], "/problems/bad-json");
}
