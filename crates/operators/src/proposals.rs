//! What one operator wants and another one has to approve.

use hunch_db::WallToSqlx;
use hunch_db::columns::{maybe_wall_time, strange, wall_time};
use hunch_kernel::{Clocks, WallTime, derived_uuid};
use jiff::SignedDuration;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Row, Transaction};
use uuid::Uuid;

/// Nobody approves what was wanted longer ago.
pub const LAPSES_HOURS: i64 = 24;
/// Most proposals that one look gives.
const OPEN_MAX: i64 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Money that was put in or taken out at the exchange is booked.
    Funding,
    /// A member gets in again with a new code.
    Recovery,
    /// An earn rule that gives much.
    EarnRule,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Funding => "funding",
            Kind::Recovery => "recovery",
            Kind::EarnRule => "earn_rule",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Approved,
    /// Given up by an operator.
    Ended,
    /// Nobody approved it in time.
    Lapsed,
}

impl Decision {
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Approved => "approved",
            Decision::Ended => "ended",
            Decision::Lapsed => "lapsed",
        }
    }
}

/// What is wanted, before anybody was asked.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub kind: Kind,
    /// Names it for ever: proposed again under this name it waits once.
    pub name: String,
    pub content: Value,
}

impl Wanted {
    fn id(&self) -> Uuid {
        derived_uuid(&[b"proposal", self.kind.as_str().as_bytes(), self.name.as_bytes()])
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub id: Uuid,
    pub kind: Kind,
    pub content: Value,
    pub proposed_by: String,
    pub proposed_at: WallTime,
    pub lapses_at: WallTime,
    /// `None` while it waits.
    pub decision: Option<Decision>,
    pub decided_by: Option<String>,
    pub decided_at: Option<WallTime>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    #[error("nothing with this id was proposed")]
    Unknown,
    #[error("something else was proposed under this name; give this one its own")]
    Differs,
    #[error("{0} proposed this, so somebody else has to approve it")]
    SamePerson(String),
    #[error("this is over: it was {}", .0.as_str())]
    Over(Decision),
    #[error("the proposals' storage failed")]
    Storage(#[from] sqlx::Error),
}

#[derive(Clone)]
pub struct Proposals {
    pool: PgPool,
    clocks: Clocks,
}

impl Proposals {
    pub fn new(pool: PgPool, clocks: Clocks) -> Proposals {
        Proposals { pool, clocks }
    }

    /// Lets it wait for a second person. Proposed again it is the same, whatever became of it.
    ///
    /// # Errors
    /// `Differs` when the name stands for something else; `Storage`.
    pub async fn propose(&self, wanted: &Wanted, by: &str) -> Result<Proposal, ProposalError> {
        let now = self.clocks.wall.now();
        let mut tx = hunch_db::begin_as(&self.pool, by).await?;
        sqlx::query(
            "INSERT INTO operators.proposal (proposal, kind, content, proposed_by, proposed_at, lapses_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT ON CONSTRAINT proposal_once DO NOTHING",
        )
        .bind(wanted.id())
        .bind(wanted.kind.as_str())
        .bind(&wanted.content)
        .bind(by)
        .bind(now.to_sqlx())
        .bind((now + SignedDuration::from_hours(LAPSES_HOURS)).to_sqlx())
        .execute(&mut *tx)
        .await?;
        let stored = find(&mut tx, wanted.id(), false).await?.ok_or(sqlx::Error::RowNotFound)?;
        tx.commit().await?;
        if stored.content == wanted.content { Ok(stored) } else { Err(ProposalError::Differs) }
    }

    /// Whether something was proposed under this name.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn has(&self, wanted: &Wanted) -> Result<bool, ProposalError> {
        let mut conn = self.pool.acquire().await?;
        Ok(find(&mut conn, wanted.id(), false).await?.is_some())
    }

    /// Those that wait, oldest first. Those that nobody approved in time are ended first.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn open(&self) -> Result<Vec<Proposal>, ProposalError> {
        self.lapse().await?;
        let rows = sqlx::query(AssertSqlSafe(format!(
            "{SELECT} WHERE decision IS NULL ORDER BY proposed_at, proposal LIMIT $1"
        )))
        .bind(OPEN_MAX)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Begins to approve: what is done in this transaction happens together with the approval, or not at all. `None` when it
    /// was approved before.
    ///
    /// # Errors
    /// Why it cannot be approved.
    pub async fn approve(
        &self,
        id: Uuid,
        by: &str,
    ) -> Result<(Proposal, Option<Transaction<'static, Postgres>>), ProposalError> {
        self.lapse().await?;
        let mut tx = hunch_db::begin_as(&self.pool, by).await?;
        let found = find(&mut tx, id, true).await?.ok_or(ProposalError::Unknown)?;
        match found.decision {
            Some(Decision::Approved) => return Ok((found, None)),
            Some(other) => return Err(ProposalError::Over(other)),
            None => {}
        }
        if found.proposed_by == by {
            return Err(ProposalError::SamePerson(found.proposed_by));
        }
        let approved = decide(&mut tx, id, Decision::Approved, by, self.clocks.wall.now()).await?;
        Ok((approved, Some(tx)))
    }

    /// Gives one up, whoever proposed it. Safe to repeat.
    ///
    /// # Errors
    /// `Unknown`; `Over` when it has had its effect or lapsed; `Storage`.
    pub async fn end(&self, id: Uuid, by: &str) -> Result<Proposal, ProposalError> {
        self.lapse().await?;
        let mut tx = hunch_db::begin_as(&self.pool, by).await?;
        let found = find(&mut tx, id, true).await?.ok_or(ProposalError::Unknown)?;
        match found.decision {
            Some(Decision::Ended) => Ok(found),
            Some(other) => Err(ProposalError::Over(other)),
            None => {
                let ended = decide(&mut tx, id, Decision::Ended, by, self.clocks.wall.now()).await?;
                tx.commit().await?;
                Ok(ended)
            }
        }
    }

    /// Ends those that nobody approved in time.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn lapse(&self) -> Result<u64, ProposalError> {
        let now = self.clocks.wall.now().to_sqlx();
        let lapsed = sqlx::query(
            "UPDATE operators.proposal SET decision = 'lapsed', decided_at = $1 WHERE decision IS NULL AND lapses_at <= $1",
        );
        Ok(lapsed.bind(now).execute(&self.pool).await?.rows_affected())
    }
}

const SELECT: &str =
    "SELECT proposal, kind, content, proposed_by, proposed_at, lapses_at, decision, decided_by, decided_at
     FROM operators.proposal";

async fn find(conn: &mut PgConnection, id: Uuid, to_decide: bool) -> Result<Option<Proposal>, sqlx::Error> {
    let lock = if to_decide { " FOR UPDATE" } else { "" };
    let row =
        sqlx::query(AssertSqlSafe(format!("{SELECT} WHERE proposal = $1{lock}"))).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(read).transpose()
}

async fn decide(
    conn: &mut PgConnection,
    id: Uuid,
    decision: Decision,
    by: &str,
    now: WallTime,
) -> Result<Proposal, sqlx::Error> {
    sqlx::query("UPDATE operators.proposal SET decision = $2, decided_by = $3, decided_at = $4 WHERE proposal = $1")
        .bind(id)
        .bind(decision.as_str())
        .bind(by)
        .bind(now.to_sqlx())
        .execute(&mut *conn)
        .await?;
    find(conn, id, false).await?.ok_or(sqlx::Error::RowNotFound)
}

fn read(row: &PgRow) -> Result<Proposal, sqlx::Error> {
    let kind: String = row.try_get(1)?;
    let kinds = [Kind::Funding, Kind::Recovery, Kind::EarnRule];
    let decision: Option<String> = row.try_get(6)?;
    let decisions = [Decision::Approved, Decision::Ended, Decision::Lapsed];
    let decided = |word: String| {
        decisions.into_iter().find(|d| d.as_str() == word).ok_or_else(|| strange("the proposal's decision", &word))
    };
    Ok(Proposal {
        id: row.try_get(0)?,
        kind: kinds.into_iter().find(|k| k.as_str() == kind).ok_or_else(|| strange("the proposal", &kind))?,
        content: row.try_get(2)?,
        proposed_by: row.try_get(3)?,
        proposed_at: wall_time(row, 4)?,
        lapses_at: wall_time(row, 5)?,
        decision: decision.map(decided).transpose()?,
        decided_by: row.try_get(7)?,
        decided_at: maybe_wall_time(row, 8)?,
    })
}
