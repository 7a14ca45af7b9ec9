//! Orders and what became of them.

use crate::ExchangeShard;
use hunch_kernel::{Count, Dollars, MarketTicker, Price, Side, WallTime};
use jiff::Timestamp;
use uuid::Uuid;

/// A member's stake as the exchange will see it: buy `count` of `side`, now or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Stored before sending; spent for ever by the first attempt that reaches the exchange.
    pub client_order_id: Uuid,
    pub ticker: MarketTicker,
    pub side: Side,
    pub count: Count,
    /// The most to pay for one contract of `side`.
    pub worst_price: Price,
    pub exchange_shard: ExchangeShard,
}

/// Room for one order within the exchange's limits on how many we may send. Whoever has it need not wait any more, so
/// what must be true at the moment of sending is asked between taking it and spending it.
#[derive(Debug)]
pub struct Turn(());

impl Turn {
    /// For exchanges only.
    pub fn granted() -> Turn {
        Turn(())
    }
}

/// When an order was sent, on both of our clocks.
///
/// An exchange goes by a clock of its own: a real one by the wall clock, the simulator inside a programme by the
/// business clock. A look-up must be right with either, so it begins at the earlier time, and data is complete only
/// past the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAt {
    pub business: Timestamp,
    pub wall: WallTime,
}

impl SentAt {
    pub fn earlier(self) -> Timestamp {
        self.business.min(self.wall.to_timestamp())
    }

    pub fn later(self) -> Timestamp {
        self.business.max(self.wall.to_timestamp())
    }
}

/// What is known after sending an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// Taken. A fill count of zero is a kill.
    Accepted(OrderReport),
    /// The client order id was used before: the first attempt got in. Look it up.
    AlreadyExists,
    /// Certainly not taken.
    Refused { class: RefusalClass, code: String },
    /// It may or may not have been taken. Only looking it up can tell.
    Unknown { cause: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// Price off the grid, or nothing at that price.
    Price,
    /// Not enough cash on that part of the exchange.
    Funds,
    MarketClosed,
    ExchangePaused,
    RateLimited,
    Auth,
    Invalid,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderReport {
    pub exchange_order_id: String,
    pub client_order_id: Uuid,
    pub filled: Count,
    /// Contracts still resting; zero for an order that is over.
    pub resting: Count,
    /// Price of the side bought, on average over the fills. `None` when nothing filled.
    pub average_price: Option<Price>,
    /// Paid for the contracts of the side bought, without fees.
    pub cost: Dollars,
    pub fees: Dollars,
}
