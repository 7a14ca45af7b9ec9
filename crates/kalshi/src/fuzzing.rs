//! The readers of the exchange's bytes, as the fuzzer calls them: what a body says in our words, or nothing.

use hunch_exchange::{
    BookTop, CashReport, ExchangePosition, FillReport, MarketReport, OrderReport, SeriesReport, SettlementReport,
    StreamEvent,
};
use hunch_kernel::{Side, WallTime};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::elements::{List, elements};
use crate::wire::{self, WireError};
use crate::{hours, socket};

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// The answer to a new order.
pub fn created(body: &[u8], id: Uuid, side: Side) -> Option<OrderReport> {
    read::<wire::Created>(body)?.report(id, side).ok()
}

/// What can be read of a list's elements.
fn each<W: DeserializeOwned, T>(values: Vec<Value>, report: impl Fn(W) -> Result<T, WireError>) -> Vec<T> {
    elements(List { name: "fuzzed", named_by: &["ticker"] }, values, WallTime::MIN, report).read
}

pub fn orders(body: &[u8]) -> Vec<OrderReport> {
    let found = read::<wire::Orders>(body).map(|page| page.orders).unwrap_or_default();
    each(found, |order: wire::Order| order.report(Uuid::nil()))
}

pub fn markets(body: &[u8]) -> Vec<MarketReport> {
    let one = read::<wire::OneMarket>(body).and_then(|one| one.market.report().ok());
    let found = read::<wire::Markets>(body).map(|page| page.markets).unwrap_or_default();
    one.into_iter().chain(each(found, wire::Market::report)).collect()
}

pub fn series(body: &[u8]) -> Vec<SeriesReport> {
    each(read::<wire::SeriesList>(body).map(|list| list.series).unwrap_or_default(), wire::Series::report)
}

/// True when the body is an event.
pub fn event(body: &[u8]) -> bool {
    read::<wire::OneEvent>(body).is_some_and(|one| one.event.report().is_ok())
}

pub fn book_top(body: &[u8]) -> Option<BookTop> {
    read::<wire::Book>(body)?.orderbook_fp.top().ok()
}

pub fn fills(body: &[u8]) -> Vec<FillReport> {
    let found = read::<wire::Fills>(body).map(|page| page.fills).unwrap_or_default();
    each(found, wire::Fill::report)
}

pub fn cash(body: &[u8]) -> Vec<CashReport> {
    read::<wire::Balance>(body).and_then(|balance| balance.reports().ok()).unwrap_or_default()
}

pub fn positions(body: &[u8]) -> Vec<ExchangePosition> {
    let found = read::<wire::Positions>(body).map(|page| page.market_positions).unwrap_or_default();
    each(found, |position: wire::Position| position.report())
}

pub fn settlements(body: &[u8]) -> Vec<SettlementReport> {
    let found = read::<wire::Settlements>(body).map(|page| page.settlements).unwrap_or_default();
    each(found, |settlement: wire::Settlement| settlement.report())
}

/// The exchange's status, and whether it takes orders anywhere.
pub fn takes_orders(body: &[u8]) -> Option<bool> {
    Some(read::<hours::ExchangeState>(body)?.report().takes_any_orders())
}

/// When the schedule says that trading begins again.
pub fn opens_after(body: &[u8], at: Timestamp) -> Option<Timestamp> {
    read::<hours::OneSchedule>(body)?.schedule.report().ok()?.opens_after(at)
}

/// What a connection makes of its frames, one after the other.
pub fn frames<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<StreamEvent> {
    let mut frames = socket::Frames::default();
    texts.filter_map(|text| frames.read(text)).collect()
}
