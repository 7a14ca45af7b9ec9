//! The dollar ledger: what the operator's money at the exchange did, and why.
//!
//! Invariants
//! - U1: every entry moves one amount from one account to another, so all balances sum to zero.
//! - U2: each exchange-cash account equals the exchange's balance on that shard, minus listed in-flight items.
//! - U3: a market's account is zero once it has ended: payouts minus exchange revenue are named roundings,
//!   corrections and the house's own positions.
//! - A transfer is booked once: its id is derived from its cause.
//! - Nothing here moves points; dollars and points are linked by the conversion's id and its frozen rate.
//!
//! Balances are debits minus credits: what we own is positive, what we owe and what we were given is negative.

mod account;
mod book;
mod fills;
mod store;

pub use account::{Account, EntryKind};
pub use book::{Entry, Transfer};
pub use fills::{
    Captured, HedgeBook, HousePart, Payouts, Reversal, capture, fund, payouts, reserve, revenue, reversal,
};
pub use store::{CashSeen, balances, begun, cash, is_booked, market_balance, post, record_cash};
