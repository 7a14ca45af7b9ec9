//! What needs two people: one proposes it, another one approves it, and only then it happens.

use axum::extract::State;
use axum::http::StatusCode;
use hunch_exchange::ExchangeShard;
use hunch_kernel::{Dollars, MemberId, MerchantId};
use hunch_loyalty::{EarnTerms, NewEarnRule, add_earn_rule};
use hunch_messaging::{Cause, NewNotice, Wanted as Beside, write_notices};
use hunch_operators::{Kind, Proposal, ProposalError, Wanted};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::{Line, Text, Whole};
use crate::credentials::Operator;
use crate::extract::Path;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};

const FUNDING_MICROS_MAX: u64 = 1_000_000_000_000_000;
/// How long a phone that is lost may still be told of a recovery.
const TOLD_MINUTES: i64 = 60;

#[derive(Serialize, ToSchema)]
pub struct ProposalBody {
    pub proposal: Uuid,
    /// funding, recovery or earn_rule.
    pub kind: &'static str,
    /// What is wanted.
    #[schema(value_type = Object)]
    pub content: serde_json::Value,
    pub proposed_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub proposed_at: jiff::Timestamp,
    /// Nobody can approve it from then on.
    #[schema(value_type = String, format = DateTime)]
    pub lapses_at: jiff::Timestamp,
    /// approved, ended or lapsed. Absent while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// With which the member gets in again, within a quarter of an hour. Shown once, to the one who approves a recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in_code: Option<String>,
}

impl From<Proposal> for ProposalBody {
    fn from(p: Proposal) -> ProposalBody {
        ProposalBody {
            proposal: p.id,
            kind: p.kind.as_str(),
            content: p.content,
            proposed_by: p.proposed_by,
            proposed_at: p.proposed_at.to_timestamp(),
            lapses_at: p.lapses_at.to_timestamp(),
            decision: p.decision.map(|d| d.as_str()),
            decided_by: p.decided_by,
            sign_in_code: None,
        }
    }
}

impl From<ProposalError> for Problem {
    fn from(error: ProposalError) -> Problem {
        let kind = match &error {
            ProposalError::Unknown => ProblemKind::NotFound,
            ProposalError::Differs | ProposalError::Over(_) => ProblemKind::Proposal,
            ProposalError::SamePerson(_) => ProblemKind::SecondPerson,
            ProposalError::Storage(_) => return Problem::storage(&error),
        };
        Problem::new(kind, error.to_string())
    }
}

/// What waits is answered with 202, what has happened with 200.
pub(crate) type Proposed = (StatusCode, axum::Json<ProposalBody>);

pub(crate) async fn propose(app: &App, wanted: Wanted, operator: &Operator) -> Result<Proposed, Problem> {
    let proposal = app.proposals.propose(&wanted, operator.name).await?;
    let status = if proposal.decision.is_none() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, axum::Json(proposal.into())))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// Names this movement for ever: sending it again changes nothing, and is refused with another amount or shard.
    #[schema(inline)]
    pub reference: Text<1, 100>,
    #[schema(inline)]
    pub exchange_shard: Whole<0, 63>,
    /// Dollars; negative when money was taken out.
    #[schema(example = "2500.00", pattern = "^-?[0-9]{1,9}(\\.[0-9]{1,6})?$")]
    pub dollars: String,
}

/// Proposes to book money that was put in or taken out at the exchange. It is booked when a second person approves it.
#[utoipa::path(post, path = "/v1/ops/fundings", operation_id = "fund", tag = "ops", request_body = Funding, security(("operator" = [])), responses(
    (status = 200, description = "Decided before", body = ProposalBody),
    (status = 202, description = "Waits for a second person", body = ProposalBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn fund(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(body): Json<Funding>,
) -> Result<Proposed, Problem> {
    let dollars = amount(&body.dollars)?;
    if dollars == Dollars::ZERO || dollars.0.unsigned_abs() > FUNDING_MICROS_MAX {
        let sentence = "Send an amount that is not zero, and at most a thousand million dollars.";
        return Err(Problem::new(ProblemKind::Invalid, sentence));
    }
    let name = body.reference.0;
    let content = serde_json::json!({
        "reference": name, "exchange_shard": body.exchange_shard.0, "dollars": dollars.to_string()
    });
    let reused = format!("The reference {name:?} stands for another movement. Give this one its own.");
    let proposed = propose(&app, Wanted { kind: Kind::Funding, name, content }, &operator).await;
    proposed.map_err(|problem| match problem.kind {
        ProblemKind::Proposal => Problem::new(ProblemKind::FundingReused, reused),
        _ => problem,
    })
}

fn amount(text: &str) -> Result<Dollars, Problem> {
    text.parse().map_err(|e: hunch_kernel::MoneyError| Problem::new(ProblemKind::Invalid, e.to_string()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// How it is known that this is the member, for the programme's own records. Name nobody here.
    #[schema(inline)]
    pub why: Line<1, 200>,
}

/// Proposes to let a member in again who has lost the phone or the code. When a second person approves it, all sessions of the
/// member end, codes of before are void, the member is told, and there is a new code. Wanted again within a day, it is another
/// proposal only with another reason.
#[utoipa::path(post, path = "/v1/ops/members/{member}/recovery", operation_id = "propose_recovery", tag = "ops", request_body = Recover,
    params(("member" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, description = "Decided before", body = ProposalBody),
    (status = 202, description = "Waits for a second person", body = ProposalBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn recover(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(member): Path<Uuid>,
    Json(body): Json<Recover>,
) -> Result<Proposed, Problem> {
    if app.people.member(MemberId(member)).await?.is_none() {
        return Err(Problem::new(ProblemKind::NotFound, "there is no such member"));
    }
    let why = body.why.0;
    // The same again within a day is a repeat; later it is another loss.
    let day = app.clocks.wall.now().as_second() / 86_400;
    let content = serde_json::json!({ "member": member, "why": why });
    propose(&app, Wanted { kind: Kind::Recovery, name: format!("{member}/{day}/{why}"), content }, &operator).await
}

/// An earn rule above what one person may give: waits for the second one.
pub(crate) fn earn_rule_wanted(new: &NewEarnRule) -> Wanted {
    let EarnTerms { points_per_unit, per_cents, points_per_visit, points_max } = new.terms;
    let content = serde_json::json!({
        "rule": new.id, "merchant": new.merchant.0, "points_per_unit": points_per_unit, "per_cents": per_cents,
        "points_per_visit": points_per_visit, "points_max": points_max, "valid_from": new.valid_from,
    });
    Wanted { kind: Kind::EarnRule, name: new.id.to_string(), content }
}

#[derive(Serialize, ToSchema)]
pub struct ProposalList {
    /// At most 500, oldest first.
    pub proposals: Vec<ProposalBody>,
}

/// What waits for a second person.
#[utoipa::path(get, path = "/v1/ops/proposals", operation_id = "proposals", tag = "ops", security(("operator" = [])), responses(
    (status = 200, body = ProposalList),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(State(app): State<Arc<App>>, _: Operator) -> Result<axum::Json<ProposalList>, Problem> {
    let open = app.proposals.open().await?;
    Ok(axum::Json(ProposalList { proposals: open.into_iter().map(ProposalBody::from).collect() }))
}

/// Approves what somebody else proposed, and does it. Repeated, it says what was done; a member's new code is shown the first time
/// only.
#[utoipa::path(post, path = "/v1/ops/proposals/{id}/approval", operation_id = "approve_proposal", tag = "ops", params(("id" = Uuid, Path)),
    security(("operator" = [])), responses(
    (status = 200, body = ProposalBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn approve(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<ProposalBody>, Problem> {
    let (proposal, begun) = app.proposals.approve(id, operator.name).await?;
    let mut body = ProposalBody::from(proposal.clone());
    let Some(mut tx) = begun else { return Ok(axum::Json(body)) };
    let recovered = match proposal.kind {
        Kind::Funding => book(&app, &mut tx, &proposal).await.map(|()| None)?,
        Kind::EarnRule => give_rule(&app, &mut tx, &proposal).await.map(|()| None)?,
        Kind::Recovery => {
            let (member, code) = let_in(&app, &mut tx, &proposal).await?;
            body.sign_in_code = Some(code);
            Some(member)
        }
    };
    tx.commit().await.map_err(|e| Problem::storage(&e))?;
    app.directory.forget();
    if let Some(member) = recovered {
        app.people.forget_sessions(member);
    }
    Ok(axum::Json(body))
}

/// Gives up what waits, whoever proposed it.
#[utoipa::path(post, path = "/v1/ops/proposals/{id}/end", operation_id = "end_proposal", tag = "ops", params(("id" = Uuid, Path)),
    security(("operator" = [])), responses(
    (status = 200, body = ProposalBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn end(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<ProposalBody>, Problem> {
    Ok(axum::Json(app.proposals.end(id, operator.name).await?.into()))
}

/// What a proposal of ours holds.
fn content<T: serde::de::DeserializeOwned>(proposal: &Proposal) -> Result<T, Problem> {
    serde_json::from_value(proposal.content.clone()).map_err(|e| Problem::internal(&e))
}

async fn book(app: &App, conn: &mut PgConnection, proposal: &Proposal) -> Result<(), Problem> {
    let Funding { reference, exchange_shard, dollars } = content(proposal)?;
    // From 0 to 63, so it fits.
    let wanted = hunch_treasury::fund(&reference.0, ExchangeShard(exchange_shard.0 as i16), amount(&dollars)?);
    let storage = |e: sqlx::Error| Problem::storage(&e);
    hunch_treasury::post(conn, std::slice::from_ref(&wanted), app.clocks.business.now()).await.map_err(storage)?;
    // Booked under this reference before two people were needed, with another amount.
    if !hunch_treasury::is_booked(conn, &wanted).await.map_err(storage)? {
        let detail = format!("The reference {:?} stands for another movement. Give this one its own.", reference.0);
        return Err(Problem::new(ProblemKind::FundingReused, detail));
    }
    Ok(())
}

#[derive(Deserialize)]
struct RuleContent {
    rule: Uuid,
    merchant: Uuid,
    #[serde(flatten)]
    terms: RuleTerms,
    valid_from: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
struct RuleTerms {
    points_per_unit: i64,
    per_cents: i64,
    points_per_visit: i64,
    points_max: i64,
}

async fn give_rule(app: &App, conn: &mut PgConnection, proposal: &Proposal) -> Result<(), Problem> {
    let RuleContent { rule, merchant, terms, valid_from } = content(proposal)?;
    let RuleTerms { points_per_unit, per_cents, points_per_visit, points_max } = terms;
    let terms = EarnTerms { points_per_unit, per_cents, points_per_visit, points_max };
    let now = app.clocks.business.now();
    // Its moment may have come while it waited: it begins when it is approved then.
    let valid_from = valid_from.filter(|from| *from > now);
    let new = NewEarnRule { id: rule, merchant: MerchantId(merchant), terms, valid_from };
    add_earn_rule(conn, &new, now).await?;
    Ok(())
}

#[derive(Deserialize)]
struct RecoveryContent {
    member: Uuid,
}

async fn let_in(app: &App, conn: &mut PgConnection, proposal: &Proposal) -> Result<(MemberId, String), Problem> {
    let member = MemberId(content::<RecoveryContent>(proposal)?.member);
    let code = app.people.recover(conn, member).await?;
    let (now, wall) = (app.clocks.business.now(), app.clocks.wall.now());
    let notice = NewNotice {
        member,
        cause: Cause::Recovery(proposal.id),
        body: hunch_messaging::copy::RECOVERED.to_owned(),
        wanted: Beside::Receipt { alone: None },
        expires_at: now.saturating_add(SignedDuration::from_mins(TOLD_MINUTES)).unwrap_or(now),
        caused_wall: wall,
    };
    write_notices(conn, vec![notice], now, wall).await?;
    // The phones of before hear of this, and then of nothing more.
    let until = wall + SignedDuration::from_mins(TOLD_MINUTES);
    hunch_messaging::end_all_by(conn, member, until).await?;
    Ok((member, code))
}
