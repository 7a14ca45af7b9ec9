//! What goes wrong, as RFC 9457 problem documents. One table: a type is stable for ever, a title is the same for
//! every occurrence, a detail is a sentence that the reader can act on.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::sentence::sentence;

/// The kinds of problem there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    BadJson,
    BodyTooLarge,
    BodyTooSlow,
    MediaType,
    NotFound,
    MethodNotAllowed,
    Unauthenticated,
    BadSignature,
    Forbidden,
    Invalid,
    BatchTooLarge,
    AlreadyExists,
    UnknownTerminal,
    UnknownMember,
    Amount,
    Currency,
    FutureDate,
    PastDate,
    ReceiptNumber,
    ReceiptReused,
    CodeForeign,
    CodeExpired,
    CodeUsed,
    UnknownPurchase,
    SignInCode,
    TooManyTries,
    PushSubscription,
    UnknownNotice,
    PlaceUnknown,
    RaiseTooEarly,
    NoRaise,
    Protected,
    SandboxOnly,
    IdentityCheck,
    OtherAccount,
    AlreadyMember,
    AlreadyDecided,
    Limits,
    NotExcluded,
    ExclusionRuns,
    OtherMerchant,
    UnknownMarket,
    MarketClosed,
    NoPrice,
    Stake,
    StakeCannotWin,
    StakingPaused,
    ExchangeClosed,
    UnknownQuote,
    QuoteExpired,
    PriceMoved,
    InsufficientPoints,
    Excluded,
    OnBreak,
    AgeUnproven,
    UnderAge,
    StakePlaceUnknown,
    PlaceNotAllowed,
    DayLimit,
    WeekLimit,
    StandingChanged,
    PermitExpired,
    KeyReused,
    TooManyRequests,
    FundingReused,
    Correction,
    Proposal,
    SecondPerson,
    Busy,
    Unavailable,
    Timeout,
    Impossible,
    Internal,
}

/// (kind, type, title, status, seconds after which to try again).
pub const PROBLEMS: &[(ProblemKind, &str, &str, u16, Option<u32>)] = &[
    (ProblemKind::BadJson, "/problems/bad-json", "The body is not the JSON this route takes", 400, None),
    (ProblemKind::BodyTooLarge, "/problems/body-too-large", "The body is too large", 413, None),
    (ProblemKind::BodyTooSlow, "/problems/body-too-slow", "The body came too slowly", 408, Some(1)),
    (ProblemKind::MediaType, "/problems/media-type", "The body must be application/json", 415, None),
    (ProblemKind::NotFound, "/problems/not-found", "There is nothing here", 404, None),
    (ProblemKind::MethodNotAllowed, "/problems/method-not-allowed", "This method is not possible here", 405, None),
    (ProblemKind::Unauthenticated, "/problems/unauthenticated", "Credentials are missing or not valid", 401, None),
    (ProblemKind::BadSignature, "/problems/bad-signature", "The request's signature is not valid", 401, None),
    (ProblemKind::Forbidden, "/problems/forbidden", "These credentials may not do this", 403, None),
    (ProblemKind::Invalid, "/problems/invalid", "A value is not possible", 422, None),
    (ProblemKind::BatchTooLarge, "/problems/batch-too-large", "Too many items in one batch", 422, None),
    (ProblemKind::AlreadyExists, "/problems/already-exists", "Exists already with other content", 409, None),
    (ProblemKind::UnknownTerminal, "/problems/unknown-terminal", "Terminal not known", 422, None),
    (ProblemKind::UnknownMember, "/problems/unknown-member", "Member not known", 422, None),
    (ProblemKind::Amount, "/problems/amount", "Amount not possible", 422, None),
    (ProblemKind::Currency, "/problems/currency", "Not the merchant's currency", 422, None),
    (ProblemKind::FutureDate, "/problems/future-date", "Dated in the future", 422, None),
    (ProblemKind::PastDate, "/problems/past-date", "Dated too far in the past", 422, None),
    (ProblemKind::ReceiptNumber, "/problems/receipt-number", "Receipt number not possible", 422, None),
    (ProblemKind::ReceiptReused, "/problems/receipt-reused", "Receipt number already used", 409, None),
    (ProblemKind::CodeForeign, "/problems/code-foreign", "Not a member code", 422, None),
    (ProblemKind::CodeExpired, "/problems/code-expired", "Member code expired", 422, None),
    (ProblemKind::CodeUsed, "/problems/code-used", "Member code already used", 409, None),
    (ProblemKind::SignInCode, "/problems/sign-in-code", "Sign-in code not valid", 401, None),
    (ProblemKind::TooManyTries, "/problems/too-many-tries", "Too many tries", 429, Some(60)),
    (ProblemKind::PushSubscription, "/problems/push-subscription", "Push subscription not possible", 422, None),
    (ProblemKind::UnknownNotice, "/problems/unknown-notice", "Notice not known", 404, None),
    (ProblemKind::PlaceUnknown, "/problems/place-unknown", "Place not known", 422, None),
    (ProblemKind::RaiseTooEarly, "/problems/raise-too-early", "The raise must wait", 409, None),
    (ProblemKind::NoRaise, "/problems/no-raise", "Nothing to confirm", 409, None),
    (ProblemKind::Protected, "/problems/protected", "Not while protected", 409, None),
    (ProblemKind::SandboxOnly, "/problems/sandbox-only", "For sandboxes only", 403, None),
    (ProblemKind::Limits, "/problems/limits", "Limits not possible", 422, None),
    (ProblemKind::NotExcluded, "/problems/not-excluded", "Not excluded", 409, None),
    (ProblemKind::ExclusionRuns, "/problems/exclusion-runs", "The exclusion lasts longer", 409, None),
    (ProblemKind::UnknownPurchase, "/problems/unknown-purchase", "Purchase not known", 404, None),
    (ProblemKind::OtherMerchant, "/problems/other-merchant", "Purchase of another merchant", 403, None),
    (ProblemKind::UnknownMarket, "/problems/unknown-market", "Market not known", 404, None),
    (ProblemKind::MarketClosed, "/problems/market-closed", "Market not open for stakes", 409, None),
    (ProblemKind::NoPrice, "/problems/no-price", "Nobody offers this side", 409, Some(5)),
    (ProblemKind::Stake, "/problems/stake", "Stake not possible", 422, None),
    (ProblemKind::StakeCannotWin, "/problems/stake-cannot-win", "This stake could not win", 422, None),
    (ProblemKind::StakingPaused, "/problems/staking-paused", "Staking is paused", 503, Some(60)),
    (ProblemKind::ExchangeClosed, "/problems/exchange-closed", "The exchange is closed", 503, Some(60)),
    (ProblemKind::UnknownQuote, "/problems/unknown-quote", "Quote not known", 404, None),
    (ProblemKind::QuoteExpired, "/problems/quote-expired", "The quote has expired", 409, None),
    (ProblemKind::PriceMoved, "/problems/price-moved", "The price moved", 409, None),
    (ProblemKind::InsufficientPoints, "/problems/insufficient-points", "Not enough points", 409, None),
    (ProblemKind::Excluded, "/problems/excluded", "Excluded from staking", 403, None),
    (ProblemKind::OnBreak, "/problems/on-break", "On a break from staking", 403, None),
    (ProblemKind::IdentityCheck, "/problems/identity-check", "Being looked at", 403, None),
    (ProblemKind::OtherAccount, "/problems/other-account", "Another account stakes", 403, None),
    (ProblemKind::AlreadyMember, "/problems/already-a-member", "Already a member", 409, None),
    (ProblemKind::AlreadyDecided, "/problems/already-decided", "Already decided", 409, None),
    (ProblemKind::AgeUnproven, "/problems/age-unproven", "Age not confirmed", 403, None),
    (ProblemKind::UnderAge, "/problems/under-age", "Not old enough to stake", 403, None),
    (ProblemKind::StakePlaceUnknown, "/problems/stake-place-unknown", "Location needed to stake", 403, None),
    (ProblemKind::PlaceNotAllowed, "/problems/place-not-allowed", "Not allowed where you are", 403, None),
    (ProblemKind::DayLimit, "/problems/day-limit", "Over today's limit", 403, None),
    (ProblemKind::WeekLimit, "/problems/week-limit", "Over this week's limit", 403, None),
    (ProblemKind::StandingChanged, "/problems/standing-changed", "Settings changed a moment ago", 409, None),
    (ProblemKind::PermitExpired, "/problems/permit-expired", "That took too long", 409, None),
    (ProblemKind::KeyReused, "/problems/idempotency-key-reused", "Idempotency key already used", 422, None),
    (ProblemKind::TooManyRequests, "/problems/too-many-requests", "Too many requests", 429, Some(1)),
    (ProblemKind::FundingReused, "/problems/funding-reused", "Funding reference already used", 409, None),
    (ProblemKind::Correction, "/problems/correction", "Correction not possible", 409, None),
    (ProblemKind::Proposal, "/problems/proposal", "Not possible with this proposal", 409, None),
    (ProblemKind::SecondPerson, "/problems/second-person", "A second person is needed", 403, None),
    (ProblemKind::Busy, "/problems/busy", "Too busy just now", 503, Some(1)),
    (ProblemKind::Unavailable, "/problems/unavailable", "Storage cannot be reached just now", 503, Some(2)),
    (ProblemKind::Timeout, "/problems/timeout", "No answer in time", 503, Some(1)),
    (ProblemKind::Impossible, "/problems/impossible", "This can never be stored", 500, None),
    (ProblemKind::Internal, "/problems/internal", "Internal error", 500, None),
];

/// One occurrence.
#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: ProblemKind,
    /// For people. Never holds what the caller must not see.
    pub detail: Option<String>,
}

/// A problem as it is sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Stable for ever; documented under docs/problems.md.
    #[serde(rename = "type")]
    #[schema(example = "/problems/unknown-member")]
    pub kind: &'static str,
    pub title: &'static str,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    /// `detail` is made a sentence, if it is none: see [`sentence`].
    pub fn new(kind: ProblemKind, detail: impl AsRef<str>) -> Problem {
        Problem { kind, detail: Some(sentence(detail.as_ref())) }
    }

    pub fn bare(kind: ProblemKind) -> Problem {
        Problem { kind, detail: None }
    }

    /// Logs the whole chain here, where it is handled, and tells the caller nothing of it.
    pub fn internal(error: &dyn std::error::Error) -> Problem {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(error = chain, "request failed");
        Problem::bare(ProblemKind::Internal)
    }

    pub fn body(&self) -> ProblemBody {
        let (kind, title, status, _) = self.kind.row();
        ProblemBody { kind, title, status, detail: self.detail.clone() }
    }
}

impl ProblemKind {
    fn row(self) -> (&'static str, &'static str, u16, Option<u32>) {
        let row = PROBLEMS.iter().find(|row| row.0 == self);
        // A kind without a row would be a mistake of ours; the table's test finds it.
        row.map_or(("/problems/internal", "Internal error", 500, None), |r| (r.1, r.2, r.3, r.4))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let (_, _, status, retry) = self.kind.row();
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<hunch_loyalty::PurchaseRefusal> for Problem {
    fn from(refusal: hunch_loyalty::PurchaseRefusal) -> Problem {
        use hunch_loyalty::{CodeError, PurchaseRefusal as R};
        // No `_` arm: a new refusal must choose its answer here before anything compiles.
        let kind = match &refusal {
            R::UnknownTerminal(_) => ProblemKind::UnknownTerminal,
            R::UnknownMember => ProblemKind::UnknownMember,
            R::Amount { .. } => ProblemKind::Amount,
            R::Currency { .. } => ProblemKind::Currency,
            R::Future { .. } => ProblemKind::FutureDate,
            R::Past { .. } => ProblemKind::PastDate,
            R::Receipt => ProblemKind::ReceiptNumber,
            R::Code(CodeError::Foreign) => ProblemKind::CodeForeign,
            R::Code(CodeError::Expired) => ProblemKind::CodeExpired,
            R::Code(CodeError::Used) => ProblemKind::CodeUsed,
            R::ReceiptReused(_) => ProblemKind::ReceiptReused,
            R::Busy => ProblemKind::Busy,
            R::Unavailable => ProblemKind::Unavailable,
            R::Impossible => ProblemKind::Impossible,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<hunch_loyalty::ReturnRefusal> for Problem {
    fn from(refusal: hunch_loyalty::ReturnRefusal) -> Problem {
        use hunch_loyalty::ReturnRefusal as R;
        let kind = match &refusal {
            R::UnknownPurchase => ProblemKind::UnknownPurchase,
            R::OtherMerchant => ProblemKind::OtherMerchant,
            R::Busy => ProblemKind::Busy,
            R::Unavailable => ProblemKind::Unavailable,
            R::Impossible => ProblemKind::Impossible,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<hunch_loyalty::ReviewRefusal> for Problem {
    fn from(refusal: hunch_loyalty::ReviewRefusal) -> Problem {
        use hunch_loyalty::ReviewRefusal as R;
        let kind = match &refusal {
            R::Unknown => ProblemKind::UnknownPurchase,
            R::Decided(_) => ProblemKind::AlreadyDecided,
            R::Unavailable => ProblemKind::Unavailable,
            R::Impossible => ProblemKind::Impossible,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<hunch_loyalty::SessionError> for Problem {
    fn from(error: hunch_loyalty::SessionError) -> Problem {
        use hunch_loyalty::SessionError as E;
        let kind = match &error {
            E::UnknownTerminal | E::UnknownSession => ProblemKind::Unauthenticated,
            E::Old { .. } | E::Early { .. } | E::Signature => ProblemKind::BadSignature,
            E::Storage(_) => return Problem::storage(&error),
        };
        Problem::new(kind, error.to_string())
    }
}

impl From<hunch_loyalty::LoyaltyError> for Problem {
    fn from(error: hunch_loyalty::LoyaltyError) -> Problem {
        match &error {
            hunch_loyalty::LoyaltyError::Invalid(_) => Problem::new(ProblemKind::Invalid, error.to_string()),
            hunch_loyalty::LoyaltyError::Differs { .. } => Problem::new(ProblemKind::AlreadyExists, error.to_string()),
            hunch_loyalty::LoyaltyError::Storage(_) => Problem::storage(&error),
        }
    }
}

impl From<hunch_people::PeopleError> for Problem {
    fn from(error: hunch_people::PeopleError) -> Problem {
        use hunch_people::PeopleError as E;
        use hunch_vault::VaultError;
        let kind = match &error {
            E::Zone(_) | E::Person(VaultError::Name | VaultError::Contact | VaultError::BirthDate) => {
                ProblemKind::Invalid
            }
            E::SandboxOnly => ProblemKind::SandboxOnly,
            E::Twice { .. } => ProblemKind::Invalid,
            E::Differs { .. } => ProblemKind::AlreadyExists,
            E::Code => ProblemKind::SignInCode,
            E::TooManyTries => ProblemKind::TooManyTries,
            E::Person(VaultError::Storage | VaultError::OtherKey) | E::Storage(_) | E::Log(_) | E::Commit(_) => {
                return Problem::storage(&error);
            }
        };
        Problem::new(kind, error.to_string())
    }
}

impl From<hunch_safeguards::JoinError> for Problem {
    fn from(error: hunch_safeguards::JoinError) -> Problem {
        use hunch_safeguards::JoinError as E;
        match error {
            E::AlreadyMember { .. } => Problem::new(ProblemKind::AlreadyMember, error.to_string()),
            E::People(error) => Problem::from(error),
            E::Storage(_) => Problem::storage(&error),
        }
    }
}

impl From<hunch_safeguards::ChangePersonError> for Problem {
    fn from(error: hunch_safeguards::ChangePersonError) -> Problem {
        use hunch_safeguards::ChangePersonError as E;
        match error {
            E::Unknown => Problem::new(ProblemKind::NotFound, error.to_string()),
            E::OtherMember { .. } => Problem::new(ProblemKind::AlreadyMember, error.to_string()),
            E::People(error) => Problem::from(error),
            E::Storage(_) => Problem::storage(&error),
        }
    }
}

impl From<hunch_safeguards::DecideError> for Problem {
    fn from(error: hunch_safeguards::DecideError) -> Problem {
        use hunch_safeguards::DecideError as E;
        match &error {
            E::Unknown => Problem::new(ProblemKind::NotFound, error.to_string()),
            E::Decided { .. } => Problem::new(ProblemKind::AlreadyDecided, error.to_string()),
            E::Storage(_) => Problem::storage(&error),
        }
    }
}

impl From<hunch_safeguards::ChangeRefusal> for Problem {
    fn from(refusal: hunch_safeguards::ChangeRefusal) -> Problem {
        use hunch_safeguards::{ChangeRefusal as R, LimitRefusal as L, ReturnRefusal};
        let kind = match &refusal {
            R::Limit(L::NothingToConfirm) => ProblemKind::NoRaise,
            R::Limit(L::TooEarly(_)) => ProblemKind::RaiseTooEarly,
            R::Limit(L::Negative | L::AboveHouse { .. } | L::Contradiction { .. }) => ProblemKind::Limits,
            R::Excluded => ProblemKind::Protected,
            R::Return(ReturnRefusal::NotExcluded) => ProblemKind::NotExcluded,
            R::Return(ReturnRefusal::TermRuns(_) | ReturnRefusal::ForLife) => ProblemKind::ExclusionRuns,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<hunch_messaging::SubscribeError> for Problem {
    fn from(error: hunch_messaging::SubscribeError) -> Problem {
        use hunch_messaging::SubscribeError as E;
        match &error {
            E::Endpoint(why) => Problem::new(ProblemKind::PushSubscription, why.to_string()),
            E::Keys(why) => Problem::new(ProblemKind::PushSubscription, why.to_string()),
            E::Storage(_) => Problem::storage(&error),
        }
    }
}

impl From<hunch_messaging::MessagingError> for Problem {
    fn from(error: hunch_messaging::MessagingError) -> Problem {
        Problem::storage(&error)
    }
}

impl From<hunch_safeguards::Denial> for Problem {
    fn from(denial: hunch_safeguards::Denial) -> Problem {
        use hunch_safeguards::DenialCode as C;
        let kind = match denial.0 {
            C::Excluded => ProblemKind::Excluded,
            C::OnBreak => ProblemKind::OnBreak,
            C::IdentityCheck => ProblemKind::IdentityCheck,
            C::OtherAccount => ProblemKind::OtherAccount,
            C::AgeUnproven => ProblemKind::AgeUnproven,
            C::UnderAge => ProblemKind::UnderAge,
            C::PlaceUnknown => ProblemKind::StakePlaceUnknown,
            C::PlaceNotAllowed => ProblemKind::PlaceNotAllowed,
            C::DayLimit => ProblemKind::DayLimit,
            C::WeekLimit => ProblemKind::WeekLimit,
            // Whatever keeps prompts and offers back forbids no stake.
            C::OptedOut
            | C::AfterLoss
            | C::AfterRejection
            | C::PromptCapDay
            | C::PromptCapWeek
            | C::PromptGap
            | C::OffersOff => ProblemKind::Forbidden,
            C::StandingChanged => ProblemKind::StandingChanged,
            C::PermitExpired => ProblemKind::PermitExpired,
            C::Unavailable => ProblemKind::Unavailable,
        };
        Problem::new(kind, denial.to_string())
    }
}

impl From<hunch_trading::QuoteRefusal> for Problem {
    fn from(refusal: hunch_trading::QuoteRefusal) -> Problem {
        use hunch_trading::QuoteRefusal as R;
        let kind = match &refusal {
            R::UnknownMarket => ProblemKind::UnknownMarket,
            R::MarketClosed => ProblemKind::MarketClosed,
            R::NoPrice => ProblemKind::NoPrice,
            R::Stake { .. } => ProblemKind::Stake,
            R::CannotWin { .. } => ProblemKind::StakeCannotWin,
            R::Denied(denial) => return Problem::from(*denial),
            R::Paused => ProblemKind::StakingPaused,
            R::ExchangeClosed { .. } | R::ExchangeUnknown => ProblemKind::ExchangeClosed,
            R::Unavailable => ProblemKind::Unavailable,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<hunch_trading::StakeRefusal> for Problem {
    fn from(refusal: hunch_trading::StakeRefusal) -> Problem {
        use hunch_trading::StakeRefusal as R;
        let kind = match &refusal {
            R::UnknownQuote => ProblemKind::UnknownQuote,
            R::QuoteExpired => ProblemKind::QuoteExpired,
            R::MarketClosed => ProblemKind::MarketClosed,
            R::PriceMoved { .. } => ProblemKind::PriceMoved,
            R::InsufficientPoints { .. } => ProblemKind::InsufficientPoints,
            R::Denied(denial) => return Problem::from(*denial),
            R::Paused => ProblemKind::StakingPaused,
            R::ExchangeClosed { .. } | R::ExchangeUnknown => ProblemKind::ExchangeClosed,
            R::Busy => ProblemKind::Busy,
            R::Unavailable => ProblemKind::Unavailable,
            R::Impossible => ProblemKind::Impossible,
            R::Unknown => ProblemKind::Timeout,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<hunch_trading::EndRefusal> for Problem {
    fn from(refusal: hunch_trading::EndRefusal) -> Problem {
        use hunch_trading::EndRefusal as R;
        let kind = match &refusal {
            R::NotUnclear => ProblemKind::NotFound,
            R::Impossible => ProblemKind::Invalid,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<hunch_trading::TradingError> for Problem {
    fn from(error: hunch_trading::TradingError) -> Problem {
        Problem::storage(&error)
    }
}

impl From<hunch_markets::MarketsError> for Problem {
    fn from(error: hunch_markets::MarketsError) -> Problem {
        Problem::storage(&error)
    }
}

impl From<hunch_trading::CorrectionRefusal> for Problem {
    fn from(refusal: hunch_trading::CorrectionRefusal) -> Problem {
        use hunch_trading::CorrectionRefusal as R;
        let kind = match &refusal {
            R::NotPaid | R::Open | R::SamePerson | R::NotParked | R::Begun => ProblemKind::Correction,
            R::Unknown => ProblemKind::NotFound,
            R::Value => ProblemKind::Invalid,
            R::Unavailable => ProblemKind::Unavailable,
            R::Impossible => ProblemKind::Impossible,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl Problem {
    /// The database did not do its part: logged here. The caller may try again, unless it would refuse again.
    pub fn storage(error: &(dyn std::error::Error + 'static)) -> Problem {
        let logged = Problem::internal(error);
        if hunch_db::has_permanent_cause(error) || is_impossible(error) {
            return Problem::impossible();
        }
        Problem { kind: ProblemKind::Unavailable, ..logged }
    }

    /// The cause was logged where it was met.
    pub fn impossible() -> Problem {
        let told =
            "this cannot be stored, and sending it again changes nothing; the reason was recorded for the operator";
        Problem::new(ProblemKind::Impossible, told)
    }
}

/// Whether a shard said so, which had met the database's refusal.
fn is_impossible(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(hunch_ledger::DoorError::Impossible(_)) = error.downcast_ref() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use hunch_safeguards::{Denial, DenialCode};
    use hunch_trading::StakeRefusal;

    /// What races and outages give: hard to bring about over the wire, and just then the words matter.
    #[tokio::test]
    async fn a_stake_that_met_trouble_is_answered_with_what_to_do() {
        let told = [
            (
                StakeRefusal::Denied(Denial(DenialCode::StandingChanged)),
                409,
                "/problems/standing-changed",
                None,
                "again",
            ),
            (StakeRefusal::Denied(Denial(DenialCode::PermitExpired)), 409, "/problems/permit-expired", None, "again"),
            (StakeRefusal::Busy, 503, "/problems/busy", Some("1"), "again"),
            (StakeRefusal::Unavailable, 503, "/problems/unavailable", Some("2"), "again"),
            (StakeRefusal::Impossible, 500, "/problems/impossible", None, "changes nothing"),
            // Nobody may believe that nothing happened.
            (StakeRefusal::Unknown, 503, "/problems/timeout", Some("1"), "not known"),
        ];
        for (refusal, status, kind, after, words) in told {
            let response = Problem::from(refusal).into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().get("retry-after").map(|v| v.to_str().unwrap()), after, "{kind}");
            let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(body["type"], kind);
            assert!(body["detail"].as_str().unwrap().contains(words), "{body}");
        }
    }
}
