//! Orders over REST: the V2 writes and the reads that lag behind them.

use super::{Call, REGIONAL, Sorted, page};
use crate::answers::{answer, flat, nested, not_found, refusal_error};
use crate::book::{BookSide, SelfTrade};
use crate::engine::{Amendment, Engine, Expiry, NewOrder, Now, Refusal};
use crate::faults::{FaultKind, Subject};
use crate::model::{Lagged, Order, SHARDS, TimeInForce};
use crate::units::{Cash, Px, Qty};
use crate::wire;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// The body of a create request as published; unknown fields are ignored as the exchange does.
#[derive(Deserialize)]
struct CreateOrder {
    ticker: String,
    client_order_id: Option<String>,
    side: BookSide,
    count: String,
    price: String,
    expiration_time: Option<i64>,
    time_in_force: TimeInForce,
    #[serde(default)]
    post_only: bool,
    self_trade_prevention_type: SelfTrade,
    #[serde(default)]
    cancel_order_on_pause: bool,
    #[serde(default)]
    reduce_only: bool,
    subaccount: Option<i64>,
    exchange_index: Option<i64>,
}

impl CreateOrder {
    fn read(self) -> Result<NewOrder, Refusal> {
        if self.subaccount.is_some_and(|s| s != 0) {
            return Err(Refusal::Parameters("subaccount"));
        }
        let shard = match self.exchange_index {
            None => None,
            Some(index) => Some(usize::try_from(index).map_err(|_| Refusal::Parameters("exchange_index"))?),
        };
        let expiration = match self.expiration_time {
            None => None,
            Some(second) => Some(Timestamp::from_second(second).map_err(|_| Refusal::Parameters("expiration_time"))?),
        };
        Ok(NewOrder {
            client_order_id: self.client_order_id.filter(|id| !id.is_empty()),
            ticker: self.ticker,
            side: self.side,
            count: self.count.parse().map_err(|_| Refusal::Size)?,
            price: self.price.parse().map_err(|_| Refusal::Price)?,
            time_in_force: self.time_in_force,
            self_trade: self.self_trade_prevention_type,
            post_only: self.post_only,
            reduce_only: self.reduce_only,
            cancel_on_pause: self.cancel_order_on_pause,
            expiration,
            shard,
            cap: None,
            rests: false,
        })
    }
}

impl Call<'_> {
    pub(super) fn orders(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 1000)?;
        let (ticker, events, shard) = (self.param("ticker"), self.list("event_ticker"), self.shard_filter()?);
        let status = self.param("status");
        if status.is_some_and(|s| !["resting", "canceled", "executed"].contains(&s)) {
            return Err(flat("status is unknown"));
        }
        let window = self.window("min_ts", "max_ts")?;
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let rows = engine
                .orders
                .values()
                .filter_map(|o| o.at(at))
                .filter(|o| o.owner == owner && !self.other_subaccount())
                .filter(|o| ticker.is_none_or(|t| o.ticker == t))
                .filter(|o| events.as_ref().is_none_or(|e| e.contains(&o.event_ticker)))
                .filter(|o| status.is_none_or(|s| o.status.as_str() == s))
                .filter(|o| shard.is_none_or(|s| o.shard == s))
                .filter(|o| window.has(Some(o.created)));
            let (page, cursor) = page(rows.map(|o| (o.seq, o)).collect(), limit, self.cursor(), Sorted::Newest);
            let orders: Vec<Value> = page.into_iter().map(|o| wire::order(engine, o)).collect();
            answer(200, json!({ "orders": orders, "cursor": cursor }))
        }))
    }

    fn seen_order(&self, engine: &Engine, now: Now, owner: usize, id: &str) -> Result<Order, Response> {
        let id: Uuid = id.parse().map_err(|_| not_found())?;
        let seq = engine.order_seqs.get(&id).ok_or_else(not_found)?;
        let order = engine.orders.get(seq).and_then(|o| o.at(self.seen(now))).ok_or_else(not_found)?;
        if order.owner == owner { Ok(order.clone()) } else { Err(not_found()) }
    }

    pub(super) fn order(&self, id: &str) -> Result<Response, Response> {
        let owner = self.owner()?;
        self.sim.with(|engine, now| {
            let order = self.seen_order(engine, now, owner, id)?;
            Ok(answer(200, json!({ "order": wire::order(engine, &order) })))
        })
    }

    pub(super) fn queue_position(&self, id: &str) -> Result<Response, Response> {
        let owner = self.owner()?;
        self.sim.with(|engine, now| {
            let order = self.seen_order(engine, now, owner, id)?;
            Ok(answer(200, json!({ "queue_position_fp": ahead(engine, &order).to_string() })))
        })
    }

    pub(super) fn queue_positions(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let (tickers, event) = (self.list("market_tickers"), self.param("event_ticker"));
        Ok(self.sim.with(|engine, _| {
            let rows: Vec<Value> = engine
                .orders
                .values()
                .map(Lagged::now)
                .filter(|o| o.owner == owner && o.remaining > Qty::ZERO)
                .filter(|o| tickers.as_ref().is_none_or(|t| t.contains(&o.ticker)))
                .filter(|o| event.is_none_or(|e| o.event_ticker == e))
                .map(|o| {
                    json!({ "order_id": o.id, "market_ticker": o.ticker, "queue_position_fp": ahead(engine, o).to_string() })
                })
                .collect();
            answer(200, json!({ "queue_positions": rows }))
        }))
    }

    pub(super) fn resting_value(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        Ok(self.sim.with(|engine, _| {
            let reserved = engine.accounts[owner].balance.now().reserved;
            let rows: Vec<Value> =
                (0..SHARDS).map(|s| json!({ "exchange_index": s, "balance": reserved[s].four() })).collect();
            let total: Cash = reserved.into_iter().sum();
            answer(
                200,
                json!({ "total_resting_order_value": total.cents_down(), "resting_order_value_breakdown": rows }),
            )
        }))
    }

    fn place(&self, owner: usize, body: CreateOrder, subject: &Subject<'_>) -> Result<Order, Response> {
        let mut ask = body.read().map_err(IntoResponse::into_response)?;
        self.region_allows(&ask.ticker)?;
        let partial = self.sim.faults().take(subject, |kind| matches!(kind, FaultKind::PartialFill { .. }));
        if let Some(FaultKind::PartialFill { at_most }) = partial {
            ask.cap = Some(at_most);
        }
        ask.rests = self.sim.faults().take(subject, |kind| *kind == FaultKind::RestRemainder).is_some();
        let placed = self.sim.with(|engine, now| engine.place(now, owner, ask));
        placed.map(|p| p.order).map_err(IntoResponse::into_response)
    }

    /// A lapsed attestation keeps the key out of three categories.
    fn region_allows(&self, ticker: &str) -> Result<(), Response> {
        let Some(expires) = self.sim.config.region_expires else { return Ok(()) };
        let lapsed = self.sim.with(|engine, now| {
            let series = engine.markets.get(ticker).and_then(|m| engine.series.get(&m.series_ticker));
            now.time >= expires && series.is_some_and(|(_, s)| REGIONAL.contains(&s.category.as_str()))
        });
        if lapsed {
            return Err(nested(403, "region_attestation_expired", "location attestation has expired", None));
        }
        Ok(())
    }

    pub(super) fn create(&self, subject: &Subject<'_>) -> Result<Response, Response> {
        let owner = self.owner()?;
        let order = self.place(owner, self.json()?, subject)?;
        Ok(answer(201, wire::placed(&order)))
    }

    pub(super) fn create_batch(&self) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Batch {
            orders: Vec<CreateOrder>,
        }
        let owner = self.owner()?;
        let batch: Batch = self.json()?;
        let results: Vec<Value> = batch
            .orders
            .into_iter()
            .map(|body| {
                let client_order_id = body.client_order_id.clone();
                let placed = body.read().and_then(|ask| self.sim.with(|engine, now| engine.place(now, owner, ask)));
                match placed {
                    Ok(placed) => wire::placed(&placed.order),
                    Err(refusal) => json!({ "client_order_id": client_order_id, "error": refusal_error(&refusal) }),
                }
            })
            .collect();
        Ok(answer(201, json!({ "orders": results })))
    }

    /// An id alone is looked up on shard 0 only, as published.
    fn findable(&self, id: &str, ticker: Option<&str>, shard: Option<usize>) -> Result<Uuid, Refusal> {
        let id: Uuid = id.parse().map_err(|_| Refusal::UnknownOrder)?;
        let home = self.sim.with(|engine, _| {
            let seq = engine.order_seqs.get(&id)?;
            engine.orders.get(seq).map(|o| (o.now().shard, o.now().ticker.clone()))
        });
        match home {
            Some((_, home)) if ticker == Some(&home) => Ok(id),
            Some((home, _)) if ticker.is_none() && shard.unwrap_or(0) == home => Ok(id),
            _ => Err(Refusal::UnknownOrder),
        }
    }

    pub(super) fn cancel(&self, id: &str) -> Result<Response, Response> {
        let owner = self.owner()?;
        let id = self
            .findable(id, self.param("market_ticker"), self.shard_filter()?)
            .map_err(IntoResponse::into_response)?;
        let (order, left) =
            self.sim.with(|engine, now| engine.cancel(now, owner, id)).map_err(IntoResponse::into_response)?;
        Ok(answer(200, cancelled(&order, left)))
    }

    pub(super) fn cancel_batch(&self) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct One {
            order_id: String,
            exchange_index: Option<usize>,
            market_ticker: Option<String>,
        }
        #[derive(Deserialize)]
        struct Batch {
            orders: Vec<One>,
        }
        let owner = self.owner()?;
        let batch: Batch = self.json()?;
        let results: Vec<Value> = batch
            .orders
            .iter()
            .map(|one| {
                let done = self
                    .findable(&one.order_id, one.market_ticker.as_deref(), one.exchange_index)
                    .and_then(|id| self.sim.with(|engine, now| engine.cancel(now, owner, id)));
                match done {
                    Ok((order, left)) => cancelled(&order, left),
                    Err(refusal) => {
                        json!({ "order_id": one.order_id, "reduced_by": "0.00", "error": refusal_error(&refusal) })
                    }
                }
            })
            .collect();
        Ok(answer(200, json!({ "orders": results })))
    }

    pub(super) fn cancel_all(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        self.sim.with(|engine, now| engine.cancel_all(now, owner));
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    pub(super) fn amend(&self, id: &str) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Amend {
            ticker: String,
            side: BookSide,
            price: String,
            count: String,
            client_order_id: Option<String>,
            updated_client_order_id: Option<String>,
            /// Absent: as it is. Zero: none.
            expiration_time: Option<i64>,
        }
        let owner = self.owner()?;
        let body: Amend = self.json()?;
        let refuse = |r: Refusal| r.into_response();
        let id = self.findable(id, Some(&body.ticker), None).map_err(refuse)?;
        let price: Px = body.price.parse().map_err(|_| refuse(Refusal::Price))?;
        let count: Qty = body.count.parse().map_err(|_| refuse(Refusal::Size))?;
        let expiration = match body.expiration_time {
            None => Expiry::Keep,
            Some(0) => Expiry::Remove,
            Some(second) => Timestamp::from_second(second)
                .map(Expiry::At)
                .map_err(|_| refuse(Refusal::Parameters("expiration_time")))?,
        };
        let named = body.client_order_id.filter(|id| !id.is_empty());
        let wanted = Amendment {
            price,
            count,
            client_order_id: body.updated_client_order_id.filter(|id| !id.is_empty()),
            expiration,
        };
        let amended = self
            .sim
            .with(|engine, now| {
                let old = engine.order_seqs.get(&id).and_then(|s| engine.orders.get(s)).map(Lagged::now);
                if old.map(|o| o.side) != Some(body.side) {
                    return Err(Refusal::Parameters("side"));
                }
                if named.is_some() && named != old.map(|o| o.client_order_id.clone()) {
                    return Err(Refusal::Parameters("client_order_id"));
                }
                engine.amend(now, owner, id, &wanted)
            })
            .map_err(refuse)?;
        Ok(answer(200, wire::amended(&amended)))
    }

    pub(super) fn decrease(&self, id: &str) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Decrease {
            reduce_by: Option<String>,
            reduce_to: Option<String>,
            exchange_index: Option<usize>,
            market_ticker: Option<String>,
        }
        let owner = self.owner()?;
        let body: Decrease = self.json()?;
        let refuse = |r: Refusal| r.into_response();
        let id = self.findable(id, body.market_ticker.as_deref(), body.exchange_index).map_err(refuse)?;
        let parse = |text: &str| text.parse::<Qty>().map_err(|_| refuse(Refusal::Size));
        let (by, to) = match (body.reduce_by.as_deref(), body.reduce_to.as_deref()) {
            (Some(by), None) => (Some(parse(by)?), Qty::ZERO),
            (None, Some(to)) => (None, parse(to)?),
            _ => return Err(refuse(Refusal::Parameters("reduce_by or reduce_to"))),
        };
        let order = self
            .sim
            .with(|engine, now| engine.decrease(now, owner, id, |left| by.map_or(to, |by| (left - by).max(Qty::ZERO))))
            .map_err(refuse)?;
        let body = json!({ "order_id": order.id, "client_order_id": order.client_order_id,
            "remaining_count": order.remaining.to_string(), "ts_ms": order.updated.as_millisecond() });
        Ok(answer(200, body))
    }
}

fn cancelled(order: &Order, left: Qty) -> Value {
    json!({ "order_id": order.id, "client_order_id": order.client_order_id, "reduced_by": left.to_string(),
        "ts_ms": order.updated.as_millisecond() })
}

fn ahead(engine: &Engine, order: &Order) -> Qty {
    engine.markets.get(&order.ticker).map_or(Qty::ZERO, |m| m.book.ahead_of(order.side, order.price, order.seq))
}
