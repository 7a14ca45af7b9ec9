//! A member signs in with a code and gets a session.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use hunch_messaging::{end_all, end_with_session};
use hunch_people::session_sha256;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::credentials::MemberSession;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody};
use crate::source::Source;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// As the member got it; case and dashes do not matter.
    #[schema(min_length = 1, max_length = 40, example = "7K2M-9PXQ-4TBN")]
    pub code: String,
}

#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    /// Send it as `Authorization: Bearer <token>`.
    pub token: String,
    pub member_token: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: jiff::Timestamp,
}

/// Signs a member in with a code, which is good once and for a quarter of an hour. A right code always works; many wrong ones from
/// one network are told to wait. A member has eight sessions at most, of which the one used longest ago makes room; a session ends
/// when it was not used for two weeks, and after ninety days.
#[utoipa::path(post, path = "/v1/sign-in", tag = "me", request_body = SignIn, responses(
    (status = 201, body = SignedIn),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn sign_in(
    State(app): State<Arc<App>>,
    source: Option<Extension<Source>>,
    Json(body): Json<SignIn>,
) -> Result<(StatusCode, axum::Json<SignedIn>), Problem> {
    let session = app.people.sign_in(&body.code, source.map(|Extension(Source(address))| address)).await?;
    if session.sandbox {
        app.safeguards.arrive_in_town(session.member).await?;
    }
    // A phone that is signed out hears nothing more.
    for sha256 in &session.ended {
        end_with_session(&app.pool, session.member, sha256).await?;
    }
    let expires_at = session.expires_at.to_timestamp();
    let answer = SignedIn { token: session.token, member_token: session.member.0, expires_at };
    Ok((StatusCode::CREATED, axum::Json(answer)))
}

/// Ends this session, and the push subscription of the phone that is signed in with it: whoever holds the phone
/// afterwards reads nobody's receipts.
#[utoipa::path(post, path = "/v1/sign-out", tag = "me", security(("member" = [])), responses(
    (status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn sign_out(State(app): State<Arc<App>>, session: MemberSession) -> Result<StatusCode, Problem> {
    let sha256 = session_sha256(&session.token);
    // Before, so that a sign-out that broke off can be repeated; and after, for a subscription that came in between.
    end_with_session(&app.pool, session.member, &sha256).await?;
    app.people.sign_out(&session.token).await?;
    end_with_session(&app.pool, session.member, &sha256).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the member, this one too, with the push subscriptions of all phones. Safe to repeat with another session.
#[utoipa::path(post, path = "/v1/sign-out/everywhere", tag = "me", security(("member" = [])), responses(
    (status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn sign_out_everywhere(State(app): State<Arc<App>>, session: MemberSession) -> Result<StatusCode, Problem> {
    // As above: what came in between ends too.
    end_all(&app.pool, session.member).await?;
    app.people.sign_out_everywhere(session.member).await?;
    end_all(&app.pool, session.member).await?;
    Ok(StatusCode::NO_CONTENT)
}
