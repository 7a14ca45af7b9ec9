//! The people who run the programme: what they did, and what one of them wants that needs a second one.
//!
//! What always holds
//! - Every change of a merchant, a till, an earn rule, an offer, a member's place here, the switch, a decision or a correction
//!   is an act, kept by the tables themselves in the transaction that changes them. Nobody can write, change or delete one.
//! - What needs two people has its effect in the transaction in which a second one approves it, once.

mod acts;
mod proposals;

pub use acts::{Act, acts};
pub use proposals::{Decision, Kind, LAPSES_HOURS, Proposal, ProposalError, Proposals, Wanted};
