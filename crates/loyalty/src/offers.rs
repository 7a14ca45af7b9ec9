//! Local offers: what a merchant gives its members besides points per purchase.

use hunch_kernel::{MerchantId, Points, SharedEntropy};
use jiff::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{LoyaltyError, store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub id: Uuid,
    pub merchant: MerchantId,
    pub merchant_name: String,
    pub merchant_category: String,
    pub title: String,
    pub bonus: Points,
    pub valid_to: Timestamp,
}

/// Offers in force at `at`, soonest to end first.
///
/// # Errors
/// When the database fails.
pub async fn active_offers(pool: &PgPool, at: Timestamp) -> Result<Vec<Offer>, LoyaltyError> {
    Ok(store::offers(pool, at).await?)
}

/// # Errors
/// `Invalid` says what is wrong; `Storage` when the database fails.
pub async fn add_offer(
    pool: &PgPool,
    entropy: &SharedEntropy,
    merchant: MerchantId,
    title: &str,
    bonus: Points,
    valid: std::ops::Range<Timestamp>,
) -> Result<Uuid, LoyaltyError> {
    if !(1..=100_000).contains(&bonus.0)
        || valid.end <= valid.start
        || title.trim().is_empty()
        || title.chars().count() > 120
    {
        let needs = "an offer needs a title of at most 120 characters, a bonus of 1 to 100000 points and an end after its start";
        return Err(LoyaltyError::Invalid(needs));
    }
    let id = entropy.uuid();
    store::insert_offer(pool, id, merchant, title, bonus, valid).await?;
    Ok(id)
}
