//! The dispatcher: takes held orders to the exchange, each once an attempt.
//!
//! A held order is taken on, gets its turn within the exchange's limits, and only then is judged once more, marked with
//! the moment of its sending, and sent. Whatever happens after the mark, it is somebody's: the answer ends it, or the
//! resolver does. Who waited so long for his turn that the resolver took the order finds no mark to make, and sends
//! nothing. An answer is believed only as far as it can be so, see `doubt.rs`.

use futures_util::StreamExt;
use hunch_exchange::{NewOrder, OrderReport, RefusalClass, SubmitOutcome};
use hunch_kernel::{Count, seeded_bug};
use hunch_safeguards::{Denial, DenialCode, still_holds};
use jiff::SignedDuration;
use sqlx::PgConnection;

use crate::doubt::{Doubt, doubt};
use crate::order::Order;
use crate::outcome::{Fate, OutcomeRequest};
use crate::{Trading, TradingError, store};

/// Orders on their way to the exchange at once.
const CONCURRENT: usize = 16;
/// Attempts of an order that the exchange certainly did not take, because it was busy or paused.
const ATTEMPTS_MAX: i16 = 6;

impl Trading {
    /// Sends up to `orders_max` held orders, and says how many it took on.
    ///
    /// # Errors
    /// When the database fails. An order that was marked as sending is the resolver's then.
    pub async fn dispatch_step(&self, orders_max: i64) -> Result<usize, TradingError> {
        let (now, wall) = (self.clocks.business.now(), self.clocks.wall.now());
        let taken = store::take_held(&self.pool, orders_max, now, wall).await?;
        let count = taken.len();
        let sent = futures_util::stream::iter(taken.into_iter().map(|order| Box::pin(self.send(order))));
        let results: Vec<Result<(), TradingError>> = sent.buffer_unordered(CONCURRENT).collect().await;
        results.into_iter().collect::<Result<(), TradingError>>()?;
        Ok(count)
    }

    /// May this order still be sent? Its standing is read once more after the mark, just before the socket.
    async fn may_send(&self, order: &Order) -> Result<(), &'static str> {
        if self.clocks.business.now() >= order.quote_until {
            return Err("quote_expired");
        }
        let refuse = |denial: Denial| denial.0.as_str();
        let Ok(mut conn) = self.pool.acquire().await else { return Err(DenialCode::Unavailable.as_str()) };
        match store::staking_is_on(&mut conn).await {
            Ok(true) => {}
            Ok(false) => return Err("paused"),
            Err(_) => return Err(DenialCode::Unavailable.as_str()),
        }
        if self.clocks.wall.now() > order.permit_until {
            // It waited too long for its permit: the member is judged anew, by everything there is.
            let fresh = self.safeguards.permit_stake(order.member, &order.category).await.map_err(refuse)?;
            if fresh.standing_version() != order.standing_version {
                return Err(DenialCode::StandingChanged.as_str());
            }
        }
        self.stands(&mut conn, order).await
    }

    async fn stands(&self, conn: &mut PgConnection, order: &Order) -> Result<(), &'static str> {
        if seeded_bug("order-outlives-standing") {
            return Ok(());
        }
        match still_holds(conn, order.member, order.standing_version).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(DenialCode::StandingChanged.as_str()),
            Err(_) => Err(DenialCode::Unavailable.as_str()),
        }
    }

    async fn send(&self, order: Order) -> Result<(), TradingError> {
        let turn = self.exchange.turn().await;
        let judged = self.may_send(&order).await;
        let mut conn = self.pool.acquire().await?;
        if !store::mark_sent(&mut conn, &order, self.clocks.business.now(), self.clocks.wall.now()).await? {
            return Ok(());
        }
        let judged = match judged {
            Ok(()) => self.stands(&mut conn, &order).await,
            refused => refused,
        };
        drop(conn);
        if let Err(reason) = judged {
            return self.end(&order, Fate::NotTaken { reason: reason.to_owned() }).await;
        }
        let outcome = match turn {
            Some(turn) => self.exchange.submit(&new_order(&order), turn).await,
            None => SubmitOutcome::Refused { class: RefusalClass::RateLimited, code: "held_back".to_owned() },
        };
        metrics::counter!("hunch_orders_sent_total", "outcome" => word(&outcome)).increment(1);
        match outcome {
            SubmitOutcome::Accepted(report) => match self.taken(&order, &report).await? {
                Some(fate) => self.end(&order, fate).await,
                None => Ok(()),
            },
            SubmitOutcome::Refused { class: RefusalClass::RateLimited | RefusalClass::ExchangePaused, code }
                if order.attempt < ATTEMPTS_MAX =>
            {
                // Certainly not taken: another attempt, with an id of its own, while the quote stands.
                let pause = SignedDuration::from_millis(100 << order.attempt);
                let wall = self.clocks.wall.now();
                tracing::info!(order = %order.id, code, attempt = order.attempt, "the exchange is busy or paused");
                store::next_attempt(&self.pool, &order, self.clocks.business.now(), wall + pause).await?;
                Ok(())
            }
            SubmitOutcome::Refused { class, code } => {
                tracing::info!(order = %order.id, ?class, code, "the exchange did not take an order");
                self.end(&order, Fate::NotTaken { reason: reason(class).to_owned() }).await
            }
            SubmitOutcome::AlreadyExists => self.unknown(&order, "the client order id was used before").await,
            SubmitOutcome::Unknown { cause } => self.unknown(&order, &cause).await,
        }
    }

    /// The exchange says that it took the order. Only a kill is over with that; what filled is still to be read exactly, and
    /// what cannot be so is looked up.
    pub(crate) async fn taken(&self, order: &Order, report: &OrderReport) -> Result<Option<Fate>, TradingError> {
        if let Some(doubt) = doubt(order, report) {
            self.doubted(order, report, doubt).await?;
            return Ok(None);
        }
        if report.filled == Count::ZERO {
            return Ok(Some(fate(report)));
        }
        store::mark_accepted(&self.pool, order, report, self.clocks.wall.now()).await?;
        self.open.notify_one();
        Ok(None)
    }

    /// Writes down that the exchange's word is not believed, and takes what rests out of the book, where it could still fill.
    pub(crate) async fn doubted(&self, order: &Order, report: &OrderReport, doubt: Doubt) -> Result<(), TradingError> {
        let (wall, id) = (self.clocks.wall.now(), &report.exchange_order_id);
        if store::mark_doubted(&self.pool, order.id, id, doubt.as_str(), wall).await? {
            metrics::counter!("hunch_orders_doubted_total", "doubt" => doubt.as_str()).increment(1);
            let (filled, resting) = (report.filled.to_string(), report.resting.to_string());
            let (cost, fees) = (report.cost.to_string(), report.fees.to_string());
            tracing::error!(
                order = %order.id, exchange_order_id = id, doubt = doubt.as_str(), filled, resting, cost, fees,
                "what the exchange says of an order cannot be so"
            );
            self.open.notify_one();
        }
        if doubt == Doubt::StillResting
            && let Err(error) = self.exchange.cancel(id, &order.market).await
        {
            tracing::warn!(order = %order.id, %error, "an order that should not rest could not be cancelled yet");
        }
        Ok(())
    }

    async fn unknown(&self, order: &Order, cause: &str) -> Result<(), TradingError> {
        tracing::warn!(order = %order.id, cause, "it is not known whether the exchange took an order");
        store::mark_unknown(&self.pool, order, self.clocks.wall.now()).await?;
        self.open.notify_one();
        Ok(())
    }

    /// Hands the order's end to its member's shard.
    pub(crate) async fn end(&self, order: &Order, fate: Fate) -> Result<(), TradingError> {
        self.doors.outcomes.submit(order.shard, OutcomeRequest { order: order.id, fate }).await?;
        Ok(())
    }
}

/// The end of an order that the exchange shows.
pub(crate) fn fate(report: &OrderReport) -> Fate {
    Fate::Taken {
        exchange_order_id: report.exchange_order_id.clone(),
        filled: report.filled,
        cost: report.cost,
        fees: report.fees,
    }
}

pub(crate) fn new_order(order: &Order) -> NewOrder {
    NewOrder {
        client_order_id: order.client_order_id,
        ticker: order.market.clone(),
        side: order.side,
        count: order.count,
        worst_price: order.worst_price,
        exchange_shard: order.exchange_shard,
    }
}

/// The member's word for a refusal. What only the operator can mend is "unavailable" to a member.
fn reason(class: RefusalClass) -> &'static str {
    match class {
        RefusalClass::Price => "price_moved",
        RefusalClass::MarketClosed => "market_closed",
        RefusalClass::ExchangePaused => "exchange_paused",
        RefusalClass::RateLimited => "exchange_busy",
        RefusalClass::Funds | RefusalClass::Auth | RefusalClass::Invalid | RefusalClass::Other => "exchange_refused",
    }
}

fn word(outcome: &SubmitOutcome) -> &'static str {
    match outcome {
        SubmitOutcome::Accepted(_) => "accepted",
        SubmitOutcome::AlreadyExists => "already_exists",
        SubmitOutcome::Refused { .. } => "refused",
        SubmitOutcome::Unknown { .. } => "unknown",
    }
}
