//! Whoever hands in what the database refuses slows itself down, and not its neighbours: counted in transactions, not in time.

use async_trait::async_trait;
use hunch_db::testing::TestDb;
use hunch_kernel::{Clocks, ManualClock, Shard};
use hunch_ledger::{BatchError, Batcher, Door, DoorError, ShardHandler, StepReport};
use hunch_log::{ShardTx, Tail};
use std::sync::Arc;
use uuid::Uuid;

const SHARD: Shard = Shard(0);

/// One request: who hands it in, and whether the database takes it.
#[derive(Clone, Copy)]
struct Request {
    till: u128,
    possible: bool,
}

struct Tills;

#[async_trait]
impl ShardHandler for Tills {
    type Request = Request;
    type Answer = u128;
    const NAME: &'static str = "tills";

    fn origin(request: &Request) -> Option<Uuid> {
        Some(Uuid::from_u128(request.till))
    }

    async fn handle(&self, tx: &mut ShardTx, requests: &[Request]) -> Result<Vec<u128>, BatchError> {
        if requests.iter().any(|request| !request.possible) {
            sqlx::query("SELECT 1 / 0").execute(tx.conn()).await?;
        }
        Ok(requests.iter().map(|request| request.till).collect())
    }
}

struct Bench {
    _db: TestDb,
    batcher: Arc<Batcher>,
    door: Door<Tills>,
}

impl Bench {
    async fn new() -> Bench {
        let db = TestDb::new().await;
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let mut builder = Batcher::builder(db.app().clone(), Clocks::manual(clock), Tail::new(8));
        let door = builder.register(Tills);
        Bench { batcher: builder.build(), door, _db: db }
    }

    /// Hands requests in and leaves them waiting.
    fn hand_in(
        &self,
        till: u128,
        possible: bool,
        number: usize,
    ) -> tokio::task::JoinHandle<Vec<Result<u128, DoorError>>> {
        let (door, requests) = (self.door.clone(), vec![Request { till, possible }; number]);
        tokio::spawn(async move { door.submit_all(SHARD, requests).await.unwrap() })
    }

    async fn waiting(&self, number: usize) {
        while self.batcher.waiting(SHARD) < number {
            tokio::task::yield_now().await;
        }
    }

    async fn step(&self) -> StepReport {
        self.batcher.step(SHARD).await
    }
}

const BAD: u128 = 1;
const GOOD: u128 = 2;

#[tokio::test]
async fn a_till_whose_requests_are_refused_is_slowed_and_not_its_neighbours() {
    let bench = Bench::new().await;
    let bad = bench.hand_in(BAD, false, 256);
    bench.waiting(256).await;
    let good = bench.hand_in(GOOD, true, 1);
    bench.waiting(257).await;

    // Found out once: about as many transactions as halving takes, and not two for each of its requests.
    let first = bench.step().await;
    assert!(first.transactions <= 20 && first.failed <= 2, "{first:?}");
    assert_eq!(good.await.unwrap(), [Ok(GOOD)]);

    // From now on a neighbour's step holds one transaction more, however much the till hands in.
    let more = bench.hand_in(BAD, false, 500);
    let waiting = bench.batcher.waiting(SHARD);
    bench.waiting(waiting + 500).await;
    for _ in 0..5 {
        let before = bench.batcher.waiting(SHARD);
        let good = bench.hand_in(GOOD, true, 40);
        bench.waiting(before + 40).await;
        let step = bench.step().await;
        assert_eq!((step.transactions, step.failed, step.requests), (2, 1, 41));
        assert_eq!(good.await.unwrap().len(), 40);
    }
    while bench.batcher.waiting(SHARD) > 0 {
        assert_eq!(bench.step().await.transactions, 1);
    }
    assert!(bad.await.unwrap().iter().chain(&more.await.unwrap()).all(|answer| answer.is_err()));
}

/// One mistake is no verdict: what else the till hands in is stored, apart at first, and with everybody's later.
#[tokio::test]
async fn a_till_that_does_well_again_goes_with_the_others_again() {
    let bench = Bench::new().await;
    let mistake = bench.hand_in(BAD, false, 1);
    bench.waiting(1).await;
    bench.step().await;
    assert!(mistake.await.unwrap()[0].is_err());
    let well = bench.hand_in(BAD, true, 20);
    bench.waiting(20).await;
    for _ in 0..20 {
        assert_eq!(bench.step().await.requests, 1);
    }
    assert!(well.await.unwrap().iter().all(|answer| *answer == Ok(BAD)));
    let again = bench.hand_in(BAD, true, 20);
    bench.waiting(20).await;
    assert_eq!(bench.step().await.requests, 20);
    assert_eq!(again.await.unwrap().len(), 20);
}
