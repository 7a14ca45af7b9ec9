//! How much and how fast a till, a merchant and a member may earn before a person looks. What is above it is recorded all the
//! same, and its points wait for a decision: a stolen till mints nothing that can be staked.
//!
//! - Of a till and a merchant counts what all processes let through (see [`crate::allowance`]); a receipt's minute is the one in
//!   which it was written, so that a till may send what it kept while the line was down.
//! - A member is counted in memory, begun from what is recorded on the day on which the process starts: one process serves.
//! - What was let through and did not earn is given back: a repeat, a refusal, an offer that the member had before.

use hunch_kernel::{MemberId, lock};
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

use crate::allowance::{Account, Allowances, Counter};
use crate::purchases::{Purchase, PurchaseAnswer, PurchaseRefusal};
use crate::reviews::ReviewReason;
use crate::store;

const DAY_SECONDS: i64 = 86_400;
/// Members in memory; when there are more, all are read again.
const MEMBERS_MAX: usize = 200_000;

/// What is let through without anybody looking. Days are UTC's, of business time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VelocityLimits {
    pub till_minute_receipts: i64,
    pub till_day_points: i64,
    pub merchant_day_points: i64,
    pub member_day_receipts: i64,
    pub member_day_points: i64,
}

impl VelocityLimits {
    /// For histories and measurements in which nobody is to wait.
    pub const HIGH: VelocityLimits = VelocityLimits {
        till_minute_receipts: 1_000_000_000_000,
        till_day_points: 1_000_000_000_000,
        merchant_day_points: 1_000_000_000_000,
        member_day_receipts: 1_000_000_000_000,
        member_day_points: 1_000_000_000_000,
    };
}

#[derive(Clone)]
pub struct Velocity {
    pool: PgPool,
    limits: VelocityLimits,
    allowances: Allowances,
    members: Arc<Mutex<Members>>,
}

#[derive(Default)]
struct Members {
    of: HashMap<MemberId, MemberDay>,
    /// The first day that this process counts from its beginning: whoever is not in memory then has earned nothing.
    whole_from: Option<i64>,
}

#[derive(Clone, Copy)]
struct MemberDay {
    day: i64,
    points: i64,
    receipts: i64,
}

/// What a purchase took from the counters, to be given back if it does not earn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    accounts: Vec<(Account, i64)>,
    /// Day and points.
    member: Option<(MemberId, i64, i64)>,
    /// By offer with a budget.
    offers: Vec<(Uuid, Account, i64)>,
}

impl Velocity {
    pub fn new(pool: PgPool, limits: VelocityLimits) -> Velocity {
        Velocity { pool, limits, allowances: Allowances::default(), members: Arc::default() }
    }

    /// Takes from the counters what each of these may earn, in their order: an offer whose budget is spent is taken away, and a
    /// purchase above a limit waits.
    ///
    /// # Errors
    /// When the database fails: then nothing may be let through.
    pub(crate) async fn take(
        &self,
        purchases: &mut [&mut Purchase],
        now: Timestamp,
    ) -> Result<Vec<Taken>, sqlx::Error> {
        let day = now.as_second().div_euclid(DAY_SECONDS);
        self.know(purchases.iter().map(|purchase| purchase.member), day).await?;
        let mut all = Vec::with_capacity(purchases.len());
        for purchase in purchases {
            let mut taken = Taken::default();
            self.take_offers(purchase, &mut taken).await?;
            let points = purchase.credit(&HashSet::new()).total().0;
            if points > 0 && purchase.review.is_none() {
                purchase.review = self.judge(purchase, points, (day, now), &mut taken).await?;
            }
            all.push(taken);
        }
        Ok(all)
    }

    /// Offers of a budget give no more than it in all.
    async fn take_offers(&self, purchase: &mut Purchase, taken: &mut Taken) -> Result<(), sqlx::Error> {
        let mut kept = Vec::with_capacity(purchase.offers.len());
        for offer in std::mem::take(&mut purchase.offers) {
            if let Some(budget) = offer.budget {
                let account = Account::at(Counter::OfferPoints, offer.id, offer.valid_from);
                if !self.allowances.take(&self.pool, account, offer.bonus.0, budget.0).await? {
                    continue;
                }
                taken.offers.push((offer.id, account, offer.bonus.0));
            }
            kept.push(offer);
        }
        purchase.offers = kept;
        Ok(())
    }

    async fn judge(
        &self,
        purchase: &Purchase,
        points: i64,
        (day, now): (i64, Timestamp),
        taken: &mut Taken,
    ) -> Result<Option<ReviewReason>, sqlx::Error> {
        if let Some(reason) = self.take_of_member(purchase.member, points, day) {
            return Ok(Some(reason));
        }
        taken.member = Some((purchase.member, day, points));
        let (till, merchant) = (purchase.terminal.0, purchase.sale.merchant.0);
        let (written, limits) = (purchase.sale.purchased_at, &self.limits);
        let wanted = [
            (
                Account::at(Counter::TillReceipts, till, written),
                1,
                limits.till_minute_receipts,
                ReviewReason::TillSpeed,
            ),
            (Account::at(Counter::TillPoints, till, now), points, limits.till_day_points, ReviewReason::TillValue),
            (
                Account::at(Counter::MerchantPoints, merchant, now),
                points,
                limits.merchant_day_points,
                ReviewReason::MerchantValue,
            ),
        ];
        for (account, amount, most, reason) in wanted {
            if !self.allowances.take(&self.pool, account, amount, most).await? {
                // What waits is decided by a person and uses up nothing.
                self.give_back(taken);
                return Ok(Some(reason));
            }
            taken.accounts.push((account, amount));
        }
        Ok(None)
    }

    fn take_of_member(&self, member: MemberId, points: i64, day: i64) -> Option<ReviewReason> {
        let mut members = lock(&self.members);
        let own = members.of.entry(member).or_insert(MemberDay { day, points: 0, receipts: 0 });
        if own.day != day {
            *own = MemberDay { day, points: 0, receipts: 0 };
        }
        if own.receipts >= self.limits.member_day_receipts {
            return Some(ReviewReason::MemberSpeed);
        }
        if own.points + points > self.limits.member_day_points {
            return Some(ReviewReason::MemberValue);
        }
        own.points += points;
        own.receipts += 1;
        None
    }

    /// Reads what those earned today who are not in memory.
    async fn know(&self, members: impl Iterator<Item = MemberId>, day: i64) -> Result<(), sqlx::Error> {
        let unknown: Vec<MemberId> = {
            let mut known = lock(&self.members);
            if known.of.len() >= MEMBERS_MAX {
                known.of.clear();
                known.whole_from = None;
            }
            if *known.whole_from.get_or_insert(day + 1) <= day {
                return Ok(());
            }
            let mut unknown: Vec<MemberId> =
                members.filter(|member| known.of.get(member).is_none_or(|own| own.day != day)).collect();
            unknown.sort_unstable();
            unknown.dedup();
            unknown
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let since = Timestamp::from_second(day * DAY_SECONDS).unwrap_or(Timestamp::MIN);
        let earned = store::allowances::earned_since(&self.pool, &unknown, since).await?;
        let mut known = lock(&self.members);
        for member in unknown {
            let (points, receipts) = earned.get(&member).copied().unwrap_or_default();
            // Whoever was quicker has counted since.
            let own = known.of.entry(member).or_insert(MemberDay { day, points, receipts });
            if own.day != day {
                *own = MemberDay { day, points, receipts };
            }
        }
        Ok(())
    }

    /// What became of a purchase: what it took and did not earn is given back. Where nobody knows whether it was stored, nothing is:
    /// if it was, a repeat gives back only what the repeat took.
    pub(crate) fn settle(&self, taken: &mut Taken, answer: Option<&Result<PurchaseAnswer, PurchaseRefusal>>) {
        let earned = match answer {
            None | Some(Err(PurchaseRefusal::Unavailable)) => return,
            Some(Err(_)) => None,
            Some(Ok(answer)) => Some(answer).filter(|answer| answer.first),
        };
        let given = |offer| earned.is_some_and(|answer| answer.offers.iter().any(|credit| credit.offer == offer));
        for (offer, account, amount) in taken.offers.drain(..) {
            if !given(offer) {
                self.allowances.give_back(account, amount);
            }
        }
        if earned.is_none() {
            self.give_back(taken);
        }
    }

    fn give_back(&self, taken: &mut Taken) {
        for (account, amount) in taken.accounts.drain(..) {
            self.allowances.give_back(account, amount);
        }
        if let Some((member, day, points)) = taken.member.take() {
            let mut members = lock(&self.members);
            if let Some(own) = members.of.get_mut(&member).filter(|own| own.day == day) {
                own.points -= points;
                own.receipts -= 1;
            }
        }
    }

    /// Forgets counters of times that are long over, at most `most`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, now: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
        // Receipts may be two months late, and so are the minutes in which they were written.
        let before = now.saturating_sub(SignedDuration::from_hours(24 * 70)).unwrap_or(now);
        store::allowances::sweep(&self.pool, before, most).await
    }
}
