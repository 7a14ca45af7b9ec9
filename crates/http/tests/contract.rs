//! The document, the table of problems, and who may call what.

mod support;

use axum::body::Body;
use axum::http::Request;
use hunch_http::PROBLEMS;
use serde_json::Value;
use support::{OPERATOR, Service};

/// `docs/openapi.json` is the document of this very code. To renew it: `hunch openapi > docs/openapi.json`, or this test with
/// `HUNCH_RENEW=1`.
#[test]
fn the_committed_document_is_the_codes_own() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    if std::env::var_os("HUNCH_RENEW").is_some() {
        std::fs::write(path, hunch_http::openapi_json()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(committed == hunch_http::openapi_json(), "docs/openapi.json is not what the code says; renew it");
}

/// Generators name a client's functions by them.
#[test]
fn every_operation_has_a_name_of_its_own() {
    let document: Value = serde_json::from_str(&hunch_http::openapi_json()).unwrap();
    let mut names = std::collections::HashSet::new();
    for operation in document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values())
    {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} twice: give one of them an operation_id");
    }
}

/// Without a description generators of clients and validators refuse the document.
#[test]
fn every_response_is_described() {
    let document: Value = serde_json::from_str(&hunch_http::openapi_json()).unwrap();
    let operations = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
    for (method, operation) in operations {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let told = response["description"].as_str().unwrap_or_default();
            assert!(!told.is_empty(), "{method} {}: {status}", operation["operationId"]);
        }
    }
}

/// What a body may hold is said to the end: a field that nobody knows is refused, and a format is heeded by every reader.
#[test]
fn every_body_says_all_that_it_takes() {
    let document: Value = serde_json::from_str(&hunch_http::openapi_json()).unwrap();
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let bodies = operations.filter_map(|o| o["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str());
    let bodies: Vec<&str> = bodies.collect();
    assert!(bodies.len() > 20, "{bodies:?}");
    for body in bodies {
        let schema = document.pointer(body.trim_start_matches('#')).unwrap();
        // A browser says what it likes of its subscription.
        let open = body.ends_with("/Subscribe");
        assert_eq!(schema.get("additionalProperties"), (!open).then_some(&Value::Bool(false)), "{body}");
        for (name, field) in schema["properties"].as_object().unwrap() {
            assert!(
                field["type"].is_string() || field.get("format").is_none(),
                "{body}: {name} has a format and two types"
            );
        }
    }
}

#[test]
fn the_table_of_problems_has_no_doubles_and_is_documented() {
    let page = include_str!("../../../docs/problems.md");
    let mut seen = std::collections::HashSet::new();
    for (_, kind, title, status, retry) in PROBLEMS {
        assert!(seen.insert(*kind), "{kind} twice");
        let retry = retry.map_or("-".to_owned(), |s| s.to_string());
        let line = format!("| `{kind}` | {status} | {title} | {retry} |");
        assert!(page.contains(&line), "docs/problems.md lacks: {line}");
    }
}

/// Every route of the document, with the one kind of credentials it takes. A route that is missing here is red.
const PERMISSIONS: &[(&str, &str, &str)] = &[
    ("get", "/healthz", "anyone"),
    ("get", "/readyz", "anyone"),
    ("post", "/v1/pos/sessions", "anyone"),
    ("post", "/v1/pos/purchases", "terminal"),
    ("post", "/v1/pos/purchases/batch", "terminal"),
    ("post", "/v1/pos/returns", "terminal"),
    ("post", "/v1/sign-in", "anyone"),
    ("post", "/v1/sign-out", "member"),
    ("post", "/v1/sign-out/everywhere", "member"),
    ("get", "/v1/me", "member"),
    ("get", "/v1/me/balance", "member"),
    ("get", "/v1/me/statement", "member"),
    ("get", "/v1/me/code", "member"),
    ("get", "/v1/me/stream", "member"),
    ("get", "/v1/push-key", "anyone"),
    ("post", "/v1/me/push-subscriptions", "member"),
    ("delete", "/v1/me/push-subscriptions/{id}", "member"),
    ("get", "/v1/me/inbox", "member"),
    ("get", "/v1/notices/{id}", "member"),
    ("get", "/v1/ops/purchases/{id}/push", "operator"),
    ("put", "/v1/me/place", "member"),
    ("put", "/v1/me/limits", "member"),
    ("post", "/v1/me/limits/confirm", "member"),
    ("post", "/v1/me/exclusion", "member"),
    ("post", "/v1/me/exclusion/return", "member"),
    ("post", "/v1/me/break", "member"),
    ("put", "/v1/me/prompts", "member"),
    ("put", "/v1/me/offers", "member"),
    ("get", "/v1/me/limits", "member"),
    ("get", "/v1/me/recommendation", "member"),
    ("get", "/v1/markets", "member"),
    ("get", "/v1/markets/{market}", "member"),
    ("post", "/v1/quotes", "member"),
    ("post", "/v1/orders", "member"),
    ("get", "/v1/orders/{id}", "member"),
    ("get", "/v1/me/orders", "member"),
    ("get", "/v1/positions", "member"),
    ("post", "/webhooks/settlement", "webhook"),
    ("get", "/v1/ops/live", "operator"),
    ("post", "/v1/ops/tickets", "operator"),
    ("get", "/v1/ops/exchange/left-out", "operator"),
    ("put", "/v1/ops/staking", "operator"),
    ("get", "/v1/ops/orders/unclear", "operator"),
    ("post", "/v1/ops/orders/{id}/end", "operator"),
    ("post", "/v1/ops/fundings", "operator"),
    ("post", "/v1/ops/members/{member}/recovery", "operator"),
    ("get", "/v1/ops/proposals", "operator"),
    ("post", "/v1/ops/proposals/{id}/approval", "operator"),
    ("post", "/v1/ops/proposals/{id}/end", "operator"),
    ("get", "/v1/ops/acts", "operator"),
    ("put", "/v1/ops/terminals/{terminal}/open", "operator"),
    ("put", "/v1/ops/merchants/{merchant}/open", "operator"),
    ("post", "/v1/ops/corrections", "operator"),
    ("get", "/v1/ops/corrections", "operator"),
    ("post", "/v1/ops/corrections/{id}/approval", "operator"),
    ("post", "/v1/ops/corrections/{id}/end", "operator"),
    ("post", "/v1/ops/corrections/{id}/retry", "operator"),
    ("get", "/v1/me/pending", "member"),
    ("get", "/v1/ops/reviews", "operator"),
    ("post", "/v1/ops/reviews/{purchase}/decision", "operator"),
    ("put", "/v1/ops/terminals/{terminal}/watch", "operator"),
    ("get", "/v1/ops/likenesses", "operator"),
    ("post", "/v1/ops/likenesses/{member}/decision", "operator"),
    ("post", "/v1/ops/offers", "operator"),
    ("post", "/v1/ops/offers/{offer}/end", "operator"),
    ("post", "/v1/ops/members", "operator"),
    ("patch", "/v1/ops/members/{member}", "operator"),
    ("post", "/v1/ops/merchants", "operator"),
    ("patch", "/v1/ops/merchants/{merchant}", "operator"),
    ("post", "/v1/ops/merchants/{merchant}/earn-rules", "operator"),
    ("get", "/v1/ops/merchants/{merchant}/earn-rules", "operator"),
    ("post", "/v1/ops/terminals", "operator"),
];

#[tokio::test]
async fn each_route_takes_its_own_credentials_only() {
    let document: Value = serde_json::from_str(&hunch_http::openapi_json()).unwrap();
    let mut routes: Vec<(String, String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scheme = operation["security"][0].as_object().and_then(|s| s.keys().next().cloned());
            routes.push((method.clone(), path.clone(), scheme.unwrap_or_else(|| "anyone".to_owned())));
        }
    }
    routes.sort();
    let mut expected: Vec<(String, String, String)> =
        PERMISSIONS.iter().map(|(m, p, c)| (m.to_string(), p.to_string(), c.to_string())).collect();
    expected.sort();
    assert_eq!(routes, expected);

    let service = Service::start().await;
    let till = service.till().await;
    let (member, _) = service.member().await;
    for (method, path, credentials) in PERMISSIONS.iter().filter(|(_, _, c)| *c != "anyone") {
        let plain = || {
            Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(*path)
                .header("content-type", "application/json")
        };
        let mut wrong = vec![
            plain().body(Body::from("{}")).unwrap(),
            plain().header("authorization", "Bearer nonsense").body(Body::from("{}")).unwrap(),
            plain().header("authorization", "Basic eDp5").body(Body::from("{}")).unwrap(),
        ];
        let bearer = |token: &str| plain().header("authorization", format!("Bearer {token}")).body(Body::from("{}"));
        if *credentials != "operator" {
            wrong.push(bearer(OPERATOR).unwrap());
        }
        if *credentials != "member" {
            wrong.push(bearer(&member).unwrap());
        }
        if *credentials != "terminal" {
            let till = plain().header("hunch-session", &till.session).header("hunch-timestamp", 1);
            wrong.push(till.header("hunch-signature", "00").body(Body::from("{}")).unwrap());
        }
        for request in wrong {
            let answer = service.ask(request).await;
            assert!(matches!(answer.status, 401 | 403), "{method} {path}: {} {}", answer.status, answer.body);
        }
    }
}

#[tokio::test]
async fn what_is_not_here_is_a_problem_too() {
    let service = Service::start().await;
    let missing = service.ask(Request::get("/v1/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!((missing.status, missing.body["type"].as_str()), (404, Some("/problems/not-found")));
    let method = service.ask(Request::get("/v1/pos/purchases").body(Body::empty()).unwrap()).await;
    assert_eq!((method.status, method.body["type"].as_str()), (405, Some("/problems/method-not-allowed")));
    let media = service.ask(Request::post("/v1/pos/sessions").body(Body::from("x=1")).unwrap()).await;
    assert_eq!((media.status, media.body["type"].as_str()), (415, Some("/problems/media-type")));
    assert_eq!(service.ask(Request::get("/readyz").body(Body::empty()).unwrap()).await.status, 200);
    assert_eq!(service.ask(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.body["openapi"], "3.1.0");
}
