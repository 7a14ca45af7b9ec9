//! Engage's SQL.

use hunch_kernel::Shard;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::answers::{Answer, Answers, Question};
use crate::consume::{Heard, Recorded};
use crate::learn::Lesson;
use crate::told::Told;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Returns how many were new.
pub(crate) async fn insert_decisions(conn: &mut PgConnection, recorded: &[Recorded]) -> Result<u64> {
    if recorded.is_empty() {
        return Ok(0);
    }
    let new = sqlx::query(
        "INSERT INTO engage.decision (member, cause, channel, shard, seq, action, reference, propensity_ppm, policy, seed,
             candidates_hash, candidates, reason, at, model, began, learned_seq, told, answer_until, answer_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::bigint[], $6::text[], $7::text[],
             $8::int[], $9::smallint[], $10::bigint[], $11::bytea[], $12::smallint[], $13::text[], $14::timestamptz[],
             $15::text[], $16::bool[], $17::bigint[], $18::bytea[], $19::timestamptz[], $20::uuid[])
         ON CONFLICT ON CONSTRAINT decision_once DO NOTHING",
    )
    .bind(recorded.iter().map(|r| r.member.0).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.cause).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.channel).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.shard.0).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.seq).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.action).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.reference.clone()).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.propensity_ppm.min(1_000_000) as i32).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.policy).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.seed.cast_signed()).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.candidates_hash.to_vec()).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.eligible.min(32_767) as i16).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.reason).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.at.to_sqlx()).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.by.as_ref().map(|by| by.model.clone())).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.by.as_ref().is_some_and(|by| by.began)).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.by.as_ref().map(|by| by.learned_seq)).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.decision.told.to_bytes(r.decision.told_at)).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.asked.as_ref().map(|asked| asked.until.to_sqlx())).collect::<Vec<_>>())
    .bind(recorded.iter().map(|r| r.asked.as_ref().and_then(shop_of)).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(new.rows_affected())
}

/// What was decided because of `cause`, if anything was: the choice, what it is about, and why.
pub(crate) struct Decided {
    pub action: String,
    pub reference: Option<String>,
    pub reason: String,
}

pub(crate) async fn decided(pool: &PgPool, member: Uuid, cause: Uuid) -> Result<Option<Decided>> {
    let row = sqlx::query("SELECT action, reference, reason FROM engage.decision WHERE member = $1 AND cause = $2")
        .bind(member)
        .bind(cause)
        .fetch_optional(pool)
        .await?;
    let decided =
        |row: PgRow| Ok(Decided { action: row.try_get(0)?, reference: row.try_get(1)?, reason: row.try_get(2)? });
    row.map(decided).transpose()
}

fn shop_of(asked: &Question) -> Option<Uuid> {
    match asked.answers {
        Answers::Visit(merchant) => Some(merchant),
        Answers::Look => None,
    }
}

pub(crate) async fn insert_answers(conn: &mut PgConnection, heard: &[Heard]) -> Result<()> {
    if heard.is_empty() {
        return Ok(());
    }
    let rows: Vec<(&Heard, i16, &Answer)> = heard
        .iter()
        .flat_map(|heard| (0i16..).zip(&heard.answers).map(move |(nth, answer)| (heard, nth, answer)))
        .collect();
    sqlx::query(
        "INSERT INTO engage.answer (member, cause, shard, seq, nth, asked_seq, reward_thousandths, at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::int[],
             $8::timestamptz[])",
    )
    .bind(rows.iter().map(|(_, _, a)| a.question.member).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, a)| a.question.cause).collect::<Vec<_>>())
    .bind(rows.iter().map(|(heard, _, _)| heard.shard.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|(heard, _, _)| heard.seq).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, nth, _)| *nth).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, a)| a.question.seq).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, a)| a.reward).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, a)| a.at.to_sqlx()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Decisions from `seq` on that wait for an answer, oldest first.
pub(crate) async fn unanswered(pool: &PgPool, shard: Shard, seq: i64) -> Result<Vec<Question>> {
    let rows = sqlx::query(
        "SELECT seq, member, cause, answer_at, answer_until, told FROM engage.decision d
         WHERE shard = $1 AND seq >= $2 AND answer_until IS NOT NULL
           AND NOT EXISTS (SELECT FROM engage.answer a WHERE a.member = d.member AND a.cause = d.cause)
         ORDER BY seq",
    )
    .bind(shard.0)
    .bind(seq)
    .fetch_all(pool)
    .await?;
    let question = |row: &PgRow| -> Result<Question> {
        let answers = match row.try_get::<Option<Uuid>, _>(3)? {
            Some(merchant) => Answers::Visit(merchant),
            None => Answers::Look,
        };
        let until = row.try_get::<jiff_sqlx::Timestamp, _>(4)?.to_jiff();
        let numbers = numbers_of(row.try_get(5)?);
        Ok(Question { seq: row.try_get(0)?, member: row.try_get(1)?, cause: row.try_get(2)?, answers, until, numbers })
    };
    rows.iter().map(question).collect()
}

/// What the shard's learner was taught after this message, in order.
pub(crate) async fn lessons_after(pool: &PgPool, shard: Shard, seq: i64) -> Result<Vec<Lesson>> {
    let rows = sqlx::query(
        "SELECT a.seq, 0 AS stage, a.nth, d.told, a.reward_thousandths, NULL AS model
         FROM engage.answer a JOIN engage.decision d USING (member, cause) WHERE a.shard = $1 AND a.seq > $2
         UNION ALL
         SELECT seq, 1, 0, NULL, 0, model FROM engage.decision WHERE shard = $1 AND seq > $2 AND began
         ORDER BY 1, 2, 3",
    )
    .bind(shard.0)
    .bind(seq)
    .fetch_all(pool)
    .await?;
    let lesson = |row: &PgRow| -> Result<Lesson> {
        Ok(match row.try_get::<Option<String>, _>(5)? {
            Some(model) => Lesson::Began { model },
            None => Lesson::Answered { numbers: numbers_of(row.try_get(3)?), reward: row.try_get(4)? },
        })
    };
    rows.iter().map(lesson).collect()
}

/// What a model was told of the choice that was made. Nothing of what an older version kept: it is not read any more.
fn numbers_of(told: &[u8]) -> Vec<i32> {
    let read = Told::read(told).and_then(|(told, at)| Some(told.choices.get(at?)?.numbers(told.seen).to_vec()));
    read.unwrap_or_default()
}

/// How many purchases were decided on since `since` (business time).
///
/// # Errors
/// When the database fails.
pub async fn decisions_since(pool: &PgPool, since: Timestamp) -> Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM engage.decision WHERE channel = 'push' AND at >= $1")
        .bind(since.to_sqlx())
        .fetch_one(pool)
        .await
}

/// One step of a shard's decisions by models, as stored.
pub(crate) enum Again {
    Lesson(Lesson),
    Decision(Stored),
}

/// A decision that a model made.
pub(crate) struct Stored {
    pub member: Uuid,
    pub cause: Uuid,
    pub model: String,
    pub told: Vec<u8>,
    pub seed: u64,
    pub propensity_ppm: u32,
}

/// All that models did on a shard, in order: what a message taught, the decision it caused, then the cards after it.
pub(crate) async fn again(pool: &PgPool, shard: Shard) -> Result<Vec<Again>> {
    let rows = sqlx::query(
        "SELECT a.seq, 0 AS stage, a.nth, a.member, a.cause, NULL AS model, d.told, 0::bigint AS seed,
                a.reward_thousandths AS number, false AS began
         FROM engage.answer a JOIN engage.decision d USING (member, cause) WHERE a.shard = $1
         UNION ALL
         SELECT learned_seq, CASE WHEN seq > 0 THEN 1 ELSE 2 END, 0, member, cause, model, told, seed, propensity_ppm, began
         FROM engage.decision WHERE shard = $1 AND model IS NOT NULL
         ORDER BY 1, 2, 3, 4, 5",
    )
    .bind(shard.0)
    .fetch_all(pool)
    .await?;
    let mut steps = Vec::new();
    for row in &rows {
        let number: i32 = row.try_get(8)?;
        let told: Vec<u8> = row.try_get(6)?;
        let Some(model) = row.try_get::<Option<String>, _>(5)? else {
            steps.push(Again::Lesson(Lesson::Answered { numbers: numbers_of(&told), reward: number }));
            continue;
        };
        if row.try_get(9)? {
            steps.push(Again::Lesson(Lesson::Began { model: model.clone() }));
        }
        let seed = row.try_get::<i64, _>(7)?.cast_unsigned();
        let (member, cause) = (row.try_get(3)?, row.try_get(4)?);
        let propensity_ppm = number.unsigned_abs();
        steps.push(Again::Decision(Stored { member, cause, model, told, seed, propensity_ppm }));
    }
    Ok(steps)
}

/// A decision with what it earned.
pub(crate) struct Earned {
    pub at: Timestamp,
    pub told: Vec<u8>,
    pub propensity_ppm: i32,
    /// None for *nothing*.
    pub reward_thousandths: Option<i32>,
}

/// Decisions about purchases whose earnings are known, in the order of time, up to the first that waits for its answer.
/// What the gate withheld is left out: it was never said.
pub(crate) async fn earned(pool: &PgPool) -> Result<Vec<Earned>> {
    let rows = sqlx::query(
        "WITH waits AS (
             SELECT min(d.at) AS since FROM engage.decision d LEFT JOIN engage.answer a USING (member, cause)
             WHERE d.answer_until IS NOT NULL AND a.cause IS NULL)
         SELECT d.at, d.told, d.propensity_ppm, a.reward_thousandths
         FROM engage.decision d CROSS JOIN waits LEFT JOIN engage.answer a USING (member, cause)
         WHERE d.channel = 'push' AND d.reason NOT IN ('late', 'pending') AND d.told IS NOT NULL AND d.withheld IS NULL
           AND (d.action = 'nothing' OR a.cause IS NOT NULL) AND (waits.since IS NULL OR d.at < waits.since)
         ORDER BY d.at, d.shard, d.seq",
    )
    .fetch_all(pool)
    .await?;
    let earned = |row: &PgRow| -> Result<Earned> {
        Ok(Earned {
            at: row.try_get::<jiff_sqlx::Timestamp, _>(0)?.to_jiff(),
            told: row.try_get(1)?,
            propensity_ppm: row.try_get(2)?,
            reward_thousandths: row.try_get(3)?,
        })
    };
    rows.iter().map(earned).collect()
}

/// What a model that did not decide can be asked, in the order in which a shard's own would have met it.
pub(crate) enum Judged {
    Answered {
        numbers: Vec<i32>,
        reward: i32,
    },
    Decision {
        told: Vec<u8>,
        seed: u64,
        propensity_ppm: u32,
        /// None for *nothing*.
        reward: Option<i32>,
    },
}

/// Answers and decisions of a shard since a moment, whoever decided, up to the first decision that waits.
pub(crate) async fn judged(pool: &PgPool, shard: Shard, since: Timestamp) -> Result<Vec<Judged>> {
    let rows = sqlx::query(
        "WITH waits AS (
             SELECT min(d.at) AS since FROM engage.decision d LEFT JOIN engage.answer a USING (member, cause)
             WHERE d.answer_until IS NOT NULL AND a.cause IS NULL)
         SELECT a.seq AS place, 0 AS stage, a.nth, a.cause, d.told, 0::bigint AS seed, 0 AS ppm, a.reward_thousandths
         FROM engage.answer a JOIN engage.decision d USING (member, cause) WHERE a.shard = $1 AND a.at >= $2
         UNION ALL
         SELECT coalesce(d.learned_seq, d.seq), 1, 0, d.cause, d.told, d.seed, d.propensity_ppm, a.reward_thousandths
         FROM engage.decision d CROSS JOIN waits LEFT JOIN engage.answer a USING (member, cause)
         WHERE d.shard = $1 AND d.at >= $2 AND d.channel = 'push' AND d.reason NOT IN ('late', 'pending') AND d.told IS NOT NULL
           AND d.withheld IS NULL AND (d.action = 'nothing' OR a.cause IS NOT NULL)
           AND (waits.since IS NULL OR d.at < waits.since)
         ORDER BY 1, 2, 3, 4",
    )
    .bind(shard.0)
    .bind(since.to_sqlx())
    .fetch_all(pool)
    .await?;
    let event = |row: &PgRow| -> Result<Judged> {
        let (told, reward): (Vec<u8>, Option<i32>) = (row.try_get(4)?, row.try_get(7)?);
        Ok(match (row.try_get::<i32, _>(1)?, reward) {
            (0, Some(reward)) => Judged::Answered { numbers: numbers_of(&told), reward },
            _ => Judged::Decision {
                told,
                seed: row.try_get::<i64, _>(5)?.cast_unsigned(),
                propensity_ppm: row.try_get::<i32, _>(6)?.unsigned_abs(),
                reward,
            },
        })
    };
    rows.iter().map(event).collect()
}

/// What was kept of the decisions about purchases from one moment to before another.
pub(crate) async fn told_between(pool: &PgPool, from: Timestamp, to: Timestamp) -> Result<Vec<Vec<u8>>> {
    sqlx::query_scalar(
        "SELECT told FROM engage.decision
         WHERE channel = 'push' AND reason NOT IN ('late', 'pending') AND told IS NOT NULL AND at >= $1 AND at < $2 ORDER BY at, shard, seq",
    )
    .bind(from.to_sqlx())
    .bind(to.to_sqlx())
    .fetch_all(pool)
    .await
}
