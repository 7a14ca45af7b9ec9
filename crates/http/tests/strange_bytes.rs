//! Bytes that no honest caller sends: every route answers them with a problem document or does what they say, and never
//! fails itself.

mod support;

use axum::body::Body;
use axum::http::Request;
use hunch_kernel::SeededEntropy;
use serde_json::{Value, json};
use support::{RAIN, Service};

const ROUNDS: usize = 60;

/// Pieces that break parsers: wrong types, edges of numbers, deep nests, control characters, other people's ids.
fn pieces() -> Vec<Value> {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(10),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(0.1),
        json!(""),
        json!("\u{0}"),
        json!("\u{202e}x'); DROP TABLE ledger.entry; --"),
        json!("9".repeat(400)),
        json!("yes"),
        json!("life"),
        json!(RAIN),
        json!("2026-11-23T12:00:00Z"),
        json!("-009999-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59Z"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!("USD"),
        json!("America/New_York"),
        json!([]),
        json!({}),
        deep,
    ]
}

/// The names of a body's fields as the document describes them.
fn fields(document: &Value, operation: &Value) -> Vec<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    let Some(name) = schema.as_str().and_then(|r| r.rsplit('/').next()) else { return Vec::new() };
    let properties = document["components"]["schemas"][name]["properties"].as_object();
    properties.map(|p| p.keys().cloned().collect()).unwrap_or_default()
}

#[tokio::test]
async fn no_bytes_make_a_route_fail() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let document: Value = serde_json::from_str(&hunch_http::openapi_json()).unwrap();
    let entropy = SeededEntropy::shared(11);
    let dice = |sides: usize| (entropy.uuid().as_u64_pair().0 >> 8) as usize % sides;
    let pieces = pieces();
    let mut answered = std::collections::BTreeMap::<u16, usize>::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if path == "/v1/me/stream" || path.starts_with("/v1/sign-out") {
                continue; // one never ends, the other ends our session
            }
            // A new member for each route: exclusions and rate limits are remembered.
            let (member, _) = service.member().await;
            let scheme =
                operation["security"][0].as_object().and_then(|s| s.keys().next().cloned()).unwrap_or_default();
            let names = fields(&document, operation);
            let rounds = if names.is_empty() { 5 } else { ROUNDS };
            for round in 0..rounds {
                let body = match round % 6 {
                    0 => pieces[dice(pieces.len())].to_string().into_bytes(),
                    1 => {
                        let mut noise = vec![0u8; dice(300)];
                        entropy.fill(&mut noise);
                        noise
                    }
                    2 => {
                        let whole =
                            json!({names.first().map_or("x", String::as_str): pieces[dice(pieces.len())]}).to_string();
                        whole.as_bytes()[..dice(whole.len())].to_vec()
                    }
                    _ => {
                        let all = names.iter().map(|n| (n.clone(), pieces[dice(pieces.len())].clone())).collect();
                        Value::Object(all).to_string().into_bytes()
                    }
                };
                let odd_id = ["%00", "..", "x", "00000000-0000-0000-0000-000000000001", RAIN][dice(5)];
                let mut uri = path.clone();
                for name in ["{id}", "{market}"] {
                    uri = uri.replace(name, odd_id);
                }
                if *method == "get" {
                    uri.push_str(
                        ["", "?limit=-1", "?cursor=%ff", "?cursor=e30", "?limit=99999999999999999999", "?category=%00"]
                            [dice(6)],
                    );
                }
                let mut request = Request::builder()
                    .method(method.to_uppercase().as_str())
                    .uri(&uri)
                    .header("content-type", "application/json");
                request = service.prove(request, &scheme, &method.to_uppercase(), path, &body, &member, &till);
                let shown = String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
                let answer = service.ask(request.body(Body::from(body)).unwrap()).await;
                assert!(answer.status < 500, "{method} {uri} with {shown}: {} {}", answer.status, answer.body);
                if answer.status >= 400 {
                    let kind = answer.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
                    assert_eq!(kind, "application/problem+json", "{method} {uri} with {shown}: {}", answer.body);
                    assert!(
                        answer.body["type"].as_str().is_some_and(|t| t.starts_with("/problems/")),
                        "{}",
                        answer.body
                    );
                }
                *answered.entry(answer.status).or_default() += 1;
            }
        }
    }
    assert!(answered.len() >= 5, "the answers hardly differ: {answered:?}");
    let report = hunch_audit_sum(&service).await;
    assert_eq!(report, 0, "whatever was sent, the books sum to zero");
}

async fn hunch_audit_sum(service: &Service) -> i64 {
    sqlx::query_scalar(
        "SELECT (SELECT coalesce(sum(available + held + provisional + debt), 0) FROM ledger.member_account)::bigint
              + (SELECT coalesce(sum(delta), 0) FROM ledger.house_delta)::bigint",
    )
    .fetch_one(service.db.auditor())
    .await
    .unwrap()
}
