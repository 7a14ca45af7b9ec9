//! Quotes, orders, positions.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use hunch_kernel::{MarketTicker, OrderId, Points, PositionId, QuoteId, Side};
use hunch_markets::Market;
use hunch_trading::{Holding, Order, Quote, points_text};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::app::App;
use crate::credentials::MemberSession;
use crate::extract::{Path, Query};
use crate::idempotency;
use crate::json::{self, Json};
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::me::PageQuery;
use crate::routes::opening::{quote_problem, stake_problem};
use crate::routes::page;

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SideWord {
    Yes,
    No,
}

impl From<SideWord> for Side {
    fn from(word: SideWord) -> Side {
        match word {
            SideWord::Yes => Side::Yes,
            SideWord::No => Side::No,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteBody {
    #[schema(max_length = 200)]
    pub market: String,
    pub side: SideWord,
    /// The most to stake.
    #[schema(minimum = 10, maximum = 1_000_000)]
    pub stake_points: i64,
}

/// What a stake would buy. It stands for ten seconds. A better price is the member's; a worse one than `worst_price_points`
/// is never taken: what is not to be had for it comes back, and a new quote must be confirmed for more.
#[derive(Serialize, ToSchema)]
pub struct Quoted {
    pub quote: Uuid,
    pub market: String,
    pub side: &'static str,
    /// What is held, and the most it can cost, at the worst price and fee; never more than was asked for. What is not used
    /// comes back at once.
    pub hold_points: i64,
    /// What it costs if the price is still what it is now.
    pub cost_points: i64,
    /// The fee contained in `hold_points`, at most.
    pub fee_points: i64,
    /// The fee's share of `hold_points` in percent, at most, rounded up to a tenth.
    #[schema(example = "4.4")]
    pub fee_percent: String,
    /// Contracts, to two decimals.
    #[schema(example = "1.26")]
    pub contracts: String,
    /// Of a contract now, and at most.
    #[schema(example = "35")]
    pub price_points: String,
    #[schema(example = "37")]
    pub worst_price_points: String,
    /// What comes back if everything fills and this side wins, whatever the price was. Always more than `hold_points`.
    pub pays_points: i64,
    /// What is won then: if the price is still what it is now, and at the worst price.
    pub profit_points: i64,
    pub worst_profit_points: i64,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: jiff::Timestamp,
}

fn quoted(quote: &Quote) -> Quoted {
    let (cost, fee) = (quote.cost(), quote.fee_tenths_percent());
    Quoted {
        quote: quote.id.0,
        market: quote.market.0.clone(),
        side: quote.side.as_str(),
        hold_points: quote.hold.0,
        cost_points: cost.0,
        fee_points: quote.fee_points().0,
        fee_percent: format!("{}.{}", fee / 10, fee % 10),
        contracts: quote.count.to_string(),
        price_points: points_text(quote.price, quote.rate),
        worst_price_points: points_text(quote.worst_price, quote.rate),
        pays_points: quote.pays.0,
        profit_points: (quote.pays - cost).0,
        worst_profit_points: (quote.pays - quote.hold).0,
        expires_at: quote.expires_at,
    }
}

/// Prices a stake. A stake that could not win anything is refused with the smallest one that can.
#[utoipa::path(post, path = "/v1/quotes", tag = "stakes", request_body = QuoteBody, security(("member" = [])), responses(
    (status = 201, body = Quoted),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn quote(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Json(body): Json<QuoteBody>,
) -> Result<(StatusCode, axum::Json<Quoted>), Problem> {
    let (market, stake) = (MarketTicker(body.market), Points(body.stake_points));
    let quote = match app.trading.quote(session.member, &market, body.side.into(), stake).await {
        Ok(quote) => quote,
        Err(refusal) => return Err(quote_problem(&app, session.member, refusal).await),
    };
    Ok((StatusCode::CREATED, axum::Json(quoted(&quote))))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmBody {
    pub quote: Uuid,
}

/// A stake on its way, or how it ended.
#[derive(Serialize, ToSchema)]
pub struct OrderBody {
    pub order: Uuid,
    pub market: String,
    /// The market's question, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side_label: Option<String>,
    pub side: &'static str,
    /// held, sending, accepted, unknown (being cleared up; the points stay held), filled, partial, killed, refused.
    pub state: &'static str,
    pub hold_points: i64,
    /// What it cost in the end, and what came back.
    pub cost_points: i64,
    pub returned_points: i64,
    #[schema(example = "1.26")]
    pub contracts: String,
    #[schema(example = "1.26")]
    pub filled_contracts: String,
    /// Why not all of it filled: price_moved, market_closed, quote_expired, not_placed, exchange_paused …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub placed_at: jiff::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<jiff::Timestamp>,
}

fn order_body(order: &Order, market: Option<&Market>) -> OrderBody {
    OrderBody {
        order: order.id.0,
        market: order.market.0.clone(),
        title: market.map(|m| m.title.clone()),
        side_label: market.map(|m| m.label(order.side)),
        side: order.side.as_str(),
        state: order.state.as_str(),
        hold_points: order.hold.0,
        cost_points: order.captured.0,
        returned_points: order.released.0,
        contracts: order.count.to_string(),
        filled_contracts: if order.state.is_over() { order.filled } else { hunch_kernel::Count::ZERO }.to_string(),
        reason: order.reason.clone(),
        placed_at: order.placed_at,
        ended_at: order.resolved_at,
    }
}

/// Confirms a quote: the points are held and the order goes to the exchange. The same quote gives the same order however
/// often; an `Idempotency-Key` gets the very same answer for thirty days.
#[utoipa::path(post, path = "/v1/orders", tag = "stakes", request_body = ConfirmBody,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128, description = "1 to 128 characters")), security(("member" = [])), responses(
    (status = 201, body = OrderBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn confirm(
    State(app): State<Arc<App>>,
    session: MemberSession,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let headers = request.headers().clone();
    let key = idempotency::key(&headers)?;
    let bytes = json::read(request, &app).await?;
    let body: ConfirmBody = json::parse(&headers, &bytes)?;
    let member = session.member;
    let work = async {
        let answer = match app.trading.confirm(member, QuoteId(body.quote)).await {
            Ok(answer) => answer,
            Err(refusal) => return Err(stake_problem(&app, member, refusal).await),
        };
        let market = app.markets.market(&answer.order.market).await?;
        let body = order_body(&answer.order, market.as_deref());
        let body = serde_json::to_vec(&body).map_err(|e| Problem::internal(&e))?;
        Ok((StatusCode::CREATED, body))
    };
    idempotency::once(&app, member, key, "POST /v1/orders", &bytes, work).await
}

/// One order of the member.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "stakes", params(("id" = Uuid, Path)), security(("member" = [])), responses(
    (status = 200, body = OrderBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn order(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<OrderBody>, Problem> {
    let found = app.trading.order(session.member, OrderId(id)).await?;
    let found = found.ok_or_else(|| Problem::new(ProblemKind::NotFound, "You have no such order."))?;
    let market = app.markets.market(&found.market).await?;
    Ok(axum::Json(order_body(&found, market.as_deref())))
}

#[derive(Serialize, ToSchema)]
pub struct Orders {
    /// Newest first.
    pub orders: Vec<OrderBody>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// All orders of the member, refused ones too.
#[utoipa::path(get, path = "/v1/me/orders", tag = "stakes", params(PageQuery), security(("member" = [])), responses(
    (status = 200, body = Orders),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn orders(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Orders>, Problem> {
    let limit = page::limit(query.limit)?;
    let before = page::decode_at::<Uuid>(query.cursor.as_deref())?.map(|(at, id)| (at, OrderId(id)));
    let mut found = app.trading.orders(session.member, before, limit + 1).await?;
    let more = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).and_then(|o| page::encode(&(o.placed_at, o.id.0)));
    let tickers: Vec<MarketTicker> = found.iter().map(|o| o.market.clone()).collect();
    let markets: HashMap<_, _> = app.markets.by_tickers(&tickers).await?;
    let orders = found.iter().map(|o| order_body(o, markets.get(&o.market).map(Arc::as_ref))).collect();
    Ok(axum::Json(Orders { orders, next_cursor }))
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "only described")]
enum PositionStatus {
    Open,
    All,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PositionsQuery {
    /// `open` if nothing is said.
    #[param(inline, value_type = Option<PositionStatus>)]
    pub status: Option<String>,
    /// Of the page before.
    #[param(max_length = 400)]
    pub cursor: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct Positions {
    /// Newest first.
    pub positions: Vec<PositionBody>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What a member holds on one side of one market.
#[derive(Serialize, ToSchema)]
pub struct PositionBody {
    pub position: Uuid,
    pub order: Uuid,
    pub market: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side_label: Option<String>,
    pub side: &'static str,
    #[schema(example = "1.26")]
    pub contracts: String,
    pub cost_points: i64,
    /// What buyers offer for it now, or what it paid. Absent when nobody offers anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_points: Option<i64>,
    /// Value minus cost; not final before the result is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profit_points: Option<i64>,
    /// The most it can pay.
    pub pays_points: i64,
    /// open, waiting (result in, the exchange has not confirmed it), paid.
    pub state: &'static str,
    /// yes, no or scalar, once paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: jiff::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends_at: Option<jiff::Timestamp>,
}

fn position_body(holding: &Holding) -> PositionBody {
    use hunch_exchange::MarketStatus::{Amended, Determined, Disputed, Finalized};
    let (position, market) = (&holding.position, holding.market.as_deref());
    let waiting = market.is_some_and(|m| matches!(m.status, Determined | Disputed | Amended | Finalized));
    let rate = hunch_kernel::PointRate { id: 0, micros: position.rate_micros };
    PositionBody {
        position: position.id.0,
        order: position.order.0,
        market: position.market.0.clone(),
        title: market.map(|m| m.title.clone()),
        side_label: market.map(|m| m.label(position.side)),
        side: position.side.as_str(),
        contracts: position.count.to_string(),
        cost_points: position.cost.0,
        value_points: holding.value.map(|p| p.0),
        profit_points: holding.profit().map(|p| p.0),
        pays_points: rate.points_down(hunch_kernel::Price::ONE.times_down(position.count)).0,
        state: match &position.paid {
            Some(_) => "paid",
            None if waiting => "waiting",
            None => "open",
        },
        result: position.paid.as_ref().map(|p| p.result.clone()),
        opened_at: position.opened_at,
        ends_at: market.map(|m| m.ends_at),
    }
}

/// What the member holds, with its value now.
#[utoipa::path(get, path = "/v1/positions", tag = "stakes", params(PositionsQuery), security(("member" = [])), responses(
    (status = 200, body = Positions),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn positions(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Query(query): Query<PositionsQuery>,
) -> Result<axum::Json<Positions>, Problem> {
    let open_only = match query.status.as_deref() {
        None | Some("open") => true,
        Some("all") => false,
        Some(other) => {
            return Err(Problem::new(ProblemKind::Invalid, format!("The status is open or all, not {other:?}.")));
        }
    };
    let limit = page::limit(query.limit)?;
    let before = page::decode_at::<Uuid>(query.cursor.as_deref())?.map(|(at, id)| (at, PositionId(id)));
    let mut found = app.trading.holdings(session.member, open_only, before, limit + 1).await?;
    let more = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next_cursor =
        found.last().filter(|_| more).and_then(|h| page::encode(&(h.position.opened_at, h.position.id.0)));
    Ok(axum::Json(Positions { positions: found.iter().map(position_body).collect(), next_cursor }))
}
