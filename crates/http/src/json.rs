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
    if holds_nul(bytes) {
        return Err(Problem::new(ProblemKind::BadJson, "text must not hold the character U+0000"));
    }
    serde_json::from_slice(bytes).map_err(|e| Problem::new(ProblemKind::BadJson, e.to_string()))
}

/// Whether a string of this JSON holds U+0000, which no text column can keep: an escape that is not itself escaped.
fn holds_nul(bytes: &[u8]) -> bool {
    bytes.windows(6).enumerate().any(|(at, window)| {
        window == b"\\u0000" && bytes[..at].iter().rev().take_while(|b| **b == b'\\').count().is_multiple_of(2)
    })
}

#[cfg(test)]
mod tests {
    use super::holds_nul;

    #[test]
    fn only_the_character_counts_not_the_text_about_it() {
        assert!(holds_nul(br#"{"a": "x\u0000y"}"#));
        assert!(holds_nul(br#"{"a": "\\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "\u0001"}"#));
    }
}
