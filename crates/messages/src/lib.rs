//! Every message that crosses a boundary: what happened, in the past tense, with its version.
//!
//! The same JSON stands in the log and, later, on Kafka. A field is never removed or given another
//! meaning within a version; readers ignore fields they do not know.
//!
//! Points are whole numbers, money is in the unit its name ends with, times are RFC 3339 in UTC.
//! Nothing here names a person: members appear by their token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One thing that happened in a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Message {
    // ledger
    Posted(Posted),
    // loyalty
    PurchaseRecorded(PurchaseRecorded),
    PurchaseReturned(PurchaseReturned),
    PurchaseReviewed(PurchaseReviewed),
    // people and safeguards
    MemberJoined(MemberJoined),
    StandingChanged(StandingChanged),
    // messaging
    NoticeOpened(NoticeOpened),
    // markets
    MarketChanged(MarketChanged),
    // trading
    StakeHeld(StakeHeld),
    StakeResolved(StakeResolved),
    PositionPaid(PositionPaid),
}

/// A change of a member's points that no capability described in words of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posted {
    pub v: u8,
    pub member: Uuid,
    pub points: i64,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PurchaseRecorded {
    pub v: u8,
    pub purchase: Uuid,
    pub member: Uuid,
    pub merchant: Uuid,
    pub merchant_category: String,
    pub terminal: Uuid,
    pub amount_cents: i64,
    pub currency: String,
    /// All that was credited, offers included.
    pub points: i64,
    /// The earn rule in force when it was bought.
    #[serde(default)]
    pub rule: Option<Uuid>,
    /// What offers gave of the points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<OfferCredited>,
    /// The points wait for a person's decision.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// Business time at the till.
    pub purchased_at: Timestamp,
    /// Business time at which we recorded it.
    pub recorded_at: Timestamp,
    /// Wall time in microseconds at which the request arrived: for latency figures only.
    pub received_wall_us: i64,
}

/// An offer that a purchase was credited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferCredited {
    pub offer: Uuid,
    pub title: String,
    pub points: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PurchaseReturned {
    pub v: u8,
    pub purchase: Uuid,
    pub member: Uuid,
    pub merchant: Uuid,
    pub merchant_category: String,
    pub amount_cents: i64,
    /// Points that the purchase had earned, offers included.
    pub points: i64,
    /// Points taken back now, winnings included.
    pub clawed_back: i64,
    /// Points still owed.
    pub owed: i64,
    pub purchased_at: Timestamp,
    pub returned_at: Timestamp,
}

/// A person decided about points that waited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PurchaseReviewed {
    pub v: u8,
    pub purchase: Uuid,
    pub member: Uuid,
    pub merchant: Uuid,
    pub points: i64,
    /// The points are the member's now; else they were taken back.
    pub confirmed: bool,
    pub reviewed_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberJoined {
    pub v: u8,
    pub member: Uuid,
    pub at: Timestamp,
}

/// A safeguard or a choice of the member raised the standing version; older permits are void.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingChanged {
    pub v: u8,
    pub member: Uuid,
    pub standing_version: i64,
    pub cause: String,
    pub at: Timestamp,
}

/// A member looked for the first time at what a notice leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoticeOpened {
    pub v: u8,
    pub member: Uuid,
    pub notice: Uuid,
    /// What the notice tells of: purchase, order or position.
    pub cause: Uuid,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarketChanged {
    pub v: u8,
    pub market: String,
    pub event: String,
    pub category: String,
    /// initialized, inactive, active, closed, determined, disputed, amended, finalized.
    pub status: String,
    /// yes, no, scalar, or absent.
    pub result: Option<String>,
    /// What one YES contract pays, in micros of a dollar.
    pub settlement_value_micros: Option<i64>,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StakeHeld {
    pub v: u8,
    pub order: Uuid,
    pub member: Uuid,
    pub market: String,
    pub category: String,
    pub side: String,
    pub hold_points: i64,
    pub count_hundredths: i64,
    pub worst_price_micros: i64,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StakeResolved {
    pub v: u8,
    pub order: Uuid,
    pub member: Uuid,
    pub market: String,
    pub category: String,
    pub side: String,
    /// filled, partial, killed, refused.
    pub outcome: String,
    pub filled_hundredths: i64,
    pub captured_points: i64,
    pub released_points: i64,
    pub reason: Option<String>,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PositionPaid {
    pub v: u8,
    pub position: Uuid,
    pub order: Uuid,
    pub member: Uuid,
    pub market: String,
    pub category: String,
    pub side: String,
    /// yes, no, scalar.
    pub result: String,
    /// won, lost, scalar, corrected.
    pub outcome: String,
    pub cost_points: i64,
    pub paid_points: i64,
    pub at: Timestamp,
}

impl Message {
    /// The member whose shard and live stream this belongs to, if any.
    pub fn member(&self) -> Option<Uuid> {
        match self {
            Message::Posted(m) => Some(m.member),
            Message::PurchaseRecorded(m) => Some(m.member),
            Message::PurchaseReturned(m) => Some(m.member),
            Message::PurchaseReviewed(m) => Some(m.member),
            Message::MemberJoined(m) => Some(m.member),
            Message::StandingChanged(m) => Some(m.member),
            Message::NoticeOpened(m) => Some(m.member),
            Message::MarketChanged(_) => None,
            Message::StakeHeld(m) => Some(m.member),
            Message::StakeResolved(m) => Some(m.member),
            Message::PositionPaid(m) => Some(m.member),
        }
    }

    /// The name in the `type` field.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Posted(_) => "Posted",
            Message::PurchaseRecorded(_) => "PurchaseRecorded",
            Message::PurchaseReturned(_) => "PurchaseReturned",
            Message::PurchaseReviewed(_) => "PurchaseReviewed",
            Message::MemberJoined(_) => "MemberJoined",
            Message::StandingChanged(_) => "StandingChanged",
            Message::NoticeOpened(_) => "NoticeOpened",
            Message::MarketChanged(_) => "MarketChanged",
            Message::StakeHeld(_) => "StakeHeld",
            Message::StakeResolved(_) => "StakeResolved",
            Message::PositionPaid(_) => "PositionPaid",
        }
    }
}
