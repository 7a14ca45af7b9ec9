//! What everybody may read: the exchange's state, series, events, markets, books and trades.

use super::{Call, Sorted, page};
use crate::answers::{answer, flat, not_found, parameter};
use crate::engine::Engine;
use crate::model::{Life, Market, SHARDS};
use crate::units::Qty;
use crate::wire;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

impl Call<'_> {
    pub(super) fn exchange_status(&self) -> Response {
        let ((exchange, trading), resumes) = self.sim.with(|engine, _| (engine.works(), engine.resumes()));
        let shards: Vec<Value> = (0..SHARDS)
            .map(|shard| {
                json!({ "exchange_index": shard, "description": wire::SHARD_NAMES[shard], "exchange_active": exchange,
                    "trading_active": trading, "intra_exchange_transfers_active": exchange })
            })
            .collect();
        let mut body = json!({
            "exchange_active": exchange,
            "trading_active": trading,
            "intra_exchange_transfers_active": exchange,
            "exchange_index_statuses": shards,
        });
        if !trading {
            body["exchange_estimated_resume_time"] = json!(resumes.map(|at| at.to_string()));
        }
        answer(200, body)
    }

    /// Day and night, but for announced maintenance: the simulator keeps to what it publishes.
    pub(super) fn exchange_schedule(&self) -> Response {
        let always = json!([{ "open_time": "00:00", "close_time": "00:00" }]);
        let mut week = json!({ "start_time": "2026-01-01T05:00:00Z", "end_time": "2099-01-01T05:00:00Z" });
        for day in ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] {
            week[day] = always.clone();
        }
        let windows: Vec<Value> = self.sim.with(|engine, _| {
            let told = |(from, to): &(Timestamp, Timestamp)| json!({ "start_datetime": from.to_string(), "end_datetime": to.to_string() });
            engine.hours.maintenance.iter().map(told).collect()
        });
        answer(200, json!({ "schedule": { "standard_hours": [week], "maintenance_windows": windows } }))
    }

    pub(super) fn user_data_timestamp(&self) -> Response {
        let as_of = self.sim.with(|engine, now| {
            let seen = engine.as_of.at(self.seen(now)).copied().unwrap_or(engine.as_of.now().to_owned());
            // Something written in the same microsecond as the last look may not be visible yet.
            let lag = self.sim.config.portfolio_lag;
            if lag.is_zero() {
                now.time
            } else {
                seen.checked_sub(jiff::SignedDuration::from_micros(1)).unwrap_or(seen)
            }
        });
        answer(200, json!({ "as_of_time": as_of.to_string() }))
    }

    pub(super) fn series_list(&self) -> Result<Response, Response> {
        let tags: Option<BTreeSet<String>> = self.list("tags");
        let category = self.param("category");
        self.time("min_updated_ts")?;
        let found: Vec<Value> = self.sim.with(|engine, _| {
            let volumes = self.flag("include_volume").then(|| series_volumes(engine));
            engine
                .series
                .values()
                .filter(|(_, s)| category.is_none_or(|c| s.category == c))
                .filter(|(_, s)| tags.as_ref().is_none_or(|t| s.tags.iter().any(|tag| t.contains(tag))))
                .map(|(_, s)| wire::series(s, volumes.as_ref().map(|v| v.get(&s.ticker).copied().unwrap_or_default())))
                .collect()
        });
        Ok(answer(200, json!({ "series": found })))
    }

    pub(super) fn series(&self, ticker: &str) -> Result<Response, Response> {
        self.sim.with(|engine, _| {
            let (_, series) = engine.series.get(ticker).ok_or_else(not_found)?;
            let volume = self.flag("include_volume").then(|| series_volumes(engine).remove(ticker).unwrap_or_default());
            Ok(answer(200, json!({ "series": wire::series(series, volume) })))
        })
    }

    pub(super) fn events(&self) -> Result<Response, Response> {
        let limit = self.limit(200, 200)?;
        let (series, tickers, status) = (self.param("series_ticker"), self.list("tickers"), self.param("status"));
        if status.is_some_and(|s| !["unopened", "open", "closed", "settled"].contains(&s)) {
            return Err(parameter("invalid status"));
        }
        let min_close = self.time("min_close_ts")?;
        let min_updated = self.time("min_updated_ts")?;
        Ok(self.sim.with(|engine, now| {
            let at = self.seen_market(now);
            let children = |ticker: &str| -> Vec<Value> {
                let mine = engine.markets.values().filter(|m| m.spec.event_ticker == ticker);
                let mut mine: Vec<&Market> = mine.collect();
                mine.sort_by_key(|m| m.seq);
                mine.iter().filter_map(|m| m.life.at(at).map(|life| wire::market(m, life))).collect()
            };
            let any_child = |ticker: &str, test: &dyn Fn(&Life) -> bool| {
                engine.markets.values().any(|m| m.spec.event_ticker == ticker && m.life.at(at).is_some_and(test))
            };
            let rows = engine
                .events
                .values()
                .filter(|(_, e, _)| series.is_none_or(|s| e.series_ticker == s))
                .filter(|(_, e, _)| tickers.as_ref().is_none_or(|t| t.contains(&e.ticker)))
                .filter(|(_, e, _)| status.is_none_or(|s| any_child(&e.ticker, &|l| l.status.filter_word() == s)))
                .filter(|(_, e, _)| min_close.is_none_or(|t| any_child(&e.ticker, &|l| l.close_time >= t)))
                .filter(|(_, e, _)| min_updated.is_none_or(|t| any_child(&e.ticker, &|l| l.updated >= t)));
            let rows = rows.map(|(seq, e, listed)| (*seq, (e, *listed))).collect();
            let (page, cursor) = page(rows, limit, self.cursor(), Sorted::Oldest);
            let events: Vec<Value> = page
                .into_iter()
                .map(|(event, listed)| {
                    let mut value = wire::event(engine, event, listed);
                    if self.flag("with_nested_markets") {
                        value["markets"] = Value::Array(children(&event.ticker));
                    }
                    value
                })
                .collect();
            let mut body = json!({ "events": events, "cursor": cursor });
            if self.flag("with_milestones") {
                body["milestones"] = json!([]);
            }
            answer(200, body)
        }))
    }

    pub(super) fn event(&self, ticker: &str) -> Result<Response, Response> {
        self.sim.with(|engine, now| {
            let at = self.seen_market(now);
            let (_, event, listed) = engine.events.get(ticker).ok_or_else(not_found)?;
            let mut mine: Vec<&Market> = engine.markets.values().filter(|m| m.spec.event_ticker == ticker).collect();
            mine.sort_by_key(|m| m.seq);
            let markets: Vec<Value> =
                mine.iter().filter_map(|m| m.life.at(at).map(|life| wire::market(m, life))).collect();
            let mut body = json!({ "event": wire::event(engine, event, *listed), "markets": [] });
            if self.flag("with_nested_markets") {
                body["event"]["markets"] = Value::Array(markets);
            } else if !self.flag("exclude_markets") {
                body["markets"] = Value::Array(markets);
            }
            Ok(answer(200, body))
        })
    }

    pub(super) fn markets(&self) -> Result<Response, Response> {
        let limit = self.limit(100, 1000)?;
        let (event, series, status) = (self.param("event_ticker"), self.param("series_ticker"), self.param("status"));
        if status.is_some_and(|s| !["unopened", "open", "paused", "closed", "settled"].contains(&s)) {
            return Err(parameter("invalid status"));
        }
        let tickers = self.list("tickers");
        let created = self.window("min_created_ts", "max_created_ts")?;
        let updated = self.window("min_updated_ts", "max_updated_ts")?;
        let close = self.window("min_close_ts", "max_close_ts")?;
        let settled = self.window("min_settled_ts", "max_settled_ts")?;
        let families =
            [&created, &updated, &settled].into_iter().filter(|w| w.is_set()).count() + usize::from(close.is_set());
        if families > 1 {
            return Err(parameter("timestamp filters are mutually exclusive"));
        }
        let combos_only = self.param("mve_filter") == Some("only");
        Ok(self.sim.with(|engine, now| {
            let at = self.seen_market(now);
            let rows = engine
                .markets
                .values()
                .filter_map(|m| m.life.at(at).map(|life| (m, life)))
                .filter(|_| !combos_only)
                .filter(|(m, _)| event.is_none_or(|e| m.spec.event_ticker == e))
                .filter(|(m, _)| series.is_none_or(|s| m.series_ticker == s))
                .filter(|(m, _)| tickers.as_ref().is_none_or(|t| t.contains(&m.spec.ticker)))
                .filter(|(_, life)| status.is_none_or(|s| life.status.filter_word() == s))
                .filter(|(m, life)| {
                    created.has(Some(m.created))
                        && updated.has(Some(life.updated))
                        && close.has(Some(life.close_time))
                        && settled.has(life.settled_at)
                });
            let rows = rows.map(|(m, life)| (m.seq, (m, life))).collect();
            let (page, cursor) = page(rows, limit, self.cursor(), Sorted::Oldest);
            let markets: Vec<Value> = page.into_iter().map(|(m, life)| wire::market(m, life)).collect();
            answer(200, json!({ "markets": markets, "cursor": cursor }))
        }))
    }

    pub(super) fn market(&self, ticker: &str) -> Result<Response, Response> {
        self.sim.with(|engine, now| {
            let market = engine.markets.get(ticker).ok_or_else(not_found)?;
            let life = market.life.at(self.seen_market(now)).ok_or_else(not_found)?;
            Ok(answer(200, json!({ "market": wire::market(market, life) })))
        })
    }

    pub(super) fn orderbook(&self, ticker: &str) -> Result<Response, Response> {
        let depth = match self.param("depth").map(str::parse::<usize>) {
            None => 0,
            Some(Ok(depth)) if depth <= 100 => depth,
            Some(_) => return Err(parameter("depth must be between 0 and 100")),
        };
        self.sim.with(|engine, now| {
            let market = engine.markets.get(ticker).ok_or_else(not_found)?;
            market.life.at(self.seen_market(now)).ok_or_else(not_found)?;
            Ok(answer(200, json!({ "orderbook_fp": wire::orderbook(market, depth) })))
        })
    }

    pub(super) fn orderbooks(&self) -> Result<Response, Response> {
        let tickers: Vec<&str> =
            self.query.iter().filter(|(n, _)| n == "tickers" || n == "tickers[]").map(|(_, v)| v.as_str()).collect();
        if tickers.is_empty() || tickers.len() > 100 {
            return Err(flat("tickers must name 1 to 100 markets"));
        }
        Ok(self.sim.with(|engine, _| {
            let books: Vec<Value> = tickers
                .iter()
                .filter_map(|t| engine.markets.get(*t))
                .map(|m| json!({ "ticker": m.spec.ticker, "orderbook_fp": wire::orderbook(m, 0) }))
                .collect();
            answer(200, json!({ "orderbooks": books }))
        }))
    }

    pub(super) fn trades(&self) -> Result<Response, Response> {
        let limit = self.limit(100, 1000)?;
        let (ticker, window) = (self.param("ticker"), self.window("min_ts", "max_ts")?);
        let block_only = self.flag("is_block_trade");
        Ok(self.sim.with(|engine, _| {
            let rows = engine
                .trades
                .iter()
                .filter(|t| !block_only && ticker.is_none_or(|n| t.ticker == n) && window.has(Some(t.at)));
            let (page, cursor) = page(rows.map(|t| (t.seq, t)).collect(), limit, self.cursor(), Sorted::Newest);
            answer(200, json!({ "trades": page.into_iter().map(wire::trade).collect::<Vec<_>>(), "cursor": cursor }))
        }))
    }

    pub(super) fn tags_by_categories(&self) -> Response {
        let tags = self.sim.with(|engine, _| {
            let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (_, series) in engine.series.values() {
                tags.entry(series.category.clone()).or_default().extend(series.tags.iter().cloned());
            }
            tags
        });
        answer(200, json!({ "tags_by_categories": tags }))
    }

    pub(super) fn filters_by_sport(&self) -> Response {
        let sports = self.sim.with(|engine, _| {
            let mut sports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (_, series) in engine.series.values().filter(|(_, s)| s.category == "Sports") {
                for tag in &series.tags {
                    sports.entry(tag.clone()).or_default().insert(series.title.clone());
                }
            }
            sports
        });
        let filters: BTreeMap<&String, Value> = sports
            .iter()
            .map(|(sport, titles)| {
                let competitions: BTreeMap<&String, Value> =
                    titles.iter().map(|t| (t, json!({ "scopes": ["Games"] }))).collect();
                (sport, json!({ "scopes": ["Games"], "competitions": competitions }))
            })
            .collect();
        let ordering: Vec<&String> = sports.keys().collect();
        answer(200, json!({ "filters_by_sports": filters, "sport_ordering": ordering }))
    }
}

fn series_volumes(engine: &Engine) -> BTreeMap<String, Qty> {
    let mut volumes: BTreeMap<String, Qty> = BTreeMap::new();
    for market in engine.markets.values() {
        *volumes.entry(market.series_ticker.clone()).or_default() += market.volume;
    }
    volumes
}
