//! The points ledger: who has how many points, why, and where each point came from.
//!
//! Invariants
//! - L1: a posting moves points, it never makes them. All balances plus house deltas sum to zero.
//! - L2: no member account goes below zero; what a return cannot take back is debt, an account of its own.
//! - L3: a refused command changes nothing.
//! - L5: a stored balance is the sum of its entries.
//! - L6: a key has one effect for ever; a repeat gets the first answer.
//!
//! There is no expiry here and no way to buy points or to turn them into money.
//!
//! Start with [`decide_batch`], which is pure; [`apply`] is the short shell around it; the
//! [`Batcher`] puts many requests into one transaction.

mod account;
mod apply;
mod batcher;
mod command;
mod decide;
mod lots;
mod provenance;
mod queries;
mod statement;
mod store;
pub mod testing;
mod watch;

pub use account::{AccountCode, MemberBalance};
pub use apply::{BatchError, apply};
pub use batcher::{Batcher, BatcherBuilder, Door, DoorError, ShardHandler, StepReport, TRYING_SECONDS_MAX, Trouble};
pub use command::{
    Action, Command, Done, EarnBucket, EarnPart, Funder, HoldOwner, Outcome, Reason, Refusal, request_digest,
};
pub use decide::{Claim, Decided, HoldState, MemberState, Provisional, ProvisionalEnd, Reversed, State, decide_batch};
pub use lots::LotRange;
pub use provenance::{Consumption, Journey, PaidLot, Payback, Provenance, Stake, Use};
pub use queries::{StatementCursor, StatementLine, available, balance, open_members, statement};
pub use statement::{StakeEnd, StakeParts, StatementItem, StatementPlace, statement_items};
