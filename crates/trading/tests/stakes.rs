//! Stakes from quote to result.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use hunch_exchange_sim::{Fault, FaultKind, Outcome, Px, Qty};
use hunch_kernel::{Count, Points, QuoteId, Side};
use hunch_markets::Kind;
use hunch_safeguards::{BreakTerm, Change, Denial, DenialCode, StandingRequest};
use hunch_trading::{OrderState, QuoteRefusal, StakeRefusal};
use support::{Bench, TICKER};
use uuid::Uuid;

#[tokio::test]
async fn a_stake_is_filled_and_wins() {
    let bench = Bench::start().await;
    let member = bench.member(500).await;
    let quote = bench.quote(member, Side::Yes, 100).await.unwrap();
    assert_eq!((quote.price.to_string().as_str(), quote.worst_price.to_string().as_str()), ("0.3500", "0.3700"));
    assert!(quote.hold <= Points(100) && quote.hold >= Points(99), "{quote:?}");
    assert_eq!((quote.kind, quote.pays.0), (Kind::Weather, quote.count.0), "a contract pays a hundred points");
    let order = bench.trading.confirm(member, quote.id).await.unwrap().order;
    assert_eq!(order.state, OrderState::Held);
    let balance = bench.balance(member).await;
    assert_eq!((balance.available, balance.held), (Points(500) - quote.hold, quote.hold));

    bench.work().await;
    let order = bench.order(&order).await;
    assert_eq!((order.state, order.filled), (OrderState::Filled, quote.count));
    assert!(order.captured < quote.hold, "the price was better than the worst: the rest came back");
    let balance = bench.balance(member).await;
    assert_eq!((balance.available, balance.held), (Points(500) - order.captured, Points::ZERO));
    let holding = bench.trading.holdings(member, true, None, 10).await.unwrap().remove(0);
    assert_eq!((holding.position.count, holding.position.cost), (quote.count, order.captured));
    assert_eq!(holding.value, Some(Points(quote.count.0 * 33 / 100)), "what buyers offer: 33 points a contract");
    assert!(holding.profit().unwrap() < Points::ZERO);

    bench.end(TICKER, Outcome::Yes).await;
    let paid = bench.balance(member).await;
    assert_eq!(paid.available, Points(500) - order.captured + quote.pays);
    assert!(bench.trading.holdings(member, true, None, 10).await.unwrap().is_empty());
    assert_eq!(bench.trading.settle_step().await.unwrap(), hunch_trading::Settled::default(), "paid once");
    bench.books_fit().await;
    assert!(bench.market_balance(TICKER).await.0.abs() <= 3);
}

#[tokio::test]
async fn both_sides_cancel_out_at_the_exchange_and_both_are_paid_from_our_book() {
    let bench = Bench::start().await;
    let (yes, no) = (bench.member(1_000).await, bench.member(1_000).await);
    bench.stake(yes, Side::Yes, 300).await.unwrap();
    bench.stake(no, Side::No, 300).await.unwrap();
    bench.work().await;
    bench.books_fit().await;
    let (has_yes, has_no) = (
        bench.trading.holdings(yes, true, None, 1).await.unwrap().remove(0).position,
        bench.trading.holdings(no, true, None, 1).await.unwrap().remove(0).position,
    );
    bench.end(TICKER, Outcome::Scalar(Px::cents(25))).await;
    assert_eq!(bench.balance(yes).await.available, Points(1_000) - has_yes.cost + Points(has_yes.count.0 * 25 / 100));
    assert_eq!(bench.balance(no).await.available, Points(1_000) - has_no.cost + Points(has_no.count.0 * 75 / 100));
    bench.books_fit().await;
    assert!(bench.market_balance(TICKER).await.0.abs() <= 4);
}

#[tokio::test]
async fn what_does_not_fill_comes_back_at_once() {
    let bench = Bench::start().await;
    let member = bench.member(3_000).await;
    bench.sim.inject(Fault::once(FaultKind::PartialFill { at_most: Qty(128) }));
    let partial = bench.stake(member, Side::Yes, 300).await.unwrap();
    bench.work().await;
    let partial = bench.order(&partial).await;
    assert_eq!(
        (partial.state, partial.filled, partial.reason.as_deref()),
        (OrderState::Partial, Count(128), Some("price_moved"))
    );
    let usage: i64 = sqlx::query_scalar("SELECT points FROM safeguards.usage WHERE kind = 1")
        .fetch_one(bench.db.app())
        .await
        .unwrap();
    let unfilled = partial.hold.0 * (partial.count.0 - 128) / partial.count.0;
    assert_eq!(usage, partial.hold.0 - unfilled, "only what did not fill gives the limit back (S2)");

    let killed = bench.stake(member, Side::Yes, 300).await.unwrap();
    bench.book(TICKER, 33, 20, 20, 10);
    bench.work().await;
    let killed = bench.order(&killed).await;
    assert_eq!((killed.state, killed.released, killed.captured), (OrderState::Killed, killed.hold, Points::ZERO));

    let late = bench.stake(member, Side::No, 300).await.unwrap();
    bench.sim.close(TICKER).unwrap();
    bench.work().await;
    let late = bench.order(&late).await;
    assert_eq!((late.state, late.reason.as_deref()), (OrderState::Refused, Some("market_closed")));
    assert_eq!(bench.balance(member).await.held, Points::ZERO);
    assert_eq!(bench.balance(member).await.available, Points(3_000) - partial.captured);
    bench.books_fit().await;
}

#[tokio::test]
async fn a_quote_gives_one_order_however_often_it_is_confirmed() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    let quote = bench.quote(member, Side::Yes, 100).await.unwrap();
    let confirmations = (0..100).map(|_| bench.trading.confirm(member, quote.id));
    let answers = futures_util::future::join_all(confirmations).await;
    let made: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(made.iter().filter(|a| a.first).count(), 1);
    assert!(made.iter().all(|a| a.order.id == quote.order()));
    assert_eq!(bench.balance(member).await.held, quote.hold);
    bench.work().await;
    assert_eq!(bench.trading.orders(member, None, 10).await.unwrap().len(), 1);
    bench.books_fit().await;
}

#[tokio::test]
async fn whoever_may_not_or_cannot_is_told_and_nothing_moves() {
    let bench = Bench::start().await;
    let (member, other) = (bench.member(150).await, bench.member(1_000).await);
    let quote = bench.quote(member, Side::Yes, 100).await.unwrap();
    assert_eq!(bench.trading.confirm(other, quote.id).await, Err(StakeRefusal::UnknownQuote), "not yours");
    assert_eq!(bench.trading.confirm(member, QuoteId(Uuid::nil())).await, Err(StakeRefusal::UnknownQuote));
    let second = bench.quote(member, Side::Yes, 100).await.unwrap();
    bench.trading.confirm(member, quote.id).await.unwrap();
    assert_eq!(
        bench.trading.confirm(member, second.id).await,
        Err(StakeRefusal::InsufficientPoints { available: Points(150) - quote.hold, needed: second.hold })
    );
    let stale = bench.quote(other, Side::Yes, 100).await.unwrap();
    bench.seconds(10);
    assert_eq!(bench.trading.confirm(other, stale.id).await, Err(StakeRefusal::QuoteExpired));
    assert_eq!(bench.quote(other, Side::Yes, 9).await, Err(QuoteRefusal::Stake { asked: Points(9) }));
    let nowhere = bench.trading.quote(other, &"KXNONE".into(), Side::Yes, Points(50)).await;
    assert_eq!(nowhere, Err(QuoteRefusal::UnknownMarket));

    let moved = bench.quote(other, Side::Yes, 100).await.unwrap();
    bench.book(TICKER, 50, 20, 40, 10);
    bench.seconds(2);
    bench.markets.sync_step().await.unwrap();
    assert!(matches!(bench.trading.confirm(other, moved.id).await, Err(StakeRefusal::PriceMoved { .. })));

    bench.trading.set_staking(false, "a drill", "operator").await.unwrap();
    assert_eq!(bench.quote(other, Side::Yes, 100).await, Err(QuoteRefusal::Paused));
    bench.trading.set_staking(true, "", "operator").await.unwrap();

    let quote = bench.quote(other, Side::No, 100).await.unwrap();
    let closing = bench.quote(other, Side::No, 100).await.unwrap();
    let request =
        StandingRequest { member: other, home_zone: "America/New_York".into(), change: Change::Break(BreakTerm::Day) };
    bench.standing.submit(hunch_kernel::shard_of(other, 8), request).await.unwrap().unwrap();
    let denied = StakeRefusal::Denied(Denial(DenialCode::OnBreak));
    assert_eq!(bench.trading.confirm(other, quote.id).await, Err(denied));
    bench.sim.close(TICKER).unwrap();
    bench.markets.hint(&TICKER.into());
    bench.markets.hint_step().await.unwrap();
    assert_eq!(bench.trading.confirm(other, closing.id).await, Err(StakeRefusal::MarketClosed));
    assert_eq!(bench.balance(other).await.available, Points(1_000));
}

#[tokio::test]
async fn a_limit_holds_against_parallel_stakes() {
    let bench = Bench::start().await;
    let member = bench.member(10_000).await;
    let mut quotes = Vec::new();
    for _ in 0..30 {
        quotes.push(bench.quote(member, Side::Yes, 400).await.unwrap());
    }
    let hold = quotes[0].hold;
    let answers = futures_util::future::join_all(quotes.iter().map(|q| bench.trading.confirm(member, q.id))).await;
    let made = answers.iter().filter(|a| a.is_ok()).count() as i64;
    assert_eq!(made, support::HOUSE.day.0 / hold.0);
    let denied = Err(StakeRefusal::Denied(Denial(DenialCode::DayLimit)));
    let refused: Vec<_> = answers.iter().filter(|a| a.is_err() && **a != denied).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(bench.balance(member).await.held, Points(made * hold.0));
}

#[tokio::test]
async fn a_change_of_standing_stops_an_order_that_waits() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    let order = bench.stake(member, Side::Yes, 100).await.unwrap();
    let request =
        StandingRequest { member, home_zone: "America/New_York".into(), change: Change::Break(BreakTerm::Day) };
    bench.standing.submit(hunch_kernel::shard_of(member, 8), request).await.unwrap().unwrap();
    bench.work().await;
    let order = bench.order(&order).await;
    assert_eq!((order.state, order.reason.as_deref()), (OrderState::Refused, Some("standing_changed")));
    assert_eq!(bench.balance(member).await.available, Points(1_000));
    // The switch stops what waits as well.
    let other = bench.member(1_000).await;
    let order = bench.stake(other, Side::Yes, 100).await.unwrap();
    bench.trading.set_staking(false, "a drill", "operator").await.unwrap();
    bench.work().await;
    assert_eq!(bench.order(&order).await.reason.as_deref(), Some("paused"));
    bench.books_fit().await;
}

/// Seen in a drill whose clock was set ahead: a permit was judged at one time and its order told another.
#[tokio::test]
async fn an_order_tells_the_time_its_permit_was_judged_at() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.placing_wall.jumps_after_one_reading();
    bench.stake(member, Side::Yes, 100).await.unwrap();
    let report = bench.audit().await;
    assert!(report.holds, "{}", report.to_text());
}

#[tokio::test]
async fn a_dispute_costs_nothing_and_a_correction_takes_two() {
    let bench = Bench::start().await;
    let (yes, no) = (bench.member(1_000).await, bench.member(1_000).await);
    bench.stake(yes, Side::Yes, 200).await.unwrap();
    bench.stake(no, Side::No, 200).await.unwrap();
    bench.work().await;
    let cost_yes = bench.trading.holdings(yes, true, None, 1).await.unwrap()[0].position.clone();
    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    bench.markets.poll_step().await.unwrap();
    assert_eq!(bench.trading.settle_step().await.unwrap().positions, 0, "determined is not final");
    bench.sim.dispute(TICKER).unwrap();
    bench.sim.amend(TICKER, Outcome::No).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    bench.markets.poll_step().await.unwrap();
    let settled = bench.trading.settle_step().await.unwrap();
    assert_eq!((settled.positions, settled.markets), (2, 1));
    assert_eq!(bench.balance(yes).await.available, Points(1_000) - cost_yes.cost);
    bench.books_fit().await;

    let ticker = TICKER.into();
    let one = hunch_kernel::Price::ONE;
    let proposed = bench.trading.propose_correction(
        &ticker,
        hunch_exchange::MarketResult::Yes,
        one,
        "the feed was wrong",
        "operator",
    );
    let proposed = proposed.await.unwrap();
    let refused = bench.trading.approve_correction(proposed.id, "operator").await;
    assert_eq!(refused, Err(hunch_trading::CorrectionRefusal::SamePerson));
    assert_eq!(bench.trading.correct_step().await.unwrap(), 0, "one person changes nothing");
    bench.trading.approve_correction(proposed.id, "approver").await.unwrap();
    // The winner that was has spent some of it.
    let had = bench.balance(no).await.available;
    assert_eq!(bench.trading.correct_step().await.unwrap(), 2);
    assert_eq!(bench.trading.correct_step().await.unwrap(), 0);
    assert!(bench.balance(no).await.available < had);
    assert_eq!(bench.balance(yes).await.available, Points(1_000) - cost_yes.cost + Points(cost_yes.count.0));
    bench.books_fit().await;
}

/// A hundred parked hints are looked for at once: of 250, each has had its turn after three rounds, however many newer ones
/// come meanwhile.
#[tokio::test]
async fn parked_hints_have_their_turns() {
    let bench = Bench::start().await;
    let hint = |n: u16| {
        let mut digest = [0u8; 32];
        digest[..2].copy_from_slice(&n.to_be_bytes());
        hunch_trading::Hint { digest, market: format!("KXPARK-{n:03}").as_str().into(), member: None }
    };
    for n in 0..250 {
        assert_eq!(bench.trading.take_hint(&hint(n)).await.unwrap(), hunch_trading::HintTaken::Parked);
    }
    // The one that was spoken of first appears at the exchange.
    bench.seconds(1);
    bench.list("KXPARK-000", 0).await;
    let mut found = 0;
    for round in 0..3 {
        for n in 0..100 {
            bench.trading.take_hint(&hint(300 + 100 * round + n)).await.unwrap();
        }
        bench.seconds(30);
        found += bench.trading.parked_hints_step().await.unwrap();
    }
    assert_eq!(found, 1);
    let never: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM trading.settlement_hint WHERE market < 'KXPARK-250' AND parked AND looked_wall = received_at",
    )
    .fetch_one(bench.db.app())
    .await
    .unwrap();
    assert_eq!(never, 0, "none was left out");
}
