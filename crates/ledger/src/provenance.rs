//! Where a member's points went: from an earned lot through stakes into winnings and on. Pure.
//!
//! A return takes back what is left of the lot, and for each part that was used: a stake owes the larger of that part and
//! its share of what the stake paid and kept paying; any other use owes the part. What a later payout brings beyond that
//! is taken when it comes, by the claim that the return leaves on each stake it met.
//!
//! A reversed payout is taken from its own points where they are unused, then from what its used points brought, then
//! from other points of the member. Those *stand in* for the used ones: from then on the used points, and all they bring,
//! belong to whoever funded the stand-ins. So each point has one parent at any time, winnings are never charged to a
//! purchase that did not fund them, and buying, staking, corrections and returning never leave more than was there before.

use hunch_kernel::{HoldId, Points};
use std::collections::{BTreeMap, HashMap};

use crate::decide::Claim;
use crate::lots::LotRange;

/// No walk visits more ranges than this: many times what the busiest member's returns need.
const WALK_RANGES_MAX: usize = 50_000;

/// What a return needs to know of a member, loaded for returns only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The lot that the purchase made.
    pub earned: LotRange,
    pub funder_account: crate::AccountCode,
    pub funder_house: uuid::Uuid,
    pub source: uuid::Uuid,
    pub journey: Journey,
}

/// What became of a member's lots, as far as it can be reached from where a walk begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journey {
    /// Uses of lots, disjoint and in order.
    pub uses: Vec<Consumption>,
    pub stakes: HashMap<HoldId, Stake>,
    /// Points that are no more: taken back by returns and reversals. Disjoint and in order.
    pub voids: Vec<LotRange>,
    /// How points of reversed payouts that had been used were paid back, in order.
    pub paybacks: Vec<Payback>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumption {
    pub range: LotRange,
    pub by: Use,
}

/// What points were used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Captured for a stake.
    Stake(HoldId),
    /// Taken for a reversed payout of this stake.
    Reversal(HoldId),
    /// A repaid debt, or an earlier return.
    Other,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    pub captured: Points,
    /// The lots that the stake's payouts made, oldest first. None before it ended, or when it was lost.
    pub payouts: Vec<PaidLot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaidLot {
    pub lot: LotRange,
    pub reversed: bool,
}

/// Points of a reversed payout that had been used when it was reversed, and what paid for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payback {
    pub lots: LotRange,
    /// As many other points, which stand in for them; `None` when points paid that these very points had brought.
    pub by: Option<LotRange>,
}

/// What a return takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Ranges not used yet, to be voided as far as the points are available.
    pub unused: Vec<LotRange>,
    /// Points that were used: to be paid from what is available, else owed.
    pub owed: Points,
    /// The parts of stakes that were met, each with what is charged for it now.
    pub claims: Vec<(HoldId, Claim)>,
    /// Where the walk goes on.
    next: Vec<LotRange>,
}

/// A walk that would visit more ranges than any member's points can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a walk through a member's points visits too many ranges")]
pub struct WalkTooLong;

/// The positions that a walk has been to. Each is visited once, so a walk ends whatever the books say.
#[derive(Default)]
pub(crate) struct Visited {
    ranges: BTreeMap<i64, i64>,
    count: usize,
}

impl Visited {
    /// The parts of `range` that were not visited before; from now on they were.
    pub fn enter(&mut self, range: LotRange) -> Result<Vec<LotRange>, WalkTooLong> {
        let before = self.ranges.range(..range.hi).rev();
        let mut known: Vec<LotRange> =
            before.map(|(lo, hi)| LotRange { lo: *lo, hi: *hi }).take_while(|known| known.hi > range.lo).collect();
        known.reverse();
        let fresh = range.without(&known);
        self.count += fresh.len();
        if self.count > WALK_RANGES_MAX {
            return Err(WalkTooLong);
        }
        self.ranges.extend(fresh.iter().map(|f| (f.lo, f.hi)));
        Ok(fresh)
    }
}

/// Follows `range` of the member's lots, of which those before `consumed` are used, to where its points are now.
pub(crate) fn trace(range: LotRange, consumed: i64, journey: &Journey) -> Result<Charge, WalkTooLong> {
    let (mut charge, mut visited) = (Charge::default(), Visited::default());
    let mut frontier = vec![range];
    while let Some(range) = frontier.pop() {
        for fresh in visited.enter(range)? {
            journey.visit(fresh, consumed, &mut charge);
            frontier.append(&mut charge.next);
        }
    }
    Ok(charge)
}

impl Journey {
    /// Where the points of `range` went in one step.
    pub(crate) fn next(&self, range: LotRange) -> Vec<LotRange> {
        let mut charge = Charge::default();
        self.visit(range, i64::MAX, &mut charge);
        charge.next
    }

    /// The uses that overlap `range`.
    pub(crate) fn uses_of(&self, range: LotRange) -> impl Iterator<Item = &Consumption> {
        let first = self.uses.partition_point(|used| used.range.hi <= range.lo);
        self.uses[first..].iter().take_while(move |used| used.range.lo < range.hi)
    }

    fn visit(&self, range: LotRange, consumed: i64, charge: &mut Charge) {
        let unused = LotRange { lo: range.lo.max(consumed), hi: range.hi };
        charge.unused.extend(unused.without(&self.voids));
        for used in self.uses_of(range) {
            for slice in range.overlap(used.range).without(&self.voids) {
                match used.by {
                    Use::Stake(hold) => self.visit_stake(hold, slice, used.range, charge),
                    Use::Reversal(_) => self.visit_reversal(slice, charge),
                    Use::Other => charge.owed += Points(slice.len()),
                }
            }
        }
    }

    /// A stake's part that was paid back by its own winnings owes nothing itself; what it brought is followed all the same.
    fn visit_stake(&self, hold: HoldId, slice: LotRange, captured: LotRange, charge: &mut Charge) {
        let repaid = self.repaid(slice);
        let owing = slice.without(&repaid).into_iter().map(|piece| (piece, piece.len()));
        for (piece, floor) in owing.chain(repaid.into_iter().map(|piece| (piece, 0))) {
            let part = part_of(piece, captured, &self.voids);
            let (mut kept, mut kept_of_reversed) = (0, 0);
            if let Some(stake) = self.stakes.get(&hold) {
                for payout in &stake.payouts {
                    let brought = self.still_there(share(payout.lot, part, stake.captured));
                    let points: i64 = brought.iter().map(|b| b.len() - length(&self.repaid(*b))).sum();
                    kept += points;
                    kept_of_reversed += if payout.reversed { points } else { 0 };
                    charge.next.extend(brought);
                }
            }
            charge.owed += Points((floor - kept).max(0));
            charge.claims.push((hold, Claim { part, charged: Points((floor - kept_of_reversed).max(0)) }));
        }
    }

    /// Points that were taken for a reversed payout go on as those they stand in for, or were spent like any other.
    fn visit_reversal(&self, slice: LotRange, charge: &mut Charge) {
        let mut spent = slice.len();
        for payback in &self.paybacks {
            let Some(by) = payback.by else { continue };
            let cut = slice.overlap(by);
            if !cut.is_empty() {
                spent -= cut.len();
                let lo = payback.lots.lo + (cut.lo - by.lo);
                charge.next.push(LotRange { lo, hi: lo + cut.len() });
            }
        }
        charge.owed += Points(spent);
    }

    /// What is left of a payout's part: not taken back, and not standing on other points by now.
    fn still_there(&self, brought: LotRange) -> Vec<LotRange> {
        let others = self.paybacks.iter().filter(|p| p.by.is_some()).map(|p| p.lots).collect::<Vec<_>>();
        brought.without(&self.voids).into_iter().flat_map(|piece| piece.without(&others)).collect()
    }

    /// The parts of `range` that were paid back by what they brought.
    fn repaid(&self, range: LotRange) -> Vec<LotRange> {
        let own = self.paybacks.iter().filter(|p| p.by.is_none());
        own.map(|p| range.overlap(p.lots)).filter(|cut| !cut.is_empty()).collect()
    }
}

pub(crate) fn length(ranges: &[LotRange]) -> i64 {
    ranges.iter().map(|range| range.len()).sum()
}

/// Which points of a stake `slice` of its `captured` lots is: first to one past the last.
pub(crate) fn part_of(slice: LotRange, captured: LotRange, voids: &[LotRange]) -> LotRange {
    let lo = length(&LotRange { lo: captured.lo, hi: slice.lo }.without(voids));
    LotRange { lo, hi: lo + slice.len() }
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

/// Pairs points one to one, in order, as long as both have some.
pub(crate) fn pair(points: &[LotRange], with: &[LotRange]) -> Vec<(LotRange, LotRange)> {
    let (mut a, mut b) = (points.iter().copied(), with.iter().copied());
    let (mut left, mut right) = (a.next(), b.next());
    let mut pairs = Vec::new();
    while let (Some(l), Some(r)) = (left, right) {
        let n = l.len().min(r.len());
        if n > 0 {
            pairs.push((LotRange { lo: l.lo, hi: l.lo + n }, LotRange { lo: r.lo, hi: r.lo + n }));
        }
        left = if l.len() > n { Some(LotRange { lo: l.lo + n, ..l }) } else { a.next() };
        right = if r.len() > n { Some(LotRange { lo: r.lo + n, ..r }) } else { b.next() };
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn stake(n: i64, captured: LotRange, paid: LotRange) -> (Consumption, HoldId, Stake) {
        let hold = HoldId(Uuid::from_u128(n as u128));
        let payouts = vec![PaidLot { lot: paid, reversed: false }];
        (
            Consumption { range: captured, by: Use::Stake(hold) },
            hold,
            Stake { captured: Points(captured.len()), payouts },
        )
    }

    fn journey(stakes: impl Iterator<Item = (Consumption, HoldId, Stake)>) -> Journey {
        let mut journey = Journey::default();
        for (used, hold, stake) in stakes {
            journey.uses.push(used);
            journey.stakes.insert(hold, stake);
        }
        journey
    }

    /// Books that go round in a circle, which nobody can write: the walk ends all the same.
    #[test]
    fn a_walk_visits_each_point_once() {
        let (lo, hi) = (LotRange { lo: 0, hi: 100 }, LotRange { lo: 100, hi: 200 });
        let circle = journey([stake(1, lo, hi), stake(2, hi, lo)].into_iter());
        let charge = trace(lo, 200, &circle).unwrap();
        assert_eq!((charge.owed, charge.claims.len()), (Points::ZERO, 2));
    }

    #[test]
    fn a_walk_without_end_is_an_error() {
        let steps = WALK_RANGES_MAX as i64 + 1;
        let each = |n: i64| LotRange { lo: n, hi: n + 1 };
        let long = journey((0..steps).map(|n| stake(n, each(n), each(n + 1))));
        assert_eq!(trace(each(0), steps, &long), Err(WalkTooLong));
        assert!(trace(each(10), steps, &long).is_ok(), "one less is followed to its end");
    }
}
