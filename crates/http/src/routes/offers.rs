//! The operator: what merchants offer their members besides the points of the earn rule.

use axum::extract::State;
use axum::http::StatusCode;
use hunch_kernel::{MerchantId, Points};
use hunch_loyalty::{NewOffer, add_offer, end_offer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::{Line, Moment, Whole};
use crate::credentials::Operator;
use crate::extract::Path;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::ops::no_more_than_one_may_give;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddOffer {
    /// Chosen by the caller, so that sending it again adds nothing; left out, one is made.
    pub offer: Option<Uuid>,
    pub merchant: Uuid,
    /// What the offer is called. Members read it before the points, which the programme promises in its own words; so it
    /// promises nothing itself: `Sourdough week`.
    #[schema(inline)]
    pub title: Line<1, 120>,
    /// What each member gets, once.
    #[schema(minimum = 1, maximum = 100_000)]
    pub bonus_points: i64,
    /// The most that it gives in all, at least `bonus_points`: then it lasts until that is spent, and members are told so. Left out, every
    /// member gets it.
    #[schema(inline)]
    pub budget_points: Option<Whole<1, 1_000_000_000>>,
    /// Within ten years of today.
    #[schema(inline)]
    pub valid_from: Moment,
    /// The first moment at which it no longer counts: after `valid_from` and in the future, within ten years of today.
    #[schema(inline)]
    pub valid_to: Moment,
}

#[derive(Serialize, ToSchema)]
pub struct OfferAdded {
    pub offer: Uuid,
}

/// Adds a merchant's offer: members may be told of it, and each gets its points once, besides those of the earn rule, with the
/// first purchase at this merchant that was made between `valid_from` and `valid_to`, whatever the amount and however late the
/// receipt arrives. Several offers count together. When that purchase comes back, the points go back too and the offer counts
/// again. Sent again with the same `offer`, it adds nothing; with other content it is refused.
#[utoipa::path(post, path = "/v1/ops/offers", tag = "ops", request_body = AddOffer,
    security(("operator" = [])), responses(
    (status = 201, body = OfferAdded),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn post_offer(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(body): Json<AddOffer>,
) -> Result<(StatusCode, axum::Json<OfferAdded>), Problem> {
    let merchant = MerchantId(body.merchant);
    if app.directory.merchant(merchant).await?.is_none() {
        return Err(Problem::new(ProblemKind::Invalid, "there is no such merchant; add the merchant first"));
    }
    no_more_than_one_may_give(&app, "bonus_points", body.bonus_points)?;
    let new = NewOffer {
        id: body.offer.unwrap_or_else(|| app.entropy.uuid()),
        merchant,
        title: body.title.0,
        bonus: Points(body.bonus_points),
        valid: body.valid_from.0..body.valid_to.0,
        budget: body.budget_points.map(|budget| Points(budget.0)),
    };
    add_offer(&app.pool, &new, operator.name, app.clocks.business.now()).await?;
    app.directory.forget();
    Ok((StatusCode::CREATED, axum::Json(OfferAdded { offer: new.id })))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndOffer {
    /// It counts no longer, not even for members who were told of it a moment ago.
    #[serde(default)]
    pub at_once: bool,
}

#[derive(Serialize, ToSchema)]
pub struct OfferEnded {
    pub offer: Uuid,
    /// Purchases of before this still count.
    #[schema(value_type = String, format = DateTime)]
    pub valid_to: jiff::Timestamp,
}

/// Withdraws an offer. Nobody is told of it from now on. It counts for another 24 hours, or to its own end if that is sooner, so
/// that members who were told of it a moment ago get what they were told; `at_once` ends that as well. Safe to repeat; nothing
/// lengthens it again.
#[utoipa::path(post, path = "/v1/ops/offers/{offer}/end", tag = "ops", request_body = EndOffer,
    params(("offer" = Uuid, Path)), security(("operator" = [])), responses(
    (status = 200, body = OfferEnded),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn post_offer_end(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(offer): Path<Uuid>,
    Json(body): Json<EndOffer>,
) -> Result<axum::Json<OfferEnded>, Problem> {
    let now = app.clocks.business.now();
    let Some(valid_to) = end_offer(&app.pool, offer, body.at_once, operator.name, now).await? else {
        return Err(Problem::new(ProblemKind::NotFound, "there is no such offer"));
    };
    app.directory.forget();
    Ok(axum::Json(OfferEnded { offer, valid_to }))
}
