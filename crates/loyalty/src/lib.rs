//! Merchants, tills, what a purchase earns, receipts and returns, and the code a member shows at the till.
//!
//! Invariants
//! - A receipt (terminal and number) has one effect for ever; a repeat gets the first answer (L6).
//! - Points follow the rule in force when the purchase was made, however late the receipt arrives.
//! - The purchase row, its points and its message are one transaction (E1).
//! - A member code works once.

mod codes;
mod directory;
mod earn_rule;
mod money;
mod newest;
mod offers;
mod purchases;
mod receipts;
mod returns;
mod spans;
mod store;
mod terminals;

pub use codes::{CodeError, CodeKey, MemberCode, issue_code};
pub use directory::{Directory, Merchant, NewMerchant, Terminal, add_merchant, add_terminal, merchants};
pub use earn_rule::EarnRule;
pub use money::AMOUNT_MINOR_MAX;
pub use newest::{NewestPurchase, newest_purchases, sold_since};
pub use offers::{Offer, active_offers, add_offer};
pub use purchases::{
    MemberRef, Purchase, PurchaseAnswer, PurchaseHandler, PurchaseRefusal, PurchaseRequest, Purchases, purchase_id,
};
pub use receipts::{Receipt, receipts};
pub use returns::{ReturnAnswer, ReturnHandler, ReturnRefusal, ReturnRequest, Sold, sold_by};
pub use terminals::{SessionError, SignedRequest, TerminalSession, TerminalSessions, sign};

#[derive(Debug, thiserror::Error)]
pub enum LoyaltyError {
    #[error("loyalty storage failed")]
    Storage(#[from] sqlx::Error),
    #[error("{0}")]
    Invalid(&'static str),
}
