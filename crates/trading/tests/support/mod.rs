//! A programme that trades, on a real database, with the simulator behind the real protocol.

mod held_turns;
mod jumping_clock;

use held_turns::HeldTurns;
use hunch_audit::{AuditOptions, AuditReport};
use hunch_db::testing::TestDb;
use hunch_exchange_sim::{ExchangeSim, KeyConfig, KeyPair, Listing, Px, Qty, SimConfig, SimHandle};
use hunch_kalshi::{Kalshi, KalshiConfig};
use hunch_kernel::{
    Clock, Clocks, Dollars, ManualClock, MarketTicker, MemberId, Points, SeededEntropy, Side, derived_uuid, shard_of,
};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{
    Action, BatchError, Batcher, Command, Door, EarnBucket, Funder, MemberBalance, Outcome, Reason, ShardHandler, apply,
};
use hunch_log::{ShardTx, Tail};
use hunch_markets::Markets;
use hunch_people::{Keys, NewMember, People};
use hunch_safeguards::{HouseLimits, Safeguards, StandingHandler};
use hunch_trading::{
    CorrectionHandler, Doors, Order, OutcomeHandler, PayoutHandler, QuoteRefusal, StakeHandler, StakeRefusal, Trading,
};
use hunch_vault::Person;
use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use jumping_clock::JumpingClock;
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use tokio::sync::watch;
use uuid::Uuid;

pub const TICKER: &str = "KXTEST-26NOV23-A";
pub const HOUSE: HouseLimits = HouseLimits { day: Points(5_000), week: Points(20_000) };
const NEW_YORK: (f64, f64) = (40.7484, -73.9857);

/// Points from the operator, so that members have something to stake.
pub struct GiftHandler;

#[async_trait::async_trait]
impl ShardHandler for GiftHandler {
    type Request = (Uuid, MemberId, Points);
    type Answer = Outcome;
    const NAME: &'static str = "gifts";

    async fn handle(&self, tx: &mut ShardTx, gifts: &[Self::Request]) -> Result<Vec<Outcome>, BatchError> {
        let commands: Vec<Command> = gifts
            .iter()
            .map(|(key, member, points)| Command {
                key: *key,
                request: points.0,
                member: *member,
                action: Action::Earn {
                    points: *points,
                    funder: Funder::Operator,
                    source: *key,
                    bucket: EarnBucket::Available,
                    reason: Reason::Welcome,
                },
            })
            .collect();
        apply(tx, &commands).await
    }
}

struct Ahead(Arc<ManualClock>, SignedDuration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.0.now() + self.1
    }
}

pub struct Bench {
    pub db: TestDb,
    pub clock: Arc<ManualClock>,
    pub sim: SimHandle,
    pub people: People,
    pub gate: Safeguards,
    pub standing: Door<StandingHandler>,
    pub gifts: Door<GiftHandler>,
    pub outcomes: Door<OutcomeHandler>,
    pub markets: Arc<Markets>,
    pub trading: Arc<Trading>,
    /// True: nobody gets a turn to send an order.
    pub turns: watch::Sender<bool>,
    pub tops_read: Arc<AtomicUsize>,
    pub cancels_fail: Arc<AtomicBool>,
    /// The wall clock of those who place stakes.
    pub placing_wall: Arc<JumpingClock>,
    /// How far business time is ahead of the wall clock, which is the exchange's.
    ahead: SignedDuration,
    _running: RunningBatcher,
}

impl Bench {
    pub async fn start() -> Bench {
        Bench::start_ahead(SignedDuration::ZERO).await
    }

    /// A programme whose business clock was moved ahead of the wall clock; the exchange goes by the wall clock.
    pub async fn start_ahead(ahead: SignedDuration) -> Bench {
        let db = TestDb::new().await;
        let clock = ManualClock::at("2026-11-23T17:00:00Z".parse().unwrap());
        let exchanges = Clocks::manual(clock.clone());
        let clocks = Clocks { business: Arc::new(Ahead(clock.clone(), ahead)), wall: clock.clone() };
        let pair = KeyPair::ed25519(SeededEntropy::shared(7).as_ref()).unwrap();
        let key = KeyConfig { key_id: "key-1".to_owned(), public_key_pem: pair.public_pem.clone(), account: 1 };
        let config = SimConfig {
            clock_tolerance: std::time::Duration::from_secs(3_600),
            ..SimConfig::quiet(exchanges, vec![key])
        };
        let sim = ExchangeSim::start(config).await.unwrap();
        let config = KalshiConfig {
            rest_url: sim.rest_url(),
            ws_url: sim.ws_url(),
            key_id: "key-1".to_owned(),
            private_key_pem: SecretString::from(pair.private_pem),
        };
        let (turns, held) = watch::channel(false);
        let (tops_read, cancels_fail) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let inner = Kalshi::new(&config, clocks.wall.clone()).unwrap();
        let exchange =
            Arc::new(HeldTurns { inner, held, tops_read: tops_read.clone(), cancels_fail: cancels_fail.clone() });
        let tail = Tail::new(8);
        let mut builder = Batcher::builder(db.app().clone(), clocks.clone(), tail.clone());
        let wall = clocks.wall.clone();
        let placing_wall = JumpingClock::on(clock.clone());
        let gifts = builder.register(GiftHandler);
        let standing = builder.register(StandingHandler { house: HOUSE });
        let outcomes = builder.register(OutcomeHandler { wall: wall.clone() });
        let doors = Doors {
            stakes: builder.register(StakeHandler { house: HOUSE, wall: placing_wall.clone() }),
            outcomes: outcomes.clone(),
            payouts: builder.register(PayoutHandler { wall: wall.clone() }),
            corrections: builder.register(CorrectionHandler { wall }),
        };
        let _running = run_batcher(&builder.build());
        let people =
            People::new(db.db().clone(), clocks.clone(), SeededEntropy::shared(1), 8, Keys::new(b"a key of tests"));
        let gate = Safeguards::new(db.db().clone(), people.clone(), clocks.clone(), HOUSE);
        let markets = Arc::new(Markets::new(db.app().clone(), exchange, clocks.clone(), tail));
        let trading = Arc::new(Trading::new(
            db.app().clone(),
            markets.clone(),
            gate.clone(),
            clocks,
            SeededEntropy::shared(3),
            8,
            doors,
        ));
        trading.open_books().await.unwrap();
        let bench = Bench {
            db,
            clock,
            sim,
            people,
            gate,
            standing,
            gifts,
            outcomes,
            markets,
            trading,
            turns,
            tops_read,
            cancels_fail,
            placing_wall,
            ahead,
            _running,
        };
        bench.list(TICKER, 0).await;
        bench
    }

    /// YES can be bought at 0.35 (12 contracts), NO at 0.67 (20 contracts).
    pub async fn list(&self, ticker: &str, shard: usize) {
        let now = self.clock.now();
        let listing =
            Listing::single(ticker, "Climate and Weather", now, now + self.ahead + SignedDuration::from_hours(6));
        self.sim.list(&listing.shard(shard).settlement_timer(60)).unwrap();
        self.book(ticker, 33, 20, 65, 12);
        self.markets.sync_step().await.unwrap();
    }

    /// Bids for YES and for NO: cents and contracts.
    pub fn book(&self, ticker: &str, yes: i64, yes_count: i64, no: i64, no_count: i64) {
        let yes = [(Px::cents(yes), Qty::whole(yes_count))];
        self.sim.set_book(ticker, &yes, &[(Px::cents(no), Qty::whole(no_count))]).unwrap();
    }

    pub fn seconds(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
        self.sim.advance();
    }

    /// A grown-up in New York with points.
    pub async fn member(&self, points: i64) -> MemberId {
        let person =
            Person { full_name: "A".into(), email: String::new(), phone: String::new(), birth_date: date(1990, 1, 1) };
        let new = NewMember { member: None, person, home_zone: "America/New_York".into() };
        let member = self.people.join(vec![new], "operator").await.unwrap()[0];
        self.gate.attest_place(member, NEW_YORK.0, NEW_YORK.1, 30.0).await.unwrap();
        if points > 0 {
            let gift = (derived_uuid(&[b"gift".as_slice(), member.0.as_bytes()]), member, Points(points));
            self.gifts.submit(shard_of(member, 8), gift).await.unwrap();
        }
        member
    }

    pub async fn quote(&self, member: MemberId, side: Side, points: i64) -> Result<hunch_trading::Quote, QuoteRefusal> {
        self.trading.quote(member, &TICKER.into(), side, Points(points)).await
    }

    /// Quote and confirm; nothing is sent yet.
    pub async fn stake(&self, member: MemberId, side: Side, points: i64) -> Result<Order, StakeRefusal> {
        self.stake_on(TICKER, member, side, points).await
    }

    pub async fn stake_on(
        &self,
        ticker: &str,
        member: MemberId,
        side: Side,
        points: i64,
    ) -> Result<Order, StakeRefusal> {
        let quote = self.trading.quote(member, &ticker.into(), side, Points(points)).await.unwrap();
        self.trading.confirm(member, quote.id).await.map(|a| a.order)
    }

    pub async fn order(&self, order: &Order) -> Order {
        self.trading.order(order.member, order.id).await.unwrap().unwrap()
    }

    /// Sends and looks up until nothing is due any more.
    pub async fn work(&self) {
        while self.trading.dispatch_step(100).await.unwrap() + self.trading.resolve_step(100).await.unwrap() > 0 {}
    }

    /// Sends, then looks up for so many seconds.
    pub async fn work_for(&self, seconds: i64) {
        for _ in 0..seconds {
            self.work().await;
            self.seconds(1);
        }
        self.work().await;
    }

    pub async fn balance(&self, member: MemberId) -> MemberBalance {
        hunch_ledger::balance(self.db.app(), member).await.unwrap().unwrap()
    }

    pub async fn end(&self, ticker: &str, outcome: hunch_exchange_sim::Outcome) {
        self.sim.close(ticker).unwrap();
        self.sim.determine(ticker, outcome).unwrap();
        self.sim.finalize(ticker).unwrap();
        self.markets.poll_step().await.unwrap();
        self.trading.settle_step().await.unwrap();
    }

    /// Everything adds up: dollars to zero, the exchange's cash to ours, every ended market to nothing.
    pub async fn books_fit(&self) {
        // What is being read may be five seconds older than the round before: the second one finds nothing on its way.
        self.seconds(6);
        self.trading.reconcile_step().await.unwrap();
        self.seconds(6);
        let found = self.trading.reconcile_step().await.unwrap();
        assert_eq!(found.differences, Vec::<String>::new());
        assert!(found.cash.iter().all(|c| c.exchange == c.ledger && c.in_flight == Dollars::ZERO), "{:?}", found.cash);
        let mut conn = self.db.app().acquire().await.unwrap();
        let all = hunch_treasury::balances(&mut conn).await.unwrap();
        assert_eq!(all.values().copied().sum::<Dollars>(), Dollars::ZERO);
        let report = self.audit().await;
        assert!(report.holds, "{}", report.to_text());
    }

    pub async fn audit(&self) -> AuditReport {
        let options = AuditOptions { full: true, ..AuditOptions::default() };
        hunch_audit::run(self.db.auditor(), &options, self.clock.wall()).await.unwrap()
    }

    pub async fn market_balance(&self, ticker: &str) -> Dollars {
        let mut conn = self.db.app().acquire().await.unwrap();
        hunch_treasury::market_balance(&mut conn, &MarketTicker::from(ticker)).await.unwrap()
    }
}
