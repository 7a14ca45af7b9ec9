//! Notices: the inbox, what a push leads to, subscriptions, and why a purchase brought no push.

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hunch_engage::{OpenedPrompt, Recommendation};
use hunch_kernel::{DeviceId, MemberId, NoticeId, SubscriptionId, derived_uuid};
use hunch_messaging::copy::offer_prompt;
use hunch_messaging::{NewSubscription, SessionOf, end_with_session};
use hunch_people::session_sha256;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::credentials::{MemberSession, Operator};
use crate::extract::{Path, Query};
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::me::PageQuery;
use crate::routes::page;

#[derive(Serialize, ToSchema)]
pub struct PushKey {
    /// For `pushManager.subscribe`, base64url.
    pub application_server_key: String,
}

/// The key that pushes are signed with.
#[utoipa::path(get, path = "/v1/push-key", tag = "notices", responses((status = 200, body = PushKey)))]
pub async fn push_key(State(app): State<Arc<App>>) -> axum::Json<PushKey> {
    axum::Json(PushKey { application_server_key: app.push.public_key.clone() })
}

/// A push subscription as a browser's `PushSubscription.toJSON()` gives it, to which the phone may add its own id. What else
/// a browser says of it, such as `expirationTime`, is not needed.
#[derive(Deserialize, ToSchema)]
pub struct Subscribe {
    /// The phone's own id, made once and kept by it. Without one the endpoint stands for the phone.
    pub device: Option<Uuid>,
    #[schema(max_length = 1000)]
    pub endpoint: String,
    /// Needed, unless `p256dh` and `auth` stand beside the endpoint.
    pub keys: Option<SubscriptionKeys>,
    /// base64url. Instead of `keys`.
    #[schema(max_length = 200)]
    pub p256dh: Option<String>,
    /// base64url. Instead of `keys`.
    #[schema(max_length = 100)]
    pub auth: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub struct SubscriptionKeys {
    /// base64url.
    #[schema(max_length = 200)]
    pub p256dh: String,
    /// base64url.
    #[schema(max_length = 100)]
    pub auth: String,
}

impl Subscribe {
    pub(crate) fn read(self, member: MemberId) -> Result<NewSubscription, Problem> {
        let refused = |detail: String| Problem::new(ProblemKind::PushSubscription, detail);
        let decode = |name: &str, text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
            bytes.map_err(|_| refused(format!("The field {name} must be base64url.")))
        };
        let keys = self.keys.or_else(|| Some(SubscriptionKeys { p256dh: self.p256dh?, auth: self.auth? }));
        let keys = keys.ok_or_else(|| refused("The fields keys.p256dh and keys.auth are missing.".to_owned()))?;
        let of_endpoint = || derived_uuid(&[b"phone", member.0.as_bytes(), self.endpoint.as_bytes()]);
        Ok(NewSubscription {
            member,
            device: DeviceId(self.device.unwrap_or_else(of_endpoint)),
            p256dh: decode("p256dh", &keys.p256dh)?,
            auth: decode("auth", &keys.auth)?,
            endpoint: self.endpoint,
            session: None,
        })
    }
}

#[derive(Serialize, ToSchema)]
pub struct Subscribed {
    pub subscription: Uuid,
}

/// Subscribes this phone, for as long as this session lasts. The same phone again replaces its subscription.
#[utoipa::path(post, path = "/v1/me/push-subscriptions", tag = "notices", request_body = Subscribe,
    security(("member" = [])), responses(
    (status = 201, body = Subscribed),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn subscribe(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<Subscribe>,
) -> Result<(StatusCode, axum::Json<Subscribed>), Problem> {
    let ended = || Problem::new(ProblemKind::Unauthenticated, "the session has ended; sign in again");
    let ends_at = app.people.session_ends(&session.token).await?.ok_or_else(ended)?;
    let sha256 = session_sha256(&session.token);
    let tie = SessionOf { sha256: sha256.clone(), ends_at };
    let new = NewSubscription { session: Some(tie), ..body.read(session.member)? };
    let now = app.clocks.business.now();
    let id = hunch_messaging::subscribe(&app.pool, &app.entropy, app.push.rules, &new, now).await?;
    // A sign-out at the same moment may have looked for subscriptions before this one was there.
    if app.people.session_ends(&session.token).await?.is_none() {
        end_with_session(&app.pool, session.member, &sha256).await?;
        return Err(ended());
    }
    Ok((StatusCode::CREATED, axum::Json(Subscribed { subscription: id.0 })))
}

/// Ends a subscription of this member.
#[utoipa::path(delete, path = "/v1/me/push-subscriptions/{id}", tag = "notices", params(("id" = Uuid, Path)),
    security(("member" = [])), responses(
    (status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn unsubscribe(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    if hunch_messaging::unsubscribe(&app.pool, session.member, SubscriptionId(id)).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::bare(ProblemKind::NotFound))
    }
}

#[derive(Serialize, ToSchema)]
pub struct Inbox {
    /// Newest first.
    pub notices: Vec<InboxLine>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct InboxLine {
    pub notice: Uuid,
    pub text: String,
    /// There is something to look at: ask for the notice.
    pub more: bool,
    /// What became of the push: sent, no_subscription, waiting, prompt_withheld …
    pub push: String,
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
}

/// What the programme told this member, whether or not a push arrived.
#[utoipa::path(get, path = "/v1/me/inbox", tag = "notices", params(PageQuery), security(("member" = [])), responses(
    (status = 200, body = Inbox),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn inbox(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Inbox>, Problem> {
    let limit = page::limit(query.limit)?.min(page::LIMIT_MAX - 1);
    let before = page::decode_at::<Uuid>(query.cursor.as_deref())?.map(|(at, id)| (at, NoticeId(id)));
    let mut entries = hunch_messaging::inbox(&app.pool, session.member, before, limit + 1).await?;
    let more = entries.len() as i64 > limit;
    entries.truncate(limit as usize);
    let next_cursor = entries.last().filter(|_| more).and_then(|e| page::encode(&(e.made_at, e.id.0)));
    let notices = entries.into_iter().map(|e| InboxLine {
        notice: e.id.0,
        text: e.body,
        more: e.has_more,
        push: e.push.code().to_owned(),
        at: e.made_at,
    });
    Ok(axum::Json(Inbox { notices: notices.collect(), next_cursor }))
}

/// A notice as it is to be shown now.
#[derive(Serialize, ToSchema)]
pub struct OpenNotice {
    pub notice: Uuid,
    pub text: String,
    /// Absent: show the text and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<NoticeOffer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<NoticeMarket>,
}

#[derive(Serialize, ToSchema)]
pub struct NoticeOffer {
    pub offer: String,
    pub title: String,
}

#[derive(Serialize, ToSchema)]
pub struct NoticeMarket {
    pub ticker: String,
    pub title: String,
    /// Nothing is preset above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual_stake_points: Option<i64>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NoticeQuery {
    /// The phone that asks.
    pub device: Option<Uuid>,
    /// The member opened it. Leave it out when the phone asks by itself, such as on a push.
    #[serde(default)]
    #[param(required = false)]
    pub opened: bool,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeviceQuery {
    /// The phone that asks.
    pub device: Option<Uuid>,
}

/// What a push leads to, judged again at this moment.
#[utoipa::path(get, path = "/v1/notices/{id}", tag = "notices", params(("id" = Uuid, Path), NoticeQuery),
    security(("member" = [])), responses(
    (status = 200, body = OpenNotice),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn notice(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Path(id): Path<Uuid>,
    Query(query): Query<NoticeQuery>,
) -> Result<axum::Json<OpenNotice>, Problem> {
    let device = query.device.map(DeviceId);
    let opened = app
        .engage
        .open_notice(session.member, device, NoticeId(id), query.opened)
        .await
        .map_err(|e| Problem::storage(&e))?;
    let opened = opened.ok_or_else(|| Problem::new(ProblemKind::UnknownNotice, "you have no such notice"))?;
    let (offer, market) = match opened.prompt {
        OpenedPrompt::ReceiptOnly { .. } => (None, None),
        OpenedPrompt::Offer { offer, title, .. } => (Some(NoticeOffer { offer, title }), None),
        OpenedPrompt::Market { market, title, stake_points_max, .. } => {
            let ticker = market.ticker.to_string();
            (None, Some(NoticeMarket { ticker, title, usual_stake_points: stake_points_max.map(|p| p.0) }))
        }
    };
    Ok(axum::Json(OpenNotice { notice: opened.id.0, text: opened.body, offer, market }))
}

/// The one thing that the first page suggests, or nothing.
#[derive(Serialize, ToSchema)]
pub struct Card {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<NoticeOffer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<NoticeMarket>,
    /// Why this, or why nothing: a stable word.
    pub reason: String,
}

/// What the app's first page suggests now, judged by the same gate as every push.
#[utoipa::path(get, path = "/v1/me/recommendation", tag = "me", params(DeviceQuery), security(("member" = [])), responses(
    (status = 200, body = Card),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn recommendation(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Query(query): Query<DeviceQuery>,
) -> Result<axum::Json<Card>, Problem> {
    let chosen = app.engage.recommend(session.member, query.device.map(DeviceId)).await;
    let (offer, market, reason) = match chosen.map_err(|e| Problem::storage(&e))? {
        Recommendation::Nothing { reason } => (None, None, reason),
        Recommendation::Offer { offer, .. } => {
            let title = offer_prompt(&offer.title, &offer.merchant_name, offer.bonus, offer.limited);
            (Some(NoticeOffer { offer: offer.offer.to_string(), title }), None, "local_offer".to_owned())
        }
        Recommendation::Market { market, stake_points_max, .. } => {
            let usual_stake_points = stake_points_max.map(|p| p.0);
            let (ticker, title) = (market.ticker.to_string(), market.title);
            (None, Some(NoticeMarket { ticker, title, usual_stake_points }), "ends_today".to_owned())
        }
    };
    Ok(axum::Json(Card { offer, market, reason }))
}

#[derive(Serialize, ToSchema)]
pub struct WhyPush {
    pub purchase: Uuid,
    /// sent, no_subscription, nothing_better (inbox only), prompt_withheld, waiting, expired, gone, refused, not_decided.
    pub code: String,
}

/// What became of the push after a purchase, and why there was none.
#[utoipa::path(get, path = "/v1/ops/purchases/{id}/push", tag = "ops", params(("id" = Uuid, Path)),
    security(("operator" = [])), responses(
    (status = 200, body = WhyPush),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn why(
    State(app): State<Arc<App>>,
    _: Operator,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<WhyPush>, Problem> {
    let truth = hunch_messaging::why_no_push(&app.pool, id).await?;
    Ok(axum::Json(WhyPush { purchase: id, code: truth.code().to_owned() }))
}
