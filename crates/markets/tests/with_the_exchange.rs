//! Markets as read from the simulator over the real protocol, on a real database.

use hunch_db::testing::TestDb;
use hunch_exchange::{MarketResult, MarketStatus};
use hunch_exchange_sim::{
    ExchangeSim, Fault, FaultKind, KeyConfig, KeyPair, Listing, Outcome, Px, Qty, SimConfig, SimHandle, day,
};
use hunch_kalshi::{Kalshi, KalshiConfig};
use hunch_kernel::{Clock, Clocks, ManualClock, MarketTicker, Price, SeededEntropy};
use hunch_log::Tail;
use hunch_markets::{Kind, Listener, Markets, Seen, final_of};
use hunch_messages::Message;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;

const TICKER: &str = "KXTEST-26NOV23-A";

struct Bench {
    db: TestDb,
    clock: Arc<ManualClock>,
    sim: SimHandle,
    markets: Arc<Markets>,
}

impl Bench {
    async fn start() -> Bench {
        let db = TestDb::new().await;
        let clock = ManualClock::at("2026-11-23T17:00:00Z".parse().unwrap());
        let clocks = Clocks::manual(clock.clone());
        let pair = KeyPair::ed25519(SeededEntropy::shared(7).as_ref()).unwrap();
        let key = KeyConfig { key_id: "key-1".to_owned(), public_key_pem: pair.public_pem.clone(), account: 1 };
        let sim = ExchangeSim::start(SimConfig::quiet(clocks.clone(), vec![key])).await.unwrap();
        let config = KalshiConfig {
            rest_url: sim.rest_url(),
            ws_url: sim.ws_url(),
            key_id: "key-1".to_owned(),
            private_key_pem: SecretString::from(pair.private_pem),
        };
        let exchange = Arc::new(Kalshi::new(&config, clocks.wall.clone()).unwrap());
        let markets = Arc::new(Markets::new(db.app().clone(), exchange, clocks, Tail::new(8)));
        Bench { db, clock, sim, markets }
    }

    fn list(&self, ticker: &str, category: &str) {
        let now = self.clock.now();
        let listing = Listing::single(ticker, category, now, now + SignedDuration::from_hours(6));
        self.sim.list(&listing.settlement_timer(60)).unwrap();
        self.sim.set_book(ticker, &[(Px::cents(33), Qty::whole(20))], &[(Px::cents(65), Qty::whole(12))]).unwrap();
    }

    /// As many rounds as the copy in memory needs to be old.
    async fn later(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
        self.sim.advance();
    }

    async fn final_result(&self) -> Option<(i16, MarketResult, Price)> {
        let mut conn = self.db.app().acquire().await.unwrap();
        let found = final_of(&mut conn, &TICKER.into()).await.unwrap();
        found.map(|f| (f.revision, f.result, f.value))
    }

    async fn messages(&self) -> Vec<(String, Option<String>)> {
        let mut all = Vec::new();
        for shard in 0..8 {
            for batch in hunch_log::read_after(self.db.app(), hunch_kernel::Shard(shard), 0, 1_000).await.unwrap() {
                for message in batch.messages.iter() {
                    if let Message::MarketChanged(m) = message {
                        all.push((m.status.clone(), m.result.clone()));
                    }
                }
            }
        }
        all
    }
}

fn ticker() -> MarketTicker {
    TICKER.into()
}

#[tokio::test]
async fn a_whole_day_is_listed_by_kind_and_page() {
    let bench = Bench::start().await;
    for listing in day::believable(7, bench.clock.now()) {
        bench.sim.list(&listing).unwrap();
    }
    let first = bench.markets.sync_step().await.unwrap();
    assert!(first.observed.added > 60, "{first:?}");
    let again = bench.markets.sync_step().await.unwrap();
    assert_eq!(again.observed, hunch_markets::Observed::default(), "reading the same again changes nothing");
    for kind in Kind::ALL {
        let open = bench.markets.open(Some(kind), None, 200).await.unwrap();
        assert!(open.len() >= 3, "{}: {}", kind.as_str(), open.len());
        assert!(open.iter().all(|m| m.kind == kind && m.tradable(bench.clock.now())));
    }
    let all = bench.markets.open(None, None, 1_000).await.unwrap();
    let mut paged: Vec<(Timestamp, MarketTicker)> = Vec::new();
    loop {
        let page = bench.markets.open(None, paged.last(), 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page.iter().map(|m| (m.ends_at, m.ticker.clone())));
    }
    assert_eq!(paged, all.iter().map(|m| (m.ends_at, m.ticker.clone())).collect::<Vec<_>>());
    assert!(paged.is_sorted());
}

#[tokio::test]
async fn a_result_is_final_once_whoever_brings_it() {
    let bench = Bench::start().await;
    bench.list(TICKER, "Climate and Weather");
    bench.markets.sync_step().await.unwrap();
    let mut conn = bench.db.app().acquire().await.unwrap();
    hunch_markets::watch(&mut conn, &[ticker()]).await.unwrap();
    drop(conn);
    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    bench.markets.poll_step().await.unwrap();
    let market = bench.markets.market(&ticker()).await.unwrap().unwrap();
    assert_eq!((market.status, market.result), (MarketStatus::Determined, Some(MarketResult::Yes)));
    assert_eq!(bench.final_result().await, None, "a determination is not final");

    bench.sim.dispute(TICKER).unwrap();
    bench.markets.hint(&ticker());
    bench.markets.hint_step().await.unwrap();
    bench.sim.amend(TICKER, Outcome::No).unwrap();
    bench.later(1).await;
    bench.markets.hint_step().await.unwrap();
    bench.sim.finalize(TICKER).unwrap();
    // Poll, hint and the socket's late word, in any order and twice.
    let late = Seen::Determined { ticker: ticker(), result: MarketResult::Yes, value: None };
    for _ in 0..2 {
        bench.markets.poll_step().await.unwrap();
        bench.markets.hint(&ticker());
        bench.markets.hint_step().await.unwrap();
        bench.markets.observe(std::slice::from_ref(&late)).await.unwrap();
    }
    assert_eq!(bench.final_result().await, Some((2, MarketResult::No, Price::ZERO)));
    assert_eq!(bench.markets.next_hint(), None, "what is final is not looked up again");
    let words: Vec<String> = bench.messages().await.into_iter().map(|m| m.0).collect();
    assert_eq!(words, ["active", "determined", "disputed", "amended", "finalized"]);
}

#[tokio::test]
async fn two_processes_see_the_same_and_write_once() {
    let bench = Bench::start().await;
    bench.list(TICKER, "Sports");
    bench.markets.sync_step().await.unwrap();
    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Scalar(Px::cents(50))).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    let clocks = Clocks::manual(bench.clock.clone());
    let exchange = bench.markets.exchange().clone();
    let other = Markets::new(bench.db.app().clone(), exchange, clocks, Tail::new(8));
    let rounds = (0..8).map(|n| {
        let markets: &Markets = if n % 2 == 0 { &bench.markets } else { &other };
        async move {
            markets.hint(&ticker());
            markets.hint_step().await.unwrap()
        }
    });
    let finalized: usize = futures_util::future::join_all(rounds).await.iter().map(|r| r.observed.finalized).sum();
    assert_eq!(finalized, 1);
    assert_eq!(bench.final_result().await.unwrap().1, MarketResult::Scalar);
    let finals = bench.messages().await.into_iter().filter(|m| m.0 == "finalized").count();
    assert_eq!(finals, 1);
}

#[tokio::test]
async fn the_socket_is_opened_again_and_nothing_is_missed() {
    let bench = Bench::start().await;
    bench.list(TICKER, "Sports");
    bench.markets.sync_step().await.unwrap();
    let mut conn = bench.db.app().acquire().await.unwrap();
    hunch_markets::watch(&mut conn, &[ticker()]).await.unwrap();
    drop(conn);
    let mut listener = Listener::new(bench.markets.clone());
    listener.step().await.unwrap();
    assert!(listener.connected());
    bench.markets.hint_step().await.unwrap();
    while bench.sim.sockets() == 0 {
        tokio::task::yield_now().await;
    }
    bench.sim.inject(Fault::once(FaultKind::DropSocket { now: true }));
    while listener.connected() {
        listener.step().await.unwrap();
    }
    // Meanwhile the market ends: nobody tells us.
    bench.sim.close(TICKER).unwrap();
    bench.sim.determine(TICKER, Outcome::Yes).unwrap();
    bench.sim.finalize(TICKER).unwrap();
    while !listener.connected() {
        listener.step().await.unwrap();
    }
    bench.markets.hint_step().await.unwrap();
    assert_eq!(bench.final_result().await, Some((1, MarketResult::Yes, Price::ONE)));
}

/// Every field of a market as nobody understands it. None of them may cost more than its own market.
#[tokio::test]
async fn a_market_that_is_not_understood_hides_no_other() {
    let bench = Bench::start().await;
    bench.list(TICKER, "Sports");
    bench.list("KXBAD-26NOV23-B", "Sports");
    let fields = [
        "ticker",
        "event_ticker",
        "title",
        "rules_secondary",
        "status",
        "result",
        "yes_bid_dollars",
        "yes_ask_dollars",
        "volume_fp",
        "open_time",
        "close_time",
        "expected_expiration_time",
        "price_ranges",
        "exchange_index",
        "settlement_timer_seconds",
        "last_price_dollars",
        "settlement_value_dollars",
    ];
    let values = [
        json!(null),
        json!(""),
        json!(7.5),
        json!([1]),
        json!("a\u{0}b"),
        json!("-004713-01-01T00:00:00Z"),
        json!("x".repeat(5_000)),
    ];
    for field in fields {
        for value in values.iter().map(Some).chain([None]) {
            let spoil = FaultKind::SpoilElement {
                list: "markets".to_owned(),
                name: "KXBAD-26NOV23-B".to_owned(),
                field: field.to_owned(),
                value: value.cloned().unwrap_or_default(),
                absent: value.is_none(),
            };
            bench.later(1).await;
            bench.sim.inject(Fault::once(spoil));
            let read = bench.markets.sync_step().await;
            assert!(read.is_ok_and(|report| report.read >= 1), "{field} {value:?}");
            bench.sim.clear_faults();
        }
    }
    bench.later(2).await;
    let open = bench.markets.open(None, None, 10).await.unwrap();
    assert!(open.iter().any(|market| market.ticker == ticker()), "the good one is there");
}

#[tokio::test]
async fn what_is_left_out_is_named_until_it_is_understood() {
    let bench = Bench::start().await;
    bench.list(TICKER, "Sports");
    bench.list("KXBAD-26NOV23-B", "Sports");
    let spoil = |field: &str, value: Value, absent| {
        let (list, name) = ("markets".to_owned(), "KXBAD-26NOV23-B".to_owned());
        Fault::once(FaultKind::SpoilElement { list, name, field: field.to_owned(), value, absent })
    };
    // A text or a price that is not there is no reason to leave a market out.
    bench.sim.inject(spoil("rules_secondary", Value::Null, false));
    bench.sim.inject(spoil("yes_ask_dollars", Value::Null, true));
    bench.sim.inject(spoil("expected_expiration_time", json!(""), false));
    assert_eq!(bench.markets.sync_step().await.unwrap().read, 2);
    assert_eq!(bench.markets.exchange().left_out(), []);

    bench.sim.inject(spoil("close_time", json!(""), false));
    assert_eq!(bench.markets.sync_step().await.unwrap().read, 1);
    let left_out = bench.markets.exchange().left_out();
    assert_eq!((left_out[0].list, left_out[0].name.as_str()), ("markets", "KXBAD-26NOV23-B"));
    assert_eq!(left_out[0].reason, "close_time is missing");
    assert_eq!(bench.markets.sync_step().await.unwrap().read, 2);
    assert_eq!(bench.markets.exchange().left_out(), [], "understood again");
}

#[tokio::test]
async fn a_list_of_which_nothing_is_understood_was_not_read() {
    let bench = Bench::start().await;
    bench.list(TICKER, "Sports");
    bench.markets.sync_step().await.unwrap();
    assert_eq!(bench.markets.unread_for(), SignedDuration::ZERO);
    let (list, name, field) = ("markets".to_owned(), TICKER.to_owned(), "status".to_owned());
    let spoil = FaultKind::SpoilElement { list, name, field, value: json!("asleep"), absent: false };
    bench.sim.inject(Fault::once(spoil).times(2));
    for _ in 0..2 {
        bench.later(120).await;
        bench.markets.sync_step().await.unwrap();
    }
    assert_eq!(bench.markets.unread_for(), SignedDuration::from_secs(240));
    bench.markets.sync_step().await.unwrap();
    assert_eq!(bench.markets.unread_for(), SignedDuration::ZERO);
}

/// An event, or a series, that is not understood keeps its own markets away and no others.
#[tokio::test]
async fn an_event_or_series_that_is_not_understood_keeps_only_its_own_markets_away() {
    let bench = Bench::start().await;
    bench.list("KXAAA-26NOV23-A", "Sports");
    bench.list(TICKER, "Sports");
    bench.list("KXZZZ-26NOV23-Z", "Sports");
    let spoil = |list: &str, name: &str, field: &str| {
        let (list, name, field) = (list.to_owned(), name.to_owned(), field.to_owned());
        Fault::once(FaultKind::SpoilElement { list, name, field, value: json!(5), absent: false }).times(100)
    };
    bench.sim.inject(spoil("event", "KXAAA-26NOV23", "series_ticker"));
    bench.sim.inject(spoil("series", "KXZZZ", "fee_type"));
    bench.markets.sync_step().await.unwrap();
    let open = bench.markets.open(None, None, 10).await.unwrap();
    assert_eq!(open.iter().map(|market| market.ticker.as_str()).collect::<Vec<_>>(), [TICKER]);
    let lists: Vec<&str> = bench.markets.exchange().left_out().iter().map(|one| one.list).collect();
    assert_eq!(lists, ["events", "series"]);
}
