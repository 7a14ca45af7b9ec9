//! Messaging's SQL.
//!
//! Lock order: notices before deliveries. A withdrawal and the resolution of a send meet at the notice,
//! so whichever comes second sees what the first did.

use hunch_db::WallToSqlx;
use hunch_db::columns::{maybe_time, time, wall_time};
use hunch_kernel::{DeviceId, MemberId, NoticeId, SubscriptionId, WallTime};
use hunch_safeguards::DENIALS;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::notice::{InboxEntry, NewNotice, Notice, OpenPrompt, PromptState, Wanted, notice_id};
use crate::opened::OpenedRequest;
use crate::push::{Endpoint, UserAgentKeys};
use crate::sender::{Claimed, Content, Outcome, Resolved};
use crate::subscription::{NewSubscription, SUBSCRIPTIONS_MAX};
use crate::why::{Facts, PushCounts, truth};

type Result<T> = std::result::Result<T, sqlx::Error>;

#[derive(Default)]
struct NoticeColumns<'a> {
    id: Vec<Uuid>,
    member: Vec<Uuid>,
    cause_kind: Vec<&'static str>,
    cause: Vec<Uuid>,
    body: Vec<&'a str>,
    wanted: Vec<&'static str>,
    state: Vec<&'static str>,
    reference: Vec<Option<String>>,
    title: Vec<Option<&'a str>>,
    category: Vec<Option<&'a str>>,
    reason: Vec<Option<&'a str>>,
    until: Vec<Option<jiff_sqlx::Timestamp>>,
    expires: Vec<jiff_sqlx::Timestamp>,
    caused: Vec<jiff_sqlx::Timestamp>,
}

impl<'a> NoticeColumns<'a> {
    fn push(&mut self, new: &'a NewNotice) {
        let (wanted, reason) = match &new.wanted {
            Wanted::Nothing { reason } => ("nothing", Some(reason.as_str())),
            Wanted::Receipt { alone } => ("receipt", alone.as_deref()),
            Wanted::Offer { .. } => ("offer", None),
            Wanted::Market { .. } => ("market", None),
        };
        let (state, reference, title, category, until) = match &new.wanted {
            Wanted::Nothing { .. } | Wanted::Receipt { .. } => ("none", None, None, None, None),
            Wanted::Offer { offer, title, until, .. } => {
                ("open", Some(offer.to_string()), Some(title.as_str()), None, Some(until))
            }
            Wanted::Market { permit, ticker, title, until } => {
                ("open", Some(ticker.clone()), Some(title.as_str()), Some(permit.category()), Some(until))
            }
        };
        self.id.push(notice_id(new.member, new.cause).0);
        self.member.push(new.member.0);
        self.cause_kind.push(new.cause.kind());
        self.cause.push(new.cause.id());
        self.body.push(&new.body);
        self.wanted.push(wanted);
        self.state.push(state);
        self.reference.push(reference);
        self.title.push(title);
        self.category.push(category);
        self.reason.push(reason);
        self.until.push(until.map(|until| until.to_sqlx()));
        self.expires.push(new.expires_at.to_sqlx());
        self.caused.push(new.caused_wall.to_sqlx());
    }
}

/// Notices and their deliveries.
pub(crate) async fn insert_notices(
    conn: &mut PgConnection,
    notices: &[NewNotice],
    now: Timestamp,
    wall: WallTime,
) -> Result<u64> {
    let mut columns = NoticeColumns::default();
    notices.iter().for_each(|new| columns.push(new));
    let new: i64 = sqlx::query_scalar(
        "WITH made AS (
             INSERT INTO messaging.notice (notice, member, cause_kind, cause, body, wanted, prompt_state, prompt_ref,
                 prompt_title, category, reason, expires_at, made_wall_at, prompt_until, made_at)
             SELECT n.*, $13 FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[],
                 $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $15::timestamptz[],
                 $16::timestamptz[]) AS n
             ON CONFLICT DO NOTHING
             RETURNING notice, member, wanted
         ), sent AS (
             INSERT INTO messaging.delivery (notice, subscription, member, device, state, content, due_at)
             SELECT m.notice, s.subscription, s.member, s.device, 'due',
                    CASE m.wanted WHEN 'market' THEN 'prompt' ELSE m.wanted END, $14
             FROM made m JOIN messaging.subscription s USING (member)
             WHERE m.wanted <> 'nothing' AND (s.session_ends_at IS NULL OR s.session_ends_at > $14)
         )
         SELECT count(*) FROM made",
    )
    .bind(columns.id)
    .bind(columns.member)
    .bind(columns.cause_kind)
    .bind(columns.cause)
    .bind(columns.body)
    .bind(columns.wanted)
    .bind(columns.state)
    .bind(columns.reference)
    .bind(columns.title)
    .bind(columns.category)
    .bind(columns.reason)
    .bind(columns.expires)
    .bind(now.to_sqlx())
    .bind(wall.to_sqlx())
    .bind(columns.caused)
    .bind(columns.until)
    .fetch_one(conn)
    .await?;
    Ok(new.unsigned_abs())
}

pub(crate) async fn notice(pool: &PgPool, member: MemberId, id: NoticeId) -> Result<Option<Notice>> {
    let row = sqlx::query("SELECT * FROM messaging.notice WHERE notice = $1 AND member = $2")
        .bind(id.0)
        .bind(member.0)
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Notice {
        id,
        member,
        cause_kind: row.try_get("cause_kind")?,
        cause: row.try_get("cause")?,
        body: row.try_get("body")?,
        wanted: row.try_get("wanted")?,
        prompt_state: match row.try_get::<&str, _>("prompt_state")? {
            "open" => PromptState::Open,
            "withheld" => PromptState::Withheld,
            _ => PromptState::None,
        },
        prompt_ref: row.try_get("prompt_ref")?,
        prompt_title: row.try_get("prompt_title")?,
        category: row.try_get("category")?,
        reason: row.try_get("reason")?,
        prompt_until: maybe_time(&row, "prompt_until")?,
        expires_at: time(&row, "expires_at")?,
        made_at: time(&row, "made_at")?,
        fetched_at: maybe_time(&row, "fetched_at")?,
        opened_at: maybe_time(&row, "opened_at")?,
    }))
}

pub(crate) async fn inbox(
    pool: &PgPool,
    member: MemberId,
    before: Option<(Timestamp, NoticeId)>,
    limit: i64,
) -> Result<Vec<InboxEntry>> {
    let rows = sqlx::query(
        "SELECT n.*, f.* FROM (
             SELECT * FROM messaging.notice
             WHERE member = $1 AND ($2::timestamptz IS NULL OR (made_at, notice) < ($2, $3))
             ORDER BY made_at DESC, notice DESC LIMIT $4
         ) n CROSS JOIN LATERAL (
             SELECT count(*) AS deliveries, count(*) FILTER (WHERE accepted_at IS NOT NULL) AS accepted,
                    count(*) FILTER (WHERE state IN ('due', 'sending')) AS waiting,
                    count(*) FILTER (WHERE state = 'expired') AS expired,
                    count(*) FILTER (WHERE state = 'refused') AS refused,
                    max(attempts) AS attempts, max(last_status) AS status
             FROM messaging.delivery d WHERE d.notice = n.notice
         ) f ORDER BY n.made_at DESC, n.notice DESC",
    )
    .bind(member.0)
    .bind(before.map(|(at, _)| at.to_sqlx()))
    .bind(before.map(|(_, id)| id.0))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let entry = |row: &PgRow| {
        Ok(InboxEntry {
            id: NoticeId(row.try_get("notice")?),
            cause_kind: row.try_get("cause_kind")?,
            cause: row.try_get("cause")?,
            body: row.try_get("body")?,
            has_more: row.try_get::<&str, _>("prompt_state")? == "open",
            made_at: time(row, "made_at")?,
            expires_at: time(row, "expires_at")?,
            push: truth(facts(row)?),
        })
    };
    rows.iter().map(entry).collect()
}

fn facts(row: &PgRow) -> Result<Facts> {
    let wanted: String = row.try_get("wanted")?;
    let reason: Option<String> = row.try_get("reason")?;
    Ok(Facts {
        wanted,
        reason,
        deliveries: row.try_get("deliveries")?,
        accepted: row.try_get("accepted")?,
        waiting: row.try_get("waiting")?,
        expired: row.try_get("expired")?,
        refused: row.try_get("refused")?,
        attempts: row.try_get("attempts")?,
        status: row.try_get("status")?,
    })
}

pub(crate) async fn facts_of_purchase(pool: &PgPool, purchase: Uuid) -> Result<Option<Facts>> {
    let row = sqlx::query(
        "SELECT n.wanted, n.reason, count(d.notice) AS deliveries,
                count(*) FILTER (WHERE d.accepted_at IS NOT NULL) AS accepted,
                count(*) FILTER (WHERE d.state IN ('due', 'sending')) AS waiting,
                count(*) FILTER (WHERE d.state = 'expired') AS expired,
                count(*) FILTER (WHERE d.state = 'refused') AS refused,
                max(d.attempts) AS attempts, max(d.last_status) AS status
         FROM messaging.notice n LEFT JOIN messaging.delivery d USING (notice)
         WHERE n.cause = $1 AND n.cause_kind = 'purchase' GROUP BY n.notice",
    )
    .bind(purchase)
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(facts).transpose()
}

pub(crate) async fn mark_fetched(pool: &PgPool, id: NoticeId, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE messaging.notice SET fetched_at = $2 WHERE notice = $1 AND fetched_at IS NULL")
        .bind(id.0)
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}

/// Marks what was never opened before and leads further than its receipt, with its cause.
pub(crate) async fn mark_opened(
    conn: &mut PgConnection,
    requests: &[OpenedRequest],
    now: Timestamp,
) -> Result<Vec<(OpenedRequest, Uuid)>> {
    let rows = sqlx::query(
        "UPDATE messaging.notice n SET opened_at = $3 FROM UNNEST($1::uuid[], $2::uuid[]) AS o (notice, member)
         WHERE n.notice = o.notice AND n.member = o.member AND n.opened_at IS NULL AND n.prompt_ref IS NOT NULL
         RETURNING n.notice, n.member, n.cause",
    )
    .bind(requests.iter().map(|r| r.notice.0).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.member.0).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .fetch_all(conn)
    .await?;
    let opened = |row: &PgRow| {
        let request = OpenedRequest { notice: NoticeId(row.try_get(0)?), member: MemberId(row.try_get(1)?) };
        Ok((request, row.try_get(2)?))
    };
    rows.iter().map(opened).collect()
}

pub(crate) async fn withdraw_prompt(
    conn: &mut PgConnection,
    notice: NoticeId,
    reason: &str,
    now: Timestamp,
    wall: WallTime,
) -> Result<bool> {
    let withdrawn = sqlx::query(
        "WITH back AS (
             UPDATE messaging.notice SET prompt_state = 'withheld', reason = $2
             WHERE notice = $1 AND prompt_state = 'open' RETURNING notice, member
         ) INSERT INTO messaging.withheld (notice, member, reason, stage, at) SELECT notice, member, $2, 'standing', $3 FROM back",
    )
    .bind(notice.0)
    .bind(reason)
    .bind(now.to_sqlx())
    .execute(&mut *conn)
    .await?;
    if withdrawn.rows_affected() == 0 {
        return Ok(false);
    }
    // What is in flight (sending) is seen to by its resolution, which reads the notice again. What was
    // handed over is replaced while the service may still hold it; the sender drops it once it has expired.
    sqlx::query(
        "UPDATE messaging.delivery SET state = 'due', content = 'receipt', due_at = $2
         WHERE notice = $1 AND content <> 'receipt' AND state IN ('due', 'accepted')",
    )
    .bind(notice.0)
    .bind(wall.to_sqlx())
    .execute(conn)
    .await?;
    Ok(true)
}

pub(crate) async fn replace_subscription(
    pool: &PgPool,
    id: SubscriptionId,
    new: &NewSubscription,
    endpoint: &Endpoint,
    keys: &UserAgentKeys,
    now: Timestamp,
) -> Result<SubscriptionId> {
    let mut tx = hunch_db::begin(pool).await?;
    // One member's subscriptions change one after the other, so that the cap holds.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1::text, 46))")
        .bind(new.member.0)
        .execute(&mut *tx)
        .await?;
    let same: Option<Uuid> = sqlx::query_scalar(
        "SELECT subscription FROM messaging.subscription
         WHERE member = $1 AND device = $2 AND endpoint = $3 AND p256dh = $4 AND auth = $5",
    )
    .bind(new.member.0)
    .bind(new.device.0)
    .bind(endpoint.as_str())
    .bind(keys.p256dh())
    .bind(keys.auth())
    .fetch_optional(&mut *tx)
    .await?;
    let (session, ends_at) = new.session.as_ref().map(|s| (s.sha256.as_slice(), s.ends_at.to_sqlx())).unzip();
    if let Some(same) = same {
        sqlx::query(
            "UPDATE messaging.subscription SET session_sha256 = $2, session_ends_at = $3 WHERE subscription = $1",
        )
        .bind(same)
        .bind(session)
        .bind(ends_at)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        return Ok(SubscriptionId(same));
    }
    // Whoever knows the address is that browser. A device's name says nothing to other members.
    sqlx::query("DELETE FROM messaging.subscription WHERE (device = $1 AND member = $3) OR endpoint = $2")
        .bind(new.device.0)
        .bind(endpoint.as_str())
        .bind(new.member.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "DELETE FROM messaging.subscription WHERE subscription IN (
             SELECT subscription FROM messaging.subscription WHERE member = $1 ORDER BY made_at DESC, subscription OFFSET $2)",
    )
    .bind(new.member.0)
    .bind(SUBSCRIPTIONS_MAX - 1)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO messaging.subscription (subscription, member, device, endpoint, p256dh, auth, made_at, session_sha256,
                                             session_ends_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.0)
    .bind(new.member.0)
    .bind(new.device.0)
    .bind(endpoint.as_str())
    .bind(keys.p256dh())
    .bind(keys.auth())
    .bind(now.to_sqlx())
    .bind(session)
    .bind(ends_at)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(id)
}

pub(crate) async fn delete_subscription(pool: &PgPool, member: MemberId, id: SubscriptionId) -> Result<bool> {
    let gone = sqlx::query("DELETE FROM messaging.subscription WHERE subscription = $1 AND member = $2")
        .bind(id.0)
        .bind(member.0)
        .execute(pool)
        .await?;
    Ok(gone.rows_affected() > 0)
}

pub(crate) async fn delete_of_session(pool: &PgPool, member: MemberId, session_sha256: &[u8]) -> Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM messaging.subscription WHERE member = $1 AND (session_sha256 = $2 OR session_sha256 IS NULL)",
    )
    .bind(member.0)
    .bind(session_sha256)
    .execute(pool)
    .await?;
    Ok(gone.rows_affected())
}

pub(crate) async fn delete_all(pool: &PgPool, member: MemberId) -> Result<u64> {
    let gone = sqlx::query("DELETE FROM messaging.subscription WHERE member = $1").bind(member.0).execute(pool).await?;
    Ok(gone.rows_affected())
}

pub(crate) async fn end_all_by(conn: &mut PgConnection, member: MemberId, until: WallTime) -> Result<()> {
    sqlx::query("UPDATE messaging.subscription SET session_ends_at = least(session_ends_at, $2) WHERE member = $1")
        .bind(member.0)
        .bind(until.to_sqlx())
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn subscriptions(pool: &PgPool, member: MemberId) -> Result<Vec<(SubscriptionId, DeviceId)>> {
    let rows = sqlx::query(
        "SELECT subscription, device FROM messaging.subscription WHERE member = $1 ORDER BY made_at, subscription",
    )
    .bind(member.0)
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| Ok((SubscriptionId(row.try_get(0)?), DeviceId(row.try_get(1)?)))).collect()
}

/// Marks due deliveries as being sent and returns them, the longest due first. What another sender holds is
/// skipped; what a dead sender held is taken once its lease is over.
pub(crate) async fn claim(
    pool: &PgPool,
    limit: i64,
    now: Timestamp,
    wall: WallTime,
    lease_until: WallTime,
) -> Result<Vec<Claimed>> {
    let rows = sqlx::query(
        "WITH due AS (
             SELECT notice, subscription FROM messaging.delivery
             WHERE state IN ('due', 'sending') AND due_at <= $1 AND (leased_until IS NULL OR leased_until <= $1)
             ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
         ), taken AS (
             UPDATE messaging.delivery d SET state = 'sending', leased_until = $3, attempts = attempts + 1,
                 claimed = CASE WHEN content <> 'receipt' THEN pg_current_snapshot() END
             FROM due WHERE d.notice = due.notice AND d.subscription = due.subscription
             RETURNING d.notice, d.subscription, d.member, d.device, d.content, d.attempts
         )
         SELECT t.*, n.cause, n.body, n.category, n.expires_at,
                n.prompt_state = 'open' AND (n.prompt_until IS NULL OR n.prompt_until > $4) AS open, n.made_wall_at, s.endpoint, s.p256dh, s.auth
         FROM taken t JOIN messaging.notice n USING (notice) LEFT JOIN messaging.subscription s USING (subscription)",
    )
    .bind(wall.to_sqlx())
    .bind(limit)
    .bind(lease_until.to_sqlx())
    .bind(now.to_sqlx())
    .fetch_all(pool)
    .await?;
    let claimed = |row: &PgRow| {
        let target = match row.try_get::<Option<String>, _>("endpoint")? {
            Some(endpoint) => Some((endpoint, row.try_get("p256dh")?, row.try_get("auth")?)),
            None => None,
        };
        let open: bool = row.try_get("open")?;
        Ok(Claimed {
            notice: NoticeId(row.try_get("notice")?),
            subscription: SubscriptionId(row.try_get("subscription")?),
            member: MemberId(row.try_get("member")?),
            device: DeviceId(row.try_get("device")?),
            attempt: row.try_get("attempts")?,
            body: row.try_get("body")?,
            content: match row.try_get::<&str, _>("content")? {
                "prompt" if open => Content::Prompt,
                "offer" if open => Content::Offer,
                _ => Content::Receipt,
            },
            cause: row.try_get("cause")?,
            category: row.try_get("category")?,
            expires_at: time(row, "expires_at")?,
            caused_wall: wall_time(row, "made_wall_at")?,
            target,
        })
    };
    rows.iter().map(claimed).collect()
}

/// Gives claimed deliveries back as if they had not been claimed, due again at `due_wall`.
pub(crate) async fn put_off(pool: &PgPool, claimed: &[Claimed], due_wall: WallTime) -> Result<()> {
    if claimed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE messaging.delivery d SET state = 'due', due_at = $4, leased_until = NULL, attempts = attempts - 1
         FROM UNNEST($1::uuid[], $2::uuid[], $3::int[]) AS p (notice, subscription, attempt)
         WHERE d.notice = p.notice AND d.subscription = p.subscription AND d.attempts = p.attempt
           AND d.state = 'sending'",
    )
    .bind(claimed.iter().map(|c| c.notice.0).collect::<Vec<_>>())
    .bind(claimed.iter().map(|c| c.subscription.0).collect::<Vec<_>>())
    .bind(claimed.iter().map(|c| c.attempt).collect::<Vec<_>>())
    .bind(due_wall.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

/// Writes what came of a batch of sends, in one transaction. Returns the subscriptions that were refused in a way they were
/// not before.
pub(crate) async fn resolve(
    pool: &PgPool,
    done: &[Resolved],
    now: Timestamp,
    wall: WallTime,
) -> Result<Vec<NewlyRefused>> {
    let mut tx = hunch_db::begin(pool).await?;
    let mut notices: Vec<Uuid> = done.iter().map(|d| d.claimed.notice.0).collect();
    notices.sort_unstable();
    notices.dedup();
    let withheld: Vec<&Resolved> = done.iter().filter(|d| d.withheld.is_some()).collect();
    // First the notices: a withdrawal that is under way ends before we go on, a later one waits for us.
    sqlx::query("SELECT 1 FROM messaging.notice WHERE notice = ANY($1) ORDER BY notice FOR UPDATE")
        .bind(&notices)
        .execute(&mut *tx)
        .await?;
    if !withheld.is_empty() {
        insert_withheld(&mut tx, &withheld, now, wall).await?;
    }
    resolve_deliveries(&mut tx, done, wall).await?;
    insert_attempts(&mut tx, done, wall).await?;
    let gone: Vec<Uuid> =
        done.iter().filter(|d| d.outcome == Outcome::Gone).map(|d| d.claimed.subscription.0).collect();
    if !gone.is_empty() {
        sqlx::query("DELETE FROM messaging.subscription WHERE subscription = ANY($1)")
            .bind(gone)
            .execute(&mut *tx)
            .await?;
    }
    let refused = note_refusals(&mut tx, done).await?;
    tx.commit().await?;
    Ok(refused)
}

/// A subscription whose push service refused what was sent, as it had not done before.
pub(crate) struct NewlyRefused {
    pub subscription: SubscriptionId,
    pub endpoint: String,
    /// HTTP status; none when its address may not be pushed to any more.
    pub status: Option<i32>,
}

/// No status at all, in the column.
const NO_STATUS: i32 = 0;

async fn note_refusals(conn: &mut PgConnection, done: &[Resolved]) -> Result<Vec<NewlyRefused>> {
    let refused: Vec<&Resolved> = done.iter().filter(|d| d.outcome == Outcome::Refused).collect();
    if refused.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "UPDATE messaging.subscription s SET refused_status = r.status
         FROM (SELECT DISTINCT ON (subscription) * FROM UNNEST($1::uuid[], $2::int[]) AS r (subscription, status)) r
         WHERE s.subscription = r.subscription AND s.refused_status IS DISTINCT FROM r.status
         RETURNING s.subscription, s.endpoint, s.refused_status",
    )
    .bind(refused.iter().map(|d| d.claimed.subscription.0).collect::<Vec<_>>())
    .bind(refused.iter().map(|d| d.status.map_or(NO_STATUS, i32::from)).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let newly = |row: &PgRow| {
        let status = row.try_get::<i32, _>(2)?;
        let (subscription, endpoint) = (SubscriptionId(row.try_get(0)?), row.try_get(1)?);
        Ok(NewlyRefused { subscription, endpoint, status: (status != NO_STATUS).then_some(status) })
    };
    rows.iter().map(newly).collect()
}

async fn insert_withheld(
    conn: &mut PgConnection,
    withheld: &[&Resolved],
    now: Timestamp,
    wall: WallTime,
) -> Result<()> {
    let notices: Vec<Uuid> = withheld.iter().map(|d| d.claimed.notice.0).collect();
    let reasons: Vec<&str> = withheld.iter().filter_map(|d| d.withheld).collect();
    sqlx::query(
        "UPDATE messaging.notice n SET prompt_state = 'withheld', reason = w.reason
         FROM UNNEST($1::uuid[], $2::text[]) AS w (notice, reason)
         WHERE n.notice = w.notice AND n.prompt_state = 'open'",
    )
    .bind(&notices)
    .bind(&reasons)
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO messaging.withheld (notice, subscription, member, reason, stage, at)
         SELECT w.*, 'send', $5 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) AS w",
    )
    .bind(&notices)
    .bind(withheld.iter().map(|d| d.claimed.subscription.0).collect::<Vec<_>>())
    .bind(withheld.iter().map(|d| d.claimed.member.0).collect::<Vec<_>>())
    .bind(&reasons)
    .bind(now.to_sqlx())
    .execute(&mut *conn)
    .await?;
    // The same suggestion on the member's other devices: queued ones become receipts, shown ones are replaced.
    sqlx::query(
        "UPDATE messaging.delivery SET state = 'due', content = 'receipt', due_at = least(due_at, $3)
         WHERE notice = ANY($1) AND content <> 'receipt' AND state IN ('due', 'accepted')
           AND (notice, subscription) NOT IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
    )
    .bind(&notices)
    .bind(withheld.iter().map(|d| d.claimed.subscription.0).collect::<Vec<_>>())
    .bind(withheld.iter().map(|d| d.ended_wall).max().unwrap_or(wall).to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

/// A suggestion that was taken back while it was in flight is due again, as a receipt: it replaces by topic.
async fn resolve_deliveries(conn: &mut PgConnection, done: &[Resolved], wall: WallTime) -> Result<()> {
    sqlx::query(
        "UPDATE messaging.delivery d SET
             state = CASE WHEN o.content <> 'receipt' AND o.state = 'accepted' AND n.prompt_state = 'withheld' THEN 'due'
                          ELSE o.state END,
             content = CASE WHEN n.prompt_state = 'withheld' THEN 'receipt' ELSE o.content END,
             due_at = o.due_at, leased_until = NULL, last_status = o.status,
             accepted_at = CASE WHEN o.state = 'accepted' THEN coalesce(d.accepted_at, $8) ELSE d.accepted_at END
         FROM UNNEST($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::timestamptz[], $7::int[])
              AS o (notice, subscription, attempt, state, content, due_at, status)
         JOIN messaging.notice n ON n.notice = o.notice
         WHERE d.notice = o.notice AND d.subscription = o.subscription AND d.attempts = o.attempt AND d.state = 'sending'",
    )
    .bind(done.iter().map(|d| d.claimed.notice.0).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.claimed.subscription.0).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.claimed.attempt).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.outcome.delivery_state()).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.content).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.due_wall.to_sqlx()).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.status.map(i32::from)).collect::<Vec<_>>())
    .bind(wall.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_attempts(conn: &mut PgConnection, done: &[Resolved], wall: WallTime) -> Result<()> {
    sqlx::query(
        "INSERT INTO messaging.attempt (notice, subscription, attempt, member, device, content, outcome, status, standing,
             at, ended_at, claimed)
         SELECT a.*, $11, CASE WHEN d.attempts = a.attempt THEN d.claimed END
         FROM UNNEST($1::uuid[], $2::uuid[], $3::int[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
             $8::int[], $9::bigint[], $10::timestamptz[]) AS a (notice, subscription, attempt, member, device, content, outcome,
             status, standing, at)
         LEFT JOIN messaging.delivery d ON d.notice = a.notice AND d.subscription = a.subscription
         ON CONFLICT ON CONSTRAINT attempt_once DO NOTHING",
    )
    .bind(done.iter().map(|d| d.claimed.notice.0).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.claimed.subscription.0).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.claimed.attempt).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.claimed.member.0).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.claimed.device.0).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.content).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.outcome.as_str()).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.status.map(i32::from)).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.standing).collect::<Vec<_>>())
    .bind(done.iter().map(|d| d.at.to_sqlx()).collect::<Vec<_>>())
    .bind(wall.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn open_prompts(pool: &PgPool, member: MemberId, now: Timestamp) -> Result<Vec<OpenPrompt>> {
    let rows = sqlx::query(
        "SELECT notice, cause, category FROM messaging.notice
         WHERE member = $1 AND prompt_state = 'open' AND coalesce(prompt_until, expires_at) > $2 ORDER BY made_at, notice",
    )
    .bind(member.0)
    .bind(now.to_sqlx())
    .fetch_all(pool)
    .await?;
    let open = |row: &PgRow| {
        Ok(OpenPrompt { notice: NoticeId(row.try_get(0)?), cause: row.try_get(1)?, category: row.try_get(2)? })
    };
    rows.iter().map(open).collect()
}

pub(crate) async fn withhold_at_fetch(pool: &PgPool, notice: &Notice, reason: &str, now: Timestamp) -> Result<()> {
    sqlx::query(
        "WITH back AS (
             UPDATE messaging.notice SET prompt_state = 'withheld', reason = $2
             WHERE notice = $1 AND prompt_state = 'open' RETURNING notice, member
         ) INSERT INTO messaging.withheld (notice, member, reason, stage, at) SELECT notice, member, $2, 'fetch', $3 FROM back",
    )
    .bind(notice.id.0)
    .bind(reason)
    .bind(now.to_sqlx())
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn push_counts(pool: &PgPool, since: WallTime) -> Result<PushCounts> {
    let row = sqlx::query(
        "SELECT count(*) AS sent,
                percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
                    ORDER BY (extract(epoch FROM d.accepted_at - n.made_wall_at) * 1000)::bigint) AS latency
         FROM messaging.delivery d JOIN messaging.notice n USING (notice)
         WHERE d.accepted_at >= $1 AND n.cause_kind = 'purchase' AND n.made_wall_at >= $1::timestamptz - interval '1 day'",
    )
    .bind(since.to_sqlx())
    .fetch_one(pool)
    .await?;
    let latency: Vec<i64> = row.try_get::<Option<Vec<i64>>, _>("latency")?.unwrap_or_default();
    let at = |index: usize| latency.get(index).copied().unwrap_or(0);
    let reasons = sqlx::query_as(
        "SELECT reason, count(*) FROM messaging.notice WHERE made_wall_at >= $1 AND reason = ANY($2) GROUP BY 1 ORDER BY 1",
    )
    .bind(since.to_sqlx())
    .bind(DENIALS.iter().map(|(_, word, _)| *word).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    Ok(PushCounts {
        accepted: sqlx::query_scalar(
            "SELECT count(*) FROM messaging.attempt WHERE outcome = 'accepted' AND ended_at >= $1",
        )
        .bind(since.to_sqlx())
        .fetch_one(pool)
        .await?,
        withheld: reasons,
        purchases: row.try_get("sent")?,
        p50_ms: at(0),
        p95_ms: at(1),
        p99_ms: at(2),
    })
}
