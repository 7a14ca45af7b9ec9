//! What an account reads of itself, late by the configured lag, and transfers between its shards.

use super::{Call, Sorted, page};
use crate::answers::{answer, not_found, parameter};
use crate::engine::Refusal;
use crate::model::{Balance, Market, Position, SHARDS, Transfer};
use crate::units::{Cash, Qty};
use crate::wire;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

impl Call<'_> {
    pub(super) fn account_limits(&self) -> Response {
        let tier = self.sim.token_buckets().tier;
        let bucket = |(rate, size): (i64, i64)| json!({ "refill_rate": rate, "bucket_capacity": size });
        answer(
            200,
            json!({ "usage_tier": tier.name, "read": bucket(tier.read), "write": bucket(tier.write), "grants": [] }),
        )
    }

    pub(super) fn api_keys(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let keys: Vec<Value> = self
            .sim
            .keys
            .iter()
            .filter(|k| k.account == owner)
            .map(|k| json!({ "api_key_id": k.id, "name": "simulated", "scopes": ["read", "write::trade", "write::transfer"] }))
            .collect();
        let expires = self.sim.config.region_expires.map(|t| t.as_second());
        Ok(answer(200, json!({ "api_keys": keys, "api_key_region_expiration_ts": expires })))
    }

    /// Only the primary subaccount exists.
    pub(super) fn other_subaccount(&self) -> bool {
        self.param("subaccount").is_some_and(|s| s != "0")
    }

    pub(super) fn shard_filter(&self) -> Result<Option<usize>, Response> {
        match self.param("exchange_index").map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(shard)) => Ok(Some(shard)),
            Some(Err(_)) => Err(parameter("exchange_index must be an integer")),
        }
    }

    pub(super) fn balance(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let shard = self.shard_filter()?;
        if shard.is_some_and(|s| s >= SHARDS) {
            return Err(parameter("exchange_index is unknown"));
        }
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let account = &engine.accounts[owner];
            let empty = Balance::default();
            let balance = if self.other_subaccount() { &empty } else { account.balance.at(at).unwrap_or(&empty) };
            let shown = shard.map_or_else(|| balance.total(), |s| balance.available(s));
            let positions = account.positions.values().filter_map(|p| p.at(at));
            let worth: Cash = positions.map(|p| p.basis).sum();
            let breakdown: Vec<Value> =
                (0..SHARDS).map(|s| json!({ "exchange_index": s, "balance": balance.available(s).four() })).collect();
            answer(
                200,
                json!({
                    "balance": shown.cents_down(),
                    "balance_dollars": shown.four(),
                    "portfolio_value": worth.cents_down(),
                    "updated_ts": now.time.as_second(),
                    "balance_breakdown": breakdown,
                }),
            )
        }))
    }

    pub(super) fn positions(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 1000)?;
        let (ticker, event, shard) = (self.param("ticker"), self.param("event_ticker"), self.shard_filter()?);
        let wanted = match self.param("settlement_status") {
            None | Some("unsettled") => Some(false),
            Some("settled") => Some(true),
            Some("all") => None,
            Some(_) => return Err(parameter("invalid settlement_status")),
        };
        let filters = self.list("count_filter").unwrap_or_default();
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let rows: Vec<(u64, (&Market, &Position))> = engine.accounts[owner]
                .positions
                .iter()
                .filter_map(|(t, p)| Some((engine.markets.get(t)?, p.at(at)?)))
                .filter(|_| !self.other_subaccount())
                .filter(|(m, _)| ticker.is_none_or(|t| m.spec.ticker == t))
                .filter(|(m, _)| event.is_none_or(|e| m.spec.event_ticker == e))
                .filter(|(m, _)| shard.is_none_or(|s| m.shard == s))
                .filter(|(_, p)| wanted.is_none_or(|settled| p.settled == settled))
                .filter(|(_, p)| !filters.contains("position") || p.net != Qty::ZERO)
                .filter(|(_, p)| !filters.contains("total_traded") || p.traded != Cash::ZERO)
                .map(|(m, p)| (m.seq, (m, p)))
                .collect();
            let (page, cursor) = page(rows, limit, self.cursor(), Sorted::Oldest);
            let mut events: BTreeMap<&str, Vec<&Position>> = BTreeMap::new();
            for (market, position) in &page {
                events.entry(&market.spec.event_ticker).or_default().push(position);
            }
            answer(
                200,
                json!({
                    "market_positions": page.iter().map(|(m, p)| wire::position(m, p)).collect::<Vec<_>>(),
                    "event_positions": events.iter().map(|(e, p)| wire::event_position(e, p)).collect::<Vec<_>>(),
                    "cursor": cursor,
                }),
            )
        }))
    }

    pub(super) fn fills(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 1000)?;
        let (tickers, order, shard) = (self.list("ticker"), self.param("order_id"), self.shard_filter()?);
        let window = self.window("min_ts", "max_ts")?;
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let rows = engine
                .fills
                .iter()
                .filter(|f| f.owner == owner && f.wall <= at && !self.other_subaccount())
                .filter(|f| tickers.as_ref().is_none_or(|t| t.contains(&f.ticker)))
                .filter(|f| order.is_none_or(|o| f.order_id.to_string() == o))
                .filter(|f| shard.is_none_or(|s| f.shard == s))
                .filter(|f| window.has(Some(f.at)));
            let (page, cursor) = page(rows.map(|f| (f.seq, f)).collect(), limit, self.cursor(), Sorted::Newest);
            answer(200, json!({ "fills": page.into_iter().map(wire::fill).collect::<Vec<_>>(), "cursor": cursor }))
        }))
    }

    pub(super) fn settlements(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 1000)?;
        let (ticker, event) = (self.param("ticker"), self.param("event_ticker"));
        let window = self.window("min_ts", "max_ts")?;
        Ok(self.sim.with(|engine, now| {
            let at = self.seen(now);
            let rows = engine
                .settlements
                .iter()
                .filter(|s| s.owner == owner && s.wall <= at && !self.other_subaccount())
                .filter(|s| ticker.is_none_or(|t| s.ticker == t))
                .filter(|s| event.is_none_or(|e| s.event_ticker == e))
                .filter(|s| window.has(Some(s.at)));
            let (page, cursor) = page(rows.map(|s| (s.seq, s)).collect(), limit, self.cursor(), Sorted::Newest);
            let rows: Vec<Value> = page.into_iter().map(wire::settlement).collect();
            answer(200, json!({ "settlements": rows, "cursor": cursor }))
        }))
    }

    pub(super) fn make_transfer(&self) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Transfer {
            client_transfer_id: Option<Uuid>,
            source: String,
            destination: String,
            /// Hundredths of a cent.
            amount: i64,
            #[serde(default)]
            source_exchange_shard: usize,
            #[serde(default)]
            destination_exchange_shard: usize,
        }
        let owner = self.owner()?;
        let body: Transfer = self.json()?;
        if body.source != "event_contract" || body.destination != "event_contract" {
            return Err(Refusal::Parameters("source or destination").into_response());
        }
        let amount = body.amount.checked_mul(100).map(Cash).ok_or_else(|| parameter("amount is out of range"))?;
        let id = self
            .sim
            .with(|engine, now| {
                engine.transfer(
                    now,
                    owner,
                    body.source_exchange_shard,
                    body.destination_exchange_shard,
                    amount,
                    body.client_transfer_id,
                )
            })
            .map_err(IntoResponse::into_response)?;
        Ok(answer(200, json!({ "transfer_id": id })))
    }

    pub(super) fn transfers(&self) -> Result<Response, Response> {
        let owner = self.owner()?;
        let limit = self.limit(100, 500)?;
        Ok(self.sim.with(|engine, _| {
            let rows = engine.transfers.iter().filter(|t| t.owner == owner).map(|t| (t.seq, t)).collect();
            let (page, cursor) = page(rows, limit, self.cursor(), Sorted::Newest);
            let rows: Vec<Value> = page.into_iter().map(transfer).collect();
            answer(200, json!({ "transfers": rows, "cursor": cursor }))
        }))
    }

    pub(super) fn transfer(&self, id: &str) -> Result<Response, Response> {
        let owner = self.owner()?;
        self.sim.with(|engine, _| {
            let found = engine.transfers.iter().find(|t| t.owner == owner && t.id.to_string() == id);
            Ok(answer(200, json!({ "transfer": transfer(found.ok_or_else(not_found)?) })))
        })
    }
}

fn transfer(row: &Transfer) -> Value {
    let mut value = json!({
        "transfer_id": row.id,
        "source": "event_contract",
        "destination": "event_contract",
        "source_exchange_shard": row.from,
        "destination_exchange_shard": row.to,
        "amount": row.amount.four(),
        "status": "complete",
        "created_ts": row.at.as_second(),
    });
    if let Some(id) = row.client_id {
        value["client_transfer_id"] = json!(id);
    }
    value
}
