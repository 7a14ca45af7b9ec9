//! A member signs in with a code and gets a session.

use axum::extract::State;
use axum::http::StatusCode;
use hunch_messaging::end_with_session;
use hunch_people::session_sha256;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::credentials::MemberSession;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// As the member got it; case and dashes do not matter.
    #[schema(min_length = 1, max_length = 40, example = "7K2M-9PXQ")]
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

/// Signs a member in.
#[utoipa::path(post, path = "/v1/sign-in", tag = "me", request_body = SignIn, responses(
    (status = 201, body = SignedIn),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn sign_in(
    State(app): State<Arc<App>>,
    Json(body): Json<SignIn>,
) -> Result<(StatusCode, axum::Json<SignedIn>), Problem> {
    let session = app.people.sign_in(&body.code).await?;
    if session.sandbox {
        app.safeguards.arrive_in_town(session.member).await?;
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
