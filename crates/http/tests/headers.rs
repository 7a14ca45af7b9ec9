//! What every answer says of itself, so that nothing on its way keeps it or takes it for something else.

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use serde_json::{Value, json};
use support::{OPERATOR, Service};
use tower::ServiceExt;

async fn head(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn no_answer_of_the_api_is_kept_on_its_way_or_taken_for_something_else() {
    let service = Service::start().await;
    let document: Value = serde_json::from_str(&hunch_http::openapi_json()).unwrap();
    let (member, _) = service.member().await;
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().map(|m| m.to_uppercase()) {
            for token in ["nobody", member.as_str(), OPERATOR] {
                let request = Request::builder().method(method.as_str()).uri(path.replace(['{', '}'], "x"));
                let request = request.header("authorization", format!("Bearer {token}"));
                let answer = head(&service.router, request.body(Body::empty()).unwrap()).await;
                let headers = answer.headers();
                assert_eq!(headers["x-content-type-options"], "nosniff", "{method} {path}");
                assert_eq!(headers["cache-control"], "no-store", "{method} {path}: {}", answer.status());
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "{seen}");
    for (router, path) in [(&service.router, "/nowhere"), (&service.operators, "/metrics"), (&service.operators, "/x")]
    {
        let answer = head(router, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(
            (&answer.headers()["x-content-type-options"], &answer.headers()["cache-control"]),
            (&"nosniff".parse().unwrap(), &"no-store".parse().unwrap())
        );
    }
}

/// Answers that carry tokens and keys, which are those that succeed.
#[tokio::test]
async fn tokens_and_keys_are_kept_nowhere() {
    let service = Service::start().await;
    let shop = json!({
        "merchant": support::MERCHANT, "name": "Rosa's Bakery", "category": "bakery", "zone": "America/New_York",
        "currency": "USD", "points_per_unit": 10, "per_cents": 100, "points_max": 5000
    });
    assert_eq!(service.operator("/v1/ops/merchants", shop).await.status, 201);
    let till = service.operator("/v1/ops/terminals", json!({"merchant": support::MERCHANT, "name": "front"})).await;
    let person = json!({"full_name": "Ann Example", "email": "", "phone": "", "birth_date": "1990-05-01", "home_zone": "America/New_York"});
    let joined = service.operator("/v1/ops/members", json!({"members": [person]})).await;
    let post = |path: &str, body: Value| {
        let request = Request::post(path).header("content-type", "application/json");
        service.ask(request.body(Body::from(body.to_string())).unwrap())
    };
    let opened =
        post("/v1/pos/sessions", json!({"terminal": till.body["terminal"], "secret": till.body["secret"]})).await;
    let signed_in = post("/v1/sign-in", json!({"code": joined.body["members"][0]["sign_in_code"]})).await;
    for (answer, secret) in [(till, "secret"), (joined, "members"), (opened, "key"), (signed_in, "token")] {
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert!(!answer.body[secret].is_null(), "{}", answer.body);
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

/// Said where somebody speaks TLS in front, and nowhere else: over plain HTTP it has no meaning.
#[tokio::test]
async fn where_tls_is_spoken_browsers_are_told_to_come_that_way_only() {
    let service = Service::start().await;
    let secured = hunch_http::services(&service.app, true);
    for (router, strict) in [(&secured.public, true), (&secured.operators, true), (&service.router, false)] {
        for path in ["/healthz", "/live", "/assets/style.css", "/nowhere", "/v1/ops/live"] {
            let answer = head(router, Request::get(path).body(Body::empty()).unwrap()).await;
            let told = answer.headers().get("strict-transport-security").map(|v| v.to_str().unwrap().to_owned());
            assert_eq!(told, strict.then(|| "max-age=31536000".to_owned()), "{path}");
        }
    }
}

#[tokio::test]
async fn files_are_sent_once_and_packed() {
    let service = Service::start().await;
    for path in ["/app", "/sw.js", "/assets/app.js", "/assets/style.css", "/assets/icon.svg"] {
        let ask = |name: &str, value: &str| {
            let request = Request::get(path).header(name, value).body(Body::empty()).unwrap();
            head(&service.router, request)
        };
        let plain = ask("accept", "*/*").await;
        let tag = plain.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!((plain.status().as_u16(), plain.headers().get("content-encoding")), (200, None));
        assert_eq!(plain.headers()["x-content-type-options"], "nosniff");
        for known in [tag.clone(), format!("\"another\", {tag}"), "*".to_owned(), tag.replace("W/", "")] {
            let again = ask("if-none-match", &known).await;
            assert_eq!((again.status().as_u16(), again.headers()["etag"].to_str().unwrap()), (304, tag.as_str()));
            assert!(axum::body::to_bytes(again.into_body(), 1_000_000).await.unwrap().is_empty());
        }
        assert_eq!(ask("if-none-match", "W/\"another\"").await.status(), 200);
        let packed = ask("accept-encoding", "gzip").await;
        let whole = axum::body::to_bytes(plain.into_body(), 1_000_000).await.unwrap().len();
        if path != "/assets/icon.svg" {
            assert_eq!(packed.headers()["content-encoding"], "gzip", "{path}");
            assert_eq!(
                (packed.headers()["etag"].to_str().unwrap(), &packed.headers()["vary"]),
                (tag.as_str(), &"accept-encoding".parse().unwrap())
            );
            assert!(axum::body::to_bytes(packed.into_body(), 1_000_000).await.unwrap().len() < whole, "{path}");
        }
    }
    // Nothing with secrets is packed.
    let (member, _) = service.member().await;
    let request =
        Request::get("/v1/me").header("authorization", format!("Bearer {member}")).header("accept-encoding", "gzip");
    let answer = head(&service.router, request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status().as_u16(), answer.headers().get("content-encoding")), (200, None));
}
