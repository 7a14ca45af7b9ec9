//! The member's own screen: who am I here, what do I have, what happened, and the code for the till.

use axum::extract::State;
use fast_qr::convert::{Builder, Shape, svg::SvgBuilder};
use fast_qr::qr::QRBuilder;
use hunch_ledger::MemberBalance;
use hunch_loyalty::issue_code;
use hunch_people::Member;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::app::App;
use crate::credentials::MemberSession;
use crate::problem::{Problem, ProblemBody, ProblemKind};

#[derive(Serialize, ToSchema)]
pub struct Me {
    pub member_token: Uuid,
    /// From the vault, for this screen only.
    pub name: Option<String>,
    pub home_zone: String,
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: jiff::Timestamp,
    /// In a sandbox with a place of its own: where this member is without the phone having to say it, as the page shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Demo: you are in town")]
    pub place_note: Option<&'static str>,
}

/// Who is signed in.
#[utoipa::path(get, path = "/v1/me", tag = "me", security(("member" = [])), responses(
    (status = 200, body = Me),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn me(State(app): State<Arc<App>>, session: MemberSession) -> Result<axum::Json<Me>, Problem> {
    let found = app.people.member(session.member).await?;
    let member = found.ok_or_else(|| Problem::bare(ProblemKind::NotFound))?;
    let name = app.people.vault().own_name(member.id).await.map_err(hunch_people::PeopleError::from)?;
    let place_note = app.safeguards.is_in_town(member.id).await?.then_some("Demo: you are in town");
    let Member { id, home_zone, joined_at, .. } = member;
    Ok(axum::Json(Me { member_token: id.0, name, home_zone, joined_at, place_note }))
}

/// Points. Only `available_points` can be spent.
#[derive(Serialize, ToSchema)]
pub struct Balance {
    pub available_points: i64,
    /// In stakes that wait for the exchange.
    pub held_points: i64,
    /// Earned, and not final yet: `/v1/me/pending` says of what and why. They can be used once a person of the programme has
    /// confirmed them.
    pub pending_points: i64,
    /// Owed after returns; the next points pay it.
    pub owed_points: i64,
}

impl From<MemberBalance> for Balance {
    fn from(b: MemberBalance) -> Balance {
        Balance {
            available_points: b.available.0,
            held_points: b.held.0,
            pending_points: b.provisional.0,
            owed_points: -b.debt.0,
        }
    }
}

/// What the member has.
#[utoipa::path(get, path = "/v1/me/balance", tag = "me", security(("member" = [])), responses(
    (status = 200, body = Balance),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn balance(State(app): State<Arc<App>>, session: MemberSession) -> Result<axum::Json<Balance>, Problem> {
    let found = hunch_ledger::balance(&app.pool, session.member).await.map_err(|e| Problem::storage(&e))?;
    Ok(axum::Json(found.unwrap_or_default().into()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Of the page before.
    #[param(max_length = 400)]
    pub cursor: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct Code {
    /// What the till scans or types.
    pub text: String,
    /// The same as a QR picture.
    pub qr_svg: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: jiff::Timestamp,
}

/// A code for the till: good once, for a minute.
#[utoipa::path(get, path = "/v1/me/code", tag = "me", security(("member" = [])), responses(
    (status = 200, body = Code),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn code(State(app): State<Arc<App>>, session: MemberSession) -> Result<axum::Json<Code>, Problem> {
    let now = app.clocks.wall.now();
    let code = issue_code(&app.pool, &app.purchases.codes, &app.entropy, session.member, now).await?;
    let qr = QRBuilder::new(code.text.as_str()).build();
    let qr = qr.map_err(|_| Problem::new(ProblemKind::Internal, "the code could not be drawn; type its text"))?;
    let qr_svg = SvgBuilder::default().shape(Shape::Square).to_str(&qr);
    Ok(axum::Json(Code { text: code.text, qr_svg, expires_at: code.expires_at.to_timestamp() }))
}
