//! Where a member's points went: from an earned lot through stakes into winnings and on. Pure.
//!
//! A return takes back what is left of the lot, and for each part that was used: a stake that ended
//! owes the larger of that part and its share of what the stake paid; a stake still open owes the
//! part now and the rest of its share when it pays; any other use owes the part. So buying, staking
//! and returning never leaves more than was there before.

use hunch_kernel::{HoldId, Points};
use std::collections::HashMap;

use crate::decide::MemberState;
use crate::lots::LotRange;

/// What a return needs to know of a member, loaded for returns only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The lot that the purchase made.
    pub earned: LotRange,
    pub funder_account: crate::AccountCode,
    pub funder_house: uuid::Uuid,
    pub source: uuid::Uuid,
    /// Uses of the member's lots that overlap anything reachable from the lot.
    pub consumptions: Vec<Consumption>,
    pub stakes: HashMap<HoldId, Stake>,
    /// All voided ranges that overlap anything reachable, sorted.
    pub voids: Vec<LotRange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumption {
    pub range: LotRange,
    /// The stake it was captured for; `None` for a repaid debt or an earlier clawback.
    pub stake: Option<HoldId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    pub captured: Points,
    pub settled: bool,
    /// The lots that the stake's payouts made.
    pub payouts: Vec<LotRange>,
}

/// What a return takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Ranges not used yet, to be voided as far as the points are available.
    pub unused: Vec<LotRange>,
    /// Points that were used: to be paid from what is available, else owed.
    pub owed: Points,
    /// Parts of stakes that have not ended, as points of the captured stake.
    pub open_slices: Vec<(HoldId, LotRange)>,
}

/// Follows `range` of the member's lots to where its points are now.
pub(crate) fn trace(range: LotRange, member: &MemberState, provenance: &Provenance) -> Charge {
    let mut charge = Charge::default();
    // Winnings are later lots than their stake, so every step moves forward and the walk ends.
    let mut frontier = vec![range];
    while let Some(range) = frontier.pop() {
        let unused = LotRange { lo: range.lo.max(member.consumed), hi: range.hi };
        charge.unused.extend(unused.without(&provenance.voids));
        for used in &provenance.consumptions {
            for slice in range.overlap(used.range).without(&provenance.voids) {
                let points = Points(slice.len());
                let Some((id, stake)) = used.stake.and_then(|id| provenance.stakes.get(&id).map(|s| (id, s))) else {
                    charge.owed += points;
                    continue;
                };
                if !stake.settled {
                    charge.owed += points;
                    charge.open_slices.push((id, part_of(slice, used.range, &provenance.voids)));
                    continue;
                }
                let shares = winnings_of(slice, used.range, stake, &provenance.voids);
                let brought: i64 = shares.iter().map(|r| r.len()).sum();
                charge.owed += Points((points.0 - brought).max(0));
                frontier.extend(shares);
            }
        }
    }
    charge
}

/// Which points of a stake `slice` of its `captured` lots is: first to one past the last.
pub(crate) fn part_of(slice: LotRange, captured: LotRange, voids: &[LotRange]) -> LotRange {
    let lo = LotRange { lo: captured.lo, hi: slice.lo }.without(voids).iter().map(|r| r.len()).sum();
    LotRange { lo, hi: lo + slice.len() }
}

/// The part of each payout lot that `slice` of the stake's lots brought.
pub(crate) fn winnings_of(slice: LotRange, captured: LotRange, stake: &Stake, voids: &[LotRange]) -> Vec<LotRange> {
    let part = part_of(slice, captured, voids);
    let lots = stake.payouts.iter();
    lots.map(|lot| share(*lot, part, stake.captured)).filter(|r| !r.is_empty()).collect()
}

/// The part of `lot`, paid for a stake of `captured` points, that belongs to `part` of the stake. Points
/// map in proportion, so different parts never claim the same winnings and together claim them all.
pub(crate) fn share(lot: LotRange, part: LotRange, captured: Points) -> LotRange {
    if captured.0 <= 0 {
        return LotRange { lo: lot.lo, hi: lot.lo };
    }
    let at = |point: i64| {
        let point = i128::from(point.clamp(0, captured.0));
        lot.lo + (i128::from(lot.len()) * point / i128::from(captured.0)) as i64
    };
    LotRange { lo: at(part.lo), hi: at(part.hi) }
}
