//! A payout is taken back: from its own unused points, from what its used points brought, from other points of the member
//! that stand in for them (see `provenance.rs`), and where nobody has them any more, from the house.

use hunch_kernel::{HoldId, Points, seeded_bug};
use uuid::Uuid;

use super::{Claim, HoldState, Reversed, State, Work, positive};
use crate::account::AccountCode;
use crate::command::{Reason, Refusal};
use crate::lots::LotRange;
use crate::provenance::{Journey, Payback, Use, length, pair, share, trace};

/// The payout on its way back.
struct Reversal<'a> {
    lot: LotRange,
    journey: &'a Journey,
    /// Before this command.
    consumed: i64,
    /// The parts of the payout that returned purchases funded, in order.
    returned: Vec<LotRange>,
    /// What may still be taken.
    budget: Points,
}

impl Work {
    pub(super) fn reverse_payout(&mut self, state: &State, id: HoldId, points: Points) -> Result<Points, Refusal> {
        let points = positive(points)?;
        let mut hold = self.own_hold(state, id)?;
        if !hold.settled {
            return Err(Refusal::HoldOpen);
        }
        let lot = hold.paid.filter(|lot| lot.len() == points.0).ok_or(Refusal::NotPaid)?;
        hold.paid = None;
        if seeded_bug("reversal-as-stake") {
            return Ok(self.reverse_as_a_stake(id, hold, lot));
        }
        let claims = state.claims.get(&id).map(Vec::as_slice).unwrap_or_default();
        let (refunded, charged, returned) = of_returned_purchases(lot, claims, &hold);
        let budget = (points - refunded).min(self.member.balance.available);
        let none = Journey::default();
        let journey = state.journeys.get(&id).unwrap_or(&none);
        let mut reversal = Reversal { lot, journey, consumed: self.member.consumed, returned, budget };

        let own_returned = self.void_own(&mut reversal);
        let rest = self.void_brought(&mut reversal)?;
        let used = reversal.budget;
        let voided = budget - used;
        if voided.is_positive() {
            self.post_back(id, AccountCode::Available, voided, None);
        }
        if used.is_positive() {
            let (owed, voids) = (self.member.owed.clone(), self.member.voids.clone());
            let range = self.use_lots(used);
            self.stand_in(&reversal, &range.without(&voids), &rest, &owed)?;
            self.post_back(id, AccountCode::Available, used, Some(range));
        }
        if refunded.is_positive() {
            self.post_back(id, AccountCode::CommunityPot, refunded, None);
        }
        // What a return had charged was paid with points that were none: it is owed, as if it had never been paid.
        let missing = points - refunded - voided - used;
        let owed = missing.min(charged - own_returned);
        if owed.is_positive() {
            let (from, to) = (AccountCode::Debt, AccountCode::Exchange);
            self.post(from, to, Uuid::nil(), owed, Reason::DebtCharged, id.0, None);
        }
        let lost = missing - owed;
        if lost.is_positive() {
            self.post_back(id, AccountCode::CorrectionLoss, lost, None);
        }
        self.reversed = Some(Reversed { hold: id, lot, voided, used, refunded, owed, lost });
        self.hold = Some((id, hold));
        Ok(points - lost)
    }

    fn post_back(&mut self, id: HoldId, from: AccountCode, points: Points, lot: Option<LotRange>) {
        self.post(from, AccountCode::Exchange, Uuid::nil(), points, Reason::PayoutReversed, id.0, lot);
    }

    /// Voids the payout's unused points, newest first; says how many of them returned purchases had funded.
    fn void_own(&mut self, reversal: &mut Reversal<'_>) -> Points {
        let unused = LotRange { lo: reversal.lot.lo.max(reversal.consumed), hi: reversal.lot.hi };
        let mut of_returned = 0;
        for range in unused.without(&self.member.voids).into_iter().rev() {
            if let Some(gone) = self.void_newest(range, &mut reversal.budget) {
                of_returned += gone.len() - length(&gone.without(&reversal.returned));
            }
        }
        Points(of_returned)
    }

    /// Voids what the payout's used points brought and nobody used. Gives the used points that are not paid back by it.
    fn void_brought(&mut self, reversal: &mut Reversal<'_>) -> Result<Vec<LotRange>, Refusal> {
        let (lot, journey) = (reversal.lot, reversal.journey);
        let used = LotRange { lo: lot.lo, hi: lot.hi.min(reversal.consumed) };
        let mut rest = Vec::new();
        for live in used.without(&reversal.returned).into_iter().flat_map(|piece| piece.without(&journey.voids)) {
            for (range, by) in journey.uses_of(live).map(|used| (live.overlap(used.range), used.by)) {
                let repaid = match by {
                    Use::Stake(_) => self.void_descendants(range, reversal)?,
                    Use::Reversal(_) | Use::Other => Points::ZERO,
                };
                let paid = LotRange { lo: range.lo, hi: range.lo + repaid.0 };
                if !paid.is_empty() {
                    self.paybacks.push(Payback { lots: paid, by: None });
                }
                if paid.hi < range.hi {
                    rest.push(LotRange { lo: paid.hi, hi: range.hi });
                }
            }
        }
        Ok(rest)
    }

    /// As many unused points as `range` has, of those that it brought.
    fn void_descendants(&mut self, range: LotRange, reversal: &mut Reversal<'_>) -> Result<Points, Refusal> {
        let mut unused = trace(range, reversal.consumed, reversal.journey)?.unused;
        unused.sort();
        let mut left = Points(range.len()).min(reversal.budget);
        let wanted = left;
        for range in unused.into_iter().rev() {
            for live in range.without(&self.member.voids).into_iter().rev() {
                self.void_newest(live, &mut left);
            }
        }
        reversal.budget -= wanted - left;
        Ok(wanted - left)
    }

    fn void_newest(&mut self, range: LotRange, budget: &mut Points) -> Option<LotRange> {
        let gone = range.tail(Points(range.len()).min(*budget));
        if gone.is_empty() {
            return None;
        }
        self.void(gone);
        *budget -= Points(gone.len());
        Some(gone)
    }

    /// Other points stand in for the used ones. Where these are charged already (`owed`), what the used ones are still to
    /// bring is claimed, as if they had been staked themselves.
    fn stand_in(
        &mut self,
        reversal: &Reversal<'_>,
        taken: &[LotRange],
        rest: &[LotRange],
        owed: &[LotRange],
    ) -> Result<(), Refusal> {
        for (lots, by) in pair(rest, taken) {
            self.paybacks.push(Payback { lots, by: Some(by) });
            for charged in owed.iter().map(|owed| owed.overlap(by)).filter(|cut| !cut.is_empty()) {
                let lo = lots.lo + (charged.lo - by.lo);
                let range = LotRange { lo, hi: lo + charged.len() };
                self.claims.extend(trace(range, reversal.consumed, reversal.journey)?.claims);
            }
        }
        self.paybacks.sort();
        Ok(())
    }

    /// The mistake of earlier programmes: what comes first is used, whosever it is, as if it were staked once more.
    fn reverse_as_a_stake(&mut self, id: HoldId, hold: HoldState, lot: LotRange) -> Points {
        let points = Points(lot.len());
        let used = points.min(self.member.balance.available);
        let lost = points - used;
        if used.is_positive() {
            let range = self.use_lots(used);
            self.post_back(id, AccountCode::Available, used, Some(range));
        }
        if lost.is_positive() {
            self.post_back(id, AccountCode::CorrectionLoss, lost, None);
        }
        let (voided, refunded, owed) = (Points::ZERO, Points::ZERO, Points::ZERO);
        self.reversed = Some(Reversed { hold: id, lot, voided, used, refunded, owed, lost });
        self.hold = Some((id, hold));
        used
    }
}

/// What returned purchases' parts of a payout brought beyond their charge, which lies in the community pot; the rest of
/// these parts, which was charged; and the parts.
fn of_returned_purchases(lot: LotRange, claims: &[Claim], hold: &HoldState) -> (Points, Points, Vec<LotRange>) {
    let mut returned: Vec<LotRange> = Vec::new();
    let mut refunded = Points::ZERO;
    for claim in claims.iter().filter(|_| !seeded_bug("pot-keeps-winnings")) {
        let brought = share(lot, claim.part, hold.captured);
        refunded += Points((brought.len() - claim.charged.0).max(0));
        returned.push(brought);
    }
    returned.sort();
    let charged = Points(length(&returned)) - refunded;
    (refunded, charged, returned)
}
