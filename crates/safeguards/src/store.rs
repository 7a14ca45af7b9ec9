//! Safeguards' SQL.

use hunch_kernel::{MemberId, OrderId, Points, seeded_bug};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, PgPool, Row};
use std::collections::HashMap;
use uuid::Uuid;

use crate::denial::{Denial, DenialCode};
use crate::limits::{HouseLimits, Limits, Usage, Windows};
use crate::rules::Rule;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A member's standing. Someone without a row has a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub version: i64,
    /// `Timestamp::MAX` for life.
    pub excluded_until: Option<Timestamp>,
    pub break_until: Option<Timestamp>,
    pub prompts_on: bool,
    pub day_points: Option<Points>,
    pub week_points: Option<Points>,
    pub raise_day: Option<Points>,
    pub raise_week: Option<Points>,
    pub raise_after: Option<Timestamp>,
}

impl Standing {
    pub fn new() -> Standing {
        Standing {
            version: 1,
            excluded_until: None,
            break_until: None,
            prompts_on: true,
            day_points: None,
            week_points: None,
            raise_day: None,
            raise_week: None,
            raise_after: None,
        }
    }

    /// # Errors
    /// `Excluded` or `OnBreak`.
    pub fn protected(&self, now: Timestamp) -> std::result::Result<(), Denial> {
        match (self.excluded_until, self.break_until) {
            (Some(until), _) if until > now => Err(Denial(DenialCode::Excluded)),
            (_, Some(until)) if until > now => Err(Denial(DenialCode::OnBreak)),
            _ => Ok(()),
        }
    }

    pub fn limits(&self, house: HouseLimits) -> Limits {
        Limits::in_force(self.day_points, self.week_points, house)
    }
}

/// Life is stored as a time that no clock of ours reaches.
const LIFE: &str = "9999-01-01T00:00:00Z";

fn stored(until: Timestamp) -> Timestamp {
    LIFE.parse().map_or(until, |life: Timestamp| until.min(life))
}

fn read_until(row: &PgRow, column: usize) -> Result<Option<Timestamp>> {
    let found = row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?.map(jiff_sqlx::Timestamp::to_jiff);
    let life = LIFE.parse::<Timestamp>().ok();
    Ok(found.map(|t| if life.is_some_and(|life| t >= life) { Timestamp::MAX } else { t }))
}

fn read_standing(row: &PgRow) -> Result<Standing> {
    let points = |column: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Points));
    Ok(Standing {
        version: row.try_get(0)?,
        excluded_until: read_until(row, 1)?,
        break_until: read_until(row, 2)?,
        prompts_on: row.try_get(3)?,
        day_points: points(4)?,
        week_points: points(5)?,
        raise_day: points(6)?,
        raise_week: points(7)?,
        raise_after: row.try_get::<Option<jiff_sqlx::Timestamp>, _>(8)?.map(jiff_sqlx::Timestamp::to_jiff),
    })
}

pub(crate) async fn standing<'e>(executor: impl PgExecutor<'e>, member: MemberId) -> Result<Standing> {
    let row = sqlx::query(
        "SELECT version, excluded_until, break_until, prompts_on, day_points, week_points, raise_day, raise_week, raise_after
         FROM safeguards.standing WHERE member = $1",
    )
    .bind(member.0)
    .fetch_optional(executor)
    .await?;
    row.as_ref().map_or(Ok(Standing::new()), read_standing)
}

pub(crate) async fn write_standing(conn: &mut PgConnection, member: MemberId, s: &Standing) -> Result<()> {
    sqlx::query(
        "INSERT INTO safeguards.standing (member, version, excluded_until, break_until, prompts_on, day_points, week_points,
                                          raise_day, raise_week, raise_after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT ON CONSTRAINT standing_once DO UPDATE
         SET version = excluded.version, excluded_until = excluded.excluded_until, break_until = excluded.break_until,
             prompts_on = excluded.prompts_on, day_points = excluded.day_points, week_points = excluded.week_points,
             raise_day = excluded.raise_day, raise_week = excluded.raise_week, raise_after = excluded.raise_after",
    )
    .bind(member.0)
    .bind(s.version)
    .bind(s.excluded_until.map(|t| stored(t).to_sqlx()))
    .bind(s.break_until.map(|t| stored(t).to_sqlx()))
    .bind(s.prompts_on)
    .bind(s.day_points.map(|p| p.0))
    .bind(s.week_points.map(|p| p.0))
    .bind(s.raise_day.map(|p| p.0))
    .bind(s.raise_week.map(|p| p.0))
    .bind(s.raise_after.map(|t| t.to_sqlx()))
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

/// What is needed to judge a member.
#[derive(Debug)]
pub(crate) struct Account {
    pub standing: Standing,
    pub zone: TimeZone,
    /// Where they said they are, if that still counts.
    pub place: Option<String>,
    pub windows: Windows,
    pub usage: Usage,
}

/// Reads standing, zone, place and usage of all members at once. Who is not a member is not among them.
pub(crate) async fn accounts(
    conn: &mut PgConnection,
    members: &[MemberId],
    now: Timestamp,
) -> Result<HashMap<MemberId, Account>> {
    let ids: Vec<Uuid> = members.iter().map(|m| m.0).collect();
    let rows = sqlx::query(
        "SELECT coalesce(s.version, 1), s.excluded_until, s.break_until, coalesce(s.prompts_on, true), s.day_points, s.week_points,
                s.raise_day, s.raise_week, s.raise_after, m.member, m.home_zone, p.jurisdiction
         FROM people.member m LEFT JOIN safeguards.standing s USING (member)
              LEFT JOIN safeguards.place p ON p.member = m.member AND p.expires_at > $2
         WHERE m.member = ANY($1)",
    )
    .bind(&ids)
    .bind(now.to_sqlx())
    .fetch_all(&mut *conn)
    .await?;
    let mut accounts = HashMap::new();
    for row in &rows {
        let zone: String = row.try_get(10)?;
        let Ok(zone) = TimeZone::get(&zone) else { continue };
        let (standing, windows, place) = (read_standing(row)?, Windows::at(now, &zone), row.try_get(11)?);
        let account = Account { standing, zone, place, windows, usage: Usage::default() };
        accounts.insert(MemberId(row.try_get(9)?), account);
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

/// Order, member, windows, points, standing version.
pub(crate) type Charged = (OrderId, MemberId, Windows, Points, i64);

pub(crate) async fn write_charges(conn: &mut PgConnection, charged: &[Charged]) -> Result<()> {
    if charged.is_empty() {
        return Ok(());
    }
    let members: Vec<Uuid> = charged.iter().map(|c| c.1.0).collect();
    let days: Vec<String> = charged.iter().map(|c| c.2.day.to_string()).collect();
    let weeks: Vec<String> = charged.iter().map(|c| c.2.week.to_string()).collect();
    let points: Vec<i64> = charged.iter().map(|c| c.3.0).collect();
    sqlx::query(
        "INSERT INTO safeguards.charge (order_id, member, day, week, points, version)
         SELECT o, m, d::date, w::date, p, v FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int8[], $6::int8[]) AS t(o, m, d, w, p, v)",
    )
    .bind(charged.iter().map(|c| c.0.0).collect::<Vec<Uuid>>())
    .bind(&members)
    .bind(&days)
    .bind(&weeks)
    .bind(&points)
    .bind(charged.iter().map(|c| c.4).collect::<Vec<i64>>())
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
