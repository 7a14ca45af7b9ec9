//! A small town on a real database: three shops, members, a gate and markets with a switch each.

use async_trait::async_trait;
use hunch_db::testing::TestDb;
use hunch_engage::{Engage, MarketCandidate, StepReport, Surroundings, SurroundingsError};
use hunch_kernel::{
    Clocks, DeviceId, ManualClock, MarketTicker, MemberId, MerchantId, Points, Price, SeededEntropy, SharedEntropy,
    TerminalId,
};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{Batcher, Door};
use hunch_log::Tail;
use hunch_loyalty::{
    CodeKey, Directory, MemberRef, NewMerchant, PurchaseHandler, PurchaseRequest, Purchases, ReturnHandler,
    add_merchant, add_terminal, purchase_id,
};
use hunch_messaging::{OpenedHandler, PromptGate, PromptSitting, Withheld};
use hunch_people::{Keys, NewMember, People};
use hunch_safeguards::{HouseLimits, OfferPermit, PromptPermit, PromptsHad, Safeguards, Sitting};
use hunch_vault::Person;
use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// The real gate, with a switch before it that denies every prompt to stake.
#[derive(Clone)]
pub struct Switch(pub Arc<AtomicBool>, pub Safeguards);

pub struct Seated(bool, Sitting);

#[async_trait]
impl PromptGate for Switch {
    type Sitting = Seated;

    async fn sit(&self, members: &[MemberId]) -> Seated {
        Seated(self.0.load(Ordering::SeqCst), self.1.sit(members).await)
    }

    async fn prompt_still_holds(&self, permit: &PromptPermit) -> bool {
        self.1.prompt_still_holds(permit).await.is_ok()
    }

    async fn offer_still_holds(&self, permit: &OfferPermit) -> bool {
        self.1.offer_still_holds(permit).await.is_ok()
    }
}

impl Seated {
    fn open(&self) -> Result<(), Withheld> {
        let refusal = Withheld { code: "excluded", sentence: "You are excluded.".to_owned() };
        if self.0 { Err(refusal) } else { Ok(()) }
    }
}

impl PromptSitting for Seated {
    fn zone(&self, member: MemberId) -> Option<jiff::tz::TimeZone> {
        PromptSitting::zone(&self.1, member)
    }

    fn allows_prompt(&self, member: MemberId, cause: Uuid, category: &str) -> Result<(), Withheld> {
        self.open()?;
        PromptSitting::allows_prompt(&self.1, member, cause, category)
    }

    fn prompt(
        &self,
        member: MemberId,
        device: Option<DeviceId>,
        cause: Uuid,
        category: &str,
    ) -> Result<PromptPermit, Withheld> {
        self.open()?;
        PromptSitting::prompt(&self.1, member, device, cause, category)
    }

    fn offer(&self, member: MemberId, device: Option<DeviceId>) -> Result<OfferPermit, Withheld> {
        PromptSitting::offer(&self.1, member, device)
    }

    fn prompted(&mut self, member: MemberId, cause: Uuid) {
        PromptSitting::prompted(&mut self.1, member, cause);
    }

    fn prompts_had(&self, member: MemberId) -> PromptsHad {
        PromptSitting::prompts_had(&self.1, member)
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

pub const HOUSE: HouseLimits = HouseLimits { day: Points(1_000), week: Points(3_000) };

pub struct Town {
    pub db: TestDb,
    pub clock: Arc<ManualClock>,
    pub clocks: Clocks,
    pub entropy: SharedEntropy,
    pub tail: Tail,
    pub purchases: Purchases,
    pub returns: Door<ReturnHandler>,
    pub opened: Door<OpenedHandler>,
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
            add_merchant(db.app(), &merchant, "operator", clocks.business.now()).await.unwrap();
            terminals.push(
                add_terminal(db.app(), &entropy, merchant.id, "front", "operator", clocks.business.now())
                    .await
                    .unwrap()
                    .0,
            );
        }
        let people = People::new(db.db().clone(), clocks.clone(), entropy.clone(), 8, Keys::new(b"a key of tests"));
        let grown_up = |n| NewMember {
            member: Some(MemberId(Uuid::from_u128(1000 + n))),
            person: Person {
                full_name: format!("Member {n}"),
                email: String::new(),
                phone: String::new(),
                birth_date: date(1990, 1, 1),
            },
            home_zone: "America/New_York".to_owned(),
        };
        let members = people.join((0..members).map(grown_up).collect(), "operator").await.unwrap();
        let tail = Tail::new(8);
        let mut builder = Batcher::builder(db.app().clone(), clocks.clone(), tail.clone());
        let door = builder.register(PurchaseHandler);
        let returns = builder.register(ReturnHandler);
        let opened = builder.register(OpenedHandler);
        let purchases = Purchases {
            velocity: hunch_loyalty::Velocity::new(db.app().clone(), hunch_loyalty::VelocityLimits::HIGH),
            directory: Directory::new(db.app().clone(), clocks.wall.clone()),
            codes: CodeKey::new(b"test key"),
            door,
            pool: db.app().clone(),
            clocks: clocks.clone(),
            shards: 8,
        };
        let _running = run_batcher(&builder.build());
        let gate = Safeguards::new(db.db().clone(), people, clocks.clone(), HOUSE);
        let (gate, day) = (Switch(Arc::default(), gate), Day::default());
        let town = Town {
            db,
            clock,
            clocks,
            entropy,
            tail,
            purchases,
            returns,
            opened,
            terminals,
            members,
            gate,
            day,
            _running,
        };
        town.come_in().await;
        town
    }

    /// Everybody's phone says again where it is, which is believed for twenty minutes.
    pub async fn come_in(&self) {
        for member in &self.members {
            self.gate.1.attest_place(*member, 40.7484, -73.9857, 30.0).await.unwrap();
        }
    }

    pub fn engage(&self) -> Engage<Switch, Day> {
        let parts = (self.db.app().clone(), self.tail.clone(), self.gate.clone(), self.day.clone());
        Engage::new(parts.0, parts.1, parts.2, parts.3, self.clocks.clone(), self.opened.clone())
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
        self.come_in().await;
        let mut sum = StepReport::default();
        for shard in 0..8 {
            let r = engage.consume_step(hunch_kernel::Shard(shard), 1_000).await.unwrap();
            sum.messages += r.messages;
            sum.decisions += r.decisions;
            sum.prompts += r.prompts;
            sum.denied += r.denied;
            sum.notices += r.notices;
            sum.withdrawn += r.withdrawn;
        }
        sum
    }

    /// Buys until the policy chose a market, and returns that purchase.
    pub async fn prompted(&self, engage: &Engage<Switch, Day>, member: MemberId) -> Uuid {
        for n in 0..60 {
            let purchase = self.buy(member, &format!("p{n}-{}", self.now())).await;
            if self.settle(engage).await.prompts > 0 {
                return purchase;
            }
        }
        panic!("the policy never chose a market");
    }

    /// An offer of Blue Cup, as every member may hear of it.
    pub async fn offer(&self) -> Uuid {
        let offer = Uuid::from_u128(55);
        sqlx::query(
            "INSERT INTO loyalty.offer (offer, merchant, title, bonus_points, valid_from, valid_to)
             VALUES ($1, $2, 'Second cup', 20, $3, $4)",
        )
        .bind(offer)
        .bind(Uuid::from_u128(2))
        .bind(jiff_sqlx::ToSqlx::to_sqlx(self.now() - SignedDuration::from_hours(1)))
        .bind(jiff_sqlx::ToSqlx::to_sqlx(self.now() + SignedDuration::from_hours(24 * 30)))
        .execute(self.db.owner())
        .await
        .unwrap();
        offer
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.auditor()).await.unwrap()
    }
}
