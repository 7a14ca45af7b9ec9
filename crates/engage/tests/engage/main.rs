//! From purchases of real tills to decisions, notices and prompts, on a real database.

mod models;
mod town;

use hunch_engage::{EngageError, Features, OpenedPrompt, Recommendation, StepReport};
use hunch_kernel::shard_of;
use hunch_ledger::ShardHandler;
use hunch_log::ShardTx;
use hunch_loyalty::{ReturnRequest, purchase_id};
use hunch_messages::{Message, StandingChanged};
use hunch_messaging::copy::betting_word;
use hunch_messaging::{Cause, PushTruth, inbox, notice, notice_id, why_no_push};
use hunch_safeguards::{Change, StandingHandler, StandingRequest, note_losses};
use jiff::SignedDuration;
use jiff_sqlx::ToSqlx;
use sqlx::Row;
use std::collections::HashSet;
use std::sync::atomic::Ordering;

use town::Town;

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
        assert_eq!(truth, PushTruth::NoSubscription, "every purchase that earns is to be pushed");
        let stored =
            notice(town.db.app(), member, notice_id(member, Cause::Purchase(purchase))).await.unwrap().unwrap();
        assert_eq!(stored.body, "You earned 1 point at Rosa's Bakery.");
    }
    assert_eq!(inbox(town.db.app(), town.members[0], None, 10).await.unwrap().len(), 3);
    let odd = "SELECT count(*) FROM engage.decision d LEFT JOIN messaging.notice n ON n.cause = d.cause AND n.member = d.member
               WHERE n.notice IS NULL OR n.wanted <> replace(d.action, 'nothing', 'receipt') OR n.prompt_ref IS DISTINCT FROM d.reference
                  OR n.expires_at <= n.made_at + interval '3 hours'";
    assert_eq!(
        town.count(odd).await,
        0,
        "notices say what was decided, and the receipt does not end with its suggestion"
    );
    assert!(town.count("SELECT count(*) FROM engage.decision WHERE action = 'market'").await > 0);
    assert!(town.count("SELECT count(*) FROM engage.decision WHERE action = 'nothing'").await > 0);
}

/// The number a member reads in the offer is the number the purchase is credited, and its receipt says so. Once it is had,
/// neither a push, nor the page that a push opens, nor the card tells of it.
#[tokio::test]
async fn an_offer_that_is_told_is_credited_and_then_told_no_more() {
    let town = Town::open(1).await;
    let (engage, member) = (town.engage(), town.members[0]);
    let offer = hunch_loyalty::NewOffer {
        budget: None,
        id: uuid::Uuid::from_u128(500),
        merchant: hunch_kernel::MerchantId(uuid::Uuid::from_u128(2)),
        title: "Coffee break".to_owned(),
        bonus: hunch_kernel::Points(40),
        valid: town.now()..town.now() + SignedDuration::from_hours(24 * 30),
    };
    hunch_loyalty::add_offer(town.db.app(), &offer, "operator", town.now()).await.unwrap();
    let mut told = None;
    for n in 0..60 {
        let purchase = town.buy(member, &format!("o{n}")).await;
        town.settle(&engage).await;
        let id = notice_id(member, Cause::Purchase(purchase));
        let stored = notice(town.db.app(), member, id).await.unwrap().unwrap();
        if stored.prompt_title.as_deref().is_some_and(|title| title.contains("Coffee")) {
            told = Some((id, stored.prompt_title.unwrap()));
            break;
        }
        town.clock.advance(SignedDuration::from_mins(5));
    }
    let (id, promise) = told.expect("the policy chose the offer");
    assert_eq!(promise, "Coffee break at Blue Cup: 40 points extra, once, with your next purchase there");
    let open = || async { engage.open_notice(member, None, id, false).await.unwrap().unwrap().prompt };
    assert!(matches!(open().await, OpenedPrompt::Offer { .. }));

    town.clock.advance(SignedDuration::from_mins(1));
    let visit = town.receipt(member, 1, "visit", 100, town.now());
    let answer = town.purchases.record(vec![visit]).await.remove(0).unwrap();
    assert_eq!((answer.points.0, answer.offers[0].points.0), (41, 40));
    town.settle(&engage).await;
    let receipt = notice_id(member, Cause::Purchase(answer.purchase.0));
    let receipt = notice(town.db.app(), member, receipt).await.unwrap().unwrap();
    assert_eq!(receipt.body, "You earned 41 points at Blue Cup, 40 of them from \u{201c}Coffee break\u{201d}.");
    assert!(matches!(open().await, OpenedPrompt::ReceiptOnly { reason } if reason == "offer_over"));
    for n in 0..40 {
        town.buy(member, &format!("later{n}")).await;
        town.settle(&engage).await;
        assert!(!matches!(engage.recommend(member, None).await.unwrap(), Recommendation::Offer { .. }));
        town.clock.advance(SignedDuration::from_mins(11));
    }
    let again = "SELECT count(*) FROM engage.decision WHERE action = 'offer'";
    let before = "SELECT count(*) FROM engage.decision d JOIN loyalty.offer_use u USING (member)
                  WHERE d.action = 'offer' AND d.at < u.used_at";
    assert_eq!(town.count(again).await, town.count(before).await);

    let request = ReturnRequest { purchase: answer.purchase, member, terminal: town.terminals[1] };
    let back = town.returns.submit(shard_of(member, 8), request).await.unwrap().unwrap();
    assert_eq!(back.clawed_back.0, 41, "the offer's points go back with the purchase");
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
    assert_eq!(old.features(town.members[0]).unwrap().purchases_7d, 4, "it read the log, it wrote nothing");
    assert_ne!(why_no_push(town.db.app(), more).await.unwrap(), PushTruth::NotDecided);
}

/// After a restart memory is what it was: checkpoint and log together.
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
    let before: Vec<Option<Features>> = town.members.iter().map(|m| first.features(*m)).collect();
    let second = town.engage();
    assert!(town.members.iter().all(|m| second.features(*m).is_none()), "nothing is known before it was rebuilt");
    town.settle(&second).await;
    let after: Vec<Option<Features>> = town.members.iter().map(|m| second.features(*m)).collect();
    assert_eq!(before, after);
    assert!(before.iter().all(|f| f.as_ref().is_some_and(|f| f.purchases_7d == 12)));
    let prompts =
        "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM safeguards.prompt GROUP BY member) counted";
    assert!((1..=3).contains(&town.count(prompts).await), "in one day");
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
        let f = engage.features(*member).unwrap();
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
    assert_eq!(town.count("SELECT count(*) FROM engage.decision WHERE action = 'market'").await, 0);
    assert_eq!(town.count("SELECT count(*) FROM engage.decision WHERE reason <> 'excluded'").await, 0, "and says why");
    assert_eq!(
        town.count("SELECT count(*) FROM messaging.notice WHERE wanted <> 'receipt'").await,
        0,
        "pushed all the same"
    );
    assert_eq!(
        town.count("SELECT count(*) FROM messaging.notice WHERE prompt_title IS NOT NULL OR category IS NOT NULL")
            .await,
        0
    );
    for member in &town.members {
        for entry in inbox(town.db.app(), *member, None, 10).await.unwrap() {
            assert_eq!(betting_word(entry.body.as_bytes()), None);
            let opened = engage.open_notice(*member, None, entry.id, true).await.unwrap().unwrap();
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
    let opened = engage.open_notice(member, None, id, true).await.unwrap().unwrap();
    assert!(matches!(opened.prompt, OpenedPrompt::Market { .. }), "{opened:?}");
    assert_eq!(
        engage.open_notice(town.members[1], None, id, true).await.unwrap().map(|n| n.id),
        None,
        "not another member's"
    );

    let reason = |prompt| match prompt {
        OpenedPrompt::ReceiptOnly { reason } => reason,
        other => panic!("{other:?}"),
    };
    town.day.0.store(true, Ordering::SeqCst);
    let closed = engage.open_notice(member, None, id, true).await.unwrap().unwrap();
    assert_eq!(reason(closed.prompt), "market_closed");
    town.day.0.store(false, Ordering::SeqCst);
    town.gate.0.store(true, Ordering::SeqCst);
    let refused = engage.open_notice(member, None, id, true).await.unwrap().unwrap();
    assert_eq!(reason(refused.prompt), "excluded");
    assert_eq!(town.count("SELECT count(*) FROM messaging.withheld WHERE stage = 'fetch'").await, 1);
    town.gate.0.store(false, Ordering::SeqCst);
    let stays = engage.open_notice(member, None, id, true).await.unwrap().unwrap();
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

/// The points are credited now, so they are told now; for a suggestion it is too late.
#[tokio::test]
async fn a_late_receipt_is_pushed_without_a_suggestion() {
    let town = Town::open(1).await;
    let engage = town.engage();
    let request = town.receipt(town.members[0], 1, "late", 500, town.now() - SignedDuration::from_hours(3));
    // The shop opened just now, so its earning rule starts later than this receipt: the points are none.
    town.clock.advance(SignedDuration::from_hours(1));
    town.purchases.record(vec![request]).await.remove(0).unwrap();
    town.settle(&engage).await;
    let truth = why_no_push(town.db.app(), purchase_id(town.terminals[1], "late").0).await.unwrap();
    assert_eq!(truth, PushTruth::NoSubscription, "there is no phone, but it was to be pushed");
    assert_eq!(
        town.count("SELECT count(*) FROM messaging.notice WHERE wanted = 'receipt' AND reason = 'late'").await,
        1
    );
}

/// What the member is denied is no market; the gate is asked before anything is drawn, so the offers are drawn from.
#[tokio::test]
async fn a_denied_member_is_left_the_offers_of_shops() {
    let town = Town::open(8).await;
    let offer = town.offer().await.to_string();
    let engage = town.engage();
    town.gate.0.store(true, Ordering::SeqCst);
    for round in 0..4 {
        for (n, member) in town.members.iter().enumerate() {
            town.buy(*member, &format!("{round}-{n}")).await;
        }
        town.settle(&engage).await;
    }
    let offers = town.count("SELECT count(*) FROM messaging.notice WHERE wanted = 'offer'").await;
    assert!(offers > 5, "{offers} of 32");
    assert_eq!(town.count("SELECT count(*) FROM messaging.notice WHERE wanted = 'market'").await, 0);
    let mut shown = 0;
    for member in &town.members {
        match engage.recommend(*member, None).await.unwrap() {
            Recommendation::Offer { offer: card, .. } => {
                shown += 1;
                assert_eq!(card.offer.to_string(), offer);
            }
            Recommendation::Nothing { reason } => assert_eq!(reason, "excluded"),
            Recommendation::Market { .. } => panic!("a market"),
        }
    }
    assert!(shown > 0);

    // Who switches offers off has none: neither drawn, nor fetched, nor on a card.
    let request =
        |member| StandingRequest { member, home_zone: "America/New_York".to_owned(), change: Change::Offers(false) };
    for member in &town.members {
        let mut tx = ShardTx::begin(town.db.app(), shard_of(*member, 8), town.now()).await.unwrap();
        let answers = StandingHandler { house: town::HOUSE }.handle(&mut tx, &[request(*member)]).await.unwrap();
        assert!(answers[0].is_ok());
        town.tail.publish(&tx.commit().await.unwrap());
        for entry in inbox(town.db.app(), *member, None, 10).await.unwrap() {
            let opened = engage.open_notice(*member, None, entry.id, true).await.unwrap().unwrap();
            assert!(matches!(opened.prompt, OpenedPrompt::ReceiptOnly { .. }), "{opened:?}");
        }
        let card = engage.recommend(*member, None).await.unwrap();
        assert!(matches!(card, Recommendation::Nothing { .. }), "{card:?}");
    }
    town.settle(&engage).await;
    assert_eq!(town.count("SELECT count(*) FROM messaging.notice WHERE prompt_state = 'open'").await, 0, "taken back");
    for (n, member) in town.members.iter().enumerate() {
        town.buy(*member, &format!("after-{n}")).await;
    }
    town.settle(&engage).await;
    assert_eq!(town.count("SELECT count(*) FROM messaging.notice WHERE wanted = 'offer'").await, offers);
}

/// No restart, no other process and no rebuilding of memory loosens it: the loss is a row.
#[tokio::test]
async fn nobody_is_prompted_after_a_loss_whoever_decides() {
    let town = Town::open(1).await;
    let (engage, member) = (town.engage(), town.members[0]);
    let id = notice_id(member, Cause::Purchase(town.prompted(&engage, member).await));
    town.clock.advance(SignedDuration::from_mins(40));
    town.come_in().await;
    let mut tx = ShardTx::begin(town.db.app(), shard_of(member, 8), town.now()).await.unwrap();
    note_losses(&mut tx, &[member]).await.unwrap();
    tx.commit().await.unwrap();
    let restarted = town.engage();
    // Asked before it has read anything of the log.
    let opened = restarted.open_notice(member, None, id, false).await.unwrap().unwrap();
    assert!(matches!(opened.prompt, OpenedPrompt::ReceiptOnly { reason } if reason == "after_loss"));
    let card = restarted.recommend(member, None).await.unwrap();
    assert!(matches!(card, Recommendation::Nothing { .. }), "{card:?}");
    for n in 0..20 {
        town.buy(member, &format!("after-{n}")).await;
        assert_eq!(town.settle(&restarted).await.prompts, 0);
    }
    assert_eq!(town.count("SELECT count(*) FROM engage.decision WHERE reason = 'after_loss'").await, 20);
    town.clock.advance(SignedDuration::from_hours(4));
    town.prompted(&restarted, member).await;
}

/// A batch of purchases of one member is judged by one reading; it gives one prompt, not many.
#[tokio::test]
async fn one_step_gives_a_member_one_prompt() {
    let town = Town::open(1).await;
    let (engage, member) = (town.engage(), town.members[0]);
    for n in 0..40 {
        town.buy(member, &n.to_string()).await;
    }
    let report = town.settle(&engage).await;
    assert_eq!((report.decisions, report.notices, report.prompts), (40, 40, 1), "all are told of their points");
    assert_eq!(town.count("SELECT count(*) FROM safeguards.prompt").await, 1);
    assert!(town.count("SELECT count(*) FROM engage.decision WHERE reason = 'prompt_gap'").await > 0);
}

fn card(shown: &Recommendation) -> String {
    match shown {
        Recommendation::Nothing { reason } => format!("nothing: {reason}"),
        Recommendation::Offer { offer, .. } => format!("offer {}", offer.offer),
        Recommendation::Market { market, .. } => format!("market {}", market.ticker),
    }
}

/// What is shown is what was recorded, also when the next draw would be another; it is one prompt however often it is read.
#[tokio::test]
async fn a_card_stays_the_same_and_is_recorded_once() {
    let town = Town::open(6).await;
    town.offer().await;
    let engage = town.engage();
    town.settle(&engage).await;
    let recorded = "SELECT count(*) FROM engage.decision WHERE channel = 'card'";
    for slot in 0..20 {
        let before = town.count(recorded).await;
        let mut first = Vec::new();
        for member in &town.members {
            first.push(card(&engage.recommend(*member, None).await.unwrap()));
        }
        assert_eq!(town.count(recorded).await, before + 6, "slot {slot}");
        // Shopping changes what would be drawn, another process draws for itself, a prompt was just given.
        town.clock.advance(SignedDuration::from_mins(3));
        for (n, member) in town.members.iter().enumerate() {
            town.buy(*member, &format!("{slot}-{n}")).await;
        }
        let other = town.engage();
        town.settle(&other).await;
        for (member, first) in town.members.iter().zip(&first) {
            assert_eq!(card(&other.recommend(*member, None).await.unwrap()), *first);
        }
        assert_eq!(town.count(recorded).await, before + 6);
        town.clock.advance(SignedDuration::from_mins(57));
        town.come_in().await;
    }
    assert!(town.count("SELECT count(*) FROM engage.decision WHERE channel = 'card' AND action = 'market'").await > 5);
    let unlike = "SELECT count(*) FROM (SELECT member, cause FROM engage.decision WHERE action = 'market') d
                  FULL JOIN safeguards.prompt p USING (member, cause) WHERE d.member IS NULL OR p.member IS NULL
                     OR d.cause IS NULL OR p.cause IS NULL";
    assert_eq!(town.count(unlike).await, 0, "every prompt is recorded once");
    let most = "SELECT max(n) FROM (SELECT (SELECT count(*) FROM safeguards.prompt q WHERE q.member = p.member AND q.at > p.at - interval '24 hours'
                AND q.at <= p.at) AS n FROM safeguards.prompt p) counted";
    assert_eq!(town.count(most).await, 3, "cards count as pushes do");
}

/// A card whose market may not be shown any more gives way to one without markets, which is recorded too.
#[tokio::test]
async fn a_card_that_is_denied_leaves_the_offers() {
    let town = Town::open(12).await;
    town.offer().await;
    let engage = town.engage();
    town.settle(&engage).await;
    let mut prompted = Vec::new();
    for member in &town.members {
        if matches!(engage.recommend(*member, None).await.unwrap(), Recommendation::Market { .. }) {
            prompted.push(*member);
        }
    }
    assert!(prompted.len() > 2, "{}", prompted.len());
    town.gate.0.store(true, Ordering::SeqCst);
    let mut shown = HashSet::new();
    for member in &prompted {
        let first = card(&engage.recommend(*member, None).await.unwrap());
        assert!(!first.starts_with("market"), "{first}");
        assert_eq!(card(&engage.recommend(*member, None).await.unwrap()), first, "as it was recorded");
        shown.insert(first.split(' ').next().unwrap().to_owned());
    }
    assert!(shown.contains("offer"), "{shown:?}");
    let recorded = town.count("SELECT count(*) FROM engage.decision WHERE channel = 'card'").await;
    assert_eq!(recorded, 12 + prompted.len() as i64);
}
