//! The live stream, over a whole service.

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use support::{Service, purchase};
use tokio_stream::StreamExt;
use tower::ServiceExt;

/// The next server-sent event that is not a comment, as (id, event, data).
async fn next_event(body: &mut axum::body::BodyDataStream) -> (String, String, Value) {
    loop {
        let text = String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
        let field = |name: &str| {
            text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(|v| v.trim().to_owned())
        };
        if let (Some(id), Some(event), Some(data)) = (field("id"), field("event"), field("data")) {
            return (id, event, serde_json::from_str(&data).unwrap());
        }
    }
}

#[tokio::test]
async fn the_stream_begins_with_a_snapshot_and_goes_on_behind_the_last_id() {
    let service = Service::start().await;
    let till = service.till().await;
    let (token, member) = service.member().await;
    let open = |last: Option<String>| {
        let mut request = Request::get("/v1/me/stream").header("authorization", format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let router = service.router.clone();
        async move {
            let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.into_body().into_data_stream()
        }
    };
    let mut stream = open(None).await;
    let (_, event, data) = next_event(&mut stream).await;
    assert_eq!((event.as_str(), data["balance"]["available_points"].as_i64()), ("snapshot", Some(0)));

    service.signed(&till, "/v1/pos/purchases", &bought(&member, "1")).await;
    let (first, event, data) = next_event(&mut stream).await;
    assert_eq!((event.as_str(), &data["happened"]), ("changed", &json!(["PurchaseRecorded"])));
    assert_eq!(data["balance"]["available_points"], 10);
    drop(stream);

    service.signed(&till, "/v1/pos/purchases", &bought(&member, "2")).await;
    let (_, event, data) = next_event(&mut open(Some(first)).await).await;
    assert_eq!((event.as_str(), data["balance"]["available_points"].as_i64()), ("changed", Some(20)));
    let (_, event, _) = next_event(&mut open(Some("7-999999".to_owned())).await).await;
    assert_eq!(event, "snapshot", "an id we cannot follow begins again");
}

/// Whoever signed out is told nothing more, also by what was open.
#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let service = Service::start().await;
    let till = service.till().await;
    let (token, member) = service.member().await;
    let request = Request::get("/v1/me/stream").header("authorization", format!("Bearer {token}"));
    let answer = service.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut stream = answer.into_body().into_data_stream();
    assert_eq!(next_event(&mut stream).await.1, "snapshot");
    assert_eq!(service.send(&token, "POST", "/v1/sign-out", json!({})).await.status, 204);
    service.signed(&till, "/v1/pos/purchases", &bought(&member, "1")).await;
    while let Some(piece) = stream.next().await {
        let text = String::from_utf8(piece.unwrap().to_vec()).unwrap();
        assert!(!text.contains("changed"), "{text}");
    }
}

/// A phone that comes back again and again has no more than five streams; the newest is always served.
#[tokio::test]
async fn the_sixth_stream_of_a_member_ends_the_first() {
    let service = Service::start().await;
    let (token, _) = service.member().await;
    let (other, _) = service.member().await;
    let open = async |token: &str| {
        let request = Request::get("/v1/me/stream").header("authorization", format!("Bearer {token}"));
        let answer = service.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().into_data_stream()
    };
    let mut others = open(&other).await;
    next_event(&mut others).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = open(&token).await;
        next_event(&mut stream).await;
        streams.push(stream);
    }
    let rest = async |stream: &mut axum::body::BodyDataStream| {
        tokio::time::timeout(std::time::Duration::from_secs(1), stream.next()).await
    };
    for (n, stream) in streams.iter_mut().enumerate() {
        assert_eq!(matches!(rest(stream).await, Ok(None)), n < 3, "the stream number {n}");
    }
    assert!(rest(&mut others).await.is_err(), "another member's stream goes on");
}

fn bought(member: &str, receipt: &str) -> String {
    let mut body = purchase(receipt, 100);
    body["member_token"] = json!(member);
    body.to_string()
}
