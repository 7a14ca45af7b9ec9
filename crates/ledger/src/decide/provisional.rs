//! Points that wait for a decision: they mature, or go back to whoever paid for them.
//!
//! They are beside the member's stream of lots until they mature, so that nothing can use them and a return of what earned
//! them never becomes a debt. Each earning ends once, as a whole.

use hunch_kernel::{MemberId, Points};
use uuid::Uuid;

use super::{State, Work};
use crate::account::AccountCode;
use crate::command::{Reason, Refusal};
use crate::lots::LotRange;

/// What an earning gave provisionally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provisional {
    pub member: MemberId,
    pub points: Points,
    pub funder_account: AccountCode,
    pub funder_house: Uuid,
    pub source: Uuid,
    /// What became of it; `None` while it is provisional.
    pub ended: Option<ProvisionalEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisionalEnd {
    /// It is this lot now.
    Matured(LotRange),
    TakenBack,
    /// The purchase came back before anything was decided.
    Returned,
}

impl ProvisionalEnd {
    /// The stable word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            ProvisionalEnd::Matured(_) => "matured",
            ProvisionalEnd::TakenBack => "taken_back",
            ProvisionalEnd::Returned => "returned",
        }
    }

    pub fn lot(self) -> Option<LotRange> {
        match self {
            ProvisionalEnd::Matured(lot) => Some(lot),
            ProvisionalEnd::TakenBack | ProvisionalEnd::Returned => None,
        }
    }
}

impl Work {
    pub(super) fn mature(&mut self, state: &State, earned: Uuid) -> Result<Points, Refusal> {
        let provisional = self.own_provisional(state, earned)?;
        let (points, source) = (provisional.points, provisional.source);
        let lot = LotRange { lo: self.member.credited, hi: self.member.credited + points.0 };
        let (from, to) = (AccountCode::Provisional, AccountCode::Available);
        self.credit_lot(from, to, Uuid::nil(), points, Reason::Matured, source);
        self.provisional = Some((earned, Provisional { ended: Some(ProvisionalEnd::Matured(lot)), ..provisional }));
        self.repay_debt(source);
        Ok(points)
    }

    /// Provisional points go back to whoever paid for them.
    pub(super) fn give_back(
        &mut self,
        earned: Uuid,
        provisional: Provisional,
        end: ProvisionalEnd,
        reason: Reason,
    ) -> Result<Points, Refusal> {
        let Provisional { points, funder_account, funder_house, source, .. } = provisional;
        self.post(AccountCode::Provisional, funder_account, funder_house, points, reason, source, None);
        self.provisional = Some((earned, Provisional { ended: Some(end), ..provisional }));
        Ok(points)
    }

    pub(super) fn own_provisional(&self, state: &State, earned: Uuid) -> Result<Provisional, Refusal> {
        let found = state.provisional.get(&earned).filter(|p| p.member == self.id).ok_or(Refusal::UnknownEarning)?;
        if found.ended.is_none() { Ok(*found) } else { Err(Refusal::NotProvisional) }
    }
}
