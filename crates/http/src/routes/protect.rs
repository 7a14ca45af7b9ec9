//! What members do to protect themselves, and where they are.

use axum::extract::State;
use hunch_kernel::{MemberId, Points};
use hunch_ledger::DoorError;
use hunch_safeguards::{BreakTerm, Change, Changed, DenialCode, ExclusionTerm, StandingRequest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

use crate::app::App;
use crate::credentials::MemberSession;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};

/// Where the phone is. Used for the state it is in, then forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: f64,
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: f64,
    #[schema(minimum = 0)]
    pub accuracy_metres: f64,
}

#[derive(Serialize, ToSchema)]
pub struct PlaceKnown {
    #[schema(example = "US-NY")]
    pub jurisdiction: String,
}

/// Says where the member is. It counts for twenty minutes.
#[utoipa::path(put, path = "/v1/me/place", tag = "safeguards", request_body = Place, security(("member" = [])), responses(
    (status = 200, body = PlaceKnown),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put_place(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<Place>,
) -> Result<axum::Json<PlaceKnown>, Problem> {
    let found = app.safeguards.attest_place(session.member, body.latitude, body.longitude, body.accuracy_metres).await;
    let jurisdiction = found.map_err(|denial| match denial.0 {
        DenialCode::Unavailable => Problem::new(ProblemKind::Unavailable, denial.to_string()),
        _ => Problem::new(
            ProblemKind::PlaceUnknown,
            "the state you are in cannot be told from this position; move away from the border or wait for a better fix",
        ),
    })?;
    Ok(axum::Json(PlaceKnown { jurisdiction }))
}

/// Most points to stake. Left out: the programme's own limit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsBody {
    #[schema(minimum = 0)]
    pub day_points: Option<i64>,
    #[schema(minimum = 0)]
    pub week_points: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct StandingBody {
    /// Rises with every change.
    pub standing_version: i64,
    /// A higher limit can be confirmed from then on; until it is confirmed the lower one counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub raise_after: Option<jiff::Timestamp>,
    /// End of the break or exclusion; `life` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<String>,
}

/// Sets limits: lower ones count at once, higher ones wait and must be confirmed.
#[utoipa::path(put, path = "/v1/me/limits", tag = "safeguards", request_body = LimitsBody, security(("member" = [])), responses(
    (status = 200, body = StandingBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put_limits(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<LimitsBody>,
) -> Result<axum::Json<StandingBody>, Problem> {
    let change = Change::Limits { day: body.day_points.map(Points), week: body.week_points.map(Points) };
    apply(&app, session.member, change).await
}

/// A member's limits and protections as they are now.
#[derive(Serialize, ToSchema)]
pub struct ProtectionsBody {
    /// Rises with every change.
    pub standing_version: i64,
    pub day_points: i64,
    pub week_points: i64,
    /// Staked in the running day and week, orders on their way included.
    pub day_used_points: i64,
    pub week_used_points: i64,
    /// A higher limit waits: it can be confirmed from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub raise_after: Option<jiff::Timestamp>,
    /// End of the break or exclusion; `life` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<String>,
    pub prompts_on: bool,
}

/// Limits in force, what was used of them, and any break or exclusion.
#[utoipa::path(get, path = "/v1/me/limits", tag = "safeguards", security(("member" = [])), responses(
    (status = 200, body = ProtectionsBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn get_limits(
    State(app): State<Arc<App>>,
    session: MemberSession,
) -> Result<axum::Json<ProtectionsBody>, Problem> {
    let found = app.safeguards.overview(session.member).await?;
    Ok(axum::Json(ProtectionsBody {
        standing_version: found.version,
        day_points: found.limits.day.0,
        week_points: found.limits.week.0,
        day_used_points: found.usage.day.0,
        week_used_points: found.usage.week.0,
        raise_after: found.raise.map(|(_, _, after)| after),
        protected_until: found.protected_until.map(until_text),
        prompts_on: found.prompts_on,
    }))
}

fn until_text(until: jiff::Timestamp) -> String {
    if until == jiff::Timestamp::MAX { "life".to_owned() } else { until.to_string() }
}

/// Makes a raise that has waited long enough count.
#[utoipa::path(post, path = "/v1/me/limits/confirm", tag = "safeguards", security(("member" = [])), responses(
    (status = 200, body = StandingBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn confirm_raise(
    State(app): State<Arc<App>>,
    session: MemberSession,
) -> Result<axum::Json<StandingBody>, Problem> {
    apply(&app, session.member, Change::ConfirmRaise).await
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExclusionWord {
    SixMonths,
    OneYear,
    TwoYears,
    FiveYears,
    Life,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExclusionBody {
    pub term: ExclusionWord,
}

/// Excludes the member from staking. Nobody can shorten it; points can still be used in shops.
#[utoipa::path(post, path = "/v1/me/exclusion", tag = "safeguards", request_body = ExclusionBody, security(("member" = [])), responses(
    (status = 200, body = StandingBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn post_exclusion(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<ExclusionBody>,
) -> Result<axum::Json<StandingBody>, Problem> {
    let term = match body.term {
        ExclusionWord::SixMonths => ExclusionTerm::SixMonths,
        ExclusionWord::OneYear => ExclusionTerm::OneYear,
        ExclusionWord::TwoYears => ExclusionTerm::TwoYears,
        ExclusionWord::FiveYears => ExclusionTerm::FiveYears,
        ExclusionWord::Life => ExclusionTerm::Life,
    };
    apply(&app, session.member, Change::Exclude(term)).await
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
pub enum BreakWord {
    #[serde(rename = "24_hours")]
    Day,
    #[serde(rename = "72_hours")]
    ThreeDays,
    #[serde(rename = "7_days")]
    Week,
    #[serde(rename = "30_days")]
    Month,
    #[serde(rename = "6_weeks")]
    SixWeeks,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakBody {
    pub term: BreakWord,
}

/// Takes a break from staking. It starts at once and ends by itself.
#[utoipa::path(post, path = "/v1/me/break", tag = "safeguards", request_body = BreakBody, security(("member" = [])), responses(
    (status = 200, body = StandingBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn post_break(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<BreakBody>,
) -> Result<axum::Json<StandingBody>, Problem> {
    let term = match body.term {
        BreakWord::Day => BreakTerm::Day,
        BreakWord::ThreeDays => BreakTerm::ThreeDays,
        BreakWord::Week => BreakTerm::Week,
        BreakWord::Month => BreakTerm::Month,
        BreakWord::SixWeeks => BreakTerm::SixWeeks,
    };
    apply(&app, session.member, Change::Break(term)).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptsBody {
    pub prompts_on: bool,
}

/// Whether the member wants to be prompted to stake. Receipts come either way.
#[utoipa::path(put, path = "/v1/me/prompts", tag = "safeguards", request_body = PromptsBody, security(("member" = [])), responses(
    (status = 200, body = StandingBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put_prompts(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<PromptsBody>,
) -> Result<axum::Json<StandingBody>, Problem> {
    apply(&app, session.member, Change::Prompts(body.prompts_on)).await
}

async fn apply(app: &App, member: MemberId, change: Change) -> Result<axum::Json<StandingBody>, Problem> {
    let found = app.people.member(member).await?.ok_or_else(|| Problem::bare(ProblemKind::NotFound))?;
    let request = StandingRequest { member, home_zone: found.home_zone, change };
    let answered = app.standing.submit(found.shard, request).await.map_err(|e| match e {
        DoorError::Busy => Problem::new(ProblemKind::Busy, e.to_string()),
        DoorError::Storage(_) => Problem::new(ProblemKind::Unavailable, e.to_string()),
        DoorError::Stopped | DoorError::Unknown => Problem::new(ProblemKind::Timeout, e.to_string()),
    })?;
    let Changed { version, raise_after, protected_until } = answered?;
    let until = protected_until.map(until_text);
    Ok(axum::Json(StandingBody { standing_version: version, raise_after, protected_until: until }))
}
