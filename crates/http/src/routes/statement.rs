//! The member's statement: every line says what it was, where, by which rule, and what could be spent after it.

use axum::extract::State;
use hunch_kernel::{MarketTicker, MerchantId, OrderId, Points, PurchaseId};
use hunch_ledger::{Reason, StakeEnd, StakeParts, StatementItem, StatementPlace, statement_items};
use hunch_loyalty::{Receipt, receipts};
use hunch_markets::Market;
use hunch_trading::Order;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::credentials::MemberSession;
use crate::extract::Query;
use crate::problem::{Problem, ProblemBody};
use crate::routes::me::PageQuery;
use crate::routes::page;

#[derive(Serialize, ToSchema)]
pub struct Statement {
    /// Newest first. Together their changes are the balance.
    pub lines: Vec<Line>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One thing that happened to the member's points. A stake is one line, at the time when its points were held.
#[derive(Serialize, ToSchema)]
pub struct Line {
    /// What it was, for people: Purchase, Won, Lost …
    pub what: &'static str,
    /// The shop, or the market's question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The rule that made the points this many.
    pub rule: String,
    /// Change of what can be spent.
    pub available_points: i64,
    /// Change of what is not final yet.
    pub pending_points: i64,
    /// Change of everything the member owns; zero when points only moved between pockets.
    pub total_points: i64,
    /// What could be spent after this line, with every stake before it told to its end: the sum of this line and all
    /// older ones.
    pub balance_after_points: i64,
    /// A stable word: purchase, stake, corrected, purchase_returned …
    pub reason: &'static str,
    /// The purchase, order or other cause.
    pub source: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stake: Option<StakeBody>,
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
}

/// What became of a stake's points. Held is filled and returned, once the order has ended.
#[derive(Serialize, ToSchema)]
pub struct StakeBody {
    pub market: String,
    pub side_label: String,
    pub held_points: i64,
    /// What the contracts cost.
    pub filled_points: i64,
    pub returned_points: i64,
    pub paid_points: i64,
    pub state: StakeState,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StakeState {
    /// The order is on its way.
    Held,
    /// Nothing was filled, and all came back.
    NotFilled,
    /// Waits for its result.
    Open,
    Won,
    Lost,
    /// The market ended between yes and no.
    Between,
}

impl From<StakeEnd> for StakeState {
    fn from(ended: StakeEnd) -> StakeState {
        match ended {
            StakeEnd::Held => StakeState::Held,
            StakeEnd::NotFilled => StakeState::NotFilled,
            StakeEnd::Open => StakeState::Open,
            StakeEnd::Won => StakeState::Won,
            StakeEnd::Lost => StakeState::Lost,
            StakeEnd::Between => StakeState::Between,
        }
    }
}

/// What happened to the member's points, newest first. Pages that follow one another tell of one moment.
#[utoipa::path(get, path = "/v1/me/statement", tag = "me", params(PageQuery), security(("member" = [])), responses(
    (status = 200, body = Statement),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn statement(
    State(app): State<Arc<App>>,
    session: MemberSession,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Statement>, Problem> {
    let limit = page::limit(query.limit)? as usize;
    let place = page::decode::<[i64; 4]>(query.cursor.as_deref())?;
    let place =
        place.map(|[as_of, seq, told, available]| StatementPlace { as_of, seq, told, available: Points(available) });
    let found = statement_items(&app.pool, session.member, place, limit).await;
    let (items, next) = found.map_err(|e| Problem::storage(&e))?;
    let next_cursor = next.and_then(|n| page::encode(&[n.as_of, n.seq, n.told, n.available.0]));
    let known = Known::of(&app, &session, &items).await?;
    let mut lines = Vec::with_capacity(items.len());
    for item in &items {
        lines.push(known.line(&app, item).await?);
    }
    Ok(axum::Json(Statement { lines, next_cursor }))
}

/// What the lines of a page speak of.
struct Known {
    receipts: HashMap<PurchaseId, Receipt>,
    orders: HashMap<Uuid, Order>,
    markets: HashMap<MarketTicker, Arc<Market>>,
}

impl Known {
    async fn of(app: &App, session: &MemberSession, items: &[StatementItem]) -> Result<Known, Problem> {
        let sources: Vec<PurchaseId> = items.iter().map(|i| PurchaseId(i.source)).collect();
        let stakes: Vec<OrderId> = items.iter().map(|i| OrderId(i.source)).collect();
        let orders = app.trading.orders_named(session.member, &stakes).await?;
        let tickers: Vec<MarketTicker> = orders.iter().map(|o| o.market.clone()).collect();
        Ok(Known {
            receipts: receipts(&app.pool, &sources).await?,
            markets: app.markets.by_tickers(&tickers).await?,
            orders: orders.into_iter().map(|o| (o.id.0, o)).collect(),
        })
    }

    async fn line(&self, app: &App, item: &StatementItem) -> Result<Line, Problem> {
        let order = self.orders.get(&item.source);
        let receipt = self.receipts.get(&PurchaseId(item.source));
        let merchant = receipt.map(|r| r.merchant).or(item.merchant.map(MerchantId));
        let merchant = match merchant {
            Some(id) => app.directory.merchant(id).await?,
            None => None,
        };
        let rule = receipt.zip(merchant.as_ref()).and_then(|(receipt, m)| Some((m.rule_at(receipt.purchased_at)?, m)));
        let stake = item.stake.as_ref().zip(order).map(|(parts, order)| self.stake(parts, order));
        Ok(Line {
            what: what(item),
            name: order.map(|o| self.title(&o.market)).or(merchant.as_ref().map(|m| m.name.clone())),
            rule: match (item.reason, rule, order) {
                (Reason::Purchase, Some((rule, merchant)), _) => rule.words(&merchant.currency),
                (Reason::StakeHeld, _, Some(order)) => pays(order),
                _ => explained(item.reason).to_owned(),
            },
            available_points: item.available.0,
            pending_points: item.provisional.0,
            total_points: item.total.0,
            balance_after_points: item.available_after.0,
            reason: if item.stake.is_some() { "stake" } else { item.reason.as_str() },
            source: item.source,
            stake,
            at: item.at,
        })
    }

    fn title(&self, ticker: &MarketTicker) -> String {
        self.markets.get(ticker).map_or_else(|| ticker.0.clone(), |market| market.title.clone())
    }

    fn stake(&self, parts: &StakeParts, order: &Order) -> StakeBody {
        let market = self.markets.get(&order.market);
        StakeBody {
            market: order.market.0.clone(),
            side_label: market.map_or_else(|| order.side.as_str().to_owned(), |market| market.label(order.side)),
            held_points: parts.held.0,
            filled_points: parts.filled.0,
            returned_points: parts.returned.0,
            paid_points: parts.paid.0,
            state: parts.ended.into(),
        }
    }
}

fn pays(order: &Order) -> String {
    let each = order.rate.points_down(hunch_kernel::Dollars::ONE).0;
    let count = if order.state.is_over() { order.filled } else { order.count };
    format!("{count} contracts. Each pays {each} points if you are right, and nothing if not.")
}

fn what(item: &StatementItem) -> &'static str {
    match (&item.stake, item.reason) {
        (Some(stake), _) => match stake.ended {
            StakeEnd::Held => "Stake on its way",
            StakeEnd::NotFilled => "Stake not filled",
            StakeEnd::Open => "Stake",
            StakeEnd::Won => "Won",
            StakeEnd::Lost => "Lost",
            StakeEnd::Between => "Ended between yes and no",
        },
        (None, Reason::Purchase) if item.provisional.is_positive() => "Purchase, not final yet",
        (None, Reason::Purchase) => "Purchase",
        (None, Reason::Offer) if item.provisional.is_positive() => "Offer, not final yet",
        (None, Reason::Offer) => "Offer",
        (None, Reason::Welcome) => "Welcome",
        (None, Reason::Matured) => "Points became final",
        (None, Reason::TakenBack) => "Points were not confirmed",
        (None, Reason::Corrected) => "Result corrected",
        (None, Reason::PayoutReversed) => "Taken back by a correction",
        (None, Reason::PurchaseReturned) => "Returned purchase",
        (None, Reason::WinningsReturned) => "Winnings of a returned purchase",
        (None, Reason::DebtCharged) => "Owed after a return",
        (None, Reason::DebtRepaid) => "Paid back after a return",
        // Parts of a stake, which are told in its line.
        (None, Reason::StakeHeld | Reason::StakeCaptured | Reason::StakeReleased) => "Stake",
        (None, Reason::StakeWon | Reason::StakeScalar | Reason::StakeLost) => "Stake paid",
    }
}

/// The rule behind a line that has none of its own.
fn explained(reason: Reason) -> &'static str {
    match reason {
        Reason::Purchase => "The shop's rule on the day of the purchase.",
        Reason::Offer => "An offer of the shop, once for each member.",
        Reason::Welcome => "Given by the programme.",
        Reason::Matured => "The programme looked at a purchase and confirmed its points.",
        Reason::TakenBack => {
            "The programme looked at a purchase and did not confirm its points. Ask us if you do not agree."
        }
        Reason::Corrected | Reason::PayoutReversed => {
            "A paid result was wrong: what it paid is taken back, and the right result is paid."
        }
        Reason::PurchaseReturned => "A returned receipt gives back the points that it earned.",
        Reason::WinningsReturned => "A returned receipt gives back the share of winnings that its points brought.",
        Reason::DebtCharged => "What a returned receipt had earned was used already. The next points pay for it.",
        Reason::DebtRepaid => "What is owed is paid from the next points.",
        Reason::StakeHeld
        | Reason::StakeCaptured
        | Reason::StakeReleased
        | Reason::StakeWon
        | Reason::StakeScalar
        | Reason::StakeLost => "A stake costs what was filled, and pays by the market's result.",
    }
}
