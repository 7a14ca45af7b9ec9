//! A till's requests through the whole stack.

mod support;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{Service, purchase};
use uuid::Uuid;

#[tokio::test]
async fn a_purchase_is_answered_the_same_for_ever() {
    let service = Service::start().await;
    let till = service.till().await;
    let body = purchase("A-1", 1_250).to_string();
    let first = service.signed(&till, "/v1/pos/purchases", &body).await;
    assert_eq!((first.status, first.body["earned_points"].as_i64()), (200, Some(120)), "{}", first.body);
    let again = service.signed(&till, "/v1/pos/purchases", &body).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert!(first.headers.contains_key("x-request-id"));
    assert!(first.body.get("balance").is_none(), "the till learns the points earned, not the balance");

    let back = json!({"purchase": first.body["purchase"]}).to_string();
    let returned = service.signed(&till, "/v1/pos/returns", &back).await;
    assert_eq!((returned.status, returned.body["taken_points"].as_i64()), (200, Some(120)), "{}", returned.body);
    assert_eq!(service.signed(&till, "/v1/pos/returns", &back).await.body, returned.body);
}

#[tokio::test]
async fn a_batch_answers_each_item() {
    let service = Service::start().await;
    let till = service.till().await;
    let mut both = purchase("4", 100);
    both["member_code"] = json!("H1.x");
    let batch =
        json!({"purchases": [purchase("1", 100), purchase("2", -1), purchase("1", 100), both, purchase("3", 200)]});
    let answer = service.signed(&till, "/v1/pos/purchases/batch", &batch.to_string()).await;
    assert_eq!(
        (answer.status, answer.body["recorded"].as_i64(), answer.body["refused"].as_i64()),
        (200, Some(3), Some(2))
    );
    let results = answer.body["results"].as_array().unwrap();
    assert_eq!(results[0]["recorded"], results[2]["recorded"], "a duplicate in the middle gets its first answer");
    assert_eq!(results[1]["problem"]["type"], "/problems/amount");
    assert_eq!(results[3]["problem"]["type"], "/problems/invalid");
    assert_eq!(results[4]["recorded"]["earned_points"], 20);
}

/// Each way in which a till's request can be wrong, with its type; nothing is stored by any of it.
#[tokio::test]
async fn bad_input_gets_a_problem_that_can_be_acted_on() {
    let service = Service::start().await;
    let till = service.till().await;
    let change = |field: &str, value: Value| {
        let mut body = purchase("9", 100);
        body[field] = value;
        body.to_string()
    };
    let cases = [
        (change("amount_cents", json!(0)), 422, "/problems/amount"),
        (change("amount_cents", json!(-5)), 422, "/problems/amount"),
        (change("amount_cents", json!(100_000_001)), 422, "/problems/amount"),
        (change("amount_cents", json!(1.5)), 400, "/problems/bad-json"),
        (change("amount_cents", json!(1e300)), 422, "/problems/invalid"),
        (change("currency", json!("EUR")), 422, "/problems/currency"),
        (change("purchased_at", json!("2026-11-24T12:00:00Z")), 422, "/problems/future-date"),
        (change("purchased_at", json!("yesterday")), 400, "/problems/bad-json"),
        (change("receipt", json!("")), 422, "/problems/receipt-number"),
        (change("receipt", json!("x".repeat(65))), 422, "/problems/receipt-number"),
        (change("member_token", json!("00000000-0000-0000-0000-000000000404")), 422, "/problems/unknown-member"),
        (change("member_token", Value::Null), 422, "/problems/invalid"),
        (change("surprise", json!(1)), 400, "/problems/bad-json"),
        ("{\"receipt\":".to_owned(), 400, "/problems/bad-json"),
        (String::new(), 400, "/problems/bad-json"),
        ("[1]".to_owned(), 400, "/problems/bad-json"),
        (format!("{{\"receipt\":\"{}\"}}", "x".repeat(2_000_000)), 413, "/problems/body-too-large"),
    ];
    for (body, status, kind) in cases {
        let answer = service.signed(&till, "/v1/pos/purchases", &body).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!((answer.status, answer.body["type"].as_str()), (status, Some(kind)), "{shown}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(answer.body["detail"].as_str().is_some_and(|d| d.len() > 10), "{}", answer.body);
    }
    let batch = json!({"purchases": (0..501).map(|n| purchase(&n.to_string(), 100)).collect::<Vec<_>>()});
    let answer = service.signed(&till, "/v1/pos/purchases/batch", &batch.to_string()).await;
    assert_eq!((answer.status, answer.body["type"].as_str()), (422, Some("/problems/batch-too-large")));

    let reused = service.signed(&till, "/v1/pos/purchases", &purchase("1", 100).to_string()).await;
    assert_eq!(reused.status, 200);
    let reused = service.signed(&till, "/v1/pos/purchases", &purchase("1", 101).to_string()).await;
    assert_eq!((reused.status, reused.body["type"].as_str()), (409, Some("/problems/receipt-reused")));
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM loyalty.purchase").fetch_one(service.db.app()).await.unwrap();
    assert_eq!(stored, 1);
}

#[tokio::test]
async fn a_return_belongs_to_the_merchant_that_sold() {
    let service = Service::start().await;
    let till = service.till().await;
    let unknown = json!({"purchase": "00000000-0000-0000-0000-000000000001"}).to_string();
    let answer = service.signed(&till, "/v1/pos/returns", &unknown).await;
    assert_eq!((answer.status, answer.body["type"].as_str()), (404, Some("/problems/unknown-purchase")));
    let sold = service.signed(&till, "/v1/pos/purchases", &purchase("1", 500).to_string()).await;
    let other = service.till_of(Uuid::from_u128(10), "Sam's Books").await;
    let back = json!({"purchase": sold.body["purchase"]}).to_string();
    let answer = service.signed(&other, "/v1/pos/returns", &back).await;
    assert_eq!((answer.status, answer.body["type"].as_str()), (403, Some("/problems/other-merchant")));
    assert_eq!(service.signed(&till, "/v1/pos/returns", &back).await.status, 200, "nothing was taken yet");
}

#[tokio::test]
async fn a_closed_till_reports_nothing() {
    let service = Service::start().await;
    let till = service.till().await;
    sqlx::query("UPDATE loyalty.terminal SET active = false WHERE terminal = $1")
        .bind(till.terminal)
        .execute(service.db.app())
        .await
        .unwrap();
    service.clock.advance(SignedDuration::from_secs(61)); // what is known of tills may be a minute old
    let answer = service.signed(&till, "/v1/pos/purchases", &purchase("1", 500).to_string()).await;
    assert_eq!((answer.status, answer.body["type"].as_str()), (401, Some("/problems/unauthenticated")));
}

#[tokio::test]
async fn a_code_that_is_used_old_or_foreign_is_told_apart() {
    let service = Service::start().await;
    let till = service.till().await;
    let (token, _) = service.member().await;
    let with = |receipt: &str, code: &Value| {
        let mut body = purchase(receipt, 500);
        body.as_object_mut().unwrap().remove("member_token");
        body["member_code"] = code.clone();
        body.to_string()
    };
    let code = service.get(&token, "/v1/me/code").await.body["text"].clone();
    assert_eq!(service.signed(&till, "/v1/pos/purchases", &purchase("0", 100).to_string()).await.status, 200);
    let refused = service.signed(&till, "/v1/pos/purchases", &with("0", &code)).await;
    assert_eq!((refused.status, refused.body["type"].as_str()), (409, Some("/problems/receipt-reused")));
    let taken = service.signed(&till, "/v1/pos/purchases", &with("1", &code)).await;
    assert_eq!(taken.status, 200, "a refused receipt leaves the code good: {}", taken.body);
    let old = service.get(&token, "/v1/me/code").await.body["text"].clone();
    service.clock.advance(SignedDuration::from_secs(61));
    for (receipt, code, status, kind) in [
        ("2", &code, 409, "/problems/code-used"),
        ("3", &old, 422, "/problems/code-expired"),
        ("4", &json!("H1.nonsense"), 422, "/problems/code-foreign"),
    ] {
        let answer = service.signed(&till, "/v1/pos/purchases", &with(receipt, code)).await;
        assert_eq!((answer.status, answer.body["type"].as_str()), (status, Some(kind)), "{}", answer.body);
        assert!(answer.body["detail"].as_str().is_some_and(|d| d.contains("member code")), "{}", answer.body);
    }
}

/// A receipt without its offset from UTC, a field of the wrong kind and a thing that is no receipt cost only themselves.
#[tokio::test]
async fn one_bad_receipt_costs_only_itself() {
    let service = Service::start().await;
    let till = service.till().await;
    let mut without_offset = purchase("2", 100);
    without_offset["purchased_at"] = json!("2026-11-23T11:59:00");
    let mut in_words = purchase("3", 100);
    in_words["amount_cents"] = json!("a hundred");
    let batch = json!({"purchases": [purchase("1", 100), without_offset, in_words, [1], null, purchase("4", 100)]});
    let answer = service.signed(&till, "/v1/pos/purchases/batch", &batch.to_string()).await;
    assert_eq!((answer.status, &answer.body["recorded"], &answer.body["refused"]), (200, &json!(2), &json!(4)));
    let results = answer.body["results"].as_array().unwrap();
    for n in [0, 5] {
        assert_eq!(results[n]["recorded"]["earned_points"], 10, "{}", results[n]);
    }
    for n in [1, 2] {
        let problem = &results[n]["problem"];
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("purchases[{n}]: ")), "{detail}");
        assert!(problem["type"] == "/problems/bad-json" || problem["type"] == "/problems/invalid", "{problem}");
    }
    let alone = service.signed(&till, "/v1/pos/purchases/batch", "{\"purchases\": []}").await;
    assert_eq!(
        (alone.status, &alone.body["type"]),
        (422, &json!("/problems/invalid")),
        "an empty list is not too long"
    );
}

/// Receipts by the thousand that are refused cost their till some waiting, and no other till anything.
#[tokio::test]
async fn a_till_that_sends_nonsense_has_to_wait() {
    let service = Service::start().await;
    let till = service.till().await;
    let other = service.till_of(Uuid::from_u128(10), "Next door").await;
    let mut old = purchase("1", 100);
    old["purchased_at"] = json!("-004713-01-01T00:00:00Z");
    let nonsense = json!({"purchases": vec![old; 500]}).to_string();
    for _ in 0..2 {
        let answer = service.signed(&till, "/v1/pos/purchases/batch", &nonsense).await;
        assert_eq!((answer.status, &answer.body["refused"]), (200, &json!(500)));
    }
    let told = service.signed(&till, "/v1/pos/purchases/batch", &nonsense).await;
    assert_eq!((told.status, &told.body["type"]), (429, &json!("/problems/too-many-requests")));
    assert!(told.body["detail"].as_str().unwrap().contains("refused"), "{}", told.body);
    let honest = purchase("2", 100).to_string();
    assert_eq!(service.signed(&other, "/v1/pos/purchases", &honest).await.status, 200);
    service.clock.advance(SignedDuration::from_secs(10));
    assert_eq!(service.signed(&till, "/v1/pos/purchases", &honest).await.status, 200);
}

/// What the member was told, what the till answers, and what is on the statement are one number.
#[tokio::test]
async fn an_offer_is_in_the_tills_answer_the_statement_and_the_return() {
    let service = Service::start().await;
    let till = service.till().await;
    let (token, member) = service.member().await;
    let sale = |receipt: &str, time: &str| {
        let mut body = purchase(receipt, 500);
        (body["member_token"], body["purchased_at"]) = (json!(member), json!(time));
        body.to_string()
    };
    let minute_ago = "2026-11-23T11:59:00Z";
    let offer = json!({
        "offer": "00000000-0000-0000-0000-000000000500", "merchant": support::MERCHANT, "title": "Pasta night",
        "bonus_points": 60, "valid_from": "2026-11-23T00:00:00Z", "valid_to": "2026-11-30T00:00:00Z"
    });
    let added = service.operator("/v1/ops/offers", offer.clone()).await;
    assert_eq!((added.status, &added.body["offer"]), (201, &offer["offer"]), "{}", added.body);
    assert_eq!(
        service.operator("/v1/ops/offers", offer.clone()).await.body,
        added.body,
        "sent again, it is the same offer"
    );
    let mut changed = offer.clone();
    changed["bonus_points"] = json!(61);
    let refused = service.operator("/v1/ops/offers", changed).await;
    assert_eq!((refused.status, &refused.body["type"]), (409, &json!("/problems/already-exists")));
    assert!(refused.body["detail"].as_str().unwrap().contains("bonus_points"), "{}", refused.body);

    let sold = service.signed(&till, "/v1/pos/purchases", &sale("1", minute_ago)).await;
    assert_eq!((sold.status, &sold.body["earned_points"]), (200, &json!(110)), "{}", sold.body);
    assert_eq!(sold.body["offers"], json!([{"offer": offer["offer"], "title": "Pasta night", "points": 60}]));
    let again = service.signed(&till, "/v1/pos/purchases", &sale(" 1", minute_ago)).await;
    assert_eq!((again.status, &again.body["offers"]), (200, &sold.body["offers"]));
    assert_eq!(service.get(&token, "/v1/me/balance").await.body["available_points"], 110);
    let statement = service.get(&token, "/v1/me/statement").await.body;
    let lines: Vec<&str> = statement["lines"].as_array().unwrap().iter().filter_map(|l| l["reason"].as_str()).collect();
    assert!(lines.contains(&"offer") && lines.contains(&"purchase"), "{statement}");
    let back = json!({"purchase": sold.body["purchase"]}).to_string();
    let returned = service.signed(&till, "/v1/pos/returns", &back).await;
    assert_eq!((&returned.body["earned_points"], &returned.body["taken_points"]), (&json!(110), &json!(110)));

    let end = format!("/v1/ops/offers/{}/end", offer["offer"].as_str().unwrap());
    let ended = service.operator(&end, json!({"at_once": true})).await;
    assert_eq!((ended.status, &ended.body["valid_to"]), (200, &json!("2026-11-23T12:00:00Z")), "{}", ended.body);
    let sold = service.signed(&till, "/v1/pos/purchases", &sale("2", "2026-11-23T12:00:00Z")).await;
    assert_eq!(sold.body["earned_points"], 50);
    let nobody = "/v1/ops/offers/00000000-0000-0000-0000-000000000000/end";
    assert_eq!(service.operator(nobody, json!({})).await.status, 404);
}

/// A till whose clock stands still is told so, and what was refused comes again with the right time.
#[tokio::test]
async fn a_dead_clock_is_refused_and_the_corrected_receipt_counts() {
    let service = Service::start().await;
    let till = service.till().await;
    let refused = [
        ("1970-01-01T00:00:00Z", "/problems/invalid"),
        ("-004713-01-01T00:00:00Z", "/problems/invalid"),
        ("2001-05-01T00:00:00Z", "/problems/past-date"),
    ];
    for (time, kind) in refused {
        let mut dead = purchase("1", 500);
        dead["purchased_at"] = json!(time);
        let answer = service.signed(&till, "/v1/pos/purchases", &dead.to_string()).await;
        assert_eq!((answer.status, &answer.body["type"]), (422, &json!(kind)), "{}", answer.body);
    }
    let corrected = service.signed(&till, "/v1/pos/purchases", &purchase("1", 500).to_string()).await;
    assert_eq!((corrected.status, &corrected.body["earned_points"]), (200, &json!(50)));
}
