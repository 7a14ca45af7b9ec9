//! The four shapes in which the exchange says no.

use crate::auth::AuthFailure;
use crate::engine::Refusal;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// `{"error":{"code","message","details"?}}`: authentication and exchange errors.
pub fn nested(status: u16, code: &str, message: &str, details: Option<&str>) -> Response {
    let mut error = json!({ "code": code, "message": message });
    if let Some(details) = details {
        error["details"] = json!(details);
    }
    answer(status, json!({ "error": error }))
}

/// `{"code","message","details"}`: the body could not be read.
pub fn flat(details: &str) -> Response {
    answer(400, json!({ "code": "bad_request", "message": "bad request", "details": details }))
}

/// `{"msg"}`: a parameter is wrong.
pub fn parameter(message: impl Into<String>) -> Response {
    answer(400, json!({ "msg": message.into() }))
}

/// `{"error":"too many requests"}`, without Retry-After.
pub fn too_many() -> Response {
    answer(429, json!({ "error": "too many requests" }))
}

pub fn not_found() -> Response {
    nested(404, "not_found", "not found", None)
}

pub fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body)).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, message, details) = refusal_parts(&self);
        nested(status, code, message, details)
    }
}

fn refusal_parts(refusal: &Refusal) -> (u16, &'static str, &'static str, Option<&'static str>) {
    match refusal {
        Refusal::ExchangePaused => (409, "exchange_is_paused", "exchange is paused", None),
        Refusal::TradingPaused => (409, "trading_is_paused", "trading is paused", None),
        Refusal::AlreadyExists => (409, "order_already_exists", "order already exists", None),
        Refusal::Killed => {
            (409, "fill_or_kill_insufficient_resting_volume", "fill or kill insufficient resting volume", None)
        }
        Refusal::TransferExists => (409, "transfer_already_exists", "transfer already exists", None),
        Refusal::Exists(_) => (409, "already_exists", "already exists", None),
        Refusal::State(state) => (409, "invalid_state", "not possible in this state", Some(state)),
        Refusal::UnknownMarket => (404, "market_not_found", "market not found", None),
        Refusal::UnknownOrder => (404, "not_found", "not found", None),
        Refusal::MarketInactive => (400, "MARKET_INACTIVE", "market is inactive", None),
        Refusal::Price => (400, "invalid_price", "invalid price", None),
        Refusal::Size => (400, "invalid_order_size", "invalid order size", None),
        Refusal::Parameters(details) => (400, "invalid_parameters", "invalid parameters", Some(details)),
        Refusal::Order(details) => (400, "invalid_order", "invalid order", Some(details)),
        Refusal::Balance => (400, "insufficient_balance", "insufficient balance", None),
    }
}

/// As it stands inside the answer to a batch.
pub fn refusal_error(refusal: &Refusal) -> Value {
    let (_, code, message, details) = refusal_parts(refusal);
    let mut error = json!({ "code": code, "message": message });
    if let Some(details) = details {
        error["details"] = json!(details);
    }
    error
}

impl IntoResponse for AuthFailure {
    fn into_response(self) -> Response {
        let (code, message, details) = match self {
            AuthFailure::Missing => ("signature_is_missing_from_headers", "signature is missing from headers", None),
            AuthFailure::Expired => ("header_timestamp_expired", "header timestamp expired", None),
            AuthFailure::UnknownKey => ("authentication_error", "authentication error", Some("NOT_FOUND")),
            AuthFailure::BadSignature => {
                ("authentication_error", "authentication error", Some("INCORRECT_API_KEY_SIGNATURE"))
            }
        };
        nested(401, code, message, details)
    }
}
