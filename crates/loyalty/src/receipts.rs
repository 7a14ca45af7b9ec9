//! Receipts by their purchase, for those who tell of them.

use hunch_kernel::{MerchantId, PurchaseId};
use jiff::Timestamp;
use sqlx::PgPool;
use std::collections::HashMap;

use crate::{LoyaltyError, store};

/// Where and when something was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub merchant: MerchantId,
    pub purchased_at: Timestamp,
}

/// Those of `purchases` that are known.
///
/// # Errors
/// When the database fails.
pub async fn receipts(pool: &PgPool, purchases: &[PurchaseId]) -> Result<HashMap<PurchaseId, Receipt>, LoyaltyError> {
    let mut connection = pool.acquire().await?;
    let rows = store::purchases(&mut connection, purchases).await?;
    let receipts = rows.into_iter().map(|(id, row)| {
        let receipt = Receipt { merchant: row.merchant, purchased_at: row.purchased_at };
        (id, receipt)
    });
    Ok(receipts.collect())
}
