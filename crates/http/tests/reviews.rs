//! Points that wait for a person's decision, as a member, a till and an operator meet them.

mod support;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{OPERATOR, Service, Till};

struct Watched {
    service: Service,
    till: Till,
    token: String,
    member: String,
}

/// A member, and a till that is watched.
async fn watched() -> Watched {
    let service = Service::start().await;
    let till = service.till().await;
    service.rain().await;
    let (token, member) = service.staker(&till, 30).await;
    let path = format!("/v1/ops/terminals/{}/watch", till.terminal);
    let answer = service.send(OPERATOR, "PUT", &path, json!({"why": "Many receipts in one minute."})).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    Watched { service, till, token, member }
}

impl Watched {
    async fn buy(&self, receipt: &str) -> Value {
        // What is told comes after what was told before.
        self.service.engage().await;
        self.service.clock.advance(SignedDuration::from_secs(1));
        let mut body = support::purchase(receipt, 1_000);
        body["member_token"] = json!(self.member);
        let answer = self.service.signed(&self.till, "/v1/pos/purchases", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    async fn mine(&self, path: &str) -> Value {
        let answer = self.service.get(&self.token, path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    async fn stake(&self, points: i64) -> support::Answer {
        let body = json!({"market": support::RAIN, "side": "yes", "stake_points": points});
        let quote = self.service.send(&self.token, "POST", "/v1/quotes", body).await;
        assert_eq!(quote.status, 201, "{}", quote.body);
        self.service.send(&self.token, "POST", "/v1/orders", json!({"quote": quote.body["quote"]})).await
    }

    async fn newest_notice(&self) -> Value {
        self.service.engage().await;
        self.mine("/v1/me/inbox").await["notices"][0].clone()
    }

    async fn decide(&self, bought: &Value, decision: &str) -> support::Answer {
        self.service.engage().await;
        self.service.clock.advance(SignedDuration::from_secs(1));
        let path = format!("/v1/ops/reviews/{}/decision", bought["purchase"].as_str().unwrap());
        self.service.operator(&path, json!({"decision": decision, "why": "The receipts are real."})).await
    }
}

#[tokio::test]
async fn pending_points_are_seen_with_their_reason_and_cannot_be_staked_until_they_are_confirmed() {
    let town = watched().await;
    let bought = town.buy("1").await;
    assert_eq!((&bought["earned_points"], &bought["pending_points"]), (&json!(100), &json!(100)));
    let balance = town.mine("/v1/me/balance").await;
    assert_eq!((&balance["available_points"], &balance["pending_points"]), (&json!(30), &json!(100)));
    let pending = town.mine("/v1/me/pending").await;
    let one = &pending["purchases"][0];
    assert_eq!((&one["points"], &one["reason"]), (&json!(100), &json!("till_watched")), "{pending}");
    assert!(one["why"].as_str().unwrap().contains("nothing to do with you"), "{pending}");
    let line = &town.mine("/v1/me/statement").await["lines"][0];
    assert_eq!((&line["what"], &line["pending_points"]), (&json!("Purchase, not final yet"), &json!(100)), "{line}");
    assert_eq!((&line["available_points"], &line["balance_after_points"]), (&json!(0), &json!(30)), "{line}");
    let refused = town.stake(40).await;
    assert_eq!(refused.body["type"], "/problems/insufficient-points", "{}", refused.body);

    let told = town.newest_notice().await;
    let body = "Your visit to Rosa's Bakery is recorded. Pending: 100 points. We look at this purchase first.";
    assert_eq!((&told["text"], &told["more"]), (&json!(body), &json!(false)), "no suggestion comes with it: {told}");

    let listed = town.service.get(OPERATOR, "/v1/ops/reviews").await.body;
    assert_eq!(
        (&listed["reviews"][0]["purchase"], listed["reviews"].as_array().unwrap().len()),
        (&bought["purchase"], 1)
    );
    let decided = town.decide(&bought, "confirm").await;
    assert_eq!((decided.status, &decided.body["ended"]), (200, &json!("confirmed")), "{}", decided.body);
    assert_eq!(
        (&decided.body["decided_by"], &decided.body["why"]),
        (&json!("operator"), &json!("The receipts are real."))
    );
    assert_eq!(town.decide(&bought, "confirm").await.body, decided.body, "sent again it changes nothing");
    let other = town.decide(&bought, "take_back").await;
    assert_eq!((other.status, &other.body["type"]), (409, &json!("/problems/already-decided")), "{}", other.body);
    assert!(other.body["detail"].as_str().unwrap().contains("were confirmed already"), "{}", other.body);

    let balance = town.mine("/v1/me/balance").await;
    assert_eq!((&balance["available_points"], &balance["pending_points"]), (&json!(130), &json!(0)));
    let line = &town.mine("/v1/me/statement").await["lines"][0];
    assert_eq!((&line["what"], &line["available_points"]), (&json!("Points became final"), &json!(100)), "{line}");
    let told = town.newest_notice().await;
    let body = "We looked at your purchase at Rosa's Bakery. 100 points are now available.";
    assert_eq!(told["text"], body, "{told}");
    assert_eq!(town.mine("/v1/me/pending").await["purchases"], json!([]));
    assert_eq!(town.stake(40).await.status, 201, "they are points like any other now");
    let listed = |all: &str| format!("/v1/ops/reviews?all={all}");
    assert_eq!(town.service.get(OPERATOR, &listed("false")).await.body["reviews"], json!([]));
    assert_eq!(town.service.get(OPERATOR, &listed("true")).await.body["reviews"][0]["ended"], "confirmed");
}

#[tokio::test]
async fn points_that_are_not_confirmed_go_and_the_member_is_told() {
    let town = watched().await;
    let bought = town.buy("1").await;
    assert_eq!(town.decide(&bought, "take_back").await.status, 200);
    let balance = town.mine("/v1/me/balance").await;
    let figures = ["available_points", "pending_points", "owed_points"].map(|figure| balance[figure].as_i64().unwrap());
    assert_eq!(figures, [30, 0, 0]);
    let line = &town.mine("/v1/me/statement").await["lines"][0];
    assert_eq!((&line["what"], &line["pending_points"]), (&json!("Points were not confirmed"), &json!(-100)), "{line}");
    let told = town.newest_notice().await;
    let body =
        "We looked at your purchase at Rosa's Bakery and did not confirm its 100 points. Ask us if you do not agree.";
    assert_eq!(told["text"], body, "{told}");
}

#[tokio::test]
async fn only_an_operator_decides_and_only_on_what_waits() {
    let town = watched().await;
    let bought = town.buy("1").await;
    let path = format!("/v1/ops/reviews/{}/decision", bought["purchase"].as_str().unwrap());
    let body = json!({"decision": "confirm", "why": "It is mine."});
    assert_eq!(town.service.send(&town.token, "POST", &path, body).await.status, 401);
    assert_eq!(town.service.get(&town.token, "/v1/ops/reviews").await.status, 401);
    for why in ["", "   ", "two\nlines"] {
        let answer = town.service.operator(&path, json!({"decision": "confirm", "why": why})).await;
        assert_eq!((answer.status, &answer.body["type"]), (422, &json!("/problems/invalid")), "{}", answer.body);
    }
    let nothing = json!({"purchase": "00000000-0000-0000-0000-000000000001"});
    let answer = town.decide(&nothing, "confirm").await;
    assert_eq!((answer.status, &answer.body["type"]), (404, &json!("/problems/unknown-purchase")), "{}", answer.body);
    let nowhere = "/v1/ops/terminals/00000000-0000-0000-0000-000000000001/watch";
    assert_eq!(town.service.send(OPERATOR, "PUT", nowhere, json!({"why": "a slip"})).await.status, 404);
    let path = format!("/v1/ops/terminals/{}/watch", town.till.terminal);
    assert_eq!(town.service.send(OPERATOR, "PUT", &path, json!({})).await.status, 204, "it is watched no longer");
    assert_eq!(town.buy("2").await["pending_points"], json!(0));
    let waiting = town.mine("/v1/me/pending").await;
    assert_eq!(waiting["purchases"].as_array().unwrap().len(), 1, "what waits already goes on waiting");
}
