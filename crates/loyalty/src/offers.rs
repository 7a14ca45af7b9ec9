//! Offers: points that a merchant gives its members besides those of the earn rule.
//!
//! An offer gives its points once to each member, with the first purchase at its shop that was made in its time, whatever the
//! amount. When that purchase comes back, the points go back and the offer is the member's again.

use hunch_kernel::{MemberId, MerchantId, Points};
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use crate::credit::Sale;
use crate::{LoyaltyError, store};

/// Most points of one offer.
pub const BONUS_POINTS_MAX: i64 = 100_000;
/// How long members who were told of an offer may still use it after it was withdrawn.
pub const WITHDRAWN_HOURS: i64 = 24;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub id: Uuid,
    pub merchant: MerchantId,
    pub merchant_name: String,
    pub merchant_category: String,
    /// What members read. The points are promised in words of our own.
    pub title: String,
    pub bonus: Points,
    pub valid_from: Timestamp,
    /// The first moment at which it no longer counts.
    pub valid_to: Timestamp,
    /// When it was withdrawn: told to nobody from then on.
    pub told_until: Option<Timestamp>,
    /// Most points that it gives in all; `None`: to every member.
    pub budget: Option<Points>,
    /// Of the budget, what is set apart for purchases, used or not.
    pub leased: Points,
}

impl Offer {
    /// Whether a purchase like this may have its points.
    pub fn counts(&self, sale: &Sale) -> bool {
        self.merchant == sale.merchant && self.valid_from <= sale.purchased_at && sale.purchased_at < self.valid_to
    }

    /// Whether members may be told of it: then a purchase of the same moment has its points. Of an offer with a budget they are told
    /// that it lasts only so long.
    pub fn is_told(&self, at: Timestamp) -> bool {
        let lasts = self.budget.is_none_or(|budget| self.leased + self.bonus <= budget);
        lasts && self.valid_from <= at && at < self.valid_to && self.told_until.is_none_or(|until| at < until)
    }
}

/// An offer to be. Its id is the caller's, so that sending it again makes no second one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOffer {
    pub id: Uuid,
    pub merchant: MerchantId,
    pub title: String,
    pub bonus: Points,
    pub valid: std::ops::Range<Timestamp>,
    /// Most points that it gives in all.
    pub budget: Option<Points>,
}

/// Offers that members may be told of at `at`, soonest to end first.
///
/// # Errors
/// When the database fails.
pub async fn active_offers(pool: &PgPool, at: Timestamp) -> Result<Vec<Offer>, sqlx::Error> {
    Ok(store::offers::ending_after(pool, at).await?.into_iter().filter(|offer| offer.is_told(at)).collect())
}

/// The offer, if this member may be told of it at `at`: it is in force, and the member has not had it.
///
/// # Errors
/// When the database fails.
pub async fn offer_for(
    pool: &PgPool,
    member: MemberId,
    offer: Uuid,
    at: Timestamp,
) -> Result<Option<Offer>, LoyaltyError> {
    let found = active_offers(pool, at).await?.into_iter().find(|known| known.id == offer);
    let used = offers_used(pool, &[member]).await?;
    Ok(found.filter(|offer| !used.get(&member).is_some_and(|used| used.contains(&offer.id))))
}

/// Which offers these members have had and not given back. Whoever has had none is not listed.
///
/// # Errors
/// When the database fails.
pub async fn offers_used(
    pool: &PgPool,
    members: &[MemberId],
) -> Result<HashMap<MemberId, HashSet<Uuid>>, LoyaltyError> {
    if members.is_empty() {
        return Ok(HashMap::new());
    }
    let mut connection = pool.acquire().await?;
    Ok(store::offers::used(&mut connection, members).await?)
}

/// An operator of this name adds an offer.
///
/// # Errors
/// `Invalid` says what is wrong; `Differs` when the id is another offer's; `Storage` when the database fails.
pub async fn add_offer(pool: &PgPool, new: &NewOffer, by: &str, now: Timestamp) -> Result<(), LoyaltyError> {
    check(new, now)?;
    if store::offers::insert(pool, new, by).await? {
        return Ok(());
    }
    let stored = store::offers::find(pool, new.id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let fields = [
        ("merchant", stored.merchant == new.merchant),
        ("title", stored.title == new.title),
        ("bonus_points", stored.bonus == new.bonus),
        ("budget_points", stored.budget == new.budget),
        ("valid_from", stored.valid_from == stored_time(new.valid.start)),
        ("valid_to", stored.valid_to == stored_time(new.valid.end) || stored.told_until.is_some()),
    ];
    LoyaltyError::differing("offer", &fields, "end this one and add another under a new id")
}

/// The longest time an offer may last, and the farthest ahead it may begin.
const OFFER_DAYS_MAX: i64 = 3_660;

fn check(new: &NewOffer, now: Timestamp) -> Result<(), LoyaltyError> {
    let far = SignedDuration::from_hours(24 * OFFER_DAYS_MAX);
    let near = |at: Timestamp| at.duration_since(now).abs() <= far;
    let title = new.title.trim();
    if title.is_empty() || new.title.chars().count() > 120 || title.chars().any(char::is_control) {
        return Err(LoyaltyError::Invalid("title must have 1 to 120 characters, in one line"));
    }
    if !(1..=BONUS_POINTS_MAX).contains(&new.bonus.0) {
        return Err(LoyaltyError::Invalid("bonus_points must be from 1 to 100000"));
    }
    if new.budget.is_some_and(|budget| budget < new.bonus) {
        return Err(LoyaltyError::Invalid("budget_points must be enough for one member: at least bonus_points"));
    }
    if !near(new.valid.start) || !near(new.valid.end) {
        return Err(LoyaltyError::Invalid("valid_from and valid_to must be within ten years of today"));
    }
    if new.valid.end <= new.valid.start {
        return Err(LoyaltyError::Invalid("valid_to must be after valid_from"));
    }
    if new.valid.end <= now {
        return Err(LoyaltyError::Invalid("valid_to is past already; an offer must end in the future"));
    }
    Ok(())
}

/// As exact as the database keeps it.
fn stored_time(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// Withdraws an offer: nobody is told of it from now on. It counts for another day, or to its end if that is sooner, so that
/// those who were told a moment ago get their points; `at_once` ends that as well. Nothing lengthens it again. None if there is no
/// such offer.
///
/// # Errors
/// `Storage` when the database fails.
pub async fn end_offer(
    pool: &PgPool,
    offer: Uuid,
    at_once: bool,
    by: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, LoyaltyError> {
    let grace = SignedDuration::from_hours(if at_once { 0 } else { WITHDRAWN_HOURS });
    Ok(store::offers::end(pool, offer, by, now, now.saturating_add(grace).unwrap_or(now)).await?)
}
