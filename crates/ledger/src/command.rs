//! What can be asked of the ledger, and what it answers.

use hunch_kernel::{HoldId, MemberId, MerchantId, Points};
use ring::digest::{SHA256, digest};
use uuid::Uuid;

use crate::MemberBalance;

/// One change of one member's points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// One effect for ever (L6). Derived from what causes the change, never random.
    pub key: Uuid,
    /// Digest of the request: the same key with another digest is refused. See [`request_digest`].
    pub request: i64,
    pub member: MemberId,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Points arrive as a new lot. What the member owes is paid from them first. Earning nothing is possible: the
    /// key is used then, and no points move.
    Earn { points: Points, funder: Funder, source: Uuid, bucket: EarnBucket, reason: Reason },
    /// Points of several kinds arrive as one lot: each part is an entry with a reason of its own, and a clawback takes back
    /// all of them. No part at all is possible, as with earning nothing.
    EarnParts { parts: Vec<EarnPart>, funder: Funder, source: Uuid, bucket: EarnBucket },
    /// What the earning with key `earned` gave provisionally becomes available, as a lot of this moment.
    Mature { earned: Uuid },
    /// What the earning with key `earned` gave provisionally goes back to whoever paid for it.
    TakeBack { earned: Uuid },
    /// Points move from available to held.
    PlaceHold { hold: HoldId, points: Points, owner: HoldOwner },
    /// Ends a hold: `capture` goes to the exchange, the rest back to available.
    CloseHold { hold: HoldId, capture: Points },
    /// What an ended stake pays, zero included. Returned purchases take their share first.
    Payout { hold: HoldId, points: Points, reason: Reason },
    /// Takes back all of the payout that counts now, as far as the member has it; the rest is the house's loss. The part
    /// that a returned purchase funded comes from where the return put it, and what the return had charged is owed again.
    ReversePayout { hold: HoldId, points: Points },
    /// Takes back what the `Earn` with key `earned` gave, and the share of winnings it brought. What is provisional still
    /// goes back as it is.
    Clawback { earned: Uuid },
}

impl Action {
    /// Whether it needs to know what became of points that were used.
    pub(crate) fn follows_points(&self) -> bool {
        matches!(self, Action::Clawback { .. } | Action::ReversePayout { .. })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Action::Earn { .. } | Action::EarnParts { .. } => "earn",
            Action::Mature { .. } => "mature",
            Action::TakeBack { .. } => "take_back",
            Action::PlaceHold { .. } => "place_hold",
            Action::CloseHold { .. } => "close_hold",
            Action::Payout { .. } => "payout",
            Action::ReversePayout { .. } => "reverse_payout",
            Action::Clawback { .. } => "clawback",
        }
    }
}

/// A part of what one cause gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarnPart {
    pub points: Points,
    pub reason: Reason,
}

/// Who pays for points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Funder {
    Merchant(MerchantId),
    Operator,
}

/// Where earned points go at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarnBucket {
    /// A lot of the member's stream: usable at once.
    Available,
    /// Beside the stream, until they mature or are taken back: nothing can use them, and they repay no debt.
    Provisional,
}

/// The job that must end a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldOwner {
    OrderDispatcher,
}

impl HoldOwner {
    pub fn as_str(self) -> &'static str {
        match self {
            HoldOwner::OrderDispatcher => "order-dispatcher",
        }
    }
}

/// Why points moved, as statements and the database show it. Numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Reason {
    Purchase = 1,
    Welcome = 2,
    Matured = 3,
    TakenBack = 4,
    Offer = 6,
    StakeHeld = 10,
    StakeCaptured = 11,
    StakeReleased = 12,
    StakeWon = 13,
    StakeScalar = 14,
    StakeLost = 15,
    /// Paid by a corrected result. Earlier programmes posted reversals under it as well.
    Corrected = 16,
    PayoutReversed = 17,
    PurchaseReturned = 20,
    WinningsReturned = 21,
    DebtCharged = 22,
    DebtRepaid = 23,
}

impl Reason {
    const ALL: [Reason; 17] = [
        Reason::Purchase,
        Reason::Welcome,
        Reason::Matured,
        Reason::TakenBack,
        Reason::Offer,
        Reason::StakeHeld,
        Reason::StakeCaptured,
        Reason::StakeReleased,
        Reason::StakeWon,
        Reason::StakeScalar,
        Reason::StakeLost,
        Reason::Corrected,
        Reason::PayoutReversed,
        Reason::PurchaseReturned,
        Reason::WinningsReturned,
        Reason::DebtCharged,
        Reason::DebtRepaid,
    ];

    pub fn code(self) -> i16 {
        self as i16
    }

    pub fn from_code(code: i16) -> Option<Reason> {
        Reason::ALL.into_iter().find(|r| r.code() == code)
    }

    /// The stable word that the API shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Purchase => "purchase",
            Reason::Welcome => "welcome",
            Reason::Matured => "matured",
            Reason::TakenBack => "taken_back",
            Reason::Offer => "offer",
            Reason::StakeHeld => "stake_held",
            Reason::StakeCaptured => "stake_captured",
            Reason::StakeReleased => "stake_released",
            Reason::StakeWon => "stake_won",
            Reason::StakeScalar => "stake_scalar",
            Reason::StakeLost => "stake_lost",
            Reason::Corrected => "corrected",
            Reason::PayoutReversed => "payout_reversed",
            Reason::PurchaseReturned => "purchase_returned",
            Reason::WinningsReturned => "winnings_returned",
            Reason::DebtCharged => "debt_charged",
            Reason::DebtRepaid => "debt_repaid",
        }
    }
}

/// What became of one command of a batch. Every command has its own answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(Done),
    /// The key was used before: the first answer.
    Repeated(Done),
    Refused(Refusal),
}

impl Outcome {
    /// The answer of a command that took effect, now or before.
    pub fn effect(&self) -> Option<&Done> {
        match self {
            Outcome::Done(done) | Outcome::Repeated(done) => Some(done),
            Outcome::Refused(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Sequence number in the member's shard.
    pub seq: i64,
    /// Earned, held, captured, paid, or taken back now (a clawback's debt not included; a reversal's house loss not).
    pub points: Points,
    /// Just after this command.
    pub balance: MemberBalance,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{available} points are available, {needed} are needed")]
    InsufficientPoints { available: Points, needed: Points },
    #[error("this key was used before with a different request")]
    KeyReused,
    #[error("there is no such member")]
    UnknownMember,
    #[error("there is no such hold")]
    UnknownHold,
    #[error("the hold has ended already")]
    HoldClosed,
    #[error("the hold is still open")]
    HoldOpen,
    #[error("nothing was earned under that key")]
    UnknownEarning,
    #[error("nothing that was earned under that key is provisional any more")]
    NotProvisional,
    #[error("no payout of this amount counts now")]
    NotPaid,
    /// The books of this member are not as they can be; nobody's books are that long.
    #[error("the way of these points is too long to be followed")]
    WalkTooLong,
    #[error("{0} points are not a possible amount here")]
    Amount(Points),
}

/// The digest that tells a repeat from a different request: first eight bytes of SHA-256 over the parts.
pub fn request_digest(parts: &[&[u8]]) -> i64 {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest(&SHA256, &all).as_ref()[..8]);
    i64::from_be_bytes(first)
}
