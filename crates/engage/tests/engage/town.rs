//! A small town on a real database: three shops, members, a gate and markets with a switch each.

use async_trait::async_trait;
use hunch_db::testing::TestDb;
use hunch_engage::{Engage, MarketCandidate, StepReport, Surroundings, SurroundingsError};
use hunch_kernel::{
    Clocks, DeviceId, ManualClock, MarketTicker, MemberId, MerchantId, Price, SeededEntropy, SharedEntropy, TerminalId,
};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{Batcher, Door, open_members};
use hunch_log::Tail;
use hunch_loyalty::{
    CodeKey, Directory, MemberRef, NewMerchant, PurchaseHandler, PurchaseRequest, Purchases, ReturnHandler,
    add_merchant, add_terminal, purchase_id,
};
use hunch_messaging::{PromptGate, PromptSitting, Withheld};
use hunch_safeguards::PromptPermit;
use hunch_safeguards::testing::prompt_permit;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

#[derive(Clone, Default)]
pub struct Switch(pub Arc<AtomicBool>);

#[async_trait]
impl PromptGate for Switch {
    type Sitting = Switch;

    async fn sit(&self, _: &[MemberId]) -> Switch {
        self.clone()
    }

    async fn still_holds(&self, _: &PromptPermit) -> bool {
        true
    }
}

impl PromptSitting for Switch {
    fn permit(&self, member: MemberId, device: Option<DeviceId>, _: &str) -> Result<PromptPermit, Withheld> {
        if self.0.load(Ordering::SeqCst) {
            return Err(Withheld { code: "excluded".to_owned(), sentence: "You are excluded.".to_owned() });
        }
        Ok(prompt_permit(member, device, 1, hunch_kernel::WallTime::MIN))
    }
}

/// Markets that end two hours from now, whenever now is; a switch closes them all.
#[derive(Clone, Default)]
pub struct Day(pub Arc<AtomicBool>);

#[async_trait]
impl Surroundings for Day {
    async fn markets(&self, now: Timestamp) -> Result<Vec<MarketCandidate>, SurroundingsError> {
        Ok((0..8).map(|n| market(n, now)).filter(|_| !self.0.load(Ordering::SeqCst)).collect())
    }

    async fn market(
        &self,
        ticker: &MarketTicker,
        now: Timestamp,
    ) -> Result<Option<MarketCandidate>, SurroundingsError> {
        Ok(self.markets(now).await?.into_iter().find(|m| m.ticker == *ticker))
    }
}

fn market(n: usize, now: Timestamp) -> MarketCandidate {
    MarketCandidate {
        ticker: MarketTicker(format!("KXTEST-{n}")),
        title: "Will it rain in Boston?".to_owned(),
        category: ["sports", "events", "weather", "local"][n % 4].to_owned(),
        yes_price: Price::from_micros(450_000).ok(),
        ends_at: now + SignedDuration::from_hours(2),
    }
}

pub struct Town {
    pub db: TestDb,
    pub clock: Arc<ManualClock>,
    pub clocks: Clocks,
    pub entropy: SharedEntropy,
    pub tail: Tail,
    pub purchases: Purchases,
    pub returns: Door<ReturnHandler>,
    pub terminals: Vec<TerminalId>,
    pub members: Vec<MemberId>,
    pub gate: Switch,
    pub day: Day,
    _running: RunningBatcher,
}

impl Town {
    pub async fn open(members: u128) -> Town {
        let db = TestDb::new().await;
        let clock = ManualClock::at("2026-10-10T15:00:00Z".parse().unwrap());
        let clocks = Clocks::manual(clock.clone());
        let entropy = SeededEntropy::shared(1);
        let mut terminals = Vec::new();
        for (n, (name, category)) in
            [("Rosa's Bakery", "bakery"), ("Blue Cup", "cafe"), ("Corner Store", "grocer")].iter().enumerate()
        {
            let merchant = NewMerchant {
                id: MerchantId(Uuid::from_u128(n as u128 + 1)),
                name: (*name).to_owned(),
                category: (*category).to_owned(),
                zone: "America/New_York".to_owned(),
                currency: "USD".to_owned(),
                points_per_unit: 1,
                per_cents: 100,
                points_per_visit: 0,
                points_max: 5_000,
            };
            add_merchant(db.app(), &merchant, clocks.business.now()).await.unwrap();
            terminals
                .push(add_terminal(db.app(), &entropy, merchant.id, "front", clocks.business.now()).await.unwrap().0);
        }
        let members: Vec<MemberId> = (0..members).map(|n| MemberId(Uuid::from_u128(1000 + n))).collect();
        open_members(&mut db.app().acquire().await.unwrap(), &members, 8).await.unwrap();
        let tail = Tail::new(8);
        let mut builder = Batcher::builder(db.app().clone(), clocks.clone(), tail.clone());
        let door = builder.register(PurchaseHandler);
        let returns = builder.register(ReturnHandler);
        let purchases = Purchases {
            directory: Directory::new(db.app().clone(), clocks.wall.clone()),
            codes: CodeKey::new(b"test key"),
            door,
            pool: db.app().clone(),
            clocks: clocks.clone(),
            shards: 8,
        };
        let _running = run_batcher(&builder.build());
        let (gate, day) = (Switch::default(), Day::default());
        Town { db, clock, clocks, entropy, tail, purchases, returns, terminals, members, gate, day, _running }
    }

    pub fn engage(&self) -> Engage<Switch, Day> {
        let parts = (self.db.app().clone(), self.tail.clone(), self.gate.clone(), self.day.clone());
        Engage::new(parts.0, parts.1, parts.2, parts.3, self.clocks.clone())
    }

    pub fn now(&self) -> Timestamp {
        self.clocks.business.now()
    }

    pub fn receipt(
        &self,
        member: MemberId,
        till: usize,
        number: &str,
        amount_cents: i64,
        at: Timestamp,
    ) -> PurchaseRequest {
        PurchaseRequest {
            terminal: self.terminals[till],
            receipt: number.to_owned(),
            member: MemberRef::Token(member),
            amount_cents,
            currency: "USD".to_owned(),
            purchased_at: at,
        }
    }

    pub async fn buy(&self, member: MemberId, number: &str) -> Uuid {
        let request = self.receipt(member, 0, number, 100, self.now());
        self.purchases.record(vec![request]).await.remove(0).unwrap();
        purchase_id(self.terminals[0], number).0
    }

    pub async fn settle(&self, engage: &Engage<Switch, Day>) -> StepReport {
        let mut sum = StepReport::default();
        for shard in 0..8 {
            let r = engage.consume_step(hunch_kernel::Shard(shard), 1_000).await.unwrap();
            sum.messages += r.messages;
            sum.decisions += r.decisions;
            sum.prompts += r.prompts;
            sum.withheld += r.withheld;
            sum.notices += r.notices;
            sum.withdrawn += r.withdrawn;
        }
        sum
    }

    /// Buys until the policy chose a market, and returns that purchase.
    pub async fn prompted(&self, engage: &Engage<Switch, Day>, member: MemberId) -> Uuid {
        for n in 0..60 {
            let purchase = self.buy(member, &format!("p{n}")).await;
            if self.settle(engage).await.prompts > 0 {
                return purchase;
            }
        }
        panic!("the policy never chose a market");
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.auditor()).await.unwrap()
    }
}
