//! A statement over real histories: it adds up, page by page, whatever happened and whatever happens meanwhile.

use async_trait::async_trait;
use hunch_db::testing::TestDb;
use hunch_kernel::{
    Clocks, HoldId, ManualClock, MemberId, MerchantId, Points, SeededEntropy, Shard, SharedEntropy, derived_uuid,
    shard_of,
};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{
    Action, BatchError, Batcher, Command, Door, EarnBucket, EarnPart, Funder, HoldOwner, MemberBalance, Outcome,
    Reason, Refusal, ShardHandler, StakeEnd, StatementItem, apply, balance, open_members, statement_items,
};
use hunch_log::{ShardTx, Tail};
use std::collections::HashSet;
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
    /// Those whose points wait for a decision, as far as nobody decided.
    waiting: Vec<Uuid>,
    holds: Vec<HoldId>,
    /// Stakes that were paid, with what they were last paid.
    paid: Vec<(HoldId, i64)>,
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
            waiting: Vec::new(),
            holds: Vec::new(),
            paid: Vec::new(),
        }
    }

    fn throw(&self, sides: usize) -> usize {
        (self.dice.uuid().as_u64_pair().0 >> 8) as usize % sides
    }

    /// Whether it had an effect. Only what a member may meet is refused; whatever else happens is a failure.
    async fn run(&self, key: Uuid, action: Action) -> bool {
        let command = Command { key, request: 1, member: self.member, action };
        match self.door.submit(self.shard, command.clone()).await.unwrap() {
            Outcome::Done(_) => true,
            Outcome::Repeated(_) => false,
            Outcome::Refused(
                Refusal::InsufficientPoints { .. } | Refusal::HoldClosed | Refusal::HoldOpen | Refusal::NotProvisional,
            ) => false,
            Outcome::Refused(refusal) => panic!("{refusal}: {command:?}"),
        }
    }

    async fn happen(&mut self) {
        let points = Points(self.throw(120) as i64 + 1);
        let hold = (!self.holds.is_empty()).then(|| self.holds[self.throw(self.holds.len().max(1))]);
        let key = self.dice.uuid();
        match (self.throw(11), hold) {
            (0..3, _) => self.buy(key, points).await,
            (3..5, _) => {
                let hold = HoldId(self.dice.uuid());
                let owner = HoldOwner::OrderDispatcher;
                if self.run(key, Action::PlaceHold { hold, points, owner }).await {
                    self.holds.push(hold);
                }
            }
            (5..7, Some(hold)) => {
                // Nothing, a part or all of it.
                let held = Points([0, points.0, i64::MAX][self.throw(3)]);
                let capture = held.min(self.held(hold).await);
                self.run(key, Action::CloseHold { hold, capture }).await;
            }
            (7, Some(hold)) if self.paid.iter().all(|(paid, _)| *paid != hold) => {
                let (won, reason) =
                    [(0, Reason::StakeLost), (3, Reason::StakeWon), (1, Reason::StakeScalar)][self.throw(3)];
                let pays = self.held(hold).await.0 * won;
                if self.run(key, Action::Payout { hold, points: Points(pays), reason }).await {
                    self.paid.push((hold, pays));
                }
            }
            (8, _) if !self.paid.is_empty() => self.correct(key, points).await,
            (9, _) if !self.earned.is_empty() => {
                // Older receipts more often: their points were staked.
                let earned = self.earned[(0..3).map(|_| self.throw(self.earned.len())).min().unwrap_or_default()];
                self.run(derived_uuid(&[b"return", earned.as_bytes()]), Action::Clawback { earned }).await;
            }
            (10, _) if !self.waiting.is_empty() => {
                // Some of them came back meanwhile.
                let earned = self.waiting.swap_remove(self.throw(self.waiting.len()));
                let action = [Action::Mature { earned }, Action::TakeBack { earned }][self.throw(2)].clone();
                self.run(key, action).await;
            }
            _ => {}
        }
    }

    /// A purchase, every other one with an offer's points; some of them wait for a decision.
    async fn buy(&mut self, key: Uuid, points: Points) {
        let mut parts = vec![EarnPart { points, reason: Reason::Purchase }];
        if self.throw(2) == 0 {
            parts.push(EarnPart { points: Points(20), reason: Reason::Offer });
        }
        let funder = Funder::Merchant(MerchantId(Uuid::from_u128(9)));
        let bucket = [EarnBucket::Available, EarnBucket::Available, EarnBucket::Provisional][self.throw(3)];
        if bucket == EarnBucket::Provisional {
            self.waiting.push(key);
        }
        assert!(self.run(key, Action::EarnParts { parts, funder, source: key, bucket }).await);
        self.earned.push(key);
    }

    /// What was paid is taken back, and something else is paid.
    async fn correct(&mut self, key: Uuid, points: Points) {
        let which = self.throw(self.paid.len());
        let (hold, before) = self.paid[which];
        if before > 0 {
            assert!(self.run(key, Action::ReversePayout { hold, points: Points(before) }).await);
        }
        let key = derived_uuid(&[b"anew", key.as_bytes()]);
        assert!(self.run(key, Action::Payout { hold, points, reason: Reason::Corrected }).await);
        self.paid[which].1 = points.0;
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
    let mut told: HashSet<Reason> = HashSet::new();
    for seed in 1..=4 {
        let mut life = Life::begin(seed).await;
        for step in 0..160 {
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
        let of_this: HashSet<Reason> = whole.iter().map(|line| line.reason).collect();
        for reason in [Reason::Offer, Reason::PurchaseReturned, Reason::PayoutReversed, Reason::Corrected] {
            assert!(of_this.contains(&reason), "nothing was {} in history {seed}", reason.as_str());
        }
        told.extend(of_this);
        for limit in [1, 2, 3, 5, 50] {
            assert_eq!(life.read(limit, 0).await, whole, "pages of {limit}");
        }
    }
    use Reason::{DebtCharged, DebtRepaid, Matured, TakenBack, WinningsReturned};
    for reason in [WinningsReturned, DebtCharged, DebtRepaid, Matured, TakenBack] {
        assert!(told.contains(&reason), "nothing was {} among {told:?}", reason.as_str());
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
