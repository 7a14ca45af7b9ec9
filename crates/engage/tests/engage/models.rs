//! Decisions that a model serves: what they earn, what is learned, and that each can be made again.

use hunch_engage::{Engage, Model, ModelError, Recommendation, Replayed, export, replay, shadow, told, told_between};
use hunch_kernel::{MemberId, Shard, derived_uuid, shard_of};
use hunch_learning::choice::{Chooser, KIND, Parameters};
use hunch_learning::life::{Artifact, Window};
use hunch_log::ShardTx;
use hunch_messages::{Message, StakeResolved};
use hunch_messaging::{Cause, notice_id};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

use crate::town::{Day, Switch, Town};

/// A model that was taught something, so that its shares are uneven.
fn artifact(taught: i32, learned_until: Timestamp) -> Artifact {
    let mut chooser = Chooser::new(told::WIDTH, hunch_engage::answers::QUIET).unwrap();
    for n in 0..taught {
        let numbers: Vec<i32> = (0..told::WIDTH as i32).map(|place| (n * 7 + place * 3) % 11 * 100).collect();
        chooser.learn(&numbers, if n % 3 == 0 { 1_000 } else { 0 }).unwrap();
    }
    let features = told::NAMES.map(str::to_owned).to_vec();
    let window = Window { to: learned_until.to_string(), ..Window::default() };
    Artifact::new(KIND, 1, window, &Parameters { features, chooser }).unwrap()
}

fn model(taught: i32, learned_until: Timestamp) -> Model {
    Model::of(&artifact(taught, learned_until)).unwrap()
}

impl Town {
    /// Everybody buys; every second prompted member looks at what the prompt said, and the others stake on it unseen.
    async fn lives(&self, engage: &Engage<Switch, Day>, rounds: std::ops::Range<usize>) {
        for round in rounds {
            for (n, member) in self.members.iter().enumerate() {
                self.buy(*member, &format!("{round}-{n}")).await;
            }
            self.settle(engage).await;
            self.look_at_prompts(engage, round, true).await;
            self.settle(engage).await;
            // Some steps come within five seconds of a checkpoint, some decisions find their answers overdue.
            let pause = if round % 3 == 0 { SignedDuration::from_hours(9) } else { SignedDuration::from_secs(2) };
            self.clock.advance(pause);
        }
    }

    async fn look_at_prompts(&self, engage: &Engage<Switch, Day>, round: usize, stakes: bool) {
        let rows = sqlx::query(
            "SELECT d.member, d.reference, d.cause FROM engage.decision d LEFT JOIN engage.answer a USING (member, cause)
             WHERE d.action = 'market' AND d.answer_until IS NOT NULL AND a.cause IS NULL ORDER BY d.cause",
        )
        .fetch_all(self.db.auditor())
        .await
        .unwrap();
        for (nth, row) in rows.iter().enumerate() {
            let (member, market, cause): (Uuid, String, Uuid) = (row.get(0), row.get(1), row.get(2));
            if nth % 2 == 0 {
                let notice = notice_id(MemberId(member), Cause::Purchase(cause));
                engage.open_notice(MemberId(member), None, notice, true).await.unwrap().unwrap();
                continue;
            }
            if !stakes {
                continue;
            }
            let staked = Message::StakeResolved(StakeResolved {
                v: 1,
                order: derived_uuid(&[member.as_bytes(), &round.to_be_bytes()]),
                member,
                market,
                category: "sports".to_owned(),
                side: "yes".to_owned(),
                outcome: "filled".to_owned(),
                filled_hundredths: 100,
                captured_points: 10,
                released_points: 0,
                reason: None,
                at: self.now(),
            });
            let shard = shard_of(MemberId(member), 8);
            let mut tx = ShardTx::begin(self.db.app(), shard, self.now()).await.unwrap();
            tx.announce(staked);
            self.tail.publish(&tx.commit().await.unwrap());
        }
    }

    async fn replayed(&self, models: &[Model]) -> Replayed {
        let mut sum = Replayed::default();
        for shard in 0..8 {
            let one = replay(self.db.auditor(), Shard(shard), models).await.unwrap();
            sum.decisions += one.decisions;
            sum.unknown += one.unknown;
            sum.different.extend(one.different);
        }
        sum
    }
}

/// Bit for bit, across answers, cards, restarts, another model and the way back.
#[tokio::test]
async fn decisions_of_models_are_made_again_from_file_log_and_seed() {
    let town = Town::open(24).await;
    let (first, second) = (model(40, town.now()), model(7, town.now()));
    let engage = town.engage();
    engage.serve(Some(Arc::new(first.clone())));
    town.lives(&engage, 0..7).await;
    town.come_in().await;
    for member in &town.members {
        engage.recommend(*member, None).await.unwrap();
    }
    // Nobody closed this one in order.
    let restarted = town.engage();
    restarted.serve(Some(Arc::new(first.clone())));
    town.lives(&restarted, 7..12).await;
    let began = town.count("SELECT count(*) FROM engage.decision WHERE began").await;
    assert!(began <= 8, "a restart forgets nothing: {began} shards began");
    restarted.serve(Some(Arc::new(second.clone())));
    town.lives(&restarted, 12..15).await;
    restarted.serve(Some(Arc::new(first.clone())));
    town.lives(&restarted, 15..17).await;

    for sql in [
        "SELECT count(*) FROM engage.answer WHERE reward_thousandths = 1000",
        "SELECT count(*) FROM engage.answer WHERE reward_thousandths = 0",
        "SELECT count(*) FROM engage.decision WHERE channel = 'card' AND model IS NOT NULL",
        "SELECT count(*) FROM engage.decision WHERE action = 'nothing' AND policy = 3 AND candidates > 1",
    ] {
        assert!(town.count(sql).await >= 5, "{sql}");
    }
    let made = town.count("SELECT count(*) FROM engage.decision WHERE model IS NOT NULL").await;
    let again = town.replayed(&[first.clone(), second.clone()]).await;
    assert_eq!((again.decisions as i64, again.unknown), (made, 0));
    assert_eq!(again.different, [], "same choice, same propensity");

    // It would be seen: another file under the same name, and an answer that was forgotten.
    assert!(town.replayed(&[second]).await.unknown > 0);
    sqlx::query("DELETE FROM engage.answer WHERE reward_thousandths = 1000").execute(town.db.owner()).await.unwrap();
    assert!(!town.replayed(&[first]).await.different.is_empty());
}

#[tokio::test]
async fn without_a_model_or_with_a_stale_or_foreign_one_the_rule_decides() {
    let town = Town::open(6).await;
    let engage = town.engage();
    town.lives(&engage, 0..2).await;
    engage.serve(Some(Arc::new(model(5, town.now() - SignedDuration::from_hours(24 * 121)))));
    town.lives(&engage, 2..4).await;
    assert_eq!(town.count("SELECT count(*) FROM engage.decision WHERE policy <> 2 OR model IS NOT NULL").await, 0);
    assert!(town.count("SELECT count(*) FROM engage.decision WHERE length(told) > 6").await > 0, "kept for training");
    assert!(town.count("SELECT count(*) FROM engage.answer").await > 0, "and so is what it earned");

    let narrow = Parameters { features: vec!["one".to_owned()], chooser: Chooser::new(1, 50).unwrap() };
    let foreign = Artifact::new(KIND, 1, Window::default(), &narrow).unwrap();
    assert!(matches!(Model::of(&foreign), Err(ModelError::Foreign)));
    let other = Artifact::new("churn", 1, Window::default(), &narrow).unwrap();
    assert!(matches!(Model::of(&other), Err(ModelError::Unreadable(_))));
}

/// What the gate denies is not drawn: nothing is waited for, and a model's word does not open the gate. The offers of shops
/// stay, and a visit to the shop is what they earn.
#[tokio::test]
async fn what_is_denied_teaches_nothing() {
    let town = Town::open(12).await;
    town.offer().await;
    town.gate.0.store(true, Ordering::SeqCst);
    let engage = town.engage();
    engage.serve(Some(Arc::new(model(40, town.now()))));
    town.lives(&engage, 0..4).await;
    for sql in [
        "SELECT count(*) FROM engage.decision WHERE action = 'market'",
        "SELECT count(*) FROM engage.decision WHERE answer_until IS NOT NULL AND answer_at IS NULL",
        "SELECT count(*) FROM safeguards.prompt",
    ] {
        assert_eq!(town.count(sql).await, 0, "{sql}");
    }
    assert!(town.count("SELECT count(*) FROM engage.decision WHERE action = 'offer' AND policy = 3").await > 5);
    assert!(
        town.count("SELECT count(*) FROM engage.decision WHERE action = 'nothing' AND reason = 'excluded'").await > 5
    );
    for member in &town.members {
        assert!(!matches!(engage.recommend(*member, None).await.unwrap(), Recommendation::Market { .. }));
    }
    assert_eq!(town.replayed(&[model(40, town.now())]).await.different, []);
}

/// Looking earns, staking does not: two programmes whose members look alike and stake otherwise learn the same, bit for bit.
#[tokio::test]
async fn a_stake_is_no_reward() {
    let mut learned = Vec::new();
    for stakes in [false, true] {
        let town = Town::open(12).await;
        let engage = town.engage();
        engage.serve(Some(Arc::new(model(40, town.now()))));
        for round in 0..4 {
            for (n, member) in town.members.iter().enumerate() {
                town.buy(*member, &format!("{round}-{n}")).await;
            }
            town.settle(&engage).await;
            town.look_at_prompts(&engage, round, stakes).await;
            town.settle(&engage).await;
            town.clock.advance(SignedDuration::from_hours(9));
        }
        let rows = sqlx::query("SELECT member, cause, reward_thousandths FROM engage.answer ORDER BY member, cause");
        let rows = rows.fetch_all(town.db.auditor()).await.unwrap();
        let rewards: Vec<(Uuid, Uuid, i32)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        assert!(rewards.iter().any(|(.., reward)| *reward == 1_000) && rewards.iter().any(|(.., reward)| *reward == 0));
        let staked = town.count("SELECT count(*) FROM log.batch").await;
        learned.push((rewards, staked));
    }
    assert_eq!(learned[0].0, learned[1].0);
    assert!(learned[0].1 < learned[1].1, "somebody staked");
}

/// A file made when models were told of stakes and rewarded for them does not serve.
#[tokio::test]
async fn a_model_that_was_told_of_stakes_is_refused() {
    let mut features = told::NAMES.map(str::to_owned).to_vec();
    features.insert(6, "liked".to_owned());
    let chooser = Chooser::new(features.len(), 50).unwrap();
    let old = Artifact::new(KIND, 1, Window::default(), &Parameters { features, chooser }).unwrap();
    assert!(matches!(Model::of(&old), Err(ModelError::Foreign)));
}

/// What is exported says of each decision what it was made from and what it earned, and stops where answers are still
/// waited for.
#[tokio::test]
async fn decisions_are_exported_for_training() {
    let town = Town::open(8).await;
    let engage = town.engage();
    town.lives(&engage, 0..6).await;
    let mut bytes = Vec::new();
    let decisions = export(town.db.auditor(), &mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let mut rows = text.lines();
    let header: Vec<&str> = rows.next().unwrap().split(',').collect();
    assert_eq!(header[..6], ["decision", "at", "kind", "chosen", "propensity_ppm", "reward_thousandths"]);
    assert_eq!(header[6..], told::NAMES);
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(',').collect()).collect();
    assert!(decisions > 20 && rows.len() > decisions);
    assert_eq!(rows.iter().filter(|row| row[3] == "1").count(), decisions, "one choice a decision");
    assert!(rows.iter().all(|row| row.len() == header.len() && (row[3] == "0" || !row[5].is_empty())));
    assert!(rows.windows(2).all(|pair| pair[0][1] <= pair[1][1]), "in the order of time");
    assert!(rows.iter().any(|row| row[5] == "1000") && rows.iter().any(|row| row[5] == "0"));
}

/// A model in the shadow is asked of what was decided. Asked of its own decisions it gives its own chances.
#[tokio::test]
async fn a_model_in_the_shadow_is_asked_of_the_decisions_that_were_made() {
    let town = Town::open(24).await;
    let (begin, model, other) = (town.now(), model(40, town.now()), model(7, town.now()));
    let engage = town.engage();
    engage.serve(Some(Arc::new(model.clone())));
    town.lives(&engage, 0..7).await;
    let asked = async |model: &Model| {
        let mut all = Vec::new();
        for shard in 0..8 {
            all.extend(shadow(town.db.auditor(), Shard(shard), model, begin).await.unwrap());
        }
        all
    };
    let own = asked(&model).await;
    assert!(own.len() > 50 && own.iter().any(|b| b.reward_thousandths == 1_000), "{}", own.len());
    assert!(own.iter().all(|b| b.same && b.share_ppm == b.propensity_ppm), "learned in the same order, bit for bit");
    let others = asked(&other).await;
    assert_eq!(others.len(), own.len());
    assert!(others.iter().any(|b| b.share_ppm != b.propensity_ppm));
    let told = told_between(town.db.auditor(), begin, town.now()).await.unwrap();
    assert!(told.len() > own.len(), "everything that could be said, not only what was");
}
