//! Accounts that may be somebody's second one, put before a person.

use axum::extract::State;
use hunch_kernel::MemberId;
use hunch_safeguards::{Decision, FoundLikeness};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::credentials::Operator;
use crate::extract::{Path, Query};
use crate::json::Json;
use crate::problem::{Problem, ProblemBody};
use crate::routes::page::{self, WaitingQuery};

#[derive(Serialize, ToSchema)]
pub struct Likenesses {
    /// Oldest first.
    pub accounts: Vec<Likeness>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Somebody who joined and may be a member already.
#[derive(Serialize, ToSchema)]
pub struct Likeness {
    pub member_token: Uuid,
    /// Whom it may be.
    pub known: Vec<Uuid>,
    /// Which of what was entered agrees: name, birth_date, email, phone.
    pub agreeing: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    pub found_at: jiff::Timestamp,
    /// Absent until a person has decided; then the account cannot stake if it is the same person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionWord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<jiff::Timestamp>,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionWord {
    /// One person: the account goes on earning and never stakes.
    Same,
    /// Two people: the account stakes like any other.
    Other,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    pub decision: DecisionWord,
}

impl From<FoundLikeness> for Likeness {
    fn from(found: FoundLikeness) -> Likeness {
        let word = |decision| match decision {
            Decision::Same => DecisionWord::Same,
            Decision::Other => DecisionWord::Other,
        };
        Likeness {
            member_token: found.member.0,
            known: found.known.iter().map(|m| m.0).collect(),
            agreeing: found.agreeing,
            found_at: found.found_at,
            decision: found.decision.as_ref().map(|d| word(d.decision)),
            decided_by: found.decision.as_ref().map(|d| d.by.clone()),
            decided_at: found.decision.as_ref().map(|d| d.at),
        }
    }
}

/// Accounts that may be somebody's second one and wait for a decision.
#[utoipa::path(get, path = "/v1/ops/likenesses", operation_id = "likenesses", tag = "ops", params(WaitingQuery), security(("operator" = [])), responses(
    (status = 200, body = Likenesses),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Query(query): Query<WaitingQuery>,
) -> Result<axum::Json<Likenesses>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::decode_at::<Uuid>(query.cursor.as_deref())?.map(|(at, id)| (at, MemberId(id)));
    let found = app.safeguards.likenesses(!query.all.unwrap_or(false), after, limit + 1).await;
    let mut found = found.map_err(|e| Problem::storage(&e))?;
    let more = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).and_then(|l| page::encode(&(l.found_at, l.member.0)));
    Ok(axum::Json(Likenesses { accounts: found.into_iter().map(Likeness::from).collect(), next_cursor }))
}

/// Decides whether an account is the second one of somebody who is a member already. A decision stands.
#[utoipa::path(post, path = "/v1/ops/likenesses/{member}/decision", operation_id = "decide_likeness", tag = "ops", params(("member" = Uuid, Path)),
    request_body = DecisionBody, security(("operator" = [])), responses(
    (status = 200, body = Likeness),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn decide(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(member): Path<Uuid>,
    Json(body): Json<DecisionBody>,
) -> Result<axum::Json<Likeness>, Problem> {
    let decision = match body.decision {
        DecisionWord::Same => Decision::Same,
        DecisionWord::Other => Decision::Other,
    };
    let found = app.safeguards.decide_likeness(MemberId(member), decision, operator.name).await?;
    Ok(axum::Json(found.into()))
}
