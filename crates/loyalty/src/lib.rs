//! Merchants, tills, what a purchase earns, receipts and returns, and the code a member shows at the till.
//!
//! Invariants
//! - A receipt (terminal and number, however it is spelled) has one effect for ever; a repeat gets the first answer (L6).
//! - Points follow the rule in force when the purchase was made, however late the receipt arrives.
//! - What members are told that an offer gives is what a purchase is credited: one pure decision, [`credit`], serves both.
//! - The purchase row, its points and its message are one transaction (E1).
//! - A member code works once.
//! - What is earned faster or higher than the limits waits for a decision; no counter is ever passed.
//! - Points that wait for a decision are nobody's to use, and end once: confirmed, taken back, or returned.

mod allowance;
mod codes;
mod credit;
mod directory;
mod earn_rule;
mod merchants;
mod money;
mod newest;
mod offers;
mod purchases;
mod receipt;
mod receipts;
mod returns;
mod reviews;
mod spans;
mod store;
mod terminals;
mod velocity;

pub use codes::{CodeError, CodeKey, MemberCode, issue_code, sweep_codes};
pub use credit::{Credit, CreditCause, CreditLine, OfferCredit, Sale, credit};
pub use directory::{Directory, Merchant, Terminal, add_terminal, add_terminal_as};
pub use earn_rule::{EarnRule, EarnTerms};
pub use merchants::{
    MerchantChange, NewEarnRule, NewMerchant, add_earn_rule, add_merchant, change_merchant, check_earn_rule, merchant,
    merchant_names,
};
pub use money::AMOUNT_MINOR_MAX;
pub use newest::{NewestPurchase, newest_purchases, sold_since};
pub use offers::{
    BONUS_POINTS_MAX, NewOffer, Offer, WITHDRAWN_HOURS, active_offers, add_offer, end_offer, offer_for, offers_used,
};
pub use purchases::{
    MemberRef, Purchase, PurchaseAnswer, PurchaseHandler, PurchaseRefusal, PurchaseRequest, Purchases,
    RECEIPT_DAYS_MAX, purchase_id,
};
pub use receipt::RECEIPT_CHARS_MAX;
pub use receipts::{Receipt, receipts};
pub use returns::{ReturnAnswer, ReturnHandler, ReturnRefusal, ReturnRequest, Sold, sold_by};
pub use reviews::{
    Review, ReviewDecision, ReviewEnd, ReviewHandler, ReviewReason, ReviewRefusal, ReviewRequest, WhichReviews, review,
    reviews, watch_terminal,
};
pub use terminals::{SessionError, SessionKeys, SignedRequest, TerminalSession, TerminalSessions, sign};
pub use velocity::{Velocity, VelocityLimits};

#[derive(Debug, thiserror::Error)]
pub enum LoyaltyError {
    #[error("loyalty storage failed")]
    Storage(#[from] sqlx::Error),
    #[error("{0}")]
    Invalid(&'static str),
    /// The same id with other content.
    #[error("this {what} exists already with another {field}, and nothing was changed; {remedy}")]
    Differs { what: &'static str, field: &'static str, remedy: &'static str },
}

impl LoyaltyError {
    /// Compares what was sent with what stands, field by field; the first that differs is named.
    fn differing(
        what: &'static str,
        fields: &[(&'static str, bool)],
        remedy: &'static str,
    ) -> Result<(), LoyaltyError> {
        match fields.iter().find(|(_, same)| !same) {
            None => Ok(()),
            Some((field, _)) => Err(LoyaltyError::Differs { what, field, remedy }),
        }
    }
}
