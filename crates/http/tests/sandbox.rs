//! What only a sandbox may do, and where its visitors are.

mod support;

use serde_json::{Value, json};
use support::{Answer, RAIN, Service};

async fn quote(service: &Service, token: &str) -> Answer {
    service.send(token, "POST", "/v1/quotes", json!({"market": RAIN, "side": "yes", "stake_points": 50})).await
}

async fn take_in(service: &Service, name: &str, reusable: bool) -> Answer {
    let person = json!({"full_name": name, "email": "", "phone": "", "birth_date": "1990-05-01", "home_zone": "America/New_York"});
    service.operator("/v1/ops/members", json!({"members": [person], "reusable_codes": reusable})).await
}

async fn sign_in(service: &Service, added: &Answer) -> Answer {
    let code = added.body["members"][0]["sign_in_code"].clone();
    service.send("nobody", "POST", "/v1/sign-in", json!({"code": code})).await
}

#[tokio::test]
async fn reusable_codes_are_refused_where_real_people_are_members() {
    let service = Service::start().await;
    let refused = take_in(&service, "Ada Example", true).await;
    assert_eq!((refused.status, &refused.body["type"]), (403, &json!("/problems/sandbox-only")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("not made as one"), "{}", refused.body);
    // Even one that lies in the database is a code for one time there.
    let added = take_in(&service, "Ada Example", false).await;
    assert_eq!(added.status, 201, "{}", added.body);
    sqlx::query("UPDATE people.sign_in_code SET reusable = true").execute(service.db.owner()).await.unwrap();
    assert_eq!(sign_in(&service, &added).await.status, 201);
    assert_eq!(sign_in(&service, &added).await.status, 401);
    let mark = sqlx::query("UPDATE people.programme SET sandbox = true").execute(service.db.app()).await.unwrap_err();
    let code = mark.as_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
    assert_eq!(code.as_deref(), Some("42501"), "the application cannot make itself a sandbox");
}

#[tokio::test]
async fn visitors_of_a_sandbox_are_in_its_town_and_nobody_else_is() {
    let service = Service::sandbox().await;
    service.rain().await;
    let visitor = sign_in(&service, &take_in(&service, "Ada Example", true).await).await;
    let token = visitor.body["token"].as_str().unwrap();
    assert_eq!(service.get(token, "/v1/me").await.body["place_note"], "Demo: you are in town");
    assert_eq!(quote(&service, token).await.status, 201, "no phone had to say where it is");
    service.clock.advance(jiff::SignedDuration::from_hours(1));
    service.markets.sync_step().await.unwrap();
    assert_eq!(quote(&service, token).await.status, 201, "and it stays so");
    // A phone that says where it is, is there, and not in town by its code.
    let montreal = json!({"latitude": 45.5019, "longitude": -73.5674, "accuracy_metres": 30.0});
    service.send(token, "PUT", "/v1/me/place", montreal).await;
    assert_eq!(quote(&service, token).await.body["type"], "/problems/place-not-allowed");
    assert!(service.get(token, "/v1/me").await.body.get("place_note").is_none());

    let other = sign_in(&service, &take_in(&service, "Bo Example", false).await).await;
    let token = other.body["token"].as_str().unwrap();
    assert_eq!(service.get(token, "/v1/me").await.body.get("place_note"), None::<&Value>);
    assert_eq!(quote(&service, token).await.body["type"], "/problems/stake-place-unknown");
}
