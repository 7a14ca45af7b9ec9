//! Corrections of paid results, and what stands in their way.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use hunch_exchange::MarketResult;
use hunch_exchange_sim::Outcome;
use hunch_kernel::{MemberId, Points, Price, Side};
use hunch_trading::{Correction, CorrectionRefusal};
use support::{Bench, TICKER};

const OTHER: &str = "KXOTHER-26NOV23-A";

impl Bench {
    async fn agreed(&self, ticker: &str, yes: bool) -> Correction {
        let (result, value) = if yes { (MarketResult::Yes, Price::ONE) } else { (MarketResult::No, Price::ZERO) };
        let (market, why) = (ticker.into(), "the feed was wrong");
        let proposed = self.trading.propose_correction(&market, result, value, why, "operator").await.unwrap();
        self.trading.approve_correction(proposed.id, "approver").await.unwrap()
    }

    async fn won(&self, member: MemberId) -> Points {
        self.trading.holdings(member, false, None, 1).await.unwrap()[0].position.paid.as_ref().unwrap().points
    }
}

/// One position cannot be reversed: the rest of its market and every other market are corrected all the same.
#[tokio::test]
async fn a_correction_that_cannot_be_carried_out_waits_alone() {
    let bench = Bench::start().await;
    bench.list(OTHER, 1).await;
    let (one, two, three) = (bench.member(1_000).await, bench.member(1_000).await, bench.member(1_000).await);
    bench.stake(one, Side::Yes, 100).await.unwrap();
    bench.stake(two, Side::Yes, 100).await.unwrap();
    bench.stake_on(OTHER, three, Side::Yes, 100).await.unwrap();
    bench.work().await;
    bench.end(TICKER, Outcome::Yes).await;
    bench.end(OTHER, Outcome::Yes).await;
    let first = bench.agreed(TICKER, false).await;
    bench.agreed(OTHER, false).await;

    let strange = "UPDATE trading.position SET paid_points = paid_points + $2 WHERE member = $1";
    sqlx::query(strange).bind(one.0).bind(1i64).execute(bench.db.owner()).await.unwrap();
    assert_eq!(bench.trading.correct_step().await.unwrap(), 2, "one of its market, one of the other");
    assert_eq!((bench.won(two).await, bench.won(three).await), (Points::ZERO, Points::ZERO));
    let open = bench.trading.open_corrections().await.unwrap();
    assert_eq!(open.iter().map(|c| c.id).collect::<Vec<_>>(), [first.id]);
    assert!(open[0].parked.as_ref().unwrap().contains("1 positions"), "{open:?}");
    assert_eq!(bench.trading.correct_step().await.unwrap(), 0, "it waits for somebody");
    assert_eq!(bench.trading.end_correction(first.id, "operator").await, Err(CorrectionRefusal::Begun));

    sqlx::query(strange).bind(one.0).bind(-1i64).execute(bench.db.owner()).await.unwrap();
    assert_eq!(bench.trading.retry_correction(first.id, "operator").await.unwrap().parked, None);
    assert_eq!(bench.trading.correct_step().await.unwrap(), 1);
    assert_eq!(bench.trading.open_corrections().await.unwrap(), []);
    assert_eq!(bench.trading.retry_correction(first.id, "operator").await, Err(CorrectionRefusal::Unknown));
    bench.books_fit().await;
}

/// Who proposed in error takes it back; the market can be corrected then.
#[tokio::test]
async fn a_correction_that_changed_nothing_can_be_ended() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    bench.stake(member, Side::Yes, 100).await.unwrap();
    bench.work().await;
    bench.end(TICKER, Outcome::Yes).await;
    let (no, zero) = (MarketResult::No, Price::ZERO);
    let wrong = bench.trading.propose_correction(&TICKER.into(), no, zero, "by mistake", "operator").await.unwrap();
    let again = bench.trading.propose_correction(&TICKER.into(), no, zero, "once more", "operator").await;
    assert_eq!(again, Err(CorrectionRefusal::Open));
    assert_eq!(bench.trading.retry_correction(wrong.id, "operator").await, Err(CorrectionRefusal::NotParked));
    let ended = bench.trading.end_correction(wrong.id, "operator").await.unwrap();
    assert_eq!(ended.ended_by.as_deref(), Some("operator"));
    assert_eq!(bench.trading.approve_correction(wrong.id, "approver").await, Err(CorrectionRefusal::Unknown));
    bench.agreed(TICKER, false).await;
    assert_eq!(bench.trading.correct_step().await.unwrap(), 1);
}

/// A member with several positions of one market, corrected up and down in one transaction each time.
#[tokio::test]
async fn several_positions_of_one_member_are_corrected_together() {
    let bench = Bench::start().await;
    let member = bench.member(1_000).await;
    for _ in 0..3 {
        bench.stake(member, Side::Yes, 60).await.unwrap();
    }
    bench.work().await;
    let staked = bench.balance(member).await.available;
    bench.end(TICKER, Outcome::No).await;
    for (yes, won) in [(true, true), (false, false), (true, true), (false, false)] {
        bench.agreed(TICKER, yes).await;
        assert_eq!(bench.trading.correct_step().await.unwrap(), 3);
        assert_eq!(bench.balance(member).await.available > staked, won);
        bench.work_for(1).await;
    }
    assert_eq!(bench.balance(member).await.available, staked);
    let reversals: i64 = sqlx::query_scalar("SELECT count(*) FROM ledger.reversal WHERE lost = 0")
        .fetch_one(bench.db.auditor())
        .await
        .unwrap();
    assert_eq!(reversals, 6);
    bench.books_fit().await;
}
