//! Cursor paging: opaque text that says where the last page ended.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::bounds::Moment;
use crate::json::holds_nul;
use crate::problem::{Problem, ProblemKind};

pub const LIMIT_DEFAULT: i64 = 50;
pub const LIMIT_MAX: i64 = 200;
const CURSOR_LENGTH_MAX: usize = 400;

/// What waits for a person's decision, page by page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitingQuery {
    /// Also those that are decided.
    pub all: Option<bool>,
    /// Of the page before.
    #[param(max_length = 400)]
    pub cursor: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<i64>,
}

pub fn encode<T: Serialize>(place: &T) -> Option<String> {
    serde_json::to_vec(place).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

/// # Errors
/// A cursor that we did not make.
pub fn decode<T: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor.filter(|c| !c.is_empty()) else { return Ok(None) };
    let json = Some(cursor)
        .filter(|c| c.len() <= CURSOR_LENGTH_MAX)
        .and_then(|c| URL_SAFE_NO_PAD.decode(c).ok())
        .filter(|json| !holds_nul(json));
    let place = json.and_then(|json| serde_json::from_slice(&json).ok());
    place
        .map(Some)
        .ok_or_else(|| Problem::new(ProblemKind::Invalid, "send back the cursor of the page before, unchanged"))
}

/// The same for a place that begins with a time.
///
/// # Errors
/// A cursor that we did not make.
pub fn decode_at<T: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<(Timestamp, T)>, Problem> {
    Ok(decode::<(Moment, T)>(cursor)?.map(|(Moment(at), id)| (at, id)))
}

/// # Errors
/// A limit outside 1 to 200.
pub fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        n @ 1..=LIMIT_MAX => Ok(n),
        n => Err(Problem::new(ProblemKind::Invalid, format!("limit is 1 to {LIMIT_MAX}, not {n}"))),
    }
}
