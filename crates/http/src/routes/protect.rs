//! What members do to protect themselves, and where they are.

use axum::extract::State;
use hunch_kernel::{MemberId, Points};
use hunch_ledger::DoorError;
use hunch_people::Member;
use hunch_safeguards::{
    BreakTerm, Change, ChangeRefusal, Changed, DenialCode, ExclusionTerm, LimitRefusal, ReturnRefusal, StandingRequest,
};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

use crate::app::App;
use crate::bounds::Amount;
use crate::credentials::MemberSession;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::standing::{ProtectionBody, RaiseBody, moment, says, until_text};

/// Where the phone is. Used for the state it is in, then forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: f64,
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: f64,
    #[schema(minimum = 0, maximum = 20_000_000)]
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

/// Most points to stake. Left out: the programme's own limit. A limit cannot be higher than the programme's own, and the
/// day's cannot be higher than the week's; with 0 nothing can be staked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsBody {
    #[schema(inline)]
    pub day_points: Option<Amount>,
    #[schema(inline)]
    pub week_points: Option<Amount>,
}

/// How a member stands after a change.
#[derive(Serialize, ToSchema)]
pub struct StandingBody {
    /// Rises with every change.
    pub standing_version: i64,
    /// What was decided and what happens next, in plain words and in the member's own time.
    pub says: String,
    /// In force now.
    pub day_points: i64,
    pub week_points: i64,
    /// Higher limits that were asked for and do not count yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raise: Option<RaiseBody>,
    /// A higher limit can be confirmed from then on; until it is confirmed the lower one counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub raise_after: Option<jiff::Timestamp>,
    /// The break or exclusion that is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<ProtectionBody>,
    /// Its end; `life` where there is none, `until_you_return` where the member has to ask first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<String>,
}

/// Sets limits: lower ones count at once and take back a raise that waits. Higher ones wait for the latest of 24 hours, 72
/// hours since the limit was last set and the end of the running day or week, and must then be confirmed.
#[utoipa::path(put, path = "/v1/me/limits", tag = "safeguards", request_body = LimitsBody, security(("member" = [])), responses(
    (status = 200, body = StandingBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put_limits(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<LimitsBody>,
) -> Result<axum::Json<StandingBody>, Problem> {
    let change =
        Change::Limits { day: body.day_points.map(|n| Points(n.0)), week: body.week_points.map(|n| Points(n.0)) };
    apply(&app, session.member, change).await
}

/// A member's limits and protections as they are now.
#[derive(Serialize, ToSchema)]
pub struct ProtectionsBody {
    /// Rises with every change.
    pub standing_version: i64,
    /// How the member stands, in plain words and in the member's own time.
    pub says: String,
    pub day_points: i64,
    pub week_points: i64,
    /// The programme's own limits: nobody can choose higher ones.
    pub house_day_points: i64,
    pub house_week_points: i64,
    /// Staked in the running day and week, orders on their way included.
    pub day_used_points: i64,
    pub week_used_points: i64,
    /// Higher limits that were asked for and do not count yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raise: Option<RaiseBody>,
    /// A higher limit waits: it can be confirmed from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub raise_after: Option<jiff::Timestamp>,
    /// The break or exclusion that is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<ProtectionBody>,
    /// Its end; `life` where there is none, `until_you_return` where the member has to ask first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<String>,
    /// Wants to be prompted to stake.
    pub prompts_on: bool,
    /// Wants to be told of offers of shops.
    pub offers_on: bool,
}

/// Limits in force, what was used of them, what waits, and any break or exclusion.
#[utoipa::path(get, path = "/v1/me/limits", tag = "safeguards", security(("member" = [])), responses(
    (status = 200, body = ProtectionsBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn get_limits(
    State(app): State<Arc<App>>,
    session: MemberSession,
) -> Result<axum::Json<ProtectionsBody>, Problem> {
    let member = app.people.member(session.member).await?.ok_or_else(|| Problem::bare(ProblemKind::NotFound))?;
    let found = app.safeguards.overview(session.member).await?;
    let (now, house) = (app.clocks.business.now(), app.safeguards.house());
    Ok(axum::Json(ProtectionsBody {
        standing_version: found.version,
        says: says(found.limits, found.raise, found.protection, now, &zone_of(&member)),
        day_points: found.limits.day.0,
        week_points: found.limits.week.0,
        house_day_points: house.day.0,
        house_week_points: house.week.0,
        day_used_points: found.usage.day.0,
        week_used_points: found.usage.week.0,
        raise: found.raise.map(RaiseBody::from),
        raise_after: found.raise.map(|r| r.after),
        protection: found.protection.map(ProtectionBody::from),
        protected_until: found.protection.map(until_text),
        prompts_on: found.prompts_on,
        offers_on: found.offers_on,
    }))
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

/// Excludes the member from staking. Nobody can shorten the term, and the exclusion does not end with it: it goes on until
/// the member asks to return and 24 hours have passed. The member keeps the points
/// and goes on earning.
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

/// Asks to return from an exclusion whose term is over. The member may stake again 24 hours later. Asking again changes
/// nothing.
#[utoipa::path(post, path = "/v1/me/exclusion/return", tag = "safeguards", security(("member" = [])), responses(
    (status = 200, body = StandingBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn ask_to_return(
    State(app): State<Arc<App>>,
    session: MemberSession,
) -> Result<axum::Json<StandingBody>, Problem> {
    apply(&app, session.member, Change::AskToReturn).await
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

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OffersBody {
    pub offers_on: bool,
}

/// Whether the member wants to be told of offers of shops, in pushes and on the first page. Receipts come either way.
#[utoipa::path(put, path = "/v1/me/offers", tag = "safeguards", request_body = OffersBody, security(("member" = [])), responses(
    (status = 200, body = StandingBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put_offers(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<OffersBody>,
) -> Result<axum::Json<StandingBody>, Problem> {
    apply(&app, session.member, Change::Offers(body.offers_on)).await
}

async fn apply(app: &App, member: MemberId, change: Change) -> Result<axum::Json<StandingBody>, Problem> {
    let found = app.people.member(member).await?.ok_or_else(|| Problem::bare(ProblemKind::NotFound))?;
    let zone = zone_of(&found);
    let request = StandingRequest { member, home_zone: found.home_zone, change };
    let answered = app.standing.submit(found.shard, request).await.map_err(|e| match e {
        DoorError::Busy => Problem::new(ProblemKind::Busy, "The programme is busy. Send the same again in a moment."),
        DoorError::Storage(_) => {
            Problem::new(ProblemKind::Unavailable, "The change could not be stored. Send the same again in a moment.")
        }
        DoorError::Impossible(_) => Problem::impossible(),
        DoorError::Stopped | DoorError::Unknown => Problem::new(
            ProblemKind::Timeout,
            "It is not known whether the change was stored. Look, then send it again.",
        ),
    })?;
    let Changed { version, limits, raise, protection } = answered.map_err(|refusal| in_local_time(refusal, &zone))?;
    Ok(axum::Json(StandingBody {
        standing_version: version,
        says: says(limits, raise, protection, app.clocks.business.now(), &zone),
        day_points: limits.day.0,
        week_points: limits.week.0,
        raise: raise.map(RaiseBody::from),
        raise_after: raise.map(|r| r.after),
        protection: protection.map(ProtectionBody::from),
        protected_until: protection.map(until_text),
    }))
}

/// A refusal that names a moment names it in the member's own time.
fn in_local_time(refusal: ChangeRefusal, zone: &TimeZone) -> Problem {
    let detail = match refusal {
        ChangeRefusal::Limit(LimitRefusal::TooEarly(from)) => {
            format!("the higher limit can be confirmed from {} on; until then the lower one counts", moment(from, zone))
        }
        ChangeRefusal::Return(ReturnRefusal::TermRuns(until)) => {
            format!("your exclusion lasts until {}; you can ask to return after that", moment(until, zone))
        }
        other => other.to_string(),
    };
    Problem::new(Problem::from(refusal).kind, detail)
}

fn zone_of(member: &Member) -> TimeZone {
    TimeZone::get(&member.home_zone).unwrap_or(TimeZone::UTC)
}
