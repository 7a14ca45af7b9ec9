//! The operator: who sells here, and at which tills.

use axum::extract::State;
use axum::http::StatusCode;
use hunch_kernel::{MemberId, MerchantId, TerminalId};
use hunch_loyalty::{NewMerchant, add_merchant, add_terminal_as};
use hunch_people::NewMember;
use hunch_vault::Person;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::{Amount, Day, Line, Whole};
use crate::credentials::Operator;
use crate::json::{Json, Object};
use crate::problem::{Problem, ProblemBody, ProblemKind};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMerchant {
    /// Chosen by the caller, so that sending it again adds nothing.
    pub merchant: Uuid,
    #[schema(inline)]
    pub name: Line<1, 80>,
    /// Such as `bakery`.
    #[schema(inline)]
    pub category: Line<1, 40>,
    #[schema(max_length = 64, example = "America/New_York")]
    pub zone: String,
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// Points for each whole `per_cents` of a purchase.
    #[schema(inline)]
    pub points_per_unit: Amount,
    #[schema(inline)]
    pub per_cents: Whole<1, 1_000_000_000>,
    #[serde(default)]
    #[schema(inline)]
    pub points_per_visit: Amount,
    /// Most points of one purchase by this rule.
    #[schema(inline)]
    pub points_max: Whole<1, 1_000_000_000>,
}

#[derive(Serialize, ToSchema)]
pub struct MerchantAdded {
    pub merchant: Uuid,
}

/// Adds a merchant with its first earn rule, which gives a purchase at most `limits.rule_points`; one that gives more is another
/// earn rule, for two people. Sent again with the same content it adds nothing; with other content it is refused
/// with the field that differs: name, category and zone are changed by PATCH, earn rules by a new one.
#[utoipa::path(post, path = "/v1/ops/merchants", tag = "ops", request_body = AddMerchant,
    security(("operator" = [])), responses(
    (status = 201, body = MerchantAdded),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn post_merchant(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(body): Json<AddMerchant>,
) -> Result<(StatusCode, axum::Json<MerchantAdded>), Problem> {
    no_more_than_one_may_give(&app, "points_max", body.points_max.0)?;
    let new = NewMerchant {
        id: MerchantId(body.merchant),
        name: body.name.0,
        category: body.category.0,
        zone: body.zone,
        currency: body.currency,
        points_per_unit: body.points_per_unit.0,
        per_cents: body.per_cents.0,
        points_per_visit: body.points_per_visit.0,
        points_max: body.points_max.0,
    };
    add_merchant(&app.pool, &new, operator.name, app.clocks.business.now()).await?;
    app.directory.forget();
    Ok((StatusCode::CREATED, axum::Json(MerchantAdded { merchant: new.id.0 })))
}

/// What one operator lets a purchase earn has a bound.
pub(crate) fn no_more_than_one_may_give(app: &App, field: &str, points: i64) -> Result<(), Problem> {
    let most = app.rule_points_alone;
    if points <= most {
        return Ok(());
    }
    let sentence = format!(
        "{field} is at most {most} here (limits.rule_points); an earn rule may give more when two people want it"
    );
    Err(Problem::new(ProblemKind::SecondPerson, sentence))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddTerminal {
    /// Chosen by the caller, so that sending it again adds nothing; left out, an id is made.
    pub terminal: Option<Uuid>,
    pub merchant: Uuid,
    #[schema(inline)]
    pub name: Line<1, 80>,
}

#[derive(Serialize, ToSchema)]
pub struct TerminalAdded {
    pub terminal: Uuid,
    /// The till opens its sessions with it. Shown once: absent when the till was there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Adds a till to a merchant. Sent again with the same id and content it adds nothing, and the secret is not shown again: only a
/// digest of it is kept. If the answer with it was lost, add another till under another id. With other content it is refused
/// with the field that differs.
#[utoipa::path(post, path = "/v1/ops/terminals", tag = "ops", request_body = AddTerminal,
    security(("operator" = [])), responses(
    (status = 201, body = TerminalAdded),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn post_terminal(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(body): Json<AddTerminal>,
) -> Result<(StatusCode, axum::Json<TerminalAdded>), Problem> {
    let merchant = MerchantId(body.merchant);
    if app.directory.merchant(merchant).await?.is_none() {
        return Err(Problem::new(ProblemKind::Invalid, "there is no such merchant; add the merchant first"));
    }
    let now = app.clocks.business.now();
    let id = body.terminal.unwrap_or_else(|| app.entropy.uuid());
    let (pool, entropy, name) = (&app.pool, &app.entropy, &body.name.0);
    let secret = add_terminal_as(pool, entropy, TerminalId(id), merchant, name, operator.name, now).await?;
    app.directory.forget();
    Ok((StatusCode::CREATED, axum::Json(TerminalAdded { terminal: id, secret })))
}

/// Most members of one request.
const MEMBERS_MAX: usize = 500;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMembers {
    #[schema(min_items = 1, max_items = 500, value_type = Vec<AddMember>)]
    pub members: Vec<Object<AddMember>>,
    /// Sign-in codes that work again and again: for a sandbox only.
    #[serde(default)]
    pub reusable_codes: bool,
}

/// Someone who joins. Goes straight to the vault.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// Chosen by the caller, so that sending it again adds nobody; left out, a token is made.
    pub member_token: Option<Uuid>,
    #[schema(min_length = 1, max_length = 120, pattern = "\\S")]
    pub full_name: String,
    #[schema(max_length = 200)]
    pub email: String,
    #[schema(max_length = 40)]
    pub phone: String,
    #[schema(inline)]
    pub birth_date: Day,
    #[schema(max_length = 64, example = "America/New_York")]
    pub home_zone: String,
}

#[derive(Serialize, ToSchema)]
pub struct MembersAdded {
    pub members: Vec<MemberAdded>,
}

#[derive(Serialize, ToSchema)]
pub struct MemberAdded {
    pub member_token: Uuid,
    /// Good once, for a quarter of an hour; the member signs in with it. Absent for somebody who was a member already and has signed
    /// in before: getting in again is a recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in_code: Option<String>,
}

/// Takes members in. Somebody who is a member already is refused; somebody who may be one is taken in, earns points and does not
/// stake until a person has decided (`/v1/ops/likenesses`). What is wrong with one refuses all, and then nobody is taken in: the
/// same token twice in one request, or the token of a member with other data, which stay as they were entered. If storage fails
/// half-way, some may be in: send the same again with the same tokens, which adds nobody twice.
#[utoipa::path(post, path = "/v1/ops/members", tag = "ops", request_body = AddMembers,
    security(("operator" = [])), responses(
    (status = 201, body = MembersAdded),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn post_members(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(body): Json<AddMembers>,
) -> Result<(StatusCode, axum::Json<MembersAdded>), Problem> {
    if body.members.is_empty() {
        return Err(Problem::new(ProblemKind::Invalid, "Send at least one member. The list is empty."));
    }
    if body.members.len() > MEMBERS_MAX {
        return Err(Problem::new(ProblemKind::BatchTooLarge, format!("Send at most {MEMBERS_MAX} members at once.")));
    }
    let people = body.members.into_iter().map(|Object(m)| NewMember {
        member: m.member_token.map(MemberId),
        person: Person { full_name: m.full_name, email: m.email, phone: m.phone, birth_date: m.birth_date.0 },
        home_zone: m.home_zone,
    });
    let ids = app.safeguards.take_in(people.collect(), operator.name).await?;
    // A code for somebody who has been here would be a way into their account.
    let newcomers = if body.reusable_codes { ids.clone() } else { app.people.never_signed_in(&ids).await? };
    let codes = app.people.new_codes(&newcomers, body.reusable_codes, operator.name).await?;
    let mut codes: HashMap<MemberId, String> = newcomers.into_iter().zip(codes).collect();
    let members = ids.iter().map(|id| MemberAdded { member_token: id.0, sign_in_code: codes.remove(id) });
    Ok((StatusCode::CREATED, axum::Json(MembersAdded { members: members.collect() })))
}
