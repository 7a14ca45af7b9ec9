//! From purchases of real tills to decisions, notices and prompts, on a real database.

use async_trait::async_trait;
use hunch_db::testing::TestDb;
use hunch_engage::{
    Engage, EngageError, Features, MarketCandidate, OpenedPrompt, Recommendation, StepReport, Surroundings,
    SurroundingsError,
};
use hunch_kernel::{
    Clocks, DeviceId, ManualClock, MarketTicker, MemberId, MerchantId, Price, SeededEntropy, SharedEntropy, TerminalId,
    shard_of,
};
use hunch_ledger::testing::{RunningBatcher, run_batcher};
use hunch_ledger::{Batcher, Door, open_members};
use hunch_log::{ShardTx, Tail};
use hunch_loyalty::{
    CodeKey, Directory, MemberRef, NewMerchant, PurchaseHandler, PurchaseRequest, Purchases, ReturnHandler,
    ReturnRequest, add_merchant, add_terminal, purchase_id,
};
use hunch_messages::{Message, StandingChanged};
use hunch_messaging::copy::betting_word;
use hunch_messaging::{Cause, PromptGate, PromptSitting, PushTruth, Withheld, inbox, notice, notice_id, why_no_push};
use hunch_safeguards::PromptPermit;
use hunch_safeguards::testing::prompt_permit;
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::Row;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

#[derive(Clone, Default)]
struct Switch(Arc<AtomicBool>);

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
        Ok(prompt_permit(member, device, 1, Timestamp::UNIX_EPOCH))
    }
}

/// Markets that end two hours from now, whenever now is; a switch closes them all.
#[derive(Clone, Default)]
struct Day(Arc<AtomicBool>);

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

struct Town {
    db: TestDb,
    clock: Arc<ManualClock>,
    clocks: Clocks,
    entropy: SharedEntropy,
    tail: Tail,
    purchases: Purchases,
    returns: Door<ReturnHandler>,
    terminals: Vec<TerminalId>,
    members: Vec<MemberId>,
    gate: Switch,
    day: Day,
    _running: RunningBatcher,
}

impl Town {
    async fn open(members: u128) -> Town {
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

    fn engage(&self) -> Engage<Switch, Day> {
        let parts = (self.db.app().clone(), self.tail.clone(), self.gate.clone(), self.day.clone());
        Engage::new(parts.0, parts.1, parts.2, parts.3, self.clocks.clone())
    }

    fn now(&self) -> Timestamp {
        self.clocks.business.now()
    }

    fn receipt(
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

    async fn buy(&self, member: MemberId, number: &str) -> Uuid {
        let request = self.receipt(member, 0, number, 100, self.now());
        self.purchases.record(vec![request]).await.remove(0).unwrap();
        purchase_id(self.terminals[0], number).0
    }

    async fn settle(&self, engage: &Engage<Switch, Day>) -> StepReport {
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
    async fn prompted(&self, engage: &Engage<Switch, Day>, member: MemberId) -> Uuid {
        for n in 0..60 {
            let purchase = self.buy(member, &format!("p{n}")).await;
            if self.settle(engage).await.prompts > 0 {
                return purchase;
            }
        }
        panic!("the policy never chose a market");
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.auditor()).await.unwrap()
    }
}

#[tokio::test]
async fn every_purchase_is_decided_once_and_stands_in_the_inbox() {
    let town = Town::open(20).await;
    let engage = town.engage();
    let mut purchases = Vec::new();
    for n in 0..3 {
        for (m, member) in town.members.iter().enumerate() {
            purchases.push((*member, town.buy(*member, &format!("{n}-{m}")).await));
        }
        let receipts = town.settle(&engage).await;
        town.clock.advance(SignedDuration::from_mins(40));
        assert_eq!((receipts.decisions, receipts.notices), (20, 20));
    }
    assert_eq!(town.settle(&engage).await, StepReport::default(), "nothing twice");
    for (member, purchase) in purchases {
        let truth = why_no_push(town.db.app(), purchase).await.unwrap();
        assert!(matches!(truth, PushTruth::NoSubscription | PushTruth::NothingBetter { .. }), "{truth:?}");
        let stored =
            notice(town.db.app(), member, notice_id(member, Cause::Purchase(purchase))).await.unwrap().unwrap();
        assert_eq!(stored.body, "You earned 1 point at Rosa's Bakery.");
    }
    assert_eq!(inbox(town.db.app(), town.members[0], None, 10).await.unwrap().len(), 3);
    let odd = "SELECT count(*) FROM engage.decision d LEFT JOIN messaging.notice n ON n.cause = d.cause AND n.member = d.member
               WHERE n.notice IS NULL OR n.wanted <> d.action OR n.prompt_ref IS DISTINCT FROM d.reference";
    assert_eq!(town.count(odd).await, 0, "notices say what was decided");
    assert!(town.count("SELECT count(*) FROM engage.decision WHERE action = 'market'").await > 0);
    assert!(town.count("SELECT count(*) FROM engage.decision WHERE action = 'nothing'").await > 0);
}

/// A purchase waits for whoever steps next; of two owners the newer one wins, and nothing is decided twice.
#[tokio::test]
async fn a_replaced_owner_writes_nothing() {
    let town = Town::open(10).await;
    let (old, new) = (town.engage(), town.engage());
    for (n, member) in town.members.iter().enumerate() {
        town.buy(*member, &format!("a{n}")).await;
    }
    town.settle(&old).await;
    for (n, member) in town.members.iter().enumerate() {
        town.buy(*member, &format!("b{n}")).await;
    }
    let shard = shard_of(town.members[0], 8);
    assert!(new.consume_step(shard, 1_000).await.unwrap().decisions > 0);
    let (_, more) = (town.buy(town.members[0], "c").await, town.buy(town.members[0], "d").await);
    assert!(matches!(old.consume_step(shard, 1_000).await, Err(EngageError::Fenced)));
    town.settle(&new).await;
    assert_eq!(town.count("SELECT count(*) FROM engage.decision").await, 22);
    assert_eq!(town.count("SELECT count(*) FROM messaging.notice").await, 22);
    assert_eq!(old.features(town.members[0]).purchases_7d, 4, "it read the log, it wrote nothing");
    assert_ne!(why_no_push(town.db.app(), more).await.unwrap(), PushTruth::NotDecided);
}

/// After a restart memory is what it was: checkpoint, log and prompts together.
#[tokio::test]
async fn memory_is_rebuilt_after_a_restart() {
    let town = Town::open(6).await;
    let first = town.engage();
    for n in 0..12 {
        for (m, member) in town.members.iter().enumerate() {
            town.buy(*member, &format!("{n}-{m}")).await;
        }
        town.settle(&first).await;
        // Some rounds are within five seconds of the last checkpoint and are rebuilt from the log.
        town.clock.advance(if n % 3 == 0 { SignedDuration::from_mins(50) } else { SignedDuration::from_secs(1) });
    }
    let before: Vec<Features> = town.members.iter().map(|m| first.features(*m)).collect();
    assert!(before.iter().any(|f| f.prompts_24h > 0));
    let second = town.engage();
    town.settle(&second).await;
    let after: Vec<Features> = town.members.iter().map(|m| second.features(*m)).collect();
    assert_eq!(before, after);
    assert!(before.iter().all(|f| f.purchases_7d == 12 && f.prompts_24h <= 3));
}

/// M1: what memory says equals independent SQL over the receipts themselves.
#[tokio::test]
async fn features_equal_sql_over_the_receipts() {
    let town = Town::open(8).await;
    let engage = town.engage();
    let mut sold = Vec::new();
    for n in 0..120i64 {
        let mut byte = [0u8; 4];
        town.entropy.fill(&mut byte);
        let member = town.members[usize::from(byte[0]) % 8];
        let till = usize::from(byte[1]) % 3;
        let late = SignedDuration::from_mins(i64::from(byte[2]) * 5);
        let request = town.receipt(member, till, &n.to_string(), 100 + i64::from(byte[3]) * 37, town.now() - late);
        if town.purchases.record(vec![request]).await.remove(0).is_ok() {
            sold.push((member, till, n));
        }
        town.clock.advance(SignedDuration::from_hours(8));
        if n % 7 == 0 {
            let (member, till, number) = sold.swap_remove(usize::from(byte[3]) % sold.len());
            let terminal = town.terminals[till];
            let request = ReturnRequest { purchase: purchase_id(terminal, &number.to_string()), member, terminal };
            town.returns.submit(shard_of(member, 8), request).await.unwrap().unwrap();
        }
        town.settle(&engage).await;
    }
    assert!(sold.len() > 80, "{} purchases", sold.len());
    let now = town.now();
    for member in &town.members {
        let row = sqlx::query(
            "WITH kept AS (
                 SELECT p.*, m.category, (p.purchased_at AT TIME ZONE 'UTC')::date AS day, ($2::timestamptz AT TIME ZONE 'UTC')::date AS today
                 FROM loyalty.purchase p JOIN loyalty.merchant m USING (merchant)
                 LEFT JOIN loyalty.purchase_return r USING (purchase) WHERE p.member = $1 AND r.purchase IS NULL)
             SELECT count(*) FILTER (WHERE day > today - 7 AND day <= today), count(*) FILTER (WHERE day > today - 30 AND day <= today),
                    coalesce(sum(amount_cents) FILTER (WHERE day > today - 7 AND day <= today), 0)::bigint,
                    coalesce(sum(amount_cents) FILTER (WHERE day > today - 30 AND day <= today), 0)::bigint,
                    coalesce(sum(points) FILTER (WHERE day > today - 30 AND day <= today), 0)::bigint,
                    (SELECT category FROM kept GROUP BY category ORDER BY count(*) DESC, category LIMIT 1)
             FROM kept",
        )
        .bind(member.0)
        .bind(now.to_sqlx())
        .fetch_one(town.db.auditor())
        .await
        .unwrap();
        let last_two: Vec<i64> = sqlx::query_scalar(
            "SELECT (extract(epoch FROM purchased_at) * 1000000)::bigint FROM loyalty.purchase WHERE member = $1 ORDER BY 1 DESC LIMIT 2",
        )
        .bind(member.0)
        .fetch_all(town.db.auditor())
        .await
        .unwrap();
        let f = engage.features(*member);
        assert_eq!((i64::from(f.purchases_7d), i64::from(f.purchases_30d)), (row.get(0), row.get(1)));
        assert_eq!((f.amount_cents_7d, f.amount_cents_30d, f.points_30d), (row.get(2), row.get(3), row.get(4)));
        assert_eq!(f.usual_category, row.get::<Option<String>, _>(5));
        assert_eq!(f.days_since_last, Some(((last_two[0] - last_two[1]) / 86_400_000_000) as i32));
    }
}

#[tokio::test]
async fn a_protected_member_gets_receipts_without_a_word_of_betting() {
    let town = Town::open(12).await;
    let engage = town.engage();
    town.gate.0.store(true, Ordering::SeqCst);
    for round in 0..4 {
        for (n, member) in town.members.iter().enumerate() {
            town.buy(*member, &format!("{round}-{n}")).await;
        }
        let report = town.settle(&engage).await;
        assert_eq!(report.prompts, 0);
    }
    let chosen = town.count("SELECT count(*) FROM engage.decision WHERE action = 'market'").await;
    assert!(chosen > 0);
    assert_eq!(
        town.count("SELECT count(*) FROM engage.decision WHERE action = 'market' AND withheld = 'excluded'").await,
        chosen
    );
    assert_eq!(
        town.count("SELECT count(*) FROM messaging.withheld WHERE reason = 'excluded' AND stage = 'decision'").await,
        chosen
    );
    assert_eq!(
        town.count("SELECT count(*) FROM messaging.notice WHERE prompt_title IS NOT NULL OR category IS NOT NULL")
            .await,
        0
    );
    for member in &town.members {
        for entry in inbox(town.db.app(), *member, None, 10).await.unwrap() {
            assert_eq!(betting_word(entry.body.as_bytes()), None);
            let opened = engage.open_notice(*member, None, entry.id).await.unwrap().unwrap();
            assert!(matches!(opened.prompt, OpenedPrompt::ReceiptOnly { .. }));
        }
        assert!(!matches!(engage.recommend(*member, None).await.unwrap(), Recommendation::Market { .. }));
    }
}

#[tokio::test]
async fn a_prompt_is_judged_again_when_it_is_opened() {
    let town = Town::open(2).await;
    let engage = town.engage();
    let member = town.members[0];
    let id = notice_id(member, Cause::Purchase(town.prompted(&engage, member).await));
    let opened = engage.open_notice(member, None, id).await.unwrap().unwrap();
    assert!(matches!(opened.prompt, OpenedPrompt::Market { .. }), "{opened:?}");
    assert_eq!(engage.open_notice(town.members[1], None, id).await.unwrap(), None, "not another member's");

    let reason = |prompt| match prompt {
        OpenedPrompt::ReceiptOnly { reason } => reason,
        other => panic!("{other:?}"),
    };
    town.day.0.store(true, Ordering::SeqCst);
    let closed = engage.open_notice(member, None, id).await.unwrap().unwrap();
    assert_eq!(reason(closed.prompt), "market_closed");
    town.day.0.store(false, Ordering::SeqCst);
    town.gate.0.store(true, Ordering::SeqCst);
    let refused = engage.open_notice(member, None, id).await.unwrap().unwrap();
    assert_eq!(reason(refused.prompt), "excluded");
    assert_eq!(town.count("SELECT count(*) FROM messaging.withheld WHERE stage = 'fetch'").await, 1);
    town.gate.0.store(false, Ordering::SeqCst);
    let stays = engage.open_notice(member, None, id).await.unwrap().unwrap();
    assert_eq!(reason(stays.prompt), "excluded", "what was taken back stays back");
}

#[tokio::test]
async fn a_changed_standing_takes_open_prompts_back() {
    let town = Town::open(1).await;
    let engage = town.engage();
    let member = town.members[0];
    town.prompted(&engage, member).await;
    let changed = |version| {
        let at = town.now();
        Message::StandingChanged(StandingChanged {
            v: 1,
            member: member.0,
            standing_version: version,
            cause: "limit".to_owned(),
            at,
        })
    };
    let announce = async |message| {
        let mut tx = ShardTx::begin(town.db.app(), shard_of(member, 8), town.now()).await.unwrap();
        tx.announce(message);
        town.tail.publish(&tx.commit().await.unwrap());
    };
    announce(changed(2)).await;
    assert_eq!(town.settle(&engage).await.withdrawn, 0, "a change that still allows prompts takes none back");
    town.gate.0.store(true, Ordering::SeqCst);
    announce(changed(3)).await;
    assert_eq!(town.settle(&engage).await.withdrawn, 1);
    assert_eq!(
        town.count("SELECT count(*) FROM messaging.notice WHERE prompt_state = 'open' AND wanted = 'market'").await,
        0
    );
}

#[tokio::test]
async fn a_late_receipt_is_told_and_not_pushed() {
    let town = Town::open(1).await;
    let engage = town.engage();
    let request = town.receipt(town.members[0], 1, "late", 500, town.now() - SignedDuration::from_hours(3));
    // The shop opened just now, so its earning rule starts later than this receipt: the points are none.
    town.clock.advance(SignedDuration::from_hours(1));
    town.purchases.record(vec![request]).await.remove(0).unwrap();
    town.settle(&engage).await;
    let truth = why_no_push(town.db.app(), purchase_id(town.terminals[1], "late").0).await.unwrap();
    assert_eq!(truth, PushTruth::NothingBetter { reason: "late".to_owned() });
}

#[tokio::test]
async fn a_card_stays_the_same_and_is_recorded_once() {
    let town = Town::open(1).await;
    let engage = town.engage();
    let first = engage.recommend(town.members[0], None).await.unwrap();
    assert_eq!(engage.recommend(town.members[0], None).await.unwrap(), first);
    assert_eq!(town.count("SELECT count(*) FROM engage.decision WHERE channel = 'card'").await, 1);
}
