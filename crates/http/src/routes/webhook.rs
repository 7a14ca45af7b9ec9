//! `POST /webhooks/settlement`: a relay or another exchange says that a market ended. The call is authenticated and kept
//! once; nothing is paid on it before the market itself was read.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use hunch_kernel::{MarketTicker, MemberId, Price, SharedWallClock, derived_uuid};
use hunch_markets::result_word;
use hunch_trading::{Hint, HintTaken};
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::Text;
use crate::json;
use crate::problem::{Problem, ProblemBody, ProblemKind};

/// A call's timestamp may be off by this much (wall time).
const SECONDS_OFF_MAX: u64 = 300;
/// How long a call waits for its market to be paid, and how often it looks.
const WAIT: Duration = Duration::from_millis(700);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The secret that a relay and the programme share.
#[derive(Clone)]
pub struct WebhookKey(hmac::Key);

impl WebhookKey {
    pub fn new(secret: &str) -> WebhookKey {
        WebhookKey(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    pub(crate) fn holds(&self, header: &str, body: &[u8], wall: &SharedWallClock) -> Result<(), &'static str> {
        let signed = SignatureHeader::read(header)?;
        signed.in_time(wall)?;
        hmac::verify(&self.0, &signed_text(signed.time, body), &signed.signature)
            .map_err(|_| "the signature does not fit the body")
    }
}

/// What a caller says before its body.
pub(crate) struct SignatureHeader {
    time: i64,
    signature: Vec<u8>,
}

impl SignatureHeader {
    pub fn of(headers: &HeaderMap) -> &str {
        headers.get("hunch-webhook-signature").and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub fn read(header: &str) -> Result<SignatureHeader, &'static str> {
        let field = |name: &str| header.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (Some(time), Some(signature)) = (field("t"), field("v1")) else {
            return Err("send Hunch-Webhook-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of \"<t>.<body>\">");
        };
        let time = time.parse().map_err(|_| "The part t is the time of sending in unix seconds.")?;
        let signature = hex::decode(signature).map_err(|_| "The part v1 is hexadecimal.")?;
        Ok(SignatureHeader { time, signature })
    }

    pub fn in_time(&self, wall: &SharedWallClock) -> Result<(), &'static str> {
        if wall.now().as_second().abs_diff(self.time) > SECONDS_OFF_MAX {
            return Err("the call is older than five minutes or from the future; set the clock and sign it anew");
        }
        Ok(())
    }
}

fn signed_text(time: i64, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{time}.").into_bytes();
    text.extend_from_slice(body);
    text
}

/// The header of a call, for those who send them.
pub fn sign_webhook(secret: &str, time: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("t={time},v1={}", hex::encode(hmac::sign(&key, &signed_text(time, body))))
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeWord {
    Yes,
    No,
    Scalar,
}

impl OutcomeWord {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            OutcomeWord::Yes => "yes",
            OutcomeWord::No => "no",
            OutcomeWord::Scalar => "scalar",
        }
    }
}

/// What the caller believes. Only the market's name leads to anything; an outcome that the exchange contradicts is
/// reported to the operator and pays nothing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettlementHint {
    #[schema(inline)]
    pub market_id: Text<1, 200>,
    pub winning_outcome: OutcomeWord,
    /// Of one contract, in dollars.
    #[schema(example = "1.0000", pattern = "^(0(\\.[0-9]{1,6})?|1(\\.0{1,6})?)$")]
    pub payout: String,
    /// A member's token, if the call is about one member.
    pub member_id: Option<Uuid>,
}

impl SettlementHint {
    pub(crate) fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<SettlementHint, Problem> {
        let hint: SettlementHint = json::parse(headers, bytes)?;
        if hint.payout.parse::<Price>().is_err() {
            return Err(Problem::new(
                ProblemKind::Invalid,
                "The field payout is what one contract pays, from 0 to 1 dollar, as text.",
            ));
        }
        Ok(hint)
    }
}

#[derive(Serialize, ToSchema)]
pub struct SettlementReceipt {
    pub received: bool,
    /// Names this call for ever: a repeat has the same.
    pub receipt: Uuid,
    pub market_id: String,
    /// confirming: the market is being read. paid: it is final, and everyone was paid.
    pub state: &'static str,
    /// What the named member was credited for this market so far.
    pub amount_credited_points: i64,
}

/// Takes a hint that a market has ended. The same call has one effect and one receipt, however often it is sent; `state` and
/// `amount_credited_points` are those of the moment, so whoever was told `confirming` sends it again until it is `paid`.
#[utoipa::path(post, path = "/webhooks/settlement", tag = "webhooks", request_body = SettlementHint,
    security(("webhook" = [])), responses(
    (status = 200, body = SettlementReceipt),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn settlement(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<axum::Json<SettlementReceipt>, Problem> {
    let headers = request.headers().clone();
    let bytes = json::read(request, &app).await?;
    let signed = app.webhook.holds(SignatureHeader::of(&headers), &bytes, &app.clocks.wall);
    signed.map_err(|sentence| Problem::new(ProblemKind::BadSignature, sentence))?;
    let body = SettlementHint::read(&headers, &bytes)?;
    let mut sum = [0u8; 32];
    sum.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    let hint = Hint { digest: sum, market: MarketTicker(body.market_id.0), member: body.member_id.map(MemberId) };
    let mut taken = app.trading.take_hint(&hint).await?;
    // Reading the market and paying take milliseconds as a rule: the answer waits a little, so that it can say what
    // was credited.
    let asked = Instant::now();
    while matches!(taken, HintTaken::Looking { .. }) && asked.elapsed() < WAIT {
        tokio::time::sleep(LOOK_AGAIN).await;
        taken = app.trading.state_of(&hint).await?;
    }
    let (state, credited) = match taken {
        HintTaken::Looking { credited } => ("confirming", credited),
        HintTaken::Paid { credited } => ("paid", credited),
        HintTaken::Parked => {
            return Err(Problem::new(
                ProblemKind::UnknownMarket,
                "there is no such market here yet; the call is kept and looked at again when the market appears",
            ));
        }
    };
    let known = app.markets.market(&hint.market).await?.and_then(|market| market.result);
    if known.is_some_and(|result| result_word(result) != body.winning_outcome.as_str()) {
        tracing::warn!(market = %hint.market, "a settlement call names another outcome than the exchange");
        metrics::counter!("hunch_webhook_contradictions_total").increment(1);
    }
    Ok(axum::Json(SettlementReceipt {
        received: true,
        receipt: derived_uuid(&[b"settlement receipt", &hint.digest]),
        market_id: hint.market.0,
        state,
        amount_credited_points: credited.0,
    }))
}
