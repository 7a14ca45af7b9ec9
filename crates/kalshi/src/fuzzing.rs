//! The readers of the exchange's bytes, as the fuzzer calls them: what a body says in our words, or nothing.

use hunch_exchange::{
    BookTop, CashReport, ExchangePosition, FillReport, MarketReport, OrderReport, SeriesReport, SettlementReport,
    StreamEvent,
};
use hunch_kernel::Side;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{hours, socket, wire};

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// The answer to a new order.
pub fn created(body: &[u8], id: Uuid, side: Side) -> Option<OrderReport> {
    read::<wire::Created>(body)?.report(id, side).ok()
}

pub fn orders(body: &[u8]) -> Vec<OrderReport> {
    let found = read::<wire::Orders>(body).map(|page| page.orders).unwrap_or_default();
    found.iter().filter_map(|order| order.report(Uuid::nil()).ok()).collect()
}

pub fn markets(body: &[u8]) -> Vec<MarketReport> {
    let one = read::<wire::OneMarket>(body).map(|one| vec![one.market]);
    let found = one.or_else(|| read::<wire::Markets>(body).map(|page| page.markets)).unwrap_or_default();
    found.into_iter().filter_map(|market| market.report().ok()).collect()
}

pub fn series(body: &[u8]) -> Vec<SeriesReport> {
    let found = read::<wire::SeriesList>(body).and_then(|list| list.series).unwrap_or_default();
    found.into_iter().filter_map(|series| series.report().ok()).collect()
}

/// True when the body is an event.
pub fn event(body: &[u8]) -> bool {
    read::<wire::OneEvent>(body).is_some()
}

pub fn book_top(body: &[u8]) -> Option<BookTop> {
    read::<wire::Book>(body)?.orderbook_fp.top().ok()
}

pub fn fills(body: &[u8]) -> Vec<FillReport> {
    let found = read::<wire::Fills>(body).map(|page| page.fills).unwrap_or_default();
    found.into_iter().filter_map(|fill| fill.report().ok()).collect()
}

pub fn cash(body: &[u8]) -> Vec<CashReport> {
    read::<wire::Balance>(body).and_then(|balance| balance.reports().ok()).unwrap_or_default()
}

pub fn positions(body: &[u8]) -> Vec<ExchangePosition> {
    let found = read::<wire::Positions>(body).map(|page| page.market_positions).unwrap_or_default();
    found.iter().filter_map(|position| position.report().ok()).collect()
}

pub fn settlements(body: &[u8]) -> Vec<SettlementReport> {
    let found = read::<wire::Settlements>(body).map(|page| page.settlements).unwrap_or_default();
    found.iter().filter_map(|settlement| settlement.report().ok()).collect()
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
