//! Purchases and returns on a real database.

mod support;

use hunch_kernel::{MemberId, Points, TerminalId, shard_of};
use hunch_loyalty::{
    CodeError, MemberRef, PurchaseRefusal, PurchaseRequest, ReturnRefusal, ReturnRequest, SessionError, SessionKeys,
    SignedRequest, TerminalSessions, issue_code, purchase_id, sign,
};
use jiff::SignedDuration;
use support::Shop;
use uuid::Uuid;

#[tokio::test]
async fn a_receipt_earns_once_and_answers_the_same_for_ever() {
    let shop = Shop::open().await;
    let first = shop.buy(shop.receipt("1", 500)).await.unwrap();
    assert_eq!((first.points, first.first), (Points(50), true));
    shop.clock.advance(SignedDuration::from_hours(24 * 400));
    let again = shop.buy(shop.receipt("1", 500)).await.unwrap();
    assert_eq!((again.points, again.balance, again.first), (first.points, first.balance, false));
    assert_eq!(shop.buy(shop.receipt("1", 501)).await, Err(PurchaseRefusal::ReceiptReused("1".to_owned())));
    assert_eq!(shop.available().await, 50);
}

#[tokio::test]
async fn each_receipt_of_a_batch_is_answered_by_itself() {
    let shop = Shop::open().await;
    shop.buy(shop.receipt("2", 100)).await.unwrap();
    let nobody = PurchaseRequest { member: MemberRef::Token(MemberId(Uuid::from_u128(404))), ..shop.receipt("5", 100) };
    let elsewhere = PurchaseRequest { terminal: TerminalId(Uuid::nil()), ..shop.receipt("6", 100) };
    let euros = PurchaseRequest { currency: "EUR".to_owned(), ..shop.receipt("7", 100) };
    let tomorrow = PurchaseRequest { purchased_at: "2026-11-24T12:00:00Z".parse().unwrap(), ..shop.receipt("8", 100) };
    let late = PurchaseRequest { purchased_at: "2026-11-21T08:00:00Z".parse().unwrap(), ..shop.receipt("9", 100) };
    let batch = vec![
        shop.receipt("1", 100),
        shop.receipt("2", 100),
        shop.receipt("3", 0),
        shop.receipt("4", -5),
        nobody,
        elsewhere,
        euros,
        tomorrow,
        late,
        shop.receipt("10", 99),
        shop.receipt("11", i64::MAX),
        shop.receipt("", 100),
    ];
    let answers = shop.purchases.record(batch.clone()).await;
    assert!(answers[0].as_ref().unwrap().first);
    assert!(!answers[1].as_ref().unwrap().first);
    assert_eq!(answers[2], Err(PurchaseRefusal::Amount { minor: 0, currency: "USD".to_owned() }));
    assert_eq!(answers[3], Err(PurchaseRefusal::Amount { minor: -5, currency: "USD".to_owned() }));
    assert_eq!(answers[4], Err(PurchaseRefusal::UnknownMember));
    assert!(matches!(answers[5], Err(PurchaseRefusal::UnknownTerminal(_))));
    assert!(matches!(answers[6], Err(PurchaseRefusal::Currency { .. })));
    assert!(matches!(answers[7], Err(PurchaseRefusal::Future { ahead_seconds: 86_400 })));
    assert!(answers[8].as_ref().unwrap().first, "a late receipt counts");
    assert_eq!(answers[9].as_ref().unwrap().points, Points(0), "less than a unit earns nothing and is recorded");
    assert!(matches!(answers[10], Err(PurchaseRefusal::Amount { .. })));
    assert_eq!(answers[11], Err(PurchaseRefusal::Receipt));
    let again = shop.purchases.record(batch).await;
    assert!([0, 1, 8, 9].iter().all(|n| !again[*n].as_ref().unwrap().first), "a repeated batch converges");
    assert_eq!(shop.available().await, 30);
}

#[tokio::test]
async fn a_return_takes_the_points_back_once() {
    let shop = Shop::open().await;
    let bought = shop.buy(shop.receipt("1", 700)).await.unwrap();
    let request = ReturnRequest { purchase: bought.purchase, member: shop.member, terminal: shop.terminal };
    let shard = shard_of(shop.member, 8);
    let first = shop.returns.submit(shard, request.clone()).await.unwrap().unwrap();
    assert_eq!((first.earned, first.clawed_back, first.first), (Points(70), Points(70), true));
    let again = shop.returns.submit(shard, request.clone()).await.unwrap().unwrap();
    assert_eq!((again.clawed_back, again.first), (Points(70), false));
    let unknown = ReturnRequest { purchase: purchase_id(shop.terminal, "never"), ..request };
    assert_eq!(shop.returns.submit(shard, unknown).await.unwrap(), Err(ReturnRefusal::UnknownPurchase));
    assert_eq!(shop.available().await, 0);

    let nothing = shop.buy(shop.receipt("2", 50)).await.unwrap();
    let request = ReturnRequest { purchase: nothing.purchase, member: shop.member, terminal: shop.terminal };
    let back = shop.returns.submit(shard, request).await.unwrap().unwrap();
    assert_eq!((back.earned, back.clawed_back), (Points(0), Points(0)));
}

#[tokio::test]
async fn a_member_code_works_once() {
    let shop = Shop::open().await;
    let now = || shop.clock.wall();
    let key = &shop.purchases.codes;
    let code = issue_code(shop.db.app(), key, &shop.entropy, shop.member, now()).await.unwrap();
    let with = |receipt: &str, text: &str| PurchaseRequest {
        member: MemberRef::Code(text.to_owned()),
        ..shop.receipt(receipt, 100)
    };
    assert_eq!(shop.buy(with("1", &code.text)).await.unwrap().member, shop.member);
    assert!(!shop.buy(with("1", &code.text)).await.unwrap().first, "the same receipt may ask again");
    assert_eq!(shop.buy(with("2", &code.text)).await, Err(PurchaseRefusal::Code(CodeError::Used)));
    assert_eq!(shop.buy(with("3", "H1.nonsense")).await, Err(PurchaseRefusal::Code(CodeError::Foreign)));
    let old = issue_code(shop.db.app(), key, &shop.entropy, shop.member, now()).await.unwrap();
    shop.clock.advance(SignedDuration::from_secs(61));
    assert_eq!(shop.buy(with("4", &old.text)).await, Err(PurchaseRefusal::Code(CodeError::Expired)));
    let logged: Vec<String> = sqlx::query_scalar("SELECT reason FROM loyalty.refused_code ORDER BY id")
        .fetch_all(shop.db.app())
        .await
        .unwrap();
    assert_eq!(logged, ["used", "expired"], "what anybody can make up is counted and not kept");
    let swept =
        |days: i64| hunch_loyalty::sweep_codes(shop.db.app(), now() + SignedDuration::from_hours(24 * days), 100);
    assert_eq!(swept(0).await.unwrap(), 0);
    assert_eq!(swept(2).await.unwrap(), 1, "the one that nobody used");
    assert_eq!(shop.buy(with("5", &old.text)).await, Err(PurchaseRefusal::Code(CodeError::Expired)));
    assert!(!shop.buy(with("1", &code.text)).await.unwrap().first, "the same receipt may still ask");
    assert_eq!(swept(91).await.unwrap(), 4, "the used one and three refusals");
    assert_eq!(shop.available().await, 10);
}

#[tokio::test]
async fn a_refused_receipt_leaves_the_code_good() {
    let shop = Shop::open().await;
    let now = || shop.clock.wall();
    let key = &shop.purchases.codes;
    shop.buy(shop.receipt("1", 500)).await.unwrap();
    let code = issue_code(shop.db.app(), key, &shop.entropy, shop.member, now()).await.unwrap();
    let with =
        |receipt: &str| PurchaseRequest { member: MemberRef::Code(code.text.clone()), ..shop.receipt(receipt, 100) };
    let reused = Err(PurchaseRefusal::ReceiptReused("1".to_owned()));
    assert_eq!(shop.buy(with("1")).await, reused);
    // One batch: refused, accepted with the same code, and too late.
    let answers = shop.purchases.record(vec![with("1"), with("2"), with("3"), with("2")]).await;
    assert_eq!(answers[0], reused);
    assert!(answers[1].as_ref().unwrap().first);
    assert_eq!(answers[2], Err(PurchaseRefusal::Code(CodeError::Used)));
    assert!(!answers[3].as_ref().unwrap().first);
    assert_eq!(shop.available().await, 60);
}

#[tokio::test]
async fn of_many_tills_that_scan_one_code_at_once_one_earns() {
    let shop = Shop::open().await;
    let now = shop.clock.wall();
    let code = issue_code(shop.db.app(), &shop.purchases.codes, &shop.entropy, shop.member, now).await.unwrap();
    let tills = (0..20).map(|n| {
        shop.buy(PurchaseRequest { member: MemberRef::Code(code.text.clone()), ..shop.receipt(&n.to_string(), 100) })
    });
    let answers = futures_util::future::join_all(tills).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let used = Err(PurchaseRefusal::Code(CodeError::Used));
    assert_eq!(answers.iter().filter(|answer| **answer == used).count(), 19);
    assert_eq!(shop.available().await, 10);
}

#[tokio::test]
async fn only_a_signed_request_of_a_known_till_is_believed() {
    let shop = Shop::open().await;
    let clocks = shop.purchases.clocks.clone();
    let sessions = TerminalSessions::new(
        shop.db.app().clone(),
        clocks.clone(),
        shop.entropy.clone(),
        SessionKeys::new(b"a key of tests"),
    );
    assert!(matches!(sessions.open(shop.terminal, "wrong").await, Err(SessionError::UnknownTerminal)));
    assert!(matches!(sessions.open(TerminalId(Uuid::nil()), &shop.secret).await, Err(SessionError::UnknownTerminal)));
    let session = sessions.open(shop.terminal, &shop.secret).await.unwrap();
    let timestamp = clocks.wall.now().as_second();
    let (method, path, body) = ("POST", "/v1/pos/purchases", &b"{}"[..]);
    let signature = hex::decode(sign(&session.key, timestamp, method, path, body)).unwrap();
    let request = SignedRequest { session: session.session, timestamp, method, path, body, signature: &signature };
    assert_eq!(sessions.verify(&request).await.unwrap().0, shop.terminal);
    let changed = [
        SignedRequest { body: b"{ }", ..request },
        SignedRequest { path: "/v1/pos/returns", ..request },
        SignedRequest { method: "PUT", ..request },
        SignedRequest { timestamp: timestamp + 1, ..request },
        SignedRequest { signature: b"", ..request },
    ];
    for request in changed {
        assert!(matches!(sessions.verify(&request).await, Err(SessionError::Signature)), "{request:?}");
    }
    assert!(matches!(
        sessions.verify(&SignedRequest { timestamp: timestamp - 301, ..request }).await,
        Err(SessionError::Old { .. })
    ));
    assert!(matches!(
        sessions.verify(&SignedRequest { session: Uuid::nil(), ..request }).await,
        Err(SessionError::UnknownSession)
    ));
    sessions.set_terminal(shop.terminal, false, "stolen", "operator").await.unwrap();
    assert!(matches!(sessions.verify(&request).await, Err(SessionError::UnknownSession)));
}
