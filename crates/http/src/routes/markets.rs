//! What can be staked on today. Prices are points a contract; a contract pays what a dollar is worth in points, or nothing.

use axum::extract::State;
use hunch_kernel::{MarketTicker, MemberId, PointRate, Price, Side};
use hunch_markets::{Kind, Market, day_ends, result_word, status_word};
use hunch_trading::points_text;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::credentials::MemberSession;
use crate::extract::{Path, Query};
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::opening::StakesBody;
use crate::routes::page;

/// The words of the document; the reader's own sentence names them.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "only described")]
enum CategoryWord {
    Sports,
    Events,
    Weather,
    Local,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "only described")]
enum ListedStatus {
    Open,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "only described")]
enum EndsWord {
    Today,
    Any,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MarketsQuery {
    #[param(inline, value_type = Option<CategoryWord>)]
    pub category: Option<String>,
    /// Only `open` can be listed.
    #[param(inline, value_type = Option<ListedStatus>)]
    pub status: Option<String>,
    /// `today`, when left out: what ends on the member's own day. `any`: as far as the programme looks ahead, a day and a
    /// half.
    #[param(inline, value_type = Option<EndsWord>)]
    pub ends: Option<String>,
    /// Of the page before.
    #[param(max_length = 400)]
    pub cursor: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct MarketList {
    /// Whether stakes on any of them are taken just now.
    pub stakes: StakesBody,
    /// Soonest end first.
    pub markets: Vec<MarketBody>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct MarketBody {
    pub market: String,
    pub event: String,
    pub event_title: String,
    pub title: String,
    /// sports, events, weather or local.
    pub category: &'static str,
    /// active, closed, determined, finalized …; `determined` means: result in, waiting for the exchange.
    pub status: &'static str,
    pub yes: SideBody,
    pub no: SideBody,
    /// What a contract pays if its side wins.
    pub pays_points: i64,
    /// Stakes are taken until then.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: jiff::Timestamp,
    /// yes, no or scalar, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'static str>,
    /// How it is decided, in the exchange's words. Only when one market is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct SideBody {
    pub label: String,
    /// What a contract costs now, at the rate of points in force; absent when nobody offers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "35")]
    pub price_points: Option<String>,
    /// The chance in percent that the price gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "35")]
    pub chance_percent: Option<String>,
}

/// The chance in percent that a price gives.
fn chance_text(price: Price) -> String {
    // One percent is one cent, whatever a point is worth.
    points_text(price, PointRate { id: 0, micros: 10_000 })
}

pub(crate) fn body(market: &Market, rate: PointRate, with_rules: bool) -> MarketBody {
    let side = |side: Side| SideBody {
        label: market.label(side),
        price_points: market.ask(side).map(|price| points_text(price, rate)),
        chance_percent: market.ask(side).map(chance_text),
    };
    MarketBody {
        market: market.ticker.0.clone(),
        event: market.event.0.clone(),
        event_title: market.event_title.clone(),
        title: market.title.clone(),
        category: market.kind.as_str(),
        status: status_word(market.status),
        yes: side(Side::Yes),
        no: side(Side::No),
        pays_points: rate.points_down(hunch_kernel::Dollars::ONE).0,
        ends_at: market.ends_at,
        result: market.result.map(result_word),
        rules: with_rules.then(|| market.rules.clone()),
    }
}

/// Open markets that end today, by category, soonest end first. Today is the member's own day.
#[utoipa::path(get, path = "/v1/markets", tag = "stakes", params(MarketsQuery), security(("member" = [])), responses(
    (status = 200, body = MarketList),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn markets(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Query(query): Query<MarketsQuery>,
) -> Result<axum::Json<MarketList>, Problem> {
    let kind: Option<Kind> = match query.category.as_deref() {
        None => None,
        Some(word) => Some(word.parse().map_err(|()| {
            Problem::new(
                ProblemKind::Invalid,
                format!("The category is sports, events, weather or local, not {word:?}."),
            )
        })?),
    };
    if query.status.as_deref().is_some_and(|status| status != "open") {
        return Err(Problem::new(
            ProblemKind::Invalid,
            "Only status=open can be listed. Ask for an ended market by its name.",
        ));
    }
    let until = match query.ends.as_deref() {
        None | Some("today") => day_ends(app.clocks.business.now(), &home_zone(&app, session.member).await?),
        Some("any") => jiff::Timestamp::MAX,
        Some(word) => {
            return Err(Problem::new(ProblemKind::Invalid, format!("ends is today or any, not {word:?}")));
        }
    };
    let limit = page::limit(query.limit)? as usize;
    let after = page::decode_at::<String>(query.cursor.as_deref())?;
    let after = after.map(|(ends, ticker)| (ends, MarketTicker(ticker)));
    let mut found = app.markets.open_until(until, kind, after.as_ref(), limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).and_then(|m| page::encode(&(m.ends_at, m.ticker.as_str())));
    let (rate, stakes) = (app.trading.rate().await?, StakesBody::of(&app, session.member).await?);
    let markets = found.iter().map(|m| body(m, rate, false)).collect();
    Ok(axum::Json(MarketList { stakes, markets, next_cursor }))
}

async fn home_zone(app: &App, member: MemberId) -> Result<TimeZone, Problem> {
    let found = app.people.member(member).await?;
    Ok(found.and_then(|member| TimeZone::get(&member.home_zone).ok()).unwrap_or(TimeZone::UTC))
}

/// One market, open or ended, with its rules.
#[utoipa::path(get, path = "/v1/markets/{market}", tag = "stakes", params(("market" = String, Path, max_length = 200)), security(("member" = [])), responses(
    (status = 200, body = MarketBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn market(
    State(app): State<Arc<App>>,
    _: MemberSession,
    Path(market): Path<String>,
) -> Result<axum::Json<MarketBody>, Problem> {
    let found = app.markets.market(&MarketTicker(market)).await?;
    let found = found.ok_or(hunch_trading::QuoteRefusal::UnknownMarket)?;
    Ok(axum::Json(body(&found, app.trading.rate().await?, true)))
}
