//! What an operator sends again: the same, a conflict that names the field, or a route of its own.

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use support::{Answer, MERCHANT, OPERATOR, Service, purchase};

fn rosa() -> Value {
    json!({
        "merchant": MERCHANT, "name": "Rosa's Bakery", "category": "bakery", "zone": "America/New_York",
        "currency": "USD", "points_per_unit": 10, "per_cents": 100, "points_max": 5_000
    })
}

async fn patch(service: &Service, path: &str, body: Value) -> Answer {
    let request = Request::patch(path).header("authorization", format!("Bearer {OPERATOR}"));
    let request = request.header("content-type", "application/json");
    service.ask(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_merchant_sent_with_changes_is_a_conflict_and_is_changed_by_routes_of_its_own() {
    let service = Service::start().await;
    let till = service.till().await;
    let added = service.operator("/v1/ops/merchants", rosa()).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let changes = [
        ("points_per_unit", json!(5)),
        ("name", json!("Rosa")),
        ("category", json!("cafe")),
        ("currency", json!("EUR")),
    ];
    for (field, value) in changes {
        let mut changed = rosa();
        changed[field] = value;
        let answer = service.operator("/v1/ops/merchants", changed).await;
        assert_eq!((answer.status, &answer.body["type"]), (409, &json!("/problems/already-exists")), "{}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(field) && detail.contains("PATCH"), "{detail}");
    }
    let path = format!("/v1/ops/merchants/{MERCHANT}");
    let renamed = patch(&service, &path, json!({"name": "Rosa & Figlia"})).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (200, &json!("Rosa & Figlia")), "{}", renamed.body);
    let moved = patch(&service, &path, json!({"category": "cafe"})).await;
    assert_eq!(
        (moved.status, &moved.body["category"], &moved.body["name"]),
        (200, &json!("cafe"), &renamed.body["name"])
    );
    assert_eq!(
        patch(&service, &path, json!({"category": "cafe"})).await.body,
        moved.body,
        "sent again, it changes nothing"
    );
    for no_category in ["", "a\nb"] {
        assert_eq!(patch(&service, &path, json!({"category": no_category})).await.status, 422, "{no_category:?}");
    }
    let kept: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT field, before, after, changed_by FROM loyalty.merchant_change ORDER BY change")
            .fetch_all(service.db.app())
            .await
            .unwrap();
    let row = |field: &str, before: &str, after: &str| {
        (field.to_owned(), before.to_owned(), after.to_owned(), "operator".to_owned())
    };
    assert_eq!(kept, [row("name", "Rosa's Bakery", "Rosa & Figlia"), row("category", "bakery", "cafe")]);
    assert_eq!(patch(&service, &path, json!({"currency": "EUR"})).await.status, 400);
    assert_eq!(patch(&service, &path, json!({})).await.status, 422);
    let nowhere = "/v1/ops/merchants/00000000-0000-0000-0000-000000000000";
    assert_eq!(patch(&service, nowhere, json!({"name": "x"})).await.status, 404);

    let rules = format!("{path}/earn-rules");
    let new = json!({"points_per_unit": 5, "per_cents": 100, "points_max": 5_000});
    let begun = service.operator(&rules, new.clone()).await;
    assert_eq!((begun.status, &begun.body["valid_from"]), (201, &json!("2026-11-23T12:00:00Z")), "{}", begun.body);
    let sold = |number: &str, time: &str| {
        let mut body = purchase(number, 1_000);
        body["purchased_at"] = json!(time);
        body.to_string()
    };
    let before = service.signed(&till, "/v1/pos/purchases", &sold("1", "2026-11-23T11:59:59Z")).await;
    let after = service.signed(&till, "/v1/pos/purchases", &sold("2", "2026-11-23T12:00:00Z")).await;
    assert_eq!((&before.body["earned_points"], &after.body["earned_points"]), (&json!(100), &json!(50)));
    let mut past = new.clone();
    past["valid_from"] = json!("2026-11-01T00:00:00Z");
    let refused = service.operator(&rules, past).await;
    assert_eq!((refused.status, &refused.body["type"]), (422, &json!("/problems/invalid")), "{}", refused.body);
    let mut huge = new;
    huge["points_per_visit"] = json!(1_000_000_000_000_i64);
    assert_eq!(service.operator(&rules, huge).await.status, 422);
    let request =
        Request::get(&rules).header("authorization", format!("Bearer {OPERATOR}")).body(Body::empty()).unwrap();
    let history = service.ask(request).await.body;
    let units: Vec<&Value> = history["rules"].as_array().unwrap().iter().map(|r| &r["points_per_unit"]).collect();
    assert_eq!(units, [&json!(10), &json!(5)]);
}

#[tokio::test]
async fn one_token_is_one_person_with_what_was_entered() {
    let service = Service::start().await;
    let ada = json!({
        "member_token": "00000000-0000-0000-0000-0000000000a1", "full_name": "Ada Vale", "email": "ada@example.org",
        "phone": "", "birth_date": "1990-05-01", "home_zone": "America/New_York"
    });
    let mut ben = ada.clone();
    ben["full_name"] = json!("Ben Vale");
    let send = |members: Vec<Value>| service.operator("/v1/ops/members", json!({ "members": members }));
    let both = send(vec![ada.clone(), ben.clone()]).await;
    assert_eq!((both.status, &both.body["type"]), (422, &json!("/problems/invalid")), "{}", both.body);
    assert_eq!(send(vec![ada.clone()]).await.status, 201);
    assert_eq!(send(vec![ada.clone()]).await.status, 201, "sent again, it is the same person");
    for (field, value) in [
        ("full_name", json!("Ben Vale")),
        ("email", json!("ben@example.org")),
        ("phone", json!("+1 555 0100")),
        ("birth_date", json!("1991-05-01")),
        ("home_zone", json!("Europe/Rome")),
    ] {
        let mut changed = ada.clone();
        changed[field] = value;
        let answer = send(vec![changed]).await;
        assert_eq!((answer.status, &answer.body["type"]), (409, &json!("/problems/already-exists")), "{}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(field) && detail.contains("members[0]"), "{detail}");
        assert!(!detail.contains("Ada") && !detail.contains("1990"), "nobody learns what was entered: {detail}");
    }
}

#[tokio::test]
async fn a_till_sent_again_is_the_same_till_and_its_secret_is_shown_once() {
    let service = Service::start().await;
    service.operator("/v1/ops/merchants", rosa()).await;
    let id = "00000000-0000-0000-0000-0000000000f1";
    let front = json!({"terminal": id, "merchant": MERCHANT, "name": "front"});
    let send = |body: Value| service.operator("/v1/ops/terminals", body);
    let open = |secret: Value| {
        let body = json!({"terminal": id, "secret": secret}).to_string();
        let request = Request::post("/v1/pos/sessions").header("content-type", "application/json");
        service.ask(request.body(Body::from(body)).unwrap())
    };
    let (a, b, c) = tokio::join!(send(front.clone()), send(front.clone()), send(front.clone()));
    let answers = [a, b, c];
    let secrets: Vec<&Value> = answers.iter().filter_map(|answer| answer.body.get("secret")).collect();
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body["terminal"] == id));
    assert_eq!(secrets.len(), 1, "of three at once one adds the till");
    assert_eq!(open(secrets[0].clone()).await.status, 201);
    let again = send(front.clone()).await;
    assert_eq!((again.status, &again.body), (201, &json!({"terminal": id})));
    assert_eq!(open(secrets[0].clone()).await.status, 201, "the first secret goes on working");
    let tills: i64 =
        sqlx::query_scalar("SELECT count(*) FROM loyalty.terminal").fetch_one(service.db.app()).await.unwrap();
    assert_eq!(tills, 1);

    let mut other = rosa();
    other["merchant"] = json!("00000000-0000-0000-0000-00000000000a");
    service.operator("/v1/ops/merchants", other.clone()).await;
    for (field, value) in [("name", json!("back")), ("merchant", other["merchant"].clone())] {
        let mut changed = front.clone();
        changed[field] = value;
        let refused = send(changed).await;
        assert_eq!(
            (refused.status, &refused.body["type"]),
            (409, &json!("/problems/already-exists")),
            "{}",
            refused.body
        );
        assert!(refused.body["detail"].as_str().unwrap().contains(field), "{}", refused.body);
    }
    // Without an id each is another till, as before.
    let nameless = json!({"merchant": MERCHANT, "name": "front"});
    let (one, two) = (send(nameless.clone()).await, send(nameless).await);
    assert_ne!(one.body["terminal"], two.body["terminal"]);
    assert!(one.body["secret"].is_string() && two.body["secret"].is_string());
}
