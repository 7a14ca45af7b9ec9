//! The client against the simulator, over real sockets.

use hunch_exchange::{
    Exchange, ExchangeError, ExchangeShard, LifecycleKind, MarketQuery, MarketResult, MarketStatus, NewOrder,
    RefusalClass, SentAt, StreamEvent, SubmitOutcome,
};
use hunch_exchange_sim::{
    Cash, ExchangeSim, Fault, FaultKind, KeyConfig, KeyPair, Listing, On, Outcome, Px, Qty, SimConfig, SimHandle, Tier,
};
use hunch_kalshi::{Kalshi, KalshiConfig};
use hunch_kernel::{Clocks, Count, Dollars, ManualClock, MarketTicker, Price, SeededEntropy, Side};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

const TICKER: &str = "KXTEST-26NOV23-A";

struct Bench {
    sim: SimHandle,
    kalshi: Kalshi,
    clock: Arc<ManualClock>,
}

async fn submit(kalshi: &Kalshi, order: &NewOrder) -> SubmitOutcome {
    let turn = kalshi.turn().await.expect("there is room for an order");
    kalshi.submit(order, turn).await
}

impl Bench {
    async fn submit(&self, order: &NewOrder) -> SubmitOutcome {
        submit(&self.kalshi, order).await
    }

    async fn start() -> Bench {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let clocks = Clocks::manual(clock.clone());
        let pair = KeyPair::ed25519(SeededEntropy::shared(7).as_ref()).unwrap();
        let key = KeyConfig { key_id: "key-1".to_owned(), public_key_pem: pair.public_pem.clone(), account: 1 };
        let config = SimConfig { tier: Tier::PREMIER, ..SimConfig::quiet(clocks.clone(), vec![key]) };
        let sim = ExchangeSim::start(config).await.unwrap();
        let now = clocks.business.now();
        let close: Timestamp = "2026-11-23T20:00:00Z".parse().unwrap();
        sim.list(&Listing::single(TICKER, "Climate and Weather", now, close).settlement_timer(60)).unwrap();
        // YES can be bought at 0.35 (12 contracts), NO at 0.67 (20 contracts).
        sim.set_book(TICKER, &[(Px::cents(33), Qty::whole(20))], &[(Px::cents(65), Qty::whole(12))]).unwrap();
        let config = KalshiConfig {
            rest_url: sim.rest_url(),
            ws_url: sim.ws_url(),
            key_id: "key-1".to_owned(),
            private_key_pem: SecretString::from(pair.private_pem),
        };
        let kalshi = Kalshi::new(&config, clocks.wall).unwrap();
        Bench { sim, kalshi, clock }
    }

    fn sent(&self) -> SentAt {
        SentAt { business: self.now(), wall: self.clock.wall() }
    }

    fn now(&self) -> Timestamp {
        use hunch_kernel::Clock;
        self.clock.now()
    }
}

fn ticker() -> MarketTicker {
    TICKER.into()
}

fn order(id: u128, side: Side, contracts: i64, cents: i64) -> NewOrder {
    NewOrder {
        client_order_id: Uuid::from_u128(id),
        ticker: ticker(),
        side,
        count: Count::whole(contracts),
        worst_price: Price::from_micros(cents * 10_000).unwrap(),
        exchange_shard: ExchangeShard(0),
    }
}

/// The basic tier lets ten orders through at once and promises twenty more.
#[tokio::test]
async fn an_account_of_a_higher_tier_may_ask_more() {
    let bench = Bench::start().await;
    let turns = async || {
        let asked = futures_util::future::join_all((0..100).map(|_| bench.kalshi.turn())).await;
        asked.iter().flatten().count()
    };
    assert_eq!(turns().await, 30);
    bench.kalshi.learn_limits().await.unwrap();
    bench.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(turns().await, 100);
}

#[tokio::test]
async fn stakes_fill_partly_fill_or_are_killed() {
    let bench = Bench::start().await;
    let SubmitOutcome::Accepted(yes) = bench.submit(&order(1, Side::Yes, 5, 40)).await else { panic!("not taken") };
    assert_eq!(
        (yes.filled, yes.cost, yes.average_price),
        (Count::whole(5), "1.75".parse().unwrap(), Price::from_micros(350_000).ok())
    );
    assert!(yes.fees > Dollars::ZERO);
    let SubmitOutcome::Accepted(no) = bench.submit(&order(2, Side::No, 3, 70)).await else { panic!("not taken") };
    assert_eq!((no.filled, no.cost), (Count::whole(3), "2.01".parse().unwrap()), "NO costs 1 - 0.33");
    let SubmitOutcome::Accepted(part) = bench.submit(&order(3, Side::Yes, 50, 35)).await else { panic!("not taken") };
    assert_eq!((part.filled, part.resting), (Count::whole(7), Count::ZERO));
    let SubmitOutcome::Accepted(kill) = bench.submit(&order(4, Side::Yes, 1, 10)).await else { panic!("not taken") };
    assert_eq!((kill.filled, kill.cost, kill.average_price), (Count::ZERO, Dollars::ZERO, None));

    let found = bench.kalshi.find_order(Uuid::from_u128(1), &ticker(), bench.sent()).await.unwrap().unwrap();
    assert_eq!((found.filled, found.cost, found.fees), (yes.filled, yes.cost, yes.fees));
    assert_eq!(bench.kalshi.find_order(Uuid::from_u128(99), &ticker(), bench.sent()).await.unwrap(), None);
    assert_eq!(bench.submit(&order(1, Side::Yes, 5, 40)).await, SubmitOutcome::AlreadyExists);

    let positions = bench.kalshi.positions(None).await.unwrap();
    assert_eq!(positions.items[0].net, Count::whole(9), "12 YES and 3 NO cancel to 9 YES");
    let fills = bench.kalshi.fills(bench.now(), None).await.unwrap();
    assert_eq!(fills.items.iter().map(|f| f.count.0).sum::<i64>(), 1_500);
    assert_eq!(fills.next, None);
    assert!(!bench.kalshi.cash().await.unwrap().is_empty());
}

#[tokio::test]
async fn each_refusal_is_known_for_what_it_is() {
    let bench = Bench::start().await;
    let class = |outcome: SubmitOutcome| match outcome {
        SubmitOutcome::Refused { class, .. } => Some(class),
        _ => None,
    };
    let off_grid = NewOrder { worst_price: Price::from_micros(355_000).unwrap(), ..order(1, Side::Yes, 1, 1) };
    assert_eq!(class(bench.submit(&off_grid).await), Some(RefusalClass::Price));
    let nowhere = NewOrder { ticker: "KXNONE".into(), ..order(2, Side::Yes, 1, 40) };
    assert_eq!(class(bench.submit(&nowhere).await), Some(RefusalClass::MarketClosed));
    bench.sim.pause(true, false);
    assert_eq!(class(bench.submit(&order(3, Side::Yes, 1, 40)).await), Some(RefusalClass::ExchangePaused));
    bench.sim.pause(true, true);
    bench.sim.inject(Fault::once(FaultKind::RateLimit));
    assert_eq!(class(bench.submit(&order(4, Side::Yes, 1, 40)).await), Some(RefusalClass::RateLimited));
    bench.sim.close(TICKER).unwrap();
    assert_eq!(class(bench.submit(&order(5, Side::Yes, 1, 40)).await), Some(RefusalClass::MarketClosed));
}

#[tokio::test]
async fn what_may_have_been_taken_is_unknown_and_can_be_found() {
    let bench = Bench::start().await;
    let faults = [
        FaultKind::Error5xx { status: 502, after_accept: true },
        FaultKind::Error5xx { status: 503, after_accept: false },
        FaultKind::Malformed2xx,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let id = 10 + n as u128;
        let taken = !matches!(fault, FaultKind::Error5xx { after_accept: false, .. });
        bench.sim.inject(Fault::once(fault));
        let outcome = bench.submit(&order(id, Side::Yes, 1, 40)).await;
        assert!(matches!(outcome, SubmitOutcome::Unknown { .. }), "{outcome:?}");
        let found = bench.kalshi.find_order(Uuid::from_u128(id), &ticker(), bench.sent()).await.unwrap();
        assert_eq!(found.map(|o| o.filled), taken.then_some(Count::whole(1)));
        // Sending the very same order again is the safe probe.
        let again = bench.submit(&order(id, Side::Yes, 1, 40)).await;
        assert_eq!(again == SubmitOutcome::AlreadyExists, taken, "{again:?}");
    }
    bench.sim.inject(Fault::once(FaultKind::PartialFill { at_most: Qty(28) }));
    let SubmitOutcome::Accepted(part) = bench.submit(&order(20, Side::Yes, 1, 40)).await else { panic!("not taken") };
    assert_eq!(part.filled, Count(28), "a fill is never cut to whole contracts");
}

#[tokio::test]
async fn markets_are_read_with_their_results() {
    let bench = Bench::start().await;
    let open = bench.kalshi.markets(&MarketQuery::Open, None).await.unwrap();
    let market = &open.items[0];
    assert_eq!(
        (market.status, market.yes_ask, market.result),
        (MarketStatus::Active, Price::from_micros(350_000).ok(), None)
    );
    assert_eq!(
        bench.kalshi.book_top(&ticker()).await.unwrap().yes_ask.unwrap().0,
        Price::from_micros(350_000).unwrap()
    );
    assert!(bench.kalshi.series().await.unwrap().iter().any(|s| s.category == "Climate and Weather"));
    assert!(bench.kalshi.event(&market.event).await.unwrap().is_some());
    assert!(bench.kalshi.market(&"KXNONE".into()).await.unwrap().is_none());

    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Scalar(Px::cents(50))).unwrap();
    let determined = bench.kalshi.market(&ticker()).await.unwrap().unwrap();
    assert_eq!((determined.status, determined.result), (MarketStatus::Determined, Some(MarketResult::Scalar)));
    bench.sim.finalize(TICKER).unwrap();
    let query = MarketQuery::Tickers(vec![ticker()]);
    let finalized = bench.kalshi.markets(&query, None).await.unwrap().items.remove(0);
    assert_eq!(
        (finalized.status, finalized.settlement_value),
        (MarketStatus::Finalized, Price::from_micros(500_000).ok())
    );
    assert!(finalized.settled_at.is_some());
    assert!(bench.kalshi.status().await.unwrap().trading_active);
    bench.kalshi.data_as_of().await.unwrap();
}

#[tokio::test]
async fn the_socket_tells_of_fills_and_results_and_of_its_own_gaps() {
    let bench = Bench::start().await;
    let mut stream = bench.kalshi.stream().await.unwrap();
    while bench.sim.sockets() == 0 {
        tokio::task::yield_now().await;
    }
    // Orders before the subscription stands are not told of, so one is tried until it is heard.
    let mut id = 100;
    let fill = loop {
        id += 1;
        bench.sim.fund(1, 0, Cash(1_000_000)).unwrap();
        bench.submit(&order(id, Side::Yes, 1, 40)).await;
        match tokio::time::timeout(std::time::Duration::from_millis(500), stream.next()).await {
            Ok(Ok(StreamEvent::Fill(fill))) => break fill,
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    };
    assert_eq!((fill.count, fill.client_order_id), (Count::whole(1), Some(Uuid::from_u128(id))));
    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    let result = loop {
        if let StreamEvent::Lifecycle { kind: LifecycleKind::Determined { result, .. }, .. } =
            stream.next().await.unwrap()
        {
            break result;
        }
    };
    assert_eq!(result, MarketResult::Yes);
    bench.sim.inject(Fault::once(FaultKind::LoseMessage).message("market_lifecycle_v2"));
    bench.sim.dispute(TICKER).unwrap();
    bench.sim.amend(TICKER, Outcome::No).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    loop {
        match stream.next().await.unwrap() {
            StreamEvent::Gap => break,
            StreamEvent::Lifecycle { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    bench.sim.inject(Fault::once(FaultKind::DropSocket { now: true }));
    loop {
        if let StreamEvent::Closed(_) = stream.next().await.unwrap() {
            break;
        }
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_dead_exchange_are_told_apart() {
    let bench = Bench::start().await;
    let stranger = KeyPair::ed25519(SeededEntropy::shared(8).as_ref()).unwrap();
    let config = KalshiConfig {
        rest_url: bench.sim.rest_url(),
        ws_url: bench.sim.ws_url(),
        key_id: "key-1".to_owned(),
        private_key_pem: SecretString::from(stranger.private_pem),
    };
    let wall = Clocks::manual(bench.clock.clone()).wall;
    let wrong = Kalshi::new(&config, wall.clone()).unwrap();
    assert!(matches!(wrong.cash().await, Err(ExchangeError::Auth(_))));
    assert!(matches!(
        submit(&wrong, &order(1, Side::Yes, 1, 40)).await,
        SubmitOutcome::Refused { class: RefusalClass::Auth, .. }
    ));
    let nobody = KalshiConfig { rest_url: "http://127.0.0.1:9/trade-api/v2".to_owned(), ..config };
    let nobody = Kalshi::new(&nobody, wall).unwrap();
    assert!(matches!(nobody.status().await, Err(ExchangeError::Unreachable(_))));
    assert!(matches!(submit(&nobody, &order(1, Side::Yes, 1, 40)).await, SubmitOutcome::Unknown { .. }));
    bench.sim.inject(Fault::once(FaultKind::RateLimit).on(On::Read));
    assert!(matches!(bench.kalshi.status().await, Err(ExchangeError::RateLimited)));
}

/// Whatever one element of a list is like, the others are read, and what is left out is named.
#[tokio::test]
async fn lists_are_read_element_by_element() {
    let bench = Bench::start().await;
    let SubmitOutcome::Accepted(_) = bench.submit(&order(1, Side::Yes, 5, 40)).await else { panic!("not taken") };
    let SubmitOutcome::Accepted(_) = bench.submit(&order(2, Side::Yes, 2, 40)).await else { panic!("not taken") };
    let id = |n: u128| Uuid::from_u128(n).to_string();
    let spoil = |list: &str, name: &str, field: &str| {
        let (list, name, field) = (list.to_owned(), name.to_owned(), field.to_owned());
        bench.sim.inject(Fault::once(FaultKind::SpoilElement { list, name, field, value: json!(null), absent: false }));
    };
    spoil("orders", &id(2), "fill_count_fp");
    assert!(bench.kalshi.find_order(Uuid::from_u128(1), &ticker(), bench.sent()).await.unwrap().is_some());
    spoil("orders", &id(2), "fill_count_fp");
    assert!(bench.kalshi.find_order(Uuid::from_u128(2), &ticker(), bench.sent()).await.is_err(), "there, not readable");
    spoil("fills", TICKER, "count_fp");
    let fills = bench.kalshi.fills(bench.now(), None).await.unwrap();
    assert_eq!((fills.items.len(), fills.left_out.len()), (1, 1));
    spoil("market_positions", TICKER, "position_fp");
    let positions = bench.kalshi.positions(None).await.unwrap();
    assert_eq!((positions.items.len(), positions.left_out), (0, vec![TICKER.to_owned()]));
    let left_out = bench.kalshi.left_out();
    let lists: Vec<&str> = left_out.iter().map(|one| one.list).collect();
    assert_eq!(lists, ["fills", "orders", "positions"]);
    assert!(left_out[1].reason.starts_with("fill_count_fp: "), "{left_out:?}");
}
