//! Safeguards' SQL.

pub(crate) mod prompts;

use hunch_db::columns::{maybe_time, strange, time};
use hunch_kernel::{MemberId, OrderId, Points, seeded_bug};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool, Row};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::denial::{Denial, DenialCode};
use crate::exclusion::{Exclusion, Protection};
use crate::joining::{Decided, Decision, FoundLikeness};
use crate::limits::{HouseLimits, Limits, OwnLimit, OwnLimits, Raise, Usage, Windows};
use crate::rules::Rule;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A member's standing. Someone without a row has a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub version: i64,
    pub exclusion: Exclusion,
    pub break_until: Option<Timestamp>,
    pub prompts_on: bool,
    pub offers_on: bool,
    pub own: OwnLimits,
}

impl Standing {
    pub fn new() -> Standing {
        Standing {
            version: 1,
            exclusion: Exclusion::default(),
            break_until: None,
            prompts_on: true,
            offers_on: true,
            own: OwnLimits::default(),
        }
    }

    /// # Errors
    /// `Excluded` or `OnBreak`.
    pub fn protected(&self, now: Timestamp) -> std::result::Result<(), Denial> {
        match self.protection(now) {
            None => Ok(()),
            Some(Protection::Break { .. }) => Err(Denial(DenialCode::OnBreak)),
            Some(Protection::Excluded { .. } | Protection::TermOver | Protection::Returning { .. }) => {
                Err(Denial(DenialCode::Excluded))
            }
        }
    }

    /// What keeps this member from staking now; an exclusion before a break.
    pub fn protection(&self, now: Timestamp) -> Option<Protection> {
        let on_break = self.break_until.filter(|until| *until > now);
        self.exclusion.protection(now).or(on_break.map(|until| Protection::Break { until }))
    }

    pub fn limits(&self, house: HouseLimits) -> Limits {
        self.own.in_force(house)
    }
}

/// Life is stored as a time that no clock of ours reaches.
const LIFE: &str = "9999-01-01T00:00:00Z";

fn stored(until: Timestamp) -> Timestamp {
    LIFE.parse().map_or(until, |life: Timestamp| until.min(life))
}

fn read_until(row: &PgRow, column: &str) -> Result<Option<Timestamp>> {
    let life = LIFE.parse::<Timestamp>().ok();
    Ok(maybe_time(row, column)?.map(|t| if life.is_some_and(|life| t >= life) { Timestamp::MAX } else { t }))
}

/// The columns of a standing, whatever table alias they are read by; a member without a row has nulls.
const STANDING: &str = "coalesce(s.version, 1) AS version, s.excluded_until, s.return_asked_at, s.break_until,
    coalesce(s.prompts_on, true) AS prompts_on, coalesce(s.offers_on, true) AS offers_on, s.day_points, s.day_set_at, s.week_points, s.week_set_at, s.raise_day,
    s.raise_week, s.raise_after";

fn read_standing(row: &PgRow) -> Result<Standing> {
    let points = |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Points));
    let raise = match (points("raise_day")?, points("raise_week")?, maybe_time(row, "raise_after")?) {
        (Some(day), Some(week), Some(after)) => Some(Raise { day, week, after }),
        _ => None,
    };
    Ok(Standing {
        version: row.try_get("version")?,
        exclusion: Exclusion {
            until: read_until(row, "excluded_until")?,
            return_asked: maybe_time(row, "return_asked_at")?,
        },
        break_until: maybe_time(row, "break_until")?,
        prompts_on: row.try_get("prompts_on")?,
        offers_on: row.try_get("offers_on")?,
        own: OwnLimits {
            day: OwnLimit { points: points("day_points")?, set_at: maybe_time(row, "day_set_at")? },
            week: OwnLimit { points: points("week_points")?, set_at: maybe_time(row, "week_set_at")? },
            raise,
        },
    })
}

pub(crate) async fn standing<'e>(executor: impl PgExecutor<'e>, member: MemberId) -> Result<Standing> {
    let row = sqlx::query(AssertSqlSafe(format!("SELECT {STANDING} FROM safeguards.standing s WHERE s.member = $1")))
        .bind(member.0)
        .fetch_optional(executor)
        .await?;
    row.as_ref().map_or(Ok(Standing::new()), read_standing)
}

pub(crate) async fn write_standing(conn: &mut PgConnection, member: MemberId, s: &Standing) -> Result<()> {
    sqlx::query(
        "INSERT INTO safeguards.standing (member, version, excluded_until, break_until, prompts_on, day_points, week_points,
                                          raise_day, raise_week, raise_after, return_asked_at, day_set_at, week_set_at, offers_on)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT ON CONSTRAINT standing_once DO UPDATE
         SET version = excluded.version, excluded_until = excluded.excluded_until, break_until = excluded.break_until,
             prompts_on = excluded.prompts_on, day_points = excluded.day_points, week_points = excluded.week_points,
             raise_day = excluded.raise_day, raise_week = excluded.raise_week, raise_after = excluded.raise_after,
             return_asked_at = excluded.return_asked_at, day_set_at = excluded.day_set_at, week_set_at = excluded.week_set_at,
             offers_on = excluded.offers_on",
    )
    .bind(member.0)
    .bind(s.version)
    .bind(s.exclusion.until.map(|t| stored(t).to_sqlx()))
    .bind(s.break_until.map(|t| stored(t).to_sqlx()))
    .bind(s.prompts_on)
    .bind(s.own.day.points.map(|p| p.0))
    .bind(s.own.week.points.map(|p| p.0))
    .bind(s.own.raise.map(|r| r.day.0))
    .bind(s.own.raise.map(|r| r.week.0))
    .bind(s.own.raise.map(|r| stored(r.after).to_sqlx()))
    .bind(s.exclusion.return_asked.map(|t| t.to_sqlx()))
    .bind(s.own.day.set_at.map(|t| t.to_sqlx()))
    .bind(s.own.week.set_at.map(|t| t.to_sqlx()))
    .bind(s.offers_on)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn log_return(
    conn: &mut PgConnection,
    member: MemberId,
    term_ended: Timestamp,
    asked: Timestamp,
    counts_from: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO safeguards.return_request (member, term_ended, asked_at, counts_from) VALUES ($1, $2, $3, $4)",
    )
    .bind(member.0)
    .bind(term_ended.to_sqlx())
    .bind(asked.to_sqlx())
    .bind(counts_from.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn log_protection(
    conn: &mut PgConnection,
    member: MemberId,
    kind: &str,
    term: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO safeguards.protection (member, kind, term, started_at, ends_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(member.0)
    .bind(kind)
    .bind(term)
    .bind(now.to_sqlx())
    .bind(stored(until).to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn rules(conn: &mut PgConnection) -> Result<Vec<Rule>> {
    let rows =
        sqlx::query("SELECT jurisdiction, category, minimum_age, allowed, valid_from, valid_to FROM safeguards.rule")
            .fetch_all(conn)
            .await?;
    rows.iter()
        .map(|r| {
            Ok(Rule {
                jurisdiction: r.try_get(0)?,
                category: r.try_get(1)?,
                minimum_age: r.try_get(2)?,
                allowed: r.try_get(3)?,
                valid_from: r.try_get::<jiff_sqlx::Timestamp, _>(4)?.to_jiff(),
                valid_to: r.try_get::<Option<jiff_sqlx::Timestamp>, _>(5)?.map(jiff_sqlx::Timestamp::to_jiff),
            })
        })
        .collect()
}

pub(crate) async fn set_place(
    pool: &PgPool,
    member: MemberId,
    jurisdiction: &str,
    expires_at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO safeguards.place (member, jurisdiction, expires_at) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT place_once DO UPDATE SET jurisdiction = excluded.jurisdiction, expires_at = excluded.expires_at",
    )
    .bind(member.0)
    .bind(jurisdiction)
    .bind(expires_at.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn arrive_in_town(pool: &PgPool, member: MemberId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO safeguards.in_town (member, since) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT in_town_once DO NOTHING",
    )
    .bind(member.0)
    .bind(now.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

/// Whether a member is in town by the code they came with, and not elsewhere by what their phone said.
pub(crate) async fn is_in_town(pool: &PgPool, member: MemberId, now: Timestamp) -> Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM safeguards.in_town WHERE member = $1)
            AND NOT EXISTS (SELECT FROM safeguards.place WHERE member = $1 AND expires_at > $2)",
    )
    .bind(member.0)
    .bind(now.to_sqlx())
    .fetch_one(pool)
    .await
}

/// Where a member is, and until when that is believed (business time).
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub jurisdiction: String,
    pub until: Timestamp,
}

/// What is needed to judge a member.
#[derive(Debug)]
pub(crate) struct Account {
    pub standing: Standing,
    pub zone: TimeZone,
    /// Where they said they are, if that still counts.
    pub place: Option<Place>,
    pub windows: Windows,
    pub usage: Usage,
    pub likeness: Likeness,
}

/// Whether this may be somebody's second account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Nobody is like this member, or a person found them to be two people.
    None,
    Undecided,
    SecondAccount,
}

impl Account {
    /// One person stakes with one account.
    ///
    /// # Errors
    /// `IdentityCheck` until a person has decided, `OtherAccount` when it is a second one.
    pub fn one_account_each(&self) -> std::result::Result<(), Denial> {
        match self.likeness {
            Likeness::None => Ok(()),
            Likeness::Undecided => Err(Denial(DenialCode::IdentityCheck)),
            Likeness::SecondAccount => Err(Denial(DenialCode::OtherAccount)),
        }
    }
}

/// Reads standing, zone, place and usage of all members at once. Who is not a member is not among them. `town` is where
/// a sandbox's visitors are unless their phones say otherwise.
pub(crate) async fn accounts(
    conn: &mut PgConnection,
    members: &[MemberId],
    now: Timestamp,
    town: Option<&str>,
) -> Result<HashMap<MemberId, Account>> {
    let ids: Vec<Uuid> = members.iter().map(|m| m.0).collect();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT m.member, m.home_zone, coalesce(p.jurisdiction, CASE WHEN t.member IS NOT NULL THEN $3 END) AS jurisdiction,
                coalesce(p.expires_at, CASE WHEN t.member IS NOT NULL THEN '9999-01-01T00:00:00Z'::timestamptz END) AS place_until,
                l.member IS NOT NULL AS is_like, l.decision, {STANDING}
         FROM people.member m LEFT JOIN safeguards.standing s USING (member)
              LEFT JOIN safeguards.place p ON p.member = m.member AND p.expires_at > $2
              LEFT JOIN safeguards.likeness l ON l.member = m.member
              LEFT JOIN safeguards.in_town t ON $3::text IS NOT NULL AND t.member = m.member
         WHERE m.member = ANY($1)"
    )))
    .bind(&ids)
    .bind(now.to_sqlx())
    .bind(town)
    .fetch_all(&mut *conn)
    .await?;
    let mut accounts = HashMap::new();
    for row in &rows {
        let zone: String = row.try_get("home_zone")?;
        let Ok(zone) = TimeZone::get(&zone) else { continue };
        let place = row.try_get::<Option<String>, _>("jurisdiction")?.zip(maybe_time(row, "place_until")?);
        let place = place.map(|(jurisdiction, until)| Place { jurisdiction, until });
        let (standing, windows) = (read_standing(row)?, Windows::at(now, &zone));
        let likeness = match (row.try_get("is_like")?, row.try_get::<Option<&str>, _>("decision")?) {
            (false, _) | (true, Some("other")) => Likeness::None,
            (true, Some("same")) => Likeness::SecondAccount,
            (true, _) => Likeness::Undecided,
        };
        let account = Account { standing, zone, place, windows, usage: Usage::default(), likeness };
        accounts.insert(MemberId(row.try_get("member")?), account);
    }
    let rows = sqlx::query("SELECT member, kind, starts::text, points FROM safeguards.usage WHERE member = ANY($1) AND starts > $2::date - 9")
        .bind(&ids)
        .bind(now.to_zoned(TimeZone::UTC).date().to_string())
        .fetch_all(conn)
        .await?;
    for row in rows {
        let Some(account) = accounts.get_mut(&MemberId(row.try_get(0)?)) else { continue };
        let starts: Date =
            row.try_get::<String, _>(2)?.parse().map_err(|_| sqlx::Error::Decode("a window's date".into()))?;
        let points = Points(row.try_get(3)?);
        if seeded_bug("limit-forgets-earlier-stakes") {
            continue;
        }
        match row.try_get::<i16, _>(1)? {
            1 if starts == account.windows.day => account.usage.day = points,
            2 if starts == account.windows.week => account.usage.week = points,
            _ => {}
        }
    }
    Ok(accounts)
}

/// A stake that was charged, with what it was permitted by.
pub(crate) struct Charged {
    pub order: OrderId,
    pub member: MemberId,
    pub windows: Windows,
    pub points: Points,
    pub standing_version: i64,
    pub jurisdiction: String,
    pub category: String,
    pub judged_at: Timestamp,
    pub age_reached: i16,
    pub place_until: Timestamp,
    /// In force when it was charged.
    pub limits: Limits,
}

pub(crate) async fn write_charges(conn: &mut PgConnection, charged: &[Charged]) -> Result<()> {
    if charged.is_empty() {
        return Ok(());
    }
    let members: Vec<Uuid> = charged.iter().map(|c| c.member.0).collect();
    let days: Vec<String> = charged.iter().map(|c| c.windows.day.to_string()).collect();
    let weeks: Vec<String> = charged.iter().map(|c| c.windows.week.to_string()).collect();
    let points: Vec<i64> = charged.iter().map(|c| c.points.0).collect();
    sqlx::query(
        "INSERT INTO safeguards.charge (order_id, member, day, week, points, version, permitted_at, jurisdiction, category,
                                        age_reached, place_until, day_limit, week_limit)
         SELECT o, m, d::date, w::date, p, v, at, j, c, a, u, dl, wl
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::timestamptz[], $8::text[], $9::text[],
                     $10::int2[], $11::timestamptz[], $12::int8[], $13::int8[]) AS t(o, m, d, w, p, v, at, j, c, a, u, dl, wl)",
    )
    .bind(charged.iter().map(|c| c.order.0).collect::<Vec<Uuid>>())
    .bind(&members)
    .bind(&days)
    .bind(&weeks)
    .bind(&points)
    .bind(charged.iter().map(|c| c.standing_version).collect::<Vec<i64>>())
    .bind(charged.iter().map(|c| c.judged_at.to_sqlx()).collect::<Vec<_>>())
    .bind(charged.iter().map(|c| c.jurisdiction.as_str()).collect::<Vec<_>>())
    .bind(charged.iter().map(|c| c.category.as_str()).collect::<Vec<_>>())
    .bind(charged.iter().map(|c| c.age_reached).collect::<Vec<i16>>())
    .bind(charged.iter().map(|c| c.place_until.to_sqlx()).collect::<Vec<_>>())
    .bind(charged.iter().map(|c| c.limits.day.0).collect::<Vec<i64>>())
    .bind(charged.iter().map(|c| c.limits.week.0).collect::<Vec<i64>>())
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO safeguards.usage AS u (member, kind, starts, points)
         SELECT m, kind, starts::date, sum(p)::int8
         FROM (SELECT m, 1::int2 AS kind, d AS starts, p FROM UNNEST($1::uuid[], $2::text[], $4::int8[]) AS t(m, d, p)
               UNION ALL
               SELECT m, 2::int2, w, p FROM UNNEST($1::uuid[], $3::text[], $4::int8[]) AS t(m, w, p)) all_of
         GROUP BY m, kind, starts
         ON CONFLICT ON CONSTRAINT usage_once DO UPDATE SET points = u.points + excluded.points",
    )
    .bind(&members)
    .bind(&days)
    .bind(&weeks)
    .bind(&points)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn restore(conn: &mut PgConnection, order: OrderId, unfilled: Points) -> Result<()> {
    // The row is read under the shard's lock, so the difference cannot be given back twice.
    sqlx::query(
        "WITH back AS (
            UPDATE safeguards.charge c SET restored = least(c.points, $2)
            FROM (SELECT order_id, restored AS before FROM safeguards.charge WHERE order_id = $1) old
            WHERE c.order_id = old.order_id AND least(c.points, $2) > old.before
            RETURNING c.member, c.day, c.week, c.restored - old.before AS points)
         UPDATE safeguards.usage u SET points = u.points - back.points FROM back
         WHERE u.member = back.member AND (u.kind = 1 AND u.starts = back.day OR u.kind = 2 AND u.starts = back.week)",
    )
    .bind(order.0)
    .bind(unfilled.0)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn write_likenesses(pool: &PgPool, found: &[FoundLikeness]) -> Result<()> {
    for one in found {
        sqlx::query(
            "INSERT INTO safeguards.likeness (member, known, agreeing, found_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT ON CONSTRAINT likeness_once DO NOTHING",
        )
        .bind(one.member.0)
        .bind(one.known.iter().map(|m| m.0).collect::<Vec<Uuid>>())
        .bind(&one.agreeing)
        .bind(one.found_at.to_sqlx())
        .execute(pool)
        .await?;
    }
    Ok(())
}

/// Members who were put before a person together with this one, whoever of them joined later.
pub(crate) async fn looked_at(pool: &PgPool, member: MemberId) -> Result<HashSet<MemberId>> {
    let found: Vec<Uuid> = sqlx::query_scalar(
        "WITH pair AS (SELECT member, known FROM safeguards.likeness
                       UNION ALL SELECT member, known FROM safeguards.former_likeness)
         SELECT unnest(known) FROM pair WHERE member = $1 UNION SELECT member FROM pair WHERE $1 = ANY(known)",
    )
    .bind(member.0)
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(MemberId).collect())
}

/// Puts an account before a person, also one that was there before: whoever it is like now is added to those of before, and if
/// it was found to be another person than those, that decision is kept and the account waits again. A second account stays one.
pub(crate) async fn add_likeness(pool: &PgPool, found: &FoundLikeness) -> Result<()> {
    let mut tx = hunch_db::begin(pool).await?;
    sqlx::query(
        "INSERT INTO safeguards.former_likeness (member, known, agreeing, found_at, decision, decided_by, decided_at)
         SELECT member, known, agreeing, found_at, decision, decided_by, decided_at FROM safeguards.likeness
         WHERE member = $1 AND decision = 'other'",
    )
    .bind(found.member.0)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO safeguards.likeness AS l (member, known, agreeing, found_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT likeness_once DO UPDATE SET
             known = CASE WHEN l.decision IS NULL THEN l.known || excluded.known ELSE excluded.known END,
             agreeing = CASE WHEN l.decision IS NULL
                             THEN (SELECT array_agg(DISTINCT kind) FROM unnest(l.agreeing || excluded.agreeing) AS kind)
                             ELSE excluded.agreeing END,
             found_at = excluded.found_at, decision = NULL, decided_by = NULL, decided_at = NULL
         WHERE l.decision IS DISTINCT FROM 'same'",
    )
    .bind(found.member.0)
    .bind(found.known.iter().map(|m| m.0).collect::<Vec<Uuid>>())
    .bind(&found.agreeing)
    .bind(found.found_at.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

fn read_likeness(row: &PgRow) -> Result<FoundLikeness> {
    let decision = match row.try_get::<Option<&str>, _>("decision")? {
        None => None,
        Some("same") => Some(Decision::Same),
        Some("other") => Some(Decision::Other),
        Some(word) => return Err(strange("the decision", word)),
    };
    let decided = match (decision, row.try_get("decided_by")?, maybe_time(row, "decided_at")?) {
        (Some(decision), Some(by), Some(at)) => Some(Decided { decision, by, at }),
        _ => None,
    };
    Ok(FoundLikeness {
        member: MemberId(row.try_get("member")?),
        known: row.try_get::<Vec<Uuid>, _>("known")?.into_iter().map(MemberId).collect(),
        agreeing: row.try_get("agreeing")?,
        found_at: time(row, "found_at")?,
        decision: decided,
    })
}

/// Oldest first. Somebody who was looked at and then did not join is not among them.
pub(crate) async fn likenesses(
    pool: &PgPool,
    undecided_only: bool,
    after: Option<(Timestamp, MemberId)>,
    limit: i64,
) -> Result<Vec<FoundLikeness>> {
    let rows = sqlx::query(
        "SELECT l.* FROM safeguards.likeness l JOIN people.member USING (member)
         WHERE (NOT $1 OR l.decision IS NULL) AND ($2::timestamptz IS NULL OR (l.found_at, l.member) > ($2, $3))
         ORDER BY l.found_at, l.member LIMIT $4",
    )
    .bind(undecided_only)
    .bind(after.map(|(at, _)| at.to_sqlx()))
    .bind(after.map(|(_, member)| member.0))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(read_likeness).collect()
}

pub(crate) async fn likeness(pool: &PgPool, member: MemberId) -> Result<Option<FoundLikeness>> {
    let row =
        sqlx::query("SELECT * FROM safeguards.likeness WHERE member = $1").bind(member.0).fetch_optional(pool).await?;
    row.as_ref().map(read_likeness).transpose()
}

/// The first decision stands.
pub(crate) async fn decide_likeness(
    pool: &PgPool,
    member: MemberId,
    decision: Decision,
    by: &str,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE safeguards.likeness SET decision = $2, decided_by = $3, decided_at = $4
         WHERE member = $1 AND decision IS NULL",
    )
    .bind(member.0)
    .bind(decision.as_str())
    .bind(by)
    .bind(now.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}
