//! Who joins again is known again: an exclusion, a break and a limit follow the person.

mod support;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{APPROVER, Answer, OPERATOR, RAIN, Service};

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

async fn change(service: &Service, by: &str, member: &str, body: Value) -> Answer {
    service.send(by, "PATCH", &format!("/v1/ops/members/{member}"), body).await
}

async fn waiting(service: &Service) -> Vec<Value> {
    let list = service.get(OPERATOR, "/v1/ops/likenesses").await;
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
    service.send(OPERATOR, "POST", &path, json!({"decision": "same"})).await;
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

#[tokio::test]
async fn a_members_data_is_changed_with_who_and_when_and_nobody_is_told_what_it_was() {
    let service = Service::start().await;
    let (token, member) = service.sign_in(wren()).await;
    let at_first = change(&service, OPERATOR, &member, json!({"email": "wren@example.com"})).await;
    assert_eq!((at_first.status, &at_first.body), (200, &json!({"member_token": member})), "it was so already");
    let body = json!({"full_name": "Wren Heron", "email": "heron@example.com"});
    let changed = change(&service, OPERATOR, &member, body.clone()).await;
    let expected = json!({"member_token": member, "changed_by": "operator", "changed_at": "2026-11-23T12:00:00Z"});
    assert_eq!((changed.status, &changed.body), (200, &expected));
    service.clock.advance(SignedDuration::from_mins(1));
    assert_eq!(change(&service, APPROVER, &member, body).await.body, expected, "sent again, it changes nothing");
    assert_eq!(service.get(&token, "/v1/me").await.body["name"], "Wren Heron");

    let kept: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT full_name, email, phone, replaced_by FROM vault.former_person")
            .fetch_all(service.db.vault())
            .await
            .unwrap();
    let before = [WREN, "wren@example.com", "+1 555 010 0173", "operator"].map(str::to_owned);
    assert_eq!(kept.into_iter().map(|(a, b, c, d)| [a, b, c, d]).collect::<Vec<_>>(), [before]);

    for impossible in
        [json!({}), json!({"full_name": " "}), json!({"email": "x".repeat(201)}), json!({"phone": "1".repeat(41)})]
    {
        let refused = change(&service, OPERATOR, &member, impossible.clone()).await;
        assert_eq!((refused.status, &refused.body["type"]), (422, &json!("/problems/invalid")), "{impossible}");
    }
    for other in [json!({"birth_date": "1990-01-01"}), json!({"home_zone": "Europe/Rome"})] {
        assert_eq!(change(&service, OPERATOR, &member, other.clone()).await.status, 400, "{other}");
    }
    let nobody = "00000000-0000-0000-0000-000000000404";
    assert_eq!(change(&service, OPERATOR, nobody, json!({"phone": ""})).await.status, 404);
    // Under the first data it is another member's token now; under the new ones it is the same.
    let mut again = wren();
    again["member_token"] = json!(member);
    let refused = join(&service, &[again.clone()]).await;
    assert_eq!((refused.status, &refused.body["type"]), (409, &json!("/problems/already-exists")), "{}", refused.body);
    again["full_name"] = json!("Wren Heron");
    again["email"] = json!("heron@example.com");
    assert_eq!(join(&service, &[again]).await.status, 201);
}

#[tokio::test]
async fn an_excluded_person_is_known_by_the_old_data_and_by_the_new() {
    let service = Service::start().await;
    let (token, member) = service.sign_in(wren()).await;
    service.send(&token, "POST", "/v1/me/exclusion", json!({"term": "life"})).await;
    let moved = json!({"full_name": "Wren Heron", "email": "heron@example.com", "phone": "+1 555 010 0999"});
    assert_eq!(change(&service, OPERATOR, &member, moved).await.status, 200);
    assert!(waiting(&service).await.is_empty(), "nobody is like himself");
    for again in [
        wren(),
        entry("Wren Heron", "heron@example.com", "", "1987-03-14"),
        // The old name with the new number, and the new name with the old address.
        entry(WREN, "", "1-555-010-0999", "1987-03-14"),
        entry("Heron, Wren", "WREN+3@example.com", "", "1987-03-14"),
    ] {
        let refused = join(&service, std::slice::from_ref(&again)).await;
        assert_eq!((refused.status, &refused.body["type"]), (409, &json!("/problems/already-a-member")), "{again}");
        assert!(refused.body["detail"].as_str().unwrap().contains(&member), "{}", refused.body);
    }
    // Nothing but one fact agrees: an old one, or a new one.
    let strangers =
        [("wren@example.com", ""), ("heron@example.com", ""), ("", "+1 555 010 0173"), ("", "+1 555 010 0999")];
    for (n, (email, phone)) in strangers.into_iter().enumerate() {
        let name = ["Lark Smith", "Jay Brown", "Ivy Stone", "Rex Field"][n];
        assert_eq!(join(&service, &[entry(name, email, phone, &format!("199{n}-01-01"))]).await.status, 201);
        let found = waiting(&service).await;
        assert_eq!((found.len(), &found[n]["known"]), (n + 1, &json!([member])), "{email}{phone}");
    }
}

/// Another key makes all digests anew, those of former data too.
#[tokio::test]
async fn former_data_are_known_under_a_new_key() {
    let service = Service::start().await;
    let (token, member) = service.sign_in(wren()).await;
    service.send(&token, "POST", "/v1/me/exclusion", json!({"term": "life"})).await;
    assert_eq!(change(&service, OPERATOR, &member, json!({"email": "new@example.com"})).await.status, 200);
    let digests = "SELECT count(DISTINCT email), count(DISTINCT key_id) FROM vault.identity";
    let read = || async { sqlx::query_as::<_, (i64, i64)>(digests).fetch_one(service.db.vault()).await.unwrap() };
    assert_eq!(read().await, (2, 1));
    let other = hunch_vault::IdentityKey::new(b"another key of tests");
    let vault = hunch_vault::Vault::new(service.db.vault().clone(), other);
    assert_eq!(vault.renew_identities().await.unwrap(), 2, "of now and of before");
    assert_eq!(vault.renew_identities().await.unwrap(), 0);
    assert_eq!(read().await, (2, 1));
    let born = "1999-01-01".parse().unwrap();
    for email in ["wren@example.com", "new@example.com"] {
        let (full_name, email, phone) = ("Lark Smith".to_owned(), email.to_owned(), String::new());
        let person = hunch_vault::Person { full_name, email, phone, birth_date: born };
        let id = hunch_kernel::MemberId(uuid::Uuid::from_u128(1));
        let known = vault.recognise(&[(id, person)]).await.unwrap().remove(0);
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].member.0.to_string(), member);
    }
}

#[tokio::test]
async fn who_takes_on_the_data_of_somebody_else_is_looked_at() {
    let service = Service::start().await;
    service.rain().await;
    let (excluded, known) = service.sign_in(wren()).await;
    service.send(&excluded, "POST", "/v1/me/exclusion", json!({"term": "life"})).await;
    let (token, member) = service.sign_in(entry("Lark Smith", "", "", "1987-03-14")).await;
    assert_eq!(quote(&service, &token).await.status, 201);
    // Name, birth date and address: that is somebody else, and nothing is changed.
    let whole = json!({"full_name": WREN, "email": "wren@example.com"});
    let refused = change(&service, OPERATOR, &member, whole).await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (409, &json!("/problems/already-a-member")),
        "{}",
        refused.body
    );
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains(&known) && detail.contains("Nothing was changed"), "{detail}");
    assert_eq!(service.get(&token, "/v1/me").await.body["name"], "Lark Smith");
    // Birth date and number: a person decides.
    assert_eq!(change(&service, OPERATOR, &member, json!({"phone": "555 010 0173"})).await.status, 200);
    assert_eq!(quote(&service, &token).await.body["type"], "/problems/identity-check");
    let found = waiting(&service).await;
    assert_eq!(
        (found.len(), &found[0]["known"], &found[0]["agreeing"]),
        (1, &json!([known]), &json!(["birth_date", "phone"]))
    );
    let path = format!("/v1/ops/likenesses/{member}/decision");
    assert_eq!(service.send(APPROVER, "POST", &path, json!({"decision": "other"})).await.status, 200);
    assert_eq!(quote(&service, &token).await.status, 201);
    // Who was found to be another person is not looked at again, whichever of the two changes.
    assert_eq!(change(&service, OPERATOR, &member, json!({"email": "wren@example.com"})).await.status, 200);
    assert_eq!(change(&service, OPERATOR, &known, json!({"email": "w@example.com"})).await.status, 200);
    assert!(waiting(&service).await.is_empty());
    // A third one was never looked at: the account waits again, and the first decision is kept.
    let (_, third) = service.sign_in(entry("Robin Teal", "robin@example.com", "", "1987-03-14")).await;
    assert_eq!(change(&service, OPERATOR, &member, json!({"email": "robin@example.com"})).await.status, 200);
    assert_eq!(quote(&service, &token).await.body["type"], "/problems/identity-check");
    let found = waiting(&service).await;
    assert_eq!((found.len(), &found[0]["known"]), (1, &json!([third])));
    let kept: Vec<(String, String)> = sqlx::query_as("SELECT decision, decided_by FROM safeguards.former_likeness")
        .fetch_all(service.db.app())
        .await
        .unwrap();
    assert_eq!(kept, [("other".to_owned(), "approver".to_owned())]);
    assert_eq!(service.send(APPROVER, "POST", &path, json!({"decision": "same"})).await.status, 200);
    assert_eq!(quote(&service, &token).await.body["type"], "/problems/other-account");
    // A second account stays one, whatever is changed.
    assert_eq!(change(&service, OPERATOR, &member, json!({"email": "", "phone": ""})).await.status, 200);
    assert_eq!(quote(&service, &token).await.body["type"], "/problems/other-account");
}
