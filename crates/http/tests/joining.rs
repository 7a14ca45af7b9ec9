//! Who joins again is known again: an exclusion, a break and a limit follow the person.

mod support;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{APPROVER, Answer, RAIN, Service};

const WREN: &str = "Wren Canary";

fn entry(name: &str, email: &str, phone: &str, birth_date: &str) -> Value {
    json!({"full_name": name, "email": email, "phone": phone, "birth_date": birth_date, "home_zone": "America/New_York"})
}

fn wren() -> Value {
    entry(WREN, "wren@example.com", "+1 555 010 0173", "1987-03-14")
}

async fn join(service: &Service, people: &[Value]) -> Answer {
    service.operator("/v1/ops/members", json!({"members": people})).await
}

/// In New York, with a market to stake on.
async fn quote(service: &Service, token: &str) -> Answer {
    let place = json!({"latitude": 40.7484, "longitude": -73.9857, "accuracy_metres": 30.0});
    assert_eq!(service.send(token, "PUT", "/v1/me/place", place).await.status, 200);
    service.send(token, "POST", "/v1/quotes", json!({"market": RAIN, "side": "yes", "stake_points": 50})).await
}

async fn waiting(service: &Service) -> Vec<Value> {
    let list = service.get(support::OPERATOR, "/v1/ops/likenesses").await;
    assert_eq!(list.status, 200, "{}", list.body);
    list.body["accounts"].as_array().unwrap().clone()
}

#[tokio::test]
async fn who_is_excluded_does_not_join_again() {
    let service = Service::start().await;
    let (token, member) = service.sign_in(wren()).await;
    service.send(&token, "POST", "/v1/me/exclusion", json!({"term": "life"})).await;
    for again in [
        wren(),
        entry("canary, wren", "WREN+2@example.com", "", "1987-03-14"),
        entry("Wren P. Canary", "", "1-555-010-0173", "1987-03-14"),
    ] {
        let refused = join(&service, &[again.clone(), entry("Bo Finch", "", "", "1990-01-01")]).await;
        assert_eq!((refused.status, &refused.body["type"]), (409, &json!("/problems/already-a-member")), "{again}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.starts_with("Item 1: this person is a member already") && detail.contains(&member), "{detail}");
        assert!(detail.contains("excluded from staking, which holds"), "{detail}");
        assert!(!detail.contains("Canary") && !detail.contains("wren@"), "an answer repeats nobody's data");
    }
    let members: i64 =
        sqlx::query_scalar("SELECT count(*) FROM people.member").fetch_one(service.db.app()).await.unwrap();
    assert_eq!(members, 1, "all or none");
    // The same person under the same token is found, as before.
    let mut same = wren();
    same["member_token"] = json!(member);
    assert_eq!(join(&service, &[same]).await.status, 201);
    assert_eq!(waiting(&service).await.len(), 0);
}

#[tokio::test]
async fn a_likely_match_earns_and_does_not_stake_until_a_person_has_decided() {
    let service = Service::start().await;
    service.rain().await;
    let till = service.till().await;
    let (_, known) = service.sign_in(wren()).await;
    // Another address and another number: the same name and birth date.
    let (token, twin) = service.sign_in(entry(WREN, "other@example.com", "", "1987-03-14")).await;
    let refused = quote(&service, &token).await;
    assert_eq!((refused.status, &refused.body["type"]), (403, &json!("/problems/identity-check")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("you earn points, but cannot stake"), "{}", refused.body);
    let mut bought = support::purchase("1", 500);
    bought["member_token"] = json!(twin);
    assert_eq!(service.signed(&till, "/v1/pos/purchases", &bought.to_string()).await.body["earned_points"], 50);
    let found = waiting(&service).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["member_token"], &found[0]["known"]), (&json!(twin), &json!([known])));
    assert_eq!(found[0]["agreeing"], json!(["name", "birth_date"]));

    let path = format!("/v1/ops/likenesses/{twin}/decision");
    let decide = |word: &'static str| service.send(APPROVER, "POST", &path, json!({"decision": word}));
    let decided = decide("other").await;
    assert_eq!((decided.status, &decided.body["decided_by"]), (200, &json!("approver")), "{}", decided.body);
    assert_eq!(decide("other").await.body, decided.body, "the same decision again changes nothing");
    let late = decide("same").await;
    assert_eq!((late.status, &late.body["type"]), (409, &json!("/problems/already-decided")));
    assert!(waiting(&service).await.is_empty());
    assert_eq!(quote(&service, &token).await.status, 201);
    let nobody = format!("/v1/ops/likenesses/{known}/decision");
    assert_eq!(service.send(APPROVER, "POST", &nobody, json!({"decision": "same"})).await.status, 404);
}

#[tokio::test]
async fn a_second_account_of_the_same_person_never_stakes() {
    let service = Service::start().await;
    service.rain().await;
    let (first, _) = service.sign_in(wren()).await;
    service.send(&first, "PUT", "/v1/me/limits", json!({"day_points": 20})).await;
    let (token, second) = service.sign_in(entry("Wren Heron", "wren@example.com", "", "1987-03-14")).await;
    assert_eq!(quote(&service, &token).await.body["type"], "/problems/identity-check");
    let path = format!("/v1/ops/likenesses/{second}/decision");
    service.send(support::OPERATOR, "POST", &path, json!({"decision": "same"})).await;
    let refused = quote(&service, &token).await;
    assert_eq!((refused.status, &refused.body["type"]), (403, &json!("/problems/other-account")), "{}", refused.body);
    // The first account is as it was, with its limit.
    assert_eq!(service.get(&first, "/v1/me/limits").await.body["day_points"], 20);
    assert_eq!(quote(&service, &first).await.status, 201);
}

#[tokio::test]
async fn a_family_may_share_an_address_unless_one_of_it_is_protected() {
    let service = Service::start().await;
    let (token, known) = service.sign_in(wren()).await;
    let son = entry("Robin Canary", "wren@example.com", "", "2001-09-09");
    assert_eq!(join(&service, &[son]).await.status, 201);
    assert!(waiting(&service).await.is_empty(), "nobody asks a family who it is");
    service.send(&token, "POST", "/v1/me/break", json!({"term": "24_hours"})).await;
    let other = entry("Lark Smith", "WREN@example.com", "", "1999-09-09");
    assert_eq!(join(&service, &[other]).await.status, 201);
    let found = waiting(&service).await;
    assert_eq!((found.len(), &found[0]["agreeing"], &found[0]["known"]), (1, &json!(["email"]), &json!([known])));
    service.clock.advance(SignedDuration::from_hours(25));
    let third = entry("Jay Brown", "wren@example.com", "", "1998-08-08");
    assert_eq!(join(&service, &[third]).await.status, 201);
    assert_eq!(waiting(&service).await.len(), 1, "the break is over");
}

#[tokio::test]
async fn one_request_and_two_at_once_open_one_account_for_one_person() {
    let service = Service::start().await;
    let both = join(&service, &[wren(), entry("Bo Finch", "", "", "1990-01-01"), wren()]).await;
    assert_eq!((both.status, &both.body["type"]), (409, &json!("/problems/already-a-member")), "{}", both.body);
    assert!(both.body["detail"].as_str().unwrap().starts_with("Item 3:"), "{}", both.body);
    let one = [wren()];
    let ask = || join(&service, &one);
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let answers = [a, b, c, d];
    assert_eq!(answers.iter().filter(|a| a.status == 201).count(), 1, "one of four");
    assert!(answers.iter().all(|a| a.status == 201 || a.body["type"] == "/problems/already-a-member"));
    let people: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM vault.person), (SELECT count(*) FROM vault.identity)")
            .fetch_one(service.db.vault())
            .await
            .unwrap();
    assert_eq!(people, (1, 1));
}

/// A crash between the vault and the members leaves an entry that nobody is. Whoever sends the request again joins.
#[tokio::test]
async fn an_entry_that_became_no_member_stands_in_nobodys_way() {
    let service = Service::start().await;
    let (_, member) = service.sign_in(wren()).await;
    sqlx::raw_sql("DELETE FROM people.session; DELETE FROM people.sign_in_code; DELETE FROM people.member")
        .execute(service.db.owner())
        .await
        .unwrap();
    let again = join(&service, &[wren()]).await;
    assert_eq!(again.status, 201, "{}", again.body);
    assert_ne!(again.body["members"][0]["member_token"], json!(member));
    assert!(waiting(&service).await.is_empty());
}
