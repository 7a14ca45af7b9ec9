//! What operators did.

use axum::extract::State;
use hunch_operators::{Act, acts};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::credentials::Operator;
use crate::extract::Query;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::page;

const SUBJECT_CHARS_MAX: usize = 64;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ActsQuery {
    /// Id of a merchant, till, earn rule, offer, member, purchase, order, correction or proposal; left out, of everything.
    #[param(max_length = 64)]
    pub subject: Option<String>,
    /// Of the page before.
    #[param(max_length = 400)]
    pub cursor: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct Acts {
    /// Newest first.
    pub acts: Vec<ActBody>,
    /// Send it back for the next page. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct ActBody {
    /// The operator's name; the role of the database where somebody changed it by hand.
    pub operator: String,
    /// A stable word: merchant, terminal, earn_rule, offer, member, person, sign_in_code, review, likeness, switch, order,
    /// correction or proposal.
    pub what: String,
    pub subject: String,
    /// What changed, as it was. Absent when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    /// The same, as it is since. Secrets and personal data are not among it.
    #[schema(value_type = Object)]
    pub after: serde_json::Value,
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
}

impl From<Act> for ActBody {
    fn from(a: Act) -> ActBody {
        let Act { operator, what, subject, before, after, at, .. } = a;
        ActBody { operator, what, subject, before, after, at: at.to_timestamp() }
    }
}

/// Every act of an operator, with who, what, the old value and the new one. They are kept by the database itself and never change.
#[utoipa::path(get, path = "/v1/ops/acts", operation_id = "acts", tag = "ops", params(ActsQuery), security(("operator" = [])), responses(
    (status = 200, body = Acts),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Query(query): Query<ActsQuery>,
) -> Result<axum::Json<Acts>, Problem> {
    if query.subject.as_ref().is_some_and(|subject| subject.chars().count() > SUBJECT_CHARS_MAX) {
        return Err(Problem::new(
            ProblemKind::Invalid,
            format!("subject is an id of at most {SUBJECT_CHARS_MAX} characters"),
        ));
    }
    let (limit, before) = (page::limit(query.limit)?, page::decode::<i64>(query.cursor.as_deref())?);
    let mut found =
        acts(&app.pool, query.subject.as_deref(), before, limit + 1).await.map_err(|e| Problem::storage(&e))?;
    let more = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).and_then(|last| page::encode(&last.number));
    Ok(axum::Json(Acts { acts: found.into_iter().map(ActBody::from).collect(), next_cursor }))
}
