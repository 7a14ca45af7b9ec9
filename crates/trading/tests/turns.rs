//! Between a stake and its sending an order may wait for its turn within the exchange's limits. What changed meanwhile
//! counts.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use futures_util::future::join_all;
use hunch_kernel::{MemberId, Points, Side, shard_of};
use hunch_safeguards::{Change, ExclusionTerm, StandingRequest};
use hunch_trading::{Order, OrderState};
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::{Bench, TICKER};

/// Two trials in one: the same wait, with what happens while it lasts left to the caller.
async fn waits_for_its_turn(bench: &Bench, member: MemberId, meanwhile: impl AsyncFnOnce(&Bench)) -> Order {
    let order = bench.stake(member, Side::Yes, 60).await.unwrap();
    bench.turns.send_replace(true);
    let dispatcher = bench.trading.clone();
    let dispatching = tokio::spawn(async move { dispatcher.dispatch_step(10).await });
    while bench.order(&order).await.state != OrderState::Sending {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    meanwhile(bench).await;
    bench.turns.send_replace(false);
    dispatching.await.unwrap().unwrap();
    bench.order(&order).await
}

fn orders_at_the_exchange(bench: &Bench) -> usize {
    bench.sim.state()["orders_by_client_order_id"].as_object().unwrap().len()
}

#[tokio::test]
async fn who_is_excluded_while_an_order_waits_for_its_turn_stakes_nothing() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    let before = orders_at_the_exchange(&bench);
    let order = waits_for_its_turn(&bench, member, async |bench| {
        let change = Change::Exclude(ExclusionTerm::SixMonths);
        let request = StandingRequest { member, home_zone: "America/New_York".to_owned(), change };
        bench.standing.submit(shard_of(member, 8), request).await.unwrap().unwrap();
    })
    .await;
    assert_eq!((order.state, order.reason.as_deref()), (OrderState::Refused, Some("standing_changed")));
    assert_eq!(orders_at_the_exchange(&bench), before);
    assert_eq!(bench.balance(member).await.available, Points(1_000));
    bench.books_fit().await;
}

#[tokio::test]
async fn an_order_that_the_resolver_took_over_is_not_sent_any_more() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    let before = orders_at_the_exchange(&bench);
    let order = waits_for_its_turn(&bench, member, async |bench| {
        // As long as after a crash: its owner is the resolver then.
        bench.seconds(21);
        bench.trading.resolve_step(10).await.unwrap();
    })
    .await;
    assert_eq!((order.state, order.reason.as_deref()), (OrderState::Refused, Some("not_placed")));
    assert_eq!(orders_at_the_exchange(&bench), before, "the dispatcher came too late");
    assert_eq!(bench.balance(member).await.available, Points(1_000));
    bench.books_fit().await;
}

#[tokio::test]
async fn an_order_that_waited_for_its_turn_is_filled_like_any_other() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    let order = waits_for_its_turn(&bench, member, async |bench| bench.seconds(3)).await;
    assert!(matches!(order.state, OrderState::Accepted | OrderState::Filled), "{order:?}");
    bench.work().await;
    assert_eq!(bench.order(&order).await.state, OrderState::Filled);
    bench.books_fit().await;
}

/// A push makes many look at the same game at once, and the exchange lets us read only so often.
#[tokio::test]
async fn a_crowd_before_one_game_reads_its_prices_once() {
    let bench = Bench::start().await;
    let mut members = Vec::new();
    for _ in 0..20 {
        members.push(bench.member(1_000).await);
    }
    bench.seconds(1);
    let before = bench.tops_read.load(Ordering::SeqCst);
    let quotes = join_all(members.iter().map(|member| bench.quote(*member, Side::Yes, 60))).await;
    let first = quotes[0].as_ref().unwrap().price;
    assert!(quotes.iter().all(|quote| quote.as_ref().unwrap().price == first));
    assert_eq!(bench.tops_read.load(Ordering::SeqCst) - before, 1);
    bench.book(TICKER, 44, 100, 50, 100);
    bench.seconds(1);
    assert_ne!(bench.quote(members[0], Side::Yes, 60).await.unwrap().price, first, "prices are not old for long");
}
