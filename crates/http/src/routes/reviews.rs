//! Points that wait for a person's decision: for the member who sees them, and for the operator who decides.

use axum::extract::State;
use axum::http::StatusCode;
use hunch_kernel::{PurchaseId, TerminalId, shard_of};
use hunch_ledger::DoorError;
use hunch_loyalty::{Review, ReviewDecision, ReviewRefusal, ReviewRequest, WhichReviews};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::Line;
use crate::credentials::{MemberSession, Operator};
use crate::extract::{Path, Query};
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::me::PageQuery;
use crate::routes::page::{self, WaitingQuery};

#[derive(Serialize, ToSchema)]
pub struct PendingPoints {
    /// Oldest first.
    pub purchases: Vec<PendingPurchase>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A purchase whose points cannot be used yet.
#[derive(Serialize, ToSchema)]
pub struct PendingPurchase {
    pub purchase: Uuid,
    pub merchant_name: String,
    pub points: i64,
    /// A stable word.
    #[schema(example = "till_watched")]
    pub reason: &'static str,
    /// The same for people.
    pub why: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub since: jiff::Timestamp,
}

/// The member's points that are not final yet, with why. A person of the programme decides on each.
#[utoipa::path(get, path = "/v1/me/pending", operation_id = "pending_points", tag = "me", params(PageQuery), security(("member" = [])), responses(
    (status = 200, body = PendingPoints),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn pending(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<PendingPoints>, Problem> {
    let which = WhichReviews::Of(session.member);
    let (found, next_cursor) = page_of(&app, which, query.cursor.as_deref(), query.limit).await?;
    let purchases = found.into_iter().map(|review| PendingPurchase {
        purchase: review.purchase.0,
        merchant_name: review.merchant_name,
        points: review.points.0,
        reason: review.reason.as_str(),
        why: review.reason.sentence(),
        since: review.since,
    });
    Ok(axum::Json(PendingPoints { purchases: purchases.collect(), next_cursor }))
}

#[derive(Serialize, ToSchema)]
pub struct Reviews {
    /// Oldest first.
    pub reviews: Vec<ReviewBody>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A purchase whose points wait for a decision, or waited.
#[derive(Serialize, ToSchema)]
pub struct ReviewBody {
    pub purchase: Uuid,
    pub member_token: Uuid,
    pub merchant: Uuid,
    pub merchant_name: String,
    pub terminal: Uuid,
    pub points: i64,
    /// Why they wait.
    #[schema(example = "till_watched")]
    pub reason: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub since: jiff::Timestamp,
    /// confirmed, taken_back, or returned when the purchase came back first. Absent while the points wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<jiff::Timestamp>,
    /// The operator who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// In the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<Review> for ReviewBody {
    fn from(review: Review) -> ReviewBody {
        let (ended, ended_at, decided_by, why) = match review.ended {
            Some(end) => (Some(end.word), Some(end.at), end.by, end.why),
            None => (None, None, None, None),
        };
        ReviewBody {
            purchase: review.purchase.0,
            member_token: review.member.0,
            merchant: review.merchant.0,
            merchant_name: review.merchant_name,
            terminal: review.terminal.0,
            points: review.points.0,
            reason: review.reason.as_str(),
            since: review.since,
            ended,
            ended_at,
            decided_by,
            why,
        }
    }
}

/// Points that wait for a decision.
#[utoipa::path(get, path = "/v1/ops/reviews", operation_id = "reviews", tag = "ops", params(WaitingQuery), security(("operator" = [])), responses(
    (status = 200, body = Reviews),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Query(query): Query<WaitingQuery>,
) -> Result<axum::Json<Reviews>, Problem> {
    let which = if query.all.unwrap_or(false) { WhichReviews::All } else { WhichReviews::Waiting };
    let (found, next_cursor) = page_of(&app, which, query.cursor.as_deref(), query.limit).await?;
    Ok(axum::Json(Reviews { reviews: found.into_iter().map(ReviewBody::from).collect(), next_cursor }))
}

async fn page_of(
    app: &App,
    which: WhichReviews,
    cursor: Option<&str>,
    limit: Option<i64>,
) -> Result<(Vec<Review>, Option<String>), Problem> {
    let limit = page::limit(limit)?;
    let after = page::decode_at::<Uuid>(cursor)?;
    let mut found = hunch_loyalty::reviews(&app.pool, which, after, limit + 1).await?;
    let more = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).and_then(|last| page::encode(&(last.since, last.purchase.0)));
    Ok((found, next))
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewWord {
    /// The points are the member's.
    Confirm,
    /// They go back to whoever paid for them.
    TakeBack,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewDecisionBody {
    pub decision: ReviewWord,
    /// For the programme's records; the member is not shown it.
    #[schema(inline)]
    pub why: Line<1, 400>,
}

/// Decides on points that wait, and tells the member. A decision stands; sent again it changes nothing.
#[utoipa::path(post, path = "/v1/ops/reviews/{purchase}/decision", operation_id = "decide_review", tag = "ops", params(("purchase" = Uuid, Path)),
    request_body = ReviewDecisionBody, security(("operator" = [])), responses(
    (status = 200, body = ReviewBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn decide(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(purchase): Path<Uuid>,
    Json(body): Json<ReviewDecisionBody>,
) -> Result<axum::Json<ReviewBody>, Problem> {
    let purchase = PurchaseId(purchase);
    let waiting = hunch_loyalty::review(&app.pool, purchase).await?.ok_or(ReviewRefusal::Unknown)?;
    let decision = match body.decision {
        ReviewWord::Confirm => ReviewDecision::Confirm,
        ReviewWord::TakeBack => ReviewDecision::TakeBack,
    };
    let request =
        ReviewRequest { purchase, member: waiting.member, decision, by: operator.name.to_owned(), why: body.why.0 };
    let answer = app.reviews.submit(shard_of(waiting.member, app.purchases.shards), request).await;
    let review = answer.map_err(|e| match e {
        DoorError::Busy | DoorError::Stopped | DoorError::Storage(_) | DoorError::Unknown => ReviewRefusal::Unavailable,
        DoorError::Impossible(_) => ReviewRefusal::Impossible,
    })??;
    Ok(axum::Json(review.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchBody {
    /// Why it is watched; left out, it is watched no longer.
    #[schema(inline)]
    pub why: Option<Line<1, 400>>,
}

/// Watches a till, or ends it: while it is watched, the points of its purchases wait for a decision. What waits already goes on
/// waiting.
#[utoipa::path(put, path = "/v1/ops/terminals/{terminal}/watch", operation_id = "watch_terminal", tag = "ops", params(("terminal" = Uuid, Path)),
    request_body = WatchBody, security(("operator" = [])), responses(
    (status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn watch(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(terminal): Path<Uuid>,
    Json(body): Json<WatchBody>,
) -> Result<StatusCode, Problem> {
    let (why, now) = (body.why.as_ref().map(|why| why.0.as_str()), app.clocks.business.now());
    let found = hunch_loyalty::watch_terminal(&app.pool, TerminalId(terminal), why, operator.name, now).await?;
    if !found {
        return Err(Problem::new(ProblemKind::NotFound, "there is no such till"));
    }
    app.directory.forget();
    Ok(StatusCode::NO_CONTENT)
}
