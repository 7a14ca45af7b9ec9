//! Bodies in, with every mistake told as a problem.

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, ProblemKind};

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let headers = request.headers().clone();
        let bytes = read(request, state).await?;
        parse(&headers, &bytes).map(Json)
    }
}

pub(crate) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(e) if e.status() == 413 => {
            Problem::new(ProblemKind::BodyTooLarge, "send at most one mebibyte; split a batch into smaller ones")
        }
        other => Problem::new(ProblemKind::BadJson, format!("the body could not be read: {other}")),
    })
}

pub(crate) fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(ProblemKind::MediaType, "send the header Content-Type: application/json"));
    }
    serde_json::from_slice(bytes).map_err(|e| Problem::new(ProblemKind::BadJson, e.to_string()))
}
