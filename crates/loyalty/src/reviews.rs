//! Points that wait for a person's decision: why they wait, who decides, and what becomes of them.
//!
//! A purchase is recorded at once and its points are provisional: the member sees them and why they wait, and nothing can use
//! them. An operator confirms them or takes them back, once; a return of the purchase ends the waiting as well.

use async_trait::async_trait;
use hunch_kernel::{MemberId, MerchantId, Points, PurchaseId, TerminalId, derived_uuid};
use hunch_ledger::{Action, BatchError, Command, Outcome, ShardHandler};
use hunch_log::ShardTx;
use hunch_messages::{Message, PurchaseReviewed};
use jiff::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{LoyaltyError, store};

/// Why a purchase's points wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewReason {
    /// An operator watches the till.
    TillWatched,
    /// More receipts of one minute than a till writes.
    TillSpeed,
    /// More points in a day than a till gives.
    TillValue,
    /// More points in a day than a merchant gives.
    MerchantValue,
    /// More purchases in a day than a member makes.
    MemberSpeed,
    /// More points in a day than a member earns.
    MemberValue,
}

impl ReviewReason {
    /// The stable word of API and database.
    pub fn as_str(self) -> &'static str {
        match self {
            ReviewReason::TillWatched => "till_watched",
            ReviewReason::TillSpeed => "till_speed",
            ReviewReason::TillValue => "till_value",
            ReviewReason::MerchantValue => "merchant_value",
            ReviewReason::MemberSpeed => "member_speed",
            ReviewReason::MemberValue => "member_value",
        }
    }

    const ALL: [ReviewReason; 6] = [
        ReviewReason::TillWatched,
        ReviewReason::TillSpeed,
        ReviewReason::TillValue,
        ReviewReason::MerchantValue,
        ReviewReason::MemberSpeed,
        ReviewReason::MemberValue,
    ];

    pub(crate) fn from_word(word: &str) -> Option<ReviewReason> {
        ReviewReason::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// What the member is told.
    pub fn sentence(self) -> &'static str {
        match self {
            ReviewReason::TillWatched => {
                "We look at each purchase of this till at the moment. It has nothing to do with you, and there is nothing \
                 that you need to do."
            }
            ReviewReason::TillSpeed => {
                "This till sent many receipts at once, so we look at them first. It has nothing to do with you, and there is \
                 nothing that you need to do."
            }
            ReviewReason::TillValue | ReviewReason::MerchantValue => {
                "This shop gave unusually many points today, so we look at this purchase first. It has nothing to do with you, \
                 and there is nothing that you need to do."
            }
            ReviewReason::MemberSpeed => {
                "You made unusually many purchases today, so we look at this one first. There is nothing that you need to do."
            }
            ReviewReason::MemberValue => {
                "You earned unusually many points today, so we look at this purchase first. There is nothing that you need to do."
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewDecision {
    /// The points are the member's.
    Confirm,
    /// They go back to whoever paid for them, and offers that gave a part of them are free again.
    TakeBack,
}

impl ReviewDecision {
    /// The stable word of the database, in the past tense.
    pub fn as_str(self) -> &'static str {
        match self {
            ReviewDecision::Confirm => "confirmed",
            ReviewDecision::TakeBack => "taken_back",
        }
    }
}

/// A purchase whose points wait, or waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    pub purchase: PurchaseId,
    pub member: MemberId,
    pub merchant: MerchantId,
    pub merchant_name: String,
    pub terminal: TerminalId,
    pub points: Points,
    pub reason: ReviewReason,
    /// Business time.
    pub since: Timestamp,
    /// `None` while it waits.
    pub ended: Option<ReviewEnd>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewEnd {
    /// confirmed, taken_back or returned.
    pub word: String,
    /// Business time.
    pub at: Timestamp,
    /// The operator; `None` when the purchase came back.
    pub by: Option<String>,
    /// The operator's own words.
    pub why: Option<String>,
}

/// Which reviews are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichReviews {
    Waiting,
    All,
    /// The waiting ones of one member.
    Of(MemberId),
}

/// An operator's decision on its way into the member's shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewRequest {
    pub purchase: PurchaseId,
    /// Of the review's row, which its shard comes from.
    pub member: MemberId,
    pub decision: ReviewDecision,
    pub by: String,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewRefusal {
    #[error("no points wait for a decision under this purchase; the list of reviews shows what waits")]
    Unknown,
    #[error("these points were {0} already, and a decision stands")]
    Decided(String),
    #[error("the decision was not confirmed as stored; send it again in a moment")]
    Unavailable,
    #[error(
        "this decision cannot be stored, and sending it again changes nothing; the operator finds the reason in the log"
    )]
    Impossible,
}

/// Oldest first, after a place in that order.
///
/// # Errors
/// When the database fails.
pub async fn reviews(
    pool: &PgPool,
    which: WhichReviews,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Review>, LoyaltyError> {
    Ok(store::reviews::list(pool, which, after, limit).await?)
}

/// One purchase's review, if its points ever waited.
///
/// # Errors
/// When the database fails.
pub async fn review(pool: &PgPool, purchase: PurchaseId) -> Result<Option<Review>, LoyaltyError> {
    Ok(store::reviews::one(pool, purchase).await?)
}

/// From now on the points of a till's purchases wait for a decision; without a reason they no longer do. What waits
/// already goes on waiting. `false` for a till that does not exist.
///
/// # Errors
/// `Invalid` for a reason that is none.
pub async fn watch_terminal(
    pool: &PgPool,
    terminal: TerminalId,
    why: Option<&str>,
    by: &str,
    now: Timestamp,
) -> Result<bool, LoyaltyError> {
    if let Some(why) = why {
        said(why)?;
    }
    Ok(store::reviews::watch(pool, terminal, why, by, now).await?)
}

/// Words for the records.
fn said(why: &str) -> Result<(), LoyaltyError> {
    crate::merchants::named(why, 400, "say why, in 1 to 400 characters and one line")
}

/// The decisions of one shard transaction.
pub struct ReviewHandler;

#[async_trait]
impl ShardHandler for ReviewHandler {
    type Request = ReviewRequest;
    type Answer = Result<Review, ReviewRefusal>;
    const NAME: &'static str = "reviews";

    async fn handle(&self, tx: &mut ShardTx, requests: &[ReviewRequest]) -> Result<Vec<Self::Answer>, BatchError> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(decide(tx, request).await?);
        }
        Ok(answers)
    }
}

async fn decide(tx: &mut ShardTx, request: &ReviewRequest) -> Result<Result<Review, ReviewRefusal>, BatchError> {
    let Some(review) = store::reviews::one(&mut *tx.conn(), request.purchase).await? else {
        return Ok(Err(ReviewRefusal::Unknown));
    };
    if let Some(ended) = &review.ended {
        // The same decision again is answered as the first one was.
        return Ok(if ended.word == request.decision.as_str() {
            Ok(review)
        } else {
            Err(ReviewRefusal::Decided(told(&ended.word)))
        });
    }
    let earned = request.purchase.0;
    let command = Command {
        key: derived_uuid(&[b"purchase-review", earned.as_bytes()]),
        request: 0,
        member: review.member,
        action: match request.decision {
            ReviewDecision::Confirm => Action::Mature { earned },
            ReviewDecision::TakeBack => Action::TakeBack { earned },
        },
    };
    match hunch_ledger::apply(tx, std::slice::from_ref(&command)).await?.remove(0) {
        Outcome::Done(done) => {
            announce(tx, &review, request.decision, done.seq);
            let ended = ReviewEnd {
                word: request.decision.as_str().to_owned(),
                at: tx.now(),
                by: Some(request.by.clone()),
                why: Some(request.why.clone()),
            };
            store::reviews::end(tx, request.purchase, &ended).await?;
            if request.decision == ReviewDecision::TakeBack {
                store::offers::give_back(tx, request.purchase).await?;
            }
            Ok(Ok(Review { ended: Some(ended), ..review }))
        }
        outcome => {
            tracing::error!(purchase = %request.purchase, ?outcome, "a review that waits was refused by the ledger");
            Ok(Err(ReviewRefusal::Impossible))
        }
    }
}

fn announce(tx: &mut ShardTx, review: &Review, decision: ReviewDecision, seq: i64) {
    let reviewed_at = tx.now();
    let message = PurchaseReviewed {
        v: 1,
        purchase: review.purchase.0,
        member: review.member.0,
        merchant: review.merchant.0,
        points: review.points.0,
        confirmed: decision == ReviewDecision::Confirm,
        reviewed_at,
    };
    tx.announce_at(seq, Message::PurchaseReviewed(message));
}

/// An end as a sentence says it.
fn told(word: &str) -> String {
    word.replace('_', " ")
}
