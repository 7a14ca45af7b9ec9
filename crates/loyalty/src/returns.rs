//! A whole receipt comes back: its points go, and the share of winnings they brought.

use async_trait::async_trait;
use hunch_kernel::{MemberId, MerchantId, Points, PurchaseId, derived_uuid};
use hunch_ledger::{Action, BatchError, Command, MemberBalance, Outcome, Refusal, ShardHandler};
use hunch_log::ShardTx;
use hunch_messages::{Message, PurchaseReturned};

use sqlx::PgPool;

use crate::reviews::ReviewEnd;
use crate::{LoyaltyError, store};

/// A return, at a till of the merchant that sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnRequest {
    pub purchase: PurchaseId,
    /// Of the purchase row, which its shard comes from.
    pub member: MemberId,
    pub terminal: hunch_kernel::TerminalId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnAnswer {
    pub purchase: PurchaseId,
    /// Points that the purchase had earned.
    pub earned: Points,
    /// Points taken at once, winnings included.
    pub clawed_back: Points,
    pub balance: MemberBalance,
    pub first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReturnRefusal {
    #[error("there is no such purchase here; report the purchase first, then its return")]
    UnknownPurchase,
    #[error("this purchase was made at another merchant; return it there")]
    OtherMerchant,
    #[error("the programme is busy; send the same return again in a moment")]
    Busy,
    #[error("the return was not confirmed as stored; send it again in a moment")]
    Unavailable,
    #[error(
        "this return cannot be stored, and sending it again changes nothing; the operator finds the reason in the log"
    )]
    Impossible,
}

/// Whom a purchase belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sold {
    pub member: MemberId,
    pub merchant: MerchantId,
}

/// Who bought and who sold, or `None` for a purchase that was never reported.
///
/// # Errors
/// When the database fails.
pub async fn sold_by(pool: &PgPool, purchase: PurchaseId) -> Result<Option<Sold>, LoyaltyError> {
    let mut connection = pool.acquire().await?;
    let rows = store::purchases(&mut connection, &[purchase]).await?;
    Ok(rows.get(&purchase).map(|row| Sold { member: row.member, merchant: row.merchant }))
}

/// The returns of one shard transaction.
pub struct ReturnHandler;

#[async_trait]
impl ShardHandler for ReturnHandler {
    type Request = ReturnRequest;
    type Answer = Result<ReturnAnswer, ReturnRefusal>;
    const NAME: &'static str = "returns";

    fn origin(request: &ReturnRequest) -> Option<uuid::Uuid> {
        Some(request.terminal.0)
    }

    async fn handle(&self, tx: &mut ShardTx, requests: &[ReturnRequest]) -> Result<Vec<Self::Answer>, BatchError> {
        let rows = store::purchases(tx.conn(), &requests.iter().map(|r| r.purchase).collect::<Vec<_>>()).await?;
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let Some(row) = rows.get(&request.purchase) else {
                answers.push(Err(ReturnRefusal::UnknownPurchase));
                continue;
            };
            let command = Command {
                key: derived_uuid(&[b"purchase-return", request.purchase.0.as_bytes()]),
                request: 0,
                member: row.member,
                action: Action::Clawback { earned: request.purchase.0 },
            };
            let outcome = hunch_ledger::apply(tx, std::slice::from_ref(&command)).await?.remove(0);
            let answer = |done: &hunch_ledger::Done, first| ReturnAnswer {
                purchase: request.purchase,
                earned: row.points,
                clawed_back: done.points,
                balance: done.balance,
                first,
            };
            answers.push(match &outcome {
                Outcome::Done(done) => {
                    let returned_at = tx.now();
                    tx.announce_at(
                        done.seq,
                        Message::PurchaseReturned(PurchaseReturned {
                            v: 1,
                            purchase: request.purchase.0,
                            member: row.member.0,
                            merchant: row.merchant.0,
                            merchant_category: row.merchant_category.clone(),
                            amount_cents: row.amount_cents,
                            points: row.points.0,
                            clawed_back: done.points.0,
                            owed: -done.balance.debt.0,
                            purchased_at: row.purchased_at,
                            returned_at,
                        }),
                    );
                    store::insert_return(tx, request, done).await?;
                    if row.waits {
                        let end = ReviewEnd { word: "returned".to_owned(), at: returned_at, by: None, why: None };
                        store::reviews::end(tx, request.purchase, &end).await?;
                    }
                    if row.offer_points.is_positive() {
                        store::offers::give_back(tx, request.purchase).await?;
                    }
                    Ok(answer(done, true))
                }
                Outcome::Repeated(done) => Ok(answer(done, false)),
                Outcome::Refused(Refusal::UnknownEarning) => Err(ReturnRefusal::UnknownPurchase),
                Outcome::Refused(refusal) => {
                    tracing::error!(purchase = %request.purchase, %refusal, "a return was refused by the ledger");
                    Err(ReturnRefusal::Impossible)
                }
            });
        }
        Ok(answers)
    }
}
