//! Tills: sessions, purchases, returns.

use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hunch_kernel::{MemberId, PurchaseId, TerminalId, shard_of};
use hunch_ledger::DoorError;
use hunch_loyalty::{
    MemberRef, OfferCredit, PurchaseAnswer, PurchaseRefusal, PurchaseRequest, ReturnRefusal, ReturnRequest,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::Moment;
use crate::credentials::{Signed, SignedBytes};
use crate::items;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};

/// Most purchases of one batch.
const BATCH_MAX: usize = 500;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    pub terminal: Uuid,
    /// As shown once when the terminal was added.
    #[schema(min_length = 1, max_length = 128)]
    pub secret: String,
}

#[derive(Serialize, ToSchema)]
pub struct SessionOpened {
    pub session: Uuid,
    pub terminal: Uuid,
    pub merchant: Uuid,
    pub merchant_name: String,
    /// The only one this till sells in.
    pub currency: String,
    /// HMAC-SHA256 key in base64. Sign "<unix seconds>\n<METHOD>\n<path>\n<hex sha256 of the body>".
    pub key: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: jiff::Timestamp,
}

/// Opens a till's session with its secret.
#[utoipa::path(post, path = "/v1/pos/sessions", tag = "pos", request_body = OpenSession, responses(
    (status = 201, body = SessionOpened),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn open_session(
    State(app): State<Arc<App>>,
    Json(body): Json<OpenSession>,
) -> Result<(axum::http::StatusCode, axum::Json<SessionOpened>), Problem> {
    let session = app.terminal_sessions.open(TerminalId(body.terminal), &body.secret).await?;
    let merchant = app
        .directory
        .merchant(session.merchant)
        .await?
        .ok_or_else(|| Problem::new(ProblemKind::Unauthenticated, "this terminal or its secret is not known"))?;
    let opened = SessionOpened {
        session: session.session,
        terminal: session.terminal.0,
        merchant: session.merchant.0,
        merchant_name: merchant.name,
        currency: merchant.currency,
        key: STANDARD.encode(&session.key),
        expires_at: session.expires_at.to_timestamp(),
    };
    Ok((axum::http::StatusCode::CREATED, axum::Json(opened)))
}

/// One receipt. The till and the number name it for ever: send it again as often as you like. Two numbers of one till are the
/// same if they agree in lower case, without spaces and characters that show nothing, in Unicode's form NFKC: `A 12`, ` a12` and
/// `A12` are one receipt.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurchaseBody {
    /// The till's own receipt number, in one line.
    #[schema(min_length = 1, max_length = 64)]
    pub receipt: String,
    /// The member's token; or send `member_code`.
    pub member_token: Option<Uuid>,
    /// What the member's screen shows, as scanned.
    #[schema(max_length = 128)]
    pub member_code: Option<String>,
    /// In the currency's smallest unit.
    #[schema(minimum = 1, maximum = 10_000_000_000_000_i64)]
    pub amount_cents: i64,
    #[schema(pattern = "^[A-Z]{3}$", example = "USD")]
    pub currency: String,
    /// When it was bought, with the offset from UTC. Up to 60 days late is fine; more is taken for a clock that stands still, and
    /// refused as the future is. Send it again with the right time then.
    #[schema(inline)]
    pub purchased_at: Moment,
}

#[derive(Serialize, ToSchema)]
pub struct PurchaseRecordedBody {
    pub purchase: Uuid,
    pub receipt: String,
    /// All that was credited, offers included.
    pub earned_points: i64,
    /// What offers gave of the points.
    pub offers: Vec<OfferGiven>,
    /// Part of the points that the member can use only after a person of the programme has looked at the purchase: all or none.
    pub pending_points: i64,
}

/// An offer that the member had with this purchase.
#[derive(Serialize, ToSchema)]
pub struct OfferGiven {
    pub offer: Uuid,
    pub title: String,
    pub points: i64,
}

impl PurchaseBody {
    pub(crate) fn into_request(self, terminal: TerminalId) -> Result<PurchaseRequest, Problem> {
        let member = match (self.member_token, self.member_code) {
            (Some(token), None) => MemberRef::Token(MemberId(token)),
            (None, Some(code)) => MemberRef::Code(code),
            _ => return Err(Problem::new(ProblemKind::Invalid, "send either member_token or member_code")),
        };
        Ok(PurchaseRequest {
            terminal,
            receipt: self.receipt,
            member,
            amount_cents: self.amount_cents,
            currency: self.currency,
            purchased_at: self.purchased_at.0,
        })
    }
}

/// Records one purchase.
#[utoipa::path(post, path = "/v1/pos/purchases", tag = "pos", request_body = PurchaseBody,
    security(("terminal" = [])), responses(
    (status = 200, description = "Recorded now or before: the same answer for ever", body = PurchaseRecordedBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn record_purchase(
    State(app): State<Arc<App>>,
    signed: Signed<PurchaseBody>,
) -> Result<axum::Json<PurchaseRecordedBody>, Problem> {
    let receipt = signed.body.receipt.clone();
    let request = signed.body.into_request(signed.terminal)?;
    let mut answers = app.purchases.record(vec![request]).await;
    let answer = answers.pop().unwrap_or(Err(PurchaseRefusal::Unavailable))?;
    Ok(axum::Json(recorded(receipt, &answer)))
}

fn recorded(receipt: String, answer: &PurchaseAnswer) -> PurchaseRecordedBody {
    let given = |o: &OfferCredit| OfferGiven { offer: o.offer, title: o.title.clone(), points: o.points.0 };
    PurchaseRecordedBody {
        purchase: answer.purchase.0,
        receipt,
        earned_points: answer.points.0,
        offers: answer.offers.iter().map(given).collect(),
        pending_points: answer.pending.0,
    }
}

/// A list of receipts, each read by itself, and nothing else.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what is read element by element")]
pub struct PurchaseBatch {
    #[schema(min_items = 1, max_items = 500)]
    pub purchases: Vec<PurchaseBody>,
}

#[derive(Serialize, ToSchema)]
pub struct BatchAnswer {
    /// In the order sent.
    pub results: Vec<BatchItem>,
    pub recorded: usize,
    pub refused: usize,
}

/// What became of one item: `recorded` or `problem`.
#[derive(Serialize, ToSchema)]
pub struct BatchItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<PurchaseRecordedBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// Records up to 500 purchases. Each is read and answered by itself, in its place: one that is refused, or cannot be read at all,
/// stops no other.
#[utoipa::path(post, path = "/v1/pos/purchases/batch", tag = "pos", request_body = PurchaseBatch,
    security(("terminal" = [])), responses(
    (status = 200, body = BatchAnswer),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn record_batch(
    State(app): State<Arc<App>>,
    signed: SignedBytes,
) -> Result<axum::Json<BatchAnswer>, Problem> {
    let purchases = items::read::<PurchaseBody>(&signed.headers, &signed.bytes, "purchases")?;
    if purchases.is_empty() {
        return Err(Problem::new(ProblemKind::Invalid, "A batch holds at least one purchase, and this one has none."));
    }
    if purchases.len() > BATCH_MAX {
        let sentence = format!("A batch holds 1 to {BATCH_MAX} purchases, this one has {}. Split it.", purchases.len());
        return Err(Problem::new(ProblemKind::BatchTooLarge, sentence));
    }
    let mut early: Vec<Result<String, Problem>> = Vec::with_capacity(purchases.len());
    let mut requests = Vec::with_capacity(purchases.len());
    for purchase in purchases {
        let request = purchase.and_then(|purchase| purchase.into_request(signed.terminal));
        early.push(request.map(|request| {
            let receipt = request.receipt.clone();
            requests.push(request);
            receipt
        }));
    }
    let mut answers = app.purchases.record(requests).await.into_iter();
    let mut answer = |receipt: String| -> Result<PurchaseRecordedBody, Problem> {
        let answer = answers.next().unwrap_or(Err(PurchaseRefusal::Unavailable)).map_err(Problem::from)?;
        Ok(recorded(receipt, &answer))
    };
    let results: Vec<BatchItem> = early
        .into_iter()
        .map(|item| match item.and_then(&mut answer) {
            Ok(recorded) => BatchItem { recorded: Some(recorded), problem: None },
            Err(problem) => BatchItem { recorded: None, problem: Some(problem.body()) },
        })
        .collect();
    let refused = results.iter().filter(|r| r.problem.is_some()).count();
    app.limits.refused(signed.terminal, refused);
    Ok(axum::Json(BatchAnswer { recorded: results.len() - refused, refused, results }))
}

/// A whole receipt that came back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnBody {
    /// The purchase's id, as answered when it was recorded.
    pub purchase: Uuid,
}

#[derive(Serialize, ToSchema)]
pub struct ReturnedBody {
    pub purchase: Uuid,
    /// Points that the purchase had earned, offers included.
    pub earned_points: i64,
    /// Points taken back at once, with the share of winnings they brought.
    pub taken_points: i64,
}

/// Takes a whole receipt back, at any till of the merchant that sold.
#[utoipa::path(post, path = "/v1/pos/returns", tag = "pos", request_body = ReturnBody,
    security(("terminal" = [])), responses(
    (status = 200, description = "Returned now or before: the same answer for ever", body = ReturnedBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn record_return(
    State(app): State<Arc<App>>,
    signed: Signed<ReturnBody>,
) -> Result<axum::Json<ReturnedBody>, Problem> {
    let purchase = PurchaseId(signed.body.purchase);
    let sold = hunch_loyalty::sold_by(&app.pool, purchase).await?.ok_or(ReturnRefusal::UnknownPurchase)?;
    if sold.merchant != signed.merchant {
        return Err(ReturnRefusal::OtherMerchant.into());
    }
    let request = ReturnRequest { purchase, member: sold.member, terminal: signed.terminal };
    let answer = app.returns.submit(shard_of(sold.member, app.purchases.shards), request).await;
    let answer = answer.map_err(|e| match e {
        DoorError::Busy => ReturnRefusal::Busy,
        DoorError::Stopped | DoorError::Storage(_) | DoorError::Unknown => ReturnRefusal::Unavailable,
        DoorError::Impossible(_) => ReturnRefusal::Impossible,
    })??;
    Ok(axum::Json(ReturnedBody {
        purchase: purchase.0,
        earned_points: answer.earned.0,
        taken_points: answer.clawed_back.0,
    }))
}
