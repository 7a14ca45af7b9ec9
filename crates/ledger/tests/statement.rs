//! A statement over real histories: it adds up, page by page, whatever happened and whatever happens meanwhile.

use async_trait::async_trait;
use hunch_db::testing::TestDb;
use hunch_kernel::{
    Clocks, HoldId, ManualClock, MemberId, MerchantId, Points, SeededEntropy, Shard, SharedEntropy, shard_of,
};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{
    Action, BatchError, Batcher, Command, Door, EarnBucket, Funder, HoldOwner, MemberBalance, Outcome, Reason,
    ShardHandler, StakeEnd, StatementItem, apply, balance, open_members, statement_items,
};
use hunch_log::{ShardTx, Tail};
use std::collections::HashMap;
use uuid::Uuid;

struct Plain;

#[async_trait]
impl ShardHandler for Plain {
    type Request = Command;
    type Answer = Outcome;
    const NAME: &'static str = "plain";

    async fn handle(&self, tx: &mut ShardTx, requests: &[Command]) -> Result<Vec<Outcome>, BatchError> {
        apply(tx, requests).await
    }
}

/// One member's life, drawn by dice.
struct Life {
    db: TestDb,
    door: Door<Plain>,
    _running: RunningBatcher,
    member: MemberId,
    shard: Shard,
    dice: SharedEntropy,
    earned: Vec<Uuid>,
    holds: Vec<HoldId>,
    /// Whether receipts come back in it; else paid results are corrected.
    returns: bool,
    /// What each stake was last paid, if it was.
    paid: HashMap<HoldId, i64>,
}

impl Life {
    async fn begin(seed: u64) -> Life {
        let db = TestDb::new().await;
        let member = MemberId(Uuid::from_u128(42));
        open_members(&mut db.app().acquire().await.unwrap(), &[member], 8).await.unwrap();
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let mut builder = Batcher::builder(db.app().clone(), Clocks::manual(clock), Tail::new(8));
        let door = builder.register(Plain);
        let _running = run_batcher(&builder.build());
        Life {
            db,
            door,
            _running,
            member,
            shard: shard_of(member, 8),
            dice: SeededEntropy::shared(seed),
            earned: Vec::new(),
            holds: Vec::new(),
            returns: seed.is_multiple_of(2),
            paid: HashMap::new(),
        }
    }

    fn throw(&self, sides: usize) -> usize {
        (self.dice.uuid().as_u64_pair().0 >> 8) as usize % sides
    }

    async fn run(&self, action: Action) -> bool {
        let command = Command { key: self.dice.uuid(), request: 1, member: self.member, action };
        self.door.submit(self.shard, command).await.is_ok_and(|outcome| matches!(outcome, Outcome::Done(_)))
    }

    async fn happen(&mut self) {
        let points = Points(self.throw(120) as i64 + 1);
        let hold = (!self.holds.is_empty()).then(|| self.holds[self.throw(self.holds.len().max(1))]);
        match (self.throw(10), hold) {
            (0..3, _) => {
                let (key, funder) = (self.dice.uuid(), Funder::Merchant(MerchantId(Uuid::from_u128(9))));
                let (bucket, reason) = (EarnBucket::Available, Reason::Purchase);
                let action = Action::Earn { points, funder, source: key, bucket, reason };
                let command = Command { key, request: 1, member: self.member, action };
                self.door.submit(self.shard, command).await.unwrap();
                self.earned.push(key);
            }
            (3..5, _) => {
                let hold = HoldId(self.dice.uuid());
                let owner = HoldOwner::OrderDispatcher;
                if self.run(Action::PlaceHold { hold, points, owner }).await {
                    self.holds.push(hold);
                }
            }
            (5..7, Some(hold)) => {
                // Nothing, a part or all of it.
                let held = Points([0, points.0, i64::MAX][self.throw(3)]);
                let capture = held.min(self.held(hold).await);
                self.run(Action::CloseHold { hold, capture }).await;
            }
            (7, Some(hold)) if !self.paid.contains_key(&hold) => {
                let (won, reason) =
                    [(0, Reason::StakeLost), (2, Reason::StakeWon), (1, Reason::StakeScalar)][self.throw(3)];
                if self.run(Action::Payout { hold, points: Points(points.0 * won), reason }).await {
                    self.paid.insert(hold, points.0 * won);
                }
            }
            (8, Some(hold)) if !self.returns => {
                // A correction: what was paid is taken back, and something else is paid.
                let Some(before) = self.paid.get(&hold).copied() else { return };
                if before > 0 && !self.run(Action::ReversePayout { hold, points: Points(before) }).await {
                    return;
                }
                if self.run(Action::Payout { hold, points, reason: Reason::Corrected }).await {
                    self.paid.insert(hold, points.0);
                }
            }
            (9, _) if self.returns && !self.earned.is_empty() => {
                let earned = self.earned[self.throw(self.earned.len())];
                self.run(Action::Clawback { earned }).await;
            }
            _ => {}
        }
    }

    async fn held(&self, hold: HoldId) -> Points {
        let amount: i64 = sqlx::query_scalar("SELECT amount FROM ledger.hold WHERE hold = $1")
            .bind(hold.0)
            .fetch_one(self.db.owner())
            .await
            .unwrap();
        Points(amount)
    }

    async fn balance(&self) -> MemberBalance {
        balance(self.db.app(), self.member).await.unwrap().unwrap()
    }

    /// All lines, by pages of so many. `meanwhile` more things happen after each page.
    async fn read(&mut self, limit: usize, meanwhile: usize) -> Vec<StatementItem> {
        let (mut lines, mut place) = (Vec::new(), None);
        loop {
            let (page, next) = statement_items(self.db.app(), self.member, place, limit).await.unwrap();
            assert!(page.len() == limit || next.is_none(), "a page that is not the last is full");
            lines.extend(page);
            match next {
                Some(next) => place = Some(next),
                None => return lines,
            }
            for _ in 0..meanwhile {
                self.happen().await;
            }
        }
    }
}

fn adds_up(lines: &[StatementItem], balance: MemberBalance) {
    let sum = |of: fn(&StatementItem) -> Points| lines.iter().map(|line| of(line).0).sum::<i64>();
    assert_eq!(sum(|line| line.available), balance.available.0);
    assert_eq!(sum(|line| line.provisional), balance.provisional.0);
    assert_eq!(sum(|line| line.total), balance.total().0);
    let mut so_far = 0;
    for line in lines.iter().rev() {
        so_far += line.available.0;
        assert_eq!(line.available_after.0, so_far, "{line:?}");
        assert!(so_far >= 0, "{line:?}");
    }
    for (line, stake) in lines.iter().filter_map(|line| Some((line, line.stake?))) {
        let ended = stake.ended != StakeEnd::Held;
        assert_eq!(stake.held, if ended { stake.filled + stake.returned } else { stake.held }, "{line:?}");
        assert_eq!(stake.ended == StakeEnd::NotFilled, ended && stake.filled == Points::ZERO, "{line:?}");
        assert!(!matches!(stake.ended, StakeEnd::Won) || stake.paid.is_positive(), "{line:?}");
        assert!(!matches!(stake.ended, StakeEnd::Lost | StakeEnd::Open) || stake.paid == Points::ZERO, "{line:?}");
    }
}

#[tokio::test]
async fn the_lines_of_any_history_add_up_to_the_balance() {
    let mut told: Vec<Reason> = Vec::new();
    for seed in 1..=4 {
        let mut life = Life::begin(seed).await;
        for step in 0..120 {
            life.happen().await;
            if step % 20 == 19 {
                let lines = life.read(7, 0).await;
                adds_up(&lines, life.balance().await);
            }
        }
        let whole = life.read(1_000, 0).await;
        adds_up(&whole, life.balance().await);
        let stakes = whole.iter().filter(|line| line.stake.is_some()).count();
        assert_eq!(stakes, life.holds.len(), "each stake is one line");
        assert!(stakes > 5, "the history is no history");
        told.extend(whole.iter().map(|line| line.reason));
        for limit in [1, 2, 3, 5, 50] {
            assert_eq!(life.read(limit, 0).await, whole, "pages of {limit}");
        }
    }
    for reason in [Reason::PurchaseReturned, Reason::Corrected] {
        assert!(told.contains(&reason), "nothing was {}", reason.as_str());
    }
}

#[tokio::test]
async fn pages_tell_of_the_moment_of_the_first() {
    let mut life = Life::begin(9).await;
    for _ in 0..120 {
        life.happen().await;
    }
    let (whole, balance) = (life.read(1_000, 0).await, life.balance().await);
    let paged = life.read(3, 5).await;
    assert_eq!(paged, whole);
    assert_eq!(paged.iter().map(|line| line.available.0).sum::<i64>(), balance.available.0);
    let now = life.read(3, 0).await;
    assert!(now.len() > whole.len(), "nothing happened between the pages");
    adds_up(&now, life.balance().await);
}

/// What nobody gave leads nowhere, and breaks nothing.
#[tokio::test]
async fn a_place_that_was_made_up_leads_nowhere() {
    let mut life = Life::begin(11).await;
    for _ in 0..30 {
        life.happen().await;
    }
    for n in [i64::MIN, -1, 0, 1, i64::MAX] {
        let place = hunch_ledger::StatementPlace { as_of: n, seq: n, told: n, available: Points(n) };
        statement_items(life.db.app(), life.member, Some(place), 5).await.unwrap();
    }
    let nobody = MemberId(Uuid::from_u128(404));
    assert_eq!(statement_items(life.db.app(), nobody, None, 5).await.unwrap(), (Vec::new(), None));
}
