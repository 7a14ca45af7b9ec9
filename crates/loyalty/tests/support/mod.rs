//! A shop with one till and one member, on a database of its own.
#![allow(dead_code, reason = "each test program uses its own part")]

use hunch_db::testing::TestDb;
use hunch_kernel::{Clocks, ManualClock, MemberId, MerchantId, SeededEntropy, SharedEntropy, TerminalId, shard_of};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{Batcher, Door, balance, open_members};
use hunch_log::Tail;
use hunch_loyalty::{
    CodeKey, Directory, MemberRef, NewMerchant, PurchaseHandler, PurchaseRefusal, PurchaseRequest, Purchases,
    ReturnAnswer, ReturnHandler, ReturnRequest, ReviewHandler, add_merchant, add_terminal,
};
use std::sync::Arc;
use uuid::Uuid;

pub const ROSA: MerchantId = MerchantId(Uuid::from_u128(9));

/// Rosa's Bakery as it was added.
pub fn rosa() -> NewMerchant {
    NewMerchant {
        id: ROSA,
        name: "Rosa's Bakery".to_owned(),
        category: "bakery".to_owned(),
        zone: "America/New_York".to_owned(),
        currency: "USD".to_owned(),
        points_per_unit: 10,
        per_cents: 100,
        points_per_visit: 0,
        points_max: 5_000,
    }
}

pub struct Shop {
    pub db: TestDb,
    pub purchases: Purchases,
    pub returns: Door<ReturnHandler>,
    pub reviews: Door<ReviewHandler>,
    pub clock: Arc<ManualClock>,
    pub entropy: SharedEntropy,
    pub terminal: TerminalId,
    pub secret: String,
    pub member: MemberId,
    _running: RunningBatcher,
}

impl Shop {
    pub async fn open() -> Shop {
        let db = TestDb::new().await;
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let clocks = Clocks::manual(clock.clone());
        let entropy = SeededEntropy::shared(1);
        let merchant = rosa();
        let now = clocks.business.now();
        add_merchant(db.app(), &merchant, "operator", now).await.unwrap();
        add_merchant(db.app(), &merchant, "operator", now).await.unwrap();
        let (terminal, secret) = add_terminal(db.app(), &entropy, merchant.id, "front", "operator", now).await.unwrap();
        let member = MemberId(Uuid::from_u128(77));
        open_members(&mut db.app().acquire().await.unwrap(), &[member], 8).await.unwrap();
        let mut builder = Batcher::builder(db.app().clone(), clocks.clone(), Tail::new(8));
        let door = builder.register(PurchaseHandler);
        let returns = builder.register(ReturnHandler);
        let reviews = builder.register(ReviewHandler);
        let purchases = Purchases {
            velocity: hunch_loyalty::Velocity::new(db.app().clone(), hunch_loyalty::VelocityLimits::HIGH),
            directory: Directory::new(db.app().clone(), clocks.wall.clone()),
            codes: CodeKey::new(b"test key"),
            door,
            pool: db.app().clone(),
            clocks,
            shards: 8,
        };
        let _running = run_batcher(&builder.build());
        Shop { db, purchases, returns, reviews, clock, entropy, terminal, secret, member, _running }
    }

    pub fn receipt(&self, number: &str, amount_cents: i64) -> PurchaseRequest {
        PurchaseRequest {
            terminal: self.terminal,
            receipt: number.to_owned(),
            member: MemberRef::Token(self.member),
            amount_cents,
            currency: "USD".to_owned(),
            purchased_at: "2026-11-23T11:59:00Z".parse().unwrap(),
        }
    }

    pub async fn buy(&self, request: PurchaseRequest) -> Result<hunch_loyalty::PurchaseAnswer, PurchaseRefusal> {
        self.purchases.record(vec![request]).await.remove(0)
    }

    pub async fn available(&self) -> i64 {
        balance(self.db.app(), self.member).await.unwrap().unwrap().available.0
    }

    pub async fn give_back(&self, purchase: hunch_kernel::PurchaseId) -> ReturnAnswer {
        let request = ReturnRequest { purchase, member: self.member, terminal: self.terminal };
        self.returns.submit(shard_of(self.member, 8), request).await.unwrap().unwrap()
    }
}
