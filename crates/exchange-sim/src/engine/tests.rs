use super::*;
use crate::book::BookSide::{Ask, Bid};
use crate::listing::Listing;
use crate::model::OrderStatus;
use proptest::prelude::*;
use std::collections::BTreeSet;

const TICKER: &str = "KXTEST-26NOV23-A";

fn at(second: i64) -> Now {
    let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    Now { time: start + jiff::SignedDuration::from_secs(second), wall: second * 1_000_000 }
}

/// One open market and `clients` accounts of `dollars` on each shard.
fn exchange(clients: usize, dollars: i64) -> Engine {
    let mut engine = Engine::new(1, at(0));
    for _ in 0..clients {
        engine.open_account([Cash::dollars(dollars); SHARDS]);
    }
    Listing::single(TICKER, "Social", at(0).time, at(3600).time).list(&mut engine, at(0)).unwrap();
    engine
}

fn order(side: BookSide, cents: i64, count: i64, time_in_force: TimeInForce) -> NewOrder {
    NewOrder {
        client_order_id: None,
        ticker: TICKER.to_owned(),
        side,
        count: Qty(count),
        price: Px::cents(cents),
        time_in_force,
        self_trade: SelfTrade::TakerAtCross,
        post_only: false,
        reduce_only: false,
        cancel_on_pause: false,
        expiration: None,
        shard: None,
        cap: None,
        rests: false,
    }
}

fn to(cents: i64, count: i64) -> Amendment {
    Amendment { price: Px::cents(cents), count: Qty(count), client_order_id: None, expiration: Expiry::Keep }
}

fn ioc(side: BookSide, cents: i64, count: i64) -> NewOrder {
    order(side, cents, count, TimeInForce::ImmediateOrCancel)
}

fn gtc(side: BookSide, cents: i64, count: i64) -> NewOrder {
    order(side, cents, count, TimeInForce::GoodTillCanceled)
}

fn cash(engine: &Engine, owner: usize) -> Cash {
    engine.accounts[owner].balance.now().cash[0]
}

fn book(engine: &mut Engine, yes: &[(i64, i64)], no: &[(i64, i64)]) {
    let levels = |l: &[(i64, i64)]| l.iter().map(|(p, c)| (Px::cents(*p), Qty(*c))).collect::<Vec<_>>();
    engine.set_book(at(0), TICKER, &levels(yes), &levels(no)).unwrap();
}

#[test]
fn the_taker_gets_the_better_price() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[(33, 10_000)], &[(65, 500), (60, 10_000)]);
    let placed = engine.place(at(1), 1, ioc(Bid, 45, 1_000)).unwrap().order;
    assert_eq!(placed.status, OrderStatus::Executed);
    // 5 at 0.35 and 5 at 0.40, not 10 at 0.45.
    assert_eq!(placed.taker_cost, Cash(1_750_000 + 2_000_000));
    assert_eq!(cash(&engine, 1), Cash::dollars(100) - placed.taker_cost - placed.taker_fees);
    assert_eq!(engine.audit(), Vec::<String>::new());
}

#[test]
fn a_pair_in_one_hand_is_one_dollar_at_once() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[(33, 10_000)], &[(65, 10_000)]);
    let bought = engine.place(at(1), 1, ioc(Bid, 35, 1_200)).unwrap().order;
    let before = cash(&engine, 1);
    let sold = engine.place(at(2), 1, ioc(Ask, 33, 1_000)).unwrap().order;
    // Ten NO at 0.67 cost 6.70, ten pairs pay 10.00.
    assert_eq!(cash(&engine, 1) - before, Cash::dollars(10) - Cash(6_700_000) - sold.taker_fees);
    let position = engine.position(1, TICKER).unwrap();
    assert_eq!((position.net, position.basis), (Qty(200), Cash(700_000)));
    assert_eq!(position.realized, Cash(-200_000));
    assert_eq!(bought.taker_cost, Cash(4_200_000));
    assert_eq!(engine.audit(), Vec::<String>::new());
}

#[test]
fn killed_and_unfilled_are_different_and_the_id_is_spent() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[], &[(65, 500)]);
    let named = |order: NewOrder, id: &str| NewOrder { client_order_id: Some(id.to_owned()), ..order };
    let fok = named(order(Bid, 35, 1_000, TimeInForce::FillOrKill), "one");
    assert_eq!(engine.place(at(1), 1, fok.clone()).unwrap_err(), Refusal::Killed);
    assert_eq!(engine.place(at(1), 1, fok).unwrap_err(), Refusal::AlreadyExists);
    let none = engine.place(at(2), 1, named(ioc(Bid, 20, 1_000), "two")).unwrap().order;
    assert_eq!((none.filled, none.remaining, none.status), (Qty::ZERO, Qty::ZERO, OrderStatus::Canceled));
    let part = engine.place(at(3), 1, named(ioc(Bid, 35, 1_000), "three")).unwrap().order;
    assert_eq!((part.filled, part.remaining, part.status), (Qty(500), Qty::ZERO, OrderStatus::Canceled));
}

#[test]
fn resting_orders_are_paid_for_and_cancelled_with_their_market() {
    let mut engine = exchange(2, 10);
    let rests = engine.place(at(1), 1, gtc(Bid, 50, 1_000)).unwrap().order;
    assert_eq!(engine.accounts[1].balance.now().available(0), Cash::dollars(5));
    assert_eq!(engine.place(at(1), 1, gtc(Bid, 60, 1_000)).unwrap_err(), Refusal::Balance);
    let taken = engine.place(at(2), 2, ioc(Ask, 40, 400)).unwrap().order;
    assert_eq!(taken.yes_notional, Cash(2_000_000), "at the resting price");
    assert_eq!(engine.audit(), Vec::<String>::new());
    engine.close(at(3), TICKER).unwrap();
    let closed = engine.orders[&rests.seq].now();
    assert_eq!((closed.status, closed.filled, closed.remaining), (OrderStatus::Canceled, Qty(400), Qty::ZERO));
    assert_eq!(engine.accounts[1].balance.now().reserved, [Cash::ZERO; SHARDS]);
    assert_eq!(engine.place(at(4), 1, ioc(Bid, 50, 100)).unwrap_err(), Refusal::MarketInactive);
}

#[test]
fn a_refused_amendment_leaves_the_order() {
    let mut engine = exchange(1, 10);
    let rests = engine.place(at(1), 1, gtc(Bid, 50, 1_000)).unwrap().order;
    assert_eq!(engine.amend(at(2), 1, rests.id, &to(50, 9_000)).unwrap_err(), Refusal::Balance);
    let off_grid = Amendment { price: Px(501), ..to(50, 900) };
    assert_eq!(engine.amend(at(2), 1, rests.id, &off_grid).unwrap_err(), Refusal::Price);
    let past = Amendment { expiration: Expiry::At(at(1).time), ..to(50, 1_000) };
    assert_eq!(engine.amend(at(2), 1, rests.id, &past).unwrap_err(), Refusal::Parameters("expiration_time"));
    let kept = engine.own_order(1, rests.id).unwrap();
    assert_eq!((kept.status, kept.price, kept.remaining), (OrderStatus::Resting, Px::cents(50), Qty(1_000)));
    assert_eq!(engine.audit(), Vec::<String>::new());
}

#[test]
fn an_amended_order_keeps_its_id_and_shows_its_new_price() {
    let mut engine = exchange(2, 100);
    let rests = engine.place(at(1), 1, gtc(Bid, 50, 1_000)).unwrap().order;
    // Four of its ten contracts fill, then it is made eight in all at another price, under another name.
    engine.place(at(2), 2, ioc(Ask, 50, 400)).unwrap();
    let renamed = Amendment { client_order_id: Some("new".to_owned()), ..to(40, 800) };
    let amended = engine.amend(at(3), 1, rests.id, &renamed).unwrap();
    assert_eq!(
        (amended.order.id, amended.order.seq, amended.filled, amended.resized),
        (rests.id, rests.seq, Qty::ZERO, true)
    );
    let read = engine.own_order(1, rests.id).unwrap();
    assert_eq!((read.price, read.initial, read.filled), (Px::cents(40), Qty(800), Qty(400)));
    assert_eq!((read.remaining, read.status, read.client_order_id.as_str()), (Qty(400), OrderStatus::Resting, "new"));
    assert_eq!(engine.amend(at(3), 1, rests.id, &renamed).unwrap_err(), Refusal::AlreadyExists, "E4");
    // At the new price it meets what it crosses, and is done.
    let sells = engine.place(at(4), 2, gtc(Ask, 45, 300)).unwrap().order;
    let crossing = engine.amend(at(5), 1, rests.id, &to(45, 800)).unwrap();
    assert_eq!((crossing.filled, crossing.yes_notional), (Qty(300), Px::cents(45).times(Qty(300))));
    assert_eq!((crossing.order.id, crossing.order.remaining), (rests.id, Qty(100)));
    assert_eq!(engine.own_order(2, sells.id).unwrap().status, OrderStatus::Executed);
    engine.place(at(6), 2, ioc(Ask, 45, 100)).unwrap();
    let done = engine.own_order(1, rests.id).unwrap();
    assert_eq!((done.status, done.filled, done.remaining), (OrderStatus::Executed, Qty(800), Qty::ZERO));
    assert_eq!(engine.accounts[1].balance.now().reserved, [Cash::ZERO; SHARDS]);
    assert_eq!(engine.audit(), Vec::<String>::new());
}

#[test]
fn what_keeps_its_place_in_the_queue_and_what_loses_it() {
    let mut engine = exchange(3, 100);
    let ahead = |engine: &Engine, order: &Order| {
        let order = engine.own_order(order.owner, order.id).unwrap();
        engine.markets[TICKER].book.ahead_of(order.side, order.price, order.seq)
    };
    let first = engine.place(at(1), 1, gtc(Bid, 50, 1_000)).unwrap().order;
    let second = engine.place(at(2), 2, gtc(Bid, 50, 700)).unwrap().order;
    assert_eq!((ahead(&engine, &first), ahead(&engine, &second)), (Qty::ZERO, Qty(1_000)));
    // Expiry alone, and less: the place stays.
    let later = Amendment { expiration: Expiry::At(at(60).time), ..to(50, 1_000) };
    let kept = engine.amend(at(3), 1, first.id, &later).unwrap();
    assert_eq!((kept.order.expiration, kept.resized, kept.filled), (Some(at(60).time), false, Qty::ZERO));
    engine.amend(at(4), 1, first.id, &to(50, 900)).unwrap();
    assert_eq!((ahead(&engine, &first), ahead(&engine, &second)), (Qty::ZERO, Qty(900)));
    assert_eq!(engine.own_order(1, first.id).unwrap().expiration, Some(at(60).time), "not mentioned: kept");
    // More: to the end, though the order is older than the one before it now.
    engine.amend(at(5), 1, first.id, &to(50, 901)).unwrap();
    assert_eq!((ahead(&engine, &first), ahead(&engine, &second)), (Qty(700), Qty::ZERO));
    let taker = engine.place(at(6), 3, ioc(Ask, 50, 700)).unwrap().order;
    assert_eq!((taker.filled, engine.own_order(2, second.id).unwrap().status), (Qty(700), OrderStatus::Executed));
    assert_eq!(engine.own_order(1, first.id).unwrap().filled, Qty::ZERO);
    // It lapses at its new time, or not at all when that is taken away.
    let endless = Amendment { expiration: Expiry::Remove, ..to(50, 901) };
    engine.amend(at(7), 1, first.id, &endless).unwrap();
    engine.advance(at(61));
    assert_eq!(engine.own_order(1, first.id).unwrap().status, OrderStatus::Resting);
    let soon = Amendment { expiration: Expiry::At(at(70).time), ..to(50, 901) };
    engine.amend(at(62), 1, first.id, &soon).unwrap();
    engine.advance(at(70));
    assert_eq!(engine.own_order(1, first.id).unwrap().status, OrderStatus::Canceled);
    assert_eq!(engine.audit(), Vec::<String>::new());
}

#[test]
fn a_fault_lets_an_immediate_order_rest() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[], &[(65, 500)]);
    let rests = engine.place(at(1), 1, NewOrder { rests: true, ..ioc(Bid, 35, 1_200) }).unwrap().order;
    assert_eq!((rests.filled, rests.remaining, rests.status), (Qty(500), Qty(700), OrderStatus::Resting));
    book(&mut engine, &[], &[(65, 700)]);
    let filled = engine.own_order(1, rests.id).unwrap();
    assert_eq!((filled.filled, filled.status), (Qty(1_200), OrderStatus::Executed));
    assert_eq!(engine.audit(), Vec::<String>::new());
}

#[test]
fn maintenance_begins_and_ends_by_itself() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[(33, 10_000)], &[(65, 10_000)]);
    engine.maintain(at(0), at(60).time, at(120).time);
    let refused = |engine: &mut Engine, second| {
        engine.advance(at(second));
        engine.place(at(second), 1, ioc(Bid, 35, 100)).err()
    };
    assert_eq!((refused(&mut engine, 59), engine.works(), engine.resumes()), (None, (true, true), None));
    assert_eq!(refused(&mut engine, 60), Some(Refusal::ExchangePaused));
    assert_eq!((engine.works(), engine.resumes()), ((false, false), Some(at(120).time)));
    assert_eq!((refused(&mut engine, 120), engine.works()), (None, (true, true)));
    engine.pause(at(121), true, false, Some(at(180).time));
    assert_eq!((refused(&mut engine, 121), engine.resumes()), (Some(Refusal::TradingPaused), Some(at(180).time)));
    engine.pause(at(122), true, true, Some(at(180).time));
    assert_eq!((refused(&mut engine, 122), engine.resumes()), (None, None));
}

#[test]
fn post_only_and_reduce_only() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[(33, 1_000)], &[(65, 1_000)]);
    let crossing = NewOrder { post_only: true, ..gtc(Bid, 35, 100) };
    assert_eq!(engine.place(at(1), 1, crossing).unwrap_err(), Refusal::Order("post only cross"));
    let nothing = NewOrder { reduce_only: true, ..ioc(Ask, 33, 100) };
    assert_eq!(engine.place(at(1), 1, nothing.clone()).unwrap().order.filled, Qty::ZERO);
    engine.place(at(2), 1, ioc(Bid, 35, 60)).unwrap();
    assert_eq!(engine.place(at(3), 1, nothing).unwrap().order.filled, Qty(60));
    assert_eq!(engine.position(1, TICKER).unwrap().net, Qty::ZERO);
}

#[test]
fn lifecycle_with_dispute_pays_the_amended_result_once() {
    let mut engine = exchange(1, 100);
    engine.settled_repeats = 2;
    book(&mut engine, &[(33, 10_000)], &[(65, 10_000)]);
    engine.place(at(1), 1, ioc(Bid, 35, 1_000)).unwrap();
    engine.advance(at(3600));
    assert_eq!(engine.status_of(TICKER), Ok(Status::Closed));
    engine.determine(at(3700), TICKER, Outcome::No, "").unwrap();
    engine.dispute(at(3710), TICKER).unwrap();
    engine.advance(at(9000));
    assert_eq!(engine.status_of(TICKER), Ok(Status::Disputed), "no payment while disputed");
    engine.amend_outcome(at(9000), TICKER, Outcome::Yes, "").unwrap();
    engine.advance(at(9059));
    assert_eq!(engine.status_of(TICKER), Ok(Status::Amended), "the timer starts anew");
    let before = cash(&engine, 1);
    engine.take_notices();
    engine.advance(at(9060));
    engine.advance(at(9061));
    assert_eq!(cash(&engine, 1) - before, Cash::dollars(10));
    let settled = engine.take_notices().iter().filter(|n| matches!(n, Notice::Settled { .. })).count();
    assert_eq!((settled, engine.settlements.len()), (3, 1));
    assert_eq!(engine.audit(), Vec::<String>::new());
}

#[test]
fn a_scalar_pays_whole_cents_of_the_net() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[(33, 10_000)], &[(65, 10_000)]);
    engine.place(at(1), 1, ioc(Bid, 35, 1_900)).unwrap();
    engine.place(at(2), 1, ioc(Ask, 33, 1_886)).unwrap();
    engine.determine(at(3), TICKER, Outcome::Scalar(Px::cents(45)), "").unwrap();
    engine.finalize(at(4), TICKER).unwrap();
    let row = &engine.settlements[0];
    assert_eq!(row.revenue_cents, 6, "0.14 net YES at 0.45");
    assert_eq!((row.position.yes_count, row.position.no_count), (Qty(1_900), Qty(1_886)));
    assert_eq!(engine.audit(), Vec::<String>::new());
}

#[test]
fn a_fault_caps_what_the_book_gives() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[], &[(65, 10_000)]);
    let placed = engine.place(at(1), 1, NewOrder { cap: Some(Qty(250)), ..ioc(Bid, 35, 1_000) }).unwrap().order;
    assert_eq!((placed.filled, placed.status), (Qty(250), OrderStatus::Canceled));
    let killed = NewOrder { cap: Some(Qty(250)), ..order(Bid, 35, 1_000, TimeInForce::FillOrKill) };
    assert_eq!(engine.place(at(1), 1, killed).unwrap_err(), Refusal::Killed);
}

#[test]
fn state_survives_the_file() {
    let mut engine = exchange(1, 100);
    book(&mut engine, &[(33, 10_000)], &[(65, 10_000)]);
    engine.place(at(1), 1, ioc(Bid, 35, 1_200)).unwrap();
    let text = serde_json::to_vec(&engine).unwrap();
    let back: Engine = serde_json::from_slice(&text).unwrap();
    assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&engine).unwrap());
    assert_eq!(back.audit(), Vec::<String>::new());
}

#[derive(Clone, Debug)]
enum Op {
    Place { owner: usize, order: NewOrder },
    Cancel { owner: usize, nth: usize },
    Decrease { owner: usize, nth: usize, to: i64 },
    Amend { owner: usize, nth: usize, cents: i64, count: i64 },
    Transfer { owner: usize, from: usize, to: usize, amount: i64 },
    SetBook { bid: i64, spread: i64, count: i64 },
    Pause(bool),
    End(Outcome),
}

fn any_order() -> impl Strategy<Value = NewOrder> {
    let force = prop_oneof![
        Just(TimeInForce::FillOrKill),
        Just(TimeInForce::ImmediateOrCancel),
        Just(TimeInForce::GoodTillCanceled)
    ];
    (any::<bool>(), 1i64..100, 1i64..3_000, force, any::<(bool, bool, bool)>()).prop_map(
        |(bid, cents, count, force, (maker, post_only, reduce_only))| NewOrder {
            self_trade: if maker { SelfTrade::Maker } else { SelfTrade::TakerAtCross },
            post_only,
            reduce_only: reduce_only && force == TimeInForce::ImmediateOrCancel,
            ..order(if bid { Bid } else { Ask }, cents, count, force)
        },
    )
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (1usize..4, any_order()).prop_map(|(owner, order)| Op::Place { owner, order }),
        2 => (1usize..4, 0usize..20).prop_map(|(owner, nth)| Op::Cancel { owner, nth }),
        1 => (1usize..4, 0usize..20, 0i64..500).prop_map(|(owner, nth, to)| Op::Decrease { owner, nth, to }),
        1 => (1usize..4, 0usize..20, 1i64..99, 1i64..2000)
            .prop_map(|(owner, nth, cents, count)| Op::Amend { owner, nth, cents, count }),
        1 => (1usize..4, 0usize..5, 0usize..5, -5i64..20)
            .prop_map(|(owner, from, to, amount)| Op::Transfer { owner, from, to, amount }),
        2 => (1i64..90, 1i64..9, 1i64..2_000).prop_map(|(bid, spread, count)| Op::SetBook { bid, spread, count }),
        1 => any::<bool>().prop_map(Op::Pause),
        1 => prop_oneof![Just(Outcome::Yes), Just(Outcome::No), (0i64..=100).prop_map(|c| Outcome::Scalar(Px::cents(c)))]
            .prop_map(Op::End),
    ]
}

fn perform(engine: &mut Engine, now: Now, op: Op) {
    let nth_order = |engine: &Engine, nth: usize| engine.orders.values().rev().nth(nth).map(|o| o.now().id);
    match op {
        Op::Place { owner, order } => drop(engine.place(now, owner, order)),
        Op::Cancel { owner, nth } => drop(nth_order(engine, nth).map(|id| engine.cancel(now, owner, id))),
        Op::Decrease { owner, nth, to } => {
            drop(nth_order(engine, nth).map(|id| engine.decrease(now, owner, id, |_| Qty(to))));
        }
        Op::Amend { owner, nth, cents, count } => {
            drop(nth_order(engine, nth).map(|id| engine.amend(now, owner, id, &to(cents, count))));
        }
        Op::Transfer { owner, from, to, amount } => {
            drop(engine.transfer(now, owner, from, to, Cash::dollars(amount), None));
        }
        Op::SetBook { bid, spread, count } => {
            let no = Px::cents(100 - bid - spread);
            drop(engine.set_book(now, TICKER, &[(Px::cents(bid), Qty(count))], &[(no, Qty(count * 2))]));
        }
        Op::Pause(active) => engine.pause(now, true, active, None),
        Op::End(outcome) => {
            let _ = engine.determine(now, TICKER, outcome, "");
            let _ = engine.finalize(now, TICKER);
        }
    }
}

proptest! {
    /// E1–E3 after every step of any history, and an open book is never crossed.
    #[test]
    fn money_and_contracts_are_conserved(ops in prop::collection::vec(any_op(), 1..60), fees in any::<bool>()) {
        let mut engine = exchange(3, 20);
        if fees && let Some(market) = engine.markets.get_mut(TICKER) {
            market.fees.fee_type = crate::fees::FeeType::QuadraticWithMakerFees;
        }
        for (second, op) in ops.into_iter().enumerate() {
            perform(&mut engine, at(second as i64), op);
            prop_assert_eq!(engine.audit(), Vec::<String>::new());
            let book = &engine.markets[TICKER].book;
            if let (Some((bid, _)), Some((ask, _))) = (book.best(Bid), book.best(Ask)) {
                prop_assert!(bid < ask);
            }
        }
    }

    /// A YES and a NO always leave as exactly one dollar, whatever they cost and however they were cut.
    #[test]
    fn netting_pays_a_dollar_a_pair(trades in prop::collection::vec((any::<bool>(), 1i64..100, 1i64..2_000), 1..40)) {
        let mut position = Position::new(at(0).time);
        let (mut yes, mut no, mut paid) = (0, 0, Cash::ZERO);
        for (bid, cents, count) in trades {
            let effect = position.trade(if bid { Bid } else { Ask }, Px::cents(cents), Qty(count));
            if bid { yes += count } else { no += count }
            paid += effect.pair_cash;
            prop_assert_eq!(position.net, Qty(yes - no));
            prop_assert_eq!(paid, Px::ONE.times(Qty(yes.min(no))));
            prop_assert!(position.basis >= Cash::ZERO);
            prop_assert!(position.net != Qty::ZERO || position.basis == Cash::ZERO);
        }
    }
}

/// Three business hours of a believable day with a busy client: every open market stays two-sided and
/// uncrossed, and nothing is lost, whatever the seed.
#[test]
fn the_house_keeps_believable_books() {
    for seed in 0..4 {
        let mut engine = Engine::new(seed, at(0));
        engine.open_account([Cash::dollars(5_000); SHARDS]);
        engine.house_step_micros = 2_000_000;
        crate::day::believable(seed, at(0).time).iter().for_each(|l| l.list(&mut engine, at(0)).unwrap());
        let (mut outcomes, mut dice) = (BTreeSet::new(), Dice::new(seed));
        for second in (0..3 * 3600).step_by(20) {
            engine.advance(at(second));
            let open: Vec<String> = engine
                .markets
                .values()
                .filter(|m| m.status() == Status::Active)
                .map(|m| m.spec.ticker.clone())
                .collect();
            let ticker = open[dice.between(0, open.len() as i64 - 1) as usize].clone();
            let side = if dice.percent(50) { Bid } else { Ask };
            let count = dice.between(100, 300_000);
            let force = [TimeInForce::ImmediateOrCancel, TimeInForce::FillOrKill, TimeInForce::GoodTillCanceled];
            let force = force[dice.between(0, 2) as usize];
            let placed =
                engine.place(at(second), 1, NewOrder { ticker, ..order(side, dice.between(1, 99), count, force) });
            outcomes.insert(match placed {
                Ok(p) if p.order.filled == Qty::ZERO => "nothing",
                Ok(p) if p.order.filled < p.order.initial => "partly",
                Ok(_) => "filled",
                Err(Refusal::Killed) => "killed",
                Err(_) => "refused",
            });
            for market in engine.markets.values().filter(|m| m.status() == Status::Active) {
                let (bid, ask) = (market.book.best(Bid), market.book.best(Ask));
                assert!(bid.is_none() || ask.is_none() || bid < ask, "{} is crossed", market.spec.ticker);
            }
        }
        assert_eq!(engine.audit(), Vec::<String>::new());
        assert_eq!(outcomes.len(), 5, "{outcomes:?}");
        assert!(engine.markets.values().any(|m| m.status() == Status::Finalized));
        assert!(engine.settlements.iter().any(|s| matches!(s.outcome, Outcome::Scalar(_)) || s.revenue_cents > 0));
    }
}
