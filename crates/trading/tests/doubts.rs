//! An exchange that says what cannot be so: nothing of it is booked, everything is found out, and a person is told.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use hunch_exchange_sim::{Fault, FaultKind};
use hunch_kernel::{Count, Dollars, Points, Price, Side};
use hunch_trading::{EndRefusal, Finding, Order, OrderState};
use std::sync::atomic::Ordering;
use support::{Bench, TICKER};

fn lie(field: &str, value: &str) -> Fault {
    Fault::once(FaultKind::Misreport { field: field.to_owned(), value: value.to_owned() })
}

fn seen(order: &Order) -> (OrderState, Option<&str>) {
    (order.state, order.doubt.as_deref())
}

#[tokio::test]
async fn what_still_rests_is_no_kill_and_is_taken_out_of_the_book() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.sim.inject(Fault::once(FaultKind::RestRemainder));
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    // The price runs away, so that nothing fills; the exchange leaves the order in its book.
    bench.book(TICKER, 33, 20, 20, 10);
    bench.trading.dispatch_step(10).await.unwrap();
    let doubted = bench.order(&order).await;
    assert_eq!(seen(&doubted), (OrderState::Unknown, Some("still_resting")));
    assert_eq!(bench.balance(member).await.held, order.hold, "its points stay held");
    bench.work_for(2).await;
    let ended = bench.order(&order).await;
    assert_eq!((ended.state, ended.released), (OrderState::Killed, order.hold));
    // The price comes back: nothing of ours waits there any more.
    bench.book(TICKER, 33, 20, 65, 12);
    assert!(bench.trading.holdings(member, true, None, 10).await.unwrap().is_empty());
    bench.books_fit().await;
}

#[tokio::test]
async fn what_fills_after_the_answer_is_the_members() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.sim.inject(Fault::once(FaultKind::RestRemainder));
    bench.cancels_fail.store(true, Ordering::SeqCst);
    let order = bench.stake(member, Side::Yes, 100).await.unwrap();
    // One contract is to be had, the rest stays in the book.
    bench.book(TICKER, 33, 20, 65, 1);
    bench.work_for(3).await;
    let doubted = bench.order(&order).await;
    assert_eq!(seen(&doubted), (OrderState::Unknown, Some("still_resting")));
    assert_eq!(bench.trading.holdings(member, true, None, 10).await.unwrap().len(), 0, "not booked before it is over");
    // Later somebody sells at our price.
    bench.book(TICKER, 33, 20, 65, 12);
    bench.work_for(6).await;
    let ended = bench.order(&order).await;
    assert_eq!((ended.state, ended.filled), (OrderState::Filled, order.count));
    assert!(ended.captured <= order.hold);
    bench.books_fit().await;
}

#[tokio::test]
async fn a_part_that_filled_before_the_rest_was_cancelled_is_kept() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.sim.inject(Fault::once(FaultKind::RestRemainder));
    let order = bench.stake(member, Side::Yes, 100).await.unwrap();
    bench.book(TICKER, 33, 20, 65, 1);
    bench.work_for(2).await;
    let ended = bench.order(&order).await;
    assert_eq!((ended.state, ended.filled), (OrderState::Partial, Count::whole(1)));
    bench.books_fit().await;
}

#[tokio::test]
async fn impossible_answers_are_looked_up() {
    let bench = Bench::start().await;
    let member = bench.member(3_000).await;
    for (field, value, doubt) in [
        ("fill_count", "999.00", Some("filled_more_than_asked")),
        ("average_fill_price", "0.9900", Some("too_dear")),
        ("average_fee_paid", "3.000000", Some("fee_too_high")),
        ("average_fee_paid", "-0.010000", Some("negative")),
        ("remaining_count", "1.00", Some("still_resting")),
        // These are no answers at all.
        ("fill_count", "-1.00", None),
        ("order_id", "", None),
    ] {
        bench.sim.inject(lie(field, value));
        let order = bench.stake(member, Side::Yes, 60).await.unwrap();
        bench.trading.dispatch_step(10).await.unwrap();
        assert_eq!(seen(&bench.order(&order).await), (OrderState::Unknown, doubt), "{field} {value}");
        assert_eq!(bench.balance(member).await.held, order.hold, "its points stay held");
        bench.work_for(2).await;
        let ended = bench.order(&order).await;
        assert_eq!((ended.state, ended.filled), (OrderState::Filled, order.count), "{field} {value}");
        // Twelve contracts lie there at this price: more for the next.
        bench.book(TICKER, 33, 20, 65, 12);
    }
    bench.books_fit().await;
}

/// The answer told of more than there was, and nothing impossible. Reads lag, so it is given time; then they count.
#[tokio::test]
async fn an_answer_that_the_complete_data_belies_does_not_stay_accepted_for_ever() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    let order = bench.stake(member, Side::Yes, 100).await.unwrap();
    bench.book(TICKER, 33, 20, 65, 1);
    bench.sim.inject(lie("fill_count", "2.00"));
    bench.work_for(10).await;
    let told = bench.order(&order).await;
    assert_eq!((told.state, told.filled), (OrderState::Accepted, Count::whole(2)));
    bench.work_for(20).await;
    let ended = bench.order(&order).await;
    assert_eq!((ended.state, ended.filled), (OrderState::Partial, Count::whole(1)));
    assert_eq!(ended.doubt.as_deref(), Some("less_than_told"));
    bench.books_fit().await;
}

/// Answer and reads say what cannot be so, and go on saying it. A person is told, and ends the order.
#[tokio::test]
async fn what_stays_impossible_is_ended_by_a_person() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.sim.inject(lie("fill_count", "999.00"));
    bench.sim.inject(lie("fill_count_fp", "999.00").path("/portfolio/orders").times(1_000_000));
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.work_for(59).await;
    assert_eq!(bench.trading.unclear_step().await.unwrap(), 0);
    bench.work_for(2).await;
    let unclear = bench.trading.unclear_orders().await.unwrap();
    assert_eq!((unclear.len(), unclear[0].id), (1, order.id));
    assert_eq!(seen(&unclear[0]), (OrderState::Unknown, Some("filled_more_than_asked")));
    assert_eq!(bench.trading.unclear_step().await.unwrap(), 1);
    assert_eq!(bench.balance(member).await.held, order.hold, "nobody guesses");

    let finding =
        |filled: Count, cost: Dollars, fees: Dollars| Finding { filled, cost, fees, reason: "their desk".into() };
    let end = |finding: Finding| {
        let (trading, id) = (bench.trading.clone(), order.id);
        async move { trading.end_unclear(id, &finding, "operator").await.unwrap() }
    };
    let worst: Price = order.worst_price;
    let too_much = finding(Count(order.count.0 + 1), Dollars::ZERO, Dollars::ZERO);
    assert_eq!(end(too_much).await, Err(EndRefusal::Impossible));
    let too_dear = finding(order.count, worst.times_up(order.count) + Dollars(1), Dollars::ZERO);
    assert_eq!(end(too_dear).await, Err(EndRefusal::Impossible));
    // The truth, as the exchange's fills tell it.
    bench.trading.reconcile_step().await.unwrap();
    let (count, cost, fees): (i64, i64, i64) = sqlx::query_as(
        "SELECT sum(count)::bigint, sum(count * price / 100)::bigint, sum(fee_micros)::bigint FROM trading.fill",
    )
    .fetch_one(bench.db.app())
    .await
    .unwrap();
    let ended = end(finding(Count(count), Dollars(cost), Dollars(fees))).await.unwrap();
    assert_eq!((ended.state, ended.filled), (OrderState::Filled, order.count));
    assert_eq!(bench.balance(member).await.held, Points::ZERO);
    assert_eq!(bench.trading.unclear_step().await.unwrap(), 0);
    assert_eq!(end(finding(Count(count), Dollars(cost), Dollars(fees))).await, Err(EndRefusal::NotUnclear));
    let by: Option<String> = sqlx::query_scalar("SELECT ended_by FROM trading.orders WHERE order_id = $1")
        .bind(order.id.0)
        .fetch_one(bench.db.app())
        .await
        .unwrap();
    assert_eq!(by.as_deref(), Some("operator: their desk"));
    bench.sim.clear_faults();
    bench.books_fit().await;
}
