//! The resolver: owns every order that was sent and is not over.
//!
//! - Accepted: the exchange's answer to an order gives averages. What it cost exactly is read from its fills or from
//!   the order itself, and only that is booked.
//! - Unknown: the same client order id is sent again only while quote and permit stand; if the first attempt got in, the
//!   exchange says so. A refusal of the repeat says nothing about the first attempt. Afterwards it is only looked up, and
//!   it counts as not placed only when the exchange's own data is complete up to after our sending.
//! - Doubted: what the exchange said cannot be so. It is looked up like an unknown one, and ends when the exchange shows
//!   something possible; what rests against our will is cancelled. What stays unclear for a minute is told to the
//!   operator, who can end it himself.

use futures_util::StreamExt;
use hunch_exchange::{ANSWER_MAX, OrderReport, SubmitOutcome};
use hunch_kernel::seeded_bug;
use hunch_safeguards::still_holds;
use jiff::{SignedDuration, Timestamp};

use crate::dispatch::{fate, new_order};
use crate::doubt::{Doubt, doubt, doubt_figures};
use crate::order::{Order, OrderState};
use crate::outcome::Fate;
use crate::{Trading, TradingError, store};

const CONCURRENT: usize = 16;
/// An order whose last mark of sending is older than this (wall time) was left behind by a crash, or waits for its turn
/// still, and then is not sent any more. Longer than any answer is waited for.
const SENDING_MAX: SignedDuration = SignedDuration::from_secs(20);
/// What was sent this long ago is at the exchange by now, or never will be.
const ARRIVED: SignedDuration = SignedDuration::from_secs(ANSWER_MAX.as_secs() + 5);
/// Pauses between two looks at the same order: doubled up to the last.
const LOOK_FIRST_MS: i64 = 50;
const LOOK_LAST_MS: i64 = 5_000;

impl Trading {
    /// Looks at up to `orders_max` orders that are due, and says at how many it looked.
    ///
    /// # Errors
    /// When the database fails. What the exchange does not answer is looked at again.
    pub async fn resolve_step(&self, orders_max: i64) -> Result<usize, TradingError> {
        let wall = self.clocks.wall.now();
        store::abandon_sending(&self.pool, wall - SENDING_MAX, wall).await?;
        let due = store::due_orders(&self.pool, wall, orders_max).await?;
        let count = due.len();
        let looked = futures_util::stream::iter(due.into_iter().map(|order| Box::pin(self.look(order))));
        let results: Vec<Result<(), TradingError>> = looked.buffer_unordered(CONCURRENT).collect().await;
        results.into_iter().collect::<Result<(), TradingError>>()?;
        Ok(count)
    }

    async fn look(&self, order: Order) -> Result<(), TradingError> {
        let fate = match order.state {
            OrderState::Accepted => self.exact(&order).await?,
            OrderState::Unknown => self.clear_up(&order).await?,
            _ => return Ok(()),
        };
        match fate {
            Some(fate) => self.end(&order, fate).await,
            None => {
                let pause = (LOOK_FIRST_MS << order.looks.clamp(0, 20)).min(LOOK_LAST_MS);
                let at = self.clocks.wall.now() + SignedDuration::from_millis(pause);
                store::look_again(&self.pool, order.id, at).await?;
                Ok(())
            }
        }
    }

    /// What an accepted order cost: the sum of its fills once they are all there, else the order as the exchange shows
    /// it.
    async fn exact(&self, order: &Order) -> Result<Option<Fate>, TradingError> {
        let exchange_order_id = order.exchange_order_id.clone().unwrap_or_default();
        let (count, cost, fees) = store::filled(&self.pool, &exchange_order_id).await?;
        if count == order.filled && doubt_figures(order, count, cost, fees).is_none() {
            return Ok(Some(Fate::Taken { exchange_order_id, filled: count, cost, fees }));
        }
        // Up to where the data is complete must be asked first, see below.
        let complete_to = self.complete_to(order).await;
        let Some(report) = self.find(order).await else { return Ok(None) };
        if report.filled >= order.filled {
            return self.shown(order, &report).await;
        }
        // Reads lag. Once they do not any more, the answer told of more than there is.
        if self.is_past_arrival(order, complete_to) {
            self.doubted(order, &report, Doubt::LessThanTold).await?;
        }
        Ok(None)
    }

    /// An order as the exchange's reads show it: over, unless it cannot be so.
    async fn shown(&self, order: &Order, report: &OrderReport) -> Result<Option<Fate>, TradingError> {
        match doubt(order, report) {
            None => Ok(Some(fate(report))),
            Some(doubt) => {
                self.doubted(order, report, doubt).await?;
                Ok(None)
            }
        }
    }

    async fn clear_up(&self, order: &Order) -> Result<Option<Fate>, TradingError> {
        let turn = if self.may_repeat(order).await? { self.exchange.turn().await } else { None };
        // Whoever waited for a turn looks again; from the mark on the order counts as sent anew.
        let repeated = turn.is_some() && self.may_repeat(order).await? && self.mark_repeat(order).await?;
        if let (true, Some(turn)) = (repeated, turn) {
            let mut again = new_order(order);
            if seeded_bug("new-id-for-unknown") {
                again.client_order_id = self.entropy.uuid();
            }
            match self.exchange.submit(&again, turn).await {
                SubmitOutcome::Accepted(report) => return self.taken(order, &report).await,
                SubmitOutcome::AlreadyExists | SubmitOutcome::Refused { .. } | SubmitOutcome::Unknown { .. } => {}
            }
        }
        // Up to where the data is complete must be asked first: an order that is not in data read later is in none.
        let complete_to = self.complete_to(order).await;
        if let Some(report) = self.find(order).await.filter(|_| !seeded_bug("unknown-is-not-placed")) {
            return self.shown(order, &report).await;
        }
        // What the exchange said it took was placed, whatever its reads show: then only a person can end it.
        let certain = !repeated
            && order.exchange_order_id.is_none()
            && self.is_past_arrival(order, complete_to)
            && self.reads_work(order).await;
        let certain = certain || seeded_bug("unknown-is-not-placed") || seeded_bug("not-placed-too-early");
        Ok(certain.then(|| Fate::NotTaken { reason: "not_placed".to_owned() }))
    }

    /// Up to when the exchange's reads are complete (its own time), if it says so.
    async fn complete_to(&self, order: &Order) -> Option<Timestamp> {
        match self.exchange.data_as_of().await {
            Ok(at) => Some(at),
            Err(error) => {
                tracing::warn!(order = %order.id, %error, "the exchange does not say how far its data goes");
                None
            }
        }
    }

    /// Whether the exchange's data (its own time) is complete past the last moment at which the order could arrive, and that
    /// moment is over here as well.
    fn is_past_arrival(&self, order: &Order, complete_to: Option<Timestamp>) -> bool {
        let (Some(complete_to), Some(_), Some(sent_wall)) = (complete_to, order.sent_at, order.sent_wall) else {
            return false;
        };
        complete_to.duration_since(order.sent().later()) > ARRIVED
            && self.clocks.wall.now().duration_since(sent_wall) > ARRIVED
    }

    /// Whether the very same order may go out once more.
    async fn may_repeat(&self, order: &Order) -> Result<bool, TradingError> {
        // What the exchange took once is not sent again.
        if order.exchange_order_id.is_some()
            || self.clocks.business.now() >= order.quote_until
            || self.clocks.wall.now() > order.permit_until
        {
            return Ok(false);
        }
        let mut conn = self.pool.acquire().await?;
        Ok(store::staking_is_on(&mut conn).await?
            && still_holds(&mut conn, order.member, order.standing_version).await?)
    }

    async fn mark_repeat(&self, order: &Order) -> Result<bool, TradingError> {
        let mut conn = self.pool.acquire().await?;
        Ok(store::mark_sent(&mut conn, order, self.clocks.business.now(), self.clocks.wall.now()).await?)
    }

    /// The order as the exchange shows it; `None` also when it does not answer.
    async fn find(&self, order: &Order) -> Option<OrderReport> {
        match self.exchange.find_order(order.client_order_id, &order.market, order.sent()).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(order = %order.id, %error, "an order could not be looked up");
                None
            }
        }
    }

    /// "Not there" must be an answer, not a silence: the last look is made once more, and must not fail.
    async fn reads_work(&self, order: &Order) -> bool {
        matches!(self.exchange.find_order(order.client_order_id, &order.market, order.sent()).await, Ok(None))
    }
}
