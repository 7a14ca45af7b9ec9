//! What the exchange's refusals mean. Four shapes of bodies exist, and proxies answer in their own way.

use hunch_exchange::{ExchangeError, RefusalClass, SubmitOutcome};
use serde_json::Value;

/// An answer that is not a success, or none at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// No answer, or one that could not be read: it is not known what happened.
    NoAnswer(String),
    Status {
        status: u16,
        body: ErrorBody,
    },
    /// A success whose body is not what is documented.
    Malformed(String),
    /// We held the request back ourselves.
    HeldBack,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// Empty when the body names none.
    pub code: String,
    pub message: String,
}

impl ErrorBody {
    /// Reads `{"error":{"code","message"}}`, `{"code","message"}`, `{"msg"}`, `{"error":"…"}` and anything else.
    pub fn parse(bytes: &[u8]) -> ErrorBody {
        let text =
            |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or_default().chars().take(300).collect::<String>();
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
            let message = String::from_utf8_lossy(bytes).chars().take(120).collect();
            return ErrorBody { code: String::new(), message };
        };
        match value.get("error") {
            Some(Value::String(message)) => {
                ErrorBody { code: String::new(), message: message.chars().take(300).collect() }
            }
            Some(inner @ Value::Object(_)) => {
                let details = text(inner.get("details"));
                let message = text(inner.get("message"));
                let message = if details.is_empty() { message } else { format!("{message}: {details}") };
                ErrorBody { code: text(inner.get("code")), message }
            }
            _ => {
                let message = text(value.get("message"));
                let message = if message.is_empty() { text(value.get("msg")) } else { message };
                ErrorBody { code: text(value.get("code")), message }
            }
        }
    }

    /// Codes may carry a suffix after a colon.
    fn base_code(&self) -> &str {
        self.code.split(':').next().unwrap_or_default()
    }
}

/// What a failed submission means. Definite refusals are listed; everything else is unknown.
pub fn classify_submission(error: &ApiError) -> SubmitOutcome {
    let (status, body) = match error {
        ApiError::NoAnswer(cause) | ApiError::Malformed(cause) => {
            return SubmitOutcome::Unknown { cause: cause.clone() };
        }
        ApiError::HeldBack => {
            return SubmitOutcome::Refused { class: RefusalClass::RateLimited, code: "held_back".to_owned() };
        }
        ApiError::Status { status, body } => (*status, body),
    };
    let code = if body.code.is_empty() { format!("http_{status}") } else { body.code.clone() };
    let refused = |class| SubmitOutcome::Refused { class, code: code.clone() };
    match (status, body.base_code()) {
        (409, "order_already_exists") => SubmitOutcome::AlreadyExists,
        (409, "trading_is_paused" | "exchange_is_paused") => refused(RefusalClass::ExchangePaused),
        (409, "fill_or_kill_insufficient_resting_volume") => refused(RefusalClass::Price),
        (429, _) => refused(RefusalClass::RateLimited),
        (401 | 403, _) => refused(RefusalClass::Auth),
        (400, "insufficient_balance" | "available_balance_too_low") => refused(RefusalClass::Funds),
        (400, "invalid_price") => refused(RefusalClass::Price),
        (400 | 404, "market_inactive" | "MARKET_INACTIVE" | "market_closed" | "market_not_found") => {
            refused(RefusalClass::MarketClosed)
        }
        (404, _) => refused(RefusalClass::MarketClosed),
        (400 | 410 | 413 | 415 | 422, _) => refused(RefusalClass::Invalid),
        // Any other 409, a 3xx, a 5xx: it may have been taken.
        _ => SubmitOutcome::Unknown { cause: format!("{status} {code}: {}", body.message) },
    }
}

impl From<ApiError> for ExchangeError {
    fn from(error: ApiError) -> ExchangeError {
        match error {
            ApiError::NoAnswer(cause) => ExchangeError::Unreachable(cause),
            ApiError::Malformed(cause) => ExchangeError::Malformed(cause),
            ApiError::HeldBack => ExchangeError::RateLimited,
            ApiError::Status { status: 429, .. } => ExchangeError::RateLimited,
            ApiError::Status { status: 401 | 403, body } => {
                ExchangeError::Auth(format!("{} {}", body.code, body.message))
            }
            ApiError::Status { status: 500.., body } => ExchangeError::Unreachable(body.message),
            ApiError::Status { status, body } => {
                ExchangeError::Refused(format!("{status} {} {}", body.code, body.message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn submitted(status: u16, body: &str) -> SubmitOutcome {
        classify_submission(&ApiError::Status { status, body: ErrorBody::parse(body.as_bytes()) })
    }

    #[test]
    fn four_shapes_and_a_proxy_are_read() {
        let code = |body: &str| ErrorBody::parse(body.as_bytes());
        assert_eq!(code(r#"{"error":{"code":"a","message":"b","details":"c"}}"#).message, "b: c");
        assert_eq!(code(r#"{"code":"a","message":"b"}"#).code, "a");
        assert_eq!(code(r#"{"msg":"b"}"#).message, "b");
        assert_eq!(code(r#"{"error":"too many requests"}"#).message, "too many requests");
        assert_eq!(code("<html>502 Bad Gateway</html>").message, "<html>502 Bad Gateway</html>");
    }

    #[test]
    fn only_what_was_certainly_not_taken_is_refused() {
        assert_eq!(submitted(409, r#"{"error":{"code":"order_already_exists"}}"#), SubmitOutcome::AlreadyExists);
        for (status, body) in [
            (409, r#"{"error":{"code":"something_new"}}"#),
            (500, ""),
            (502, "<html>"),
            (503, "{}"),
            (504, ""),
            (302, ""),
        ] {
            assert!(matches!(submitted(status, body), SubmitOutcome::Unknown { .. }), "{status} {body}");
        }
        for (status, body, class) in [
            (400, r#"{"error":{"code":"insufficient_balance"}}"#, RefusalClass::Funds),
            (400, r#"{"error":{"code":"invalid_price"}}"#, RefusalClass::Price),
            (400, r#"{"msg":"bad count"}"#, RefusalClass::Invalid),
            (401, r#"{"error":{"code":"authentication_error"}}"#, RefusalClass::Auth),
            (404, r#"{"error":{"code":"not_found"}}"#, RefusalClass::MarketClosed),
            (409, r#"{"error":{"code":"trading_is_paused"}}"#, RefusalClass::ExchangePaused),
            (409, r#"{"error":{"code":"fill_or_kill_insufficient_resting_volume"}}"#, RefusalClass::Price),
            (410, r#"{"error":{"code":"deprecated_v1_order_endpoint"}}"#, RefusalClass::Invalid),
            (429, r#"{"error":"too many requests"}"#, RefusalClass::RateLimited),
        ] {
            assert!(
                matches!(submitted(status, body), SubmitOutcome::Refused { class: c, .. } if c == class),
                "{status} {body}"
            );
        }
        assert!(matches!(classify_submission(&ApiError::NoAnswer("reset".into())), SubmitOutcome::Unknown { .. }));
        assert!(matches!(classify_submission(&ApiError::Malformed("no id".into())), SubmitOutcome::Unknown { .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_crash_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ErrorBody::parse(&bytes);
        }
    }
}
