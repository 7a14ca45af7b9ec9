//! A member's own screen through the whole stack.

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use support::{Service, purchase};

async fn newcomer(service: &Service) -> (String, String) {
    let member = json!({"full_name": "Ann Example", "email": "", "phone": "", "birth_date": "1990-05-01", "home_zone": "America/New_York"});
    let added = service.operator("/v1/ops/members", json!({"members": [member]})).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let code = added.body["members"][0]["sign_in_code"].as_str().unwrap().to_owned();
    let request = Request::post("/v1/sign-in").header("content-type", "application/json");
    let signed_in = service.ask(request.body(Body::from(json!({"code": code}).to_string())).unwrap()).await;
    assert_eq!(signed_in.status, 201, "{}", signed_in.body);
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    (text(&signed_in.body["token"]), text(&signed_in.body["member_token"]))
}

async fn get(service: &Service, token: &str, path: &str) -> support::Answer {
    service
        .ask(Request::get(path).header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap())
        .await
}

#[tokio::test]
async fn a_member_shows_a_code_buys_and_reads_the_statement() {
    let service = Service::start().await;
    let till = service.till().await;
    let (token, _) = newcomer(&service).await;
    assert_eq!(get(&service, &token, "/v1/me").await.body["name"], "Ann Example");
    let code = get(&service, &token, "/v1/me/code").await;
    assert!(code.body["qr_svg"].as_str().unwrap().starts_with("<svg"), "{}", code.body);

    let mut body = purchase("1", 500);
    body["member_token"] = json!(null);
    body["member_code"] = code.body["text"].clone();
    assert_eq!(service.signed(&till, "/v1/pos/purchases", &body.to_string()).await.status, 200);
    body["receipt"] = json!("2");
    let again = service.signed(&till, "/v1/pos/purchases", &body.to_string()).await;
    assert_eq!((again.status, again.body["type"].as_str()), (409, Some("/problems/code-used")));

    assert_eq!(get(&service, &token, "/v1/me/balance").await.body["available_points"], 50);
    for n in 3..8 {
        let code = get(&service, &token, "/v1/me/code").await;
        body["receipt"] = json!(n.to_string());
        body["member_code"] = code.body["text"].clone();
        assert_eq!(service.signed(&till, "/v1/pos/purchases", &body.to_string()).await.status, 200);
    }
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = get(&service, &token, &format!("/v1/me/statement?limit=4&cursor={cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        seen += page.body["lines"].as_array().unwrap().len();
        assert_eq!(page.body["lines"][0]["name"], "Rosa's Bakery");
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 6);
    for bad in ["limit=0", "limit=201", "limit=x", "cursor=nonsense"] {
        let answer = get(&service, &token, &format!("/v1/me/statement?{bad}")).await;
        assert_eq!((answer.status, answer.body["type"].as_str()), (422, Some("/problems/invalid")), "{bad}");
    }
}

#[tokio::test]
async fn a_session_ends_when_the_member_says_so() {
    let service = Service::start().await;
    let (token, _) = newcomer(&service).await;
    let request = Request::post("/v1/sign-out").header("authorization", format!("Bearer {token}"));
    assert_eq!(service.ask(request.body(Body::empty()).unwrap()).await.status, 204);
    let after = get(&service, &token, "/v1/me").await;
    assert_eq!((after.status, after.body["type"].as_str()), (401, Some("/problems/unauthenticated")));
    let wrong = Request::post("/v1/sign-in").header("content-type", "application/json");
    let wrong = service.ask(wrong.body(Body::from("{\"code\":\"nope\"}")).unwrap()).await;
    assert_eq!((wrong.status, wrong.body["type"].as_str()), (401, Some("/problems/sign-in-code")));
    for tries in 0.. {
        assert!(tries < 1_000, "guessing is not slowed down");
        let wrong = Request::post("/v1/sign-in").header("content-type", "application/json");
        let wrong = service.ask(wrong.body(Body::from("{\"code\":\"nope\"}")).unwrap()).await;
        if wrong.status != 401 {
            assert_eq!((wrong.status, wrong.body["type"].as_str()), (429, Some("/problems/too-many-tries")));
            assert_eq!(wrong.headers["retry-after"], "60");
            break;
        }
    }
    // Whoever guesses makes nobody else wait.
    newcomer(&service).await;
}

#[tokio::test]
async fn a_member_signs_out_everywhere_at_once() {
    let service = Service::start().await;
    let (token, member) = service.member().await;
    let other = service.sign_in_again(&member).await;
    let (stranger, _) = service.member().await;
    assert_eq!(service.send(&token, "POST", "/v1/sign-out/everywhere", serde_json::json!({})).await.status, 204);
    for ended in [&token, &other] {
        assert_eq!(get(&service, ended, "/v1/me").await.status, 401);
    }
    assert_eq!(get(&service, &stranger, "/v1/me").await.status, 200);
}
