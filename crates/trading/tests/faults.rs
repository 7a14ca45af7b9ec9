//! What the exchange did and did not say: unknown outcomes, lost processes, whole days of mixed trouble.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use hunch_exchange_sim::{Fault, FaultKind, On, Outcome, Px, Qty};
use hunch_kernel::{Points, SeededEntropy, Side, shard_of};
use hunch_trading::{OrderState, OutcomeRequest};
use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{Bench, TICKER};

#[tokio::test]
async fn an_answer_that_never_came_is_found_out() {
    let bench = Bench::start().await;
    let member = bench.member(3_000).await;
    for fault in [
        FaultKind::Error5xx { status: 502, after_accept: true },
        FaultKind::Malformed2xx,
        FaultKind::TimeoutAfterAccept { hold_ms: 50 },
    ] {
        bench.sim.inject(Fault::once(fault.clone()));
        let order = bench.stake(member, Side::Yes, 60).await.unwrap();
        bench.trading.dispatch_step(10).await.unwrap();
        let unknown = bench.order(&order).await;
        assert_eq!(unknown.state, OrderState::Unknown, "{fault:?}");
        assert_eq!(bench.balance(member).await.held, order.hold, "its points stay held");
        bench.work_for(2).await;
        let order = bench.order(&order).await;
        assert_eq!((order.state, order.client_order_id), (OrderState::Filled, unknown.client_order_id), "{fault:?}");
    }
    assert_eq!(bench.trading.holdings(member, true, None, 10).await.unwrap().len(), 3);
    bench.books_fit().await;
}

#[tokio::test]
async fn while_the_quote_stands_the_same_order_goes_out_again() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 503, after_accept: false }));
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work_for(1).await;
    let order = bench.order(&order).await;
    assert_eq!((order.state, order.attempt), (OrderState::Filled, 1), "the same id, sent twice, taken once");
    bench.books_fit().await;
}

#[tokio::test]
async fn an_order_that_never_arrived_counts_as_not_placed_only_when_that_is_certain() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    // The exchange is out of order until the quote has lapsed.
    bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 503, after_accept: false }).times(1_000));
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work_for(10).await;
    bench.sim.clear_faults();
    assert_eq!(bench.order(&order).await.state, OrderState::Unknown);
    // Reads fail: silence is not an answer.
    bench.sim.inject(Fault::once(FaultKind::RateLimit).on(On::Read).times(10_000));
    bench.work_for(10).await;
    assert_eq!(bench.order(&order).await.state, OrderState::Unknown);
    bench.sim.clear_faults();
    bench.work_for(6).await;
    let order = bench.order(&order).await;
    assert_eq!((order.state, order.reason.as_deref()), (OrderState::Refused, Some("not_placed")));
    assert_eq!(bench.balance(member).await.available, Points(1_000));
    bench.books_fit().await;
}

/// A look-up by time must not begin at business time where the exchange goes by the wall clock.
#[tokio::test]
async fn an_unknown_order_is_found_though_business_time_was_moved_days_ahead() {
    let bench = Bench::start_ahead(SignedDuration::from_hours(72)).await;
    let member = bench.member(1_000).await;
    bench.sim.inject(Fault::once(FaultKind::TimeoutAfterAccept { hold_ms: 50 }));
    let taken = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.trading.dispatch_step(10).await.unwrap();
    assert_eq!(bench.order(&taken).await.state, OrderState::Unknown);
    bench.work_for(2).await;
    assert_eq!(bench.order(&taken).await.state, OrderState::Filled);

    // What the exchange never took is not believed so by data that ends before our sending.
    bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 503, after_accept: false }).times(1_000));
    let lost = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work_for(40).await;
    bench.sim.clear_faults();
    bench.work_for(40).await;
    assert_eq!(bench.order(&lost).await.state, OrderState::Unknown);
}

/// An order that is there and cannot be read is not an order that is not there.
#[tokio::test]
async fn an_order_that_cannot_be_read_is_not_taken_for_one_that_is_not_there() {
    for (field, value) in [("fill_count_fp", json!(null)), ("client_order_id", json!(12))] {
        let bench = Bench::start().await;
        let member = bench.member(1_000).await;
        bench.sim.inject(Fault::once(FaultKind::TimeoutAfterAccept { hold_ms: 50 }));
        let order = bench.stake(member, Side::Yes, 60).await.unwrap();
        bench.sim.inject(spoiled("orders", field, value).times(100_000));
        bench.trading.dispatch_step(10).await.unwrap();
        bench.work_for(60).await;
        assert_eq!(bench.order(&order).await.state, OrderState::Unknown, "{field}");
        bench.sim.clear_faults();
        bench.work_for(10).await;
        assert_eq!(bench.order(&order).await.state, OrderState::Filled, "{field}");
        bench.books_fit().await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_of_the_account_is_told_and_not_taken_for_nothing() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work_for(1).await;
    bench.seconds(6);
    bench.trading.reconcile_step().await.unwrap();
    bench.seconds(6);
    for (list, field) in [("fills", "count_fp"), ("market_positions", "position_fp")] {
        bench.sim.inject(spoiled(list, field, json!("many")));
        let found = bench.trading.reconcile_step().await.unwrap();
        assert_eq!(found.differences.len(), 1, "{list}: {:?}", found.differences);
        assert!(found.differences[0].contains("not understood"), "{list}: {:?}", found.differences);
        bench.seconds(6);
    }
    bench.books_fit().await;
}

fn spoiled(list: &str, field: &str, value: Value) -> Fault {
    let (list, name, field) = (list.to_owned(), TICKER.to_owned(), field.to_owned());
    Fault::once(FaultKind::SpoilElement { list, name, field, value, absent: false })
}

#[tokio::test]
async fn an_unknown_order_waits_however_long_it_takes() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 500, after_accept: true }));
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.trading.dispatch_step(10).await.unwrap();
    bench
        .sim
        .inject(Fault::once(FaultKind::Error5xx { status: 500, after_accept: false }).on(On::Any).times(1_000_000));
    for _ in 0..24 {
        bench.seconds(600);
        bench.trading.resolve_step(10).await.unwrap();
    }
    assert_eq!(bench.order(&order).await.state, OrderState::Unknown, "four hours of silence decide nothing");
    bench.sim.clear_faults();
    // Meanwhile the market ends. The stake is still paid.
    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    bench.markets.poll_step().await.unwrap();
    bench.trading.settle_step().await.unwrap();
    bench.work_for(6).await;
    assert_eq!(bench.order(&order).await.state, OrderState::Filled);
    bench.trading.settle_step().await.unwrap();
    assert!(bench.balance(member).await.available > Points(1_000));
    bench.books_fit().await;
}

#[tokio::test]
async fn a_market_is_not_corrected_before_all_its_orders_are_known() {
    let bench = Bench::start().await;
    let (early, late) = (bench.member(1_000).await, bench.member(1_000).await);
    bench.stake(early, Side::Yes, 60).await.unwrap();
    bench.work().await;
    bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 500, after_accept: true }));
    let order = bench.stake(late, Side::Yes, 60).await.unwrap();
    bench.trading.dispatch_step(10).await.unwrap();
    bench.end(TICKER, Outcome::Yes).await;
    let (market, no) = (TICKER.into(), hunch_exchange::MarketResult::No);
    let propose =
        || bench.trading.propose_correction(&market, no, hunch_kernel::Price::ZERO, "the feed was wrong", "operator");
    assert_eq!(propose().await, Err(hunch_trading::CorrectionRefusal::NotPaid), "one may still be found");
    bench.work_for(6).await;
    assert_eq!(bench.order(&order).await.state, OrderState::Filled);
    bench.trading.settle_step().await.unwrap();
    let proposed = propose().await.unwrap();
    bench.trading.approve_correction(proposed.id, "approver").await.unwrap();
    assert_eq!(bench.trading.correct_step().await.unwrap(), 2);
    for member in [early, late] {
        let holding = bench.trading.holdings(member, false, None, 1).await.unwrap().remove(0);
        assert_eq!(bench.balance(member).await.available, Points(1_000) - holding.position.cost);
    }
    bench.books_fit().await;
}

#[tokio::test]
async fn a_position_that_cannot_be_paid_holds_up_no_other() {
    let bench = Bench::start().await;
    let mut members = Vec::new();
    // All of one shard, so that one transaction would pay them.
    while members.len() < 5 {
        let member = bench.member(1_000).await;
        if shard_of(member, 8) == shard_of(*members.first().unwrap_or(&member), 8) {
            members.push(member);
        }
    }
    for member in &members {
        bench.stake(*member, Side::Yes, 60).await.unwrap();
        bench.work().await;
    }
    // Its hold is gone, so that the ledger refuses the payout.
    let broken = bench.trading.holdings(members[2], true, None, 1).await.unwrap().remove(0).position;
    let mut superuser = bench.db.superuser().await;
    sqlx::query("CREATE TABLE public.kept AS SELECT * FROM ledger.hold WHERE hold = $1")
        .bind(broken.order.0)
        .execute(&mut superuser)
        .await
        .unwrap();
    let gone = sqlx::query("DELETE FROM ledger.hold WHERE hold = $1").bind(broken.order.0);
    assert_eq!(gone.execute(&mut superuser).await.unwrap().rows_affected(), 1);
    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    bench.markets.poll_step().await.unwrap();
    assert!(bench.trading.settle_step().await.is_err(), "the operator hears of it");
    for member in &members {
        let holding = bench.trading.holdings(*member, false, None, 1).await.unwrap().remove(0);
        assert_eq!(holding.position.paid.is_some(), *member != members[2]);
    }
    // The alarm rings while she waits, and not only once she is paid.
    let unpaid = bench.trading.unpaid_step().await.unwrap();
    assert_eq!((unpaid.markets, unpaid.late), (1, 0));
    bench.seconds(46);
    assert!(bench.trading.settle_step().await.is_err());
    let unpaid = bench.trading.unpaid_step().await.unwrap();
    assert_eq!((unpaid.markets, unpaid.late, unpaid.longest.as_secs()), (1, 1, 46));
    // Mended, it is paid with the next step.
    sqlx::query("INSERT INTO ledger.hold SELECT * FROM public.kept").execute(&mut superuser).await.unwrap();
    assert_eq!(bench.trading.settle_step().await.unwrap().positions, 1);
    assert_eq!(bench.trading.unpaid_step().await.unwrap(), hunch_trading::Unpaid::default(), "and the alarm is over");
    bench.books_fit().await;
}

/// Nothing pays at all, as when the settlement hangs: the alarm does not depend on it.
#[tokio::test]
async fn the_alarm_rings_also_when_nobody_pays() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work().await;
    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    bench.markets.poll_step().await.unwrap();
    bench.seconds(46);
    assert_eq!(bench.trading.unpaid_step().await.unwrap(), hunch_trading::Unpaid::default(), "determined is not final");
    bench.sim.finalize(TICKER).unwrap();
    bench.markets.poll_step().await.unwrap();
    for (second, late) in [(0, 0), (45, 0), (46, 1), (600, 1)] {
        let unpaid = bench.trading.unpaid_step().await.unwrap();
        if unpaid.longest.as_secs() < second {
            bench.seconds(second - unpaid.longest.as_secs());
        }
        let unpaid = bench.trading.unpaid_step().await.unwrap();
        assert_eq!((unpaid.markets, unpaid.late), (1, late), "after {second} s");
    }
    bench.trading.settle_step().await.unwrap();
    assert_eq!(bench.trading.unpaid_step().await.unwrap(), hunch_trading::Unpaid::default());
    bench.books_fit().await;
}

#[tokio::test]
async fn a_process_that_dies_while_sending_leaves_an_owner() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    // Marked as sending, and gone: nobody can say whether it was sent.
    sqlx::query(
        "UPDATE trading.orders SET state = 'sending', sent_at = placed_at, sent_wall = placed_wall, sent_step = 1,
                sent_snapshot = pg_current_snapshot()
         WHERE order_id = $1",
    )
    .bind(order.id.0)
    .execute(bench.db.app())
    .await
    .unwrap();
    bench.work_for(15).await;
    assert_eq!(bench.order(&order).await.state, OrderState::Sending, "an answer may still come");
    bench.work_for(20).await;
    let order = bench.order(&order).await;
    assert_eq!((order.state, order.reason.as_deref()), (OrderState::Refused, Some("not_placed")));
    assert_eq!(bench.balance(member).await.available, Points(1_000));
}

#[tokio::test]
async fn busy_and_paused_exchanges_get_another_attempt_with_another_id() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.sim.inject(Fault::once(FaultKind::RateLimit).times(2));
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work_for(3).await;
    let filled = bench.order(&order).await;
    assert_eq!((filled.state, filled.attempt), (OrderState::Filled, 3));
    assert_ne!(filled.client_order_id, order.client_order_id);
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM trading.attempt WHERE order_id = $1")
        .bind(order.id.0)
        .fetch_one(bench.db.app())
        .await
        .unwrap();
    assert_eq!(stored, 3);
    bench.sim.pause(true, false);
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work_for(12).await;
    let refused = bench.order(&order).await;
    assert_eq!(refused.state, OrderState::Refused);
    assert!(matches!(refused.reason.as_deref(), Some("quote_expired" | "exchange_paused")), "{refused:?}");
    bench.books_fit().await;
}

#[tokio::test]
async fn the_first_word_about_an_order_counts() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work().await;
    let filled = bench.order(&order).await;
    assert_eq!(filled.state, OrderState::Filled);
    let late = OutcomeRequest { order: order.id, fate: hunch_trading::Fate::NotTaken { reason: "not_placed".into() } };
    let answers = bench.outcomes.submit_all(order.shard, vec![late.clone(), late]).await.unwrap();
    for answer in answers {
        let answer = answer.unwrap().unwrap();
        assert!(!answer.first);
        assert_eq!(answer.order, filled);
    }
    bench.books_fit().await;
}

/// Days of many members, both sides, many markets, every fault, every kind of result: at the end every point and every
/// dollar is where it belongs.
#[tokio::test]
async fn whole_days_of_mixed_trouble_add_up() {
    for seed in [1, 2, 3] {
        whole_day(seed).await;
    }
}

async fn whole_day(seed: u64) {
    let bench = Bench::start().await;
    let entropy = SeededEntropy::shared(seed);
    let dice = move |sides: usize| (entropy.uuid().as_u64_pair().0 >> 8) as usize % sides;
    let tickers: Vec<String> = (0..6).map(|n| format!("KXDAY-26NOV23-{n}")).collect();
    for (n, ticker) in tickers.iter().enumerate() {
        bench.list(ticker, n % 4).await;
    }
    let mut members = Vec::new();
    for _ in 0..8 {
        members.push(bench.member(2_000).await);
    }
    for _ in 0..60 {
        let ticker = &tickers[dice(tickers.len())];
        let middle = 20 + dice(60) as i64;
        bench.book(ticker, middle - 1, 1 + dice(30) as i64, 99 - middle, 1 + dice(30) as i64);
        match dice(12) {
            0 => bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 502, after_accept: true })),
            1 => bench.sim.inject(Fault::once(FaultKind::Error5xx { status: 503, after_accept: false })),
            2 => bench.sim.inject(Fault::once(FaultKind::Malformed2xx)),
            3 => bench.sim.inject(Fault::once(FaultKind::PartialFill { at_most: Qty(1 + dice(300) as i64) })),
            4 => bench.sim.inject(Fault::once(FaultKind::RateLimit)),
            5 => bench.sim.inject(Fault::once(FaultKind::RateLimit).on(On::Read)),
            _ => {}
        }
        let member = members[dice(members.len())];
        let side = if dice(2) == 0 { Side::Yes } else { Side::No };
        let points = 10 + dice(400) as i64;
        // Refusals are answers too.
        if let Ok(quote) = bench.trading.quote(member, &ticker.as_str().into(), side, Points(points)).await {
            let _ = bench.trading.confirm(member, quote.id).await;
        }
        if dice(3) == 0 {
            bench.work().await;
        }
        bench.seconds(dice(4) as i64);
    }
    bench.work_for(30).await;
    bench.books_fit().await;
    for (n, ticker) in tickers.iter().enumerate() {
        let outcome = match n % 3 {
            0 => Outcome::Yes,
            1 => Outcome::No,
            _ => Outcome::Scalar(Px::cents(1 + dice(98) as i64)),
        };
        bench.end(ticker, outcome).await;
    }
    bench.work_for(2).await;
    bench.trading.settle_step().await.unwrap();
    bench.books_fit().await;
    for ticker in &tickers {
        assert!(bench.market_balance(ticker).await.0.abs() <= 60, "{ticker}: {}", bench.market_balance(ticker).await);
    }
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM trading.orders WHERE resolved_at IS NULL")
        .fetch_one(bench.db.app())
        .await
        .unwrap();
    assert_eq!(open, 0);
    let made: i64 =
        sqlx::query_scalar("SELECT count(*) FROM trading.position").fetch_one(bench.db.app()).await.unwrap();
    assert!(made >= 15, "only {made} stakes were filled");
    let paid: i64 = sqlx::query_scalar("SELECT count(*) FROM trading.position WHERE paid_at IS NULL")
        .fetch_one(bench.db.app())
        .await
        .unwrap();
    assert_eq!(paid, 0);
}
