//! The published shapes, built from the engine's state. Field names and formats are Kalshi's.

use crate::book::BookSide;
use crate::engine::{Amended, Engine, Notice};
use crate::model::{
    EventSpec, Fill, Grid, Life, Market, Order, OrderStatus, Outcome, Position, SeriesSpec, Settlement, Status, Trade,
};
use crate::units::{Cash, Px, Qty};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

pub const SHARD_NAMES: [&str; 4] = ["Default", "Combos", "Crypto", "Sports"];

/// Whole number where it is one, as JSON numbers are written by the exchange.
fn multiplier(thousandths: i64) -> Value {
    if thousandths % 1000 == 0 {
        return json!(thousandths / 1000);
    }
    // Not money: the published document declares this one field a JSON number.
    serde_json::from_str(&format!("{}.{:03}", thousandths / 1000, thousandths % 1000)).unwrap_or(json!(1))
}

fn fee_type(series: &SeriesSpec) -> &'static str {
    match series.fees.fee_type {
        crate::fees::FeeType::Quadratic => "quadratic",
        crate::fees::FeeType::QuadraticWithMakerFees => "quadratic_with_maker_fees",
    }
}

pub fn series(series: &SeriesSpec, volume: Option<Qty>) -> Value {
    let mut value = json!({
        "ticker": series.ticker,
        "frequency": series.frequency,
        "title": series.title,
        "category": series.category,
        "categories": [series.category],
        "tags": if series.tags.is_empty() { Value::Null } else { json!(series.tags) },
        "settlement_sources": [{ "name": series.source, "url": "https://example.invalid/source" }],
        "contract_url": "https://example.invalid/contract.pdf",
        "contract_terms_url": "https://example.invalid/terms.pdf",
        "fee_type": fee_type(series),
        "fee_multiplier": multiplier(series.fees.multiplier_thousandths),
        "additional_prohibitions": null,
        "exchange_index": series.shard,
    });
    if let Some(volume) = volume {
        value["volume_fp"] = json!(volume.to_string());
    }
    value
}

pub fn event(engine: &Engine, event: &EventSpec, listed: Timestamp) -> Value {
    let series = engine.series.get(&event.series_ticker).map(|(_, s)| s);
    let mut value = json!({
        "event_ticker": event.ticker,
        "series_ticker": event.series_ticker,
        "sub_title": event.sub_title,
        "title": event.title,
        "collateral_return_type": if event.mutually_exclusive { "MECNET" } else { "" },
        "mutually_exclusive": event.mutually_exclusive,
        "category": series.map_or("", |s| s.category.as_str()),
        "settlement_sources": [{ "name": series.map_or("", |s| s.source.as_str()), "url": "https://example.invalid/source" }],
        "exchange_index": series.map_or(0, |s| s.shard),
        "last_updated_ts": listed.to_string(),
    });
    if let Some(date) = event.strike_date {
        value["strike_date"] = json!(date.to_string());
    }
    value
}

fn grid_ranges(grid: Grid) -> Value {
    let text = |micros: i64| Px(micros).to_string();
    grid.ranges()
        .iter()
        .map(|(start, end, step)| json!({ "start": text(*start), "end": text(*end), "step": text(*step) }))
        .collect()
}

/// Best quotes as the exchange writes them: an empty side is 0 or 1, never null.
pub struct Top {
    pub yes_bid: Px,
    pub yes_bid_size: Qty,
    pub yes_ask: Px,
    pub yes_ask_size: Qty,
}

pub fn top(market: &Market) -> Top {
    let (yes_bid, yes_bid_size) = market.book.best(BookSide::Bid).unwrap_or_default();
    let (yes_ask, yes_ask_size) = market.book.best(BookSide::Ask).unwrap_or((Px::ONE, Qty::ZERO));
    Top { yes_bid, yes_bid_size, yes_ask, yes_ask_size }
}

/// One market as it looked in `life`.
pub fn market(market: &Market, life: &Life) -> Value {
    let spec = &market.spec;
    let top = top(market);
    let latest = spec
        .close_time
        .max(spec.expected_expiration_time.unwrap_or(spec.close_time))
        .checked_add(SignedDuration::from_hours(7 * 24))
        .unwrap_or(Timestamp::MAX);
    let mut value = json!({
        "ticker": spec.ticker,
        "event_ticker": spec.event_ticker,
        "market_type": "binary",
        "title": spec.title,
        "subtitle": "",
        "yes_sub_title": spec.yes_sub_title,
        "no_sub_title": spec.no_sub_title,
        "created_time": market.created.to_string(),
        "updated_time": life.updated.to_string(),
        "open_time": spec.open_time.to_string(),
        "close_time": life.close_time.to_string(),
        "expected_expiration_time": spec.expected_expiration_time.map(|t| t.to_string()),
        "expiration_time": latest.to_string(),
        "latest_expiration_time": latest.to_string(),
        "settlement_timer_seconds": spec.settlement_timer_seconds,
        "status": life.status.as_str(),
        "notional_value_dollars": "1.0000",
        "yes_bid_dollars": top.yes_bid.to_string(),
        "yes_ask_dollars": top.yes_ask.to_string(),
        "no_bid_dollars": top.yes_ask.complement().to_string(),
        "no_ask_dollars": top.yes_bid.complement().to_string(),
        "yes_bid_size_fp": top.yes_bid_size.to_string(),
        "yes_ask_size_fp": top.yes_ask_size.to_string(),
        "last_price_dollars": market.last_price.to_string(),
        "previous_yes_bid_dollars": Px(spec.fair.0 - 10_000).to_string(),
        "previous_yes_ask_dollars": Px(spec.fair.0 + 10_000).to_string(),
        "previous_price_dollars": spec.fair.to_string(),
        "volume_fp": market.volume.to_string(),
        "volume_24h_fp": market.volume.to_string(),
        "open_interest_fp": market.open_interest.to_string(),
        "result": life.outcome.map_or("", Outcome::as_str),
        "can_close_early": true,
        "expiration_value": life.expiration_value,
        "rules_primary": spec.rules_primary,
        "rules_secondary": "",
        "price_level_structure": spec.grid.name(),
        "price_ranges": grid_ranges(spec.grid),
        "settlement_bounds_type": "default",
        "exchange_index": market.shard,
    });
    let optional = [
        ("occurrence_datetime", spec.occurrence_time.map(|t| json!(t.to_string()))),
        ("strike_type", spec.strike_type.as_ref().map(|s| json!(s))),
        ("floor_strike", spec.floor_strike.clone().map(Value::Number)),
        ("cap_strike", spec.cap_strike.clone().map(Value::Number)),
        ("settlement_value_dollars", life.outcome.map(|o| json!(o.value().to_string()))),
        ("settlement_ts", life.settled_at.map(|t| json!(t.to_string()))),
    ];
    for (name, field) in optional {
        if let Some(field) = field {
            value[name] = field;
        }
    }
    value
}

fn levels(market: &Market, side: BookSide, depth: usize, as_yes_price: bool) -> Value {
    let all = market.book.levels(side);
    let skip = if depth == 0 { 0 } else { all.len().saturating_sub(depth) };
    all[skip..]
        .iter()
        .map(|(price, count)| {
            let price = if as_yes_price && side == BookSide::Ask { price.complement() } else { *price };
            json!([price.to_string(), count.to_string()])
        })
        .collect()
}

pub fn orderbook(market: &Market, depth: usize) -> Value {
    json!({
        "yes_dollars": levels(market, BookSide::Bid, depth, false),
        "no_dollars": levels(market, BookSide::Ask, depth, false),
    })
}

pub fn order(engine: &Engine, order: &Order) -> Value {
    json!({
        "order_id": order.id,
        "user_id": engine.accounts[order.owner].user_id,
        "client_order_id": order.client_order_id,
        "ticker": order.ticker,
        "outcome_side": order.side.outcome(),
        "book_side": order.side.as_str(),
        "type": "limit",
        "status": order.status.as_str(),
        "yes_price_dollars": order.price.to_string(),
        "no_price_dollars": order.price.complement().to_string(),
        "fill_count_fp": order.filled.to_string(),
        "remaining_count_fp": order.remaining.to_string(),
        "initial_count_fp": order.initial.to_string(),
        "taker_fill_cost_dollars": order.taker_cost.six(),
        "maker_fill_cost_dollars": order.maker_cost.six(),
        "taker_fees_dollars": order.taker_fees.six(),
        "maker_fees_dollars": order.maker_fees.six(),
        "expiration_time": order.expiration.map(|t| t.to_string()),
        "created_time": order.created.to_string(),
        "last_update_time": order.updated.to_string(),
        "self_trade_prevention_type": order.self_trade,
        "order_group_id": null,
        "cancel_order_on_pause": order.cancel_on_pause,
        "subaccount_number": 0,
        "exchange_index": order.shard,
    })
}

/// The answer to a write: counts, and averages only when something filled.
pub fn placed(order: &Order) -> Value {
    let mut value = json!({
        "order_id": order.id,
        "client_order_id": order.client_order_id,
        "fill_count": order.filled.to_string(),
        "remaining_count": order.remaining.to_string(),
        "ts_ms": order.updated.as_millisecond(),
    });
    if order.filled > Qty::ZERO {
        let per = |total: Cash| (i128::from(total.0) * 100 / i128::from(order.filled.0)) as i64;
        value["average_fill_price"] = json!(Px(per(order.yes_notional)).to_string());
        value["average_fee_paid"] = json!(Cash(per(order.taker_fees + order.maker_fees)).six());
    }
    value
}

/// The answer to an amendment: counts only when something filled or another number rests, averages of these fills alone.
pub fn amended(amended: &Amended) -> Value {
    let (order, moved) = (&amended.order, amended.resized || amended.filled > Qty::ZERO);
    let per = |total: Cash| (i128::from(total.0) * 100 / i128::from(amended.filled.0.max(1))) as i64;
    let filled = amended.filled > Qty::ZERO;
    json!({
        "order_id": order.id,
        "client_order_id": order.client_order_id,
        "remaining_count": moved.then(|| order.remaining.to_string()),
        "fill_count": moved.then(|| amended.filled.to_string()),
        "average_fill_price": filled.then(|| Px(per(amended.yes_notional)).to_string()),
        "average_fee_paid": filled.then(|| Cash(per(amended.fees)).six()),
        "ts_ms": order.updated.as_millisecond(),
    })
}

pub fn fill(fill: &Fill) -> Value {
    json!({
        "fill_id": fill.trade_id,
        "exchange_index": fill.shard,
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "ticker": fill.ticker,
        "market_ticker": fill.ticker,
        "outcome_side": fill.side.outcome(),
        "book_side": fill.side.as_str(),
        "count_fp": fill.count.to_string(),
        "yes_price_dollars": fill.price.to_string(),
        "no_price_dollars": fill.price.complement().to_string(),
        "is_taker": fill.is_taker,
        "created_time": fill.at.to_string(),
        "fee_cost": fill.fee.six(),
        "subaccount_number": 0,
        "ts": fill.at.as_second(),
    })
}

pub fn trade(trade: &Trade) -> Value {
    json!({
        "trade_id": trade.id,
        "ticker": trade.ticker,
        "count_fp": trade.count.to_string(),
        "yes_price_dollars": trade.price.to_string(),
        "no_price_dollars": trade.price.complement().to_string(),
        "taker_outcome_side": trade.taker_side.outcome(),
        "taker_book_side": trade.taker_side.as_str(),
        "created_time": trade.at.to_string(),
        "is_block_trade": false,
    })
}

pub fn position(market: &Market, position: &Position) -> Value {
    json!({
        "ticker": market.spec.ticker,
        "exchange_index": market.shard,
        "total_traded_dollars": position.traded.six(),
        "position_fp": position.net.to_string(),
        "market_exposure_dollars": position.basis.six(),
        "realized_pnl_dollars": position.realized.six(),
        "fees_paid_dollars": position.fees.six(),
        "last_updated_ts": position.updated.to_string(),
    })
}

pub fn event_position(event_ticker: &str, positions: &[&Position]) -> Value {
    let sum = |field: fn(&Position) -> Cash| positions.iter().map(|p| field(p)).sum::<Cash>().six();
    json!({
        "event_ticker": event_ticker,
        "total_cost_dollars": sum(|p| p.traded),
        "total_cost_shares_fp": positions.iter().map(|p| p.volume).sum::<Qty>().to_string(),
        "event_exposure_dollars": sum(|p| p.basis),
        "realized_pnl_dollars": sum(|p| p.realized),
        "fees_paid_dollars": sum(|p| p.fees),
    })
}

pub fn settlement(row: &Settlement) -> Value {
    json!({
        "ticker": row.ticker,
        "exchange_index": row.shard,
        "event_ticker": row.event_ticker,
        "market_result": row.outcome.as_str(),
        "yes_count_fp": row.position.yes_count.to_string(),
        "yes_total_cost_dollars": row.position.yes_cost.six(),
        "no_count_fp": row.position.no_count.to_string(),
        "no_total_cost_dollars": row.position.no_cost.six(),
        "revenue": row.revenue_cents,
        "settled_time": row.at.to_string(),
        "fee_cost": row.position.fees.six(),
        "value": row.outcome.value().0 / 10_000,
    })
}

// ---- socket messages -------------------------------------------------------------------------------

pub fn lifecycle(engine: &Engine, notice: &Notice) -> Option<Value> {
    let mut msg = Map::new();
    let mut put = |name: &str, value: Value| {
        msg.insert(name.to_owned(), value);
    };
    match notice {
        Notice::Created { ticker } => {
            let market = engine.markets.get(ticker)?;
            let spec = &market.spec;
            put("market_ticker", json!(ticker));
            put("event_type", json!("created"));
            put("exchange_index", json!(market.shard));
            put("open_ts", json!(spec.open_time.as_second()));
            put("close_ts", json!(spec.close_time.as_second()));
            put("price_level_structure", json!(spec.grid.name()));
            put("price_ranges", grid_ranges(spec.grid));
            put("additional_metadata", additional_metadata(market));
        }
        Notice::Deactivated { ticker } => {
            put("market_ticker", json!(ticker));
            put("event_type", json!("deactivated"));
            put("is_deactivated", json!(true));
        }
        Notice::Activated { ticker } => {
            put("market_ticker", json!(ticker));
            put("event_type", json!("activated"));
            put("is_deactivated", json!(false));
        }
        Notice::CloseDateUpdated { ticker, close } => {
            put("market_ticker", json!(ticker));
            put("event_type", json!("close_date_updated"));
            put("close_ts", json!(close.as_second()));
        }
        Notice::Determined { ticker, outcome, at } => {
            put("market_ticker", json!(ticker));
            put("event_type", json!("determined"));
            put("result", json!(outcome.as_str()));
            put("settlement_value", json!(outcome.value().to_string()));
            put("determination_ts", json!(at.as_second()));
        }
        Notice::Settled { ticker, at } => {
            put("market_ticker", json!(ticker));
            put("event_type", json!("settled"));
            put("settled_ts", json!(at.as_second()));
        }
        _ => return None,
    }
    Some(Value::Object(msg))
}

fn additional_metadata(market: &Market) -> Value {
    let spec = &market.spec;
    let mut value = json!({
        "name": spec.yes_sub_title,
        "title": spec.title,
        "yes_sub_title": spec.yes_sub_title,
        "no_sub_title": spec.no_sub_title,
        "rules_primary": spec.rules_primary,
        "rules_secondary": "",
        "can_close_early": true,
        "event_ticker": spec.event_ticker,
        "expected_expiration_ts": spec.expected_expiration_time.unwrap_or(spec.close_time).as_second(),
    });
    let optional = [
        ("strike_type", spec.strike_type.as_ref().map(|s| json!(s))),
        ("floor_strike", spec.floor_strike.clone().map(Value::Number)),
        ("cap_strike", spec.cap_strike.clone().map(Value::Number)),
    ];
    for (name, field) in optional {
        if let Some(field) = field {
            value[name] = field;
        }
    }
    value
}

pub fn event_lifecycle(engine: &Engine, event_ticker: &str) -> Option<Value> {
    let (_, event, _) = engine.events.get(event_ticker)?;
    let shard = engine.series.get(&event.series_ticker).map_or(0, |(_, s)| s.shard);
    let mut value = json!({
        "event_ticker": event.ticker,
        "exchange_index": shard,
        "title": event.title,
        "subtitle": event.sub_title,
        "collateral_return_type": if event.mutually_exclusive { "MECNET" } else { "" },
        "series_ticker": event.series_ticker,
    });
    if let Some(date) = event.strike_date {
        value["strike_date"] = json!(date.as_second());
    }
    Some(value)
}

pub fn user_order(engine: &Engine, order: &Order, reason: Option<&str>) -> Value {
    let mut value = json!({
        "order_id": order.id,
        "user_id": engine.accounts[order.owner].user_id,
        "ticker": order.ticker,
        "exchange_index": order.shard,
        "status": order.status.as_str(),
        "side": order.side.outcome(),
        "is_yes": order.side == BookSide::Bid,
        "outcome_side": order.side.outcome(),
        "book_side": order.side.as_str(),
        "yes_price_dollars": order.price.to_string(),
        "fill_count_fp": order.filled.to_string(),
        "remaining_count_fp": order.remaining.to_string(),
        "initial_count_fp": order.initial.to_string(),
        "taker_fill_cost_dollars": order.taker_cost.six(),
        "maker_fill_cost_dollars": order.maker_cost.six(),
        "taker_fees_dollars": order.taker_fees.six(),
        "maker_fees_dollars": order.maker_fees.six(),
        "client_order_id": order.client_order_id,
        "self_trade_prevention_type": order.self_trade,
        "created_time": order.created.to_string(),
        "created_ts_ms": order.created.as_millisecond(),
        "last_update_time": order.updated.to_string(),
        "last_updated_ts_ms": order.updated.as_millisecond(),
        "subaccount_number": 0,
    });
    if let Some(expiration) = order.expiration {
        value["expiration_time"] = json!(expiration.to_string());
        value["expiration_ts_ms"] = json!(expiration.as_millisecond());
    }
    if let Some(reason) = reason {
        value["last_update_reason"] = json!(reason);
    }
    value
}

pub fn ws_fill(fill: &Fill, client_order_id: &str, post_position: Qty) -> Value {
    json!({
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "client_order_id": client_order_id,
        "market_ticker": fill.ticker,
        "exchange_index": fill.shard,
        "is_taker": fill.is_taker,
        "side": fill.side.outcome(),
        "yes_price_dollars": fill.price.to_string(),
        "count_fp": fill.count.to_string(),
        "fee_cost": fill.fee.six(),
        "action": "buy",
        "ts": fill.at.as_second(),
        "ts_ms": fill.at.as_millisecond(),
        "post_position_fp": post_position.to_string(),
        "purchased_side": fill.side.outcome(),
        "outcome_side": fill.side.outcome(),
        "book_side": fill.side.as_str(),
        "subaccount": 0,
    })
}

pub fn ws_position(engine: &Engine, owner: usize, ticker: &str, position: &Position) -> Value {
    json!({
        "user_id": engine.accounts[owner].user_id,
        "market_ticker": ticker,
        "position_fp": position.net.to_string(),
        "position_cost_dollars": position.basis.six(),
        "realized_pnl_dollars": position.realized.six(),
        "fees_paid_dollars": position.fees.six(),
        "position_fee_cost_dollars": position.fees.six(),
        "volume_fp": position.volume.to_string(),
        "subaccount": 0,
    })
}

pub fn ws_trade(trade: &Trade) -> Value {
    json!({
        "trade_id": trade.id,
        "market_ticker": trade.ticker,
        "yes_price_dollars": trade.price.to_string(),
        "no_price_dollars": trade.price.complement().to_string(),
        "count_fp": trade.count.to_string(),
        "taker_side": trade.taker_side.outcome(),
        "taker_outcome_side": trade.taker_side.outcome(),
        "taker_book_side": trade.taker_side.as_str(),
        "is_block_trade": false,
        "ts": trade.at.as_second(),
        "ts_ms": trade.at.as_millisecond(),
    })
}

pub fn ticker(market: &Market, at: Timestamp) -> Value {
    let top = top(market);
    json!({
        "market_id": market.id,
        "market_ticker": market.spec.ticker,
        "price_dollars": market.last_price.to_string(),
        "yes_bid_dollars": top.yes_bid.to_string(),
        "yes_ask_dollars": top.yes_ask.to_string(),
        "volume_fp": market.volume.to_string(),
        "open_interest_fp": market.open_interest.to_string(),
        "dollar_volume": market.last_price.times(market.volume).0 / 1_000_000,
        "dollar_open_interest": market.pot.0 / 1_000_000,
        "yes_bid_size_fp": top.yes_bid_size.to_string(),
        "yes_ask_size_fp": top.yes_ask_size.to_string(),
        "last_trade_size_fp": market.last_size.to_string(),
        "ts": at.as_second(),
        "ts_ms": at.as_millisecond(),
        "time": at.to_string(),
    })
}

/// A side without levels is a missing key.
pub fn snapshot(market: &Market, use_yes_price: bool) -> Value {
    let mut value = json!({ "market_ticker": market.spec.ticker, "market_id": market.id, "clock": market.clock });
    for (name, side) in [("yes_dollars_fp", BookSide::Bid), ("no_dollars_fp", BookSide::Ask)] {
        let levels = levels(market, side, 0, use_yes_price);
        if levels.as_array().is_some_and(|l| !l.is_empty()) {
            value[name] = levels;
        }
    }
    value
}

/// Everything an outside check needs to count orders and money.
pub fn dump(engine: &Engine) -> Value {
    let accounts: Vec<Value> = engine
        .accounts
        .iter()
        .enumerate()
        .map(|(number, account)| {
            let balance = account.balance.now();
            let positions: Map<String, Value> = account
                .positions
                .iter()
                .map(|(ticker, p)| {
                    let p = p.now();
                    let row = json!({ "position": p.net.to_string(), "exposure_dollars": p.basis.six(),
                        "fees_dollars": p.fees.six(), "realized_dollars": p.realized.six(), "settled": p.settled });
                    (ticker.clone(), row)
                })
                .collect();
            json!({
                "account": number,
                "house": number == crate::engine::HOUSE,
                "user_id": account.user_id,
                "cash_dollars": balance.cash.map(Cash::six),
                "reserved_dollars": balance.reserved.map(Cash::six),
                "positions": positions,
            })
        })
        .collect();
    let mut orders = Map::new();
    for stored in engine.orders.values() {
        let stored = stored.now();
        let mut row = order(engine, stored);
        row["account"] = json!(stored.owner);
        row["killed"] = json!(stored.status == OrderStatus::Canceled && stored.filled == Qty::ZERO);
        orders.insert(stored.client_order_id.clone(), row);
    }
    let markets: Map<String, Value> = engine
        .markets
        .iter()
        .map(|(ticker, m)| {
            let life = m.life.now();
            let row = json!({ "status": life.status.as_str(), "result": life.outcome.map_or("", Outcome::as_str),
                "settlement_value_dollars": life.outcome.map(|o| o.value().to_string()),
                "pot_dollars": m.pot.six(), "volume": m.volume.to_string(), "closes": life.close_time.to_string(),
                "final": life.status == Status::Finalized });
            (ticker.clone(), row)
        })
        .collect();
    json!({
        "accounts": accounts,
        "orders_by_client_order_id": orders,
        "fills": engine.fills.iter().map(fill).collect::<Vec<_>>(),
        "settlements": engine.settlements.iter().map(settlement).collect::<Vec<_>>(),
        "markets": markets,
        "fees_dollars": engine.fees.six(),
        "rounding_dollars": engine.rounding.six(),
        "funded_dollars": engine.funded.six(),
        "broken_invariants": engine.audit(),
    })
}
