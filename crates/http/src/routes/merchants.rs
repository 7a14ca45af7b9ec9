//! The operator: what can be changed of a merchant, and what it gives for a purchase from a day on.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use hunch_kernel::MerchantId;
use hunch_loyalty::{
    EarnRule, EarnTerms, Merchant, MerchantChange, NewEarnRule, add_earn_rule, change_merchant, check_earn_rule,
    merchant,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::{Amount, Line, Moment, Whole};
use crate::credentials::Operator;
use crate::extract::Path;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::proposals::{ProposalBody, earn_rule_wanted, propose};

/// What is left out stays. The currency cannot be changed: receipts are in it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMerchant {
    #[schema(inline)]
    pub name: Option<Line<1, 80>>,
    /// What is bought from then on is counted under it; what was bought before, and comes back, under the one of its time.
    #[schema(inline)]
    pub category: Option<Line<1, 40>>,
    #[schema(max_length = 64, example = "America/New_York")]
    pub zone: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct MerchantBody {
    pub merchant: Uuid,
    pub name: String,
    pub category: String,
    pub zone: String,
    pub currency: String,
}

impl From<Merchant> for MerchantBody {
    fn from(m: Merchant) -> MerchantBody {
        MerchantBody { merchant: m.id.0, name: m.name, category: m.category, zone: m.zone, currency: m.currency }
    }
}

/// Changes a merchant's name, category or time zone. Who did it and when is kept with what was there before. Safe to repeat.
#[utoipa::path(patch, path = "/v1/ops/merchants/{merchant}", tag = "ops", request_body = ChangeMerchant,
    params(("merchant" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, body = MerchantBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn patch_merchant(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<Uuid>,
    Json(body): Json<ChangeMerchant>,
) -> Result<axum::Json<MerchantBody>, Problem> {
    let (name, category) = (body.name.map(|n| n.0), body.category.map(|c| c.0));
    let change = MerchantChange { name, category, zone: body.zone };
    let now = app.clocks.business.now();
    let changed = change_merchant(&app.pool, MerchantId(id), &change, operator.name, now).await?.ok_or_else(unknown)?;
    app.directory.forget();
    Ok(axum::Json(changed.into()))
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such merchant")
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEarnRule {
    /// Chosen by the caller, so that sending it again adds nothing; left out, one is made.
    pub rule: Option<Uuid>,
    /// Points for each whole `per_cents` of a purchase.
    #[schema(inline)]
    pub points_per_unit: Amount,
    #[schema(inline)]
    pub per_cents: Whole<1, 1_000_000_000>,
    #[serde(default)]
    #[schema(inline)]
    pub points_per_visit: Amount,
    /// Most points of one purchase.
    #[schema(inline)]
    pub points_max: Whole<1, 1_000_000_000>,
    /// Not in the past, and within ten years; left out, the rule begins now.
    #[schema(inline)]
    pub valid_from: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
pub struct EarnRuleBody {
    pub rule: Uuid,
    pub points_per_unit: i64,
    pub per_cents: i64,
    pub points_per_visit: i64,
    pub points_max: i64,
    #[schema(value_type = String, format = DateTime)]
    pub valid_from: jiff::Timestamp,
}

impl From<EarnRule> for EarnRuleBody {
    fn from(r: EarnRule) -> EarnRuleBody {
        let EarnTerms { points_per_unit, per_cents, points_per_visit, points_max } = r.terms;
        let (rule, valid_from) = (r.rule, r.valid_from);
        EarnRuleBody { rule, points_per_unit, per_cents, points_per_visit, points_max, valid_from }
    }
}

/// Gives a merchant another earn rule from a moment on. Purchases of before keep the rule of their day, however late their
/// receipts arrive, and the rules of before stay in the history. A rule is never changed: give another one. One that may give a
/// purchase more points than `limits.rule_points` waits for a second person.
#[utoipa::path(post, path = "/v1/ops/merchants/{merchant}/earn-rules", tag = "ops", request_body = AddEarnRule,
    params(("merchant" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 201, body = EarnRuleBody),
    (status = 200, description = "Proposed and decided before", body = ProposalBody),
    (status = 202, description = "Waits for a second person", body = ProposalBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn post_earn_rule(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<Uuid>,
    Json(body): Json<AddEarnRule>,
) -> Result<Response<Body>, Problem> {
    let id = MerchantId(id);
    if app.directory.merchant(id).await?.is_none() {
        return Err(unknown());
    }
    let new = NewEarnRule {
        id: body.rule.unwrap_or_else(|| app.entropy.uuid()),
        merchant: id,
        terms: EarnTerms {
            points_per_unit: body.points_per_unit.0,
            per_cents: body.per_cents.0,
            points_per_visit: body.points_per_visit.0,
            points_max: body.points_max.0,
        },
        valid_from: body.valid_from.map(|from| from.0),
    };
    if new.terms.points_max > app.rule_points_alone {
        let wanted = earn_rule_wanted(&new);
        if !app.proposals.has(&wanted).await? {
            check_earn_rule(&new, app.clocks.business.now())?;
        }
        return Ok(propose(&app, wanted, &operator).await?.into_response());
    }
    let storage = |e: sqlx::Error| Problem::storage(&e);
    let mut tx = hunch_db::begin_as(&app.pool, operator.name).await.map_err(storage)?;
    let added = add_earn_rule(&mut tx, &new, app.clocks.business.now()).await?;
    tx.commit().await.map_err(storage)?;
    app.directory.forget();
    Ok((StatusCode::CREATED, axum::Json(EarnRuleBody::from(added))).into_response())
}

#[derive(Serialize, ToSchema)]
pub struct EarnRules {
    /// Oldest first; each stands until the next begins.
    pub rules: Vec<EarnRuleBody>,
}

/// A merchant's earn rules, those of before and those to come included.
#[utoipa::path(get, path = "/v1/ops/merchants/{merchant}/earn-rules", tag = "ops",
    params(("merchant" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, body = EarnRules),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn get_earn_rules(
    State(app): State<Arc<App>>,
    _: Operator,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<EarnRules>, Problem> {
    let found = merchant(&app.pool, MerchantId(id)).await?.ok_or_else(unknown)?;
    Ok(axum::Json(EarnRules { rules: found.rules.into_iter().map(EarnRuleBody::from).collect() }))
}
