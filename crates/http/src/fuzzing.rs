//! The readers of strangers' bytes, as the fuzzer calls them: what a body asks for, or the problem it is answered with.

use axum::http::{HeaderMap, HeaderValue, header};
use hunch_kernel::{MemberId, SharedWallClock, TerminalId};
use hunch_loyalty::PurchaseRequest;
use hunch_messaging::NewSubscription;
use uuid::Uuid;

use crate::items;
use crate::json;
use crate::problem::Problem;
use crate::routes::inbox::Subscribe;
use crate::routes::pos::PurchaseBody;
use crate::routes::webhook::{OutcomeWord, SettlementHint, WebhookKey};

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

/// A till's purchase.
///
/// # Errors
/// The problem that the till would be answered with.
pub fn purchase(body: &[u8]) -> Result<PurchaseRequest, Problem> {
    json::parse::<PurchaseBody>(&headers(), body)?.into_request(TerminalId(Uuid::nil()))
}

/// The items of a till's batch, each by itself.
///
/// # Errors
/// The problem that the whole batch would be answered with.
pub fn batch(body: &[u8]) -> Result<Vec<Result<PurchaseRequest, Problem>>, Problem> {
    let batch = items::read::<PurchaseBody>(&headers(), body, "purchases")?;
    Ok(batch.into_iter().map(|one| one?.into_request(TerminalId(Uuid::nil()))).collect())
}

/// A relay's call: the market and the outcome it names, if its signature holds.
///
/// # Errors
/// The sentence about the signature, or about the body of a call that was signed.
pub fn settlement(
    key: &WebhookKey,
    signature: &str,
    body: &[u8],
    wall: &SharedWallClock,
) -> Result<(String, &'static str), String> {
    key.holds(signature, body, wall)?;
    let hint = SettlementHint::read(&headers(), body).map_err(|problem| problem.detail.unwrap_or_default())?;
    Ok((hint.market_id.0, OutcomeWord::as_str(hint.winning_outcome)))
}

/// A phone's subscription.
///
/// # Errors
/// The problem that the phone would be answered with.
pub fn subscription(body: &[u8]) -> Result<NewSubscription, Problem> {
    json::parse::<Subscribe>(&headers(), body)?.read(MemberId(Uuid::nil()))
}
