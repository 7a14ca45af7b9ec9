//! Over real sockets: whoever sends slowly or not at all takes nothing from others, and operators have a listener of their own.

mod support;

use axum::body::Body;
use axum::http::Request;
use hunch_kernel::Clock;
use reqwest::Client;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::{Service, Till, purchase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// More than there are places of any kind.
const CROWD: usize = 300;

struct Served {
    service: Service,
    public: SocketAddr,
    operators: SocketAddr,
    closing: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

async fn served(room: usize) -> Served {
    let (service, closing) = (Service::start().await, CancellationToken::new());
    let listen = async |router, room| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let away = service.turned_away.clone();
        tokio::spawn(hunch_http::serve(listener, router, room, away, closing.clone()));
        address
    };
    let public = listen(service.router.clone(), hunch_http::ListenerTerms { room, proxies: 0 }).await;
    let operators = listen(service.operators.clone(), hunch_http::ListenerTerms { room: 16, proxies: 0 }).await;
    Served { service, public, operators, closing }
}

fn head_of(service: &Service, till: &Till) -> String {
    let now = service.clock.now().as_second();
    format!(
        "POST /v1/pos/purchases HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\
         hunch-session: {}\r\nhunch-timestamp: {now}\r\nhunch-signature: {}\r\n",
        till.session,
        "00".repeat(32)
    )
}

async fn crowd(address: SocketAddr, text: &str) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..CROWD {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        all.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    all
}

/// The service is asked in memory and over its sockets: both share the places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_bodies_take_no_place() {
    let served = served(4_096).await;
    let till = served.service.till().await;
    served.service.rain().await;
    let (member, member_token) = served.service.staker(&till, 500).await;
    let known = format!("{}\r\n", head_of(&served.service, &till));
    let stake = format!(
        "POST /v1/quotes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\
         authorization: Bearer {member}\r\n\r\n"
    );
    let other = "POST /v1/sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    for (kind, text) in [known.as_str(), &stake, other].into_iter().enumerate() {
        let silent = crowd(served.public, text).await;
        for round in 0..10 {
            let mut body = purchase(&format!("R{kind}-{round}"), 2_000);
            body["member_token"] = json!(member_token);
            body["purchased_at"] = json!(served.service.clock.now());
            let answer = served.service.signed(&till, "/v1/pos/purchases", &body.to_string()).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let wish = json!({"market": support::RAIN, "side": "yes", "stake_points": 35});
            let quoted = served.service.send(&member, "POST", "/v1/quotes", wish).await;
            assert_eq!(quoted.status, 201, "{}", quoted.body);
            assert_eq!(served.service.get(&member, "/v1/me/balance").await.status, 200);
        }
        // Each is told, and the connection ends.
        for mut stream in silent.into_iter().step_by(50) {
            let mut told = String::new();
            let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut told)).await;
            assert!(read.is_ok() && told.starts_with("HTTP/1.1 408"), "{text}: {told}");
            assert!(told.contains("/problems/body-too-slow"), "{text}: {told}");
        }
    }
}

/// HTTP/2 without TLS: many requests on few connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_streams_take_no_place() {
    let served = served(4_096).await;
    let till = served.service.till().await;
    let (member, _) = served.service.member().await;
    let now = served.service.clock.now().as_second();
    let mut silent = JoinSet::new();
    for _ in 0..5 {
        let client = Client::builder().http2_prior_knowledge().build().unwrap();
        for _ in 0..200 {
            let nothing = tokio_stream::pending::<Result<Vec<u8>, std::io::Error>>();
            let request = client
                .post(format!("http://{}/v1/pos/purchases", served.public))
                .header("content-type", "application/json")
                .header("hunch-session", &till.session)
                .header("hunch-timestamp", now)
                .header("hunch-signature", "00".repeat(32))
                .body(reqwest::Body::wrap_stream(nothing));
            silent.spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) });
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for round in 0..10 {
        let body = purchase(&format!("R{round}"), 100).to_string();
        assert_eq!(served.service.signed(&till, "/v1/pos/purchases", &body).await.status, 200);
        assert_eq!(served.service.get(&member, "/v1/me").await.status, 200);
    }
    // What came before a client knew how many there may be at once is refused; the others are told.
    let mut told = Vec::new();
    while told.len() < 5 {
        if let Ok(status) = silent.join_next().await.unwrap().unwrap() {
            told.push(status);
        }
    }
    assert_eq!(told, [408; 5]);
}

/// Neither who nobody knows nor what was signed yesterday is read any further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_nobody_is_told_before_a_body_is_read() {
    let served = served(4_096).await;
    let till = served.service.till().await;
    let head = head_of(&served.service, &till);
    let now = served.service.clock.now().as_second().to_string();
    let of_yesterday = head.replace(&now, "1700000000");
    let stranger = head.replace(&till.session, "11111111-2222-4333-8444-555555555555");
    let (post, end) = ("POST", "content-type: application/json\r\ncontent-length: 1000\r\n");
    let wrong = [
        of_yesterday,
        stranger,
        format!("{post} /v1/quotes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer nobody\r\n{end}"),
        format!("{post} /v1/orders HTTP/1.1\r\nhost: x\r\n{end}"),
        format!("{post} /v1/ops/merchants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer nobody\r\n{end}"),
        format!("{post} /webhooks/settlement HTTP/1.1\r\nhost: x\r\nhunch-webhook-signature: t=1,v1=00\r\n{end}"),
    ];
    for head in wrong {
        let mut stream = TcpStream::connect(served.public).await.unwrap();
        let begun = Instant::now();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        let mut told = vec![0; 2_048];
        let length = stream.read(&mut told).await.unwrap();
        let told = String::from_utf8_lossy(&told[..length]);
        assert!(told.starts_with("HTTP/1.1 401"), "{head}: {told}");
        assert!(begun.elapsed() < Duration::from_millis(1_500), "{head}: {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_answered_when_the_public_listener_is_full() {
    let served = served(8).await;
    let (token, _) = served.service.member().await;
    // Live streams are long, and none of them can be spared so soon.
    let mut streams = Vec::new();
    for _ in 0..8 {
        let (other, _) = served.service.member().await;
        let mut stream = TcpStream::connect(served.public).await.unwrap();
        let asked = format!("GET /v1/me/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {other}\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        streams.push(stream);
    }
    let http = Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let public = http.get(format!("http://{}/v1/me", served.public)).bearer_auth(&token).send().await;
    assert!(public.is_err(), "there is no room: {public:?}");
    let base = format!("http://{}", served.operators);
    for path in ["/metrics", "/healthz", "/v1/ops/orders/unclear", "/live"] {
        let answer = http.get(format!("{base}{path}")).bearer_auth(support::OPERATOR).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let ready = http.get(format!("{base}/readyz")).send().await.unwrap();
    let ready: Value = serde_json::from_slice(&ready.bytes().await.unwrap()).unwrap();
    assert_eq!(ready["status"], "degraded");
    assert!(ready["problems"][0].as_str().unwrap().contains("connections"), "{ready}");
}

#[tokio::test]
async fn figures_are_on_the_operators_listener_alone_and_nothing_for_members_is() {
    let service = Service::start().await;
    let get = |path: &str| Request::get(path).header("authorization", format!("Bearer {}", support::OPERATOR));
    let public = service.ask(get("/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!((public.status, public.body["type"].as_str()), (404, Some("/problems/not-found")));
    for path in ["/v1/ops/live", "/v1/ops/corrections", "/v1/ops/likenesses", "/v1/ops/exchange/left-out"] {
        for router in [&service.router, &service.operators] {
            assert_eq!(service.ask_of(router, get(path).body(Body::empty()).unwrap()).await.status, 200, "{path}");
            let anybody = Request::get(path).body(Body::empty()).unwrap();
            assert_eq!(service.ask_of(router, anybody).await.status, 401, "{path}");
        }
    }
    let document: Value = serde_json::from_str(&hunch_http::openapi_json()).unwrap();
    let documented = document["paths"].as_object().unwrap().keys().map(String::as_str);
    for path in documented.chain(["/app", "/till", "/openapi.json"]) {
        let answer = service.ask_of(&service.operators, get(path).body(Body::empty()).unwrap()).await;
        let theirs = path.starts_with("/v1/ops/") || ["/healthz", "/readyz"].contains(&path);
        let nowhere =
            answer.status == 404 && answer.body["type"] == "/problems/not-found" && answer.body["detail"].is_null();
        assert_eq!(nowhere, !theirs, "{path}: {} {}", answer.status, answer.body);
    }
}
