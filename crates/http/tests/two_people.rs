//! What one operator must not do alone: it waits for a second one, and happens once.

mod support;

use hunch_kernel::{Clock, MemberId};
use hunch_messaging::inbox;
use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{APPROVER, Answer, MERCHANT, OPERATOR, Service};
use uuid::Uuid;

fn kind(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["type"].as_str().unwrap_or_default())
}

async fn approve(service: &Service, token: &str, proposed: &Answer) -> Answer {
    let id = proposed.body["proposal"].as_str().unwrap();
    service.send(token, "POST", &format!("/v1/ops/proposals/{id}/approval"), json!({})).await
}

async fn booked(service: &Service) -> i64 {
    sqlx::query_scalar("SELECT coalesce(sum(micros), 0)::bigint FROM treasury.cash_part")
        .fetch_one(service.db.app())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_funding_is_booked_once_by_two_people() {
    let service = Service::start().await;
    let fund = |reference: &str, shard: i16, dollars: &str| json!({"reference": reference, "exchange_shard": shard, "dollars": dollars});
    let first = service.operator("/v1/ops/fundings", fund("wire 7", 0, "2500.00")).await;
    assert_eq!(first.status, 202, "{}", first.body);
    let again = service.operator("/v1/ops/fundings", fund("wire 7", 0, "2500.00")).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    for other in [fund("wire 7", 0, "2500.01"), fund("wire 7", 1, "2500.00"), fund("wire 7", 0, "-2500.00")] {
        let refused = service.operator("/v1/ops/fundings", other).await;
        assert_eq!(kind(&refused), (409, "/problems/funding-reused"));
        assert!(refused.body["detail"].as_str().unwrap().contains("wire 7"), "{}", refused.body);
    }
    assert_eq!(booked(&service).await, 0, "nobody approved it");
    let listed = service.get(APPROVER, "/v1/ops/proposals").await;
    assert_eq!(listed.body["proposals"][0], first.body);
    let alone = approve(&service, OPERATOR, &first).await;
    assert_eq!(kind(&alone), (403, "/problems/second-person"));
    assert!(alone.body["detail"].as_str().unwrap().contains("somebody else"), "{}", alone.body);
    for _ in 0..2 {
        let approved = approve(&service, APPROVER, &first).await;
        assert_eq!(
            (approved.status, &approved.body["decision"], &approved.body["decided_by"]),
            (200, &json!("approved"), &json!("approver"))
        );
        assert_eq!(booked(&service).await, 2_500_000_000);
    }
    let after = service.operator("/v1/ops/fundings", fund("wire 7", 0, "2500.00")).await;
    assert_eq!((after.status, &after.body["decision"]), (200, &json!("approved")));
    assert_eq!(service.get(OPERATOR, "/v1/ops/proposals").await.body["proposals"], json!([]));
}

/// Many at once: one effect.
#[tokio::test]
async fn approvals_at_once_book_once() {
    let service = Service::start().await;
    let body = json!({"reference": "wire 9", "exchange_shard": 0, "dollars": "10.00"});
    let proposed = service.operator("/v1/ops/fundings", body).await;
    let answers = futures_util::future::join_all((0..8).map(|_| approve(&service, APPROVER, &proposed))).await;
    assert!(answers.iter().all(|a| a.status == 200));
    assert_eq!(booked(&service).await, 10_000_000);
}

#[tokio::test]
async fn what_was_given_up_or_has_waited_a_day_is_over() {
    let service = Service::start().await;
    let propose = async |reference: &str| {
        service
            .operator("/v1/ops/fundings", json!({"reference": reference, "exchange_shard": 0, "dollars": "1.00"}))
            .await
    };
    let (given_up, late) = (propose("a").await, propose("b").await);
    let end = format!("/v1/ops/proposals/{}/end", given_up.body["proposal"].as_str().unwrap());
    for _ in 0..2 {
        let ended = service.operator(&end, json!({})).await;
        assert_eq!((ended.status, &ended.body["decision"]), (200, &json!("ended")), "{}", ended.body);
    }
    service.clock.advance(SignedDuration::from_hours(24));
    for over in [&given_up, &late] {
        let refused = approve(&service, APPROVER, over).await;
        assert_eq!(kind(&refused), (409, "/problems/proposal"), "{}", refused.body);
    }
    assert_eq!(booked(&service).await, 0);
    let unknown =
        service.send(APPROVER, "POST", &format!("/v1/ops/proposals/{}/approval", Uuid::nil()), json!({})).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn somebody_is_let_in_again_by_two_people_and_hears_of_it() {
    let service = Service::start().await;
    let (old, member) = service.member().await;
    let device = json!({"device": Uuid::from_u128(5), "endpoint": "http://127.0.0.1:9/push", "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"});
    assert_eq!(service.send(&old, "POST", "/v1/me/push-subscriptions", device).await.status, 201);

    // Joining again is no way in.
    let person = json!({"member_token": member, "full_name": "Ann Example 0", "email": "", "phone": "", "birth_date": "1990-05-01", "home_zone": "America/New_York"});
    let added = service.operator("/v1/ops/members", json!({"members": [person]})).await;
    assert_eq!((added.status, &added.body["members"][0]), (201, &json!({"member_token": member})));
    let unused =
        service.app.people.new_codes(&[MemberId(member.parse().unwrap())], false, "operator").await.unwrap().remove(0);

    let path = format!("/v1/ops/members/{member}/recovery");
    let proposed = service.operator(&path, json!({"why": "lost the phone, showed a passport"})).await;
    assert_eq!((proposed.status, proposed.body.get("sign_in_code")), (202, None), "{}", proposed.body);
    assert_eq!(service.get(&old, "/v1/me").await.status, 200, "nothing happened yet");
    assert_eq!(kind(&approve(&service, OPERATOR, &proposed).await), (403, "/problems/second-person"));
    let approved = approve(&service, APPROVER, &proposed).await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    assert_eq!(approve(&service, APPROVER, &proposed).await.body.get("sign_in_code"), None, "shown once");

    assert_eq!(service.get(&old, "/v1/me").await.status, 401, "sessions of before ended");
    let void = service.send("nobody", "POST", "/v1/sign-in", json!({"code": unused})).await;
    assert_eq!(void.status, 401, "codes of before are void");
    let (new, same) = service.sign_in_with(approved.body["sign_in_code"].as_str().unwrap()).await;
    assert_eq!(same, member);
    assert_eq!(service.get(&new, "/v1/me").await.status, 200);
    let told = inbox(service.db.app(), MemberId(member.parse().unwrap()), None, 10).await.unwrap();
    assert_eq!(told[0].body, hunch_messaging::copy::RECOVERED);
    let (due, ends): (i64, Option<bool>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM messaging.delivery), (SELECT session_ends_at IS NOT NULL FROM messaging.subscription)",
    )
    .fetch_one(service.db.app())
    .await
    .unwrap();
    assert_eq!((due, ends), (1, Some(true)), "the old phone is told, and then nothing more");

    let acts =
        service.get(OPERATOR, &format!("/v1/ops/acts?subject={}", proposed.body["proposal"].as_str().unwrap())).await;
    let acts = acts.body["acts"].as_array().unwrap();
    let who: Vec<&str> = acts.iter().map(|act| act["operator"].as_str().unwrap()).collect();
    assert_eq!(who, ["approver", "operator"]);
    assert!(acts[1]["after"]["content"]["why"].as_str().unwrap().contains("passport"), "{acts:?}");
    assert_eq!(
        service.operator(&format!("/v1/ops/members/{}/recovery", Uuid::nil()), json!({"why": "x"})).await.status,
        404
    );
}

#[tokio::test]
async fn an_earn_rule_that_gives_much_needs_two_people() {
    let service = Service::start().await;
    service.till().await;
    let path = format!("/v1/ops/merchants/{MERCHANT}/earn-rules");
    let rule = |id: u128, max: i64| json!({"rule": Uuid::from_u128(id), "points_per_unit": 50, "per_cents": 100, "points_max": max});
    let alone = service.operator(&path, rule(1, 10_000)).await;
    assert_eq!(alone.status, 201, "{}", alone.body);
    service.clock.advance(SignedDuration::from_secs(1));
    let proposed = service.operator(&path, rule(2, 10_001)).await;
    assert_eq!(proposed.status, 202, "{}", proposed.body);
    let rules = async || service.get(OPERATOR, &path).await.body["rules"].as_array().unwrap().len();
    assert_eq!(rules().await, 2);
    service.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(approve(&service, APPROVER, &proposed).await.status, 200);
    assert_eq!(rules().await, 3);
    let begins = service.get(OPERATOR, &path).await.body["rules"][2]["valid_from"].clone();
    assert_eq!(begins, json!(service.clock.now()), "when it was approved");
    assert_eq!(service.operator(&path, rule(2, 10_001)).await.body["decision"], "approved");

    let impossible = json!({"rule": Uuid::from_u128(3), "points_per_unit": 50, "per_cents": 0, "points_max": 20_000});
    assert_eq!(service.operator(&path, impossible).await.status, 422);
    let visit =
        json!({"points_per_unit": 0, "per_cents": 100, "points_per_visit": 1_000_000_000_000i64, "points_max": 1_000});
    assert_eq!(service.operator(&path, visit).await.status, 422);
    let merchant = json!({"merchant": Uuid::from_u128(77), "name": "Gold", "category": "mint", "zone": "America/New_York",
        "currency": "USD", "points_per_unit": 10, "per_cents": 1, "points_max": 10_001});
    assert_eq!(kind(&service.operator("/v1/ops/merchants", merchant).await), (403, "/problems/second-person"));
    let (from, to) = (service.clock.now(), service.clock.now() + SignedDuration::from_hours(24));
    let offer =
        json!({"merchant": MERCHANT, "title": "Gold week", "bonus_points": 10_001, "valid_from": from, "valid_to": to});
    assert_eq!(kind(&service.operator("/v1/ops/offers", offer).await), (403, "/problems/second-person"));
}

#[tokio::test]
async fn every_act_is_kept_with_who_what_and_both_values() {
    let service = Service::start().await;
    let till = service.till().await;
    let merchant = format!("/v1/ops/merchants/{MERCHANT}");
    assert_eq!(service.send(APPROVER, "PATCH", &merchant, json!({"name": "Rosa & Sons"})).await.status, 200);
    let acts = service.get(OPERATOR, &format!("/v1/ops/acts?subject={MERCHANT}")).await;
    assert_eq!(acts.status, 200, "{}", acts.body);
    let [changed, made] = &acts.body["acts"].as_array().unwrap()[..] else { panic!("{}", acts.body) };
    assert_eq!((&changed["operator"], &changed["what"]), (&json!("approver"), &json!("merchant")));
    assert_eq!(
        (&changed["before"], &changed["after"]),
        (&json!({"name": "Rosa's Bakery"}), &json!({"name": "Rosa & Sons"}))
    );
    assert_eq!((&made["operator"], made.get("before")), (&json!("operator"), None));
    assert_eq!(made["after"]["category"], "bakery");

    let of_till = format!("/v1/ops/acts?subject={}", till.terminal);
    let open = |open: bool| json!({"open": open, "why": "it was stolen"});
    for way in [false, false, true] {
        let path = format!("/v1/ops/terminals/{}/open", till.terminal);
        assert_eq!(service.send(OPERATOR, "PUT", &path, open(way)).await.status, 204);
    }
    let acts = service.get(OPERATOR, &of_till).await;
    let [opened, closed, made] = &acts.body["acts"].as_array().unwrap()[..] else { panic!("{}", acts.body) };
    assert_eq!(closed["before"], json!({"active": true, "closed_why": null}));
    assert_eq!(closed["after"], json!({"active": false, "closed_why": "it was stolen"}));
    assert_eq!(opened["after"], json!({"active": true, "closed_why": null}));
    assert!(!made.to_string().contains("secret"), "no secret is kept: {made}");

    service.send(OPERATOR, "PUT", "/v1/ops/staking", json!({"on": false, "reason": "a drill"})).await;
    let staking = service.get(OPERATOR, "/v1/ops/acts?subject=staking").await;
    assert_eq!(staking.body["acts"][0]["before"]["is_on"], true);
    let (_, member) = service.member().await;
    let person = json!({"full_name": "Wren Heron"});
    assert_eq!(service.send(OPERATOR, "PATCH", &format!("/v1/ops/members/{member}"), person).await.status, 200);
    let of_member = service.get(OPERATOR, &format!("/v1/ops/acts?subject={member}")).await;
    let kinds: Vec<&str> =
        of_member.body["acts"].as_array().unwrap().iter().map(|a| a["what"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["person", "sign_in_code", "member"]);
    assert!(!of_member.body.to_string().contains("Ann"), "names stay in the vault");

    // Page by page, and nothing can be written there by hand.
    let first = service.get(OPERATOR, "/v1/ops/acts?limit=2").await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = service.get(OPERATOR, &format!("/v1/ops/acts?limit=2&cursor={cursor}")).await;
    assert_eq!(second.body["acts"].as_array().unwrap().len(), 2);
    assert_ne!(first.body["acts"], second.body["acts"]);
    for forbidden in [
        "INSERT INTO operators.act (operator, what, subject, after) VALUES ('x', 'x', 'x', '{}')",
        "UPDATE operators.act SET operator = 'x'",
        "DELETE FROM operators.act",
        "SELECT operators.keep_act()",
    ] {
        assert!(sqlx::query(forbidden).execute(service.db.app()).await.is_err(), "{forbidden}");
    }
    // By hand it is kept as well, under the role that did it.
    sqlx::query("UPDATE loyalty.merchant SET name = 'By hand'").execute(service.db.app()).await.unwrap();
    let by_hand = service.get(OPERATOR, &format!("/v1/ops/acts?subject={MERCHANT}&limit=1")).await;
    assert_eq!(by_hand.body["acts"][0]["operator"], "hunch_app", "{}", by_hand.body);
    assert_eq!(by_hand.body["acts"][0]["after"], json!({"name": "By hand"}));
    assert_eq!(Value::Null, by_hand.body["acts"][0]["after"]["zone"]);
}

/// A link that somebody passes on shows the town and does nothing.
#[tokio::test]
async fn a_ticket_looks_and_does_nothing() {
    let service = Service::start().await;
    let issued = service.operator("/v1/ops/tickets", json!({})).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    let ticket = issued.body["ticket"].as_str().unwrap();
    assert_eq!(service.get(ticket, "/v1/ops/live").await.status, 200);
    for path in ["/v1/ops/acts", "/v1/ops/proposals", "/v1/ops/corrections", "/v1/me"] {
        assert_eq!(service.get(ticket, path).await.status, 401, "{path}");
    }
    let switch = json!({"on": false, "reason": "mischief"});
    assert_eq!(service.send(ticket, "PUT", "/v1/ops/staking", switch).await.status, 401);
    assert_eq!(service.send(ticket, "POST", "/v1/ops/tickets", json!({})).await.status, 401);
    service.clock.advance(SignedDuration::from_hours(12));
    assert_eq!(service.get(ticket, "/v1/ops/live").await.status, 401);
}
