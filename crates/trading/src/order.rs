//! An order's life. Each state before the last four has an owner that ends it.

use hunch_exchange::{ExchangeShard, SentAt};
use hunch_kernel::{
    Count, Dollars, MarketTicker, MemberId, OrderId, PointRate, Points, Price, QuoteId, Shard, Side, WallTime,
};
use jiff::Timestamp;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderState {
    /// Points are held; the dispatcher sends it or gives them back.
    Held,
    /// On its way to the exchange. Whoever finds it here after a crash treats it as unknown.
    Sending,
    /// Taken by the exchange; what it cost is being read. The resolver ends it.
    Accepted,
    /// It may or may not have been taken, or what the exchange says of it cannot be so. The resolver ends it, however long
    /// that takes, or a person.
    Unknown,
    Filled,
    Partial,
    /// Taken, and nothing filled.
    Killed,
    /// Never taken.
    Refused,
}

impl OrderState {
    pub const ALL: [OrderState; 8] = [
        OrderState::Held,
        OrderState::Sending,
        OrderState::Accepted,
        OrderState::Unknown,
        OrderState::Filled,
        OrderState::Partial,
        OrderState::Killed,
        OrderState::Refused,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            OrderState::Held => "held",
            OrderState::Sending => "sending",
            OrderState::Accepted => "accepted",
            OrderState::Unknown => "unknown",
            OrderState::Filled => "filled",
            OrderState::Partial => "partial",
            OrderState::Killed => "killed",
            OrderState::Refused => "refused",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, OrderState::Filled | OrderState::Partial | OrderState::Killed | OrderState::Refused)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub quote: QuoteId,
    pub member: MemberId,
    pub shard: Shard,
    pub market: MarketTicker,
    /// sports, events, weather or local.
    pub category: String,
    pub side: Side,
    pub count: Count,
    /// As quoted.
    pub price: Price,
    pub worst_price: Price,
    pub hold: Points,
    pub rate: PointRate,
    pub exchange_shard: ExchangeShard,
    pub standing_version: i64,
    pub permit_until: WallTime,
    pub quote_until: Timestamp,
    pub placed_at: Timestamp,
    pub placed_wall: WallTime,
    pub state: OrderState,
    pub attempt: i16,
    pub client_order_id: Uuid,
    pub sent_at: Option<Timestamp>,
    pub sent_wall: Option<WallTime>,
    pub looks: i32,
    pub exchange_order_id: Option<String>,
    /// As the exchange said when it took the order, and in the end as booked.
    pub filled: Count,
    pub cost: Dollars,
    pub fees: Dollars,
    pub captured: Points,
    pub released: Points,
    /// Stable word for what did not fill.
    pub reason: Option<String>,
    /// Stable word for why what the exchange said of it last was not believed.
    pub doubt: Option<String>,
    pub resolved_at: Option<Timestamp>,
}

impl Order {
    /// When it was last sent. An order that was not sent yet cannot be at the exchange from before its placing.
    pub(crate) fn sent(&self) -> SentAt {
        SentAt { business: self.sent_at.unwrap_or(self.placed_at), wall: self.sent_wall.unwrap_or(self.placed_wall) }
    }
}
