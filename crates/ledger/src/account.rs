//! The accounts that points move between.

use hunch_kernel::Points;

/// An account's code, as the database keeps it. 1–4 belong to a member, from 10 on to the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum AccountCode {
    Available = 1,
    Held = 2,
    Provisional = 3,
    /// What a member owes after returns: zero or below.
    Debt = 4,
    /// Points a merchant has given out, as a negative balance.
    Issuance = 10,
    OperatorIssuance = 11,
    /// Points at the exchange: captured stakes in, payouts out.
    Exchange = 12,
    CommunityPot = 13,
    CorrectionLoss = 14,
}

impl AccountCode {
    pub fn code(self) -> i16 {
        self as i16
    }

    pub fn is_house(self) -> bool {
        self.code() >= 10
    }

    /// The words of statements and audits.
    pub fn from_code(code: i16) -> Option<AccountCode> {
        use AccountCode::*;
        [Available, Held, Provisional, Debt, Issuance, OperatorIssuance, Exchange, CommunityPot, CorrectionLoss]
            .into_iter()
            .find(|a| a.code() == code)
    }
}

/// A member's four buckets, in points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberBalance {
    pub available: Points,
    pub held: Points,
    pub provisional: Points,
    /// Zero or negative.
    pub debt: Points,
}

impl MemberBalance {
    pub fn total(&self) -> Points {
        self.available + self.held + self.provisional + self.debt
    }

    pub(crate) fn bucket_mut(&mut self, account: AccountCode) -> Option<&mut Points> {
        match account {
            AccountCode::Available => Some(&mut self.available),
            AccountCode::Held => Some(&mut self.held),
            AccountCode::Provisional => Some(&mut self.provisional),
            AccountCode::Debt => Some(&mut self.debt),
            _ => None,
        }
    }
}
