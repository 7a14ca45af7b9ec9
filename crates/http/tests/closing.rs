//! A till or a merchant is closed, and what still works afterwards.

mod support;

use hunch_db::testing::TestDb;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use support::{Answer, MERCHANT, OPERATOR, Service, Till};
use uuid::Uuid;

async fn sell(service: &Service, till: &Till, receipt: &str, member: &str) -> Answer {
    use hunch_kernel::Clock;
    let body = json!({"receipt": receipt, "member_token": member, "amount_cents": 500, "currency": "USD", "purchased_at": service.clock.now()});
    service.signed(till, "/v1/pos/purchases", &body.to_string()).await
}

async fn give_back(service: &Service, till: &Till, sold: &Answer) -> Answer {
    service.signed(till, "/v1/pos/returns", &json!({"purchase": sold.body["purchase"]}).to_string()).await
}

async fn set(service: &Service, path: String, open: bool) -> Answer {
    service.send(OPERATOR, "PUT", &path, json!({"open": open, "why": "stolen last night"})).await
}

/// The till opens a session with a secret that it knows.
async fn open_session(service: &Service, terminal: Uuid, secret: &Value) -> Answer {
    service.send("nobody", "POST", "/v1/pos/sessions", json!({"terminal": terminal, "secret": secret})).await
}

#[tokio::test]
async fn a_closed_till_neither_sells_nor_takes_back_from_that_moment_on() {
    let service = Service::start().await;
    let till = service.till().await;
    let (_, member) = service.member().await;
    let sold = sell(&service, &till, "1", &member).await;
    assert_eq!(sold.status, 200, "{}", sold.body);
    let path = format!("/v1/ops/terminals/{}/open", till.terminal);
    assert_eq!(set(&service, path.clone(), false).await.status, 204);
    assert_eq!(sell(&service, &till, "2", &member).await.status, 401);
    assert_eq!(give_back(&service, &till, &sold).await.status, 401);
    let refused = open_session(&service, till.terminal, &json!("whatever")).await;
    assert_eq!(refused.status, 401);
    assert_eq!(set(&service, path, true).await.status, 204);
    assert_eq!(sell(&service, &till, "3", &member).await.status, 401, "its sessions are over");
    assert_eq!(set(&service, format!("/v1/ops/terminals/{}/open", Uuid::nil()), false).await.status, 404);
    assert_eq!(set(&service, format!("/v1/ops/merchants/{}/open", Uuid::nil()), false).await.status, 404);
}

#[tokio::test]
async fn a_closed_merchant_closes_all_its_tills_and_opens_those_that_were_open() {
    let service = Service::start().await;
    let till = service.till().await;
    let (_, member) = service.member().await;
    let other = service.operator("/v1/ops/terminals", json!({"merchant": MERCHANT, "name": "side"})).await;
    let (side, secret) = (other.body["terminal"].as_str().unwrap().parse().unwrap(), &other.body["secret"]);
    let path = format!("/v1/ops/merchants/{MERCHANT}/open");
    assert_eq!(set(&service, format!("/v1/ops/terminals/{}/open", till.terminal), false).await.status, 204);
    assert_eq!(open_session(&service, side, secret).await.status, 201);
    assert_eq!(set(&service, path.clone(), false).await.status, 204);
    assert_eq!(sell(&service, &till, "1", &member).await.status, 401);
    assert_eq!(open_session(&service, side, secret).await.status, 401);
    assert_eq!(set(&service, path, true).await.status, 204);
    assert_eq!(open_session(&service, side, secret).await.status, 201);
    let stolen = open_session(&service, till.terminal, &json!("whatever")).await;
    assert_eq!(stolen.status, 401, "the till that was closed by itself stays closed");
}

/// Another process, or somebody with the database, closed it: this one hears of it within seconds.
#[tokio::test]
async fn what_others_close_is_closed_here_within_seconds() {
    let service = Service::start().await;
    let till = service.till().await;
    let (_, member) = service.member().await;
    let sold = sell(&service, &till, "1", &member).await;
    sqlx::query("UPDATE loyalty.terminal SET active = false").execute(service.db.owner()).await.unwrap();
    service.clock.advance(SignedDuration::from_secs(6));
    assert_eq!(give_back(&service, &till, &sold).await.status, 401);
    assert_eq!(sell(&service, &till, "2", &member).await.status, 401);
}

#[tokio::test]
async fn a_till_has_few_sessions_and_a_new_one_ends_the_oldest() {
    let service = Service::start().await;
    let till = service.till().await;
    let (_, member) = service.member().await;
    let other = service.operator("/v1/ops/terminals", json!({"merchant": MERCHANT, "name": "side"})).await;
    let (side, secret) = (other.body["terminal"].as_str().unwrap().parse().unwrap(), &other.body["secret"]);
    for _ in 0..20 {
        service.clock.advance(SignedDuration::from_secs(1));
        assert_eq!(open_session(&service, side, secret).await.status, 201);
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM loyalty.terminal_session WHERE terminal = $1")
        .bind(side)
        .fetch_one(service.db.app())
        .await
        .unwrap();
    assert_eq!(count, 4);
    assert_eq!(sell(&service, &till, "1", &member).await.status, 200, "another till's session goes on");
    service.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(service.app.terminal_sessions.sweep(100).await.unwrap(), 5);
}

/// Whoever may read the whole database may not sign as a till, sign in as a member, or push to a phone.
#[tokio::test]
async fn the_auditor_reads_no_secret() {
    let db = TestDb::new().await;
    for secret in [
        "secret_sha256 FROM loyalty.terminal",
        "code_hmac FROM people.sign_in_code",
        "token_sha256 FROM people.session",
        "auth FROM messaging.subscription",
        "p256dh FROM messaging.subscription",
        "endpoint FROM messaging.subscription",
    ] {
        let refused = sqlx::query(AssertSqlSafe(format!("SELECT {secret}"))).fetch_all(db.auditor()).await.unwrap_err();
        assert_eq!(refused.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{secret}");
    }
    let keys: Vec<String> = sqlx::query_scalar(
        "SELECT table_schema || '.' || table_name || '.' || column_name FROM information_schema.columns
         WHERE column_name ~ 'key|secret|hmac|token|auth' AND data_type = 'bytea'
           AND has_column_privilege('hunch_audit', format('%I.%I', table_schema, table_name), column_name, 'SELECT')",
    )
    .fetch_all(db.owner())
    .await
    .unwrap();
    assert_eq!(keys, Vec::<String>::new(), "the auditor may read these");
}
