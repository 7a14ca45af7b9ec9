//! The exchange's published shapes, as far as we read them, and their translation into our words. Unknown fields are
//! ignored: the exchange adds some every month.

use hunch_exchange::{
    EventReport, ExchangePosition, ExchangeShard, FeeRule, FillReport, LifecycleKind, MarketReport, MarketResult,
    MarketStatus, OrderReport, PriceBand, SeriesReport, SettlementReport,
};
use hunch_kernel::{Count, Dollars, EventTicker, MarketTicker, MoneyError, Price, SeriesTicker, Side};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::elements::{list, moment, of_our_age, text, whole};

/// A thousand pages are no list any more.
pub(crate) const PAGES_MAX: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("{field}: {source}")]
    Number { field: &'static str, source: MoneyError },
    #[error("{field} is {value:?}, which is not documented")]
    Word { field: &'static str, value: String },
    #[error("{field} is missing")]
    Missing { field: &'static str },
    /// Not of the published shape.
    #[error("{field}: {cause}")]
    Shape { field: String, cause: String },
}

/// A name that is longer is none.
const NAME_CHARS_MAX: usize = 200;

/// A billion dollars and a billion contracts: more is a mistake of whoever sent it, and arithmetic below stays exact.
const DOLLARS_MAX: Dollars = Dollars(1_000_000_000_000_000);
const COUNT_MAX: Count = Count(100_000_000_000);

fn price(field: &'static str, text: &str) -> Result<Price, WireError> {
    text.parse().map_err(|source| WireError::Number { field, source })
}

/// Contracts held, negative for NO.
fn net_count(field: &'static str, text: &str) -> Result<Count, WireError> {
    let count: Count = text.parse().map_err(|source| WireError::Number { field, source })?;
    if (-COUNT_MAX.0..=COUNT_MAX.0).contains(&count.0) { Ok(count) } else { Err(out_of_range(field, text)) }
}

/// Contracts filled, offered or resting.
fn count(field: &'static str, text: &str) -> Result<Count, WireError> {
    let count = net_count(field, text)?;
    if count.0 >= 0 { Ok(count) } else { Err(out_of_range(field, text)) }
}

fn dollars(field: &'static str, text: &str) -> Result<Dollars, WireError> {
    let dollars: Dollars = text.parse().map_err(|source| WireError::Number { field, source })?;
    if (-DOLLARS_MAX.0..=DOLLARS_MAX.0).contains(&dollars.0) { Ok(dollars) } else { Err(out_of_range(field, text)) }
}

/// What was paid for contracts, of which none ever costs more than a dollar.
fn cost(field: &'static str, cost: Dollars, filled: Count) -> Result<Dollars, WireError> {
    let fits = cost >= Dollars::ZERO && cost <= Price::ONE.times_up(filled);
    if fits { Ok(cost) } else { Err(out_of_range(field, &cost.to_string())) }
}

fn out_of_range(field: &'static str, text: &str) -> WireError {
    WireError::Number { field, source: MoneyError::OutOfRange(text.chars().take(40).collect()) }
}

/// Of a text that may be empty: then there is nothing.
fn maybe<T>(text: &str, read: impl Fn(&str) -> Result<T, WireError>) -> Result<Option<T>, WireError> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

/// A text that the database can keep.
fn plain(field: &'static str, text: String) -> Result<String, WireError> {
    if text.contains('\0') { Err(word(field, &text)) } else { Ok(text) }
}

/// A name that can be a key.
fn name(field: &'static str, text: String) -> Result<String, WireError> {
    match text.chars().count() {
        0 => Err(WireError::Missing { field }),
        1..=NAME_CHARS_MAX if !text.chars().any(char::is_control) => Ok(text),
        _ => Err(word(field, &text)),
    }
}

pub(crate) fn word(field: &'static str, value: &str) -> WireError {
    WireError::Word { field, value: value.chars().take(40).collect() }
}

#[derive(Deserialize)]
pub(crate) struct AccountLimits {
    pub read: TokenBucket,
    pub write: TokenBucket,
}

#[derive(Deserialize)]
pub(crate) struct TokenBucket {
    /// Tokens a second.
    pub refill_rate: i64,
    pub bucket_capacity: i64,
}

impl TokenBucket {
    /// (tokens a second, tokens kept), if one request is ever let through by it and sums of it stay in range.
    pub fn usable(&self, cost: i64) -> Result<(i64, i64), WireError> {
        let sane = 1..=1_000_000_000;
        if !sane.contains(&self.refill_rate) || !(cost..=1_000_000_000).contains(&self.bucket_capacity) {
            return Err(out_of_range("refill_rate", &format!("{}/{}", self.refill_rate, self.bucket_capacity)));
        }
        Ok((self.refill_rate, self.bucket_capacity))
    }
}

#[derive(Deserialize)]
pub(crate) struct Created {
    /// Absent or empty: the answer is not one, whatever its status says.
    #[serde(default)]
    pub order_id: String,
    pub client_order_id: Option<String>,
    pub fill_count: String,
    pub remaining_count: String,
    pub average_fill_price: Option<String>,
    pub average_fee_paid: Option<String>,
}

impl Created {
    pub fn report(&self, client_order_id: Uuid, side: Side) -> Result<OrderReport, WireError> {
        if self.order_id.is_empty() {
            return Err(word("order_id", ""));
        }
        if let Some(echo) = &self.client_order_id
            && !echo.is_empty()
            && echo.parse() != Ok(client_order_id)
        {
            return Err(word("client_order_id", echo));
        }
        let filled = count("fill_count", &self.fill_count)?;
        let average = self.average_fill_price.as_deref().map(|p| price("average_fill_price", p)).transpose()?;
        let fee = self.average_fee_paid.as_deref().map(|p| dollars("average_fee_paid", p)).transpose()?;
        let average = average.filter(|_| filled.0 > 0).map(|yes| yes.of(side));
        let fee_exact = i128::from(fee.unwrap_or_default().0) * i128::from(filled.0);
        let fees = fee_exact.div_euclid(100) + i128::from(fee_exact.rem_euclid(100) != 0);
        let fees = i64::try_from(fees).ok().filter(|fees| fees.abs() <= DOLLARS_MAX.0).map(Dollars);
        Ok(OrderReport {
            exchange_order_id: self.order_id.clone(),
            client_order_id,
            filled,
            resting: count("remaining_count", &self.remaining_count)?,
            average_price: average,
            cost: average.map_or(Dollars::ZERO, |p| p.times_up(filled)),
            fees: fees.ok_or_else(|| out_of_range("average_fee_paid", &fee_exact.to_string()))?,
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct Orders {
    #[serde(deserialize_with = "list")]
    pub orders: Vec<Value>,
    #[serde(default, deserialize_with = "text")]
    pub cursor: String,
}

#[derive(Deserialize)]
pub(crate) struct Order {
    pub order_id: String,
    pub outcome_side: String,
    pub fill_count_fp: String,
    pub remaining_count_fp: String,
    pub taker_fill_cost_dollars: String,
    pub maker_fill_cost_dollars: String,
    pub taker_fees_dollars: String,
    pub maker_fees_dollars: String,
}

impl Order {
    pub fn report(&self, client_order_id: Uuid) -> Result<OrderReport, WireError> {
        side("outcome_side", &self.outcome_side)?;
        let exchange_order_id = name("order_id", self.order_id.clone())?;
        let filled = count("fill_count_fp", &self.fill_count_fp)?;
        let paid = dollars("taker_fill_cost_dollars", &self.taker_fill_cost_dollars)?
            + dollars("maker_fill_cost_dollars", &self.maker_fill_cost_dollars)?;
        let cost = cost("taker_fill_cost_dollars", paid, filled)?;
        let fees = dollars("taker_fees_dollars", &self.taker_fees_dollars)?
            + dollars("maker_fees_dollars", &self.maker_fees_dollars)?;
        let average = if filled.0 > 0 { Price::from_micros((cost.0 * 100) / filled.0).ok() } else { None };
        Ok(OrderReport {
            exchange_order_id,
            client_order_id,
            filled,
            resting: count("remaining_count_fp", &self.remaining_count_fp)?,
            average_price: average,
            cost,
            fees,
        })
    }
}

fn side(field: &'static str, text: &str) -> Result<Side, WireError> {
    text.parse().map_err(|_| word(field, text))
}

/// For the examples of the exchange's documents and for made-up bytes: the programme reads lists.
#[cfg(any(test, feature = "fuzzing"))]
#[derive(Deserialize)]
pub(crate) struct OneMarket {
    pub market: Market,
}

#[derive(Deserialize)]
pub(crate) struct Markets {
    #[serde(deserialize_with = "list")]
    pub markets: Vec<Value>,
    #[serde(default, deserialize_with = "text")]
    pub cursor: String,
}

/// What a market cannot do without is its name, event, state and times of trading. A text that is not there is empty, and
/// a price that is not there is not offered: who has a stake must hear of the result nevertheless.
#[derive(Deserialize)]
pub(crate) struct Market {
    pub ticker: String,
    pub event_ticker: String,
    #[serde(default, deserialize_with = "text")]
    pub title: String,
    #[serde(default, deserialize_with = "text")]
    pub yes_sub_title: String,
    #[serde(default, deserialize_with = "text")]
    pub no_sub_title: String,
    #[serde(default, deserialize_with = "text")]
    pub rules_primary: String,
    #[serde(default, deserialize_with = "text")]
    pub rules_secondary: String,
    pub status: String,
    #[serde(default, deserialize_with = "text")]
    pub result: String,
    #[serde(default, deserialize_with = "text")]
    pub settlement_value_dollars: String,
    #[serde(default, deserialize_with = "moment")]
    pub settlement_ts: Option<Timestamp>,
    #[serde(default, deserialize_with = "text")]
    pub yes_bid_dollars: String,
    #[serde(default, deserialize_with = "text")]
    pub yes_ask_dollars: String,
    #[serde(default, deserialize_with = "text")]
    pub yes_bid_size_fp: String,
    #[serde(default, deserialize_with = "text")]
    pub yes_ask_size_fp: String,
    #[serde(default, deserialize_with = "text")]
    pub last_price_dollars: String,
    #[serde(default, deserialize_with = "text")]
    pub volume_fp: String,
    #[serde(default, deserialize_with = "moment")]
    pub open_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub close_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub expected_expiration_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    pub occurrence_datetime: Option<Timestamp>,
    pub price_ranges: Option<Vec<Range>>,
    #[serde(default, deserialize_with = "whole")]
    pub exchange_index: i16,
    #[serde(default, deserialize_with = "whole")]
    pub settlement_timer_seconds: i64,
}

fn zero() -> String {
    "0.00".to_owned()
}

#[derive(Deserialize)]
pub(crate) struct Range {
    pub start: String,
    pub end: String,
    pub step: String,
}

impl Market {
    pub fn report(self) -> Result<MarketReport, WireError> {
        let status = match self.status.as_str() {
            "initialized" => MarketStatus::Initialized,
            "inactive" => MarketStatus::Inactive,
            "active" => MarketStatus::Active,
            "closed" => MarketStatus::Closed,
            "determined" => MarketStatus::Determined,
            "disputed" => MarketStatus::Disputed,
            "amended" => MarketStatus::Amended,
            "finalized" => MarketStatus::Finalized,
            other => return Err(word("status", other)),
        };
        // An empty side shows as 0 or 1, which are never prices.
        let quote = |field, text: &str| {
            maybe(text, |text| price(field, text)).map(|p| p.filter(|p| *p != Price::ZERO && *p != Price::ONE))
        };
        let size = |field, text: &str| maybe(text, |text| count(field, text)).map(Option::unwrap_or_default);
        let prices = self.price_ranges.iter().flatten().map(|r| {
            Ok(PriceBand {
                start: price("start", &r.start)?,
                end: price("end", &r.end)?,
                step: price("step", &r.step)?,
            })
        });
        Ok(MarketReport {
            status,
            result: result(&self.result)?,
            settlement_value: maybe(&self.settlement_value_dollars, |v| price("settlement_value_dollars", v))?,
            settled_at: self.settlement_ts,
            yes_bid: quote("yes_bid_dollars", &self.yes_bid_dollars)?,
            yes_ask: quote("yes_ask_dollars", &self.yes_ask_dollars)?,
            yes_bid_size: size("yes_bid_size_fp", &self.yes_bid_size_fp)?,
            yes_ask_size: size("yes_ask_size_fp", &self.yes_ask_size_fp)?,
            last_price: maybe(&self.last_price_dollars, |v| price("last_price_dollars", v))?
                .filter(|p| *p != Price::ZERO),
            volume: size("volume_fp", &self.volume_fp)?,
            prices: prices.collect::<Result<_, WireError>>()?,
            rules: plain("rules", [self.rules_primary, self.rules_secondary].join(" ").trim().to_owned())?,
            ticker: MarketTicker(name("ticker", self.ticker)?),
            event: EventTicker(name("event_ticker", self.event_ticker)?),
            title: plain("title", self.title)?,
            yes_label: plain("yes_sub_title", self.yes_sub_title)?,
            no_label: plain("no_sub_title", self.no_sub_title)?,
            open_time: self.open_time.ok_or(WireError::Missing { field: "open_time" })?,
            close_time: self.close_time.ok_or(WireError::Missing { field: "close_time" })?,
            expected_end: self.expected_expiration_time,
            occurs_at: self.occurrence_datetime,
            exchange_shard: ExchangeShard(self.exchange_index),
            settlement_timer_seconds: self.settlement_timer_seconds,
        })
    }
}

fn result(text: &str) -> Result<Option<MarketResult>, WireError> {
    match text {
        "" => Ok(None),
        "yes" => Ok(Some(MarketResult::Yes)),
        "no" => Ok(Some(MarketResult::No)),
        "scalar" => Ok(Some(MarketResult::Scalar)),
        other => Err(word("result", other)),
    }
}

/// For the examples of the exchange's documents and for made-up bytes: the programme reads lists.
#[cfg(any(test, feature = "fuzzing"))]
#[derive(Deserialize)]
pub(crate) struct OneEvent {
    pub event: Event,
}

#[derive(Deserialize)]
pub(crate) struct Event {
    pub event_ticker: String,
    pub series_ticker: String,
    #[serde(default, deserialize_with = "text")]
    pub title: String,
    #[serde(default, deserialize_with = "text")]
    pub sub_title: String,
    #[serde(default, deserialize_with = "whole")]
    pub mutually_exclusive: bool,
    pub fee_type_override: Option<String>,
    pub fee_multiplier_override: Option<serde_json::Number>,
    #[serde(default, deserialize_with = "whole")]
    pub exchange_index: i16,
}

impl Event {
    pub fn report(self) -> Result<EventReport, WireError> {
        let fee = match (&self.fee_type_override, &self.fee_multiplier_override) {
            (Some(kind), Some(multiplier)) => Some(fee_rule(kind, multiplier)?),
            (None, Some(multiplier)) => Some(fee_rule("quadratic", multiplier)?),
            _ => None,
        };
        Ok(EventReport {
            ticker: EventTicker(name("event_ticker", self.event_ticker)?),
            series: SeriesTicker(name("series_ticker", self.series_ticker)?),
            title: plain("title", self.title)?,
            sub_title: plain("sub_title", self.sub_title)?,
            mutually_exclusive: self.mutually_exclusive,
            fee,
            exchange_shard: ExchangeShard(self.exchange_index),
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct SeriesList {
    #[serde(deserialize_with = "list")]
    pub series: Vec<Value>,
}

#[derive(Deserialize)]
pub(crate) struct Series {
    pub ticker: String,
    #[serde(default, deserialize_with = "text")]
    pub title: String,
    #[serde(default, deserialize_with = "text")]
    pub category: String,
    pub tags: Option<Vec<String>>,
    pub fee_type: String,
    pub fee_multiplier: serde_json::Number,
}

impl Series {
    pub fn report(self) -> Result<SeriesReport, WireError> {
        Ok(SeriesReport {
            fee: fee_rule(&self.fee_type, &self.fee_multiplier)?,
            ticker: SeriesTicker(name("ticker", self.ticker)?),
            title: plain("title", self.title)?,
            category: plain("category", self.category)?,
            tags: self.tags.unwrap_or_default().into_iter().map(|tag| plain("tags", tag)).collect::<Result<_, _>>()?,
        })
    }
}

/// Takers pay 0.07 × multiplier × count × p × (1 − p) on every quadratic schedule.
pub(crate) fn fee_rule(kind: &str, multiplier: &serde_json::Number) -> Result<FeeRule, WireError> {
    match kind {
        "quadratic" | "quadratic_with_maker_fees" | "quadratic_with_combo_maker_fees" => {
            // The number's own text, so that no float enters: 0.5 is "0.5".
            let text = multiplier.to_string();
            let micros: Dollars = dollars("fee_multiplier", &text)?;
            Ok(FeeRule::Quadratic { millionths: micros.0 * 7 / 100 })
        }
        _ => Ok(FeeRule::Unsupported),
    }
}

#[derive(Deserialize)]
pub(crate) struct Book {
    pub orderbook_fp: Sides,
}

#[derive(Deserialize)]
pub(crate) struct Sides {
    pub yes_dollars: Option<Vec<(String, String)>>,
    pub no_dollars: Option<Vec<(String, String)>>,
}

impl Sides {
    /// Bids only, best last; the best YES ask is the best NO bid from the other side.
    pub fn top(&self) -> Result<hunch_exchange::BookTop, WireError> {
        let best = |side: &Option<Vec<(String, String)>>| {
            let last = side.as_ref().and_then(|levels| levels.last());
            last.map(|(p, n)| Ok((price("level", p)?, count("level", n)?))).transpose()
        };
        let ask = best(&self.no_dollars)?.map(|(p, n)| (p.complement(), n));
        Ok(hunch_exchange::BookTop { yes_bid: best(&self.yes_dollars)?, yes_ask: ask })
    }
}

#[derive(Deserialize)]
pub(crate) struct DataTimestamp {
    pub as_of_time: Timestamp,
}

#[derive(Deserialize)]
pub(crate) struct Balance {
    pub balance_breakdown: Option<Vec<ShardBalance>>,
    pub balance_dollars: String,
}

#[derive(Deserialize)]
pub(crate) struct ShardBalance {
    pub exchange_index: i16,
    pub balance: String,
}

impl Balance {
    pub fn reports(&self) -> Result<Vec<hunch_exchange::CashReport>, WireError> {
        let Some(breakdown) = &self.balance_breakdown else {
            let available = dollars("balance_dollars", &self.balance_dollars)?;
            return Ok(vec![hunch_exchange::CashReport { shard: ExchangeShard(0), available }]);
        };
        let one = |b: &ShardBalance| {
            Ok(hunch_exchange::CashReport {
                shard: ExchangeShard(b.exchange_index),
                available: dollars("balance", &b.balance)?,
            })
        };
        breakdown.iter().map(one).collect()
    }
}

#[derive(Deserialize)]
pub(crate) struct Positions {
    #[serde(deserialize_with = "list")]
    pub market_positions: Vec<Value>,
    #[serde(default, deserialize_with = "text")]
    pub cursor: String,
}

#[derive(Deserialize)]
pub(crate) struct Position {
    pub ticker: String,
    pub position_fp: String,
    pub fees_paid_dollars: String,
}

impl Position {
    pub fn report(&self) -> Result<ExchangePosition, WireError> {
        Ok(ExchangePosition {
            ticker: MarketTicker(name("ticker", self.ticker.clone())?),
            net: net_count("position_fp", &self.position_fp)?,
            fees_paid: dollars("fees_paid_dollars", &self.fees_paid_dollars)?,
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct Fills {
    #[serde(deserialize_with = "list")]
    pub fills: Vec<Value>,
    #[serde(default, deserialize_with = "text")]
    pub cursor: String,
}

#[derive(Deserialize)]
pub(crate) struct Fill {
    pub fill_id: Option<String>,
    /// The socket's name for it.
    pub trade_id: Option<String>,
    pub order_id: String,
    #[serde(default)]
    pub client_order_id: Option<String>,
    pub ticker: Option<String>,
    /// The socket's name for it.
    pub market_ticker: Option<String>,
    pub outcome_side: String,
    pub count_fp: String,
    pub yes_price_dollars: String,
    #[serde(default = "zero")]
    pub fee_cost: String,
    pub ts: Option<i64>,
    pub ts_ms: Option<i64>,
    #[serde(default, deserialize_with = "moment")]
    pub created_time: Option<Timestamp>,
}

#[derive(Deserialize)]
pub(crate) struct Settlements {
    #[serde(deserialize_with = "list")]
    pub settlements: Vec<Value>,
    #[serde(default, deserialize_with = "text")]
    pub cursor: String,
}

#[derive(Deserialize)]
pub(crate) struct Settlement {
    pub ticker: String,
    pub market_result: String,
    /// Whole cents on the net position.
    pub revenue: i64,
    pub fee_cost: String,
    #[serde(default, deserialize_with = "moment")]
    pub settled_time: Option<Timestamp>,
}

impl Settlement {
    pub fn report(&self) -> Result<SettlementReport, WireError> {
        let revenue =
            self.revenue.checked_mul(10_000).map(Dollars).filter(|r| (Dollars::ZERO..=DOLLARS_MAX).contains(r));
        Ok(SettlementReport {
            ticker: MarketTicker(name("ticker", self.ticker.clone())?),
            result: result(&self.market_result)?.ok_or_else(|| word("market_result", ""))?,
            revenue: revenue.ok_or_else(|| out_of_range("revenue", &self.revenue.to_string()))?,
            fees: dollars("fee_cost", &self.fee_cost)?,
            settled_at: self.settled_time.ok_or(WireError::Missing { field: "settled_time" })?,
        })
    }
}

/// A socket message, before its kind is known.
#[derive(Deserialize)]
pub(crate) struct Frame {
    #[serde(rename = "type")]
    pub kind: String,
    pub sid: Option<u64>,
    pub seq: Option<u64>,
    #[serde(default)]
    pub msg: serde_json::Value,
}

#[derive(Deserialize)]
pub(crate) struct Lifecycle {
    pub market_ticker: String,
    pub event_type: String,
    #[serde(default, deserialize_with = "text")]
    pub result: String,
    pub settlement_value: Option<String>,
}

impl Lifecycle {
    pub fn kind(&self) -> Result<LifecycleKind, WireError> {
        Ok(match self.event_type.as_str() {
            "created" => LifecycleKind::Created,
            "activated" => LifecycleKind::Activated,
            "deactivated" => LifecycleKind::Deactivated,
            "close_date_updated" => LifecycleKind::CloseChanged,
            "determined" => LifecycleKind::Determined {
                result: result(&self.result)?.ok_or_else(|| word("result", ""))?,
                settlement_value: self.settlement_value.as_deref().map(|v| price("settlement_value", v)).transpose()?,
            },
            "settled" => LifecycleKind::Settled,
            _ => LifecycleKind::Other,
        })
    }
}

impl Fill {
    pub fn report(self) -> Result<FillReport, WireError> {
        let bought = side("outcome_side", &self.outcome_side)?;
        let at = self
            .ts_ms
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .or(self.created_time)
            .or_else(|| self.ts.and_then(|s| Timestamp::from_second(s).ok()));
        Ok(FillReport {
            fill_id: name("fill_id", self.fill_id.or(self.trade_id).unwrap_or_default())?,
            exchange_order_id: name("order_id", self.order_id)?,
            client_order_id: self.client_order_id.and_then(|id| id.parse().ok()),
            ticker: MarketTicker(name("ticker", self.ticker.or(self.market_ticker).unwrap_or_default())?),
            side: bought,
            count: count("count_fp", &self.count_fp)?,
            price: price("yes_price_dollars", &self.yes_price_dollars)?.of(bought),
            fee: dollars("fee_cost", &self.fee_cost)?,
            at: at.filter(|at| of_our_age(*at)).ok_or(WireError::Missing { field: "created_time" })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use std::path::PathBuf;

    /// One of the payloads in `tests/examples`, made by the published names and kinds of fields; or of a longer collection,
    /// where the directory with the exchange's documents is named.
    fn example<T: DeserializeOwned>(name: &str) -> Option<T> {
        let documents = std::env::var_os("HUNCH_KALSHI_DOCS").map(|folder| PathBuf::from(folder).join("fixtures"));
        let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/examples");
        let path = documents.unwrap_or_else(own).join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}")))
    }

    #[test]
    fn the_published_examples_are_understood() {
        let one: OneMarket = example("rest/get_market.active.json").unwrap();
        assert_eq!(one.market.report().unwrap().yes_ask, Price::from_micros(350_000).ok());
        for (name, result) in [
            ("determined_yes", Some(MarketResult::Yes)),
            ("finalized_yes", Some(MarketResult::Yes)),
            ("finalized_scalar_tie", Some(MarketResult::Scalar)),
            ("closed_awaiting", None),
        ] {
            let one: OneMarket = example(&format!("rest/get_market.{name}.json")).unwrap();
            assert_eq!(one.market.report().unwrap().result, result, "{name}");
        }
        for name in ["page1", "last_page"] {
            let page: Markets = example(&format!("rest/get_markets.{name}.json")).unwrap();
            let market = |one| serde_json::from_value::<Market>(one).unwrap();
            assert!(page.markets.into_iter().map(market).all(|m| m.report().is_ok()));
        }
        let series: SeriesList = example("rest/get_series_list.json").unwrap();
        let one = |one| serde_json::from_value::<Series>(one).unwrap();
        assert!(series.series.into_iter().map(one).all(|s| s.report().is_ok()));
        for name in ["weather", "sports_nested"] {
            let event: OneEvent = example(&format!("rest/get_event.{name}.json")).unwrap();
            assert!(!event.event.series_ticker.is_empty());
        }
        let book: Book = example("rest/get_market_orderbook.json").unwrap();
        let top = book.orderbook_fp.top().unwrap();
        assert_eq!((top.yes_bid.unwrap().0.micros(), top.yes_ask.unwrap().0.micros()), (330_000, 350_000));
        let empty: Book = example("rest/get_market_orderbook.empty.json").unwrap();
        assert_eq!(empty.orderbook_fp.top().unwrap(), hunch_exchange::BookTop::default());

        let part: Created = example("rest/create_order.response.ioc_partial.json").unwrap();
        let id: Uuid = part.client_order_id.as_deref().unwrap().parse().unwrap();
        let report = part.report(id, Side::Yes).unwrap();
        assert_eq!((report.filled, report.cost, report.fees), (Count(725), Dollars(2_537_500), Dollars(115_500)));
        assert!(part.report(Uuid::nil(), Side::Yes).is_err(), "an answer about another order is none");
        let none: Created = example("rest/create_order.response.ioc_unfilled.json").unwrap();
        let id: Uuid = none.client_order_id.as_deref().unwrap().parse().unwrap();
        assert_eq!(none.report(id, Side::No).unwrap().filled, Count::ZERO);
        let orders: Orders = example("rest/get_orders.page.json").unwrap();
        let one = |one| serde_json::from_value::<Order>(one).unwrap();
        assert!(orders.orders.into_iter().map(one).all(|o| o.report(Uuid::nil()).is_ok()));

        let fills: Fills = example("rest/get_fills.json").unwrap();
        let counts: Vec<i64> = fills
            .fills
            .into_iter()
            .map(|f| serde_json::from_value::<Fill>(f).unwrap().report().unwrap().count.0)
            .collect();
        assert_eq!(counts, [1_162, 38]);
        let balance: Balance = example("rest/get_balance.json").unwrap();
        assert_eq!(balance.reports().unwrap()[0].available, Dollars(19_993_516_600));
        let positions: Positions = example("rest/get_positions.json").unwrap();
        assert_eq!(
            serde_json::from_value::<Position>(positions.market_positions[1].clone()).unwrap().report().unwrap().net,
            Count(-2_000)
        );
        let settlements: Settlements = example("rest/get_settlements.json").unwrap();
        assert_eq!(
            serde_json::from_value::<Settlement>(settlements.settlements[2].clone()).unwrap().report().unwrap().revenue,
            Dollars(3_500_000)
        );
        let frame: Frame = example("ws/lifecycle.determined_scalar.json").unwrap();
        let lifecycle: Lifecycle = serde_json::from_value(frame.msg).unwrap();
        let half = Price::from_micros(500_000).ok();
        assert_eq!(
            lifecycle.kind().unwrap(),
            LifecycleKind::Determined { result: MarketResult::Scalar, settlement_value: half }
        );
        let frame: Frame = example("ws/fill.json").unwrap();
        let fill = serde_json::from_value::<Fill>(frame.msg).unwrap().report().unwrap();
        assert_eq!((fill.count, fill.side, fill.client_order_id.is_some()), (Count(1_162), Side::Yes, true));
    }

    #[test]
    fn fees_are_read_without_floats() {
        let rule = |text: &str| fee_rule("quadratic", &serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(rule("1"), FeeRule::Quadratic { millionths: 70_000 });
        assert_eq!(rule("0.5"), FeeRule::Quadratic { millionths: 35_000 });
        assert_eq!(fee_rule("flat", &1.into()).unwrap(), FeeRule::Unsupported);
    }
}
