//! `Idempotency-Key`: the same key gets the first answer for thirty days; the same key with another body is refused.
//!
//! A key is claimed for its request before any work is done. What a key protects has its effect once by itself (an order
//! is named by its quote), so the same request is simply carried out again while there is no answer yet: its process
//! may have died, or the first one may still be at it.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use hunch_kernel::MemberId;
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use ring::digest::{SHA256, digest};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use crate::app::App;
use crate::problem::{Problem, ProblemKind};

const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
const UNANSWERED_KEPT: SignedDuration = SignedDuration::from_hours(24);
const KEY_LENGTH_MAX: usize = 128;

/// The request's key, if it carries one.
///
/// # Errors
/// A key that is empty, too long or not plain text.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|t| !t.is_empty() && t.len() <= KEY_LENGTH_MAX);
    match text {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(Problem::new(ProblemKind::Invalid, "an Idempotency-Key is 1 to 128 plain characters")),
    }
}

/// Answers with what was answered first, or carries the request out and keeps its answer. Answers that ask to try again
/// later are not kept.
///
/// # Errors
/// `KeyReused` for another body, `Unavailable` when the answers cannot be read.
pub(crate) async fn once(
    app: &App,
    owner: MemberId,
    key: Option<String>,
    route: &str,
    body: &[u8],
    work: impl Future<Output = Result<(StatusCode, Vec<u8>), Problem>>,
) -> Result<Response<Body>, Problem> {
    let Some(key) = key else { return Ok(finish(work.await)) };
    let request = digest(&SHA256, body).as_ref().to_vec();
    let now = app.clocks.business.now();
    let claim = claim(&app.pool, owner, &key, route, &request, now).await.map_err(|e| Problem::storage(&e))?;
    if claim.route != route || claim.request != request {
        let sentence = "this Idempotency-Key was used with another request; use a new key for each new request";
        return Err(Problem::new(ProblemKind::KeyReused, sentence));
    }
    if let Some(first) = claim.answer {
        return Ok(first.kept());
    }
    let done = work.await;
    let (status, answer) = match &done {
        Ok((status, answer)) => (status.as_u16(), answer.clone()),
        Err(problem) => {
            let body = problem.body();
            (body.status, serde_json::to_vec(&body).unwrap_or_default())
        }
    };
    if status == 429 || status >= 500 {
        return Ok(finish(done));
    }
    // About what does not exist nothing is kept: anybody can make up as much of it as there is time.
    if status == 404 {
        give_back(&app.pool, owner, &key).await.map_err(|e| Problem::storage(&e))?;
        return Ok(finish(done));
    }
    let first = FirstAnswer { status, body: answer };
    // The same request may have been quicker elsewhere: everybody gets what was kept.
    match keep(&app.pool, owner, &key, &first).await.map_err(|e| Problem::storage(&e))? {
        Some(kept) => Ok(kept.kept()),
        None => Ok(finish(done)),
    }
}

fn finish(done: Result<(StatusCode, Vec<u8>), Problem>) -> Response<Body> {
    match done {
        Ok((status, body)) => json(status, body),
        Err(problem) => problem.into_response(),
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let media = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// What a key stands for.
struct Claim {
    route: String,
    request: Vec<u8>,
    /// None while the work goes on, or ended without an answer worth keeping.
    answer: Option<FirstAnswer>,
}

struct FirstAnswer {
    status: u16,
    body: Vec<u8>,
}

impl FirstAnswer {
    fn kept(self) -> Response<Body> {
        let mut response = json(StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK), self.body);
        response.headers_mut().insert("idempotency-first-answer", HeaderValue::from_static("kept"));
        response
    }
}

fn answer(row: &PgRow) -> Result<Option<FirstAnswer>, sqlx::Error> {
    let (status, body): (Option<i16>, Option<Vec<u8>>) = (row.try_get("status")?, row.try_get("body")?);
    Ok(status.zip(body).map(|(status, body)| FirstAnswer { status: status as u16, body }))
}

/// Claims the key for this request, or says whose it is.
async fn claim(
    pool: &PgPool,
    owner: MemberId,
    key: &str,
    route: &str,
    request: &[u8],
    now: Timestamp,
) -> Result<Claim, sqlx::Error> {
    sqlx::query(
        "INSERT INTO http.first_answer (owner, key, route, request, made_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT ON CONSTRAINT first_answer_once DO NOTHING",
    )
    .bind(owner.0)
    .bind(key)
    .bind(route)
    .bind(request)
    .bind(now.to_sqlx())
    .execute(pool)
    .await?;
    let row = sqlx::query("SELECT route, request, status, body FROM http.first_answer WHERE owner = $1 AND key = $2")
        .bind(owner.0)
        .bind(key)
        .fetch_one(pool)
        .await?;
    Ok(Claim { route: row.try_get("route")?, request: row.try_get("request")?, answer: answer(&row)? })
}

/// Ends a claim that has no answer.
async fn give_back(pool: &PgPool, owner: MemberId, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM http.first_answer WHERE owner = $1 AND key = $2 AND status IS NULL")
        .bind(owner.0)
        .bind(key)
        .execute(pool)
        .await?;
    Ok(())
}

/// Keeps the answer unless there is one, and gives the one that was kept.
async fn keep(
    pool: &PgPool,
    owner: MemberId,
    key: &str,
    first: &FirstAnswer,
) -> Result<Option<FirstAnswer>, sqlx::Error> {
    sqlx::query("UPDATE http.first_answer SET status = $3, body = $4 WHERE owner = $1 AND key = $2 AND status IS NULL")
        .bind(owner.0)
        .bind(key)
        .bind(first.status as i16)
        .bind(&first.body)
        .execute(pool)
        .await?;
    let row = sqlx::query("SELECT status, body FROM http.first_answer WHERE owner = $1 AND key = $2")
        .bind(owner.0)
        .bind(key)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| answer(&row)).transpose()?.flatten())
}

/// Forgets first answers that are older than thirty days, and keys that got no answer in a day; at most `most`.
///
/// # Errors
/// When the database fails.
pub async fn sweep_first_answers(pool: &PgPool, now: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
    let before = |ago: SignedDuration| now.saturating_sub(ago).unwrap_or(now).to_sqlx();
    let gone = sqlx::query(
        "DELETE FROM http.first_answer WHERE (owner, key) IN (
             SELECT owner, key FROM http.first_answer
             WHERE made_at < $2 AND (made_at < $1 OR status IS NULL) ORDER BY made_at LIMIT $3)",
    );
    let gone = gone.bind(before(KEPT)).bind(before(UNANSWERED_KEPT)).bind(most).execute(pool);
    Ok(gone.await?.rows_affected())
}
