//! The operator: what can be changed of a member.

use axum::extract::State;
use hunch_kernel::MemberId;
use hunch_vault::PersonChange;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::credentials::Operator;
use crate::extract::Path;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};

/// What is left out stays. Birth date and home zone cannot be changed: who may stake, and when a day ends, follow them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMember {
    #[schema(min_length = 1, max_length = 120, pattern = "\\S")]
    pub full_name: Option<String>,
    /// Empty: there is none any more.
    #[schema(max_length = 200)]
    pub email: Option<String>,
    /// Empty: there is none any more.
    #[schema(max_length = 40)]
    pub phone: Option<String>,
}

/// Says nothing of what is entered: that stays in the vault.
#[derive(Serialize, ToSchema)]
pub struct MemberChanged {
    pub member_token: Uuid,
    /// Who changed this member's data last. Absent when it was so from the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub changed_at: Option<jiff::Timestamp>,
}

/// Changes a member's name, e-mail address or phone number. What was entered before is kept with who changed it and when, and the
/// member is known by it as by the new data: an exclusion follows both. Data that make the member somebody else who is a
/// member already are refused; a member who may be one by them does not stake until a person has decided
/// (`/v1/ops/likenesses`). Safe to repeat.
#[utoipa::path(patch, path = "/v1/ops/members/{member}", tag = "ops", request_body = ChangeMember,
    params(("member" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, body = MemberChanged),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn patch_member(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(member): Path<Uuid>,
    Json(body): Json<ChangeMember>,
) -> Result<axum::Json<MemberChanged>, Problem> {
    let change = PersonChange { full_name: body.full_name, email: body.email, phone: body.phone };
    if change == PersonChange::default() {
        let sentence = "nothing is to be changed; send full_name, email or phone";
        return Err(Problem::new(ProblemKind::Invalid, sentence));
    }
    let last = app.safeguards.change_person(MemberId(member), &change, operator.name).await?;
    let (changed_by, changed_at) = last.map(|last| (last.by, last.at)).unzip();
    Ok(axum::Json(MemberChanged { member_token: member, changed_by, changed_at }))
}
